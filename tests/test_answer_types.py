"""Types of answers: what each tells the model, what it takes, what it refuses and in which words."""

from __future__ import annotations

import copy
import datetime
import enum
import math
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Optional, TypedDict, TypeVar

import jsonschema
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.feeding import examples
from tests.protocol.json_values import same, values
from zhipu_async.answer_types import answer_type
from zhipu_async.errors import ConfigError
from zhipu_async.protocol.partial import PartialJSON

T = TypeVar("T")


class Recipe(msgspec.Struct):
    """A struct with defaults, a nested one, and a description."""

    title: Annotated[str, msgspec.Meta(description="what it is called")]
    steps: list[Step]
    serves: int = 2


class Step(msgspec.Struct, rename="camel"):
    """A struct with names of its own in JSON, and a constraint."""

    what_to_do: str
    minutes: Annotated[float, msgspec.Meta(ge=0)] = 1.0


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A struct that takes nothing else."""

    a: int


class Cat(msgspec.Struct, tag_field="kind", tag="cat"):
    """One of a tagged union."""

    name: str


class Dog(msgspec.Struct, tag_field="kind", tag="dog"):
    """Another of it."""

    name: str


class Box(msgspec.Struct, Generic[T]):
    """A generic struct."""

    item: T


class Reading(msgspec.Struct):
    """A struct with a member of the name that wrappings have."""

    value: float
    unit: str


class Tree(msgspec.Struct):
    """A recursive struct."""

    name: str
    children: list[Tree] = []


class Even(msgspec.Struct):
    """A struct with a rule of its own."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


@dataclass
class Chain:
    """A recursive dataclass with a default that is made."""

    name: str
    rest: Optional[Chain] = None  # noqa: UP045
    tags: list[str] = field(default_factory=list[str])


class Menu(TypedDict):
    """A TypedDict with a key that may be missing."""

    dishes: list[str]
    note: NotRequired[str]


class Pair(NamedTuple):
    """A named tuple with a default."""

    left: int
    right: str = "r"


class Color(enum.Enum):
    """Words."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """Numbers."""

    LOW = 1


class Item(pydantic.BaseModel):
    """A model with an alias, a constraint and a rule of its own."""

    name: str = pydantic.Field(alias="theName")
    price: float = pydantic.Field(ge=0)

    @pydantic.field_validator("price")
    @classmethod
    def _not_dear(cls, price: float) -> float:
        if price > 100:
            raise ValueError("too dear")
        return price


class Node(pydantic.BaseModel):
    """A recursive model."""

    name: str
    children: list[Node] = []


class Exact(pydantic.BaseModel, strict=True):
    """A strict model."""

    when: datetime.date
    color: Color
    pair: tuple[int, int]
    count: int


@dataclass
class Order:
    """A dataclass with limits of pydantic's, and a model."""

    count: Annotated[int, pydantic.Field(gt=0, description="how many")]
    item: Item | None = None


class Price(pydantic.BaseModel):
    """A model with a decimal."""

    amount: Decimal = pydantic.Field(ge=0)


class Numbers(pydantic.RootModel[list[int]]):
    """A model that is a list."""


@pydantic.dataclasses.dataclass
class Point:
    """A dataclass of pydantic's."""

    x: int = pydantic.Field(ge=0)


class Plain:
    """A class that nobody knows how to make."""


