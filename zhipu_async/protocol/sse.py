"""Server-sent events: bytes in, cut anywhere; events out.

Two doors to one splitter. :class:`SSEDecoder` follows the WHATWG EventSource rules to the letter and gives text.
:class:`PayloadReader` is the lean one for streams: it gives the ``data`` of each event as bytes, and splits whole
blocks at C speed when they look like GLM's (one ``data: `` line, one blank line). Both give the same wherever the bytes
are cut, take time linear in them, hold at most one unfinished event, and end lines at ``\\n``, ``\\r`` and ``\\r\\n``
only: U+2028 is text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..errors import BODY_KEPT, StreamCorrupted

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes that the ``data`` lines of one event, and any one line, may have, unless told otherwise."""

LF, CR = 0x0A, 0x0D
"""As numbers: where one is searched for as bytes, ``in`` first takes them for a number, and the exception is dearer."""

BOM = b"\xef\xbb\xbf"
"""May stand before the first character of a stream or a text."""
_DIGITS = 640  # what int() takes whatever the interpreter's limit


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One dispatched event."""

    event: str = "message"
    data: str = ""
    id: str = ""
    """The last id seen on the stream, as EventSource keeps it."""
    retry: int | None = None
    """Milliseconds, when a ``retry`` field came after the event before this one."""


def _join_if_tiny(pieces: list[bytes], size: int) -> None:
    """Join pieces of ``size`` bytes in all when the objects weigh as much as what is in them, some 40 bytes each.

    The next time comes with a 64th more of them, so that the time stays linear.
    """
    if len(pieces) * 64 > size + 65536:
        pieces[:] = [b"".join(pieces)]


class _Lines:
    """Splits bytes into whole lines without their ends; keeps the unfinished one."""

    __slots__ = ("_pieces", "_skip_line_feed", "at_start", "unfinished")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._skip_line_feed = False
        self.at_start = True
        self.unfinished = 0
        """Bytes of the unfinished line."""

    @property
    def rest(self) -> bytes:
        """The unfinished line."""
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes."""
        if self.at_start:
            data = self._without_bom(data)
        if self._skip_line_feed and data:
            self._skip_line_feed = False
            if data[0] == 0x0A:
                data = data[1:]
        if not data:
            return []
        self._pieces.append(data)
        if LF not in data and CR not in data:
            self.unfinished += len(data)
            _join_if_tiny(self._pieces, self.unfinished)
            return []
        lines = self.rest.splitlines()
        self._pieces.clear()
        self.unfinished = 0
        if data[-1] == 0x0D:
            self._skip_line_feed = True
        elif data[-1] != 0x0A:
            self._pieces.append(lines.pop())
            self.unfinished = len(self._pieces[0])
        return lines

    def _without_bom(self, data: bytes) -> bytes:
        """``data`` with what was held back before it; b"" while it may still turn out to be a byte order mark."""
        data = self.rest + data
        self._pieces.clear()
        if len(data) < len(BOM) and BOM.startswith(data):
            self._pieces.append(data)
            return b""
        self.at_start = False
        return data.removeprefix(BOM)


class _Splitter:
    """Bytes to events: the fields of the event that is being read."""

    __slots__ = ("_data", "_size", "event", "id", "limit", "lines", "retry")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lines = _Lines()
        self._data: list[bytes] = []
        self._size = 0
        self.event = b""
        self.id = b""
        self.retry: int | None = None

    @property
    def data(self) -> bytes | None:
        """The data of the event so far; None when no ``data`` field has come."""
        return b"\n".join(self._data) if self._data else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of each event that ``data`` completes; the other fields of that event are the attributes."""
        yield from self.take(self.lines.feed(data))
        if self._size + self.lines.unfinished > self.limit:
            raise self._too_large(self.lines.rest)

    def take(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The same for whole lines."""
        for line in lines:
            if line:
                self.field(line)
                continue
            if (data := self.data) is not None:
                yield data
                self.retry = None
            self._data = []
            self._size = 0
            self.event = b""

    def field(self, line: bytes) -> None:
        """Take a line that is not blank."""
        if self._size + len(line) > self.limit:
            raise self._too_large(line)
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(line)
        elif name == b"event":
            self.event = value
        elif name == b"id":
            if b"\0" not in value:
                self.id = value
        elif name == b"retry" and value.isdigit() and len(value) <= _DIGITS:
            self.retry = int(value)

    def _too_large(self, line: bytes) -> StreamCorrupted:
        raw = line[:BODY_KEPT].decode("utf-8", "replace")
        return StreamCorrupted(f"an event of the stream is larger than the limit of {self.limit} bytes", raw=raw)


