"""Made-up values for JSON schemas."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.simulator.invention import invent, schema_in
from zhipu_async.simulator.text import argument_pieces, words


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "string", "enum": ["celsius", "fahrenheit"]}, "in Fahrenheit", "fahrenheit"),
        ({"type": "string", "enum": ["celsius", "fahrenheit"]}, "", "celsius"),
        ({"const": 3}, "", 3),
        ({"type": "integer", "default": 7}, "5", 7),
        ({"type": "integer", "minimum": 1, "maximum": 9}, "in 20 minutes or 5", 5),
        ({"type": "integer", "exclusiveMinimum": 1}, "", 2),
        ({"type": "integer", "maximum": -3}, "", -3),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "", 0.5),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "boolean"}, "", True),
        ({"type": "null"}, "", None),
        ({"type": ["null", "integer"]}, "4", 4),
        ({"type": "string", "format": "date"}, "", "2026-11-20"),
        ({"type": "string", "maxLength": 3}, "abcdef", "abc"),
        ({"type": "string"}, 'Search for "large models" now', "large models"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, "3", [3, 3]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "3", 3),
        ({}, "text", "text"),
        ({"type": "object", "properties": {"city": {"type": "string"}}}, "深圳的天气", {"city": "深圳"}),
        ({"type": "object", "properties": {"city": {}}}, "the weather in Little Rock", {"city": "Little Rock"}),
        ({"type": "object", "properties": {"city": {}}}, "weather", {"city": "Beijing"}),
        ({"type": "object", "properties": {"where": {"description": "The city"}}}, "巴黎", {"where": "巴黎"}),
        ({"type": "object"}, "", {}),
        (
            {
                "$ref": "#/$defs/A",
                "$defs": {"A": {"properties": {"b": {"$ref": "#/$defs/B"}}}, "B": {"type": "boolean"}},
            },
            "",
            {"b": True},
        ),
    ],
)
def test_invented(schema: dict[str, Any], text: str, expected: Any) -> None:
    """A value fits its schema, and takes from the text what fits."""
    value = invent(schema, text)
    assert value == expected
    assert type(value) is type(expected)


def test_a_schema_that_holds_itself_ends() -> None:
    """A recursive schema gives a value of bounded depth."""
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert str(invent(node, "")).count("next") < 10


def test_schema_in_a_text() -> None:
    """The first object schema in a text is found between other braces."""
    assert schema_in('{x} {"a": 1} {"properties": {"b": {}}} {"properties": {}}') == {"properties": {"b": {}}}
    assert schema_in("no { schema") is None


@given(st.text())
def test_words_add_up(text: str) -> None:
    """The pieces of a text add up to it."""
    assert "".join(words(text)) == text


@given(st.text())
def test_argument_pieces_add_up(text: str) -> None:
    """The pieces of arguments have at most five characters and add up to them, and there is at least one."""
    pieces = argument_pieces(text)
    assert "".join(pieces) == text
    assert pieces
    assert max(map(len, pieces)) <= 5
