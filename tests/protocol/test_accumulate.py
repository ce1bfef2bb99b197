"""Fragments to whole tool calls: every rule and variant of streaming.md section 3."""

from __future__ import annotations

import sys
import tracemalloc
from collections import deque
from itertools import islice
from types import FrameType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.protocol.accumulate import ToolCallAccumulator
from zhipu_async.protocol.events import ChatEvents
from zhipu_async.protocol.tolerant import convert
from zhipu_async.types.chat import ChatCompletionChunk
from zhipu_async.types.tools import ToolCall, ToolCallDelta

from .feeding import cut, examples, plain


def part(
    arguments: Any = None, *, index: Any = ..., id: Any = ..., name: Any = ..., type: Any = "function", **more: Any
) -> dict[str, Any]:
    """A fragment; ``...`` leaves a key out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not ...}
    keys = {"index": index, "id": id, "type": type, "function": function, **more}
    return {key: value for key, value in keys.items() if value is not ...}


def call(arguments: str = "", name: str = "f", **more: Any) -> dict[str, Any]:
    """A whole call."""
    function = {"name": name, "arguments": arguments}
    return {key: value for key, value in more.items() if value is not None} | {"type": "function", "function": function}


VARIANTS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    # tool_stream off: everything at once
    "one whole call": (
        [part('{"a":1}', index=0, id="c", name="f")],
        [call('{"a":1}', id="c", index=0)],
    ),
    "two whole calls": (
        [part("{}", index=0, id="c", name="f"), part("{}", index=1, id="d", name="g")],
        [call("{}", id="c", index=0), call("{}", "g", id="d", index=1)],
    ),
    # tool_stream on
    "in pieces": (
        [part("", index=0, id="c", name="f"), part('{"', index=0), part('a":1', index=0), part("}", index=0)],
        [call('{"a":1}', id="c", index=0)],
    ),
    "parallel calls interleaved": (
        [
            part("", index=0, id="c", name="f"), part("", index=1, id="d", name="g"),
            part("{", index=1), part("[", index=0), part("]", index=0), part("}", index=1),
        ],
        [call("[]", id="c", index=0), call("{}", "g", id="d", index=1)],
    ),
    "indexes out of order and with gaps": (
        [part("3", index=3, id="c", name="f"), part("0", index=0, id="d", name="g"), part("!", index=3)],
        [call("3!", id="c", index=3), call("0", "g", id="d", index=0)],
    ),
    # rule 1: an index decides
    "a new id on every fragment": (
        [part("{", index=0, id="c1", name="f"), part('"a"', index=0, id="c2"), part(":1}", index=0, id="c3")],
        [call('{"a":1}', id="c1", index=0)],
    ),
    "a new id on every fragment, the name later": (
        [part("{", index=0, id="c1"), part("}", index=0, id="c2", name="f"), part("!", index=0, id="c3", name="")],
        [call("{}!", id="c1", index=0)],
    ),
    "id and name repeated on every fragment": (
        [part("{", index=0, id="c", name="f"), part("}", index=0, id="c", name="f")],
        [call("{}", id="c", index=0)],
    ),
    "name repeated without id": (
        [part("{", index=0, id="c", name="f"), part("}", index=0, name="f")],
        [call("{}", id="c", index=0)],
    ),
    "two calls at one index with ids and names of their own": (
        [part("{}", index=0, id="c", name="f"), part("[]", index=0, id="d", name="g")],
        [call("{}", id="c", index=0), call("[]", "g", id="d", index=0)],
    ),
    "two calls of one function at one index": (
        [part("1", index=0, id="c", name="f"), part("2", index=0, id="d", name="f")],
        [call("1", id="c", index=0), call("2", id="d", index=0)],
    ),
    "two calls at one index, continued by id": (
        [
            part("1", index=0, id="c", name="f"), part("2", index=0, id="d", name="g"),
            part("1", index=0, id="c"), part("2", index=0, id="d", name="g"), part("!", index=0),
        ],
        [call("11", id="c", index=0), call("22!", "g", id="d", index=0)],
    ),
    "the newest call without a name yet takes id and name": (
        [part("{", index=0, id="c"), part("}", index=0, id="d", name="f")],
        [call("{}", id="c", index=0)],
    ),
    "the newest call without an id yet takes id and name": (
        [part("{", index=0, name="f"), part("}", index=0, id="d", name="g")],
        [call("{}", id="d", index=0)],
    ),
    "one id shared by two indexes": (
        [part("a", index=0, id="c", name="f"), part("b", index=1, id="c", name="g"), part("a", index=0, id="c"),
         part("b", index=1, id="c")],
        [call("aa", id="c", index=0), call("bb", "g", id="c", index=1)],
    ),
    "an empty id and name are none": (
        [part("a", index=0, id="", name=""), part("b", index=0, id="c", name="f"), part("c", index=0, id="", name="")],
        [call("abc", id="c", index=0)],
    ),
    # rule 2: no index
    "index -1, whole": (
        [part("{}", index=-1, id="c", name="f")],
        [call("{}", id="c", index=-1)],
    ),
    "index -1, two calls": (
        [part("{}", index=-1, id="c", name="f"), part("[]", index=-1, id="d", name="g")],
        [call("{}", id="c", index=-1), call("[]", "g", id="d", index=-1)],
    ),
    "index -1, in pieces": (
        [part("{", index=-1, id="c", name="f"), part("}", index=-1), part("[", index=-1, id="d", name="g"),
         part("]", index=-1)],
        [call("{}", id="c", index=-1), call("[]", "g", id="d", index=-1)],
    ),
    "index -2": (
        [part("{", index=-2, id="c", name="f"), part("}", index=-2)],
        [call("{}", id="c", index=-2)],
    ),
    "index absent": (
        [part("{", id="c", name="f"), part("}"), part("[", id="d", name="g"), part("]")],
        [call("{}", id="c"), call("[]", "g", id="d")],
    ),
    "index null": (
        [part("{", index=None, id="c", name="f"), part("}", index=None)],
        [call("{}", id="c")],
    ),
    "no index, id repeated": (
        [part("a", id="c", name="f"), part("b", id="d", name="g"), part("a", id="c", name="f"), part("b", id="d")],
        [call("aa", id="c"), call("bb", "g", id="d")],
    ),
    "no index, an unseen id opens a call even without a name": (
        [part("a", id="c", name="f"), part("b", id="d")],
        [call("a", id="c"), call("b", "", id="d")],
    ),
    "no index and no id, a name opens a call": (
        [part("a", name="f"), part("a"), part("b", name="g"), part("b")],
        [call("aa"), call("bb", "g")],
    ),
    "no index and no id, a name is taken by a call without one": (
        [part("a", id="c"), part("b", name="f")],
        [call("ab", id="c")],
    ),
    "nothing at all opens the first call": (
        [part("a"), part("b")],
        [call("ab", "")],
    ),
    "without an index the latest touched call goes on": (
        [part("a", index=0, id="c", name="f"), part("b", index=1, id="d", name="g"), part("a", index=0), part("!")],
        [call("aa!", id="c", index=0), call("b", "g", id="d", index=1)],
    ),
    "without an index an id seen at one is found": (
        [part("a", index=0, id="c", name="f"), part("b", index=1, id="d", name="g"), part("!", id="c"),
         part("?", index=-1)],
        [call("a!?", id="c", index=0), call("b", "g", id="d", index=1)],
    ),
    "an index opens a call beside those without": (
        [part("a", id="c", name="f"), part("b", index=0, id="c", name="f"), part("b", index=0)],
        [call("a", id="c"), call("bb", id="c", index=0)],
    ),
    # rules 3 to 7
    "the first name is kept and none is joined": (
        [part("", index=0, id="c", name="get_"), part("", index=0, name="weather")],
        [call("", "get_", id="c", index=0)],
    ),
    "the name comes first, all else later": (
        [part(..., index=0, name="f", type=...), part(..., index=0, id="c", type=...), part("{}", index=0, type=...)],
        [call("{}", id="c", index=0)],
    ),
    "arguments as an object": (
        [part({"city": "北京", "n": [1, 2.5, None]}, index=0, id="c", name="f")],
        [call('{"city":"北京","n":[1,2.5,null]}', id="c", index=0)],
    ),
    "arguments null": (
        [part(None, index=0, id="c", name="f"), part("{}", index=0), part(None, index=0)],
        [call("{}", id="c", index=0)],
    ),
    "arguments absent": (
        [part(..., index=0, id="c", name="f")],
        [call("", id="c", index=0)],
    ),
    "arguments are not judged": (
        [part('{"a": tru', index=0, id="c", name="f"), part("\n}}", index=0)],
        [call('{"a": tru\n}}', id="c", index=0)],
    ),
    "function null or absent": (
        [{"index": 0, "id": "c", "function": None}, {"index": 0}, part("{}", index=0, name="f")],
        [call("{}", id="c", index=0)],
    ),
    "type absent or null": (
        [part("{}", index=0, id="c", name="f", type=...), part("{}", index=1, id="d", name="g", type=None)],
        [call("{}", id="c", index=0), call("{}", "g", id="d", index=1)],
    ),
    "id never": (
        [part("{", index=0, name="f"), part("}", index=0, id=None)],
        [call("{}", index=0)],
    ),
    "another type": (
        [part("{", index=0, id="c", name="f", type="web_search"), part("}", index=0, type=...)],
        [call("{}", id="c", index=0) | {"type": "web_search"}],
    ),
    "a number as id and as index text": (
        [part("{", index="0", id=7, name="f"), part("}", index=0.0, id="7")],
        [call("{}", id="7", index=0)],
    ),
    "none": ([], []),
}  # fmt: skip


def merge(fragments: list[dict[str, Any]], structs: bool = False) -> list[ToolCall]:
    """The calls that fragments add up to."""
    tools = ToolCallAccumulator()
    for fragment in fragments:
        tools.add(convert(fragment, ToolCallDelta, []) if structs else fragment)
    return tools.tool_calls


def expected(calls: list[dict[str, Any]]) -> list[ToolCall]:
    return [convert(members, ToolCall, []) for members in calls]


@pytest.mark.parametrize("structs", [False, True], ids=["dicts", "structs"])
@pytest.mark.parametrize(("fragments", "calls"), VARIANTS.values(), ids=VARIANTS)
def test_variant(fragments: list[dict[str, Any]], calls: list[dict[str, Any]], structs: bool) -> None:
    """The fragments of a variant, as dicts and as structs, add up to its calls in order of opening."""
    assert merge(fragments, structs) == expected(calls)


@pytest.mark.parametrize(("fragments", "calls"), VARIANTS.values(), ids=VARIANTS)
def test_fragments_are_left_alone(fragments: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    """Adding changes no fragment, and what add() gives is the position of the fragment's call."""
    before = repr(fragments)
    tools = ToolCallAccumulator()
    positions = [tools.add(fragment) for fragment in fragments]
    assert repr(fragments) == before
    assert sorted(set(positions)) == list(range(len(calls)))
    for position, members in enumerate(calls):
        alone = "".join(
            convert(fragment, ToolCallDelta, []).function.arguments
            for fragment, at in zip(fragments, positions, strict=True)
            if at == position
        )
        assert alone == members["function"]["arguments"]


