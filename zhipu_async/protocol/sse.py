"""Server-sent events: bytes in, cut anywhere; events out.

Two doors to one splitter. :class:`SSEDecoder` follows the WHATWG EventSource rules to the letter and gives text.
:class:`PayloadReader` is the lean one for streams: it gives the ``data`` of each event as bytes, and splits whole
blocks at C speed when they look like GLM's (one ``data: `` line, one blank line). Both take time linear in their input,
hold at most one unfinished event, and end lines at ``\\n``, ``\\r`` and ``\\r\\n`` only: U+2028 is text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import StreamCorrupted

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes of one event, unless told otherwise."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One dispatched event."""

    event: str = "message"
    data: str = ""
    id: str = ""
    """The last id seen on the stream, as EventSource keeps it."""
    retry: int | None = None
    """Milliseconds, when this event's block held a ``retry`` field."""


class _Lines:
    """Splits bytes into whole lines without their ends; keeps the unfinished one."""

    __slots__ = ("_limit", "_pieces", "_size", "_skip_line_feed", "at_start")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._skip_line_feed = False
        self.at_start = True

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
        if b"\n" not in data and b"\r" not in data:
            self._keep(data)
            return []
        self._pieces.append(data)
        lines = b"".join(self._pieces).splitlines()
        self._pieces.clear()
        self._size = 0
        if data[-1] == 0x0D:
            self._skip_line_feed = True
        elif data[-1] != 0x0A:
            self._keep(lines.pop())
        return lines

    def _without_bom(self, data: bytes) -> bytes:
        """``data`` with what was held back before it; b"" while it may still turn out to be a byte order mark."""
        data = self.rest + data
        self._pieces.clear()
        self._size = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._keep(data)
            return b""
        self.at_start = False
        return data.removeprefix(_BOM)

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            raise StreamCorrupted(f"a line of the stream is longer than the limit of {self._limit} bytes")


class _Splitter:
    """Lines to events: the fields of the event that is being read."""

    __slots__ = ("_data", "_size", "event", "id", "limit", "lines", "retry")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lines = _Lines(limit)
        self._data: list[bytes] = []
        self._size = 0
        self.event = b""
        self.id = b""
        self.retry: int | None = None

    def line(self, line: bytes) -> bytes | None:
        """Take one line; at the blank line after ``data``, the event's data. Call :meth:`reset` once it is used."""
        if not line:
            if self._data:
                return b"\n".join(self._data)
            self.reset()
            return None
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self.limit:
                raise StreamCorrupted(f"an event of the stream is larger than the limit of {self.limit} bytes")
        elif name == b"event":
            self.event = value
        elif name == b"id":
            if b"\0" not in value:
                self.id = value
        elif name == b"retry" and value.isdigit() and len(value) < 19:
            self.retry = int(value)
        return None

    def reset(self) -> None:
        """Forget the event; the id lasts for the stream."""
        self._data = []
        self._size = 0
        self.event = b""
        self.retry = None


class SSEDecoder:
    """A WHATWG EventSource parser. Invalid UTF-8 becomes U+FFFD; an event over ``limit`` bytes is StreamCorrupted."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._splitter = _Splitter(limit)

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that ``data`` completes, in order."""
        splitter = self._splitter
        events: list[ServerSentEvent] = []
        for line in splitter.lines.feed(data):
            if (payload := splitter.line(line)) is not None:
                events.append(
                    ServerSentEvent(
                        splitter.event.decode("utf-8", "replace") or "message",
                        payload.decode("utf-8", "replace"),
                        splitter.id.decode("utf-8", "replace"),
                        splitter.retry,
                    )
                )
                splitter.reset()
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
        # unread; from then on line by line.

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that ``data`` completes, in order."""
        if not self._whole_blocks:
            return self._lines(data)
        pieces = self._pieces
        if b"\r" in data:
            self._whole_blocks = False
            pieces.append(data)
            self._splitter.lines.at_start = self._at_start
            return self._lines(self._take())
        if b"\n\n" not in data and not (data[:1] == b"\n" and pieces and pieces[-1][-1:] == b"\n"):
            if data:
                pieces.append(data)
                self._size += len(data)
                if self._size > self._splitter.limit:
                    raise StreamCorrupted(f"an event of the stream is larger than {self._splitter.limit} bytes")
            return []
        if pieces:
            pieces.append(data)
            data = self._take()
        if self._at_start:
            self._at_start = False
            data = data.removeprefix(_BOM)
        blocks = data.split(b"\n\n")
        if tail := blocks.pop():
            pieces.append(tail)
            self._size = len(tail)
        limit = self._splitter.limit
        payloads: list[bytes] = []
        for block in blocks:
            if block[:6] == b"data: " and b"\n" not in block and 6 < len(block) <= limit:
                payloads.append(block[6:])
            else:
                payloads += self._events((*block.split(b"\n"), b""))
        return payloads

    def rest(self) -> bytes:
        """What is left at the end of the input: data of an event without its blank line, a torn line, or b""."""
        splitter = self._splitter
        *lines, last = (self._take() if self._whole_blocks else splitter.lines.rest).split(b"\n")
        payload = b"".join(self._events(lines))
        if last and not last.startswith(b"data"):
            return last
        if last:
            splitter.line(last)
        return payload + (splitter.line(b"") or b"")

    def _take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return data

    def _lines(self, data: bytes) -> list[bytes]:
        return self._events(self._splitter.lines.feed(data))

    def _events(self, lines: Iterable[bytes]) -> list[bytes]:
        splitter = self._splitter
        payloads: list[bytes] = []
        for line in lines:
            if (payload := splitter.line(line)) is not None:
                if payload and splitter.event != b"ping":
                    payloads.append(payload)
                splitter.reset()
        return payloads
