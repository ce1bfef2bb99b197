"""Runs: one outcome for each item, bounded memory, so many calls at a time."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fanning import Gate, Pulls, Service, broken, call, calls, fan, left_over, take_all, text_of, texts
from tests.virtual_time import run
from zhipu_async.errors import ConfigError, ServerError
from zhipu_async.fanout import WORKERS, FanOut, Options
from zhipu_async.protocol.endpoint import Call

# ------------------------------------------------------------ one outcome for each


def as_input(kind: str, number: int) -> Any:
    """Calls "0" to ``number`` in one of the forms that an input can have."""
    listed = calls(number)
    named = {f"id-{index}": one for index, one in enumerate(listed)}

    def generator() -> Iterator[Call[Any]]:
        yield from listed

    async def async_generator() -> AsyncIterator[Call[Any]]:
        for index, one in enumerate(listed):
            await asyncio.sleep(0.3 * (index % 3))
            yield one

    async def async_pairs() -> AsyncIterator[tuple[str, Call[Any]]]:
        for pair in named.items():
            await asyncio.sleep(0)
            yield pair

    forms = {
        "list": lambda: listed,
        "tuple": lambda: tuple(listed),
        "generator": generator,
        "async generator": async_generator,
        "mapping": lambda: named,
        "pairs": lambda: list(named.items()),
        "async pairs": async_pairs,
    }
    return forms[kind]()


FORMS = ("list", "tuple", "generator", "async generator", "mapping", "pairs", "async pairs")


@settings(max_examples=150, deadline=None)
@given(
    delays=st.lists(st.sampled_from([0.0, 0.0, 0.1, 1.0, 7.0]), max_size=25),
    failing=st.sets(st.integers(0, 24)),
    resting=st.dictionaries(st.integers(0, 24), st.sampled_from([0.0, 0.5, 3.0]), max_size=8),
    form=st.sampled_from(FORMS),
    ordered=st.booleans(),
    dedupe=st.booleans(),
    window=st.integers(1, 6),
    size=st.integers(1, 9),
    gated=st.booleans(),
    pause=st.sampled_from([None, 0.0, 2.0]),
)
def test_every_item_has_exactly_one_outcome(
    delays: list[float],
    failing: set[int],
    resting: dict[int, float],
    form: str,
    ordered: bool,
    dedupe: bool,
    window: int,
    size: int,
    gated: bool,
    pause: float | None,
) -> None:
    """With its place, id, call, and its own value or error, whatever calls take, fail and rest; sent once each."""
    fails = {str(index): broken() for index in failing}
    service = Service(
        seconds=lambda text: delays[int(text)],
        fails=fails,
        rests={str(index): seconds for index, seconds in resting.items()},
        window=Gate(size) if gated else None,
    )

    async def taken() -> list[Any]:
        options = {} if gated else {"concurrency": size}
        outcomes: list[Any] = []
        fanned = fan(service, as_input(form, len(delays)), ordered=ordered, dedupe=dedupe, window=window, **options)
        async with fanned:
            async for outcome in fanned:
                outcomes.append(outcome)
                if pause is not None:
                    await asyncio.sleep(pause)
        assert not left_over()
        return outcomes

    outcomes = run(taken())
    indexes = [outcome.index for outcome in outcomes]
    assert indexes == list(range(len(delays))) if ordered else sorted(indexes) == list(range(len(delays)))
    for outcome in outcomes:
        text = str(outcome.index)
        named = form in ("mapping", "pairs", "async pairs")
        assert outcome.id == (f"id-{text}" if named else text)
        assert text_of(outcome.call) == text
        assert outcome.ok == (outcome.index not in failing)
        assert outcome.value.text == text if outcome.ok else outcome.error is fails[text]
    assert service.times == {str(index): 2 if index in resting else 1 for index in range(len(delays))}
    assert service.most <= size


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ordered", [True, False])
def test_an_empty_input_ends_at_once(form: str, ordered: bool) -> None:
    """No outcome, no error, nothing sent, and a total of 0."""
    service = Service()

    async def taken() -> tuple[list[Any], Any]:
        fanned = fan(service, as_input(form, 0), ordered=ordered)
        return await fanned.collect(), fanned.progress

    outcomes, progress = run(taken())
    assert (outcomes, service.sent, progress.total, progress.remaining) == ([], [], 0, 0.0)


def test_collect_gives_all_in_the_order_of_the_input() -> None:
    """Although they came in another, and the second time there is nothing left."""
    service = Service(seconds=lambda text: 10.0 - int(text), fails={"3": broken()})

    async def collected() -> tuple[list[Any], list[Any]]:
        fanned = fan(service, calls(10))
        return await fanned.collect(), await fanned.collect()

    outcomes, more = run(collected())
    assert texts(outcomes) == list("0123456789")
    assert service.answered != list("0123456789")
    assert [outcome.ok for outcome in outcomes].count(False) == 1
    assert more == []


def test_seconds_are_those_of_the_call() -> None:
    """From when it was taken from the input, sleeps included; not the time before that."""
    service = Service(seconds=2.0, rests={"1": 5.0})

    async def taken() -> list[Any]:
        async def source() -> AsyncIterator[Any]:
            for one in calls(2):
                await asyncio.sleep(100.0)
                yield one

        return await fan(service, source()).collect()

    assert [outcome.seconds for outcome in run(taken())] == [2.0, 7.0]


# ------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("a prompt", {}),
        (7, {}),
        ([], {"window": 0}),
        ([], {"concurrency": 0}),
        ([], {"concurrency": 2.5}),
        ([], {"token_budget": 0}),
        ([], {"total": -1}),
        ([], {"leaving": "quit"}),
    ],
    ids=str,
)
def test_wrong_options_are_refused_when_the_run_is_made(source: Any, options: dict[str, Any]) -> None:
    """ConfigError, without a loop and without a warning when the half-made run is dropped."""
    with pytest.raises(ConfigError):
        FanOut(source, {}, Options(**options), send=Service().send)
    gc.collect()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_wrong_first_item_is_told_before_anything_is_sent(ordered: bool) -> None:
    """ConfigError out of the iteration, and no call was made."""
    service = Service()
    wrong: Any = [7, *calls(3)]
    outcomes, error = run(take_all(fan(service, wrong, ordered=ordered)))
    assert (outcomes, service.sent) == ([], [])
    assert isinstance(error, ConfigError)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("form", ["generator", "async generator"])
@pytest.mark.parametrize("size", [1, 3, 50])
def test_an_input_that_raises_ends_the_run_after_what_is_finished(ordered: bool, form: str, size: int) -> None:
    """What was taken before is sent, finished and given; then the input's own error comes, and comes again."""
    service = Service(seconds=lambda text: 1.0 + int(text) % 3)
    failure = LookupError("no more rows")

    def plain() -> Iterator[Any]:
        yield from calls(10)
        raise failure

    async def slow() -> AsyncIterator[Any]:
        for one in plain():
            await asyncio.sleep(0)
            yield one

    async def taken() -> None:
        fanned = fan(service, slow() if form == "async generator" else plain(), ordered=ordered, concurrency=size)
        outcomes, error = await take_all(fanned)
        assert sorted(texts(outcomes)) == list("0123456789")
        assert texts(outcomes) == list("0123456789") or not ordered
        assert error is failure
        assert await take_all(fanned) == ([], failure)
        assert not left_over()

    run(taken())