def mcp(id: Any = ..., index: Any = ..., **members: Any) -> dict[str, Any]:
    """An element about an MCP server."""
    keys = {"id": id, "index": index, "type": "mcp", "mcp": members}
    return {key: value for key, value in keys.items() if value is not ...}


MCP: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "kept raw": (
        [mcp("m", 0, type="mcp_call", server_label="s", arguments="{}", output={"a": [1]}, error=None)],
        [mcp("m", 0, type="mcp_call", server_label="s", arguments="{}", output={"a": [1]}, error=None)],
    ),
    "the last one by id wins": (
        [mcp("m", 0, name="x"), mcp("m", 0, name="x", output="42")],
        [mcp("m", 0, name="x", output="42")],
    ),
    "the last one by id wins, without index": (
        [mcp("m", name="x"), mcp("n", name="y"), mcp("m", name="x", output="42")],
        [mcp("m", name="x", output="42"), mcp("n", name="y")],
    ),
    "a later fragment without it changes nothing": (
        [mcp("m", 0, name="x"), part("", index=0, id="m", type=...)],
        [mcp("m", 0, name="x")],
    ),
    "two ids at one index are two": (
        [mcp("m", 0, type="mcp_list_tools", tools=[]), mcp("n", 0, type="mcp_call", name="x")],
        [mcp("m", 0, type="mcp_list_tools", tools=[]), mcp("n", 0, type="mcp_call", name="x")],
    ),
    "after a function at the same index": (
        [part("{}", index=0, id="c", name="f"), mcp("m", 0, name="x")],
        [part("{}", index=0, id="c", name="f"), mcp("m", 0, name="x")],
    ),
    "after a function, without index": (
        [part("{}", id="c", name="f"), mcp("m", name="x")],
        [part("{}", id="c", name="f"), mcp("m", name="x")],
    ),
    "without id, the last one at its index wins": (
        [mcp(index=0, name="x"), mcp(index=0, name="x", output="42")],
        [mcp(index=0, name="x", output="42")],
    ),
}


