"""What happened, as frozen events; the hook type, the statistics made of them, and the one logger.

A hook is a callable with one event. It runs on the event loop's thread (for a stream
dropped in another thread, there) and must not block; what it raises is logged and
goes no further. No event holds a key, a header, a request or an answer.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

logger = logging.getLogger("zhipu_async")
logger.addHandler(logging.NullHandler())

SAMPLES_KEPT = 1024
"""Latencies kept per model for the percentiles: the newest ones."""


class Timing(msgspec.Struct, frozen=True):
    """Where the time of one call went. All values are seconds since the call began, None for what did not happen."""

    queue: float = 0.0
    """Seconds spent waiting for leave to start and for a connection of the pool, all attempts together."""
    first_byte: float | None = None
    """Until the head of the answer arrived."""
    first_token: float | None = None
    """Until the first non-empty delta arrived (streams only)."""
    total: float | None = None
    """Until the answer was complete."""
    attempts: int = 1
    """Attempts made, the successful one included."""


class AttemptFailed(msgspec.Struct, frozen=True):
    """One attempt failed; ``delay`` is the sleep before the next (None: there is none)."""

    endpoint: str
    model: str | None
    number: int
    seconds: float
    error: Exception
    delay: float | None


class CallSucceeded(msgspec.Struct, frozen=True):
    """An answer, or the whole of a stream, was received."""

    endpoint: str
    model: str | None
    timing: Timing
    usage: TokenUsage | None
    finish_reason: str | None = None


class CallFailed(msgspec.Struct, frozen=True):
    """A call ended with an error, or (``error`` is None) was cancelled or left before its end."""

    endpoint: str
    model: str | None
    timing: Timing
    error: Exception | None


Event = AttemptFailed | CallSucceeded | CallFailed
Hook = Callable[[Event], None]


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
    """Percentiles in seconds over the newest 1,024 samples; None while there are none."""

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
    """What happened with one model (or with the calls that name none) since the client was made."""

    calls: int
    """Calls that ended: ``successes`` + ``failures`` + ``cancelled``."""
    successes: int
    failures: int
    cancelled: int
    """Calls that the caller cancelled, and streams left before their end."""
    attempts: int
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


class _Tally(msgspec.Struct):
    successes: int = 0
    failures: int = 0
    cancelled: int = 0
    attempts: int = 0
    refused: int = 0
    errors: Counter[str] = msgspec.field(default_factory=Counter[str])
    tokens: Counter[str] = msgspec.field(default_factory=Counter[str])
    latency: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    first_token: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))

    def count(self, event: Event) -> None:
        if isinstance(event, AttemptFailed):
            self.refused += is_refusal(event.error)
            return
        timing = event.timing
        self.attempts += timing.attempts
        if isinstance(event, CallFailed):
            if event.error is None:
                self.cancelled += 1
            else:
                self.failures += 1
                self.errors[type(event.error).__name__] += 1
            return
        self.successes += 1
        if timing.total is not None:
            self.latency.append(timing.total)
        if timing.first_token is not None:
            self.first_token.append(timing.first_token)
        if (usage := event.usage) is not None:
            prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
            for name, tokens in (
                ("prompt", usage.prompt_tokens),
                ("completion", usage.completion_tokens),
                ("total", usage.total_tokens),
                ("cached", prompt.cached_tokens if prompt else 0),
                ("reasoning", completion.reasoning_tokens if completion else 0),
            ):
                self.tokens[name] += tokens or 0

    def statistics(self) -> ModelStatistics:
        return ModelStatistics(
            calls=self.successes + self.failures + self.cancelled,
            successes=self.successes,
            failures=self.failures,
            cancelled=self.cancelled,
            attempts=self.attempts,
            refused=self.refused,
            errors=dict(self.errors),
            prompt_tokens=self.tokens["prompt"],
            completion_tokens=self.tokens["completion"],
            total_tokens=self.tokens["total"],
            cached_tokens=self.tokens["cached"],
            reasoning_tokens=self.tokens["reasoning"],
            latency=Percentiles.of(self.latency),
            first_token=Percentiles.of(self.first_token),
        )


def is_refusal(error: Exception) -> bool:
    """Whether an attempt was refused for load, quota or account: any HTTP 429 or its twin inside a stream."""
    status = getattr(error, "status", None)
    return status == 429 or (
        status == 200 and type(error).__name__ in ("RateLimitError", "OverloadedError", "QuotaError")
    )


class Telemetry:
    """Hands every event to the statistics, the logger and the hooks, in this order."""

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._hooks = tuple(hooks)
        self._tallies: dict[str | None, _Tally] = {}

    def emit(self, event: Event) -> None:
        """Record ``event``; a hook that raises is logged, never passed on."""
        tally = self._tallies.get(event.model)
        if tally is None:
            tally = self._tallies.setdefault(event.model, _Tally())
        tally.count(event)
        if isinstance(event, AttemptFailed):
            logger.info(
                "%s %s: attempt %d failed after %.3f s: %s",
                event.endpoint,
                event.model or "",
                event.number,
                event.seconds,
                f"{event.error!r}, next in {event.delay:.2f} s" if event.delay is not None else repr(event.error),
            )
        for hook in self._hooks:
            try:
                hook(event)
            except Exception:  # a hook is foreign code: its failure must not fail a call
                logger.exception("telemetry hook %r failed", hook)

    def statistics(self) -> dict[str | None, ModelStatistics]:
        """Statistics by model; key None holds the calls that name no model."""
        return {model: tally.statistics() for model, tally in self._tallies.items()}


class CallRecord:
    """Takes the times of one call and reports its end, once."""

    __slots__ = (
        "_ended",
        "_first_byte",
        "_first_token",
        "_telemetry",
        "attempts",
        "began",
        "endpoint",
        "model",
        "queue",
    )

    def __init__(self, telemetry: Telemetry, endpoint: str, model: str | None) -> None:
        self._telemetry = telemetry
        self._ended = False
        self._first_byte: float | None = None
        self._first_token: float | None = None
        self.endpoint = endpoint
        self.model = model
        self.began = time.monotonic()
        self.queue = 0.0
        self.attempts = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.began

    @property
    def timing(self) -> Timing:
        """The times so far; ``total`` is until now."""
        return Timing(self.queue, self._first_byte, self._first_token, self.elapsed, self.attempts)

    def attempt(self) -> None:
        """An attempt begins."""
        self.attempts += 1
        self._first_byte = self._first_token = None

    def first_byte(self) -> None:
        """The head of the answer arrived."""
        self._first_byte = self.elapsed

    def first_token(self) -> None:
        """The first non-empty delta arrived."""
        self._first_token = self.elapsed

    def attempt_failed(self, error: Exception, seconds: float, delay: float | None) -> None:
        """An attempt failed; ``delay`` is the sleep before the next."""
        self._telemetry.emit(AttemptFailed(self.endpoint, self.model, self.attempts, seconds, error, delay))

    def succeed(self, usage: TokenUsage | None = None, finish_reason: str | None = None) -> Timing:
        """The answer is complete."""
        timing = self.timing
        if not self._ended:
            self._ended = True
            self._telemetry.emit(CallSucceeded(self.endpoint, self.model, timing, usage, finish_reason))
        return timing

    def fail(self, error: Exception | None) -> None:
        """The call ended with ``error``, or (None) was cancelled or left."""
        if not self._ended:
            self._ended = True
            self._telemetry.emit(CallFailed(self.endpoint, self.model, self.timing, error))
