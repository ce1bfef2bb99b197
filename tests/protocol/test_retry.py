"""Whether and when to repeat: a pure decision (errors.md section 5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async import errors
from zhipu_async.config import RetryPolicy
from zhipu_async.errors import APIError, ZhipuError
from zhipu_async.protocol import faults
from zhipu_async.protocol.retry import Progress, at_once, backoff, refused, repeatable, wait_before_retry

from .feeding import examples


def fault(code: str | None = None, status: int = 429, **headers: str) -> APIError:
    """The error of a code."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return faults.make(status, code, "m", members={}, headers=names)


def wait(error: ZhipuError, policy: RetryPolicy | None = None, attempt: int = 1, **more: Any) -> float | None:
    """The sleep after an error, by default with all of the jitter."""
    creates, jitter = more.pop("creates", False), more.pop("jitter", 1.0)
    return wait_before_retry(error, policy or RetryPolicy(), Progress(attempt, **more), creates=creates, jitter=jitter)


STEADY = RetryPolicy(retries=99, base=0.5, cap=8.0, overload_base=1.0, overload_cap=30.0)


@pytest.mark.parametrize(
    ("error", "bounds"),
    [
        (fault("1302"), [0.5, 1, 2, 4, 8, 8, 8]),
        (fault("1303"), [0.5, 1, 2, 4, 8, 8, 8]),
        (fault("1200", 500), [0.5, 1, 2, 4, 8, 8, 8]),
        (errors.ConnectError(), [0.5, 1, 2, 4, 8, 8, 8]),
        (errors.StreamTruncated(), [0.5, 1, 2, 4, 8, 8, 8]),
        (fault("1305"), [1, 2, 4, 8, 16, 30, 30]),
        (fault("1312"), [1, 2, 4, 8, 16, 30, 30]),
        (fault(None, 503), [1, 2, 4, 8, 16, 30, 30]),
    ],
    ids=lambda value: f"{value.message} {value.code}" if isinstance(value, APIError) else type(value).__name__,
)
def test_backoff_doubles_to_its_cap(error: ZhipuError, bounds: list[float]) -> None:
    """The bound doubles with each attempt up to the cap; overload starts higher and goes higher than a rate limit."""
    assert [backoff(error, STEADY, attempt) for attempt in range(1, 8)] == bounds
    assert [wait(error, STEADY, attempt) for attempt in range(1, 8)] == bounds
    assert [wait(error, STEADY, attempt, jitter=0.0) for attempt in range(1, 8)] == [0.0] * 7
    assert [wait(error, STEADY, attempt, jitter=0.25) for attempt in range(1, 8)] == [bound / 4 for bound in bounds]


RETRYABLE = [
    fault("1302"), fault("1305"), fault("1100", 500), fault("500", 500), fault(None, 502), fault(None, 503),
    errors.ConnectError("x"), errors.ConnectionLost("x"), errors.StreamTruncated("x"), errors.StreamCorrupted("x"),
    errors.RequestTimeout("x", clock="first_byte"), errors.RequestTimeout("x", clock="connect"),
]  # fmt: skip
FINAL = [
    fault("1113"), fault("1308"), fault("1301", 400), fault("401", 401), fault("1003", 401), fault(None, 404),
    errors.RequestTimeout("x", clock="total"), errors.PoolTimeout("x"), errors.PoolFull("x"),
    errors.ResponseTooLarge("x"), errors.DecodeError("x"), errors.ConfigError("x"), errors.ClientClosedError("x"),
    errors.StreamConsumed("x"),
]  # fmt: skip


@pytest.mark.parametrize("error", RETRYABLE + FINAL, ids=repr)
@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_retries_count(error: ZhipuError, retries: int) -> None:
    """``retries=n`` allows n repeats of what is retryable (1100 one), and none of what is not."""
    policy = RetryPolicy(retries=retries)
    repeats = [attempt for attempt in range(1, 9) if wait(error, policy, attempt) is not None]
    allowed = 0 if error in FINAL else min(retries, 1) if getattr(error, "code", None) == "1100" else retries
    assert repeats == list(range(1, allowed + 1))


