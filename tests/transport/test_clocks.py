"""The clocks of Timeouts: each fires for its own reason, is named in the error, and leaves the pool whole."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Serve
from tests.servers import DONE, LAST, STREAM_HEAD, Conversation, block, byte_server, chunk
from zhipu_async import AsyncZhipuAI, Limits, PoolTimeout, RateLimitError, RequestTimeout, Timeouts
from zhipu_async.simulator import Delivery, Pace, Refusal, Reply, Scenario, Simulator
from zhipu_async.transport.clocks import AttemptClock

Ask = Callable[..., dict[str, Any]]

SLOW_HEAD = Reply("Hi", times=None, delivery=Delivery(head_after=5))
SLOW_BODY = Reply("Hi", times=None, delivery=Delivery(body_after=5))
STALLED = Reply("Hello", times=None, pieces=["Hel", "lo"], delivery=Delivery(stops_after=1, then="hang"))


@pytest.mark.parametrize(
    ("clock", "timeouts", "reply", "stream"),
    [
        ("first_byte", Timeouts(first_byte=0.05), SLOW_HEAD, False),
        ("first_byte", Timeouts(first_byte=0.05), SLOW_HEAD, True),
        ("between", Timeouts(between=0.05), SLOW_BODY, False),
        ("between", Timeouts(between=0.05), SLOW_BODY, True),
        ("first_token", Timeouts(first_token=0.05), SLOW_BODY, True),
        ("first_token", Timeouts(first_token=0.05), SLOW_HEAD, True),
        ("total", Timeouts(total=0.05), SLOW_HEAD, False),
        ("total", Timeouts(total=0.05), SLOW_BODY, True),
        ("total", 0.05, SLOW_HEAD, False),
        ("total", 0.05, SLOW_BODY, True),
    ],
)
async def test_a_clock_that_fires_is_named(
    serve: Serve, ask: Ask, clock: str, timeouts: float | Timeouts, reply: Reply, stream: bool
) -> None:
    """The error says which clock, what it was set to, and comes when it is due."""
    client, _ = await serve(Scenario(replies=[reply]), max_retries=0)
    before = time.monotonic()
    with pytest.raises(RequestTimeout) as caught:
        await client.chat.completions.create(**ask(stream=stream, timeout=timeouts))
    assert 0.04 < time.monotonic() - before < 2
    assert (caught.value.clock, caught.value.seconds) == (clock, 0.05)
    assert clock in str(caught.value)
    assert client.pool.statistics().in_use == 0


async def test_phases_that_change_hold_no_limit_up() -> None:
    """What is over for the whole attempt ends it, however often a phase of it begins anew."""
    loop = asyncio.get_running_loop()

    async def attempt() -> None:
        with AttemptClock(loop) as clock:
            clock.cap("total", 0.02, loop.time())
            for _ in range(1000):
                clock.phase("between", 10)
                await asyncio.sleep(0.004)

    with pytest.raises(RequestTimeout) as caught:
        await attempt()
    assert caught.value.clock == "total"


async def test_connect_has_its_own_clock(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name look-up that hangs is ended by the connect clock; nothing was sent."""
    loop = asyncio.get_running_loop()

    async def hanging(*_: Any, **__: Any) -> list[Any]:
        await asyncio.sleep(10)
        return []

    monkeypatch.setattr(loop, "getaddrinfo", hanging)
    client = AsyncZhipuAI("k.s", base_url="http://name.invalid", timeout=Timeouts(connect=0.05), max_retries=0)
    with pytest.raises(RequestTimeout) as caught:
        await client.chat.completions.create(**ask())
    assert caught.value.clock == "connect"
    assert not caught.value.arrived
    await client.close()


