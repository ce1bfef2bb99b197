"""Mixed traffic with faults for a long time: what grows, what is lost, what is made twice.

    python -m benchmarks.soak [--minutes 10] [--seed 0]

One client lives all the time, on one event loop that does; beside it, in a second thread, loops come and go, on the
same client and on clients of a few calls. After each spell all is at rest: then memory, tasks, sockets and objects
are counted, and the service is asked what it has made. Ctrl-C ends it with the figures so far.

The warm-up has every kind of call with every fault, then traffic as later. After it is promised: under 5 MB of growth
per 100,000 requests, of the process and of its heap; no task or socket more, and no more objects of ours than a few;
nothing lost, nothing made twice. Exit status 1 where that does not hold. Nothing is tuned for it: the garbage collector
is as in any program (it is asked to run once at each rest, so that a figure does not tell what it was about to do).
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, count, product
from pathlib import Path
from statistics import median
from typing import NamedTuple

from zhipu_async import AsyncZhipuAI
from zhipu_async.transport.admission import QUEUES_KEPT
from zhipu_async.transport.pool import TARGETS_KEPT

from .traffic import (
    APART,
    KEEP_ALIVE,
    KINDS,
    SERVICE,
    WIRES,
    Errand,
    Lost,
    Service,
    at_rest,
    doubled,
    promised,
    run,
    service,
)

SPELL, AT_ONCE = 450, 48
"""Errands between two rests, on the lasting loop; those under way there at the same time."""
ASIDE = 50
"""Errands on a loop of their own, in each spell."""
BLOCK = 90
"""Bytes of a small object of Python, in the mean."""
KEPT = {"Queue": QUEUES_KEPT, "Limiter": QUEUES_KEPT, "_Round": QUEUES_KEPT, "Target": TARGETS_KEPT}
"""Classes of what is kept of each model and account, and of each URL, and in what numbers at most: it comes and goes.
With each Target goes a Route."""
GROWTH = 5.0
"""MB per 100,000 requests that are promised."""
NOISE = 3.0
"""MB by which the pages of the process may grow in all, however short the run is: allocators take them by the
megabyte, and the highest of many chance peaks comes late."""
FILLING = 1.0
"""MB by which the heap may grow in all, however short the run: caches fill up to their bounds, most of it with URLs."""
USUAL = 2
"""Spells of usual traffic that end the warm-up."""
FEW = 10
"""Objects of ours that may come once; one per call, or per hundred of them, would be more."""
WEIGHTS = {
    "whole": 30, "stream": 25, "left": 6, "dropped": 3, "tools": 6, "structured": 6, "embedding": 8, "fan_out": 2,
    "upload": 4, "task": 3,
}  # fmt: skip


class Mark(NamedTuple):
    """What is there at a rest."""

    requests: int
    """That the service has received so far."""
    resident: float
    """Memory of this process in MB."""
    heap: float
    """What is in use of it, in MB: without the pages that the allocators keep, which come and go by themselves."""
    tasks: int
    sockets: int
    ours: int
    """Objects of classes of the package."""
    seconds: float


@dataclass
class Report:
    """What became of it."""

    errands: int = 0
    ended: Counter[str] = field(default_factory=Counter[str])
    """Errands by "value", the class of an error of ours, or "cancelled"."""
    broken: list[str] = field(default_factory=list[str])
    """Promises that were not kept, the first hundred in words."""
    created: list[int] = field(default_factory=list[int])
    marks: list[Mark] = field(default_factory=list[Mark])
    """The first is that of the end of the warm-up."""

    @property
    def measured(self) -> int:
        """Requests between the first mark and the last."""
        return self.marks[-1].requests - self.marks[0].requests if self.marks else 0

    def growth(self, of: str) -> float:
        """By how much something grows per 100,000 requests: the median of the slopes between any two marks."""
        slopes = [
            (getattr(late, of) - getattr(early, of)) / (late.requests - early.requests) * 100_000
            for early, late in combinations(self.marks, 2)
            if late.requests > early.requests
        ]
        return median(slopes) if slopes else 0.0

    def more(self, of: str) -> int:
        """How many more of something there are at the last rest than there were at any of the first half."""
        half = [getattr(mark, of) for mark in self.marks[: max(1, len(self.marks) // 2)]]
        return int(getattr(self.marks[-1], of) - max(half)) if half else 0

    def verdict(self) -> list[str]:
        """What is not as promised."""
        pages, heap = self.growth("resident"), self.growth("heap")

        def allowed(in_all: float) -> float:
            return GROWTH + (in_all * 100_000 / self.measured if self.measured else 0.0)

        found = [f"the heap grows by {heap:.1f} MB per 100,000 requests"] if heap > allowed(FILLING) else []
        found += [f"the process grows by {pages:.1f} MB per 100,000 requests"] if pages > allowed(NOISE) else []
        for of, most in (("tasks", 0), ("sockets", 0), ("ours", FEW)):
            found += [f"{more} more {of}"] if (more := self.more(of)) > most else []
        return found + self.broken


def errands(seed: int, first: int, count: int) -> Iterator[Errand]:
    """The errands with these numbers; always the same for the same seed."""
    for number in range(first, first + count):
        dice = random.Random(f"{seed} {number}")
        kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        errand = Errand(kind, number * APART, dice)
        if (lot := dice.random()) < 0.12:
            errand.wire = dice.choice(WIRES)
        elif lot < 0.4:
            errand.fault = dice.choice(list(SERVICE))
        yield errand


def one_of_each(seed: int) -> Iterator[Errand]:
    """Every kind of call with every fault of the service and of the wire."""
    befalls = [(name, None) for name in SERVICE] + [("none", name) for name in WIRES]
    for number, (kind, (fault, wire)) in enumerate(product(KINDS, befalls)):
        yield Errand(kind, number * APART, random.Random(f"{seed} each {number}"), fault, wire)


async def spell(
    service: Service, client: AsyncZhipuAI, work: Iterator[Errand], report: Report, stop: threading.Event
) -> None:
    """Do the work, some of it at the same time, some cancelled, some on clients of its own."""

    async def carry_out(errand: Errand) -> None:
        lot = errand.dice.random()
        cancel = errand.dice.uniform(0, 0.02) if lot < 0.08 else None
        if lot > 0.95:
            async with service.client() as own:
                how = await run(service, own, errand)
                held = await at_rest(lambda: own.pool.statistics().in_use > (errand.kind == "dropped"))
                promised(not held, f"{errand} holds a connection")
        else:
            how = await run(service, client, errand, cancel=cancel)
        report.ended["cancelled" if cancel is not None else how] += 1

    async def worker() -> None:
        for errand in work:
            if stop.is_set():
                return
            report.errands += 1
            try:
                await carry_out(errand)
            except Lost as error:
                report.broken += [str(error)][: 100 - len(report.broken)]
                report.ended["LOST"] += 1
            report.created += errand.created

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


async def rest(service: Service, client: AsyncZhipuAI, report: Report, began: float) -> Mark:
    """Wait until nothing is under way and no connection is kept, then look around."""
    deadline = time.monotonic() + 4 * KEEP_ALIVE + 3.0
    while time.monotonic() < deadline:
        pool, alive = client.pool.statistics(), len(asyncio.all_tasks()) - 1
        if not (pool.in_use or pool.idle or alive):
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # sockets close in the rounds after
    counts = service.counts()
    twice = doubled(counts, report.created)
    report.broken += [f"creating calls that were made twice, or not made but answered: {twice}"] if twice else []
    report.created.clear()
    gc.collect()
    kinds = Counter(map(type, gc.get_objects()))
    ours = {kind.__name__: n for kind, n in kinds.items() if str(kind.__module__).startswith("zhipu_async")}
    ours["Route"] = ours.get("Route", 0) - ours.get("Target", 0)
    report.broken += [f"of {name} {n} are kept" for name, most in KEPT.items() if (n := ours.pop(name, 0)) > most]
    del kinds
    return Mark(
        counts.served,
        resident(),
        heap(),
        len(asyncio.all_tasks()) - 1,
        sockets(),
        sum(ours.values()),
        time.monotonic() - began,
    )


def heap() -> float:
    """MB in use on the heaps of this process: of C, where glibc tells, and of Python's small objects."""
    return (_in_use_of_c() + sys.getallocatedblocks() * BLOCK) / 1e6


