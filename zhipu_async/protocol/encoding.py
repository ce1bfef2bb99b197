"""What the caller gives, as JSON and as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, cast

import msgspec

from ..errors import ConfigError
from .tolerant import is_object


def _plain(value: Any) -> Any:
    """What msgspec does not know but the request types allow: any mapping, any sequence."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if isinstance(value, Sequence):
        return list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def encode_json(value: Any, place: str = "the request") -> bytes:
    """``value`` as JSON; ConfigError for what JSON or UTF-8 cannot hold. ``place`` is what errors call it."""
    try:
        data = _encoder.encode(value)
        wrong = _not_finite(msgspec.to_builtins(value, enc_hook=_plain), place) if data.find(b"null") >= 0 else None
    except UnicodeEncodeError as error:
        raise ConfigError(f"{place} holds text that is not Unicode (a lone surrogate): {error.reason}") from error
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"{place} cannot be written as JSON: {error}") from error
    if wrong:
        raise ConfigError(f"{wrong} is not a finite number; JSON cannot hold it")
    return data


def _not_finite(value: Any, place: str) -> str | None:
    """Where ``value`` (of JSON types) holds a NaN or an infinity, which msgspec would silently write as null."""
    waiting = [(place, value)]  # a stack: what msgspec could nest may be too deep for calls of Python's
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, float):
            if not math.isfinite(value):
                return place
        elif is_object(value):
            waiting += [(str(name), member) for name, member in value.items()]
        elif isinstance(value, (list, tuple)):
            elements = cast("Sequence[Any]", value)
            waiting += [(f"{place}[{index}]", element) for index, element in enumerate(elements)]
    return None


def unwrapped(value: Any) -> Any:
    """The value of an enum's member, as in JSON; anything else as it is."""
    return value.value if isinstance(value, Enum) else value


def text_of(value: Any) -> str:
    """``value`` in a URL or a header."""
    value = unwrapped(value)
    return ("false", "true")[value] if isinstance(value, bool) else str(value)
