"""What must hold of any bytes of a stream."""

from __future__ import annotations

from typing import Any

from tests.protocol.event_source import messages
from zhipu_async.errors import APIError, StreamCorrupted, StreamError
from zhipu_async.protocol import folds
from zhipu_async.protocol.accumulate import Text
from zhipu_async.protocol.chunks import CHAT, ChunkReader, StreamKind
from zhipu_async.protocol.events import ChatEvents
from zhipu_async.protocol.sse import PayloadReader, SSEDecoder
from zhipu_async.types.chat import ChatCompletion
from zhipu_async.types.events import ContentDelta, ReasoningDelta, ToolCallDelta, ToolCallDone

from .inputs import alike, check_error, cuttings, some

KINDS: list[StreamKind[Any, Any]] = [CHAT, *(kind for kind in vars(folds).values() if isinstance(kind, StreamKind))]


def sse(data: bytes) -> None:
    """However the bytes are cut, both readers give the events of the standard; what is too large is StreamCorrupted."""
    standard = messages(data)
    wanted = [message.data for message in standard if message.data and message.event != "ping"]
    for limit in (1 << 20, 48):
        seen = [_events(pieces, limit) for pieces in cuttings(data)]
        assert all(each == seen[0] for each in seen), "the cuts make a difference"
        events, payloads, _, too_large = seen[0]
        assert len(payloads) <= len(wanted)
        assert payloads == wanted[: len(payloads)]
        assert too_large or len(payloads) == len(wanted)
        assert [tuple(vars_of(event)) for event in events] == standard[: len(events)]


def vars_of(event: Any) -> tuple[Any, ...]:
    """A server-sent event as a tuple."""
    return event.event, event.data, event.id, event.retry


def _events(pieces: list[bytes], limit: int) -> tuple[list[Any], list[str], Any, bool]:
    decoder, reader = SSEDecoder(limit), PayloadReader(limit)
    events: list[Any] = []
    payloads: list[str] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
    except StreamCorrupted as error:
        events += error.partial
    try:
        for piece in pieces:
            payloads += (payload.decode("utf-8", "replace") for payload in reader.feed(piece))
        return events, payloads, reader.rest(), False
    except StreamCorrupted as error:
        check_error(error)
        return events, payloads, None, True


def chunks(data: bytes) -> None:
    """However a stream is cut, and read in bulk or one by one, it gives the same chunks, the same result with all their
    text in it, and the same end: good, or an error of ours."""
    for kind in (CHAT, some(data, KINDS)):
        ways = list(cuttings(data))
        if not data.startswith((b"\xef", b"\n", b"\r")):
            ways.append([b":\r", data])  # a carriage return: from there on line by line
        seen = [_read(kind, pieces) for pieces in ways]
        for other in seen[1:]:
            assert all(map(alike, seen[0], other)), (seen[0], other)


def _read(kind: StreamKind[Any, Any], pieces: list[bytes]) -> list[Any]:
    reader = ChunkReader(kind, limit=1 << 16)
    found: list[Any] = []
    events = ChatEvents() if kind is CHAT else None
    told: list[Any] = []
    for piece in pieces:
        new = reader.feed(piece)
        found += new
        for chunk in new if events else ():
            told += events.feed(chunk)
    found += (last := reader.close())
    for chunk in last if events else ():
        told += events.feed(chunk)
    result = reader.result()
    failure = reader.failure
    assert reader.complete == (failure is None)
    assert failure is None or isinstance(failure, (StreamError, APIError)), failure
    if failure is not None:
        check_error(failure)
    if isinstance(failure, StreamError):
        assert alike(failure.partial, result)
    if events is not None:
        told += events.finish(result)
        _check_text(found, result, told)
    return [found, result, reader.complete, reader.done, type(failure), str(failure), reader.damaged, reader.spoke]


def _check_text(found: list[Any], result: ChatCompletion, told: list[Any]) -> None:
    """No text of the chunks is lost, in the result and in the events."""
    said: dict[Any, Text] = {}
    calls: list[str] = []
    for choice in (choice for chunk in found for choice in chunk.choices):
        for name in ("content", "reasoning_content", "reasoning"):
            if (piece := getattr(choice.delta, name)) is not None:
                said.setdefault((choice.index, name), Text()).append(piece)
        calls += [fragment.function.arguments or "" for fragment in choice.delta.tool_calls or ()]
    assert sorted({index for index, _ in said} - {choice.index for choice in result.choices}) == []
    for choice in result.choices:
        for name in ("content", "reasoning_content", "reasoning"):
            pieces = said.get((choice.index, name))
            assert getattr(choice.message, name) == (pieces.whole if pieces else None)
    arguments = [call.function.arguments for choice in result.choices for call in choice.message.tool_calls or ()]
    assert _units("".join(arguments)) == _units("".join(calls))
    assert "".join(event.arguments for event in told if isinstance(event, ToolCallDelta)) == "".join(calls)
    assert sum(isinstance(event, ToolCallDone) for event in told) == len(arguments)
    shown = [event.text for event in told if isinstance(event, (ContentDelta, ReasoningDelta))]
    assert all(shown)


def _units(text: str) -> list[int]:
    """The UTF-16 units of a text, in no order: halves that were joined count as halves."""
    data = text.encode("utf-16-le", "surrogatepass")
    return sorted(data[place] | data[place + 1] << 8 for place in range(0, len(data), 2))
