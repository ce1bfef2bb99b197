"""How many calls to have in flight when the service does not say: a level, short probing rounds, a refusal budget.

Pure decisions, from three facts. The service refuses at once, so a call still unanswered after ``settle`` seconds was
admitted. A refusal costs nothing but itself. Latency says nothing, because the service does not queue. The rules:

1. Up to ``level`` calls may be in flight. Above it only the probes of a round may start, one round at a time.
2. A round is judged when ``settle`` has passed since its last start.
3. None refused: the level rises by what was sent; the next step is half the way to a refused level, or twice as large.
4. Some refused: the level rises by the others and gives 5 % back; successes must pay for the next round.
5. A refusal of any call started since the round began is the round's: a probe may have taken that call's slot.
6. A refusal of a call from before the last decrease says nothing new.
7. Any other refusal cuts the level: by 5 %, and again soon by 15, 45, then 50 %.
8. ``settle`` is twice the smoothed delay of refusals.
9. An overloaded model (1305) leaves the level alone; where that becomes the rule, a brake spaces the starts.
10. A level that was not half used is halved at the next start, once per 10 s.
11. Rounds that double from ``begin`` are the slow start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple

import msgspec

from ..errors import ConfigError, OverloadedError
from .faults import FAULTS

OVERLOADED = frozenset({"503", *(code for code, fault in FAULTS.items() if issubclass(fault.error, OverloadedError))})
"""Codes (1305, 1312 and their kin) that speak of the model and not of the caller's limit."""

CREDIT, CREDITED = 64, 4
"""Successes owed for each refused probe, and for how many at most: the refused share is about 1 / CREDIT."""
PAUSE, GAP, LONGEST_GAP = 0.25, 0.5, 2.0
"""Seconds to the next round: after a good one, and after refusals, doubling before each."""
CUTS = (0.05, 0.15, 0.45, 0.5)
"""Shares of the level that cuts in a row take."""
BRAKE_ON, BRAKE_OFF = 0.45, 0.36
"""Weighed share of 1305: where the chance of one is p, it settles at p / (1 + p)."""
IDLE, IDLE_LEVEL = 10.0, 4
"""Seconds that halve an unused level, and where that ends."""


class Ticket(NamedTuple):
    """One call in flight, to be handed back exactly once. ``number`` orders starts where the clock is too coarse."""

    started: float
    number: int
    probe: bool


class _Round(msgspec.Struct):
    first: int
    """Number of its first call."""
    size: int
    spare: int
    """Starts that only fill up the level, into the reserve: they prove nothing above it."""
    last: float
    sent: int = 0
    refused: int = 0


