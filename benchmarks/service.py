"""A simulator in a process of its own, so that its CPU is not counted."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from zhipu_async.simulator import Scenario, Simulator


def _serve(scenario: Scenario, pipe: Connection) -> None:
    async def run() -> None:
        async with Simulator(scenario, record=False) as sim:
            pipe.send((sim.api_key, sim.base_url))
            await asyncio.to_thread(pipe.recv)

    asyncio.run(run())


@contextmanager
def service(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Key and base URL of a simulator that plays ``scenario``."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(scenario, there))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("end")
        process.join()


def cpu() -> float:
    """CPU seconds of this process so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
