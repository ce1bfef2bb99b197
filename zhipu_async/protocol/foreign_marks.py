"""Limits and descriptions in the words of pydantic and annotated_types, which msgspec passes over in silence."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, NewType, Union

import msgspec

from ..errors import ConfigError
from .unsafe_unions import check_unions

_PACKAGES = ("pydantic", "annotated_types")


def is_foreign(part: Any) -> bool:
    """Whether it is a mark of one of the two, or a class that pydantic makes. Neither is imported for that."""
    return hasattr(part, "__pydantic_core_schema__") or type(part).__module__.partition(".")[0] in _PACKAGES


def check_marks(kind: Any) -> None:
    """TypeError for a type that holds what only pydantic would check."""
    if (part := next(filter(is_foreign, parts_of(kind)), None)) is not None:
        raise TypeError(
            f"msgspec does not check what pydantic does ({part!r:.100}): give limits and descriptions with "
            "msgspec.Meta, and structs or dataclasses of Python's own"
        )


def check_response_type(kind: Any) -> None:
    """ConfigError for a type with which msgspec would break memory, or that it would check by halves."""
    try:
        _check(kind)
    except TypeError as error:
        raise ConfigError(f"{kind!r:.200} cannot be the type of an answer: {error}") from None


@cache
def _check(kind: Any) -> None:
    check_unions(kind)
    check_marks(kind)


def parts_of(kind: Any, seen: set[type] | None = None) -> Iterator[Any]:
    """All that a type is made of: classes, marks, and what the fields of its classes are made of."""
    seen = set() if seen is None else seen
    cls = typing.get_origin(kind) or kind
    yield cls
    parts = list(typing.get_args(kind))
    if isinstance(kind, NewType):
        parts.append(kind.__supertype__)
    elif isinstance(cls, type) and cls not in seen and not is_foreign(cls):
        seen.add(cls)
        with suppress(Exception):  # the decoder says better what is wrong with it
            parts += typing.get_type_hints(cls, include_extras=True).values()
    for part in parts:
        yield from parts_of(part, seen)


def translated(kind: Any) -> Any:
    """``kind`` with such marks as ``msgspec.Meta``, but for those that mean more and those of the fields of classes."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return Annotated[(translated(parts[0]), *map(_meta, parts[1:]))]
    inner = tuple(map(translated, parts))
    if all(new is old for new, old in zip(inner, parts, strict=True)):
        return kind
    cls: Any = Union if origin is types.UnionType else origin
    return cls[inner]


def _meta(mark: Any) -> Any:
    if not is_foreign(mark):
        return mark
    with suppress(TypeError, ValueError):  # a word that Meta does not know, or not so
        return msgspec.Meta(**_said(mark))
    return mark


def _said(mark: Any) -> dict[str, Any]:
    """What a mark says, by name."""
    said: dict[str, Any]
    if hasattr(mark, "metadata"):  # pydantic's Field: it holds the limits as marks
        said = dict(getattr(mark, "_attributes_set", {"": None}))  # without it nobody knows what was said: no word fits
        for part in mark.metadata:
            said |= _said(part)
    else:
        fields = typing.cast("Iterable[str]", getattr(mark, "__dataclass_fields__", None) or vars(mark))
        said = {name: value for name in fields if (value := getattr(mark, name)) is not None}
    if "pattern" in said:
        said["pattern"] = getattr(said["pattern"], "pattern", said["pattern"])  # it may be a compiled one
    return said
