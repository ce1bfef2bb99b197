"""What the tests of realtime share: a session with a simulator, and what came in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from zhipu_async import (
    AsyncZhipuAI,
)
from zhipu_async.realtime import Realtime, RealtimeSession
from zhipu_async.simulator import Scenario, Simulator
from zhipu_async.types.realtime import RealtimeTool
from zhipu_async.types.realtime_events import (
    RealtimeEvent,
)

WEATHER = RealtimeTool(
    name="get_weather",
    description="The weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
OPENING = ["session.created", "conversation.created", "heartbeat"]
JPEG = b"\xff\xd8\xff\xe0picture"


@asynccontextmanager
async def talking(
    scenario: Scenario | None = None, **settings: Any
) -> AsyncIterator[tuple[Realtime, Simulator, AsyncZhipuAI]]:
    """A simulator, a client of it, and its realtime sessions."""
    async with Simulator(scenario) as sim:
        settings = {"api_key": sim.api_key, "base_url": sim.base_url, **settings}
        async with AsyncZhipuAI(**settings) as client:
            yield client.realtime, sim, client


async def read_until(session: RealtimeSession, name: str) -> list[RealtimeEvent]:
    """The events up to the first of this type."""
    events: list[RealtimeEvent] = []
    async with asyncio.timeout(5):
        async for event in session:
            events.append(event)
            if event.type == name:
                return events
    raise AssertionError(f"{name} did not come, but {[event.type for event in events]}")


def last(events: list[RealtimeEvent], kind: type[Any]) -> Any:
    """The last event of a type."""
    return next(event for event in reversed(events) if isinstance(event, kind))
