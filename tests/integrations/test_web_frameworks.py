"""What is special to Starlette and to aiohttp.web, and programs that are stopped by Ctrl-C while they stream."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from tests.conftest import Serve
from tests.errors_said import said
from tests.integrations.web_servers import browser, on_uvicorn, payloads
from zhipu_async import AsyncZhipuAI, ConfigError, ConnectError
from zhipu_async.integrations import aiohttp_web
from zhipu_async.integrations.starlette import EventStream, client_of, lifespan
from zhipu_async.integrations.web import Relayed
from zhipu_async.simulator import Delivery, Reply, Scenario, Simulator

QUESTION: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
HANGS = Reply("One two three", delivery=Delivery(pause=0.01, stops_after=2, then="hang"))


class Passing(BaseHTTPMiddleware):
    """Middleware that looks at every request and answer."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        """Pass it on."""
        response: Response = await call_next(request)
        response.headers["x-passed"] = "yes"
        return response


async def test_middleware_changes_nothing(serve: Serve) -> None:
    """Behind middleware that wraps the answer, frames come one by one and leaving is noticed, before the head too."""
    client, sim = await serve(Scenario(replies=[HANGS, Reply("x", delivery=Delivery(head_after=60))]))
    ends: list[Relayed] = []

    async def endpoint(request: Request) -> Response:
        return EventStream(client.chat.completions.create(**QUESTION), on_end=ends.append)

    middleware = [Middleware(Passing), Middleware(GZipMiddleware)]
    async with on_uvicorn(Starlette(routes=[Route("/", endpoint)], middleware=middleware)) as port:
        for served in (1, 2):
            async with browser(port) as tab:
                await sim.wait_until(lambda served=served: (sim.served, sim.in_flight) == (served, 1))
                if served == 1:
                    assert await tab.head() == 200
                    assert tab.headers["x-passed"] == "yes"
                    await tab.until(b"One")
                tab.leave()
                await sim.wait_until(lambda: sim.in_flight == 0)
    assert [relayed.ended for relayed in ends] == ["left", "left"]


async def test_starlette_background_and_headers(serve: Serve) -> None:
    """Headers and cookies of the response are sent with the stream, and its background task runs when it has ended."""
    client, _ = await serve()
    happened: list[str] = []

    async def endpoint(request: Request) -> Response:
        async def on_end(relayed: Relayed) -> None:
            happened.append(relayed.ended)

        background = BackgroundTask(happened.append, "background")
        call = client.chat.completions.create(**QUESTION)
        own = {"X-Own": "1", "cache-control": "no-store"}
        response = EventStream(call, headers=own, background=background, on_end=on_end)
        response.set_cookie("seen", "yes")
        return response

    async with on_uvicorn(Starlette(routes=[Route("/", endpoint)])) as port, browser(port) as tab:
        assert await tab.head() == 200
        assert payloads(await tab.body())[-1] == (None, "[DONE]")
    assert (tab.headers["x-own"], tab.headers["set-cookie"][:8]) == ("1", "seen=yes")
    assert tab.all_headers.count("cache-control") == 1
    assert tab.headers["cache-control"] == "no-store"
    assert happened == ["done", "background"]


@pytest.mark.parametrize("cancels", [False, True])
async def test_aiohttp_may_cancel_handlers(serve: Serve, cancels: bool) -> None:
    """With handler_cancellation and without, the browser that leaves is what ended the relay, and headers are sent."""
    client, sim = await serve(Scenario(replies=[HANGS]))
    ends: list[Relayed] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        call = client.chat.completions.create(**QUESTION)
        own = {"X-Own": "1", "cache-control": "no-store"}
        return await aiohttp_web.event_stream(request, call, on_end=ends.append, headers=own)

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, handler_cancellation=cancels, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with browser(runner.addresses[0][1]) as tab:
        assert await tab.head() == 200
        assert tab.headers["x-own"] == "1"
        assert tab.all_headers.count("cache-control") == 1
        await tab.until(b"One")
        tab.leave()
        await sim.wait_until(lambda: sim.in_flight == 0)
    await runner.cleanup()
    assert [relayed.ended for relayed in ends] == ["left"]


@pytest.mark.parametrize("cancels", [False, True])
async def test_aiohttp_cuts_the_connection_of_a_browser_that_takes_nothing(
    cancels: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """When the relay has ended so has the connection, with all that was to be sent, and nothing is logged."""
    over = asyncio.get_running_loop().create_future()

    async def source() -> AsyncIterator[str]:
        while True:
            yield "x" * 10_000

    async def handler(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None

        def on_end(relayed: Relayed) -> None:
            over.set_result((relayed.ended, transport.is_closing(), transport.get_write_buffer_size()))

        return await aiohttp_web.event_stream(request, source(), on_end=on_end, stall=0.2)

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, handler_cancellation=cancels, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with browser(runner.addresses[0][1], buffer=4096) as tab, asyncio.timeout(10):
        assert await tab.head() == 200
        assert await over == ("left", True, 0)
        async with asyncio.timeout(1):
            await runner.cleanup()
    assert caplog.text == ""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_server_that_tells_of_a_browser_that_left(method: str) -> None:
    """Where `send` raises OSError after the browser left (ASGI 2.4) nothing is raised, and the background task runs."""
    happened: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        happened.append(message["type"])
        raise OSError("the client has disconnected")

    async def source() -> AsyncIterator[str]:
        await asyncio.sleep(60)
        yield "never"

    response = EventStream(source(), background=BackgroundTask(happened.append, "background"))
    await response({"type": "http", "method": method, "asgi": {"spec_version": "2.4"}}, receive, send)
    assert happened == ["http.response.start", "background"]


async def test_an_answer_that_has_begun_is_followed_by_no_other() -> None:
    """Where a handler that streams by itself fails, no second answer is written into the first."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half ")
        raise ConnectError("gone")

    app = web.Application(middlewares=[aiohttp_web.errors])
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with browser(runner.addresses[0][1]) as tab, asyncio.timeout(10):
        assert await tab.head() == 200
        assert await tab.rest() == b"5\r\nhalf \r\n"
    await runner.cleanup()


