"""Schemas of types and signatures: they accept exactly what is decoded, are valid, and say what they can."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict, TypeVar, Union

import msgspec
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta

from zhipu_async.errors import ConfigError
from zhipu_async.protocol.schema import InvalidArguments, Signature, schema_of, signature_of

from .drawn_types import CIRCULAR, Chain, Colour, Level, Ping, Tree, near, types


def accepts(signature: Signature, text: str) -> bool:
    """Whether the decoder takes it."""
    try:
        signature.decode(text)
    except InvalidArguments:
        return False
    return True


# ---------------------------------------------------------------- the property

NOTHING = inspect.Parameter.empty
KINDS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
DEFAULTS = [NOTHING, NOTHING, None, 1, "a", [], {"a": 1}, object(), float("nan"), {1, 2}, b"x", "\ud800"]


@st.composite
def signatures(draw: st.DrawFn) -> inspect.Signature:
    """The signature of a function, with all kinds of parameters that have a name."""
    drawn = draw(st.lists(st.tuples(st.sampled_from(KINDS), types, st.sampled_from(DEFAULTS)), max_size=4))
    drawn.sort(key=lambda one: (one[0], one[0] is not KINDS[2] and one[2] is not NOTHING))
    names = draw(st.permutations(["a", "self_", "type", "required", "p0", "_x"]))
    first_default = next((place for place, one in enumerate(drawn) if one[2] is not NOTHING), 99)
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                kind,
                annotation=annotation,
                default=1 if default is NOTHING and place > first_default and kind != KINDS[2] else default,
            )
            for place, (name, (kind, annotation, default)) in enumerate(zip(names, drawn, strict=False))
        ]
    )


def function_with(signature: inspect.Signature) -> Any:
    """A function of this signature, which gives its arguments."""

    def drawn(*args: Any, **kwargs: Any) -> inspect.BoundArguments:
        return signature.bind(*args, **kwargs)

    drawn.__signature__ = signature  # type: ignore[attr-defined]
    return drawn


def agree(signature: inspect.Signature, data: st.DataObject) -> None:
    """Of values near to what a function takes, schema and decoder take the same; what is decoded can be called with."""
    function = function_with(signature)
    made = signature_of(function)
    Draft202012Validator.check_schema(made.schema)
    written = json.dumps(made.schema, allow_nan=False)
    note(written)
    assert made.schema.get("$defs", {}).keys() <= {cls.__name__ for cls in CIRCULAR}
    assert ('"$ref": "' in written) == ("$defs" in made.schema)
    for _ in range(3):
        value = data.draw(near(made.schema, made.schema.get("$defs", {})))
        text = json.dumps(value)
        valid = Draft202012Validator(made.schema).is_valid(value)
        assert accepts(made, text) == valid
        if valid:
            arguments = made.decode(text)
            assert arguments.keys() == value.keys(), "what is not given is left to the function's defaults"
            leading, named = made.bind(arguments)
            bound = function(*leading, **named)
            assert all(bound.arguments[name] is given for name, given in arguments.items())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(signatures(), st.data())
def test_a_schema_accepts_what_its_decoder_accepts(signature: inspect.Signature, data: st.DataObject) -> None:
    """Of random signatures and values near them: both take a value, or neither. The schema is valid, and refers to
    definitions only for circular types. What is decoded can be called with, and holds nothing that was not given."""
    agree(signature, data)


@pytest.mark.heavy
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(signatures(), st.data())
def test_a_schema_accepts_what_its_decoder_accepts_at_length(signature: inspect.Signature, data: st.DataObject) -> None:
    """The same, of many more."""
    agree(signature, data)


# ---------------------------------------------------------------- decisions


def of(kind: Any) -> Signature:
    """A function that takes one ``x`` of this type."""
    return signature_of(function_with(inspect.Signature([inspect.Parameter("x", KINDS[1], annotation=kind)])))


class Miss(enum.Enum):
    """Takes everything."""

    X = "x"

    @classmethod
    def _missing_(cls, value: object) -> Miss:
        return cls.X


class Even(msgspec.Struct):
    """Refuses some of what its schema takes."""

    value: int

    def __post_init__(self) -> None:
        if self.value % 2:
            raise ValueError("odd")


DECISIONS: dict[str, tuple[Any, str, bool, bool]] = {
    # type, JSON, what the schema says, what the decoder says
    "5.0 is an int": (int, "5.0", True, True),
    "1e22 is an int": (int, "1e22", True, True),
    "-0.0 is an int": (int, "-0.0", True, True),
    "5.5 is none": (int, "5.5", False, False),
    "true is no int": (int, "true", False, False),
    "1 is no bool": (bool, "1", False, False),
    "5 is a float": (float, "5", True, True),
    "a text is no number": (int, '"5"', False, False),
    "a number is no text": (str, "5", False, False),
    "an int of any size": (int, "1" * 60, True, True),
    "a large int is a float": (float, "1" * 60, True, True),
    "null is no int": (int, "null", False, False),
    "1.0 is the choice 1": (Literal[1, 2], "1.0", True, True),
    "true is not the choice 1": (Literal[1, 2], "true", False, False),
    "true is the choice True": (Literal[True], "true", True, True),
    "1 is not the choice True": (Literal[True], "1", False, False),
    "1.0 is the choice 1 beside True": (Literal[1, True], "1.0", True, True),
    "false is not the choice 0": (Literal[0, True], "false", False, False),
    "1 is a float beside the choice True": (float | Literal[True], "1", True, True),
    "0 is an int or a float": (int | Annotated[float, Meta(gt=0)], "0", True, True),
    "0.0 is an int or a float": (int | Annotated[float, Meta(gt=0)], "0.0", True, True),
    "a set of a list with duplicates": (set[int], "[1,1]", True, True),
    "keys that are numbers": (dict[int, str], '{"-7":"a"}', True, True),
    "keys that are no numbers": (dict[int, str], '{"07":"a"}', False, False),
    "keys of a choice": (dict[Literal["a"], int], '{"b":1}', False, False),
    "keys with a pattern": (dict[Annotated[str, Meta(pattern="^a")], int], '{"b":1}', False, False),
    "keys that are numbers, and a value like 1.0": (dict[int, int], '{"7":1.0}', True, True),
    "more members than a dataclass has": (Tree, '{"name":"a","z":1}', True, True),
    "a decimal as a number": (decimal.Decimal, "1.10", False, True),
    "a decimal as a text": (decimal.Decimal, '"1.10"', True, True),
    # what a schema only names
    "a decimal that is none": (decimal.Decimal, '"x"', True, False),
    "a date": (datetime.date, '"2026-11-21"', True, True),
    "a date that is none": (datetime.date, '"21.11.2026"', True, False),
    "a time": (datetime.time, '"10:00:00"', True, True),
    "a date with a time": (datetime.datetime, '"2026-11-21T10:00:00Z"', True, True),
    "a date with a time without a zone": (datetime.datetime, '"2026-11-21T10:00:00"', True, True),
    "a duration": (datetime.timedelta, '"PT1H"', True, True),
    "a duration that is none": (datetime.timedelta, '"1 h"', True, False),
    "a duration as a number": (datetime.timedelta, "60", False, False),
    "a UUID": (uuid.UUID, '"00000000-0000-0000-0000-000000000001"', True, True),
    "a UUID that is none": (uuid.UUID, '"1"', True, False),
    "bytes": (bytes, '"YQ=="', True, True),
    "bytes that are none": (bytes, '"?"', True, False),
    "keys that are UUIDs": (dict[uuid.UUID, int], '{"1":1}', True, False),
    "a set that is too small once duplicates are gone": (
        Annotated[set[int], Meta(min_length=2)], "[1,1]", True, False
    ),
    "a set that is too large before duplicates are gone": (
        Annotated[set[int], Meta(max_length=1)], "[1,1]", False, True
    ),
    "what a class of the caller's refuses": (Even, '{"value":1}', True, False),
    "what an enum of the caller's takes": (Miss, '"y"', False, True),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "valid", "taken"), DECISIONS.values(), ids=DECISIONS)
def test_what_schema_and_decoder_say(kind: Any, text: str, valid: bool, taken: bool) -> None:
    """Numbers, keys, and the few kinds of values of which a schema can only name the format."""
    signature = of(kind)
    assert Draft202012Validator(signature.schema).is_valid({"x": json.loads(text)}) == valid
    assert accepts(signature, f'{{"x": {text}}}') == taken


# ---------------------------------------------------------------- what schemas look like


class Point(NamedTuple):
    """Where."""

    x: float
    y: float = 0.0


class Pair(msgspec.Struct, array_like=True, tag="pair"):
    a: int
    b: int = 2


class Circle(msgspec.Struct, tag=True):
    """Round."""

    radius: Annotated[float, Meta(gt=0, description="in m")]


class Square(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    side: float = 1.0


class Options(TypedDict, total=False):
    """What may be chosen."""

    colour: Colour


@dataclasses.dataclass
class Plain:
    number: int
    names: list[str] = dataclasses.field(default_factory=list)


class Nasty(msgspec.Struct):
    """Members whose names and defaults mean something to schemas."""

    ref: str = msgspec.field(default="#/$defs/Circle", name="$ref")
    defs: dict[str, Any] = msgspec.field(default_factory=dict, name="$defs")
    never: float = float("nan")
    odd: Any = object()


UserId = NewType("UserId", int)
T = TypeVar("T")
SCHEMAS: dict[str, tuple[Any, dict[str, Any]]] = {
    "int": (int, {"type": "integer"}),
    "float": (float, {"type": "number"}),
    "None": (None, {"type": "null"}),
    "Any": (Any, {}),
    "a new name of a type": (UserId, {"type": "integer"}),
    "a choice": (Literal["b", "a"], {"type": "string", "enum": ["a", "b"]}),
    "a choice of truths": (Literal[True, False], {"type": "boolean", "enum": [False, True]}),
    "a choice of a truth and a number": (Literal[2, True], {"enum": [True, 2]}),
    "an enum": (Colour, {"type": "string", "enum": ["a", "ab"], "description": "A choice of texts."}),
    "an enum of numbers": (Level, {"type": "integer", "enum": [0, 1], "description": "A choice of numbers."}),
    "constraints": (
        Annotated[int, Meta(ge=0, lt=10, multiple_of=2, description="even")],
        {"type": "integer", "minimum": 0, "exclusiveMaximum": 10, "multipleOf": 2, "description": "even"},
    ),
    "lengths": (
        Annotated[str, Meta(min_length=1, max_length=3, pattern="^a")],
        {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^a"},
    ),
    "a list": (
        Annotated[list[int], Meta(max_length=2)],
        {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
    ),
    "a list of anything": (list, {"type": "array"}),
    "a tuple": (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    "a pair": (
        tuple[int, str],
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "items": False},
    ),
    "an empty tuple": (tuple[()], {"type": "array", "items": False}),
    "a dict": (
        Annotated[dict[str, int], Meta(min_length=1)],
        {"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer"}},
    ),
    "a dict of choices": (
        dict[Level, Any],
        {"type": "object", "propertyNames": {"enum": ["0", "1"]}},
    ),
    "a dict of either": (
        dict[Literal["a"] | int, Any],
        {
            "type": "object",
            "propertyNames": {"anyOf": [{"enum": ["a"]}, {"pattern": "^-?(0|[1-9][0-9]*)$"}]},
        },
    ),
    "a date and time without a zone": (
        Annotated[datetime.datetime, Meta(tz=False)],
        {"type": "string", "examples": ["2026-01-31T12:00:00"]},
    ),
    "a time without a zone": (
        Annotated[datetime.time, Meta(tz=False)], {"type": "string", "examples": ["12:00:00"]}
    ),
    "a time": (datetime.time, {"type": "string", "format": "time"}),
    "bytes": (
        Annotated[bytes, Meta(max_length=4)], {"type": "string", "contentEncoding": "base64", "maxLength": 8}
    ),
    "perhaps": (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    "a named tuple": (
        Point,
        {
            "type": "array",
            "prefixItems": [{"type": "number"}, {"type": "number", "default": 0.0}],
            "minItems": 1,
            "items": False,
            "description": "Where.",
        },
    ),
    "a struct that is a list": (
        Pair,
        {
            "type": "array",
            "prefixItems": [
                {"type": "string", "enum": ["pair"]}, {"type": "integer"}, {"type": "integer", "default": 2}
            ],
            "minItems": 2,
        },
    ),
    "a struct with a tag that nothing needs": (
        Square,
        {
            "type": "object",
            "properties": {"type": {"type": "string", "enum": ["Square"]}, "side": {"type": "number", "default": 1.0}},
            "additionalProperties": False,
        },
    ),
    "structs told apart by their tags": (
        Circle | Square,
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string", "enum": ["Circle"]},
                        "radius": {"type": "number", "exclusiveMinimum": 0, "description": "in m"},
                    },
                    "required": ["type", "radius"],
                    "description": "Round.",
                },
                {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string", "enum": ["Square"]},
                        "side": {"type": "number", "default": 1.0},
                    },
                    "required": ["type"],
                    "additionalProperties": False,
                },
            ]
        },
    ),
    "a TypedDict": (
        Options,
        {
            "type": "object",
            "properties": {
                "colour": {"type": "string", "enum": ["a", "ab"], "description": "A choice of texts."}
            },
            "description": "What may be chosen.",
        },
    ),
    "a dataclass": (
        Plain,
        {
            "type": "object",
            "properties": {
                "number": {"type": "integer"},
                "names": {"type": "array", "items": {"type": "string"}, "default": []},
            },
            "required": ["number"],
        },
    ),
    "members with names that mean something elsewhere": (
        Nasty,
        {
            "type": "object",
            "properties": {
                "$ref": {"type": "string", "default": "#/$defs/Circle"},
                "$defs": {"type": "object", "default": {}},
                "never": {"type": "number"},
                "odd": {},
            },
            "description": "Members whose names and defaults mean something to schemas.",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "schema"), SCHEMAS.values(), ids=SCHEMAS)
def test_schema(kind: Any, schema: dict[str, Any]) -> None:
    """The schema of a type, written out; it is valid."""
    Draft202012Validator.check_schema(schema)
    assert schema_of(kind) == schema


def test_a_mixed_choice() -> None:
    """It has no type, but values."""
    try:
        assert schema_of(Literal["a", 1, None]) == {"enum": [None, 1, "a"]}
    except TypeError:
        pytest.skip("this version of msgspec does not know mixed choices")


def test_a_circular_type() -> None:
    """It refers to its definition; at the top the object itself is seen."""
    node = {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "next": {"anyOf": [{"$ref": "#/$defs/Chain"}, {"type": "null"}], "default": None},
        },
        "required": ["value"],
        "description": "Circular, through a union.",
    }
    assert schema_of(Chain) == {**node, "$defs": {"Chain": node}}
    assert of(Chain).schema == {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/Chain"}},
        "required": ["x"],
        "additionalProperties": False,
        "$defs": {"Chain": node},
    }


def test_types_that_are_circular_by_way_of_each_other() -> None:
    """Only one of two needs a definition, whichever is asked for; a value of any depth is checked to its end."""
    schema = schema_of(list[Ping])
    assert schema["$defs"].keys() == {"Ping"}
    deep: dict[str, Any] = {}
    for _ in range(20):
        deep = {"pong": {"pings": [deep]}}
    assert Draft202012Validator(schema).is_valid([deep])
    deep["pong"]["pings"][0]["pong"]["pings"].append({"pong": 1})
    assert not Draft202012Validator(schema).is_valid([deep])


def test_two_classes_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Circular classes of the same name have definitions of their own."""

    def defined_in(name: str) -> Any:
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        module.Same = msgspec.defstruct("Same", [("inner", "list[Same]")], module=name)  # type: ignore[attr-defined]
        return module.Same

    schema = schema_of(tuple[defined_in("one"), defined_in("other")])
    assert [place["$ref"] for place in schema["prefixItems"]] == ["#/$defs/Same", "#/$defs/Same_2"]
    for name, definition in schema["$defs"].items():
        assert definition["properties"]["inner"]["items"] == {"$ref": f"#/$defs/{name}"}


