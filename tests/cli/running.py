"""The command line as a process of its own: in pipes, and at a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

COLOURS = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "GITHUB_ACTIONS", "PY_COLORS", "COLUMNS")
"""Variables that decide about colours and width, and that no test takes over from outside."""
PATIENCE = 20.0
"""Seconds after which a process that has not done what it should fails its test."""


@dataclass(frozen=True)
class Finished:
    """How a process ended, and what it wrote."""

    code: int
    output: str
    errors: str


def command(*arguments: str) -> tuple[str, ...]:
    """The command line; a warning that nobody caught ends it with an error."""
    return (sys.executable, "-X", "dev", "-W", "error", "-m", "zhipu_async", *arguments)


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """What a process sees of this one's environment."""
    kept = {name: value for name, value in os.environ.items() if name not in COLOURS}
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **more}


@asynccontextmanager
async def process_of(*program: str, env: Mapping[str, str] | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program between pipes; killed at the end of the block if it still runs."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *program, env=environment(env or {}), stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def finish(process: asyncio.subprocess.Process, stdin: bytes | None = None) -> Finished:
    """Wait for a process to end."""
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate(stdin)
    assert process.returncode is not None
    return Finished(process.returncode, (output or b"").decode(), errors.decode())


async def run(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Finished:
    """Run the command line between pipes, to its end."""
    async with process_of(*command(*arguments), env=env) as process:
        return await finish(process, stdin)


class Terminal:
    """A process at a terminal of its own, and what is to be seen there."""

    def __init__(self, process: asyncio.subprocess.Process, keyboard: int) -> None:
        self._process = process
        self._keyboard = keyboard
        self._arrived = asyncio.Event()
        self.seen = ""
        asyncio.get_running_loop().add_reader(keyboard, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._keyboard, 65536)
        except OSError:  # Linux's way to say that nobody is at the other end any more
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._keyboard)
        self.seen += data.decode(errors="replace")
        self._arrived.set()

    @property
    def text(self) -> str:
        """What is to be seen, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen).replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._keyboard, text.encode())

    async def until(self, text: str, times: int = 1) -> None:
        """Wait until ``text`` can be seen so many times."""
        async with asyncio.timeout(PATIENCE):
            while self.text.count(text) < times:
                self._arrived.clear()
                await self._arrived.wait()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """What Ctrl-C does, or another signal."""
        self._process.send_signal(number)

    async def interrupt_prompt(self) -> None:
        """Ctrl-C, pressed again each second: readline sleeps through one that comes just before it begins to wait."""
        async with asyncio.timeout(PATIENCE):
            while self._process.returncode is None:
                self.interrupt()
                await asyncio.wait({asyncio.create_task(self._process.wait())}, timeout=1)

    async def end(self) -> int:
        """Wait for the process to end; its exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


@asynccontextmanager
async def terminal(
    *arguments: str, env: Mapping[str, str] | None = None, columns: int = 100
) -> AsyncIterator[Terminal]:
    """The command line at a terminal; killed at the end of the block if it still runs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    try:
        process = await asyncio.create_subprocess_exec(
            *command(*arguments),
            env=environment({"TERM": "xterm-256color", **(env or {})}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
