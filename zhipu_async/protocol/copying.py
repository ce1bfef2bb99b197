"""Copies of what was decoded from JSON: values of JSON and structs, however deep they are nested."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import msgspec
from msgspec import structs

from . import tolerant

T = TypeVar("T")


def copied(value: T) -> T:
    """A copy that shares no list, object or struct with ``value``. Unlike ``copy.deepcopy`` it does not recurse: what
    the decoder took can be copied, from any depth of calls."""
    if value is None:
        return value
    whole: list[Any] = [value]
    unread: list[Any] = [whole]
    while unread:
        holder = unread.pop()
        for place, member in _members(holder):
            if not isinstance(member, (list, dict, msgspec.Struct)):
                continue
            member = copy.copy(cast(Any, member))
            unread.append(member)
            if isinstance(holder, msgspec.Struct):
                setattr(holder, str(place), member)
            else:
                holder[place] = member
    return cast(T, whole[0])


def _members(holder: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(holder, msgspec.Struct):
        return zip(holder.__struct_fields__, structs.astuple(holder), strict=True)
    return list(holder.items()) if tolerant.is_object(holder) else enumerate(cast("list[Any]", holder))
