"""Who may start when: the queue in front of the pool, in virtual time, under the whole client."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.virtual_service import CHUNKS, DOWN, REFUSALS, SECONDS, UP, Answer, VirtualService, now, run
from tests.virtual_time import VirtualLoop
from zhipu_async import (
    AsyncZhipuAI,
    Limits,
    OverloadedError,
    PoolFull,
    RateLimitError,
    RequestTimeout,
    RetryPolicy,
    ServerError,
)
from zhipu_async.telemetry import AttemptFailed, Event
from zhipu_async.transport.admission import Queue

ONE = Limits(concurrency=1)
NO_SLEEP = RetryPolicy(base=0.0, overload_base=0.0)


def no_limit(now: float) -> int:
    """What a service that admits everything has."""
    return 1_000_000


def ask(client: AsyncZhipuAI, prompt: str = "Hello", **parameters: Any) -> Coroutine[Any, Any, Any]:
    """A direct call."""
    create: Any = client.chat.completions.create
    calling: Coroutine[Any, Any, Any] = create(
        model="glm-4.6", messages=[{"role": "user", "content": prompt}], **parameters
    )
    return calling


async def at_once(client: AsyncZhipuAI, calls: int) -> list[Any]:
    """So many direct calls at the same time."""
    return await asyncio.gather(*(ask(client, f"{number}") for number in range(calls)))


def idle(client: AsyncZhipuAI) -> bool:
    """Whether nothing is in flight or waits, of any model."""
    return all(not found.in_flight and not found.waiting for found in client.concurrency().values())


# ---------------------------------------------------------------- direct calls


def test_direct_calls_of_a_model_that_never_refused_all_start_at_once() -> None:
    """500 calls at the same time are 500 requests in the same moment, and no limit is known afterwards."""

    async def main() -> None:
        service = VirtualService()
        client = service.client()
        await at_once(client, 500)
        assert service.sent == [0.0] * 500
        assert service.most_on_wire == 500
        assert client.concurrency()["glm-4.6"].level is None
        assert idle(client)

    run(main())


def test_direct_calls_start_at_once_beside_a_run_too() -> None:
    """While a run that was never refused is going, 500 direct calls are 500 requests in the same moment."""

    async def main() -> None:
        service = VirtualService()
        client = service.client()
        async with client.fan_out((f"p{n}" for n in range(5000)), model="glm-4.6") as fan_out:
            async for _ in fan_out:
                if now() > 1.0:
                    break
            before, moment = service.on_wire, now()
            assert before > 16
            calls = asyncio.gather(*(ask(client, f"direct {number}") for number in range(500)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            direct = [when for when, body in zip(service.sent, service.order, strict=True) if b"direct" in body]
            assert direct == [moment] * 500
            await calls
        assert not service.refused
        assert idle(client)

    run(main())


@pytest.mark.parametrize(("limit", "seed"), [(40, 0), (40, 1), (8, 0)])
def test_five_hundred_direct_calls_against_a_small_limit_all_get_answers(limit: int, seed: int) -> None:
    """The first moment is refused beyond the limit; then calls wait for their turn, and hardly one is refused again."""

    async def main() -> None:
        service = VirtualService(limit, seed=seed)
        client = service.client()
        answers = await at_once(client, 500)
        assert all(answer.text == "Yes." for answer in answers)
        assert 500 - limit <= len(service.refused) <= 500 - limit + 10
        assert max(service.requests.values()) <= 3
        assert idle(client)
        refused = len(service.refused)
        await at_once(client, 500)
        assert len(service.refused) - refused <= 15

    run(main(), seed)


def test_a_refused_model_binds_no_other() -> None:
    """After a refusal of one model, 100 calls of another start in the same moment."""

    async def main() -> None:
        service = VirtualService(8)
        client = service.client()
        await at_once(client, 20)
        service.limit, sent = no_limit, len(service.sent)
        await asyncio.gather(*(ask(client, model="glm-4.5-air") for _ in range(100)))
        assert len(set(service.sent[sent:])) == 1

    async def ask(client: AsyncZhipuAI, model: str) -> None:
        await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])

    run(main())


def test_direct_calls_that_met_overload_are_not_bound() -> None:
    """1305 speaks of the model and not of the account: afterwards 100 calls still start in the same moment."""

    async def main() -> None:
        service = VirtualService(chance=lambda now: float(now < 0.1))
        client = service.client()
        await at_once(client, 10)
        sent = len(service.sent)
        await at_once(client, 100)
        assert len(set(service.sent[sent:])) == 1

    run(main())


def test_with_adaptive_off_a_refusal_limits_nothing() -> None:
    """With Limits(adaptive=False) calls are only repeated: after refusals 100 still start in the same moment."""

    async def main() -> None:
        service = VirtualService(8)
        client = service.client(limits=Limits(adaptive=False), max_retries=20)
        await at_once(client, 20)
        assert service.refused
        service.limit, sent = no_limit, len(service.sent)
        await at_once(client, 100)
        assert len(set(service.sent[sent:])) == 1

    run(main())


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_ceiling_holds_for_direct_calls(adaptive: bool) -> None:
    """With Limits(concurrency=7) never more than seven calls are in flight."""

    async def main() -> None:
        service = VirtualService()
        client = service.client(limits=Limits(concurrency=7, adaptive=adaptive))
        await at_once(client, 50)
        assert service.most_on_wire == 7
        assert idle(client)

    run(main())


def test_one_call_more_than_may_wait_is_refused_here() -> None:
    """With Limits(concurrency=2, waiting=3) the sixth call raises PoolFull and sends nothing; five are answered."""

    async def main() -> None:
        service = VirtualService()
        client = service.client(limits=Limits(concurrency=2, waiting=3))
        answers = await asyncio.gather(*(ask(client, f"{n}") for n in range(6)), return_exceptions=True)
        assert [isinstance(answer, PoolFull) for answer in answers] == [False] * 5 + [True]
        assert len(service.sent) == 5

    run(main())


# ---------------------------------------------------------------- attempts


def test_refusals_use_up_the_attempts_of_direct_calls() -> None:
    """Against a service that refuses everything, a direct call makes three requests and raises."""

    async def main() -> None:
        service = VirtualService(0)
        with pytest.raises(RateLimitError) as caught:
            await ask(service.client())
        assert len(service.sent) == len(caught.value.attempts) == 3

    run(main())


@pytest.mark.parametrize("code", ["1302", "1305"])
def test_refusals_do_not_use_up_the_attempts_of_a_run(code: str) -> None:
    """Calls that are refused for 20 s all get their answers, the first with more than three requests."""

    async def main() -> None:
        service = VirtualService(chance=lambda now: float(now < 20.0), code=code)
        outcomes = await service.client().fan_out((f"p{n}" for n in range(30)), model="glm-4.6").collect()
        assert all(outcome.ok for outcome in outcomes)
        assert max(outcome.attempts for outcome in outcomes) > 3
        assert [outcome.attempts for outcome in outcomes] == [service.requests[body_of(service, n)] for n in range(30)]

    def body_of(service: VirtualService, number: int) -> bytes:
        return next(body for body in service.requests if b'"p%d"' % number in body)

    run(main())


@pytest.mark.parametrize(("failures", "answered"), [(2, True), (3, False)])
def test_refusals_do_not_count_among_other_failures_of_a_run(failures: int, answered: bool) -> None:
    """After four refusals a call of a run still has its three attempts: two failures are repeated, three are not."""

    async def main() -> None:
        service = VirtualService(first=["1302", "1305", "1302", "1305", *["1234"] * failures])
        (outcome,) = await service.client().fan_out(["a"], model="glm-4.6").collect()
        assert outcome.ok is answered
        assert outcome.attempts == len(service.sent) == 7

    run(main())


def test_other_failures_use_up_the_attempts_of_a_run() -> None:
    """Against a service that fails with 1234, every call of a run makes three requests and is an error."""

    async def main() -> None:
        service = VirtualService(chance=lambda now: 1.0, code="1234")
        outcomes = await service.client().fan_out(["a", "b"], model="glm-4.6").collect()
        assert [type(outcome.error) for outcome in outcomes] == [ServerError] * 2
        assert [outcome.attempts for outcome in outcomes] == [3, 3]
        assert len(service.sent) == 6

    run(main())


def test_a_deadline_bounds_the_refusals_of_a_run() -> None:
    """Against a service that refuses everything, calls with a deadline of 5 s are errors by then."""

    async def main() -> None:
        service = VirtualService(0)
        outcomes = await service.client().fan_out((f"p{n}" for n in range(20)), model="glm-4.6", deadline=5.0).collect()
        assert len(outcomes) == 20
        assert all(isinstance(outcome.error, (RateLimitError, RequestTimeout)) for outcome in outcomes)
        assert all(outcome.seconds <= 5.0 + UP for outcome in outcomes)

    run(main())


# ---------------------------------------------------------------- places


class TellingWhen(VirtualService):
    """A service whose refusals say when to come back."""

    def __init__(self, seconds: str, limit: int | Callable[[float], int]) -> None:
        super().__init__(limit)
        self._seconds = seconds

    async def open(self, *given: Any, **more: Any) -> Any:
        answer = await super().open(*given, **more)
        if answer.status == 429:
            answer.headers = {**answer.headers, "retry-after": self._seconds}
        return answer


@pytest.mark.parametrize("seconds", ["0", "-5", "0.001"])
def test_a_run_that_may_come_back_at_once_does_not(seconds: str) -> None:
    """Retry-After: 0 with every refusal is no reason for more requests than without it: some per second, not
    thousands."""

    async def main() -> None:
        service = TellingWhen(seconds, limit=0)
        run = service.client().fan_out((f"p{n}" for n in range(200)), model="glm-4.6", deadline=30.0, concurrency=20)
        await run.collect()
        assert len(service.sent) <= 200 * 20
        assert max(service.requests.values()) <= 20

    run(main())


def test_a_retry_after_beyond_the_deadline_does_not_end_the_calls_of_a_run() -> None:
    """A service that recovers after 3 s and had said 60: with a deadline of 30 s all calls are answered."""

    async def main() -> None:
        service = TellingWhen("60", limit=lambda now: 0 if now < 3.0 else 100)
        run = service.client().fan_out((f"p{n}" for n in range(300)), model="glm-4.6", deadline=30.0)
        assert all(outcome.ok for outcome in await run.collect())

    run(main())


class SlowModel(VirtualService):
    """A service where model ``slow`` takes one call at a time, and the others any number."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()
        self.slow = self.most_slow = 0

    async def open(self, request: Any, *given: Any, **more: Any) -> Any:
        if request.model != "slow":
            return await super().open(request, *given, **more)
        self.slow += 1
        self.most_slow = max(self.most_slow, self.slow)
        try:
            if self.lock.locked():
                await asyncio.sleep(UP + DOWN)
                return Answer(429, REFUSALS["1302"])
            async with self.lock:
                return await super().open(request, *given, **more)
        finally:
            self.slow -= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_model_without_room_does_not_hold_the_places_of_a_run(seed: int) -> None:
    """With max_concurrency, calls that wait for their model leave the run's places to those of another."""

    async def main() -> None:
        service = SlowModel()
        create: Any = AsyncZhipuAI.chat.completions.create
        calls = [
            create.call(model="slow" if n % 10 == 0 else "fast", messages=[{"role": "user", "content": f"p{n}"}])
            for n in range(2000)
        ]
        client = service.client()
        async with client.fan_out(calls, max_concurrency=20) as fan_out:
            done = 0
            async for outcome in fan_out:
                arguments: Any = outcome.call.arguments
                assert outcome.ok
                done += arguments.model == "fast"
                if done == 1800:
                    break
            assert now() <= 1.5 * 1800 / (20 / (SECONDS + UP + DOWN))
            assert service.most_on_wire <= 20
        assert idle(client)

    run(main(), seed)