@pytest.mark.parametrize(("fragments", "calls"), MCP.values(), ids=MCP)
def test_mcp(fragments: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    """Elements of type mcp are kept raw, one per id, the last of each."""
    assert merge(fragments) == merge(fragments, structs=True) == expected(calls)


def test_mcp_is_a_copy() -> None:
    """What an mcp element holds is neither shared with the fragment nor between results."""
    fragment = mcp("m", 0, output={"a": 1})
    tools = ToolCallAccumulator()
    tools.add(fragment)
    fragment["mcp"]["output"]["a"] = 2
    first, second = tools.tool_calls[0].mcp, tools.tool_calls[0].mcp
    assert first == second == {"output": {"a": 1}}
    assert first is not None
    first["output"]["a"] = 3
    assert second == {"output": {"a": 1}}


# ---------------------------------------------------------------- properties


@examples(200)
@given(st.text(), st.lists(st.integers(0, 1 << 16)), st.booleans(), st.booleans())
def test_arguments_in_any_pieces(arguments: str, positions: list[int], indexed: bool, repeated: bool) -> None:
    """Arguments cut into any pieces, with or without index, id and name on each, come back whole."""
    pieces = cut(arguments, positions)
    again = {"id": "c", "name": "f"} if repeated else {}
    index = {"index": 0} if indexed else {}
    fragments = [part("", id="c", name="f", **index), *(part(piece, **again, **index) for piece in pieces)]
    assert [plain(one)["function"] for one in merge(fragments)] == [{"name": "f", "arguments": arguments}]


@examples(200)
@given(st.data())
def test_interleaved_in_any_order(data: st.DataObject) -> None:
    """Pieces of parallel calls, interleaved in any order that keeps each call's own, add up to the same calls."""
    texts = data.draw(st.lists(st.lists(st.text(min_size=1, max_size=3), max_size=5), min_size=1, max_size=4))
    waiting = {index: list(pieces) for index, pieces in enumerate(texts)}
    tools = ToolCallAccumulator()
    opened: list[int] = []
    while waiting:
        index = data.draw(st.sampled_from(sorted(waiting)))
        if index not in opened:
            opened.append(index)
            tools.add(part("", index=index, id=f"c{index}", name=f"f{index}"))
        elif waiting[index]:
            tools.add(part(waiting[index].pop(0), index=index))
        if not waiting[index]:
            del waiting[index]
    assert [(one.index, one.id, one.function.name, one.function.arguments) for one in tools.tool_calls] == [
        (index, f"c{index}", f"f{index}", "".join(texts[index])) for index in opened
    ]


class Source(NamedTuple):
    """A call that a model makes."""

    id: str
    name: str
    arguments: str


SOURCES = st.lists(
    st.builds(Source, st.uuids().map(str), st.sampled_from(["f", "g", "get_weather"]), st.text(max_size=20)),
    min_size=2,
    max_size=5,
    unique_by=lambda source: source.id,
)
Wire = list[list[dict[str, Any]]]
"""The fragments of each call, in order."""


def pieces_of(draw: st.DrawFn, source: Source) -> list[str]:
    """The arguments in pieces, of which some are empty; at least one."""
    pieces = cut(source.arguments, draw(st.lists(st.integers(0, 1 << 10), max_size=6))) or [""]
    for place in draw(st.lists(st.integers(0, len(pieces)), max_size=2)):
        pieces.insert(place, "")
    return pieces


@st.composite
def indexed(draw: st.DrawFn, sources: list[Source]) -> tuple[Wire, bool, list[int | None]]:
    """Each call at an index of its own (tool_stream, rule 1): id and name first, repeated, or a new id each time; or
    one id that all calls share."""
    indexes = draw(st.lists(st.integers(0, 9), min_size=len(sources), max_size=len(sources), unique=True))
    shared = draw(st.booleans())
    wire: Wire = []
    for number, (source, index) in enumerate(zip(sources, indexes, strict=True)):
        habit = draw(st.sampled_from(["first only", "repeated", "a new id each", "empty later", "null later"]))
        later: dict[str, Any] = {
            "first only": {},
            "repeated": {"id": source.id, "name": source.name},
            "a new id each": {"id": ...},
            "empty later": {"id": "", "name": ""},
            "null later": {"id": None, "name": None},
        }[habit]
        fragments: list[dict[str, Any]] = []
        for place, piece in enumerate(pieces_of(draw, source)):
            more = {"id": source.id, "name": source.name} if place == 0 else dict(later)
            if more.get("id") is ...:
                more["id"] = f"new-{number}-{place}"
            elif shared and more.get("id"):
                more["id"] = "shared"
            fragments.append(part(piece, index=index, **more))
        wire.append(fragments)
    return wire, True, list(indexes)


@st.composite
def at_one_index(draw: st.DrawFn, sources: list[Source]) -> tuple[Wire, bool, list[int | None]]:
    """All calls at one index, or without one (rules 1 and 2): told apart by ids on each fragment, and then in any
    order; or by ids and names on the first alone, and then one after the other."""
    index = draw(st.sampled_from([0, 3, -1, -2, None, ...]))
    marked = draw(st.booleans())
    named = draw(st.booleans())
    wire = [
        [
            part(
                piece,
                index=index,
                **({"id": source.id} if place == 0 or marked else {}),
                **({"name": source.name} if place == 0 or (marked and named) else {}),
                type="function" if place == 0 or named else ...,
            )
            for place, piece in enumerate(pieces_of(draw, source))
        ]
        for source in sources
    ]
    given = index if isinstance(index, int) else None
    return wire, marked, [given] * len(sources)


@st.composite
def without_ids(draw: st.DrawFn, sources: list[Source]) -> tuple[Wire, bool, list[int | None]]:
    """No ids at all: names at indexes, or names one after the other."""
    own = draw(st.booleans())
    wire = [
        [
            part(
                piece,
                index=number if own else draw(st.sampled_from([-1, None, ...])),
                **({"name": source.name} if place == 0 else {}),
            )
            for place, piece in enumerate(pieces_of(draw, source))
        ]
        for number, source in enumerate(sources)
    ]
    indexes = [next(iter(fragments)).get("index") for fragments in wire]
    return wire, own, indexes


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Source], list[dict[str, Any]], list[int], list[int | None], bool]:
    """Calls, and the fragments that they are streamed as: which call each fragment is of, the index of each call, and
    whether ids were sent."""
    sources = draw(SOURCES)
    style = draw(st.sampled_from([indexed, at_one_index, without_ids]))
    wire, any_order, indexes = draw(style(sources))
    waiting = [(number, deque(fragments)) for number, fragments in enumerate(wire)]
    fragments: list[dict[str, Any]] = []
    belongs: list[int] = []
    while waiting:
        place = draw(st.integers(0, len(waiting) - 1)) if any_order else 0
        number, left = waiting[place]
        fragments.append(left.popleft())
        belongs.append(number)
        if not left:
            del waiting[place]
    return sources, fragments, belongs, indexes, style is not without_ids


