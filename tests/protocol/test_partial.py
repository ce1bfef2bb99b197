"""A JSON text that is still growing: the value at every cut, and the work that it takes."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zhipu_async.protocol.growing import Grown
from zhipu_async.protocol.partial import PartialJSON
from zhipu_async.protocol.tolerant import is_list, is_object

from .feeding import cut, cuts, examples
from .json_values import is_prefix, same, values

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes

NOTHING: Any = object()
"""What is known of a value before it is certain that there is one."""


def fed(*pieces: str) -> PartialJSON:
    """A parser that has got the pieces."""
    parser = PartialJSON()
    for piece in pieces:
        parser.feed(piece)
    return parser


def written(value: Any, ways: Iterator[int]) -> Iterator[tuple[str, Any]]:
    """The JSON of ``value`` in pieces, and what is certain of it after each; ``ways`` chooses blanks and escapes."""

    def blank() -> str:
        return ("", "", " ", "\n\t", " \r\n ")[next(ways) % 5]

    def quoted(text: str) -> Iterator[tuple[str, str]]:
        yield '"', ""
        for place, char in enumerate(text):
            *parts, last = [*json.dumps(char, ensure_ascii=next(ways) % 2 == 0)[1:-1]]
            yield from ((part, text[:place]) for part in parts)
            yield last, text[: place + 1]
        yield '"', text

    if isinstance(value, str):
        yield from quoted(value)
    elif is_list(value):
        yield "[" + blank(), []
        for place, member in enumerate(value):
            elements = value[:place]
            for text, known in written(member, ways):
                yield text, elements if known is NOTHING else [*elements, known]
            yield blank() + ("," if place < len(value) - 1 else "]"), value[: place + 1]
        if not value:
            yield "]", []
    elif is_object(value):
        items = list(value.items())
        yield "{" + blank(), {}
        for place, (key, member) in enumerate(items):
            members = dict(items[:place])
            yield blank(), members
            yield from ((text, members) for text, _ in quoted(key))
            yield blank() + ":" + blank(), members
            for text, known in written(member, ways):
                yield text, members if known is NOTHING else {**members, key: known}
            yield blank() + ("," if place < len(items) - 1 else "}"), dict(items[: place + 1])
        if not items:
            yield "}", {}
    else:
        *parts, last = [*json.dumps(value)]
        yield from ((part, NOTHING) for part in parts)
        yield last, value if value is None or isinstance(value, bool) else NOTHING


texts = st.lists(
    st.sampled_from(
        [
            *'[]{}:,"-+.eE0129 \n\t\x00\ufeffx好\ud83d\ude00\\/u',
            "true",
            "null",
            '"a"',
            '":',
            "\\u00e9",
            "\\ud83d",
            "\\ude00",
        ]
    ),
    max_size=12,
).map("".join)
"""Nearly JSON."""


def read(text: str) -> Any:
    """What the standard library reads, without what it takes beyond JSON; ValueError when it is no JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text.removeprefix("\ufeff"), parse_constant=refuse)


@given(values, st.data())
@examples(300)
def test_what_is_certain_is_known_after_every_character(value: Any, data: st.DataObject) -> None:
    """A text that is written character by character is read as its writer means it, no earlier and no later."""
    ways = data.draw(st.randoms(use_true_random=False))
    parser = PartialJSON()
    for text, known in written(value, iter(lambda: ways.randrange(10), NOTHING)):
        parser.feed(text)
        assert same(parser.value, None if known is NOTHING else known)
        assert not parser.failed
    parser.close()
    assert parser.complete
    assert same(parser.value, value)


