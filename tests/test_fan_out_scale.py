"""Runs of many calls, in processes and on real connections: the small versions of benchmarks/."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks import fan_out, killed_runs
from benchmarks.canned import canned

pytestmark = pytest.mark.heavy


def test_killed_runs_lose_nothing_and_send_nothing_again() -> None:
    """Five runs are killed with SIGKILL and resumed: one result for each call; nothing complete was sent again, and of
    the rest at each kill at most what was in flight, and the line that was torn."""
    report = killed_runs.killed(kills=5, calls=2500, seed=1)
    assert (report.kills, report.torn) == (5, 1)
    assert (report.missing, report.twice, report.strange, report.sent_again) == (0, 0, 0, [])
    assert 0 < report.most_open <= killed_runs.AT_ONCE
    assert 2500 < report.sent <= 2500 + 5 * killed_runs.AT_ONCE + report.torn


@pytest.mark.parametrize(("journaled", "growth"), [(False, 5.0), (True, 60.0)])
def test_memory_does_not_grow_with_the_number_of_calls(journaled: bool, growth: float) -> None:
    """200,000 calls that do nothing: after the first 50,000 memory grows by under 5 MB; with a journal by the ids and
    places of 150,000 lines, under 400 bytes each."""
    assert fan_out.measured(200_000, journaled)[1] < growth


def test_two_thousand_calls_five_hundred_at_a_time() -> None:
    """On real connections: each is received once, 500 at the same time and never more, and all are answered."""

    async def main(service: Any) -> list[Any]:
        async with fan_out.client_of(service) as client:
            outcomes: list[Any] = await client.fan_out(
                fan_out.prompts(2000), model="glm-4.6", concurrency=500
            ).collect()
            assert client.pool.statistics().in_use == 0
            return outcomes

    with canned(100_000, delay=1.5) as service:
        outcomes = asyncio.run(main(service))
        counts = service.counts()
        assert sorted(service.bodies().values()) == [1] * 2000
    assert [outcome.index for outcome in outcomes if outcome.ok] == list(range(2000))
    assert (counts.admitted, counts.refused, counts.most) == (2000, 0, 500)


async def test_a_run_finds_the_limit_on_real_connections() -> None:
    """2,000 calls against a hidden limit of 40: all answered, the limit is used in full, and under 5 % are refused."""
    with canned(40, delay=0.05) as service:
        async with fan_out.client_of(service) as client:
            outcomes = await client.fan_out(fan_out.prompts(2000), model="glm-4.6").collect()
        counts = service.counts()
    assert all(outcome.ok for outcome in outcomes)
    assert (counts.admitted, counts.most) == (2000, 40)
    assert 0 < counts.refused < 100
    assert sum(outcome.attempts for outcome in outcomes) == 2000 + counts.refused