def test_event_loops_are_forgotten() -> None:
    """What watches over the browsers of an event loop goes with it."""
    app = web.Application()

    async def visit() -> weakref.ref[asyncio.AbstractEventLoop]:
        request = make_mocked_request("GET", "/", app=app)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await aiohttp_web._watch().gone(request)
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(visit())
    gc.collect()
    assert loop() is None


async def test_the_client_lives_as_long_as_the_application(serve: Serve) -> None:
    """Both lifespans make one client, hand it to sub-applications too, and close it at the end."""
    _, sim = await serve()
    made: list[AsyncZhipuAI] = []

    def make() -> AsyncZhipuAI:
        made.append(AsyncZhipuAI(sim.api_key, base_url=sim.base_url))
        return made[-1]

    async with lifespan(make)(None) as state:
        connection = HTTPConnection({"type": "http", "state": {**state}, "headers": []})
        assert client_of(connection) is made[0]

    inner, outer = web.Application(), web.Application()

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=200 if aiohttp_web.client_of(request) is made[1] else 500)

    inner.router.add_get("/", handler)
    outer.add_subapp("/inner", inner)
    outer.cleanup_ctx.append(aiohttp_web.client_context(make))
    runner = web.AppRunner(outer, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with browser(runner.addresses[0][1], "/inner/") as tab:
        assert await tab.head() == 200
    await runner.cleanup()
    for client in made:
        with pytest.raises(Exception, match="closed"):
            await client.models.list()
    assert len(made) == 2


async def test_an_application_without_a_client_says_what_it_needs() -> None:
    """Asking for the client of an application that makes none is ConfigError with the way out."""
    with pytest.raises(ConfigError, match=r"lifespan=lifespan\(\)"):
        client_of(HTTPConnection({"type": "http", "state": {}, "headers": []}))
    with pytest.raises(ConfigError, match=r"cleanup_ctx\.append\(client_context\(\)\)"):
        aiohttp_web.client_of(make_mocked_request("GET", "/", app=web.Application()))


def test_without_starlette_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the integration where Starlette is not installed says what to install."""
    monkeypatch.delitem(sys.modules, "zhipu_async.integrations.starlette")
    monkeypatch.setitem(sys.modules, "starlette.background", None)
    with pytest.raises(ImportError, match=r"pip install 'zhipu-async\[starlette\]'"):
        import_module("zhipu_async.integrations.starlette")


PROGRAMS = {
    "starlette": """
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from zhipu_async.integrations.starlette import EventStream, client_of, lifespan

async def endpoint(request):
    call = client_of(request).chat.completions.create(**QUESTION)
    return EventStream(call, on_end=lambda relayed: print(relayed.ended, relayed.result.text, flush=True))

app = Starlette(routes=[Route("/", endpoint)], lifespan=lifespan(make))
uvicorn.run(app, port=PORT, log_level="critical", timeout_graceful_shutdown=0)
""",
    "aiohttp": """
from aiohttp import web
from zhipu_async.integrations.aiohttp_web import client_context, client_of, event_stream

def on_end(relayed):
    print(relayed.ended, relayed.result.text, flush=True)

async def handler(request):
    call = client_of(request).chat.completions.create(**QUESTION)
    return await event_stream(request, call, on_end=on_end)

app = web.Application()
app.router.add_get("/", handler)
app.cleanup_ctx.append(client_context(make))
web.run_app(app, host="127.0.0.1", port=PORT, print=None, shutdown_timeout=0.1)
""",
}
"""Whole programs, as their users write them."""


@pytest.mark.heavy
@pytest.mark.parametrize("name", PROGRAMS)
async def test_ctrl_c_ends_a_program_that_streams(name: str) -> None:
    """A server that is stopped by Ctrl-C in the middle of an answer tells the end, closes upstream and says no more."""
    async with Simulator(Scenario(replies=[HANGS])) as sim, AsyncExitStack() as stack:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        head = f"""
from zhipu_async import AsyncZhipuAI
PORT, QUESTION = {port}, {QUESTION}
make = lambda: AsyncZhipuAI({sim.api_key!r}, base_url={sim.base_url!r})
"""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error", "-c", head + PROGRAMS[name]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                while True:
                    try:
                        tab = await stack.enter_async_context(browser(port))
                        break
                    except ConnectionRefusedError:
                        assert process.returncode is None
                        await asyncio.sleep(0.05)
                await tab.head()
                await tab.until(b"One")
                process.send_signal(signal.SIGINT)
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await sim.wait_until(lambda: sim.in_flight == 0)
    assert output.decode().split(" ", 1)[0] in ("cancelled", "left")
    assert "One" in output.decode()
    assert said(errors) == ""
