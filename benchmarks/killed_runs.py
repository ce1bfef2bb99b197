"""Runs that are killed with SIGKILL at random moments and resumed, until every call has its line in the journal.

    python -m benchmarks.killed_runs [--kills 50] [--calls 10000] [--seed 0]

The service counts every prompt that it receives. After each kill the lines that are complete in the journal are noted;
none of those may ever be sent again, and of those without a line at most as many were sent as may be in flight. After
every fifth kill the last line is torn as well, as a power loss can do it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import re
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from zhipu_async import AsyncZhipuAI

from .canned import Canned, canned

AT_ONCE, DELAY = 32, 0.05
"""Calls in flight, fixed, and seconds of each."""
LONGEST = 0.4
"""Seconds from the beginning of a run to its kill, at most."""


@dataclass
class Report:
    """What became of all runs together."""

    calls: int
    kills: int = 0
    torn: int = 0
    torn_of_earlier: int = 0
    """Torn lines that had been complete at an earlier kill."""
    sent: int = 0
    """Requests in all; ``calls`` would be the least."""
    most_open: int = 0
    """Calls that had been sent and had no line, at any kill, at most."""
    sent_again: list[int] = field(default_factory=list[int])
    """Calls that were sent although their line was complete at a kill: there must be none."""
    missing: int = 0
    """Calls without a result in the end."""
    twice: int = 0
    """Calls with two results in the end."""
    strange: int = 0
    """Lines that are no result of a call of the input."""


def _run(url: str, journal: str, calls: int, pipe: Connection) -> None:
    async def main() -> None:
        source = {
            f"q-{n}": AsyncZhipuAI.chat.completions.create.call(
                model="glm-4.6", messages=[{"role": "user", "content": f"prompt <{n}>"}]
            )
            for n in range(calls)
        }
        async with AsyncZhipuAI("k.s", base_url=url) as client:
            pipe.send("here it begins")
            async with client.fan_out(source, journal=journal, resume=True, concurrency=AT_ONCE) as run:
                async for outcome in run:
                    outcome.unwrap()

    asyncio.run(main())


def complete(journal: Path) -> list[int]:
    """The calls that have a whole line, in the order of the lines; read by nothing but a JSON decoder."""
    found: list[int] = []
    for line in journal.read_bytes().split(b"\n")[:-1] if journal.exists() else ():
        try:
            whole = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue  # torn, and healed by a line end
        found.append(int(whole["custom_id"].removeprefix("q-")))
    return found


def received(service: Canned) -> dict[int, int]:
    """How often each call was received."""
    counted: dict[int, int] = {}
    for body, times in service.bodies().items():
        found = re.search(rb"<(\d+)>", body)
        assert found is not None
        counted[int(found[1])] = times
    return counted


def tear(journal: Path, rng: random.Random) -> int | None:
    """Cut the last line somewhere; the call that it was of, None where there was none.

    A run that was killed before it wrote anything leaves a line of an earlier run there: that one is lost then.
    """
    content = journal.read_bytes() if journal.exists() else b""
    begin = content.rfind(b"\n", 0, len(content) - 1) + 1
    lines = complete(journal)
    if not lines or not content.endswith(b"\n"):
        return None
    os.truncate(journal, rng.randrange(begin + 1, len(content)))
    return lines[-1]


def killed(kills: int, calls: int, seed: int, *, tearing: bool = True) -> Report:
    """Kill so many runs, then let the last one end."""
    report, rng, spawn = Report(calls), random.Random(seed), multiprocessing.get_context("spawn")
    kept: dict[int, int] = {}
    """Of each call that had its line at some kill: how often it had been received by then."""
    lost: set[int] = set()
    """Calls whose line was torn and that have no other yet."""
    with tempfile.TemporaryDirectory() as folder, canned(100_000, DELAY) as service:
        journal = Path(folder, "journal.jsonl")
        while True:
            here, there = spawn.Pipe()
            process = spawn.Process(target=_run, args=(service.url, str(journal), calls, there))
            process.start()
            there.close()
            here.recv()
            if report.kills < kills:
                process.join(rng.uniform(0, LONGEST))
            else:
                process.join()
            if process.exitcode is not None:
                assert process.exitcode == 0, process.exitcode
                break
            process.kill()
            process.join()
            report.kills += 1
            time.sleep(2 * DELAY)  # the service has received and answered all that was on the wire
            done, counted = set(complete(journal)), received(service)
            lost -= done
            report.most_open = max(report.most_open, sum(number not in done | lost for number in counted))
            if tearing and report.kills % 5 == 0 and (torn := tear(journal, rng)) is not None:
                report.torn += 1
                report.torn_of_earlier += torn in kept
                done.discard(torn)
                lost.add(torn)
                kept.pop(torn, None)
            for number in done:
                kept.setdefault(number, counted[number])
        counted, results = received(service), complete(journal)
    report.sent = sum(counted.values())
    report.sent_again = [number for number, times in kept.items() if counted[number] != times]
    report.missing = len(set(range(calls)) - set(results))
    report.twice = len(results) - len(set(results))
    report.strange = len(set(results) - set(range(calls)))
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-tearing", action="store_true", help="kills alone")
    options = parser.parse_args()
    found = killed(options.kills, options.calls, options.seed, tearing=not options.no_tearing)
    print(f"{found.calls} calls, {AT_ONCE} in flight; {found.kills} runs killed, {found.torn} last lines torn")
    print(f"({found.torn_of_earlier} of those lines were complete at an earlier kill: they are lost, and sent again)")
    for name, value in (
        ("calls without a result", found.missing),
        ("calls with two results", found.twice),
        ("results of no call", found.strange),
        ("sent again though complete at a kill", len(found.sent_again)),
        ("sent at a kill and not complete, at most", found.most_open),
        ("requests more than calls", found.sent - found.calls),
    ):
        print(f"{name:>42}{value:>7}")
