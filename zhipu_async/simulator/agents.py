"""The platform's agents: at once, as a stream, or as work that goes on (contract page data.md, section 11)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from zhipu_async.simulator.chat_request import Text
from zhipu_async.simulator.media_bytes import mp4, png
from zhipu_async.simulator.operation import API_ROOTS, Asked, Result, Rows, Turn
from zhipu_async.simulator.replies import DONE, Frames
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.shapes import is_object, objects
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.text import words
from zhipu_async.simulator.validation import illegal

_SLIDES: Final = "slides_glm_agent"
_PAGE_SIZE: Final = (640, 360)
_PDF: Final = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
_UNSAFE: Final = {"code": "1301", "message": "The input may contain unsafe or sensitive content"}
_PHRASES: Final = {"hello": "你好", "thank you": "谢谢", "world": "世界", "good morning": "早上好", "goodbye": "再见"}
_TO_CHINESE: Final = {**_PHRASES}
_FROM_CHINESE: Final = {chinese: english for english, chinese in _PHRASES.items()}


class AgentMessage(Struct, frozen=True):
    """What is said to an agent."""

    role: Literal["system", "user", "assistant"]
    content: Any
    """A text, a part, or a list of parts."""

    @property
    def parts(self) -> Sequence[Mapping[str, Any]]:
        """The content as parts."""
        if isinstance(self.content, str):
            return [{"type": "text", "text": self.content}]
        return [self.content] if is_object(self.content) else objects(self.content)


class AgentRequest(Asked, frozen=True):
    """Something that an agent is to do."""

    agent_id: Text
    messages: Annotated[list[AgentMessage], Meta(min_length=1)]
    stream: bool = False
    custom_variables: dict[str, Any] = {}
    conversation_id: str = ""

    @property
    def text(self) -> str:
        """What the last message says."""
        return " ".join(str(part["text"]) for part in self.messages[-1].parts if "text" in part)


class AgentResultRequest(Asked, frozen=True):
    """Work of an agent that was begun."""

    agent_id: Text
    async_id: Text


class AgentConversationRequest(Asked, frozen=True):
    """Slides that were made, and what of them is wanted."""

    agent_id: Text
    conversation_id: Text
    custom_variables: dict[str, Any] = {}


Content: TypeAlias = Mapping[str, str]
Skill: TypeAlias = Callable[[AgentRequest, Turn], Sequence[Content]]
"""What an agent does: the parts of its answer."""


def _said(text: str) -> Content:
    return {"type": "text", "text": text}


def _translate(asked: AgentRequest, turn: Turn) -> Sequence[Content]:
    """Says the words that it knows in the other language, behind the name of that language."""
    target = str(asked.custom_variables.get("target_lang", "zh-CN"))
    known = _TO_CHINESE if target.startswith("zh") else _FROM_CHINESE if target.startswith("en") else {}
    text = asked.text
    for phrase, translated in known.items():
        text = re.sub(re.escape(phrase), translated, text, flags=re.IGNORECASE)
    return [_said(f"[{target}] {text}")]


def _draw(asked: AgentRequest, turn: Turn) -> Sequence[Content]:
    url = turn.publish(png(asked.text, *_PAGE_SIZE), "image/png", "picture.png")
    return [{"type": "image_url", "image_url": url, "tag_cn": "图片", "tag_en": "picture"}]


def _film(asked: AgentRequest, turn: Turn) -> Sequence[Content]:
    return [{"type": "video_url", "video_url": turn.publish(mp4(4), "video/mp4", "film.mp4")}]


def _look(asked: AgentRequest, turn: Turn) -> Sequence[Content]:
    """Reads what is attached to a message, and says what it was."""
    attached = [str(part.get("type")) for message in asked.messages for part in message.parts]
    files = [kind for kind in attached if kind != "text"]
    return [_said(f"{asked.agent_id} looked at {len(files)} files ({', '.join(files)}) for: {asked.text}")]


def _correct(asked: AgentRequest, turn: Turn) -> Sequence[Content]:
    url = turn.publish(png(asked.text, *_PAGE_SIZE), "image/png", "corrected.png")
    return [{"type": "file_url", "file_url": url, "tag_cn": "批改结果", "tag_en": "correction"}]


def _outline(asked: AgentRequest, turn: Turn) -> Sequence[Content]:
    return [_said(f"Slides about: {asked.text}")]


_LATER: Final[Mapping[str, Skill]] = {
    "vidu_template_agent": _film,
    "cartoon_generator_agent": _film,
    "intelligent_education_correction_agent": _correct,
    "intelligent_education_correction_polling": _correct,
}
"""Agents whose work goes on after the answer."""
_AT_ONCE: Final[Mapping[str, Skill]] = {
    "general_translation": _translate,
    "social_translation_agent": _translate,
    "social_literature_translation_agent": _translate,
    "subtitle_translation_agent": _translate,
    "ai_drawing_agent": _draw,
    _SLIDES: _outline,
    "receipt_recognition_agent": _look,
    "clothes_recognition_agent": _look,
    "contract_parser_agent": _look,
    "service_check_agent": _look,
    "job_matching_agent": _look,
    "bidwin_parser_agent": _look,
    "intelligent_education_solve_agent": _look,
}


@dataclass(slots=True)
class _Work:
    agent_id: str
    ready_at: float
    asked: AgentRequest
    turn: Turn
    choices: Sequence[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])


class Agents:
    """The agents, with their conversations and the work that goes on. It is done after `Scenario.task_seconds`."""

    def __init__(self) -> None:
        self._work: dict[str, _Work] = {}
        self._conversations: dict[str, str] = {}

    def ask(self, asked: AgentRequest, turn: Turn) -> Result:
        """What the agent says; an agent that fails says so under HTTP 200."""
        identity = turn.id
        conversation = asked.conversation_id or f"conversation_{identity}"
        head: dict[str, Any] = {"id": identity, "agent_id": asked.agent_id, "conversation_id": conversation}
        skill = _AT_ONCE.get(asked.agent_id)
        if failure := self._failure(asked, turn):
            failed: dict[str, Any] = {**head, "status": "failed", "choices": [], "error": failure}
            return Frames([failed, DONE]) if asked.stream else failed
        if skill is None:
            return self._begin(asked, turn, head)
        contents = skill(asked, turn)
        if asked.agent_id == _SLIDES:
            self._conversations[conversation] = asked.text
        if asked.stream:
            return Frames([*_chunks(head, contents, asked), DONE])
        messages = [{"role": "assistant", "content": contents[0] if len(contents) == 1 else contents}]
        choice = {"index": 0, "finish_reason": "stop", "messages": messages}
        return {
            **head,
            "request_id": turn.head["request_id"],
            "created": turn.head["created"],
            "status": "success",
            "choices": [choice],
            "usage": _usage(asked, contents),
        }

    def _failure(self, asked: AgentRequest, turn: Turn) -> Mapping[str, str] | None:
        if turn.is_unsafe(asked.text):
            return _UNSAFE
        if asked.agent_id in _AT_ONCE or asked.agent_id in _LATER:
            return None
        return {"code": "1211", "message": f"There is no agent {asked.agent_id}"}

    def _begin(self, asked: AgentRequest, turn: Turn, head: Mapping[str, Any]) -> Result:
        seconds = turn.stage.scenario.task_seconds
        seconds = seconds(turn.request) if callable(seconds) else seconds
        identity = f"async_{turn.id}"
        self._work[identity] = _Work(asked.agent_id, asyncio.get_running_loop().time() + seconds, asked, turn)
        begun: dict[str, Any] = {**head, "async_id": identity, "status": "pending", "choices": []}
        return Frames([begun, DONE]) if asked.stream else begun

    def result(self, asked: AgentResultRequest, turn: Turn) -> Result:
        """How work stands; done, it has files."""
        work = self._work.get(asked.async_id)
        if work is None or work.agent_id != asked.agent_id:
            return illegal("async_id")
        head = {"agent_id": asked.agent_id, "async_id": asked.async_id}
        if asyncio.get_running_loop().time() < work.ready_at:
            return {**head, "status": "pending"}
        failure = turn.stage.scenario.task_failure
        if reason := failure(work.turn.request) if callable(failure) else failure:
            return {**head, "status": "failed", **reason}
        if not work.choices:
            contents = _LATER[work.agent_id](work.asked, work.turn)
            message = {"role": "assistant", "content": contents}
            work.choices = [{"index": 0, "finish_reason": "stop", "messages": [message]}]
        usage = _usage(work.asked, ())
        return {**head, "status": "success", "choices": work.choices, "usage": usage}

    def conversation(self, asked: AgentConversationRequest, turn: Turn) -> Result:
        """The slides of a conversation, as pictures and, where wanted, as a PDF."""
        head = {"conversation_id": asked.conversation_id, "agent_id": asked.agent_id}
        topic = self._conversations.get(asked.conversation_id)
        if topic is None or asked.agent_id != _SLIDES:
            message = f"There is no conversation {asked.conversation_id} with {asked.agent_id}"
            return {**head, "choices": [], "error": {"code": "1214", "message": message}}
        pages = len(objects(asked.custom_variables.get("pages"))) or 1
        contents = [
            {
                "type": "image_url",
                "tag_cn": f"第{page}页",
                "tag_en": f"page {page}",
                "image_url": turn.publish(png(f"{topic} {page}", *_PAGE_SIZE), "image/png", "page.png"),
            }
            for page in range(1, pages + 1)
        ]
        if asked.custom_variables.get("include_pdf"):
            url = turn.publish(_PDF, "application/pdf", "slides.pdf")
            contents.append({"type": "file_url", "tag_cn": "演示文稿", "tag_en": "slides", "file_url": url})
        return {**head, "choices": [{"message": [{"role": "assistant", "content": contents}]}]}


def _chunks(head: Mapping[str, Any], contents: Sequence[Content], asked: AgentRequest) -> Sequence[Mapping[str, Any]]:
    """The events of a stream: `message` with the slides, as specified; else `delta`, as the SDK has it."""
    pieces: list[Content] = []
    for content in contents:
        pieces += [_said(piece) for piece in words(content["text"])] if "text" in content else [content]
    several = asked.agent_id == _SLIDES
    chunks: list[dict[str, Any]] = []
    for piece in pieces:
        message = {"role": "assistant", "content": piece}
        chunks.append(
            {**head, "choices": [{"index": 0, "message": [message]} if several else {"index": 0, "delta": message}]}
        )
    last = {"index": 0, "finish_reason": "stop"}
    chunks.append({**head, "status": "success", "choices": [last], "usage": _usage(asked, contents)})
    return chunks


def _usage(asked: AgentRequest, contents: Sequence[Content]) -> Mapping[str, int]:
    prompt = sum(len(words(str(part.get("text", "")))) for message in asked.messages for part in message.parts)
    completion = sum(len(words(content.get("text", ""))) for content in contents)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "total_calls": 1,
    }


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of agents."""
    agents, rows = Agents(), Rows(stage, API_ROOTS)
    return (
        rows.row("POST", "/v1/agents", AgentRequest, agents.ask),
        rows.row("POST", "/v1/agents/async-result", AgentResultRequest, agents.result),
        rows.row("POST", "/v1/agents/conversation", AgentConversationRequest, agents.conversation),
    )
