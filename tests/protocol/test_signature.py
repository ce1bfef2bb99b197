"""What a model is told of a function, which functions cannot be told of, and how arguments are read."""

import asyncio
import functools
import inspect
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Annotated, Any, Literal, NewType, TypedDict

import annotated_types
import msgspec
import pydantic
import pytest
from msgspec import Meta

from zhipu_async.errors import ConfigError
from zhipu_async.protocol.schema import InvalidArguments, signature_of

from . import postponed

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def properties(function: Any) -> dict[str, Any]:
    """What the schema says of the parameters."""
    return signature_of(function).schema["properties"]


class Unit(Enum):
    C = "celsius"
    F = "fahrenheit"


class Place(msgspec.Struct):
    """A place on Earth."""

    city: str
    country: str | None = None


@dataclass
class Stay:
    nights: int
    place: Place


class Wish(TypedDict, total=False):
    colour: Literal["red", "blue"]


def forecast(
    place: Place,
    stay: Stay | None,
    wish: Wish,
    days: Annotated[int, Meta(ge=1, le=7, description="how many")] = 3,
    *,
    unit: Unit = Unit.C,
    note: Annotated[str, "a remark"] | None = None,
    price: Decimal = Decimal("1.5"),
) -> str:
    """Weather in the days to come.

    Ask for one place at a time.

    Args:
        place: where, as exactly
            as is known
        unit (Unit, optional): of temperatures
        note: not used, as the annotation says more

    Returns:
        Text.
    """
    return f"{place} {stay} {wish} {days} {unit} {note} {price}"


def test_a_whole_signature() -> None:
    """Name, description, and the schema of every parameter, with what annotations and docstring say of it."""
    made = signature_of(forecast)
    place = {
        "type": "object",
        "properties": {"city": STRING, "country": {"anyOf": [STRING, {"type": "null"}], "default": None}},
        "required": ["city"],
        "description": "A place on Earth.",
    }
    assert made.name == "forecast"
    assert made.description == "Weather in the days to come.\n\nAsk for one place at a time."
    assert made.schema == {
        "type": "object",
        "properties": {
            "place": {**place, "description": "where, as exactly as is known"},
            "stay": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"nights": INTEGER, "place": place},
                        "required": ["nights", "place"],
                    },
                    {"type": "null"},
                ]
            },
            "wish": {"type": "object", "properties": {"colour": {"type": "string", "enum": ["blue", "red"]}}},
            "days": {"type": "integer", "minimum": 1, "maximum": 7, "description": "how many", "default": 3},
            "unit": {
                "type": "string",
                "enum": ["celsius", "fahrenheit"],
                "description": "of temperatures",
                "default": "celsius",
            },
            "note": {"anyOf": [STRING, {"type": "null"}], "description": "a remark", "default": None},
            "price": {"type": "string", "format": "decimal", "default": "1.5"},
        },
        "required": ["place", "stay", "wish"],
        "additionalProperties": False,
    }


def test_arguments_in_the_annotated_types() -> None:
    """What a model wrote becomes structs, dataclasses, enums and dicts; what it left out is left to the defaults."""
    text = """{"place": {"city": "Bonn"}, "stay": {"nights": 2.0, "place": {"city": "Köln", "country": "DE"}},
               "wish": {"colour": "red", "more": 1}, "unit": "fahrenheit"}"""
    assert signature_of(forecast).decode(text) == {
        "place": Place("Bonn"),
        "stay": Stay(2, Place("Köln", "DE")),
        "wish": {"colour": "red"},
        "unit": Unit.F,
    }


def nothing() -> None:
    """Take nothing."""


def add(a: float, b: float) -> float:
    return a + b


def add_whole(a: int, b: int) -> int:
    return a + b


def anything(a: Any) -> None: ...


