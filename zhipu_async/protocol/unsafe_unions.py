"""Types that crash the interpreter. msgspec (0.19 to 0.22; its issue 717) frees what is not its own with the decoder of

* a union of text that has a pattern, and a list, a set, a tuple of any length or a dict;
* a union of a tuple of fixed length, and something with limits (``ge``, ``max_length`` ...).

They are found before a decoder of them is made.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, NewType, Union, cast

import msgspec

_SIZED = {
    *(list, set, frozenset, tuple, dict),
    *(abc.Collection, abc.Sequence, abc.MutableSequence, abc.Set, abc.MutableSet, abc.Mapping, abc.MutableMapping),
}

_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


class _Member(NamedTuple):
    """One of the types of a union."""

    kind: Any
    limits: frozenset[str]
    """Names of the constraints that it has."""


def check_unions(kind: Any) -> None:
    """TypeError for a type that holds such a union."""
    for members in _unions(kind, set()):
        limits = {limit for member in members for limit in member.limits}
        fixed = any(_is_fixed_tuple(member.kind) for member in members)
        sized = any((typing.get_origin(member.kind) or member.kind) in _SIZED for member in members)
        if (sized and "pattern" in limits) or (fixed and limits):
            raise TypeError(
                f"msgspec breaks memory with a union of a list, tuple or dict and something with {min(limits)}: leave "
                "the limits out, or make one of the two a member of a class"
            )


def _unions(kind: Any, seen: set[Any]) -> Iterator[list[_Member]]:
    """The members of all unions in a type, those of the fields of its classes included."""
    members = list(_members(kind, frozenset()))
    if len(members) > 1:
        yield members
    for member in members:
        cls = typing.get_origin(member.kind) or member.kind
        parts = list(typing.get_args(member.kind))
        if isinstance(cls, type) and cls not in seen and _has_fields(cls):
            seen.add(cls)
            try:
                parts += typing.get_type_hints(cls, include_extras=True).values()
            except Exception:  # the decoder says better what is wrong with it
                continue
        for part in parts:
            yield from _unions(part, seen)


def _members(kind: Any, limits: frozenset[str]) -> Iterator[_Member]:
    """The types that a union is of; of anything else, itself."""
    origin = typing.get_origin(kind)
    if origin is Annotated:
        kind, *marks = typing.get_args(kind)
        metas = [mark for mark in marks if isinstance(mark, msgspec.Meta)]
        more = {name for meta in metas for name in _LIMITS if getattr(meta, name) is not None}
        yield from _members(kind, limits | more)
    elif origin is Union or origin is types.UnionType:
        for part in typing.get_args(kind):
            yield from _members(part, limits)
    elif isinstance(kind, NewType):
        yield from _members(kind.__supertype__, limits)
    else:
        yield _Member(kind, limits)


def _is_fixed_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple and typing.get_args(kind)[1:] != (Ellipsis,)


def _has_fields(cls: type) -> bool:
    if typing.is_typeddict(cls) or dataclasses.is_dataclass(cast(Any, cls)):
        return True
    return issubclass(cls, msgspec.Struct) or hasattr(cast(Any, cls), "_fields")  # a named tuple
