"""What a run may spend, identical calls, and what it tells of its progress."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fanning import Gate, Pulls, Service, broken, call, calls, drawing, fan, take_all, text_of, texts
from tests.virtual_time import run
from zhipu_async import AsyncZhipuAI
from zhipu_async.errors import BadRequestError, ConfigError, TokenBudgetSpent
from zhipu_async.fanout import LAST_WORD
from zhipu_async.outcomes import RunProgress
from zhipu_async.protocol.endpoint import Call

# ------------------------------------------------------------ tokens


@pytest.mark.parametrize(("budget", "answered"), [(1000, 10), (101, 10), (100, 10), (99, 10), (90, 9), (11, 2), (1, 1)])
def test_a_budget_of_tokens_ends_the_run_only_where_there_is_more_to_send(budget: int, answered: int) -> None:
    """Ten calls of ten tokens, one at a time: it is an error only when a call is left unsent because of it."""
    service = Service(tokens=10)
    outcomes, error = run(take_all(fan(service, calls(10), concurrency=1, token_budget=budget)))
    assert len(outcomes) == len(service.sent) == answered
    assert isinstance(error, TokenBudgetSpent) == (answered < 10)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_spent_budget_finishes_what_is_on_the_wire(gated: bool, ordered: bool) -> None:
    """The fifth answer spends it; three others are finished and given, what waits for its turn is not sent."""
    service = Service(seconds=lambda text: 1.0 + int(text), tokens=10, window=Gate(4) if gated else None)
    pulls = Pulls()

    async def taken() -> None:
        options: dict[str, Any] = {} if gated else {"concurrency": 4}
        outcomes, error = await take_all(fan(service, pulls.plain(), ordered=ordered, token_budget=50, **options))
        assert isinstance(error, TokenBudgetSpent)
        assert (error.budget, error.tokens) == (50, 80)
        assert sorted(texts(outcomes)) == sorted(service.sent)
        assert len(outcomes) == 8
        assert pulls.taken <= 9
        assert service.cancelled == []

    run(taken())


def test_a_spent_budget_ends_calls_that_sleep() -> None:
    """A call between two repeats would be sent again: it is not."""
    service = Service(tokens=10, window=Gate(4), rests={"0": 3600.0})
    outcomes, error = run(take_all(fan(service, calls(3), token_budget=20)))
    assert isinstance(error, TokenBudgetSpent)
    assert sorted(texts(outcomes)) == ["1", "2"]
    assert service.sent == ["0", "1", "2"]


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_spent_budget_does_not_wait_for_the_input(gated: bool, ordered: bool) -> None:
    """What is on the wire is finished and given; an input that has nothing for an hour is closed, not waited for."""
    closed = False

    async def blocked() -> AsyncIterator[Call[Any]]:
        nonlocal closed
        try:
            for one in calls(4):
                yield one
            await asyncio.sleep(3600.0)
        finally:
            closed = True

    service = Service(seconds=lambda text: 1.0 + int(text), tokens=10, window=Gate(6) if gated else None)

    async def taken() -> None:
        outcomes, error = await take_all(fan(service, blocked(), ordered=ordered, token_budget=20))
        assert isinstance(error, TokenBudgetSpent)
        assert error.tokens == 40
        assert texts(outcomes) == ["0", "1", "2", "3"]
        assert asyncio.get_running_loop().time() == pytest.approx(4.0 + LAST_WORD)
        assert closed

    run(taken())


@pytest.mark.parametrize("size", [1, 8])
def test_an_input_that_ends_after_the_budget_is_no_error(size: int) -> None:
    """It has a moment to say that there is nothing more."""

    async def slow() -> AsyncIterator[Call[Any]]:
        for one in calls(4):
            yield one
            await asyncio.sleep(0.5)

    outcomes, error = run(take_all(fan(Service(seconds=0.1, tokens=10), slow(), concurrency=size, token_budget=40)))
    assert (len(outcomes), error) == (4, None)


def test_answers_without_usage_cost_nothing() -> None:
    """They are no reason to stop, and no reason to fail."""

    class Speaking(Service):
        async def send(self, call: Any, keep: Any = None) -> Any:
            return b"audio"

    outcomes, error = run(take_all(fan(Speaking(), calls(20), token_budget=1)))
    assert (len(outcomes), error) == (20, None)


# ------------------------------------------------------------ identical calls


@settings(max_examples=100, deadline=None)
@given(
    which=st.lists(st.integers(0, 4), max_size=30),
    failing=st.sets(st.integers(0, 4)),
    ordered=st.booleans(),
    named=st.booleans(),
    size=st.integers(1, 6),
    window=st.integers(1, 8),
    gated=st.booleans(),
    slow=st.dictionaries(st.integers(0, 4), st.sampled_from([0.0, 1.0, 5.0]), max_size=5),
)
def test_identical_calls_are_sent_once_and_each_has_its_outcome(
    which: list[int],
    failing: set[int],
    ordered: bool,
    named: bool,
    size: int,
    window: int,
    gated: bool,
    slow: dict[int, float],
) -> None:
    """Adjacent or far apart, in flight or finished, failed or not: one request for each, all places and ids right."""
    fails = {str(index): broken() for index in failing}
    service = Service(
        seconds=lambda text: slow.get(int(text), 0.5),
        fails=fails,
        window=Gate(size) if gated else None,
    )
    source: Any = [call(str(index)) for index in which]
    source = [(f"id-{place}", one) for place, one in enumerate(source)] if named else source
    options: dict[str, Any] = {} if gated else {"concurrency": size}
    outcomes = run(fan(service, source, ordered=ordered, dedupe=True, window=window, **options).collect())
    assert service.times == {str(index): 1 for index in which}
    assert [outcome.index for outcome in outcomes] == list(range(len(which)))
    assert [outcome.id for outcome in outcomes] == [
        f"id-{place}" if named else str(place) for place in range(len(which))
    ]
    for index, outcome in zip(which, outcomes, strict=True):
        assert text_of(outcome.call) == str(index)
        assert outcome.ok == (index not in failing)
        assert outcome.unwrap().text == str(index) if outcome.ok else outcome.error is fails[str(index)]
    assert [outcome.replayed for outcome in outcomes].count(False) == len(set(which))


def test_copies_say_what_they_cost() -> None:
    """No requests, and the time that they waited themselves: none where the answer was there."""

    def source() -> Iterator[Any]:
        yield from (call("a"), call("a"), call("b"), call("c"), call("a"))

    service = Service(seconds=lambda text: 4.0)
    outcomes = run(fan(service, source(), dedupe=True, concurrency=2).collect())
    assert [outcome.attempts for outcome in outcomes] == [1, 0, 1, 1, 0]
    assert [outcome.replayed for outcome in outcomes] == [False, True, False, False, True]
    assert [outcome.seconds for outcome in outcomes] == [4.0, 4.0, 4.0, 4.0, 0.0]


@pytest.mark.parametrize("dedupe", [True, False])
def test_without_dedupe_identical_calls_are_sent_as_often_as_they_come(dedupe: bool) -> None:
    """The default makes no assumption about answers: a model gives another each time."""
    service = Service()
    run(fan(service, [call("a")] * 5, dedupe=dedupe).collect())
    assert len(service.sent) == (1 if dedupe else 5)


def test_calls_that_differ_in_anything_that_is_sent_are_not_identical() -> None:
    """Another model, another input, another endpoint, another body member."""
    embed = AsyncZhipuAI.embeddings.create.call
    several = [
        embed(model="embedding-3", input="a"),
        embed(model="embedding-2", input="a"),
        embed(model="embedding-3", input="b"),
        embed(model="embedding-3", input="a", dimensions=256),
        embed(model="embedding-3", input="a", extra_body={"user": "u"}),
        drawing("a"),
    ]
    service = Service()
    run(fan(service, several, dedupe=True).collect())
    assert len(service.sent) == len(several)


def test_a_call_that_cannot_be_written_fails_alone() -> None:
    """NaN in one call is that call's ConfigError, with dedupe as without; the others are sent."""
    wrong = AsyncZhipuAI.embeddings.create.call(model="embedding-3", input="x", extra_body={"number": float("nan")})
    service = Service()
    outcomes = run(fan(service, [wrong, call("a"), wrong], dedupe=True).collect())
    assert [type(outcome.error) for outcome in outcomes] == [ConfigError, type(None), ConfigError]
    assert service.sent == ["a"]


