"""AsyncZhipuAI: joins protocol and transport; one attribute per resource."""

from __future__ import annotations

import ssl as tls
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from urllib.parse import urlsplit

from . import config, resources
from .binding import Group
from .config import Auth, KeySource, Limits, RetryPolicy, Timeouts
from .errors import ConfigError, DecodeError, ZhipuError
from .protocol import codec, faults
from .protocol.chunks import ChunkReader, StreamKind
from .protocol.endpoint import Call, HTTPRequest
from .streaming import Stream
from .telemetry import CallRecord, Hook, ModelStatistics, Telemetry
from .transport.base import Exchange
from .transport.credentials import Credentials
from .transport.injected import InjectedSession
from .transport.pool import SessionPool
from .transport.retrying import RetryingTransport
from .types.base import Response

if TYPE_CHECKING:
    from aiohttp import BaseConnector, ClientSession

from .version import VERSION

T = TypeVar("T")
C = TypeVar("C")
R = TypeVar("R")

_DEFAULT_HEADERS = {"Accept": "application/json", "User-Agent": f"zhipu-async/{VERSION}"}


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a client and the clients made of it by ``with_options`` differ in."""

    credentials: Credentials
    base_url: str
    timeouts: Timeouts
    retry: RetryPolicy
    limits: Limits
    timeout: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])


class RawResponse:
    """Status, headers and body bytes of an answer, as they came."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<RawResponse {self.status}, {len(self.body)} bytes>"


class _Dispatcher:
    """Sends calls; what the resources of a client hold. Refers to the pool, not to the client."""

    def __init__(self, settings: _Settings, opener: SessionPool | InjectedSession, telemetry: Telemetry) -> None:
        self.settings = settings
        self.opener = opener
        self.telemetry = telemetry
        self._transport = RetryingTransport(opener, settings.credentials, settings.retry)

    async def send(self, call: Call[T]) -> T:
        """The whole answer of ``call``."""
        request = self._request(call)
        record = CallRecord(self.telemetry, request.endpoint, request.model)

        async def receive(exchange: Exchange) -> T:
            body = await exchange.read_all(self.settings.limits.body)
            if faults.looks_like_fault(body) and (error := faults.of_response(exchange.status, exchange.headers, body)):
                raise error
            answer = codec.decode(call.endpoint.response, body)
            _received(answer, record, exchange.headers)
            return answer

        return await self._transport.send(request, receive, record)

    async def open(self, call: Call[R], kind: StreamKind[C, R]) -> Stream[C, R]:
        """The answer of ``call`` as a stream, once the first frame that says something has arrived."""
        request = self._request(call)
        record = CallRecord(self.telemetry, request.endpoint, request.model)
        limits = self.settings.limits

        async def receive(exchange: Exchange) -> Stream[C, R]:
            reader = ChunkReader(kind, headers=exchange.headers, limit=limits.event)
            ready: deque[C] = deque()
            data = await exchange.read()
            if _is_no_stream(exchange.headers, data):
                raise await _instead_of_stream(exchange, data, limits.body)
            while True:
                ready.extend(reader.feed(data) if data else reader.close())
                if reader.failure is not None and not reader.started:
                    raise reader.failure
                if reader.started or reader.complete or reader.failure is not None:
                    record.first_token()
                    return Stream(exchange, reader, ready, record)
                data = await exchange.read()

        return await self._transport.send(request, receive, record)

    async def raw(self, request: HTTPRequest) -> RawResponse:
        """The answer as it came; an error envelope is raised all the same."""
        record = CallRecord(self.telemetry, request.endpoint, request.model)

        async def receive(exchange: Exchange) -> RawResponse:
            body = await exchange.read_all(self.settings.limits.body)
            if faults.looks_like_fault(body) and (error := faults.of_response(exchange.status, exchange.headers, body)):
                raise error
            record.succeed()
            return RawResponse(exchange.status, exchange.headers, body)

        return await self._transport.send(request, receive, record)

    def _request(self, call: Call[Any]) -> HTTPRequest:
        settings = self.settings
        return codec.encode(
            call,
            settings.base_url,
            headers=settings.headers,
            query=settings.query,
            timeout=settings.timeout,
            default=settings.timeouts,
        )


