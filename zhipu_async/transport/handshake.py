"""The handshake that opens a WebSocket: a GET with headers of its own, whose refusal is told like any other."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any, Protocol, cast

from aiohttp import (
    BaseConnector,
    ClientConnectorError,
    ClientHttpProxyError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    DummyCookieJar,
    TraceConfig,
    TraceRequestEndParams,
)
from aiohttp.http import HttpProcessingError
from yarl import URL

from ..config import Limits, Timeouts, hidden
from ..errors import APIError, ClientClosedError, ConfigError, ConnectError, RequestTimeout, ZhipuError
from ..protocol import faults
from ..protocol.codec import shown
from ..telemetry import CallRecord
from .clocks import AttemptClock
from .connection import BROKEN, lost
from .credentials import Credentials
from .target import PROXY_AUTHENTICATION, Target, refused_by_proxy, unreachable
from .websocket import CLOSE_SECONDS, Lease, Owner, WebSocket

REFUSAL_BYTES = 64 * 1024
"""What is read of the body of a refused handshake."""
_TIMEOUT = ClientWSTimeout(ws_close=CLOSE_SECONDS)  # pyright: ignore[reportCallIssue] # which does not read attrs


class Lender(Protocol):
    """The pool, or a session of the user's."""

    async def lend(self, url: str, clock: AttemptClock, record: CallRecord, timeouts: Timeouts) -> Lease: ...


def own_way(connector: BaseConnector, ssl: tls.SSLContext | bool, target: Target, owner: Owner) -> Lease:
    """A lease on a connector of the pool's: one aiohttp session for one WebSocket, which keeps a refusal's body."""
    refusal: list[bytes] = []

    async def at_end(_: ClientSession, __: SimpleNamespace, params: TraceRequestEndParams) -> None:
        if params.response.status != 101:
            try:
                refusal.append(await _beginning(params.response))
            except BaseException:  # which aiohttp below 3.14 passes on without closing it
                params.response.close()
                raise

    trace = TraceConfig()
    trace.on_request_end.append(at_end)
    session = ClientSession(
        connector=connector,
        connector_owner=False,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(),
        trust_env=False,
        trace_configs=[trace],
    )
    route = target.route
    options: dict[str, Any] = {"ssl": ssl}
    headers: Mapping[str, str] = {}
    if route.proxy:
        options |= {"proxy": route.proxy, "proxy_headers": target.proxy_headers or None}
        headers = hidden(dict(line.split(": ", 1) for line in target.head.splitlines()[1:]))  # all but the host
    return Lease(session, owner, options, headers, refusal)


async def connect(
    lender: Lender,
    url: str,
    credentials: Credentials,
    *,
    headers: Mapping[str, str],
    timeouts: Timeouts,
    limits: Limits,
    record: CallRecord,
) -> WebSocket:
    """Open a WebSocket at ``url`` (of http or https: a handshake is a GET).

    A refusal is the error that its status and body mean. ``timeouts.connect`` is for the handshake as a whole. Repeated
    once are an expired token that was made here and, by aiohttp, a handshake whose connection is closed in silence.
    """
    arguments = lender, url, credentials, headers, timeouts, limits, record
    try:
        try:
            return await _attempt(*arguments)
        except APIError as error:
            if not credentials.renewable or faults.retry_of(error) is not faults.Retry.TOKEN:
                raise
        credentials.renew()
        return await _attempt(*arguments)
    except Exception as error:
        record.fail(error)
        raise
    except BaseException:
        record.fail(None)
        raise


