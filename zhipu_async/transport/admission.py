"""Which calls may start now: a queue per event loop, account and model, in front of the pool.

How many is decided in ``protocol.limiter``. A model that has never refused a call for load does not limit direct calls;
the first refusal binds all its calls. Calls of a run are bound from the start, and come after direct ones.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any

import msgspec

from ..config import Limits
from ..errors import APIError, DecodeError, OverloadedError, PoolFull, RateLimitError, StreamError
from ..protocol.limiter import OVERLOADED, Limiter, Ticket
from ..protocol.retry import refused
from ..telemetry import CallRecord

FAN_OUT_BEGINS = 16
"""Level at which a run begins, where nothing is known of the model yet (limiter.md, rule 11)."""
WAITING = 1000
"""Calls of a run that may wait where it has several models: one that is slow does not hold up the others at once."""
QUEUES_KEPT = 256
"""Above so many, those that nobody uses and that know nothing are dropped: model names may come from anywhere."""


class Concurrency(msgspec.Struct, frozen=True):
    """Calls of one model on the running event loop; of endpoints that have no model, of the endpoint."""

    in_flight: int
    waiting: int
    """Calls that wait for their turn."""
    level: int | None
    """How many may be in flight; None where direct calls are not limited and no run has begun."""
    braked: bool
    """Whether the model is overloaded for so long that only some calls are tried."""


class Admission:
    """The queues of all clients that share connections."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._loops: dict[asyncio.AbstractEventLoop, dict[tuple[Hashable, str], Queue]] = {}
        """Of several threads at once: a plain dict, whose operations are atomic. A queue holds its loop anyway."""

    def queue(self, loop: asyncio.AbstractEventLoop, account: Hashable, name: str) -> Queue:
        """The queue of a model (or of an endpoint that has none) on ``loop``."""
        queues = self._loops.get(loop)
        if queues is None:
            for ended in [other for other in list(self._loops) if other.is_closed()]:
                self._loops.pop(ended, None)
            queues = self._loops[loop] = {}
        key = account, name
        queue = queues.get(key)
        if queue is None:
            if len(queues) >= QUEUES_KEPT:
                for other in [other for other, found in queues.items() if found.unused]:
                    del queues[other]
            queue = queues[key] = Queue(loop, name, self.limits)
        return queue

    def concurrency(self, account: Hashable) -> dict[str, Concurrency]:
        """How the models of ``account`` stand on the running loop, by lower-case id."""
        queues = self._loops.get(asyncio.get_running_loop(), {})
        return {name: queue.concurrency for (owner, name), queue in queues.items() if owner == account}


