"""Streams beside chat: what their events fold to, how they end, fail and break (media.md, data.md, streaming.md 8)."""

from __future__ import annotations

import base64
import re
from copy import deepcopy
from itertools import pairwise
from typing import Any, TypeVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async import errors
from zhipu_async.protocol.chunks import ChunkReader, StreamKind
from zhipu_async.protocol.codec import decode
from zhipu_async.protocol.folds import (
    AGENT,
    AGENT_EVENTS,
    APPLICATION,
    ASSISTANT,
    SEARCH_TOOL,
    SPEECH,
    SPEECH_HEX,
    TRANSCRIPTION,
    speech,
)

from .feeding import DONE, Reading, at_every_split, by_byte, contract, cut, cuts, examples, frame, plain

C = TypeVar("C")
R = TypeVar("R")

KINDS: dict[str, StreamKind[Any, Any]] = {
    "transcription": TRANSCRIPTION,
    "speech": SPEECH,
    "search": SEARCH_TOOL,
    "agent": AGENT,
    "events": AGENT_EVENTS,
    "assistant": ASSISTANT,
    "application": APPLICATION,
}


def reading(kind: StreamKind[Any, Any], pieces: list[bytes]) -> tuple[Reading, ChunkReader[Any, Any]]:
    """What comes of a stream of ``kind``, and its reader."""
    reader = ChunkReader(kind)
    chunks = [chunk for piece in pieces for chunk in reader.feed(piece)]
    chunks += reader.close()
    error = reader.failure
    failure = None if error is None else f"{type(error).__name__}: {error}"
    return Reading(plain(chunks), plain(reader.result()), reader.complete, failure, reader.damaged, error), reader


def alike(kind: StreamKind[Any, Any], stream: bytes) -> Reading:
    """What comes of a stream; the same whole, byte by byte and cut anywhere in two."""
    whole, reader = reading(kind, [stream])
    assert reader.result().complete == reader.complete
    assert reading(kind, by_byte(stream))[0] == whole
    for pieces in at_every_split(stream):
        assert reading(kind, list(pieces))[0] == whole
    return whole


def frames(*events: dict[str, Any]) -> bytes:
    """Events, one behind the other."""
    return b"".join(frame(event) for event in events)


def choice(delta: Any = None, reason: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    members = {"delta": delta, "finish_reason": reason}
    return {"choices": [{"index": index} | {name: value for name, value in members.items() if value}], **more}


# ---------------------------------------------------------------- the contract's samples


def samples(section: str) -> list[bytes]:
    """The event streams that a section of media.md shows."""
    text = contract("media.md").read_text(encoding="utf-8")
    body = text.split(f"## {section}", 1)[1].split("\n## ", 1)[0]
    return [f"{block.strip()}\n\n".encode() for block in re.findall(r"```\n(data:.*?)```", body, re.DOTALL)]


def test_sample_of_transcription() -> None:
    """The contract's stream of a transcription gives its text, however it is cut."""
    (stream,) = samples("3. Speech to text")
    found = alike(TRANSCRIPTION, stream)
    assert found.failure is None
    assert found.complete
    assert found.result == {"id": "...", "created": 1795159800, "model": "glm-asr-2512", "text": "hel"}


def test_sample_of_speech() -> None:
    """The contract's stream of speech gives the sound of both pieces, however it is cut."""
    (stream,) = samples("4. Text to speech")
    first, second = b"\x00\x01" * 7, b"\xff\xfe" * 5
    for sound in (first, second):
        stream = stream.replace(b"<base64 pcm>", base64.b64encode(sound), 1)
    found = alike(SPEECH, stream)
    assert found.failure is None
    assert found.complete
    assert len(found.chunks) == 3
    result = decode(cast(Any, type(reading(SPEECH, [stream])[1].result())), msgspec.json.encode(found.result))
    assert result.audio == first + second
    assert (result.sample_rate, result.format, result.model) == (24000, "pcm", "glm-tts")
    assert (result.finish_reason, result.created) == ("stop", 1769424615)


# ---------------------------------------------------------------- what streams fold to

SAID = {"type": "transcript.text.delta", "delta": "ab"}
TEXTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "pieces": ([SAID, {"type": "transcript.text.delta", "delta": "文"}, {"type": "transcript.text.done"}], "ab文"),
    "the whole text at the end": ([SAID, {"type": "transcript.text.done", "text": "whole"}], "whole"),
    "an empty text at the end": ([SAID, {"type": "transcript.text.done", "text": "", "delta": ""}], "ab"),
    "nothing": ([{"type": "transcript.text.done"}], ""),
    "only the end": ([{"type": "transcript.text.done", "delta": "x"}], "x"),
    "pieces said again at the end": ([SAID, {"type": "transcript.text.done", "delta": "ab"}], "ab"),
    "the form of chat": ([choice({"content": "a"}), choice({"content": "b"}), choice({}, "stop")], "ab"),
}


