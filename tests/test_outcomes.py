"""Outcomes, how they wait to be taken, and how fast they come."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fanning import broken, call
from tests.virtual_time import run
from zhipu_async.outcomes import Outbox, Outcome, Pace, RunProgress


def outcome(index: int = 0, **fields: Any) -> Outcome[Any]:
    """An outcome at a place."""
    return Outcome(str(index), index, call(str(index)), **fields)


def measured(pace: Pace, now: float) -> RunProgress:
    """Where the run is, at a moment."""
    return pace.progress(now, in_flight=3, concurrency=5, refused=2)


# ------------------------------------------------------------ one outcome


def test_unwrap_gives_the_value_or_raises_the_error() -> None:
    """The very objects, None as a value included."""
    error = broken()
    assert outcome(value="v").unwrap() == "v"
    assert outcome(value=None).unwrap() is None
    with pytest.raises(type(error)) as raised:
        outcome(error=error).unwrap()
    assert raised.value is error


def test_ok_says_whether_there_is_an_error() -> None:
    """A value of None is a value."""
    assert outcome(value=None).ok
    assert not outcome(error=broken()).ok


# ------------------------------------------------------------ pace


def test_counts_add_up() -> None:
    """Done includes failed and replayed ones; only an answer's own usage counts as tokens."""
    pace = Pace(10)
    pace.begin(100.0)
    for one in (outcome(), outcome(error=broken()), outcome(replayed=True), outcome(error=broken(), replayed=True)):
        pace.count(one, 101.0)
    for value in (SimpleNamespace(usage=SimpleNamespace(total_tokens=7)), SimpleNamespace(usage=None), b"audio", None):
        pace.count_tokens(value)
    found = measured(pace, 102.0)
    assert (found.total, found.done, found.failed, found.replayed, found.tokens) == (10, 4, 2, 2, 7)
    assert (found.seconds, found.in_flight, found.concurrency, found.refused) == (2.0, 3, 5, 2)


COUNTED: list[tuple[dict[str, int | None], int]] = [
    ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}, 10),
    ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 12}, 12),
    ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": None}, 10),
    ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 0}, 10),
    ({"prompt_tokens": 9, "completion_tokens": None}, 9),
    ({"completion_tokens": 1}, 1),
    ({}, 0),
]


@pytest.mark.parametrize(("usage", "tokens"), COUNTED)
def test_tokens_without_a_total_are_added_up(usage: dict[str, int | None], tokens: int) -> None:
    """Where an answer has no total, or 0, prompt and completion count."""
    pace = Pace(1)
    pace.count_tokens(SimpleNamespace(usage=SimpleNamespace(**usage)))
    assert pace.tokens == tokens


def test_before_the_beginning_nothing_is_measured() -> None:
    """All counts are 0, and no end can be estimated."""
    found = measured(Pace(10), 0.0)
    assert (found.done, found.seconds, found.rate, found.token_rate, found.remaining) == (0, 0.0, 0.0, 0.0, None)


def at_a_pace(seconds: float, number: int, total: int | None = None, tokens: int = 0) -> RunProgress:
    """A run that has an outcome every so many seconds, seen at the last of them."""
    pace = Pace(total)
    pace.begin(0.0)
    for index in range(number):
        pace.count_tokens(SimpleNamespace(usage=SimpleNamespace(total_tokens=tokens)))
        pace.count(outcome(index), (index + 1) * seconds)
    return measured(pace, number * seconds)


@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.4, 0.7, 3.0, 9.9, 10.0, 11.0, 60.0])
@pytest.mark.parametrize("number", [1, 2, 3, 50])
def test_a_steady_run_has_its_rate_however_long_its_calls_take(seconds: float, number: int) -> None:
    """Rates are right to 10 %, also where the next outcome takes longer than the time that they look back."""
    found = at_a_pace(seconds, number, total=2 * number, tokens=5)
    assert found.rate == pytest.approx(1 / seconds, rel=0.1)
    assert found.token_rate == pytest.approx(5 / seconds, rel=0.1)
    assert found.remaining == pytest.approx(number * seconds, rel=0.1)


def test_the_rate_forgets_what_is_long_past() -> None:
    """Ten seconds after the pace changed, the rate is the new one."""
    pace = Pace(None)
    pace.begin(0.0)
    for index in range(1000):
        pace.count(outcome(index), index * 0.1)
    for index in range(25):
        pace.count(outcome(index), 100.0 + index)
    assert measured(pace, 124.0).rate == pytest.approx(1.0, rel=0.15)


def test_the_memory_of_a_pace_is_bounded() -> None:
    """A hundred thousand outcomes leave some twenty samples."""
    pace = Pace(None)
    pace.begin(0.0)
    for index in range(100_000):
        pace.count(outcome(index), index * 0.01)
    assert len(pace._samples) <= 25  # pyright: ignore[reportPrivateUsage]


def test_what_was_replayed_is_not_in_the_rate() -> None:
    """A journal that is read in a moment promises no early end."""
    pace = Pace(1000)
    pace.begin(0.0)
    for index in range(900):
        pace.count(outcome(index, replayed=True), 0.0)
    for index in range(10):
        pace.count(outcome(index), index + 1.0)
    found = measured(pace, 10.0)
    assert found.rate == pytest.approx(1.0)
    assert found.remaining == pytest.approx(90.0)


