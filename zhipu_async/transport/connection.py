"""One HTTP/1.1 request and its answer on a connection of aiohttp's: bytes out at once, its parser on the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import ClientError
from aiohttp.http import HttpProcessingError, StreamWriter
from aiohttp.http_exceptions import LineTooLong

from ..config import Limits
from ..errors import ConnectionLost, ResponseTooLarge, TransportError, ZhipuError
from ..protocol.codec import shown
from . import encoding
from .answer_headers import AnswerHeaders
from .clocks import SilenceWatch
from .reading import lean
from .uploading import Upload

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.streams import StreamReader
    from multidict import MultiMapping

    from .target import Route

BROKEN = (ClientError, HttpProcessingError, OSError, EOFError)
"""What aiohttp raises when a connection breaks or speaks no HTTP."""


LAST_BYTES = 64 * 1024
"""Bytes that are read at once of an answer whose connection broke."""
INTERIM = 32
"""Answers of 1xx that may come before the one that counts."""
SILENT_BYTES = 1024 * 1024
"""Compressed bytes that may stand for nothing: more than any honest encoder writes between two bytes of the body."""
BLOCKS = 1024
"""Blocks of a body that are kept apart: of very small ones each would cost many times its bytes."""


class Body:
    """The body of an answer: reads it, decompressed, under a watch, and turns aiohttp's errors into ours."""

    def __init__(self, payload: StreamReader, content_encoding: str, ended_by: Any = None) -> None:
        self._payload = payload
        self._ended_by = ended_by
        """The connection's protocol, where the end of the connection is that of the body: unless it was reset."""
        self._decoder = encoding.decoder(content_encoding)
        self._blocks: Iterator[bytes] = iter(())
        self._silent = 0
        self._watch: SilenceWatch | None = None
        self._limits: tuple[float | None, float | None, float] = (None, None, 0.0)

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been received and taken."""
        return self._payload.at_eof()

    def limit(self, between: float | None, total: float | None, began: float) -> None:
        """The clocks of the body; see :meth:`.clocks.SilenceWatch.limit`."""
        self._limits = between, total, began

    def take_all(self, limit: int | None) -> bytes | None:
        """The whole body, where it has come already: most bodies come with their head."""
        if self._decoder is not None or not self._payload.is_eof() or self._payload.exception() is not None:
            return None
        lean(self._payload)
        data = self._payload.read_nowait(-1)
        if limit is not None and len(data) > limit:
            raise _too_large(limit)
        return data

    def read(self) -> Coroutine[Any, Any, bytes]:
        """Some bytes; b"" at the clean end."""
        return self._receive() if self._decoder is None else self._decoded(self._decoder)

    async def _decoded(self, decoder: encoding.Decoder) -> bytes:
        while True:
            for block in self._blocks:
                if not self._silent:  # not the first of what was read: little that came may stand for very much
                    await asyncio.sleep(0)
                self._silent = 0
                return block
            data = await self._receive()
            if not data:
                decoder.end()
                return b""
            self._silent += len(data)
            if self._silent > SILENT_BYTES:
                raise ResponseTooLarge(f"{self._silent} compressed bytes of the answer stand for nothing")
            self._blocks = decoder.feed(data)

    async def read_all(self, limit: int | None) -> bytes:
        """Everything, bounded by ``limit`` bytes after decompression: JSON, which shows itself whether it is whole."""
        self._ended_by = None
        blocks: list[bytes] = []
        size = 0
        joined = 0
        while block := await self.read():
            blocks.append(block)
            size += len(block)
            if limit is not None and size > limit:
                raise _too_large(limit)
            if len(blocks) - joined == BLOCKS:
                blocks[joined:] = [b"".join(blocks[joined:])]
                joined += 1
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
        finally:
            if self._watch is not None:
                self._watch.cancel()
        return True

    def fail(self, error: Exception) -> None:
        """End a wait for bytes, now or later, with ``error``."""
        self._payload.set_exception(error)

    async def _receive(self) -> bytes:
        payload, watch = self._payload, self._watch
        if watch is None:
            lean(payload)
            if payload.is_eof() and payload.exception() is None and self._ended_by is None:
                return await payload.readany()  # which waits for nothing
            watch = self._watch = SilenceWatch(asyncio.get_running_loop(), payload.set_exception)
            watch.limit(*self._limits)
        watch.wait()
        try:
            data = await payload.readany()
            if not data and self._ended_by is not None and isinstance(reset := self._ended_by.exception(), OSError):
                raise reset
            return data
        except (*BROKEN, RuntimeError) as error:  # RuntimeError: the connection was closed on this side
            raise lost(error, reused=False, what="the answer broke off") from error.with_traceback(None)
        except ZhipuError as error:  # of a clock, or the client was closed
            raise error.with_traceback(None)  # noqa: B904 -- the frames of aiohttp's wait would know it, and it them
        finally:
            watch.stop()

    def end(self) -> None:
        """No more is read; a task that waits for bytes gets ConnectionLost."""
        if self._watch is not None:
            if self._watch.waiting:
                self.fail(ConnectionLost("the answer was closed while it was read"))
            self._watch.cancel()

    def forget(self) -> None:
        """The connection is closed: let go of the error that was raised here, whose frames know this body."""
        if self._payload.exception() is not None:
            self._payload.set_exception(ConnectionLost("the connection is closed"))


def _too_large(limit: int) -> ResponseTooLarge:
    return ResponseTooLarge(f"the answer is larger than {limit} bytes (Limits.body)")


class Owner(Protocol):
    """Who lent a connection."""

    inherited: bool
    """True in a forked child, where the connection is the parent's and must not be touched."""

    def give_back(self, wire: Wire, good: bool) -> None:
        """Take the connection back; ``good``: its answer was wanted to the end."""
        ...