@examples(400)
@given(streams(), st.booleans())
def test_streams_fold_back_to_their_calls(
    stream: tuple[list[Source], list[dict[str, Any]], list[int], list[int | None], bool], structs: bool
) -> None:
    """Two to five calls, split and interleaved, with ids that are repeated, shared, new each time or none, at indexes
    of their own, at one, at -1 or without: they fold back to the calls that they were, in the order of their
    beginnings, and each fragment is told to belong to its call."""
    sources, fragments, belongs, indexes, identified = stream
    calls = merge(fragments, structs)
    order = list(dict.fromkeys(belongs))
    assert [(one.function.name, one.function.arguments) for one in calls] == [
        (sources[number].name, sources[number].arguments) for number in order
    ]
    assert [one.index for one in calls] == [indexes[number] for number in order]
    given = [
        next(fragment.get("id") for fragment, at in zip(fragments, belongs, strict=True) if at == number)
        for number in order
    ]
    assert [one.id for one in calls] == given
    assert identified == all(one.id for one in calls)
    tools = ToolCallAccumulator()
    assert [tools.add(fragment) for fragment in fragments] == [order.index(number) for number in belongs]


@examples(200)
@given(streams(), st.lists(st.integers(1, 4), max_size=40))
def test_events_of_streams(
    stream: tuple[list[Source], list[dict[str, Any]], list[int], list[int | None], bool], sizes: list[int]
) -> None:
    """The same streams, some fragments in one chunk: events start each call once, tell all of its arguments, and give
    at the end what was folded; each call knows its text all along."""
    sources, fragments, belongs, _, _ = stream
    order = list(dict.fromkeys(belongs))
    events, told = ChatEvents(), list[Any]()
    grouped = iter(fragments)
    for size in (*sizes, len(fragments)):
        delta = {"tool_calls": list(islice(grouped, size))}
        told += events.feed(convert({"choices": [{"delta": delta}]}, ChatCompletionChunk, []))
    told += events.feed(convert({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}, ChatCompletionChunk, []))
    assert [event.position for event in told if event.type == "tool_call.started"] == list(range(len(order)))
    assert [event.call for event in told if event.type == "tool_call.done"] == merge(fragments)
    for position, number in enumerate(order):
        own = [event for event in told if event.position == position and event.type != "tool_call.done"]
        assert "".join(event.arguments for event in own if event.type == "tool_call.delta") == sources[number].arguments
        assert {(event.call.name, event.call.arguments) for event in own} == {
            (sources[number].name, sources[number].arguments)
        }


