"""One HTTP/1.1 request and its answer on a connection of aiohttp's: bytes out at once, its parser on the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import ClientError
from aiohttp.http import HttpProcessingError, StreamWriter
from aiohttp.http_exceptions import LineTooLong

from ..config import Limits
from ..errors import ConnectionLost, ResponseTooLarge, TransportError
from . import encoding
from .clocks import SilenceWatch
from .uploading import Upload

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.streams import StreamReader

    from .target import Route

BROKEN = (ClientError, HttpProcessingError, OSError, EOFError)
"""What aiohttp raises when a connection breaks or speaks no HTTP."""


class Body:
    """The body of an answer: reads it, decompressed, under a watch, and turns aiohttp's errors into ours."""

    def __init__(self, payload: StreamReader, content_encoding: str) -> None:
        self._payload = payload
        self._decoder = encoding.decoder(content_encoding)
        self._blocks: Iterator[bytes] = iter(())
        self.watch = SilenceWatch(asyncio.get_running_loop(), payload.set_exception)

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been received and taken."""
        return self._payload.at_eof()

    async def read(self) -> bytes:
        """Some bytes; b"" at the clean end."""
        decoder = self._decoder
        if decoder is None:
            return await self._receive()
        while True:
            for block in self._blocks:
                return block
            data = await self._receive()
            if not data:
                decoder.end()
                return b""
            self._blocks = decoder.feed(data)

    async def read_all(self, limit: int | None) -> bytes:
        """Everything, bounded by ``limit`` bytes both before and after decompression."""
        blocks: list[bytes] = []
        size = 0
        while block := await self.read():
            blocks.append(block)
            size += len(block)
            if limit is not None and size > limit:
                raise ResponseTooLarge(f"the answer is larger than {limit} bytes (Limits.body)")
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    async def skip(self, limit: int) -> bool:
        """Read on to the end of the body; False when more than ``limit`` bytes come first, or it breaks."""
        try:
            while data := await self._receive():
                limit -= len(data)
                if limit < 0:
                    return False
        except TransportError:
            return False
        return True

    def fail(self, error: Exception) -> None:
        """End a wait for bytes, now or later, with ``error``."""
        self._payload.set_exception(error)

    async def _receive(self) -> bytes:
        self.watch.wait()
        try:
            return await self._payload.readany()
        except (*BROKEN, RuntimeError) as error:  # RuntimeError: the connection was closed on this side
            raise lost(error, reused=False, what="the answer broke off") from error
        finally:
            self.watch.stop()


class Owner(Protocol):
    """Who lent a connection."""

    inherited: bool
    """True in a forked child, where the connection is the parent's and must not be touched."""

    def give_back(self, wire: Wire, good: bool) -> None:
        """Take the connection back; ``good``: its answer was wanted to the end."""
        ...