class Lane:
    """The way of one client, or of one run, to the queues; ``account`` is what limits are bound to.

    ``background``: after direct calls, and bound from the start. ``most``: so many calls of the lane are in flight at
    most, and with ``metered=False`` that alone counts. ``patient``: refusals do not use up a call's attempts.
    ``repeats``: how often calls may be repeated, all together.
    """

    def __init__(
        self,
        admission: Admission,
        account: Hashable,
        *,
        background: bool = False,
        most: int | None = None,
        metered: bool = True,
        patient: bool = False,
        repeats: int | None = None,
    ) -> None:
        self._admission = admission
        self._account = account
        self._background = background
        self._limits = None if most is None else Limits(concurrency=most, adaptive=False)
        self._gate: Queue | None = None
        """Of this lane alone, for ``most``."""
        self._latest: Queue | None = None
        self.metered = metered
        self.patient = patient
        self.repeats = repeats
        self.on_start: Callable[[], None] | None = None
        """Called whenever a call of this lane starts, or waits where there are calls of other models."""
        self._names: set[str] = set()
        self.closing = False
        """Whether the run is stopped: what is on the wire is finished, and not repeated."""
        self.in_flight = 0
        self.waiting = 0
        self.refused = 0
        self.holders: set[asyncio.Task[Any]] = set()
        """Tasks of a run whose call is on the wire."""

    @property
    def level(self) -> int:
        """How many calls of the model that was called last may be in flight; 0 before the first."""
        queues = (self._gate, self._latest if self.metered else None)
        levels = [queue.limiter.level for queue in queues if queue is not None and queue.limiter is not None]
        return min(levels, default=self.in_flight)

    @property
    def crowded(self) -> bool:
        """Whether so many calls wait that no others are wanted. Calls of one model wait for each other, so that one is
        enough; where there are several models, those behind it may be of a model that has room."""
        return self.waiting > (WAITING if len(self._names) > 1 else 0)

    def enter_now(self, loop: asyncio.AbstractEventLoop, name: str) -> Slot | None:
        """A place for a direct call of a model that does not limit them; None: :meth:`enter` has to be awaited."""
        if self._background or self._limits is not None or not self.metered or self.on_start is not None:
            return None
        queue = self._admission.queue(loop, self._account, name)
        if queue.bound:
            return None
        slot = Slot(self)
        slot.queue = self._latest = queue
        slot.started = queue.start_unasked()
        slot.counted = True
        self.in_flight += 1
        return slot

    async def enter(self, name: str, record: CallRecord, *, repeat: bool) -> Slot:
        """A place for a call of a model (or of an endpoint that has none), as soon as it may start. A repeat goes
        before the others of its kind."""
        loop = asyncio.get_running_loop()
        if self._background:
            self._names.add(name)
        if self._limits is not None and self._gate is None:
            self._gate = Queue(loop, "the run", self._limits)
        slot = Slot(self)
        try:
            if self._gate is not None:
                slot.passed = await self._turn(self._gate, record, repeat=repeat)
            queue = slot.queue = self._latest = self._admission.queue(loop, self._account, name)
            if self.metered:
                if self._background or queue.bound:
                    slot.ticket = queue.ask(self._background)
                    if slot.ticket is None:
                        gate = self._step_back(slot)
                        slot.ticket = await self._turn(queue, record, repeat=repeat)
                        if gate is not None:
                            slot.passed = await self._turn(gate, record, repeat=True)
                else:
                    queue.start_unasked()
                slot.counted = True
        except BaseException as error:
            slot.leave(error)
            raise
        self.in_flight += 1
        slot.started = loop.time()
        if self._background and (holder := asyncio.current_task()) is not None:
            slot.holder = holder
            self.holders.add(holder)
        if self.on_start is not None:
            self.on_start()
        return slot

    def _step_back(self, slot: Slot) -> Queue | None:
        """Leave the lane's gate to calls of other models, which may have room, while this one's has none; the gate."""
        if (gate := self._gate) is None or (passed := slot.passed) is None or len(self._names) < 2:
            return None
        slot.passed = None
        gate.end(passed, asyncio.CancelledError())
        return gate

    async def _turn(self, queue: Queue, record: CallRecord, *, repeat: bool) -> Ticket:
        if (ticket := queue.ask(self._background)) is not None:
            return ticket
        clock = asyncio.get_running_loop().time
        began = clock()
        self.waiting += 1
        if self.on_start is not None and len(self._names) > 1:
            self.on_start()
        try:
            return await queue.turn(self._background, repeat)
        finally:
            self.waiting -= 1
            record.queue += clock() - began

    def left(self, slot: Slot, error: BaseException | None) -> None:
        """A call has ended, or did not even start."""
        if slot.started is not None:
            self.in_flight -= 1
            self.refused += refused(error)
            if slot.holder is not None:
                self.holders.discard(slot.holder)
                slot.holder = None  # what was raised in it knows the slot
        if slot.passed is not None and self._gate is not None:
            self._gate.end(slot.passed, error)

    def may_repeat(self) -> bool:
        """Whether the budget of repeats has one left, which is then taken."""
        if self.repeats is None:
            return True
        self.repeats -= 1
        return self.repeats >= 0


class Slot:
    """The place of one call in flight, to be left exactly once; a second time does nothing."""

    __slots__ = ("_lane", "_left", "counted", "holder", "passed", "queue", "started", "ticket")

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._left = False
        self.queue: Queue | None = None
        self.started: float | None = None
        """Seconds of the loop's clock; None while it waits."""
        self.counted = False
        """Whether the queue knows of it."""
        self.ticket: Ticket | None = None
        self.passed: Ticket | None = None
        """The ticket of the lane's own gate."""
        self.holder: asyncio.Task[Any] | None = None

    def leave(self, error: BaseException | None = None) -> None:
        """The answer has ended, or the call met ``error``."""
        if not self._left:
            self._left = True
            self._lane.left(self, error)
            if (self.counted or self.ticket is not None) and self.queue is not None:
                self.queue.left(self, error)


