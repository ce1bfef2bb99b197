"""Types that hypothesis draws, and JSON values that are near to what their schemas take."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Required, TypedDict, Union

import msgspec
from hypothesis import strategies as st
from msgspec import Meta


class Colour(enum.Enum):
    """A choice of texts."""

    RED = "a"
    BLUE = "ab"


class Level(enum.IntEnum):
    """A choice of numbers."""

    LOW = 0
    HIGH = 1


class Chain(msgspec.Struct):
    """Circular, through a union."""

    value: int
    next: Chain | None = None


@dataclasses.dataclass
class Tree:
    """Circular, through a list and a dict."""

    name: str
    children: list[Tree] = dataclasses.field(default_factory=list)
    more: dict[str, Tree] = dataclasses.field(default_factory=dict)


class Ping(TypedDict):
    """Circular, by way of another."""

    pong: NotRequired[Pong]


class Pong(TypedDict):
    """The other."""

    pings: list[Ping]


CIRCULAR = (Chain, Tree, Ping, Pong)
_serial = count()
_NAMES = ("a", "b", "$ref", "$defs", "type", "properties", "default", "required")

texts = st.text("ab1é😀 ", max_size=4)
numbers = st.one_of(
    st.integers(-4, 8),
    st.sampled_from([2**53, 2**63, 2**64, -(2**63) - 1, 10**25, -(10**25)]),
    st.integers(-4, 8).map(float),
    st.sampled_from([0.5, -1.5, 2.25, -0.0, 1e22, 1e300, 1e-300]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.sampled_from(_NAMES), inner, max_size=3),
)


@st.composite
def limits(draw: st.DrawFn, **kinds: st.SearchStrategy[Any]) -> Meta:
    """Some of these constraints."""
    return Meta(**{name: draw(kind) for name, kind in kinds.items() if draw(st.booleans())})


small = st.integers(-2, 5)
sizes = st.integers(0, 3)
floats = st.sampled_from([-1.0, 0.0, 0.5, 1.5, 4.0])
whole = st.one_of(
    st.just(int),
    limits(ge=small, lt=small, multiple_of=st.integers(1, 3)).map(lambda meta: Annotated[int, meta]),
    limits(gt=small, le=small).map(lambda meta: Annotated[int, meta]),
    st.sampled_from([Literal[1], Literal[0, 1, 7], Level, Literal[True], Literal[False, 7]]),
)
real = st.one_of(
    st.just(float),
    limits(ge=floats, lt=floats, multiple_of=st.just(0.5)).map(lambda meta: Annotated[float, meta]),
    limits(gt=floats, le=floats).map(lambda meta: Annotated[float, meta]),
)
choices = st.sampled_from([Literal["a"], Literal["a", "b", ""], Colour])
text_without_pattern = st.one_of(
    limits(min_length=sizes, max_length=sizes).map(lambda meta: Annotated[str, meta]), choices
)
text = st.one_of(
    st.just(str),
    choices,
    limits(min_length=sizes, max_length=sizes, pattern=st.sampled_from(["^a", "b", "^[ab]*$"])).map(
        lambda meta: Annotated[str, meta]
    ),
)
keys = st.one_of(st.just(str), st.just(int), text, st.just(Literal[1, 2]), st.just(Level), st.just(Any))


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any], tag: Any = None) -> Any:
    """A class with fields of some types: a struct, a dataclass or a TypedDict."""
    kind = "struct" if tag is not None else draw(st.sampled_from(["struct", "dataclass", "typeddict"]))
    names = draw(st.lists(st.sampled_from(_NAMES), max_size=3, unique=True))
    members = [(name, draw(inner), draw(st.booleans())) for name in names]
    title = f"Drawn{next(_serial)}"
    if kind == "typeddict":
        total = draw(st.booleans())
        marked = {name: (Required[kind] if needed else NotRequired[kind]) for name, kind, needed in members}
        return TypedDict(title, marked, total=total)  # type: ignore[operator]
    members.sort(key=lambda member: not member[2])
    if kind == "dataclass":
        fields = [
            (f"f{number}", kind) if needed else (f"f{number}", kind, dataclasses.field(default=None))
            for number, (_, kind, needed) in enumerate(members)
        ]
        return dataclasses.make_dataclass(title, fields)
    parts = [
        (f"f{number}", kind) if needed else (f"f{number}", kind, draw(st.sampled_from([None, 1, object()])))
        for number, (_, kind, needed) in enumerate(members)
    ]
    return msgspec.defstruct(
        title,
        parts,
        rename={f"f{number}": name for number, (name, _, _) in enumerate(members)},
        forbid_unknown_fields=draw(st.booleans()),
        tag=draw(st.sampled_from([False, False, title])) if tag is None else tag,
        tag_field="kind",
    )


@st.composite
def listed(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    """A class whose values are lists: a named tuple or a struct."""
    members = [(f"f{number}", draw(inner)) for number in range(draw(sizes))]
    title = f"Drawn{next(_serial)}"
    if draw(st.booleans()):
        return NamedTuple(title, members)
    return msgspec.defstruct(
        title,
        members,
        array_like=True,
        forbid_unknown_fields=draw(st.booleans()),
        tag=draw(st.sampled_from([None, "a", 1])),
    )


@st.composite
def tagged(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    """A union of structs that a tag tells apart."""
    tags: Sequence[Any] = draw(st.sampled_from([["a", "b"], ["a", "b", "c"], [0, 1]]))
    return Union[tuple(draw(objects(inner, tag)) for tag in tags)]  # noqa: UP007


def _unions(members: Sequence[st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.sets(st.integers(0, len(members) - 1), min_size=2, max_size=4).flatmap(
        lambda chosen: st.tuples(*(members[number] for number in sorted(chosen))).map(lambda kinds: Union[kinds])  # noqa: UP007
    )


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    places = st.tuples(inner, inner).map(lambda two: tuple[two[0], two[1]]) | st.just(tuple[()])
    lists = st.one_of(
        st.tuples(inner, limits(min_length=sizes, max_length=sizes)).map(lambda two: Annotated[list[two[0]], two[1]]),
        inner.map(lambda kind: tuple[kind, ...]),
        inner.map(lambda kind: Sequence[kind]),
        st.one_of(whole, text, st.just(float)).map(lambda kind: set[kind]),
        st.one_of(whole, text).map(lambda kind: Annotated[frozenset[kind], Meta(min_length=1)]),
    )
    mappings = st.one_of(
        st.tuples(keys, inner, limits(min_length=sizes, max_length=sizes)).map(
            lambda three: Annotated[dict[three[0], three[1]], three[2]]
        ),
        inner.map(lambda kind: Mapping[str, kind]),
        objects(inner),
        tagged(inner),
        st.sampled_from(CIRCULAR),
    )
    number = st.one_of(whole, real, st.just(Union[int, float]))  # noqa: UP007
    simple = (st.none(), st.just(bool), number)
    unions = st.one_of(  # those that are refused are in test_schema
        _unions((*simple, text)),
        _unions((*simple, text_without_pattern, lists, mappings)),
        _unions((st.none(), st.just(bool), st.just(int), st.just(str), places, objects(inner))),
    )
    return st.one_of(lists, places, listed(inner), mappings, unions)


types = st.recursive(st.one_of(whole, real, text, st.just(bool), st.none(), st.just(Any)), _containers, max_leaves=6)
"""Everything that JSON can carry exactly; what only a format describes is left to a table."""


@st.composite
def near(draw: st.DrawFn, schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that the schema takes, or nearly so."""
    if draw(st.integers(0, 11)) == 0 or depth > 6:
        return draw(anything if depth < 3 else scalars)
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
    inner = lambda member: draw(near(member, definitions, depth + 1))  # noqa: E731
    if "anyOf" in schema:
        return inner(draw(st.sampled_from(schema["anyOf"])))
    if "enum" in schema:
        chosen = draw(st.sampled_from(schema["enum"]))
        return float(chosen) if isinstance(chosen, int) and draw(st.booleans()) else chosen
    match schema.get("type"):
        case "integer" | "number":
            edges = [value for key, value in schema.items() if "imum" in key]
            return draw(st.sampled_from([*edges, *(edge + 1 for edge in edges)]) | numbers if edges else numbers)
        case "string":
            return draw(texts)
        case "boolean":
            return draw(st.booleans())
        case "null":
            return None
        case "array":
            value = [inner(member) for member in schema.get("prefixItems", ())]
            value = value[: draw(st.integers(min(schema.get("minItems", 0), len(value)), len(value)))]
            more = schema.get("items", {})
            return value + [
                inner(more or {}) for _ in range(draw(sizes) if more is not False else draw(st.just(0) | sizes))
            ]
        case "object":
            known = schema.get("properties", {})
            value = {
                name: inner(member)
                for name, member in known.items()
                if draw(st.integers(0, 9)) < (9 if name in schema.get("required", ()) else 5)
            }
            names = schema.get("propertyNames", {})
            others = (
                st.sampled_from(names["enum"]) if "enum" in names else st.sampled_from(["1", "-20", "01", "a", "z"])
            )
            more = schema.get("additionalProperties", {})
            fewer = 3 if known else 1
            for _ in range(draw(sizes) if draw(st.integers(1, fewer)) == 1 else 0):
                value[draw(others | texts)] = inner(more or {})
            return value
        case _:
            return draw(anything)