@given(values, cuts, st.booleans(), st.sampled_from([None, 1]))
@examples(300)
def test_values_only_grow(value: Any, positions: list[int], ascii_only: bool, indent: int | None) -> None:
    """Wherever the text is cut: every value is a prefix of the next, and the last is what json reads."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    parser = PartialJSON()
    seen: list[Any] = []
    for piece in cut(text, positions):
        parser.feed(piece)
        if parser.value is not None:
            seen.append(deepcopy(parser.value))
    parser.close()
    assert parser.complete
    assert same(parser.value, read(text))
    assert all(is_prefix(early, late) for early, late in pairwise([*seen, parser.value]))


@given(texts, cuts)
@examples(1500)
@example('{"a":1,"a":[2]}', [3, 8, 12])
@example('"\\ud83d\\ude00"', [3, 9])
@example('["\ud83d\ude00"]', [3])
@example('"\\ud83d\ude00"', [])
@example('"\ud83d\\ude00"', [2])
@example("1\ud83d", [])
@example("\ufeff[-0, 0.0, -0.0, 1E5, 1e-5]\t", [1, 2])
@example("\ufeff\ufeff1", [])
@example("1e400", [])
def test_what_is_no_json_fails_and_what_is_json_does_not(text: str, positions: list[int]) -> None:
    """Cut anywhere, a text is complete when json reads it (the same), and has failed when it does not."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    parser = fed(*cut(text, positions))
    failed_early = parser.failed
    parser.close()
    try:
        expected = read(whole)
    except ValueError:
        assert (parser.complete, parser.failed) == (False, True)
        return
    assert not failed_early
    if "Infinity" in json.dumps(expected):
        assert parser.failed
    else:
        assert (parser.complete, parser.failed) == (True, False)
        assert same(parser.value, expected)


@given(texts, st.integers(0, 30))
@examples(500)
def test_the_cuts_make_no_difference(text: str, position: int) -> None:
    """Whole, in two pieces and by character: the same value, complete and failed alike."""

    def state(*pieces: str) -> tuple[str, bool, bool]:
        parser = fed(*pieces)
        return json.dumps(parser.value), parser.complete, parser.failed

    whole = state(text)
    assert state(text[:position], text[position:]) == whole
    assert state(*text) == whole


CERTAIN: dict[str, Any] = {
    "": None,
    "  ": None,
    "{": {},
    '{"': {},
    '{"a': {},
    '{"a"': {},
    '{"a":': {},
    '{"a": "': {"a": ""},
    '{"a": "x\\': {"a": "x"},
    '{"a": "x\\u00e': {"a": "x"},
    '{"a": "x\\u00e9': {"a": "xé"},
    '{"a": "x\\ud83d': {"a": "x"},
    '{"a": "x\\ud83d\\': {"a": "x"},
    '{"a": "x\\ud83d\\ude0': {"a": "x"},
    '{"a": "x\\ud83d\\ude00': {"a": "x\U0001f600"},
    '{"a": "x\\ud83d\\n': {"a": "x\ud83d\n"},
    '{"a": "x\\ud83dy': {"a": "x\ud83dy"},
    '{"a": "x\ud83d': {"a": "x"},
    '{"a": "x\ud83d\ude00': {"a": "x\U0001f600"},
    '{"a": "x\ud83dy': {"a": "x\ud83dy"},
    "[1": [],
    "[1 ": [1],
    "[1,": [1],
    "[1.": [],
    "[1.5e": [],
    "[1.5e3]": [1500.0],
    "[tru": [],
    "[true": [True],
    "[null": [None],
    "[[[": [[[]]],
    '[{"a": [{"b": "c': [{"a": [{"b": "c"}]}],
    '{"a": {"b": 1}, "c': {"a": {"b": 1}},
    '{"a": 1, "a": ': {"a": 1},
    '{"a": 1, "a": "': {"a": ""},
    "12": None,
    "12 ": 12,
    "nul": None,
    '"be': "be",
}


@pytest.mark.parametrize("text", CERTAIN)
def test_what_is_certain(text: str) -> None:
    """An unfinished text gives what is certain of it, and has not failed."""
    for parser in (fed(text), fed(*text)):
        assert same(parser.value, CERTAIN[text])
        assert not parser.failed


WRONG: dict[str, Any] = {
    "x": None,
    "[1, }": [1],
    "[1 2": [1],
    "[1,]": [1],
    "[,": [],
    "[1x": [],
    "[01": [],
    "[1.e": [],
    "[--": [],
    "[1e400]": [],
    "[-1e400 ": [],
    "[N": [],
    "[na": [],
    "[I": [],
    "[-I": [],
    "[T": [],
    "[trut": [],
    "{,": {},
    "{1": {},
    "{'": {},
    '{"a" 1': {},
    '{"a":1]': {"a": 1},
    '{"a":1,}': {"a": 1},
    '{"a":"b\\x': {"a": "b"},
    '{"a":"b\\u12g': {"a": "b"},
    '{"a":"b\n': {"a": "b"},
    '{"a":"b\\ud83d\n': {"a": "b\ud83d"},
    '{"a\n': {},
    "[1]]": [1],
    "[1] x": [1],
    "{} {": {},
    '"a""': "a",
    "1 2": 1,
    "[1\u00a0": [],
    "[1,\u3000": [1],
    " \ufeff": None,
    "[\ufeff": [],
}


