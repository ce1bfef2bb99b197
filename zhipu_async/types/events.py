"""What happens in a chat stream, one kind of thing per event; an alternative to reading chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from .chat import ChatCompletion
from .tools import ToolCall


class ContentDelta(msgspec.Struct, frozen=True, kw_only=True):
    """The answer grew by ``text``."""

    type: ClassVar[Literal["content.delta"]] = "content.delta"
    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, kw_only=True):
    """The reasoning grew by ``text``."""

    type: ClassVar[Literal["reasoning.delta"]] = "reasoning.delta"
    text: str
    choice: int = 0


class PartialValue(Protocol):
    """A JSON text that is still growing; :class:`~zhipu_async.protocol.partial.PartialJSON` says what it takes."""

    @property
    def value(self) -> Any:
        """What is certain so far, None before anything is. It grows in place: do not change it."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the value is whole."""
        ...

    @property
    def failed(self) -> bool:
        """Whether the text can no longer become JSON; the value stays as it was."""
        ...

    @property
    def grown(self) -> Sequence[tuple[tuple[str | int, ...], str, bool]]:
        """The strings that grew since the last reading: keys and indexes that lead there, new text, whether whole."""
        ...


class PartialCall(Protocol):
    """A call that the model is still writing: one object for all events of the call, always as it stands now."""

    @property
    def id(self) -> str | None:
        """None as long as none has come."""
        ...

    @property
    def name(self) -> str:
        """ "" as long as none has come."""
        ...

    @property
    def arguments(self) -> str:
        """The text so far. Each reading costs its length."""
        ...

    @property
    def partial(self) -> PartialValue:
        """The arguments as the object that they hold so far: ``event.call.partial.value``.

        Reading costs what has come since the last reading, all readings together the length of the text. Nothing is
        parsed for who does not read.
        """
        ...


class _OfCall(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What happens to a call. The call is an attribute, not a field: it is not compared, copied or pickled."""

    @property
    def call(self) -> PartialCall:
        """The call as it stands now. RuntimeError for an event that did not come from a stream."""
        call: PartialCall | None = vars(self).get("call")
        if call is None:
            raise RuntimeError("this event was made by hand, or copied: only those of a stream know their call")
        return call

    def _belongs_to(self, call: PartialCall) -> None:
        vars(self)["call"] = call


class ToolCallStarted(_OfCall, frozen=True, kw_only=True, dict=True):
    """A call began; ``position`` is its place in ``stream.result.tool_calls``."""

    type: ClassVar[Literal["tool_call.started"]] = "tool_call.started"
    position: int
    id: str | None
    name: str
    choice: int = 0


class ToolCallDelta(_OfCall, frozen=True, kw_only=True, dict=True):
    """The arguments of the call at ``position`` grew by ``arguments``."""

    type: ClassVar[Literal["tool_call.delta"]] = "tool_call.delta"
    position: int
    arguments: str
    choice: int = 0


class ToolCallDone(msgspec.Struct, frozen=True, kw_only=True):
    """The call at ``position`` is whole. Its arguments are the model's text: parse them with care."""

    type: ClassVar[Literal["tool_call.done"]] = "tool_call.done"
    position: int
    call: ToolCall
    choice: int = 0


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The stream ended; ``result`` is the folded answer."""

    type: ClassVar[Literal["finished"]] = "finished"
    result: ChatCompletion

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.result.finish_reason


ChatEvent = ContentDelta | ReasoningDelta | ToolCallStarted | ToolCallDelta | ToolCallDone | Finished
