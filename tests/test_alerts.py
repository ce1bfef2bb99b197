"""Alerts: what crosses a threshold and what recovers, in windows, on a clock that jumps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import virtual_time
from tests.conftest import Serve
from zhipu_async import ConfigError, errors
from zhipu_async.alerts import Alert, Thresholds, Watch, watch
from zhipu_async.simulator import Refusal, Reply, Scenario
from zhipu_async.telemetry import AttemptFailed, CallFailed, CallSucceeded, Event, Telemetry, Timing

CHAT, GLM = "POST /chat/completions", "glm-4.6"
BROKEN = errors.ServerError("x", status=500)
SLOW = errors.RateLimitError("slow", status=429, code="1302")
Told = tuple[str | None, str, bool]


def good(total: float = 1.0, first_token: float | None = None, model: str | None = GLM) -> Event:
    """A call that succeeded."""
    return CallSucceeded(CHAT, model, Timing(total=total, first_token=first_token), None)


def bad(error: Exception | None = BROKEN, model: str | None = GLM) -> Event:
    """A call that failed, or (None) was cancelled."""
    return CallFailed(CHAT, model, Timing(total=1.0), error)


def refused() -> Event:
    """An attempt that was refused."""
    return AttemptFailed(CHAT, GLM, 1, 0.1, SLOW, 1.0)


def told(thresholds: Thresholds, *windows: list[Event], looks: int = 1) -> list[list[Told]]:
    """What is told at each look, after the events of each window; a window goes back ``looks`` looks."""
    service = Telemetry()
    watching = Watch(service, thresholds, looks)
    found: list[list[Told]] = []
    for events in windows:
        for event in events:  # each of them ends an attempt
            service.attempt(event.model)
            service.emit(event)
        found.append([(alert.model, alert.rule, alert.crossed) for alert in watching.alerts()])
    return found


CASES: dict[str, tuple[Thresholds, list[Event], list[str]]] = {
    "errors above": (Thresholds(error_rate=0.1), [*[good()] * 17, *[bad()] * 3], ["error_rate"]),
    "errors at the threshold": (Thresholds(error_rate=0.1), [*[good()] * 18, *[bad()] * 2], []),
    "too few calls": (Thresholds(error_rate=0.1), [bad()] * 19, []),
    "fewer are enough": (Thresholds(error_rate=0.1, minimum_calls=5), [bad()] * 5, ["error_rate"]),
    "cancelled calls are none": (Thresholds(error_rate=0.1), [*[good()] * 20, *[bad(None)] * 20], []),
    "nor do they hide errors": (
        Thresholds(error_rate=0.1), [*[good()] * 17, *[bad()] * 3, *[bad(None)] * 80], ["error_rate"],
    ),
    "refusals that were repeated": (
        Thresholds(refused=0.2), [*[refused()] * 6, *[good()] * 20], ["refused"],
    ),
    "refusals of calls that have not ended": (Thresholds(refused=0.9), [refused()] * 20, ["refused"]),
    "few refusals": (Thresholds(refused=0.2), [*[refused()] * 4, *[good()] * 16], []),
    "slow": (Thresholds(p50=2.0, p90=2.0, p99=2.0), [*[good()] * 17, *[good(3.0)] * 3], ["p90", "p99"]),
    "one is slow": (Thresholds(p50=2.0, p90=2.0), [*[good()] * 19, good(99.0)], []),
    "slow beginnings": (Thresholds(first_token_p90=0.5), [good(first_token=0.6)] * 20, ["first_token_p90"]),
    "too few streams": (Thresholds(first_token_p90=0.5), [*[good(first_token=9.0)] * 19, *[good()] * 20], []),
    "nothing is looked at": (Thresholds(), [*[bad()] * 20, *[refused()] * 20, *[good(99.0)] * 20], []),
}  # fmt: skip


@pytest.mark.parametrize(("thresholds", "events", "rules"), CASES.values(), ids=CASES)
def test_what_crosses_a_threshold(thresholds: Thresholds, events: list[Event], rules: list[str]) -> None:
    """Of a window's events, these rules are told as crossed, and no other."""
    assert told(thresholds, events) == [[(GLM, rule, True) for rule in rules]]