async def _attempt(
    lender: Lender,
    url: str,
    credentials: Credentials,
    headers: Mapping[str, str],
    timeouts: Timeouts,
    limits: Limits,
    record: CallRecord,
) -> WebSocket:
    record.attempt()
    record.sent()
    loop = asyncio.get_running_loop()
    clock = AttemptClock(loop)
    clock.cap("total", timeouts.total, loop.time())
    with clock:
        clock.phase("connect", timeouts.connect)  # the user's source of the key has as long as a connection
        authorization = await credentials.authorization()
        lease = await lender.lend(url, clock, record, timeouts)
        try:
            clock.phase("connect", timeouts.connect)
            sent = {**headers, **lease.headers, "Authorization": authorization}
            opened = await _shake_hands(lease, url, sent, limits)
            if isinstance(opened, ZhipuError):
                credentials.censor(sent, opened)
                raise opened
        except BaseException:
            lease.end()
            raise
        socket = WebSocket(opened, lease, timeouts, limits, record)
        try:
            lease.owner.join(socket)
            clock.phase(None)
        except BaseException:
            socket.abort()
            raise
    record.first_byte()
    return socket


class _Straight:
    """A session that follows no redirect: the key, and the user's own headers, go to no other address."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def request(self, *args: Any, **options: Any) -> ClientResponse:
        return await self._session.request(*args, **options, allow_redirects=False)


async def _shake_hands(
    lease: Lease, url: str, headers: Mapping[str, str], limits: Limits
) -> ClientWebSocketResponse | ZhipuError:
    """The open WebSocket, or what went wrong: given and not raised, since an error raised inside ``except`` keeps the
    one that is handled there, and aiohttp's hold the headers of the request, or a proxy's password."""
    shake = cast("Callable[..., Awaitable[ClientWebSocketResponse]]", ClientSession._ws_connect)  # pyright: ignore[reportPrivateUsage]
    try:
        return await shake(
            _Straight(lease.session),
            URL(url, encoded=True),
            headers=headers,
            max_msg_size=limits.event,
            timeout=_TIMEOUT,
            **lease.options,
        )
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not lease.session.closed or (task is not None and task.cancelling()):
            raise  # otherwise the end of the connector cancelled the name look-up, and nobody this task
        return ClientClosedError("the client is closed")
    except ClientHttpProxyError as error:
        return refused_by_proxy(error.status, error.message)
    except ClientResponseError as error:
        if isinstance(error.__cause__, HttpProcessingError):  # no HTTP, which aiohttp calls a 400
            return lost(error.__cause__, reused=False, what="no answer came to the handshake")
        return _located(_refused(error, url, lease.refusal), url)
    except ClientConnectorError as error:
        return unreachable(_address(url), error)
    except TimeoutError as error:  # a foreign session's own; those of this library cancel
        text = f"the session's own time-out ended the handshake: {str(error) or type(error).__name__}"
        return RequestTimeout(text, clock="connect", arrived=False)
    except BROKEN as error:
        if lease.session.closed:
            return ClientClosedError("the client is closed")
        return lost(error, reused=False, what="no answer came to the handshake")
    except ValueError as error:
        return ConfigError(f"the handshake cannot be made: {error}")


def _refused(error: ClientResponseError, url: str, bodies: list[bytes]) -> ZhipuError:
    if error.status == PROXY_AUTHENTICATION:
        return refused_by_proxy(error.status, error.message)
    headers = _lower(error.headers or {})
    refusal = faults.of_response(error.status, headers, bodies[0] if bodies else b"") if error.status != 101 else None
    if refusal is None:
        failure = ConnectError(f"{_address(url)} speaks no WebSocket: HTTP {error.status}, {shown(error.message, 500)}")
        failure.retryable = False
        return failure
    return refusal


def _located(error: ZhipuError, url: str) -> ZhipuError:
    if isinstance(error, APIError):
        error.method, error.url = "GET", _address(url)
    return error


def _address(url: str) -> str:
    """A URL without its query, as the WebSocket that it is: ``wss://...`` or ``ws://...``."""
    return "ws" + url.partition("?")[0].removeprefix("http")


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def _beginning(response: ClientResponse) -> bytes:
    body = b""
    while len(body) < REFUSAL_BYTES and (data := await response.content.readany()):
        body += data
    return body[:REFUSAL_BYTES]
