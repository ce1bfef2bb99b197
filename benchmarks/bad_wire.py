"""A bad wire: a TCP relay on the loopback before a service, that delays, cuts, resets, stalls and lies as it is told.

    async with BadWire("127.0.0.1", port, FAULTS["answer cut"]) as wire:
        client = AsyncZhipuAI(base_url=f"{wire.url}/api/paas/v4")

Which fault a connection gets may be a function of its number (from 1), so that a mix can be scripted: see ``mixed``.
A fault is a value: at a place of the exchange the wire waits, says bytes to the client, then ends in one of five ways.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Any


class Place(Enum):
    """Where a fault strikes."""

    NOWHERE = auto()
    ACCEPT = auto()
    """Before the first byte is read."""
    REQUEST = auto()
    """After ``Fault.count`` bytes of the request were passed on; 0: the request came, the service sees nothing."""
    SENT = auto()
    """When the whole request was passed on, before anything of the answer."""
    ANSWER = auto()
    """After ``Fault.count`` bytes of the answer were passed on; 0: the service answers, the client sees nothing."""
    ANSWERED = auto()
    """When the whole answer was passed on: the connection is idle."""


class Then(Enum):
    """How a fault ends."""

    GO_ON = auto()
    RESET = auto()
    """RST to the client; the service's connection is closed."""
    CLOSE = auto()
    """FIN to the client, and nothing it still sends is read."""
    HALF_CLOSE = auto()
    """FIN to the client, whose bytes are read, and dropped, until it closes."""
    STALL = auto()
    """Nothing more comes until the client closes; its bytes are read and dropped."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a connection; a ``Fault()`` is none. Times in seconds, sizes in bytes."""

    place: Place = Place.NOWHERE
    then: Then = Then.GO_ON
    count: int = 0
    """Bytes passed on before it strikes (at ``REQUEST`` and ``ANSWER``)."""
    says: bytes = b""
    """Told the client at the place, before the end."""
    again: bool = False
    """The answer so far is told once more at the place, after ``says``."""
    pause: float = 0.0
    """Seconds between the place and the strike."""
    skip: int = 0
    """Exchanges of each connection that are spared first; 1 spoils kept connections only."""
    accept: float = 0.0
    """Seconds before a connection is served at all."""
    latency: float = 0.0
    """Seconds that each piece waits, each way."""
    jitter: float = 0.0
    """At most so many seconds more, at random."""
    rate: float = float("inf")
    """Bytes per second, each way."""
    piece: int = 65536
    """Bytes per write, at most."""


_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
_EXTRA = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"id":"not yours"}'

