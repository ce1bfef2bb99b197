"""Answers written to a client piece by piece, byte for byte as they are: those of a recording, or just received."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from zhipu_async.simulator.wire import CLOSED, KEPT, Written, hang_up
from zhipu_async.testing.exchange import End, Exchange, Headers

_READ_FIRST: Final = 0.01
"""Seconds that a client has for reading what was written before a reset, which may take it away again."""
_BODILESS: Final = frozenset({204, 304})


class Left(Exception):
    """The client closed the connection before the answer was complete."""


class Playback:
    """An answer under way to a client: a head, pieces, an end."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._chunked = False

    async def head(self, status: int, reason: str, headers: Headers) -> None:
        """Write the status line and the headers; a body without a known length is written in HTTP chunks."""
        sized = any(name.lower() == "content-length" for name, _ in headers)
        self._chunked = not sized and status not in _BODILESS and self._request.method != "HEAD"
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
        if self._chunked:
            lines.append("Transfer-Encoding: chunked")
        if not self._request.keep_alive:
            lines.append("Connection: close")
        await self._write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))

    async def piece(self, data: bytes) -> None:
        """Write a piece of the body, as one HTTP chunk where there are chunks."""
        await self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self, how: End) -> Written:
        """End the body as it ended, and give what aiohttp is to be told."""
        if how == "complete":
            if self._chunked:
                await self._write(b"0\r\n\r\n")
            return KEPT if self._request.keep_alive else CLOSED
        await asyncio.sleep(_READ_FIRST)
        try:
            return await hang_up(self._request, reset=how == "reset")
        except ConnectionError:
            return CLOSED

    async def _write(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise Left
        transport.write(data)
        try:
            await self._request.writer.drain()
        except ConnectionError:
            raise Left from None


async def play(exchange: Exchange, request: web.BaseRequest, speed: float) -> Written:
    """Answer as it was answered: at once with `speed=0`, with the pauses that there were with 1.0, faster above it."""
    clock = asyncio.get_running_loop().time
    start = clock()

    async def until(after: float) -> None:
        await asyncio.sleep(max(0.0, start + after / speed - clock()) if speed else 0.0)

    playback = Playback(request)
    if exchange.status is not None:
        await until(exchange.head_after)
        await playback.head(exchange.status, exchange.reason, exchange.answer_headers)
    for piece in exchange.pieces:
        await until(piece.after)
        await playback.piece(piece.data)
    await until(exchange.end_after)
    return await playback.end(exchange.end)
