"""A scenario while it is played: which answer is next, and who is let in."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from random import Random

from zhipu_async.simulator.replies import Answer, HangUp, Refusal
from zhipu_async.simulator.scenario import Case, Scenario
from zhipu_async.simulator.seen import SeenRequest


class _Queue:
    """Answers that wait for their requests."""

    def __init__(self, replies: Iterable[Answer]) -> None:
        self._waiting = deque((reply, reply.times) for reply in replies if reply.times != 0)

    @property
    def next(self) -> Answer | None:
        """The answer that comes next; None where all are used up."""
        return self._waiting[0][0] if self._waiting else None

    def take(self) -> Answer | None:
        """The answer that comes next, used up by one."""
        if not self._waiting:
            return None
        reply, times = self._waiting.popleft()
        if times is None or times > 1:
            self._waiting.appendleft((reply, None if times is None else times - 1))
        return reply


class Script:
    """The answers of a scenario in their order."""

    def __init__(self, scenario: Scenario) -> None:
        self._cases: list[tuple[Case, _Queue]] = [(case, _Queue(case.replies)) for case in scenario.cases]
        self._choose = scenario.replies if callable(scenario.replies) else None
        self._replies = _Queue(() if callable(scenario.replies) else scenario.replies)

    def hangs_up_before_reading(self) -> HangUp | None:
        """The next answer, taken, if it is to close the connection before the body is read."""
        match self._replies.next:
            case HangUp(before_reading=True) as answer:
                self._replies.take()
                return answer
            case _:
                return None

    def take(self, request: SeenRequest) -> Answer | None:
        """The answer that the scenario has for this request; None where it has none."""
        for case, replies in self._cases:
            if replies.next is not None and case.when(request):
                return replies.take()
        return self._choose(request) if self._choose else self._replies.take()


class Admission:
    """Limits and overload: who is refused before any work is done (contract page errors.md, section 7)."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._random = Random(scenario.seed)
        self._taken: Counter[str] = Counter()
        self._first: float | None = None

    def enter(self, model: str) -> Refusal | None:
        """Take a slot of the model, to be given back by `leave`; a refusal where none is to be had."""
        now = asyncio.get_running_loop().time()
        if self._first is None:
            self._first = now
        for phase in self._scenario.overload:
            since = now - self._first - phase.start
            if 0 <= since < phase.duration and self._random.random() < phase.probability:
                return Refusal(phase.code)
        limit = self._scenario.concurrency_by_model.get(model, self._scenario.concurrency_limit)
        if limit is not None and self._taken[model] >= limit:
            return Refusal(self._scenario.limit_code)
        self._taken[model] += 1
        return None

    def leave(self, model: str) -> None:
        """Give a slot back, after the lag that the scenario has."""
        if self._scenario.release_lag:
            asyncio.get_running_loop().call_later(self._scenario.release_lag, self._free, model)
        else:
            self._free(model)

    def _free(self, model: str) -> None:
        self._taken[model] -= 1
