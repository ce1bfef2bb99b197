"""Answers of an application, an older API: ``POST /llm-application/open/v3/application/invoke`` (openapi.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from .base import Request, Response, State
from .chat import Folded, Usage

# ---------------------------------------------------------------- requests


class ApplicationInput(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Something that is given to an application."""

    type: Literal["input", "upload_file", "upload_image", "upload_video", "upload_audio", "selection_list"]
    value: str
    """Text, an option, the id of a file, or the address of an image or video."""
    key: str | None = None
    """The variable's name; required by applications that are no conversation."""


class ApplicationMessage(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is said to an application."""

    content: Sequence[ApplicationInput | Mapping[str, Any]]
    role: Literal["user", "assistant"] | None = None


class ApplicationParameters(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Let an application answer.

    The service streams unless it is told not to, so ``stream`` is always sent: false where it is left out.
    """

    app_id: str
    messages: Sequence[ApplicationMessage | Mapping[str, Any]]
    conversation_id: str | None = None
    """Goes on with a conversation; without it a new one begins."""
    role: Literal["user", "assistant"] | None = None
    """Required by conversations: user for what the user says."""
    third_request_id: str | None = None
    """The caller's own id, to find the call again."""
    send_log_event: bool | None = None
    """Stream what the application does too; the service's default is no."""


class ApplicationRequest(ApplicationParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = ApplicationParameters.__doc__

    stream: Literal[False] | None = None

    def __post_init__(self) -> None:
        if self.stream is None:
            msgspec.structs.force_setattr(self, "stream", False)


class ApplicationStreamRequest(ApplicationParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = ApplicationParameters.__doc__

    stream: Literal[True]


class ApplicationEitherRequest(ApplicationParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = ApplicationParameters.__doc__

    stream: bool | None

    def __post_init__(self) -> None:
        if self.stream is None:
            msgspec.structs.force_setattr(self, "stream", False)


# ---------------------------------------------------------------- answers


class ApplicationContent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What an application said or made."""

    msg: str | None = None
    type: str | None = None
    """text, image, video, all_tools."""
    code: str | None = None
    """With ``all_tools``."""
    file: str | None = None
    """Address, with ``all_tools``."""
    url: str | None = None
    """Of an image or video."""
    cover_url: str | None = msgspec.field(name="coverUrl", default=None)
    """Of a video's cover."""


class ApplicationToolCalls(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A message of a tool."""

    type: str | None = None
    """function, retrieval, web_search."""
    tool_calls_data: dict[str, Any] | None = None


class ApplicationEvent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A step of an application."""

    node_id: str | None = None
    node_name: str | None = None
    type: str | None = None
    """node_processing, tool_processing, tool_finish, node_finish."""
    content: str | None = None
    time: int | None = None
    """Milliseconds."""
    tool_calls: ApplicationToolCalls | None = None


class ApplicationDelta(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What one chunk adds."""

    content: ApplicationContent | None = None
    event: ApplicationEvent | None = None
    tool_calls: ApplicationToolCalls | None = None


class ApplicationMessages(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A whole answer and the steps to it."""

    content: ApplicationContent | None = None
    event: list[ApplicationEvent] | None = None
    tool_calls: list[ApplicationToolCalls] | None = None
    """Only in answers folded from a stream, where tools' messages come by themselves."""


class ApplicationFailure(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Why an application failed."""

    code: int | str | None = None
    msg: str | None = None


class ApplicationChoice(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """An answer: whole in ``messages``, or a piece of it in ``delta``."""

    index: int = 0
    finish_reason: str | None = None
    """stop, or error."""
    error_msg: ApplicationFailure | None = None
    delta: ApplicationDelta | None = None
    messages: ApplicationMessages | None = None


class ApplicationUsage(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Tokens of one step."""

    model: str | None = None
    node_name: str | None = msgspec.field(name="nodeName", default=None)
    input_tokens: int | None = msgspec.field(name="inputTokenCount", default=None)
    output_tokens: int | None = msgspec.field(name="outputTokenCount", default=None)
    total_tokens: int | None = msgspec.field(name="totalTokenCount", default=None)


class ApplicationResponse(Response, Folded, kw_only=True, omit_defaults=True, dict=True):
    """What an application answered, as it came or folded from a stream."""

    request_id: str | None = None
    conversation_id: str | None = None
    """Send it back to go on with the conversation."""
    app_id: str | None = None
    choices: list[ApplicationChoice] = []
    usages: list[ApplicationUsage] | None = msgspec.field(name="usage", default=None)
    """Tokens step by step, ``usage`` on the wire; :attr:`usage` adds them up."""

    @property
    def usage(self) -> Usage | None:
        """Tokens of all steps together."""
        if not self.usages:
            return None
        return Usage(
            prompt_tokens=sum(step.input_tokens or 0 for step in self.usages),
            completion_tokens=sum(step.output_tokens or 0 for step in self.usages),
            total_tokens=sum(step.total_tokens or 0 for step in self.usages),
        )

    @property
    def text(self) -> str:
        """What the first choice says, "" when it says nothing."""
        messages = self.choices[0].messages if self.choices else None
        return (messages.content.msg if messages and messages.content else None) or ""

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None

    @property
    def state(self) -> State:
        """Failed with the finish reason ``error``, done with another one."""
        if any(choice.finish_reason == "error" for choice in self.choices):
            return "failed"
        return "done" if self.choices and all(choice.finish_reason for choice in self.choices) else "running"

    @property
    def failure(self) -> tuple[str | None, str]:
        """Code and message of an application that failed, as far as the service says."""
        for choice in self.choices:
            if choice.finish_reason == "error" and (error := choice.error_msg):
                return None if error.code is None else str(error.code), error.msg or ""
        return None, ""


class ApplicationChunk(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event of a stream."""

    request_id: str | None = None
    conversation_id: str | None = None
    app_id: str | None = None
    choices: list[ApplicationChoice] = []
    usages: list[ApplicationUsage] | None = msgspec.field(name="usage", default=None)
    """``usage`` on the wire."""
    code: int | str | None = None
    """Of an error that comes in the envelope of the other endpoints."""
    message: str | None = None
    """Of such an error."""