class AsyncZhipuAI:
    """The client. Enter it with ``async with``, or call ``close()`` at the end.

    Parameters
    ----------
    api_key
        The key, or an async callable that gives the current one. Default: ``ZHIPU_API_KEY`` or ``ZHIPUAI_API_KEY``
        (open.bigmodel.cn), ``ZAI_API_KEY`` (api.z.ai).
    base_url
        ``"bigmodel"``, ``"zai"``, ``"bigmodel-coding"``, ``"zai-coding"`` or any URL. Default: the platform of the key
        that was found; ``ZHIPU_BASE_URL`` and ``ZAI_BASE_URL`` override it.
    auth
        ``"bearer"`` sends the key; ``"jwt"`` sends short-lived tokens made from it (needs PyJWT's HS256).
    timeout, max_retries
        Seconds or :class:`Timeouts`; repeats after the first attempt. ``retry`` gives the whole :class:`RetryPolicy`.
    limits
        Connections, waiting calls, sizes: :class:`Limits`.
    default_headers, default_query
        Added to every request.
    proxy, trust_env, ssl
        A proxy's URL; whether HTTP(S)_PROXY and NO_PROXY count (they do by default); a TLS context.
    session, connector
        An aiohttp session or connector of your own: used, never closed. It belongs to the loop that it was made on.
    hooks
        Callables that get every telemetry event.

    The client may be made outside a loop, used from several loops one after another or at once, and after a fork.
    Raises ConfigError for settings that cannot work.
    """

    chat = Group(resources.Chat)
    models = Group(resources.Models)

    def __init__(
        self,
        api_key: KeySource | None = None,
        *,
        base_url: str | None = None,
        auth: Auth = "bearer",
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        retry: RetryPolicy | None = None,
        limits: Limits | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, str] | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl: tls.SSLContext | None = None,
        session: ClientSession | None = None,
        connector: BaseConnector | None = None,
        hooks: Iterable[Hook] = (),
    ) -> None:
        key, url = config.key_and_endpoint(api_key, base_url)
        limits = limits or Limits()
        settings = _Settings(
            credentials=Credentials(key, auth),
            base_url=url,
            timeouts=timeout if isinstance(timeout, Timeouts) else Timeouts(),
            retry=_retry(retry or RetryPolicy(), max_retries),
            limits=limits,
            timeout=_seconds(timeout),
            headers={**_DEFAULT_HEADERS, **codec.check_headers(default_headers or {})},
            query=dict(default_query or {}),
        )
        if session is not None:
            if connector is not None or proxy is not None or ssl is not None:
                raise ConfigError("an injected session brings its own connector, proxy and TLS context")
            opener: SessionPool | InjectedSession = InjectedSession(session, limits)
        else:
            _check_tls(ssl)
            opener = SessionPool(limits, ssl=ssl, proxy=_check_proxy(proxy), trust_env=trust_env, connector=connector)
        self._owner = True
        self._sender = _Dispatcher(settings, opener, Telemetry(hooks))

    # ------------------------------------------------------------ settings

    @property
    def base_url(self) -> str:
        """The endpoint in force."""
        return self._sender.settings.base_url

    def with_options(
        self,
        *,
        api_key: KeySource | None = None,
        base_url: str | None = None,
        auth: Auth | None = None,
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        retry: RetryPolicy | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, str] | None = None,
    ) -> Self:
        """A client with other settings that shares connections and statistics; closing it closes nothing."""
        settings = self._sender.settings
        if api_key is not None or auth is not None:
            key = settings.credentials.source if api_key is None else api_key
            key = key if callable(key) else config.check_key(key)
            settings = replace(settings, credentials=Credentials(key, auth or settings.credentials.auth))
        if base_url is not None:
            settings = replace(settings, base_url=config.resolve_base_url(base_url))
        if timeout is not None:
            timeouts = timeout if isinstance(timeout, Timeouts) else settings.timeouts
            settings = replace(settings, timeouts=timeouts, timeout=_seconds(timeout))
        settings = replace(
            settings,
            retry=_retry(retry or settings.retry, max_retries),
            headers={**settings.headers, **codec.check_headers(default_headers or {})},
            query={**settings.query, **(default_query or {})},
        )
        other = type(self).__new__(type(self))
        other._owner = False
        other._sender = _Dispatcher(settings, self._sender.opener, self._sender.telemetry)
        return other

    # ------------------------------------------------------------ calls without an endpoint of their own

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = ...,
        query: Mapping[str, Any] | None = ...,
        headers: Mapping[str, str] | None = ...,
        timeout: float | Timeouts | None = ...,
        repeatable: bool | None = ...,
        response_type: type[T],
    ) -> T: ...
    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = ...,
        query: Mapping[str, Any] | None = ...,
        headers: Mapping[str, str] | None = ...,
        timeout: float | Timeouts | None = ...,
        repeatable: bool | None = ...,
        response_type: None = ...,
    ) -> RawResponse: ...
    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | Timeouts | None = None,
        repeatable: bool | None = None,
        response_type: type[Any] | None = None,
    ) -> Any:
        """Call any path of the service, with authentication, retries and errors.

        ``path`` is joined to the base URL, or is a whole URL of the same origin (ConfigError otherwise: the key goes
        nowhere else). ``repeatable``: whether the call creates nothing and may be repeated after a broken connection;
        by default only GET and HEAD. The answer comes as :class:`RawResponse`, or decoded into ``response_type``.
        """
        method = method.upper()
        if not method.isascii() or not method.isalpha():
            raise ConfigError(f"{method!r} is no HTTP method")
        settings = self._sender.settings
        request = HTTPRequest(
            endpoint=f"{method} {path.partition('?')[0]}",
            method=method,
            url=self._url(path, {**settings.query, **(query or {})}),
            body=None if json is None else codec.encode_json(json),
            headers={**settings.headers, **codec.check_headers(headers or {})},
            timeouts=Timeouts.of(
                settings.timeout if timeout is None else timeout, stream=False, default=settings.timeouts
            ),
            model=json.get("model") if isinstance(json, dict) else None,  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            creates=method not in ("GET", "HEAD") if repeatable is None else not repeatable,
        )
        answer = await self._sender.raw(request)
        return answer if response_type is None else codec.decode(response_type, answer.body)

    def _url(self, path: str, query: Mapping[str, Any]) -> str:
        base = self.base_url
        if not path.isascii() or not path.isprintable() or " " in path:
            raise ConfigError(f"{path!r} is no path: percent-encode what is not ASCII")
        if "://" in path.partition("?")[0]:
            if urlsplit(path)[:2] != urlsplit(base)[:2]:
                raise ConfigError(f"the key must not go to another origin than {base}")
            return codec.join(path, "", query).rstrip("/") if query else path
        if any(segment in (".", "..") for segment in path.partition("?")[0].split("/")):
            raise ConfigError(f"{path!r} leaves the base URL")
        return codec.join(base, path, query)

    # ------------------------------------------------------------ what happened

    @property
    def pool(self) -> SessionPool | InjectedSession:
        """The connections; ``client.pool.statistics()`` counts them."""
        return self._sender.opener

    def statistics(self) -> dict[str | None, ModelStatistics]:
        """Calls, errors, tokens and latencies per model since the client was made; None holds calls without a model."""
        return self._sender.telemetry.statistics()

    # ------------------------------------------------------------ the end

    async def close(self) -> None:
        """Close the connections. An injected session or connector stays open; so does the pool of ``with_options``."""
        if self._owner:
            await self._sender.opener.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url} auth={self._sender.settings.credentials.auth}>"


