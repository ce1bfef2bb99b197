"""A form on its way out: its files are opened, measured and read in threads, one attempt at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, suppress
from functools import partial
from threading import Lock
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
        self._stack = ExitStack()
        self._left = False
        self.length: int | None = 0
        """Bytes of the whole body; None when a file does not know its size."""
        self.begun = False
        """Whether any of it was asked for."""
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
            self._stack.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left = True
        self._stack.close()

    async def __aiter__(self) -> AsyncGenerator[bytes | memoryview]:
        """The blocks; after each has been taken the progress callback is told. What it raises ends the upload."""
        sent, timeouts = 0, self._timeouts
        self.begun = True
        try:
            self._clock.phase("between", timeouts.between)
            for piece in self._pieces:
                async for block in piece if isinstance(piece, _OpenFile) else _blocks(piece):
                    yield block
                    if self._left:  # an answer came before the end: no more is sent until it has been read
                        await asyncio.get_running_loop().create_future()
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
        if isinstance(piece.source, (bytes, bytearray, memoryview)):
            return _in_memory(piece.source, piece.name)
        run = threads.apart if hasattr(piece.source, "read") else asyncio.to_thread
        opened = await threads.acquire(partial(_opened, piece.source, piece), _OpenFile.close, run)
        self._stack.callback(opened.close)
        if opened.length == 0:
            raise ConfigError(opened.nothing)
        return opened


class _OpenFile:
    """A file of the form, open at its beginning."""

    def __init__(self, file: BinaryIO, name: str, length: int | None, piece: FilePiece, *, own: bool) -> None:
        self._file = file
        self._name = name
        self.length = length
        """Bytes to send; None when it does not know its size."""
        self._piece = piece
        self._own = own
        self._reading = Lock()
        self._left = False

    @property
    def nothing(self) -> str:
        """What is wrong when there is nothing to send."""
        return f"{self._name} is empty" if self._own else f"{self._name} is empty, or was read to its end before"

    def close(self) -> None:
        """Close it, unless it is the caller's. A read under way, which may take its time, closes it when it ends."""
        self._left = True
        if self._own and self._reading.acquire(blocking=False):
            self._file.close()
            self._reading.release()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length, sent = self.length, 0
        run = asyncio.to_thread if self._own and length is not None else threads.apart  # a pipe, the caller's: may hang
        self._piece.spent = length is None
        while length is None or sent < length:
            block = await run(partial(self._read, BLOCK if length is None else min(length - sent, BLOCK)))
            sent += len(block)
            if length is not None and (not block or sent > length):
                raise ConfigError(f"{self._name} changed its length while it was sent")
            if not block and not sent:
                raise ConfigError(self.nothing)
            if not block:
                return
            yield block

    def _read(self, size: int) -> bytes:
        try:
            with self._reading:
                block: Any = self._file.read(size)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {self._name}: {_reason(error)}") from error
        finally:
            if self._left:
                self.close()
        if not isinstance(block, bytes):
            raise ConfigError(f"{self._name} gives {type(block).__name__} in the place of bytes")
        return block


def _in_memory(source: bytes | bytearray | memoryview, name: str) -> memoryview:
    try:
        view = memoryview(bytes(source) if isinstance(source, bytearray) else source)
        data = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    except ValueError as error:  # a view that was released
        raise ConfigError(f"cannot read {name}: {error}") from error
    if not data:
        raise ConfigError(f"{name} is empty")
    return data


def _opened(source: Any, piece: FilePiece) -> _OpenFile:
    """A path opened, or an open file where it stood at first; runs in a thread."""
    own = not hasattr(source, "read")
    name, start = (repr(os.fspath(cast(str, source))) if own else piece.name), piece.start
    try:
        file: BinaryIO = open(source, "rb", opener=_open_at_once) if own else source  # noqa: SIM115 -- closed by the upload
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {name}: {_reason(error)}") from error
    try:
        if own and file.seekable():
            start = file.tell()
        length = None if start is None else file.seek(0, os.SEEK_END) - start
        if start is not None:
            file.seek(start)
    except (OSError, ValueError) as error:
        if own:
            file.close()
        raise ConfigError(f"cannot read {name}: {_reason(error)}") from error
    return _OpenFile(file, name, length, piece, own=own)


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for somebody to open the other end of a pipe; reading it waits as ever."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    with suppress(OSError, AttributeError):  # where there is no such mode
        os.set_blocking(descriptor, True)
    return descriptor


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


async def _blocks(data: memoryview) -> AsyncIterator[memoryview]:
    for begin in range(0, len(data), BLOCK):
        yield data[begin : begin + BLOCK]
