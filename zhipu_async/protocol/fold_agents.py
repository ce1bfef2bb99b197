"""Folds of agents' streams: of ready-made agents, and of those that answer from knowledge (data.md sections 10, 11)."""

from __future__ import annotations

from typing import Any

import msgspec

from ..types.agents import AgentAnswer, AgentChoice, AgentChunk, AgentResponse
from ..types.knowledge_agent import AgentEventData, AgentStreamEvent, KnowledgeAnswer, KnowledgeToolCall
from . import tolerant
from .accumulate import Text as Text
from .copying import copied

# ---------------------------------------------------------------- ready-made agents


class _GrowingPart:
    """A part of a message: text that grows beside members that stay, or something that came whole."""

    __slots__ = ("rest", "text")

    def __init__(self, rest: Any, text: Text | None) -> None:
        self.rest = rest
        """The other members of a part with text; None: the text stood for itself."""
        self.text = text

    def whole(self) -> Any:
        if self.text is None:
            return copied(self.rest)
        text = self.text.whole or ""
        return text if self.rest is None else {**copied(self.rest), "text": text}


class _GrowingAnswer:
    __slots__ = ("listed", "parts", "role")

    def __init__(self, role: str | None) -> None:
        self.role = role
        self.listed = False
        self.parts: list[_GrowingPart] = []

    def add(self, content: Any) -> None:
        if tolerant.is_list(content):
            self.listed = True
            for part in content:
                self._add_part(part)
        elif content is not None:
            self._add_part(content)

    def _add_part(self, part: Any) -> None:
        rest, piece = part, None
        if isinstance(part, str):
            rest, piece = None, part
        elif tolerant.is_object(part) and isinstance(part.get("text"), str):
            rest, piece = {name: value for name, value in part.items() if name != "text"}, part["text"]
        if piece is None:
            self.parts.append(_GrowingPart(copied(rest), None))
            return
        latest = self.parts[-1] if self.parts else None
        text = latest.text if latest and latest.rest == rest else None
        if text is None:
            text = Text()
            self.parts.append(_GrowingPart(copied(rest), text))
        text.append(piece)

    def whole(self) -> AgentAnswer:
        parts = [part.whole() for part in self.parts]
        content = parts if self.listed or len(parts) > 1 else parts[0] if parts else None
        return AgentAnswer(role=self.role, content=content)


