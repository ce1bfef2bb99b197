"""Calls while they stream: each event gives its call as it stands, at a cost that is linear over the whole call."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.protocol.events import ChatEvents
from zhipu_async.types.chat import ChatCompletionChunk, ChunkChoice, Delta
from zhipu_async.types.events import ToolCallDelta, ToolCallStarted
from zhipu_async.types.tools import FunctionCallDelta
from zhipu_async.types.tools import ToolCallDelta as Fragment

from .feeding import cut, examples

CallEvent = ToolCallStarted | ToolCallDelta


def chunk(*fragments: Fragment) -> ChatCompletionChunk:
    """One event of a stream with these fragments."""
    return ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(tool_calls=list(fragments)))])


def fragment(arguments: str = "", index: int = 0, **more: Any) -> Fragment:
    """A piece of the call at an index; ``id`` and ``name`` where it has them."""
    function = FunctionCallDelta(more.pop("name", None), arguments)
    return Fragment(index=index, type="function", function=function, **more)


def called(events: ChatEvents, *fragments: Fragment) -> list[CallEvent]:
    """The events that one chunk makes."""
    return [event for event in events.feed(chunk(*fragments)) if isinstance(event, (ToolCallStarted, ToolCallDelta))]


def growing(pieces: list[str]) -> Iterator[CallEvent]:
    """The events of a call whose arguments come in pieces, one in a chunk."""
    events = ChatEvents()
    yield from called(events, fragment(id="c", name="write"))
    for piece in pieces:
        yield from called(events, fragment(piece))


def test_a_call_as_it_stands() -> None:
    """Id, name, text and object grow; each event of a call gives the same object."""
    events = list(growing(['{"te', 'xt": "a', 'b", "n": 1', "2}"]))
    first = events[0].call
    assert all(event.call is first for event in events)
    assert (first.id, first.name, first.arguments) == ("c", "write", '{"text": "ab", "n": 12}')
    assert (first.partial.value, first.partial.complete) == ({"text": "ab", "n": 12}, True)

    told: list[Any] = []
    for event in growing(['{"te', 'xt": "a', 'b", "n": 1', "2}"]):
        partial = event.call.partial
        told.append((event.call.arguments, copy.deepcopy(partial.value), partial.complete, partial.failed))
    assert told == [
        ("", None, False, False),
        ('{"te', {}, False, False),
        ('{"text": "a', {"text": "a"}, False, False),
        ('{"text": "ab", "n": 1', {"text": "ab"}, False, False),
        ('{"text": "ab", "n": 12}', {"text": "ab", "n": 12}, True, False),
    ]


def test_what_grew_since_the_last_look() -> None:
    """Who looks rarely is told of everything in between, once."""
    seen: list[Any] = []
    for number, event in enumerate(growing(['{"text": "a', "b", "c", "d", '"}'])):
        if number in (1, 4, 5):
            seen.append(event.call.partial.grown)
            assert event.call.partial.grown == seen[-1]
    assert seen == [[(("text",), "a", False)], [(("text",), "bcd", False)], [(("text",), "", True)]]


def test_an_id_and_a_name_that_come_late() -> None:
    """An event tells what was known when it was made, its call what is known now; the first id and name count."""
    events = ChatEvents()
    (started,) = called(events, fragment())
    assert isinstance(started, ToolCallStarted)
    assert (started.id, started.name, started.call.id, started.call.name) == (None, "", None, "")
    called(events, fragment(id="c"))
    called(events, fragment("{", id="d", name="f"))
    called(events, fragment("}", name="g"))
    assert (started.call.id, started.call.name, started.call.arguments) == ("c", "f", "{}")


def test_several_calls_in_one_chunk() -> None:
    """Each event has its own call, and shows what the whole chunk brought."""
    events = ChatEvents()
    told = called(
        events,
        fragment("{", 0, id="a", name="f"),
        fragment("[", 1, id="b", name="g"),
        fragment("}", 0),
        fragment("]", 1),
    )
    assert [(event.type, event.call.id, event.call.arguments) for event in told] == [
        ("tool_call.started", "a", "{}"),
        ("tool_call.delta", "a", "{}"),
        ("tool_call.started", "b", "[]"),
        ("tool_call.delta", "b", "[]"),
        ("tool_call.delta", "a", "{}"),
        ("tool_call.delta", "b", "[]"),
    ]
    assert repr(told[0].call) == "<call a of f: '{}'>"


def test_arguments_that_are_no_json() -> None:
    """What is certain stays, and it is told that no more can come; the text goes on."""
    *_, last = growing(['{"a": 1, ', "oops", "}"])
    assert (last.call.partial.value, last.call.partial.failed) == ({"a": 1}, True)
    assert last.call.arguments == '{"a": 1, oops}'


def test_halves_of_a_character() -> None:
    """A character that was cut in two is whole in text and object."""
    *_, last = growing(['{"a": "\ud83d', '\ude00"}'])
    assert last.call.arguments == '{"a": "\U0001f600"}'
    assert last.call.partial.value == {"a": "\U0001f600"}


def test_events_are_values() -> None:
    """They are compared, hashed, printed, copied and pickled by their fields alone; a copy does not know its call."""
    (started, delta), (_, other) = list(growing(["{}"])), list(growing(["{}"]))
    assert delta == other == ToolCallDelta(position=0, arguments="{}")
    assert started == ToolCallStarted(position=0, id="c", name="write")
    assert hash(delta) == hash(other)
    assert repr(delta) == "ToolCallDelta(position=0, arguments='{}', choice=0)"
    for again in (
        pickle.loads(pickle.dumps(delta)),
        copy.copy(delta),
        copy.deepcopy(delta),
        ToolCallDelta(**ARGUMENTS),
    ):
        assert again == delta
        with pytest.raises(RuntimeError, match="only those of a stream know their call"):
            _ = again.call
    assert delta.call is started.call


ARGUMENTS: dict[str, Any] = {"position": 0, "arguments": "{}"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)


@examples(100)
@given(
    st.dictionaries(st.text(max_size=9), json_values, min_size=1, max_size=4),
    st.lists(st.integers(0, 1 << 16)),
    st.booleans(),
    st.sets(st.integers(0, 60)),
)
def test_any_object_in_any_pieces(
    value: dict[str, Any], positions: list[int], ascii_only: bool, looks: set[int]
) -> None:
    """However a call is cut, and whenever somebody looks, the object is whole in the end."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    for number, event in enumerate(growing(cut(text, positions))):
        if number in looks:
            _ = event.call.partial.value
    assert event.call.partial.value == value
    assert event.call.partial.complete
    assert event.call.arguments == text


