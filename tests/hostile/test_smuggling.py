"""Answers that nobody asked for: they are never taken for the answer of the next call."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.hostile.peer import MESSAGES
from tests.servers import COMPLETION, LAST, Conversation, block, byte_server
from zhipu_async import APIError, AsyncZhipuAI, TransportError

pytestmark = pytest.mark.heavy

EVIL = COMPLETION.replace(b'"Hi"', b'"Evil"')


def answer(body: bytes) -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + block(COMPLETION) + LAST
EXTRA: dict[str, tuple[bytes, bytes]] = {
    "a second answer": (answer(COMPLETION), answer(EVIL)),
    "ten more answers": (answer(COMPLETION), answer(EVIL) * 10),
    "half of an answer": (answer(COMPLETION), answer(EVIL)[:40]),
    "a second answer behind chunks": (CHUNKED, answer(EVIL)),
    "an interim answer and one more": (answer(COMPLETION), b"HTTP/1.1 100 Continue\r\n\r\n" + answer(EVIL)),
    "a body behind a 204": (b"HTTP/1.1 204 No Content\r\n\r\n", answer(EVIL)),
    "a body behind a 304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", answer(EVIL)),
    "line ends": (answer(COMPLETION), b"\r\n\r\n" + answer(EVIL)),
    "a longer body than it says": (answer(COMPLETION), b"evil"),
}


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("pause", ["together", "while idle", "while the loop is busy"])
async def test_what_comes_behind_an_answer_answers_nothing(name: str, pause: str) -> None:
    """At once, later, or unread in the socket when the next call begins: that call gets its own answer."""
    first, more = EXTRA[name]

    async def handler(talk: Conversation) -> None:
        await talk.request()
        while talk.number > 1:
            await talk.answer(COMPLETION)
            if not await talk.request():
                return
        if pause == "together":
            await talk.send(first + more)
        else:
            await talk.send(first)
            if pause == "while idle":
                await asyncio.sleep(0.02)
            else:
                await busy.wait()
            talk.writer.write(more)
        while await talk.request():
            await talk.answer(COMPLETION)

    busy = asyncio.Event()
    async with (
        byte_server(handler) as server,
        AsyncZhipuAI("k.s", base_url=server.url, timeout=5, max_retries=0) as client,
    ):
        with suppress(TransportError, APIError):
            await client.request("GET", "/models")
        if pause == "while idle":
            await asyncio.sleep(0.1)
        elif pause == "while the loop is busy":
            busy.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the server has written: the bytes are in the socket, and nobody has read them
        for _ in range(3):
            assert (await client.chat.completions.create(model="glm-4.6", messages=MESSAGES)).text == "Hi"
        assert client.pool.statistics().in_use == 0
        assert b"Evil" not in b"".join(server.requests)