@pytest.mark.parametrize(("events", "text"), TEXTS.values(), ids=TEXTS)
def test_transcription(events: list[dict[str, Any]], text: str) -> None:
    """The pieces are joined, and a text that comes with the last event wins; chat's form is understood too."""
    found = alike(TRANSCRIPTION, frames(*events) + DONE)
    assert found.failure is None
    assert found.result.get("text", "") == text


@pytest.mark.parametrize("encode_format", ["base64", "hex", None])
@given(pieces=st.lists(st.binary(max_size=40), max_size=6), positions=cuts)
@examples(40)
def test_speech_decodes_piece_by_piece(encode_format: Any, pieces: list[bytes], positions: list[int]) -> None:
    """Each piece is a text of its own, in the encoding that was asked for, whatever its length."""
    written = [(piece.hex() if encode_format == "hex" else base64.b64encode(piece).decode()) for piece in pieces]
    events = [choice({"content": text}, index=number) for number, text in enumerate(written)]
    stream = frames(*events, choice(None, "stop", len(events))) + DONE
    found, reader = reading(speech(encode_format), cut(stream, positions))
    assert found.failure is None
    assert reader.result().audio == b"".join(pieces)
    assert reader.spoke == any(pieces)


@pytest.mark.parametrize(
    ("kind", "bad"), [(SPEECH, "!!!"), (SPEECH, "AAAAA"), (SPEECH, "é"), (SPEECH_HEX, "abc"), (SPEECH_HEX, "AAxA")]
)
def test_speech_that_cannot_be_decoded(kind: StreamKind[Any, Any], bad: str) -> None:
    """A piece that is not in its encoding is StreamCorrupted, with the piece and the sound before it."""
    good = "0102" if kind is SPEECH_HEX else base64.b64encode(b"\x01\x02").decode()
    found = alike(kind, frames(choice({"content": good}), choice({"content": bad}, index=1)))
    error = found.error
    assert isinstance(error, errors.StreamCorrupted)
    assert error.raw == bad
    assert error.partial.audio == b"\x01\x02"
    assert not error.partial.complete
    assert len(found.chunks) == 1