def _received(answer: object, record: CallRecord, headers: Mapping[str, str]) -> None:
    timing = record.succeed(getattr(answer, "usage", None), getattr(answer, "finish_reason", None))
    if isinstance(answer, Response):
        answer._received(timing, headers)  # pyright: ignore[reportPrivateUsage]


def _is_no_stream(headers: Mapping[str, str], data: bytes) -> bool:
    """Whether JSON or HTML came instead of a stream, whatever its content type says (streaming.md section 1)."""
    kind = headers.get("content-type", "").lower()
    if "event-stream" not in kind and ("json" in kind or "html" in kind):
        return True
    return data.lstrip()[:1] in (b"{", b"<", b"[")


async def _instead_of_stream(exchange: Exchange, data: bytes, limit: int | None) -> ZhipuError:
    body = data + await exchange.read_all(limit) if data else data
    error = faults.of_response(exchange.status, exchange.headers, body)
    return error or DecodeError(
        f"a whole body ({exchange.headers.get('content-type', 'no content type')}) came instead of a stream",
        body=codec.excerpt(body),
    )


def _retry(policy: RetryPolicy, max_retries: int | None) -> RetryPolicy:
    return policy if max_retries is None else replace(policy, retries=max_retries)


def _seconds(timeout: float | Timeouts | None) -> float | None:
    return None if isinstance(timeout, Timeouts) else config.check_seconds("timeout", timeout)


def _check_tls(context: object) -> None:
    if context is not None and not isinstance(context, tls.SSLContext):
        raise ConfigError("ssl must be an ssl.SSLContext; verification is not switched off by a flag")


def _check_proxy(proxy: str | None) -> str | None:
    if proxy is not None and (not urlsplit(proxy).hostname or urlsplit(proxy).scheme not in ("http", "https")):
        raise ConfigError("proxy must be a URL like http://host:port")
    return proxy
