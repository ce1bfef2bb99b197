"""The files that commands read and write: checked before anything is sent or paid for."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

from ..downloads import writing
from ..errors import ConfigError

_LONGEST_NAME = 40
"""Characters of a prompt that become part of a file's name."""


def size_of(path: Path, *, empty: bool = False) -> int:
    """The bytes of a file that can be read. ConfigError for one that is missing, a directory, or (usually) empty."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(None, "it is a directory" if stat.S_ISDIR(found.st_mode) else "it is no regular file")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read {str(path)!r}: {reason}") from None
    if not (found.st_size or empty):
        raise ConfigError(f"{str(path)!r} is empty")
    return found.st_size


async def check_output(path: Path, *, force: bool) -> None:
    """ConfigError unless ``path`` can be written: by beginning to. Nothing is left of that."""
    if not force:
        check_absent(path)
    with contextlib.suppress(_EnoughError):
        async with writing(path):
            raise _EnoughError


def check_absent(path: Path) -> None:
    """ConfigError for a file that would be overwritten; a directory is refused for what it is, by who writes."""
    if os.path.lexists(path) and not path.is_dir():
        raise ConfigError(f"{str(path)!r} exists already: --force overwrites it")


def check_apart(first: Path, second: Path) -> None:
    """ConfigError when the two are the same file: an input must not be overwritten by what is made of it."""
    with contextlib.suppress(OSError):
        if os.path.realpath(first) == os.path.realpath(second) or first.samefile(second):
            raise ConfigError(f"{str(second)!r} is the input: name another file")


def name_for(text: str, ending: str) -> Path:
    """A name for what was made of ``text``, in this directory: some of its words, and the time."""
    words = "".join(character if character.isalnum() else " " for character in text[: 4 * _LONGEST_NAME]).split()
    chosen = ""
    for word in words:
        if chosen and len(chosen) + 1 + len(word) > _LONGEST_NAME:
            break
        chosen = f"{chosen}-{word[:_LONGEST_NAME]}" if chosen else word[:_LONGEST_NAME]
    return Path(f"{chosen.lower() or 'untitled'}-{time.strftime('%Y%m%d-%H%M%S')}{ending}")


def shown(path: Path) -> str:
    """A path as text that can be printed and encoded; what is no text in its name becomes U+FFFD."""
    return os.fsencode(path).decode(errors="replace")


class _EnoughError(Exception):
    """The file could be opened, which is all there was to learn."""
