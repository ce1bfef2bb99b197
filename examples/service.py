"""Where the examples get their client: the real service when a key is in the environment, otherwise the simulator."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from zhipu_async import AsyncZhipuAI
from zhipu_async.config import key_in_environment
from zhipu_async.simulator import Pace, Scenario, Simulator

USUAL = Scenario(pace=Pace(first_token=0.1, per_chunk=0.005))
"""Seconds: about as one sees it with the real service, only faster."""


@asynccontextmanager
async def connect(scenario: Scenario = USUAL, **options: Any) -> AsyncGenerator[AsyncZhipuAI, None]:
    """A client with these options; the scenario is the simulator's.

    In a program of your own, ``async with AsyncZhipuAI() as client`` is all.
    """
    if key_in_environment():
        async with AsyncZhipuAI(**options) as client:
            yield client
        return
    async with (
        Simulator(scenario) as simulator,
        AsyncZhipuAI(simulator.api_key, base_url=simulator.base_url, **options) as client,
    ):
        yield client