ids = st.sampled_from([..., None, "", "c", "d", "e", 5])
FRAGMENTS = st.lists(
    st.builds(
        part,
        st.sampled_from([..., None, "", "{", "}", "x", {"a": 1}]),
        index=st.sampled_from([..., None, -1, 0, 1, 2]),
        id=ids,
        name=st.sampled_from([..., None, "", "f", "g"]),
        type=st.sampled_from([..., None, "function"]),
    ),
    max_size=12,
)


@examples(400)
@given(FRAGMENTS)
def test_nothing_is_lost(fragments: list[dict[str, Any]]) -> None:
    """Whatever the fragments are: dicts and structs agree, and every argument piece, index and id is in some call."""
    calls = merge(fragments)
    assert calls == merge(fragments, structs=True)
    pieces = [convert(fragment, ToolCallDelta, []).function.arguments for fragment in fragments]
    assert sorted("".join(one.function.arguments for one in calls)) == sorted("".join(pieces))
    assert {one.index for one in calls if one.index is not None and one.index >= 0} == {
        fragment["index"] for fragment in fragments if fragment.get("index") in (0, 1, 2)
    } - {None}
    given_ids = {str(fragment["id"]) for fragment in fragments if fragment.get("id")}
    assert {one.id for one in calls if one.id is not None} <= given_ids