# ------------------------------------------------------------ bounded memory


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("window", "size"), [(1, 1), (1, 7), (5, 3), (10, 100), (100, 10)])
@pytest.mark.parametrize("form", ["plain", "slow"])
@pytest.mark.parametrize("gated", [True, False])
def test_a_slow_consumer_holds_up_the_input(ordered: bool, window: int, size: int, form: str, gated: bool) -> None:
    """Of an endless input at most ``window`` outcomes and what is under way are taken beyond what was given."""
    pulls = Pulls()

    async def taken() -> None:
        service = Service(seconds=0.5, window=Gate(size) if gated else None)
        options = {} if gated else {"concurrency": size}
        source = pulls.plain() if form == "plain" else pulls.slow()
        under_way = size + 1 if gated else size
        async with fan(service, source, ordered=ordered, window=window, **options) as fanned:
            for given in range(1, 8):
                await anext(fanned)
                await asyncio.sleep(100.0)
                assert pulls.taken - given <= (window if ordered else window + under_way)
                assert len(service.sent) >= given

    run(taken())


def test_an_ordered_run_stops_taking_behind_a_slow_call() -> None:
    """At most ``window`` items are taken while the first has no outcome, and then all comes in order."""
    pulls = Pulls()

    async def taken() -> None:
        service = Service(seconds=lambda text: 1000.0 if text == "0" else 1.0)
        async with fan(service, pulls.plain(), ordered=True, window=20, concurrency=5) as fanned:
            await asyncio.sleep(900.0)
            assert (pulls.taken, len(service.sent), service.in_flight) == (20, 20, 1)
            found = [await anext(fanned) for _ in range(40)]
        assert texts(found) == [str(index) for index in range(40)]

    run(taken())