# ---------------------------------------------------------------- what it costs

PIECES = 20_000


def long_call(pieces: int) -> list[str]:
    """A call of five characters a piece: a long text, and a list of numbers and objects."""
    text = '{"text": "' + "word " * (pieces // 2) + '", "more": ['
    text += '{"a": 12345, "b": null}, ' * (pieces // 10)
    text += "0]}"
    return [text[place : place + 5] for place in range(0, len(text), 5)]


def test_twenty_thousand_pieces() -> None:
    """The object is read after every piece: the characters touched in all are a small multiple of the text."""
    pieces = long_call(PIECES)
    assert len(pieces) >= PIECES
    for event in growing(pieces):
        value = event.call.partial.value
    assert value == json.loads("".join(pieces))
    touched = event.call.partial.touched  # type: ignore[attr-defined]
    assert touched < 4 * sum(map(len, pieces))


def test_who_does_not_look_pays_nothing() -> None:
    """Without a look nothing is parsed; a look at the end costs what one at every piece costs in all, or less."""
    *_, last = growing(long_call(PIECES))
    assert last.call._json.touched == 0  # type: ignore[attr-defined]
    partial: Any = last.call.partial
    assert 0 < partial.touched < 4 * len(last.call.arguments)


def lines_run(work: Callable[[], object]) -> int:
    """Lines of Python that something takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(previous)
    return count


@pytest.mark.parametrize("look", [True, False])
def test_work_is_linear(look: bool) -> None:
    """Twice the pieces take twice the lines of Python, events and partial objects together."""

    def read(pieces: list[str]) -> None:
        for event in growing(pieces):
            if look:
                _ = event.call.partial.value

    small, large = (lines_run(lambda size=size: read(long_call(size))) for size in (1_000, 2_000))
    assert large < 2.1 * small


def test_memory_is_linear() -> None:
    """Twenty thousand pieces, looked at or not, take ten times their text and not a thousand times."""
    pieces = long_call(PIECES)
    size = sum(map(len, pieces))
    for look in (True, False):
        tracemalloc.start()
        try:
            for event in growing(pieces):
                if look:
                    _ = event.call.partial.value
            assert tracemalloc.get_traced_memory()[1] < 12 * size
        finally:
            tracemalloc.stop()
