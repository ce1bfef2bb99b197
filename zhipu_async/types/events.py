"""What happens in a chat stream, one kind of thing per event; an alternative to reading chunks."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from .chat import ChatCompletion
from .tools import ToolCall


class ContentDelta(msgspec.Struct, frozen=True, kw_only=True):
    """The answer grew by ``text``."""

    type: ClassVar[str] = "content.delta"
    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, kw_only=True):
    """The reasoning grew by ``text``."""

    type: ClassVar[str] = "reasoning.delta"
    text: str
    choice: int = 0


class ToolCallStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A call began; ``position`` is its place in ``stream.result.tool_calls``."""

    type: ClassVar[str] = "tool_call.started"
    position: int
    id: str | None
    name: str
    choice: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the call at ``position`` grew by ``arguments``."""

    type: ClassVar[str] = "tool_call.delta"
    position: int
    arguments: str
    choice: int = 0


class ToolCallDone(msgspec.Struct, frozen=True, kw_only=True):
    """The call at ``position`` is whole. Its arguments are the model's text: parse them with care."""

    type: ClassVar[str] = "tool_call.done"
    position: int
    call: ToolCall
    choice: int = 0


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The stream ended; ``result`` is the folded answer."""

    type: ClassVar[str] = "finished"
    result: ChatCompletion

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.result.finish_reason


ChatEvent = ContentDelta | ReasoningDelta | ToolCallStarted | ToolCallDelta | ToolCallDone | Finished
