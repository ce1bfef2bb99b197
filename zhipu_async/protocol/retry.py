"""Whether to repeat a failed attempt, and after how long: a pure decision (errors.md section 5)."""

from __future__ import annotations

import msgspec

from ..config import RetryPolicy
from ..errors import APIError, OverloadedError, RateLimitError, StreamError, TransportError, ZhipuError
from .faults import FAULTS, Retry, creates_nothing, retry_of

_LOAD = ("429", "503", "rate_limit_error", "overloaded_error")
"""What other servers say of load where the service has a code of its own: the status again, or the kind of error."""


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
    deadline: float | None = None
    """Seconds since its beginning after which the call has to be over."""


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
        if after is not None:  # never sooner than without it: nothing else slows a run down that is told "0"
            longer = max(delay, min(after, policy.retry_after_limit))
            if progress.deadline is None or progress.elapsed + longer < progress.deadline:
                delay = longer  # but no call is given up while it has time left
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
    """Whether ``error`` is a refusal for load, which speaks of the moment and not of the call.

    A code that nobody knows may say anything, such as that the plan has expired (errors.md section 3: few times).
    """
    if not isinstance(error, (RateLimitError, OverloadedError)):
        return False
    return not error.code or error.code in FAULTS or error.code in _LOAD


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