AGENTS: dict[str, tuple[list[dict[str, Any]], Any]] = {
    "delta with text": (
        [choice({"role": "assistant", "content": "a"}), choice({"content": "b"}), choice({"content": ""}, "stop")],
        [{"role": "assistant", "content": "ab"}],
    ),
    "message as a list, content an object": (
        [
            {"choices": [{"message": [{"role": "assistant", "content": {"type": "text", "text": "a"}}]}]},
            {"choices": [{"message": [{"role": "assistant", "content": {"type": "text", "text": "b"}}]}]},
            choice(None, "stop"),
        ],
        [{"role": "assistant", "content": {"type": "text", "text": "ab"}}],
    ),
    "messages, content a list": (
        [
            {"choices": [{"messages": [{"content": [{"type": "text", "text": "a"}]}]}]},
            {"choices": [{"messages": [{"content": [{"type": "text", "text": "b"}]}]}]},
            {"choices": [{"messages": [{"content": [{"type": "file_url", "file_url": "https://x"}]}]}]},
            {"choices": [{"messages": [{"content": [{"type": "text", "text": "c"}]}], "finish_reason": "stop"}]},
        ],
        [{"content": [
            {"type": "text", "text": "ab"}, {"type": "file_url", "file_url": "https://x"}, {"type": "text", "text": "c"}
        ]}],
    ),
    "kinds of text apart": (
        [
            choice({"content": {"type": "thinking", "text": "t"}}),
            choice({"content": {"type": "thinking", "text": "u"}}),
            choice({"content": {"type": "text", "text": "a"}}, "stop"),
        ],
        [{"content": [{"type": "thinking", "text": "tu"}, {"type": "text", "text": "a"}]}],
    ),
    "roles apart": (
        [
            choice({"role": "tool", "content": {"type": "object", "object": {"tool_name": "f"}}}),
            choice({"role": "assistant", "content": "a"}, "stop"),
        ],
        [{"role": "tool", "content": {"type": "object", "object": {"tool_name": "f"}}},
         {"role": "assistant", "content": "a"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "messages"), AGENTS.values(), ids=AGENTS)
@pytest.mark.parametrize("done", [DONE, b""], ids=["[DONE]", "end"])
def test_agent(events: list[dict[str, Any]], messages: list[dict[str, Any]], done: bytes) -> None:
    """Pieces of one role are one message in the form they came in; ids may differ from chunk to chunk."""
    numbered = [event | {"id": str(number), "agent_id": "a"} for number, event in enumerate(events)]
    found = alike(AGENT, frames(*numbered) + done)
    assert found.failure is None
    assert found.result["choices"][0]["messages"] == messages
    assert (found.result["id"], found.result["agent_id"]) == ("0", "a")


def test_agent_work_that_goes_on() -> None:
    """A stream that gives only the number of a task is complete."""
    found, reader = reading(AGENT, [frames({"agent_id": "a", "async_id": "n", "status": "pending"})])
    assert found.failure is None
    assert reader.started
    assert not reader.spoke
    assert (reader.result().async_id, reader.result().state) == ("n", "running")


def test_agent_error_beside_an_answer() -> None:
    """An error beside choices is handed through and makes the folded answer a failed one."""
    broken = choice({"content": "b"}, status="failed", error={"code": "1", "message": "bad"})
    found, reader = reading(AGENT, [frames(choice({"content": "a"}), broken)])
    assert found.failure is None
    result = reader.result()
    assert (result.text, result.state, result.failure) == ("ab", "failed", ("1", "bad"))


EVENTS: list[dict[str, Any]] = [
    {"type": "session_created", "sessionId": "s"},
    {"type": "reasoning", "sessionId": "s", "data": "r1"},
    {"type": "reasoning", "sessionId": "s", "data": "r2"},
    {"type": "thought", "sessionId": "s", "data": "t"},
    {"type": "tool_call", "data": {"callId": "c", "toolName": "search", "arguments": {"q": "x"}}},
    {"type": "tool_call", "data": {"callId": "d", "toolName": "search", "arguments": {"q": "y"}}},
    {"type": "tool_result", "data": {
        "callId": "c", "toolName": "search", "result": [{"text": "found"}], "status": "success", "durationMs": 12}},
    {"type": "answer", "data": "a1"},
    {"type": "answer", "data": "文"},
    {"type": "done", "sessionId": "s", "messageId": "m", "usage": {"total_tokens": 5, "total_calls": 2}},
]  # fmt: skip


@pytest.mark.parametrize("done", [DONE, b""], ids=["[DONE]", "end"])
def test_knowledge_agent(done: bytes) -> None:
    """Texts are joined by kind, results join their calls, and the stream ends with ``done``."""
    found = alike(AGENT_EVENTS, frames(*EVENTS) + done)
    assert found.failure is None
    assert found.complete
    assert found.result == {
        "session_id": "s", "message_id": "m", "text": "a1文", "reasoning": "r1r2", "thoughts": "t",
        "usage": {"total_tokens": 5, "total_calls": 2},
        "tool_calls": [
            {"call_id": "c", "tool_name": "search", "arguments": {"q": "x"}, "result": [{"text": "found"}],
             "status": "success", "duration_ms": 12},
            {"call_id": "d", "tool_name": "search", "arguments": {"q": "y"}},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "calls"),
    [
        ([("tool_call", {"toolName": "f"}), ("tool_result", {"toolName": "f", "status": "success"})],
         [{"tool_name": "f", "status": "success"}]),
        ([("tool_result", {"callId": "c", "toolName": "f", "result": 1})],
         [{"call_id": "c", "tool_name": "f", "result": 1}]),
        ([("tool_call", {"callId": "c"}), ("tool_result", {"callId": "d", "result": 1})],
         [{"call_id": "c"}, {"call_id": "d", "result": 1}]),
        ([("tool_call", {"toolName": "f"}), ("tool_result", {"status": "error"}), ("tool_result", {"result": 2})],
         [{"tool_name": "f", "status": "error"}, {"result": 2}]),
    ],
)  # fmt: skip
def test_results_find_their_calls(steps: list[tuple[str, Any]], calls: list[Any]) -> None:
    """By id; without one the newest open call of the tool; what finds none stands by itself."""
    events = [{"type": kind, "data": data} for kind, data in steps]
    assert reading(AGENT_EVENTS, [frames(*events)])[0].result["tool_calls"] == calls


def test_assistant() -> None:
    """Text is joined, what one tool did is one call, and the rest is what came last."""

    def tool(kind: str, **details: Any) -> dict[str, Any]:
        return choice(
            {"role": "tool", "type": "tool_calls", "tool_calls": [{"type": kind, kind: details}]}, status="in_progress"
        )

    def text(content: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
        return choice({"role": "assistant", "type": "content", "content": content}, reason, **more)

    events = [
        tool("code_interpreter", input="1 ", outputs=None),
        tool("code_interpreter", input="+ 1", outputs=[]),
        tool("code_interpreter", input="", outputs=[{"type": "logs", "logs": "2"}]),
        tool("code_interpreter", input="2"),
        tool("function", name="f", arguments='{"a"'),
        tool("function", arguments=": 1}"),
        text("It is "),
        text("2.", "stop", status="completed", usage={"total_tokens": 3}, metadata={"k": "v"}),
    ]
    events = [{"id": "i", "conversation_id": "c", "assistant_id": "a", "created": 1} | event for event in events]
    found = alike(ASSISTANT, frames(*events) + DONE)
    assert found.failure is None
    assert found.result == {
        "id": "i", "conversation_id": "c", "assistant_id": "a", "created": 1, "status": "completed",
        "usage": {"total_tokens": 3}, "metadata": {"k": "v"},
        "choices": [{"finish_reason": "stop", "delta": {
            "role": "assistant", "type": "content", "content": "It is 2.", "tool_calls": [
                {"type": "code_interpreter", "code_interpreter": {
                    "input": "1 + 1", "outputs": [{"type": "logs", "logs": "2"}]}},
                {"type": "code_interpreter", "code_interpreter": {"input": "2"}},
                {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            ]}}],
    }  # fmt: skip


def test_application() -> None:
    """Text is joined, steps and tools' messages are listed, and the form is that of the plain answer."""
    step = {"node_id": "n", "type": "node_finish", "content": "x", "time": 5}
    events = [
        choice({"event": step}),
        choice({"content": {"msg": "a", "type": "text"}}),
        choice({"tool_calls": {"type": "retrieval", "tool_calls_data": {"k": 1}}}),
        choice({"content": {"msg": "b", "type": "text"}}),
        choice({"content": {"type": "image", "url": "https://i"}}),
        choice(None, "stop", usage=[{"model": "m", "inputTokenCount": 1, "outputTokenCount": 2, "totalTokenCount": 3}]),
    ]
    events = [{"request_id": "r", "conversation_id": "c", "app_id": "a"} | event for event in events]
    found = alike(APPLICATION, frames(*events) + DONE)
    assert found.failure is None
    assert found.result == {
        "request_id": "r", "conversation_id": "c", "app_id": "a",
        "usage": [{"model": "m", "inputTokenCount": 1, "outputTokenCount": 2, "totalTokenCount": 3}],
        "choices": [{"finish_reason": "stop", "messages": {
            "content": {"msg": "ab", "type": "image", "url": "https://i"}, "event": [step],
            "tool_calls": [{"type": "retrieval", "tool_calls_data": {"k": 1}}]}}],
    }  # fmt: skip


def test_search_tool() -> None:
    """Steps of the search with one id and kind are one step."""

    def step(kind: str, *found: Any) -> dict[str, Any]:
        return choice({"role": "tool", "tool_calls": [{"id": "c", "type": kind, kind: list(found)}]}, id="i", created=1)

    events = [
        step("search_intent", {"query": "q"}),
        step("search_result", {"title": "1"}),
        step("search_result", {"title": "2"}, {"title": "3"}),
        step("search_recommend", {"query": "p"}),
        choice({}, "stop", id="i"),
    ]
    found = alike(SEARCH_TOOL, frames(*events) + DONE)
    assert found.failure is None
    assert found.result == {"id": "i", "created": 1, "choices": [{"finish_reason": "stop", "message": {
        "role": "tool", "tool_calls": [
            {"id": "c", "type": "search_intent", "search_intent": [{"query": "q"}]},
            {"id": "c", "type": "search_result", "search_result": [{"title": "1"}, {"title": "2"}, {"title": "3"}]},
            {"id": "c", "type": "search_recommend", "search_recommend": [{"query": "p"}]},
        ]}}]}  # fmt: skip


# ---------------------------------------------------------------- what holds for all kinds

SPOKEN: dict[str, list[dict[str, Any]]] = {
    "transcription": [SAID, SAID],
    "speech": [choice({"content": "AAE="}), choice({"content": "AAE="}, index=1)],
    "search": [choice({"tool_calls": [{"type": "search_result", "search_result": [{"title": "x"}]}]})] * 2,
    "agent": [choice({"content": {"type": "text", "text": "a"}}), choice({"content": [{"file_url": "u"}]})],
    "events": [*EVENTS[:-1]],
    "assistant": [
        choice({"content": "a"}, metadata={"k": [1]}),
        choice({"tool_calls": [{"type": "function", "function": {"outputs": [{"content": "x"}]}}]}),
    ],
    "application": [choice({"content": {"msg": "a"}, "event": {"type": "t"}}), choice({"content": {"msg": "b"}})],
}
ENDS: dict[str, dict[str, Any]] = {
    "transcription": {"type": "transcript.text.done"},
    "speech": choice(None, "stop", 9),
    "search": choice(None, "stop"),
    "agent": choice(None, "stop"),
    "events": EVENTS[-1],
    "assistant": {"status": "completed", "choices": []},
    "application": choice(None, "stop"),
}
each = pytest.mark.parametrize("name", KINDS)


@each
def test_ends(name: str) -> None:
    """A stream is complete at its own end with or without [DONE], and at [DONE] without its own end."""
    said, end = frames(*SPOKEN[name]), frame(ENDS[name])
    for stream in (said + end + DONE, said + end, said + DONE, end):
        found, reader = reading(KINDS[name], [stream])
        assert found.failure is None
        assert reader.result().complete
        assert reader.started


@each
def test_breaks(name: str) -> None:
    """A stream that breaks off is StreamTruncated, and what had arrived is in the error."""
    stream = frames(*SPOKEN[name])
    for torn in (stream, stream + frame(ENDS[name])[:-6], stream + b"data: {"):
        found, reader = reading(KINDS[name], [torn])
        assert isinstance(found.error, errors.StreamTruncated)
        assert found.error.partial == reader.result()
        assert not found.error.partial.complete
        assert reader.spoke
    assert isinstance(reading(KINDS[name], [b""])[0].error, errors.StreamTruncated)


FAULTS: list[tuple[str, dict[str, Any], type[errors.APIError], str | None, str]] = [
    *((name, {"error": {"code": "1302", "message": "slow"}, "request_id": "r"}, errors.RateLimitError, "1302", "slow")
      for name in KINDS),
    *((name, {"code": 500, "msg": "m", "success": False}, errors.ServerError, "500", "m") for name in KINDS),
    ("speech", {"choices": [], "error": {"code": 1301, "message": "m"}}, errors.ContentFilterError, "1301", "m"),
    ("agent", {"id": "i", "status": "failed", "error": {"code": "1214", "message": "m"}}, errors.BadRequestError,
     "1214", "m"),
    ("agent", {"status": "failed"}, errors.ServerError, None, ""),
    ("assistant", {"status": "failed", "last_error": {"code": "1305", "message": "m"}}, errors.OverloadedError,
     "1305", "m"),
    ("assistant", {"status": "failed"}, errors.ServerError, None, ""),
    ("events", {"type": "error", "data": {"message": "m"}}, errors.ServerError, None, "m"),
    ("events", {"type": "error", "data": "m"}, errors.ServerError, None, "m"),
    ("events", {"code": 1302, "message": "m"}, errors.RateLimitError, "1302", "m"),
    ("application", {"code": 401, "message": "m", "timestamp": 1}, errors.AuthenticationError, "401", "m"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "event", "kind", "code", "message"), FAULTS)
def test_error_frames(name: str, event: Any, kind: type[errors.APIError], code: str | None, message: str) -> None:
    """A frame that says the call failed raises what its code means, behind the chunks before it."""
    said = SPOKEN[name]
    for before in ([], said):
        found = alike(KINDS[name], frames(*before, event) + DONE)
        error = found.error
        assert type(error) is kind
        assert isinstance(error, errors.APIError)
        assert (error.code, error.message, error.status) == (code, message, 200)
        assert error.request_id == event.get("request_id", event.get("id"))
        assert len(found.chunks) == len(before)
        assert not found.complete


@each
def test_a_second_id(name: str) -> None:
    """Content under a second id restarts a stream of a kind whose ids are known to stay, and no other."""
    events = [event | {"id": str(number)} for number, event in enumerate(SPOKEN[name])]
    found = reading(KINDS[name], [frames(*events, ENDS[name])])[0]
    assert isinstance(found.error, errors.StreamRestarted) == (name in ("speech", "search"))
    assert found.error is None or name in ("speech", "search")


@each
def test_snapshots(name: str) -> None:
    """A result may be asked for at any time: it is new each time, and neither it nor chunks are joined to others."""
    kind = KINDS[name]
    said = [msgspec.convert(event, kind.chunk) for event in [*SPOKEN[name], ENDS[name]]]
    untouched = [deepcopy(chunk) for chunk in said]
    accumulator, never_asked = kind.accumulator(), kind.accumulator()
    for chunk in said:
        accumulator.add(chunk)
        never_asked.add(chunk)
        first = plain(accumulator.result(complete=False))
        spoiled = accumulator.result(complete=False)
        spoil(spoiled)
        assert plain(accumulator.result(complete=False)) == first
        assert accumulator.finished == (chunk is said[-1])
    assert said == untouched
    whole = plain(accumulator.result(complete=True))
    assert plain(never_asked.result(complete=True)) == whole
    for chunk in said:
        spoil(chunk)
    assert plain(accumulator.result(complete=True)) == whole
    assert accumulator.result(complete=True).complete
    assert not accumulator.result(complete=False).complete


def spoil(value: Any) -> None:
    """Change everything inside a value that can be changed."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            spoil(getattr(value, name))
            setattr(value, name, None)
    elif isinstance(value, (list, dict)):
        inside = cast("list[Any] | dict[str, Any]", value)
        for member in list(inside.values()) if isinstance(inside, dict) else inside:
            spoil(member)
        inside.clear()


@each
def test_many_chunks(name: str) -> None:
    """Nothing is lost of a long stream, and to ask at every hundredth chunk changes nothing."""
    kind = KINDS[name]
    said = msgspec.convert(SPOKEN[name][0 if name != "events" else 7], kind.chunk)
    asked, never_asked = kind.accumulator(), kind.accumulator()
    sizes: list[int] = []
    for number in range(3_000):
        asked.add(said)
        never_asked.add(said)
        if number % 100 == 0:
            sizes.append(len(msgspec.json.encode(asked.result(complete=False))))
    assert plain(asked.result(complete=False)) == plain(never_asked.result(complete=False))
    growth = {after - before for before, after in pairwise(sizes)}
    assert max(growth) - min(growth) <= 4
    assert min(growth) >= 100


def test_a_damaged_event_is_mended() -> None:
    """An event with a field of the wrong kind is read without it, and counted."""
    stream = frames({"type": "answer", "data": "a", "usage": {"total_tokens": "many"}}, {"type": "done"})
    found, _ = reading(AGENT_EVENTS, [stream])
    assert found.failure is None
    assert found.damaged == 1
    assert found.result["text"] == "a"