INVALID: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a missing argument": (add, '{"a": 1}', "Object missing required field `b`"),
    "a wrong type": (add, '{"a": 1, "b": "2"}', "Expected `float`, got `str` - at `$.b`"),
    "null for what is not optional": (add, '{"a": 1, "b": null}', "Expected `float`, got `null` - at `$.b`"),
    "one too many": (add, '{"a": 1, "b": 2, "c": 3}', "Object contains unknown field `c`"),
    "some where there are none": (nothing, '{"c": 3}', "Object contains unknown field `c`"),
    "no object": (add, "[1, 2]", "Expected `object`, got `array`"),
    "null": (nothing, "null", "Expected `object`, got `null`"),
    "an object within a text": (add, '"{}"', "Expected `object`, got `str`"),
    "broken off": (add, '{"a": 1, "b', "the arguments are no JSON: Input data was truncated"),
    "single quotes": (add, "{'a': 1}", "the arguments are no JSON: JSON is malformed"),
    "two objects": (add, '{"a": 1, "b": 2}{}', "the arguments are no JSON: JSON is malformed: trailing characters"),
    "NaN": (add, '{"a": NaN, "b": 1}', "the arguments are no JSON: JSON is malformed"),
    "prose": (add, "I do not know", "the arguments are no JSON: JSON is malformed"),
    "half a character": (add, '{"\\ud83d": 1}', "the arguments are no JSON: "),
    "half a character as it is": (add, "\ud83d", "the arguments are no JSON: "),
    "nested too deeply": (anything, '{"a":' + "[" * 100_000, "the arguments are no JSON: maximum recursion"),
    "deep, with a float for an int": (nothing, '{"a":' * 900 + "1.0" + "}" * 900, "Object contains unknown field `a`"),
    "5.0 beside an error": (forecast, '{"days": 1.0}', "Object missing required field `place`"),
    "5.0 before an error": (add_whole, '{"a": 5.0, "b": "x"}', "Expected `int`, got `str` - at `$.b`"),
    "5.0 before a half": (add_whole, '{"a": 5.0, "b": 0.5}', "Expected `int`, got `float` - at `$.b`"),
    "5.0 before what is no JSON": (add_whole, '{"a": 5.0, "b": 01.0}', "the arguments are no JSON: JSON is malformed"),
    "5.0 in a text": (add_whole, '{"a": "5.0", "b": 1}', "Expected `int`, got `str` - at `$.a`"),
    "a text without an end": (add_whole, '{"a": 5.0, "b": "' + 200_000 * '\\"', "the arguments are no JSON: Input"),
    "too large": (forecast, '{"days": 8}', "Expected `int` <= 7 - at `$.days`"),
    "an unknown choice": (forecast, '{"unit": "K"}', "Invalid enum value 'K' - at `$.unit`"),
}  # fmt: skip


@pytest.mark.parametrize(("function", "text", "said"), INVALID.values(), ids=INVALID)
def test_invalid_arguments(function: Any, text: str, said: str) -> None:
    """What does not fit is told in words that a model can use, with the place."""
    with pytest.raises(InvalidArguments) as caught:
        signature_of(function).decode(text)
    assert str(caught.value).startswith(said)


WHOLE: list[tuple[str, int]] = [
    ("5.0", 5), ("5e3", 5000), ("-0.0", 0), ("12345678901234567890.0", 12345678901234567890), ("1e22", 10**22),
]  # fmt: skip


@pytest.mark.parametrize(("written", "value"), WHOLE)
def test_whole_numbers_with_a_point(written: str, value: int) -> None:
    """They are ints with all their digits, and change nothing beside them: decimals keep theirs, texts are texts."""

    def order(count: int, price: Decimal, note: str, more: Any) -> None: ...

    text = f'{{"count": {written}, "price": 12345678901234567.89, "note": "\\"a 1.0", "more": [0.5]}}'
    assert signature_of(order).decode(text) == {
        "count": value,
        "price": Decimal("12345678901234567.89"),
        "note": '"a 1.0',
        "more": [0.5],
    }


@pytest.mark.parametrize("text", ["", " \n", "{}", " {} "])
def test_no_arguments(text: str) -> None:
    """No text at all is no arguments: models write that for functions that take none."""
    assert signature_of(nothing).decode(text) == {}
    assert signature_of(nothing).schema == {"type": "object", "properties": {}, "additionalProperties": False}


# ---------------------------------------------------------------- marks of pydantic's and annotated_types'


POSITIVE = {"type": "integer", "exclusiveMinimum": 0}
FOREIGN: dict[str, tuple[Any, dict[str, Any]]] = {
    "a limit": (Annotated[int, pydantic.Field(gt=0)], POSITIVE),
    "a type with a limit": (pydantic.PositiveInt, POSITIVE),
    "a limit of annotated_types": (Annotated[int, annotated_types.Gt(0)], POSITIVE),
    "several in one": (Annotated[int, annotated_types.Interval(ge=1, lt=3)], {
        "type": "integer", "minimum": 1, "exclusiveMaximum": 3,
    }),
    "a multiple": (Annotated[int, pydantic.Field(multiple_of=5)], {"type": "integer", "multipleOf": 5}),
    "lengths": (Annotated[list[int], annotated_types.Len(1, 2)], {
        "type": "array", "items": INTEGER, "minItems": 1, "maxItems": 2,
    }),
    "a pattern": (Annotated[str, pydantic.Field(pattern="^a", max_length=3)], {
        "type": "string", "pattern": "^a", "maxLength": 3,
    }),
    "a compiled pattern": (Annotated[str, pydantic.StringConstraints(pattern=re.compile("^a"))], {
        "type": "string", "pattern": "^a",
    }),
    "a description": (Annotated[int, pydantic.Field(le=1, description="how many")], {
        "type": "integer", "maximum": 1, "description": "how many",
    }),
    "further in": (dict[str, list[Annotated[int, pydantic.Field(gt=0)] | None]], {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"anyOf": [POSITIVE, {"type": "null"}]}},
    }),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "schema"), FOREIGN.values(), ids=FOREIGN)
