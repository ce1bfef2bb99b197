"""Streams: reading, leaving early in every way, results, events, and what must not be done with them."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.conftest import Serve
from tests.servers import DONE, LAST, STREAM_HEAD, Conversation, block, byte_server, chunk
from zhipu_async import (
    AccountError,
    AsyncZhipuAI,
    AttemptFailed,
    CallFailed,
    CallSucceeded,
    ContentFilterError,
    Finished,
    RateLimitError,
    StreamConsumed,
    StreamCorrupted,
    StreamFailed,
    StreamRestarted,
    StreamTruncated,
    ZhipuError,
)
from zhipu_async.simulator import Delivery, ErrorFrame, Frames, HangUp, Pace, Refusal, Reply, Scenario, ToolCall

Ask = Callable[..., dict[str, Any]]
SLOW = Scenario(pace=Pace(per_chunk=0.05), replies=[Reply("abcdefgh", pieces=list("abcdefgh"), times=None)])
WEATHER = Reply(
    reasoning="They want the weather.",
    tool_calls=[ToolCall("get_weather", {"city": "北京"}), ToolCall("get_time", {})],
    tool_stream=True,
    finish_reason="tool_calls",
)


async def collect(items: AsyncIterable[str], into: list[str]) -> None:
    """Append what comes, until it ends or raises."""
    async for item in items:
        into.append(item)


async def leave_with(client: AsyncZhipuAI, arguments: dict[str, Any]) -> None:
    """Enter with ``async with`` and break."""
    async with await client.chat.completions.create(**arguments) as stream:
        async for _ in stream:
            break


async def leave_unnamed(client: AsyncZhipuAI, arguments: dict[str, Any]) -> None:
    """Break out of a stream that no name holds."""
    async for _ in await client.chat.completions.create(**arguments):
        break


async def leave_text(client: AsyncZhipuAI, arguments: dict[str, Any]) -> None:
    """Break out of the text of a stream that no name holds."""
    async for _ in (await client.chat.completions.create(**arguments)).text_deltas():
        break


async def leave_events(client: AsyncZhipuAI, arguments: dict[str, Any]) -> None:
    """Break out of the events of a stream that no name holds."""
    async for _ in (await client.chat.completions.create(**arguments)).events():
        break


@pytest.mark.parametrize("leave", [leave_with, leave_unnamed, leave_text, leave_events])
async def test_break_closes_the_connection_without_the_garbage_collector(
    serve: Serve, ask: Ask, leave: Callable[[AsyncZhipuAI, dict[str, Any]], Any]
) -> None:
    """A hundred streams left early: each time the server sees its connection closed within 2 s, and nothing warns."""
    client, sim = await serve(SLOW)
    gc.collect()
    gc.disable()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for number in range(100):
                await leave(client, ask(stream=True))
                await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
                assert sim.connections.open == 0
                assert sim.connections.opened == number + 1
        assert caught == []
        assert client.pool.statistics().in_use == 0
    finally:
        gc.enable()
    assert client.statistics()["glm-4.6"].cancelled == 100


async def test_a_stream_that_is_still_held_after_break_stays_open(serve: Serve, ask: Ask) -> None:
    """Reading goes on where it was left."""
    client, _ = await serve(SLOW)
    stream = await client.chat.completions.create(**ask(stream=True))
    async for _ in stream:
        break
    assert client.pool.statistics().in_use == 1
    rest = [piece async for piece in stream.text_deltas()]
    assert stream.result.text == "abcdefgh"
    assert "".join(rest) == "bcdefgh"


async def test_aclosing_and_close_free_the_connection_at_once(serve: Serve, ask: Ask) -> None:
    """close(), aclose() and contextlib.aclosing do the same, and twice does no harm."""
    client, _ = await serve(SLOW)
    async with aclosing(await client.chat.completions.create(**ask(stream=True))) as stream:
        assert client.pool.statistics().in_use == 1
    assert client.pool.statistics().in_use == 0
    await stream.close()
    await stream.aclose()
    stream = await client.chat.completions.create(**ask(stream=True))
    async with aclosing(stream.text_deltas()) as texts:
        assert await anext(texts) == "a"
    assert client.pool.statistics().in_use == 0


async def test_a_read_stream_cannot_be_read_again(serve: Serve, ask: Ask) -> None:
    """A second ``async for`` is a clear error that still carries the result; an exhausted iterator stays exhausted."""
    client, _ = await serve()
    stream = await client.chat.completions.create(**ask(stream=True))
    chunks = [chunk async for chunk in stream]
    assert chunks
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    for again in (lambda: aiter(stream), stream.text_deltas, stream.events):
        with pytest.raises(StreamConsumed) as caught:
            again()
        assert caught.value.partial == stream.result
    assert (await stream.until_done()) == stream.result


async def test_a_closed_stream_cannot_be_read(serve: Serve, ask: Ask) -> None:
    """After close() iterating and until_done() are errors; the partial result stays."""
    client, _ = await serve(SLOW)
    stream = await client.chat.completions.create(**ask(stream=True))
    await anext(stream)
    await stream.close()
    with pytest.raises(StreamConsumed):
        aiter(stream)
    with pytest.raises(StreamConsumed):
        await stream.until_done()
    assert stream.result.text == "a"
    assert not stream.result.complete


@pytest.mark.parametrize("injected", [False, True])
async def test_closing_a_stream_wakes_the_task_that_reads_it(serve: Serve, ask: Ask, injected: bool) -> None:
    """A task that waits for the next chunk of a silent service is told that another one closed the stream."""
    silent = Scenario(replies=[Reply("ab", pieces=["a", "b"])], pace=Pace(per_chunk=60.0))
    _, service = await serve(silent)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(ClientSession()) if injected else None
        client = AsyncZhipuAI(service.api_key, base_url=service.base_url, session=session)
        await stack.enter_async_context(client)
        stream = await client.chat.completions.create(**ask(stream=True))
        await anext(stream)
        reading = asyncio.create_task(stream.until_done())
        await asyncio.sleep(0.01)
        assert not reading.done()
        await stream.close()
        with pytest.raises(StreamConsumed, match="another task closed") as caught:
            async with asyncio.timeout(5):
                await reading
        assert caught.value.partial.text == "a"
        assert client.statistics()[ask()["model"]].cancelled == 1


@pytest.mark.parametrize("view", ["chunks", "text_deltas", "events"])
async def test_reading_on_after_a_wait_was_cancelled(serve: Serve, ask: Ask, view: str) -> None:
    """The wait closed the stream: that is told, since what had come would else be taken for the answer."""
    client, _ = await serve(Scenario(replies=[Reply("ab", pieces=["a", "b"])], pace=Pace(per_chunk=60.0)))
    stream = await client.chat.completions.create(**ask(stream=True))
    reading = aiter(stream if view == "chunks" else getattr(stream, view)())
    await anext(reading)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(reading), 0.01)
    for _ in range(2):
        with pytest.raises(StreamConsumed, match="was cancelled") as caught:
            await anext(reading)
        assert caught.value.partial.text == "a"
    assert client.statistics()[ask()["model"]].cancelled == 1


@pytest.mark.parametrize("leave", ["break", "close", "drop"])
async def test_leaving_after_the_finish_reason(serve: Serve, ask: Ask, leave: str) -> None:
    """Nothing of the answer is missing: the call succeeded, its tokens count, and its time is the caller's own."""
    client, _ = await serve(Scenario(replies=[Reply("ab", delivery=Delivery(pause=0.05))]))
    stream = await client.chat.completions.create(**ask(stream=True))
    async for last in stream:
        if any(choice.finish_reason for choice in last.choices):
            break
    if leave == "drop":
        del stream, last
    elif leave == "close":
        await stream.close()
    else:
        await stream.__aexit__()
    found = client.statistics()[ask()["model"]]
    assert (found.successes, found.cancelled) == (1, 0)
    assert found.total_tokens > 0
    assert found.latency.p50 is None
    assert client.pool.statistics().in_use == 0


