"""Sends calls: encodes them, hands them to the transport, makes of the answers what their endpoints say."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from msgspec import structs

from .binding import Sender
from .config import Limits, RetryPolicy, Timeouts
from .downloads import Download
from .errors import BadRequestError, ConfigError, DecodeError, ZhipuError
from .protocol import codec, faults
from .protocol.chunks import ChunkReader, StreamKind
from .protocol.endpoint import Call, Endpoint, HTTPRequest
from .protocol.sse import BOM
from .streaming import Stream
from .telemetry import CallBegan, CallRecord, Telemetry
from .transport.admission import Lane
from .transport.base import Exchange
from .transport.credentials import Credentials
from .transport.injected import InjectedSession
from .transport.pool import SessionPool
from .transport.retrying import RetryingTransport
from .types.base import Request, Response
from .types.chat import Usage

if TYPE_CHECKING:
    from .transport.websocket import WebSocket

T = TypeVar("T")
C = TypeVar("C")
R = TypeVar("R")

_REFUSAL = 64 * 1024
"""An answer in the place of a file that is larger than this is no error. Bytes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client and the clients made of it by ``with_options`` differ in."""

    credentials: Credentials
    base_url: str
    root_url: str
    """What agents, knowledge bases and the quota are below (README.md section 1)."""
    timeouts: Timeouts
    retry: RetryPolicy
    limits: Limits
    timeout: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    deadline: float | None = None
    """Seconds that every call has, whatever its own clocks say."""

    @property
    def account(self) -> Hashable:
        """What the limits of the service are bound to."""
        return self.base_url, self.credentials.account


@dataclass(frozen=True, slots=True)
class RawResponse:
    """Status, headers (names in lower case) and body bytes of an answer, as they came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Dispatcher:
    """Sends calls; what the resources of a client hold. Refers to the pool, not to the client."""

    def __init__(
        self, settings: Settings, opener: SessionPool | InjectedSession, telemetry: Telemetry, lane: Lane
    ) -> None:
        self.settings = settings
        self.opener = opener
        self.telemetry = telemetry
        self._transport = RetryingTransport(opener, settings.credentials, settings.retry, lane)

    async def whole(self, call: Call[T], keep: Callable[[bytes], None] | None = None) -> T:
        """The whole answer of ``call``, be it a struct or a file; ``keep`` gets a struct's bytes as they came."""
        if call.endpoint.binary:
            return cast(T, await self.fetch(call, Download.read))
        return await self.send(call, keep)

    async def send(self, call: Call[T], keep: Callable[[bytes], None] | None = None) -> T:
        """The whole answer of ``call``; ``keep`` gets its bytes as they came."""
        request, record = self._begin(self.request(call), call.arguments)

        async def receive(exchange: Exchange) -> T:
            body = await exchange.read_all(self.settings.limits.body)
            _raise_fault(body, exchange, call.endpoint)
            answer = codec.decode(call.endpoint.response, body)
            if keep is not None:
                keep(body)
            _received(answer, record, exchange.headers)
            return answer

        answer = await self.hinted(call, self._transport.send(request, receive, record))
        if call.endpoint.failed == "raise" and (failure := faults.of_outcome(answer)):
            raise failure
        return answer

    async def open(self, call: Call[R], kind: StreamKind[C, R]) -> Stream[C, R]:
        """The answer of ``call`` as a stream, once the first frame that says something has arrived."""
        request, record = self._begin(self.request(call), call.arguments)
        limits = self.settings.limits
        censor = partial(self.settings.credentials.censor, request.headers)
        new_reader: Any = partial(_ObservedReader, record) if record.observed else ChunkReader

        async def receive(exchange: Exchange) -> Stream[C, R]:
            reader: ChunkReader[C, R] = new_reader(
                kind, headers=exchange.headers, limit=limits.event, whole=limits.stream
            )
            ready: list[C] = []
            data = more = await exchange.read()
            while more and _is_blank(data):
                data += (more := await exchange.read())
            if _is_no_stream(exchange.headers, data):
                raise await _instead_of_stream(exchange, data, limits.body, call.endpoint)
            data, unread = _first_event(data)
            while True:
                ready += reader.feed(data) if data else reader.close()
                if reader.failure is not None and not reader.started:
                    raise reader.failure
                if reader.started or reader.complete or reader.failure is not None:
                    if reader.spoke:
                        record.first_token()
                    return Stream(exchange, reader, ready, unread, record, censor)
                data, unread = unread or await exchange.read(), b""

        return await self.hinted(call, self._transport.send(request, receive, record))

    async def fetch(self, call: Call[Any], consume: Callable[[Download], Awaitable[T]]) -> T:
        """What ``consume`` makes of the file that answers ``call``; asked again, with a new file, for a repeat."""
        request, record = self._begin(self.request(call), call.arguments)
        progress = getattr(call.arguments, "progress", None)

        async def receive(exchange: Exchange) -> T:
            data = await exchange.read()
            if request.authorized:  # what another host answers is taken as it comes
                data = await _no_refusal(exchange, data, call.endpoint)
            return await consume(Download(exchange, data, record, progress, self.settings.limits.body))

        return await self.hinted(call, self._transport.send(request, receive, record))

    async def socket(self, path: str, model: str | None, timeouts: Timeouts) -> WebSocket:
        """An open WebSocket at ``path`` below the base URL."""
        from .transport import handshake

        settings = self.settings
        url = codec.join(settings.base_url, path, settings.query)
        opening = HTTPRequest(f"WS {path}", "GET", url, headers=settings.headers, timeouts=timeouts, model=model)
        opening, record = self._begin(opening)
        return await handshake.connect(
            self.opener,
            url,
            settings.credentials,
            headers=opening.headers,
            timeouts=timeouts,
            limits=settings.limits,
            record=record,
        )

    async def raw(self, request: HTTPRequest, call: Call[Any] | None = None) -> RawResponse:
        """The answer as it came; an error is raised all the same."""
        arguments, endpoint = (None, None) if call is None else (call.arguments, call.endpoint)
        request, record = self._begin(request, arguments)

        async def receive(exchange: Exchange) -> RawResponse:
            body = await exchange.read_all(self.settings.limits.body)
            _raise_fault(body, exchange, endpoint)
            record.succeed()
            return RawResponse(exchange.status, exchange.headers, body)

        return await self._transport.send(request, receive, record)

    def _begin(self, request: HTTPRequest, arguments: Request | None = None) -> tuple[HTTPRequest, CallRecord]:
        """The record of a call that begins, and its request with the headers that observers add to it."""
        record = CallRecord(self.telemetry, request.endpoint, request.model)
        if not self.telemetry.observers:
            return request, record
        url = request.url.partition("?")[0]
        added = record.observe(CallBegan(request.endpoint, request.model, url, request.stream, arguments))
        try:
            headers = codec.merge_headers(codec.check_headers(added), request.headers) if request.authorized else {}
        except ConfigError as error:
            record.fail(error)
            raise
        return structs.replace(request, headers=headers or request.headers), record

    @property
    def raw_sender(self) -> Sender:
        """A sender that gives every answer as :class:`RawResponse`."""
        return _RawSender(self)

    async def hinted(self, call: Call[Any], sending: Awaitable[T]) -> T:
        """``sending``, with what the table of models knows added to the hint of a refusal."""
        try:
            return await sending
        except BadRequestError as error:
            from . import models

            given = _given(call)
            if isinstance(model := given.get("model"), str) and (found := models.hints(model, given)):
                error.hint = "; ".join(filter(None, (*found, error.hint)))
            raise

    def request(self, call: Call[Any]) -> HTTPRequest:
        """What ``call`` becomes with these settings."""
        settings = self.settings
        request = codec.encode(
            call,
            settings.base_url,
            headers=settings.headers,
            query=settings.query,
            timeout=settings.timeout,
            default=settings.timeouts,
            root_url=settings.root_url,
            boundary=secrets.token_hex(16) if call.endpoint.form else "",
        )
        timeouts, deadline = request.timeouts, settings.deadline
        if deadline is not None and (timeouts.total is None or timeouts.total > deadline):
            return structs.replace(request, timeouts=replace(timeouts, total=deadline))
        return request


