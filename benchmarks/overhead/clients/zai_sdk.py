"""The official SDK, which is synchronous: a thread for each call in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
from zai import ZaiClient

from . import KEY, MESSAGES, MODEL


class Zai:
    def __init__(self, client: Any, threads: ThreadPoolExecutor) -> None:
        self.create = client.chat.completions.create
        self.threads = threads

    async def _thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)

    def _chunks(self) -> Iterator[str]:
        for chunk in self.create(model=MODEL, messages=MESSAGES, stream=True):
            yield chunk.choices[0].delta.content or ""

    async def whole(self) -> str:
        def work() -> str:
            return self.create(model=MODEL, messages=MESSAGES).choices[0].message.content or ""

        return await self._thread(work)

    async def stream(self) -> AsyncGenerator[str]:
        chunks = self._chunks()
        while (text := await self._thread(next, chunks, None)) is not None:
            yield text

    async def bulk(self) -> str:
        return await self._thread(lambda: "".join(self._chunks()))


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Any]:
    limits = httpx.Limits(max_connections=1024, max_keepalive_connections=1024)
    with ThreadPoolExecutor(512) as threads, httpx.Client(limits=limits, base_url=url) as session:
        yield Zai(ZaiClient(api_key=KEY, base_url=url, http_client=session), threads)
