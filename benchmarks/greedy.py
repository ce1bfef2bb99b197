"""Answers without end and answers that unfold, and the memory that a client takes before it refuses them.

The client is in a process of its own, so that nothing but its memory is measured; its limits are small ones.
"""

from __future__ import annotations

import asyncio
import gzip
import multiprocessing
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from zhipu_async import AsyncZhipuAI, Limits, RetryPolicy, ZhipuError

BODY, EVENT = 16 * 1024 * 1024, 4 * 1024 * 1024
"""The limits in force: bytes of a whole answer, and of an event of a stream."""
HUGE = 1024 * 1024 * 1024
REFUSED = ("ResponseTooLarge", "StreamCorrupted", "ConnectionLost", "ServerError", "DecodeError")
"""What such answers may end with."""
_BLOCK = b" " * 65536
_LONG = b"x" * 65536


class Greedy(NamedTuple):
    """An answer, as its head and the blocks that follow it, and MB that a client may take of it."""

    head: bytes
    blocks: Callable[[], Any]
    allowed: float
    stream: bool = False


def _head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode()


def _bomb(layers: int) -> bytes:
    """A gigabyte of blanks in a few kilobytes or megabytes, packed once or twice."""
    block = gzip.compress(b" " * (8 * 1024 * 1024))
    data = block * (HUGE // (8 * 1024 * 1024))
    return gzip.compress(data) if layers == 2 else data


def _endless(block: bytes) -> Callable[[], Any]:
    return lambda: (block for _ in range(HUGE // len(block)))


def _packed(layers: int, coding: str) -> Greedy:
    data = _bomb(layers)
    head = _head("Content-Type: application/json", f"Content-Encoding: {coding}", f"Content-Length: {len(data)}")
    return Greedy(head, lambda: [data], 3 * BODY / 1e6)


def _answers() -> Mapping[str, Greedy]:
    json, events = "Content-Type: application/json", "Content-Type: text/event-stream"
    long_number = b'{"id":"1","created":' + b"9" * (BODY - 100) + b',"choices":[]}'
    deep = b'{"choices":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
    return {
        "a gigabyte in gzip": _packed(1, "gzip"),
        "a gigabyte in gzip, twice": _packed(2, "gzip, gzip"),
        "a body without end": Greedy(_head(json), _endless(_BLOCK), 3 * BODY / 1e6),
        "an error without end": Greedy(_head(json, status="500 Oops"), _endless(_BLOCK), 3 * BODY / 1e6),
        "a line of a stream without end": Greedy(_head(events), _endless(_LONG), 4 * EVENT / 1e6 + 8, True),
        "an event of lines without end": Greedy(
            _head(events), _endless(b"data: 1\n" * 8192), 16 * EVENT / 1e6 + 8, True
        ),
        "a head without end": Greedy(b"HTTP/1.1 200 OK\r\n", _endless(b"x: 1\r\n" * 8192), 16.0),
        "a header without end": Greedy(b"HTTP/1.1 200 OK\r\nx: ", _endless(_LONG), 16.0),
        "hints without end": Greedy(b"", _endless(b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" * 2048), 16.0),
        "a number of 16 million digits": Greedy(_head(json), lambda: [long_number], 6 * BODY / 1e6),
        "a million brackets": Greedy(_head(json), lambda: [deep], 6 * BODY / 1e6),
    }


def resident(name: str) -> float:
    """A figure of this process's memory in MB: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resident("VmHWM")


def _begin_anew() -> None:
    """From now on the peak is that of what comes."""
    Path("/proc/self/clear_refs").write_text("5")


def _ask(url: str, names: Mapping[str, bool], pipe: Connection) -> None:
    async def ask(client: AsyncZhipuAI, name: str, stream: bool) -> str:
        messages = [{"role": "user", "content": name}]
        try:
            if stream:
                async with await client.chat.completions.create(model="m", messages=messages, stream=True) as chunks:
                    async for _ in chunks:
                        pass
            else:
                await client.chat.completions.create(model="m", messages=messages)
        except ZhipuError as error:
            return type(error).__name__
        return "no error"

    async def main() -> None:
        limits = Limits(body=BODY, event=EVENT)
        for name, stream in names.items():
            async with AsyncZhipuAI(
                "k.s", base_url=f"{url}/{name.replace(' ', '-')}", limits=limits, retry=RetryPolicy(retries=0)
            ) as client:
                _begin_anew()
                before = resident("VmRSS")
                ended = await ask(client, name, stream)
                pipe.send((name, ended, max(0.0, peak() - before)))

    asyncio.run(main())
    pipe.send(None)


async def _serve(answers: Mapping[str, Greedy]) -> list[tuple[str, str, float, float]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            asked = (await reader.readuntil(b"\r\n\r\n")).split(b"/")[1].decode().replace("-", " ")
            answer = answers[asked]
            writer.write(answer.head)
            for block in answer.blocks():
                writer.write(block)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://{}:{}".format(*server.sockets[0].getsockname())
    here, there = multiprocessing.Pipe()
    names = {name: answer.stream for name, answer in answers.items()}
    process = multiprocessing.get_context("spawn").Process(target=_ask, args=(url, names, there))
    process.start()
    there.close()
    found: list[tuple[str, str, float, float]] = []
    try:
        while (told := await asyncio.to_thread(here.recv)) is not None:
            found.append((*told, answers[told[0]].allowed))
    finally:
        server.close()
        process.join()
    return found


def measured() -> list[tuple[str, str, float, float]]:
    """Of each answer: its name, what the call ended with, MB that it took at most, and MB that are allowed."""
    return asyncio.run(_serve(_answers()))
