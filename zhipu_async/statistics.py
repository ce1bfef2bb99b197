"""Calls, errors, tokens and latencies of one model, counted as they happen."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

SAMPLES_KEPT = 1024
"""Latencies kept per model for the percentiles: the newest ones."""


class _PromptDetails(Protocol):
    @property
    def cached_tokens(self) -> int | None: ...


class _CompletionDetails(Protocol):
    @property
    def reasoning_tokens(self) -> int | None: ...


class TokenUsage(Protocol):
    """The token counts of an answer: the part of ``types.chat.Usage`` that the statistics read."""

    @property
    def prompt_tokens(self) -> int | None: ...
    @property
    def completion_tokens(self) -> int | None: ...
    @property
    def total_tokens(self) -> int | None: ...
    @property
    def prompt_tokens_details(self) -> _PromptDetails | None: ...
    @property
    def completion_tokens_details(self) -> _CompletionDetails | None: ...


class Percentiles(msgspec.Struct, frozen=True):
    """Percentiles in seconds over the newest 1,024 samples; None where there are none."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, samples: Iterable[float]) -> Percentiles:
        """The nearest-rank percentiles of ``samples``."""
        ordered = sorted(samples)
        if not ordered:
            return cls()
        p50, p90, p99 = (ordered[max(0, -(-len(ordered) * rank // 100) - 1)] for rank in (50, 90, 99))
        return cls(p50, p90, p99)


class ModelStatistics(msgspec.Struct, frozen=True):
    """What happened with one model (or the calls that name none) since the client was made, or since a snapshot."""

    calls: int
    """Calls that ended: ``successes`` + ``failures`` + ``cancelled``."""
    successes: int
    failures: int
    cancelled: int
    """Calls that the caller cancelled, and streams left before their end."""
    streams: int
    """Successes that were streams with something in them."""
    attempts: int
    """Attempts that were sent, those of calls under way included."""
    refused: int
    """Attempts answered with HTTP 429 or a 429 code."""
    errors: dict[str, int]
    """Failed calls by class name of the error."""
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    latency: Percentiles
    """Whole calls, retries included."""
    first_token: Percentiles
    """Streams only."""


Snapshot = Mapping[str | None, ModelStatistics]
"""By model, since the client was made."""


class Tally(msgspec.Struct):
    """Counts what happens with one model."""

    successes: int = 0
    failures: int = 0
    cancelled: int = 0
    streams: int = 0
    attempts: int = 0
    refused: int = 0
    errors: Counter[str] = msgspec.field(default_factory=Counter[str])
    tokens: Counter[str] = msgspec.field(default_factory=Counter[str])
    latency: deque[tuple[int, float]] = msgspec.field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    """Seconds, each with the number of the success."""
    first_token: deque[tuple[int, float]] = msgspec.field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))

    def success(self, total: float | None, first_token: float | None, usage: TokenUsage | None) -> None:
        """A call succeeded; ``total`` and ``first_token`` are seconds."""
        self.successes += 1
        if total is not None:
            self.latency.append((self.successes, total))
        if first_token is not None:
            self.streams += 1
            self.first_token.append((self.successes, first_token))
        self._count(usage)

    def failure(self, error: Exception | None, usage: TokenUsage | None) -> None:
        """A call failed, or (None) was cancelled or left; ``usage`` is what it cost all the same."""
        if error is None:
            self.cancelled += 1
        else:
            self.failures += 1
            self.errors[type(error).__name__] += 1
        self._count(usage)

    def _count(self, usage: TokenUsage | None) -> None:
        if usage is not None:
            prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
            for name, tokens in (
                ("prompt", usage.prompt_tokens),
                ("completion", usage.completion_tokens),
                ("total", usage.total_tokens),
                ("cached", prompt.cached_tokens if prompt else 0),
                ("reasoning", completion.reasoning_tokens if completion else 0),
            ):
                self.tokens[name] += tokens or 0

    def statistics(self, since: ModelStatistics | None = None) -> ModelStatistics:
        """All that was counted, or what came after ``since``."""
        known = since.successes if since is not None else 0
        now = ModelStatistics(
            calls=self.successes + self.failures + self.cancelled,
            successes=self.successes,
            failures=self.failures,
            cancelled=self.cancelled,
            streams=self.streams,
            attempts=self.attempts,
            refused=self.refused,
            errors=dict(self.errors),
            prompt_tokens=self.tokens["prompt"],
            completion_tokens=self.tokens["completion"],
            total_tokens=self.tokens["total"],
            cached_tokens=self.tokens["cached"],
            reasoning_tokens=self.tokens["reasoning"],
            latency=_percentiles(self.latency, known),
            first_token=_percentiles(self.first_token, known),
        )
        if since is None:
            return now
        counts = {name: getattr(now, name) - getattr(since, name) for name in _COUNTS}
        return msgspec.structs.replace(now, errors=dict(self.errors - Counter(since.errors)), **counts)


def _percentiles(samples: deque[tuple[int, float]], known: int) -> Percentiles:
    """Of the samples after the success of number ``known``; copied at once, since other threads may add to them."""
    return Percentiles.of(seconds for number, seconds in tuple(samples) if number > known)


_COUNTS = [name for name, kind in ModelStatistics.__annotations__.items() if kind == "int"]
