"""The concurrency limiter against a simulated service with a virtual clock, beside semaphores and AIMD.

    python -m benchmarks.limiter_simulation                         some rows, under a minute
    python -m benchmarks.limiter_simulation all --seeds 3           everything, or tables by name: steady lag cold ...

A service that holds fewer slots than its limit admits, for the service time and a release lag of 0 to ``lag`` seconds,
else it answers 1302 at once. A call is 20 ms on the wire upwards, 20 ms plus an exponential 5 ms downwards. gp: goodput
relative to limit / (mean service + 45 ms), what a semaphore that knows the limit gets; ref: share of 1302 among sent.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from statistics import fmean, quantiles
from typing import Any

from zhipu_async.protocol.limiter import Limiter

OfTime = Callable[[float], float]
UP, DOWN, SPREAD, ROUND_TRIP = 0.02, 0.02, 0.005, 0.045


class Aimd:
    """Slow start, plus one per window, times 0.9 once per epoch; grows only while the window is in use."""

    window, threshold, in_flight, started, decreased = 4.0, math.inf, 0, 0, 0

    def may_start(self, now: float, interactive: bool = False, background_waiting: bool = False) -> bool:
        return self.in_flight < int(self.window)

    def on_start(self, now: float, interactive: bool = False) -> int:
        self.in_flight, self.started = self.in_flight + 1, self.started + 1
        return self.started - 1

    def on_success(self, now: float, ticket: int) -> None:
        if self.in_flight >= int(self.window):
            self.window += 1 if self.window < self.threshold else 1 / self.window
        self.in_flight -= 1

    def on_refused(self, now: float, ticket: int, code: str) -> None:
        self.in_flight -= 1
        if ticket >= self.decreased:
            self.window = self.threshold = max(1.0, self.window * 0.9)
            self.decreased = self.started

    def wake_at(self, now: float) -> None:
        return None


HEAVY = [(0.3, 2.0)] * 6 + [(3.0, 15.0)] * 3 + [(20.0, 60.0)]
SERVICE: dict[str, tuple[Callable[[random.Random], float], float, float]] = {
    "const": (lambda rng: 0.2, 0.2, 60.0),
    "logn": (lambda rng: rng.lognormvariate(math.log(2.0), 0.8), 2.0 * math.exp(0.32), 300.0),
    "heavy": (lambda rng: rng.uniform(*rng.choice(HEAVY)), 7.39, 600.0),
}
"""Service times: how to draw one, the mean, and how long a steady run lasts. Seconds."""


class World:
    """A clock that jumps from event to event."""

    def __init__(self, seed: int = 0) -> None:
        self.now, self.rng = 0.0, random.Random(seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()

    def at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), action, arguments))

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        while self._events and self._events[0][0] <= until and not stop():
            self.now, _, action, arguments = heapq.heappop(self._events)
            action(*arguments)


class Service:
    """Admits while slots are free; the limit and the chance of 1305 are functions of time."""

    def __init__(self, world: World, limit: OfTime, kind: str = "const", lag: float = 0.0, busy: OfTime | None = None):
        self.world, self.limit, self.lag, self.busy = world, limit, lag, busy
        self.draw, self.mean, _ = SERVICE[kind]
        self.held, self.admitted, self.seconds = 0, 0, 0.0

    def arrive(self, answered: Callable[[str], None]) -> None:
        now, rng = self.world.now, self.world.rng
        code, lasts = "1302" if self.held >= self.limit(now) else "", 0.0
        if self.busy is not None and rng.random() < self.busy(now):
            code = "1305"
        if not code:
            lasts = self.draw(rng)
            self.held, self.admitted, self.seconds = self.held + 1, self.admitted + 1, self.seconds + lasts
            self.world.at(now + lasts + rng.uniform(0, self.lag), self._free)
        self.world.at(now + lasts + DOWN + rng.expovariate(1 / SPREAD), answered, code)

    def ideal(self, limit: float) -> float:
        """Calls a second of a semaphore that knows the limit, with the service times that were drawn."""
        return limit / (self.seconds / max(1, self.admitted) + ROUND_TRIP)

    def _free(self) -> None:
        self.held -= 1


class Client:
    """Queued work behind a limiter: interactive calls first, then repeats, then fresh background calls."""

    def __init__(self, service: Service, policy: Any, queued: float = math.inf) -> None:
        self.service, self.world, self.policy, self.queued = service, service.world, policy, queued
        self.interactive, self.repeats = deque[tuple[float, int]](), deque[tuple[float, int]]()
        self.sent, self.refused, self.done = list[float](), list[float](), list[float]()
        self.waited = list[tuple[float, float]]()  # by interactive calls: until the start, until the answer
        self.most_refusals, self._wake = 0, math.inf
        self.world.at(self.world.now, self.dispatch)

    def arrive(self, rate: float) -> None:
        """An interactive call now, and so many a second from now on, at random times."""
        self.interactive.append((self.world.now, 0))
        self.world.at(self.world.now + self.world.rng.expovariate(rate), self.arrive, rate)
        self.dispatch()

    def dispatch(self) -> None:
        now = self.world.now
        while self.interactive and self.policy.may_start(now, True, bool(self.repeats or self.queued)):
            self._start(self.interactive.popleft(), True)
        while (self.repeats or self.queued) and self.policy.may_start(now):
            self.queued -= not self.repeats
            self._start(self.repeats.popleft() if self.repeats else (now, 0), False)
        wake = self.policy.wake_at(now) if self.interactive or self.repeats or self.queued else None
        if wake is not None and (wake < self._wake or self._wake <= now):
            assert wake > now, "a busy loop"
            self._wake = wake
            self.world.at(wake, self.dispatch)

    def _start(self, call: tuple[float, int], interactive: bool) -> None:
        now = self.world.now
        self.sent.append(now)
        ticket = self.policy.on_start(now, interactive)
        self.world.at(now + UP, self.service.arrive, partial(self._answered, call, ticket, interactive, now))

    def _answered(self, call: tuple[float, int], ticket: Any, interactive: bool, started: float, code: str) -> None:
        now, (asked, times) = self.world.now, call
        if code:
            self.policy.on_refused(now, ticket, code)
            self.refused += [now] * (code == "1302")
            self.most_refusals = max(self.most_refusals, times + 1)
            wait = self.world.rng.uniform(0, min(8.0, 0.5 * 2.0**times))
            self.world.at(now + wait, self._repeat, (asked, times + 1), interactive)
        else:
            self.policy.on_success(now, ticket)
            self.done.append(now)
            if interactive:
                self.waited.append((started - asked, now - asked))
        self.dispatch()

    def _repeat(self, call: tuple[float, int], interactive: bool) -> None:
        (self.interactive.appendleft if interactive else self.repeats.append)(call)
        self.dispatch()


def within(times: list[float], begin: float, end: float) -> int:
    """How many of the sorted ``times`` lie between."""
    return bisect_left(times, end) - bisect_left(times, begin)


def rates(clients: list[Client], begin: float, end: float, limit: float) -> tuple[float, float]:
    """Goodput of all relative to the ideal at this limit, and the refused share."""
    done = sum(within(client.done, begin, end) for client in clients)
    sent = sum(within(client.sent, begin, end) for client in clients)
    refused = sum(within(client.refused, begin, end) for client in clients)
    return done / (end - begin) / clients[0].service.ideal(limit), refused / max(1, sent)


def reach(service: Service, since: float, limit: float) -> Callable[[], float]:
    """Watches how soon after ``since`` 90 % of what is ideal at this limit is held, on average of the next 0.2 s."""
    held, wanted = list[int](), 0.9 * limit * service.mean / (service.mean + ROUND_TRIP)

    def look() -> None:
        held.append(service.held)
        if len(held) < 5 or fmean(held[-5:]) < wanted:
            service.world.at(service.world.now + 0.05, look)

    service.world.at(since, look)
    return lambda: 0.05 * (len(held) - 5) if fmean(held[-5:]) >= wanted else math.inf


Numbers = tuple[float, ...]
Policies = Callable[[int, int], Limiter | Aimd]  # from the true limit and a seed

COLUMNS: dict[str, Policies] = {
    "limiter": lambda limit, seed: Limiter(random.Random(seed).random),
    "begin 16": lambda limit, seed: Limiter(random.Random(seed).random, begin=16),
    "lingering": lambda limit, seed: Limiter(random.Random(seed).random, linger=True),
    "reserving": lambda limit, seed: Limiter(random.Random(seed).random, reserve=0.1),
    "AIMD 0.9": lambda limit, seed: Aimd(),
    "fixed L/2": lambda limit, seed: Limiter(random.random, fixed=max(1, limit // 2)),
    "fixed L": lambda limit, seed: Limiter(random.random, fixed=limit),
    "fixed 2L": lambda limit, seed: Limiter(random.random, fixed=2 * limit),
}


def one(
    make: Policies, seed: int, kind: str, limit: int, limits: OfTime | None = None, queued: float = math.inf,
    lag: float = 0.0, busy: OfTime | None = None,
) -> Client:  # fmt: skip
    return Client(Service(World(seed), limits or (lambda now: limit), kind, lag, busy), make(limit, seed), queued)


def steady(make: Policies, seed: int, limit: int, kind: str, lag: float = 0.0) -> Numbers:
    client, end = one(make, seed, kind, limit, lag=lag), SERVICE[kind][2]
    client.world.run(end)
    return rates([client], end / 4, end, limit)


def change(make: Policies, seed: int, before: int, after: int, kind: str) -> Numbers:
    at = 20.0 if kind == "const" else 100.0
    client = one(make, seed, kind, before, lambda now: before if now < at else after)
    reached = reach(client.service, at, after)
    client.world.run(at + 30)
    refused, goodput = rates([client], at, at + 5, after)[1], rates([client], at + 1, at + 6, after)[0]
    return reached(), refused, goodput, within(client.refused, at, at + 5)


def cold(make: Policies, seed: int, limit: int, kind: str, queued: int = 10_000) -> Numbers:
    client = one(make, seed, kind, limit, queued=queued)
    reached = reach(client.service, 0.0, limit)
    client.world.run(math.inf, lambda: len(client.done) == queued)
    took = client.world.now * client.service.ideal(limit) / queued
    return took, len(client.refused) / len(client.sent), reached(), client.most_refusals


def several(make: Policies, seed: int, processes: int, limit: int, kind: str, end: float) -> Numbers:
    service = Service(World(seed), lambda now: limit, kind)
    clients = [Client(service, make(limit // processes, seed * 100 + n)) for n in range(processes)]
    service.world.run(end)
    shares = [rates([client], end / 2, end, limit)[0] for client in clients]
    return min(shares) / fmean(shares), max(shares) / fmean(shares), *rates(clients, end / 2, end, limit)


def interactive(make: Policies, seed: int, limit: int, kind: str, queued: float = math.inf) -> Numbers:
    client, end = one(make, seed, kind, limit, queued=queued), SERVICE[kind][2]
    client.arrive(0.05 * limit / (client.service.mean + ROUND_TRIP))
    client.world.run(end)
    starts, answers = (quantiles(times, n=100) for times in zip(*client.waited, strict=True))
    alone = interactive(make, seed, limit, kind, 0)[3] if queued else 0.0
    return starts[49], starts[98], alone, answers[98], rates([client], end / 4, end, limit)[0]


def overload(make: Policies, seed: int, chance: float, limit: int, kind: str) -> Numbers:
    begin = 20.0 if kind == "const" else 60.0
    client = one(make, seed, kind, limit, busy=lambda now: chance if begin <= now < begin + 30 else 0.0)
    client.world.run(begin + 40)
    during, after = (rates([client], begin + a, begin + b, limit)[0] for a, b in ((0, 30), (31, 36)))
    return during, within(client.sent, begin, begin + 30) / 30, after


GP, PLAIN = "gp {:.2f}, ref {:.1%}", "limiter, AIMD 0.9, fixed L/2, fixed L, fixed 2L"
CHANGED = "90 % after {:.1f} s, ref in 5 s {:.1%}, gp 1..6 s {:.2f}, {:.0f} refused"
COLD = "time / ideal {:.2f}, ref {:.1%}, 90 % after {:.1f} s, a call at most {:.0f} x"
WAITS = "wait p50 {:.2f} p99 {:.2f} s, latency p99 alone {:.2f} busy {:.2f} s, gp {:.2f}"
STEPS = "8 16 {0}; 40 80 {0}; 200 400 {0}; 16 8 {0}; 80 40 {0}; 400 200 {0}"
TABLES: dict[str, tuple[Callable[..., Numbers], str, str, str]] = {
    "steady": (steady, GP, PLAIN, "3 const; 8 const; 8 logn; 40 const; 40 logn; 200 const; 200 logn|"
        "3 logn; 8 heavy; 40 heavy; 1000 const"),
    "large": (steady, GP, "limiter, AIMD 0.9, fixed L", "|200 heavy; 1000 logn; 1000 heavy"),
    "lag": (steady, GP, "limiter, lingering, AIMD 0.9, fixed L", "|3 const 0.1; 3 logn 0.1; 8 const 0.1; 8 logn 0.1;"
        "8 heavy 0.1; 40 const 0.1; 40 logn 0.1; 200 const 0.1; 200 logn 0.1"),
    "changes": (change, CHANGED, "limiter, AIMD 0.9", f"{STEPS.format('const')}|{STEPS.format('logn')}"),
    "cold": (cold, COLD, f"{PLAIN}, begin 16", "8 const; 40 const; 200 const|1000 const; 40 logn; 200 logn"),
    "several": (several, "shares {:.2f}..{:.2f}, gp {:.2f}, ref {:.1%}", "limiter, AIMD 0.9", "4 200 const 60|"
        "4 200 logn 300; 4 40 const 120; 4 40 logn 600; 4 8 const 120; 16 200 const 60"),
    "interactive": (interactive, WAITS, "limiter, reserving, fixed L", "3 const; 8 const; 40 const; 8 logn; 40 logn|"
        "3 heavy; 8 heavy; 40 heavy"),
    "overload": (overload, "gp {:.3f}, sent {:.0f}/s, gp 1..6 s later {:.2f}", "limiter, AIMD 0.9", "0.1 200 const;"
        "0.5 200 const; 0.95 200 const|0.01 200 const; 0.1 40 const; 0.5 40 const; 0.95 40 const; 0.95 40 logn"),
}  # fmt: skip
"""What fills a cell, its text, the columns, and the rows (arguments): before the bar those of the quick choice."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="table", help=f"all, or some of: {' '.join(TABLES)}")
    parser.add_argument("--only", default="", help="rows whose name contains this text")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    for name in TABLES if "all" in options.tables or not options.tables else options.tables:
        fill, cell, columns, rows = TABLES[name]
        print(f"\n== {name}")
        for row in (rows.replace("|", ";") if options.tables else rows.partition("|")[0]).split(";"):
            arguments = [part if part.isalpha() else float(part) if "." in part else int(part) for part in row.split()]
            for column in columns.split(", ") if arguments and options.only in row else ():
                cells = [fill(COLUMNS[column], seed, *arguments) for seed in range(options.seeds)]
                print(f"{row.strip():15} {column:10} {cell.format(*map(fmean, zip(*cells, strict=True)))}", flush=True)
