"""Server-sent events: both doors against the rules of the standard, at every cut."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zhipu_async.errors import StreamCorrupted
from zhipu_async.protocol.sse import PayloadReader, ServerSentEvent, SSEDecoder

from .event_source import Message, messages
from .feeding import at_every_split, by_byte, cut, cuts, examples

BOM = b"\xef\xbb\xbf"


def said(data: str, event: str = "message", id: str = "", retry: int | None = None) -> Message:
    """An expected event."""
    return Message(event, data, id, retry)


EVENTS: dict[str, tuple[bytes, list[Message]]] = {
    "one line": (b"data: hello\n\n", [said("hello")]),
    "no space after the colon": (b"data:hello\n\n", [said("hello")]),
    "only one space is stripped": (b"data:  hello \n\n", [said(" hello ")]),
    "a tab is no space": (b"data:\thello\n\n", [said("\thello")]),
    "lines of data are joined": (b"data: a\ndata: b\ndata:\n\n", [said("a\nb\n")]),
    "a field without colon has an empty value": (b"data\n\ndata\ndata\n\n", [
        said(""), said("\n"),
    ]),
    "an empty data line is data": (b"data:\n\n", [said("")]),
    "an empty data line with a space too": (b"data: \n\n", [said("")]),
    "no data, no event": (b"event: x\n\nid: 1\n\n\n\n", []),
    "the event type is reset by a blank line": (b"event: x\n\ndata: a\n\n", [said("a")]),
    "the event type is reset by an event": (b"event: x\ndata: a\n\ndata: b\n\n", [
        said("a", event="x"), said("b"),
    ]),
    "the last event type counts": (b"event: x\nevent: y\ndata: a\n\n", [said("a", event="y")]),
    "an empty event type is message": (b"event: x\nevent\ndata: a\n\n", [said("a")]),
    "the id lasts": (b"id: 7\ndata: a\n\ndata: b\n\n", [said("a", id="7"), said("b", id="7")]),
    "an id without data lasts too": (b"id: 7\n\ndata: b\n\n", [said("b", id="7")]),
    "an id may be emptied": (b"id: 7\ndata: a\n\nid\ndata: b\n\n", [
        said("a", id="7"), said("b"),
    ]),
    "an id with NUL is ignored": (b"id: 7\nid: 8\x009\ndata: a\n\n", [said("a", id="7")]),
    "retry": (b"retry: 1500\ndata: a\n\ndata: b\n\n", [said("a", retry=1500), said("b")]),
    "retry in a block of its own comes with the next event": (b"retry: 10\n\ndata: a\n\n", [said("a", retry=10)]),
    "retry takes ASCII digits only": ("retry: +1\nretry: ١\nretry: 1 \nretry\ndata: a\n\n".encode(), [said("a")]),
    "retry has any number of digits": (b"retry: " + b"0" * 300 + b"9" * 30 + b"\ndata: a\n\n", [
        said("a", retry=int("9" * 30)),
    ]),
    "comments are ignored": (b": hi\ndata: a\n:data: b\n:\n\n", [said("a")]),
    "unknown fields are ignored": (b"other: 5\ndatas: x\nDATA: x\n data: x\ndata : x\ndata: a\n\n", [said("a")]),
    "CR ends lines": (b"data: a\rdata: b\r\r", [said("a\nb")]),
    "CRLF ends lines": (b"data: a\r\ndata: b\r\n\r\n", [said("a\nb")]),
    "ends of lines may be mixed": (b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\r\n", [
        said("a\nb\nc"), said("d"),
    ]),
    "CR ends lines in a block that ends like GLM's": (b"data: a\rdata: b\n\n", [said("a\nb")]),
    "CRLF first, LF later": (b"event: ping\r\ndata: a\n\ndata: b\n\n", [said("a", event="ping"), said("b")]),
    "a byte order mark at the start is skipped": (BOM + b"data: a\n\n", [said("a")]),
    "one only": (BOM + BOM + b"data: a\n\ndata: b\n\n", [said("b")]),
    "and at the start only": (b"data: a\n\n" + BOM + b"data: b\n\n", [said("a")]),
    "and whole only": (BOM[:2] + b"data: a\n\ndata: b\n\n", [said("b")]),
    "a BOM before CRLF": (BOM + b"data: a\r\n\r\n", [said("a")]),
    "other line ends are text": ("data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(), [
        said("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"),
    ]),
    "invalid UTF-8 becomes U+FFFD": (b"event: \xff\nid: \xfe\ndata: \xe4\xbd a\xe4\ndata: \xf0\x9f\x98\n\n", [
        said("\ufffd a\ufffd\n\ufffd", event="\ufffd", id="\ufffd"),
    ]),
    "an encoded surrogate is invalid": (b"data: \xed\xa0\xbd\n\n", [said("\ufffd\ufffd\ufffd")]),
    "the unfinished event is discarded": (b"data: a\n\ndata: b\n", [said("a")]),
    "the unfinished line too": (b"data: a\n\ndata: b", [said("a")]),
    "nothing": (b"", []),
}  # fmt: skip

LINES = [
    b"data: one", b"data:two", b"data:", b"data", b"data:  three", b"event: ping", b"event: x", b"event", b"id: 7",
    b"id: \x00", b"id", b"retry: 5", b"retry: x", b": comment", b":", b"unknown: x",
    "data: 你好\u2028\U0001f600".encode(), b"data: \xe4\xbd", b"\xff", BOM, BOM + b"data: a", b"data: {}", b"da", b"",
]  # fmt: skip

STREAMS = st.one_of(
    st.lists(
        st.sampled_from(LINES).flatmap(lambda line: st.sampled_from([line + end for end in (b"\n", b"\r", b"\r\n")]))
    ).map(b"".join),
    st.lists(st.sampled_from([line + b"\n" for line in LINES] + [b"\n"])).map(b"".join),
    st.text(st.sampled_from("dat:e vni\n\r\0 5")).map(str.encode),
    st.binary(max_size=40),
)
"""Streams of plausible lines under any line ends, of GLM's line ends, of the letters of fields, and of any bytes."""


