"""Fixtures for the tests of the simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from .asking import Asker, simulated


@pytest_asyncio.fixture
async def ask() -> AsyncIterator[Asker]:
    """Asks a simulator without a scenario."""
    async with simulated() as asker:
        yield asker
