"""Readiness: what waits, and what a probe finds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import Serve
from tests.virtual_time import run
from zhipu_async import AsyncZhipuAI, Limits
from zhipu_async.errors import ConfigError, ConnectError
from zhipu_async.integrations.web import Readiness
from zhipu_async.simulator import Delivery, Reply, Scenario


@pytest.mark.parametrize(("max_waiting", "status"), [(0, 503), (1, 200), (None, 200)])
async def test_calls_that_wait_make_it_busy(serve: Serve, ask: Any, max_waiting: int | None, status: int) -> None:
    """It is ready while no more than `max_waiting` calls wait for a connection, and tells how many there are."""
    scenario = Scenario(replies=[Reply("Hi", delivery=Delivery(head_after=60), times=None)])
    client, sim = await serve(scenario, limits=Limits(connections=1))
    calls = [asyncio.create_task(client.chat.completions.create(**ask())) for _ in range(2)]
    await sim.wait_until(lambda: sim.in_flight == 1)
    found, body = await Readiness(max_waiting=max_waiting).look(client)
    told = json.loads(body)
    assert (found, told["connections"]) == (status, {"in_use": 1, "idle": 0, "waiting": 1})
    assert told["calls"]["in_flight"] == 2
    assert (told["status"], told.get("reason")) == (("ready", None) if status == 200 else ("not_ready", "busy"))
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (await Readiness(max_waiting=0).look(client))[0] == 200
    assert sim.served == 1


def test_a_probe_is_asked_now_and_then() -> None:
    """It is asked once in `probe_every` seconds, however many look, counts as failed when it takes too long, and what
    it finds holds until the next."""
    asked: list[float] = []
    answers = [0.0, ConnectError("private"), 60.0, 0.0]

    async def probe(client: AsyncZhipuAI) -> None:
        now = asyncio.get_running_loop().time()
        asked.append(now)
        answer = answers[len(asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        await asyncio.sleep(answer)

    async def look() -> list[tuple[float, int, str | None]]:
        seen: list[tuple[float, int, str | None]] = []
        async with AsyncZhipuAI("a.b") as client:
            readiness = Readiness(probe=probe, probe_every=30, probe_timeout=5)
            for _ in range(8):
                (status, body), again = await asyncio.gather(readiness.look(client), readiness.look(client))
                assert (status, body) == again
                seen.append((asyncio.get_running_loop().time(), status, json.loads(body).get("reason")))
                await asyncio.sleep(15)
        return seen

    assert run(look()) == [
        *((0.0, 200, None), (15.0, 200, None)),
        *((30.0, 503, "upstream_failed"), (45.0, 503, "upstream_failed")),
        *((65.0, 503, "timed_out"), (80.0, 503, "timed_out")),
        *((95.0, 200, None), (110.0, 200, None)),
    ]
    assert asked == [0.0, 30.0, 60.0, 95.0]


@pytest.mark.parametrize(
    "options", [{"max_waiting": -1}, {"probe_every": -1.0}, {"probe_timeout": 0}, {"probe_every": None}], ids=str
)
def test_wrong_settings_are_refused(options: dict[str, Any]) -> None:
    """Impossible numbers are ConfigError when the readiness is made."""
    with pytest.raises(ConfigError):
        Readiness(**options)