NOW = datetime.datetime(2026, 11, 20, 10, 15, tzinfo=datetime.UTC)
TYPES: list[tuple[Any, Any, Any]] = [
    (
        Recipe,
        {"title": "Tea", "steps": [{"whatToDo": "boil", "minutes": 3}]},
        Recipe("Tea", [Step("boil", 3.0)]),
    ),
    (Box[int], {"item": 1}, Box(1)),
    (Box[list[Recipe]], {"item": [{"title": "x", "steps": []}]}, Box([Recipe("x", [])])),
    (Box, {"item": [1]}, Box([1])),
    (Tree, {"name": "a", "children": [{"name": "b"}]}, Tree("a", [Tree("b")])),
    (Chain, {"name": "a", "rest": {"name": "b", "tags": ["t"]}}, Chain("a", Chain("b", None, ["t"]))),
    (Menu, {"dishes": ["x"]}, {"dishes": ["x"]}),
    (Menu, {"dishes": ["x"], "note": "y"}, {"dishes": ["x"], "note": "y"}),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (dict[str, int], {"value": 1}, {"value": 1}),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (dict[int, int], {"1": 2.0}, {1: 2}),
    (dict, {"a": [1]}, {"a": [1]}),
    (Annotated[Recipe, msgspec.Meta(description="d")], {"title": "x", "steps": []}, Recipe("x", [])),
    (Item, {"theName": "x", "price": 1}, Item(theName="x", price=1)),
    (Node, {"name": "a", "children": [{"name": "b"}]}, Node(name="a", children=[Node(name="b")])),
    (
        Exact,
        {"when": "2026-11-20", "color": "red", "pair": [1, 2], "count": 3},
        Exact(when=NOW.date(), color=Color.RED, pair=(1, 2), count=3),
    ),
    (
        Exact,
        {"when": "2026-11-20", "color": "red", "pair": [1, 2.0], "count": 3.0},
        Exact(when=NOW.date(), color=Color.RED, pair=(1, 2), count=3),
    ),
    (Order, {"count": 1, "item": {"theName": "x", "price": 1}}, Order(1, Item(theName="x", price=1))),
    (Price, {"amount": "12345678901234567.89"}, Price(amount=Decimal("12345678901234567.89"))),
    (dict[str, Item], {"a": {"theName": "x", "price": 1}}, {"a": Item(theName="x", price=1)}),
    (Point, {"x": 1}, Point(1)),
]
"""Types of objects, with JSON and what it becomes."""