class _GrowingChoice:
    __slots__ = ("answers", "finish_reason", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.answers: list[_GrowingAnswer] = []
        self.finish_reason: str | None = None

    def add(self, choice: AgentChoice) -> None:
        for answer in choice.answers:
            latest = self.answers[-1] if self.answers else None
            if latest is None or (answer.role and latest.role and answer.role != latest.role):
                latest = _GrowingAnswer(answer.role)
                self.answers.append(latest)
            latest.role = latest.role or answer.role
            latest.add(answer.content)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason

    def whole(self) -> AgentChoice:
        return AgentChoice(
            index=self.index,
            finish_reason=self.finish_reason,
            messages=[answer.whole() for answer in self.answers] or None,
        )


class AgentAccumulator:
    """Folds the chunks of an agent into the :class:`AgentResponse` that the plain call would have given."""

    def __init__(self) -> None:
        self._choices: dict[int, _GrowingChoice] = {}
        self._whole = AgentResponse()

    def add(self, chunk: AgentChunk) -> None:
        """Take the next chunk. Pieces by one role make one message; text in parts of one kind makes one part."""
        for choice in chunk.choices:
            growing = self._choices.get(choice.index)
            if growing is None:
                growing = self._choices[choice.index] = _GrowingChoice(choice.index)
            growing.add(choice)
        whole = self._whole
        fill(whole, chunk, "id", "request_id", "agent_id", "conversation_id", "async_id", "created")
        whole.status = chunk.status or whole.status
        if chunk.usage is not None:
            whole.usage = copied(chunk.usage)
        if chunk.error is not None:
            whole.error = copied(chunk.error)

    @property
    def finished(self) -> bool:
        """Whether the work is done or failed, goes on elsewhere, or every choice has a finish reason."""
        whole = self._whole
        if not self._choices:
            return whole.status in ("success", "failed") or bool(whole.async_id)
        return whole.status in ("success", "failed") or all(choice.finish_reason for choice in self._choices.values())

    def result(self, *, complete: bool) -> AgentResponse:
        """The answer as it stands, a new struct each time."""
        result = copied(self._whole)
        result.choices = [self._choices[index].whole() for index in sorted(self._choices)]
        vars(result)["complete"] = complete
        return result


def agent_says_something(chunk: AgentChunk) -> bool:
    """Whether a chunk of an agent carries content."""
    return any(answer.content for choice in chunk.choices for answer in choice.answers)


def agent_is_final(chunk: AgentChunk) -> bool:
    """Whether a chunk of an agent says that nothing more comes: a finish reason, a last status, a task's id."""
    if any(choice.finish_reason for choice in chunk.choices) or chunk.status in ("success", "failed"):
        return True
    return bool(chunk.async_id) and not chunk.choices


def agent_fault(chunk: AgentChunk) -> tuple[str | None, str] | None:
    """Why an agent failed that says so and nothing else; an error beside an answer is left in the answer."""
    if chunk.choices or chunk.status != "failed":
        return None
    return (chunk.error.code, chunk.error.message or "") if chunk.error else (None, "")


# ---------------------------------------------------------------- agents that answer from knowledge


class KnowledgeAccumulator:
    """Folds the events of a knowledge agent into a :class:`KnowledgeAnswer`."""

    def __init__(self) -> None:
        self._texts = {"answer": Text(), "reasoning": Text(), "thought": Text()}
        self._calls: list[KnowledgeToolCall] = []
        self._whole = KnowledgeAnswer()
        self.finished = False
        """Whether the event ``done`` has come."""

    def add(self, chunk: AgentStreamEvent) -> None:
        """Take the next event. A result joins the call of its id, or the newest open call of its tool."""
        whole = self._whole
        whole.session_id = chunk.session_id or whole.session_id
        whole.message_id = chunk.message_id or whole.message_id
        if chunk.usage is not None:
            whole.usage = copied(chunk.usage)
        if chunk.type == "done":
            self.finished = True
        elif isinstance(chunk.data, AgentEventData):
            if chunk.type in ("tool_call", "tool_result"):
                self._add_step(chunk.type, chunk.data)
        elif chunk.data and chunk.type in self._texts:
            self._texts[chunk.type].append(chunk.data)

    def _add_step(self, kind: str, data: AgentEventData) -> None:
        call = self._call_of(data) if kind == "tool_result" else None
        if call is None:
            call = KnowledgeToolCall(call_id=data.call_id, tool_name=data.tool_name)
            self._calls.append(call)
        if data.arguments is not None:
            call.arguments = copied(data.arguments)
        if kind == "tool_result":
            call.result, call.status, call.duration_ms = copied(data.result), data.status, data.duration_ms

    def _call_of(self, data: AgentEventData) -> KnowledgeToolCall | None:
        for call in reversed(self._calls):
            if data.call_id and call.call_id:
                if data.call_id == call.call_id:
                    return call
            elif call.status is None and call.result is None and data.tool_name in (None, call.tool_name):
                return call
        return None

    def result(self, *, complete: bool) -> KnowledgeAnswer:
        """The answer as it stands, a new struct each time."""
        result = copied(self._whole)
        result.text = self._texts["answer"].whole or ""
        result.reasoning = self._texts["reasoning"].whole or ""
        result.thoughts = self._texts["thought"].whole or ""
        result.tool_calls = copied(self._calls)
        vars(result)["complete"] = complete
        return result


def event_says_something(chunk: AgentStreamEvent) -> bool:
    """Whether an event carries text, a tool's call or its result."""
    return bool(chunk.data) and chunk.type in ("reasoning", "thought", "tool_call", "tool_result", "answer")


def event_is_final(chunk: AgentStreamEvent) -> bool:
    """Whether nothing more comes."""
    return chunk.type == "done"


def event_fault(chunk: AgentStreamEvent) -> tuple[str | None, str] | None:
    """Why the agent failed: in an event ``error``, or in the envelope of the other knowledge endpoints."""
    code = None if chunk.code is None else str(chunk.code)
    if chunk.type == "error":
        data = chunk.data
        text = data.message if isinstance(data, AgentEventData) else data
        return code, text or chunk.message or ""
    return None if chunk.type or code in (None, "200", "0") else (code, chunk.message or "")


def fill(whole: msgspec.Struct, chunk: msgspec.Struct, *names: str) -> None:
    """Set the fields of ``whole`` that are still None to what ``chunk`` says."""
    for name in names:
        if getattr(whole, name) is None:
            setattr(whole, name, getattr(chunk, name))
