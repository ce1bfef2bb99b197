"""A chat page: `python examples/web_chat`, and open the address that it prints.

With a key in the environment (`ZHIPU_API_KEY`, ...) the real service answers, otherwise the simulator. The server keeps
nothing: the page has the conversation and sends it with each question; what the model writes goes on to the page as it
comes, and when the page leaves or stops, the connection to the service is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from show import QUESTIONS, SHOW
from tools import TOOLS

from zhipu_async import AsyncZhipuAI, SystemMessage
from zhipu_async.config import key_in_environment
from zhipu_async.integrations.aiohttp_web import client_context, client_of, errors, event_stream, health_routes
from zhipu_async.integrations.web import Relayed
from zhipu_async.simulator import Simulator

PAGE = Path(__file__).parent / "static"
MODELS = ["glm-4.7-flash", "glm-4.7", "glm-5.3-flash", "glm-5.3"]
SYSTEM = SystemMessage(
    "You are a friendly assistant in a chat page that shows Markdown. Answer briefly, in the user's language. You have "
    "a calculator, a clock and a book to search: use them rather than your memory."
)
HEADERS = {
    # Scripts and styles from here alone; no text can become HTML; nobody may frame the page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
LARGEST = 4 * 1024 * 1024
"""Bytes of a question with its conversation."""


class Question(msgspec.Struct):
    """What the page asks."""

    model: str
    messages: list[dict[str, Any]]


async def chat(request: web.Request) -> web.StreamResponse:
    """The answer, as events."""
    try:
        asked = msgspec.json.decode(await request.read(), type=Question)
    except msgspec.DecodeError as error:
        return refused(400, "bad_request", f"This is no question: {error}.")
    return await event_stream(
        request,
        client_of(request).chat.completions.run_tools(
            model=asked.model, messages=[SYSTEM, *asked.messages], tools=TOOLS, stream=True, tool_stream=True
        ),
        on_end=report,
    )


def report(relayed: Relayed) -> None:
    """Tell the terminal what went wrong: the page is told less."""
    if relayed.error is not None:
        print(f"{type(relayed.error).__name__}: {relayed.error}", flush=True)


def application(settings: Mapping[str, Any], hosts: set[str] | None) -> web.Application:
    """The page and its answers; `hosts` are the names that it may be reached by, None any."""

    async def page(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "index.html")

    async def tell(request: web.Request) -> web.StreamResponse:
        return web.json_response(settings)

    @web.middleware
    async def ours_alone(request: web.Request, handler: Any) -> web.StreamResponse:
        """Pages of others must not ask at this server's expense, whatever name they have given it."""
        if hosts is not None and request.url.host not in hosts:
            return refused(403, "bad_request", "This server does not have that name.")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return refused(403, "bad_request", "Only the chat's own page may ask.")
        return await handler(request)

    async def protect(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-cache")

    app = web.Application(middlewares=[ours_alone, errors], client_max_size=LARGEST)
    app.cleanup_ctx.append(client_context(clients))
    app.on_response_prepare.append(protect)
    app.add_routes(
        [web.get("/", page), web.get("/settings", tell), web.post("/chat", chat), web.static("/static", PAGE)]
    )
    app.add_routes(health_routes())
    return app


def refused(status: int, kind: str, message: str) -> web.Response:
    return web.json_response({"error": {"type": kind, "message": message}}, status=status)


@asynccontextmanager
async def clients() -> AsyncGenerator[AsyncZhipuAI, None]:
    """The client: of the real service when a key is in the environment, otherwise of the simulator."""
    if key_in_environment():
        async with AsyncZhipuAI() as client:
            yield client
        return
    async with Simulator(SHOW) as simulator, AsyncZhipuAI(simulator.api_key, base_url=simulator.base_url) as client:
        yield client


@asynccontextmanager
async def served(arguments: argparse.Namespace) -> AsyncGenerator[str, None]:
    """The server; gives its address."""
    models = list(dict.fromkeys([arguments.model, *MODELS]))
    settings = {
        "model": arguments.model,
        "models": models,
        "simulated": not key_in_environment(),
        "questions": QUESTIONS,
    }
    local = arguments.host in ("127.0.0.1", "localhost", "::1")
    app = application(settings, {"127.0.0.1", "localhost", "::1"} if local else None)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, arguments.host, arguments.port).start()
        except OSError as error:
            raise SystemExit(f"{error.strerror}; --port takes another one") from None
        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        yield f"http://{host}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def check(address: str) -> None:
    """Load the page, ask one of its questions like the page does, and print what came."""
    async with aiohttp.ClientSession(address) as session:
        async with session.get("/") as page:
            print("page:", page.status, len(await page.read()), "bytes")
        async with session.get("/settings") as answer:
            settings = await answer.json()
        question = {"model": settings["model"], "messages": [{"role": "user", "content": settings["questions"][-1]}]}
        counts: dict[str, int] = {}
        text = ""
        async with session.post("/chat", json=question) as answer:
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    event = json.loads(line.removeprefix(b"data: "))
                    counts[event["type"]] = counts.get(event["type"], 0) + 1
                    text += event["text"] if event["type"] == "content.delta" else ""
        print("events:", counts)
        print(text or sys.exit("no answer came"))


async def main() -> None:
    parser = argparse.ArgumentParser(description="A chat page with thinking and tools.")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; the default is this machine alone")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--model", default=MODELS[0], help="the model that is chosen at first")
    parser.add_argument("--check", action="store_true", help="ask one question like the page does, print it, and end")
    arguments = parser.parse_args()
    if arguments.check:
        arguments.port = 0
    async with served(arguments) as address:
        if arguments.check:
            await check(address)
            return
        print("the real service" if key_in_environment() else "the simulator", "answers at", address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