class _ObservedReader(ChunkReader[C, R]):
    """Tells those who follow a call of its chunks, and gives them what has arrived when it ends."""

    def __init__(self, record: CallRecord, kind: StreamKind[C, R], **options: Any) -> None:
        super().__init__(kind, **options)
        self._record = record
        record.partial = self.result

    def feed(self, data: bytes) -> list[C]:
        return self._told(super().feed(data))

    def close(self) -> list[C]:
        return self._told(super().close())

    def _told(self, chunks: list[C]) -> list[C]:
        if chunks:
            self._record.arrived(len(chunks))
        return chunks


class _RawSender:
    """Sends calls without decoding their answers."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def send(self, call: Call[T]) -> T:
        return cast(T, await self._raw(call))

    async def open(self, call: Call[R], kind: StreamKind[C, R]) -> Stream[C, R]:
        return cast("Stream[C, R]", await self._raw(call))

    async def fetch(self, call: Call[Any], consume: Callable[[Download], Awaitable[T]]) -> T:
        return cast(T, await self._raw(call))

    async def _raw(self, call: Call[Any]) -> RawResponse:
        dispatcher = self._dispatcher
        return await dispatcher.hinted(call, dispatcher.raw(dispatcher.request(call), call))

    @property
    def raw_sender(self) -> Sender:
        return self


def _raise_fault(body: bytes, exchange: Exchange, endpoint: Endpoint[Any] | None) -> None:
    """An error envelope in an answer of 200 is raised."""
    error: ZhipuError | None = None
    if endpoint is not None and endpoint.binary:
        if _may_be_refusal(exchange.headers):
            error = faults.of_file(exchange.status, exchange.headers, body)
    elif faults.looks_like_fault(body) or (endpoint is not None and endpoint.enveloped):
        error = faults.of_response(exchange.status, exchange.headers, body, endpoint)
    if error is not None:
        raise error


def _given(call: Call[Any]) -> Mapping[str, Any]:
    """The arguments that are set, as they are sent."""
    arguments = call.arguments
    given = {name: value for name in arguments.__struct_fields__ if (value := getattr(arguments, name)) is not None}
    return {**given, **(arguments.extra_body or {})}


def _may_be_refusal(headers: Mapping[str, str]) -> bool:
    """Whether what came in the place of a file says that it is JSON, or does not say what it is."""
    kind = headers.get("content-type", "")
    return not kind or "json" in kind.lower()


async def _no_refusal(exchange: Exchange, data: bytes, endpoint: Endpoint[Any]) -> bytes:
    """The first bytes of a file; an error that came in its place is raised (media.md section 4, data.md section 7).

    Result files of batches are JSON lines, so JSON alone is no error.
    """
    if not _may_be_refusal(exchange.headers):
        return data
    while len(data) <= _REFUSAL and (more := await exchange.read()):
        data += more
    if len(data) <= _REFUSAL and (error := faults.of_file(exchange.status, exchange.headers, data)):
        raise error
    if exchange.headers.get("content-type") and endpoint.binary == "audio":
        raise DecodeError("JSON came in the place of audio", body=codec.excerpt(data))
    return data


def _received(answer: object, record: CallRecord, headers: Mapping[str, str]) -> None:
    usage = getattr(answer, "usage", None)
    counted = usage if isinstance(usage, Usage) else None  # tokenizer and moderation count other things
    timing = record.succeed(counted, getattr(answer, "finish_reason", None), answer)
    if isinstance(answer, Response):
        answer._received(timing, headers)  # pyright: ignore[reportPrivateUsage]


def _first_event(data: bytes) -> tuple[bytes, bytes]:
    """``data`` up to its first blank line, and the rest."""
    end = data.find(b"\n\n") + 2
    return (data[:end], data[end:]) if end > 1 else (data, b"")


def _is_no_stream(headers: Mapping[str, str], data: bytes) -> bool:
    """Whether JSON or HTML came instead of a stream, whatever its content type says (streaming.md section 1)."""
    kind = headers.get("content-type", "").lower()
    if "event-stream" not in kind and ("json" in kind or "html" in kind):
        return True
    return data.removeprefix(BOM).lstrip()[:1] in (b"{", b"<", b"[")


def _is_blank(data: bytes) -> bool:
    """Whether it cannot be told yet what ``data`` begins."""
    return len(data) <= _REFUSAL and not data.removeprefix(BOM).strip()


async def _instead_of_stream(exchange: Exchange, data: bytes, limit: int | None, endpoint: Endpoint[Any]) -> ZhipuError:
    body = data + await exchange.read_all(limit) if data else data
    error = faults.of_response(exchange.status, exchange.headers, body, endpoint)
    return error or DecodeError(
        f"a whole body ({codec.shown(exchange.headers.get('content-type', 'no content type'), 100)}) came instead of a "
        "stream",
        body=codec.excerpt(body),
    )
