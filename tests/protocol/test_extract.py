"""The JSON value of an answer: awkward replies, properties, and the work that hostile ones take."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zhipu_async.protocol.candidates import Search
from zhipu_async.protocol.extract import Extraction, NoExtraction, extract

from .awkward_replies import NOTHING, REPLIES, Item, Order, Reply
from .feeding import examples
from .json_values import is_prefix, same, values

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes


def accepting(shape: Any) -> Callable[[Any], Any] | None:
    """What makes the shape of a value."""
    return None if shape is None else lambda value: msgspec.convert(value, shape)


def test_the_table_is_a_table() -> None:
    """At least sixty replies, each with a name of its own, and either a value or a failure."""
    assert len(REPLIES) >= 60
    assert len({reply.id for reply in REPLIES}) == len(REPLIES)
    assert all((reply.value is NOTHING) == (reply.fails is not None) for reply in REPLIES)


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.id)
def test_an_awkward_reply(reply: Reply) -> None:
    """The value, where it stood, what was mended and whether another may be meant; or the kind of failure."""
    result = extract(reply.text, accepting(reply.shape), finish_reason=reply.finish_reason)
    if reply.fails:
        assert isinstance(result, NoExtraction)
        assert result.kind == reply.fails
        assert reply.message in result.message
        assert result.message
        return
    assert isinstance(result, Extraction), result
    assert same(result.json, reply.value)
    assert (result.repairs, result.place, result.ambiguous) == (reply.repairs, reply.place, reply.ambiguous)
    assert result.value == (reply.value if reply.shape is None else msgspec.convert(reply.value, reply.shape))


containers = values.filter(lambda value: isinstance(value, (dict, list)))
prose = st.text(st.characters(exclude_characters="[{【［｛`~<", exclude_categories=["Cs"]), max_size=20)
MARKED = "<think>[1]</think>[1] <|begin_of_box|>[1]<|end_of_box|> ```json\n[1]\n``` ```[1]``` it's // [1]"
reasons = st.sampled_from(["stop", "tool_calls", "length", "network_error", None])
WRAPPINGS: dict[str, tuple[str, str, str]] = {
    "whole": ("", "", "whole"),
    "prefix": ("Here is the JSON: ", "\nDone :-) ]", "text"),
    "fence": ("So:\n```json\n", "\n```\nDone.", "fence"),
    "open fence": ("So:\n```\n", "", "fence"),
    "thought": ('<think>\n{"x": 1}\n</think>\n', "\n", "whole"),
    "box": ("<|begin_of_box|>", "<|end_of_box|>", "box"),
    "fence in a box": ("So <|begin_of_box|>\n```json\n", "```\n<|end_of_box|>\n", "box"),
}
"""What may stand before and after a value, and where that is then said to stand."""


@given(values, reasons, st.sampled_from([None, 2]), st.booleans())
@examples(200)
def test_strict_json_is_what_json_reads(value: Any, reason: str | None, indent: int | None, ascii_only: bool) -> None:
    """An answer that is JSON and nothing else is never mended, whatever it holds and however it ended."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    result = extract(f" {text}\n", finish_reason=reason)
    assert isinstance(result, Extraction)
    assert same(result.value, json.loads(text))
    assert (result.repairs, result.place, result.ambiguous) == ((), "whole", False)


@given(containers, prose, prose, reasons, st.sampled_from([None, 2]))
@examples(300)
def test_strict_json_in_prose_is_not_mended(
    value: Any, before: str, after: str, reason: str | None, indent: int
) -> None:
    """An object or list among words is what json reads there."""
    text = json.dumps(value, indent=indent)
    result = extract(f"x{before}{text}{after}.", finish_reason=reason)
    assert isinstance(result, Extraction)
    assert same(result.value, json.loads(text))
    assert (result.repairs, result.place) == ((), "text")


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@given(containers.filter(bool), reasons)
@examples(60)
@example({"a": MARKED, "b": {"c": '{"d": 1}'}}, "length")
@example([MARKED, {"a": 1}], "stop")
def test_strict_json_is_found(wrapping: str, value: Any, reason: str | None) -> None:
    """A whole value is found inside of anything that is usual, as json reads it."""
    begin, end, place = WRAPPINGS[wrapping]
    text = json.dumps(value)
    result = extract(begin + text + end, finish_reason=reason)
    assert isinstance(result, Extraction)
    assert same(result.value, json.loads(text))
    assert (result.repairs, result.place, result.ambiguous) == ((), place, False)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@given(containers, st.sampled_from(["length", "model_context_window_exceeded", "sensitive", "network_error", "new"]))