class SSEDecoder:
    """A WHATWG EventSource parser. Invalid UTF-8 becomes U+FFFD.

    An event over ``limit`` bytes is StreamCorrupted; ``partial`` of that error holds the events that came before it.
    """

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._splitter = _Splitter(limit)

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that ``data`` completes, in order."""
        splitter = self._splitter
        events: list[ServerSentEvent] = []
        try:
            for payload in splitter.feed(data):
                events.append(
                    ServerSentEvent(
                        splitter.event.decode("utf-8", "replace") or "message",
                        payload.decode("utf-8", "replace"),
                        splitter.id.decode("utf-8", "replace"),
                        splitter.retry,
                    )
                )
        except StreamCorrupted as error:
            error.partial = events
            raise
        return events

    def close(self) -> None:
        """The input ended: an unfinished event is discarded, as the rules say."""
        self._splitter = _Splitter(self._splitter.limit)


class PayloadReader:
    """The ``data`` of each event as bytes, without events named ``ping`` and events of empty data (streaming.md 1)."""

    __slots__ = ("_at_start", "_pieces", "_size", "_splitter", "_whole_blocks")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._splitter = _Splitter(limit)
        self._pieces: list[bytes] = []
        self._size = 0
        self._at_start = True
        self._whole_blocks = True
        # Until the first carriage return, blank lines are searched for as "\n\n" and what follows the last one is kept
        # unread; from then on, and when much is kept, line by line.

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that ``data`` completes, in order; take them all. An event over the limit is StreamCorrupted."""
        if not self._whole_blocks:
            yield from self._wanted(self._splitter.feed(data))
            return
        yield from self.split(self.take(data))
        if self.unsplit:
            yield from self._by_lines()

    @property
    def unsplit(self) -> bool:
        """Whether something waits to be looked at line by line: :meth:`feed` it b""."""
        pieces = self._pieces
        return not self._whole_blocks or self._size > self._splitter.limit or bool(pieces and CR in pieces[-1])

    def are_whole(self, data: bytes) -> bool:
        """Whether ``data`` is whole events, with nothing kept before them, as it mostly is: :meth:`split` takes it."""
        nothing_kept = self._whole_blocks and not self._pieces and not self._at_start
        return nothing_kept and data[-2:] == b"\n\n" and CR not in data

    def take(self, data: bytes) -> bytes:
        """The whole events that ``data`` completes, as they came, for :meth:`split`; b"" for none. Only as long as
        nothing is :attr:`unsplit`."""
        pieces = self._pieces
        whole = CR not in data and (b"\n\n" in data or (data[:1] == b"\n" and pieces and pieces[-1][-1:] == b"\n"))
        if not whole:
            if data:
                pieces.append(data)
                self._size += len(data)
                _join_if_tiny(pieces, self._size)
            return b""
        if pieces:
            pieces.append(data)
            data = self._take()
        if self._at_start:
            self._at_start = False
            data = data.removeprefix(BOM)
        end = data.rfind(b"\n\n") + 2
        if end < len(data):
            pieces.append(data[end:])
            self._size = len(data) - end
            return data[:end]
        return data

    def split(self, events: bytes) -> Iterator[bytes]:
        """The payloads of whole events."""
        if not events:
            return
        splitter = self._splitter
        for block in events[:-2].split(b"\n\n"):
            if block[:6] == b"data: " and LF not in block and 6 < len(block) <= splitter.limit:
                yield block[6:]
            elif block:
                yield from self._wanted(splitter.take((*block.split(b"\n"), b"")))

    def rest(self) -> tuple[bytes, bytes]:
        """What is left at the end of the input: the data of an event without its blank line, or a torn line."""
        if self._whole_blocks:
            list(self._by_lines())  # no event comes of it: what is kept holds no blank line
        splitter = self._splitter
        line = splitter.lines.rest
        name, _, value = line.partition(b":")
        if name == b"data" and value.strip():
            splitter.field(line)
        elif name:
            return b"", line
        return (splitter.data or b"") if splitter.event != b"ping" else b"", b""

    def _by_lines(self) -> Iterator[bytes]:
        """From now on line by line, beginning with what is kept."""
        self._whole_blocks = False
        self._splitter.lines.at_start = self._at_start
        return self._wanted(self._splitter.feed(self._take()))

    def _take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return data

    def _wanted(self, payloads: Iterator[bytes]) -> Iterator[bytes]:
        for payload in payloads:
            if payload and self._splitter.event != b"ping":
                yield payload