class Queue:
    """The calls of one model and account on one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, limits: Limits) -> None:
        self._loop = loop
        self._name = name
        self._limits = limits
        self.adaptive = limits.adaptive
        self.limiter: Limiter | None = None
        self.bound = False
        """Whether direct calls have to ask."""
        self.unasked = 0
        """Direct calls in flight that did not ask."""
        self.last_unasked = 0.0
        self.adopted = 0
        """The number of the tickets of those that had not asked when the first refusal came."""
        self._direct: deque[asyncio.Future[Ticket]] = deque()
        self._repeats: deque[asyncio.Future[Ticket]] = deque()
        self._fresh: deque[asyncio.Future[Ticket]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._wake = 0.0
        if limits.concurrency is not None:
            self.bound = True
            self.limiter = self._limiter(limits.concurrency)

    @property
    def concurrency(self) -> Concurrency:
        """How this queue stands."""
        limiter, waiting = self.limiter, len(self._direct) + len(self._repeats) + len(self._fresh)
        if limiter is None:
            return Concurrency(self.unasked, waiting, None, False)
        return Concurrency(limiter.in_flight + self.unasked, waiting, limiter.level, limiter.braked)

    @property
    def unused(self) -> bool:
        """Whether dropping this loses nothing."""
        limiter = self.limiter
        if self.unasked or self._direct or self._repeats or self._fresh:
            return False
        return limiter is None or not (limiter.in_flight or limiter.limit or limiter.braked)

    def ask(self, background: bool) -> Ticket | None:
        """The ticket of a call that may start now and overtakes nobody; None: it has to wait."""
        limiter = self._limit(background)
        if self._direct or (background and (self._repeats or self._fresh)):
            return None
        now = self._loop.time()
        if not limiter.may_start(now, not background, bool(self._repeats or self._fresh)):
            return None
        return limiter.on_start(now, not background)

    async def turn(self, background: bool, repeat: bool) -> Ticket:
        """The ticket, when it is this call's turn."""
        waiters = self._direct if not background else self._repeats if repeat else self._fresh
        most = self._limits.waiting
        if not background and not repeat and most is not None and len(waiters) >= most:
            level = self._limit(background).level
            raise PoolFull(f"{self._name} takes {level} calls at a time now and {most} wait (Limits.waiting)")
        turn: asyncio.Future[Ticket] = self._loop.create_future()
        if repeat and not background:
            waiters.appendleft(turn)
        else:
            waiters.append(turn)
        self._let_through()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self._limit(background).on_cancelled(turn.result())
                self._let_through()
            else:
                with suppress(ValueError):
                    waiters.remove(turn)
            raise

    def start_unasked(self) -> float:
        """A direct call starts without asking: now, by the loop's clock."""
        self.unasked += 1
        self.last_unasked = self._loop.time()
        return self.last_unasked

    def left(self, slot: Slot, error: BaseException | None) -> None:
        """A call has ended: with its answer, or with ``error``."""
        if slot.ticket is None:
            if not self.bound:
                if not isinstance(error, RateLimitError) or not self.adaptive:
                    self.unasked -= 1
                    return
                self.bind()
            slot.ticket = Ticket(slot.started or 0.0, self.adopted, True)
        self.end(slot.ticket, error)

    def end(self, ticket: Ticket, error: BaseException | None) -> None:
        """The call with this ticket has ended."""
        limiter = self._limit(background=False)
        now = self._loop.time()
        if error is None:
            limiter.on_success(now, ticket)
        elif isinstance(error, OverloadedError):
            limiter.on_refused(now, ticket, error.code if error.code in OVERLOADED else "503")
        elif isinstance(error, RateLimitError):
            limiter.on_refused(now, ticket, error.code or str(error.status))
        elif isinstance(error, (APIError, DecodeError, StreamError)):
            limiter.on_other(now, ticket)
        else:
            limiter.on_cancelled(ticket)
        if self._direct or self._repeats or self._fresh:
            self._let_through()
        if isinstance(error, RateLimitError) and self.adaptive and not self.bound:
            self.bind()

    def bind(self) -> None:
        """The first refusal came: from now on direct calls ask, too, and those in flight count."""
        self.bound = True
        if self.unasked:
            self.adopted = self._limit(background=False).adopt(self.last_unasked, self.unasked)
            self.unasked = 0

    def _limit(self, background: bool) -> Limiter:
        if self.limiter is None:
            self.limiter = self._limiter(FAN_OUT_BEGINS if background else None)
        return self.limiter

    def _limiter(self, begin: int | None) -> Limiter:
        limits = self._limits
        return Limiter(
            random.random,
            begin=4 if begin is None else begin,
            ceiling=limits.concurrency,
            fixed=None if self.adaptive else limits.concurrency,
            linger=limits.linger,
            reserve=limits.reserve,
        )

    def _let_through(self) -> None:
        limiter = self._limit(background=False)
        now = self._loop.time()
        while self._direct and limiter.may_start(now, True, bool(self._repeats or self._fresh)):
            self._grant(self._direct, limiter, now, direct=True)
        while (self._repeats or self._fresh) and limiter.may_start(now):
            self._grant(self._repeats or self._fresh, limiter, now, direct=False)
        wake = limiter.wake_at(now) if self._direct or self._repeats or self._fresh else None
        if wake is not None and (self._timer is None or wake < self._wake):
            if self._timer is not None:
                self._timer.cancel()
            self._wake = wake
            self._timer = self._loop.call_at(wake, self._on_timer)

    def _grant(self, waiters: deque[asyncio.Future[Ticket]], limiter: Limiter, now: float, *, direct: bool) -> None:
        turn = waiters.popleft()
        if not turn.done():
            turn.set_result(limiter.on_start(now, direct))

    def _on_timer(self) -> None:
        self._timer = None
        self._let_through()
