"""Relays on real servers and sockets, the same on aiohttp.web and on FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from tests.conftest import Serve
from tests.integrations.web_servers import FRAMEWORKS, Ask, Service, browser, payloads
from zhipu_async import AsyncZhipuAI
from zhipu_async.integrations.web import Readiness
from zhipu_async.simulator import Delivery, ErrorFrame, Refusal, Reply, Scenario, ToolCall

QUESTION: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}
SOON = 2.0
"""Seconds within which a busy machine does what takes milliseconds."""


def streamed(client: AsyncZhipuAI) -> Any:
    """The question as a stream that is still to be opened."""
    return client.chat.completions.create(**QUESTION, stream=True)


Host = Callable[..., Awaitable[Service]]


@pytest.fixture(params=FRAMEWORKS)
async def host(request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    """Serves a question to a client, on each framework."""
    async with AsyncExitStack() as stack:

        async def start(
            client: AsyncZhipuAI,
            ask: Ask = streamed,
            readiness: Readiness | None = None,
            **options: Any,
        ) -> Service:
            serving = FRAMEWORKS[request.param](client, ask, options, readiness)
            service: Service = await stack.enter_async_context(serving)
            return service

        yield start


async def test_a_stream_is_relayed_whole(serve: Serve, host: Host) -> None:
    """Each chunk is a frame, [DONE] is the last, and the headers keep proxies from holding it back."""
    client, _ = await serve(Scenario(replies=[Reply("Hello you there", reasoning="Hm")]))
    service = await host(client)
    async with browser(service.port) as tab:
        assert await tab.head() == 200
        frames = payloads(await tab.body())
    assert tab.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert tab.headers["cache-control"] == "no-cache, no-transform"
    assert tab.headers["x-accel-buffering"] == "no"
    assert frames[-1] == (None, "[DONE]")
    deltas = [chunk["choices"][0]["delta"] for _, chunk in frames[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello you there"
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hm"
    (relayed,) = await service.all_ended(1)
    assert (relayed.ended, relayed.result.text, relayed.events) == ("done", "Hello you there", len(frames))
    assert client.pool.statistics().in_use == 0


VIEWS: dict[str, Ask] = {
    "events": lambda client: _viewed(client, "events"),
    "text": lambda client: _viewed(client, "text_deltas"),
}


async def _viewed(client: AsyncZhipuAI, name: str) -> Any:
    return getattr(await streamed(client), name)()


@pytest.mark.parametrize("view", VIEWS)
async def test_the_answer_of_a_relayed_view_is_told(serve: Serve, host: Host, view: str) -> None:
    """A stream's events and its pieces of text have the folded answer too, whole and as far as it came."""
    hangs = Delivery(pause=0.01, stops_after=2, then="hang")
    client, _ = await serve(Scenario(replies=[Reply("Hello you"), Reply("One two three", delivery=hangs)]))
    service = await host(client, VIEWS[view])
    async with browser(service.port) as tab:
        await tab.head()
        assert payloads(await tab.body())[-1] == (None, "[DONE]")
    async with browser(service.port) as tab:
        await tab.head()
        await tab.until(b"One")
        tab.leave()
        whole, left = await service.all_ended(2)
    assert (whole.ended, whole.result.text, whole.result.complete) == ("done", "Hello you", True)
    assert (left.ended, left.result.text[:3], left.result.complete) == ("left", "One", False)


