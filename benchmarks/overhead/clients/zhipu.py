"""This package, with everything switched on: retries, limits, clocks, telemetry, typed errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from zhipu_async import AsyncZhipuAI, Limits

from . import KEY, MESSAGES, MODEL


class Zhipu:
    def __init__(self, client: AsyncZhipuAI) -> None:
        self.create = client.chat.completions.create

    async def whole(self) -> str:
        completion = await self.create(model=MODEL, messages=MESSAGES)
        return completion.choices[0].message.content or ""

    async def stream(self) -> AsyncGenerator[str]:
        async for chunk in await self.create(model=MODEL, messages=MESSAGES, stream=True):
            yield chunk.choices[0].delta.content or ""

    async def bulk(self) -> str:
        stream = await self.create(model=MODEL, messages=MESSAGES, stream=True)
        async for _ in stream:
            pass
        return stream.result.text


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Any]:
    async with AsyncZhipuAI(KEY, base_url=url, limits=Limits(connections=None)) as client:
        yield Zhipu(client)
