"""What ``run`` writes beside the journal: the failed calls, and the answers on standard output."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ..downloads import writing
from ..outcomes import Outcome
from .run_calls import line_of
from .shared import write_bytes

_IN_MEMORY = 1024 * 1024
_BLOCK = 256 * 1024


class FailedCalls:
    """The failed calls of a run as lines of a batch's input file. Beyond 1 MB they wait in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self._count = 0

    def add(self, outcome: Outcome[Any]) -> None:
        """Keep the call of an outcome."""
        self._file.write(line_of(outcome.id, outcome.call))
        self._count += 1

    async def save(self, path: Path) -> bool:
        """Put the lines in the place of ``path``, which is removed when there is none. Whether there are any."""
        if not self._count:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            return False
        self._file.seek(0)
        async with writing(path) as file:
            while block := self._file.read(_BLOCK):
                await file.write(block)
        return True

    def close(self) -> None:
        """Let go of what was not saved."""
        self._file.close()


class _Kind(msgspec.Struct):
    """What tells the answers of a journal from its other lines."""

    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Printer:
    """Copies the answers of a journal to standard output as they are written there."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._file: BinaryIO | None = None
        self._torn = b""
        self._decode = msgspec.json.Decoder(_Kind).decode

    async def advance(self) -> None:
        """Print the answers that were written since the last time."""
        if self._file is None:
            if not self._journal.exists():
                return
            self._file = self._journal.open("rb")
        while block := self._file.read(_BLOCK):
            *lines, self._torn = (self._torn + block).split(b"\n")
            answers = [line + b"\n" for line in lines if self._decode(line).response is not msgspec.UNSET]
            # in a thread: a reader that is slow must not hold up the calls that are under way
            await asyncio.to_thread(write_bytes, b"".join(answers))

    def close(self) -> None:
        """Let go of the journal."""
        if self._file is not None:
            self._file.close()
