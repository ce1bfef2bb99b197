"""An aiohttp session of the user's in place of the pool: its connector, proxies, tracing and middlewares apply.

It is never closed here. What the session does with connections cannot be seen, so a broken one is an ordinary failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from weakref import WeakSet

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
)
from yarl import URL

from ..config import Limits, Timeouts
from ..errors import ClientClosedError, ConfigError, TransportError, ZhipuError
from ..protocol.codec import merge_headers
from ..protocol.endpoint import HTTPRequest
from ..protocol.form import Form
from ..telemetry import CallRecord
from . import encoding
from .answer_headers import AnswerHeaders
from .clocks import AttemptClock, timed_out
from .connection import BROKEN, Body, content_encoding, lost
from .pool import PoolStatistics
from .target import refused_by_proxy, unreachable
from .uploading import Upload

if TYPE_CHECKING:
    from .websocket import Lease, WebSocket


class InjectedSession:
    """Opens requests on a session that belongs to the user."""

    def __init__(self, session: ClientSession, limits: Limits) -> None:
        self._session = session
        self._limits = limits
        self._in_use = 0
        self._closed = False
        self._lent: WeakSet[WebSocket | InjectedExchange] = WeakSet()
        self.inherited = False

    async def open(
        self, request: HTTPRequest, headers: Mapping[str, str], clock: AttemptClock, record: CallRecord, *, fresh: bool
    ) -> InjectedExchange:
        """Send ``request`` and wait for the head of its answer. ``fresh`` cannot be asked of a foreign session."""
        if not isinstance(request.body, Form):
            return await self._open(request, headers, clock, record, request.body)
        async with Upload(request.body, request, clock) as upload:
            try:
                return await self._open(request, headers, clock, record, upload)
            except ZhipuError as error:
                if upload.failure is not None:  # which aiohttp wraps in an error of its own
                    raise upload.failure from None
                if isinstance(error, TransportError) and upload.begun:
                    error.arrived = True
                raise

    async def _open(
        self,
        request: HTTPRequest,
        headers: Mapping[str, str],
        clock: AttemptClock,
        record: CallRecord,
        body: bytes | Upload | None,
    ) -> InjectedExchange:
        session, timeouts = self._usable(), request.timeouts
        clock.phase("first_byte", timeouts.first_byte, sent=True)
        own = {"Accept-Encoding": encoding.ACCEPTED}
        if body is not None:
            own["Content-Type"] = "application/json"
        if isinstance(body, Upload) and body.length is not None:
            own["Content-Length"] = str(body.length)
        self._in_use += 1
        response: ClientResponse | None = None
        try:
            response = await session.request(
                request.method,
                URL(request.url, encoded=True),
                data=body.__aiter__() if isinstance(body, Upload) else body,
                headers=merge_headers(own, headers),
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=False,
                timeout=ClientTimeout(sock_connect=timeouts.connect),
                max_line_size=self._limits.head_line,
                max_field_size=self._limits.head_line,
                max_headers=self._limits.head_count,
            )
            exchange = InjectedExchange(response, self)
            self._lent.add(exchange)
        except BaseException as error:
            self._in_use -= 1
            if response is not None:
                response.close()
            failure = _failure(error, request)
            if failure is None:
                raise
        else:
            clock.phase(None)
            record.first_byte()
            return exchange
        raise failure  # not above, where it would keep aiohttp's: that may hold a proxy's password, or the headers

    def _usable(self) -> ClientSession:
        if self._closed:
            raise ClientClosedError("the client is closed")
        if self._session.closed:
            raise ClientClosedError("the injected session is closed")
        if getattr(self._session, "_loop", None) not in (None, asyncio.get_running_loop()):
            raise ClientClosedError("the injected session belongs to another event loop")
        return self._session

    def left(self) -> None:
        """An exchange ended."""
        self._in_use -= 1

    async def lend(self, url: str, clock: AttemptClock, record: CallRecord, timeouts: Timeouts) -> Lease:
        """The way to a WebSocket."""
        from .websocket import Lease

        session = self._usable()
        self._in_use += 1
        return Lease(session, self, foreign=True)

    def join(self, socket: WebSocket) -> None:
        """A WebSocket is open: it fails when the client is closed."""
        self._lent.add(socket)
        self._usable()

    def part(self, socket: WebSocket | None) -> None:
        """A WebSocket is closed, or (None) was not opened."""
        if socket is not None:
            self._lent.discard(socket)
        self._in_use -= 1

    def statistics(self) -> PoolStatistics:
        """Only what is in use is known of a foreign session."""
        return PoolStatistics(self._in_use, 0, 0)

    async def close(self) -> None:
        """Take no more calls and end what is read; the session belongs to the user and stays open."""
        self._closed = True
        for lent in list(self._lent):
            lent.fail(ClientClosedError("the client was closed"))


def _failure(error: BaseException, request: HTTPRequest) -> ZhipuError | None:
    """Our error for one of aiohttp's, without the parts of it that hold secrets."""
    if isinstance(error, ConnectionTimeoutError) and request.timeouts.connect is not None:
        return timed_out("connect", request.timeouts.connect)
    if isinstance(error, ClientConnectorError):
        return unreachable(URL(request.url).origin(), error)
    if isinstance(error, ClientHttpProxyError):
        return refused_by_proxy(error.status, error.message)
    if isinstance(error, ClientResponseError):
        cause = error.__cause__ or ClientError(error.message)
        return lost(cause, reused=False, what="no answer came that could be read")
    if isinstance(error, BROKEN):
        return lost(error, reused=False, what="no answer came")
    if isinstance(error, ValueError):
        return ConfigError(f"the injected session refuses the request: {error}")
    return None


class InjectedExchange:
    """Implements :class:`~.base.Exchange` over aiohttp's own response."""

    def __init__(self, response: ClientResponse, session: InjectedSession) -> None:
        self._response = response
        self._session: InjectedSession | None = session
        self._loop = asyncio.get_running_loop()
        self.status = response.status
        self.headers: Mapping[str, str] = AnswerHeaders(response.headers)
        framed = any(name in response.headers for name in ("Transfer-Encoding", "Content-Length"))
        connection = None if framed else response.connection
        encoding = content_encoding(response.status, response.headers)
        self._body = Body(response.content, encoding, connection and connection.protocol)
        self._when_over: Callable[[], None] | None = None

    def limit(self, between: float | None, total: float | None = None, began: float = 0.0) -> None:
        """The clocks of the body."""
        self._body.limit(between, total, began)

    async def read(self) -> bytes:
        return await self._body.read()

    async def read_all(self, limit: int | None) -> bytes:
        body = self._body.take_all(limit)
        if body is None:
            body = await self._body.read_all(limit)
        self.finish()
        return body

    def fail(self, error: Exception) -> None:
        """Who reads the answer, now or later, gets ``error``."""
        self._body.fail(error)

    def finish(self) -> None:
        if self._part():
            self._response.release()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = not self._loop.is_running()
        if not here:
            self._loop.call_soon_threadsafe(self.close)
        elif self._part():
            self._response.close()

    def _part(self) -> bool:
        session, self._session = self._session, None
        if session is not None:
            self._body.end()
            session.left()
            if self._when_over is not None:
                self._when_over()
        return session is not None

    def when_over(self, call: Callable[[], None]) -> None:
        """Have ``call`` made when the exchange has ended, or now if it has."""
        if self._session is None:
            call()
        else:
            self._when_over = call