def decode(pieces: Iterable[bytes]) -> list[Message]:
    """What the decoder gives for pieces."""
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    decoder.close()
    return [Message(event.event, event.data, event.id, event.retry) for event in events]


def payloads(pieces: Iterable[bytes], limit: int = 1 << 20) -> tuple[list[bytes], bool]:
    """What the payload reader gives for pieces, and whether an event was too large for it."""
    reader = PayloadReader(limit)
    got: list[bytes] = []
    try:
        for piece in pieces:
            for payload in reader.feed(piece):
                got.append(payload)
    except StreamCorrupted:
        return got, True
    return got, False


def events(pieces: Iterable[bytes], limit: int) -> tuple[list[bytes], bool]:
    """The same for the decoder, whose error holds the events that came before it in the same piece."""
    decoder = SSEDecoder(limit)
    got: list[ServerSentEvent] = []
    try:
        for piece in pieces:
            got += decoder.feed(piece)
    except StreamCorrupted as error:
        return [event.data.encode() for event in [*got, *error.partial]], True
    return [event.data.encode() for event in got], False


def wanted(stream: bytes) -> list[str]:
    """The data of the standard's events, without those named ping and those of empty data."""
    return [event.data for event in messages(stream) if event.data and event.event != "ping"]


@pytest.mark.parametrize(("stream", "expected"), EVENTS.values(), ids=EVENTS)
def test_rules_of_the_standard(stream: bytes, expected: list[Message]) -> None:
    """Each rule holds for the stream whole, byte by byte and in two pieces cut anywhere; and the reference agrees."""
    assert messages(stream) == expected
    assert decode([stream]) == expected
    assert decode(by_byte(stream)) == expected
    for pieces in at_every_split(stream):
        assert decode(pieces) == expected


@examples(600)
@given(STREAMS, cuts)
@example(b"data: a\r", [7])
@example(BOM + b"\n", [1, 2])
def test_decoder_agrees_with_the_standard(stream: bytes, positions: list[int]) -> None:
    """At any cuts the decoder gives what the standard's algorithm gives for the whole."""
    assert decode([stream]) == decode(cut(stream, positions)) == decode(by_byte(stream)) == messages(stream)


