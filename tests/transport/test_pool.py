"""The pool: which connection carries what, and when it is let go."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import SHORT_SLEEPS, Serve
from tests.servers import COMPLETION, DONE, LAST, STREAM_HEAD, Conversation, block, byte_server, chunk
from zhipu_async import AsyncZhipuAI, ClientClosedError, ConnectError, ConnectionLost, Limits, PoolFull
from zhipu_async.simulator import Delivery, HangUp, Pace, Reply, Scenario, Simulator
from zhipu_async.transport.loop_pool import LoopPool

Ask = Callable[..., dict[str, Any]]


async def test_a_hundred_streams_in_a_row_use_one_connection(serve: Serve, ask: Ask) -> None:
    """A stream read to [DONE] gives its connection back in time for the next call."""
    client, sim = await serve()
    for _ in range(100):
        async for _ in await client.chat.completions.create(**ask(stream=True)):
            pass
    assert sim.connections.opened == 1
    assert client.pool.statistics().in_use == 0


async def test_the_end_of_a_body_that_comes_late_is_waited_for_in_the_background(ask: Ask) -> None:
    """[DONE] ends the stream for the user at once; the next call uses the connection once the body has ended."""
    ended: list[float] = []

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.send(STREAM_HEAD + block(chunk("Hi", "stop") + DONE))
            await asyncio.sleep(0.01)
            ended.append(asyncio.get_running_loop().time())
            await talk.send(LAST)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        for _ in range(5):
            stream = await client.chat.completions.create(**ask(stream=True))
            assert (await stream.until_done()).text == "Hi"
            done = asyncio.get_running_loop().time()
            assert len(ended) < len(server.requests) or done - ended[-1] < 0.005
        assert server.opened == 1


async def test_a_body_that_never_ends_after_done_costs_its_connection_only(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that keeps the body open after [DONE] delays nobody and leaves nothing in use."""
    monkeypatch.setattr("zhipu_async.transport.loop_pool.DRAIN_SECONDS", 0.05)
    scenario = Scenario(replies=[Reply("Hi", times=None, delivery=Delivery(lingers=30))])
    async with Simulator(scenario) as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
        for _ in range(3):
            stream = await client.chat.completions.create(**ask(stream=True))
            assert (await stream.until_done()).text == "Hi"
        await asyncio.sleep(0.2)
        assert client.pool.statistics().in_use == 0
        assert await sim.wait_until(lambda: sim.connections.open == 0, timeout=2) is not False


@pytest.mark.parametrize("connections", [1, 20])
async def test_a_body_that_never_ends_after_done_holds_nobody_up(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    """Where calls wait for its place it is closed soon; where none do, they open a connection of their own at once."""
    monkeypatch.setattr("zhipu_async.transport.loop_pool.DRAIN_SECONDS", 30)
    scenario = Scenario(replies=[Reply("Hi", times=None, delivery=Delivery(lingers=30))])
    limits = Limits(connections=connections)
    async with Simulator(scenario) as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url, limits=limits) as client:

        async def call() -> str | None:
            return (await (await client.chat.completions.create(**ask(stream=True))).until_done()).text

        async with asyncio.timeout(10):
            assert await asyncio.gather(*(call() for _ in range(5))) == ["Hi"] * 5
            assert [await call() for _ in range(5)] == ["Hi"] * 5
        assert sim.connections.opened == 10


