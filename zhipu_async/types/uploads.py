"""Files on their way to the service, as the caller gives them. They are opened and read by the transport."""

from __future__ import annotations

import functools
import mimetypes
from typing import BinaryIO, Protocol

import msgspec

_MORE_TYPES = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".webp": "image/webp",
    ".m4a": "audio/mp4",
    ".mkv": "video/x-matroska",
}


class Path(Protocol):
    """A path: ``pathlib.Path`` and its like."""

    def __fspath__(self) -> str: ...


FileSource = bytes | bytearray | memoryview | str | Path | BinaryIO
"""Bytes in memory; a path, as text or object; or a binary file that is open, read from where it stands and not closed.

A path is opened anew for each attempt. An open file that cannot seek is sent once: the call is not repeated.
"""


class FileUpload(msgspec.Struct, frozen=True):
    """A file with the name and media type that the service is to see; both are guessed where they are None."""

    source: FileSource
    filename: str | None = None
    """Any text; names that are not ASCII are sent as UTF-8."""
    media_type: str | None = None


FileInput = FileSource | FileUpload | tuple[str, FileSource] | tuple[str, FileSource, str]
"""What an upload takes: a source, or ``(name, source)`` or ``(name, source, media type)``, or a :class:`FileUpload`."""


def media_type_of(filename: str, otherwise: str = "application/octet-stream") -> str:
    """By the name's ending, the same on every machine; ``otherwise`` where that says nothing."""
    _, dot, ending = filename.lower().rpartition(".")
    ending = f".{ending}" if dot else ""
    return _MORE_TYPES.get(ending) or _types().guess_type(f"x{ending}")[0] or otherwise


@functools.cache
def _types() -> mimetypes.MimeTypes:
    """The built-in table: reading the system's would block the loop."""
    return mimetypes.MimeTypes(filenames=())
