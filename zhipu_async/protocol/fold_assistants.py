"""Fold of the streams of assistants (data.md section 12)."""

from __future__ import annotations

from typing import Any

from ..types.assistant import AssistantChoice, AssistantChunk, AssistantCompletion, AssistantDelta
from . import tolerant
from .accumulate import Text as Text
from .copying import copied
from .fold_agents import fill

_GROWING = ("input", "arguments")
"""Members of a tool's object that come in pieces of text."""


class _GrowingTool:
    """What one tool did: its text joined, its lists extended, of the rest what came last."""

    __slots__ = ("details", "id", "lists", "members", "texts", "type")

    def __init__(self, identity: Any, kind: str | None) -> None:
        self.id = identity
        self.type = kind
        self.members: dict[str, Any] = {}
        self.details: dict[str, Any] = {}
        self.texts: dict[str, Text] = {}
        self.lists: dict[str, list[Any]] = {}

    @property
    def answered(self) -> bool:
        return bool(self.lists.get("outputs"))

    def add(self, fragment: dict[str, Any]) -> None:
        for name, value in fragment.items():
            if name == self.type and tolerant.is_object(value):
                for key, detail in value.items():
                    self._add_detail(key, detail)
            elif value is not None:
                self.members[name] = copied(value)

    def _add_detail(self, key: str, detail: Any) -> None:
        if tolerant.is_list(detail):
            self.lists.setdefault(key, []).extend(copied(detail))
        elif key in _GROWING and isinstance(detail, str):
            self.texts.setdefault(key, Text()).append(detail)
        elif detail is not None:
            self.details[key] = copied(detail)

    def whole(self) -> dict[str, Any]:
        whole = copied(self.members)
        if self.type is not None:
            texts = {key: text.whole for key, text in self.texts.items()}
            whole[self.type] = {**copied(self.details), **texts, **copied(self.lists)}
        return whole


class _GrowingReply:
    __slots__ = ("content", "finish_reason", "index", "metadata", "role", "tools")

    def __init__(self, index: int) -> None:
        self.index = index
        self.role: str | None = None
        self.content = Text()
        self.tools: list[_GrowingTool] = []
        self.finish_reason: str | None = None
        self.metadata: dict[str, Any] | None = None

    def add(self, choice: AssistantChoice) -> None:
        delta = choice.delta
        if delta is not None:
            for fragment in delta.tool_calls or ():
                self._tool_of(fragment).add(fragment)
            if delta.content is not None:
                self.content.append(delta.content)
            self.role = delta.role if delta.content or not self.role else self.role
        elif choice.message is not None and choice.message.content is not None:
            self.content.append(choice.message.content)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
        if choice.metadata:
            self.metadata = copied(choice.metadata)

    def _tool_of(self, fragment: dict[str, Any]) -> _GrowingTool:
        """The latest call, unless the fragment is of another tool or id, or asks after an answer has come."""
        kind, identity = fragment.get("type"), fragment.get("id")
        kind = kind if isinstance(kind, str) else None
        latest = self.tools[-1] if self.tools else None
        asks = tolerant.is_object(details := fragment.get(kind or "")) and any(details.get(key) for key in _GROWING)
        if (
            latest is None
            or (kind is not None and kind != latest.type)
            or (identity and latest.id and identity != latest.id)
            or (asks and latest.answered)
        ):
            latest = _GrowingTool(identity, kind)
            self.tools.append(latest)
        latest.id = latest.id or identity
        return latest

    def whole(self) -> AssistantChoice:
        return AssistantChoice(
            index=self.index,
            finish_reason=self.finish_reason,
            metadata=copied(self.metadata),
            delta=AssistantDelta(
                role=self.role,
                type="content" if self.content else "tool_calls" if self.tools else None,
                content=self.content.whole,
                tool_calls=[tool.whole() for tool in self.tools] or None,
            ),
        )


class AssistantAccumulator:
    """Folds the chunks of an assistant into the :class:`AssistantCompletion` that the plain call would have given."""

    def __init__(self) -> None:
        self._choices: dict[int, _GrowingReply] = {}
        self._whole = AssistantCompletion()

    def add(self, chunk: AssistantChunk) -> None:
        """Take the next chunk."""
        for choice in chunk.choices:
            growing = self._choices.get(choice.index)
            if growing is None:
                growing = self._choices[choice.index] = _GrowingReply(choice.index)
            growing.add(choice)
        whole = self._whole
        fill(whole, chunk, "id", "request_id", "conversation_id", "assistant_id", "created", "model")
        whole.status = chunk.status or whole.status
        if chunk.last_error is not None:
            whole.last_error = copied(chunk.last_error)
        if chunk.metadata:
            whole.metadata = copied(chunk.metadata)
        if chunk.usage is not None:
            whole.usage = copied(chunk.usage)

    @property
    def finished(self) -> bool:
        """Whether the answer is completed or failed, or every choice has a finish reason."""
        if self._whole.status in ("completed", "failed"):
            return True
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    def result(self, *, complete: bool) -> AssistantCompletion:
        """The answer as it stands, a new struct each time."""
        result = copied(self._whole)
        result.choices = [self._choices[index].whole() for index in sorted(self._choices)]
        vars(result)["complete"] = complete
        return result


def assistant_says_something(chunk: AssistantChunk) -> bool:
    """Whether a chunk of an assistant carries text or what a tool did."""
    return any(choice.text or (choice.delta and choice.delta.tool_calls) for choice in chunk.choices)


def assistant_is_final(chunk: AssistantChunk) -> bool:
    """Whether a chunk of an assistant carries a finish reason or a last status."""
    return chunk.status in ("completed", "failed") or any(choice.finish_reason for choice in chunk.choices)


def assistant_fault(chunk: AssistantChunk) -> tuple[str | None, str] | None:
    """Why an assistant failed that says so and nothing else; an error beside an answer is left in the answer."""
    if chunk.choices or chunk.status != "failed":
        return None
    return (chunk.last_error.code, chunk.last_error.message or "") if chunk.last_error else (None, "")