def test_each_model_by_itself() -> None:
    """One model's failures are told with its name, and hidden by no other's successes; calls without a model too."""
    events = [*[good(model="glm-5")] * 100, *[bad()] * 20, *[bad(model=None)] * 20]
    assert told(Thresholds(error_rate=0.5), events) == [[(GLM, "error_rate", True), (None, "error_rate", True)]]


def test_what_hovers_around_its_threshold_is_told_of_once() -> None:
    """A crossing is told once; it is over at 0.8 of the threshold, not sooner."""

    def share(failures: int) -> list[Event]:
        return [*[bad()] * failures, *[good()] * (100 - failures)]

    crossed, over = [(GLM, "error_rate", True)], [(GLM, "error_rate", False)]
    found = told(Thresholds(error_rate=0.1), *map(share, (10, 11, 9, 12, 9, 8, 9, 10, 11)))
    assert found == [[], crossed, [], [], [], over, [], [], crossed]


def test_with_too_little_to_judge_by_what_was_told_stands() -> None:
    """A quiet window neither recovers nor crosses anything."""
    crossed, over = [(GLM, "error_rate", True)], [(GLM, "error_rate", False)]
    found = told(Thresholds(error_rate=0.1), [bad()] * 20, [], [good()] * 19, [good()] * 20)
    assert found == [crossed, [], [], over]


def test_a_window_goes_back_several_looks_and_no_further() -> None:
    """What happened three looks ago counts in a window of three, and no more in the look after that."""
    thresholds = Thresholds(error_rate=0.1, p90=2.0, minimum_calls=10)
    slow = [(GLM, "error_rate", True), (GLM, "p90", True)]
    over = [(GLM, "error_rate", False), (GLM, "p90", False)]
    first: list[Event] = [*[bad()] * 5, *[good(9.0)] * 5]
    some: list[Event] = [good()] * 5
    assert told(thresholds, [*first, *first], some, some, some, some, looks=3) == [slow, [], [], over, []]


@given(st.lists(st.lists(st.sampled_from(["good", "bad", "slow"]), max_size=6), max_size=12), st.integers(1, 4))
def test_crossings_and_recoveries_alternate(windows: list[list[str]], looks: int) -> None:
    """Whatever happens, each rule of a model is told of as crossed and recovered in turns, and ``active`` is their
    balance."""
    service = Telemetry()
    watching = Watch(service, Thresholds(error_rate=0.3, p50=2.0, minimum_calls=2), looks)
    state: dict[Any, bool] = {}
    for window in windows:
        for kind in window:
            service.emit({"good": good(), "bad": bad(), "slow": good(5.0)}[kind])
        for alert in watching.alerts():
            assert state.get((alert.model, alert.rule), False) is not alert.crossed
            assert (alert.value > alert.threshold) is alert.crossed
            state[alert.model, alert.rule] = alert.crossed
    assert {key for key, crossed in state.items() if crossed} == set(watching.active)


def test_an_alert_reads_well() -> None:
    """It says which model, what, and beyond what."""
    service = Telemetry()
    watching = Watch(service, Thresholds(p90=2.0, minimum_calls=1), 1)
    service.emit(good(3.25))
    (crossed,) = watching.alerts()
    service.emit(good(1.0))
    (over,) = watching.alerts()
    assert str(crossed) == "glm-4.6: p90 3.25 is above 2"
    assert str(over) == "glm-4.6: p90 1 has recovered from 2"
    assert crossed.window.calls == over.window.calls == 1


def test_watching_by_the_clock() -> None:
    """It looks every 10 seconds at the last 30, tells at once, waits for an async listener, and ends with its block."""
    service, heard = Telemetry(), list[tuple[float, str]]()

    async def notify(alert: Alert) -> None:
        await asyncio.sleep(1.0)
        heard.append((asyncio.get_running_loop().time(), str(alert)))

    async def main() -> None:
        async with watch(service, Thresholds(error_rate=0.1), notify, every=10.0, window=30.0) as watching:
            await asyncio.sleep(15.0)
            for _ in range(20):
                service.emit(bad())
            await asyncio.sleep(10.0)
            assert set(watching.active) == {(GLM, "error_rate")}
            for _ in range(20):
                service.emit(good())
            await asyncio.sleep(60.0)
            assert watching.active == {}
        assert len(asyncio.all_tasks()) == 1
        for _ in range(20):
            service.emit(bad())
        await asyncio.sleep(60.0)

    virtual_time.run(main())
    assert heard == [
        (21.0, "glm-4.6: error_rate 1 is above 0.1"),
        (52.0, "glm-4.6: error_rate 0 has recovered from 0.1"),
    ]


