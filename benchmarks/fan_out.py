"""Runs of many calls against a service whose limit is hidden, on real connections and a real clock.

    python -m benchmarks.fan_out                    every table, small: about two minutes
    python -m benchmarks.fan_out steady cold        some of them
    python -m benchmarks.fan_out --full             10,000 calls cold, a minute of four processes, a million calls

A call takes 200 ms at the service. Ideal is limit / (what one call takes alone): a semaphore that knows the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

from zhipu_async import AsyncZhipuAI, Journal
from zhipu_async.fanout import FanOut, Options
from zhipu_async.protocol.endpoint import Call

from .canned import Canned, canned
from .service import cpu

LIMITS = (8, 40, 200)
MESSAGE: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "direct"}]}


def prompts(calls: int | None = None) -> Iterator[str]:
    """So many prompts, or without end."""
    return (f"prompt {number}" for number in (count() if calls is None else range(calls)))


def client_of(service: Canned) -> AsyncZhipuAI:
    return AsyncZhipuAI("k.s", base_url=service.url)


async def alone(service: Canned) -> float:
    """Seconds that one call takes with nothing beside it: service and round trip."""
    async with client_of(service) as client:
        await client.chat.completions.create(**MESSAGE)
        began = time.perf_counter()
        for _ in range(5):
            await client.chat.completions.create(**MESSAGE)
        return (time.perf_counter() - began) / 5


def elsewhere(work: Callable[..., None], *arguments: Any) -> Connection:
    """Start ``work`` in a process of its own; its last argument is a pipe, which ends with it: EOFError if it fails."""
    here, there = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=work, args=(*arguments, there), daemon=True).start()
    there.close()
    return here


class Lasting:
    """A run that always has more to send. ``done`` and ``refused``: times of answers, and (time, refused so far)."""

    def __init__(self) -> None:
        self.done: list[float] = []
        self.refused: list[tuple[float, int]] = [(0.0, 0)]

    async def drive(
        self, client: AsyncZhipuAI, seconds: float, at: dict[float, Callable[[], None]] | None = None
    ) -> None:
        """Go on for so long; ``at`` certain times do something."""
        began, due = time.perf_counter(), sorted((at or {}).items())
        async with client.fan_out(prompts(), model="glm-4.6") as run:
            async for outcome in run:
                outcome.unwrap()
                now = time.perf_counter() - began
                self.done.append(now)
                if (refused := run.progress.refused) != self.refused[-1][1]:
                    self.refused.append((now, refused))
                if due and now >= due[0][0]:
                    due.pop(0)[1]()
                if now >= seconds:
                    return

    def rate(self, begin: float, end: float) -> float:
        """Answers a second between two times."""
        return (bisect_left(self.done, end) - bisect_left(self.done, begin)) / (end - begin)

    def refusals(self, begin: float, end: float) -> int:
        """Refusals between two times."""
        before, after = (max(n for when, n in self.refused if when <= limit) for limit in (begin, end))
        return after - before

    def refused_share(self, begin: float, end: float) -> float:
        refused = self.refusals(begin, end)
        return refused / max(1, refused + bisect_left(self.done, end) - bisect_left(self.done, begin))


# ---------------------------------------------------------------- tables


async def steady(full: bool) -> None:
    seconds = 40.0 if full else 6.0
    print(f"steady: {seconds:.0f} s, the first quarter left out")
    print(f"{'limit':>7}{'of ideal':>10}{'refused':>9}{'client CPU':>12}{'service CPU':>13}")
    for limit in LIMITS:
        with canned(limit) as service:
            one, run, before, used = await alone(service), Lasting(), service.counts(), cpu()
            async with client_of(service) as client:
                await run.drive(client, seconds)
            share = run.rate(seconds / 4, seconds) * one / limit
            busy = service.counts().cpu - before.cpu
            print(f"{limit:>7}{share:>10.2f}{run.refused_share(seconds / 4, seconds):>9.1%}", end="")
            print(f"{(cpu() - used) / seconds:>12.0%}{busy / seconds:>13.0%}", flush=True)


async def cold(full: bool) -> None:
    print("cold: begun knowing nothing, to the last answer")
    print(f"{'limit':>7}  {'':<15}{'calls':>7}{'of ideal':>10}{'refused':>9}{'a call at most':>16}")
    for limit in LIMITS:
        fixed_at = {"adaptive": None, "fixed too low": limit // 2, "fixed right": limit, "fixed too high": 2 * limit}
        for name, fixed in fixed_at.items():
            if fixed is not None and not full and limit != 40:
                continue
            with canned(limit) as service:
                one, before = await alone(service), service.counts()
                calls = 10_000 if full and fixed is None else min(10_000, round((25 if full else 3) * limit / one))
                began = time.perf_counter()
                async with client_of(service) as client:
                    outcomes = await client.fan_out(prompts(calls), model="glm-4.6", concurrency=fixed).collect()
                took, counts = time.perf_counter() - began, service.counts()
                assert all(outcome.ok for outcome in outcomes)
                refused = counts.refused - before.refused
                print(f"{limit:>7}  {name:<15}{calls:>7}{calls * one / limit / took:>10.2f}", end="")
                print(f"{refused / (calls + refused):>9.1%}{max(o.attempts for o in outcomes):>14} x", flush=True)


async def change(full: bool) -> None:
    print(
        "change: the limit doubles, then halves\n   from     to  90 % after  refused in 5 s  of ideal, 1 to 6 s after"
    )
    first, second, end = (20.0, 40.0, 47.0) if full else (4.0, 10.5, 17.0)
    for limit in LIMITS if full else (40,):
        with canned(limit) as service:
            one, run = await alone(service), Lasting()
            async with client_of(service) as client:
                changes: dict[float, Callable[[], None]] = {
                    first: partial(service.limit, 2 * limit),
                    second: partial(service.limit, limit),
                }
                await run.drive(client, end, changes)
            for at, before, after in ((first, limit, 2 * limit), (second, 2 * limit, limit)):
                goal, reached = 0.9 * after / one, 0.0
                while reached < 6.5 and run.rate(at + reached, at + reached + 0.5) < goal:
                    reached += 0.05
                print(f"{before:>7}{after:>7}{reached:>10.1f} s{run.refusals(at, at + 5):>16}", end="")
                print(f"{run.rate(at + 1, at + 6) * one / after:>27.2f}", flush=True)


def _share(url: str, seconds: float, seed: int, results: Connection) -> None:
    async def main() -> None:
        random.seed(seed)
        run = Lasting()
        async with AsyncZhipuAI("k.s", base_url=url) as client:
            await run.drive(client, seconds)
        results.send((run.rate(seconds / 2, seconds), run.refused_share(seconds / 2, seconds)))

    asyncio.run(main())


async def several(full: bool) -> None:
    if not full:
        return
    limit, seconds = 200, 60.0
    with canned(limit) as service:
        one = await alone(service)
        pipes = [elsewhere(_share, service.url, seconds, number) for number in range(4)]
        rates, refused = zip(*[pipe.recv() for pipe in pipes], strict=True)
    print(f"several: four processes at a limit of {limit}, second half of {seconds:.0f} s")
    print("  smallest..largest of equal shares  of ideal  refused")
    smallest, largest = min(rates) / fmean(rates), max(rates) / fmean(rates)
    print(f"{f'{smallest:.2f}..{largest:.2f}':>35}{sum(rates) * one / limit:>10.2f}{fmean(refused):>9.1%}", flush=True)


async def many(full: bool) -> None:
    calls, fixed = 10_000, 500
    with canned(100_000) as service:
        async with client_of(service) as client:
            used, began = cpu(), time.perf_counter()
            async with client.fan_out(prompts(calls), model="glm-4.6", concurrency=fixed) as run:
                done = sum([outcome.ok async for outcome in run])
            took = time.perf_counter() - began
        most = service.counts().most
    assert done == calls
    print(
        f"many: {calls} calls, concurrency={fixed}\n     wall    ideal  most in flight  client CPU  RSS of the client"
    )
    print(
        f"{took:>7.2f} s{calls / fixed * 0.2:>7.1f} s{most:>16}{cpu() - used:>10.2f} s{_resident():>15.0f} MB",
        flush=True,
    )


async def interactive(full: bool) -> None:
    limit, seconds = 40, 120.0 if full else 10.0
    print(f"interactive: direct calls, 5 % of a limit of {limit}, for {seconds:.0f} s")
    print(f"{'':>22}{'calls':>7}{'p50':>9}{'p99':>9}{'run, of ideal':>15}")
    for name, busy in (("alone", False), ("beside a run", True)):
        with canned(limit) as service:
            one, run, took, rng = await alone(service), Lasting(), list[float](), random.Random(1)
            async with client_of(service) as client:

                async def ask(client: AsyncZhipuAI = client, took: list[float] = took) -> None:
                    began = time.perf_counter()
                    await client.chat.completions.create(**MESSAGE)
                    took.append(time.perf_counter() - began)

                async with asyncio.TaskGroup() as group:
                    if busy:
                        group.create_task(run.drive(client, seconds))
                    until = time.perf_counter() + seconds
                    while time.perf_counter() < until:
                        group.create_task(ask())
                        await asyncio.sleep(rng.expovariate(0.05 * limit / one))
            hundredths = quantiles(took, n=100)
            share = f"{run.rate(seconds / 4, seconds) * one / limit:.2f}" if busy else ""
            print(f"{name:>22}{len(took):>7}{hundredths[49]:>7.3f} s{hundredths[98]:>7.3f} s{share:>15}", flush=True)


def _resident() -> float:
    """Memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def trivial(calls: int, journaled: bool, results: Connection) -> None:
    """Calls that do nothing: CPU microseconds of each, and MB by which memory grew after the first 50,000."""
    call = AsyncZhipuAI.chat.completions.create.call(**MESSAGE)
    body = b'{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Yes."}}]}'

    async def send(call: Call[Any], keep: Callable[[bytes], None] | None = None) -> Any:
        await asyncio.sleep(0)
        if keep is not None:
            keep(body)
        return None

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal(Path(folder, "journal.jsonl")) if journaled else None
            source: Any = ((f"q-{number}", call) for number in range(calls))
            after, used, done = 0.0, cpu(), 0
            async with FanOut(source, {}, Options(concurrency=100), send=send, journal=journal) as run:
                async for outcome in run:
                    done += outcome.ok
                    if done == 50_000:
                        after = _resident()
            assert done == calls
            results.send(((cpu() - used) / calls * 1e6, _resident() - after))

    asyncio.run(main())


def measured(calls: int, journaled: bool) -> tuple[float, float]:
    """What ``trivial`` finds, in a process of its own."""
    found: tuple[float, float] = elsewhere(trivial, calls, journaled).recv()
    return found


async def overhead(full: bool) -> None:
    calls = 1_000_000 if full else 200_000
    print(f"overhead: {calls} calls that do nothing")
    print(f"{'':>22}{'CPU per call':>14}{'memory after the first 50,000':>31}")
    for name, journaled in (("no journal", False), ("with a journal", True)):
        microseconds, growth = measured(calls, journaled)
        print(f"{name:>22}{microseconds:>11.1f} us{f'{growth:+.1f} MB':>31}", flush=True)


TABLES: dict[str, Callable[[bool], Coroutine[Any, Any, None]]] = {
    table.__name__: table for table in (steady, cold, change, several, many, interactive, overhead)
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="table", help=f"all, or some of: {' '.join(TABLES)}")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    for name in options.tables or TABLES:
        asyncio.run(TABLES[name](options.full))
        print()