@examples(60)
@example([{"a": 1}, {"a": [2]}], "length")
@example({"a": "[1] {}", "b": {"c": '{"d": 1}'}}, "length")
@example({"a": MARKED, "b": [2]}, "length")
@example([MARKED, [MARKED], 2], "network_error")
def test_a_truncated_answer_never_gives_a_shorter_value(wrapping: str, value: Any, reason: str) -> None:
    """Wherever an answer is cut off before its value is whole, it has none, and the failure says so."""
    text = json.dumps(value)
    begin = WRAPPINGS[wrapping][0]
    for end in range(len(text)):
        result = extract(begin + text[:end], finish_reason=reason)
        assert isinstance(result, NoExtraction), (begin + text[:end], result)
        assert result.kind == "truncated"
        unknown = extract(begin + text[:end])
        assert isinstance(unknown, NoExtraction)
        assert unknown.kind in ("truncated", "no_json", "empty")


@given(containers, st.sampled_from(sorted(WRAPPINGS)))
@examples(150)
def test_only_brackets_are_added_to_what_a_model_ended(value: Any, wrapping: str) -> None:
    """Cut anywhere and said to have ended: there is the value so far with brackets added, or none."""
    text = json.dumps(value)
    begin = WRAPPINGS[wrapping][0]
    for end in range(len(text)):
        result = extract(begin + text[:end], finish_reason="stop")
        if isinstance(result, Extraction):
            assert "missing_brackets" in result.repairs
            assert not text[:end].rstrip().endswith((",", ":", "[", "{"))
            # a number that lost its last digits cannot be told from a whole one
            assert is_prefix(result.value, value) or text[:end][-1] in "0123456789"


plain_text = st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="\\\u00ad"), max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | plain_text,
    lambda members: st.lists(members, max_size=3) | st.dictionaries(plain_text, members, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, (dict, list)))


@given(plain)
@examples(300)
def test_what_python_prints_is_read(value: Any) -> None:
    """The text of a Python dict or list gives it back, and says what was mended, if anything."""
    result = extract(repr(value), finish_reason="stop")
    if any(not char.isprintable() for char in json.dumps(value, ensure_ascii=False)):
        return  # Python writes these with escapes that JSON has not
    assert isinstance(result, Extraction)
    assert same(result.value, value)
    assert set(result.repairs) <= {"single_quotes", "python_literals", "needless_escapes"}
    assert (result.repairs == ()) == (
        repr(value).replace(" ", "") == json.dumps(value, ensure_ascii=False).replace(" ", "")
    )


@given(plain.filter(bool))
@examples(200)
def test_chinese_punctuation_between_tokens_is_read(value: Any) -> None:
    """JSON whose punctuation and quotes became Chinese is read as it was; what stands in its strings stays."""

    def chinese(token: re.Match[str]) -> str:
        if token[0].startswith('"'):
            return f"“{token[1]}”"
        return {"[": "【", "]": "】", "{": "｛", "}": "｝", ",": "，", ":": "："}[token[0]]

    text = json.dumps(value, ensure_ascii=False)
    if '\\"' in text or "“" in text or "”" in text:
        return
    result = extract("结果" + re.sub(r'"([^"]*)"|[][{},:]', chinese, text), finish_reason="stop")
    assert isinstance(result, Extraction)
    assert same(result.value, value)
    assert set(result.repairs) <= {"full_width_punctuation", "curly_quotes"}
    assert "full_width_punctuation" in result.repairs


