"""Chat chunks to typed events."""

from __future__ import annotations

from ..types.chat import ChatCompletion, ChatCompletionChunk
from ..types.events import (
    ChatEvent,
    ContentDelta,
    Finished,
    ReasoningDelta,
    ToolCallDelta,
    ToolCallDone,
    ToolCallStarted,
)
from ..types.tools import ToolCallDelta as ToolCallFragment
from .accumulate import Text, ToolCallAccumulator
from .partial import PartialJSON


class GrowingCall:
    """Implements :class:`~zhipu_async.types.events.PartialCall`."""

    __slots__ = ("_json", "_text", "_unread", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self._text = Text()
        self._unread: list[str] = []
        """The pieces that the parser has not seen."""
        self._json = PartialJSON()

    def grow(self, fragment: ToolCallFragment) -> None:
        """Take a fragment of this call; the first id and the first name count (streaming.md section 3)."""
        self.id = self.id or fragment.id or None
        self.name = self.name or fragment.function.name or ""
        if piece := fragment.function.arguments:
            self._text.append(piece)
            self._unread.append(piece)

    @property
    def arguments(self) -> str:
        """The text so far."""
        return self._text.whole or ""

    @property
    def partial(self) -> PartialJSON:
        """The arguments as far as they have come; ``grown`` is what strings grew by since the last reading."""
        if self._unread:
            self._json.feed("".join(self._unread))
            self._unread.clear()
        return self._json

    def __repr__(self) -> str:
        return f"<call {self.id} of {self.name}: {self.arguments!r}>"


class ChatEvents:
    """Feed it chunks, get events. A call is done when its choice has a finish reason, or the stream ends."""

    def __init__(self) -> None:
        self._choices: dict[int, _ToolEvents] = {}

    def feed(self, chunk: ChatCompletionChunk) -> list[ChatEvent]:
        """What ``chunk`` says, in order."""
        events: list[ChatEvent] = []
        for choice in chunk.choices:
            delta, index = choice.delta, choice.index
            if reasoning := delta.reasoning_content or delta.reasoning:
                events.append(ReasoningDelta(text=reasoning, choice=index))
            if delta.content:
                events.append(ContentDelta(text=delta.content, choice=index))
            if delta.tool_calls:
                events += self._choices.setdefault(index, _ToolEvents(index)).grown(delta.tool_calls)
            if choice.finish_reason and index in self._choices:
                events += self._choices[index].done()
        return events

    def finish(self, result: ChatCompletion) -> list[ChatEvent]:
        """The stream ended."""
        return [*(event for tools in self._choices.values() for event in tools.done()), Finished(result=result)]


class _ToolEvents:
    """The calls of one choice, and how many of them were reported as done."""

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._tools = ToolCallAccumulator()
        self._calls: list[GrowingCall] = []
        self._done = 0

    def grown(self, fragments: list[ToolCallFragment]) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        for fragment in fragments:
            position, function = self._tools.add(fragment), fragment.function
            told: list[ToolCallStarted | ToolCallDelta] = []
            if position == len(self._calls):
                self._calls.append(GrowingCall())
                name = function.name or ""
                told.append(ToolCallStarted(position=position, id=fragment.id, name=name, choice=self._choice))
            if function.arguments:
                told.append(ToolCallDelta(position=position, arguments=function.arguments, choice=self._choice))
            call = self._calls[position]
            call.grow(fragment)
            for event in told:
                event._belongs_to(call)  # pyright: ignore[reportPrivateUsage]
            events += told
        return events

    def done(self) -> list[ToolCallDone]:
        if self._done == len(self._calls):
            return []
        first, self._done = self._done, len(self._calls)
        calls = enumerate(self._tools.tool_calls[first:], first)
        return [ToolCallDone(position=position, call=call, choice=self._choice) for position, call in calls]
