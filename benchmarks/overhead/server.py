"""A chat service that answers from constants, in a process of its own: never the limit of what is measured.

How it answers is the first part of the path, so that a client is pointed at it by its base URL alone:
``http://127.0.0.1:PORT/bulk`` and then ``/chat/completions``.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from ..canned import Requests

CHUNKS = 1000
"""Of a stream in bulk."""
FEW = 8
SINGLE, INTERVAL = 100, 0.02
"""Chunks that come alone, and the seconds between them."""
DELAY = 0.2
"""Seconds before a slow answer."""

WHOLE = (
    b'{"id":"20261121100000a1b2c3d4e5f60718","created":1763712000,"model":"glm-4.6","object":"chat.completion",'
    b'"request_id":"20261121100000a1b2c3d4e5f60718","choices":[{"index":0,"finish_reason":"stop","message":'
    b'{"role":"assistant","content":"%s","reasoning_content":"The user greets me; I greet back."}}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":60,"total_tokens":69,"prompt_tokens_details":{"cached_tokens":0}}}'
) % (b"Hello there, how can I help you today? " * 8)


def _chunk(number: int, last: bool = False) -> bytes:
    choice = (
        b'{"index":0,"finish_reason":"stop","delta":{"role":"assistant","content":""}}'
        if last
        else (b'{"index":0,"delta":{"role":"assistant","content":"token%d "}}' % number)
    )
    usage = b',"usage":{"prompt_tokens":9,"completion_tokens":%d,"total_tokens":%d}' % (number, number + 9)
    return (
        b'data: {"id":"20261121100000a1b2c3d4","created":1763712000,"object":"chat.completion.chunk",'
        b'"model":"glm-4.6","choices":[%s]%s}\n\n' % (choice, usage if last else b"")
    )


def _events(number: int) -> Iterator[bytes]:
    yield from (_chunk(number) for number in range(number - 1))
    yield _chunk(number - 1, last=True)
    yield b"data: [DONE]\n\n"


def _framed(event: bytes) -> bytes:
    """One event as one chunk of HTTP, as the real service's front end sends them."""
    return b"%x\r\n%s\r\n" % (len(event), event)


HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nConnection: keep-alive\r\n"
    b"Content-Type: %s;charset=UTF-8\r\nX-Log-Id: 20261121100000a1b2c3d4\r\nVary: Origin\r\n%s\r\n\r\n"
)
ANSWER = HEAD % (b"application/json", b"Content-Length: %d" % len(WHOLE)) + WHOLE
STREAM = HEAD % (b"text/event-stream", b"Transfer-Encoding: chunked")
END = b"0\r\n\r\n"
BULK = STREAM + b"".join(map(_framed, _events(CHUNKS))) + END
SHORT = STREAM + b"".join(map(_framed, _events(FEW))) + END
SINGLES = [*map(_framed, _events(SINGLE)), END]


class _Constants(Requests):
    def arrived(self, request: bytes, body: bytes) -> None:
        how = request.split(b"/", 2)[1]
        loop = asyncio.get_running_loop()
        if how == b"bulk":
            self.write(BULK)
        elif how == b"few":
            self.write(SHORT)
        elif how == b"single":
            self.write(STREAM)
            self._next(loop, iter(SINGLES), loop.time())
        elif how == b"held":
            self.write(STREAM + SINGLES[0])
        elif how == b"slow":
            loop.call_later(DELAY, self.write, ANSWER)
        else:
            self.write(ANSWER)

    def _next(self, loop: asyncio.AbstractEventLoop, pieces: Iterator[bytes], due: float) -> None:
        if (piece := next(pieces, None)) is not None:
            self.write(piece)
            loop.call_at(due + INTERVAL, self._next, loop, pieces, due + INTERVAL)


def _serve(pipe: Connection, core: int | None) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Constants, "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(pipe.recv)

    if core is not None:
        os.sched_setaffinity(0, {core})
    asyncio.run(run())


@contextmanager
def serving(core: int | None = None) -> Generator[str]:
    """The address of a running service, pinned to ``core`` if one is given."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, core))
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        here.send("end")
        process.join()