@pytest.mark.parametrize("stream", [stream for stream, _ in EVENTS.values()], ids=EVENTS)
def test_payloads_of_the_rules(stream: bytes) -> None:
    """The payload reader gives the data of the same events at every split, without ping and empty data."""
    expected = wanted(stream)
    for pieces in [(stream,), by_byte(stream), *at_every_split(stream)]:
        got, too_large = payloads(pieces)
        assert [payload.decode("utf-8", "replace") for payload in got] == expected
        assert not too_large


@examples(600)
@given(STREAMS, cuts)
def test_payloads_agree_with_the_standard(stream: bytes, positions: list[int]) -> None:
    """At any cuts the payload reader gives the standard's data, without ping and empty data."""
    for pieces in ([stream], cut(stream, positions), by_byte(stream)):
        assert [payload.decode("utf-8", "replace") for payload in payloads(pieces)[0]] == wanted(stream)


def test_retry_of_any_length() -> None:
    """A retry of more digits than Python reads in one number is left aside."""
    decoder = SSEDecoder()
    assert decoder.feed(b"retry: " + b"9" * 100_000 + b"\ndata: a\n\n") == [ServerSentEvent(data="a")]


PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def test_pings_are_left_out() -> None:
    """Events named ping give no payload, those around them do; the decoder still gives all."""
    stream = b"data: a\n\n" + PING + b"data: b\n\n"
    assert payloads([stream])[0] == [b"a", b"b"]
    assert [event.event for event in decode([stream])] == ["message", "ping", "message"]


RESTS: list[tuple[bytes, bytes, bytes]] = [
    (b"", b"", b""),
    (b"data: a\n\n", b"", b""),
    (b"data: a\n", b"a", b""),
    (b"data: a", b"a", b""),
    (b"data:a", b"a", b""),
    (b"data: a\r", b"a", b""),
    (b"data: a\r\ndata: b", b"a\nb", b""),
    (b"data: x\n\ndata: a\ndata: b", b"a\nb", b""),
    (b"\ndata: a", b"a", b""),
    (BOM + b"data: a", b"a", b""),
    (b"data: a\ndata:\n", b"a\n", b""),
    (b"data:\n", b"", b""),
    (b"data: ", b"", b"data: "),
    (b"data", b"", b"data"),
    (b"dat", b"", b"dat"),
    (b"datax: 1", b"", b"datax: 1"),
    (b"data: a\nevent: pi", b"", b"event: pi"),
    (b"data: a\n: keep-al", b"a", b""),
    (b": keep-al", b"", b""),
    (b"event: ping\ndata: {}", b"", b""),
    (b"event: ping\ndata: {}\n", b"", b""),
    (b"[DONE]", b"", b"[DONE]"),
]


@pytest.mark.parametrize(("stream", "payload", "torn"), RESTS)
def test_what_is_left_at_the_end(stream: bytes, payload: bytes, torn: bytes) -> None:
    """At the end the data of an event without its blank line can be had, and a torn line of another kind."""
    for pieces in [(stream,), by_byte(stream), *at_every_split(stream)]:
        reader = PayloadReader()
        for piece in pieces:
            list(reader.feed(piece))
        assert reader.rest() == (payload, torn)


def test_close_discards_the_unfinished_event() -> None:
    """After close() a decoder starts anew: no unfinished event, no id and no half line end is left."""
    decoder = SSEDecoder()
    assert decoder.feed(b"id: 7\r\ndata: a\r") == []
    decoder.close()
    assert decoder.feed(b"\ndata: b\n\n") == [ServerSentEvent(data="b")]