def _in_use_of_c() -> int:
    class Info(ctypes.Structure):
        _fields_ = [(f"field_{number}", ctypes.c_size_t) for number in range(10)]

    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return 0
    ask.restype = Info
    info = ask()
    return int(info.field_4 + info.field_7)  # hblkhd and uordblks


def resident() -> float:
    """Memory of this process now, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def sockets() -> int:
    """Sockets that this process has open."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
        except FileNotFoundError:
            continue
    return found


def soak(seconds: float, seed: int = 0, *, loud: bool = False) -> Report:
    """So many seconds of it after the warm-up (to the end of the spell, and three spells at least), or until Ctrl-C."""
    report, stop, began = Report(), threading.Event(), time.monotonic()
    # The second thread lasts. With a new one for each loop the pages grow by 8 MB in 40,000 requests, and the heap in
    # them by nothing: glibc gives threads arenas of their own, whose free space nobody else uses (not with
    # MALLOC_ARENA_MAX=1).
    with service() as far, asyncio.Runner() as runner, ThreadPoolExecutor(1) as second:
        client = far.client()

        def work_off(here: Iterator[Errand], aside: Iterator[Errand]) -> Mark:
            """Those errands on the lasting loop, and those in the second thread on a new one; then a rest."""
            beside = second.submit(lambda: asyncio.run(spell(far, client, aside, report, stop)))
            try:
                runner.run(spell(far, client, here, report, stop))
            except BaseException:
                stop.set()
                raise
            finally:
                beside.result()
            mark = runner.run(rest(far, client, report, began))
            if loud:
                print(row(mark), flush=True)
            return mark

        def usual(number: int) -> Mark:
            return work_off(errands(seed, number, SPELL), errands(seed, number + SPELL, ASIDE))

        try:
            first = len(list(one_of_each(seed)))
            work_off(one_of_each(seed), errands(seed, first, ASIDE))
            numbers = count(first + ASIDE, SPELL + ASIDE)
            report.marks += [usual(next(numbers)) for _ in range(USUAL)][-1:]
            until = time.monotonic() + seconds
            while time.monotonic() < until or len(report.marks) < 4:
                report.marks.append(usual(next(numbers)))
        except KeyboardInterrupt:
            print("ended by Ctrl-C")
        finally:
            runner.run(client.close())
    return report


HEAD = "seconds  requests    RSS MB  heap MB  tasks  sockets  our objects"


def row(mark: Mark) -> str:
    """A line of the table."""
    return (
        f"{mark.seconds:>7.0f}{mark.requests:>10}{mark.resident:>10.1f}{mark.heap:>9.1f}{mark.tasks:>7}"
        f"{mark.sockets:>9}{mark.ours:>13}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(HEAD)
    report = soak(options.minutes * 60, options.seed, loud=True)
    verdict = report.verdict()
    print(f"\n{report.errands} errands: {', '.join(f'{n} {how}' for how, n in report.ended.most_common())}")
    print(f"growth per 100,000 requests, after the warm-up, of {report.measured} requests:")
    print(f"  the process {report.growth('resident'):+.2f} MB (promised: under {GROWTH:g}, and {NOISE:g} MB in all)")
    print(f"  the heap in it {report.growth('heap'):+.2f} MB (promised: under {GROWTH:g}, and {FILLING:g} MB in all)")
    print(*[f"NOT AS PROMISED: {each}" for each in verdict] or ["all as promised"], sep="\n")
    return 1 if verdict else 0


if __name__ == "__main__":
    raise SystemExit(main())