class Limiter:
    """The limit of one account and model. All times are seconds of one clock of the caller's that never goes back.

    Ask ``may_start`` and, when told yes, call ``on_start`` with the same arguments before anything else happens. When
    told no, ask again after the next answer, and at ``wake_at``. A retry asks like any call and holds nothing while it
    sleeps; a stream holds its ticket until it ends. To look at: ``level`` (calls in flight that are known to be
    admitted), ``in_flight``, ``limit`` (the level that was refused, None while unknown) and ``braked``.
    """

    def __init__(
        self,
        draw: Callable[[], float],
        *,
        begin: int = 4,
        ceiling: int | None = None,
        fixed: int | None = None,
        linger: bool = False,
        reserve: float = 0.0,
    ) -> None:
        """``draw`` gives numbers in [0, 1), like ``random.Random(seed).random``.

        ``begin``: the first level (16 suits a fan-out). ``ceiling``: calls in flight at most, None for no bound.
        ``fixed``: a semaphore of this size, which learns nothing and has no brake. ``linger``: rest a slot after an
        answer, for 3 % of the latency and at most 60 ms, where the service frees its own slot late. ``reserve``: share
        of the level, and at least one slot, kept free for interactive calls.
        """
        if min(size for size in (begin, ceiling, fixed, 1) if size is not None) < 1 or not 0 <= reserve < 1:
            raise ConfigError("begin, ceiling and fixed must be at least 1, reserve a share from 0 to below 1")
        self._draw, self._linger, self._reserve, self._adapts = draw, linger, reserve, fixed is None
        self._ceiling: float = fixed or ceiling or inf
        self.level = fixed or int(min(begin, self._ceiling))
        self.in_flight = self._started = 0
        self.limit: int | None = None
        self._resting: deque[float] = deque()  # when lingering slots may be used again
        self._latency: float | None = None
        self._round: _Round | None = None
        self._step, self._next_round, self._gap = self.level, -inf, GAP  # rule 11
        self._good = self._owed = 0
        self._cuts, self._decreased, self._decreased_at = 0, 0, -inf
        self._delay: float | None = None
        self.braked, self._overload, self._brake_starts, self._brake_until = False, 0.0, 0, -inf
        self._busy_at = inf

    def may_start(self, now: float, interactive: bool = False, background_waiting: bool = False) -> bool:
        """Whether a call may start now. An interactive call is no probe while background work can be one."""
        self._advance(now)
        if self._used < self._room(interactive):
            return not self.braked or now >= self._brake_until
        if self.braked or (interactive and background_waiting):
            return False
        if self._round is not None:
            return self._round.sent < self._round.size and not self._round.refused
        return self._round_earned and now >= self._next_round

    def on_start(self, now: float, interactive: bool = False) -> Ticket:
        """A call that ``may_start`` allowed starts."""
        self._halve_when_idle(now)
        probe = self._used >= self._room(interactive)
        if probe:
            if self._round is None:
                spare = max(0, self.level - self._used)
                size = spare + int(min(self._step, self._ceiling - self.level))
                self._round = _Round(self._started, size, spare, now)
            self._round.sent += 1
            self._round.last = now
        self.in_flight += 1
        self._started += 1
        self._weigh_overload(0.0)
        if self.braked:  # 1/32 s between starts, doubling every 32 starts to 1/8 s
            self._brake_until = now + min(1 / 8, 2.0 ** (self._brake_starts // 32) / 32)
            self._brake_starts = min(self._brake_starts + 1, 64)
        return Ticket(now, self._started - 1, probe)

    def adopt(self, last: float, running: int) -> int:
        """Count ``running`` calls that started without leave, the last at ``last``; gives the number of their tickets.

        They are taken for a round: those that are not refused within ``settle`` were admitted.
        """
        if self._round is None:
            self._round = _Round(self._started, 0, max(0, self.level - self._used), last)
        self._round.size += running
        self._round.sent += running
        self._round.last = max(self._round.last, last)
        self.in_flight += running
        self._started += running
        return self._started - 1

    def on_success(self, now: float, ticket: Ticket) -> None:
        """The answer has ended."""
        self._release(now)
        self._good += 1
        if self._linger:
            self._latency = _smoothed(self._latency, now - ticket.started)
            self._resting.append(now + min(0.06, 0.03 * self._latency))

    def on_other(self, now: float, ticket: Ticket) -> None:
        """An answer that is neither (a 400, a 500): the call was admitted, but pays for no refusal."""
        self._release(now)

    def on_cancelled(self, ticket: Ticket) -> None:
        """No answer (cancelled, timed out, connection lost): nothing was learnt, and a probe leaves its round."""
        self.in_flight -= 1
        self._leave_round(ticket)

    def on_refused(self, now: float, ticket: Ticket, code: str) -> None:
        """Refused at once: with 1305 or 1312 because of the model, with any other code because of the limit."""
        self._release(now)
        if not self._adapts:
            return
        if code in OVERLOADED:
            self._leave_round(ticket)
            self._weigh_overload(1.0)
            return
        self._delay = _smoothed(self._delay, now - ticket.started)
        if self._round is not None and ticket.number >= self._round.first:
            self._round.refused += 1
            if self._round.refused > self._round.sent + 1:  # rule 5: more than the probes can have caused
                self._cut(now)
        elif ticket.number >= self._decreased:  # rule 6: by order of starts, not by when the refusal arrives
            self._cut(now)

    def wake_at(self, now: float) -> float | None:
        """When to ask again if no answer comes before: later than ``now``. None: only an answer can help."""
        self._advance(now)
        times = list(self._resting)[:1]
        if self._round is not None:
            times.append(self._round.last + self.settle)
        if self.braked:
            times += [self._brake_until] * (self._used < self.level)
        elif self._round is None and self._round_earned:
            times.append(self._next_round)
        return min((time for time in times if time > now), default=None)

    @property
    def settle(self) -> float:
        """Seconds after which an unanswered call counts as admitted (rule 8)."""
        return 0.25 if self._delay is None else min(1.0, max(0.05, 2 * self._delay))

    @property
    def _used(self) -> int:
        return self.in_flight + len(self._resting)

    def _room(self, interactive: bool) -> int:
        """The level, less what is kept free for interactive calls."""
        kept = 0 if interactive or not self._reserve else max(1, round(self.level * self._reserve))
        return max(1, self.level - kept)

    @property
    def _round_earned(self) -> bool:
        """Whether a new round needs nothing but time: the level is in use, and refusals are paid for."""
        in_use = self._room(False) <= self._used <= self.level
        return in_use and self.level < self._ceiling and self._good >= self._owed

    def _advance(self, now: float) -> None:
        self._note_use(now)
        while self._resting and self._resting[0] <= now:
            self._resting.popleft()
        # the very sum that wake_at names: as a difference it could round to a moment that never comes
        if self._round is not None and now >= self._round.last + self.settle:
            self._judge(self._round, now)

    def _release(self, now: float) -> None:
        self._note_use(now)
        self.in_flight -= 1

    def _leave_round(self, ticket: Ticket) -> None:
        """Only probes leave: with every 1305 taken out, overload would keep the level from growing (rule 9)."""
        if ticket.probe and self._round is not None and ticket.number >= self._round.first:
            self._round.sent -= 1

    def _judge(self, ended: _Round, now: float) -> None:
        self._round = None
        gained = max(-ended.spare, ended.sent - ended.spare - ended.refused)
        if ended.refused:  # rule 4
            self.level += gained
            self.limit = self.level + 1
            self._lower(now, self._share(CUTS[0]))
            self._demand_credit(now, ended.refused)
            return
        self._next_round = now + PAUSE
        if gained > 0:  # rule 3; else the probes were cancelled or met an overloaded model
            self.level += gained
            self._gap = GAP
            if self.limit is not None and self.level < self.limit:
                self._step = self._halfway(self.limit)
            else:
                self.limit, self._step = None, min(self.level, 2 * self._step)

    def _cut(self, now: float) -> None:
        """Rule 7."""
        self._round = None
        if now - self._decreased_at <= 2 * self.settle + (self._delay or 0.0):
            self._cuts = min(self._cuts + 1, len(CUTS) - 1)
            self.limit, self._owed = self.level, 0
            self._lower(now, max(1, self._share(CUTS[self._cuts])))
            self._step = self._halfway(self.limit)
            self._next_round = now + 2 * self.settle
        else:
            self._lower(now, max(1, self._share(CUTS[0])))
            self.limit = self.level + 1
            self._demand_credit(now, 1)

    def _lower(self, now: float, slots: int) -> None:
        self.level = max(1, self.level - slots)
        self._decreased, self._decreased_at = self._started, now

    def _demand_credit(self, now: float, refused: int) -> None:
        self._step, self._cuts = 1, 0
        self._good, self._owed = 0, CREDIT * min(refused, CREDITED)
        self._gap = min(LONGEST_GAP, 2 * self._gap)
        self._next_round = now + self._gap * (0.75 + 0.5 * self._draw())

    def _halfway(self, limit: int) -> int:
        return max(1, (limit - self.level) // 2)

    def _share(self, share: float) -> int:
        """A share of the level, rounded at random, so that small levels move in proportion on average."""
        slots = self.level * share
        return int(slots) + (self._draw() < slots % 1)

    def _weigh_overload(self, overloaded: float) -> None:
        """Rule 9: a start weighs 0 and a 1305 weighs 1, so neither a timer nor an answer is needed, and a burst of a
        whole level is no outage."""
        if not self._adapts:
            return
        self._overload += (overloaded - self._overload) / (32 if self.braked else 32 + self.level)
        if self.braked:
            self.braked = self._overload >= BRAKE_OFF
        elif self._overload > BRAKE_ON:
            self.braked, self._brake_starts = True, 0

    def _note_use(self, now: float) -> None:
        if 2 * self.in_flight >= self.level or self.braked:  # an outage is not idleness
            self._busy_at = now

    def _halve_when_idle(self, now: float) -> None:
        """Rule 10."""
        self._busy_at = min(self._busy_at, now)
        halvings = int(min(64.0, (now - self._busy_at) / IDLE))
        before = self.level
        if self.in_flight or not halvings or before <= IDLE_LEVEL or not self._adapts:
            return
        self._busy_at = now
        self.level, self.limit, self._owed = max(IDLE_LEVEL, before >> halvings), before, 0
        self._step = self.level if 2 * self.level < before else self._halfway(before)


def _smoothed(mean: float | None, value: float) -> float:
    return value if mean is None else mean + (value - mean) / 8
