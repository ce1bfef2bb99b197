"""What happened: events to statistics, log and hooks."""

from __future__ import annotations

import logging
import math
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async import errors
from zhipu_async.telemetry import (
    SAMPLES_KEPT,
    AttemptFailed,
    CallFailed,
    CallRecord,
    CallSucceeded,
    Event,
    Hook,
    ModelStatistics,
    Percentiles,
    Telemetry,
    Timing,
    is_refusal,
)
from zhipu_async.types.chat import CompletionTokensDetails, PromptTokensDetails, Usage

CHAT, GLM = "POST /chat/completions", "glm-4.6"
USAGE = Usage(
    prompt_tokens=20,
    completion_tokens=91,
    total_tokens=111,
    prompt_tokens_details=PromptTokensDetails(cached_tokens=5),
    completion_tokens_details=CompletionTokensDetails(reasoning_tokens=82),
)
SLOW = errors.RateLimitError("slow", status=429, code="1302")


def succeeded(total: float = 2.0, first_token: float | None = None, **more: Any) -> CallSucceeded:
    """A call that succeeded."""
    model, usage = more.pop("model", GLM), more.pop("usage", None)
    timing = Timing(first_byte=0.5, first_token=first_token, total=total, **more)
    return CallSucceeded(CHAT, model, timing, usage, "stop")


def failed(error: Exception | None, attempts: int = 1) -> CallFailed:
    """A call that failed, or was cancelled."""
    return CallFailed(CHAT, GLM, Timing(total=1.0, attempts=attempts), error)


def attempt_failed(error: Exception, number: int = 1, delay: float | None = 0.25) -> AttemptFailed:
    """An attempt that failed."""
    return AttemptFailed(CHAT, GLM, number, 0.125, error, delay)


def statistics(*events: Event) -> ModelStatistics:
    """What events add up to for one model."""
    telemetry = Telemetry()
    for event in events:
        telemetry.emit(event)
    (found,) = telemetry.statistics().values()
    return found


