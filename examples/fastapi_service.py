"""A FastAPI service that streams answers to browsers; it asks itself and ends. Serve: uvicorn fastapi_service:app."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from socket import create_server
from typing import Annotated

import aiohttp
import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from service import connect

from zhipu_async import AsyncZhipuAI
from zhipu_async.integrations.starlette import ERROR_HANDLERS, EventStream, client_of, health_routes, lifespan
from zhipu_async.integrations.web import Relayed

app = FastAPI(
    lifespan=lifespan(connect),  # of your own: lifespan() makes one AsyncZhipuAI() for the application's life
    exception_handlers=ERROR_HANDLERS,
    routes=health_routes(),
)
Client = Annotated[AsyncZhipuAI, Depends(client_of)]


class Question(BaseModel):
    text: str
    model: str = "glm-4.7-flash"


def store(relayed: Relayed) -> None:
    """Called when a relay has ended, also when the browser left: what came by then is paid for."""
    text = relayed.result.text if relayed.result else ""
    print("ended:", relayed.ended, "after", relayed.events, "frames; the answer:", text)


@app.post("/answers")
async def answers(question: Question, client: Client) -> EventStream:
    messages = [{"role": "user", "content": question.text}]
    call = client.chat.completions.create(model=question.model, messages=messages, stream=True)
    return EventStream(call, on_end=store)  # not awaited here: the relay watches over the browser from the start


@app.get("/summary")
async def summary(text: str, client: Client, model: str = "glm-4.7-flash") -> str:
    messages = [{"role": "user", "content": f"Summarise: {text}"}]
    return (await client.chat.completions.create(model=model, messages=messages)).text


@asynccontextmanager
async def served() -> AsyncGenerator[str, None]:
    """The address of the service, which ends with the block."""
    socket = create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    serving = asyncio.create_task(server.serve(sockets=[socket]))
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def main() -> None:
    async with served() as url, aiohttp.ClientSession(url) as browser:
        async with browser.post("/answers", json={"text": "What is a lighthouse for?"}) as answer:
            print(answer.status, answer.content_type)
            async for line in answer.content:  # what a page does with fetch
                if line.startswith(b"data: {"):
                    print(json.loads(line[6:])["choices"][0]["delta"].get("content", ""), end="|")
        print()

        async with browser.post("/answers", json={"text": "Tell me a story about a lighthouse."}) as answer:
            print("left after:", len(await answer.content.readline()), "bytes")  # the service is told at once

        async with browser.get("/summary", params={"text": "Tea is drunk hot."}) as answer:
            print(answer.status, await answer.json())
        async with browser.get("/summary", params={"text": "Tea is drunk hot.", "model": "glm-0"}) as answer:
            print(answer.status, await answer.text())
        async with browser.get("/health/ready") as answer:
            print(answer.status, await answer.text())


if __name__ == "__main__":
    asyncio.run(main())