def test_a_call_that_sleeps_holds_no_place() -> None:
    """With one place, a call that was refused leaves it to the next in the moment of its refusal."""

    async def main() -> None:
        service = VirtualService(chance=lambda now: float(now < UP * 1.5))
        client = service.client(limits=ONE, retry=RetryPolicy(overload_base=10.0, overload_cap=10.0))
        first = asyncio.create_task(ask(client, "first"))
        second = asyncio.create_task(ask(client, "second"))
        await asyncio.gather(first, second)
        assert [b"first" in body for body in service.order] == [True, False, True]
        assert service.sent[1] == service.refused[0]

    run(main())


async def _read_on(stream: Any) -> None:
    async for _ in stream:
        pass


async def _close(stream: Any) -> None:
    await stream.close()


@pytest.mark.parametrize(
    ("end", "seconds"), [(_read_on, SECONDS * (CHUNKS - 1)), (_close, 0.0)], ids=["read to its end", "closed"]
)
def test_a_stream_holds_its_place_until_it_ends(
    end: Callable[[Any], Coroutine[Any, Any, None]], seconds: float
) -> None:
    """With one place, a call behind a stream is sent when the stream ends, not when it begins."""

    async def main() -> None:
        service = VirtualService()
        client = service.client(limits=ONE)
        stream = await ask(client, stream=True)
        opened = now()
        second = asyncio.create_task(ask(client, "second"))
        await asyncio.sleep(5.0)
        assert len(service.sent) == 1
        await end(stream)
        await second
        assert service.sent[1] == pytest.approx(opened + 5.0 + seconds)
        assert idle(client)

    run(main())