WRAPPED: list[tuple[Any, Any, Any]] = [
    (Cat | Dog, {"kind": "dog", "name": "x"}, Dog("x")),
    (Cat | Dog | None, None, None),
    (Recipe | None, {"title": "x", "steps": []}, Recipe("x", [])),
    (Reading | None, {"value": 1, "unit": "C"}, Reading(1.0, "C")),
    (list[Cat | Dog], [{"kind": "cat", "name": "x"}], [Cat("x")]),
    (list[Recipe], [{"title": "x", "steps": []}], [Recipe("x", [])]),
    (list[Tree], [{"name": "a", "children": []}], [Tree("a", [])]),
    (list, [1, "a"], [1, "a"]),
    (dict[str, int] | None, {"value": 1}, {"value": 1}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (set[str], ["a", "a"], {"a"}),
    (frozenset[int], [1], frozenset({1})),
    (Pair, [1], Pair(1)),
    (Literal["a", "b"], "b", "b"),
    (Literal[1, None], None, None),
    (Color, "blue", Color.BLUE),
    (Level, 1, Level.LOW),
    (str, "x", "x"),
    (int, 5, 5),
    (int, 5.0, 5),
    (list[int], [5.0, 6], [5, 6]),
    (float, 5, 5.0),
    (bool, True, True),
    (int | str, "x", "x"),
    (Annotated[int, msgspec.Meta(ge=3)], 3, 3),
    (datetime.datetime, "2026-11-20T10:15:00Z", NOW),
    (datetime.date, "2026-11-20", NOW.date()),
    (uuid.UUID, "01234567-89ab-4def-8123-456789abcdef", uuid.UUID("01234567-89ab-4def-8123-456789abcdef")),
    (Decimal, "1.50", Decimal("1.50")),
    (Decimal, 0.1, Decimal("0.1")),
    (bytes, "aGk=", b"hi"),
    (Any, {"a": 1}, {"a": 1}),
    (None, None, None),
    (list[Annotated[int, pydantic.Field(gt=0)]], [1, 2.0], [1, 2]),
    (list[Item], [{"theName": "x", "price": 1}], [Item(theName="x", price=1)]),
    (Item | Node, {"name": "a"}, Node(name="a")),
    (Optional[Item], None, None),  # noqa: UP045
    (Annotated[list[Item], "some"], [], []),
    (Numbers, [1, 2], Numbers([1, 2])),
]
"""Types of what is no object, or may be none."""


def name(case: Any) -> str | None:
    """For the table of tests."""
    return str(case) if isinstance(case, type) or hasattr(case, "__args__") else None


@pytest.mark.parametrize(("kind", "json", "value"), TYPES, ids=name)
def test_a_type_of_objects(kind: Any, json: Any, value: Any) -> None:
    """The schema is the type's own, of an object, and valid; JSON that fits it becomes the value."""
    answer = answer_type(kind)
    assert not answer.wrapped
    jsonschema.Draft202012Validator.check_schema(answer.schema)
    jsonschema.validate(json, answer.schema)
    assert answer.schema["type"] == "object"
    made = answer.accept(json)
    assert (made, type(made)) == (value, type(value))
    assert answer.unwrap(json) is json


@pytest.mark.parametrize(("kind", "json", "value"), WRAPPED, ids=name)
def test_a_type_of_anything_else(kind: Any, json: Any, value: Any) -> None:
    """The schema is that of an object with the value in it; it is read with its wrapping, and without."""
    answer = answer_type(kind)
    assert answer.wrapped
    jsonschema.Draft202012Validator.check_schema(answer.schema)
    assert answer.schema["type"] == "object"
    assert (list(answer.schema["properties"]), answer.schema["required"]) == (["value"], ["value"])
    if not isinstance(json, float) and value != {"a"} and kind is not Decimal:  # sets take equals, Decimals numbers
        jsonschema.validate({"value": json}, answer.schema)
    for wrapped in ({"value": json}, {"value": json, "note": "x"}, json):
        made = answer.accept(wrapped)
        if kind is not Any or wrapped is json:
            assert (made, type(made)) == (value, type(value))


def test_what_the_model_is_told() -> None:
    """Names as they are in JSON, descriptions, constraints, defaults, what is required, and tags."""
    schema = answer_type(Recipe).schema
    assert schema["required"] == ["title", "steps"]
    assert schema["properties"]["title"]["description"] == "what it is called"
    assert schema["properties"]["serves"]["default"] == 2
    step = schema["properties"]["steps"]["items"]
    assert (step["required"], step["properties"]["minutes"]["minimum"]) == (["whatToDo"], 0)
    kinds = answer_type(Cat | Dog).schema["properties"]["value"]["anyOf"]
    assert [kind["properties"]["kind"]["enum"] for kind in kinds] == [["cat"], ["dog"]]
    assert answer_type(Strict).schema["additionalProperties"] is False
    assert list(answer_type(Item).schema["properties"]) == ["theName", "price"]
    assert answer_type(Order).schema["properties"]["count"]["description"] == "how many"


def test_decimals_are_asked_for_as_texts() -> None:
    """JSON numbers are read as floats, which lose digits; a decimal that came as a number is taken all the same."""
    for kind in (Price, msgspec.defstruct("Cost", [("amount", Decimal)])):
        answer = answer_type(kind)
        assert answer.schema["properties"]["amount"]["type"] == "string"
        assert answer.accept({"amount": 1.5}).amount == Decimal("1.5")
    assert answer_type(Price).schema["properties"]["amount"]["minimum"] == 0


@pytest.mark.parametrize("kind", [Tree, Chain, Node, list[Tree], list[Node], Tree | None])
def test_recursive_types_have_their_definitions_at_the_root(kind: Any) -> None:
    """What a reference names is there, so that the schema accepts what is nested deeply, and refuses what is wrong."""
    schema = answer_type(kind).schema
    tree = {"name": "a", "rest": {"name": "b"}, "children": [{"name": "b", "children": [{"name": "c"}]}]}
    wrong = {"name": "a", "rest": {"name": 1}, "children": [{"name": "b", "children": [{"name": 1}]}]}
    several = kind in (list[Tree], list[Node])
    wrap: Callable[[Any], Any] = lambda each: each  # noqa: E731
    if answer_type(kind).wrapped:
        wrap = lambda each: {"value": [each] if several else each}  # noqa: E731
    jsonschema.validate(wrap(tree), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrap(wrong), schema)


REFUSED: list[tuple[Any, Any, str]] = [
    (Recipe, {"title": 1, "steps": []}, "Expected `str`, got `int` - at `$.title`"),
    (Recipe, {"title": "x"}, "Object missing required field `steps`"),
    (Recipe, {"title": "x", "steps": [{}]}, "Object missing required field `whatToDo` - at `$.steps[0]`"),
    (
        Recipe,
        {"title": "x", "steps": [{"whatToDo": "", "minutes": -1.0}]},
        "Expected `float` >= 0.0 - at `$.steps[0].minutes`",
    ),
    (Recipe, [], "Expected `object`, got `array`"),
    (Strict, {"a": 1, "b": 2}, "Object contains unknown field `b`"),
    (Strict, {"a": 1.5}, "Expected `int`, got `float` - at `$.a`"),
    (Strict, {"a": True}, "Expected `int`, got `bool` - at `$.a`"),
    (Even, {"number": 3}, "3 is odd"),
    (list[Even], {"value": [{"number": 3}]}, "3 is odd - at `$.value[0]`"),
    (Cat | Dog, {"value": {"kind": "cow", "name": "x"}}, "Invalid value 'cow' - at `$.value.kind`"),
    (Cat | Dog, {"kind": "cow", "name": "x"}, "Invalid value 'cow' - at `$.kind`"),
    (list[int], {"value": [1, "2"]}, "Expected `int`, got `str` - at `$.value[1]`"),
    (list[int], [1, "2"], "Expected `int`, got `str` - at `$[1]`"),
    (list[int], {"values": []}, "Expected `array`, got `object`"),
    (Color, {"value": "green"}, "Invalid enum value 'green' - at `$.value`"),
    (datetime.datetime, {"value": "tomorrow"}, "Invalid RFC3339 encoded datetime - at `$.value`"),
    (dict[int, str], {"a": "b"}, "Expected `int`, got `str` - at `key` in `$`"),
    (Item, {"theName": "x", "price": 1000}, "Value error, too dear - at `$.price`"),
    (
        Item,
        {"name": "x", "price": -1},
        "Field required - at `$.theName`; Input should be greater than or equal to 0 - at `$.price`",
    ),
    (list[Item], {"value": [{"theName": "x"}]}, "Field required - at `$.value[0].price`"),
    (list[Item], [{"theName": "x"}], "Field required - at `$[0].price`"),
    (Exact, [], "Input should be an object - at `$`"),
    (Point, {"x": -1}, "Input should be greater than or equal to 0 - at `$.x`"),
    (Order, {"count": 0}, "Input should be greater than 0 - at `$.count`"),
    (list[Annotated[int, pydantic.Field(gt=0)]], [1, 0], "Input should be greater than 0 - at `$[1]`"),
    (pydantic.PositiveInt, 0, "Input should be greater than 0 - at `$`"),
    (
        Exact,
        {"when": "2026-11-20", "color": "red", "pair": [1, 2], "count": 1.5},
        "Input should be a valid integer - at `$.count`",
    ),
]


@pytest.mark.parametrize(("kind", "json", "words"), REFUSED, ids=name)
def test_what_does_not_fit(kind: Any, json: Any, words: str) -> None:
    """The validator's own words, with the place as it is in what the model wrote."""
    with pytest.raises((ValueError, msgspec.ValidationError)) as caught:
        answer_type(kind).accept(json)
    assert str(caught.value) in (words, f"{words} - at `$`")


def test_no_more_than_five_problems_are_told() -> None:
    """A model that got everything wrong is not told of all of it."""
    with pytest.raises(ValueError, match="valid integer") as caught:
        answer_type(list[Point]).accept([{"x": "no"}] * 1000)
    assert str(caught.value).count(" - at `") == 5


class Hidden:
    """Not to be found."""

    class Struct(msgspec.Struct):
        """A struct with a name that means nothing."""

        x: Nowhere  # type: ignore[name-defined]  # noqa: F821

    class Model(pydantic.BaseModel):
        """The same as a model."""

        x: Nowhere  # type: ignore[name-defined]  # noqa: F821


class WithCallable(pydantic.BaseModel):
    """A model that JSON cannot carry."""

    call: Callable[[int], int]


class WithModel(msgspec.Struct):
    """A struct of which nobody can make a value: half of it is msgspec's, half pydantic's."""

    item: Item


class WithLimit(msgspec.Struct):
    """A struct with a limit that msgspec would pass over."""

    x: Annotated[int, pydantic.Field(gt=0)]


IMPOSSIBLE: list[Any] = [
    object, Plain, list[Plain], Plain | None, Item | Plain, Callable[[int], int], complex, type, len, "Recipe", 5,
    [int], Recipe("x", []), Item(theName="x", price=1), Cat | Strict, Recipe | Menu, datetime.datetime | str,
    list.__class_getitem__("Nowhere"), Hidden.Struct, Hidden.Model, WithCallable, WithModel, list[WithModel], WithLimit,
    ..., {"a": int},
]  # fmt: skip


@pytest.mark.parametrize("kind", IMPOSSIBLE, ids=repr)
def test_an_impossible_type(kind: Any) -> None:
    """ConfigError names it, says why, and what can be used instead; every time that it is asked for."""
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"cannot be the type of an answer: .+ can$") as caught:
            answer_type(kind)
        assert repr(kind)[:100] in str(caught.value)
        assert "\n" not in str(caught.value)