@examples(200)
@given(FRAGMENTS, FRAGMENTS)
def test_results_are_snapshots(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """Asking in between changes nothing, and what was given out does not change later."""
    tools = ToolCallAccumulator()
    for fragment in before:
        tools.add(fragment)
    snapshot, kept = tools.tool_calls, repr(tools.tool_calls)
    for fragment in after:
        tools.add(fragment)
    assert repr(snapshot) == kept
    assert tools.tool_calls == merge(before + after)


def test_surrogate_halves_in_two_fragments() -> None:
    """A character of the arguments that was cut in two is whole in the end."""
    assert (
        merge([part("\ud83d", index=0, id="c", name="f"), part("\ude00", index=0)])[0].function.arguments
        == "\U0001f600"
    )


def lines_run(fragments: list[ToolCallDelta]) -> int:
    """Lines of Python that merging takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    tools, previous = ToolCallAccumulator(), sys.gettrace()
    sys.settrace(trace)
    try:
        for fragment in fragments:
            tools.add(fragment)
        _ = tools.tool_calls
    finally:
        sys.settrace(previous)
    return count


SHAPES: dict[str, list[dict[str, Any]]] = {
    "pieces of one call": [part("x", index=0)],
    "a new id each": [part("x", index=0, id="new")],
    "a new call at the same index each": [part("x", index=0, id="new", name="f")],
    "a new call without index each": [part("x", id="new", name="f")],
    "two calls in turn": [part("x", index=0), part("x", index=1)],
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_work_is_linear(shape: list[dict[str, Any]]) -> None:
    """Ten times the fragments take ten times the work, whatever their kind."""

    def fragments(number: int) -> list[ToolCallDelta]:
        many = [convert(shape[place % len(shape)], ToolCallDelta, []) for place in range(number)]
        for place, fragment in enumerate(many):
            fragment.id = fragment.id and f"c{place}"
        return many

    assert lines_run(fragments(2000)) < 12 * lines_run(fragments(200))


def test_memory_is_linear() -> None:
    """20,000 fragments of 50 characters allocate some times their text, not a thousand times."""
    tools = ToolCallAccumulator()
    fragment = convert(part("x" * 50, index=0), ToolCallDelta, [])
    total = 0
    tracemalloc.start()
    try:
        for _ in range(20_000):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            tools.add(fragment)
            total += tracemalloc.get_traced_memory()[1] - before
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert len(tools.tool_calls[0].function.arguments) == 1_000_000
        total += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert total < 20 * 1_000_000