def test_what_is_used_twice_stands_twice() -> None:
    """There is no reference to a type that is not circular, and no part of a schema is shared."""
    schema = schema_of(tuple[Circle, Circle])
    first, second = schema["prefixItems"]
    assert first == second
    assert first is not second
    assert "$defs" not in schema


class InClass(TypedDict):
    a: Annotated[str, Meta(pattern="^a")] | Sequence[int]


@dataclasses.dataclass
class InCircle:
    others: list[InCircle]
    a: Annotated[Annotated[str, Meta(pattern="^a")] | None, Meta(description="a")] | frozenset[int]


REFUSED: dict[str, Any] = {
    "object": object,
    "complex": complex,
    "a class of one's own": subprocess.Popen,
    "a path": Path,
    "a function": Callable[[int], int],
    "a list of what is none": list[complex],
    "keys that are floats": dict[float, int],
    "keys that are bools": dict[bool, int],
    "keys that are a choice of bools": dict[Literal[True], int],
    "keys that are texts or null": dict[Literal["a", None], int],
    "keys that are texts or a bool": dict[Literal["a", True], int],
    "keys that are pairs": dict[tuple[int, int], int],
    "keys with limits as numbers": dict[Annotated[int, Meta(ge=1)], int],
    "flags": enum.Flag("Flags", "A B"),
    "flags that are numbers": enum.IntFlag("Flags", "A B"),
    "an enum of floats": enum.Enum("Floats", {"A": 1.5}),
    "two kinds of lists": list[int] | set[int],
    "two kinds of texts": str | uuid.UUID,
    "two dataclasses": Plain | Tree,
    "no type": 5,
    "ints with limits beside floats": float | Annotated[int, Meta(ge=1)],
    "a choice of ints beside floats": float | Literal[1, 2] | None,
    "an enum of ints beside floats": Level | float,
    "a number with limits or a pair": Annotated[float, Meta(ge=1)] | tuple[int, int],
    "text with a length or no more than an empty tuple": Annotated[str, Meta(max_length=1)] | tuple[()],
    "a dict with a length or a pair": Annotated[dict[str, int], Meta(max_length=1)] | tuple[int, int],
    "text with a pattern or a list": Annotated[str, Meta(pattern="^a")] | list[int],
    "text with a pattern or a pair": Annotated[str, Meta(pattern="^a")] | tuple[int, int],
    "text with a pattern or a dict, further in": list[Annotated[str, Meta(pattern="^a")] | dict[str, int] | None],
    "text with a pattern or a list, in a class": InClass,
    "text with a pattern or a list, in a class that is circular": dict[str, InCircle],
    "text with a pattern under a new name, or a set": NewType("Name", Annotated[str, Meta(pattern="^a")]) | set[int],
}


