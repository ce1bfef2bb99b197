"""Sources that hang while they are read: what else runs is not held up, neither the executor nor the end."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Conversation, byte_server
from tests.transport.sending import both_transports, client_of


class Hanging(io.BytesIO):
    """An open file that hangs in one of its methods until it is let go."""

    def __init__(self, method: str, let_go: threading.Event) -> None:
        super().__init__(b"abc")
        self._method = method
        self._let_go = let_go

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if self._method == "seek":
            self._let_go.wait(60)
        return super().seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        self._let_go.wait(60)
        return super().read(size)


@contextmanager
def hanging(kind: str, folder: Path) -> Iterator[Any]:
    """A source that hangs inside the block."""
    let_go = threading.Event()
    path = folder / "pipe.jsonl"
    os.mkfifo(path)
    writing = os.open(path, os.O_RDWR)  # somebody has the pipe open and writes nothing
    try:
        yield path if kind == "the path of a pipe" else Hanging(kind, let_go)
    finally:
        let_go.set()
        os.close(writing)


@both_transports
@pytest.mark.parametrize("kind", ["the path of a pipe", "read", "seek"])
async def test_a_source_that_hangs_takes_no_thread_of_others(transport: str, kind: str, tmp_path: Path) -> None:
    """With an executor of one thread, where names are looked up and files written, that thread stays free."""

    async def handler(talk: Conversation) -> None:
        await talk.request()

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with byte_server(handler) as server, client_of(server, transport) as client:
        with hanging(kind, tmp_path) as source:
            upload = asyncio.create_task(client.files.create(file=source, purpose="batch"))
            await asyncio.sleep(0.1)
            try:
                assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 10) == "free"
                assert not upload.done()
            finally:
                upload.cancel()
                with suppress(asyncio.CancelledError):
                    await upload


PROGRAM = """
import asyncio, signal, sys
from zhipu_async import AsyncZhipuAI

signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    async with AsyncZhipuAI("k.s", base_url=sys.argv[1]) as client:
        await client.files.create(file={}, purpose="batch")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
@pytest.mark.parametrize("source", ['("a.jsonl", sys.stdin.buffer)', '"/dev/stdin"'])
async def test_ctrl_c_ends_a_program_that_waits_for_its_input(source: str) -> None:
    """Nothing waits for the read, nor is the program aborted at its very end, where standard streams are closed."""
    arriving = asyncio.Event()

    async def handler(talk: Conversation) -> None:
        await talk.head()
        await talk.reader.readexactly(200_000)
        arriving.set()
        await talk.reader.read()

    async with byte_server(handler) as server:
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM.format(source), server.url, stdin=pipe, stderr=pipe
        )
        assert program.stdin is not None
        assert program.stderr is not None
        try:
            async with asyncio.timeout(60):
                program.stdin.write(bytes(300_000))
                await arriving.wait()
                await asyncio.sleep(0.1)  # until the next block is asked for
                program.send_signal(signal.SIGINT)
                said = (await program.stderr.read()).decode()
                assert await program.wait() == -signal.SIGINT
        finally:
            with suppress(ProcessLookupError):
                program.kill()
            await program.wait()
            program.stdin.close()
        assert said.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("error", "told"), [(KeyError("mine"), KeyError), (StopIteration("mine"), RuntimeError)], ids=["an error", "an end"]
)
async def test_what_a_read_raises_comes_out(error: Exception, told: type[Exception]) -> None:
    """Also what no future can hold."""

    class Raising(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise error

    async def handler(talk: Conversation) -> None:
        await talk.request()

    async with byte_server(handler) as server, client_of(server) as client:
        with pytest.raises(told, match="mine"):
            async with asyncio.timeout(10):
                await client.files.create(file=Raising(), purpose="batch")
