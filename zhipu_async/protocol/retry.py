"""Whether to repeat a failed attempt, and after how long: a pure decision (errors.md section 5)."""

from __future__ import annotations

import msgspec

from ..config import RetryPolicy
from ..errors import APIError, OverloadedError, RateLimitError, StreamError, TransportError, ZhipuError
from .faults import Retry, creates_nothing, retry_of


class Progress(msgspec.Struct):
    """What a call has done so far; ``elapsed`` is seconds since it began."""

    attempt: int
    """Number of the attempt that failed, from 1."""
    elapsed: float = 0.0
    token_renewed: bool = False
    """Whether a repeat with a new token was made already."""
    renewable: bool = False
    """Whether tokens are made here (JWT), so that renewing one makes sense."""
    patient: bool = False
    """Whether refusals for load do not count: in a run, where only a deadline bounds them (limiter.md section 10)."""
    refusals: int = 0
    """How many attempts were such refusals, the latest included; those are not in ``attempt`` of a patient call."""


def wait_before_retry(
    error: ZhipuError, policy: RetryPolicy, progress: Progress, *, creates: bool, jitter: float
) -> float | None:
    """Seconds to sleep before the next attempt, or None to give up. ``jitter`` is drawn from 0 to 1 by the caller."""
    if isinstance(error, APIError) and retry_of(error) is Retry.TOKEN:
        return 0.0 if progress.renewable and not progress.token_renewed else None
    if not repeatable(error, creates=creates):
        return None
    if progress.patient and refused(error):
        after = error.retry_after if isinstance(error, APIError) else None
        delay = jitter * backoff(error, policy, progress.refusals)
        if after is not None:  # a run asks again: one refusal does not hold a call for ever
            delay = min(after, max(delay, policy.retry_after_limit))
        return _patient(delay, policy, progress)
    if progress.attempt > policy.retries:
        return None
    if isinstance(error, APIError):
        if retry_of(error) is Retry.ONCE and progress.attempt > 1:
            return None
        if error.retry_after is not None:
            bounded = error.retry_after <= policy.retry_after_limit
            return _patient(error.retry_after, policy, progress) if bounded else None
    return _patient(jitter * backoff(error, policy, progress.attempt), policy, progress)


def backoff(error: ZhipuError, policy: RetryPolicy, attempt: int) -> float:
    """Upper bound of the sleep after the ``attempt``-th failure, in seconds."""
    busy = isinstance(error, OverloadedError)
    base, cap = (policy.overload_base, policy.overload_cap) if busy else (policy.base, policy.cap)
    return min(cap, base * 2.0 ** min(attempt - 1, 60))


def refused(error: BaseException | None) -> bool:
    """Whether ``error`` is a refusal for load, which speaks of the moment and not of the call."""
    return isinstance(error, (RateLimitError, OverloadedError))


def repeatable(error: ZhipuError, *, creates: bool) -> bool:
    """Whether the call may be sent again after ``error``: for calls that create something only with proof."""
    if not error.retryable:
        return False
    if not creates:
        return isinstance(error, (APIError, TransportError, StreamError))
    if isinstance(error, APIError):
        return creates_nothing(error)
    return isinstance(error, TransportError) and not error.arrived


def at_once(error: ZhipuError, *, creates: bool) -> bool:
    """Whether to repeat on a fresh connection now, outside the count: the idle race (errors.md section 5)."""
    if not isinstance(error, TransportError) or not error.reused:
        return False
    return not error.arrived or not creates


def _patient(delay: float, policy: RetryPolicy, progress: Progress) -> float | None:
    return None if policy.patience is not None and progress.elapsed + delay > policy.patience else delay