@pytest.mark.parametrize("ordered", [True, False])
def test_a_consumer_that_stops_reading_stops_everything(ordered: bool) -> None:
    """For a day nothing is taken or sent, no timer runs, and reading on goes on where it was."""
    pulls = Pulls()

    async def taken() -> None:
        service = Service(seconds=1.0)
        loop: Any = asyncio.get_running_loop()
        async with fan(service, pulls.plain(), ordered=ordered, window=10, concurrency=4) as fanned:
            await anext(fanned)
            await asyncio.sleep(60.0)
            before = (pulls.taken, len(service.sent))
            assert service.in_flight == 0
            assert [handle for handle in loop._scheduled if not handle.cancelled()] == []
            await asyncio.sleep(86_400.0)
            assert (pulls.taken, len(service.sent)) == before
            for _ in range(50):
                await anext(fanned)
            assert service.most == 4

    run(taken())


def test_waiting_for_a_call_wakes_nobody() -> None:
    """While all calls are under way for an hour the loop has one turn per timer: nothing polls."""

    async def taken() -> int:
        turns = 0
        loop: Any = asyncio.get_running_loop()
        select = loop._selector.select

        def counted(timeout: float | None = None) -> Any:
            nonlocal turns
            turns += 1
            return select(timeout)

        loop._selector.select = counted
        await fan(Service(seconds=3600.0), calls(8), concurrency=8).collect()
        return turns

    assert run(taken()) < 40


def test_after_a_stall_all_calls_are_made_at_a_time_again() -> None:
    """A window that is smaller than the number of calls does not make that number smaller for good."""

    async def taken() -> None:
        service = Service(seconds=1.0)
        async with fan(service, Pulls().plain(), window=2, concurrency=50) as fanned:
            await asyncio.sleep(10.0)
            assert service.in_flight == 0
            for _ in range(50):
                await anext(fanned)
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.5)
            assert service.in_flight == 50

    run(taken())


def test_identical_calls_behind_a_slow_one_are_bounded_too() -> None:
    """An endless input of one and the same call neither fills the memory nor stops the loop."""
    taken = 0

    def same() -> Iterator[Any]:
        nonlocal taken
        while True:
            taken += 1
            assert taken < 10_000, "the input is read without end"
            yield call()

    async def read() -> None:
        service = Service(seconds=100.0)
        async with fan(service, same(), dedupe=True, window=50, concurrency=4) as fanned:
            await asyncio.sleep(50.0)
            assert taken <= 55
            for _ in range(500):
                assert (await anext(fanned)).unwrap().text == "x"
        assert service.sent == ["x"]

    run(read())


