"""Realtime sessions against the simulator: what is said, and the frames that say it."""

from __future__ import annotations

import asyncio
import math
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.realtime_sessions import JPEG, OPENING, WEATHER, last, read_until, talking
from zhipu_async import (
    APIError,
    ConfigError,
    Limits,
    ResponseTooLarge,
    ServerError,
)
from zhipu_async.realtime import Realtime, RealtimeSession, error_of
from zhipu_async.simulator import Pace, Scenario, media_bytes
from zhipu_async.simulator.realtime import Talk
from zhipu_async.types.realtime import ConversationItem, SessionConfig, TurnDetection
from zhipu_async.types.realtime_events import (
    ErrorEvent,
    ResponseAudioDelta,
    ResponseCancelled,
    ResponseDone,
    ResponseFunctionCallArgumentsDone,
    ResponseTextDelta,
    TranscriptionCompleted,
    UnknownEvent,
)


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
