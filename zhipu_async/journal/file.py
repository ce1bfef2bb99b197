"""The file of a journal: locked, healed, appended to a whole line at a time. Everything here blocks."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..downloads import AnyPath
from ..errors import ConfigError, JournalError
from ..protocol.jsonl import BatchNote, Line, decode_line
from ..protocol.places import Places
from ..protocol.strict import BOM
from ..telemetry import logger

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_BLOCK = 1024 * 1024
_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_WINDOWS_LOCK = 2**62
"""The byte that is locked where locks are of bytes and forbid reading: one that no file has."""


class JournalFile:
    """An open journal. Only one at a time can be: :func:`open_file` locks it."""

    def __init__(self, path: Path, descriptor: int, *, created: bool) -> None:
        self.path = path
        self.places = Places()
        self._descriptor: int | None = descriptor
        self._created = created
        self._torn = False
        """Whether a part of a line could not be taken back, so that the next begins with a line feed."""
        self.size = 0
        """Bytes of the file."""

    def length(self) -> int:
        """Bytes of the file now."""
        return os.fstat(self._open).st_size

    def load(self) -> None:
        """Read the file and heal its end: a torn last line is cut off, one that lacks its line feed gets it.

        ConfigError, and nothing is changed, for a file that no run has written.
        """
        with open(self._open, "rb", buffering=_BLOCK, closefd=False) as file:
            self.places.read(file)
        places, size = self.places, self.length()
        if size and not places.is_journal:
            raise ConfigError(f"{self.path} is no journal of a run: give the path of one, or a new one")
        if places.skipped:
            logger.warning(
                "%s: lines that cannot be read stay in it and are passed over: %d", self.path, places.skipped
            )
        self.size = places.end
        if places.end < size:
            logger.warning("%s: its last line is torn (%d bytes) and was cut off", self.path, size - places.end)
            os.ftruncate(self._open, places.end)
        if places.unended:
            self._write(b"\n")

    def append(self, data: bytes) -> int:
        """Write a line, which ends with its line feed, and give its offset. It is the operating system's then.

        JournalError when that fails: nothing of the line stays in the file, or what stays is a line of its own.
        """
        mark = b"\n" if self._torn else b""
        offset = self.size + len(mark)
        try:
            self._write(mark + data)
        except OSError as error:
            kept = "what is finished stands in it: make room, then go on with resume=True"
            raise JournalError(f"cannot write the journal {self.path}: {error.strerror or error}; {kept}") from error
        self._torn = False
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """A line, without its end."""
        blocks: list[bytes] = []
        try:
            os.lseek(self._open, offset, os.SEEK_SET)
            while length > 0 and (block := os.read(self._open, length)):
                blocks.append(block)
                length -= len(block)
        except OSError as error:
            raise JournalError(f"cannot read the journal {self.path}: {error.strerror or error}") from error
        return b"".join(blocks)

    def to_disk(self) -> None:
        """Wait until the disk has it all, so that a power loss cannot take it. JournalError when that fails."""
        try:
            _to_disk(self._open)
            if self._created:
                _folder_to_disk(self.path)
                self._created = False
        except OSError as error:
            raise JournalError(f"the journal {self.path} did not reach the disk: {error.strerror or error}") from error

    def close(self) -> None:
        """Let go of the file and its lock. A second time does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    __del__ = close

    @property
    def _open(self) -> int:
        if self._descriptor is None:
            raise ValueError("the journal is closed")
        return self._descriptor

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                count = os.write(self._open, data[written:] if written else data)
                if not count:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += count
        except BaseException:
            self._take_back(written)
            raise
        self.size += written

    def _take_back(self, written: int) -> None:
        """Cut off the part of a line that was written."""
        try:
            if self.length() == self.size + written:
                os.ftruncate(self._open, self.size)
                return
        except OSError:
            pass
        self._torn = True
        with contextlib.suppress(OSError):
            self.size = self.length()


def open_file(path: Path, *, create: bool = True) -> JournalFile:
    """The file at ``path``, locked; made if there is none. ConfigError where it cannot be opened or is in use."""
    while True:
        try:
            descriptor, created = _opened(path, create=create)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"cannot write {str(path)!r}: {reason}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"cannot write {str(path)!r}: a journal is a regular file")
            _lock(descriptor, path)
            if _is_at(path, descriptor):
                return JournalFile(path, descriptor, created=created)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # another has put a new file in its place meanwhile


def rewrite_in_order(path: AnyPath, order: Iterable[str]) -> None:
    """Write the finished journal at ``path`` anew, with the last line of each id alone, in this order of the ids.

    Ids that it does not hold are passed over. What ``order`` does not name comes at the end, as it came: other ids,
    notes on batches, and what cannot be read. The new file takes the place of the old one when it is complete.
    ConfigError where a run is writing it, or it cannot be written. Blocks; memory is that of the index.
    """
    given = Path(os.path.realpath(path))
    file = open_file(given, create=False)
    part = given.with_name(f".{given.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        file.load()
        with open(part, "xb", buffering=_BLOCK) as target:
            part.chmod(stat.S_IMODE(given.stat().st_mode))
            for line in _in_order(file, given, order):
                target.write(line.removeprefix(BOM) + b"\n")
            target.flush()
            _to_disk(target.fileno())
        if sys.platform == "win32":  # where an open file cannot be replaced
            file.close()
        os.replace(part, given)
        _folder_to_disk(given)
    except OSError as error:
        raise ConfigError(f"cannot write {str(path)!r} anew: {error.strerror or error}") from error
    finally:
        file.close()
        part.unlink(missing_ok=True)


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their offsets, line ends included."""
    offset = 0
    with open(path, "rb", buffering=_BLOCK) as file:
        for data in file:
            yield offset, data
            offset += len(data)


def _in_order(file: JournalFile, path: Path, order: Iterable[str]) -> Iterator[bytes]:
    written: set[str] = set()
    for identity in order:
        if identity not in written and (place := file.places.place(identity)) is not None:
            written.add(identity)
            yield file.read(place.offset, place.length)
    for offset, data in lines_of(path):
        if data.strip() and _stays(decode_line(data), offset, file.places, written):
            yield data.rstrip(b"\r\n")


def _stays(line: Line | None, offset: int, places: Places, written: set[str]) -> bool:
    if line is None or isinstance(line, BatchNote):
        return True
    place = places.place(line.custom_id)
    return line.custom_id not in written and place is not None and place.offset == offset


def _opened(path: Path, *, create: bool) -> tuple[int, bool]:
    """A descriptor, and whether the file was made."""
    while True:
        try:
            return os.open(path, _FLAGS), False
        except FileNotFoundError:
            if not create:
                raise
        with contextlib.suppress(FileExistsError):
            return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), True


def _lock(descriptor: int, path: Path) -> None:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _WINDOWS_LOCK, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise ConfigError(
                f"{path} is being written by another run: wait for its end, or give another path"
            ) from None
        logger.warning("%s cannot be locked here (%s): see that no other run writes it", path, error.strerror)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _to_disk(descriptor: int) -> None:
    if sys.platform == "darwin":  # where fsync does not reach the platter
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def _folder_to_disk(path: Path) -> None:
    """What makes the name of a new file last, where the file system can do it."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        folder = os.open(path.resolve().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
