"""What the simulated model says by itself: short, the same for the same request, in the user's language."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec.json

from zhipu_async.simulator.chat_request import (
    AnyMessage,
    AssistantMessage,
    ChatRequest,
    Function,
    FunctionTool,
    ImagePart,
    SearchTool,
    ToolMessage,
    UserMessage,
    image_data,
    read,
)
from zhipu_async.simulator.invention import invent, schema_in
from zhipu_async.simulator.models import LISTED, MODELS, OTHER, Model
from zhipu_async.simulator.replies import Answer, Json, Refusal, Reply, ToolCall
from zhipu_async.simulator.scenario import Scenario
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.simulator.text import is_chinese, words

_QUOTED_LENGTH: Final = 200
_WAV_HEAD: Final = b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\0\0\0\0"
_AUDIO: Final = {"id": "audio_1791490810", "data": b64encode(_WAV_HEAD).decode(), "expires_at": "1791490810"}
_SEARCH_RESULT: Final = {
    "refer": "ref_1",
    "title": "GLM",
    "link": "https://example.com/glm",
    "media": "Example",
    "content": "GLM is a family of large language models.",
    "icon": "https://example.com/icon.png",
    "publish_date": "2026-10-01",
}


class Chat:
    """The chat endpoint: checks a request and answers it."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._more_models = frozenset(model.lower() for model in scenario.models)

    def check(self, request: SeenRequest) -> Refusal | None:
        """What the service refuses in a request."""
        asked = read(request.body, self._more_models)
        return asked if isinstance(asked, Refusal) else None

    def respond(self, request: SeenRequest) -> Answer:
        """The default answer to a request; to one that is refused, where nothing is checked, an empty one."""
        asked = read(request.body, {*self._more_models, request.model})
        return Reply() if isinstance(asked, Refusal) else self._reply(asked, request.model)

    def _reply(self, asked: ChatRequest, name: str) -> Answer:
        text = next((said.text for said in reversed(asked.messages) if isinstance(said, UserMessage)), "")
        if self._scenario.unsafe_prompt in text:
            return Refusal("1301", content_filter=[{"level": 1, "role": "user"}])
        model = MODELS.get(name, OTHER)
        reply = _stopped(_reply(asked, model, name, text), asked)
        if _thinks(asked, model):
            reply = replace(reply, reasoning=_reasoning(reply, text))
        if self._scenario.unsafe_answer in text:
            half = "".join(words(reply.content or "")[:3])
            unsafe = [{"level": 1, "role": "assistant"}]
            return replace(reply, content=half, tool_calls=(), finish_reason="sensitive", content_filter=unsafe)
        return _limited(reply, asked.max_tokens) if isinstance(asked.max_tokens, int) else reply


def models(request: SeenRequest) -> Json:
    """The list of models, in the recorded shape."""
    data = [{"id": name, "object": "model", "owned_by": "z-ai"} for name in LISTED]
    return Json({"object": "list", "data": data})


def _thinks(asked: ChatRequest, model: Model) -> bool:
    if model.thinking == "never" or asked.reasoning_effort in model.skips_thinking_at:
        return False
    return model.thinking == "always" or asked.thinking.type == "enabled"


def _reply(asked: ChatRequest, model: Model, name: str, text: str) -> Reply:
    tools = asked.tools if model.tools else []
    functions = [tool.function for tool in tools if isinstance(tool, FunctionTool)]
    if calls := _calls(functions, asked.messages, text):
        return Reply(tool_calls=calls)
    if isinstance(asked.messages[-1], ToolMessage):
        return Reply(_after_tools(asked.messages, text))
    if asked.response_format.type == "json_object":
        return Reply(_in_json(asked.messages, text))
    if model.kind == "voice":
        return Reply(_said(name, text), audio=_AUDIO)
    if images := [part.image_url.url for part in asked.attached() if isinstance(part, ImagePart)]:
        return Reply(_about_images(images, text))
    searches = [tool.web_search for tool in tools if isinstance(tool, SearchTool)]
    if searches and not functions:
        shown = searches[0].search_result in (True, "True")
        return Reply(f"{_said(name, text)} [ref_1]", web_search=(_SEARCH_RESULT,) if shown else ())
    return Reply(_said(name, text))


def _calls(functions: Sequence[Function], messages: Sequence[AnyMessage], text: str) -> Sequence[ToolCall]:
    """Calls of the functions that the user names; else, before any tool has answered, one of the first function."""
    if not isinstance(messages[-1], UserMessage):
        return ()
    wanted = [function for function in functions if _is_named(function.name, text)]
    if not wanted and not any(isinstance(message, ToolMessage) for message in messages):
        wanted = list(functions[:1])
    return [ToolCall(function.name, invent({"type": "object", **function.parameters}, text)) for function in wanted]


def _is_named(function: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(function)}(?!\w)", text, re.ASCII) is not None


def _after_tools(messages: Sequence[AnyMessage], text: str) -> str:
    names: Mapping[str, str] = {
        call.id: call.function.name
        for message in messages
        if isinstance(message, AssistantMessage)
        for call in message.tool_calls
    }
    results: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        results.append(f"{names.get(message.tool_call_id, 'tool')}: {message.content}"[:_QUOTED_LENGTH])
    joined = "; ".join(reversed(results))
    return f"查询结果是：{joined}" if is_chinese(text) else f"This is what I found: {joined}"


def _in_json(messages: Sequence[AnyMessage], text: str) -> str:
    schema = schema_in("\n".join(message.text for message in messages))
    value = {"answer": text[:_QUOTED_LENGTH]} if schema is None else invent(schema, text)
    return msgspec.json.encode(value).decode()


def _said(name: str, text: str) -> str:
    quoted = text[:_QUOTED_LENGTH]
    if is_chinese(text):
        return f"你好！我是本地模拟的 {name}。你说的是：“{quoted}”"
    return f"Hello! I am a simulated {name}. You said: “{quoted}”"


def _reasoning(reply: Reply, text: str) -> str:
    names = ", ".join(call.name for call in reply.tool_calls)
    if is_chinese(text):
        return f"这个问题需要调用 {names}。" if names else "用户说了一句话，我来简短地回答。"
    return f"This question needs {names}." if names else "The user said something. I will answer briefly."


def _about_images(urls: Sequence[str], text: str) -> str:
    listed = ", ".join(_image(url) for url in urls)
    if is_chinese(text):
        return f"我看到了 {len(urls)} 张图片：{listed}。"
    return f"I see {len(urls)} image{'s' if len(urls) > 1 else ''}: {listed}."


def _image(url: str) -> str:
    data = image_data(url)
    if data is None:
        return url[:_QUOTED_LENGTH]
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    if url.startswith("data:"):
        kind = url[5 : url.index(";")]
    return f"{kind}, {len(data)} bytes"


def _stopped(reply: Reply, asked: ChatRequest) -> Reply:
    """The reply up to the first stop word."""
    if asked.stop is msgspec.UNSET:
        return reply
    content = reply.content or ""
    for word in asked.stop:
        content = content.partition(word)[0]
    return replace(reply, content=content)


def _limited(reply: Reply, limit: int) -> Reply:
    """The reply cut off after so many tokens: the reasoning counts, and nothing is left of what comes later."""
    reasoning = words(reply.reasoning or "")
    left = limit - len(reasoning)
    if left <= 0 and reasoning:
        thought = "".join(reasoning[:limit])
        return replace(reply, reasoning=thought, content=None, tool_calls=(), audio=None, finish_reason="length")
    content = words(reply.content or "")
    if len(content) > left:
        return replace(reply, content="".join(content[:left]), finish_reason="length")
    return reply