@examples(500)
@given(
    st.sampled_from(RETRYABLE + FINAL + [fault("1302", retry_after="7"), fault("1305", retry_after="70")]),
    st.builds(
        RetryPolicy,
        retries=st.integers(0, 10_000),
        base=st.floats(0, 100),
        cap=st.floats(0, 100),
        overload_base=st.floats(0, 100),
        overload_cap=st.floats(0, 100),
        patience=st.none() | st.floats(0.001, 1000),
        retry_after_limit=st.floats(0, 100),
    ),
    st.integers(1, 10_000),
    st.floats(0, 2000),
    st.booleans(),
    st.floats(0, 1),
)
def test_bounds(
    error: ZhipuError, policy: RetryPolicy, attempt: int, elapsed: float, creates: bool, jitter: float
) -> None:
    """A sleep is never negative, never above its cap or the Retry-After limit, and never ends beyond the patience."""
    delay = wait(error, policy, attempt, elapsed=elapsed, creates=creates, jitter=jitter)
    if delay is None:
        return
    assert attempt <= policy.retries
    cap = policy.overload_cap if isinstance(error, errors.OverloadedError) else policy.cap
    asked = getattr(error, "retry_after", None)
    assert 0.0 <= delay <= (cap if asked is None else policy.retry_after_limit)
    assert policy.patience is None or elapsed + delay <= policy.patience
    assert error.retryable


@pytest.mark.parametrize(
    ("elapsed", "patience", "expected"),
    [(0.0, 0.5, 0.5), (0.0, 0.49, None), (9.5, 10.0, 0.5), (9.6, 10.0, None), (99.0, None, 0.5)],
)
def test_patience(elapsed: float, patience: float | None, expected: float | None) -> None:
    """A sleep that would end beyond the patience is not begun; without one there is no bound."""
    assert wait(fault("1302"), RetryPolicy(patience=patience), elapsed=elapsed) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [("0", 0.0), ("7", 7.0), ("60", 60.0), ("60.5", None), ("86400", None), ("soon", 0.5)]
)
def test_retry_after(seconds: str, expected: float | None) -> None:
    """A Retry-After within the bound is slept exactly, without jitter; above it the error is raised at once."""
    assert wait(fault("1302", retry_after=seconds)) == expected
    assert wait(fault(None, 500, retry_after=seconds)) == expected
    if expected is not None and seconds != "soon":
        assert wait(fault("1302", retry_after=seconds), jitter=0.0) == expected
        assert wait(fault("1302", retry_after=seconds), RetryPolicy(patience=expected + 0.5), elapsed=1.0) is None
        assert wait(fault("1302", retry_after=seconds), RetryPolicy(retries=0)) is None


IN_A_RUN: list[tuple[str, float, float | None, float]] = [
    ("0", 1.0, None, 4.0),  # after the fourth refusal the back-off is at most 4 s
    ("0", 0.25, None, 1.0),
    ("1", 0.25, None, 1.0),
    ("3", 1.0, None, 4.0),
    ("7", 0.0, None, 7.0),
    ("60", 1.0, None, 60.0),
    ("86400", 0.5, None, 60.0),
    ("60", 0.5, 61.0, 2.0),
    ("60", 0.5, 62.0, 60.0),
    ("7", 0.5, 5.0, 2.0),
]


@pytest.mark.parametrize(("seconds", "jitter", "deadline", "expected"), IN_A_RUN)
def test_retry_after_in_a_run(seconds: str, jitter: float, deadline: float | None, expected: float) -> None:
    """Retry-After lengthens the back-off of a run's call, up to the limit, and never shortens it; where the wait would
    cross the call's deadline, the back-off alone holds."""
    progress: dict[str, Any] = {"patient": True, "refusals": 4, "elapsed": 1.5, "deadline": deadline}
    assert wait(fault("1302", retry_after=seconds), STEADY, jitter=jitter, **progress) == expected


FOR_LOAD: list[tuple[ZhipuError, bool]] = [
    *((fault(code), True) for code in ("1302", "1303", "1305", "1312", "1701", "429", "", None)),
    *((fault(code, 200), True) for code in ("1302", "1305", "429", "503")),
    *((fault(code), True) for code in ("rate_limit_exceeded", "slow_down", "overloaded", "server_is_overloaded")),
    *((fault(code, 503), True) for code in (None, "503", "overloaded")),
    (fault("rate_limit_error"), True),
    *((fault(code), False) for code in ("1322", "4711", "insufficient_balance", "1113", "1308", "1200")),
    *((fault(code, 503), False) for code in ("1322", "maintenance")),
    (fault(None, 500), False),
    (errors.ConnectError(), False),
]