def test_pydantic_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported for its own models alone."""
    monkeypatch.setitem(sys.modules, "pydantic", None)
    fresh = msgspec.defstruct("Fresh", [("a", int)])
    assert answer_type(fresh).accept({"a": 1}) == fresh(1)


def test_a_type_is_looked_at_once() -> None:
    """The second time it is known; what cannot be hashed is looked at each time."""
    assert answer_type(list[Recipe]) is answer_type(list[Recipe])
    assert answer_type(Literal[1]) is not answer_type(Literal[True])
    unhashable = Annotated[int, msgspec.Meta(extra={"a": []}), []]
    assert answer_type(unhashable).accept(1) == 1


GROWING: list[tuple[str, list[Any]]] = [
    ('{"value": [1, {"a": "x', [None, [], [1], [1, {}], [1, {"a": ""}], [1, {"a": "x"}]]),
    ('{"value": "xy', [None, "", "x", "xy"]),
    ('{"value": null}', [None]),
    ('[1, "x', [None, [], [1], [1, ""], [1, "x"]]),
    ('{"a": "x', [None, {"a": ""}, {"a": "x"}]),
    ('{"a": 1, "value": 2}', [None, {"a": 1}, {"a": 1, "value": 2}]),
]


@pytest.mark.parametrize(("text", "expected"), GROWING)
def test_what_is_still_coming_is_unwrapped(text: str, expected: list[Any]) -> None:
    """Nothing, as long as it is not known whether there is a wrapping; then what is in it, or what came without."""
    growing, seen = PartialJSON(), [None]
    for character in text:
        growing.feed(character)
        found = copy.deepcopy(answer_type(Any).unwrap(growing.value))
        if found != seen[-1]:
            seen.append(found)
    assert seen == expected


def test_objects_are_not_unwrapped() -> None:
    """A type of objects may have a member of the wrapping's name."""
    assert answer_type(Reading).unwrap({"value": 1}) == {"value": 1}
    assert answer_type(dict[str, int]).unwrap({}) == {}


