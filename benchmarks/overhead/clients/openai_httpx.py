"""AsyncOpenAI pointed at the service, as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from . import KEY, MESSAGES, MODEL


class OpenAI:
    def __init__(self, client: AsyncOpenAI) -> None:
        self.create: Any = client.chat.completions.create

    async def whole(self) -> str:
        completion = await self.create(model=MODEL, messages=MESSAGES)
        return completion.choices[0].message.content or ""

    async def stream(self) -> AsyncGenerator[str]:
        stream = await self.create(model=MODEL, messages=MESSAGES, stream=True)
        async with stream:
            async for chunk in stream:
                yield chunk.choices[0].delta.content or ""

    async def bulk(self) -> str:
        return "".join([text async for text in self.stream()])


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Any]:
    async with AsyncOpenAI(api_key=KEY, base_url=url, http_client=DefaultAsyncHttpxClient()) as client:
        yield OpenAI(client)
