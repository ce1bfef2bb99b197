"""What the client promises, tried: a table of faults, doubled requests, lost results, secrets, bad inputs and memory.

    python -m benchmarks.trust                  about two minutes
    python -m benchmarks.trust faults secrets   some of it
    python -m benchmarks.trust --full           longer: more of each

On the loopback alone. Exit status 1 where a promise is broken; what broke it stands below the table.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path

from tests.fuzz.mutation import known, mutated
from tests.fuzz.targets import TARGETS
from zhipu_async import AsyncZhipuAI

from . import greedy, killed_runs, planted
from .traffic import APART, KINDS, SERVICE, WIRES, Errand, Lost, Service, at_rest, doubled, promised, run, service

PATIENCE = 30.0
"""Seconds after which an errand hangs."""
SLOWEST = 2.0
"""Seconds that one bad input may take, with all that its target does of it."""


@dataclass
class Line:
    """A line of the table; a promise is broken where there is something ``wrong``."""

    what: str
    figure: str
    promise: str
    wrong: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Size:
    """How much is tried."""

    seed: int
    rounds: int
    """Of each fault with each kind of call."""
    kills: int
    fuzzing: float
    """Seconds."""
    kinds: tuple[str, ...] = tuple(KINDS)
    """Of calls that faults are tried with."""


NORMAL, FULL, TINY = (2, 12, 30.0), (10, 60, 300.0), (1, 1, 1.0, ("whole", "stream", "upload"))


# ---------------------------------------------------------------- faults, and what is made twice or lost


async def endured(service: Service, errand: Errand, cancel: float | None) -> str | None:
    """What is wrong after an errand on a client of its own; None: it was survived."""
    try:
        async with service.client() as client, asyncio.timeout(PATIENCE):
            await run(service, client, errand, cancel=cancel)
            lane = errand.client(service, client)
            busy = await at_rest(lambda: _busy(client, lane))
            promised(not busy, f"{errand}: in use is still {busy}")
            after = Errand("whole", errand.number + APART - 1, errand.dice)
            promised(await run(service, client, after) == "value", f"{errand}: the client is of no use afterwards")
    except Lost as error:
        return str(error)
    except TimeoutError:
        return f"{errand}: it hangs"
    return None


def _busy(client: AsyncZhipuAI, lane: AsyncZhipuAI) -> str:
    pool = client.pool.statistics()
    slots = {name: queue for name, queue in lane.concurrency().items() if queue.in_flight or queue.waiting}
    return f"{pool} {slots}" if pool.in_use or slots else ""


async def _all_faults(far: Service, size: Size) -> tuple[int, list[str], list[Errand]]:
    numbers, done, wrong = count(0, APART), list[Errand](), list[str]()

    def work() -> Iterator[tuple[Errand, float | None]]:
        befalls = [(name, None) for name in SERVICE] + [("none", name) for name in WIRES]
        for kind, (fault, wire), turn in product(size.kinds, befalls, range(size.rounds)):
            number = next(numbers)
            dice = random.Random(f"{size.seed} {number}")
            yield Errand(kind, number, dice, fault, wire), dice.uniform(0, 0.03) if turn % 2 else None

    async def worker(errands: Iterator[tuple[Errand, float | None]]) -> None:
        for errand, cancel in errands:
            if (how := await endured(far, errand, cancel)) is not None:
                wrong.append(how)
            done.append(errand)

    errands = work()
    async with asyncio.TaskGroup() as group:
        for _ in range(96):
            group.create_task(worker(errands))
    return len(done), wrong, done


def faults(size: Size) -> list[Line]:
    """Every fault of the wire and of the service, with every kind of call; half of the rounds are cancelled."""
    with service() as far:
        tried, wrong, done = asyncio.run(_all_faults(far, size))
        counts = far.counts()
    twice = [str(number) for number in doubled(counts, [])]
    unmade = [str(number) for number in doubled(counts, [n for errand in done for n in errand.created])][len(twice) :]
    return [
        Line("faults survived / tried", f"{tried - len(wrong)} / {tried}", "all", wrong),
        Line("requests doubled, of those that create", f"{len(twice)} / {len(counts.made)}", "0", twice),
        Line("answers of what was not made", f"{len(unmade)}", "0", unmade),
    ]


def kills(size: Size) -> list[Line]:
    """Runs with a journal are killed with SIGKILL and resumed."""
    report = killed_runs.killed(size.kills, 400 * size.kills, size.seed)
    lost = report.missing + report.twice + report.strange
    return [
        Line(f"results lost, runs killed: {report.kills}", f"{lost} / {report.calls}", "0", [str(report)] * (lost > 0)),
        Line(
            "finished calls sent again",
            f"{len(report.sent_again)} / {report.calls}",
            "0",
            [f"q-{number}" for number in report.sent_again],
        ),
    ]


# ---------------------------------------------------------------- secrets, bad inputs, memory


def secrets(size: Size) -> list[Line]:
    """Calls that succeed and fail with a planted key and a proxy password; all that was written is searched."""
    with service() as far:
        written = planted.written(far, each=size.rounds > 1)
    found = [f"{name}: {secret}" for name, data in written for secret in planted.found(data)]
    length = sum(len(data) for _, data in written)
    figure = f"{len(found)} in {len(written)} texts, {length / 1e6:.1f} MB"
    return [Line("secrets found", figure, "0", found)]


def inputs(size: Size) -> list[Line]:
    """Recorded streams, bodies, headers and journals after accidents, each to the parser that it is for."""
    draw, tried, wrong, slowest = random.Random(size.seed), 0, list[str](), (0.0, "")
    corpora = {name: known(name) for name in TARGETS}
    samples = Path(__file__).parent.parent / "tests/protocol/samples"
    recorded = [path.read_bytes() for path in sorted(samples.glob("*.sse"))]
    for name in ("sse", "chunks"):
        corpora[name] += recorded
    until = time.monotonic() + size.fuzzing
    while time.monotonic() < until:
        for name, target in TARGETS.items():
            data = mutated(draw.choice(corpora[name]), draw.choice(corpora[name]), draw)
            began = time.perf_counter()
            try:
                target(data)
            except Exception as error:
                wrong.append(f"{name}: {error!r} of {data[:2000]!r}")
            slowest = max(slowest, (time.perf_counter() - began, f"{name} of {len(data)} bytes"))
            tried += 1
    slow = [slowest[1]] if slowest[0] > SLOWEST else []
    return [
        Line("bad inputs tried, failures", f"{tried}, {len(wrong)}", "0 failures", wrong),
        Line("slowest input", f"{slowest[0] * 1000:.0f} ms, {slowest[1]}", f"under {SLOWEST:g} s", slow),
    ]


def memory(size: Size) -> list[Line]:
    """Answers without end, and those that unfold: what a client takes of memory before it refuses them."""
    lines: list[Line] = []
    for name, error, peak, allowed in greedy.measured():
        wrong = [] if error in greedy.REFUSED and peak < allowed else [f"{name}: {error}"]
        lines.append(Line(f"memory: {name}", f"{peak:.0f} MB, {error}", f"under {allowed:.0f} MB", wrong))
    peak = greedy.peak()
    lines.append(Line("peak memory of this process", f"{peak:.0f} MB", "under 400 MB", ["too much"] * (peak > 400)))
    return lines


PARTS: dict[str, Callable[[Size], list[Line]]] = {
    part.__name__: part for part in (faults, kills, secrets, inputs, memory)
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"all, or some of: {' '.join(PARTS)}")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="the least of each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    size = Size(options.seed, *(FULL if options.full else TINY if options.tiny else NORMAL))
    wrong: list[str] = []
    for name in options.parts or PARTS:
        for line in PARTS[name](size):
            broken = "  BROKEN" if line.wrong else ""
            print(f"{line.what:<40}{line.figure:<42}{line.promise}{broken}", flush=True)
            wrong += [f"{line.what}: {each}" for each in line.wrong]
    print(*[f"\n{each}" for each in wrong[:50]], sep="")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
