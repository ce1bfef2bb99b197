"""Fixtures for the tests of the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from zhipu_async.simulator import Scenario, Simulator

Service = Callable[..., Awaitable[Simulator]]


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """``sim = await service(scenario)``: a simulator that the environment names, with its key, until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(scenario: Scenario | None = None) -> Simulator:
            simulator = await stack.enter_async_context(Simulator(scenario))
            monkeypatch.setenv("ZHIPU_API_KEY", simulator.api_key)
            monkeypatch.setenv("ZHIPU_BASE_URL", simulator.base_url)
            return simulator

        yield start
