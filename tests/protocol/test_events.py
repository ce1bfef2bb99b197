"""Chunks to typed events: order and content."""

from __future__ import annotations

from typing import Any

import pytest

from zhipu_async.protocol.accumulate import ChatAccumulator
from zhipu_async.protocol.chunks import CHAT, ChunkReader
from zhipu_async.protocol.events import ChatEvents
from zhipu_async.protocol.tolerant import convert
from zhipu_async.types.chat import ChatCompletionChunk
from zhipu_async.types.events import (
    ChatEvent,
    ContentDelta,
    Finished,
    ReasoningDelta,
    ToolCallDelta,
    ToolCallDone,
    ToolCallStarted,
)
from zhipu_async.types.tools import FunctionCall, ToolCall

from .expected import SAMPLES, sample


def events_of(chunks: list[ChatCompletionChunk]) -> list[ChatEvent]:
    """The events of a stream of chunks."""
    events, folding = ChatEvents(), ChatAccumulator()
    told: list[ChatEvent] = []
    for chunk in chunks:
        folding.add(chunk)
        told += events.feed(chunk)
    return told + events.finish(folding.result(complete=True))


def told(*chunks: dict[str, Any]) -> list[ChatEvent]:
    """The events of chunks given as plain values, without the last, which is Finished."""
    *events, last = events_of([convert(chunk, ChatCompletionChunk, []) for chunk in chunks])
    assert isinstance(last, Finished)
    return events


def started(position: int, id: str | None, name: str, **more: Any) -> ToolCallStarted:
    return ToolCallStarted(position=position, id=id, name=name, **more)


def grew(position: int, arguments: str, **more: Any) -> ToolCallDelta:
    return ToolCallDelta(position=position, arguments=arguments, **more)


def done(position: int, id: str | None, name: str, arguments: str, index: int | None = 0, **more: Any) -> ToolCallDone:
    call = ToolCall(id=id, index=index, function=FunctionCall(name, arguments))
    return ToolCallDone(position=position, call=call, **more)


_S2 = ("call_6a61d9153a764ee7a01bdcef", "wiki_search")
_S3 = ("call_4f2c9a51b7de4c0d9f3e", "get_weather")
_S4 = ("call_-8123456789012345678", "get_time")
_WEATHER, _TIME = '{"city":"北京"}', '{"zone":"Asia/Shanghai"}'
_S7_DONE = [done(0, "call_a", "get_weather", _WEATHER), done(1, "call_b", "get_time", _TIME, index=1)]
EVENTS: dict[str, list[ChatEvent]] = {
    "S1": [
        ReasoningDelta(text="The"),
        ReasoningDelta(text=" user"),
        ReasoningDelta(text=".\n"),
        ContentDelta(text="2"),
        ContentDelta(text=" +"),
    ],
    "S2": [
        ReasoningDelta(text="I should search."),
        started(0, *_S2),
        grew(0, '{"q":"GLM"}'),
        done(0, *_S2, '{"q":"GLM"}'),
    ],
    "S3": [
        started(0, *_S3),
        grew(0, '{"'),
        grew(0, "city"),
        grew(0, '":"北京"}'),
        done(0, *_S3, '{"city":"北京"}'),
    ],
    "S4": [ReasoningDelta(text="\n"), started(0, *_S4), grew(0, "{}"), done(0, *_S4, "{}", index=-1)],
    "S5": [ContentDelta(text="\n")],
    "S6": [ContentDelta(text="Once upon")],
    "S7_one_delta": [
        started(0, "call_a", "get_weather"),
        grew(0, _WEATHER),
        started(1, "call_b", "get_time"),
        grew(1, _TIME),
        *_S7_DONE,
    ],
    "S7_interleaved": [
        started(0, "call_a", "get_weather"),
        grew(0, '{"'),
        started(1, "call_b", "get_time"),
        grew(0, 'city":"'),
        grew(1, '{"zone"'),
        grew(0, "北京"),
        grew(1, ':"Asia/'),
        grew(0, '"}'),
        grew(1, 'Shanghai"}'),
        *_S7_DONE,
    ],
    "S8": [],
}
EVENTS["S7_two_deltas"] = EVENTS["S7_one_delta"]


@pytest.mark.parametrize("name", SAMPLES)
def test_events_of_a_sample(name: str) -> None:
    """A sample's events are those written out, and the last one is Finished with the folded result."""
    reader = ChunkReader(CHAT)
    chunks = reader.feed(sample(name)) + reader.close()
    *events, last = events_of(chunks)
    assert events == EVENTS[name]
    assert last == Finished(result=reader.result())
    assert isinstance(last, Finished)
    assert last.finish_reason == SAMPLES[name].finish_reason


def says(index: int = 0, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def calls(id: str, index: int | None = 0, arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return says(tool_calls=[{"id": id, "index": index, "function": {"name": id, "arguments": arguments}}], **more)


def test_a_call_after_a_finish_reason() -> None:
    """A call that comes after a finish reason has a position of its own, is started, and is done once."""
    assert told(calls("a", 0, reason="tool_calls"), calls("b", 1, reason="tool_calls"), says(reason="tool_calls")) == [
        started(0, "a", "a"),
        grew(0, "{}"),
        done(0, "a", "a", "{}"),
        started(1, "b", "b"),
        grew(1, "{}"),
        done(1, "b", "b", "{}", index=1),
    ]


def test_calls_without_a_finish_reason() -> None:
    """Calls of a stream that ends without a finish reason are done at its end."""
    assert told(calls("a", 0), calls("b", 1))[-2:] == [done(0, "a", "a", "{}"), done(1, "b", "b", "{}", index=1)]


def test_choices_are_told_apart() -> None:
    """Events name their choice, and positions are counted per choice."""
    assert told(
        says(1, content="x"),
        says(1, tool_calls=[{"id": "a", "index": 0, "function": {"name": "a", "arguments": ""}}]),
        says(0, tool_calls=[{"id": "b", "index": 0, "function": {"name": "b", "arguments": ""}}]),
        says(0, reason="tool_calls"),
    ) == [
        ContentDelta(text="x", choice=1),
        started(0, "a", "a", choice=1),
        started(0, "b", "b"),
        done(0, "b", "b", ""),
        done(0, "a", "a", "", choice=1),
    ]


def test_one_delta_of_every_kind() -> None:
    """Reasoning is told before content, content before calls, and empty texts are not told at all."""
    chunk = says(reasoning_content="r", content="c", reason="stop")
    chunk["choices"][0]["delta"]["tool_calls"] = [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]
    kinds = [
        event.type for event in told(chunk, says(content="", reasoning_content="", tool_calls=[]), says(reasoning="s"))
    ]
    assert kinds == [
        "reasoning.delta",
        "content.delta",
        "tool_call.started",
        "tool_call.delta",
        "tool_call.done",
        "reasoning.delta",
    ]


def test_a_call_without_a_name() -> None:
    """A call that begins without a name is started with an empty one."""
    assert told(says(tool_calls=[{"index": 0, "id": "a"}]))[0] == started(0, "a", "")


def test_positions_are_those_of_the_result() -> None:
    """The position of a call in the events is its place in the result's tool_calls."""
    chunks = [convert(calls(id, index), ChatCompletionChunk, []) for id, index in (("a", 2), ("b", None), ("c", 0))]
    *_, last = events = events_of(chunks)
    assert isinstance(last, Finished)
    finished = [event for event in events if isinstance(event, ToolCallDone)]
    assert [(event.position, event.call) for event in finished] == list(enumerate(last.result.tool_calls))
