"""What happens while a model calls tools, one kind of thing per event; text and calls as in ``types.events``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec

from .chat import ChatCompletion
from .events import ContentDelta, ReasoningDelta, ToolCallDelta, ToolCallDone, ToolCallStarted
from .tools import ToolCall


class CallDecoded(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a call fit its function, which is called next (or, with an approval hook, held)."""

    type: ClassVar[Literal["call.decoded"]] = "call.decoded"
    call: ToolCall
    arguments: Mapping[str, Any]
    """By name, in the annotated types."""


class CallReturned(msgspec.Struct, frozen=True, kw_only=True):
    """A call has its answer: ``content`` is what the model is told. Calls of a turn return in any order."""

    type: ClassVar[Literal["call.returned"]] = "call.returned"
    call: ToolCall
    content: str
    value: Any = None
    """What the function gave; None where it gave nothing, failed, or was not called."""
    error: Exception | None = None
    """Why it failed: what the function raised, TimeoutError when it took too long, TypeError when JSON cannot carry
    what it gave, InvalidArguments for a call that cannot be carried out, PermissionError for one that was not
    approved."""
    seconds: float = 0.0


class TurnFinished(msgspec.Struct, frozen=True, kw_only=True):
    """The model has answered once, with text or with calls that come next."""

    type: ClassVar[Literal["turn.finished"]] = "turn.finished"
    step: int
    """From 1."""
    completion: ChatCompletion


ToolEvent = (
    ContentDelta
    | ReasoningDelta
    | ToolCallStarted
    | ToolCallDelta
    | ToolCallDone
    | CallDecoded
    | CallReturned
    | TurnFinished
)
