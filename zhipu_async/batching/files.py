"""What a batch run keeps on disk: the bodies of its calls, once; the files of its batches are made of them.

All files are temporary ones without a name (where the system has such): nothing is left of them, however a run ends.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, BinaryIO, cast

from ..protocol.batch_lines import LINE_END, MOST_BYTES, MOST_LINES, call_of, custom_id, line_head
from ..protocol.endpoint import Call, Endpoint
from ..types.base import Request

_BUFFER = 1024 * 1024
"""Bytes that are gathered before a thread writes them."""
_READ = 128 * 1024
"""Bytes of results that are read at a time, and gone through without a pause."""


def _places() -> array[int]:
    return array("Q")


@dataclass(frozen=True, slots=True)
class Shard:
    """Calls of one endpoint and one model that fit into one file, by their places in the :class:`Spool`."""

    path: str
    """Of the endpoint, below the base URL."""
    model: str
    places: array[int] = field(default_factory=_places)


class Spool:
    """Calls that wait for their answers, by their place from 0. In memory are the ids and about 30 bytes for each."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.indexes = _places()
        """Places in the input."""
        self.taken = array("d")
        """When they were taken from it, by the loop's clock."""
        self.tries = bytearray()
        """In how many batches they were sent."""
        self.over = bytearray()
        """Whether they have their outcome."""
        self._starts = array("Q", (0,))
        self._kinds: dict[tuple[Endpoint[Any], type[Request], str], int] = {}
        self._kind_of = array("L")
        self._by_number: list[tuple[Endpoint[Any], type[Request], str]] = []
        self._file = cast(BinaryIO, TemporaryFile())  # noqa: SIM115
        self._lock = Lock()
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0

    def __len__(self) -> int:
        return len(self.ids)

    async def add(self, index: int, identity: str, call: Call[Any], model: str, body: bytes, now: float) -> None:
        """Keep a call."""
        kind = call.endpoint, type(call.arguments), model
        number = self._kinds.setdefault(kind, len(self._kinds))
        if number == len(self._by_number):
            self._by_number.append(kind)
        self.ids.append(identity)
        self.indexes.append(index)
        self.taken.append(now)
        self.tries.append(0)
        self.over.append(0)
        self._kind_of.append(number)
        self._starts.append(self._starts[-1] + len(body))
        self._gathered.append(body)
        self._gathered_bytes += len(body)
        if self._gathered_bytes >= _BUFFER:
            await self.flush()

    async def flush(self) -> None:
        """Write what is gathered: before anything is read."""
        blocks, self._gathered, self._gathered_bytes = self._gathered, [], 0
        await asyncio.to_thread(self._append, b"".join(blocks))

    def _append(self, data: bytes) -> None:
        with self._lock:
            self._file.seek(0, os.SEEK_END)
            self._file.write(data)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    # ------------------------------------------------------------ what is known of a call

    def endpoint(self, place: int) -> Endpoint[Any]:
        """The endpoint of the call at ``place``."""
        return self._by_number[self._kind_of[place]][0]

    def body(self, place: int) -> bytes:
        """Its encoded body; blocks."""
        start, end = self._starts[place], self._starts[place + 1]
        with self._lock:
            self._file.seek(start)
            return self._file.read(end - start)

    def call(self, place: int, body: bytes) -> Call[Any]:
        """The call itself, made of its body."""
        endpoint, kind, _ = self._by_number[self._kind_of[place]]
        return call_of(endpoint, kind, body)

    def waiting(self) -> Iterator[int]:
        """The places of the calls without an outcome, in the order of the input."""
        return (place for place, over in enumerate(self.over) if not over)

    def keys(self, places: Iterable[int]) -> dict[str, int]:
        """Place by the id of the line. Of two places with one id (by hash) the later is left to another file."""
        keys: dict[str, int] = {}
        for place in places:
            keys.setdefault(custom_id(self.ids[place]), place)
        return keys

    # ------------------------------------------------------------ files of batches

    def shards(self, most_lines: int | None, most_bytes: int | None) -> list[Shard]:
        """The waiting calls in files: one endpoint, one model, the service's limits, or the given ones."""
        size_limit = MOST_BYTES if most_bytes is None else most_bytes
        shards: list[Shard] = []
        open_ones: dict[tuple[str, str], tuple[Shard, int]] = {}
        for place in self.waiting():
            endpoint, _, model = self._by_number[self._kind_of[place]]
            limit = min(MOST_LINES[endpoint.path], most_lines or MOST_LINES[endpoint.path])
            size = self.line_bytes(self.ids[place], endpoint.path, self._starts[place + 1] - self._starts[place])
            shard, taken = open_ones.get((endpoint.path, model), (None, 0))
            if shard is None or len(shard.places) >= limit or taken + size > size_limit:
                shard, taken = Shard(endpoint.path, model), 0
                shards.append(shard)
            shard.places.append(place)
            open_ones[endpoint.path, model] = shard, taken + size
        return shards

    @staticmethod
    def line_bytes(identity: str, path: str, body_bytes: int) -> int:
        """The length of a line, in bytes."""
        return len(line_head(custom_id(identity), path)) + body_bytes + len(LINE_END)

    def write(self, shard: Shard) -> BinaryIO:
        """The input file of a batch, at its beginning; blocks."""
        file = cast(BinaryIO, TemporaryFile())  # noqa: SIM115
        try:
            for identity, place in self.keys(shard.places).items():
                file.write(line_head(identity, shard.path))
                file.write(self.body(place))
                file.write(LINE_END)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file


class ResultFile:
    """An output or error file on its way from the service to a disk, and then line by line."""

    def __init__(self) -> None:
        self._file = cast(BinaryIO, TemporaryFile())  # noqa: SIM115

    async def begin(self) -> None:
        """Begin anew."""
        await asyncio.to_thread(lambda: self._file.truncate(self._file.seek(0)))

    async def write(self, data: bytes) -> None:
        """Append ``data``."""
        await asyncio.to_thread(self._file.write, data)

    async def rewind(self) -> None:
        """Read from the beginning."""
        await asyncio.to_thread(self._file.seek, 0)

    def lines(self) -> list[bytes]:
        """The next lines, about 128 KB of them; none at the end. Blocks."""
        return self._file.readlines(_READ)

    def close(self) -> None:
        """Remove it."""
        self._file.close()
