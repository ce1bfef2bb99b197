"""Answers streamed to browsers from Starlette and FastAPI (extra ``starlette``), one client, errors, health."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Unpack

try:
    from starlette.background import BackgroundTask
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route
    from starlette.types import Receive, Scope, Send
except ImportError as error:
    raise ImportError("Starlette is not installed: pip install 'zhipu-async[starlette]'", name=error.name) from error

from ..client import AsyncZhipuAI
from ..errors import ConfigError, ZhipuError
from ..protocol.codec import merge_headers
from ..telemetry import logger
from .web.health import LIVE, Readiness
from .web.problems import Problem, problem_of
from .web.relay import HEADERS, LEFT, MEDIA_TYPE, Relay, RelayOptions, Source

_STATE = "zhipu_async_client"
_JSON = "application/json"


def lifespan(
    make: Callable[[], AbstractAsyncContextManager[AsyncZhipuAI]] = AsyncZhipuAI,
) -> Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """One client as long as the application runs: ``FastAPI(lifespan=lifespan())``.

    Inside a lifespan of one's own: ``async with lifespan()(app) as state: yield {**state, "more": ...}``.
    """

    @asynccontextmanager
    async def span(app: Any) -> AsyncGenerator[Mapping[str, Any], None]:
        async with make() as client:
            yield {_STATE: client}

    return span


def client_of(connection: HTTPConnection) -> AsyncZhipuAI:
    """The application's client, for FastAPI: ``client: Annotated[AsyncZhipuAI, Depends(client_of)]``."""
    client: AsyncZhipuAI | None = getattr(connection.state, _STATE, None)
    if client is None:
        raise ConfigError("the application has no client: give it lifespan=lifespan()")
    return client


class EventStream(Response):
    """Relays ``source`` to the browser that asks; see :class:`.web.Relay` and :class:`.web.RelayOptions`.

        return EventStream(client.chat.completions.create(model=..., messages=..., stream=True))

    The call is not awaited here, so that the relay watches over it from its start: upstream is closed at once when the
    browser leaves. HEAD asks nothing upstream. ``background`` runs when the answer has ended, however it did.

    After ``stall`` seconds upstream is closed, but the browser's connection is the server's, and ASGI has no way to cut
    it: it stays open, with what is buffered for it, until the browser reads that or leaves. uvicorn logs the end as
    the error "ASGI callable returned without completing response".
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        source: Source,
        *,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
        **options: Unpack[RelayOptions],
    ) -> None:  # Response's own would count the bytes of a body
        self._relay = Relay(source, **options)
        self.status_code = 200
        self.background = background
        self.init_headers(merge_headers(HEADERS, headers or {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        channel = _Channel(self, scope, receive, send)
        if scope["method"] == "HEAD":
            await self._relay.close()
            with suppress(OSError):
                await channel.begin()
                await channel.end()
        elif (await self._relay.answer(channel)).ended == "left" and not channel.begun:
            with suppress(OSError):  # ASGI 2.4: nobody is there to read it
                await Response(status_code=LEFT)(scope, receive, send)  # for what stands between, like access logs
        if self.background is not None:
            await self.background()


class _Channel:
    """The way to the browser. Implements :class:`.web.Channel`."""

    def __init__(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        self._response = response
        self._scope, self._receive, self._send = scope, receive, send
        self.begun = False
        self.left = False

    async def begin(self) -> None:
        self.begun = True
        headers = self._response.raw_headers
        await self._send({"type": "http.response.start", "status": self._response.status_code, "headers": headers})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def abort(self) -> None:
        """Nothing: ASGI has no message that cuts a connection."""

    async def refuse(self, problem: Problem) -> None:
        await _refusal(problem)(self._scope, self._receive, self._send)

    async def gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True


def _refusal(problem: Problem) -> Response:
    return Response(problem.body, problem.status, problem.headers, _JSON)


async def _answer_error(request: Request, error: Exception) -> Response:
    logger.warning("%s %s failed: %s: %s", request.method, request.url.path, type(error).__name__, error)
    return _refusal(problem_of(error))


ERROR_HANDLERS: dict[Any, Any] = {ZhipuError: _answer_error}
"""Make answers of this library's errors that endpoints raise: ``FastAPI(exception_handlers=ERROR_HANDLERS)``."""


def health_routes(readiness: Readiness | None = None, *, prefix: str = "/health") -> list[BaseRoute]:
    """``/health/live``: the process answers. ``/health/ready``: 200, or 503, as ``readiness`` finds it."""
    ready = readiness or Readiness()

    async def live(request: Request) -> Response:
        return Response(LIVE, media_type=_JSON)

    async def look(request: Request) -> Response:
        status, body = await ready.look(client_of(request))
        return Response(body, status, media_type=_JSON)

    return [Route(f"{prefix}/live", live), Route(f"{prefix}/ready", look)]
