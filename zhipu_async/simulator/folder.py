"""Files of the simulator on the disk, in a folder of their own."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final

BLOCK: Final = 256 * 1024
"""Bytes of a file that are in memory at a time."""


class Folder:
    """A temporary folder, made when it is first needed; it goes with `close`, or with its owner."""

    def __init__(self) -> None:
        self._remove: Callable[[], object] | None = None
        self._path = Path()
        self._files = 0

    def new(self) -> Path:
        """A new empty file."""
        if self._remove is None:
            self._path = Path(tempfile.mkdtemp(prefix="zhipu-simulator-"))
            self._remove = weakref.finalize(self, shutil.rmtree, self._path, ignore_errors=True)
        self._files += 1
        path = self._path / f"{self._files:06}"
        path.touch()
        return path

    def close(self) -> None:
        """Remove the folder with all that is in it. It may be used again."""
        if self._remove is not None:
            self._remove()
            self._remove = None


def append(path: Path, data: bytes | bytearray) -> None:
    """Write at the end of a file, which has to be there: one that was removed meanwhile does not come back."""
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(data)


def read_block(path: Path, start: int, end: int) -> bytes:
    """The bytes between two offsets."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def remove(path: Path) -> None:
    """Remove a file; one that is gone, or that a system holds on to while it is open, is left to `Folder.close`."""
    try:
        path.unlink()
    except OSError:
        return
