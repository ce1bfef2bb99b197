"""The conveniences of an answer, and sending it back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from zhipu_async.protocol.codec import decode
from zhipu_async.types.chat import Audio, ChatCompletion, ChatCompletionChunk, ChatMessage, Choice
from zhipu_async.types.messages import AssistantMessage, AudioReference
from zhipu_async.types.tools import FunctionCall, ToolCall


def answer(finish_reason: str | None = "stop", **message: Any) -> ChatCompletion:
    """An answer with one message."""
    return ChatCompletion(choices=[Choice(finish_reason=finish_reason, message=ChatMessage(**message))])


CALL = ToolCall(id="c", index=0, function=FunctionCall("f", '{"a":1}'))


@pytest.mark.parametrize(
    ("reply", "text", "reasoning", "tool_calls", "finish_reason"),
    [
        (ChatCompletion(), "", "", [], None),
        (answer(), "", "", [], "stop"),
        (answer(content="x"), "x", "", [], "stop"),
        (answer(content=""), "", "", [], "stop"),
        (answer("length", reasoning_content="r"), "", "r", [], "length"),
        (answer(reasoning="r"), "", "r", [], "stop"),
        (answer(reasoning_content="r", reasoning="s"), "", "r", [], "stop"),
        (answer("tool_calls", content="", tool_calls=[CALL]), "", "", [CALL], "tool_calls"),
        (answer(None, content="\n x \n"), "\n x \n", "", [], None),
    ],
)
def test_conveniences(
    reply: ChatCompletion, text: str, reasoning: str, tool_calls: list[ToolCall], finish_reason: str | None
) -> None:
    """Text, reasoning, calls and finish reason are those of the first choice, and empty where there is nothing."""
    assert (reply.text, reply.reasoning, reply.tool_calls, reply.finish_reason) == (
        text, reasoning, tool_calls, finish_reason,
    )  # fmt: skip


def test_first_choice_counts() -> None:
    """With several choices the conveniences speak of the first."""
    reply = ChatCompletion(choices=[Choice(message=ChatMessage(content=text)) for text in "ab"])
    assert reply.text == "a"


def test_complete() -> None:
    """An answer that was not folded from a broken or open stream is complete."""
    assert ChatCompletion().complete
    assert decode(ChatCompletion, b'{"id":"1","complete":false}').complete


SENT_BACK: list[tuple[ChatCompletion, dict[str, Any]]] = [
    (answer(content="x"), {"content": "x"}),
    (answer(content="\nx", reasoning_content="\nr"), {"content": "\nx", "reasoning_content": "\nr"}),
    (answer(reasoning_content="r"), {"content": "", "reasoning_content": "r"}),
    (answer(reasoning="r", content="x"), {"content": "x", "reasoning_content": "r"}),
    (
        answer("tool_calls", content="", reasoning_content="r", tool_calls=[CALL]),
        {
            "content": "",
            "reasoning_content": "r",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
    ),
    (
        answer(content="hi", audio=Audio(id="a", data="UklGRg==", expires_at=5)),
        {"content": "hi", "audio": {"id": "a"}},
    ),
    (answer(content="hi", audio=Audio(data="UklGRg==")), {"content": "hi"}),
    (answer(content="x", tool_calls=[]), {"content": "x"}),
    (ChatCompletion(), {"content": ""}),
]


@pytest.mark.parametrize(("reply", "sent"), SENT_BACK)
def test_reply_message(reply: ChatCompletion, sent: dict[str, Any]) -> None:
    """The message to send back holds content, reasoning and calls unchanged, the audio's id, and no index."""
    message = reply.message
    assert isinstance(message, AssistantMessage)
    assert json.loads(msgspec.json.encode(message)) == {"role": "assistant"} | sent


def test_reply_message_is_the_callers() -> None:
    """Changing the calls of a message that was made from a reply changes nothing of the reply."""
    reply = answer(tool_calls=[CALL])
    call = (reply.message.tool_calls or [])[0]
    assert isinstance(call, ToolCall)
    call.function.arguments = "changed"
    assert reply.tool_calls[0].function.arguments == '{"a":1}'
    assert reply.tool_calls[0].index == 0


def test_what_is_sent_back_is_unicode() -> None:
    """A lone surrogate is U+FFFD in the message, and a pair its character; the reply has them as they came."""
    function = FunctionCall("f\ud83d", "\ud83d\ude00")
    call = ToolCall(id="c\ude00", type="mcp", function=function, mcp={"output\ud83d": ["\ud83d"]})
    reply = answer(content="\ud83d!", reasoning="r\ud83d", tool_calls=[call], audio=Audio(id="a\ud83d"))
    assert json.loads(msgspec.json.encode(reply.message)) == {
        "role": "assistant",
        "content": "\ufffd!",
        "reasoning_content": "r\ufffd",
        "tool_calls": [
            {
                "id": "c\ufffd",
                "type": "mcp",
                "function": {"name": "f\ufffd", "arguments": "\U0001f600"},
                "mcp": {"output\ufffd": ["\ufffd"]},
            }
        ],
        "audio": {"id": "a\ufffd"},
    }
    assert (reply.text, reply.tool_calls[0].id, call.function.name) == ("\ud83d!", "c\ude00", "f\ud83d")


def test_mcp_is_sent_back() -> None:
    """A call that the service made itself goes back with what it said of it."""
    reply = answer(tool_calls=[ToolCall(id="m", type="mcp", mcp={"server_label": "s", "output": {"a": 1}})])
    (call,) = json.loads(msgspec.json.encode(reply.message))["tool_calls"]
    assert (call["id"], call["type"], call["mcp"]) == ("m", "mcp", {"server_label": "s", "output": {"a": 1}})


def test_message_by_hand() -> None:
    """A reference to earlier speech is an id."""
    message = AssistantMessage(content="hi", audio=AudioReference("a"))
    assert json.loads(msgspec.json.encode(message)) == {"role": "assistant", "content": "hi", "audio": {"id": "a"}}


def test_attributes_of_other_libraries() -> None:
    """The attribute names that users of other SDKs type are there, on answers and on chunks."""
    reply = decode(ChatCompletion, b'{"choices":[{"message":{"content":"x"}}],"usage":{"total_tokens":3}}')
    assert reply.choices[0].message.content == "x"
    assert reply.usage is not None
    assert reply.usage.total_tokens == 3
    chunk = decode(ChatCompletionChunk, b'{"choices":[{"delta":{"content":"x"}}]}')
    delta = chunk.choices[0].delta
    assert (delta.content, delta.reasoning_content, delta.tool_calls) == ("x", None, None)
    assert hasattr(delta, "reasoning_content")


def test_usage_of_older_answers() -> None:
    """Token details that were not sent are None."""
    reply = decode(ChatCompletion, b'{"usage":{"prompt_tokens":1}}')
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is None
    assert reply.usage.prompt_tokens_details is None
