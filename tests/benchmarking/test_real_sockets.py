"""The figures through real sockets: within a tenth of what the simulator was told to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import pytest

from zhipu_async.benchmarking import Benchmark, Closed, Load, LoadReport, Open, undisturbed_client
from zhipu_async.simulator import Pace, Reply, Scenario, Simulator

pytestmark = pytest.mark.heavy

FIRST, PAUSE, TOKENS = 0.8, 0.2, 4
"""Seconds of the simulator's delays, and the number of chunks; the finish reason comes a pause behind the last."""


@asynccontextmanager
async def sleeping(seconds: float) -> AsyncIterator[list[float]]:
    """How long sleeps of so many seconds really take meanwhile: longer, on a machine that is busy."""
    clock, taken = asyncio.get_running_loop().time, list[float]()

    async def sleep() -> None:
        while True:
            began = clock()
            await asyncio.sleep(seconds)
            taken.append(clock() - began)

    task = asyncio.create_task(sleep())
    try:
        yield taken
    finally:
        task.cancel()


async def measured(load: Load, requests: int) -> LoadReport:
    """A load on a simulator that speaks as slowly as the constants say."""
    reply = Reply(pieces=["word "] * TOKENS, finish_reason="length", times=None)
    scenario = Scenario(replies=[reply], pace=Pace(first_token=FIRST, per_chunk=PAUSE))
    async with (
        Simulator(scenario) as simulator,
        undisturbed_client(api_key=simulator.api_key, base_url=simulator.base_url) as client,
    ):
        report = await Benchmark(client, models=["glm-4.6"], loads=[load], requests=requests).run()
    return report.loads[0]


@pytest.mark.parametrize(("load", "requests"), [(Closed(1), 2), (Closed(8), 16), (Open(8.0), 16)], ids=str)
async def test_figures_are_within_a_tenth_of_the_delays(load: Load, requests: int) -> None:
    """Medians of TTFT, TPOT, ITL and E2EL, and throughput, are those of the simulator's delays, as long as this machine
    makes them: at the third try at the latest."""
    asyncio.get_running_loop().set_debug(False)  # which takes more time than all that is measured
    found: dict[str, float] = {}
    expected: dict[str, float] = {}
    for _ in range(3):
        async with sleeping(FIRST) as firsts, sleeping(PAUSE) as pauses:
            report = await measured(load, requests)
        summary = report.summary
        assert (summary.completed, summary.output_tokens) == (requests, requests * TOKENS)
        first, pause = median(firsts), median(pauses)
        each = first + TOKENS * pause
        planned = max(sample.planned for sample in report.samples)
        seconds = requests / load.concurrency * each if isinstance(load, Closed) else planned + each
        expected = {"ttft": first, "ttfo": first, "itl": pause, "e2el": each, "tpot": TOKENS * pause / (TOKENS - 1)}
        expected |= {"output_throughput": requests * TOKENS / seconds, "request_throughput": requests / seconds}
        found = {name: part.p50 for name, part in summary.metrics.items()} | summary.rates
        found = {name: found[name] for name in expected}
        assert found["e2el"] > FIRST + TOKENS * PAUSE - 0.001  # nothing comes before its time
        if found == pytest.approx(expected, rel=0.1):
            return
    assert found == pytest.approx(expected, rel=0.1)
