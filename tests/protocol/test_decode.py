"""An answer's bytes to its struct: strictly, then tolerantly, then not at all (README.md section 5)."""

from __future__ import annotations

import enum
import json
import logging
from datetime import datetime
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.errors import DecodeError
from zhipu_async.protocol.codec import decode
from zhipu_async.types.chat import ChatCompletion, ChatCompletionChunk
from zhipu_async.types.models import ModelList
from zhipu_async.types.texts import EmbeddingResponse

from .feeding import examples, plain

RECORDED: dict[str, dict[str, Any]] = {
    "a plain answer (glm-5.3-flash, Aug 2026)": {
        "id": "202608300641415b04153eac2a4b27", "request_id": "202608300641415b04153eac2a4b27", "created": 1788043304,
        "model": "glm-5.3-flash", "object": "chat.completion",
        "choices": [{"finish_reason": "stop", "message": {
            "role": "assistant", "content": "2 + 2 = 4", "reasoning_content": "This is a very simple ...",
        }}],
        "usage": {
            "prompt_tokens": 20, "completion_tokens": 91, "total_tokens": 111,
            "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 82},
        },
    },
    "a tool answer (glm-5-turbo, Jun 2026)": {
        "choices": [{"finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "", "reasoning_content": "...",
            "tool_calls": [{
                "id": "call_-7557876868716684177", "type": "function", "index": 0,
                "function": {"name": "get_weather", "arguments": '{"city":"Tokyo"}'},
            }],
        }}],
    },
    "thought only (glm-5.1)": {
        "choices": [{"finish_reason": "length", "message": {"role": "assistant", "reasoning_content": "..."}}],
    },
}  # fmt: skip


@pytest.mark.parametrize("answer", RECORDED.values(), ids=RECORDED)
def test_recorded_answers(answer: dict[str, Any]) -> None:
    """Recorded answers decode strictly, without a drop, and nothing of them is lost."""
    drops: list[str] = []
    decoded = decode(ChatCompletion, json.dumps(answer).encode(), drops)
    assert plain(decoded) == answer
    assert msgspec.json.decode(json.dumps(answer), type=ChatCompletion) == decoded
    assert drops == []


def message(**fields: Any) -> dict[str, Any]:
    """An answer with one message."""
    return {"choices": [{"index": 0, "message": {"role": "assistant", **fields}}]}


def function(arguments: Any) -> dict[str, Any]:
    """An answer with one call."""
    return message(tool_calls=[{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}])


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
TOLERATED: dict[str, tuple[Any, Any]] = {
    "every field null": (
        {**dict.fromkeys(ChatCompletion.__struct_fields__), "choices": [None, {"index": None, "message": None}]},
        {"choices": [{"message": {"role": "assistant"}}]},
    ),
    "role null": (message(role=None, content="x"), {"choices": [{"message": {"role": "assistant", "content": "x"}}]}),
    "an int id": ({"id": 8635243129834723621}, {"id": "8635243129834723621"}),
    "floats for ints": ({"created": 5.0, "usage": {"total_tokens": 3.0}}, {"created": 5, "usage": {"total_tokens": 3}}),
    "texts for ints": ({"created": "5", "usage": {"total_tokens": "3."}}, {"created": 5, "usage": {"total_tokens": 3}}),
    "a number with many digits": ({"created": str(2**70)}, {"created": 2**70}),
    "content as parts": (
        message(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        {"choices": [{"message": {"role": "assistant", "content": "ab"}}]},
    ),
    "content as parts and nulls": (
        message(content=[None, {"type": "text", "text": "a"}, None, {"type": "text", "text": "b"}]),
        {"choices": [{"message": {"role": "assistant", "content": "ab"}}]},
    ),
    "content as parts of other kinds": (
        message(content=[{"text": "a"}, {"image": "b"}]),
        {"choices": [{"message": {"role": "assistant", "content": '[{"text":"a"},{"image":"b"}]'}}]},
    ),
    "arguments as an object": (
        function({"city": "北京", "n": [1, None]}),
        {"choices": [{"message": {"role": "assistant", "tool_calls": [
            CALL | {"function": {"name": "f", "arguments": '{"city":"北京","n":[1,null]}'}},
        ]}}]},
    ),
    "arguments null": (function(None), {"choices": [{"message": {"role": "assistant", "tool_calls": [CALL]}}]}),
    "a lone surrogate": (
        message(content="\ud83d"), {"choices": [{"message": {"role": "assistant", "content": "\ud83d"}}]},
    ),
    "expires_at as text or int": (
        message(audio={"expires_at": 5, "id": 7}),
        {"choices": [{"message": {"role": "assistant", "audio": {"id": "7", "expires_at": 5}}}]},
    ),
    "unknown enum texts": (
        {"choices": [{"finish_reason": "bored", "message": {"role": "oracle"}}]},
        {"choices": [{"finish_reason": "bored", "message": {"role": "oracle"}}]},
    ),
    "a level as text": ({"content_filter": [{"level": "1"}]}, {"content_filter": [{"level": 1}]}),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), TOLERATED.values(), ids=TOLERATED)
