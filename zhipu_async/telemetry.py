"""What happened, as frozen events; what hooks and observers are, and the one logger.

A hook is a callable with one event. It runs on the event loop's thread (for a stream
dropped in another thread, there) and must not block; what it raises is logged and
goes no further. No event holds a key, a header, a request or an answer.

A hook that has a method ``begin`` is an :class:`Observer`, which follows each call from its beginning.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast

import msgspec

from .errors import ConfigError, StreamFailed
from .statistics import ModelStatistics, Snapshot, Tally, TokenUsage

logger = logging.getLogger("zhipu_async")
logger.addHandler(logging.NullHandler())

T = TypeVar("T")


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
    """A call ended with an error, or (``error`` is None) was cancelled or left before its end.

    An answer with the finish reason ``network_error`` is a StreamFailed, though the caller may have got it as it is.
    """

    endpoint: str
    model: str | None
    timing: Timing
    error: Exception | None
    usage: TokenUsage | None = None
    """The tokens of what came of an answer, where they were told."""


Event = AttemptFailed | CallSucceeded | CallFailed
Hook = Callable[[Event], None]


class CallBegan(msgspec.Struct, frozen=True):
    """A call as it begins. Other than events, it holds content: the arguments."""

    endpoint: str
    """``POST /chat/completions``; what the path takes from the arguments stands in braces."""
    model: str | None
    url: str
    """Absolute, without its query."""
    stream: bool = False
    arguments: Any = None
    """The struct that the call was made with, never to be changed; None for ``client.request`` and for sessions."""


class Observation(Protocol):
    """Follows one call to its end. Its methods run where hooks do, must not block, and what they raise is logged."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers to add to the request, such as ``traceparent``; read once. Other hosts' files do not get them."""
        ...

    def arrived(self, chunks: int) -> None:
        """So many chunks of a stream arrived at once: one or more."""
        ...

    def happened(self, event: Event, answer: Any) -> None:
        """An attempt failed, or the call ended: then nothing follows. ``answer`` is what came, as far as it came and
        was decoded: whole, folded from a stream that ended or broke off, or None."""
        ...


class Observer(Protocol):
    """A hook that is asked as each call begins: in the caller's task and context, before anything is sent."""

    def begin(self, call: CallBegan) -> Observation | None:
        """What follows this call; None for nothing."""
        ...


def is_refusal(error: Exception) -> bool:
    """Whether an attempt was refused for load, quota or account: any HTTP 429 or its twin inside a stream."""
    status = getattr(error, "status", None)
    return status == 429 or (
        status == 200 and type(error).__name__ in ("RateLimitError", "OverloadedError", "QuotaError")
    )


class Telemetry:
    """Hands every event to the statistics, the logger and the hooks, in this order."""

    def __init__(self, hooks: Iterable[Hook | Observer] = ()) -> None:
        hooks = tuple(hooks)
        for hook in hooks:
            if isinstance(hook, type) or not (callable(hook) or hasattr(hook, "begin")):
                raise ConfigError(f"{hook!r:.80} is no hook: give a function of one event, or an observer")
            if inspect.iscoroutinefunction(hook):
                raise ConfigError(f"{hook!r:.80} is async: give a plain function, which may put events into a queue")
        self._hooks: tuple[Hook, ...] = tuple(hook for hook in hooks if callable(hook))
        self.observers: tuple[Observer, ...] = tuple(cast(Any, hook) for hook in hooks if hasattr(hook, "begin"))
        self._tallies: dict[str | None, Tally] = {}

    def emit(self, event: Event) -> None:
        """Record ``event``; a hook that raises is logged, never passed on."""
        tally = self._tally(event.model)
        if isinstance(event, CallSucceeded):
            tally.success(event.timing.total, event.timing.first_token, event.usage)
        elif isinstance(event, CallFailed):
            tally.failure(event.error, event.usage)
        else:
            tally.refused += is_refusal(event.error)
            logger.info(
                "%s %s: attempt %d failed after %.3f s: %s",
                event.endpoint,
                event.model or "",
                event.number,
                event.seconds,
                f"{event.error!r}, next in {event.delay:.2f} s" if event.delay is not None else repr(event.error),
            )
        for hook in self._hooks:
            _ask(hook, hook, event)

    def attempt(self, model: str | None) -> None:
        """Count an attempt as it is sent: refusals are told at once, and are a share of what was tried till then."""
        self._tally(model).attempts += 1

    def _tally(self, model: str | None) -> Tally:
        tally = self._tallies.get(model)
        return tally if tally is not None else self._tallies.setdefault(model, Tally())

    def statistics(self, since: Snapshot | None = None) -> dict[str | None, ModelStatistics]:
        """Statistics by model; key None holds the calls that name no model. ``since`` is what this gave before."""
        tallies = tuple(self._tallies.items())  # at once: calls of loops in other threads go on meanwhile
        return {model: tally.statistics((since or {}).get(model)) for model, tally in tallies}


