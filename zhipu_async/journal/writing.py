"""The journal of a run, which is its result file too: a line for each call, and a later run goes on from it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import msgspec

from .. import threads
from ..downloads import AnyPath
from ..errors import ClientClosedError, ConfigError, JournalError
from ..protocol import recorded
from ..protocol.jsonl import BatchNote, Begun, Line, Record, decode_line, encode_line, run_id
from ..protocol.places import Place, Places, State
from .file import JournalFile, open_file, rewrite_in_order


class Journal:
    """A file that outlives its run: ``client.fan_out(calls, journal=Journal("answers.jsonl", resume=True))``.

    Each finished call is a line of JSON, in the format of the vendor's batch results; the last line of an id counts. A
    line is the operating system's before its outcome is given out: a process that is killed at any moment loses nothing
    of it. ``fsync`` says what a power loss may take: the lines of so many seconds (by default 1), none (0: the disk is
    waited for at each line, which holds up the event loop), or what the operating system has not written yet (None).

    A file that is not empty is taken with ``resume=True`` only, and then what is finished in it is not sent again. In
    memory is where the line of each id stands: about 120 bytes per call, besides the id itself, and no answer.

    ConfigError where the file cannot be written, another run writes it, or it is no journal; JournalError (a
    ZhipuError) when writing fails later, as on a full disk.
    """

    def __init__(self, path: AnyPath, *, resume: bool = False, fsync: float | None = 1.0) -> None:
        if fsync is not None and not 0 <= fsync < float("inf"):
            raise ConfigError(f"fsync is seconds between two, 0 for each line, or None for never, not {fsync!r}")
        self.path = Path(path)
        self.run = ""
        """What tells this run from others, in each of its lines; known when it has begun."""
        self._resume = resume
        self._interval = fsync
        self._file: JournalFile | None = None
        self._places = Places()
        self._asked: list[str] = []
        self._on_disk = 0
        """Bytes that are known to be on the disk."""
        self._timer: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._failure: JournalError | None = None

    @property
    def resume(self) -> bool:
        """Whether it goes on with what is in the file."""
        return self._resume

    @property
    def lines(self) -> int:
        """Lines of the file that say something, those before calls that create and those of batches included."""
        return self._places.lines

    async def __aenter__(self) -> Self:
        if self._file is not None:
            raise ConfigError(f"the journal {self.path} is open already: one run at a time writes it")
        self._file = await threads.acquire(self._opened, JournalFile.close)
        self._loop = asyncio.get_running_loop()
        self._places, self._failure = self._file.places, None
        self._on_disk = 0 if self._interval is None else self._file.size
        self.run, self._asked = "", []
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        closing = asyncio.ensure_future(self._close(file))
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():  # also when cancelled: whoever goes on must find it written and unlocked
            try:
                await asyncio.wait([closing])
            except asyncio.CancelledError as late:
                cancelled = late
        failure = closing.exception() or self._failure
        if cancelled is not None:
            raise cancelled
        if failure is not None and error is None:
            raise failure

    # ------------------------------------------------------------ what was done

    def begin_run(self, first_id: str, first_hash: str) -> None:
        """Say which run this is. ConfigError for a journal of another: it began with another call, and does not hold
        the first of this one either."""
        runs, run = self._places.runs, run_id(first_id, first_hash)
        if not runs or run in runs:
            self.run = run
        elif self._find(first_id, first_hash) is not None:
            self.run = next(reversed(runs))
        else:
            raise ConfigError(
                f"{self.path} is the journal of another run: its first call was another, and the first of this run, "
                f"{first_id!r}, is not in it. Give the input and parameters of that run, or another path"
            )
        runs.setdefault(self.run)

    def recall(self, id: str, hash: str) -> Record | None:
        """What was written of a call, read from the file; None where it is to be sent.

        A call that creates something, had begun and has no end is not sent again: its record is an error that says so.
        ConfigError where the id stands for another request.
        """
        self._asked.append(id)
        place = self._find(id, hash)
        if place is None:
            self._places.ask(id, hash)
        if place is None or place.state in (State.AGAIN, State.ASKED):
            return None
        if place.state is State.BEGUN:
            return Record(id, error=recorded.begun_before(), hash=hash, run=self.run)
        record = decode_line(self._writable().read(place.offset, place.length))
        if not isinstance(record, Record) or record.custom_id != id:
            raise JournalError(f"{self.path} was changed by another program while it was open")
        return record

    def batches(self) -> list[BatchNote]:
        """The latest note on each batch of this run, by round and shard."""
        return self._places.notes(self.run)

    # ------------------------------------------------------------ what is done

    def begin(self, id: str, hash: str) -> None:
        """Note that a call which creates something is about to be sent."""
        self._writable()  # before a line says that the call may have been carried out
        self._append(Begun(id, hash, self.run))

    def record(self, record: Record) -> None:
        """Write the line of a finished call."""
        self._append(record)

    def note_batch(self, note: BatchNote) -> None:
        """Write how a batch stands."""
        self._append(msgspec.structs.replace(note, run=note.run or self.run))

    async def sync(self) -> None:
        """Wait until the disk has everything that was written so far. JournalError when it could not take it."""
        goal = self._writable().size
        while self._on_disk < goal:
            if self._syncing is None:
                self._sync_soon()
            await asyncio.wait([cast("asyncio.Task[None]", self._syncing)])
            self._writable()

    async def rewrite_in_order(self) -> None:
        """Write the file anew when the run is over: the last line of each id, in the order in which they were asked
        for, which is that of the input. See :func:`rewrite_in_order`."""
        await asyncio.to_thread(rewrite_in_order, self.path, self._asked)

    def _opened(self) -> JournalFile:
        file = open_file(self.path)
        try:
            if file.length() and not self._resume:
                raise ConfigError(f"{self.path} is not empty: go on with it by resume=True, or give another path")
            file.load()
            if self._interval is not None:
                file.to_disk()
        except OSError as error:
            file.close()
            raise ConfigError(f"cannot write {str(self.path)!r}: {error.strerror or error}") from error
        except BaseException:
            file.close()
            raise
        return file

    def _find(self, id: str, hash: str) -> Place | None:
        try:
            id.encode()
            return self._places.find(id, hash)
        except UnicodeEncodeError:
            raise ConfigError(f"the id {id!r} holds text that is not Unicode (a lone surrogate)") from None
        except ValueError:
            raise ConfigError(
                f"{self.path} holds {id!r} as the id of another request: the input, the model or a parameter is not "
                "what it was, or two calls have one id. Give what it was, other ids, or another path"
            ) from None

    def _writable(self) -> JournalFile:
        if self._failure is not None:
            raise self._failure
        return self._current()

    def _current(self) -> JournalFile:
        if self._file is None:
            raise ClientClosedError(f"the journal {self.path} is not open: async with Journal(...) as journal")
        return self._file

    def _append(self, line: Line) -> None:
        file = self._current()
        data = encode_line(line)
        self._places.add(line, file.append(data), len(data) - 1)
        if self._failure is not None:  # an earlier line did not reach the disk; this one is paid for all the same
            raise self._failure
        if self._interval == 0:
            file.to_disk()
            self._on_disk = file.size
        elif self._interval is not None and self._timer is None and self._syncing is None:
            self._timer = self._loop.call_later(self._interval, self._sync_soon)

    # ------------------------------------------------------------ to the disk

    def _sync_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._syncing is None and self._file is not None:
            self._syncing = self._loop.create_task(self._sync(self._file))

    async def _sync(self, file: JournalFile) -> None:
        size = file.size
        try:
            await asyncio.to_thread(file.to_disk)
            self._on_disk = max(self._on_disk, size)
        except JournalError as error:
            self._failure = error  # raised at the next line
        finally:
            self._syncing = None
            if self._file is file and file.size > size and self._interval:
                self._timer = self._loop.call_later(self._interval, self._sync_soon)

    async def _close(self, file: JournalFile) -> None:
        if self._syncing is not None:
            await asyncio.wait([self._syncing])
        try:
            if self._interval is not None and self._on_disk < file.size:
                await asyncio.to_thread(file.to_disk)
        finally:
            await asyncio.to_thread(file.close)