async def test_only_drains_of_the_same_service_are_waited_for(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new call has nothing of a connection that is about to come back from elsewhere, or that is not about to."""
    waited: list[int] = []
    about_to_come = LoopPool._about_to_come

    def noted(pool: LoopPool, route: Any) -> Any:
        found = about_to_come(pool, route)
        waited.append(len(found))
        return found

    monkeypatch.setattr(LoopPool, "_about_to_come", noted)
    lingering = Scenario(replies=[Reply("Hi", times=None, delivery=Delivery(lingers=0.7))])
    async with Simulator(lingering) as here, Simulator() as there, AsyncZhipuAI(here.api_key) as client:
        one, other = (client.with_options(base_url=sim.base_url) for sim in (here, there))
        for asked in (one, one, other):
            await (await asked.chat.completions.create(**ask(stream=True))).until_done()
        await asyncio.sleep(0.2)
        await (await one.chat.completions.create(**ask(stream=True))).until_done()
    assert waited == [0, 1, 0, 0]


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "end of file"])
async def test_the_idle_race_is_repeated_at_once_outside_the_count(serve: Serve, ask: Ask, reset: bool) -> None:
    """A reused connection that closes before any byte of the answer: one more request, although no retry is allowed."""
    client, sim = await serve(Scenario(replies=[Reply("1"), HangUp(reset=reset), Reply("2")]), max_retries=0)
    assert (await client.chat.completions.create(**ask())).text == "1"
    reply = await client.chat.completions.create(**ask())
    assert reply.text == "2"
    assert reply.timing is not None
    assert reply.timing.attempts == 1
    assert (len(sim.requests), sim.connections.opened) == (3, 2)


async def test_the_idle_race_is_repeated_once_per_attempt(serve: Serve, ask: Ask) -> None:
    """The fresh connection breaks too: that is an ordinary failure, and without retries the end."""
    client, sim = await serve(Scenario(replies=[Reply("1"), HangUp(times=None)]), max_retries=0)
    await client.chat.completions.create(**ask())
    with pytest.raises(ConnectionLost):
        await client.chat.completions.create(**ask())
    assert len(sim.requests) == 3


async def test_a_fresh_connection_that_breaks_is_an_ordinary_retry(serve: Serve, ask: Ask) -> None:
    """Three hang-ups on fresh connections use up two retries; a chat call creates nothing, so it is repeated."""
    client, sim = await serve(Scenario(replies=[HangUp(times=None)]))
    with pytest.raises(ConnectionLost) as caught:
        await client.chat.completions.create(**ask())
    assert len(sim.requests) == 3
    assert [record.number for record in caught.value.attempts] == [1, 2, 3]


async def test_a_call_that_creates_something_goes_on_a_fresh_connection_and_is_not_repeated(
    serve: Serve, ask: Ask
) -> None:
    """The idle race cannot hit it, and after a broken connection nobody knows whether it arrived: one request."""
    client, sim = await serve(Scenario(replies=[Reply("1"), Reply("2"), HangUp()]))
    await client.chat.completions.create(**ask())
    await client.request("POST", "/chat/completions", json=ask())
    assert sim.connections.opened == 2
    with pytest.raises(ConnectionLost) as caught:
        await client.request("POST", "/chat/completions", json=ask())
    assert caught.value.arrived
    assert len(sim.requests) == 3


async def test_a_call_that_creates_something_is_repeated_when_nothing_was_sent() -> None:
    """A connection that cannot be made is proof that nothing arrived: all attempts are used."""
    client = AsyncZhipuAI("k.s", base_url="http://127.0.0.1:1", retry=SHORT_SLEEPS)
    with pytest.raises(ConnectError) as caught:
        await client.request("POST", "/files", json={})
    assert len(caught.value.attempts) == 3
    assert not caught.value.arrived
    await client.close()


async def test_a_connection_that_closed_while_idle_is_not_used(ask: Ask) -> None:
    """A server that closes after each answer costs a new connection each time and no failure."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(COMPLETION)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        for _ in range(20):
            assert (await client.chat.completions.create(**ask())).text == "Hi"
            await asyncio.sleep(0)
        assert server.opened == len(server.requests) == 20


async def test_idle_connections_are_closed_after_the_keep_alive(serve: Serve, ask: Ask) -> None:
    """An idle connection is closed by us before the service would do it, with no further call needed."""
    client, sim = await serve(limits=Limits(keep_alive=0.05))
    await client.chat.completions.create(**ask())
    assert client.pool.statistics().idle == 1
    await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
    assert sim.connections.open == 0
    assert client.pool.statistics().idle == 0


async def test_calls_wait_for_a_connection_in_order_and_only_so_many(ask: Ask) -> None:
    """With one connection and one place to wait, the third call is refused at once and nothing of it was sent."""
    scenario = Scenario(replies=[Reply("Hi", times=None, delivery=Delivery(head_after=0.05))])
    limits = Limits(connections=1, waiting=1)
    async with Simulator(scenario) as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url, limits=limits) as client:
        first = asyncio.create_task(client.chat.completions.create(**ask()))
        second = asyncio.create_task(client.chat.completions.create(**ask()))
        await asyncio.sleep(0.02)
        assert client.pool.statistics().waiting == 1
        with pytest.raises(PoolFull):
            await client.chat.completions.create(**ask())
        await first
        reply = await second
        assert reply.timing is not None
        assert reply.timing.queue > 0.01
        assert (len(sim.requests), sim.connections.opened) == (2, 1)


async def test_a_cancelled_wait_for_a_connection_leaves_the_queue_whole(ask: Ask) -> None:
    """Cancelling one who waits, also in the moment of his turn, loses no place of the pool."""
    scenario = Scenario(replies=[Reply("Hi", times=None, delivery=Delivery(head_after=0.01))])
    limits = Limits(connections=2)
    async with Simulator(scenario) as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url, limits=limits) as client:
        for delay in (0.0, 0.005, 0.01, 0.012, 0.02):
            tasks = [asyncio.create_task(client.chat.completions.create(**ask())) for _ in range(12)]
            await asyncio.sleep(delay)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            statistics = client.pool.statistics()
            assert (statistics.in_use, statistics.waiting) == (0, 0)
        assert (await client.chat.completions.create(**ask())).text == "Hi"