def test_a_stream_that_is_dropped_leaves_its_place() -> None:
    """With one place, a call behind a stream that nobody holds any more is sent."""

    async def main() -> None:
        service = VirtualService()
        client = service.client(limits=ONE)
        stream = await ask(client, stream=True)
        second = asyncio.create_task(ask(client, "second"))
        await asyncio.sleep(5.0)
        assert len(service.sent) == 1
        del stream
        gc.collect()
        await second
        assert idle(client)

    run(main())


# ---------------------------------------------------------------- cancelling


def test_cancelled_calls_leave_the_queue_whole() -> None:
    """Of twenty calls that wait for two places, fifteen are cancelled, anywhere: the others are sent in their order."""

    async def main() -> None:
        service = VirtualService()
        client = service.client(limits=Limits(concurrency=2))
        tasks = [asyncio.create_task(ask(client, f"<{number}>")) for number in range(22)]
        await asyncio.sleep(0.1)
        assert client.concurrency()["glm-4.6"].waiting == 20
        kept = [0, 1, 4, 9, 10, 17, 21]
        for number in set(range(22)) - set(kept):
            tasks[number].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [number for number, result in enumerate(results) if not isinstance(result, BaseException)] == kept
        assert [int(body.split(b"<")[1].split(b">")[0]) for body in service.order] == kept
        assert service.most_on_wire == 2
        assert idle(client)

    run(main())