def test_a_call_that_fails_before_others_take_part_fails_for_all() -> None:
    """The copies of a refused call get its error, and it is not sent for them again."""
    error = BadRequestError("wrong", status=400, code="1214")
    service = Service(fails={"a": error})
    outcomes = run(fan(service, [call("a")] * 20, dedupe=True, concurrency=1).collect())
    assert service.sent == ["a"]
    assert [outcome.error for outcome in outcomes] == [error] * 20


# ------------------------------------------------------------ progress


def watched(number: int, seconds: float, **options: Any) -> list[tuple[float, RunProgress]]:
    """What a hook is told by a run, and when."""
    seen: list[tuple[float, RunProgress]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        service = options.pop("service", None) or Service(seconds=seconds)
        source = options.pop("source", None) or calls(number)

        def hook(progress: RunProgress) -> None:
            seen.append((loop.time(), progress))

        await take_all(fan(service, source, progress=hook, **options))

    run(main())
    return seen


@pytest.mark.parametrize(("number", "seconds", "size"), [(300, 0.01, 1), (40, 0.5, 3), (1000, 0.25, 100), (3, 30.0, 1)])
def test_progress_is_told_ten_times_a_second_at_most_and_at_the_end(number: int, seconds: float, size: int) -> None:
    """Only the last, which tells of the end, may come sooner after the one before it; counts never go back."""
    seen = watched(number, seconds, concurrency=size)
    times = [when for when, _ in seen]
    assert all(later - earlier >= 0.0999 for earlier, later in itertools.pairwise(times[:-1]))
    assert len(seen) >= 2
    for (_, before), (_, after) in itertools.pairwise(seen):
        assert (before.done, before.tokens, before.seconds) <= (after.done, after.tokens, after.seconds)
    last = seen[-1][1]
    assert (last.done, last.total, last.in_flight, last.remaining) == (number, number, 0, 0.0)


def test_an_empty_run_tells_of_its_end() -> None:
    """Once, with nothing done."""
    seen = watched(0, 1.0)
    assert [(one.done, one.total) for _, one in seen] == [(0, 0)]


@pytest.mark.parametrize("total", [None, 200])
def test_a_generator_has_the_total_that_was_said_until_it_ends(total: int | None) -> None:
    """Then the true one; and without a total no end is estimated before."""
    seen = watched(0, 1.0, source=(one for one in calls(100)), total=total, concurrency=4)
    before = [one for _, one in seen if one.done < 96]
    assert {one.total for one in before} == {total}
    assert all((one.remaining is None) == (total is None) for one in before)
    assert (seen[-1][1].total, seen[-1][1].remaining) == (100, 0.0)


def test_progress_measures_rates_and_the_end() -> None:
    """Four calls at a time of two seconds and five tokens each."""
    seen = watched(400, 2.0, service=Service(seconds=2.0, tokens=5), concurrency=4)
    middle = next(one for _, one in seen if one.done >= 200)
    assert middle.rate == pytest.approx(2.0, rel=0.25)
    assert middle.token_rate == pytest.approx(10.0, rel=0.25)
    assert middle.remaining == pytest.approx((400 - middle.done) / 2.0, rel=0.25)
    assert (middle.concurrency, middle.in_flight <= 4, middle.failed, middle.replayed) == (4, True, 0, 0)


def test_a_hook_that_raises_does_not_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """It is called again, its failure is logged, and every outcome comes."""
    called = 0

    def hook(progress: RunProgress) -> None:
        nonlocal called
        called += 1
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        outcomes, error = run(take_all(fan(Service(), calls(30), concurrency=2, progress=hook)))
    assert (len(outcomes), error) == (30, None)
    assert called > 5
    assert caplog.text.count("the progress hook") == called


def test_progress_can_be_asked_for_at_any_time() -> None:
    """Before the beginning, in the middle and after the end."""

    async def main() -> list[tuple[int, int | None]]:
        fanned = fan(Service(), calls(6), concurrency=2)
        seen = [fanned.progress]
        async for _ in fanned:
            seen.append(fanned.progress)
        return [(one.done, one.total) for one in [*seen, fanned.progress]]

    seen = run(main())
    assert seen[0] == (0, 6)
    assert seen[-1] == (6, 6)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