PHASES = {
    "before upstream answers": (Reply("Hi", delivery=Delivery(head_after=60)), b""),
    "before the first token": (Reply("Hi", delivery=Delivery(body_after=60)), b""),
    "while it thinks": (
        Reply("Hi", reasoning="Well, let me think", delivery=Delivery(pause=0.01, stops_after=2, then="hang")),
        b"reasoning_content",
    ),
    "in the middle of the answer": (
        Reply("One two three", delivery=Delivery(pause=0.01, stops_after=2, then="hang")),
        b"One",
    ),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_upstream_is_closed_when_the_browser_leaves(serve: Serve, host: Host, phase: str) -> None:
    """The service sees its connection closed soon after the browser left, though nothing came from it meanwhile."""
    reply, shown = PHASES[phase]
    client, sim = await serve(Scenario(replies=[reply]))
    service = await host(client)
    async with browser(service.port) as tab:
        await sim.wait_until(lambda: sim.in_flight == 1)
        if shown:
            await tab.head()
            await tab.until(shown)
        tab.leave()
        left_at = asyncio.get_running_loop().time()
        await sim.wait_until(lambda: sim.in_flight == 0)
    (seen,) = sim.requests
    assert seen.closed_by_peer
    assert seen.ended_at is not None
    assert seen.ended_at - left_at < SOON
    (relayed,) = await service.all_ended(1)
    assert (relayed.ended, relayed.error) == ("left", None)
    assert (relayed.result.complete if shown else relayed.result) in (None, False)
    if phase.startswith("in the middle"):
        assert relayed.result.text.startswith("One")
    assert client.pool.statistics().in_use == 0


async def test_leaving_after_the_end_changes_nothing(serve: Serve, host: Host) -> None:
    """A browser that closes after [DONE] leaves a relay that is done, and a connection that is used again."""
    client, sim = await serve()
    service = await host(client)
    for _ in range(2):
        async with browser(service.port) as tab:
            await tab.head()
            await tab.body()
    assert [relayed.ended for relayed in await service.all_ended(2)] == ["done", "done"]
    assert (sim.connections.opened, client.pool.statistics().in_use) == (1, 0)


async def test_a_slow_browser_slows_upstream(serve: Serve, host: Host) -> None:
    """While the browser reads nothing few of the chunks are taken from upstream; when it reads, it gets them all."""
    size, total = 2000, 1500
    client, sim = await serve(Scenario(replies=[Reply(pieces=["x" * size] * total, delivery=Delivery(cuts_at=()))]))
    taken = 0

    async def counted(client: AsyncZhipuAI) -> AsyncIterator[Any]:
        nonlocal taken
        async with await client.chat.completions.create(**QUESTION, stream=True) as stream:
            async for chunk in stream:
                taken += 1
                yield chunk

    service = await host(client, counted)
    async with browser(service.port, buffer=4096) as tab:
        await tab.head()
        before = -1
        while taken != before:
            before = taken
            await asyncio.sleep(0.2)
        assert 0 < taken * size < 500_000
        assert service.ended == []
        frames = payloads(await tab.body())
    texts = [chunk["choices"][0]["delta"].get("content", "") for _, chunk in frames[:-1]]
    assert sum(map(len, texts)) == size * total
    assert frames[-1] == (None, "[DONE]")
    assert sim.in_flight == 0


async def test_a_browser_that_takes_nothing_counts_as_gone(serve: Serve, host: Host) -> None:
    """After `stall` seconds upstream is closed, though the browser's connection is open."""
    client, sim = await serve(Scenario(replies=[Reply(pieces=["x" * 2000] * 1500)]))
    service = await host(client, stall=0.2)
    async with browser(service.port, buffer=4096) as tab:
        await tab.head()
        assert [relayed.ended for relayed in await service.all_ended(1)] == ["left"]
    assert service.ended[0].events < 500
    assert client.pool.statistics().in_use == 0
    await sim.wait_until(lambda: sim.in_flight == 0)


REFUSALS = [
    (Refusal("1302"), 429, "rate_limited", "5"),
    (Refusal("1302", headers={"Retry-After": "17"}), 429, "rate_limited", "17"),
    (Refusal("1305"), 503, "overloaded", "10"),
    (Refusal("1113"), 503, "unavailable", None),
    (Refusal("1000"), 503, "unavailable", None),
    (Refusal("1308"), 503, "unavailable", None),
    (Refusal("1261"), 400, "context_too_long", None),
    (Refusal("1301"), 422, "content_filtered", None),
    (ErrorFrame("1301"), 422, "content_filtered", None),
    (Refusal("500", 500), 502, "upstream_failed", None),
]


@pytest.mark.parametrize("path", ["/", "/plain"])
async def test_an_error_before_the_first_frame_is_an_http_answer(serve: Serve, host: Host, path: str) -> None:
    """A refused call has a status and a JSON body of its own, from a relay and from an endpoint that raises."""
    replies = [answer for answer, *_ in REFUSALS]
    client, _ = await serve(Scenario(replies=replies), max_retries=0)
    service = await host(client)
    for _, status, kind, after in REFUSALS:
        async with browser(service.port, path) as tab:
            assert await tab.head() == status
            body = await tab.body()
        assert tab.headers["content-type"] == "application/json"
        assert tab.headers.get("retry-after") == after
        ((_, problem),) = payloads(b"data: " + body + b"\n\n")
        assert (problem["error"]["type"], problem["error"]["status"]) == (kind, status)
    relays = len(REFUSALS) if path == "/" else 0
    assert [relayed.ended for relayed in await service.all_ended(relays)] == ["failed"] * relays


async def test_an_error_after_the_first_frame_is_the_last_frame(serve: Serve, host: Host) -> None:
    """What had come stays, `event: error` tells the rest, and there is no [DONE]."""
    client, _ = await serve(Scenario(replies=[ErrorFrame("1305", after=["One ", "two "])]))
    service = await host(client)
    async with browser(service.port) as tab:
        assert await tab.head() == 200
        *chunks, (name, problem) = payloads(await tab.body())
    assert [chunk["choices"][0]["delta"]["content"] for _, chunk in chunks] == ["One ", "two "]
    assert (name, problem["error"]["type"], problem["error"]["retry_after"]) == ("error", "overloaded", 10)
    (relayed,) = await service.all_ended(1)
    assert (relayed.ended, relayed.result.text) == ("failed", "One two ")
    assert type(relayed.error).__name__ == "OverloadedError"


async def test_a_foreign_error_before_the_first_frame_is_the_frameworks(serve: Serve, host: Host) -> None:
    """An exception that is none of this library becomes the framework's own 500."""
    client, _ = await serve()

    async def broken(client: AsyncZhipuAI) -> AsyncIterator[Any]:
        raise LookupError("of the application")
        yield

    service = await host(client, broken)
    async with browser(service.port) as tab:
        assert await tab.head() == 500
        assert tab.headers["content-type"].startswith("text/plain")
    (relayed,) = await service.all_ended(1)
    assert (relayed.ended, type(relayed.error)) == ("failed", LookupError)


async def test_a_run_with_tools_is_relayed_as_named_events(serve: Serve, host: Host) -> None:
    """Text, calls, results and turns are events, and the last holds the messages that go on the conversation."""
    replies = [Reply("", tool_calls=[ToolCall("add", {"one": 1, "other": 2})]), Reply("It is 3.")]
    client, _ = await serve(Scenario(replies=replies))

    def add(one: int, other: int) -> int:
        """Add two numbers."""
        return one + other

    service = await host(client, lambda c: c.chat.completions.run_tools(**QUESTION, tools=[add], stream=True))
    async with browser(service.port) as tab:
        assert await tab.head() == 200
        frames = payloads(await tab.body())
    names = [name for name, _ in frames]
    kept = ["tool_call.started", "call.decoded", "call.returned", "turn.finished", "run.finished", None]
    assert [name for name in dict.fromkeys(names) if name in kept] == [
        *("tool_call.started", "turn.finished", "call.decoded", "call.returned", "run.finished", None)
    ]
    told = dict(frames)
    assert (told["call.returned"]["content"], told["call.returned"]["error"]) == ("3", None)
    assert "".join(data["text"] for name, data in frames if name == "content.delta") == "It is 3."
    ended = told["run.finished"]
    assert (ended["ended"], ended["steps"]) == ("answer", 2)
    assert [message["role"] for message in ended["messages"]] == ["assistant", "tool", "assistant"]
    (relayed,) = await service.all_ended(1)
    assert relayed.result.text == "It is 3."


async def test_leaving_cancels_functions_under_way(serve: Serve, host: Host) -> None:
    """A browser that leaves while a function works ends it, and the conversation keeps an answer for its call."""
    client, sim = await serve(Scenario(replies=[Reply("", tool_calls=[ToolCall("wait", {})])]))
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        """Wait."""
        begun.set()
        try:
            return str(await asyncio.sleep(60))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    service = await host(client, lambda c: c.chat.completions.run_tools(**QUESTION, tools=[wait], stream=True))
    async with browser(service.port) as tab:
        await begun.wait()
        tab.leave()
        (relayed,) = await service.all_ended(1)
    assert cancelled.is_set()
    assert (relayed.ended, relayed.result) == ("left", None)
    roles = [message["role"] for message in msgspec.to_builtins(relayed.source.messages)]
    assert roles == ["user", "assistant", "tool"]
    assert len(sim.requests) == 1


async def test_silence_is_broken_by_comments(serve: Serve, host: Host) -> None:
    """While nothing comes from upstream the browser gets a comment, and then the answer."""
    client, _ = await serve(Scenario(replies=[Reply("Hi", delivery=Delivery(body_after=0.4))]))
    service = await host(client, keep_alive=0.05)
    async with browser(service.port) as tab:
        assert await tab.head() == 200
        body = await tab.body()
    assert body.startswith(b": keep-alive\n\n")
    assert payloads(body)[-1] == (None, "[DONE]")


async def test_head_asks_nothing(serve: Serve, host: Host) -> None:
    """HEAD has the headers of the stream and no body, and costs no call."""
    client, sim = await serve()
    service = await host(client)
    async with browser(service.port, method="HEAD") as tab:
        assert await tab.head() == 200
    assert tab.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (sim.served, service.ended) == (0, [])


async def test_many_browsers_at_once(serve: Serve, host: Host) -> None:
    """Each of 24 browsers gets its own answer whole, half of them leave early, and no connection is left in use."""

    def own(request: Any) -> Reply:
        return Reply(pieces=[f"{request.number} "] * 10, delivery=Delivery(pause=0.005))

    client, sim = await serve(Scenario(replies=own))
    service = await host(client)

    async def visit(number: int) -> set[str]:
        async with browser(service.port) as tab:
            await tab.head()
            if number % 2:
                await tab.until(b"content")
                return set()
            frames = payloads(await tab.body())
            assert frames[-1] == (None, "[DONE]")
            texts = [chunk["choices"][0]["delta"].get("content") for _, chunk in frames[:-1]]
            assert len(texts) == 11
            return {text for text in texts if text}

    answers = await asyncio.gather(*map(visit, range(24)))
    assert sorted(map(len, answers)) == [0] * 12 + [1] * 12
    assert len(set.union(*answers)) == 12
    ends = [relayed.ended for relayed in await service.all_ended(24)]
    assert ends.count("done") >= 12
    await sim.wait_until(lambda: sim.in_flight == 0)
    assert (client.pool.statistics().in_use, client.pool.statistics().waiting) == (0, 0)


@pytest.mark.parametrize(("framework", "ended"), [("fastapi", "cancelled"), ("aiohttp", "left")])
async def test_a_server_that_stops_closes_upstream(serve: Serve, framework: str, ended: str) -> None:
    """Shutting down in the middle of an answer ends the relay, which still tells what had come."""
    reply = Reply("One two three", delivery=Delivery(pause=0.01, stops_after=2, then="hang"))
    client, sim = await serve(Scenario(replies=[reply]))
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(FRAMEWORKS[framework](client, streamed, {}, None))
        async with browser(service.port) as tab:
            await tab.head()
            await tab.until(b"One")
            await stack.aclose()
    (relayed,) = await service.all_ended(1)
    assert (relayed.ended, relayed.error) == (ended, None)
    assert relayed.result.text.startswith("One")
    await sim.wait_until(lambda: sim.in_flight == 0)
    assert client.pool.statistics().in_use == 0


async def test_health(serve: Serve, host: Host) -> None:
    """Live answers by itself; ready goes by what waits and by a probe that is asked now and then; neither costs."""
    client, sim = await serve()
    probes = 0

    async def probe(client: AsyncZhipuAI) -> None:
        nonlocal probes
        probes += 1
        raise LookupError("down")

    service = await host(client, readiness=Readiness(probe=probe))
    for path, status in (("/health/live", 200), ("/health/ready", 503), ("/health/ready", 503)):
        async with browser(service.port, path) as tab:
            assert await tab.head() == status
            assert b"down" not in await tab.body()
    assert (probes, sim.served) == (1, 0)
