"""The reference: what a skilled user writes by hand on aiohttp and msgspec: no retries, limits, errors or clocks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from . import KEY, MESSAGES, MODEL


class Message(msgspec.Struct):
    role: str = ""
    content: str | None = None
    reasoning_content: str | None = None


class Choice(msgspec.Struct):
    message: Message
    index: int = 0
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class Completion(msgspec.Struct):
    choices: list[Choice]
    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None


class ChunkChoice(msgspec.Struct):
    delta: Message
    index: int = 0
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    choices: list[ChunkChoice]
    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None


class ByHand:
    """Twenty lines."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = f"{url}/chat/completions"
        self.encode = msgspec.json.Encoder().encode
        self.decode = msgspec.json.Decoder(Completion).decode
        self.decode_chunk = msgspec.json.Decoder(Chunk).decode

    async def whole(self) -> str:
        body = self.encode({"model": MODEL, "messages": MESSAGES})
        async with self.session.post(self.url, data=body) as response:
            return self.decode(await response.read()).choices[0].message.content or ""

    async def chunks(self) -> AsyncGenerator[Chunk]:
        body = self.encode({"model": MODEL, "messages": MESSAGES, "stream": True})
        rest = b""
        async with self.session.post(self.url, data=body) as response:
            async for data in response.content.iter_any():
                *blocks, rest = (rest + data).split(b"\n\n")
                for block in blocks:
                    if block != b"data: [DONE]":
                        yield self.decode_chunk(block[6:])

    async def stream(self) -> AsyncGenerator[str]:
        async for chunk in self.chunks():
            yield chunk.choices[0].delta.content or ""

    async def bulk(self) -> str:
        return "".join([chunk.choices[0].delta.content or "" async for chunk in self.chunks()])


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Any]:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield ByHand(session, url)
