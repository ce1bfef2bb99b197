"""Ways to cut bytes, and what a :class:`ChunkReader` makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from tests.contract import page
from zhipu_async.errors import ZhipuError
from zhipu_async.protocol.chunks import CHAT, ChunkReader

Text = TypeVar("Text", bytes, str)

DONE = b"data: [DONE]\n\n"
STOP = {"choices": [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}]}


def examples(number: int) -> settings:
    """So many examples, without a clock: the machine may be busy."""
    return settings(max_examples=number, deadline=None)


def frame(members: Any = None, /, **more: Any) -> bytes:
    """An event with JSON data; keywords are added to an object."""
    value = {**(members or {}), **more} if more else members
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def says(content: str | None = None, *, id: Any = "1", **delta: Any) -> bytes:
    """A chat frame with one delta."""
    text = {} if content is None else {"content": content}
    return frame({"id": id, "choices": [{"index": 0, "delta": {**text, **delta}}]})


def stops(reason: str | None = "stop", **more: Any) -> bytes:
    """A chat frame with a finish reason."""
    return frame({"id": "1", "choices": [{"index": 0, "finish_reason": reason, "delta": {}}], **more})


@dataclass(frozen=True)
class Reading:
    """What came of a stream, in plain values."""

    chunks: list[Any]
    result: Any
    complete: bool
    failure: str | None
    damaged: int
    error: ZhipuError | None = field(compare=False, repr=False)

    @property
    def text(self) -> str | None:
        """The first choice's content."""
        choices = self.result.get("choices")
        return choices[0]["message"].get("content") if choices else None


def read(pieces: bytes | Iterable[bytes], headers: Mapping[str, str] | None = None, *, limit: int = 1 << 20) -> Reading:
    """Feed all pieces of a chat stream to one reader, then close it."""
    reader = ChunkReader(CHAT, headers=headers, limit=limit)
    chunks: list[Any] = []
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        chunks += reader.feed(piece)
    chunks += reader.close()
    error = reader.failure
    failure = None if error is None else f"{type(error).__name__}: {error}"
    return Reading(plain(chunks), plain(reader.result()), reader.complete, failure, reader.damaged, error)


def plain(value: Any) -> Any:
    """Structs as plain values, without defaults."""
    return msgspec.to_builtins(value)


def by_byte(data: bytes) -> list[bytes]:
    """One byte at a time."""
    return [data[position : position + 1] for position in range(len(data))]


def at_every_split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """In two pieces, at every position."""
    return ((data[:position], data[position:]) for position in range(len(data) + 1))


def cut(data: Text, positions: Iterable[int]) -> list[Text]:
    """In pieces, cut at the positions."""
    edges = sorted({0, len(data), *(position % (len(data) + 1) for position in positions)})
    return [data[start:end] for start, end in pairwise(edges)]


cuts = st.lists(st.integers(0, 1 << 20), max_size=30)
"""Positions for :func:`cut`."""


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> Sequence[bytes]:
    """``data`` in pieces, some of them empty."""
    pieces = cut(data, draw(cuts))
    for position in draw(st.lists(st.integers(0, len(pieces)), max_size=3)):
        pieces.insert(position, b"")
    return pieces


def contract(name: str) -> Path:
    """A page of the contract; the test is skipped where there is none, unless REQUIRE_CONTRACT=1."""
    path = page(name)
    if path is None:
        pytest.skip(f"{name} is not there; ZHIPU_CONTRACT_DIR names the folder of the contract")
    return path