class Wire:
    """A leased connection and, once its head has arrived, the answer on it. Implements :class:`~.base.Exchange`."""

    def __init__(self, connection: Connection, route: Route, owner: Owner, *, reused: bool) -> None:
        self.connection = connection
        self.route = route
        self.reused = reused
        self._owner: Owner | None = owner
        self.pool: object = None
        """What must live as long as this answer is open."""
        self._loop = asyncio.get_running_loop()
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._body: Body | None = None
        self._when_over: Callable[[], None] | None = None

    async def request(self, head: bytes, body: bytes | Upload | None, *, method: str, limits: Limits) -> None:
        """Write the request and wait for the head of the answer; ConnectionLost says whether it may have arrived."""
        protocol: Any = self.connection.protocol
        transport = self.connection.transport
        if protocol is None or transport is None or transport.is_closing():
            raise ConnectionLost("the connection was closed before the request", arrived=False, reused=self.reused)
        protocol.set_response_params(
            skip_payload=method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=limits.head_line,
            max_field_size=limits.head_line,
            max_headers=limits.head_count,
        )
        sending: asyncio.Task[None] | None = None
        if isinstance(body, Upload):
            transport.write(head)
            sending = self._loop.create_task(self._send(body, protocol))
        else:
            transport.write(head + body if body else head)
        try:
            message, payload = await protocol.read()
            while 100 <= message.code < 200:
                message, payload = await protocol.read()
        except BROKEN as error:
            if isinstance(body, Upload) and error is body.failure:  # an OSError of the caller's own
                raise
            raise lost(error, reused=self.reused, what="no answer came") from error
        finally:
            if sending is not None and not sending.done():  # an answer before the end: the rest is not wanted
                protocol.force_close()
                sending.cancel()
                await asyncio.wait([sending])
        self.status = message.code
        self.headers = {name.lower(): value for name, value in message.headers.items()}
        self._body = Body(payload, self.headers.get("content-encoding", ""))

    async def _send(self, body: Upload, protocol: Any) -> None:
        """Write the blocks of ``body``. Its own failure goes to who waits for the answer."""
        writer = StreamWriter(protocol, self._loop)
        if body.length is None:
            writer.enable_chunking()
        try:
            async with aclosing(body.__aiter__()) as blocks:
                async for block in blocks:
                    await writer.write(block)
            await writer.write_eof()
        except Exception as error:
            if isinstance(error, BROKEN) and error is not body.failure:
                protocol.force_close()  # the answer may say why, if one came before the end
            else:
                protocol.set_exception(error)

    def limit(self, between: float | None, total: float | None = None, began: float = 0.0) -> None:
        """The clocks of the body; see :meth:`.clocks.SilenceWatch.limit`."""
        if self._body is not None:
            self._body.watch.limit(between, total, began)

    async def read(self) -> bytes:
        assert self._body is not None
        return await self._body.read()

    async def read_all(self, limit: int | None) -> bytes:
        assert self._body is not None
        body = await self._body.read_all(limit)
        self.finish()
        return body

    def fail(self, error: Exception) -> None:
        """Who reads the answer, now or later, gets ``error``."""
        if self._body is not None:
            self._body.fail(error)

    def finish(self) -> None:
        self._part(good=True)

    def close(self) -> None:
        if self._owner is None or self._owner.inherited or self._loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = not self._loop.is_running()
        if here:
            self._part(good=False)
        else:
            self._loop.call_soon_threadsafe(self._part)

    def _part(self, good: bool = False) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            if self._body is not None:
                self._body.watch.cancel()
            owner.give_back(self, good)
            if self._when_over is not None:
                self._when_over()

    def when_over(self, call: Callable[[], None]) -> None:
        """Have ``call`` made when the connection is given back, or now if it is."""
        if self._owner is None:
            call()
        else:
            self._when_over = call

    @property
    def at_end(self) -> bool:
        """Whether the whole answer was received and taken."""
        return self._body is not None and self._body.at_end

    @property
    def reusable(self) -> bool:
        """Whether the answer was taken to its end and the connection may carry another request."""
        protocol, transport = self.connection.protocol, self.connection.transport
        return (
            protocol is not None
            and transport is not None
            and self.at_end
            and not protocol.should_close
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    async def skip_rest(self, limit: int) -> bool:
        """Read on to the end of the answer; whether it was reached within ``limit`` bytes."""
        return self._body is not None and await self._body.skip(limit)


def lost(error: BaseException, *, reused: bool, what: str) -> TransportError:
    """Our error for one of aiohttp's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LineTooLong) or "Too many headers" in str(cause):
            return ResponseTooLarge(
                f"{what}: a header is longer than Limits.head_line, or they are more than Limits.head_count"
            )
        if "closing transport" in str(cause):
            return ConnectionLost("the connection was closed before the request", arrived=False, reused=reused)
        cause = cause.__cause__
    return ConnectionLost(f"{what}: {str(error) or type(error).__name__}", reused=reused)