def test_a_run_keeps_nothing_of_what_was_given() -> None:
    """After ten thousand outcomes none of them, and none of their calls, is held by the run."""

    async def taken() -> None:
        async with fan(Service(seconds=0.0), Pulls().plain(), concurrency=10) as fanned:
            for _ in range(10_000):
                await anext(fanned)
            gc.collect()
            alive = sum(isinstance(one, Call) for one in gc.get_objects())
            assert alive < 1200

    run(taken())


# ------------------------------------------------------------ how many at a time


@pytest.mark.parametrize("size", [1, 2, 16, 64, 65, 300])
@pytest.mark.parametrize("form", ["generator", "async generator", "list"])
def test_a_fixed_number_of_calls_is_reached_and_never_passed(size: int, form: str) -> None:
    """``concurrency=N``: N calls at a time, from the first moment to the last items."""
    service = Service(seconds=1000.0)
    outcomes = run(fan(service, as_input(form, 3 * size), concurrency=size).collect())
    assert service.most == size
    assert len(outcomes) == 3 * size


@pytest.mark.parametrize("level", [1, 5, 16, 150])
def test_a_window_is_filled(level: int) -> None:
    """With an adaptive window as many calls are under way as it allows, and one more waits for its turn."""

    async def taken() -> None:
        service = Service(seconds=10.0, window=Gate(level))
        pulls = Pulls()
        async with fan(service, pulls.plain()) as fanned:
            await asyncio.sleep(5.0)
            assert (service.in_flight, pulls.taken) == (level, level + 1)
            for _ in range(4 * level):
                await anext(fanned)
            await asyncio.sleep(5.0)
            assert (service.in_flight, service.most, pulls.taken - len(service.sent)) == (level, level, 1)

    run(taken())


def test_a_window_that_grows_is_filled_at_once() -> None:
    """The calls that the new level allows start with the next answers."""

    async def taken() -> None:
        gate = Gate(4)
        service = Service(seconds=1.0, window=gate)
        async with fan(service, Pulls().plain(), window=100_000):
            await asyncio.sleep(0.5)
            assert service.in_flight == 4
            gate.level = 300
            await asyncio.sleep(0.7)
            assert service.in_flight == 300

    run(taken())


def test_calls_that_rest_make_room_for_others() -> None:
    """Calls that sleep between repeats hold no place: others are on the wire meanwhile, and so many rest at most."""

    async def taken() -> None:
        rests = {str(index): 1000.0 for index in range(2 * WORKERS)}
        service, pulls = Service(seconds=1.0, window=Gate(4), rests=rests), Pulls()
        async with fan(service, pulls.plain()) as fanned:
            await asyncio.sleep(500.0)
            assert (pulls.taken, service.in_flight) == (WORKERS, 0)
            await anext(fanned)

    run(taken())


