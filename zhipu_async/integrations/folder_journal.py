"""A folder of journals, one for each process that works on the same calls: what one has finished, all know."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from ..downloads import AnyPath
from ..errors import ConfigError, JournalError
from ..journal import Journal
from ..protocol import recorded
from ..protocol.jsonl import Record, decode_line
from ..protocol.places import Place, Places, State


class FolderJournal(Journal):
    """A journal among others: it writes a file of its own, and knows what the others held when it was opened.

    It may be given to any number of runs, of any calls and at the same time, between ``open()`` and ``close()``. In
    memory is where each line of all the files stands, about 200 bytes for each besides its id.

    ConfigError for a folder that cannot be read or written. Files of other kinds in it are passed over.
    """

    def __init__(self, folder: AnyPath) -> None:
        self.folder = Path(folder)
        super().__init__(self.folder / f"{secrets.token_hex(8)}.jsonl", resume=True)
        self._others: list[tuple[Path, Places]] = []

    async def open(self) -> None:
        """Read the others and begin a file."""
        self._others = await asyncio.to_thread(_read_folder, self.folder)
        await super().__aenter__()

    async def close(self) -> None:
        """End the file; one that nothing was written to is removed."""
        await super().__aexit__(None, None, None)
        if not self.lines:
            self.path.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        return self  # a run enters it while others are in it

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.sync()

    def begin_run(self, first_id: str, first_hash: str) -> None:
        """Any run may use it: ids and requests alone tell what is done."""

    def recall(self, id: str, hash: str) -> Record | None:
        """What this file or another holds of a call, as :meth:`Journal.recall` gives it."""
        found = super().recall(id, hash)
        if found is not None:
            return found
        begun = False
        for path, places in self._others:
            try:
                place = places.find(id, hash)
            except ValueError:
                raise ConfigError(
                    f"{path} holds {id!r} as the id of another request: the rows, the model or a parameter are not "
                    "what they were. Give what they were, other ids, or another folder"
                ) from None
            if place is not None and place.state is State.FINISHED:
                return _line_at(path, place, id)
            begun = begun or (place is not None and place.state is State.BEGUN)
        return Record(id, error=recorded.begun_before(), hash=hash) if begun else None


def _read_folder(folder: Path) -> list[tuple[Path, Places]]:
    """The index of each journal in ``folder``, which is made if there is none."""
    found: list[tuple[Path, Places]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.jsonl")):
            places = Places()
            with open(path, "rb") as file:
                places.read(file)
            if places.is_journal and len(places):
                found.append((path, places))
    except OSError as error:
        raise ConfigError(f"cannot read {str(folder)!r}: {error.strerror or error}") from error
    return found


def _line_at(path: Path, place: Place, identity: str) -> Record:
    try:
        with open(path, "rb") as file:
            file.seek(place.offset)
            record = decode_line(file.read(place.length))
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror or error}") from error
    if not isinstance(record, Record) or record.custom_id != identity:
        raise JournalError(f"{path} was changed by another program while it was in use")
    return record
