"""Answers streamed to browsers from aiohttp.web, one client for the application's life, errors, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Unpack
from weakref import WeakKeyDictionary

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ..client import AsyncZhipuAI
from ..errors import ConfigError, ZhipuError
from ..protocol.codec import merge_headers
from ..telemetry import logger
from .web.health import LIVE, Readiness
from .web.problems import Problem, problem_of
from .web.relay import HEADERS, LEFT, MEDIA_TYPE, Relay, RelayOptions, Source

CLIENT = web.AppKey("zhipu_async_client", AsyncZhipuAI)
"""Where an application has its client."""

_PERIOD = 0.05
"""Seconds between two looks at whether browsers are still there: aiohttp.web tells only handlers that it may cancel."""


def client_context(
    make: Callable[[], AbstractAsyncContextManager[AsyncZhipuAI]] = AsyncZhipuAI,
) -> Callable[[web.Application], AsyncGenerator[None, None]]:
    """One client as long as the application runs: ``app.cleanup_ctx.append(client_context())``."""

    async def context(app: web.Application) -> AsyncGenerator[None, None]:
        async with make() as client:
            app[CLIENT] = client
            yield

    return context


def client_of(request: web.Request) -> AsyncZhipuAI:
    """The application's client, in its sub-applications too. ConfigError where there is none."""
    client = request.config_dict.get(CLIENT)
    if client is None:
        raise ConfigError("the application has no client: app.cleanup_ctx.append(client_context())")
    return client


async def event_stream(
    request: web.Request,
    source: Source,
    *,
    headers: Mapping[str, str] | None = None,
    **options: Unpack[RelayOptions],
) -> web.StreamResponse:
    """Relay ``source`` to the browser that asks; see :class:`.web.Relay` and :class:`.web.RelayOptions`.

        return await event_stream(request, client.chat.completions.create(model=..., messages=..., stream=True))

    The call is not awaited here, so that the relay watches over it from its start: upstream is closed within a tenth of
    a second when the browser leaves, with and without ``handler_cancellation``. HEAD asks nothing upstream.
    """
    relay = Relay(source, **options)
    channel = _Channel(request, headers or {})
    if request.method == hdrs.METH_HEAD:
        await relay.close()
        await channel.begin()
        return channel.response
    relayed = await relay.answer(channel)
    if relayed.ended == "left" and not channel.response.prepared:
        return web.Response(status=LEFT)
    return channel.response


class _Channel:
    """The way to the browser. Implements :class:`.web.Channel`."""

    def __init__(self, request: web.Request, headers: Mapping[str, str]) -> None:
        self._request = request
        self._transport = request.transport  # aiohttp forgets it as soon as it closes it, sent or not
        self.response = web.StreamResponse(headers=merge_headers(HEADERS, headers))
        self.response.content_type, self.response.charset = MEDIA_TYPE, "utf-8"

    async def begin(self) -> None:
        await self.response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        await self.response.write(data)

    async def end(self) -> None:
        await self.response.write_eof()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def refuse(self, problem: Problem) -> None:
        self.response = _json(problem.status, problem.body, problem.headers)

    async def gone(self) -> None:
        await _watch().gone(self._request)

    @property
    def left(self) -> bool:
        return self._request.transport is None


class _Watch:
    """Looks for the browsers of all relays of an event loop at once: a timer for each would cost more than relaying."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], web.BaseRequest] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def gone(self, request: web.BaseRequest) -> None:
        """Return when the browser of ``request`` has left."""
        left = asyncio.get_running_loop().create_future()
        self._waiting[left] = request
        if self._timer is None:
            self._look()
        try:
            await left
        finally:
            del self._waiting[left]
            if not self._waiting and self._timer is not None:
                self._timer.cancel()
                self._timer = None  # it knows its loop, which is to be forgotten when it ends

    def _look(self) -> None:
        for left, request in self._waiting.items():
            if request.transport is None and not left.done():
                left.set_result(None)
        self._timer = asyncio.get_running_loop().call_later(_PERIOD, self._look)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


def _watch() -> _Watch:
    loop = asyncio.get_running_loop()
    if loop not in _watches:
        _watches[loop] = _Watch()
    return _watches[loop]


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Makes answers of this library's errors that handlers raise: ``web.Application(middlewares=[errors])``."""
    try:
        return await handler(request)
    except ZhipuError as error:
        if request.writer.output_size > 0:  # a handler that streams by itself has begun: the connection is closed
            raise
        logger.warning("%s %s failed: %s: %s", request.method, request.path, type(error).__name__, error)
        problem = problem_of(error)
        return _json(problem.status, problem.body, problem.headers)


def health_routes(readiness: Readiness | None = None, *, prefix: str = "/health") -> list[web.RouteDef]:
    """``/health/live``: the process answers. ``/health/ready``: 200, or 503, as ``readiness`` finds it."""
    ready = readiness or Readiness()

    async def live(request: web.Request) -> web.StreamResponse:
        return _json(200, LIVE)

    async def look(request: web.Request) -> web.StreamResponse:
        return _json(*await ready.look(client_of(request)))

    return [web.get(f"{prefix}/live", live), web.get(f"{prefix}/ready", look)]


def _json(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
