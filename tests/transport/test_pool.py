"""The pool: which connection carries what, and when it is let go."""

from __future__ import annotations

import asyncio
import gc
import gzip
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.conftest import SHORT_SLEEPS, Serve
from tests.servers import COMPLETION, DONE, LAST, STREAM_HEAD, Conversation, block, byte_server, chunk
from zhipu_async import (
    APIError,
    AsyncZhipuAI,
    ClientClosedError,
    ConnectError,
    ConnectionLost,
    Limits,
    PoolFull,
    RateLimitError,
    ResponseTooLarge,
    TransportError,
)
from zhipu_async.simulator import Delivery, HangUp, Pace, Refusal, Reply, Scenario, Simulator

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


async def test_headers_are_accepted_up_to_the_limits(ask: Ask) -> None:
    """A line of 60 KiB and 200 headers pass; a longer line, or more than 256 headers, is our error."""
    sizes = [60 * 1024, 200]

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            many = [f"X-Header-{number}: {number}" for number in range(sizes[1])]
            await talk.answer(COMPLETION, "X-Large: " + "x" * sizes[0], *many)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        reply = await client.chat.completions.create(**ask())
        assert len(reply.response_headers["x-large"]) == 60 * 1024
        sizes[0] = 70 * 1024
        with pytest.raises(ResponseTooLarge):
            await client.chat.completions.create(**ask())
        sizes[:] = [10, 300]
        with pytest.raises(ResponseTooLarge):
            await client.chat.completions.create(**ask())


