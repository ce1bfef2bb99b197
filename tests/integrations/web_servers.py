"""Web services with an endpoint that relays, on aiohttp.web and on uvicorn, and a bare browser, on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any

import uvicorn
from aiohttp import web
from fastapi import Depends, FastAPI

from zhipu_async import AsyncZhipuAI
from zhipu_async.integrations import aiohttp_web, starlette
from zhipu_async.integrations.web import Readiness, Relayed

Ask = Callable[[AsyncZhipuAI], Any]
"""What the endpoint relays (``/``), or awaits and throws away (``/plain``)."""


@dataclass
class Service:
    """A running web service."""

    port: int
    client: AsyncZhipuAI
    ended: list[Relayed] = field(default_factory=list)
    """The ends of its relays."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, relayed: Relayed) -> None:
        """A relay has ended."""
        self.ended.append(relayed)
        self._news.set()

    async def all_ended(self, number: int) -> list[Relayed]:
        """Wait until so many relays have ended."""
        async with asyncio.timeout(10):
            while len(self.ended) < number:
                self._news.clear()
                await self._news.wait()
        return self.ended


class Browser:
    """One connection to a web service, read only when asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.all_headers: list[str] = []
        """Their names, each as often as it came."""

    async def head(self) -> int:
        """Read the head of the answer."""
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        self.status = int(first.split()[1])
        pairs = [line.split(": ", 1) for line in lines]
        self.all_headers = [name.lower() for name, _ in pairs]
        self.headers = {name.lower(): value for name, value in pairs}
        return self.status

    async def chunk(self) -> bytes:
        """The next piece of a chunked body; b"" at its end."""
        size = int(await self._reader.readline(), 16)
        return (await self._reader.readexactly(size + 2))[:-2]

    async def body(self) -> bytes:
        """All that is left of the body."""
        if "content-length" in self.headers:
            return await self._reader.readexactly(int(self.headers["content-length"]))
        pieces: list[bytes] = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    async def until(self, text: bytes) -> bytes:
        """Read on until ``text`` has come."""
        read = b""
        while text not in read:
            piece = await self.chunk()
            assert piece, read
            read += piece
        return read

    async def rest(self) -> bytes:
        """All bytes until the server closes the connection, as they come."""
        return await self._reader.read()

    def leave(self) -> None:
        """Close the tab."""
        self._writer.close()


@asynccontextmanager
async def browser(port: int, path: str = "/", method: str = "GET", buffer: int | None = None) -> AsyncIterator[Browser]:
    """A browser that has just asked; ``buffer``: bytes that the system keeps for it while it does not read."""
    sock = socket.socket()
    sock.setblocking(False)
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024 if buffer else 2**16)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    try:
        yield Browser(reader, writer)
    finally:
        writer.close()


def payloads(body: bytes) -> list[tuple[str | None, Any]]:
    """The frames of a body, comments left out: each its name and its JSON (``[DONE]`` as a text)."""
    found: list[tuple[str | None, Any]] = []
    *frames, rest = body.decode().split("\n\n")
    assert rest == ""
    for frame in frames:
        if frame.startswith(":"):
            continue
        lines = dict(line.split(": ", 1) for line in frame.split("\n"))
        data = lines.pop("data")
        found.append((lines.pop("event", None), data if data == "[DONE]" else json.loads(data)))
        assert lines == {}
    return found


def _listener() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)  # of each connection: so little is under way
    sock.bind(("127.0.0.1", 0))
    return sock


class _Uvicorn(uvicorn.Server):
    """Leaves the signals of the tests alone."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def on_uvicorn(app: Any) -> AsyncIterator[int]:
    """Serve an ASGI application; a stream that is under way at the end is cut off after a second."""
    sock = _listener()
    config = uvicorn.Config(app, log_level=60, lifespan="on", ws="none", timeout_graceful_shutdown=1)
    server = _Uvicorn(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.002)
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def _fastapi(
    client: AsyncZhipuAI, ask: Ask, options: Mapping[str, Any], readiness: Readiness | None
) -> AsyncIterator[Service]:
    service = Service(0, client)

    app = FastAPI(
        lifespan=starlette.lifespan(lambda: nullcontext(client)),
        exception_handlers=starlette.ERROR_HANDLERS,
        routes=starlette.health_routes(readiness),
    )

    @app.api_route("/", methods=["GET", "HEAD"])
    async def relay(client: Annotated[AsyncZhipuAI, Depends(starlette.client_of)]) -> Any:
        return starlette.EventStream(ask(client), on_end=service.note, **options)

    @app.get("/plain")
    async def plain(client: Annotated[AsyncZhipuAI, Depends(starlette.client_of)]) -> None:
        await ask(client)

    async with on_uvicorn(app) as service.port:
        yield service


@asynccontextmanager
async def _aiohttp(
    client: AsyncZhipuAI, ask: Ask, options: Mapping[str, Any], readiness: Readiness | None
) -> AsyncIterator[Service]:
    service = Service(0, client)

    async def relay(request: web.Request) -> web.StreamResponse:
        source = ask(aiohttp_web.client_of(request))
        return await aiohttp_web.event_stream(request, source, on_end=service.note, **options)

    async def plain(request: web.Request) -> web.StreamResponse:
        await ask(aiohttp_web.client_of(request))
        return web.Response()

    app = web.Application(middlewares=[aiohttp_web.errors])
    app.cleanup_ctx.append(aiohttp_web.client_context(lambda: nullcontext(client)))
    app.add_routes([web.get("/", relay), web.get("/plain", plain), *aiohttp_web.health_routes(readiness)])
    runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    sock = _listener()
    await web.SockSite(runner, sock).start()
    service.port = sock.getsockname()[1]
    try:
        yield service
    finally:
        await runner.cleanup()


FRAMEWORKS: Mapping[str, Callable[..., AbstractAsyncContextManager[Service]]] = {
    "fastapi": _fastapi,
    "aiohttp": _aiohttp,
}
"""Each serves ``ask`` at ``/`` as a relay and at ``/plain`` as it is, for ``client``, with health routes."""
