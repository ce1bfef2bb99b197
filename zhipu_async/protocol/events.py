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
from .accumulate import ToolCallAccumulator


class ChatEvents:
    """Feed it chunks, get events. A call is done when its choice has a finish reason, or the stream ends."""

    def __init__(self) -> None:
        self._tools: dict[int, ToolCallAccumulator] = {}
        self._started: dict[int, int] = {}

    def feed(self, chunk: ChatCompletionChunk) -> list[ChatEvent]:
        """What ``chunk`` says, in order."""
        events: list[ChatEvent] = []
        for choice in chunk.choices:
            delta, index = choice.delta, choice.index
            if reasoning := delta.reasoning_content or delta.reasoning:
                events.append(ReasoningDelta(text=reasoning, choice=index))
            if delta.content:
                events.append(ContentDelta(text=delta.content, choice=index))
            for fragment in delta.tool_calls or ():
                tools = self._tools.setdefault(index, ToolCallAccumulator())
                position = tools.add(fragment)
                if position >= self._started.get(index, 0):
                    self._started[index] = position + 1
                    name = fragment.function.name or ""
                    events.append(ToolCallStarted(position=position, id=fragment.id, name=name, choice=index))
                if fragment.function.arguments:
                    events.append(ToolCallDelta(position=position, arguments=fragment.function.arguments, choice=index))
            if choice.finish_reason is not None:
                events += self._done(index)
        return events

    def finish(self, result: ChatCompletion) -> list[ChatEvent]:
        """The stream ended."""
        events: list[ChatEvent] = [event for index in list(self._tools) for event in self._done(index)]
        return [*events, Finished(result=result)]

    def _done(self, choice: int) -> list[ToolCallDone]:
        tools = self._tools.pop(choice, None)
        calls = tools.tool_calls if tools else []
        return [ToolCallDone(position=position, call=call, choice=choice) for position, call in enumerate(calls)]
