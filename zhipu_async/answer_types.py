"""A type that an answer is to have: its JSON schema, and what makes a value of it. msgspec's types and pydantic's."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from .errors import ConfigError
from .protocol import tolerant
from .protocol.foreign_marks import is_foreign, parts_of
from .protocol.json_schema import schema_of

T = TypeVar("T")
_Maker = Callable[[Any], Any]

WRAPPED = "value"
"""The member under which an answer stands that is no object: ``json_object`` gives objects (chat.md section 1)."""

_REFUSALS = (ValueError, TypeError, msgspec.MsgspecError)
_IMPOSSIBLE = (TypeError, ValueError, NameError, AttributeError, RuntimeError, ImportError)
_PROBLEMS_TOLD = 5


@dataclass(frozen=True, slots=True)
class AnswerType(Generic[T]):
    """How an answer is asked for, and how it is read."""

    schema: dict[str, Any]
    """Of an object."""
    _make: Callable[[Any], T]
    _open: Callable[[Any], T] | None = None
    """Makes the value of the object that it is wrapped in, ``{"value": ...}``; None for a type that is an object."""

    @property
    def wrapped(self) -> bool:
        """Whether the object is only there to hold what is wanted."""
        return self._open is not None

    def accept(self, value: Any) -> T:
        """``value``, plain JSON, as the type; it may have come without its wrapping.

        ValueError, TypeError or an error of msgspec's, in the validator's words, says what does not fit and where.
        """
        if self._open is None or not (tolerant.is_object(value) and WRAPPED in value):
            return self._make(value)
        try:
            return self._open(value)
        except _REFUSALS:
            with suppress(*_REFUSALS):
                return self._make(value)
            raise

    def unwrap(self, value: Any) -> Any:
        """What is wanted of plain JSON that is still coming; None as long as nothing of it has come."""
        if self._open is None or not tolerant.is_object(value):
            return value
        return value.get(WRAPPED) if next(iter(value), WRAPPED) == WRAPPED else value


def answer_type(kind: Any) -> AnswerType[Any]:
    """``kind`` as the type of an answer: a msgspec struct, dataclass, TypedDict, NamedTuple, pydantic model, enum,
    Literal or scalar, and lists, dicts, tuples, sets and unions of them.

    Numbers like 5.0 are taken for an int, as JSON schema has it. ConfigError for a type that JSON cannot carry.
    """
    try:
        return _answer_type(kind)
    except TypeError:  # it cannot be hashed
        return _answer_type.__wrapped__(kind)


@lru_cache(maxsize=128)
def _answer_type(kind: Any) -> AnswerType[Any]:
    pydantic = _is_pydantic(kind)
    reader, wrapper = (_of_pydantic, _model) if pydantic else (_of_msgspec, _struct)
    try:
        schema, make = reader(kind)
        if schema.get("type") == "object":
            return AnswerType(schema, make)
        schema, make_wrapper = reader(wrapper(kind))
    except _IMPOSSIBLE as error:
        raise ConfigError(
            f"{kind!r:.200} cannot be the type of an answer: {' '.join(str(error).split())}. Structs, dataclasses, "
            "TypedDicts, pydantic models, and lists, dicts and unions of them can"
        ) from None
    return AnswerType(schema, make, lambda value: make_wrapper(value).value)


def _of_msgspec(kind: Any) -> tuple[dict[str, Any], _Maker]:
    def make(value: Any) -> Any:
        try:
            return msgspec.convert(value, kind, str_keys=True)
        except msgspec.ValidationError:
            return msgspec.convert(_whole_numbers(value), kind, str_keys=True)

    return schema_of(kind), make


def _whole_numbers(value: Any) -> Any:
    """``value`` with numbers like 5.0 as ints: JSON has one kind of number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if tolerant.is_list(value):
        return [_whole_numbers(item) for item in value]
    if tolerant.is_object(value):
        return {key: _whole_numbers(item) for key, item in value.items()}
    return value


def _struct(kind: Any) -> Any:
    return msgspec.defstruct("Answer", [(WRAPPED, kind)])


def _of_pydantic(kind: Any) -> tuple[dict[str, Any], _Maker]:
    from pydantic import TypeAdapter, ValidationError
    from pydantic.json_schema import GenerateJsonSchema

    class Schema(GenerateJsonSchema):
        def decimal_schema(self, schema: Any) -> dict[str, Any]:
            """As texts: a number would lose digits. Its limits stay, for the model to see."""
            either = super().decimal_schema(schema)
            return {key: value for each in either.get("anyOf", [either]) for key, value in each.items()}

    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def make(value: Any) -> Any:
        try:
            try:
                return adapter.validate_json(json.dumps(value))  # JSON: strict models take no text for a date else
            except ValidationError:
                return adapter.validate_json(json.dumps(_whole_numbers(value)))
        except ValidationError as error:
            problems = error.errors(include_url=False)[:_PROBLEMS_TOLD]
            raise ValueError("; ".join(f"{each['msg']} - at `{_path(each['loc'])}`" for each in problems)) from None

    return _with_root(adapter.json_schema(schema_generator=Schema)), make


def _model(kind: Any) -> Any:
    from pydantic import create_model

    return create_model("Answer", value=(kind, ...))


def _path(place: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)


def _with_root(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` with its root in its place, where it only refers to it, as that of a recursive type does."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if not name:
        return schema
    return {**schema["$defs"][name], **{key: value for key, value in schema.items() if key != "$ref"}}


def _is_pydantic(kind: Any) -> bool:
    """Whether there are models or marks of pydantic's in ``kind``, and no structs, which pydantic does not know."""
    parts = list(parts_of(kind))
    return any(map(is_foreign, parts)) and not any(isinstance(p, type) and issubclass(p, msgspec.Struct) for p in parts)
