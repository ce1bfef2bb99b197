"""What each client is made to do, and the one process that does it: prints figures as JSON.

python -m benchmarks.overhead.loads CLIENT LOAD URL [CORE]
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from typing import Any

from .server import CHUNKS, DELAY, SINGLE

Figures = dict[str, float]


def cpu() -> float:
    """CPU seconds of this process so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory() -> float:
    """Resident memory now, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))


async def repeat(times: int, at_once: int, work: Callable[[], Awaitable[object]]) -> None:
    """``work``, so many times, so many at the same time."""
    turns = iter(range(times))

    async def worker() -> None:
        for _ in turns:
            await work()

    await asyncio.gather(*(worker() for _ in range(at_once)))


async def measured(work: Awaitable[object], pieces: int) -> Figures:
    """CPU per piece and wall time of ``work``."""
    gc.collect()
    began, used = time.perf_counter(), cpu()
    await work
    return {"cpu": (cpu() - used) / pieces * 1e6, "wall": time.perf_counter() - began}


async def _whole(client: Any, at_once: int, times: int) -> Figures:
    await repeat(max(200, 2 * at_once), at_once, client.whole)
    return await measured(repeat(times, at_once, client.whole), times)


async def _bulk(client: Any, times: int) -> Figures:
    await repeat(8, 8, client.bulk)
    return await measured(repeat(times, 8, client.bulk), times * CHUNKS)


async def _read(client: Any) -> None:
    async for _ in client.stream():
        pass


async def _single(client: Any) -> Figures:
    return await measured(repeat(64, 64, lambda: _read(client)), 64 * SINGLE)


async def _first(client: Any, times: int) -> Figures:
    """Open, take the first chunk, close; and how long the first chunk took."""
    latencies: list[float] = []

    async def once() -> None:
        began = time.perf_counter()
        stream = client.stream()
        await anext(stream)
        latencies.append(time.perf_counter() - began)
        await stream.aclose()

    await repeat(100, 1, once)
    latencies.clear()
    figures = await measured(repeat(times, 1, once), times)
    percentiles = quantiles(latencies, n=100)
    return {**figures, "p50": percentiles[49] * 1e6, "p99": percentiles[98] * 1e6}


async def _many(client: Any, times: int) -> Figures:
    """So many slow answers, 500 at a time; peak memory in MB."""
    figures = await measured(repeat(times, 500, client.whole), times)
    return {**figures, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


async def _open(client: Any, streams: int) -> Figures:
    """Streams that are open at the same time; kB for each."""
    held = [client.stream() for _ in range(10)]
    await asyncio.gather(*map(anext, held))
    gc.collect()
    before = memory()
    more = [client.stream() for _ in range(streams)]
    await asyncio.gather(*map(anext, more))
    gc.collect()
    return {"each": (memory() - before) / streams / 1000, "held": len([*held, *more])}


async def _growth(client: Any, times: int) -> Figures:
    """MB by which memory grows while so many answers are fetched, after as many before."""
    await repeat(times // 2, 32, client.whole)
    gc.collect()
    before = memory()
    await repeat(times, 32, client.whole)
    gc.collect()
    return {"growth": (memory() - before) / 1e6}


@dataclass(frozen=True)
class Load:
    """One row of the table."""

    title: str
    path: str
    """Of the service: how it answers."""
    run: Callable[[Any], Awaitable[Figures]]
    shown: str = "cpu"
    """The figure that is compared."""
    unit: str = "us"


_SLOW = f"behind {DELAY:g} s, 500 at a time"
LOADS = {
    "whole-1": Load("whole answer, 1 in flight", "whole", partial(_whole, at_once=1, times=1000)),
    "whole-32": Load("whole answer, 32 in flight", "whole", partial(_whole, at_once=32, times=3000)),
    "whole-256": Load("whole answer, 256 in flight", "whole", partial(_whole, at_once=256, times=3000)),
    "bulk": Load("chunk of a stream in bulk", "bulk", partial(_bulk, times=80)),
    "single": Load("chunk that comes alone, 64 streams", "single", _single),
    "first": Load("open, first chunk, close", "few", partial(_first, times=1000)),
    "latency-p50": Load("first chunk, median", "few", partial(_first, times=1000), "p50"),
    "latency-p99": Load("first chunk, p99", "few", partial(_first, times=1000), "p99"),
    "many-2000": Load(f"2,000 answers {_SLOW}", "slow", partial(_many, times=2000), "wall", "s"),
    "many-10000": Load(f"10,000 answers {_SLOW}", "slow", partial(_many, times=10_000), "wall", "s"),
    "memory-10000": Load("peak memory of those", "slow", partial(_many, times=10_000), "peak", "MB"),
    "open-1000": Load("open stream, 1,000 at a time", "held", partial(_open, streams=1000), "each", "kB"),
    "growth": Load("growth over 20,000 answers", "whole", partial(_growth, times=20_000), "growth", "MB"),
}


async def run(client: str, load: str, url: str) -> Figures:
    """One load on one client."""
    module = importlib.import_module(f"{__package__}.clients.{client}")
    async with module.connect(f"{url}/{LOADS[load].path}") as connected:
        return await LOADS[load].run(connected)


def main() -> None:
    client, load, url, *core = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core[0])})
    work = run(client, load, url)
    if os.environ.get("BENCHMARK_LOOP") == "uvloop":
        import uvloop

        print(json.dumps(uvloop.run(work)))
    else:
        print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