class Numeric(msgspec.Struct):
    """Whole numbers and others."""

    whole: int
    other: float
    text: str = ""


@given(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
@examples(100)
def test_one_kind_of_number(whole: int, other: float) -> None:
    """A whole number may be written with a point, and any number without one: JSON schema knows one kind."""
    answer = answer_type(Numeric)
    made = answer.accept({"whole": float(whole), "other": other})
    assert (made.whole, type(made.whole), made.other) == (whole, int, other)
    if math.isclose(other, round(other)):
        assert answer.accept({"whole": whole, "other": int(other)}).other == int(other)


@given(values)
@examples(200)
def test_any_json_is_taken_as_it_is(value: Any) -> None:
    """``Any`` changes nothing, with its wrapping or without; pydantic and msgspec agree on dicts."""
    answer = answer_type(Any)
    assert same(answer.accept({"value": value}), value)
    if not (isinstance(value, dict) and "value" in value):
        assert same(answer.accept(value), value)


@given(values, st.sampled_from([*(kind for kind, _, _ in TYPES), *(kind for kind, _, _ in WRAPPED)]))
@examples(500)
def test_what_is_refused_is_refused_in_words(value: Any, kind: Any) -> None:
    """Whatever JSON comes, it becomes the type, or the error is one that the search for an answer knows."""
    told = "nothing"
    try:
        answer_type(kind).accept(value)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        told = str(error)
    assert told
