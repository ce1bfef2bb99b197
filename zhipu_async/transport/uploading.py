"""A form on its way out: its files are opened, measured and read in threads, one attempt at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from .. import threads
from ..errors import ConfigError
from ..protocol.endpoint import HTTPRequest
from ..protocol.form import FilePiece, Form
from .clocks import AttemptClock

BLOCK = 256 * 1024
"""Bytes read and written at a time."""


class Upload:
    """The body of one attempt: ``async with`` opens the files, then it is iterated once, each block within the clock
    ``between``.

    ConfigError for a file that cannot be read, before anything is sent where that can be known.
    """

    def __init__(self, form: Form, request: HTTPRequest, clock: AttemptClock) -> None:
        self._form = form
        self._progress = request.progress
        self._timeouts = request.timeouts
        self._clock = clock
        self._pieces: list[memoryview | _OpenFile] = []
        self._stack = AsyncExitStack()
        self.length: int | None = 0
        """Bytes of the whole body; None when a file does not know its size."""
        self.failure: BaseException | None = None
        """What went wrong on this side while it was sent."""

    async def __aenter__(self) -> Self:
        try:
            for piece in self._form.pieces:
                opened = memoryview(piece) if isinstance(piece, bytes) else await self._open(piece)
                self._pieces.append(opened)
                length = opened.length if isinstance(opened, _OpenFile) else len(opened)
                self.length = None if self.length is None or length is None else self.length + length
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __aiter__(self) -> AsyncGenerator[bytes | memoryview]:
        """The blocks; after each has been taken the progress callback is told. What it raises ends the upload."""
        sent, timeouts = 0, self._timeouts
        try:
            self._clock.phase("between", timeouts.between)
            for piece in self._pieces:
                async for block in piece if isinstance(piece, _OpenFile) else _blocks(piece):
                    yield block
                    sent += len(block)
                    self._clock.phase("between", timeouts.between)
                    if self._progress is not None:
                        self._progress(sent, self.length)
            self._clock.phase("first_byte", timeouts.first_byte)
        except (GeneratorExit, asyncio.CancelledError):
            raise
        except BaseException as error:
            self.failure = error
            raise

    async def _open(self, piece: FilePiece) -> memoryview | _OpenFile:
        source: Any = piece.source
        if isinstance(source, (bytes, bytearray, memoryview)):
            data = memoryview(bytes(source) if isinstance(source, bytearray) else cast(bytes, source)).cast("B")
            if not data:
                raise ConfigError("the file is empty")
            return data
        opened = await threads.acquire(partial(_opened, source, piece.start), _OpenFile.close)
        self._stack.push_async_callback(partial(asyncio.to_thread, opened.close))
        if opened.length == 0:
            raise ConfigError(f"{opened.name} is empty")
        return opened


@dataclass(frozen=True, slots=True)
class _OpenFile:
    """A file of the form, open at its beginning."""

    file: BinaryIO
    name: str
    length: int | None
    """Bytes to send; None when it does not know its size."""
    own: bool
    """Whether it was opened here, and is closed here."""

    def close(self) -> None:
        """Close it, unless it is the caller's."""
        if self.own:
            self.file.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self.length
        while left is None or left > 0:
            block = await asyncio.to_thread(self._read, BLOCK if left is None else min(left, BLOCK))
            if not block and left is None:
                return
            if not block:
                raise ConfigError(f"{self.name} became shorter while it was sent")
            if left is not None:
                left -= len(block)
            yield block

    def _read(self, size: int) -> bytes:
        try:
            block: Any = self.file.read(size)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {self.name}: {error}") from error
        if not isinstance(block, bytes):
            raise ConfigError(f"{self.name} must be open in binary mode: it gives {type(block).__name__}")
        return block


def _opened(source: Any, start: int | None) -> _OpenFile:
    """A path opened, or an open file where it stood at first; runs in a thread."""
    own = not hasattr(source, "read")
    name = repr(os.fspath(cast(str, source))) if own else "the file"
    try:
        file: BinaryIO = open(source, "rb") if own else source  # noqa: SIM115 -- closed by the upload
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read {name}: {reason}") from error
    try:
        length = None
        if own or start is not None:
            start = file.tell() if own and file.seekable() else start
            length = None if start is None else file.seek(0, os.SEEK_END) - start
            if start is not None:
                file.seek(start)
    except (OSError, ValueError) as error:
        if own:
            file.close()
        raise ConfigError(f"cannot read {name}: {error}") from error
    return _OpenFile(file, name, length, own)


async def _blocks(data: memoryview) -> AsyncIterator[memoryview]:
    for begin in range(0, len(data), BLOCK):
        yield data[begin : begin + BLOCK]