def test_marks_that_mean_the_same(kind: Any, schema: dict[str, Any]) -> None:
    """Limits and descriptions apply in whichever words they are given."""

    def take(x: kind) -> None: ...  # pyright: ignore[reportInvalidTypeForm]

    assert properties(take)["x"] == schema


def test_a_limit_leaves_the_description_to_the_docstring() -> None:
    """What a mark of another package says nothing of is said by the docstring; limits are enforced."""

    def take(
        x: Annotated[int, pydantic.Field(ge=3)], y: Annotated[int, SimpleNamespace(description="not for us")]
    ) -> None:
        """Take.

        Args:
            x: how many
            y: how much
        """

    assert properties(take) == {
        "x": {"type": "integer", "minimum": 3, "description": "how many"},
        "y": {"type": "integer", "description": "how much"},
    }
    with pytest.raises(InvalidArguments, match=r"Expected `int` >= 3 - at `\$.x`"):
        signature_of(take).decode('{"x": 2, "y": 1}')


@dataclass
class Limited:
    x: Annotated[int, pydantic.Field(gt=0)]


class LimitedStruct(msgspec.Struct):
    x: Annotated[int, annotated_types.Gt(0)]


@pydantic.dataclasses.dataclass
class OfPydantic:
    x: Annotated[int, pydantic.Field(gt=0)]


ONLY_PYDANTIC: dict[str, Any] = {
    "a function that checks": Annotated[int, pydantic.AfterValidator(abs)],
    "a predicate": Annotated[str, annotated_types.Predicate(str.islower)],
    "another name": Annotated[int, pydantic.Field(gt=0, alias="y")],
    "a default": Annotated[int, pydantic.Field(default=3)],
    "a limit that is no number": Annotated[int, pydantic.Field(gt="a")],
    "a field of a dataclass": Limited,
    "a field of a struct": list[LimitedStruct],
    "a dataclass of pydantic's": OfPydantic | None,
    "a new name": NewType("Positive", Annotated[int, annotated_types.Gt(0)]),
}


@pytest.mark.parametrize("kind", ONLY_PYDANTIC.values(), ids=ONLY_PYDANTIC)
def test_what_only_pydantic_checks_is_refused(kind: Any) -> None:
    """It would be passed over in silence: a ConfigError names it, and the way out."""

    def take(x: kind) -> None: ...  # pyright: ignore[reportInvalidTypeForm]

    with pytest.raises(ConfigError, match=r"take: the parameter 'x' .*: msgspec does not check .*msgspec\.Meta"):
        signature_of(take)


# ---------------------------------------------------------------- what can be a tool


class Thermometer:
    """An instrument."""

    def read(self, place: str) -> str:
        """Read it."""
        return f"read {place}"

    @classmethod
    def made(cls, place: str) -> str:
        return f"{cls.__name__} {place}"

    @staticmethod
    def compare(place: str) -> str:
        return f"static {place}"

    def __call__(self, place: str) -> str:
        return f"called {place}"


class Documented:
    """The class."""

    def __call__(self, place: str) -> str:
        """The call."""
        return place


