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
from .accumulate import ToolCallAccumulator


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
    """The calls of one choice, and how many of them were reported as started and as done."""

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._tools = ToolCallAccumulator()
        self._started = 0
        self._done = 0

    def grown(self, fragments: list[ToolCallFragment]) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        for fragment in fragments:
            position, function = self._tools.add(fragment), fragment.function
            if position == self._started:
                self._started += 1
                name = function.name or ""
                events.append(ToolCallStarted(position=position, id=fragment.id, name=name, choice=self._choice))
            if function.arguments:
                events.append(ToolCallDelta(position=position, arguments=function.arguments, choice=self._choice))
        return events

    def done(self) -> list[ToolCallDone]:
        if self._done == self._started:
            return []
        first, self._done = self._done, self._started
        calls = enumerate(self._tools.tool_calls[first:], first)
        return [ToolCallDone(position=position, call=call, choice=self._choice) for position, call in calls]
