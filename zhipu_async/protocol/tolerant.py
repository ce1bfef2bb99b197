"""The second, tolerant pass over an answer that the strict decoder refused (README.md section 5).

Wrong scalars are converted, argument objects become compact JSON text, and an optional field that does not fit is left
out and counted. Standard ``json`` reads what msgspec refuses: lone surrogates, NaN, bytes that are not UTF-8.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeGuard, TypeVar, cast

import msgspec
from msgspec import inspect

T = TypeVar("T")


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a decoded JSON value is a list."""
    return isinstance(value, list)


class Unfit(ValueError):
    """A value that its field cannot take."""


MOST_DROPS = 100
"""Names of fields left out that are noted, of one answer: a hostile one may have millions."""


def loads(body: bytes) -> Any:
    """JSON of ``body``; bytes that are not UTF-8 become U+FFFD. ValueError when it is no JSON."""
    return json.loads(body.decode("utf-8-sig", "replace"))


def convert(value: Any, kind: type[T], drops: list[str]) -> T:
    """``value`` as ``kind``, or ValueError; ``drops`` gets the names of optional fields left out, at most 100.

    First JSON is made to fit as far as that goes, then msgspec builds and checks: the result is never of wrong types.
    """
    return msgspec.convert(_fit(value, _type_info(cast(Any, kind)), drops), kind)


@cache
def _type_info(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _fit(value: Any, info: inspect.Type, drops: list[str]) -> Any:
    """``value`` as JSON that ``info`` takes. What has no rule here (dates, enums, ...) is left to msgspec."""
    match info:
        case inspect.StructType(array_like=False):
            return _struct(value, info, drops)
        case inspect.UnionType():
            return _union(value, info, drops)
        case inspect.ListType():
            return _list(value, info.item_type, drops)
        case inspect.DictType():
            return _dict(value, info.value_type, drops)
        case inspect.StrType():
            return _text(value)
        case inspect.BoolType():
            return _bool(value)
        case inspect.IntType():
            return _int(value)
        case inspect.FloatType():
            return _float(value)
        case inspect.NoneType() if value is not None:
            raise Unfit(f"{type(value).__name__} is not null")
        case _:
            return value


def _struct(value: Any, info: inspect.StructType, drops: list[str]) -> dict[str, Any]:
    name = info.cls.__name__
    if not is_object(value):
        raise Unfit(f"expected an object for {name}, got {type(value).__name__}")
    fitted: dict[str, Any] = {}
    if info.tag_field is not None and info.tag_field in value:
        fitted[info.tag_field] = value[info.tag_field]
        if fitted[info.tag_field] != info.tag:
            raise Unfit(f"not tagged as {name}")
    for field in info.fields:
        if field.encode_name not in value:
            if field.required:
                raise Unfit(f"{name}.{field.name} is missing")
            continue
        item = value[field.encode_name]
        if item is None and not field.required and not _takes_none(field.type):
            continue
        try:
            fitted[field.encode_name] = _fit(item, field.type, drops)
        except ValueError as error:
            if field.required:
                raise Unfit(f"{name}.{field.name}: {error}") from error
            _note(drops, f"{name}.{field.name}")
    return fitted


def _union(value: Any, info: inspect.UnionType, drops: list[str]) -> Any:
    if value is None and _takes_none(info):
        return None
    if any(_exact(value, kind) for kind in info.types):
        return value
    for kind in sorted(info.types, key=lambda kind: not _shaped_like(value, kind)):
        attempt: list[str] = []
        try:
            fitted = _fit(value, kind, attempt)
        except ValueError:
            continue
        _note(drops, *attempt)
        return fitted
    raise Unfit(f"{type(value).__name__} does not fit")


def _dict(value: Any, item: inspect.Type, drops: list[str]) -> dict[str, Any]:
    if not is_object(value):
        raise Unfit(f"expected an object, got {type(value).__name__}")
    fitted: dict[str, Any] = {}
    for key, element in value.items():
        try:
            fitted[key] = _fit(element, item, drops)
        except ValueError:
            _note(drops, f"[{key[:100]!r}]")
    return fitted


def _list(value: Any, item: inspect.Type, drops: list[str]) -> list[Any]:
    if not is_list(value):
        raise Unfit(f"expected a list, got {type(value).__name__}")
    fitted: list[Any] = []
    for index, element in enumerate(value):
        try:
            fitted.append(_fit(element, item, drops))
        except ValueError:
            if isinstance(item, (inspect.FloatType, inspect.IntType)):  # no vector rather than a shorter one
                raise
            if element is not None:
                _note(drops, f"[{index}]")
    return fitted


def _note(drops: list[str], *names: str) -> None:
    drops += names[: max(0, MOST_DROPS - len(drops))]


_OBJECTS = (inspect.DictType, inspect.TypedDictType, inspect.DataclassType)
_LISTS = (inspect.CollectionType, inspect.TupleType, inspect.NamedTupleType)


def _shaped_like(value: Any, info: inspect.Type) -> bool:
    """Whether ``info`` has the shape of ``value``, object or list; such kinds come before text, which takes both."""
    if isinstance(info, inspect.StructType):
        return is_list(value) if info.array_like else is_object(value)
    return isinstance(info, _OBJECTS) if is_object(value) else is_list(value) and isinstance(info, _LISTS)


def _takes_none(info: inspect.Type) -> bool:
    return isinstance(info, (inspect.NoneType, inspect.AnyType)) or (
        isinstance(info, inspect.UnionType) and info.includes_none
    )


def _exact(value: Any, info: inspect.Type) -> bool:
    return (
        (isinstance(info, inspect.StrType) and isinstance(value, str))
        or (isinstance(info, inspect.BoolType) and isinstance(value, bool))
        or (isinstance(info, inspect.IntType) and isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(info, inspect.FloatType) and isinstance(value, float))
    )


def _text(value: Any) -> str:
    """Text; numbers as text; parts of text joined (GLM-4V content); other objects as compact JSON (arguments)."""
    if isinstance(value, str):
        return value
    if value is None:
        raise Unfit("null does not fit text")
    if is_list(value):
        parts = [part for part in value if part is not None]
        texts = [part["text"] for part in parts if is_object(part) and isinstance(part.get("text"), str)]
        if texts and len(texts) == len(parts):
            return "".join(texts)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    raise Unfit(f"{type(value).__name__} does not fit a bool")


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _float(value)
    if not number.is_integer():
        raise Unfit("not a whole number")
    return int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdigit() else int(number)


def _float(value: Any) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise Unfit("the number is too large") from error
    raise Unfit(f"{type(value).__name__} does not fit a number")
