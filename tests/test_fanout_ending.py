"""How runs end: by errors that every call would meet, by stop(), by leaving, by cancelling, by being dropped."""

from __future__ import annotations

import asyncio
import gc
import warnings
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Literal

import pytest

from tests.fanning import Gate, Pulls, Service, broken, calls, fan, left_over, refused_key, take_all, texts, told
from tests.virtual_time import run
from zhipu_async.errors import AccountError, APIError, ClientClosedError, QuotaError, ZhipuError
from zhipu_async.fanout import FanOut
from zhipu_async.outcomes import RunProgress

Leaving = Literal["stop", "drain"]
FATAL: list[ZhipuError] = [
    refused_key(),
    AccountError("no money", status=429, code="1113"),
    QuotaError("used up", status=429, code="1308"),
    ClientClosedError("the client is closed"),
]

# ------------------------------------------------------------ errors that every call would meet


@pytest.mark.parametrize("fatal", FATAL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("gated", [True, False])
def test_an_error_that_every_call_would_meet_ends_the_run(fatal: ZhipuError, ordered: bool, gated: bool) -> None:
    """What is on the wire is finished, what is finished is given, nothing more is taken, and then it is raised."""
    service = Service(
        seconds=lambda text: {"2": 1.0, "0": 0.5}.get(text, 5.0), fails={"2": fatal}, window=Gate(4) if gated else None
    )
    pulls = Pulls()

    async def taken() -> None:
        fanned = fan(service, pulls.plain(), ordered=ordered, **({} if gated else {"concurrency": 4}))
        outcomes, error = await take_all(fanned)
        assert error is fatal
        assert sorted(texts(outcomes)) == ["0", "1", "3", "4"]
        assert all(outcome.ok for outcome in outcomes)
        assert service.sent == ["0", "1", "2", "3", "4"]
        assert pulls.taken <= 6
        assert asyncio.get_running_loop().time() == 5.5
        assert not left_over()
        assert await take_all(fanned) == ([], fatal)
        assert await take_all(fanned) == ([], fatal)

    run(taken())


def test_the_error_says_how_far_the_run_was() -> None:
    """A note names the number of outcomes, once, however often the error is raised."""

    async def taken() -> list[str]:
        error: Any = refused_key()
        fanned = fan(Service(fails={"5": error}), calls(9), concurrency=1)
        for _ in range(3):
            await take_all(fanned)
        return told(error)

    assert run(taken()) == ["the run was stopped by this error after 5 outcomes"]


def test_of_several_such_errors_at_once_the_first_is_raised() -> None:
    """The others are not outcomes either, and nothing is sent after them."""
    errors = [refused_key() for _ in range(4)]
    service = Service(fails={str(index): error for index, error in enumerate(errors)})

    async def taken() -> None:
        outcomes, error = await take_all(fan(service, Pulls().plain(), concurrency=4))
        assert outcomes == []
        assert error is errors[0]
        assert [len(told(one)) for one in errors] == [1, 0, 0, 0]
        assert service.sent == ["0", "1", "2", "3"]

    run(taken())


def test_calls_that_sleep_between_repeats_are_ended_at_once() -> None:
    """A refused key is known after a second, though another call would sleep for an hour."""
    fatal = refused_key()
    service = Service(window=Gate(4), fails={"2": fatal}, rests={"0": 3600.0, "1": 3600.0})

    async def taken() -> None:
        outcomes, error = await take_all(fan(service, calls(3)))
        assert (outcomes, error) == ([], fatal)
        assert asyncio.get_running_loop().time() == 1.0
        assert service.sent == ["0", "1", "2"]

    run(taken())


def test_what_waits_for_an_identical_call_ends_with_it() -> None:
    """With dedupe the copies of a call that ends the run get no outcome and do not hold it up."""
    fatal = refused_key()

    async def taken() -> None:
        same = [calls(1)[0] for _ in range(9)]
        assert await take_all(fan(Service(fails={"0": fatal}), same, dedupe=True)) == ([], fatal)
        assert not left_over()

    run(taken())


def test_collect_loses_nothing_to_an_error() -> None:
    """It raises, and iterating then gives what was finished, in the order in which it came, and raises again."""
    fatal = refused_key()
    service = Service(seconds=lambda text: 9.0 - int(text), fails={"6": fatal})

    async def taken() -> None:
        fanned = fan(service, calls(8), concurrency=8)
        with pytest.raises(APIError) as raised:
            await fanned.collect()
        assert raised.value is fatal
        outcomes, error = await take_all(fanned)
        assert texts(outcomes) == ["7", "5", "4", "3", "2", "1", "0"]
        assert error is fatal

    run(taken())


# ------------------------------------------------------------ stop()


def test_stop_before_the_beginning_sends_nothing() -> None:
    """Iterating ends at once, without an error."""
    service, pulls = Service(), Pulls()

    async def taken() -> None:
        fanned = fan(service, pulls.plain())
        fanned.stop()
        fanned.stop()
        async with fanned:
            assert await take_all(fanned) == ([], None)
        assert not left_over()

    run(taken())
    assert (service.sent, pulls.taken) == ([], 0)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("source", ["plain", "slow"])
def test_stop_finishes_what_is_on_the_wire_and_gives_it(ordered: bool, gated: bool, source: str) -> None:
    """Nothing new is taken or sent, also when it is said twice, and iterating ends without an error."""
    service = Service(seconds=lambda text: 1.0 + int(text) % 3, window=Gate(5) if gated else None)
    pulls = Pulls()

    async def taken() -> None:
        options: dict[str, Any] = {} if gated else {"concurrency": 5}
        async with fan(service, getattr(pulls, source)(), ordered=ordered, **options) as fanned:
            found = [await anext(fanned) for _ in range(7)]
            fanned.stop()
            sent, pulled = len(service.sent), pulls.taken
            fanned.stop()
            more, error = await take_all(fanned)
            assert error is None
            assert (len(service.sent), pulls.taken) == (sent, pulled)
            assert sorted(texts(found + more), key=int) == [str(index) for index in range(sent)]
            assert service.cancelled == []
            assert not left_over()
        assert pulls.closed

    run(taken())


def test_stop_ends_a_wait_for_the_input() -> None:
    """An input that has nothing for an hour is not waited for, and is closed."""
    pulls = Pulls(seconds=3600.0)

    async def taken() -> None:
        async with fan(Service(), pulls.slow()) as fanned:
            asyncio.get_running_loop().call_later(10.0, fanned.stop)
            assert await take_all(fanned) == ([], None)
        assert asyncio.get_running_loop().time() == 10.0
        assert pulls.closed

    run(taken())


def test_stop_from_the_progress_hook_loses_no_outcome() -> None:
    """The call that the hook is told of is given, and so are those on the wire."""
    service = Service()

    async def taken() -> None:
        def hook(progress: RunProgress) -> None:
            if progress.done >= 8:
                fanned.stop()

        fanned = fan(service, Pulls().plain(), concurrency=4, progress=hook)
        outcomes, error = await take_all(fanned)
        assert error is None
        assert sorted(texts(outcomes), key=int) == sorted(service.sent, key=int)
        assert len(outcomes) <= 12

    run(taken())


def test_an_error_that_every_call_would_meet_is_told_after_stop_too() -> None:
    """It is why a call that was on the wire has no outcome."""
    fatal = refused_key()

    async def taken() -> None:
        fanned = fan(Service(fails={"1": fatal}), calls(9), concurrency=2)
        asyncio.get_running_loop().call_later(0.5, fanned.stop)
        outcomes, error = await take_all(fanned)
        assert texts(outcomes) == ["0"]
        assert error is fatal

    run(taken())


# ------------------------------------------------------------ leaving the block


class Away(Exception):
    """What a consumer raises."""


async def leave(fanned: FanOut[Any], how: str) -> list[Any]:
    """Take two outcomes and leave the block; what was taken."""
    found: list[Any] = []

    async def consume() -> None:
        async with fanned:
            async for outcome in fanned:
                found.append(outcome)
                if len(found) == 2 and how == "cancel while it works":
                    await asyncio.sleep(3600.0)
                if len(found) == 2 and how == "break":
                    break
                if len(found) == 2 and how == "raise":
                    raise Away

    task = asyncio.ensure_future(consume())
    if how.startswith("cancel"):
        await asyncio.sleep(1.5)
        task.cancel()
    with suppress(Away, asyncio.CancelledError):
        await task
    return found


@pytest.mark.parametrize("how", ["break", "raise", "cancel while it works", "cancel while it waits"])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("source", ["plain", "slow"])
def test_leaving_stops_at_once(how: str, gated: bool, source: str) -> None:
    """What is on the wire is cancelled, the input is closed, and no task is left when the block is left."""
    slow = 1.0 if how == "cancel while it works" else 100.0
    service = Service(seconds=lambda text: 1.0 if int(text) < 2 else slow, window=Gate(4) if gated else None)
    pulls = Pulls()

    async def taken() -> None:
        await leave(fan(service, getattr(pulls, source)(), **({} if gated else {"concurrency": 4})), how)
        assert asyncio.get_running_loop().time() <= 1.5
        assert not left_over()
        assert service.in_flight == 0
        assert sorted(service.answered + service.cancelled) == sorted(service.sent)
        assert pulls.closed

    run(taken())


@pytest.mark.parametrize("how", ["break", "raise", "cancel while it works", "cancel while it waits"])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("gated", [True, False])
def test_leaving_with_drain_finishes_what_is_on_the_wire(how: str, ordered: bool, gated: bool) -> None:
    """Nothing new is sent, nothing is cancelled, and what came in can still be taken afterwards."""
    service = Service(seconds=lambda text: 1.0 if int(text) < 2 else 10.0, window=Gate(4) if gated else None)
    pulls = Pulls()

    async def taken() -> None:
        options: dict[str, Any] = {} if gated else {"concurrency": 4}
        fanned = fan(service, pulls.slow(), ordered=ordered, leaving="drain", **options)
        found = await leave(fanned, how)
        assert service.cancelled == []
        assert asyncio.get_running_loop().time() <= 12.0
        assert not left_over()
        assert pulls.closed
        more, error = await take_all(fanned)
        assert error is None
        assert sorted(texts(found + more), key=int) == sorted(service.sent, key=int)

    run(taken())


def test_calls_that_are_not_on_the_wire_are_not_drained() -> None:
    """What sleeps before a repeat or waits for its turn is ended: an hour's sleep does not hold up the leaving."""
    service = Service(seconds=5.0, window=Gate(3), rests={"0": 3600.0})

    async def taken() -> None:
        async with fan(service, calls(9), leaving="drain"):
            await asyncio.sleep(1.0)
        assert asyncio.get_running_loop().time() == 5.0
        assert service.sent == ["0", "1", "2", "3"]
        assert not left_over()

    run(taken())


def test_a_second_cancel_ends_the_draining() -> None:
    """Who presses Ctrl-C twice does not wait, and still nothing is left behind."""
    service = Service(seconds=1000.0)
    pulls = Pulls()

    async def taken() -> None:
        async def consume() -> None:
            async with fan(service, pulls.slow(), concurrency=4, leaving="drain") as fanned:
                await anext(fanned)

        task = asyncio.ensure_future(consume())
        await asyncio.sleep(10.0)
        task.cancel()
        await asyncio.sleep(10.0)
        assert service.in_flight == 4
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == 20.0
        assert len(service.cancelled) == 4
        assert pulls.closed
        assert not left_over()

    run(taken())


def test_leaving_after_the_end_costs_nothing() -> None:
    """Where all outcomes were taken, neither way of leaving waits or cancels."""

    async def taken() -> None:
        for leaving in ("stop", "drain"):
            service = Service()
            async with fan(service, calls(20), leaving=leaving) as fanned:
                outcomes, error = await take_all(fanned)
                assert (len(outcomes), error) == (20, None)
            assert service.cancelled == []

    run(taken())


def test_an_error_in_the_block_is_not_replaced() -> None:
    """What the consumer raised comes out, whatever calls meet while they are drained."""
    service = Service(fails={"1": refused_key(), "2": RuntimeError("a bug")})

    async def taken() -> None:
        async def consume() -> None:
            async with fan(service, calls(9), concurrency=4, leaving="drain"):
                await asyncio.sleep(0.5)
                raise Away

        with pytest.raises(Away):
            await consume()

    run(taken())


# ------------------------------------------------------------ without a block


@pytest.mark.parametrize("leaving", ["stop", "drain"])
def test_cancelling_who_iterates_without_a_block_ends_the_run(leaving: Leaving) -> None:
    """As leaving a block would: when the task has ended, calls, input and tasks have too."""
    service, pulls = Service(seconds=10.0), Pulls()

    async def taken() -> None:
        async def consume() -> None:
            async for _ in fan(service, pulls.slow(), concurrency=4, leaving=leaving):
                pass

        task = asyncio.ensure_future(consume())
        await asyncio.sleep(5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == (10.0 if leaving == "drain" else 5.0)
        assert len(service.cancelled) == (0 if leaving == "drain" else 4)
        assert pulls.closed
        assert not left_over()

    run(taken())


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("state", ["under way", "blocked", "over"])
def test_a_dropped_run_ends_by_itself(gated: bool, state: str) -> None:
    """Without the garbage collector, a complaint, or a task that goes on; and nothing keeps its memory."""
    service = Service(window=Gate(4) if gated else None)
    kept: list[weakref.ref[Any]] = []
    number = 4 if state == "over" else 1000

    async def taken() -> None:
        async def consume() -> None:
            fanned = fan(service, calls(number), window=2, **({} if gated else {"concurrency": 4}))
            kept.append(weakref.ref(fanned._run))  # pyright: ignore[reportPrivateUsage]
            async for _ in fanned:
                break
            if state != "under way":
                await asyncio.sleep(10.0)

        gc.disable()
        try:
            await consume()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not left_over()
            assert service.in_flight == 0
            assert kept[0]() is None
        finally:
            gc.enable()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(taken())
        gc.collect()


def test_a_run_that_was_never_begun_is_dropped_in_peace() -> None:
    """Made outside a loop and never used."""
    fan(Service(), calls(3))
    gc.collect()


def test_a_run_that_outlives_its_loop_is_dropped_in_peace() -> None:
    """Its tasks ended with the loop; dropping it later does nothing."""
    runs: list[FanOut[Any]] = []

    async def taken() -> None:
        runs.append(fan(Service(), Pulls().plain()))
        await anext(runs[0])

    run(taken())
    runs.clear()
    gc.collect()


def test_ctrl_c_in_a_draining_block_finishes_what_is_on_the_wire() -> None:
    """asyncio.run cancels the main task, which leaves the block and so drains it."""
    service = Service(seconds=10.0)
    found: list[Any] = []

    async def main() -> None:
        here = asyncio.current_task()
        assert here is not None
        asyncio.get_running_loop().call_later(5.0, here.cancel)
        fanned = fan(service, Pulls().plain(), concurrency=6, leaving="drain")
        try:
            async with fanned:
                async for outcome in fanned:
                    found.append(outcome)
        finally:
            found.extend([outcome async for outcome in fanned])

    with pytest.raises(asyncio.CancelledError):
        run(main())
    assert sorted(texts(found)) == ["0", "1", "2", "3", "4", "5"]


def test_the_input_is_closed_when_the_run_has_ended() -> None:
    """An async generator's finally clause has run before the iteration ends."""
    closed: list[float] = []

    async def source() -> AsyncIterator[Any]:
        try:
            for one in calls(5):
                yield one
        finally:
            closed.append(asyncio.get_running_loop().time())

    async def taken() -> None:
        fanned = fan(Service(fails={"1": broken()}), source())
        outcomes, error = await take_all(fanned)
        assert (len(outcomes), error) == (5, None)
        assert closed

    run(taken())
