"""Realtime sessions against the simulator: what is said, how they open, and every way in which they end."""

from __future__ import annotations

import asyncio
import gc
import math
import ssl
import time
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.servers import Conversation, byte_server
from zhipu_async import (
    AccountError,
    APIError,
    AsyncZhipuAI,
    AuthenticationError,
    ClientClosedError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    Limits,
    NotFoundError,
    PoolFull,
    RateLimitError,
    RequestTimeout,
    ResponseTooLarge,
    ServerError,
    StreamConsumed,
    Timeouts,
)
from zhipu_async.realtime import Realtime, RealtimeSession, error_of
from zhipu_async.simulator import HangUp, Pace, Raw, Refusal, Scenario, Simulator, media_bytes, not_found, page
from zhipu_async.simulator.realtime import Talk
from zhipu_async.telemetry import CallFailed, CallSucceeded, Event
from zhipu_async.types.realtime import ConversationItem, RealtimeTool, SessionConfig, TurnDetection
from zhipu_async.types.realtime_events import (
    ConversationItemCreated,
    ErrorEvent,
    Heartbeat,
    RealtimeEvent,
    ResponseAudioDelta,
    ResponseCancelled,
    ResponseDone,
    ResponseFunctionCallArgumentsDone,
    ResponseTextDelta,
    SessionUpdated,
    TranscriptionCompleted,
    UnknownEvent,
)

