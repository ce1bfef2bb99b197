"""Content parts made from files on disk, read off the event loop's thread.

part = await ImagePart.from_file("photo.jpg")
message = UserMessage([part, TextPart("What is this?")])
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal, Self

from .errors import ConfigError
from .types import messages
from .types.uploads import media_type_of

AnyPath = str | os.PathLike[str]


class ImagePart(messages.ImagePart, frozen=True):
    """An image by address, from memory or from a file: jpg, jpeg or png, at most 5 MB and 6000 x 6000 pixels."""

    @classmethod
    async def from_file(cls, path: AnyPath, media_type: str | None = None) -> Self:
        """Read the file in a thread; ConfigError when it cannot be read or is no image that can be recognised."""
        return cls.from_bytes(await read(path), media_type)


class VideoPart(messages.VideoPart, frozen=True):
    """A video by address, from memory or from a file: mp4, mkv or mov, at most 200 MB."""

    @classmethod
    async def from_file(cls, path: AnyPath, media_type: str | None = None) -> Self:
        """Read the file in a thread; the media type goes by the file's name. ConfigError when it cannot be read."""
        return cls.from_bytes(await read(path), media_type or media_type_of(Path(path).name, "video/mp4"))


class FilePart(messages.FilePart, frozen=True):
    """A document by address, id, from memory or from a file, at most 50 MB."""

    @classmethod
    async def from_file(cls, path: AnyPath, media_type: str | None = None) -> Self:
        """Read the file in a thread; the media type goes by the file's name. ConfigError when it cannot be read."""
        return cls.from_bytes(await read(path), Path(path).name, media_type)


class AudioPart(messages.AudioPart, frozen=True):
    """Speech for glm-4-voice from memory or from a file, at most 10 minutes."""

    @classmethod
    async def from_file(cls, path: AnyPath, format: Literal["wav", "mp3"] | None = None) -> Self:
        """Read the file in a thread; ConfigError when it cannot be read or is no sound that can be recognised."""
        return cls.from_bytes(await read(path), format)


async def read(path: AnyPath) -> bytes:
    """The bytes of a file, read in a thread; ConfigError with the reason when it cannot be read."""
    try:
        return await asyncio.to_thread(Path(path).read_bytes)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read {os.fspath(path)!r}: {reason}") from error