async def test_waiting_for_the_pool_has_its_own_clock(ask: Ask) -> None:
    """PoolTimeout names the pool clock; the place in the queue is given up."""
    limits = Limits(connections=1)
    async with (
        Simulator(Scenario(pace=Pace(per_chunk=0.2))) as sim,
        AsyncZhipuAI(sim.api_key, base_url=sim.base_url, limits=limits, max_retries=0) as client,
    ):
        async with await client.chat.completions.create(**ask(stream=True)):
            with pytest.raises(PoolTimeout) as caught:
                await client.chat.completions.create(**ask(timeout=Timeouts(pool=0.05)))
            assert caught.value.clock == "pool"
            assert client.pool.statistics().waiting == 0
        assert len(sim.requests) == 1


async def test_between_fires_in_the_middle_of_a_stream_and_keeps_what_came(serve: Serve, ask: Ask) -> None:
    """Silence in the middle of a stream: the error comes from iterating, the result so far is there."""
    client, _ = await serve(Scenario(replies=[STALLED]))
    stream = await client.chat.completions.create(**ask(stream=True, timeout=Timeouts(between=0.05)))
    with pytest.raises(RequestTimeout) as caught:
        async for _ in stream:
            pass
    assert caught.value.clock == "between"
    assert stream.result.text == "Hel"
    assert client.pool.statistics().in_use == 0


async def test_between_does_not_fire_because_the_user_is_slow(serve: Serve, ask: Ask) -> None:
    """A reader that sleeps longer than the clock between chunks reads the whole stream."""
    client, _ = await serve(Scenario(replies=[Reply("abcdef", pieces=list("abcdef"))], pace=Pace(per_chunk=0.01)))
    stream = await client.chat.completions.create(**ask(stream=True, timeout=Timeouts(between=0.06)))
    text = ""
    async for piece in stream.text_deltas():
        text += piece
        await asyncio.sleep(0.08)
    assert text == "abcdef"


