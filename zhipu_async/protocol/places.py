"""Where in a journal the last line of each call stands, and what it says of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

import msgspec

from .jsonl import BatchNote, Begun, Line, Record, decode_line, is_whole, may_begin

_PLACE = Struct("<QIB16s")


class State(IntEnum):
    """What the last line of a call says."""

    FINISHED = 0
    AGAIN = 1
    """It failed in a way that may pass: a resumed run sends it again."""
    BEGUN = 2
    """It creates something, and nothing is known of its end."""
    FOREIGN = 3
    """A line without the hash of the request: nobody can say what it answers."""
    ASKED = 4
    """There is no line yet: the call is under way."""


class Place(NamedTuple):
    """The last line of a call: where it begins and how long it is (bytes, without its end)."""

    offset: int
    length: int
    state: State
    hash: bytes


class Places:
    """The index of a journal. It holds about 120 bytes for each call and the id itself, and no answer."""

    def __init__(self) -> None:
        self._places: dict[str, bytes] = {}
        self._notes: dict[tuple[str, int, int], BatchNote] = {}
        self.runs: dict[str, None] = {}
        """The runs that wrote here, in the order of their first lines."""
        self.lines = 0
        """Lines that say something."""
        self.skipped = 0
        """Lines that do not."""
        self.end = 0
        """Bytes of whole lines; what follows is torn."""
        self.unended = False
        """Whether the last line lacks nothing but its line feed."""
        self._ours = False
        self._torn = b""

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, identity: str) -> bool:
        return identity in self._places

    @property
    def is_journal(self) -> bool:
        """Whether what was read can be the file of a run: one that a run wrote in, or died in at its first line."""
        return self._ours or (not self.lines and not self.skipped and may_begin(self._torn))

    def read(self, lines: Iterable[bytes]) -> None:
        """Take in a file from its beginning, in pieces that end with a line feed each, but for the last."""
        for data in lines:
            line = decode_line(data)
            if not data.endswith(b"\n"):
                if not is_whole(data):
                    self._torn = data if data.strip() else b""
                    return
                self.unended = True
            if line is not None:
                self.add(line, self.end, len(data.rstrip(b"\r\n")))
            elif data.strip():
                self.skipped += 1
            self.end += len(data)

    def add(self, line: Line, offset: int, length: int) -> None:
        """Take in one line."""
        self.lines += 1
        if isinstance(line, BatchNote):
            self._notes[line.run, line.round, line.shard] = msgspec.structs.replace(line)
            self._ours = True
        elif not (isinstance(line, Begun) and self._is_finished(line.custom_id)):
            self._ours = self._ours or bool(line.hash or line.run)
            self._places[line.custom_id] = _PLACE.pack(offset, length, _state(line), _digest(line.hash))
        if line.run:
            self.runs.setdefault(line.run)

    def ask(self, identity: str, hash: str) -> None:
        """A call that has no line is under way: from now on its id stands for this request."""
        self._places.setdefault(identity, _PLACE.pack(0, 0, State.ASKED, _digest(hash)))

    def find(self, identity: str, hash: str) -> Place | None:
        """The last line of a call; None where there is none.

        ValueError when it answers another request than that of ``hash``.
        """
        place = self.place(identity)
        if place is None or place.state is State.FOREIGN:
            return None
        if place.hash != _digest(hash):
            raise ValueError(identity)
        return place

    def place(self, identity: str) -> Place | None:
        """The same, whatever it answers."""
        packed = self._places.get(identity)
        if packed is None:
            return None
        offset, length, state, digest = _PLACE.unpack(packed)
        return Place(offset, length, State(state), digest)

    def notes(self, run: str) -> list[BatchNote]:
        """How the batches of ``run`` stand, by round and shard; those of all runs where it is empty."""
        notes = sorted(self._notes.items())
        return [msgspec.structs.replace(note) for key, note in notes if not run or key[0] == run]

    def _is_finished(self, identity: str) -> bool:
        place = self.place(identity)
        return place is not None and place.state is State.FINISHED


def _state(line: Record | Begun) -> State:
    if isinstance(line, Begun):
        return State.BEGUN
    if not line.hash:
        return State.FOREIGN
    return State.AGAIN if line.error is not None and line.error.again else State.FINISHED


def _digest(hash: str) -> bytes:
    try:
        digest = bytes.fromhex(hash)
    except ValueError:
        digest = b""
    return digest if len(digest) == 16 else blake2b(hash.encode("utf-8", "surrogatepass"), digest_size=16).digest()
