"""Default streams, held against streaming.md."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zhipu_async.simulator import ErrorFrame, Reply, Scenario, ToolCall

from .asking import WEATHER, Asker, simulated


async def test_chunk_shape(ask: Asker) -> None:
    """Every chunk but the last has the recorded keys, a role, one kind of text, and neither finish_reason nor usage."""
    answered = await ask.hello(stream=True)
    assert answered.headers["content-type"] == "text/event-stream;charset=UTF-8"
    assert answered.headers["transfer-encoding"] == "chunked"
    *chunks, last = answered.chunks
    for chunk in chunks:
        assert list(chunk) == ["id", "created", "object", "model", "choices"]
        assert list(chunk["choices"][0]) == ["index", "delta"]
        delta = chunk["choices"][0]["delta"]
        assert delta["role"] == "assistant"
        assert len(delta) == 2
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in [*chunks, last]}) == 1
    assert list(last["choices"][0]) == ["index", "finish_reason", "delta"]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert b"null" not in answered.body


async def test_stream_and_plain_answer_are_the_same(ask: Asker) -> None:
    """The pieces of a stream, reasoning first, add up to the plain answer, and usage is the same."""
    plain, streamed = await ask.say("你好，world"), await ask.say("你好，world", stream=True)
    deltas = streamed.deltas
    kinds = ["reasoning_content" if "reasoning_content" in delta else "content" for delta in deltas]
    assert kinds == sorted(kinds, reverse=True)
    for kind in ("reasoning_content", "content"):
        assert "".join(delta.get(kind, "") for delta in deltas) == plain.message[kind]
    assert streamed.chunks[-1]["usage"] == plain.json["usage"]


async def test_tool_call_in_one_delta(ask: Asker) -> None:
    """Without `tool_stream` the whole call comes in one delta that has no role."""
    answered = await ask.say("Weather in Tokyo?", tools=[WEATHER], stream=True)
    *_, delta = answered.deltas
    assert delta.keys() == {"tool_calls"}
    assert delta["tool_calls"][0]["function"]["arguments"] == '{"city":"Tokyo"}'
    assert answered.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("model", ["glm-4.5", "glm-4-plus"])
async def test_tool_stream_on_a_model_without_it(ask: Asker, model: str) -> None:
    """A model that does not know `tool_stream` behaves as if it was off."""
    answered = await ask.say("Weather in Tokyo?", model=model, tools=[WEATHER], stream=True, tool_stream=True)
    assert answered.deltas[-1].keys() == {"tool_calls"}


async def test_tool_call_in_pieces(ask: Asker) -> None:
    """With `tool_stream` the first piece has id and name, the others only index and type, each 1 to 5 characters."""
    answered = await ask.say("Weather in Tokyo?", tools=[WEATHER], stream=True, tool_stream=True)
    fragments = [delta["tool_calls"][0] for delta in answered.deltas if "tool_calls" in delta]
    first, *rest = fragments
    assert list(first) == ["id", "index", "type", "function"]
    assert first["function"]["name"] == "get_weather"
    assert rest
    assert all(list(fragment) == ["index", "type", "function"] for fragment in rest)
    assert all(fragment["function"].keys() == {"arguments"} for fragment in rest)
    pieces = [fragment["function"]["arguments"] for fragment in fragments]
    assert "".join(pieces) == '{"city":"Tokyo"}'
    assert all(1 <= len(piece) <= 5 for piece in pieces)
    assert all(delta["role"] == "assistant" for delta in answered.deltas)


async def test_parallel_calls_in_pieces() -> None:
    """The pieces of several calls are told apart by their index."""
    calls = [ToolCall("a", {"x": 1}), ToolCall("b", '{"y":'), ToolCall("c", "")]
    async with simulated(Scenario(replies=[Reply(tool_calls=calls, tool_stream=True)])) as ask:
        merged = {0: "", 1: "", 2: ""}
        for delta in (await ask.hello(stream=True)).deltas:
            if "tool_calls" in delta:
                (fragment,) = delta["tool_calls"]
                merged[fragment["index"]] += fragment["function"]["arguments"]
        assert merged == {0: '{"x":1}', 1: '{"y":', 2: ""}


async def test_web_search_comes_first() -> None:
    """Search results stand at the top level of the first chunk."""
    async with simulated(Scenario(replies=[Reply("Hi", web_search=[{"refer": "ref_1"}])])) as ask:
        first, *_ = (await ask.hello(stream=True)).chunks
        assert first["web_search"] == [{"refer": "ref_1"}]
        assert first["choices"][0]["delta"]["content"] == ""


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [(["He", "llo ", "wo"], ["He", "llo ", "wo"]), (4, ["Hell", "o wo"]), (None, ["Hello", " wo"])],
)
async def test_pieces(pieces: Any, expected: list[str]) -> None:
    """The content is cut into given pieces, into so many characters, or into words."""
    async with simulated(Scenario(replies=[Reply("Hello wo", pieces=pieces)])) as ask:
        assert [delta["content"] for delta in (await ask.hello(stream=True)).deltas] == expected


async def test_pieces_are_content_enough() -> None:
    """A reply given only by its pieces has them as its content in a plain answer."""
    async with simulated(Scenario(replies=[Reply(pieces=["He", "llo"])])) as ask:
        assert (await ask.hello()).message["content"] == "Hello"


async def test_stream_without_its_end() -> None:
    """`final_chunk=False` and `done=False` leave the end of a stream away, in a clean HTTP body."""
    async with simulated(Scenario(replies=[Reply("Hello", final_chunk=False), Reply("Hello", done=False)])) as ask:
        assert len((await ask.hello(stream=True)).chunks) == 1
        payloads = (await ask.hello(stream=True)).payloads
        assert len(payloads) == 2
        assert "[DONE]" not in payloads


async def test_restart_with_another_id() -> None:
    """From `restarts_at` on the chunks carry another id."""
    async with simulated(Scenario(replies=[Reply(pieces=["a", "b", "c"], restarts_at=2)])) as ask:
        ids = [chunk["id"] for chunk in (await ask.hello(stream=True)).chunks]
        assert ids[0] == ids[1] != ids[2] == ids[3]


async def test_own_finish_reason_and_usage() -> None:
    """A reply may have a finish_reason and a usage of its own, or no usage at all."""
    replies = [Reply("x", finish_reason="network_error", usage={}), Reply("x", usage={"total_tokens": 1})]
    async with simulated(Scenario(replies=replies)) as ask:
        last = (await ask.hello(stream=True)).chunks[-1]
        assert last["choices"][0]["finish_reason"] == "network_error"
        assert "usage" not in last
        assert (await ask.hello()).json["usage"] == {"total_tokens": 1}


async def test_sensitive_stream() -> None:
    """content_filter stands beside finish_reason in the last chunk."""
    async with simulated() as ask:
        last = (await ask.say("[unsafe answer]", stream=True)).chunks[-1]
        assert last["choices"][0]["finish_reason"] == "sensitive"
        assert last["content_filter"] == [{"level": 1, "role": "assistant"}]


async def test_voice_in_a_stream(ask: Asker) -> None:
    """The sound of glm-4-voice comes in a delta of its own before the final chunk."""
    answered = await ask.hello(model="glm-4-voice", stream=True)
    assert answered.deltas[-1].keys() == {"role", "audio"}


async def test_error_frame_first() -> None:
    """An error frame may come first, with an event line and a request id."""
    async with simulated(Scenario(replies=[ErrorFrame("1302", "Slow down", event=True, request_id="2026")])) as ask:
        answered = await ask.hello(stream=True)
        assert answered.status == 200
        first, done, rest = answered.body.split(b"\n\n")
        event, data = first.split(b"\n")
        assert event == b"event: error"
        assert json.loads(data.removeprefix(b"data: ")) == {
            "error": {"code": "1302", "message": "Slow down"},
            "request_id": "2026",
        }
        assert (done, rest) == (b"data: [DONE]", b"")


async def test_error_frame_after_text() -> None:
    """An error frame may come after some text, with a content filter and without `[DONE]`."""
    frame = ErrorFrame("1301", after=["Hel", "lo"], content_filter=[{"level": 1, "role": "user"}], done=False)
    async with simulated(Scenario(replies=[frame])) as ask:
        *texts, error = map(json.loads, (await ask.hello(stream=True)).payloads)
        assert [text["choices"][0]["delta"]["content"] for text in texts] == ["Hel", "lo"]
        assert error["error"]["code"] == "1301"
        assert error["contentFilter"] == [{"level": 1, "role": "user"}]


async def test_error_frame_without_a_stream() -> None:
    """Where no stream was asked for, an error frame is a JSON error with status 200."""
    async with simulated(Scenario(replies=[ErrorFrame("1302")])) as ask:
        answered = await ask.hello()
        assert (answered.status, answered.code) == (200, "1302")
