"""Answers whose connection breaks: what came counts, and only what is known to be whole is taken for whole."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.servers import COMPLETION, DONE, STREAM_HEAD, Conversation, block, byte_server, chunk
from zhipu_async import AccountError, AsyncZhipuAI, ConnectionLost, StreamTruncated

Ask = Callable[..., dict[str, Any]]
ENDING = chunk("", "stop").replace(b'"created"', b'"usage":{"total_tokens":2},"created"')
UNFRAMED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


def end(talk: Conversation, reset: bool) -> None:
    """Break the connection: with a reset, or its clean end."""
    if reset:
        linger = struct.pack("ii", 1, 0)
        talk.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    talk.writer.close()


@pytest.mark.parametrize("slow", [False, True], ids=["read at once", "read later"])
@pytest.mark.parametrize("reset", [False, True], ids=["end of file", "reset"])
@pytest.mark.parametrize("whole", [False, True], ids=["cut", "whole"])
async def test_what_came_of_a_stream_counts(ask: Ask, whole: bool, reset: bool, slow: bool) -> None:
    """However late it is read, all chunks that came are given; behind that with the usage nothing is missing."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(STREAM_HEAD + block(chunk("a")))
        await asyncio.sleep(0.05)
        await talk.send(block(chunk("b")) + block(chunk("c") + (ENDING if whole else b"")))
        await asyncio.sleep(0.05)
        end(talk, reset)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        stream = await client.chat.completions.create(**ask(stream=True))
        said = (await anext(stream)).choices[0].delta.content or ""
        await asyncio.sleep(0.2 * slow)
        with nullcontext() if whole else pytest.raises(StreamTruncated) as caught:
            async for text in stream.text_deltas():
                said += text
        assert said == "abc"
        assert caught is None or caught.value.partial.text == "abc"
        assert stream.result.complete is whole
        assert client.pool.statistics().in_use == 0
        assert len(server.requests) == 1


async def test_a_finish_reason_alone_is_no_end(ask: Ask) -> None:
    """Some models say that they call tools with the first of several calls (streaming.md section 3)."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(STREAM_HEAD + block(chunk("a", "tool_calls")))
        end(talk, reset=True)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        stream = await client.chat.completions.create(**ask(stream=True))
        with pytest.raises(StreamTruncated):
            await stream.until_done()
    assert client.statistics()["glm-4.6"].successes == 0


async def test_a_torn_event_behind_the_finish_reason_is_an_error(ask: Ask) -> None:
    """Something was still to come."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(STREAM_HEAD + block(chunk("a") + ENDING + DONE[:9]))
        end(talk, reset=False)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        stream = await client.chat.completions.create(**ask(stream=True))
        with pytest.raises(StreamTruncated):
            await stream.until_done()


@pytest.mark.parametrize("reset", [False, True], ids=["end of file", "reset"])
@pytest.mark.parametrize("wait", [0.0, 0.02], ids=["with its head", "later"])
async def test_json_shows_itself_whether_it_is_whole(ask: Ask, wait: float, reset: bool) -> None:
    """An answer without a length, whose connection is closed or reset behind it, is that answer, asked for once; so is
    a refusal."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        told = COMPLETION if talk.number == 1 else b'{"error": {"code": "1113", "message": "no money"}}'
        await talk.send((UNFRAMED if talk.number == 1 else UNFRAMED.replace(b"200 OK", b"429 No")) + told[:20])
        await asyncio.sleep(wait)
        await talk.send(told[20:])
        await asyncio.sleep(wait)
        end(talk, reset)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        assert (await client.chat.completions.create(**ask())).text == "Hi"
        with pytest.raises(AccountError, match="no money"):
            await client.chat.completions.create(**ask())
        assert len(server.requests) == 2


@pytest.mark.parametrize("injected", [False, True])
async def test_a_file_whose_connection_is_reset_is_no_file(injected: bool) -> None:
    """Content without a length, cut by a reset: an error, and not a shorter file."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(UNFRAMED.replace(b"application/json", b"application/octet-stream") + bytes(1000))
        await asyncio.sleep(0.02)
        end(talk, reset=True)

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(byte_server(handler))
        session = await stack.enter_async_context(ClientSession()) if injected else None
        client = AsyncZhipuAI("k.s", base_url=server.url, max_retries=0, session=session)
        await stack.enter_async_context(client)
        with pytest.raises(ConnectionLost):
            await client.files.content("file-1")
