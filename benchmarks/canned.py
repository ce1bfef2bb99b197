"""A chat service of few lines in a process of its own: it admits by a hidden limit and answers after a delay.

Lean, so that two cores carry thousands of requests a second: of a request only its end is looked for. A request
above the limit is answered 1302 at once; a slot is free again in the moment its answer is written.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from .service import cpu

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def _message(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


ANSWER = _message(
    b"200 OK",
    b'{"id":"1","model":"glm-4.6","choices":[{"index":0,"message":{"role":"assistant","content":"Yes."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}',
)
REFUSAL = _message(b"429 Too Many Requests", b'{"error":{"code":"1302","message":"too many at once"}}')


class Counts(NamedTuple):
    """What was counted since the process began."""

    admitted: int
    refused: int
    most: int
    """In flight at the same time."""
    cpu: float
    """Seconds, user and system."""


class _Service:
    def __init__(self, limit: int, delay: float) -> None:
        self.limit, self.delay = limit, delay
        self.held = self.most = self.admitted = self.refused = 0
        self.bodies: Counter[bytes] = Counter()

    def counts(self) -> Counts:
        return Counts(self.admitted, self.refused, self.most, cpu())


class Requests(asyncio.Protocol):
    """The requests of one connection; of each only its end is looked for."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head := self._received.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self._received, 0, head)
            end = head + 4 + (int(found[1]) if found else 0)
            if len(self._received) < end:
                return
            request, self._received = self._received[:end], self._received[end:]
            self.arrived(request, request[head + 4 :])

    def arrived(self, request: bytes, body: bytes) -> None:
        """A whole request is here."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send ``data``, unless the client has gone."""
        if not self._transport.is_closing():
            self._transport.write(data)


class _Limited(Requests):
    def __init__(self, service: _Service) -> None:
        super().__init__()
        self._service = service

    def arrived(self, request: bytes, body: bytes) -> None:
        service = self._service
        service.bodies[body] += 1
        if service.held >= service.limit:
            service.refused += 1
            self.write(REFUSAL)
            return
        service.admitted += 1
        service.held += 1
        service.most = max(service.most, service.held)
        asyncio.get_running_loop().call_later(service.delay, self._answer)

    def _answer(self) -> None:
        self._service.held -= 1
        self.write(ANSWER)


def _serve(limit: int, delay: float, pipe: Connection) -> None:
    service = _Service(limit, delay)

    def obey() -> None:
        while (command := pipe.recv()) is not None:
            if isinstance(command, int):
                service.limit = command
            else:
                pipe.send(service.counts() if command == "counts" else dict(service.bodies))

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Limited(service), "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        thread = threading.Thread(target=obey)
        thread.start()
        await asyncio.to_thread(thread.join)

    asyncio.run(run())


class Canned:
    """The way to the process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url = f"http://127.0.0.1:{pipe.recv()}"

    def limit(self, limit: int) -> None:
        """Change the limit from now on."""
        self._pipe.send(limit)

    def counts(self) -> Counts:
        """What it has done so far."""
        self._pipe.send("counts")
        found: Counts = self._pipe.recv()
        return found

    def bodies(self) -> dict[bytes, int]:
        """How often each body was received."""
        self._pipe.send("bodies")
        found: dict[bytes, int] = self._pipe.recv()
        return found


@contextmanager
def canned(limit: int, delay: float = 0.2) -> Generator[Canned]:
    """A service that admits ``limit`` requests at a time and takes ``delay`` seconds for each."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(limit, delay, there))
    process.start()
    there.close()  # so that the end of the process is the end of the pipe
    try:
        yield Canned(here)
    finally:
        with suppress(OSError):
            here.send(None)
        process.join()
