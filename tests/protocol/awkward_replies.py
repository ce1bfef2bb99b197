"""Answers of models that were asked for JSON, as they come, and what is to be made of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

Fails = Literal["empty", "no_json", "broken", "truncated", "unfit"]
NOTHING: Any = object()
"""The value of a reply that has none."""


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """A thing with a price."""

    name: str
    price: float


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """Some of them."""

    items: list[Item]


@dataclass(frozen=True)
class Reply:
    """One answer: its text and finish reason, and either the JSON value that it holds or how it fails."""

    id: str
    text: str
    value: Any = NOTHING
    """Expected JSON; of a reply with a shape, before it is converted. NOTHING where it fails."""
    repairs: tuple[str, ...] = ()
    place: str = "whole"
    ambiguous: bool = False
    fails: Fails | None = None
    finish_reason: str | None = "stop"
    shape: Any = None
    """The type that is asked for; None takes any JSON."""
    message: str = ""
    """A part of the message of a failure."""


ONE = {"a": 1}
DEEP = json.loads("[" * 128 + "]" * 128)
TEA = {"name": "tea", "price": 1.5}

REPLIES = [
    # Strict JSON, wherever it stands.
    Reply("plain", '{"a": 1}', ONE),
    Reply("plain list", "[1, 2]", [1, 2]),
    Reply("a newline first, as GLM likes it", '\n{"a": 1}\n', ONE),
    Reply("a bare number", "42", 42),
    Reply("a bare literal", " true ", True),
    Reply("null", "null", None),
    Reply(
        "strict JSON is never mended",
        '{"a": "“x”，: \'y\', // no [1,] <think>"}',
        {"a": "“x”，: 'y', // no [1,] <think>"},
    ),
    Reply("strict JSON that tells of fences", '{"a": "```json\\n{}\\n```"}', {"a": "```json\n{}\n```"}),
    Reply("equal keys", '{"a": 0, "a": 1}', ONE),
    Reply("a fence", '```json\n{"a": 1}\n```', ONE, place="fence"),
    Reply("a fence without a name", '```\n{"a": 1}\n```', ONE, place="fence"),
    Reply("a fence in capitals and CRLF", '```JSON\r\n{"a": 1}\r\n```\r\n', ONE, place="fence"),
    Reply("a fence of tildes", '~~~json\n{"a": 1}\n~~~', ONE, place="fence"),
    Reply("a fence of four", '````json\n{"a": 1}\n````', ONE, place="fence"),
    Reply("a fence on one line", 'So: ```json {"a": 1} ``` and done.', ONE, place="fence"),
    Reply("a fence without an end", 'Sure!\n```json\n{"a": 1}\n', ONE, place="fence"),
    Reply("a fence that ends behind the value", '```json\n{"a": 1}```\nThat is all [1].', ONE, place="fence"),
    Reply("an indented fence in a list", '1. this:\n   ```json\n   {"a": 1}\n   ```\n2. that', ONE, place="fence"),
    Reply("a bare number in a fence", "The answer:\n```json\n7\n```", 7, place="fence"),
    Reply(
        "a fence in a string of a fence", '```json\n{"a": "```\\nx\\n```"}\n```', {"a": "```\nx\n```"}, place="fence"
    ),
    Reply("the same in two fences", '```json\n{"a": 1}\n```\nagain\n```json\n{"a":1}\n```', ONE, place="fence"),
    Reply(
        "a second fence with another value, the last is taken",
        '```json\n{"a": 2}\n```\nNo, corrected:\n```json\n{"a": 1}\n```',
        ONE,
        place="fence",
        ambiguous=True,
    ),
    Reply(
        "a broken fence, then its correction",
        '```json\n{"a": oops}\n```\nSorry:\n```json\n{"a": 1}\n```',
        ONE,
        place="fence",
        ambiguous=True,
    ),
    Reply("code and a fence of JSON", '```python\nx = {"b": 2}\n```\n```json\n{"a": 1}\n```', ONE, place="fence"),
    Reply(
        "a fence of JSON before one without a name", '```json\n{"a": 1}\n```\n```\n{"b": 2}\n```', ONE, place="fence"
    ),
    Reply(
        "two values in one fence",
        '```json\n{"b": 2}\n{"a": 1}\n```',
        ONE,
        place="fence",
        ambiguous=True,
    ),
    Reply(
        "two fences, the first without an end",
        '```json\n{"b": 2}\n```json\n{"a": 1}\n```',
        ONE,
        place="fence",
        ambiguous=True,
    ),
    Reply(
        "a fence in a line before another",
        'Not ```{"b": 2}``` but\n```\n{"a": 1}\n```',
        ONE,
        place="fence",
        ambiguous=True,
    ),
    Reply("a prefix", 'Here is the JSON: {"a": 1}', ONE, place="text"),
    Reply("a prefix and trailing text", 'Here is the JSON:\n\n{"a": 1}\n\nHope this helps! :}', ONE, place="text"),
    Reply("a Chinese prefix", '好的，以下是结果：{"a": 1}。希望有帮助！', ONE, place="text"),
    Reply("a list after a prefix", "The list is [1, 2].", [1, 2], place="text"),
    Reply("a citation before", 'As [1] and [2, 3] say: {"a": 1}', ONE, place="text"),
    Reply("a link before", '[See](https://x.test/{id}) and {name}: {"a": 1}', ONE, place="text"),
    Reply("a heading of Chinese brackets", '【结果】{"a": 1}', ONE, place="text"),
    Reply("an apostrophe in brackets before", "[it's here, don't worry] {\"a\": 1}", ONE, place="text"),
    Reply("a year in brackets before", '[\'90s music] {"a": 1}', ONE, place="text"),
    Reply("a half-open interval before", 'For x in [0, 1) and [[1, 2], [3, 4)): {"a": 1}', ONE, place="text"),
    Reply("a set before", 'Of {1, 2, 3}: {"a": 1}', ONE, place="text"),
    Reply("an issue number before", '[#12] gives {"a": 1}', ONE, place="text"),
    Reply("an empty object is less than a full one", 'Not {} but {"a": 1}', ONE, place="text"),
    Reply("a fence in something broken", '{"x": oops\n```json\n{"a": 1}\n```', ONE, place="fence", ambiguous=True),
    Reply(
        "a box in something broken",
        '{"x": oops <|begin_of_box|>{"a": 1}<|end_of_box|>}',
        ONE,
        place="box",
        ambiguous=True,
    ),
    Reply(
        "a broken fence without a name before one of JSON",
        '```\n{"a": "x\n```\nor\n```json\n{"a": 1}\n```',
        ONE,
        place="fence",
        ambiguous=True,
    ),
    Reply("a broken draft with an odd quote", '{"a": oops "b}\n} or {"a": 1}', ONE, place="text", ambiguous=True),
    Reply("a citation before what is mended", "As [1] says: {a: 1}", ONE, ("unquoted_keys",), "text"),
    Reply(
        "a box in a broken fence",
        '```json\n{"x": oops <|begin_of_box|>{"a": 1}<|end_of_box|>}\n```',
        ONE,
        place="box",
        ambiguous=True,
    ),
    Reply("two different objects", '{"a": 1} or {"a": 2}?', ONE, place="text", ambiguous=True),
    Reply("the same object twice", '{"a": 1, "b": 2} is {"b": 2, "a": 1}', {"a": 1, "b": 2}, place="text"),
    Reply("one and true are different", '{"a": 1} or {"a": true}', ONE, place="text", ambiguous=True),
    Reply("a broken draft before", 'First {"a": oops}, then {"a": 1}', ONE, place="text", ambiguous=True),
    Reply("deep nesting", "[" * 128 + "]" * 128, DEEP),
    # Marks.
    Reply("a thought", '<think>maybe {"a": 2}?</think>\n{"a": 1}', ONE),
    Reply("an empty thought", '<think></think>{"a": 1}', ONE),
    Reply("a thought without a beginning", 'I would say {"a": 2}.\n</think>\n\n{"a": 1}', ONE),
    Reply("a thought and a fence", '<think>hm</think>\n```json\n{"a": 1}\n```', ONE, place="fence"),
    Reply("two thoughts", '<think>{"x": 1}</think>{"a": 1}<think>{"y": 1}</think>', ONE),
    Reply("a broken draft in a thought without a beginning", 'Is it {"a": 2, "b\n</think>\n{"a": 1}', ONE),
    Reply("a mark of thought in a string", 'So: {"a": "</think>"}', {"a": "</think>"}, place="text"),
    Reply("a thought that ends twice", '{"b": 2}<think>x</think></think>{"a": 1}', ONE),
    Reply(
        "a box in a string",
        'So: {"a": "<|begin_of_box|>[1]<|end_of_box|>"}',
        {"a": "<|begin_of_box|>[1]<|end_of_box|>"},
        place="text",
    ),
    Reply("a box", '<|begin_of_box|>{"a": 1}<|end_of_box|>', ONE, place="box"),
    Reply("a box with prose around", 'Not {"b": 2}: <|begin_of_box|>{"a": 1}<|end_of_box|>.', ONE, place="box"),
    Reply("a box without an end", '<|begin_of_box|>{"a": 1}', ONE, place="box"),
    Reply("a fence in a box", '<|begin_of_box|>```json\n{"a": 1}\n```<|end_of_box|>', ONE, place="box"),
    Reply("a thought and a box", "<think>5?</think><|begin_of_box|>7<|end_of_box|>", 7, place="box"),
    Reply(
        "two boxes, the last is taken",
        "<|begin_of_box|>[2]<|end_of_box|> or <|begin_of_box|>[1]<|end_of_box|>",
        [1],
        place="box",
        ambiguous=True,
    ),
    Reply(
        "a thought that never ends, of a model that ended",
        '<think>The answer is {"a": 1}',
        ONE,
        ("unclosed_thinking",),
        place="thinking",
    ),
    Reply("an answer before a thought", '{"a": 1}<think>or {"a": 2}', ONE),
    # Small mistakes.
    Reply("single quotes", "{'a': 'it\\'s \"so\"'}", {"a": 'it\'s "so"'}, ("single_quotes",)),
    Reply("a Python dict", "{'a': True, 'b': None}", {"a": True, "b": None}, ("single_quotes", "python_literals")),
    Reply("a Python literal", "True", True, ("python_literals",)),
    Reply("trailing commas", '{"a": [1, 2,],\n}', {"a": [1, 2]}, ("trailing_comma",)),
    Reply("a comma behind all", '{"a": 1},', ONE),
    Reply("comments", '{\n// the a\n"a": 1, # one\n/* no\nmore */}', ONE, ("comments", "trailing_comma")),
    Reply("a comment that looks like a URL", '{"a": "http://x"} // http://y', {"a": "http://x"}, place="text"),
    Reply("unquoted keys", "{a: 1, $b_2: 2, 名: 3, 4: 4}", {"a": 1, "$b_2": 2, "名": 3, "4": 4}, ("unquoted_keys",)),
    Reply("curly quotes", '{“a”: “x"y”}', {"a": 'x"y'}, ("curly_quotes",)),
    Reply("right quotes only", "{”a”: ’x’}", {"a": "x"}, ("curly_quotes",)),
    Reply(
        "Chinese punctuation throughout",
        "答案如下：｛“名称”：“茶，热的：好”，“价格”：［1，2、3］｝。",
        {"名称": "茶，热的：好", "价格": [1, 2, 3]},
        ("full_width_punctuation", "curly_quotes"),
        place="text",
    ),
    Reply(
        "Chinese punctuation between ASCII strings",
        '{"a"：1，"b"：【2】}',
        {"a": 1, "b": [2]},
        ("full_width_punctuation",),
    ),
    Reply("full-width quotes", "{＂a＂:1}", ONE, ("curly_quotes",)),
    Reply("raw line breaks", '{"a": "one\n\ttwo"}', {"a": "one\n\ttwo"}, ("raw_line_breaks",)),
    Reply("raw line breaks beside escapes", '{"a": "one\n\\ttwo"}', {"a": "one\n\ttwo"}, ("raw_line_breaks",)),
    Reply("an escaped apostrophe", '{"a": "it\\\'s \\"so\\""}', {"a": 'it\'s "so"'}, ("needless_escapes",)),
    Reply("a byte order mark", '\ufeff{"a": 1}', ONE, ("invisible_characters",)),
    Reply("zero-width and no-break spaces", '{\u200b"a":\u00a01}\u3000', ONE, ("invisible_characters",)),
    Reply("missing brackets", '{"a": [1, {"b": "c"}', {"a": [1, {"b": "c"}]}, ("missing_brackets",)),
    Reply(
        "missing brackets in a fence",
        '```json\n{"a": [1, 2]\n```\nDone.',
        {"a": [1, 2]},
        ("missing_brackets",),
        "fence",
    ),
    Reply(
        "mistakes in a fence",
        "```json\n{a: 'x',}\n```",
        {"a": "x"},
        ("unquoted_keys", "single_quotes", "trailing_comma"),
        "fence",
    ),
    Reply("strict in prose comes before mended", '{a: 2} is not {"a": 1}', ONE, place="text"),
    Reply("JSON in a string", '"{\\"a\\": 1}"', ONE, repairs=("double_encoded",), shape=dict),
    Reply("JSON in a string, when any value will do", '"{\\"a\\": 1}"', '{"a": 1}'),
    Reply(
        "JSON in a string with a mistake", "\"{'a': 1}\"", ONE, repairs=("double_encoded", "single_quotes"), shape=dict
    ),
    Reply(
        "JSON with the escapes of a string",
        '{\\"a\\": \\"x\\ny\\"}',
        {"a": "x\ny"},
        ("double_encoded", "raw_line_breaks"),
    ),
    Reply("JSON with the escapes of a string, around it too", 'So: {\\n  \\"a\\": 1\\n}', ONE, ("double_encoded",)),
    Reply("values in a row", '{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}], ("values_in_a_row",), "text", shape=list),
    Reply("values in a row, when any value will do", '{"a": 1}\n{"a": 2}', ONE, place="text", ambiguous=True),
    Reply(
        "values in a row in a fence",
        "```jsonl\n{'a': 1},\n{\"a\": 2}\n```",
        [{"a": 1}, {"a": 2}],
        ("single_quotes", "values_in_a_row"),
        "text",
        shape=list,
    ),
    # Answers that were cut off.
    Reply("cut off in a string", '{"a": "x', fails="truncated", finish_reason="length"),
    Reply("cut off behind a member", '{"a": [1, 2]', fails="truncated", finish_reason="length"),
    Reply("cut off in a list of objects", '[{"a": 1}, {"a": 2}, {"a"', fails="truncated", finish_reason="length"),
    Reply("cut off behind an object of a list", '[{"a": 1}, {"a": 2}', fails="truncated", finish_reason="length"),
    Reply(
        "cut off by the context", 'Here: {"a": [1, ', fails="truncated", finish_reason="model_context_window_exceeded"
    ),
    Reply("cut off inside the service", '```json\n{"a": 1', fails="truncated", finish_reason="network_error"),
    Reply("cut off, nobody knows why", '{"a": 1', fails="truncated", finish_reason=None),
    Reply("cut off before a value", "Let me see. The", fails="truncated", finish_reason="length"),
    Reply("cut off before anything", "", fails="truncated", finish_reason="length"),
    Reply("cut off at its first bracket", "Here: {", fails="truncated", finish_reason="length"),
    Reply("cut off in a thought", '<think>maybe {"a": 1}', fails="truncated", finish_reason="length"),
    Reply("cut off with mistakes", "{'a': [1, 2,", fails="truncated", finish_reason="length"),
    Reply("cut off in its correction", '{"a": 2}. No: {"a": [1, ', fails="truncated", finish_reason="length"),
    Reply("cut off in a broken one", '{"a": 2}. No: {"a": oops, "b": [', fails="truncated", finish_reason="length"),
    Reply(
        "cut off with a fence in a string", '{"a": "```json\\n[1]\\n```", "b', fails="truncated", finish_reason="length"
    ),
    Reply("cut off with a raw fence", '{"a": "x\n```json\n[1]\n```\n an', fails="truncated", finish_reason="length"),
    Reply(
        "cut off with a box in a string",
        '{"a": "<|begin_of_box|>[1]<|end_of_box|>", "b',
        fails="truncated",
        finish_reason="length",
    ),
    Reply(
        "cut off in a fence with marks in its strings",
        '```json\n{"a": ["```json\\n[1]\\n```", "<|begin_of_box|>[2]<|end_of_box|>", "</think>", [3], ',
        fails="truncated",
        finish_reason="length",
    ),
    Reply("cut off behind the value", '{"a": 1}\n\nThis mea', ONE, place="text", finish_reason="length"),
    Reply(
        "cut off in an example behind a fence",
        '```json\n{"a": 1}\n```\nor {"b',
        ONE,
        place="fence",
        finish_reason="length",
    ),
    Reply("cut off between values in a row", '{"a": 1}\n{"a": 2}\n', fails="unfit", finish_reason="length", shape=list),
    Reply("not cut off at all", '{"a": 1}', ONE, finish_reason="length"),
    Reply(
        "mistakes before the cut",
        "{'a': 1,} This m",
        ONE,
        ("single_quotes", "trailing_comma"),
        "text",
        finish_reason="length",
    ),
    Reply("ended in a list of JSON in strings", 'Here: [\n "{\\"a\\":1}"', fails="no_json"),
    Reply("ended behind a mark in a string", '["</think>", [1], {"', fails="broken"),
    Reply("ended in a string", '{"a": "x', fails="broken", message="a string has no end"),
    Reply("ended behind a comma", '{"a": [1,', fails="broken", message="it ended before the rest"),
    Reply("ended behind a colon", '{"a":', fails="broken"),
    Reply("ended in a word", '{"a": tru', fails="broken"),
    # What cannot be mended.
    Reply("nothing", "", fails="empty"),
    Reply("blanks", " \n\t", fails="empty"),
    Reply("a refusal", "I'm sorry, I can't help with that.", fails="no_json"),
    Reply("a Chinese refusal", "“抱歉”，我无法回答这个问题【1x】。", fails="no_json"),
    Reply("code", "```python\nprint(x[i])\n```", fails="no_json"),
    Reply("a missing comma", '{"a": 1 "b": 2}', fails="broken", message="expected a comma or a closing bracket, near"),
    Reply("a missing colon", '{"a" 1}', fails="broken", message="expected a colon"),
    Reply("a missing value", '{"a": , "b": {"a": 1}}', fails="broken", message="expected a value"),
    Reply("quotes inside of a string", '{"a": "say "hi" now", "b": {"a": 1}}', fails="broken"),
    Reply("an abbreviated list", '{"a": [1, 2, ...], "b": {"a": 1}}', fails="broken", message="expected a value"),
    Reply("NaN", '{"a": NaN}', fails="broken"),
    Reply("an infinite number", '{"a": 1e999}', fails="broken", message="finite"),
    Reply("a leading zero", '{"a": 01}', fails="broken"),
    Reply("a word as a value", '{"a": yes}', fails="broken"),
    Reply("an escape that JSON has not", r'{"a": "\d+"}', fails="broken", message="escapes of JSON"),
    Reply("brackets of two kinds", '{"a": [1, 2}]', fails="broken"),
    Reply("a list of objects with an error inside", '[{"a": 1}, {"a": 2} oops {"a": 3}]', fails="broken"),
    Reply("an object with an error before a whole one", '{"x": oops, "y": {"a": 1}}', fails="broken"),
    Reply("an error behind an unquoted key", '{a: oops, b: {"a": 1}}', fails="broken"),
    Reply("an error behind a string of single quotes", "['x', oops {\"a\": 1}]", fails="broken"),
    Reply("a bracket of prose without an end", "as in [1", fails="no_json"),
    Reply("a number of too many digits", '{"a": 0.' + "7" * 5000 + "}", fails="broken", message="4300 digits"),
    Reply("a comment without an end", '{"a": 1 /* one }', fails="broken"),
    Reply("too deep", "[" * 129 + "]" * 129, fails="broken", message="128 levels"),
    Reply("a draft in the thought alone", '<think>{"a": 1}</think>Done.', fails="no_json"),
    # Answers of the wrong type.
    Reply("the right type", '{"items": [{"name": "tea", "price": 1.5}]}', {"items": [TEA]}, shape=Order),
    Reply("the example first", 'Like {"items": "..."}: {"items": []}', {"items": []}, place="text", shape=Order),
    Reply(
        "the schema repeated in a fence",
        '```json\n{"name": "tea", "price": 1.5}\n```\nas asked by\n```json\n{"type": "object"}\n```',
        TEA,
        place="fence",
        shape=Item,
    ),
    Reply(
        "two of the right type",
        '{"name": "tea", "price": 1.5} or {"name": "tea", "price": 2.5}',
        TEA,
        place="text",
        ambiguous=True,
        shape=Item,
    ),
    Reply(
        "a text for a number",
        '{"name": "tea", "price": "1.5"}',
        fails="unfit",
        shape=Item,
        message="Expected `float`, got `str`",
    ),
    Reply(
        "a field too many",
        '{"name": "tea", "price": 1, "x": 2}',
        fails="unfit",
        shape=Item,
        message="unknown field `x`",
    ),
    Reply("an object for a list", '{"a": 1}', fails="unfit", shape=list, message="Expected `array`, got `object`"),
    Reply("prose for a number", "7 or 8", fails="no_json", shape=int),
    Reply("wrong, and mended at that", "{'name': 5, 'price': 1}", fails="unfit", shape=Item, message="`$.name`"),
    Reply(
        "wrong, but it was cut off", '[{"name": 5}] and {"nam', fails="truncated", shape=Item, finish_reason="length"
    ),
]