TOKENS = [
    *"[]{}:,\"'`~/*#\\\n 1-e，：“”【】x\ufeff",
    *("```", "```json\n", "<think>", "</think>", "<|begin_of_box|>", "<|end_of_box|>"),
    *('"a"', '"a":', "1,", "true", "None", '{"a":1}', "[1]", '\\"', "//", "/*", "*/"),
]
pieces = st.lists(st.sampled_from(TOKENS), max_size=14).map("".join)


def strict_values(text: str) -> list[str]:
    """Every JSON value that stands anywhere in a text, in one spelling."""
    found: list[str] = []
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            try:
                found.append(json.dumps(json.loads(text[start:end])))
            except ValueError:
                continue
    return found


@given(pieces, reasons)
@examples(1500)
@example("```[1", "length")
@example('<think>{"a":1}</think>[', None)
def test_any_text(text: str, reason: str | None) -> None:
    """Nothing raises. A value without repairs stands in the answer as strict JSON; brackets are added to whole ones."""
    result = extract(text, finish_reason=reason)
    if isinstance(result, NoExtraction):
        assert result.message
        assert (result.kind == "empty") == (not text.strip() and reason in ("stop", "tool_calls", None))
        return
    if not result.repairs:
        assert json.dumps(result.value) in strict_values(text)
    if reason not in ("stop", "tool_calls"):
        assert not {"missing_brackets", "values_in_a_row", "unclosed_thinking"} & set(result.repairs)
    assert len(set(result.repairs)) == len(result.repairs)


# Judging.


def test_the_message_is_the_validators() -> None:
    """A refusal has the validator's words and the place, and keeps the value that it was about."""
    text = '```json\n{"items": [{"name": "tea", "price": 1}, {"name": "rice", "price": "x"}]}\n```'
    result = extract(text, accepting(Order), finish_reason="stop")
    assert isinstance(result, NoExtraction)
    assert result.kind == "unfit"
    assert result.message == "Expected `float`, got `str` - at `$.items[1].price`"
    assert result.path == "$.items[1].price"
    assert result.json["items"][0] == {"name": "tea", "price": 1}


def test_a_message_without_a_place() -> None:
    """Other validators say what they like; there is no path then."""

    def refuse(value: Any) -> int:
        raise ValueError("too cheap")

    result = extract("1", refuse, finish_reason="stop")
    assert isinstance(result, NoExtraction)
    assert (result.message, result.path, result.json) == ("too cheap", None, 1)


def test_the_best_value_is_complained_of() -> None:
    """When all are refused, the words are about the value in the best place, with what was mended in it."""
    result = extract("{\"name\": 1} ```json\n{'name': 2}\n```", accepting(Item), finish_reason="stop")
    assert isinstance(result, NoExtraction)
    assert (result.json, result.repairs) == ({"name": 2}, ("single_quotes",))


def test_a_broken_value_in_a_better_place_is_complained_of() -> None:
    """A value that fits nothing does not hide that the real one could not be read."""
    result = extract('{"x": 1} ```json\n{"name": oops}\n```', accepting(Item), finish_reason="stop")
    assert isinstance(result, NoExtraction)
    assert (result.kind, result.json) == ("broken", None)


def test_errors_of_a_validator_that_are_no_refusal() -> None:
    """An error that speaks of no value comes out."""

    def fail(value: Any) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        extract("{}", fail, finish_reason="stop")


def test_the_validator_is_asked_about_few() -> None:
    """Of a thousand values the best 64 are judged, each once."""
    asked: list[Any] = []

    def refuse(value: Any) -> int:
        asked.append(value["a"])
        raise ValueError("no")

    text = " or ".join(f'{{"a": {number}}}' for number in range(1000))
    result = extract(text, refuse, finish_reason="stop")
    assert isinstance(result, NoExtraction)
    assert asked == list(range(64))


