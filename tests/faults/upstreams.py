"""Services behind a front that end badly, at every place where one can, or speak in another way than ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.faults.programs import free_port
from tests.servers import (
    COMPLETION,
    DONE,
    LAST,
    STREAM_HEAD,
    ByteServer,
    Conversation,
    Handler,
    block,
    byte_server,
    chunk,
)

HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SIZED = f"{HEAD}Content-Length: {len(COMPLETION)}\r\n\r\n".encode()
CHUNKED = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
OLD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
OLD_STREAM = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
HALF = COMPLETION[: len(COMPLETION) // 2]
EVENTS = chunk("He") + chunk("llo") + chunk(finish="stop") + DONE

ENDINGS: Mapping[str, tuple[bytes, bool]] = {
    "dies before the head": (b"", False),
    "is silent": (b"", True),
    "dies in the head": (HEAD.encode(), False),
    "dies in a body": (SIZED + HALF, False),
    "dies in a chunked body": (CHUNKED + block(HALF), False),
    "is silent in a body": (SIZED + HALF, True),
    "dies before the first event": (STREAM_HEAD, False),
    "dies in a stream": (STREAM_HEAD + block(chunk("He")), False),
    "dies in an event": (STREAM_HEAD + block(chunk("He") + chunk("llo")[:40]), False),
    "is silent in a stream": (STREAM_HEAD + block(chunk("He")), True),
    "ends HTTP/1.0 in a body": (OLD + HALF, False),
    "ends HTTP/1.0 in a stream": (OLD_STREAM + chunk("He"), False),
}
"""What is sent of an answer before the end, and whether silence follows in the place of a closed connection."""

PASSED_ON = [
    ("dies in a body", "plain", "ConnectionLost, 3 attempts", 3),
    ("dies in a body", "task", "ConnectionLost, 1 attempts", 1),
    ("dies in a chunked body", "plain", "ConnectionLost, 3 attempts", 3),
    ("dies in a chunked body", "task", "ConnectionLost, 1 attempts", 1),
    ("is silent in a body", "plain", "ConnectionLost, 3 attempts", 3),
    ("is silent in a body", "task", "ConnectionLost, 1 attempts", 1),
    ("dies before the first event", "stream", "ConnectionLost, 3 attempts", 3),
    ("dies in a stream", "stream", "StreamTruncated after 'He', 0 attempts", 1),
    ("dies in an event", "stream", "StreamTruncated after 'He', 0 attempts", 1),
    ("is silent in a stream", "stream", "StreamTruncated after 'He', 0 attempts", 1),
    ("ends HTTP/1.0 in a body", "plain", "DecodeError, 1 attempts", 1),
    ("ends HTTP/1.0 in a body", "task", "DecodeError, 1 attempts", 1),
    ("ends HTTP/1.0 in a stream", "stream", "StreamTruncated after 'He', 0 attempts", 1),
]
"""Endings after the head, which a front can but pass on: the call, what the user gets, and the requests seen."""

WAYS: Mapping[str, tuple[str, bytes, str]] = {
    "an answer with a length": ("plain", SIZED + COMPLETION, "Hi"),
    "an answer in chunks": ("plain", CHUNKED + block(HALF) + block(COMPLETION[len(HALF) :]) + LAST, "Hi"),
    "an answer of HTTP/1.0": ("plain", OLD + COMPLETION, "Hi"),
    "a stream in chunks": ("stream", STREAM_HEAD + block(EVENTS) + LAST, "Hello"),
    "a stream of HTTP/1.0": ("stream", OLD_STREAM + EVENTS, "Hello"),
}
"""Every form that the end of a body has: the call, its answer, and the text in it."""


@asynccontextmanager
async def failing(ending: str) -> AsyncIterator[ByteServer]:
    """A service where every request comes to this ending; one that "refuses" has nobody at its port."""
    if ending == "refuses":
        yield ByteServer(url=f"http://127.0.0.1:{free_port()}")
        return
    sent, silent = ENDINGS[ending]

    async def fail(talk: Conversation) -> None:
        if await talk.request():
            await talk.send(sent)
            await asyncio.sleep(0.02)  # the front has read it before the connection is closed
            if silent:
                await talk.reader.read()

    async with byte_server(fail) as server:
        yield server


def saying(answer: bytes) -> Handler:
    """A service that gives every request this answer and then closes the connection."""

    async def say(talk: Conversation) -> None:
        if await talk.request():
            await talk.send(answer)

    return say