def test_tolerated(answer: Any, expected: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nulls, numbers in other forms and objects for texts are read as what they mean, without a drop or a warning."""
    drops: list[str] = []
    assert plain(decode(ChatCompletion, json.dumps(answer).encode(), drops)) == expected
    assert drops == []
    assert caplog.records == []


DROPPED: list[tuple[dict[str, Any], str]] = [
    ({"created": "yesterday"}, "ChatCompletion.created"),
    ({"created": 1.5}, "ChatCompletion.created"),
    ({"created": True}, "ChatCompletion.created"),
    ({"created": float("nan")}, "ChatCompletion.created"),
    ({"created": float("inf")}, "ChatCompletion.created"),
    ({"usage": "much"}, "ChatCompletion.usage"),
    ({"usage": {"total_tokens": []}}, "Usage.total_tokens"),
    ({"web_search": "none"}, "ChatCompletion.web_search"),
    ({"web_search": ["x"]}, "[0]"),
    ({"choices": 5}, "ChatCompletion.choices"),
    ({"choices": [{"message": "x"}]}, "Choice.message"),
]


@pytest.mark.parametrize(("extra", "dropped"), DROPPED)
def test_unfit_optional_fields_are_dropped(
    extra: dict[str, Any], dropped: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An optional field that does not fit is left out, counted and named in a warning of the log; the rest stays."""
    drops: list[str] = []
    with caplog.at_level(logging.WARNING, "zhipu_async"):
        decoded = decode(ChatCompletion, json.dumps({"id": "1", "model": "m", **extra}).encode(), drops)
    assert (decoded.id, decoded.model) == ("1", "m")
    assert drops == [dropped]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert dropped in caplog.text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"choices":[{"message":{"content":"a\xffb"}}]}', "a\ufffdb"),
        (b'{"choices":[{"message":{"content":"a\xed\xa0\xbdb"}}]}', "a\ufffd\ufffd\ufffdb"),
        (b'\xef\xbb\xbf{"choices":[{"message":{"content":"ab"}}]}', "ab"),
        (b' \r\n{"choices":[{"message":{"content":"ab"}}]}\n', "ab"),
    ],
)
def test_bytes_that_are_not_quite_json(body: bytes, text: str) -> None:
    """Bad UTF-8 becomes U+FFFD, and a byte order mark and white space are skipped."""
    assert decode(ChatCompletion, body).text == text


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "white space": b"  \n",
    "HTML": b"<!doctype html><html><body>busy</body></html>",
    "plain text": b"upstream error",
    "truncated": b'{"choices":[{"message":{"content":"Hel',
    "two answers": b'{"id":"1"}{"id":"2"}',
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"5",
    "nesting without end": b"[" * 100_000,
    "nesting that ends": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of a million digits": b'{"created":' + b"9" * 1_000_000 + b"}",
    "UTF-16": '{"id":"1"}'.encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read(body: bytes) -> None:
    """What is no such answer is a DecodeError that keeps at most 4 KiB of it, is short, and is not repeated."""
    with pytest.raises(DecodeError) as caught:
        decode(ChatCompletion, body)
    error = caught.value
    assert error.body == body[:4096].decode("utf-8", "replace")
    assert str(error).startswith("the answer is not a ChatCompletion: ")
    assert len(str(error)) < 300
    assert not error.retryable


