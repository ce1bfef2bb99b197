"""The call surface as both type checkers see it. Nothing here runs: mypy --strict and pyright strict read it.

A line that must be refused carries an ignore comment, and both checkers report an ignore comment that is not needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, assert_type

from zhipu_async import (
    AsyncZhipuAI,
    Call,
    ChatCompletion,
    ChatCompletionChunk,
    ImagePart,
    RawResponse,
    Stream,
    SystemMessage,
    TextPart,
    Thinking,
    Timeouts,
    ToolMessage,
    UserMessage,
)
from zhipu_async.resources import Completions
from zhipu_async.types.models import ModelList


async def plain(client: AsyncZhipuAI) -> None:
    """Without stream, or with stream=False, a completion."""
    messages: list[dict[str, str]] = [{"role": "user", "content": "Hello"}]
    reply = await client.chat.completions.create(model="glm-4.6", messages=messages)
    assert_type(reply, ChatCompletion)
    assert_type(reply.text, str)
    assert_type(await client.chat.completions.create(model="m", messages=messages, stream=False), ChatCompletion)
    assert_type(await client.models.list(), ModelList)


async def streamed(client: AsyncZhipuAI) -> None:
    """With stream=True a stream of chunks, whose result is the completion."""
    stream = await client.chat.completions.create(
        model="glm-4.6",
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        tool_stream=True,
        timeout=Timeouts(first_token=5),
        extra_headers={"X-A": "b"},
    )
    assert_type(stream, Stream[ChatCompletionChunk, ChatCompletion])
    async with stream:
        async for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)
    assert_type(stream.result, ChatCompletion)
    assert_type(await stream.until_done(), ChatCompletion)
    async for text in stream.text_deltas():
        assert_type(text, str)
    async for event in stream.events():
        if event.type == "finished":
            print(event)


async def either(client: AsyncZhipuAI, flag: bool) -> None:
    """With a plain bool, one or the other."""
    answer = await client.chat.completions.create(model="m", messages=[], stream=flag)
    assert_type(answer, ChatCompletion | Stream[ChatCompletionChunk, ChatCompletion])


async def structs(client: AsyncZhipuAI) -> None:
    """Structs, dicts and earlier replies mix."""
    reply = await client.chat.completions.create(
        model="glm-4.6v",
        messages=[SystemMessage("Be brief."), UserMessage([ImagePart.from_url("https://x.test/a.png"), TextPart("?")])],
        thinking=Thinking(type="enabled"),
    )
    await client.chat.completions.create(
        model="glm-4.6",
        messages=[
            {"role": "user", "content": "Hello"},
            reply.message,
            ToolMessage(content="1", tool_call_id="call_1"),
        ],
        thinking={"type": "disabled"},
    )


async def tasks(client: AsyncZhipuAI) -> None:
    """Methods return real coroutines."""
    coroutine = client.chat.completions.create(model="m", messages=[])
    task = asyncio.create_task(assert_type(coroutine, Coroutine[Any, Any, ChatCompletion]))
    assert_type(await task, ChatCompletion)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.models.list())


async def raw(client: AsyncZhipuAI) -> None:
    """Calls without an endpoint of their own."""
    assert_type(await client.request("GET", "/x"), RawResponse)
    assert_type(await client.request("GET", "/x", response_type=ModelList), ModelList)


def calls() -> None:
    """Unsent calls are typed by their answer."""
    assert_type(Completions.create.call(model="m", messages=[]), Call[ChatCompletion])


async def refused(client: AsyncZhipuAI) -> None:
    """Typos, missing and mistyped arguments."""
    create = client.chat.completions.create
    await create(model="m", messages=[], temprature=1.0)  # type: ignore[call-overload]
    await create(model="m")  # type: ignore[call-overload]
    await create(model=4, messages=[])  # type: ignore[call-overload]
    await create(model="m", messages=[], temperature="hot")  # type: ignore[call-overload]
    AsyncZhipuAI(base_ulr="zai")  # type: ignore[call-arg]
    AsyncZhipuAI(auth="basic")  # type: ignore[arg-type]