async def test_cancelling_at_every_await_leaves_nothing_in_use(serve: Serve, ask: Ask) -> None:
    """However many rounds of the loop a call was given before it is cancelled, plain or streamed, all is given back."""
    client, sim = await serve(Scenario(pace=Pace(first_token=0.002, per_chunk=0.001)))
    for stream in (False, True):
        for rounds in range(60):

            async def call(stream: bool = stream) -> None:
                answer = await client.chat.completions.create(**ask(stream=stream))
                if stream:
                    async for _ in answer:
                        pass

            task = asyncio.create_task(call())
            for _ in range(rounds):
                await asyncio.sleep(0.0002 if rounds > 30 else 0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert client.pool.statistics().in_use == 0
    await sim.wait_until(lambda: sim.in_flight == 0, timeout=2)
    assert sim.in_flight == 0


async def test_a_closed_client_says_so(serve: Serve, ask: Ask) -> None:
    """After close() a call is refused before anything is sent; closing twice does no harm."""
    client, sim = await serve()
    await client.close()
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.chat.completions.create(**ask())
    assert sim.requests == []


async def test_a_client_that_is_forgotten_while_its_loop_runs_warns(ask: Ask) -> None:
    """ResourceWarning names the way out, and the connections are closed all the same."""
    async with Simulator() as sim:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url)
        await client.chat.completions.create(**ask())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()
        assert [str(warning.message) for warning in caught if "AsyncZhipuAI" in str(warning.message)]
        assert {warning.category for warning in caught} == {ResourceWarning}
        await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
        assert sim.connections.open == 0


async def test_a_resource_or_stream_outlives_the_name_of_its_client(ask: Ask) -> None:
    """A client that is only reachable through its resource or an open stream is not taken for forgotten."""
    async with Simulator(Scenario(pace=Pace(per_chunk=0.002))) as sim:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url)
        completions = client.chat.completions
        pool = client.pool
        del client
        gc.collect()
        stream = await completions.create(**ask(stream=True))
        del completions
        gc.collect()
        assert (await stream.until_done()).text
        await pool.close()


async def test_all_who_wait_can_be_cancelled_together_with_who_holds_the_connection(ask: Ask) -> None:
    """Each gets CancelledError, although the slot that becomes free passes over those who are cancelled already."""
    scenario = Scenario(replies=[Reply("Hi", times=None, delivery=Delivery(head_after=5))])
    limits = Limits(connections=1)
    async with Simulator(scenario) as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url, limits=limits) as client:
        tasks = [asyncio.create_task(client.chat.completions.create(**ask())) for _ in range(5)]
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 5
        statistics = client.pool.statistics()
        assert (statistics.in_use, statistics.waiting) == (0, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_close_ends_who_reads_and_who_waits(ask: Ask, stream: bool) -> None:
    """An answer that is being read and a call in the queue fail at once, and nothing stays in use."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(STREAM_HEAD + block(chunk("Hi") if stream else b"{"))
        await talk.request()

    async def call(client: AsyncZhipuAI) -> None:
        answer = await client.chat.completions.create(**ask(stream=stream))
        if stream:
            await answer.until_done()

    async with byte_server(handler) as server:
        client = AsyncZhipuAI("k.s", base_url=server.url, limits=Limits(connections=1), max_retries=0)
        pool = client.pool
        tasks = [asyncio.create_task(call(client)) for _ in range(3)]
        await asyncio.sleep(0.05)
        await client.close()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 2)
        assert [type(result) for result in results] == [ClientClosedError] * 3
        assert pool.statistics().in_use == 0
        assert len(server.requests) == 1


async def test_close_during_a_name_look_up_is_no_cancellation(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that wanted the connection gets ClientClosedError, not a CancelledError that nobody asked for."""

    async def hanging(*_: Any, **__: Any) -> list[Any]:
        await asyncio.sleep(10)
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hanging)
    client = AsyncZhipuAI("k.s", base_url="http://glm.example/v4")
    task = asyncio.create_task(client.chat.completions.create(**ask()))
    await asyncio.sleep(0.02)
    await client.close()
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(task, 2)


async def test_a_cancelled_end_of_a_stream_frees_its_place(ask: Ask) -> None:
    """Who cancels all tasks of the loop, the one in the background too before it began, loses no place of the pool."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.send(STREAM_HEAD + block(chunk("Hi")))
            await asyncio.sleep(0.02)
            await talk.send(block(chunk("", "stop") + DONE))

    limits = Limits(connections=1)
    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, limits=limits) as client:
        stream = await client.chat.completions.create(**ask(stream=True))
        before = asyncio.all_tasks()
        await stream.until_done()
        for task in asyncio.all_tasks() - before:
            task.cancel()
        await asyncio.sleep(0.02)
        assert client.pool.statistics().in_use == 0
        stream = await asyncio.wait_for(client.chat.completions.create(**ask(stream=True)), 2)
        assert (await stream.until_done()).text == "Hi"