@pytest.mark.parametrize("kind", REFUSED.values(), ids=REFUSED)
def test_what_json_cannot_carry(kind: Any) -> None:
    """A parameter of such a type is a ConfigError that names function and parameter."""
    with pytest.raises(ConfigError, match=r"drawn: the parameter 'x' is of a type that JSON cannot carry: ."):
        of(kind)


_BREAKS_MEMORY = """
import re, sys
from typing import Annotated
import msgspec
compiled, kind = re.compile("^zzq"), Annotated[str, msgspec.Meta({limit})] | {kind}
for _ in range({times}):
    made = msgspec.json.Decoder(kind)
    del made
sys.stdout.write(str(sys.getrefcount(compiled)))
sys.stdout.flush()
__import__("os")._exit(0)
"""


PATTERN, LENGTH = 'pattern="^zzq"', "max_length=3"


@pytest.mark.parametrize(
    ("limit", "kind", "times", "breaks"),
    [
        (PATTERN, "list[int]", 3, True),
        (PATTERN, "dict[str, int]", 3, True),
        (LENGTH, "tuple[int, int]", 5000, True),
        (PATTERN, "int", 3, False),
        (LENGTH, "list[int]", 5000, False),
    ],
)
def test_why_some_unions_are_refused(limit: str, kind: str, times: int, breaks: bool) -> None:
    """msgspec writes into memory that is not its own when it frees such a decoder: it crashes, or the count of
    references of the pattern is none any more. When this fails, msgspec is mended, and the refusal can go."""
    code = _BREAKS_MEMORY.replace("{limit}", limit).replace("{kind}", kind).replace("{times}", str(times))
    environment = {**os.environ, "PYTHONMALLOC": "debug"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    sane = run.returncode == 0 and re.fullmatch(rb"\d{1,4}", run.stdout) is not None
    assert sane != breaks


def test_a_schema_is_made_without_a_decoder() -> None:
    """Types that break msgspec's memory are refused before a decoder of them exists: a decoder, freed, would crash."""
    pattern = re.compile("^never-used-elsewhere")
    kind = list[Annotated[str, Meta(pattern="^never-used-elsewhere")] | list[int]]
    before = sys.getrefcount(pattern)
    for _ in range(100):
        with pytest.raises(ConfigError):
            of(kind)
    assert 0 <= sys.getrefcount(pattern) - before <= 100


GENERIC: dict[str, Any] = {
    "a type variable": TypeVar("T"),
    "a sequence": Sequence[int],
    "a mapping": Mapping[str, int],
    "a union in the old style": Union[int, str, None],  # noqa: UP007
}


@pytest.mark.parametrize("kind", GENERIC.values(), ids=GENERIC)
def test_other_spellings(kind: Any) -> None:
    """Abstract types, type variables and old unions are as good as others."""
    Draft202012Validator.check_schema(of(kind).schema)