async def test_comments_are_bytes_but_no_tokens(ask: Ask) -> None:
    """Keep-alive comments feed the between clock, and do not feed the first_token clock."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(STREAM_HEAD)
        for _ in range(20):
            await talk.send(block(b": keep-alive\n\n"))
            await asyncio.sleep(0.02)
        await talk.send(block(chunk("Hi", "stop") + DONE) + LAST)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        stream = await client.chat.completions.create(**ask(stream=True, timeout=Timeouts(between=0.15)))
        assert (await stream.until_done()).text == "Hi"
        with pytest.raises(RequestTimeout) as caught:
            await client.chat.completions.create(**ask(stream=True, timeout=Timeouts(first_token=0.1, between=0.15)))
        assert caught.value.clock == "first_token"


async def test_total_of_a_stream_ends_at_the_first_token(serve: Serve, ask: Ask) -> None:
    """A stream may run longer than total, not longer than stream_total."""
    scenario = Scenario(replies=[Reply("abcdef", pieces=list("abcdef"), times=None)], pace=Pace(per_chunk=0.04))
    client, _ = await serve(scenario, max_retries=0)
    stream = await client.chat.completions.create(**ask(stream=True, timeout=Timeouts(total=0.15)))
    assert (await stream.until_done()).text == "abcdef"
    stream = await client.chat.completions.create(**ask(stream=True, timeout=Timeouts(stream_total=0.15)))
    with pytest.raises(RequestTimeout) as caught:
        await stream.until_done()
    assert caught.value.clock == "stream_total"


async def test_a_plain_number_bounds_the_whole_wait_of_a_call(serve: Serve, ask: Ask) -> None:
    """total covers attempts and sleeps together: three slow attempts do not add up."""
    client, _ = await serve(Scenario(replies=[SLOW_HEAD]))
    before = time.monotonic()
    with pytest.raises(RequestTimeout) as caught:
        await client.with_options(timeout=0.1).chat.completions.create(**ask())
    assert caught.value.clock == "total"
    assert time.monotonic() - before < 1


async def test_a_cancelled_call_is_cancelled_not_timed_out(serve: Serve, ask: Ask) -> None:
    """Cancellation from outside stays CancelledError although clocks are running."""
    client, _ = await serve(Scenario(replies=[SLOW_HEAD]))
    task = asyncio.create_task(client.chat.completions.create(**ask(timeout=5)))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await client.chat.completions.create(**ask(timeout=5))
    assert client.pool.statistics().in_use == 0
    assert client.statistics()["glm-4.6"].cancelled == 2


@pytest.mark.parametrize("lingers", [0.0, 0.02])
async def test_no_timer_outlives_its_call(serve: Serve, ask: Ask, lingers: float) -> None:
    """After calls and streams have ended, no timer of theirs is left on the loop, so nothing keeps them alive; nor when
    the end of a stream comes after its ``[DONE]``."""
    client, _ = await serve(Scenario(replies=[Reply("Hi", times=None, delivery=Delivery(lingers=lingers))]))
    await client.chat.completions.create(**ask(timeout=100))
    await (await client.chat.completions.create(**ask(stream=True, timeout=100))).until_done()
    async with asyncio.timeout(5):
        while client.pool.statistics().in_use:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    timers: list[Any] = [
        handle
        for handle in getattr(asyncio.get_running_loop(), "_scheduled", [])
        if not handle.cancelled() and "zhipu_async/transport/clocks" in repr(handle)
    ]
    assert timers == []


async def test_stream_total_counts_from_the_call(ask: Ask, serve: Serve) -> None:
    """It ends a stream whose answer never begins, and no sleep is begun that would cross it."""
    client, _ = await serve(Scenario(replies=[SLOW_HEAD]), max_retries=0, timeout=Timeouts(stream_total=0.05))
    with pytest.raises(RequestTimeout) as caught:
        await asyncio.wait_for(client.chat.completions.create(**ask(stream=True)), 2)
    assert caught.value.clock == "stream_total"
    refusal = Refusal("1302", times=None, headers={"Retry-After": "3"})
    client, sim = await serve(Scenario(replies=[refusal]), timeout=Timeouts(stream_total=1))
    with pytest.raises(RateLimitError):
        await asyncio.wait_for(client.chat.completions.create(**ask(stream=True)), 2)
    assert len(sim.requests) == 1


async def test_first_token_does_not_count_the_queue(ask: Ask) -> None:
    """Waiting for a connection has a clock of its own; first_token begins when the request is sent."""
    scenario = Scenario(replies=[Reply("Hi", times=None, delivery=Delivery(head_after=0.6))])
    settings: dict[str, Any] = {"limits": Limits(connections=1), "timeout": Timeouts(first_token=1.5)}
    async with Simulator(scenario) as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url, **settings) as client:

        async def call() -> str | None:
            return (await (await client.chat.completions.create(**ask(stream=True))).until_done()).text

        assert await asyncio.gather(*(call() for _ in range(3))) == ["Hi"] * 3
        assert len(sim.requests) == 3


@pytest.mark.parametrize("clock", ["between", "first_byte", "first_token", "total"])
def test_no_clock_fires_because_the_loop_was_held_up(ask: Ask, clock: str) -> None:
    """Bytes that came while something blocked the loop are read before the silence is judged."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        if clock != "between":
            await asyncio.sleep(0.1)
        await talk.send(STREAM_HEAD + block(chunk("a")))
        for _ in range(5):
            await asyncio.sleep(0.1)
            await talk.send(block(chunk("b")))
        await talk.send(block(chunk("c", "stop") + DONE) + LAST)

    url: queue.Queue[str] = queue.Queue()
    over = threading.Event()

    async def serve() -> None:
        async with byte_server(handler) as server:
            url.put(server.url)
            await asyncio.to_thread(over.wait, 10)

    async def read() -> str | None:
        timeouts = Timeouts(**{clock: 0.2})
        async with AsyncZhipuAI("k.s", base_url=url.get(timeout=5), timeout=timeouts, max_retries=0) as client:
            if clock != "between":
                asyncio.get_running_loop().call_later(0.05, time.sleep, 0.4)
            stream = await client.chat.completions.create(**ask(stream=True))
            if clock == "between":
                asyncio.get_running_loop().call_later(0.05, time.sleep, 0.4)
            return (await stream.until_done()).text

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert asyncio.run(read()) == "abbbbbc"
    finally:
        over.set()
        thread.join()
