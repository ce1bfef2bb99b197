"""A request passed on to the service, and its answer passed back while it is noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from errno import ECONNRESET
from typing import Any, Final, cast

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientSession,
    ServerDisconnectedError,
    StreamReader,
    web,
)
from yarl import URL

from zhipu_async.simulator.wire import CLOSED, Written
from zhipu_async.testing.exchange import End, Exchange, Headers, Piece
from zhipu_async.testing.playing import Left, Playback

_OF_THE_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
)
"""Headers that are not passed on: they are between two peers."""
_READABLE: Final = frozenset({"gzip", "deflate", "identity"})
"""The compressions that are asked for, of those that the client takes: they can be searched for keys."""
_ADDED: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers that aiohttp would add."""
_LOST: Final = (ServerDisconnectedError, ClientOSError, ClientPayloadError)
"""How aiohttp tells that a connection ended."""


class Unreachable(Exception):
    """The service could not be connected to: there is nothing to record."""


async def forward(
    session: ClientSession, service: str, request: web.BaseRequest, body: bytes, note: Callable[[Exchange], None]
) -> Written:
    """Pass a request on and its answer back, piece by piece as it comes; `note` gets the exchange once it ended.

    That of an answer which broke off too, and of one that the client left. Unreachable where there is no connection.
    """
    start = asyncio.get_running_loop().time()

    def elapsed() -> float:
        return asyncio.get_running_loop().time() - start

    sent = _kept(request.raw_headers, "host", "content-length")
    asked = [(name, _readable(value) if name.lower() == "accept-encoding" else value) for name, value in sent]
    pieces: list[Piece] = []
    exchange = Exchange(
        method=request.method, target=request.raw_path, headers=sent, body=body, status=None, pieces=pieces, end="left"
    )
    playback = Playback(request)
    try:
        try:
            answer = await session.request(
                request.method,
                URL(service + request.raw_path, encoded=True),
                headers=asked,
                data=body or None,
                skip_auto_headers=_ADDED,
                allow_redirects=False,
            )
        except ClientError as error:
            if isinstance(error, ClientConnectorError) or not isinstance(error, _LOST):
                raise Unreachable(str(error)) from None
            exchange = replace(exchange, end=_broken(error))
        else:
            async with answer:
                headers, reason = _kept(answer.raw_headers), answer.reason or ""
                exchange = replace(
                    exchange, status=answer.status, reason=reason, answer_headers=headers, head_after=elapsed()
                )
                await playback.head(answer.status, reason, headers)
                exchange = replace(exchange, end=await _pass_on(answer.content, playback, pieces, elapsed))
        return await playback.end(exchange.end)
    except Left:
        return CLOSED
    finally:
        if exchange.status is not None or exchange.end != "left":
            note(replace(exchange, end_after=elapsed()))


async def _pass_on(content: StreamReader, playback: Playback, pieces: list[Piece], elapsed: Callable[[], float]) -> End:
    """Pass a body on as it comes and note its pieces; how it ended."""
    try:
        async with aclosing(chunks_of(content)) as chunks:
            async for data in chunks:
                pieces.append(Piece(elapsed(), data))
                await playback.piece(data)
    except ClientError as error:
        return _broken(error)
    return "complete"


def _readable(accepted: str) -> str:
    """What is left of an Accept-Encoding: the codings that can be searched, `identity` where there is none."""
    codings = [coding.strip() for coding in accepted.split(",")]
    return ", ".join(one for one in codings if one.partition(";")[0].rstrip().lower() in _READABLE) or "identity"


def _kept(headers: Iterable[tuple[bytes, bytes]], *more: str) -> Headers:
    """Headers without those between two peers, and without these."""
    pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return tuple((name, value) for name, value in pairs if name.lower() not in {*_OF_THE_CONNECTION, *more})


async def chunks_of(content: StreamReader) -> AsyncGenerator[bytes]:
    """A body as it comes, by its HTTP chunks where it has them.

    What had arrived when the connection broke comes before the error: aiohttp has it behind.
    """
    received, broken = 0, None
    while broken is None or received < content.total_bytes:
        try:
            data, ends_chunk = await content.readchunk()
        except ClientError as error:
            broken = error
            content.set_exception(cast("Any", None))
            continue
        if not data and not ends_chunk:
            break
        received += len(data)
        if data:
            yield data
    if broken is not None:
        raise broken


def _broken(error: BaseException) -> End:
    """Whether a connection was closed or reset, from the errors that led to this one, or from its text alone."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionResetError) or getattr(cause, "errno", None) == ECONNRESET:
            return "reset"
        cause = cause.__cause__ or cause.__context__
    return "reset" if "ConnectionResetError" in str(error) else "cut"
