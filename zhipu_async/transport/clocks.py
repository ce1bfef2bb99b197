"""The clocks of :class:`~zhipu_async.Timeouts`, made to run: one scope per attempt, one watch per body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ..errors import PoolTimeout, RequestTimeout

GRACE = 0.01
"""Seconds for which a limit that is reached is doubted: a loop that was held up runs its timers before it has read its
sockets."""

_MEANING = {
    "connect": "no connection was made",
    "pool": "no connection of the pool became free",
    "first_byte": "no answer began",
    "first_token": "no token arrived",
    "between": "no byte moved",
    "total": "the call was not done",
    "stream_total": "the stream did not end",
}


def timed_out(clock: str, seconds: float) -> RequestTimeout:
    """The error of a clock that fired."""
    kind = PoolTimeout if clock == "pool" else RequestTimeout
    message = f"{_MEANING[clock]} within {seconds:g} s (clock {clock!r}; see Timeouts)"
    return kind(message, clock=clock, seconds=seconds, arrived=clock not in ("connect", "pool"))


class AttemptClock:
    """``with`` around one attempt, which is cancelled when a limit is reached: RequestTimeout then leaves the scope.

    The current phase has its own limit, others hold for the whole. A timer that is set too early for the next phase is
    left alone and set anew when it goes off (asyncio's own scope makes a timer for each phase).
    """

    __slots__ = (
        "_cancelling",
        "_caps",
        "_caps_when_sent",
        "_doubted",
        "_due",
        "_expired",
        "_sent",
        "_task",
        "_timer",
        "loop",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        """The loop of the attempt."""
        self._caps: list[tuple[float, str, float]] = []
        self._caps_when_sent: list[tuple[str, float]] = []
        self._due: tuple[float, str, float] | None = None
        """When a limit is reached (loop time), which clock's, and its length."""
        self._doubted: tuple[float, str, float] | None = None
        """The limit that was reached a moment ago."""
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False
        self._sent = False

    def cap(self, clock: str, seconds: float | None, began: float | None = None) -> None:
        """The attempt ends ``seconds`` after ``began`` (loop time; None: when the request is sent) at the latest."""
        if seconds is None:
            return
        if began is None:
            self._caps_when_sent.append((clock, seconds))
        else:
            self._caps.append((began + seconds, clock, seconds))

    def phase(self, clock: str | None, seconds: float | None = None, *, sent: bool = False) -> None:
        """A phase begins, which ends within ``seconds``; ``sent``: from now on the request may have arrived."""
        if self._expired:  # and what was awaited went on all the same: a key source of the user's
            raise asyncio.CancelledError
        if sent and not self._sent:
            self._sent = True
            if self._caps_when_sent:
                now = self.loop.time()
                self._caps += [(now + length, name, length) for name, length in self._caps_when_sent]
        due = min(self._caps) if self._caps else None
        if seconds is not None and clock is not None:
            ends = (self.loop.time() + seconds, clock, seconds)
            due = ends if due is None or ends < due else due
        self._due = due
        if due is not None:
            self._set(due[0])

    def _set(self, when: float) -> None:
        timer = self._timer
        if timer is None:
            self._timer = self.loop.call_at(when, self._look)
        elif when < timer.when():
            timer.cancel()
            self._timer = self.loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self.loop.time() < self._due[0]:
            self._set(self._due[0])
        elif self._doubted != self._due:
            self._doubted = self._due
            self._timer = self.loop.call_later(GRACE, self._look)
        else:
            self._expired = True
            self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError("a call is made inside a task")
        self._task = task
        self._cancelling = task.cancelling()
        self.phase(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            assert self._due is not None
            timeout = timed_out(*self._due[1:])
            timeout.arrived = self._sent
            try:
                raise timeout from None
            finally:
                del timeout  # or this frame, which the error knows, knows the error


class SilenceWatch:
    """Fires when a body is waited for and nothing comes. Costs two assignments per wait: the timer is left running and
    looks, when it goes off, whether it was too early. It knows the body, never the stream that reads it."""

    __slots__ = ("_between", "_deadline", "_fail", "_loop", "_since", "_timer", "_total")

    def __init__(self, loop: asyncio.AbstractEventLoop, fail: Callable[[RequestTimeout], None]) -> None:
        self._loop = loop
        self._fail = fail
        self._between: float | None = None
        self._total = 0.0
        self._deadline: float | None = None
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, between: float | None, total: float | None = None, began: float = 0.0) -> None:
        """Allow ``between`` seconds for each wait, and ``total`` seconds from ``began`` (loop time) for all."""
        self._between = between
        if total is not None:
            self._total, self._deadline = total, began + total

    def wait(self) -> None:
        """A wait begins. One that begins after the deadline fails: of a stream that never stops none would be long."""
        now = self._since = self._loop.time()
        if self._deadline is not None and now > self._deadline + GRACE:
            self._fail(timed_out("stream_total", self._total))
        if self._timer is None and (due := self._due()) is not None:
            self._timer = self._loop.call_at(due[0], self._look)

    @property
    def waiting(self) -> bool:
        """Whether a wait is under way."""
        return self._since is not None

    def stop(self) -> None:
        """A wait ended."""
        self._since = None

    def cancel(self) -> None:
        """No more waits will come."""
        self._since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> tuple[float, str, float] | None:
        limits: list[tuple[float, str, float]] = []
        if self._between is not None and self._since is not None:
            limits.append((self._since + self._between, "between", self._between))
        if self._deadline is not None:
            limits.append((self._deadline, "stream_total", self._total))
        return min(limits) if limits else None

    def _look(self, doubted: float | None = None) -> None:
        self._timer = None
        due = self._due() if self._since is not None else None
        if due is None:
            return
        when, clock, seconds = due
        if self._loop.time() < when:
            self._timer = self._loop.call_at(when, self._look)
        elif doubted != self._since:
            self._timer = self._loop.call_later(GRACE, self._look, self._since)
        else:
            self._fail(timed_out(clock, seconds))