def test_a_required_field() -> None:
    """An element without its one needed field is left out; the others stay."""
    drops: list[str] = []
    listed = decode(ModelList, b'{"data":[{"id":"glm-4.5"},{"object":"model"},{"id":5}]}', drops)
    assert [model.id for model in listed.data] == ["glm-4.5", "5"]
    assert drops == ["[1]"]


# ---------------------------------------------------------------- types of the caller's own


class Color(enum.Enum):
    RED = "red"


class Cat(msgspec.Struct, tag_field="kind", tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag_field="kind", tag="dog"):
    tricks: list[str] = []


class Own(msgspec.Struct, rename="camel"):
    """A type with what the library's own structs do not have."""

    full_name: str
    color: Color | None = None
    born: datetime | None = None
    size: Literal["s", "m"] | None = None
    pair: tuple[int, str] | None = None
    tags: set[str] = msgspec.field(default_factory=set)
    scores: dict[str, int] = msgspec.field(default_factory=dict)
    pet: Cat | Dog | None = None
    level: int | None = 1


OWN: list[tuple[dict[str, Any], Own | None]] = [
    ({"fullName": "a"}, Own("a")),
    ({"fullName": 5}, Own("5")),
    ({"fullName": 5, "color": "red", "size": "s"}, Own("5", color=Color.RED, size="s")),
    ({"fullName": 5, "born": "2026-11-20T12:00:00"}, Own("5", born=datetime(2026, 11, 20, 12))),
    ({"fullName": 5, "pair": [1, "x"], "tags": ["a", "a"]}, Own("5", pair=(1, "x"), tags={"a"})),
    ({"fullName": 5, "scores": {"a": "1", "b": 2.0}}, Own("5", scores={"a": 1, "b": 2})),
    ({"fullName": 5, "pet": {"kind": "dog", "tricks": [1]}}, Own("5", pet=Dog(["1"]))),
    ({"fullName": 5, "pet": {"kind": "cat", "lives": "9"}}, Own("5", pet=Cat(9))),
    ({"fullName": 5, "pet": {"kind": "cow"}}, Own("5")),
    ({"fullName": 5, "scores": {"a": "x", "b": 2}}, Own("5", scores={"b": 2})),
    ({"fullName": 5, "scores": [1]}, Own("5")),
    ({"fullName": 5, "level": None}, Own("5", level=None)),
    ({"fullName": 5, "pet": None, "scores": None}, Own("5")),
    ({"fullName": 5, "pet": {"lives": 9}}, None),
    ({"fullName": 5, "pet": {"kind": "dog", "tricks": [1, None, "x"]}}, Own("5", pet=Dog(["1", "x"]))),
    ({"fullName": 5, "color": "blue"}, None),
    ({"fullName": 5, "born": "yesterday"}, None),
    ({"fullName": 5, "size": "xl"}, None),
    ({"fullName": 5, "pair": [1]}, None),
    ({"color": "red"}, None),
    ({"fullName": None}, None),
]


@pytest.mark.parametrize(("answer", "expected"), OWN)
def test_types_of_the_callers_own(answer: dict[str, Any], expected: Own | None) -> None:
    """Any type that msgspec knows can be asked for: the result is of the right types throughout, or a DecodeError."""
    body = json.dumps(answer).encode()
    if expected is None:
        with pytest.raises(DecodeError):
            decode(Own, body)
    else:
        assert decode(Own, body) == expected


# ---------------------------------------------------------------- fields that take text and more


class Piece(msgspec.Struct, omit_defaults=True):
    text: str | None = None
    size: int | None = None


class Row(msgspec.Struct, array_like=True):
    name: str
    size: int


class Mixed(msgspec.Struct, omit_defaults=True):
    """Fields that take text beside objects and lists, in any order."""

    text: str | None = None
    content: str | Piece | list[Piece] | None = None
    free: str | dict[str, Any] | list[Any] | None = None
    pieces: str | list[Piece] | None = None
    either: str | Cat | Dog | None = None
    row: str | Row | None = None
    pair: str | tuple[int, int] | None = None
    names: str | set[str] | None = None
    count: int | Piece | None = None