class Wire:
    """A leased connection and, once its head has arrived, the answer on it. Implements :class:`~.base.Exchange`."""

    def __init__(
        self, connection: Connection, route: Route, owner: Owner, loop: asyncio.AbstractEventLoop, *, reused: bool
    ) -> None:
        self.connection = connection
        self.route = route
        self.reused = reused
        self._owner: Owner | None = owner
        self.pool: object = None
        """What must live as long as this answer is open."""
        self._loop = loop
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
            for _ in range(INTERIM):
                if not 100 <= message.code < 200 or message.code == 101:
                    break
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
        if message.code == 408 and message.should_close and self.reused:  # said when it was idle: to no request
            raise ConnectionLost("the server had closed the idle connection (408)", reused=True)
        self.status = message.code
        self.headers = AnswerHeaders(message.headers)
        framed = message.chunked or "Content-Length" in message.headers
        encoding = content_encoding(message.code, message.headers)
        self._body = Body(payload, encoding, None if framed else protocol)

    async def _send(self, body: Upload, protocol: Any) -> None:
        """Write the blocks of ``body``. Its own failure goes to who waits for the answer."""
        writer = StreamWriter(protocol, self._loop)
        if body.length is None:
            writer.enable_chunking()
        try:
            async with aclosing(body.__aiter__()) as blocks:
                async for block in blocks:
                    await writer.write(block)
                    if writer.transport is not None and writer.transport.is_closing():
                        _hear_last(writer.transport, protocol)
            await writer.write_eof()
        except Exception as error:
            if isinstance(error, BROKEN) and error is not body.failure:
                protocol.force_close()  # the answer may say why, if one came before the end
            else:
                protocol.set_exception(error)

    def limit(self, between: float | None, total: float | None = None, began: float = 0.0) -> None:
        """The clocks of the body; see :meth:`.clocks.SilenceWatch.limit`."""
        if self._body is not None:
            self._body.limit(between, total, began)

    def read(self) -> Coroutine[Any, Any, bytes]:
        assert self._body is not None
        return self._body.read()

    async def read_all(self, limit: int | None) -> bytes:
        assert self._body is not None
        body = self._body.take_all(limit)
        if body is None:
            body = await self._body.read_all(limit)
        self.finish()
        return body

    def fail(self, error: Exception) -> None:
        """Who waits for the answer or reads it, now or later, gets ``error``."""
        if self._body is not None:
            self._body.fail(error)
        elif (protocol := self.connection.protocol) is not None:
            protocol.set_exception(error)

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
                self._body.end()
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

    def forget(self) -> None:
        """The connection is closed."""
        if self._body is not None:
            self._body.forget()

    async def skip_rest(self, limit: int) -> bool:
        """Read on to the end of the answer; whether it was reached within ``limit`` bytes."""
        return self._body is not None and await self._body.skip(limit)


def _hear_last(transport: asyncio.Transport, protocol: Any) -> None:
    """Read what came before a connection broke under a write, which asyncio would drop: maybe the answer says why.

    Not of TLS, whose bytes mean nothing without their session, and nothing where the socket is closed already.
    """
    source: Any = transport.get_extra_info("socket")
    if source is None or transport.get_extra_info("ssl_object") is not None or source.fileno() < 0:
        return
    with suppress(OSError), source.dup() as socket:
        while data := socket.recv(LAST_BYTES):
            protocol.data_received(data)


def cut(transport: asyncio.WriteTransport) -> None:
    """Close a connection now, where closing would wait: until the rest is written, or for the peer's goodbye (TLS)."""
    if transport.get_write_buffer_size() or transport.get_extra_info("ssl_object") is not None:
        transport.abort()


def content_encoding(status: int, headers: MultiMapping[str]) -> str:
    """What the body of an answer is encoded as; ConnectionLost for a head that no answer to a request of ours has."""
    if status < 200:
        raise ConnectionLost(f"the status {status} answers nothing that was asked")
    framing = ", ".join(headers.getall("Transfer-Encoding", ()))
    if framing and framing.strip().lower() not in ("chunked", "identity"):
        raise ConnectionLost(f"the body is framed as {shown(framing, 100)!r}, which nothing here undoes")
    return ", ".join(headers.getall("Content-Encoding", ()))


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
    return ConnectionLost(f"{what}: {shown(str(error), 500) or type(error).__name__}", reused=reused)
