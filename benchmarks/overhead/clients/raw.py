"""The floor: the same bytes over an asyncio protocol, nothing decoded; what the machine and the event loop cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from . import KEY, MESSAGES, MODEL


class Connection(asyncio.Protocol):
    """Counts bytes until an answer is whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.more: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        if self.more is not None and not self.more.done():
            self.more.set_result(data)
        self.rest = data

    async def wait(self) -> bytes:
        self.more = asyncio.get_running_loop().create_future()
        return await self.more


class Raw:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.path = parts.hostname, parts.port, f"{parts.path}/chat/completions"
        self.idle: list[Connection] = []
        self.all: list[Connection] = []

    async def send(self, **more: Any) -> Connection:
        body = msgspec.json.encode({"model": MODEL, "messages": MESSAGES, **more})
        if not self.idle:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
            self.all.append(connection)
        else:
            connection = self.idle.pop()
        head = f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {KEY}\r\n"
        rest = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.transport.write((head + rest).encode() + body)
        return connection

    async def whole(self) -> str:
        connection = await self.send()
        data = await connection.wait()
        self.idle.append(connection)
        return data.decode()

    async def stream(self) -> AsyncGenerator[str]:
        connection = await self.send(stream=True)
        while True:
            data = await connection.wait()
            yield data.decode()
            if data.endswith(b"0\r\n\r\n"):
                break
        self.idle.append(connection)

    async def bulk(self) -> str:
        connection = await self.send(stream=True)
        pieces: list[bytes] = []
        while not (pieces and pieces[-1].endswith(b"0\r\n\r\n")):
            pieces.append(await connection.wait())
        self.idle.append(connection)
        return b"".join(pieces).decode()


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Any]:
    raw = Raw(url)
    yield raw
    for connection in raw.all:
        connection.transport.abort()