MIXED: list[tuple[dict[str, Any], Mixed]] = [
    ({"content": {"text": 5}}, Mixed(content=Piece("5"))),
    ({"content": {}}, Mixed(content=Piece())),
    ({"content": {"text": "a", "size": "7", "more": 1}}, Mixed(content=Piece("a", 7))),
    ({"content": [{"text": "a"}, {"text": 5}]}, Mixed(content=[Piece("a"), Piece("5")])),
    ({"content": [{"text": "a"}, {"text": "b", "size": 1.0}]}, Mixed(content=[Piece("a"), Piece("b", 1)])),
    ({"content": []}, Mixed(content=[])),
    ({"content": "[]"}, Mixed(content="[]")),
    ({"content": 5}, Mixed(content="5")),
    ({"content": None}, Mixed()),
    ({"text": {"a": [1, None]}}, Mixed(text='{"a":[1,null]}')),
    ({"text": [{"type": "text", "text": "a"}, {"text": "b"}]}, Mixed(text="ab")),
    ({"text": [1]}, Mixed(text="[1]")),
    ({"text": 5, "free": {"a": 1}}, Mixed(text="5", free={"a": 1})),
    ({"text": 5, "free": [{"text": "a"}]}, Mixed(text="5", free=[{"text": "a"}])),
    ({"text": 5, "free": "x"}, Mixed(text="5", free="x")),
    ({"pieces": [{"text": 5}]}, Mixed(pieces=[Piece("5")])),
    ({"pieces": {"text": 5}}, Mixed(pieces='{"text":5}')),
    ({"either": {"kind": "dog", "tricks": [1]}}, Mixed(either=Dog(["1"]))),
    ({"either": {"kind": "cow"}, "text": 5}, Mixed(either='{"kind":"cow"}', text="5")),
    ({"row": ["a", 1], "text": 5}, Mixed(row=Row("a", 1), text="5")),
    ({"row": {"name": "a"}, "text": 5}, Mixed(row='{"name":"a"}', text="5")),
    ({"pair": [1, 2], "text": 5}, Mixed(pair=(1, 2), text="5")),
    ({"names": ["a"], "text": 5}, Mixed(names={"a"}, text="5")),
    ({"count": {"size": "1"}}, Mixed(count=Piece(size=1))),
    ({"count": "1"}, Mixed(count=1)),
]


@pytest.mark.parametrize(("answer", "expected"), MIXED)
def test_text_or_more(answer: dict[str, Any], expected: Mixed) -> None:
    """An object becomes the struct and a list the list where a field takes them, and text only where it does not."""
    drops: list[str] = []
    assert decode(Mixed, json.dumps(answer).encode(), drops) == expected
    assert drops == []


@pytest.mark.parametrize(
    ("answer", "expected", "dropped"),
    [
        ({"content": [{"text": "a"}, "b"]}, Mixed(content=[Piece("a")]), ["[1]"]),
        ({"content": {"text": "a", "size": "much"}}, Mixed(content=Piece("a")), ["Piece.size"]),
        ({"count": ["x"]}, Mixed(), ["Mixed.count"]),
    ],
)
def test_what_does_not_fit_inside(answer: dict[str, Any], expected: Mixed, dropped: list[str]) -> None:
    """A part that does not fit is left out of the list or struct, which does not become text for it."""
    drops: list[str] = []
    assert decode(Mixed, json.dumps(answer).encode(), drops) == expected
    assert drops == dropped


