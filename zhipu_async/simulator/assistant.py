"""Assistants, an older API (contract page data.md, section 12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from zhipu_async.simulator.chat_request import Text, UserMessage
from zhipu_async.simulator.operation import Asked, Result, Rows, Turn, unsafe
from zhipu_async.simulator.replies import DONE, Frames
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.text import is_chinese, words
from zhipu_async.simulator.validation import illegal

_MODELS: Final = ("glm-4-assistant", "glm-4-alltools")
_ASSISTANTS: Final[Mapping[str, str]] = {
    "65940acff94777010aa6b796": "ChatGLM",
    "65a265419d72d299a9230616": "数据分析",
    "664dd7bd5bb3a13ba0f81668": "流程图",
    "664e0cade018d633146de0d2": "思维导图",
    "6654898292788e88ce9e7f4c": "提示词工程师",
    "66437ef3d920bdc5c60f338e": "AI搜索",
    "659e54b1b8006379b4b2abd6": "文生图",
    "65d2f07bb2c10188f885bd89": "PPT助手",
    "663058948bb259b7e8a22730": "AI画图",
    "65a393b3619c6f13586246cd": "代码助手",
    "65b356af6924a59d52832e54": "翻译",
    "668fdd45405f2e3c9f71f832": "长文档解读",
}
"""The ids that the service has, with names."""


class Attachment(Struct, frozen=True):
    """A file that was uploaded before."""

    file_id: Text


class AssistantRequest(Asked, frozen=True):
    """What is said to an assistant."""

    assistant_id: Text
    model: Text
    messages: Annotated[list[UserMessage], Meta(min_length=1)]
    conversation_id: str = ""
    stream: bool = True
    attachments: list[Attachment] = []
    metadata: dict[str, Any] = {}


class AssistantListRequest(Asked, frozen=True):
    """Which assistants to list; all where no id is given."""

    assistant_id_list: list[str]


class ConversationsRequest(Asked, frozen=True):
    """A page of the conversations with an assistant."""

    assistant_id: Text
    page: Annotated[int, Meta(ge=1)] = 1
    page_size: Annotated[int, Meta(ge=1, le=100)] = 5


class Assistants:
    """The assistants, and the conversations with them."""

    def __init__(self) -> None:
        self._conversations: dict[str, dict[str, Any]] = {}

    def ask(self, asked: AssistantRequest, turn: Turn) -> Result:
        """What the assistant says: in `delta`, also where it is no stream."""
        if asked.assistant_id not in _ASSISTANTS:
            return illegal("assistant_id")
        if asked.conversation_id and asked.conversation_id not in self._conversations:
            return illegal("conversation_id")
        text = asked.messages[-1].text
        if turn.is_unsafe(text):
            return unsafe()
        said = _said(_ASSISTANTS[asked.assistant_id], text)
        usage = _usage(text, said)
        conversation = asked.conversation_id or f"conversation_{turn.id}"
        self._note(conversation, asked.assistant_id, usage, turn)
        head: dict[str, Any] = {
            "id": turn.id,
            "conversation_id": conversation,
            "assistant_id": asked.assistant_id,
            "created": turn.head["created"],
            "model": asked.model,
        }
        last = {"metadata": asked.metadata, "usage": usage}
        if not asked.stream:
            choices = [{**_choice(said), "finish_reason": "stop"}]
            request_id = {"request_id": turn.head["request_id"]}
            return {**head, **request_id, "status": "completed", "choices": choices, **last}
        pieces = [{**head, "status": "in_progress", "choices": [_choice(piece)]} for piece in words(said)]
        end = {**head, "status": "completed", "choices": [{**_choice(""), "finish_reason": "stop"}], **last}
        return Frames([*pieces, end, DONE])

    def _note(self, conversation: str, assistant: str, usage: Mapping[str, int], turn: Turn) -> None:
        """Keep the conversation, with what it has taken so far."""
        known = self._conversations.setdefault(
            conversation,
            {"id": conversation, "assistant_id": assistant, "create_time": turn.local_time, "usage": {}},
        )
        known["update_time"] = turn.local_time
        known["usage"] = {name: known["usage"].get(name, 0) + tokens for name, tokens in usage.items()}

    def conversations(self, asked: ConversationsRequest, turn: Turn) -> Result:
        """A page of conversations, the newest first."""
        mine = [each for each in reversed(self._conversations.values()) if each["assistant_id"] == asked.assistant_id]
        start = (asked.page - 1) * asked.page_size
        end = start + asked.page_size
        data = {"assistant_id": asked.assistant_id, "conversation_list": mine[start:end], "has_more": end < len(mine)}
        return _enveloped(data)


def assistants(asked: AssistantListRequest, turn: Turn) -> Result:
    """What is known of assistants."""
    wanted = asked.assistant_id_list or _ASSISTANTS
    return _enveloped(
        [
            {
                "assistant_id": identity,
                "name": name,
                "avatar": f"{turn.request.origin}/avatars/{identity}.png",
                "description": f"{name}，本地模拟",
                "tools": ["web_browser", "code_interpreter"],
                "tags": [{"key": "official", "label": "官方"}],
                "status": "publish",
                "starter_prompts": [{"prompt": "你好"}],
                "created_at": "2024-01-02 10:00:00",
                "updated_at": "2026-11-20 10:00:00",
            }
            for identity, name in _ASSISTANTS.items()
            if identity in wanted
        ]
    )


def _enveloped(data: Any) -> Result:
    return {"success": True, "code": 200, "msg": "操作成功", "data": data}


def _choice(text: str) -> dict[str, Any]:
    return {"index": 0, "delta": {"role": "assistant", "type": "content", "content": text}}


def _said(name: str, text: str) -> str:
    return f"我是{name}。你说的是：“{text}”" if is_chinese(text) else f"I am {name}. You said: “{text}”"


def _usage(text: str, said: str) -> Mapping[str, int]:
    prompt, completion = len(words(text)), len(words(said))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of assistants."""
    kept, rows = Assistants(), Rows(stage)
    return (
        rows.row("POST", "/assistant", AssistantRequest, kept.ask, models=_MODELS),
        rows.row("POST", "/assistant/list", AssistantListRequest, assistants),
        rows.row("POST", "/assistant/conversation/list", ConversationsRequest, kept.conversations),
    )
