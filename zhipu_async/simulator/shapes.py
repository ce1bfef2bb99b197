"""JSON values of unknown shape."""

from __future__ import annotations

from typing import Any, TypeGuard


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a parsed JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether a parsed JSON value is an array."""
    return isinstance(value, list)


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in an array; none where the value is no array."""
    return [element for element in value if is_object(element)] if is_array(value) else []
