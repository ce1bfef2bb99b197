"""An aiohttp.web service whose model calls functions, streamed to browsers; it asks itself. Serve: --serve."""

import asyncio
import sys
from typing import Annotated

import aiohttp
from aiohttp import web
from service import connect

from zhipu_async.integrations.aiohttp_web import client_context, client_of, errors, event_stream, health_routes
from zhipu_async.integrations.web import Relayed


async def get_weather(city: Annotated[str, "its English name"]) -> dict[str, object]:
    """The weather of a city."""
    return {"city": city, "celsius": 21}


async def answers(request: web.Request) -> web.StreamResponse:
    question = await request.json()
    run = client_of(request).chat.completions.run_tools(
        model="glm-4.7-flash", messages=question["messages"], tools=[get_weather], stream=True
    )

    async def store(relayed: Relayed) -> None:  # also when the browser left: `messages` can be gone on with
        print("ended:", relayed.ended, "with", len(relayed.source.messages), "messages")

    return await event_stream(request, run, on_end=store)


def application() -> web.Application:
    app = web.Application(middlewares=[errors])
    app.cleanup_ctx.append(client_context(connect))  # of your own: client_context() makes one AsyncZhipuAI()
    app.add_routes([web.post("/answers", answers), *health_routes()])
    return app


async def main() -> None:
    runner = web.AppRunner(application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    question = {"messages": [{"role": "user", "content": "What is the weather in Tokyo?"}]}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as browser:
        async with browser.post("/answers", json=question) as answer:
            print(answer.status, answer.content_type)
            async for line in answer.content:
                print(line.decode(), end="")
        async with browser.get("/health/ready") as answer:
            print(answer.status, await answer.text())
    await runner.cleanup()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        web.run_app(application(), host="127.0.0.1", port=8080)
    else:
        asyncio.run(main())
