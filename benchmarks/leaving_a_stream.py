"""Time from ``break`` to the server seeing the connection closed, garbage collector off, four ways of leaving."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Pace, Scenario, Simulator

ASK: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
TIMES = 100


async def with_statement(client: AsyncZhipuAI) -> None:
    """``async with``, then ``break``."""
    async with await client.chat.completions.create(**ASK) as stream:
        async for _ in stream:
            break


async def unnamed(client: AsyncZhipuAI) -> None:
    """``break`` out of a stream that no name holds."""
    async for _ in await client.chat.completions.create(**ASK):
        break


async def text(client: AsyncZhipuAI) -> None:
    """The same, of its text."""
    async for _ in (await client.chat.completions.create(**ASK)).text_deltas():
        break


async def events(client: AsyncZhipuAI) -> None:
    """The same, of its events."""
    async for _ in (await client.chat.completions.create(**ASK)).events():
        break


async def main() -> None:
    """Median and worst of a hundred each."""
    gc.disable()
    async with (
        Simulator(Scenario(pace=Pace(per_chunk=0.2))) as sim,
        AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client,
    ):
        for leave in (with_statement, unnamed, text, events):
            times: list[float] = []
            for _ in range(TIMES):
                await leave(client)
                before = time.perf_counter()
                await sim.wait_until(lambda: sim.connections.open == 0)
                times.append(time.perf_counter() - before)
            times.sort()
            print(f"{leave.__name__:16} median {times[TIMES // 2] * 1e3:.2f} ms, worst {times[-1] * 1e3:.2f} ms")


asyncio.run(main())
