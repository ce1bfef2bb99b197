"""Small servers that speak bytes: for what no well-behaved server sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[["Conversation"], Awaitable[None]]


@dataclass
class Conversation:
    """One connection, seen from the server."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[bytes]
    """Where each request is noted: the server's own list."""

    async def request(self) -> bytes:
        """The next request, whole (a chunked body as one piece); b"" when the client has closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            if b"transfer-encoding: chunked" in lines:
                body = await self._chunks()
            else:
                body = await self.reader.readexactly(
                    next((int(line[15:]) for line in lines if line[:15] == b"content-length:"), 0)
                )
            self.requests.append(head + body)
            return self.requests[-1]
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:size]
        await self.reader.readexactly(2)
        return body

    async def head(self) -> bytes:
        """The head of the next request alone; b"" when the client has closed."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> None:
        """Write a whole answer."""
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
        await self.send("\r\n".join(lines).encode() + body)


@dataclass
class ByteServer:
    """Where it listens and what it has seen."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    opened: int = 0


@asynccontextmanager
async def byte_server(handler: Handler) -> AsyncIterator[ByteServer]:
    """A server on a free port of the loopback that calls ``handler`` once per connection."""
    server = ByteServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.opened += 1
        conversation = Conversation(server.opened, reader, writer, server.requests)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(conversation)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    server.url = f"http://{host}:{port}/api/paas/v4"
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


COMPLETION = (
    b'{"id":"20261001090000b1b2b3b4b5b6b7b8","created":1790816400,"model":"glm-4.6","choices":[{"index":0,'
    b'"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
"""A whole answer, "Hi"."""


def chunk(content: str = "", finish: str | None = None, identity: str = "20261001090000b1b2b3b4b5b6b7b8") -> bytes:
    """One event of a stream."""
    finish_part = f'"finish_reason":"{finish}",' if finish else ""
    return (
        f'data: {{"id":"{identity}","created":1790816400,"model":"glm-4.6","choices":[{{"index":0,{finish_part}'
        f'"delta":{{"role":"assistant","content":"{content}"}}}}]}}\n\n'
    ).encode()


DONE = b"data: [DONE]\n\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def block(data: bytes) -> bytes:
    """``data`` as one block of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