FAULTS: Mapping[str, Fault] = {
    "none": Fault(),
    "latency": Fault(latency=0.02),
    "jitter": Fault(latency=0.002, jitter=0.02),
    "narrow": Fault(rate=256_000, piece=1024),
    "small pieces": Fault(piece=7),
    "slow accept": Fault(accept=0.1),
    "refused": Fault(Place.ACCEPT, Then.RESET),
    "closed at once": Fault(Place.ACCEPT, Then.CLOSE),
    "reset before": Fault(Place.REQUEST, Then.RESET),
    "closed before": Fault(Place.REQUEST, Then.CLOSE),
    "reset in request": Fault(Place.REQUEST, Then.RESET, count=40),
    "request swallowed": Fault(Place.REQUEST, Then.STALL),
    "reset after": Fault(Place.ANSWER, Then.RESET),
    "closed after": Fault(Place.ANSWER, Then.CLOSE),
    "half-closed after": Fault(Place.ANSWER, Then.HALF_CLOSE),
    "never answered": Fault(Place.ANSWER, Then.STALL),
    "head cut": Fault(Place.ANSWER, Then.CLOSE, count=20),
    "answer cut": Fault(Place.ANSWER, Then.CLOSE, count=400),
    "answer reset": Fault(Place.ANSWER, Then.RESET, count=400),
    "answer half-closed": Fault(Place.ANSWER, Then.HALF_CLOSE, count=400),
    "answer stalls": Fault(Place.ANSWER, Then.STALL, count=400),
    "garbage": Fault(Place.ANSWER, Then.CLOSE, says=b"\x16\x03\x01\x00\xff not http at all\r\n\r\n"),
    "100 continue": Fault(Place.ANSWER, says=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 early hints": Fault(Place.ANSWER, says=_HINTS),
    "many hints": Fault(Place.ANSWER, says=_HINTS * 20),
    "nothing but hints": Fault(Place.ANSWER, says=_HINTS * 1000),
    "extra answer": Fault(Place.ANSWERED, says=_EXTRA),
    "extra bytes": Fault(Place.ANSWERED, says=b"\x00\xff junk \r\n"),
    "answer twice": Fault(Place.ANSWERED, again=True),
    "closed when idle": Fault(Place.ANSWERED, Then.CLOSE),
    "reset when idle": Fault(Place.ANSWERED, Then.RESET),
    "kept one reset before": Fault(Place.REQUEST, Then.RESET, skip=1),
    "kept one closed before": Fault(Place.REQUEST, Then.CLOSE, skip=1),
    "kept one reset after": Fault(Place.ANSWER, Then.RESET, skip=1),
}
"""Every fault by its name."""

Choice = Callable[[int], Fault]


def mixed(shares: Mapping[Fault, float], seed: int = 0) -> Choice:
    """A choice at random, by shares; the same for the same seed."""
    dice, faults, weights = random.Random(seed), list(shares), list(shares.values())
    return lambda number: dice.choices(faults, weights)[0]


class BadWire:
    """Passes bytes between its clients and ``host``:``port``; ``url`` has no path. Counts what it carried."""

    def __init__(
        self,
        host: str,
        port: int,
        fault: Fault | Choice = FAULTS["none"],
        *,
        seed: int = 0,
        sock: socket.socket | None = None,
    ) -> None:
        """``sock``: a bound socket to listen on, in the place of a free port of the loopback."""
        self.host, self.port, self.fault, self.sock = host, port, fault, sock
        self.url = ""
        self.connections = 0
        self.open = 0
        """Connections that are open now."""
        self.requests = self.answers = 0
        """Whole ones that were passed on."""
        self.sent = self.received = 0
        """Bytes passed on to the service, to the clients."""
        self.struck: Counter[Fault] = Counter()
        """How often each fault reached its place."""
        self.dice = random.Random(seed)
        self._listener: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> BadWire:
        await self.plug()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.unplug()
        for task in list(self._links):
            task.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def plug(self) -> None:
        """Listen: on a free port at first, on the same one after ``unplug``."""
        port = int(self.url.rpartition(":")[2]) if self.url else 0
        where: dict[str, Any] = {"sock": self.sock} if self.sock else {"host": "127.0.0.1", "port": port}
        self._listener = await asyncio.start_server(self._serve, **where, backlog=1024)
        self.url = "http://{}:{}".format(*self._listener.sockets[0].getsockname()[:2])

    async def unplug(self) -> None:
        """Listen no more: new connections are refused, those that are open stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def emptied(self) -> None:
        """Wait until no connection is open."""
        if self._links:
            await asyncio.wait(self._links)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        fault = self.fault(self.connections) if callable(self.fault) else self.fault
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            await _Link(self, fault, reader, writer).run()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._links.discard(task)
            writer.close()


class _Over(ConnectionError):
    """The fault has ended the connection."""


class _Link:
    """One connection and its fault."""

    def __init__(self, wire: BadWire, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.wire, self.fault, self.reader, self.writer = wire, fault, reader, writer
        self.mute = False
        """Nothing is passed on any more, either way."""
        self.answer = bytearray()
        """What the client was told of this answer, when the fault repeats it."""

    async def run(self) -> None:
        await asyncio.sleep(self.fault.accept)
        if self.fault.place is Place.ACCEPT:
            await self._strike()
        back, forth = await asyncio.open_connection(self.wire.host, self.wire.port)
        requests = asyncio.create_task(self._pump(self.reader, forth, Place.REQUEST, Place.SENT))
        answers = asyncio.create_task(self._pump(back, self.writer, Place.ANSWER, Place.ANSWERED))
        try:
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            if self.mute and not requests.done():
                await requests
        finally:
            forth.close()
            for task in (requests, answers):
                task.cancel()
            ends = await asyncio.gather(requests, answers, return_exceptions=True)
            for error in ends:
                if isinstance(error, Exception) and not isinstance(error, OSError):
                    raise error  # a mistake of this module

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, within: Place, whole: Place
    ) -> None:
        """Pass one direction on until its end; the fault strikes ``within`` a message or when it is ``whole``."""
        fault, framing, passed, number, told = self.fault, _Framing(), 0, 0, False
        while data := await source.read(fault.piece):
            while data and not self.mute:
                size, ended = framing.take(data)
                part, data = data[:size], data[size:]
                place = fault.place if number >= fault.skip else Place.NOWHERE
                if place is within and not told and passed + size > fault.count:
                    await self._pass(sink, part[: fault.count - passed])
                    await self._strike()
                    told, part = True, part[fault.count - passed :]
                await self._pass(sink, part)
                passed += size
                if ended and not self.mute:
                    self.wire.requests += whole is Place.SENT
                    self.wire.answers += whole is Place.ANSWERED
                    if place is whole:
                        await self._strike()
                    passed, number, told = 0, number + 1, False
                    if whole is Place.ANSWERED:
                        self.answer.clear()

    async def _pass(self, writer: asyncio.StreamWriter, part: bytes) -> None:
        if not part or self.mute:
            return
        fault, down = self.fault, writer is self.writer
        # A turn of the loop at least: or a client in the same loop would read several pieces as one.
        await asyncio.sleep(fault.latency + fault.jitter * self.wire.dice.random() + len(part) / fault.rate)
        writer.write(part)
        await writer.drain()
        if down:
            self.wire.received += len(part)
            self.answer += part if fault.again else b""
        else:
            self.wire.sent += len(part)

    async def _strike(self) -> None:
        fault = self.fault
        await asyncio.sleep(fault.pause)
        self.wire.struck[fault] += 1
        if told := fault.says + self.answer:
            self.writer.write(told)
            self.wire.received += len(told)
            await self.writer.drain()
        if fault.then is Then.GO_ON:
            return
        self.mute = True
        if fault.then is Then.RESET:
            connection: socket.socket = self.writer.get_extra_info("socket")
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        elif fault.then is Then.CLOSE:
            self.writer.close()
        else:
            if fault.then is Then.HALF_CLOSE:
                self.writer.write_eof()
            if fault.place is Place.ACCEPT:
                while await self.reader.read(65536):
                    pass
                raise _Over
            return
        raise _Over


class _Framing:
    """Where messages end in HTTP/1.1 bytes, as far as well-behaved ends send them."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self.line = bytearray()
        self.state = "first"
        self.left = 0
        self.length = 0
        self.chunked = self.hint = False

    def take(self, data: bytes) -> tuple[int, bool]:
        """How many bytes of ``data`` belong to this message, and whether they end it."""
        at = 0
        while at < len(data):
            if self.left:
                size = min(self.left, len(data) - at)
                at, self.left = at + size, self.left - size
                ended = not self.left and not self.chunked
            else:
                end = data.find(b"\n", at) + 1 or len(data)
                self.line += data[at:end]
                at, ended = end, self.line.endswith(b"\n") and self._line(bytes(self.line).strip().lower())
            if ended:
                self._start()
                return at, True
        return at, False

    def _line(self, line: bytes) -> bool:
        """Understand a whole line; True: it ends the message."""
        self.line = bytearray()
        if self.state == "first":
            self.state = "head"
            self.hint = line.startswith(b"http/") and line[9:10] == b"1"
            self.length = sys.maxsize if line.startswith(b"http/") and line[9:12] not in (b"204", b"304") else 0
        elif self.state == "head" and line:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                self.length = int(value)
            self.chunked |= name == b"transfer-encoding" and b"chunked" in value
        elif self.state == "head":
            if self.hint:
                self._start()
            elif self.chunked:
                self.state = "size"
            else:
                self.left = self.length
                return not self.left
        elif self.state == "size":
            size = int(line.partition(b";")[0], 16)
            self.left, self.state = (size + 2, "size") if size else (0, "trailer")
        else:
            return not line
        return False