async def test_bodies_are_bounded_after_decompression(ask: Ask) -> None:
    """A small gzip body that unfolds to more than the limit is refused."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip")

    limits = Limits(body=1_000_000)
    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, limits=limits) as client:
        with pytest.raises(ResponseTooLarge):
            await client.chat.completions.create(**ask())
        assert len(server.requests) == 1
        assert client.pool.statistics().in_use == 0


@pytest.mark.parametrize("kept", [-1, -4, -8, -20, 15], ids=str)
async def test_a_gzip_body_that_is_cut_is_an_error(ask: Ask, kept: int) -> None:
    """Whatever is missing of the compressed body, even only its checksum, is noticed although the framing is whole."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(gzip.compress(COMPLETION)[:kept], "Content-Encoding: gzip")

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        with pytest.raises(ConnectionLost):
            await client.chat.completions.create(**ask())


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "two members", "br"])
async def test_compressed_answers_and_streams_are_read(ask: Ask, encoding: str) -> None:
    """What Accept-Encoding offers is undone, for whole answers and for streams in small pieces."""
    import zlib

    def raw_deflate(data: bytes) -> bytes:
        compressor = zlib.compressobj(wbits=-15)
        return compressor.compress(data) + compressor.flush()

    def brotli(data: bytes) -> bytes:
        return bytes(pytest.importorskip("brotli", reason="Brotli is not installed").compress(data))

    compress = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "raw deflate": raw_deflate,
        "two members": lambda data: gzip.compress(data[:40]) + gzip.compress(data[40:]),
        "br": brotli,
    }[encoding]
    name = {"raw deflate": "deflate", "two members": "gzip"}.get(encoding, encoding)
    compress(b"")

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if b'"stream":true' in request:
                data = compress(chunk("Hel") + chunk("lo", "stop") + DONE)
                await talk.send(STREAM_HEAD.replace(b"\r\n\r\n", f"\r\nContent-Encoding: {name}\r\n\r\n".encode()))
                for start in range(0, len(data), 7):
                    await talk.send(block(data[start : start + 7]))
                    await asyncio.sleep(0)
                await talk.send(LAST)
            else:
                await talk.answer(compress(COMPLETION), f"Content-Encoding: {name}")

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        assert (await client.chat.completions.create(**ask())).text == "Hi"
        stream = await client.chat.completions.create(**ask(stream=True))
        assert (await stream.until_done()).text == "Hello"
        offered = next(line for line in server.requests[0].split(b"\r\n") if line.startswith(b"Accept-Encoding"))
        assert b"gzip, deflate" in offered


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: lzma\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200",
        b"\0\xff",
    ],
    ids=repr,
)
async def test_what_is_no_http_is_our_error(ask: Ask, answer: bytes) -> None:
    """Whatever a server sends, the caller sees an error of ours and the pool is whole."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(answer)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        with pytest.raises(TransportError):
            await client.chat.completions.create(**ask())
        assert client.pool.statistics().in_use == 0


async def test_interim_answers_and_answers_without_a_body(ask: Ask) -> None:
    """1xx answers are passed over; HEAD and 204 have no body; the connection serves on."""

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if request.startswith(b"HEAD"):
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            elif request.startswith(b"DELETE"):
                await talk.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                await talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
                await talk.answer(COMPLETION)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        for _ in range(2):
            assert (await client.chat.completions.create(**ask())).text == "Hi"
            assert (await client.request("HEAD", "/x")).body == b""
            assert (await client.request("DELETE", "/x", repeatable=True)).status == 204
        assert server.opened == 1


async def test_redirects_stay_on_their_origin(ask: Ask) -> None:
    """A redirect to the same host is followed with the body; one to another host is an error and gets no key."""

    async def elsewhere(talk: Conversation) -> None:
        await talk.request()

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if b"/moved/" in request.split(b"\r\n")[0]:
                await talk.answer(COMPLETION)
            else:
                location = "/moved/chat/completions" if len(server.requests) == 1 else other.url
                await talk.answer(b"", f"Location: {location}", status="307 Temporary Redirect")

    async with (
        byte_server(elsewhere) as other,
        byte_server(handler) as server,
        AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client,
    ):
        assert (await client.chat.completions.create(**ask())).text == "Hi"
        assert server.requests[0].split(b"\r\n\r\n")[1] == server.requests[1].split(b"\r\n\r\n")[1]
        with pytest.raises(Exception, match="redirect"):
            await client.chat.completions.create(**ask())
        assert other.requests == []


async def test_an_early_answer_to_a_large_request_is_heard(ask: Ask) -> None:
    """A server that answers before it has read the request, and closes, is understood when its answer arrived."""

    async def handler(talk: Conversation) -> None:
        await talk.reader.readuntil(b"\r\n\r\n")
        await talk.answer(b'{"error":{"code":"1210","message":"too large"}}', "Connection: close", status="413 Large")
        await asyncio.sleep(0.2)

    content = [{"role": "user", "content": "x" * 200_000}]
    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        with pytest.raises(Exception, match="too large"):
            await client.chat.completions.create(model="glm-4.6", messages=content)
        assert client.pool.statistics().idle == 0


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


async def test_an_injected_connector_is_used_and_not_closed(ask: Ask) -> None:
    """Its connections are given back to it, and it stays open for others."""
    async with Simulator() as sim:
        connector = aiohttp.TCPConnector(limit=5)
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, connector=connector)
        await asyncio.gather(*(client.chat.completions.create(**ask()) for _ in range(20)))
        stream = await client.chat.completions.create(**ask(stream=True))
        assert (await stream.until_done()).text
        await client.close()
        assert not connector.closed
        async with aiohttp.ClientSession(connector=connector) as session, session.get(sim.origin) as response:
            assert response.status == 200
        assert sim.connections.opened <= 6


async def test_an_injected_session_is_used_and_not_closed(ask: Ask) -> None:
    """Plain calls, streams, errors and broken connections work over a session of the user's."""
    replies = [Reply("1"), Reply("2"), HangUp(), Reply("3"), Reply("4", delivery=Delivery(gzip=True))]
    async with Simulator(Scenario(replies=replies)) as sim, aiohttp.ClientSession() as session:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, session=session, retry=SHORT_SLEEPS)
        assert (await client.chat.completions.create(**ask())).text == "1"
        assert (await (await client.chat.completions.create(**ask(stream=True))).until_done()).text == "2"
        assert (await client.chat.completions.create(**ask())).text == "3"
        assert (await client.chat.completions.create(**ask())).text == "4"
        assert client.pool.statistics().in_use == 0
        await client.close()
        assert not session.closed