@pytest.mark.parametrize("text", ["```\n[1]\n```", "```\n[1] or\n```", "<|begin_of_box|>[1]<|end_of_box|>", "x [1]"])
def test_a_value_is_judged_once_in_its_best_place(text: str) -> None:
    """What stands in a fence or a box is not asked about again as prose around it."""
    asked: list[Any] = []

    def refuse(value: Any) -> int:
        asked.append(value)
        raise ValueError("no")

    assert isinstance(extract(text, refuse, finish_reason="stop"), NoExtraction)
    assert asked == [[1]]


def test_ambiguous_means_accepted_too() -> None:
    """Another value that the validator refuses makes nothing ambiguous."""
    text = '{"name": "tea", "price": 1} or {"name": "rice", "price": "2"}'
    result = extract(text, accepting(Item), finish_reason="stop")
    assert isinstance(result, Extraction)
    assert (result.value, result.ambiguous) == (Item("tea", 1.0), False)


def test_a_search_that_is_given_up_says_so() -> None:
    """What begins like JSON again and again without end is not read to its end; a value before it is in doubt."""
    endless = "[/*" * 1000
    nothing = extract(endless, finish_reason="stop")
    assert isinstance(nothing, NoExtraction)
    assert (nothing.kind, nothing.message) == ("broken", "too much of the answer begins like JSON and is none")
    something = extract('{"a": 1}' + endless, finish_reason="stop")
    assert isinstance(something, Extraction)
    assert (something.value, something.ambiguous) == ({"a": 1}, True)


# The work.

HOSTILE = [
    *("[", "{", '"', "'", "`", "~", "\\", "\n", " ", "\ufeff", "“", "【", "1", "a", "<", "/*", "//", "#", "-"),
    *(
        "[[1]x",
        '{"',
        '["',
        "['",
        "[“",
        "{a",
        "{a:",
        '{"a":',
        "{'a':",
        "[1,",
        '[{"a":1},',
        "[]",
        "{}",
        "[1]x",
        '{"a":1}',
    ),
    *("```", "``` ", "```\n", "\n```", "```json\n", "~~~\n```\n", "```[", '```{"', '```["a",', "```json\n{}\n```\n"),
    *(
        "[/*",
        "[//",
        "[#",
        "```[/*",
        "```json\n[/*",
        "[/*'",
        '["\\',
        '{"\\"',
        "{\\",
        '{\\"',
        "\\\\",
        "['\\'",
        '"[',
        "'[",
    ),
    *("<think>", "</think>", "<think>[", "[1]<think>", "<|begin_of_box|>", "<|begin_of_box|>[", "<|end_of_box|>[1]"),
    *(
        "[-",
        "[1e",
        "[0",
        "[tru",
        "[True,",
        "{“a”：",
        "【1，",
        "[\ufeff",
        "[ ",
        "[\n",
        '[""',
        "['' ",
        "][",
        "}{",
        "]}",
        "]",
    ),
    *('```json\n["\n```\n', "```json\n[/*\n```\n", '```\n{"a": "\n```\n', "\n\n\t\t```", '[" ```\n', "['\n```\n"),
]


def looked(text: str) -> tuple[int, int]:
    """Characters looked at in values, and lines of Python run, to search an answer."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    search, previous = Search(text, whole=True), sys.gettrace()
    sys.settrace(trace)
    try:
        search.run()
    finally:
        sys.settrace(previous)
    return search.looked, lines


@pytest.mark.parametrize("pattern", HOSTILE, ids=repr)
def test_work_is_linear(pattern: str) -> None:
    """Twice the hostile text takes about twice the work, and no character is looked at often."""
    small, large = (looked(pattern * number) for number in (400, 800))
    assert large[1] <= 2.2 * small[1] + 200
    assert large[0] <= 2.2 * small[0] + 200
    assert large[0] <= 40 * len(pattern) * 800


@pytest.mark.heavy
@pytest.mark.parametrize("pattern", HOSTILE, ids=repr)
def test_hostile_texts_end(pattern: str) -> None:
    """A hundred thousand characters of anything give a result: nothing recurses, nothing takes the square of them."""
    result = extract(pattern * (100_000 // len(pattern)), finish_reason="stop")
    assert isinstance(result, (Extraction, NoExtraction))
