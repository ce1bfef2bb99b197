"""What browsers read: the frame of every kind of item, taken apart as the standard says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.event_source import Message, messages
from zhipu_async.errors import ConfigError
from zhipu_async.integrations.web import DONE, KEEP_ALIVE, Event, frame
from zhipu_async.protocol.codec import decode
from zhipu_async.types.chat import ChatCompletion, ChatCompletionChunk, Choice, Usage
from zhipu_async.types.events import (
    ContentDelta,
    Finished,
    ReasoningDelta,
    ToolCallDelta,
    ToolCallDone,
    ToolCallStarted,
)
from zhipu_async.types.realtime_events import Heartbeat, UnknownEvent
from zhipu_async.types.tool_events import CallDecoded, CallReturned, TurnFinished
from zhipu_async.types.tools import FunctionCall, ToolCall

CALL = ToolCall(id="call_1", type="function", function=FunctionCall(name="add", arguments='{"a":1}'))
TOLD_CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
WHOLE = ChatCompletion(model="glm-4.6", choices=[Choice(finish_reason="stop")], usage=Usage(total_tokens=3))
TOLD_WHOLE = {"finish_reason": "stop", "usage": {"total_tokens": 3}, "model": "glm-4.6"}

FRAMES: list[tuple[Any, str, Any]] = [
    ("two\nlines", "message", {"text": "two\nlines"}),
    (ContentDelta(text="Hi"), "content.delta", {"text": "Hi", "choice": 0}),
    (ReasoningDelta(text="Hm", choice=1), "reasoning.delta", {"text": "Hm", "choice": 1}),
    (
        ToolCallStarted(position=0, id="call_1", name="add"),
        "tool_call.started",
        {"position": 0, "id": "call_1", "name": "add", "choice": 0},
    ),
    (ToolCallDelta(position=0, arguments='{"a'), "tool_call.delta", {"position": 0, "arguments": '{"a', "choice": 0}),
    (ToolCallDone(position=0, call=CALL), "tool_call.done", {"position": 0, "call": TOLD_CALL, "choice": 0}),
    (CallDecoded(call=CALL, arguments={"a": object()}), "call.decoded", {"call": TOLD_CALL}),
    (
        CallReturned(call=CALL, content="3", value=object(), seconds=0.5),
        "call.returned",
        {"call": TOLD_CALL, "content": "3", "error": None, "seconds": 0.5},
    ),
    (
        CallReturned(call=CALL, content="error: no", error=PermissionError("private")),
        "call.returned",
        {"call": TOLD_CALL, "content": "error: no", "error": "PermissionError", "seconds": 0.0},
    ),
    (TurnFinished(step=2, completion=WHOLE), "turn.finished", {"step": 2, **TOLD_WHOLE}),
    (Finished(result=WHOLE), "finished", TOLD_WHOLE),
    (Heartbeat(event_id="e"), "heartbeat", {"event_id": "e"}),
]
"""Items, the type that the browser sees, and the data; that of named events also has their type."""


@pytest.mark.parametrize(("item", "name", "data"), FRAMES, ids=lambda value: type(value).__name__)
def test_the_frame_of_each_kind(item: Any, name: str, data: Any) -> None:
    """Each item is one event of one line, named as its type, with the data that FRAMES lists."""
    written = frame(item)
    assert written.count(b"data: ") == 1
    (message,) = messages(written)
    assert message.event == name
    assert json.loads(message.data) == (data if name == "message" else {"type": name, **data})


def test_other_items_are_their_json() -> None:
    """Mappings, lists and structs without a type are written as they are, and Event gives a name."""
    items: list[Any] = [{"a": [1, None]}, [1, 2], 3, Usage(total_tokens=3), Event({"a": 1}, "mine"), Event("x")]
    told = [(message.event, json.loads(message.data)) for message in messages(b"".join(map(frame, items)))]
    assert told == [
        *[("message", data) for data in ({"a": [1, None]}, [1, 2], 3, {"total_tokens": 3})],
        *[("mine", {"a": 1}), ("message", "x")],
    ]


def test_a_newer_event_cannot_write_frames_of_its_own() -> None:
    """The name that the service gives an unknown event stands in the frame only if it is one line."""
    told = messages(frame(UnknownEvent("new.event", {"a": 1})) + frame(UnknownEvent("x\ndata: y\n\n", {"a": 2})))
    assert told == [Message("new.event", '{"a":1}', "", None), Message("message", '{"a":2}', "", None)]


CHUNKS = [
    '{"id":"1","created":1774253044,"model":"glm-4.7","object":"chat.completion.chunk",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}',
    '{"id":"1","choices":[{"index":1,"delta":{},"finish_reason":"stop"}],"usage":{"total_tokens":3}}',
    '{"id":"1","choices":[],"web_search":[{"title":"t"}]}',
    '{"id":"1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function",'
    '"function":{"name":"add","arguments":"{\\"a\\""}}]}}]}',
]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_chunks_are_written_as_the_service_writes_them(chunk: str) -> None:
    """What was read is written again, with all that browser code counts on."""
    (message,) = messages(frame(decode(ChatCompletionChunk, chunk.encode())))
    assert message.event == "message"
    assert json.loads(message.data) == json.loads(chunk)


def test_only_text() -> None:
    """With text_only there are frames for the first choice's text and for nothing else."""
    chunks = [decode(ChatCompletionChunk, chunk.encode()) for chunk in CHUNKS]
    items = [
        *chunks,
        "a",
        "",
        ContentDelta(text="b"),
        ContentDelta(text="c", choice=1),
        *(item for item, *_ in FRAMES[2:]),
    ]
    told = messages(b"".join(frame(item, text_only=True) for item in items))
    assert [json.loads(message.data) for message in told] == [{"text": "Hi"}, {"text": "a"}, {"text": "b"}]


@given(st.text(st.characters(categories=None), max_size=20))
def test_any_text_arrives(text: str) -> None:
    """Whatever the model writes comes out of the browser's parser unchanged, line ends and halves of characters too."""
    (message,) = messages(frame(ContentDelta(text=text)))
    assert json.loads(message.data)["text"] == text


def test_halves_of_a_character_join() -> None:
    """A character that the service cut in two is whole again when the browser joins the pieces."""
    told = messages(frame("\ud83d") + frame("\ude00"))
    pieces = [json.loads(message.data)["text"] for message in told]
    assert "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16") == "😀"


@pytest.mark.parametrize("name", ["", "two\nlines", "carriage\rreturn", "\u2028"])
def test_an_event_has_a_name_of_one_line(name: str) -> None:
    """A name that would end its line is refused when the event is made."""
    with pytest.raises(ConfigError, match="cannot name an event"):
        Event(1, name)


@pytest.mark.parametrize("item", [object(), Event(object()), {"a": {1: object()}}], ids=["object", "event", "inside"])
def test_what_json_cannot_hold_is_refused(item: Any) -> None:
    """An item without a form in JSON is ConfigError and writes nothing."""
    with pytest.raises(ConfigError, match="cannot be relayed"):
        frame(item)


def test_the_other_lines() -> None:
    """The end is a text of its own, and comments are seen by no browser code."""
    assert messages(KEEP_ALIVE + DONE) == [Message("message", "[DONE]", "", None)]