def loudly(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@loudly
def wrapped(place: str) -> str:
    """It is wrapped."""
    return place


@functools.lru_cache
def cached(place: str) -> str:
    """It is cached."""
    return place


def injected(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that fills in the first parameter and says so."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(object(), *args, **kwargs)

    signature = inspect.signature(function)
    wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=list(signature.parameters.values())[1:]
    )
    return wrapper


@injected
def with_connection(connection: object, place: str) -> str:
    """It has a connection."""
    return place


def query(connection: object, place: str, limit: int = 10) -> str:
    """Ask."""
    return place


async def waiting(place: str) -> str:
    """Wait."""
    return place


def generic(place: Annotated["str | None", "where"] = None) -> None:
    """Annotated by halves."""


PLACE = {"type": "object", "properties": {"place": STRING}, "required": ["place"], "additionalProperties": False}
TOOLS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a method": (Thermometer().read, "read", "Read it."),
    "a method of a class": (Thermometer.made, "made", "made"),
    "a static method": (Thermometer.compare, "compare", "compare"),
    "an object that can be called": (Thermometer(), "Thermometer", "An instrument."),
    "an object whose call is documented": (Documented(), "Documented", "The call."),
    "wrapped": (wrapped, "wrapped", "It is wrapped."),
    "cached": (cached, "cached", "It is cached."),
    "with a parameter filled in by a decorator": (with_connection, "with_connection", "It has a connection."),
    "async": (waiting, "waiting", "Wait."),
    "filled in by name": (functools.partial(query, connection=object(), limit=3), "query", "Ask."),
    "filled in by place": (functools.partial(query, object(), limit=3), "query", "Ask."),
    "filled in twice": (functools.partial(functools.partial(query, object()), limit=3), "query", "Ask."),
    "a method, filled in": (functools.partial(Thermometer().read), "read", "Read it."),
    "an object, filled in": (functools.partial(Thermometer()), "Thermometer", "An instrument."),
}


@pytest.mark.parametrize(("function", "name", "description"), TOOLS.values(), ids=TOOLS)
def test_what_can_be_a_tool(function: Any, name: str, description: str) -> None:
    """Functions of every kind have the schema of what is left for the model to choose, and are called with it."""
    made = signature_of(function)
    assert (made.name, made.description, made.schema) == (name, description, PLACE)
    leading, named = made.bind(made.decode('{"place": "Bonn"}'))
    result = function(*leading, **named)
    assert "Bonn" in (asyncio.run(result) if inspect.isawaitable(result) else result)


def test_a_lambda_needs_a_name() -> None:
    """Its own is none; a lambda without parameters can be a tool under another."""
    with pytest.raises(ConfigError, match=r"'<lambda>' is no name for a tool: .*give one with @tool\(name=...\)"):
        signature_of(lambda: 1)
    made = signature_of(lambda: 1, name="one", description="One.")
    assert (made.name, made.description, made.schema["properties"]) == ("one", "One.", {})


def test_postponed_annotations() -> None:
    """Annotations as texts are resolved in the module of the function; that of the result need not exist."""
    made = signature_of(postponed.good)
    assert made.decode('{"place": {"name": "Bonn"}, "day": 1}') == {"place": postponed.Place("Bonn"), "day": 1}
    assert made.schema["properties"]["day"] == {"type": "integer", "description": "0 is today", "default": 0}
    assert properties(loudly(postponed.good)) == made.schema["properties"]
    assert properties(functools.partial(postponed.missing, place=1)) == {}


def test_annotations_that_are_texts_in_part() -> None:
    """A text within an annotation is resolved too."""
    assert properties(generic)["place"] == {
        "anyOf": [STRING, {"type": "null"}],
        "description": "where",
        "default": None,
    }


@pytest.mark.parametrize("name", ["a", "get-weather_2", "1x", "x" * 64])
def test_names(name: str) -> None:
    """Names are those of chat.md section 4, also where Python could not have them."""
    assert signature_of(nothing, name=name).name == name


# ---------------------------------------------------------------- what cannot


def no_annotation(place, day: int = 0) -> None: ...  # type: ignore[no-untyped-def]
def many(*places: str) -> None: ...
def any_keyword(**places: str) -> None: ...
def no_type(place: 5) -> None: ...  # type: ignore[valid-type]
def no_type_with_default(place: 5 = 3) -> None: ...  # type: ignore[valid-type]
def unfit(place: object) -> None: ...
def unfit_with_default(place: object = None) -> None: ...
def unresolvable_member(place: "Broken") -> None: ...
def with_field(days: int = pydantic.Field(ge=1)) -> None: ...
def 天气(city: str) -> None: ...


class Broken(msgspec.Struct):
    inner: "Missing"  # type: ignore[name-defined] # noqa: F821


