"""Reading with less work: the only uses of what asyncio and aiohttp do not document, each beside the public way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

AT_ONCE = 64 * 1024
"""Bytes."""
UNREAD = 40
"""Answers that may have come before the first of them is taken: that of the request, and those of 1xx before it."""


def read_less(transport: asyncio.BaseTransport | None) -> None:
    """Have ``transport`` read AT_ONCE bytes at a time, where it can be told so; elsewhere (uvloop, TLS) do nothing.

    asyncio's own reads 256 KiB: more than the C library keeps at hand, so that each read, however small, asks the
    system for fresh memory and gives it back. That costs more than all the rest that aiohttp does with an answer.
    """
    selector: Any = transport
    if isinstance(getattr(transport, "max_size", None), int):
        selector.max_size = AT_ONCE


class _Unread(deque[Any]):
    """The answers of a connection that nobody has taken yet; one too many closes the connection and is not kept."""

    def __init__(self, answers: deque[Any], transport: asyncio.WriteTransport) -> None:
        super().__init__(answers)
        self._transport = transport

    def append(self, answer: Any) -> None:
        if len(self) < UNREAD:
            super().append(answer)
        else:
            self._transport.abort()


def hold_few(protocol: object, transport: asyncio.WriteTransport | None) -> None:
    """Have aiohttp's ``protocol`` hold UNREAD answers at most, where it keeps them as it is known here.

    It would keep all that come, heads of forty times the memory of their bytes, also of an idle connection, and after
    its end until the next garbage collection.
    """
    queue: Any = protocol
    answers: deque[Any] | None = getattr(protocol, "_buffer", None)
    if type(answers) is deque and transport is not None:
        queue._buffer = _Unread(answers, transport)


async def readany(payload: StreamReader) -> bytes:
    """``payload.readany()``, where the pieces that have come are joined in one step.

    Each event of a stream is a chunk of HTTP, and each such chunk a piece. aiohttp takes them one by one and asks each
    time whether the connection shall read on, which costs as much as decoding the event. A reader whose buffer is not
    as it is known here is asked in its own way.
    """
    reader: Any = payload
    pieces: deque[bytes] | None = getattr(reader, "_buffer", None)
    if type(pieces) is not deque or not hasattr(reader, "_wait"):
        return await payload.readany()
    while not pieces and not payload.is_eof() and payload.exception() is None:
        await reader._wait("readany")
    if len(pieces) > 1 and not getattr(reader, "_buffer_offset", 1):
        whole = b"".join(pieces)
        pieces.clear()
        pieces.append(whole)
    return payload.read_nowait(-1)
