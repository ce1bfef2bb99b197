"""An event loop that counts the waits of an operation, and stops it at one of them, in each way that asyncio has.

Counted is each wait of the operation's own task and of every task that it begins, whichever library waits. It is
stopped when a wait begins, in the very moment when it ends, or before a turn of the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

Moment = Literal["begins", "ends", "turn"]
Way = Literal["cancel", "cancel again", "timeout", "wait_for", "sibling"]

LIMIT = 4.0
"""Seconds of ``wait_for``, which pass at once."""


class StepLoop(asyncio.SelectorEventLoop):
    """Counts the waits of watched tasks, can be put forward, and keeps what is reported to it."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.at_turn: Callable[[], None] | None = None
        self.reports: list[str] = []
        super().__init__()
        self.slow_callback_duration = inf  # a slow machine is no defect
        self.set_task_factory(_task)
        self.set_exception_handler(self._report)

    def time(self) -> float:
        return super().time() + self.ahead

    def _report(self, _: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        if not told["message"].endswith("incoming connection"):  # the server's: a handshake of TLS was broken off
            self.reports.append(f"{told['message']}: {told.get('exception')!r}")

    def _run_once(self) -> None:
        if self.at_turn is not None:
            self.at_turn()
        super()._run_once()  # type: ignore[misc]


class Point:
    """Where an operation is stopped: at its ``number``-th wait, or turn of the loop; ``times`` times in a row."""

    def __init__(self, loop: StepLoop, number: int, moment: Moment, times: int) -> None:
        self._loop = loop
        self._number = number
        self._moment = moment
        self._times = times
        self.passed = 0
        self.stop: Callable[[], object] | None = None
        """How; None as long as the operation has not begun."""
        self.running: asyncio.Task[Any] | None = None
        self.took = False
        """Whether it was stopped: it had waited so often, and not ended meanwhile."""
        if moment == "turn":
            loop.at_turn = self._turn

    @property
    def reached(self) -> bool:
        return self.passed >= self._number

    def wait(self, future: asyncio.Future[Any] | None) -> None:
        """A watched task waits, for a future or for the next turn."""
        if self._moment == "turn" or self.stop is None:
            return
        self.passed += 1
        if self.passed == self._number:
            if self._moment == "ends" and future is not None:
                future.add_done_callback(lambda _: self._stop())  # before the task hears of it
            else:
                self._loop.call_soon(self._stop)

    def _turn(self) -> None:
        if self.stop is not None:
            self.passed += 1
            if self.passed == self._number:
                self._stop()

    def _stop(self) -> None:
        if self.stop is None or self.running is None or self.running.done():
            return
        self.stop()
        self.took = True
        self._times -= 1
        if self._times:
            self._number = self.passed + 1


POINT: contextvars.ContextVar[Point | None] = contextvars.ContextVar("point", default=None)


class Watched(Coroutine[Any, Any, Any]):
    """A coroutine that tells of each wait."""

    def __init__(self, inner: Coroutine[Any, Any, Any], point: Point) -> None:
        self._inner = inner
        self._point = point

    def send(self, value: Any) -> Any:
        return self._told(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        return self._told(self._inner.throw(*error))

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:
        return self._inner.__await__()

    def __repr__(self) -> str:
        return f"<{getattr(self._inner, '__qualname__', self._inner)}>"

    def _told(self, future: Any) -> Any:
        self._point.wait(future)
        return future


def _task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    context: contextvars.Context | None = options.get("context")
    point = POINT.get() if context is None else context.get(POINT)
    return asyncio.Task(work if point is None else Watched(work, point), loop=loop, **options)


# ---------------------------------------------------------------- ways to be stopped


class SiblingFailed(Exception):
    """What another task of the group raises."""


Work = Callable[[], Coroutine[Any, Any, Any]]


async def _cancelled(work: Work, point: Point) -> None:
    task = asyncio.current_task()
    assert task is not None
    point.stop = task.cancel
    await work()


async def _timed_out(work: Work, point: Point) -> None:
    async with asyncio.timeout(None) as scope:
        point.stop = lambda: scope.reschedule(0.0)
        await work()


async def _waited_for(work: Work, point: Point) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StepLoop)

    def forward() -> None:
        loop.ahead += LIMIT

    point.stop = forward
    await asyncio.wait_for(work(), LIMIT)


async def _beside_a_failure(work: Work, point: Point) -> None:
    failed = asyncio.Event()

    async def fail() -> None:
        await failed.wait()
        raise SiblingFailed

    async with asyncio.TaskGroup() as group:
        sibling = group.create_task(fail())
        point.stop = failed.set
        await group.create_task(work())
        sibling.cancel()


@dataclass(frozen=True)
class _Stopping:
    run: Callable[[Work, Point], Coroutine[Any, Any, None]]
    raises: type[BaseException]
    times: int = 1


WAYS: dict[Way, _Stopping] = {
    "cancel": _Stopping(_cancelled, asyncio.CancelledError),
    "cancel again": _Stopping(_cancelled, asyncio.CancelledError, times=3),
    "timeout": _Stopping(_timed_out, TimeoutError),
    "wait_for": _Stopping(_waited_for, TimeoutError),
    "sibling": _Stopping(_beside_a_failure, ExceptionGroup),
}
