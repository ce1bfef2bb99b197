"""Runs an operation again and again, stops it each time one wait later, and looks whether all is whole each time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.cancelling.steps import POINT, WAYS, Moment, Point, SiblingFailed, StepLoop, Watched, Way
from tests.conftest import SHORT_SLEEPS
from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Simulator
from zhipu_async.simulator.seen import SeenRequest

HANGS = 20.0
"""Seconds after which a run is said to hang."""
SOON = 3.0
"""Seconds that the other side, or a thread, has for noticing the end."""
ALIVE = {"role": "user", "content": "Are you there?"}


@dataclass
class Stage:
    """What one run of an operation has."""

    client: AsyncZhipuAI
    service: Simulator
    folder: Path
    """Empty at the beginning of each run."""
    number: int
    before: int = 0
    """Requests before the operation began."""
    got: list[Any] = field(default_factory=list[Any])
    """What the operation gave before it was stopped; an operation notes it here."""

    @property
    def sent(self) -> list[SeenRequest]:
        """The requests since then."""
        return self.service.requests[self.before :]


async def _nothing(stage: Stage) -> None:
    return


@dataclass(frozen=True)
class Operation:
    """Something to be stopped, and what must hold afterwards beside what always must."""

    work: Callable[[Stage], Coroutine[Any, Any, Any]]
    service: Callable[[], Simulator] = Simulator
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of the client."""
    prepare: Callable[[Stage], Awaitable[None]] = _nothing
    check: Callable[[Stage], Awaitable[None]] = _nothing
    """After a run, with the client of the run; what it asks of the service does not count."""
    sent: int = 1
    """How often one request body may have arrived at the service."""
    lingers: bool = False
    """Whether a task of aiohttp's goes on: the look-up of a name, which others may wait for, too."""
    leaves: tuple[str, ...] = ()
    """Files that may be left in the folder."""
    least: int = 1
    """Waits that there are at least."""


def client_of(operation: Operation, service: Simulator) -> AsyncZhipuAI:
    """A client of the service."""
    settings = {"retry": SHORT_SLEEPS, **operation.settings}
    return AsyncZhipuAI(service.api_key, base_url=service.base_url, **settings)


class Left(Exception):
    """Raised by who takes what an operation gives."""


class Takes(list[Any]):
    """What an operation gives, until as many things were taken as are wanted."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def append(self, thing: Any) -> None:
        super().append(thing)
        if len(self) >= self._number:
            raise Left


def sweep(operation: Operation, way: Way, moment: Moment, folder: Path) -> None:
    """Stop it at its first wait, its second and so on, until it ends before it could be stopped."""

    async def stop(stage: Stage) -> bool:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, StepLoop)
        point = Point(loop, stage.number, moment, WAYS[way].times)
        await _stop(partial(operation.work, stage), way, point)
        if way != "cancel again":  # that also ends the wait for the end of everything
            _check_nothing_goes_on(operation, stage.client)
        return point.took or point.reached

    _sweep(operation, stop, folder, operation.least if way == "cancel" else 1)


def leave(operation: Operation, folder: Path) -> None:
    """Leave it, by an exception, with the first thing that it gives, the second and so on."""

    async def go(stage: Stage) -> bool:
        stage.got = Takes(stage.number)
        try:
            await operation.work(stage)
        except Left:
            return True
        finally:
            _check_nothing_goes_on(operation, stage.client)
        return False

    _sweep(operation, go, folder, 2)


def _sweep(operation: Operation, stop: Callable[[Stage], Awaitable[bool]], folder: Path, least: int) -> None:
    unraised: list[str] = []

    def keep(told: Any) -> None:
        unraised.append(f"{told.exc_value!r} in {told.object!r}")

    hook, sys.unraisablehook = sys.unraisablehook, keep
    gc.collect()
    gc.freeze()  # what is there already need not be looked at after each run
    try:
        with asyncio.Runner(loop_factory=StepLoop, debug=True) as runner:
            times = runner.run(_runs(operation, stop, folder, unraised))
    finally:
        gc.unfreeze()
        sys.unraisablehook = hook
    assert times >= least, times


async def _runs(
    operation: Operation, stop: Callable[[Stage], Awaitable[bool]], folder: Path, unraised: list[str]
) -> int:
    """Runs, each with a client of its own, until one is not stopped; how many were."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StepLoop)
    number, goes_on = 0, True
    async with operation.service() as service:
        while goes_on:
            number += 1
            files, tasks = descriptors(), asyncio.all_tasks()
            (place := folder / str(number)).mkdir()
            stage = Stage(client_of(operation, service), service, place, number)
            try:
                await operation.prepare(stage)
                stage.before = len(service.requests)
                goes_on = await stop(stage)
                await _check_all_is_whole(operation, stage)
                del stage
                gc.collect()
                await soon(partial(_same, asyncio.all_tasks, tasks), asyncio.all_tasks)
                await soon(partial(_same, descriptors, files), descriptors)
                assert not (told := loop.reports + unraised), told
            except AssertionError as error:
                error.add_note(f"in run {number}; open before: {files}, tasks: {tasks}")
                raise
    return number - 1


