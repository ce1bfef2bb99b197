"""A service to be recorded, and clients that keep every byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import ByteServer, Conversation, byte_server
from zhipu_async.testing import Recording
from zhipu_async.testing.recording import Mode

KEY = "00112233445566778899aabbccddeeff.Zz0987654321Yyxx"


def recorder(path: Path, upstream: str, mode: Mode = "all", **settings: Any) -> Recording:
    """A recording of the service at ``upstream``."""
    return Recording(path, mode=mode, upstream=upstream, api_key=KEY, **settings)


@dataclass(frozen=True)
class Written:
    """What came back on a connection: the head, the HTTP chunks (or the body as one), and how it ended."""

    head: bytes
    chunks: Sequence[bytes]
    complete: bool

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.chunks)

    @property
    def status(self) -> int:
        """The number in the first line; 0 where nothing came."""
        return int(self.head.split(b" ", 2)[1]) if self.head else 0

    def header(self, name: str) -> str | None:
        """The value of a header."""
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            known, _, value = line.partition(":")
            if known.lower() == name:
                return value.strip()
        return None


async def ask(
    base_url: str, path: str, body: bytes = b"", *, method: str = "POST", headers: Sequence[str] = ()
) -> Written:
    """Send a request on a connection of its own and read the answer as it is written."""
    origin, slashes, rest = base_url.partition("//")[2].partition("/")
    host, port = origin.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        lines = [
            f"{method} {slashes}{rest}{path} HTTP/1.1",
            f"Host: {origin}",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        async with asyncio.timeout(10):
            return await _read(reader)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Written:
    head, chunks = b"", list[bytes]()
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            while size := int(await reader.readuntil(b"\r\n"), 16):
                chunks.append((await reader.readexactly(size + 2))[:-2])
            await reader.readexactly(2)
        else:
            lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            chunks.append(await reader.readexactly(int(lengths[0]) if lengths else 0))
    except asyncio.IncompleteReadError as error:
        return Written(head, [*chunks, error.partial] if head else [], False)
    except ConnectionError:
        return Written(head, chunks, False)
    return Written(head, chunks, True)


@asynccontextmanager
async def written(*answers: Sequence[bytes | float]) -> AsyncIterator[ByteServer]:
    """A service that writes these blocks as they are, one answer per connection; a number is a pause in seconds."""
    left = iter(answers)

    async def serve(conversation: Conversation) -> None:
        await conversation.request()
        for block in next(left):
            if isinstance(block, bytes):
                await conversation.send(block)
            else:
                await asyncio.sleep(block)

    async with byte_server(serve) as server:
        yield server