TOO_LARGE: list[tuple[bytes, list[bytes]]] = [
    (b"data: 0123456789\n\n", []),
    (b"data: 0123456789", []),
    (b"data: a\n\ndata: b\n\ndata: 0123456789\n\ndata: c\n\n", [b"a", b"b"]),
    (b"data: a\n\ndata: 012\ndata: 456\n\ndata: c\n\n", [b"a"]),
    (b"data: a\r\n\r\ndata: 0123456789\r\n\r\n", [b"a"]),
    (b": 0123456789012\n\n", []),
    (b"data: a\n\ndata:1\ndata:2\ndata:3\n\n", [b"a"]),
    (b"data: a\n\n0123456789012", [b"a"]),
]
SMALL_ENOUGH: list[tuple[bytes, list[bytes]]] = [
    (b"data: 012345\n\n" * 5, [b"012345"] * 5),
    (b"data:1\ndata:2\n\n" * 5, [b"1\n2"] * 5),
    (b": 1234567\n" * 9 + b"data: 012345\n\n", [b"012345"]),
    (b": 1234567\r\n" * 9 + b"data: 012345\r\n\r\n", [b"012345"]),
    (b"\n" * 40 + b"data: 012345\n\n", [b"012345"]),
    (BOM + b"data: 012345\n\n", [b"012345"]),
]


@pytest.mark.parametrize(("stream", "before"), TOO_LARGE)
def test_event_over_the_limit(stream: bytes, before: list[bytes]) -> None:
    """With a limit of 12 bytes, an event over it is StreamCorrupted, after the events before it, at every split."""
    for pieces in [(stream,), by_byte(stream), *at_every_split(stream)]:
        assert payloads(pieces, limit=12) == (before, True)
        assert events(pieces, limit=12) == (before, True)


@pytest.mark.parametrize(("stream", "expected"), SMALL_ENOUGH)
def test_event_within_the_limit(stream: bytes, expected: list[bytes]) -> None:
    """Events of up to 12 bytes pass a limit of 12, however many, with comments between them, at every split."""
    for pieces in [(stream,), by_byte(stream), *at_every_split(stream)]:
        assert payloads(pieces, limit=12) == (expected, False)
        assert events(pieces, limit=12) == (expected, False)


@examples(300)
@given(STREAMS, cuts, st.integers(1, 30))
def test_limit_does_not_depend_on_cuts(stream: bytes, positions: list[int], limit: int) -> None:
    """What comes before an event over the limit, and whether there is one, is the same at any cuts."""
    assert payloads([stream], limit) == payloads(cut(stream, positions), limit) == payloads(by_byte(stream), limit)


def test_raw_piece_of_an_event_over_the_limit() -> None:
    """The error keeps at most 4 KiB of the line that was too long."""
    with pytest.raises(StreamCorrupted) as caught:
        SSEDecoder(limit=5000).feed(b"data: " + b"x" * 6000)
    assert caught.value.raw == "data: " + "x" * 4090


def bytes_allocated(door: SSEDecoder | PayloadReader, pieces: Iterable[bytes]) -> int:
    """The sum of what each feed allocates at most beside what was there before it."""
    total = 0
    tracemalloc.start()
    try:
        for piece in pieces:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            list(door.feed(piece))
            total += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return total


@pytest.mark.parametrize("door", [SSEDecoder, PayloadReader])
@pytest.mark.parametrize("start", [b"data: ", b"data: a\r\n\r\ndata: ", b": "], ids=["data", "after CRLF", "comment"])
def test_a_line_in_many_pieces_is_linear(door: type[SSEDecoder | PayloadReader], start: bytes) -> None:
    """A line of 2 MB in 1,000 pieces makes the decoder allocate some times its size, not a thousand times."""
    piece = b"x" * 2000
    size = 1000 * len(piece)
    assert bytes_allocated(door(), [start, *[piece] * 1000, b"\n\n"]) < 8 * size


@pytest.mark.parametrize("door", [SSEDecoder, PayloadReader])
def test_many_events_in_one_piece_are_linear(door: type[SSEDecoder | PayloadReader]) -> None:
    """A block of 20,000 events is not copied for each of them."""
    block = b"data: 0123456789\n\n" * 20_000
    assert bytes_allocated(door(), [block]) < 40 * len(block)


@pytest.mark.parametrize("door", [SSEDecoder, PayloadReader])
def test_what_is_held_is_bounded(door: type[SSEDecoder | PayloadReader]) -> None:
    """After 1 MB of events and comments, these without blank lines, less than 50 KB are held."""
    reader = door(limit=32 * 1024)
    tracemalloc.start()
    try:
        for _ in range(20):
            list(reader.feed(b"data: 0123456789\n\n" * 1000))
            list(reader.feed(b": keep-alive\n" * 3000))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 50_000