NOTHING = ModelStatistics(
    calls=0, successes=0, failures=0, cancelled=0, attempts=0, refused=0, errors={}, prompt_tokens=0,
    completion_tokens=0, total_tokens=0, cached_tokens=0, reasoning_tokens=0, latency=Percentiles(),
    first_token=Percentiles(),
)  # fmt: skip
TWO = Percentiles(2.0, 2.0, 2.0)
STATISTICS: dict[str, tuple[list[Event], dict[str, Any]]] = {
    "a success": ([succeeded(usage=USAGE)], {
        "calls": 1, "successes": 1, "attempts": 1, "latency": TWO,
        "prompt_tokens": 20, "completion_tokens": 91, "total_tokens": 111, "cached_tokens": 5, "reasoning_tokens": 82,
    }),
    "a success without usage": ([succeeded()], {"calls": 1, "successes": 1, "attempts": 1, "latency": TWO}),
    "a success with little usage": ([succeeded(usage=Usage(total_tokens=3))], {
        "calls": 1, "successes": 1, "attempts": 1, "latency": TWO, "total_tokens": 3,
    }),
    "usage adds up": ([succeeded(usage=USAGE), succeeded(usage=USAGE)], {
        "calls": 2, "successes": 2, "attempts": 2, "latency": TWO,
        "prompt_tokens": 40, "completion_tokens": 182, "total_tokens": 222, "cached_tokens": 10,
        "reasoning_tokens": 164,
    }),
    "a stream": ([succeeded(first_token=1.0)], {
        "calls": 1, "successes": 1, "attempts": 1, "latency": TWO, "first_token": Percentiles(1.0, 1.0, 1.0),
    }),
    "a success after two 429s": (
        [attempt_failed(SLOW), attempt_failed(SLOW, 2), succeeded(attempts=3)],
        {"calls": 1, "successes": 1, "attempts": 3, "refused": 2, "latency": TWO},
    ),
    "a failure": (
        [attempt_failed(errors.ServerError("x", status=500), delay=None), failed(errors.ServerError("x", status=500))],
        {"calls": 1, "failures": 1, "attempts": 1, "errors": {"ServerError": 1}},
    ),
    "failures by class": (
        [failed(SLOW, 3), failed(SLOW), failed(errors.ConnectError("x")), failed(ValueError("x"))],
        {"calls": 4, "failures": 4, "attempts": 6, "errors": {"RateLimitError": 2, "ConnectError": 1, "ValueError": 1}},
    ),
    "a call that was cancelled": ([failed(None)], {"calls": 1, "cancelled": 1, "attempts": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), STATISTICS.values(), ids=STATISTICS)
def test_statistics(events: list[Event], expected: dict[str, Any]) -> None:
    """Events add up to calls, attempts, refusals, errors by class, tokens and percentiles."""
    assert statistics(*events) == msgspec.structs.replace(NOTHING, **expected)


def test_statistics_by_model() -> None:
    """Each model has statistics of its own, and calls without a model have theirs."""
    telemetry = Telemetry()
    assert telemetry.statistics() == {}
    for model in (GLM, None, "glm-5", GLM):
        telemetry.emit(succeeded(model=model))
    assert {model: found.calls for model, found in telemetry.statistics().items()} == {GLM: 2, None: 1, "glm-5": 1}


def test_statistics_are_snapshots() -> None:
    """What was given out does not change with later events."""
    telemetry = Telemetry()
    telemetry.emit(failed(SLOW))
    before = telemetry.statistics()[GLM]
    telemetry.emit(failed(SLOW))
    assert before.errors == {"RateLimitError": 1}
    assert telemetry.statistics()[GLM].errors == {"RateLimitError": 2}


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (SLOW, True),
        (errors.RateLimitError("x", status=200, code="1302"), True),
        (errors.OverloadedError("x", status=429, code="1305"), True),
        (errors.AccountError("x", status=429, code="1113"), True),
        (errors.QuotaError("x", status=429, code="1308"), True),
        (errors.ServerError("x", status=500), False),
        (errors.BadRequestError("x", status=400), False),
        (errors.ConnectError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_refusals(error: Exception, refused: bool) -> None:
    """A refusal is any HTTP 429, or what inside a 200 stream would have been one."""
    assert is_refusal(error) is refused


def test_percentiles() -> None:
    """Percentiles are nearest-rank: of 1 to 100 they are 50, 90 and 99, of one sample it, of none None."""
    assert Percentiles.of(map(float, range(100, 0, -1))) == Percentiles(50.0, 90.0, 99.0)
    assert Percentiles.of([3.0]) == Percentiles(3.0, 3.0, 3.0)
    assert Percentiles.of([1.0, 2.0]) == Percentiles(1.0, 2.0, 2.0)
    assert Percentiles.of([]) == Percentiles(None, None, None)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_samples(samples: list[float]) -> None:
    """At least the share of samples that a percentile names is at most as large, and it is the least such sample."""
    found = Percentiles.of(samples)
    for value, rank in ((found.p50, 50), (found.p90, 90), (found.p99, 99)):
        assert value in samples
        needed = math.ceil(len(samples) * rank / 100)
        assert sum(sample <= value for sample in samples) >= needed
        assert sum(sample < value for sample in samples) < needed


def test_the_newest_samples_count() -> None:
    """Percentiles are over the newest 1,024 calls."""
    events = [succeeded(total=1.0)] * 500 + [succeeded(total=5.0)] * SAMPLES_KEPT
    assert statistics(*events).latency == Percentiles(5.0, 5.0, 5.0)
    assert statistics(*events).calls == 500 + SAMPLES_KEPT


# ---------------------------------------------------------------- hooks and log


def test_hooks_get_every_event_in_order() -> None:
    """Each hook gets each event, hooks in their order, after the statistics have it."""
    seen: list[tuple[str, Event, int]] = []

    def hook(name: str) -> Hook:
        return lambda event: seen.append((name, event, telemetry.statistics()[GLM].calls))

    telemetry = Telemetry([hook("a"), hook("b")])
    events: list[Event] = [attempt_failed(SLOW), succeeded()]
    for event in events:
        telemetry.emit(event)
    assert seen == [("a", events[0], 0), ("b", events[0], 0), ("a", events[1], 1), ("b", events[1], 1)]


def test_a_hook_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that raises is logged with its traceback, and neither the caller nor the next hook notices."""
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("hook trouble")

    event = succeeded()
    with caplog.at_level(logging.ERROR, "zhipu_async"):
        Telemetry([broken, seen.append]).emit(event)
    assert seen == [event]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "hook trouble" in caplog.text


def test_failed_attempts_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A failed attempt is an info record with endpoint, model, error and the sleep that follows; a success is none."""
    with caplog.at_level(logging.INFO, "zhipu_async"):
        Telemetry().emit(attempt_failed(SLOW))
        Telemetry().emit(attempt_failed(SLOW, delay=None))
        Telemetry().emit(succeeded())
    first, second = (record.getMessage() for record in caplog.records)
    assert (
        first
        == "POST /chat/completions glm-4.6: attempt 1 failed after 0.125 s: RateLimitError('slow'), next in 0.25 s"
    )
    assert second.endswith("RateLimitError('slow')")


def test_logging_is_silent_by_default() -> None:
    """Without a configuration of logging nothing is printed: the logger has a handler that does nothing."""
    handlers = logging.getLogger("zhipu_async").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


@pytest.mark.parametrize("event", [attempt_failed(SLOW), succeeded(usage=USAGE), failed(SLOW), failed(None)])
def test_events_are_frozen_values(event: Event) -> None:
    """Events cannot be changed, and pickle."""
    with pytest.raises(AttributeError):
        event.endpoint = "x"  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(event))
    assert (again.endpoint, again.model) == (CHAT, GLM)
    assert type(again) is type(event)


# ---------------------------------------------------------------- one call


def test_record_of_a_call() -> None:
    """A record takes the times of one call in order, counts its attempts, and forgets those of a failed attempt."""
    seen: list[Event] = []
    record = CallRecord(Telemetry([seen.append]), CHAT, GLM)
    assert record.timing.first_byte is None
    record.attempt()
    record.first_byte()
    record.first_token()
    record.attempt_failed(SLOW, 0.125, 0.25)
    record.attempt()
    assert (record.timing.first_byte, record.timing.first_token) == (None, None)
    record.first_byte()
    record.first_token()
    timing = record.succeed(USAGE, "stop")
    assert timing.attempts == 2
    assert timing.first_byte is not None
    assert timing.first_token is not None
    assert timing.total is not None
    assert 0 <= timing.first_byte <= timing.first_token <= timing.total
    assert seen == [AttemptFailed(CHAT, GLM, 1, 0.125, SLOW, 0.25), CallSucceeded(CHAT, GLM, timing, USAGE, "stop")]


@pytest.mark.parametrize("first", ["succeed", "fail", "cancel"])
@pytest.mark.parametrize("second", ["succeed", "fail", "cancel"])
def test_a_call_ends_once(first: str, second: str) -> None:
    """Whatever is reported after a call's end changes nothing."""
    telemetry = Telemetry()
    record = CallRecord(telemetry, CHAT, GLM)
    for end in (first, second):
        if end == "succeed":
            record.succeed()
        else:
            record.fail(SLOW if end == "fail" else None)
    found = telemetry.statistics()[GLM]
    assert found.calls == 1
    assert {"succeed": found.successes, "fail": found.failures, "cancel": found.cancelled}[first] == 1