def test_drops_are_named_at_any_depth() -> None:
    """What was left out is named by its struct and field, its key or its place."""
    answer = {"fullName": 5, "scores": {"a": "x"}, "pet": {"kind": "dog", "tricks": "none"}, "level": "high"}
    drops: list[str] = []
    assert decode(Own, json.dumps(answer).encode(), drops) == Own("5", pet=Dog())
    assert sorted(drops) == ["Dog.tricks", "Own.level", "['a']"]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (list[int], b'["1", 2.0]', [1, 2]),
        (dict[str, int], b'{"a": "1"}', {"a": 1}),
        (dict, b'{"a": NaN}', {"a": pytest.approx(float("nan"), nan_ok=True)}),
        (int | str, b'"x"', "x"),
        (int | None, b'"5"', 5),
        (bool, b'"true"', True),
        (bool, b"0", False),
        (bool, b"1.0", True),
        (bool, b'"False"', False),
        (list[bool], b'["yes", 2, null, true]', [True]),
        (list[float], b'["1.5", 1e400, 2]', [1.5, float("inf"), 2.0]),
        (list[str], b'[1, null, {"a": 1}, [], [{"text": "t"}]]', ["1", '{"a":1}', "[]", "t"]),
        (float, b'"1.5"', 1.5),
        (Color, b'\xef\xbb\xbf"red"', Color.RED),
        (Any, b"\xef\xbb\xbf[1]", [1]),
    ],
)
def test_types_that_are_no_structs(kind: Any, body: bytes, expected: Any) -> None:
    """Types that are no structs can be asked for as well."""
    assert decode(kind, body) == expected


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (list[float], b'["1.5", [], 2]'),
        (list[float], b"[0.5, null, 2]"),
        (list[int], b'[1e400, "x", 7]'),
        (list[float], b"[1" + b"0" * 400 + b", 7]"),
    ],
)
def test_a_list_of_numbers_is_never_shortened(kind: Any, body: bytes) -> None:
    """A vector with a part that is no number is no vector: it is left out as a whole, and noted."""
    with pytest.raises(DecodeError):
        decode(kind, body)
    drops: list[str] = []
    whole = b'{"data": [{"index": 0, "embedding": ' + body + b"}]}"
    answer = decode(EmbeddingResponse, whole, drops)
    assert answer.vectors == [[]]
    assert drops == ["Embedding.embedding"]


@pytest.mark.parametrize(
    "kind", [list[int], dict[str, int], int | str, int | None, bool, float, Color, Own, Cat | Dog, None]
)
def test_errors_name_any_type(kind: Any) -> None:
    """Whatever was asked for, what is not it is a DecodeError."""
    with pytest.raises(DecodeError, match="the answer is not a "):
        decode(kind, b'{"a": [')


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "id", "created", "choices", "index", "message", "delta", "content", "tool_calls", "function", "arguments",
            "name", "usage", "total_tokens", "audio", "expires_at", "mcp", "web_search", "finish_reason", "type",
        ]),
        inner,
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@examples(400)
@given(st.sampled_from([ChatCompletion, ChatCompletionChunk, ModelList]), json_like)
def test_any_json(kind: type[Any], value: Any) -> None:
    """Any object decodes to a struct whose every field has its declared type, or is a DecodeError."""
    drops: list[str] = []
    try:
        decoded = decode(kind, json.dumps(value).encode(), drops)
    except DecodeError:
        assert kind is ModelList or not isinstance(value, dict)
        return
    assert isinstance(value, dict)
    assert msgspec.convert(plain(decoded), kind) == decoded


@examples(300)
@given(st.binary(max_size=80))
def test_any_bytes(body: bytes) -> None:
    """Any bytes decode or are a DecodeError that holds them; nothing else is raised."""
    body = b'{"id":"' + body
    try:
        decode(ChatCompletion, body)
    except DecodeError as error:
        held = error.body
    else:
        return
    assert held == body.decode("utf-8", "replace")


def test_own_structs_need_no_more_than_the_tolerant_rules() -> None:
    """The library's answers are made of the kinds of types that the tolerant pass has rules for."""

    def kinds(info: Any, seen: set[type]) -> set[str]:
        name = type(info).__name__
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in seen:
                return set()
            seen.add(info.cls)
            return set().union({name}, *(kinds(field.type, seen) for field in info.fields))
        inner = [getattr(info, part) for part in ("item_type", "value_type") if hasattr(info, part)]
        return set().union({name}, *(kinds(kind, seen) for kind in [*inner, *getattr(info, "types", ())]))

    found = set().union(
        *(kinds(msgspec.inspect.type_info(kind), set()) for kind in (ChatCompletion, ChatCompletionChunk, ModelList))
    )
    assert found <= {"StructType", "UnionType", "ListType", "DictType", "StrType", "IntType", "NoneType", "AnyType"}
