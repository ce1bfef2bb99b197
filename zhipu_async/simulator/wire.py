"""Bytes on their way to the client: the simulator writes its own HTTP/1.1, so that it can also write it wrongly."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Final

from aiohttp import web

from zhipu_async.simulator.folder import BLOCK, read_block
from zhipu_async.simulator.rendering import Body
from zhipu_async.simulator.replies import Delivery

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_READ_FIRST: Final = 0.01
"""Seconds that a peer has for reading what was written before a reset, which may take it away again."""
_SILENCE: Final = 86_400.0
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_LAST_CHUNK: Final = b"0\r\n\r\n"
_GZIP: Final = 31
"""The window size that makes zlib write the gzip format."""


class Written(web.StreamResponse):
    """The response object that aiohttp asks for, when all of its bytes have been written already."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._kept = keep_alive

    @property
    def keep_alive(self) -> bool:
        """Whether the connection takes another request."""
        return self._kept

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the head has been written."""

    async def write_eof(self, data: bytes | bytearray | memoryview = b"") -> None:
        """Do nothing: the body has been written."""


KEPT: Final = Written(keep_alive=True)
CLOSED: Final = Written(keep_alive=False)


class PeerClosed(ConnectionError):
    """The peer closed the connection before the answer was complete."""


async def write(body: Body, delivery: Delivery, request: web.BaseRequest, keep_alive: str) -> Written:
    """Write an answer as its delivery says. `keep_alive` is the value of the header of that name."""
    if delivery.head_after:
        await asyncio.sleep(delivery.head_after)
    if delivery.gzip and request.headers.get("Accept-Encoding") != "identity":
        body = _compressed(await _in_memory(body))
    framed_by_hand = not body.headers.keys().isdisjoint(_FRAMING)
    chunked = body.stream and not framed_by_hand
    kept = request.keep_alive and not framed_by_hand and body.headers.get("connection") != "close"
    headers = dict(body.headers)
    if chunked:
        headers["transfer-encoding"] = "chunked"
    elif not framed_by_hand:
        headers["content-length"] = str(body.file_size if body.file else sum(map(len, body.blocks)))
    if kept:
        headers["keep-alive"] = keep_alive
    elif not framed_by_hand:
        headers["connection"] = "close"
    head = _head(body.status, headers)
    out = _Output(request)
    if body.file is not None:
        if not await _write_file(head, body.file, body.file_size, delivery, out):
            return CLOSED
    elif delivery.in_one_write:
        blocks = map(_chunk, body.blocks) if chunked else body.blocks
        await out.write(b"".join((head, *blocks, _LAST_CHUNK if chunked else b"")))
    elif not await _write_in_pieces(head, body.blocks, chunked, delivery, out):
        return CLOSED
    return KEPT if kept else CLOSED


async def _write_in_pieces(
    head: bytes, blocks: Sequence[bytes], chunked: bool, delivery: Delivery, out: _Output
) -> bool:
    """Write with all that a delivery does between two writes; False where it broke off and the connection is gone."""
    writes = _cut(b"".join(blocks), delivery.cuts_at) if delivery.cuts_at else blocks
    kept = _broken_off(writes, delivery)
    if delivery.body_after or not kept:
        await out.write(head)
        await asyncio.sleep(delivery.body_after)
        head = b""
    for place, block in enumerate(kept):
        if place:
            await _pause(delivery.pause)
        await out.write(head + (_chunk(block) if chunked else block))
        head = b""
    if kept is not writes:
        await _end(out, delivery)
        return False
    if delivery.lingers:
        await asyncio.sleep(delivery.lingers)
    if chunked:
        await out.write(_LAST_CHUNK)
    return True


async def _write_file(head: bytes, path: Path, size: int, delivery: Delivery, out: _Output) -> bool:
    """Write a file block by block; False where it broke off and the connection is gone."""
    bounds = sorted(
        {0, size, *(offset for offset in delivery.cuts_at or range(BLOCK, size, BLOCK) if 0 < offset < size)}
    )
    writes = [*pairwise(bounds)][: delivery.stops_after]
    breaks = delivery.stops_at is not None or delivery.stops_after is not None
    await out.write(head)
    await asyncio.sleep(delivery.body_after)
    for place, (start, end) in enumerate(writes):
        if delivery.stops_at is not None:
            end = min(end, delivery.stops_at)
        if start >= end:
            break
        if place and delivery.pause is not None:
            await _pause(delivery.pause)
        try:
            block = await asyncio.to_thread(read_block, path, start, end)
        except FileNotFoundError:
            out.close(reset=True)
            return False
        await out.write(block)
    if breaks:
        await _end(out, delivery)
        return False
    await asyncio.sleep(delivery.lingers)
    return True


async def _in_memory(body: Body) -> Body:
    if body.file is None:
        return body
    data = await asyncio.to_thread(body.file.read_bytes)
    return Body(body.status, body.headers, [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)])


async def hang_up(request: web.BaseRequest, *, reset: bool, after_bytes: int = 0) -> Written:
    """Close the connection in the place of an answer, when so many bytes of the body have been read."""
    while after_bytes > 0 and (data := await request.content.read(after_bytes)):
        after_bytes -= len(data)
    _Output(request).close(reset=reset)
    return CLOSED


class _Output:
    """The socket of a request."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request

    @property
    def _transport(self) -> asyncio.Transport:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise PeerClosed
        return transport

    async def write(self, data: bytes) -> None:
        """Write, and wait where the peer reads too slowly."""
        self._transport.write(data)
        if len(data) > 65_536:
            await self._request.writer.drain()

    def close(self, *, reset: bool) -> None:
        """End the connection, with a FIN or a RST."""
        transport = self._transport
        connection = transport.get_extra_info("socket")
        if reset and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        else:
            transport.close()


async def _pause(seconds: float | None) -> None:
    """Wait between two writes, at least as long as a client in this event loop needs to read the first."""
    if seconds:
        await asyncio.sleep(seconds)
    else:
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def _end(out: _Output, delivery: Delivery) -> None:
    if delivery.then == "hang":
        await asyncio.sleep(_SILENCE)
    if delivery.then == "reset":
        await asyncio.sleep(_READ_FIRST)
    out.close(reset=delivery.then == "reset")


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\n{lines}\r\n".encode()


def _chunk(block: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(block), block)


def _compressed(body: Body) -> Body:
    compressor = zlib.compressobj(wbits=_GZIP)
    blocks = [compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH) for block in body.blocks]
    headers = {**body.headers, "content-encoding": "gzip"}
    return Body(body.status, headers, [*blocks, compressor.flush()], body.stream)


def _cut(body: bytes, offsets: Sequence[int]) -> Sequence[bytes]:
    bounds = sorted({0, len(body), *(offset for offset in offsets if 0 < offset < len(body))})
    return [body[start:end] for start, end in pairwise(bounds)]


def _broken_off(writes: Sequence[bytes], delivery: Delivery) -> Sequence[bytes]:
    """The writes that are left where a delivery breaks off; the very same where it does not."""
    if delivery.stops_after is not None:
        return [*writes[: delivery.stops_after]]
    if delivery.stops_at is None:
        return writes
    left, kept = delivery.stops_at, list[bytes]()
    for block in writes:
        if left <= 0:
            break
        kept.append(block[:left])
        left -= len(block)
    return kept
