"""What becomes of many calls: one outcome for each, and how far the run is."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from .errors import TokenBudgetSpent, ZhipuError
from .protocol.endpoint import Call

T = TypeVar("T")

OF_LATE = 10.0
"""Seconds that the rates of :class:`RunProgress` look back."""
TOLD_EVERY = 0.1
"""Seconds between two calls of a progress hook, at least."""


@dataclass(slots=True, eq=False)
class Outcome(Generic[T]):
    """What became of one call of a run: a value or an error."""

    id: str
    """The caller's id; where there is none, the call's place as text, or with a journal the hash of its request."""
    index: int
    """The call's place in the input, from 0."""
    call: Call[T]
    value: T | None = None
    error: ZhipuError | None = None
    seconds: float = 0.0
    """From when the call was taken from the input to its end: waiting, repeats and sleeps included."""
    attempts: int = 0
    """Requests that were sent for it; 0 where none was."""
    replayed: bool = False
    """Whether this was read from the journal of an earlier run, or is the answer to an identical call of this one."""

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None

    def unwrap(self) -> T:
        """The value; raises the error where there is none."""
        if self.error is not None:
            raise self.error
        return cast(T, self.value)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is; made when it is asked for."""

    total: int | None
    """Calls in all, None while the input has no length and has not ended."""
    done: int
    """Calls that have an outcome, those of earlier runs included."""
    failed: int
    """Those of them that are errors."""
    replayed: int
    """Those of them that were not sent by this run."""
    in_flight: int
    """Requests on the wire now."""
    concurrency: int
    """How many may be on the wire: the level of the limiter, or what was fixed."""
    refused: int
    """Requests that were refused for load (1302, 1305 and their kin) and are asked again."""
    tokens: int
    """Prompt and completion tokens of the answers of this run."""
    seconds: float
    """Since the run began."""
    rate: float
    """Outcomes per second of late (about the last ten seconds)."""
    token_rate: float
    """Tokens per second of late."""
    remaining: float | None
    """Estimated seconds to the end; None while that cannot be said."""


class Pace:
    """Counts the outcomes of a run and how fast they come. ``now`` is seconds of one clock that never goes back."""

    def __init__(self, total: int | None, budget: int | None = None) -> None:
        self.total = total
        self._budget = budget
        self.done = self.failed = self.replayed = self.tokens = 0
        self._began = self._now = self._told = 0.0
        self._samples: deque[tuple[float, int, int]] = deque()

    def begin(self, now: float) -> None:
        """The run begins."""
        self._began = self._now = self._told = now
        self._samples.append((now, 0, 0))

    def count(self, outcome: Outcome[Any], now: float) -> None:
        """One more outcome."""
        self.done += 1
        self.failed += not outcome.ok
        self.replayed += outcome.replayed
        self._now = now
        if now - self._samples[-1][0] >= OF_LATE / 20:
            self._samples.append((now, self.done - self.replayed, self.tokens))
            while len(self._samples) > 2 and now - self._samples[1][0] >= OF_LATE:  # the one before them is kept,
                self._samples.popleft()  # so that calls which take longer than that have a rate, too

    def count_tokens(self, value: object) -> None:
        """The tokens that an answer says it used."""
        usage = getattr(value, "usage", None)
        total, *parts = (getattr(usage, f"{name}_tokens", None) or 0 for name in ("total", "prompt", "completion"))
        self.tokens += total or sum(parts)

    @property
    def overspent(self) -> TokenBudgetSpent | None:
        """The error that the tokens so far are; None while they are fewer than the budget."""
        if self._budget is None or self.tokens < self._budget:
            return None
        text = f"{self.tokens} tokens were used of {self._budget}"
        return TokenBudgetSpent(text, budget=self._budget, tokens=self.tokens)

    def updated(self, failure: BaseException | None) -> BaseException | None:
        """``failure``; where that is a spent budget, with all tokens so far."""
        return self.overspent if isinstance(failure, TokenBudgetSpent) else failure

    def due(self) -> bool:
        """Whether the progress hook is to be called; at most ten times a second."""
        if self._now - self._told < TOLD_EVERY:
            return False
        self._told = self._now
        return True

    def progress(self, now: float, *, in_flight: int, concurrency: int, refused: int) -> RunProgress:
        """How far the run is."""
        since, done, tokens = self._samples[0] if self._samples else (now, 0, 0)
        lately = max(now - since, 1e-9)
        rate = (self.done - self.replayed - done) / lately
        left = None if self.total is None else max(0, self.total - self.done)
        return RunProgress(
            total=self.total,
            done=self.done,
            failed=self.failed,
            replayed=self.replayed,
            in_flight=in_flight,
            concurrency=concurrency,
            refused=refused,
            tokens=self.tokens,
            seconds=now - self._began,
            rate=rate,
            token_rate=(self.tokens - tokens) / lately,
            remaining=0.0 if left == 0 else left / rate if left is not None and rate > 0 else None,
        )


class Outbox(Generic[T]):
    """Outcomes that wait to be taken: at most ``window`` of them, besides those of calls that are under way.

    ``ordered``: they are given in the order of the input, and what is under way counts too.
    """

    def __init__(self, window: int, *, ordered: bool) -> None:
        self._window = window
        self._ordered = ordered
        self._ready: deque[Outcome[T]] = deque()
        self._held: dict[int, Outcome[T]] = {}
        """With ``ordered``, by place in the input: those that come after one that is missing."""
        self._next = 0
        self._claimed = self._given = 0
        self.owed = 0
        """Outcomes that will come together with another, as those of identical calls."""
        self.closed = False
        self._rooms: deque[asyncio.Future[None]] = deque()
        self._arrival = asyncio.Event()

    async def room(self) -> None:
        """Wait until there is room for the outcome of one more call, and claim it."""
        while self._full:
            room = asyncio.get_running_loop().create_future()
            self._rooms.append(room)
            await room
        self._claimed += 1

    def put(self, outcome: Outcome[T]) -> None:
        """One more."""
        if self._ordered:
            self._held[outcome.index] = outcome
            while self._next in self._held:
                self._ready.append(self._held.pop(self._next))
                self._next += 1
        else:
            self._ready.append(outcome)
        self._arrival.set()

    async def take(self) -> Outcome[T] | None:
        """The next, when there is one; None when all have been taken and no more will come."""
        while not self._ready:
            if self.closed:
                return None
            self._arrival.clear()
            await self._arrival.wait()
        outcome = self._ready.popleft()
        self._given += 1
        if self._rooms and not self._full:  # in order there is room for one call then, else for all that are under way
            for _ in range(1 if self._ordered else len(self._rooms)):
                room = self._rooms.popleft()
                if not room.done():
                    room.set_result(None)
        return outcome

    def give_back(self, outcomes: list[Outcome[T]]) -> None:
        """They were taken in vain, and come first again."""
        self._ready.extendleft(reversed(outcomes))

    def close(self) -> None:
        """No more will come; those that waited for a missing one need not wait for it."""
        self.closed = True
        self._ready.extend(self._held[index] for index in sorted(self._held))
        self._held.clear()
        self._arrival.set()

    @property
    def _full(self) -> bool:
        held = self._claimed - self._given if self._ordered else len(self._ready) + self.owed
        return held >= self._window