REFUSED: dict[str, tuple[Any, str]] = {
    "no annotation": (no_annotation, "no_annotation: the parameter 'place' has no annotation, so it has no schema"),
    "self": (Thermometer.read, "read: the parameter 'self' has no annotation: make the tool of an instance's method"),
    "*args": (many, r"many: a model cannot know what \*places takes: name the parameters"),
    "**kwargs": (any_keyword, r"any_keyword: a model cannot know what \*places takes"),
    "a decorator without wraps": (lambda *args, **kwargs: None, "is no name for a tool"),
    "a type that is none": (no_type, "no_type: the parameter 'place' is of a type that JSON cannot carry"),
    "a type that is none, with a default": (no_type_with_default, "the parameter 'place' is of a type that JSON"),
    "a type that JSON cannot carry": (unfit, "unfit: the parameter 'place' is of a type that JSON cannot carry"),
    "the same, with a default": (unfit_with_default, "the parameter 'place' is of a type that JSON cannot carry"),
    "a type that does not exist": (postponed.missing, "missing: an annotation cannot be resolved .name 'Missing'"),
    "a type that its module does not have": (postponed.no_attribute, "an annotation cannot be resolved"),
    "an annotation that is no expression": (postponed.no_expression, "an annotation cannot be resolved"),
    "a type that is local": (postponed.local(), "'Inner' is not defined.: define its type at module level"),
    "a member of a type that does not exist": (unresolvable_member, "the parameter 'place' is of a type that JSON"),
    "a mark as the default": (with_field, "the default of 'days' is pydantic's Field: annotate with it"),
    "a name in Chinese": (天气, "'天气' is no name for a tool"),
    "a class": (Stay, "Stay is a class: give a function that makes one, or ask for one with parse"),
    "a struct": (Place, "Place is a class"),
    "a type of Python's": (int, "int is a class"),
    "a function in C without a signature": (iter, "iter does not say what it takes"),
    "a function in C": (operator.add, "add: the parameter 'a' has no annotation"),
    "not to be called": (functools.partial(Stay, nights=1), "Stay is a class"),
}


@pytest.mark.parametrize(("function", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_tool(function: Any, said: str) -> None:
    """A ConfigError says which function and parameter, and the way out."""
    with pytest.raises(ConfigError, match=said):
        signature_of(function)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ü", "a\n"])
def test_names_that_are_none(name: str) -> None:
    """A name that the service would refuse is refused at once; an empty one is not given."""
    if not name:
        assert signature_of(nothing, name=name).name == "nothing"
        return
    with pytest.raises(ConfigError, match="is no name for a tool"):
        signature_of(nothing, name=name)


# ---------------------------------------------------------------- calls


def by_place(a: int, b: int = 2, c: int = 3, /, d: int = 4, *, e: int = 5) -> tuple[int, ...]:
    return a, b, c, d, e


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('{"a": 1}', (1, 2, 3, 4, 5)),
        ('{"a": 1, "c": 9}', (1, 2, 9, 4, 5)),
        ('{"e": 7, "d": 8, "a": 0, "b": 1}', (0, 1, 3, 8, 7)),
    ],
)
def test_parameters_by_place(text: str, result: tuple[int, ...]) -> None:
    """What takes no keyword is given by place, and a gap is filled with the function's default."""
    made = signature_of(by_place)
    leading, named = made.bind(made.decode(text))
    assert by_place(*leading, **named) == result


def test_defaults_are_the_functions_own() -> None:
    """A default is not passed: a mutable one is the very object, and one that JSON cannot carry does no harm."""
    kept: list[int] = []

    def collect(
        item: int,
        into: list[int] = kept,
        limit: float = float("inf"),
        name: str = None,  # type: ignore[assignment] # noqa: RUF013
        unit: Unit | None = None,
        seen: set[int] = {1},  # noqa: B006
    ) -> list[int]:
        into.append(item)
        return into

    made = signature_of(collect)
    assert made.decode('{"item": 1}') == {"item": 1}
    _, named = made.bind(made.decode('{"item": 1}'))
    assert collect(**named) is kept
    said = {name: member["default"] for name, member in made.schema["properties"].items() if "default" in member}
    assert said == {"into": [], "unit": None, "seen": [1]}
    with pytest.raises(InvalidArguments, match=r"Expected `str`, got `null` - at `\$.name`"):
        made.decode('{"item": 1, "name": null}')


def test_any_name_of_a_parameter_will_do() -> None:
    """Names that mean something to msgspec or to a schema are names like others."""

    def odd(
        self: int, type: int, _a: int, __b__: int, copy: int, default: int, p0: int, required: int, cls: int = 0
    ) -> int:
        return self + type + _a + __b__ + copy + default + p0 + required + cls

    names = list(inspect.signature(odd).parameters)
    made = signature_of(odd)
    text = msgspec.json.encode(dict.fromkeys(names, 1)).decode()
    assert made.decode(text) == dict.fromkeys(names, 1)
    assert odd(**made.decode(text)) == 9
