"""Fold of the streams of applications (openapi.json)."""

from __future__ import annotations

from ..types.application_invoke import (
    ApplicationChoice,
    ApplicationChunk,
    ApplicationContent,
    ApplicationEvent,
    ApplicationFailure,
    ApplicationMessages,
    ApplicationResponse,
    ApplicationToolCalls,
)
from .accumulate import Text as Text
from .copying import copied
from .fold_agents import fill


class _GrowingRun:
    __slots__ = ("content", "error", "events", "finish_reason", "index", "text", "tools")

    def __init__(self, index: int) -> None:
        self.index = index
        self.text = Text()
        self.content: ApplicationContent | None = None
        self.events: list[ApplicationEvent] = []
        self.tools: list[ApplicationToolCalls] = []
        self.error: ApplicationFailure | None = None
        self.finish_reason: str | None = None

    def add(self, choice: ApplicationChoice) -> None:
        if (delta := choice.delta) is not None:
            self._add_content(delta.content)
            if delta.event is not None:
                self.events.append(copied(delta.event))
            if delta.tool_calls is not None:
                self.tools.append(copied(delta.tool_calls))
        if (messages := choice.messages) is not None:
            self._add_content(messages.content)
            self.events += copied(messages.event or [])
        if choice.error_msg is not None:
            self.error = copied(choice.error_msg)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason

    def _add_content(self, content: ApplicationContent | None) -> None:
        """Text is joined; of the rest the last one given stays, and a kind that is not text."""
        if content is None:
            return
        if content.msg is not None:
            self.text.append(content.msg)
        known = self.content or ApplicationContent()
        self.content = ApplicationContent(
            type=content.type if content.type and (known.type in (None, "text")) else known.type,
            code=content.code or known.code,
            file=content.file or known.file,
            url=content.url or known.url,
            cover_url=content.cover_url or known.cover_url,
        )

    def whole(self) -> ApplicationChoice:
        content = copied(self.content)
        if content is not None:
            content.msg = self.text.whole
        return ApplicationChoice(
            index=self.index,
            finish_reason=self.finish_reason,
            error_msg=copied(self.error),
            messages=ApplicationMessages(
                content=content, event=copied(self.events) or None, tool_calls=copied(self.tools) or None
            ),
        )


class ApplicationAccumulator:
    """Folds the chunks of an application into the :class:`ApplicationResponse` that the plain call would have given."""

    def __init__(self) -> None:
        self._choices: dict[int, _GrowingRun] = {}
        self._whole = ApplicationResponse()

    def add(self, chunk: ApplicationChunk) -> None:
        """Take the next chunk."""
        for choice in chunk.choices:
            growing = self._choices.get(choice.index)
            if growing is None:
                growing = self._choices[choice.index] = _GrowingRun(choice.index)
            growing.add(choice)
        fill(self._whole, chunk, "request_id", "conversation_id", "app_id")
        if chunk.usages:
            self._whole.usages = copied(chunk.usages)

    @property
    def finished(self) -> bool:
        """Whether every choice that was begun has a finish reason, and one was begun."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    def result(self, *, complete: bool) -> ApplicationResponse:
        """The answer as it stands, a new struct each time."""
        result = copied(self._whole)
        result.choices = [self._choices[index].whole() for index in sorted(self._choices)]
        vars(result)["complete"] = complete
        return result


def application_says_something(chunk: ApplicationChunk) -> bool:
    """Whether a chunk of an application carries content, a step or a tool's message."""
    for choice in chunk.choices:
        for said in (choice.delta, choice.messages):
            if said is not None and (said.event or said.tool_calls):
                return True
            if said is not None and said.content and (said.content.msg or said.content.url or said.content.code):
                return True
    return False


def application_is_final(chunk: ApplicationChunk) -> bool:
    """Whether a chunk of an application carries a finish reason."""
    return any(choice.finish_reason for choice in chunk.choices)


def application_fault(chunk: ApplicationChunk) -> tuple[str | None, str] | None:
    """The error of the envelope that the other endpoints answer with."""
    code = None if chunk.code is None else str(chunk.code)
    return None if chunk.choices or code in (None, "200", "0") else (code, chunk.message or "")