def _ask(hook: object, call: Callable[..., T], *arguments: Any) -> T | None:
    """What ``call`` gives. A hook is foreign code: its failure is logged, and must not fail a call."""
    try:
        return call(*arguments)
    except Exception:
        logger.exception("telemetry hook %r failed", hook)
        return None


def _headers(observation: Observation) -> dict[str, str]:
    return dict(observation.headers)


class CallRecord:
    """Takes the times of one call and reports its end, once."""

    __slots__ = (
        "_ended",
        "_first_byte",
        "_first_token",
        "_observations",
        "_telemetry",
        "attempts",
        "began",
        "endpoint",
        "model",
        "partial",
        "queue",
    )

    def __init__(self, telemetry: Telemetry, endpoint: str, model: str | None) -> None:
        self._telemetry = telemetry
        self._ended = False
        self._observations: tuple[Observation, ...] = ()
        self._first_byte: float | None = None
        self._first_token: float | None = None
        self.endpoint = endpoint
        self.model = model
        self.began = time.monotonic()
        self.queue = 0.0
        self.attempts = 0
        self.partial: Callable[[], Any] | None = None
        """Gives what has arrived of the answer, for observers."""

    def observe(self, call: CallBegan) -> dict[str, str]:
        """Have the observers follow this call; the headers that they ask for."""
        begun = [_ask(observer, observer.begin, call) for observer in self._telemetry.observers]
        self._observations = tuple(observation for observation in begun if observation is not None)
        headers: dict[str, str] = {}
        for observation in self._observations:  # one whose headers cannot be had follows the call nevertheless
            headers |= _ask(observation, _headers, observation) or {}
        return headers

    @property
    def observed(self) -> bool:
        """Whether anybody follows this call."""
        return bool(self._observations)

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

    def sent(self) -> None:
        """The turn of an attempt has come: it counts."""
        self._telemetry.attempt(self.model)

    def first_byte(self) -> None:
        """The head of the answer arrived."""
        self._first_byte = self.elapsed

    def first_token(self) -> None:
        """The first non-empty delta arrived."""
        self._first_token = self.elapsed

    def arrived(self, chunks: int) -> None:
        """Chunks of a stream arrived together."""
        for observation in self._observations:
            _ask(observation, observation.arrived, chunks)

    def attempt_failed(self, error: Exception, seconds: float, delay: float | None) -> None:
        """An attempt failed; ``delay`` is the sleep before the next."""
        self._emit(AttemptFailed(self.endpoint, self.model, self.attempts, seconds, error, delay), None)

    def succeed(
        self,
        usage: TokenUsage | None = None,
        finish_reason: str | None = None,
        answer: Any = None,
        *,
        read_to_end: bool = True,
    ) -> Timing:
        """The answer is complete. With the finish reason ``network_error`` that is a failure (chat.md section 5).

        One that was not ``read_to_end`` has no total: it would be a time of the caller's own.
        """
        if finish_reason == "network_error":
            return self.fail(StreamFailed(), usage, answer)
        timing = self.timing if read_to_end else msgspec.structs.replace(self.timing, total=None)
        if not self._ended:
            self._ended = True
            self._emit(CallSucceeded(self.endpoint, self.model, timing, usage, finish_reason), answer)
        return timing

    def fail(self, error: Exception | None, usage: TokenUsage | None = None, answer: Any = None) -> Timing:
        """The call ended with ``error``, or (None) was cancelled or left."""
        timing = self.timing
        if not self._ended:
            self._ended = True
            self._emit(CallFailed(self.endpoint, self.model, timing, error, usage), answer)
        return timing

    def _emit(self, event: Event, answer: Any) -> None:
        self._telemetry.emit(event)
        if self._observations:
            if self._ended and self.partial is not None:
                answer = _ask(self, self.partial)
            for observation in self._observations:
                _ask(observation, observation.happened, event, answer)
            if self._ended:
                self._observations, self.partial = (), None  # what gives the answer knows this record
