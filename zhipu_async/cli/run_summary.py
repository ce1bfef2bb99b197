"""What came of a run: counts, tokens, how long calls took, and errors by kind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..errors import APIError, TaskFailed, ZhipuError
from ..outcomes import Outcome, RunProgress

_DIGITS = 3
"""Digits that are kept of a time, so that a million of them take no memory."""
_LONGEST = 300
"""Characters of an example message."""
_KINDS = 100
"""Kinds of errors that are told apart; codes are the service's own and could be anything."""


class Failures(msgspec.Struct, kw_only=True):
    """Failed calls of one kind."""

    type: str
    """The class of the error."""
    code: str | None = None
    """The service's own code."""
    count: int = 0
    example: str = ""
    """The message of the first one."""

    @property
    def name(self) -> str:
        """``ContentFilterError 1301``."""
        return f"{self.type} {self.code}" if self.code else self.type


class Latency(msgspec.Struct, kw_only=True, frozen=True):
    """Nearest-rank percentiles in seconds, to three digits, of the calls that this run sent and that were answered."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


class Summary(msgspec.Struct, kw_only=True):
    """A run in numbers; this is what ``run --json`` prints."""

    total: int
    """Calls of the input."""
    answered: int = 0
    failed: int = 0
    replayed: int = 0
    """Those of the two above that this run did not send: done by an earlier run, or identical to another call."""
    prompt_tokens: int = 0
    """Of the answers to calls that this run sent."""
    completion_tokens: int = 0
    refused: int = 0
    """Requests that were refused for load and were asked again."""
    seconds: float = 0.0
    latency: Latency = Latency()
    failures: list[Failures] = []
    """The most frequent kind first."""
    stopped: str | None = None
    """Why the run ended before everything was done: ``interrupted``, or the class of the error."""
    output: str | None = None
    errors: str | None = None
    """The file with the failed calls, where there is one."""

    @property
    def done(self) -> int:
        """Calls that have an outcome."""
        return self.answered + self.failed

    def lines(self) -> Iterator[str]:
        """The same for a person."""
        counts = f"{_number(self.answered)} of {_number(self.total)} answered"
        counts += f", {_number(self.failed)} failed" if self.failed else ""
        counts += f", {_number(self.total - self.done)} not done" if self.done < self.total else ""
        counts += f" ({_number(self.replayed)} of them without asking)" if self.replayed else ""
        rate = (self.done - self.replayed) / self.seconds if self.seconds else 0.0
        yield f"{counts}; {_seconds(self.seconds)}, {rate:.1f} calls/s"
        yield f"{_number(self.prompt_tokens)} prompt + {_number(self.completion_tokens)} completion tokens" + (
            f"; {_number(self.refused)} requests refused for load and asked again" if self.refused else ""
        )
        latency = self.latency
        if latency.p50 is not None and latency.p90 is not None and latency.p99 is not None:
            told = ((50, latency.p50), (90, latency.p90), (99, latency.p99))
            yield "seconds a call, with waiting: " + ", ".join(f"p{rank} {seconds:g}" for rank, seconds in told)
        width = max((len(_number(kind.count)) for kind in self.failures), default=0)
        for kind in self.failures:
            yield f"{_number(kind.count):>{width}} x {kind.name}: {' '.join(kind.example.split())}"


class Tally:
    """Counts outcomes as they come, in bounded memory."""

    def __init__(self, total: int) -> None:
        self._summary = Summary(total=total)
        self._times: Counter[float] = Counter()
        self._kinds: dict[tuple[str, str | None], Failures] = {}

    def add(self, outcome: Outcome[Any]) -> None:
        """Count an outcome."""
        summary = self._summary
        summary.replayed += outcome.replayed
        if outcome.error is not None:
            summary.failed += 1
            self._count_error(outcome.error)
            return
        summary.answered += 1
        if outcome.replayed:
            return
        self._times[_rounded(outcome.seconds)] += 1
        usage = getattr(outcome.value, "usage", None)
        prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
        summary.prompt_tokens += prompt or 0
        summary.completion_tokens += completion or 0

    def _count_error(self, error: ZhipuError) -> None:
        code = error.code if isinstance(error, (APIError, TaskFailed)) else None
        key = type(error).__name__, code
        if key not in self._kinds and len(self._kinds) >= _KINDS:
            key = "other errors", None
        if (kind := self._kinds.get(key)) is None:
            told = error.message or str(error) or type(error).__name__
            kind = self._kinds[key] = Failures(type=key[0], code=key[1], example=told[:_LONGEST])
        kind.count += 1

    def summary(self, progress: RunProgress, *, output: str | None) -> Summary:
        """What came of the run; ``progress`` is its last."""
        return msgspec.structs.replace(
            self._summary,
            refused=progress.refused,
            seconds=round(progress.seconds, 3),
            latency=_latency(self._times),
            failures=sorted(self._kinds.values(), key=lambda kind: -kind.count),
            output=output,
        )


def _rounded(seconds: float) -> float:
    return 0.0 if seconds <= 0 else round(seconds, _DIGITS - 1 - math.floor(math.log10(seconds)))


def _latency(times: Mapping[float, int]) -> Latency:
    count = sum(times.values())
    if not count:
        return Latency()
    ordered = sorted(times.items())

    def at(percent: int) -> float:
        rank = -(-count * percent // 100)
        passed = 0
        for seconds, number in ordered:
            passed += number
            if passed >= rank:
                return seconds
        return ordered[-1][0]

    return Latency(p50=at(50), p90=at(90), p99=at(99))


def _number(count: int) -> str:
    return f"{count:,}"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