def test_a_cancelled_call_in_flight_lets_the_next_start_in_the_same_moment() -> None:
    """With one place, the next call is sent when the one before it is cancelled."""

    async def main() -> None:
        service = VirtualService()
        client = service.client(limits=ONE)
        first, second = asyncio.create_task(ask(client, "first")), asyncio.create_task(ask(client, "second"))
        await asyncio.sleep(0.1)
        first.cancel()
        await second
        assert service.sent == [0.0, 0.1]
        assert idle(client)

    run(main())


def test_a_call_whose_turn_comes_while_it_is_cancelled_gives_its_place_on() -> None:
    """A waiting call that is cancelled in the very moment of its turn does not keep the place."""

    async def main() -> None:
        queue = Queue(asyncio.get_running_loop(), "glm-4.6", ONE)
        ticket = queue.ask(background=False)
        assert ticket is not None
        turns = [asyncio.create_task(queue.turn(background=False, repeat=False)) for _ in range(3)]
        await asyncio.sleep(0)
        queue.end(ticket, None)  # the first of those who wait may start now
        turns[0].cancel()
        second = await turns[1]
        assert turns[0].cancelled()
        queue.end(second, None)
        queue.end(await turns[2], None)
        assert (queue.concurrency.in_flight, queue.concurrency.waiting) == (0, 0)

    run(main())


def test_a_call_that_runs_out_of_time_in_the_queue_leaves_it() -> None:
    """A call whose deadline passes while it waits raises RequestTimeout, was never sent, and waits no longer."""

    async def main() -> None:
        service = VirtualService()
        client = service.client(limits=ONE)
        first = asyncio.create_task(ask(client))
        await asyncio.sleep(0)
        with pytest.raises(RequestTimeout) as caught:
            await ask(client, timeout=0.1)
        assert not caught.value.arrived
        assert client.concurrency()["glm-4.6"].waiting == 0
        await first
        assert len(service.sent) == 1
        assert idle(client)

    run(main())