def test_a_listener_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with what it should have heard, and the watch goes on."""
    service, heard = Telemetry(), list[str]()

    def notify(alert: Alert) -> None:
        heard.append(alert.rule)
        raise RuntimeError("nobody is there")

    async def main() -> None:
        async with watch(service, Thresholds(error_rate=0.1, minimum_calls=1), notify, window=10.0):
            for event in (bad(), good()):
                service.emit(event)
                await asyncio.sleep(15.0)

    with caplog.at_level(logging.ERROR, "zhipu_async"):
        virtual_time.run(main())
    assert heard == ["error_rate", "error_rate"]
    assert "glm-4.6: error_rate 1 is above 0.1" in caplog.text
    assert "nobody is there" in caplog.text


def test_a_listener_that_is_cancelled_from_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    """A cancellation that is not the watch's own is logged like any failure, and the watch goes on."""
    service, heard = Telemetry(), list[bool]()

    async def notify(alert: Alert) -> None:
        heard.append(alert.crossed)
        raise asyncio.CancelledError

    async def main() -> None:
        async with watch(service, Thresholds(error_rate=0.1, minimum_calls=1), notify, window=10.0):
            for event in (bad(), good()):
                service.emit(event)
                await asyncio.sleep(15.0)

    virtual_time.run(main())
    assert heard == [True, False]
    assert "could not be told: glm-4.6: error_rate 1 is above 0.1" in caplog.text


@pytest.mark.parametrize("leave", ["error", "cancel"])
async def test_leaving_the_block_ends_the_watch(leave: str) -> None:
    """An error of the block, or its cancellation, comes through, and no task is left."""

    async def watched() -> None:
        async with watch(Telemetry(), Thresholds(), print):
            if leave == "error":
                raise KeyError(leave)
            await asyncio.sleep(60)

    task = asyncio.create_task(watched())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if leave == "cancel":
        task.cancel()
    with pytest.raises(KeyError if leave == "error" else asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no share": (lambda: Thresholds(error_rate=5), "error_rate must be a share from 0 to 1, not 5"),
    "no number": (lambda: Thresholds(refused="0.2"), "refused must be a share"),  # type: ignore[arg-type]
    "no recovery": (lambda: Thresholds(recovery=1.5), "recovery must be a share"),
    "no seconds": (lambda: Thresholds(p90=0), "p90 must be a positive number of seconds"),
    "no calls": (lambda: Thresholds(minimum_calls=0), "minimum_calls must be a whole number of at least 1"),
    "never": (lambda: watch(Telemetry(), Thresholds(), print, every=0).__aenter__(), "every must be a positive"),
    "short": (lambda: watch(Telemetry(), Thresholds(), print, every=9, window=3).__aenter__(), "window at least that"),
    "for ever": (
        lambda: watch(Telemetry(), Thresholds(), print, window=float("inf")).__aenter__(),
        "window must be a positive",
    ),
}


@pytest.mark.parametrize(("make", "text"), WRONG.values(), ids=WRONG)
async def test_thresholds_that_cannot_be(make: Callable[[], Any], text: str) -> None:
    """ConfigError says what a threshold must be."""
    with pytest.raises(ConfigError, match=text):
        await make()


async def test_a_client_is_watched(serve: Serve, ask: Callable[..., dict[str, Any]]) -> None:
    """The statistics of a client at work: refusals and failures of a model are told of, with the model's name."""
    replies = [Refusal("1302", times=2), *[Reply("Hi")] * 2, Refusal("1113")]
    client, _ = await serve(Scenario(replies=replies))
    watching = Watch(client, Thresholds(error_rate=0.3, refused=0.4, minimum_calls=3), 1)
    for _ in range(2):
        await client.chat.completions.create(**ask())
    with pytest.raises(errors.AccountError):
        await client.chat.completions.create(**ask())
    assert [(alert.model, alert.rule) for alert in watching.alerts()] == [(GLM, "error_rate"), (GLM, "refused")]