async def _stop(work: Callable[[], Coroutine[Any, Any, Any]], way: Way, point: Point) -> None:
    """Run it and stop it: then it raises what that way raises, no other error, and does not end as if it were done."""
    loop, raises = asyncio.get_running_loop(), WAYS[way].raises
    context = contextvars.copy_context()
    context.run(POINT.set, point)
    point.running = running = loop.create_task(WAYS[way].run(work, point), context=context)
    await asyncio.wait([running], timeout=HANGS)
    point.running = None
    assert running.done(), f"it hangs: {running.get_stack()}"
    error = None if running.cancelled() else running.exception()
    if raises is asyncio.CancelledError:
        assert running.cancelled() == point.took
        assert error is None, error
    assert error is None or type(error) is raises, error
    if isinstance(error, ExceptionGroup):
        assert [type(each) for each in error.exceptions] == [SiblingFailed], error


def _same(look: Callable[[], object], before: object) -> bool:
    return look() == before


def _check_nothing_goes_on(operation: Operation, client: AsyncZhipuAI) -> None:
    """At once: no call has a place or waits for one, and no task works."""
    standing = client.concurrency().values()
    assert not sum(each.in_flight + each.waiting for each in standing), standing
    pool = client.pool.statistics()
    assert (pool.in_use, pool.waiting) == (0, 0), pool
    tasks = [task for task in asyncio.all_tasks() if isinstance(task.get_coro(), Watched)]
    assert operation.lingers or not tasks, tasks


async def _check_all_is_whole(operation: Operation, stage: Stage) -> None:
    """No connection in use, no slot taken, no request twice, the client works, and closing it leaves no socket."""
    client, service = stage.client, stage.service
    bodies = Counter((request.path, request.raw) for request in stage.sent if request.method == "POST")
    assert all(times <= operation.sent for times in bodies.values()), bodies
    await soon(lambda: client.pool.statistics().in_use == 0, client.pool.statistics)
    standing = client.concurrency().values()
    assert not sum(each.in_flight + each.waiting for each in standing), standing
    assert client.pool.statistics().waiting == 0
    await operation.check(stage)
    assert (await client.chat.completions.create(model="glm-4.6", messages=[ALIVE])).text
    await client.close()
    assert client.pool.statistics().idle == 0
    await soon(lambda: (service.connections.open, service.in_flight) == (0, 0), "open at the service")
    await soon(lambda: not left_in(operation, stage.folder), lambda: left_in(operation, stage.folder))


def left_in(operation: Operation, folder: Path) -> list[str]:
    """Files that should not be there."""
    return [path.name for path in folder.iterdir() if path.name not in operation.leaves]


async def soon(true: Callable[[], bool | Awaitable[bool]], otherwise: object) -> None:
    """Wait until it is true, which may take a moment, since others have to notice something; else AssertionError."""
    ends = asyncio.get_running_loop().time() + SOON
    while not (await found if isinstance(found := true(), Awaitable) else found):
        assert asyncio.get_running_loop().time() < ends, otherwise() if callable(otherwise) else otherwise
        await asyncio.sleep(0.001)


def descriptors() -> Counter[str]:
    """What this process has open: paths and sockets; empty where the system does not tell."""
    found: Counter[str] = Counter()
    folder = Path("/proc/self/fd")
    for link in os.listdir(folder) if folder.exists() else ():
        try:
            found[os.readlink(folder / link)] += 1
        except OSError:  # that of the listing itself
            continue
    return found