@pytest.mark.parametrize(("error", "load"), FOR_LOAD)
def test_a_run_is_patient_with_load_only(error: ZhipuError, load: bool) -> None:
    """A refusal for load is asked again without end; a 429 or 503 with a code that nobody knows uses up attempts."""
    assert refused(error) is load
    assert (wait(error, attempt=99, patient=True, refusals=1) is not None) is load
    if error.retryable:
        assert wait(error, attempt=1, patient=True, refusals=1) is not None


def test_retry_after_does_not_make_a_final_error_retryable() -> None:
    """Retry-After on an error that is never repeated, a quota among them, changes nothing."""
    for error in (fault("1113", retry_after="1"), fault("1308", retry_after="1"), fault("1214", 400, retry_after="1")):
        assert wait(error) is None


@pytest.mark.parametrize("code", ["1002", "1003"])
def test_a_token_is_renewed_once(code: str) -> None:
    """A refused token is repeated at once and once, where tokens are made here, outside the retry count."""
    error = fault(code, 401)
    assert wait(error) is None
    assert wait(error, renewable=True) == 0.0
    assert wait(error, RetryPolicy(retries=0), renewable=True) == 0.0
    assert wait(error, renewable=True, creates=True) == 0.0
    assert wait(error, renewable=True, token_renewed=True) is None


@pytest.mark.parametrize("code", ["1000", "1001", "1004", "1005", "401"])
def test_other_refusals_are_not_about_the_token(code: str) -> None:
    """Other authentication errors are not repeated even where tokens are made."""
    assert wait(fault(code, 401), renewable=True) is None


CREATES: list[tuple[ZhipuError, bool]] = [
    (fault("1302"), True),
    (fault("1303"), True),
    (fault("1305"), True),
    (fault("1312"), True),
    (fault("1701"), True),
    (fault("1701", 400), True),
    *((fault(code, 200), True) for code in ("1302", "1303", "1305", "1312", "1701", "429", "503")),
    *((fault(code, 200), True) for code in ("rate_limit_exceeded", "slow_down", "server_is_overloaded", "overloaded")),
    (fault("1200", 429), True),
    (fault("500", 200), False),
    (fault(None, 429), True),
    (fault("4711", 429), True),
    (fault(None, 503), True),
    (fault("500", 500), False),
    (fault("1200", 500), False),
    (fault("1230", 500), False),
    (fault("1234", 500), False),
    (fault("1100", 500), False),
    (fault(None, 502), False),
    (fault(None, 504), False),
    (fault(None, 408), False),
    (fault(None, 409), False),
    (errors.ConnectError(), True),
    (errors.ConnectionLost(), False),
    (errors.ConnectionLost(arrived=False), True),
    (errors.RequestTimeout(clock="connect", arrived=False), True),
    (errors.RequestTimeout(clock="first_byte"), False),
    (errors.StreamTruncated(), False),
]


@pytest.mark.parametrize(("error", "repeated"), CREATES)
def test_calls_that_create(error: ZhipuError, repeated: bool) -> None:
    """A call that creates something is repeated only when the error proves that nothing was created; others always."""
    assert repeatable(error, creates=True) is repeated
    assert (wait(error, creates=True) is not None) is repeated
    assert repeatable(error, creates=False)
    assert wait(error) is not None


@pytest.mark.parametrize("error", FINAL, ids=repr)
def test_final_errors(error: ZhipuError) -> None:
    """What is not retryable is repeated for no kind of call."""
    assert not repeatable(error, creates=False)
    assert not repeatable(error, creates=True)


AT_ONCE: list[tuple[ZhipuError, bool, bool]] = [
    (errors.ConnectionLost(reused=True), True, False),
    (errors.ConnectionLost(reused=True, arrived=False), True, True),
    (errors.ConnectionLost(), False, False),
    (errors.ConnectionLost(arrived=False), False, False),
    (errors.ConnectError(), False, False),
    (errors.RequestTimeout(clock="first_byte"), False, False),
    (fault("1302"), False, False),
    (errors.StreamTruncated(), False, False),
]


@pytest.mark.parametrize(("error", "plain", "creating"), AT_ONCE)
def test_idle_race(error: ZhipuError, plain: bool, creating: bool) -> None:
    """Only a reused connection that broke is repeated at once; for a call that creates, only if nothing had arrived."""
    assert at_once(error, creates=False) is plain
    assert at_once(error, creates=True) is creating