WEATHER = RealtimeTool(
    name="get_weather",
    description="The weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
OPENING = ["session.created", "conversation.created", "heartbeat"]
JPEG = b"\xff\xd8\xff\xe0picture"


@asynccontextmanager
async def talking(
    scenario: Scenario | None = None, **settings: Any
) -> AsyncIterator[tuple[Realtime, Simulator, AsyncZhipuAI]]:
    """A simulator, a client of it, and its realtime sessions."""
    async with Simulator(scenario) as sim:
        settings = {"api_key": sim.api_key, "base_url": sim.base_url, **settings}
        async with AsyncZhipuAI(**settings) as client:
            yield client.realtime, sim, client


async def read_until(session: RealtimeSession, name: str) -> list[RealtimeEvent]:
    """The events up to the first of this type."""
    events: list[RealtimeEvent] = []
    async with asyncio.timeout(5):
        async for event in session:
            events.append(event)
            if event.type == name:
                return events
    raise AssertionError(f"{name} did not come, but {[event.type for event in events]}")


def last(events: list[RealtimeEvent], kind: type[Any]) -> Any:
    """The last event of a type."""
    return next(event for event in reversed(events) if isinstance(event, kind))


# ------------------------------------------------------------ what is said


async def test_a_question_is_answered_in_text_and_sound() -> None:
    """The configuration and the question reach the service; the deltas join to the answer, with usage at the end."""
    async with talking() as (realtime, sim, client):
        before = time.time_ns() // 1_000_000
        async with realtime.connect("glm-realtime-air") as session:
            await session.create_item(ConversationItem.message("What is a lighthouse?"))
            await session.create_response()
            events = await read_until(session, "response.done")
            assert client.pool.statistics().in_use == 1
            assert repr(session) == "<RealtimeSession open>"
        assert client.pool.statistics().in_use == 0
        assert repr(session) == "<RealtimeSession closed>"
        await sim.wait_until(lambda: sim.connections.open == 0)
    assert [event.type for event in events][:5] == [*OPENING, "session.updated", "heartbeat"]
    text = "".join(event.delta for event in events if isinstance(event, ResponseTextDelta))
    sound = b"".join(event.audio for event in events if isinstance(event, ResponseAudioDelta))
    assert text == "Hello! I am a simulated glm-realtime-air. You said: “What is a lighthouse?”"
    assert len(sound) / 2 / 24_000 == pytest.approx(0.06 * len(text), rel=0.01)
    assert any(sound)
    response = last(events, ResponseDone).response
    assert response.status == "completed"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    [request] = sim.requests
    assert (request.path, dict(request.query), request.status) == ("/api/paas/v4/realtime", {}, 101)
    assert [event["type"] for event in request.events] == [
        "session.update",
        "conversation.item.create",
        "response.create",
    ]
    assert request.events[0]["session"]["model"] == "glm-realtime-air"
    assert all(before <= event["client_timestamp"] <= time.time_ns() // 1_000_000 for event in request.events)


Act = Callable[[RealtimeSession], Awaitable[None]]

ANSWERED: list[tuple[Act, str]] = [
    (lambda s: s.update_session(SessionConfig(voice="tongtong")), "session.updated"),
    (lambda s: s.update_session({"model": "glm-realtime-nano"}), "error"),
    (lambda s: s.clear_audio(), "input_audio_buffer.cleared"),
    (lambda s: s.commit_audio(), "error"),
    (lambda s: s.create_item(ConversationItem.message("Hi", "system")), "conversation.item.created"),
    (lambda s: s.create_item({"type": "message", "content": []}), "error"),
    (lambda s: s.delete_item("none"), "error"),
    (lambda s: s.retrieve_item("none"), "error"),
    (lambda s: s.truncate_item("none", audio_end_ms=100), "error"),
    (lambda s: s.create_response(), "response.done"),
    (lambda s: s.cancel_response(), "error"),
    (lambda s: s.append_audio(b""), "error"),
    (lambda s: s.append_video_frame(b"no picture"), "error"),
    (lambda s: s.send({"type": "input_audio_buffer.append", "audio": "?"}), "error"),
    (lambda s: s.send({"type": "response.sing"}), "error"),
]


@pytest.mark.parametrize(("act", "answer"), ANSWERED)
async def test_every_event_is_answered(act: Act, answer: str) -> None:
    """Each method sends one event; the session goes on after errors too, which tell what they are about."""
    async with talking() as (realtime, sim, _), realtime.connect() as session:
        await read_until(session, "heartbeat")
        await act(session)
        events = await read_until(session, answer)
        if isinstance(event := events[-1], ErrorEvent):
            assert isinstance(error_of(event), APIError)
        await session.create_response()
        await read_until(session, "response.done")
        assert len(sim.requests[0].events) == 2


async def test_sound_is_committed_and_transcribed() -> None:
    """Appended bytes arrive as they were, a commit makes an item of them, and items can be asked for and removed."""
    sound = media_bytes.wav(media_bytes.pcm("Good morning"), "Good morning")
    async with talking() as (realtime, sim, _), realtime.connect() as session:
        for start in range(0, len(sound), 10_000):
            await session.append_audio(memoryview(sound)[start : start + 10_000])
        await session.append_video_frame(bytearray(JPEG))
        await session.precommit_audio()
        await session.commit_audio()
        transcription = last(await read_until(session, TranscriptionCompleted().type), TranscriptionCompleted)
        assert transcription.transcript == "Good morning"
        await session.truncate_item(transcription.item_id, audio_end_ms=200)
        assert (await read_until(session, "conversation.item.truncated"))[-1].audio_end_ms == 200  # type: ignore[union-attr]
        await session.retrieve_item(transcription.item_id)
        assert (await read_until(session, "conversation.item.retrieved"))[-1].item.id == transcription.item_id  # type: ignore[union-attr]
        await session.delete_item(transcription.item_id)
        assert (await read_until(session, "conversation.item.deleted"))[-1].item_id == transcription.item_id  # type: ignore[union-attr]
        pieces = [event["audio"] for event in sim.requests[0].events if "audio" in event]
        assert pieces[0] == b64encode(sound[:10_000]).decode()


async def test_the_service_detects_turns() -> None:
    """With server_vad, silence after sound makes the model answer by itself."""
    config = SessionConfig(input_audio_format="pcm16", turn_detection=TurnDetection(type="server_vad"))
    async with talking() as (realtime, _, _), realtime.connect(session=config) as session:
        await session.append_audio(media_bytes.pcm("Hello"))
        await session.append_audio(bytes(3200))
        names = [event.type for event in await read_until(session, "response.done")]
        order = ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"]
        order += ["input_audio_buffer.committed", "conversation.item.created", "response.created"]
        assert [name for name in names if name in order] == order


async def test_a_function_is_called_and_its_output_used() -> None:
    """The call comes with its arguments; its output, added as an item, is in the answer."""
    config = SessionConfig(tools=[WEATHER], modalities=["text"])
    async with talking() as (realtime, _, _), realtime.connect("glm-realtime-flash", session=config) as session:
        await session.create_item(ConversationItem.message("How is the weather in Tokyo?"))
        await session.create_response()
        call = last(await read_until(session, "response.done"), ResponseFunctionCallArgumentsDone)
        assert (call.name, call.arguments) == ("get_weather", '{"city":"Tokyo"}')
        await session.create_item(ConversationItem.function_output("21 °C", call.call_id))
        await session.create_response()
        events = await read_until(session, "response.done")
        assert "21 °C" in "".join(event.delta for event in events if isinstance(event, ResponseTextDelta))
        assert not [event for event in events if isinstance(event, ResponseAudioDelta)]


async def test_a_response_is_interrupted() -> None:
    """Cancelling ends the deltas; response.done comes all the same and says so."""
    async with talking(Scenario(pace=Pace(per_chunk=0.05))) as (realtime, _, _), realtime.connect() as session:
        await session.create_response()
        await read_until(session, "response.text.delta")
        await session.cancel_response()
        events = await read_until(session, "response.done")
        assert last(events, ResponseCancelled).response.status == "cancelled"
        assert last(events, ResponseDone).response.status == "cancelled"


async def test_video_needs_a_picture() -> None:
    """In video mode a response without a frame is an error of the service's, with one it is said."""
    config = SessionConfig(
        beta_fields={"chat_mode": "video_passive"}, greeting_config={"enable": True, "content": "Hi"}
    )
    async with talking() as (realtime, _, _), realtime.connect(session=config) as session:
        events = await read_until(session, "response.done")
        assert "".join(event.delta for event in events if isinstance(event, ResponseTextDelta)) == "Hi"
        await session.create_response()
        error = error_of((await read_until(session, "error"))[-1])
        assert isinstance(error, ServerError)
        assert error.code == "video_model_query_error"
        await session.append_video_frame(JPEG)
        await session.create_response()
        await read_until(session, "response.done")


async def test_many_sessions_at_once() -> None:
    """Sessions of one client do not disturb each other."""

    async def ask(realtime: Realtime, number: int) -> str:
        async with realtime.connect("glm-realtime-flash") as session:
            await session.create_item(ConversationItem.message(f"number {number}"))
            await session.create_response()
            events = await read_until(session, "response.done")
            return "".join(event.delta for event in events if isinstance(event, ResponseTextDelta))

    async with talking() as (realtime, _, client):
        answers = await asyncio.gather(*(ask(realtime, number) for number in range(20)))
        assert all(f"“number {number}”" in answer for number, answer in enumerate(answers))
        assert client.pool.statistics().in_use == 0


# ------------------------------------------------------------ frames


async def test_unknown_and_binary_frames_are_events() -> None:
    """Whatever the server sends comes: binary frames like text, new events and even what is no event as it is."""
    frames: list[str | bytes] = [
        b'{"type":"response.text.delta","delta":"\xe4\xbd\xa0"}',
        '{"type":"response.dance","step":1}',
        "no json",
        b"\xff",
        '{"type":"response.text.delta","delta":5,"output_index":null}',
    ]
    scenario = Scenario(replies=[Talk(frames=frames, then="close")])
    async with talking(scenario) as (realtime, _, _), realtime.connect() as session:
        events = [event async for event in session]
        assert events[len(OPENING) :] == [
            ResponseTextDelta(delta="你"),
            UnknownEvent("response.dance", {"type": "response.dance", "step": 1}),
            UnknownEvent("", "no json"),
            UnknownEvent("", b"\xff"),
            ResponseTextDelta(delta="5"),
        ]


@pytest.mark.parametrize(("size", "fits"), [(90_000, True), (110_000, False)])
async def test_an_event_has_a_largest_size(size: int, fits: bool) -> None:
    """Up to Limits.event it is read, in fragments or not; beyond, the session is closed with ResponseTooLarge."""
    frame = '{"type":"response.text.delta","delta":"%s"}' % ("a" * size)
    scenario = Scenario(replies=[Talk(frames=[frame])])
    async with (
        talking(scenario, limits=Limits(event=100_000)) as (realtime, sim, client),
        realtime.connect() as session,
    ):
        await read_until(session, "heartbeat")
        if fits:
            assert await anext(session) == ResponseTextDelta(delta="a" * size)
            return
        for _ in range(2):
            with pytest.raises(ResponseTooLarge, match=r"Limits\.event"):
                await anext(session)
        assert client.pool.statistics().in_use == 0
        await sim.wait_until(lambda: sim.connections.open == 0)


async def test_large_events_are_sent() -> None:
    """Half a minute of sound in one event arrives whole."""
    sound = bytes(960_000) + b"\1"
    async with talking() as (realtime, sim, _), realtime.connect() as session:
        await session.append_audio(sound)
        await session.clear_audio()
        await read_until(session, "input_audio_buffer.cleared")
        assert sim.requests[0].events[0]["audio"] == b64encode(sound).decode()


@pytest.mark.parametrize("event", [{}, {"type": None}, {"type": "a", "x": math.nan}])
async def test_what_is_no_event_is_not_sent(event: dict[str, Any]) -> None:
    """It is refused here, and the session goes on."""
    async with talking() as (realtime, sim, _), realtime.connect() as session:
        with pytest.raises(ConfigError):
            await session.send(event)
        await session.clear_audio()
        await read_until(session, "input_audio_buffer.cleared")
        assert len(sim.requests[0].events) == 1


# ------------------------------------------------------------ opening


async def test_nothing_happens_before_a_session_is_wanted() -> None:
    """connect() alone sends nothing; it can be awaited, or entered, and sends a configuration only when given one."""
    async with talking() as (realtime, sim, _):
        connecting = realtime.connect("glm-realtime-flash")
        await asyncio.sleep(0)
        assert sim.requests == []
        session = await connecting
        assert isinstance((await read_until(session, "session.updated"))[-1], SessionUpdated)
        await session.close()
        async with realtime.connect() as session:
            await read_until(session, "heartbeat")
        async with await realtime.connect(session={"model": "glm-realtime-air", "voice": "tongtong"}) as session:
            await read_until(session, "error")  # what the service requires is not in that mapping
        assert [len(request.events) for request in sim.requests] == [1, 0, 1]
        assert sim.requests[0].events[0]["session"] == {
            "model": "glm-realtime-flash",
            "input_audio_format": "wav",
            "output_audio_format": "pcm",
            "turn_detection": {"type": "client_vad"},
        }
        with pytest.raises(ConfigError, match="two models"):
            realtime.connect("glm-realtime-air", session=SessionConfig(model="glm-realtime-flash"))
        with pytest.raises(ConfigError, match="timeout"):
            realtime.connect(timeout=-1)


async def test_an_unfit_configuration_leaves_no_session() -> None:
    """What cannot be written as JSON is refused, and the connection that was opened for it is closed."""
    async with talking() as (realtime, sim, client):
        with pytest.raises(ConfigError):
            await realtime.connect(session=SessionConfig(temperature=math.nan))
        assert client.pool.statistics().in_use == 0
        await sim.wait_until(lambda: sim.connections.open == 0)


@pytest.mark.parametrize("kind", ["bearer", "jwt", "callable", "session", "connector"])
async def test_ways_to_a_session(kind: str) -> None:
    """Key, token, a key from a callable, and the user's own session or connector, which stay open."""
    async with Simulator() as sim, aiohttp.ClientSession() as foreign:
        settings: dict[str, Any] = {"api_key": sim.api_key, "default_headers": {"X-Team": "a"}}
        if kind == "jwt":
            settings["auth"] = "jwt"
        if kind == "callable":

            async def key() -> str:
                return sim.api_key

            settings["api_key"] = key
        if kind == "session":
            settings["session"] = foreign
        if kind == "connector":
            settings["connector"] = foreign.connector
        async with AsyncZhipuAI(base_url=sim.base_url, default_query={"team": "b"}, **settings) as client:
            async with client.realtime.connect("glm-realtime-flash") as session:
                await read_until(session, "session.updated")
                assert client.pool.statistics().in_use == 1
            assert client.pool.statistics().in_use == 0
        [request] = sim.requests
        sent = request.headers["Authorization"].removeprefix("Bearer ")
        assert (sent == sim.api_key) is (kind != "jwt")
        assert (request.headers["X-Team"], request.query["team"]) == ("a", "b")
        assert not foreign.closed
        assert foreign.connector is not None
        assert not foreign.connector.closed


REFUSALS: list[tuple[Any, type[Exception], str | None]] = [
    (Refusal("401"), AuthenticationError, "401"),
    (Refusal("1302"), RateLimitError, "1302"),
    (Refusal("1113"), AccountError, "1113"),
    (page(502), ServerError, None),
    (not_found(), NotFoundError, "500"),
    (Raw(b"", status=302, headers={"Location": "http://127.0.0.1:9/"}), APIError, None),
    (Raw(b"Hello", content_type="text/plain"), ConnectError, None),
    (HangUp(times=2), ConnectionLost, None),
    (HangUp(reset=True, times=2), ConnectionLost, None),
]


@pytest.mark.parametrize("foreign", [False, True], ids=["own", "injected"])
@pytest.mark.parametrize(("answer", "kind", "code"), REFUSALS, ids=lambda value: str(value)[:40])
async def test_a_refused_handshake_is_what_it_means(
    answer: Any, kind: type[Exception], code: str | None, foreign: bool
) -> None:
    """Status and body are told like those of any call; over a session of the user's the status alone has to do."""
    async with Simulator(Scenario(replies=[answer], api_keys=None)) as sim, aiohttp.ClientSession() as session:
        settings: dict[str, Any] = {"session": session} if foreign else {}
        async with AsyncZhipuAI("secret-key.of-mine", base_url=sim.base_url, max_retries=0, **settings) as client:
            if foreign and kind is not ConnectionLost:
                kind = {"1113": RateLimitError, "500": ConnectError}.get(code or "", kind)
                kind = ConnectError if getattr(answer, "status", 0) == 302 else kind  # aiohttp follows, without the key
                code = None
            with pytest.raises(kind) as caught:
                await client.realtime.connect("glm-realtime-flash")
            assert type(caught.value) is kind
            if isinstance(caught.value, APIError):
                assert caught.value.code == code
                assert caught.value.url == sim.base_url.replace("http", "ws") + "/realtime"
            assert client.pool.statistics().in_use == 0
            told = "".join(traceback.format_exception(caught.value))
            error: BaseException | None = caught.value
            while error is not None:
                told += repr(error) + repr(vars(error))
                error = error.__context__ or error.__cause__
            assert "secret-key" not in told
            assert "of-mine" not in told


async def test_a_connection_that_is_closed_before_any_answer_is_made_anew() -> None:
    """Once: a handshake creates nothing."""
    async with talking(Scenario(replies=[HangUp()])) as (realtime, sim, _), realtime.connect() as session:
        await read_until(session, "heartbeat")
        assert len(sim.requests) == 2


async def test_an_expired_token_is_renewed_once() -> None:
    """1003 with tokens made here is answered by a new token; with a key, or the second time, it is the error."""
    for auth, times, outcome in (("jwt", 1, None), ("jwt", 2, "1003"), ("bearer", 1, "1003")):
        async with talking(Scenario(replies=[Refusal("1003", times=times)]), auth=auth) as (realtime, sim, _):
            if outcome is None:
                async with realtime.connect() as session:
                    await read_until(session, "heartbeat")
            else:
                with pytest.raises(AuthenticationError) as caught:
                    await realtime.connect()
                assert caught.value.code == outcome
            assert len(sim.requests) == (1 if auth == "bearer" else 2)


@pytest.mark.parametrize("foreign", [False, True], ids=["own", "injected"])
async def test_no_service_and_a_silent_one(foreign: bool) -> None:
    """Nobody there is ConnectError; somebody who does not answer is RequestTimeout by the clock that was set."""

    async def silent(talk: Conversation) -> None:
        await talk.request()
        await asyncio.sleep(10)

    async with byte_server(silent) as server, aiohttp.ClientSession() as session:
        settings: dict[str, Any] = {"session": session} if foreign else {}
        async with AsyncZhipuAI("k.s", base_url="http://127.0.0.1:9/v4", **settings) as client:
            with pytest.raises(ConnectError, match=r"ws://127\.0\.0\.1:9/v4/realtime") as refused:
                await client.realtime.connect()
            assert refused.value.retryable
            client = client.with_options(base_url=server.url)
            for timeout, clock in ((Timeouts(connect=0.05), "connect"), (0.05, "total")):
                with pytest.raises(RequestTimeout) as caught:
                    await client.realtime.connect(timeout=timeout)
                assert caught.value.clock == clock
            assert client.pool.statistics().in_use == 0


async def test_sessions_count_as_connections() -> None:
    """A session takes a slot of Limits.connections: others wait for it, or are refused."""
    async with talking(limits=Limits(connections=1, waiting=1)) as (realtime, _, client):
        async with realtime.connect() as session:
            await read_until(session, "heartbeat")
            waiting = asyncio.create_task(client.models.list())
            await asyncio.sleep(0.01)
            assert client.pool.statistics().waiting == 1
            with pytest.raises(PoolFull):
                await realtime.connect()
            assert not waiting.done()
        assert (await waiting).data


async def test_a_session_through_tls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """https becomes wss, with the context that the client was given; an unknown certificate is refused."""
    server_side, client_side = tls
    async with Simulator(ssl=server_side) as sim:
        async with (
            AsyncZhipuAI(sim.api_key, base_url=sim.base_url, ssl=client_side) as client,
            client.realtime.connect("glm-realtime-flash") as session,
        ):
            await read_until(session, "session.updated")
        async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
            with pytest.raises(ConnectError, match="wss://") as caught:
                await client.realtime.connect()
            assert not caught.value.retryable


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tunnel"])
@pytest.mark.parametrize("given", ["argument", "environment"])
async def test_a_session_through_a_proxy(
    secure: bool, given: str, tls: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy gets its own authorization and passes the session on; its password is in no error."""
    heads: list[bytes] = []

    async def proxy(talk: Conversation) -> None:
        request = await talk.request()
        heads.append(request)
        if b"Proxy-Authorization: Basic dXNlcjpwYXNz" not in request:
            await talk.answer(b"", status="407 Proxy Authentication Required")
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if secure:
            await talk.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            writer.write(request.replace(b"http://127.0.0.1:%d" % port, b"", 1))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(talk.reader, writer), pump(reader, talk.writer))

    async with Simulator(ssl=tls[0] if secure else None) as sim, byte_server(proxy) as server:
        port = int(sim.origin.rpartition(":")[2])
        address = server.url.removeprefix("http://").removesuffix("/api/paas/v4")
        for password in ("pass", "wrong-password"):
            url = f"http://user:{password}@{address}"
            settings: dict[str, Any] = {"proxy": url} if given == "argument" else {}
            monkeypatch.setenv("HTTPS_PROXY" if secure else "HTTP_PROXY", url if given == "environment" else "")
            async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url, ssl=tls[1], **settings) as client:
                if password == "pass":
                    async with client.realtime.connect("glm-realtime-flash") as session:
                        await read_until(session, "session.updated")
                    continue
                with pytest.raises((ConnectError, APIError), match="407") as caught:
                    await client.realtime.connect()
                error: BaseException | None = caught.value
                while error is not None:
                    assert password not in f"{error}{error!r}{vars(error)}"
                    error = error.__context__ or error.__cause__
        assert heads[0].startswith(b"CONNECT" if secure else b"GET http://127.0.0.1:")
        assert (sim.api_key.encode() in heads[0]) is not secure


# ------------------------------------------------------------ ending


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
        talking(scenario, timeout=Timeouts(between=0.5)) as (realtime, _, _),
        realtime.connect(timeout=0.5) as session,
    ):
        began = time.monotonic()
        async for event in session:
            if time.monotonic() - began > 0.8:
                assert isinstance(event, Heartbeat)
                break


async def test_a_session_belongs_to_its_loop() -> None:
    """Reading or sending in another loop is refused before it breaks in odd places."""
    async with talking() as (realtime, _, _), realtime.connect() as session:

        async def use() -> None:
            for attempt in (anext(session), session.clear_audio()):
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