@pytest.mark.parametrize(("total", "done", "remaining"), [(None, 5, None), (5, 5, 0.0), (3, 5, 0.0), (0, 0, 0.0)])
def test_the_remaining_time_is_told_where_it_can_be(total: int | None, done: int, remaining: float | None) -> None:
    """None without a total; 0 when all are done, and never negative where the total was too low."""
    assert at_a_pace(1.0, done, total).remaining == remaining


def test_the_hook_is_due_ten_times_a_second_at_most() -> None:
    """A hundred outcomes a second make it due ten times, and one outcome after a pause at once."""
    pace = Pace(None)
    pace.begin(0.0)
    due: list[float] = []
    for index in range(200):
        now = (index + 1) / 128
        pace.count(outcome(index), now)
        if pace.due():
            due.append(now)
    assert 12 <= len(due) <= 15
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(due))


# ------------------------------------------------------------ waiting to be taken


async def claim(box: Outbox[Any], number: int) -> int:
    """Ask for so much room; how much there was at once."""
    tasks = [asyncio.ensure_future(box.room()) for _ in range(number)]
    await asyncio.sleep(0)
    got = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return got


@given(st.permutations(list(range(8))), st.data())
def test_outcomes_come_in_the_order_of_the_input_or_as_they_came(order: list[int], data: st.DataObject) -> None:
    """Ordered or not, each comes once; ordered, none before those that precede it."""
    ordered = data.draw(st.booleans())

    async def passed() -> list[int]:
        box = Outbox[Any](8, ordered=ordered)
        given: list[int] = []
        for index in order:
            box.put(outcome(index))
            while box._ready:  # pyright: ignore[reportPrivateUsage]
                taken = await box.take()
                assert taken is not None
                given.append(taken.index)
            if ordered:
                assert given == list(range(len(given)))
        return given

    assert run(passed()) == (sorted(order) if ordered else list(order))


def test_a_closed_outbox_gives_what_waited_for_a_missing_one() -> None:
    """In the order of the input, and then None for ever."""

    async def taken() -> list[int | None]:
        box = Outbox[Any](8, ordered=True)
        for index in (3, 1, 5):
            box.put(outcome(index))
        box.close()
        found = [await box.take() for _ in range(5)]
        return [None if one is None else one.index for one in found]

    assert run(taken()) == [1, 3, 5, None, None]


def test_room_is_bounded_by_the_window() -> None:
    """In order what is under way counts; otherwise only what waits to be taken and what will come with it."""

    async def rooms() -> list[int]:
        ordered, loose, copies = (
            Outbox[Any](3, ordered=True),
            Outbox[Any](3, ordered=False),
            Outbox[Any](3, ordered=False),
        )
        copies.owed = 2
        copies.put(outcome())
        for index in range(3):
            loose.put(outcome(index))
        return [await claim(ordered, 5), await claim(loose, 5), await claim(copies, 5)]

    assert run(rooms()) == [3, 0, 0]


@pytest.mark.parametrize("ordered", [True, False])
def test_taking_makes_room_for_those_who_wait(ordered: bool) -> None:
    """In order for one call for each outcome; otherwise for all, as soon as fewer than ``window`` wait."""

    async def waked() -> list[int]:
        box = Outbox[Any](2, ordered=ordered)
        for index in range(2):
            await box.room()
            box.put(outcome(index))
        tasks = [asyncio.ensure_future(box.room()) for _ in range(4)]
        counts: list[int] = []
        for _ in range(2):
            await asyncio.sleep(0)
            await box.take()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            counts.append(sum(task.done() for task in tasks))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return counts

    assert run(waked()) == ([1, 2] if ordered else [4, 4])


def test_two_who_take_get_different_outcomes() -> None:
    """Both wait, both are served, and both learn of the end."""

    async def taken() -> list[Any]:
        box = Outbox[Any](9, ordered=False)
        takers = [asyncio.ensure_future(box.take()) for _ in range(3)]
        await asyncio.sleep(0)
        box.put(outcome(0))
        await asyncio.sleep(0)
        box.put(outcome(1))
        await asyncio.sleep(0)
        box.close()
        return [one.index if (one := await taker) is not None else None for taker in takers]

    assert sorted(run(taken()), key=str) == [0, 1, None]


def test_a_taker_who_is_cancelled_takes_nothing_away() -> None:
    """What comes afterwards goes to the next who asks, also where another waits at the same time."""

    async def taken() -> list[int]:
        box = Outbox[Any](9, ordered=False)
        first, second = asyncio.ensure_future(box.take()), asyncio.ensure_future(box.take())
        await asyncio.sleep(0)
        box.put(outcome(0))
        first.cancel()
        await asyncio.wait([first])
        box.put(outcome(1))
        found = [await second, await box.take()]
        return [one.index for one in found if one is not None]

    assert run(taken()) == [0, 1]


def test_what_is_given_back_comes_first_again() -> None:
    """In the order in which it was taken, before what came later."""

    async def taken() -> list[int]:
        box = Outbox[Any](9, ordered=False)
        for index in range(4):
            box.put(outcome(index))
        first = [one for one in (await box.take(), await box.take()) if one is not None]
        box.give_back(first)
        found = [await box.take() for _ in range(4)]
        return [one.index for one in found if one is not None]

    assert run(taken()) == [0, 1, 2, 3]