def test_an_injected_session_of_another_loop_is_refused(ask: Ask) -> None:
    """Using it elsewhere would break in odd places; it is a clear error before anything is sent."""

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use(session: aiohttp.ClientSession) -> None:
        async with Simulator() as sim:
            client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, session=session)
            with pytest.raises(ClientClosedError, match="another event loop"):
                await client.chat.completions.create(**ask())
            assert sim.requests == []

    loop = asyncio.new_event_loop()
    session = loop.run_until_complete(make())
    asyncio.run(use(session))
    loop.run_until_complete(session.close())
    loop.close()


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


@pytest.mark.parametrize("location", ["http://[", "//", "/\u0416 a", "http://127.0.0.1:99999/", "#here", ""])
async def test_a_redirect_to_rubbish_is_an_error_of_ours(location: str) -> None:
    """Whatever Location says: an error of the service, nothing in use, and no request line that is none."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.send(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode())

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        with pytest.raises(APIError, match="HTTP 302"):
            await client.request("GET", "models")
        assert client.pool.statistics().in_use == 0
        assert len(server.requests) <= 4
        assert all(len(request.split(b"\r\n")[0].split(b" ")) == 3 for request in server.requests)


async def test_an_injected_session_keeps_its_settings_to_itself(ask: Ask) -> None:
    """raise_for_status and base_url of the session change nothing: the service's error is retried and raised."""
    async with Simulator(Scenario(replies=[Refusal("1302", times=3), Reply("Hi")])) as sim:
        async with aiohttp.ClientSession("http://other.example/", raise_for_status=True) as session:
            client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, session=session, retry=SHORT_SLEEPS)
            with pytest.raises(RateLimitError):
                await client.chat.completions.create(**ask())
            assert (await client.chat.completions.create(**ask())).text == "Hi"
            await client.close()
            with pytest.raises(ClientClosedError):
                await client.chat.completions.create(**ask())
        assert len(sim.requests) == 4


async def test_an_unknown_encoding_over_an_injected_session_leaves_nothing_in_use(ask: Ask) -> None:
    """The answer that cannot be decoded is closed."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(b"{}", "Content-Encoding: rot13")

    async with byte_server(handler) as server, aiohttp.ClientSession() as session:
        client = AsyncZhipuAI("k.s", base_url=server.url, session=session, max_retries=0)
        with pytest.raises(ConnectionLost, match="rot13"):
            await client.chat.completions.create(**ask())
        assert client.pool.statistics().in_use == 0


async def test_the_password_of_a_proxy_of_an_injected_session_is_in_no_error(ask: Ask) -> None:
    """A tunnel that the proxy refuses is a ConnectError that holds neither the password nor aiohttp's own error."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(b"", status="407 Proxy Authentication Required")

    async with byte_server(handler) as server:
        proxy = server.url.replace("http://", "http://user:pass-word@").removesuffix("/api/paas/v4")
        async with aiohttp.ClientSession(proxy=proxy) as session:
            client = AsyncZhipuAI("k.s", base_url="https://glm.example/v4", session=session, max_retries=0)
            with pytest.raises(ConnectError, match="407") as caught:
                await client.chat.completions.create(**ask())
    assert "pass-word" not in "".join(traceback.format_exception(caught.value))


async def test_an_injected_connector_that_is_closed_or_of_another_loop_is_refused(ask: Ask) -> None:
    """Each is a clear error before anything is sent."""

    async def use(client: AsyncZhipuAI) -> None:
        with pytest.raises(ClientClosedError, match="another event loop"):
            await client.chat.completions.create(**ask())

    async with Simulator() as sim:
        connector = aiohttp.TCPConnector()
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, connector=connector)
        await asyncio.to_thread(asyncio.run, use(client))
        await connector.close()
        with pytest.raises(ClientClosedError, match="connector is closed"):
            await client.chat.completions.create(**ask())
        assert sim.requests == []
