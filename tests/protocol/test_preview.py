"""The preview of an answer that is still coming: what is shown, that it only grows, and the work."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.protocol.preview import Preview

from .awkward_replies import REPLIES
from .feeding import cut, cuts, examples
from .json_values import is_prefix, same, values

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes


def shown(pieces: list[str], *, lists: bool = True) -> list[Any]:
    """Copies of what is shown behind each piece that may have told more."""
    preview = Preview(lambda value: value, lists=lists)
    return [copy.deepcopy(preview.value) for piece in pieces if preview.feed(piece)]


def last(pieces: list[str], *, lists: bool = True) -> Any:
    """What is shown in the end, None when nothing ever was."""
    found = shown(pieces, lists=lists)
    return found[-1] if found else None


ONE = {"a": 1}
TEXTS: list[tuple[str, Any]] = [
    ('{"a": 1}', ONE),
    ('Here it is: {"a": 1}. Is it?', ONE),
    ('```json\n{"a": 1}\n```\nand {"b": 2}', ONE),
    ('<|begin_of_box|>{"a": 1}<|end_of_box|>', ONE),
    ("prose without any", None),
    ("{}", None),
    ('"{\\"a\\": 1}"', None),
    ('for {name} in {} and {{x}}: {"a": 1}', ONE),
    ('the mark "{": {"a": 1}', None),
    ('the mark "{", as in {"b"}: {"a": 1}', ONE),
    ('{ {"a": 1}', ONE),
    ('{"a" {"a": 1}', ONE),
    ('set {1, 2} or {"b"} or {"c": oops} is {"a": 1}', ONE),
    ('it was {"b": 2, oops} but is {"a": 1}', {"b": 2}),
    ('<think>{"b": 2}</think>{"a": 1}', ONE),
    ('<thinking>{"b": 2}</thinking> {"a": 1}', ONE),
    ('<think></think><think>{"b": 2}</think>{"a": 1}', ONE),
    ('<think>{"b": 2}', None),
    ('{}{"b"</think>{"a": 1}', ONE),
    ('{"x</think>{"a": 1}', ONE),
    ('{<think>{</think>"a": 1}', ONE),
    ('I say {"b": 2}</think>{"a": 1}', {"b": 2}),
    ('a < b <th <think {"a": 1}', ONE),
    ('{"a": "<think>{</think>"}', {"a": "<think>{</think>"}),
    ('{"a": "<thi', {"a": "<thi"}),
    ('{"<b>": 1}', {"<b>": 1}),
    ('{"a": "中\\u4e2d', {"a": "中中"}),
    ('[{"a": 1}]', [ONE]),
    ("as [1] says", [1]),
]
"""Texts, and what is shown in the end where lists may be meant."""


@pytest.mark.parametrize(("text", "value"), TEXTS)
def test_what_is_shown(text: str, value: Any) -> None:
    """The first value with a member, outside of thoughts, as far as it is strict JSON; the same wherever it is cut."""
    assert last([text]) == value
    assert last([*text]) == value
    for place in range(len(text)):
        assert last([text[:place], text[place:]]) == value
        assert last([text[:place], "", text[place:]]) == value


@pytest.mark.parametrize(
    ("text", "value"), [('[{"a": 1}]', ONE), ("[1]", None), ('see [1]: {"a": 1}', ONE), ('[[], [1, {"a": 1}]]', ONE)]
)
def test_where_only_objects_are_meant(text: str, value: Any) -> None:
    """Lists are passed over, and looked into."""
    assert last([text], lists=False) == value
    assert last([*text], lists=False) == value
    for place in range(len(text)):
        assert last([text[:place], text[place:]], lists=False) == value


def test_what_is_wanted_is_taken_out() -> None:
    """Nothing is shown before what is wanted is there, and then that alone."""
    preview = Preview(lambda value: value.get("value"), lists=False)
    assert [preview.value for character in '{"note": 1, "value": "xy"}' if preview.feed(character)] == [
        *("", "x", "xy", "xy", "xy")
    ]


def test_nothing_is_told_behind_the_value() -> None:
    """Neither after its end nor after what is no JSON, but for the piece in which that came."""
    ended, broken = (Preview(lambda value: value, lists=True) for _ in range(2))
    assert [ended.feed(piece) for piece in ("{", '"a": ', "1", "} and", " so", ' {"b": 2}')] == [
        *(False, False, False, True, False, False)
    ]
    assert [broken.feed(piece) for piece in ('{"a": 1, ', "oops", ' {"b": 2}')] == [True, True, False]
    assert (ended.value, broken.value) == ({"a": 1}, {"a": 1})


@pytest.mark.parametrize("reply", [reply for reply in REPLIES if reply.id != "equal keys"], ids=lambda reply: reply.id)
def test_an_awkward_reply_while_it_comes(reply: Any) -> None:
    """What is shown only grows, and is the same in the end wherever the answer is cut."""
    ends = set[str]()
    for length in (1, 2, 3, 7, len(reply.text) + 1):
        found = shown([reply.text[place : place + length] for place in range(0, len(reply.text), length)])
        assert all(is_prefix(early, late) for early, late in pairwise(found))
        ends.add(json.dumps(found[-1]) if found else "")
    assert len(ends) == 1


prose = st.text(max_size=20).map(lambda text: text.replace("[", "").replace("{", ""))
wrappings = st.sampled_from(["{}", "```json\n{}\n```", "<think>[1]</think>\n{}", "So <|begin_of_box|>{}<|end_of_box|>"])


@given(values.filter(lambda value: isinstance(value, (dict, list)) and value), prose, wrappings, cuts)
@examples(300)
def test_strict_json_is_shown_as_it_grows(value: Any, before: str, wrapping: str, places: list[int]) -> None:
    """Each preview is the beginning of the next, the last is the value."""
    start, _, end = wrapping.partition("{}")
    text = before + start + json.dumps(value, ensure_ascii=False) + end
    found = shown(cut(text, places))
    assert all(is_prefix(early, late) for early, late in pairwise(found))
    assert same(found[-1], value)


tokens = st.sampled_from([*'[]{}:,"1 a<>/', "think", "<think>", "</think>", '"a":', '{"a":', "\n"])


@given(st.lists(tokens, max_size=20), st.booleans())
@examples(1000)
def test_any_text(pieces: list[str], lists: bool) -> None:
    """Nothing raises, what is shown only grows, and where it was cut does not matter."""
    found = shown(pieces, lists=lists)
    text = "".join(pieces)
    if text.count('"a"') < 2:  # the last value of a repeated key counts, so that such an object does not only grow
        assert all(is_prefix(early, late) for early, late in pairwise(found))
    assert same(last([text], lists=lists), last([*text], lists=lists))
    assert same(last([text], lists=lists), last(pieces, lists=lists))


def work(pieces: list[str]) -> int:
    """Characters touched while each preview is looked at."""
    preview = Preview(lambda value: value, lists=True)
    for piece in pieces:
        preview.feed(piece)
        _ = preview.value
    return preview.touched


PIECES = {
    "one text": ['{"a": "', *["word "] * 20_000],
    "many members": ["[", *['{"a": 1},'] * 20_000],
    "prose": ["word "] * 20_000,
    "prose with a value behind it": [*["word "] * 20_000, '{"a": 1}'],
    "one thought": ["<think>", *["word "] * 20_000],
    "many thoughts": ["<think>x</think>"] * 20_000,
    "marks without an end": ["<thin"] * 20_000,
    "brackets of prose": ["{x} "] * 20_000,
    "brackets alone": ["{"] * 20_000,
    "half an object each": ['{"a"'] * 20_000,
    "a long key": ['{"', *["word "] * 20_000],
    "blanks": ["{", *["     "] * 20_000],
    "one long piece": ["<think></think>{x}<" * 20_000],
}


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_the_work_is_linear(pieces: list[str]) -> None:
    """In an answer of 20,000 pieces each character is touched a few times, looking at the value each time included."""
    total = sum(map(len, pieces))
    assert total - len(pieces[0]) <= work(pieces) <= 8 * total