# ---------------------------------------------------------------- who is next


def test_direct_calls_come_before_repeats_and_repeats_before_fresh_ones() -> None:
    """However they arrive: a direct repeat, direct calls, repeats of a run, fresh calls of a run."""

    async def main() -> None:
        queue = Queue(asyncio.get_running_loop(), "glm-4.6", ONE)
        ticket = queue.ask(background=False)
        assert ticket is not None
        started: list[str] = []

        async def wait(name: str, background: bool, repeat: bool) -> None:
            mine = await queue.turn(background=background, repeat=repeat)
            started.append(name)
            await asyncio.sleep(1.0)
            queue.end(mine, None)

        waiting = [
            wait("fresh 1", True, False),
            wait("repeat 1", True, True),
            wait("direct 1", False, False),
            wait("fresh 2", True, False),
            wait("direct 2", False, False),
            wait("repeat 2", True, True),
            wait("direct repeat", False, True),
        ]
        tasks = [asyncio.create_task(each) for each in waiting]
        await asyncio.sleep(0.1)
        assert not started
        queue.end(ticket, None)
        await asyncio.gather(*tasks)
        assert started == ["direct repeat", "direct 1", "direct 2", "repeat 1", "repeat 2", "fresh 1", "fresh 2"]

    run(main())


def test_nobody_overtakes_who_waits() -> None:
    """Where time alone makes room, a call that asks before the timer has run waits behind the one that waits."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        queue = Queue(loop, "glm-4.6", Limits())
        while queue.ask(background=True) is not None:
            pass  # the first level and its round are full
        turn = asyncio.create_task(queue.turn(background=True, repeat=False))
        await asyncio.sleep(0.3)  # the round was judged; the next one may begin a quarter of a second later
        assert not turn.done()
        loop.now += 0.5
        assert queue.ask(background=True) is None
        await turn
        assert queue.ask(background=True) is not None

    run(main())


def test_a_refused_call_of_a_run_is_sent_before_fresh_ones() -> None:
    """With one place, a refused call of a run is the first to be sent after its sleep, though a fresh one waits."""

    async def main() -> None:
        delays: list[float | None] = []

        def note(event: Event) -> None:
            if isinstance(event, AttemptFailed):
                delays.append(event.delay)

        service = VirtualService(chance=lambda now: float(now < UP * 1.5))
        client = service.client(limits=ONE, retry=RetryPolicy(overload_base=1.0), hooks=[note])
        await client.fan_out((f"<{n}>" for n in range(20)), model="glm-4.6").collect()
        assert len(delays) == 1
        assert delays[0] is not None
        back = service.refused[0] + delays[0]
        after = [body for when, body in zip(service.sent, service.order, strict=True) if when > back]
        assert b"<0>" in after[0]
        assert len(after) > 10

    run(main())


def test_a_direct_call_waits_for_one_answer_of_a_saturating_run_at_most() -> None:
    """With one place and a run that fills it, a direct call is sent when the call on the wire ends."""

    async def main() -> None:
        service = VirtualService()
        client = service.client(limits=ONE)
        async with client.fan_out((f"p{n}" for n in range(100)), model="glm-4.6") as fan_out:
            await anext(fan_out)
            for _ in range(5):
                await asyncio.sleep(0.07)
                sent = len(service.sent)
                await ask(client, "direct")
                assert b"direct" in service.order[sent]

    run(main())


def test_an_overloaded_direct_call_keeps_its_error() -> None:
    """A direct call that met 1305 three times raises OverloadedError and leaves nothing in flight."""

    async def main() -> None:
        service = VirtualService(chance=lambda now: 1.0)
        client = service.client(limits=ONE, retry=NO_SLEEP)
        with pytest.raises(OverloadedError):
            await ask(client)
        assert service.refused[-1] - service.sent[0] < 3 * (UP + DOWN + 0.1)
        assert idle(client)

    run(main())
