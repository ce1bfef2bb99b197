"""What the targets share: ways to cut an input, one thing out of many for it, and what holds of every error."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from zhipu_async.errors import APIError, ZhipuError

SMALL = 600
"""Bytes up to which an input is also fed byte by byte."""


def some(data: bytes, things: list[Any]) -> Any:
    """One of the things, always the same for the same input."""
    return things[zlib.crc32(data) % len(things)]


def cuttings(data: bytes) -> Iterable[list[bytes]]:
    """``data`` whole, byte by byte, and at random places, some of its pieces empty."""
    yield [data]
    draw = random.Random(zlib.crc32(data))
    edges = sorted({0, len(data), *(draw.randint(0, len(data)) for _ in range(draw.randint(1, 12)))})
    yield [b"", *(data[start:end] for start, end in pairwise(edges)), b""]
    if len(data) <= SMALL:
        yield [data[place : place + 1] for place in range(len(data))]


def text_of(data: bytes) -> str:
    """``data`` as text that may hold lone surrogates, as a model's answer may."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def alike(one: Any, other: Any) -> bool:
    """Whether two values are equal, NaN to itself."""
    return one == other or repr(one) == repr(other)


def check_error(error: ZhipuError, most: int = 16_384) -> None:
    """An error of ours can be printed, and is no longer than ``most`` characters, whatever it tells of."""
    text = str(error)
    text.encode()
    assert len(text) <= most, len(text)
    for name in ("body", "raw"):
        kept = getattr(error, name, None)
        assert kept is None or len(kept) <= 4096
    if isinstance(error, APIError) and error.retry_after is not None:
        assert 0 <= error.retry_after < math.inf
