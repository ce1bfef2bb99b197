"""Reading with less work: the only uses of what asyncio and aiohttp do not document, each beside the public way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from ..errors import ZhipuError

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


class _LeanReader(StreamReader):
    """aiohttp's reader without the bounds of the chunks of HTTP, which it keeps for a method that is not used here.

    Each event of a stream is such a chunk. What aiohttp does for one costs as much as decoding the event.
    """

    __slots__ = ()

    def begin_http_chunk_receiving(self) -> None:
        """Nothing to note."""

    def end_http_chunk_receiving(self) -> None:
        """Nothing to note."""

    def feed_data(self, data: bytes, size: int = 0) -> Any:
        """Keep bytes while there is room, and wake who waits for them; the rest is aiohttp's."""
        size = self._size + len(data)
        if size > self._high_water or not data:
            return super().feed_data(data)
        self._size = size
        self.total_bytes += len(data)
        self._buffer.append(data)
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        return False

    def read_nowait(self, n: int = -1) -> bytes:
        """All that has come, joined in one step; and, where it is too little or too much for that, what aiohttp says.

        aiohttp takes each piece by itself, and after the last has the connection read on that was never held back.
        """
        pieces = self._buffer
        if n != -1 or not pieces or self._buffer_offset or isinstance(self._exception, ZhipuError):
            return super().read_nowait(n)  # an error of ours counts at once; what came before a wire broke, has come
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._cursor += self._size
        self._size = 0
        protocol: Any = self._protocol
        if protocol._reading_paused:
            protocol.resume_reading()
        return data

    async def readany(self) -> bytes:
        """The same, as soon as something has come."""
        while not self._buffer and not self._eof and self._exception is None:
            if self._waiter is not None or not self._protocol.connected:
                await self._wait("readany")  # which says what is wrong
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.read_nowait()


_KNOWN = {
    "_buffer", "_buffer_offset", "_cursor", "_eof", "_exception", "_high_water", "_http_chunk_splits", "_loop",
    "_protocol", "_size", "_waiter",
}  # fmt: skip
"""What :class:`_LeanReader` reads of its base."""
_IS_KNOWN = (
    _KNOWN.issubset(getattr(StreamReader, "__slots__", ()))
    and hasattr(StreamReader, "_wait")
    and "_reading_paused" in getattr(BaseProtocol, "__slots__", ())
)


def lean(payload: StreamReader) -> None:
    """Make ``payload``, the reader of an answer under way, a lean one, if it is as it is known here."""
    if type(payload) is StreamReader and _IS_KNOWN:
        reader: Any = payload
        reader.__class__ = _LeanReader
        reader._http_chunk_splits = None