@pytest.mark.parametrize("text", WRONG)
def test_failing(text: str) -> None:
    """The last character makes it fail, the one before does not; the value stays, and what comes later is ignored."""
    parser = fed(text[:-1])
    assert not parser.failed
    parser.feed(text[-1])
    for more in ("", '"', "]", '"more": 1}'):
        parser.feed(more)
        assert (parser.failed, parser.complete) == (True, False)
        assert same(parser.value, WRONG[text])
        assert not more or parser.grown == []


def test_the_end_of_the_text() -> None:
    """Closing makes a number at the top whole; anything unfinished has failed then, with its value kept."""
    number, text, nothing = fed("-1.5", "e1"), fed('["a'), fed(" ")
    assert (number.complete, number.value) == (False, None)
    for parser in (number, text, nothing):
        parser.close()
    assert (number.complete, number.value) == (True, -15.0)
    assert (text.failed, text.value) == (True, ["a"])
    assert (nothing.failed, nothing.value) == (True, None)
    half = fed("1.")
    half.close()
    assert half.failed


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth_is_bounded(brackets: str) -> None:
    """128 levels are read, the next one fails; a hundred thousand take no recursion."""
    opening = "[" if brackets == "[]" else '{"a":'
    deep = fed(opening * 127 + brackets + brackets[1] * 127)
    assert deep.complete
    assert json.dumps(deep.value).replace(" ", "") == opening * 127 + brackets + brackets[1] * 127
    assert fed(opening * 128).failed is False
    assert fed(opening * 129).failed is True
    assert fed(opening * 100_000).failed is True


def test_long_numbers() -> None:
    """4300 digits are read as Python reads them; more fail, long before a million have come."""
    digits = "7" * 4300
    for sign in ("", "-"):
        assert fed(f"[{sign}{digits}]").value == [int(sign + digits)]
        assert fed(f"[{sign}{digits}7]").failed
    assert fed("[0." + "7" * 4298 + "]").value == [7 / 9]
    parser = PartialJSON()
    for _ in range(1000):
        parser.feed("9" * 1000)
    assert parser.failed
    assert parser.touched < 10_000


def test_a_value_is_live() -> None:
    """Containers are the same objects at every reading, and grow in place."""
    parser = fed('{"a": [')
    value = parser.value
    inner = value["a"]
    parser.feed('1, "b')
    assert parser.value is value
    assert inner == [1, "b"]
    before = parser.value["a"][1]
    parser.feed("c")
    _ = parser.value
    assert (before, inner) == ("b", [1, "bc"])


def test_what_grew() -> None:
    """Each piece tells which strings it began, lengthened and ended, with their places."""
    parser = PartialJSON()
    told: list[list[Grown]] = []
    for piece in ('{"k": "a', "b", '", "l": [0, "x", "', "", "y\\", 'n"', ', {"m": [""]}', "], 1"):
        parser.feed(piece)
        told.append(parser.grown)
    assert told == [
        [Grown(("k",), "a", False)],
        [Grown(("k",), "b", False)],
        [Grown(("k",), "", True), Grown(("l", 1), "x", True), Grown(("l", 2), "", False)],
        [],
        [Grown(("l", 2), "y", False)],
        [Grown(("l", 2), "\n", True)],
        [Grown(("l", 3, "m", 0), "", True)],
        [],
    ]
    assert parser.failed
    assert fed('"a').grown == [Grown((), "a", False)]
    ended = fed('"a"')
    ended.close()
    assert ended.grown == []