@pytest.mark.parametrize("size", [1, 100])
def test_a_run_makes_no_more_tasks_than_calls_at_a_time(size: int) -> None:
    """Ten thousand items at N calls at a time cost N tasks."""
    made = 0

    async def send(call: Any, keep: Any = None) -> Any:
        await asyncio.sleep(0)

    async def taken() -> int:
        loop = asyncio.get_running_loop()

        def counted(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
            nonlocal made
            made += 1
            return asyncio.Task(coroutine, loop=loop, **more)

        loop.set_task_factory(counted)
        fanned = FanOut((call() for _ in range(10_000)), {}, Options(concurrency=size), send=send)
        count = 0
        async for _ in fanned:
            count += 1
        loop.set_task_factory(None)
        return count

    with asyncio.Runner(debug=False) as runner:
        assert runner.run(taken()) == 10_000
    assert made == size


# ------------------------------------------------------------ several who iterate


def test_two_who_iterate_share_the_outcomes() -> None:
    """Each outcome goes to one of them, and both see the end."""

    async def taken() -> list[str]:
        fanned = fan(Service(seconds=lambda text: 1.0 + int(text) % 4), calls(40))

        async def take() -> list[Any]:
            found: list[Any] = []
            async for outcome in fanned:
                found.append(outcome)
                await asyncio.sleep(0.5)
            return found

        first, second = await asyncio.gather(take(), take())
        assert min(len(first), len(second)) >= 10
        return texts(first + second)

    assert Counter(run(taken())) == Counter(str(index) for index in range(40))


def test_two_who_iterate_both_get_the_error() -> None:
    """A run that ends with an error ends so for everyone."""
    failure = LookupError("no more rows")

    async def source() -> AsyncIterator[Any]:
        try:
            for one in calls(4):
                yield one
            raise failure
        finally:
            await asyncio.sleep(1.0)

    async def taken() -> None:
        fanned = fan(Service(), source())
        first, second = await asyncio.gather(take_all(fanned), take_all(fanned))
        assert len(first[0] + second[0]) == 4
        assert (first[1], second[1]) == (failure, failure)

    run(taken())


# ------------------------------------------------------------ failures that are outcomes, and others


def test_a_failed_call_is_an_outcome_and_others_go_on() -> None:
    """Every call fails, and every call has its own error."""
    outcomes = run(fan(Service(fails=lambda text: ServerError(text, status=500)), calls(30)).collect())
    assert [outcome.error and outcome.error.message for outcome in outcomes] == [str(index) for index in range(30)]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    "failure", [RuntimeError("a bug"), KeyError("x"), ExceptionGroup("two", [ValueError()])], ids=repr
)
def test_a_foreign_error_ends_the_run_after_what_is_finished(ordered: bool, failure: Exception) -> None:
    """Calls under way are finished and given, nothing new is taken, and the very error is raised."""
    service = Service(seconds=lambda text: 1.0 if text == "3" else 2.0, fails={"3": failure})
    pulls = Pulls()

    async def taken() -> None:
        outcomes, error = await take_all(fan(service, pulls.plain(), ordered=ordered, concurrency=5))
        assert error is failure
        assert sorted(texts(outcomes)) == ["0", "1", "2", "4"]
        assert pulls.taken == 5
        assert not left_over()

    run(taken())


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("at", ["0", "4", "9"])
def test_a_call_that_is_cancelled_by_other_code_is_not_passed_over(size: int, at: str) -> None:
    """CancelledError out of a call is nobody's wish to stop: the run ends with an error, not as if all were done."""
    service = Service(fails={at: asyncio.CancelledError()})

    async def taken() -> None:
        outcomes, error = await take_all(fan(service, calls(10), concurrency=size))
        assert at not in texts(outcomes)
        assert isinstance(error, RuntimeError)
        assert "cancelled by other code" in str(error)
        assert not left_over()

    run(taken())


def test_an_input_that_raises_the_end_of_async_inputs_is_not_taken_for_its_end() -> None:
    """StopAsyncIteration out of a plain iterator is a mistake in it: what is finished is given, then an error comes."""

    class Mistaken:
        def __init__(self) -> None:
            self._left = calls(3)

        def __iter__(self) -> Iterator[Any]:
            return self

        def __next__(self) -> Any:
            if not self._left:
                raise StopAsyncIteration
            return self._left.pop(0)

    async def taken() -> None:
        outcomes, error = await take_all(fan(Service(), Mistaken(), concurrency=2))
        assert texts(outcomes) == ["0", "1", "2"]
        assert isinstance(error, RuntimeError)
        assert "StopAsyncIteration" in str(error)

    run(taken())


def test_an_input_that_is_cancelled_by_other_code_is_not_taken_for_its_end() -> None:
    """CancelledError out of the caller's generator ends the run with an error."""

    async def source() -> AsyncIterator[Any]:
        yield call("0")
        raise asyncio.CancelledError

    outcomes, error = run(take_all(fan(Service(), source())))
    assert texts(outcomes) == ["0"]
    assert isinstance(error, RuntimeError)