@pytest.mark.parametrize("streamed", [True, False])
async def test_network_error_is_a_failure_for_who_counts(serve: Serve, ask: Ask, streamed: bool) -> None:
    """The caller gets the answer as it is; statistics and hooks hear of a StreamFailed with its tokens."""
    client, _ = await serve(Scenario(replies=[Reply("ab", finish_reason="network_error")]))
    answer = await client.chat.completions.create(**ask(stream=streamed))
    if streamed:
        assert [chunk async for chunk in answer]
        answer = answer.result
    assert (answer.text, answer.finish_reason) == ("ab", "network_error")
    found = client.statistics()[ask()["model"]]
    assert (found.successes, found.errors) == (0, {"StreamFailed": 1})
    assert found.total_tokens == answer.usage.total_tokens


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/plain"])
@pytest.mark.parametrize("before", [b"", b"\n", b" \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
async def test_json_in_the_place_of_a_stream(ask: Ask, before: bytes, kind: str) -> None:
    """An error under status 200 is that error, also where nothing but blanks comes with the head."""
    told = b'{"error": {"code": "1113", "message": "no money"}}'

    async def handler(talk: Conversation) -> None:
        await talk.request()
        length = len(before + told)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()
        await talk.send(head + before)
        await asyncio.sleep(0.01)
        await talk.send(told)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        with pytest.raises(AccountError) as caught:
            await client.chat.completions.create(**ask(stream=True))
        assert caught.value.code == "1113"
        assert len(server.requests) == 1


async def test_two_tasks_cannot_read_one_stream(serve: Serve, ask: Ask) -> None:
    """The second reader is told; the first reads on."""
    client, _ = await serve(SLOW)
    stream = await client.chat.completions.create(**ask(stream=True))
    first = asyncio.create_task(stream.until_done())
    await asyncio.sleep(0)
    with pytest.raises(StreamConsumed):
        await stream.until_done()
    assert (await first).text == "abcdefgh"


async def test_result_equals_the_plain_answer(serve: Serve, ask: Ask) -> None:
    """The folded stream is the completion that the plain call gives, but for its id, time and request id."""
    for reply in (Reply("Hello", reasoning="Hm."), WEATHER, Reply("cut", finish_reason="length")):
        client, _ = await serve(Scenario(replies=[reply, reply]))
        plain = await client.chat.completions.create(**ask())
        streamed = await (await client.chat.completions.create(**ask(stream=True))).until_done()
        for answer in (plain, streamed):
            answer.id = answer.request_id = answer.created = None
            for call in answer.tool_calls:
                call.id = None
        assert streamed == plain
        assert streamed.complete


async def test_a_result_before_the_end_is_a_snapshot(serve: Serve, ask: Ask) -> None:
    """It is marked as not complete, and grows no further itself."""
    client, _ = await serve(SLOW)
    async with await client.chat.completions.create(**ask(stream=True)) as stream:
        await anext(stream)
        snapshot = stream.result
        assert (snapshot.text, snapshot.complete) == ("a", False)
        await anext(stream)
        assert (snapshot.text, stream.result.text) == ("a", "ab")


async def test_events_tell_the_story_of_a_stream(serve: Serve, ask: Ask) -> None:
    """Reasoning, two calls that start, grow and are done, and the end, in this order."""
    client, _ = await serve(Scenario(replies=[WEATHER]))
    stream = await client.chat.completions.create(**ask(stream=True, tool_stream=True))
    events = [event async for event in stream.events()]
    kinds = [event.type for event in events]
    story = [kind for number, kind in enumerate(kinds) if number == 0 or kind != kinds[number - 1]]
    assert story == [
        "reasoning.delta",
        "tool_call.started",
        "tool_call.delta",
        "tool_call.started",
        "tool_call.delta",
        "tool_call.done",
        "finished",
    ]
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.result == stream.result
    assert [call.function.name for call in last.result.tool_calls] == ["get_weather", "get_time"]


async def test_the_vendors_published_loop_runs_unchanged(serve: Serve, ask: Ask) -> None:
    """Assigning to chunks while iterating is allowed and does not disturb the result."""
    client, _ = await serve(Scenario(replies=[WEATHER]))
    response = await client.chat.completions.create(**ask(stream=True, tool_stream=True))
    final_tool_calls: dict[int, Any] = {}
    reasoning = ""
    async for part in response:
        delta = part.choices[0].delta
        if hasattr(delta, "reasoning_content") and delta.reasoning_content:
            reasoning += delta.reasoning_content
        if delta.tool_calls:
            for tool_call in delta.tool_calls:
                index = tool_call.index
                if index not in final_tool_calls:
                    final_tool_calls[index] = tool_call
                else:
                    final_tool_calls[index].function.arguments += tool_call.function.arguments
    assert (
        final_tool_calls[0].function.arguments == '{"city":"北京"}' == response.result.tool_calls[0].function.arguments
    )
    assert reasoning == response.result.reasoning


async def test_a_finish_reason_raises_in_until_done_only(serve: Serve, ask: Ask) -> None:
    """network_error is a failed call for until_done(); iterating and result hand it out."""
    reply = Reply("Once upon", finish_reason="network_error", times=None)
    client, _ = await serve(Scenario(replies=[reply]))
    stream = await client.chat.completions.create(**ask(stream=True))
    assert [part.choices[0].finish_reason async for part in stream][-1] == "network_error"
    assert stream.result.finish_reason == "network_error"
    with pytest.raises(StreamFailed) as caught:
        await (await client.chat.completions.create(**ask(stream=True))).until_done()
    assert caught.value.partial.text == "Once upon"
    for reason in ("sensitive", "length", "model_context_window_exceeded", "something new"):
        client, _ = await serve(Scenario(replies=[Reply("x", finish_reason=reason)]))
        assert (await (await client.chat.completions.create(**ask(stream=True))).until_done()).finish_reason == reason


BROKEN: list[tuple[list[bytes], type[ZhipuError]]] = [
    ([chunk("Hel"), b'data: {"error":{"code":"1302","message":"busy"}}\n\n', DONE], RateLimitError),
    ([chunk("Hel"), b'event: error\ndata: {"error":{"code":"1301","message":"no"}}\n\n', DONE], ContentFilterError),
    ([chunk("Hel"), b'data: {"id":"202\n\n', DONE], StreamCorrupted),
    ([chunk("Hel"), chunk("other", identity="20261001090000ffffffffffffffff")], StreamRestarted),
    ([chunk("Hel")], StreamTruncated),
    ([chunk("Hel"), chunk("lo", "stop")[:-30]], StreamTruncated),
]


@pytest.mark.parametrize(("frames", "kind"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_stream_that_breaks_raises_after_what_came(
    serve: Serve, ask: Ask, frames: list[bytes], kind: type[ZhipuError]
) -> None:
    """The chunks before the break are handed out first, even when all bytes came at once; the result keeps them."""
    for blocks in (frames, [b"".join(frames)]):
        client, sim = await serve(Scenario(replies=[Frames(blocks)]))
        stream = await client.chat.completions.create(**ask(stream=True))
        seen: list[str] = []
        with pytest.raises(kind) as caught:
            await collect(stream.text_deltas(), seen)
        assert seen[0] == "Hel"
        assert stream.result.text.startswith("Hel")
        if hasattr(caught.value, "partial"):
            assert caught.value.partial.text == stream.result.text
        assert len(sim.requests) == 1
        assert client.pool.statistics().in_use == 0
        assert client.statistics()["glm-4.6"].errors == {kind.__name__: 1}


async def test_a_server_without_done_is_complete_at_a_clean_end(ask: Ask) -> None:
    """A finish reason and the end of the body are enough; so is a last event without its blank line."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.send(STREAM_HEAD + block(chunk("Hel")) + block(chunk("lo", "stop").rstrip()) + LAST)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        for _ in range(3):
            result = await (await client.chat.completions.create(**ask(stream=True))).until_done()
            assert (result.text, result.complete) == ("Hello", True)
        assert server.opened == 1


async def take_the_next(stream: Any) -> None:
    """Ask for one chunk more than the one that is decoded."""
    await anext(stream)
    await anext(stream)


async def ask_for_the_result(stream: Any) -> None:
    """Look at the result without reading."""
    assert stream.result.text == "Hello"


async def read_to_the_end(stream: Any) -> None:
    """Read without looking at chunks."""
    assert (await stream.until_done()).text == "Hello"


async def close_it(stream: Any) -> None:
    """Close after the first chunk."""
    await anext(stream)
    await stream.close()
    assert stream.result.text == "Hello"


async def drop_it(stream: Any) -> None:
    """Let go of it after the first chunk."""
    await anext(stream)


@pytest.mark.parametrize("go_on", [take_the_next, ask_for_the_result, read_to_the_end, close_it, drop_it])
async def test_what_came_with_the_first_chunk_does_not_hold_it_up(
    ask: Ask, go_on: Callable[[Any], Coroutine[Any, Any, None]]
) -> None:
    """Of an answer that comes all at once one chunk is decoded, and the rest when it is wanted, or the stream is left.

    Then the call has succeeded, and its connection carries the next one.
    """

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.send(STREAM_HEAD + block(chunk("Hel")) + block(chunk("lo", "stop")) + block(DONE) + LAST)

    succeeded: list[object] = []
    async with (
        byte_server(handler) as server,
        AsyncZhipuAI("k.s", base_url=server.url, hooks=[succeeded.append]) as client,
    ):
        for turn in range(2):
            streams = [await client.chat.completions.create(**ask(stream=True))]
            assert (streams[0]._unread.count(b"data: "), len(succeeded)) == (2, turn)
            await go_on(streams.pop())
            assert [type(event) for event in succeeded] == [CallSucceeded] * (turn + 1)
            statistics = client.pool.statistics()
            assert (statistics.in_use, statistics.idle, server.opened) == (0, 1, 1)


async def test_a_frame_that_breaks_the_stream_is_met_behind_the_chunks_before_it(ask: Ask) -> None:
    """An error frame that came with the first chunk is raised when it is reached, or stays unsaid in ``result``."""

    async def handler(talk: Conversation) -> None:
        fault = b'data: {"error":{"code":"1302","message":"too many"}}\n\n'
        while await talk.request():
            await talk.send(STREAM_HEAD + block(chunk("Hel") + chunk("lo")) + block(fault) + LAST)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        stream = await client.chat.completions.create(**ask(stream=True))
        assert (stream.result.text, stream.result.complete) == ("Hello", False)
        texts: list[str] = []
        with pytest.raises(RateLimitError):
            await collect(stream.text_deltas(), texts)
        assert texts == ["Hel", "lo"]


async def test_bytes_torn_anywhere_make_no_difference(serve: Serve, ask: Ask) -> None:
    """Every byte in a write of its own gives the same chunks."""
    reply = Reply("你好，世界", reasoning="想一想", delivery=Delivery(cuts_at=tuple(range(1, 2000))))
    client, _ = await serve(Scenario(replies=[reply]))
    result = await (await client.chat.completions.create(**ask(stream=True))).until_done()
    assert (result.text, result.reasoning) == ("你好，世界", "想一想")


async def test_a_frame_of_two_megabytes_passes(serve: Serve, ask: Ask) -> None:
    """Lines far over aiohttp's own limit are read."""
    text = "x" * 2_000_000
    client, _ = await serve(Scenario(replies=[Reply(text, pieces=[text])]))
    assert (await (await client.chat.completions.create(**ask(stream=True))).until_done()).text == text


async def test_timing_and_headers_stand_beside_the_result(serve: Serve, ask: Ask) -> None:
    """They are attributes: not compared, not encoded."""
    client, _ = await serve(Scenario(pace=Pace(first_token=0.03, per_chunk=0.01)))
    stream = await client.chat.completions.create(**ask(stream=True))
    result = await stream.until_done()
    timing = stream.timing
    assert timing.first_byte is not None
    assert timing.first_token is not None
    assert timing.total is not None
    assert 0 < timing.first_byte <= timing.first_token < timing.total
    assert timing.first_token >= 0.03
    assert result.timing == timing
    assert result.response_headers["x-log-id"] == stream.response_headers["x-log-id"]
    assert "timing" not in result.__struct_fields__


async def test_an_error_frame_as_the_first_frame_is_raised_in_create(serve: Serve, ask: Ask) -> None:
    """Role-only and empty frames before it do not make it a stream that was begun."""
    first = [{"id": "1", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}, {"id": "1", "choices": []}]
    client, sim = await serve(Scenario(replies=[ErrorFrame("1302", after=first), Reply("Hi")]))
    stream = await client.chat.completions.create(**ask(stream=True))
    assert (await stream.until_done()).text == "Hi"
    assert len(sim.requests) == 2


async def test_frames_before_the_first_token_are_kept_in_order(serve: Serve, ask: Ask) -> None:
    """create() waits for something to say; what came before it is handed out all the same."""
    client, _ = await serve(
        Scenario(
            replies=[
                Frames(
                    [
                        b": hello\n\n",
                        {"id": "1", "choices": [{"index": 0, "delta": {"role": "assistant"}}]},
                        {"id": "1", "choices": []},
                        "null",
                        {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]},
                        DONE,
                    ]
                )
            ]
        )
    )
    stream = await client.chat.completions.create(**ask(stream=True))
    counts = [len(part.choices) async for part in stream]
    assert counts == [1, 0, 0, 1]
    assert stream.result.text == "Hi"


async def test_a_relay_keeps_up_back_pressure(serve: Serve, ask: Ask) -> None:
    """A generator around a stream closes it when it is closed itself."""
    client, sim = await serve(SLOW)

    async def relay() -> AsyncIterator[str]:
        async with await client.chat.completions.create(**ask(stream=True)) as stream:
            async for text in stream.text_deltas():
                yield text

    texts = relay()
    async with aclosing(texts):
        assert await anext(texts) == "a"
    await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
    assert client.pool.statistics().in_use == 0


async def test_a_stream_that_was_retried_is_freed_like_any_other(serve: Serve, ask: Ask) -> None:
    """No failed attempt's traceback and no hook that keeps the events holds it; the garbage collector is off."""
    events: list[object] = []
    replies = [HangUp(), Refusal("1302"), HangUp(), Reply("abcdef", pieces=list("abcdef"))]
    client, sim = await serve(Scenario(replies=replies, pace=Pace(per_chunk=0.05)), hooks=[events.append])
    gc.collect()
    gc.disable()
    try:
        await leave_unnamed(client, ask(stream=True))
        await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
        assert sim.connections.open == 0
        assert client.pool.statistics().in_use == 0
    finally:
        gc.enable()
    assert [type(event) for event in events] == [AttemptFailed, AttemptFailed, CallFailed]
