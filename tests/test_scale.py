"""Many at once on one client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Serve
from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Reply, Scenario, Simulator

pytestmark = pytest.mark.heavy

Ask = Callable[..., dict[str, Any]]


async def test_two_thousand_calls_at_once(serve: Serve, ask: Ask) -> None:
    """All succeed on one client, and nothing is left in use."""
    client, sim = await serve()
    replies = await asyncio.gather(*(client.chat.completions.create(**ask()) for _ in range(2000)))
    assert all(reply.text for reply in replies)
    assert len(sim.requests) == 2000
    assert client.pool.statistics().in_use == 0


async def test_a_thousand_streams_of_a_hundred_chunks_at_once(ask: Ask) -> None:
    """All are open at the same time, all are whole."""
    pieces = [f"{number} " for number in range(100)]
    everyone = asyncio.Barrier(1000)

    async def read(client: AsyncZhipuAI) -> int:
        stream = await client.chat.completions.create(**ask(stream=True))
        await everyone.wait()
        return len([text async for text in stream.text_deltas()])

    scenario = Scenario(replies=[Reply("".join(pieces), pieces=pieces, times=None)])
    async with Simulator(scenario, record=False) as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
        counts = await asyncio.gather(*(read(client) for _ in range(1000)))
        assert counts == [100] * 1000
        assert client.pool.statistics().in_use == 0