@given(values, cuts)
@examples(200)
def test_what_grew_adds_up(value: Any, positions: list[int]) -> None:
    """Put together, what grew is every string of the value, each told as done once."""

    def strings(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if isinstance(value, str):
            yield path, value
        if is_list(value):
            for index, member in enumerate(value):
                yield from strings(member, (*path, index))
        if is_object(value):
            for key, member in value.items():
                yield from strings(member, (*path, key))

    parser = PartialJSON()
    joined: dict[tuple[str | int, ...], str] = {}
    done: list[tuple[str | int, ...]] = []
    for piece in cut(json.dumps(value), positions):
        parser.feed(piece)
        for path, text, ended in parser.grown:
            joined[path] = joined.get(path, "") + text
            done += [path] * ended
    assert list(joined.items()) == list(strings(value, ()))
    assert done == list(joined)


# The work.

ITEM = '{"name": "Ab\\u00e9\\ud83d\\ude00 \\n 好", "price": -12.50e+1, "more": [true, null, {}]}'
SHAPES: dict[str, tuple[str, str, str]] = {
    "one long string": ('{"code": "', "line 好 \\n ", '"}'),
    "escapes": ('["', "\\ud83d\\ude00\\u00e9\\\\", '"]'),
    "a long key": ('{"', "key", '": 1}'),
    "many items": ("[0", "," + ITEM, "]"),
    "many strings": ('["a"', ',"b"', "]"),
    "many numbers": ("[1", ",-12345.678e9", "]"),
    "long numbers": ("[1", "," + "9" * 400, "]"),
    "many keys": ('{"a":0', ',"key":[1]', "}"),
    "blanks": ("[", " \n", "]"),
    "deep in": ("[" * 127 + '"', "text", '"' + "]" * 127),
    "strings deep in": ("[" * 126 + '["a"', ',"b"', "]" * 127),
    "after it failed": ("[x", "text", ""),
}


def grown_text(shape: str, size: int) -> str:
    """A text of a shape, of about ``size`` characters."""
    begin, middle, end = SHAPES[shape]
    return begin + middle * (size // len(middle)) + end


def follow(text: str, step: int) -> PartialJSON:
    """Feed the text in small pieces, and read everything after each."""
    parser = PartialJSON()
    for place in range(0, len(text), step):
        parser.feed(text[place : place + step])
        _ = parser.value, parser.grown
    return parser


def lines_run(text: str, step: int) -> int:
    """Lines of Python that following a text takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        follow(text, step)
    finally:
        sys.settrace(previous)
    return count


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_twenty_thousand_pieces(shape: str, step: int) -> None:
    """The characters touched are a small multiple of the text, with a value read after every piece."""
    text = grown_text(shape, 20_000 * step)
    parser = follow(text, step)
    assert parser.failed == (shape == "after it failed")
    if parser.complete:
        assert same(parser.value, json.loads(text))
    assert parser.touched <= (8 if step == 1 and "\\u" in text else 4) * len(text)
    assert parser.touched >= len(text) or parser.failed


@pytest.mark.parametrize("shape", SHAPES)
def test_work_is_linear(shape: str) -> None:
    """Twice the text takes twice the lines of Python, within a little."""
    small, large = (lines_run(grown_text(shape, size), 2) for size in (4_000, 8_000))
    assert large < 2.2 * small


def test_a_growing_string_is_not_copied() -> None:
    """A megabyte of text that is read after every piece takes the memory of one, not of two: it grows in place."""
    parser = fed('{"text": "')
    for _ in range(100):  # the interpreter learns that this addition is one of strings
        parser.feed("0123456789")
        _ = parser.value
    tracemalloc.start()
    try:
        parser.feed("x" * 1_000_000)
        _ = parser.value
        parser.feed("y")
        _ = parser.value
        tracemalloc.reset_peak()
        for _ in range(100):
            parser.feed("0123456789")
            assert len(parser.value["text"]) > 1_000_000
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()


def test_a_finished_string_leaves_nothing_behind() -> None:
    """What is kept of a long text that nobody reads is about the text: no pieces remain once a string is whole."""
    tracemalloc.start()
    try:
        parser = fed('["')
        for _ in range(20_000):
            parser.feed("0123456789")
        parser.feed('"')
        parser.feed("]")
        assert tracemalloc.get_traced_memory()[0] < 300_000
    finally:
        tracemalloc.stop()
    assert parser.complete
