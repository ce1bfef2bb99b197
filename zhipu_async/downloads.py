"""An answer that is a file: in memory, as an async iterator of bytes, or saved under a path when it is complete."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from . import threads
from .errors import ConfigError, ResponseTooLarge
from .telemetry import CallRecord, Timing
from .types.base import Progress

AnyPath = str | os.PathLike[str]


class Source(Protocol):
    """Where the bytes of a file come from."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    async def read(self) -> bytes: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Binary:
    """A file in memory."""

    content: bytes = field(repr=False)
    response_headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    timing: Timing

    @property
    def content_type(self) -> str | None:
        """What the service says it is, for example ``audio/wav``."""
        return self.response_headers.get("content-type")

    @property
    def text(self) -> str:
        """The content as UTF-8; what is none becomes U+FFFD."""
        return self.content.decode("utf-8-sig", "replace")

    async def save(self, path: AnyPath) -> Path:
        """Write it under ``path``, which appears when it is complete; ConfigError when it cannot be written."""
        async with writing(path) as file:
            await file.write(self.content)
        return file.path

    write_to_file = save

    def __bytes__(self) -> bytes:
        return self.content

    def __len__(self) -> int:
        return len(self.content)


class Download:
    """A file that is arriving: ``async for block in download``. Leaving its ``async with`` closes the connection.

    ``length`` is its size in bytes, None where the service does not say. ConnectionLost when it breaks off.
    """

    def __init__(
        self, source: Source, first: bytes, record: CallRecord, progress: Progress | None, limit: int | None
    ) -> None:
        self._source: Source | None = source
        self._limit = limit
        self._first: bytes | None = first
        self._record = record
        self._progress = progress
        self.received = 0
        """Bytes so far."""
        self.response_headers: Mapping[str, str] = source.headers
        """Names in lower case."""
        text = source.headers.get("content-length", "")
        self.length = int(text) if text.isdecimal() and "content-encoding" not in source.headers else None

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
        block, self._first = self._first, None
        if self._source is None:
            raise StopAsyncIteration
        if block is None:
            try:
                block = await self._source.read()
            except BaseException as error:
                self._leave(error)
                raise
        if not block:
            self._source.finish()
            self._source = None
            self._record.succeed()
            raise StopAsyncIteration
        self.received += len(block)
        if self._progress is not None:
            self._progress(self.received, self.length)
        return block

    async def read(self) -> Binary:
        """The whole file in memory; ResponseTooLarge above ``Limits.body``."""
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

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    async def write(self, data: bytes) -> None:
        """Append ``data``."""
        try:
            await asyncio.to_thread(self._file.write, data)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    async def rewind(self) -> None:
        """Begin anew."""
        await asyncio.to_thread(lambda: self._file.truncate(self._file.seek(0)))


@asynccontextmanager
async def writing(path: AnyPath) -> AsyncGenerator[PartFile]:
    """A file beside ``path`` that takes its place at the end of the block; after an error nothing is left of it.

    ConfigError, at the beginning, for a path that cannot be written.
    """
    target = Path(path)
    part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
    file = await threads.acquire(partial(_opened, target, part), partial(_removed, part))
    try:
        yield PartFile(target, file)
        await asyncio.to_thread(_finished, target, part, file)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(_removed, part, file))
        raise


def _opened(target: Path, part: Path) -> BinaryIO:
    try:
        if target.is_dir():
            raise IsADirectoryError(None, "it is a directory")
        return part.open("xb")
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from error


def _finished(target: Path, part: Path, file: BinaryIO) -> None:
    try:
        file.close()
        os.replace(part, target)
    except OSError as error:
        raise _unwritable(target, error) from error


def _removed(part: Path, file: BinaryIO) -> None:
    with suppress(OSError):
        file.close()
    with suppress(OSError):
        part.unlink()


def _unwritable(path: Path, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else error
    return ConfigError(f"cannot write {str(path)!r}: {reason}")
