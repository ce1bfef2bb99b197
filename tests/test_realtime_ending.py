"""Every way in which a realtime session ends."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import aiohttp
import pytest

from tests.realtime_sessions import OPENING, last, read_until, talking
from zhipu_async import (
    AccountError,
    APIError,
    AsyncZhipuAI,
    ClientClosedError,
    ConnectionLost,
    RateLimitError,
    RequestTimeout,
    StreamConsumed,
    Timeouts,
)
from zhipu_async.simulator import Pace, Refusal, Scenario, Simulator
from zhipu_async.simulator.realtime import Talk
from zhipu_async.telemetry import CallFailed, CallSucceeded, Event
from zhipu_async.types.realtime_events import (
    ConversationItemCreated,
    Heartbeat,
    RealtimeEvent,
)


@pytest.mark.parametrize("code", [1000, 1001])
async def test_the_service_ends_a_session(code: int) -> None:
    """A clean close ends the iteration, once and for all; sending then says that nobody is there."""
    scenario = Scenario(replies=[Talk(then="close", close_code=code, close_reason="bye")])
    async with talking(scenario) as (realtime, _, client), realtime.connect() as session:
        assert session.close_code is None
        assert [event.type async for event in session] == OPENING
        assert [event async for event in session] == []
        assert (session.close_code, session.close_reason) == (code, "bye")
        assert client.pool.statistics().in_use == 0
        with pytest.raises(ConnectionLost, match="closed the session"):
            await session.clear_audio()


async def test_the_service_ends_a_session_with_a_failure() -> None:
    """A close code that tells of a failure is ConnectionLost, caused by the error that came right before."""
    frame = '{"type":"error","error":{"type":"t","code":"1113","message":"no balance"}}'
    talk = Talk(frames=[frame, '{"type":"heartbeat"}'], then="close", close_code=1011, close_reason="broken")
    async with talking(Scenario(replies=[talk])) as (realtime, _, client), realtime.connect() as session:
        await read_until(session, "error")
        assert isinstance(await anext(session), Heartbeat)
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="1011: broken") as caught:
                await anext(session)
            assert isinstance(caught.value.__cause__, AccountError)
        assert repr(session) == "<RealtimeSession failed>"
        assert client.pool.statistics().in_use == 0


@pytest.mark.parametrize("way", ["reset", "vanish"])
async def test_a_connection_breaks(way: Any) -> None:
    """Without a goodbye it is ConnectionLost, for who reads and for who sends; leaving does no harm."""
    async with talking(Scenario(replies=[Talk(then=way)])) as (realtime, _, client), realtime.connect() as session:
        await read_until(session, "heartbeat")
        with pytest.raises(ConnectionLost):
            await anext(session)
        with pytest.raises(ConnectionLost):
            await session.create_response()
        assert client.pool.statistics().in_use == 0


async def test_cancelling_who_waits_closes_the_session() -> None:
    """The connection is free at once, and the session says that it is closed."""
    async with talking() as (realtime, sim, client):
        session = await realtime.connect()
        await read_until(session, "heartbeat")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(session)
        assert client.pool.statistics().in_use == 0
        await sim.wait_until(lambda: sim.connections.open == 0)
        assert [event async for event in session] == []
        with pytest.raises(ClientClosedError):
            await session.clear_audio()


async def test_one_task_reads() -> None:
    """A second reader is refused, and the first goes on."""
    async with talking() as (realtime, _, _), realtime.connect() as session:
        await read_until(session, "heartbeat")
        first = asyncio.create_task(anext(session))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with pytest.raises(StreamConsumed, match="two tasks"):
            await anext(session)
        await session.clear_audio()
        assert (await first).type == "input_audio_buffer.cleared"


async def test_closing_ends_who_reads() -> None:
    """Closing from another task is a clean end; closing again, and leaving, do nothing."""
    async with talking() as (realtime, sim, client), realtime.connect() as session:
        await read_until(session, "heartbeat")

        async def rest() -> list[RealtimeEvent]:
            return [event async for event in session]

        reader = asyncio.create_task(rest())
        await asyncio.sleep(0.01)
        await session.close()
        async with asyncio.timeout(1):
            assert await reader == []
        await session.aclose()
        with pytest.raises(ClientClosedError, match="session is closed"):
            await session.clear_audio()
        assert client.pool.statistics().in_use == 0
        await sim.wait_until(lambda: sim.connections.open == 0)


async def test_a_service_that_does_not_say_goodbye_is_left() -> None:
    """Closing while the model speaks and speaks takes no longer than it must."""
    scenario = Scenario(replies=[Talk(["word " * 2000])], pace=Pace(per_chunk=0.001))
    async with talking(scenario) as (realtime, sim, _):
        async with realtime.connect() as session:
            await session.create_response()
            await read_until(session, "response.text.delta")
            began = time.monotonic()
        assert time.monotonic() - began < 1.5
        await sim.wait_until(lambda: sim.connections.open == 0)


async def test_a_dropped_session_frees_its_connection() -> None:
    """Without the garbage collector, and without a warning."""
    async with talking() as (realtime, sim, client):
        gc.collect()
        gc.disable()
        try:
            session = await realtime.connect()
            await read_until(session, "heartbeat")
            del session
            assert client.pool.statistics().in_use == 0
            await sim.wait_until(lambda: sim.connections.open == 0)
        finally:
            gc.enable()


@pytest.mark.parametrize("kind", ["own", "session", "connector"])
async def test_closing_the_client_ends_its_sessions(kind: str) -> None:
    """Who waits for an event gets ClientClosedError, and what the user injected stays open."""
    async with Simulator() as sim, aiohttp.ClientSession() as foreign:
        settings = {"own": {}, "session": {"session": foreign}, "connector": {"connector": foreign.connector}}[kind]
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, **settings)  # type: ignore[arg-type]
        session = await client.realtime.connect()
        await read_until(session, "heartbeat")
        reader = asyncio.create_task(anext(session))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(ClientClosedError, match="client was closed"):
            await reader
        with pytest.raises(ClientClosedError):
            await session.clear_audio()
        await session.close()
        with pytest.raises(ClientClosedError):
            await client.realtime.connect()
        await sim.wait_until(lambda: sim.connections.open == 0)
        assert not foreign.closed


@pytest.mark.parametrize(
    ("timeouts", "clock"), [(Timeouts(between=0.3), "between"), (Timeouts(stream_total=0.3), "stream_total")]
)
async def test_silence_has_an_end(timeouts: Timeouts, clock: str) -> None:
    """The clocks of a session: nothing came for too long, or it lasts too long. The session is closed."""
    async with talking(timeout=timeouts) as (realtime, sim, _), realtime.connect() as session:
        await read_until(session, "heartbeat")
        with pytest.raises(RequestTimeout) as caught:
            await anext(session)
        assert caught.value.clock == clock
        await sim.wait_until(lambda: sim.connections.open == 0)


async def test_heartbeats_keep_a_session() -> None:
    """They come by themselves, and each begins the silence anew; a plain number is for the opening alone."""
    scenario = Scenario(replies=[Talk(heartbeat=0.03)])
    async with (
        talking(scenario, timeout=Timeouts(between=1.5)) as (realtime, _, _),
        realtime.connect(timeout=1.5) as session,
    ):
        began = time.monotonic()
        async for event in session:
            if time.monotonic() - began > 1.8:
                assert isinstance(event, Heartbeat)
                break


async def test_a_session_belongs_to_its_loop() -> None:
    """Reading, sending or closing in another loop is refused before it breaks in odd places."""
    async with talking() as (realtime, _, _), realtime.connect() as session:

        async def use() -> None:
            for attempt in (anext(session), session.clear_audio(), session.close()):
                with pytest.raises(ClientClosedError, match="event loop"):
                    await attempt

        await asyncio.to_thread(asyncio.run, use())
        await session.clear_audio()
        await read_until(session, "input_audio_buffer.cleared")


async def test_sessions_are_told_to_hooks() -> None:
    """A session is one call: succeeded when it was left, failed when it broke or was refused."""
    events: list[Event] = []
    scenario = Scenario(replies=[Refusal("1302"), Talk(), Talk(then="reset")])
    async with talking(scenario, hooks=[events.append]) as (realtime, _, client):
        with pytest.raises(RateLimitError):
            await realtime.connect("glm-realtime-flash")
        async with realtime.connect("glm-realtime-flash") as session:
            await read_until(session, "heartbeat")
        with pytest.raises(ConnectionLost):
            async for _ in await realtime.connect("glm-realtime-flash"):
                pass
        assert [type(event) for event in events] == [CallFailed, CallSucceeded, CallFailed]
        assert {event.endpoint for event in events} == {"WS /realtime"}
        statistics = client.statistics()["glm-realtime-flash"]
        assert (statistics.successes, statistics.errors) == (1, {"RateLimitError": 1, "ConnectionLost": 1})


async def test_a_call_of_another_kind_is_no_session() -> None:
    """A plain GET of the endpoint is refused, and an item added by its id is found."""
    async with talking() as (realtime, _, client):
        with pytest.raises(APIError) as caught:
            await client.request("GET", "/realtime")
        assert caught.value.code == "1210"
        async with realtime.connect() as session:
            await session.create_item(
                {"id": "mine", "type": "message", "content": [{"type": "input_text", "text": "a"}]}
            )
            created = last(await read_until(session, "conversation.item.created"), ConversationItemCreated)
            assert created.item.id == "mine"
            assert created.item.content[0].text == "a"
