"""Files on their way to the service, as the caller gives them. They are opened and read by the transport."""

from __future__ import annotations

from typing import BinaryIO, Protocol

import msgspec


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
