"""Bodies of type multipart/form-data: texts in memory, files on the disk as they come in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage

from zhipu_async.simulator.folder import BLOCK, Folder, append, remove

_READ: Final = 64 * 1024

Fields = dict[str, str | list[str]]
"""The texts of a form by the names of their parts; a list where a name came more than once."""


@dataclass(slots=True, eq=False)
class Upload:
    """A file of a form. It is on the disk until the simulator is left, or until the service deletes it."""

    name: str
    """The name of the part."""
    filename: str
    content_type: str
    """The media type of the part; "" where it has none."""
    path: Path
    size: int
    """Bytes."""
    sha256: str
    """In hexadecimal digits."""
    kept: bool = False
    """Whether the service keeps the file beyond its request."""

    def open(self) -> BinaryIO:
        """The file, opened for reading."""
        return self.path.open("rb")

    def read(self) -> bytes:
        """The whole content."""
        return self.path.read_bytes()


class Malformed(Exception):
    """The body is no form."""


class TooLarge(Exception):
    """The body has more bytes than are allowed."""


async def read_form(
    request: web.BaseRequest, folder: Folder, *, limit: int, text_limit: int, pause: float = 0.0
) -> tuple[Fields, tuple[Upload, ...]]:
    """The texts and files of a form.

    Files may have `limit` bytes together and texts `text_limit`; more raises TooLarge, what is no form Malformed.
    `pause` is a rest in seconds after each 64 KB of a file. Where it ends before the form does, by an error or by
    cancellation, no file remains.
    """
    texts: Fields = {}
    uploads: list[Upload] = []
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise Malformed("a part has parts")
            name = part.name or ""
            if part.filename is None:
                text = await _text(part, text_limit)
                text_limit -= len(text)
                _add(texts, name, text.decode(errors="replace"))
            else:
                uploads.append(await _upload(part, name, part.filename, folder, limit, pause))
                limit -= uploads[-1].size
    except (ValueError, AssertionError, RuntimeError, BadHttpMessage) as error:
        discard(uploads)
        raise Malformed(str(error)) from error
    except BaseException:
        discard(uploads)
        raise
    return texts, tuple(uploads)


def discard(uploads: Iterable[Upload]) -> None:
    """Remove files that are not kept."""
    for upload in uploads:
        if not upload.kept:
            remove(upload.path)


def _add(texts: Fields, name: str, text: str) -> None:
    match texts.get(name):
        case None:
            texts[name] = text
        case str() as first:
            texts[name] = [first, text]
        case list() as several:
            several.append(text)


async def _text(part: BodyPartReader, limit: int) -> bytes:
    text = bytearray()
    while not part.at_eof():
        text += await part.read_chunk(_READ)
        if len(text) > limit:
            raise TooLarge
    return bytes(text)


async def _upload(part: BodyPartReader, name: str, filename: str, folder: Folder, limit: int, pause: float) -> Upload:
    path = folder.new()
    digest = hashlib.sha256()
    size = 0
    block = bytearray()

    def flush() -> None:
        digest.update(block)
        append(path, block)

    try:
        while not part.at_eof():
            block += await part.read_chunk(_READ)
            if size + len(block) > limit:
                raise TooLarge
            if pause:
                await asyncio.sleep(pause)
            if len(block) >= BLOCK:
                await asyncio.to_thread(flush)
                size += len(block)
                block = bytearray()
        if block:
            await asyncio.to_thread(flush)
            size += len(block)
    except BaseException:
        remove(path)
        raise
    return Upload(name, filename, part.headers.get("Content-Type", ""), path, size, digest.hexdigest())
