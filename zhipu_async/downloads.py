"""An answer that is a file: in memory, as an async iterator of bytes, or saved under a path when it is complete."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import msgspec

from . import threads
from .errors import ConfigError, DecodeError, ResponseTooLarge, StreamConsumed
from .telemetry import CallRecord, Timing
from .types.base import Progress

AnyPath = str | os.PathLike[str]


class Source(Protocol):
    """Where the bytes of a file come from."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    def read(self) -> Coroutine[Any, Any, bytes]: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


class Binary(msgspec.Struct, frozen=True):
    """A file in memory."""

    content: bytes
    response_headers: Mapping[str, str]
    """Names in lower case."""
    timing: Timing

    def __repr__(self) -> str:
        return f"Binary(timing={self.timing})"

    @property
    def content_type(self) -> str | None:
        """What the service says it is, for example ``audio/wav``."""
        return self.response_headers.get("content-type")

    @property
    def text(self) -> str:
        """The content as UTF-8; what is none becomes U+FFFD."""
        return self.content.decode("utf-8-sig", "replace")

    def read(self) -> bytes:
        """The content, as other clients call it."""
        return self.content

    def json(self) -> Any:
        """The content as JSON; DecodeError when it is none."""
        try:
            return msgspec.json.decode(self.content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(f"the file is no JSON: {error}") from error

    async def save(self, path: AnyPath) -> Path:
        """Write it under ``path``, which appears when it is complete; ConfigError when it cannot be written."""
        async with writing(path) as file:
            await file.write(self.content)
        return file.path

    write_to_file = stream_to_file = save

    def __bytes__(self) -> bytes:
        return self.content

    def __len__(self) -> int:
        return len(self.content)


class Download:
    """A file that is arriving: ``async for block in download``. Leaving its ``async with`` closes the connection.

    ``length`` is its size in bytes, None where the service does not say. ConnectionLost when it breaks off;
    StreamConsumed for what was begun, closed or broken off before.
    """

    def __init__(
        self, source: Source, first: bytes, record: CallRecord, progress: Progress | None, limit: int | None
    ) -> None:
        self._source: Source | None = source
        self._limit = limit
        self._first: bytes | None = first
        self._whole = False
        self._record = record
        self._progress = progress
        self.received = 0
        """Bytes so far."""
        self.response_headers: Mapping[str, str] = source.headers
        """Names in lower case."""
        text = source.headers.get("content-length", "")
        known = text.isdecimal() and len(text) < 20 and "content-encoding" not in source.headers
        self.length = int(text) if known else None

    @property
    def content_type(self) -> str | None:
        """What the service says it is."""
        return self.response_headers.get("content-type")

    @property
    def timing(self) -> Timing:
        """Where the time went so far."""
        return self._record.timing

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._source is None:
            if self._whole:
                raise StopAsyncIteration
            raise StreamConsumed("this download was closed or broke off")
        block, self._first = self._first, None
        try:
            if block is None:
                block = await self._source.read()
            self.received += len(block)
            if block and self._progress is not None:
                self._progress(self.received, self.length)
        except BaseException as error:
            self._leave(error)
            raise
        if not block:
            self._source.finish()
            self._source = None
            self._whole = True
            self._record.succeed()
            raise StopAsyncIteration
        return block

    async def read(self) -> Binary:
        """The whole file in memory; ResponseTooLarge above ``Limits.body``."""
        self._untouched()
        blocks: list[bytes] = []
        async for block in self:
            blocks.append(block)
            if self._limit is not None and self.received > self._limit:
                error = ResponseTooLarge(f"the file is larger than {self._limit} bytes (Limits.body): use to_file")
                self._leave(error)
                raise error
        return Binary(b"".join(blocks), self.response_headers, self.timing)

    async def save(self, path: AnyPath) -> Path:
        """Write it under ``path``, which appears when it is complete; ConfigError when it cannot be written."""
        async with writing(path) as file:
            await self.write_to(file)
        return file.path

    async def write_to(self, file: PartFile) -> None:
        """Write it to a file that is open, from its beginning."""
        self._untouched()
        await file.rewind()
        async for block in self:
            await file.write(block)

    async def close(self) -> None:
        """Close the connection now; closing twice does no harm."""
        self._leave(None)

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave(None)

    def _untouched(self) -> None:
        """A part must not pass for the whole."""
        if self.received or self._source is None:
            raise StreamConsumed("this download was read, closed or broke off before")

    def _leave(self, error: BaseException | None) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()
            self._record.fail(error if isinstance(error, Exception) else None)

    def __del__(self) -> None:
        if getattr(self, "_source", None) is not None:
            self._leave(None)


class PartFile:
    """The file that becomes ``path``, written in threads."""

    def __init__(self, path: Path, target: Path, part: Path, mode: int | None) -> None:
        self.path = path
        """As it was given."""
        self._target = target
        self._part = part
        self._file: BinaryIO = open(part, "xb", opener=partial(os.open, mode=0o666 if mode is None else mode))  # noqa: SIM115
        if mode is not None:
            with suppress(OSError):
                part.chmod(mode)  # of the file that it replaces, whatever the process would give a new one

    async def write(self, data: bytes) -> None:
        """Append ``data``."""
        await self._do(partial(self._file.write, data))

    async def rewind(self) -> None:
        """Begin anew."""
        await self._do(lambda: self._file.truncate(self._file.seek(0)))

    async def finish(self) -> None:
        """Put it in its place."""
        await self._do(self._finish)

    async def _do(self, work: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(work)
        except (OSError, ValueError) as error:
            raise _unwritable(self.path, error) from error

    def _finish(self) -> None:
        self._file.close()
        os.replace(self._part, self._target)

    def remove(self) -> None:
        """Leave nothing of it; blocks."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink()


@asynccontextmanager
async def writing(path: AnyPath) -> AsyncGenerator[PartFile]:
    """A file beside ``path`` that takes its place at the end of the block; after an error nothing is left of it.

    ConfigError, at the beginning, for a path that cannot be written. A link is followed.
    """
    file = await threads.acquire(partial(_opened, Path(path)), PartFile.remove)
    try:
        yield file
        await file.finish()
    except BaseException:
        await asyncio.shield(asyncio.to_thread(file.remove))
        raise


def _opened(path: Path) -> PartFile:
    kept: int | None = None
    try:
        target = Path(os.path.realpath(path))
        with suppress(FileNotFoundError):
            mode = target.stat().st_mode
            kept = mode & 0o777
            if not stat.S_ISREG(mode):
                raise OSError(None, "it is a directory" if stat.S_ISDIR(mode) else "it is no regular file")
            if not os.access(target, os.W_OK):
                raise PermissionError(None, "it is write-protected")
        part = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")
        return PartFile(path, target, part, kept)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else error
    return ConfigError(f"cannot write {str(path)!r}: {reason}")
