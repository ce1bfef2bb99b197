"""Reading with less work: what is not documented gives what the public way gives, and is used where it is known."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from aiohttp import ClientPayloadError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from tests.conftest import Serve
from zhipu_async import RequestTimeout
from zhipu_async.transport import reading
from zhipu_async.transport.answer_headers import AnswerHeaders
from zhipu_async.transport.reading import AT_ONCE, _LeanReader, lean, read_less


def reader_of(pieces: list[bytes], *, lean_from: int | None = 0, ended: bool = True) -> StreamReader:
    """A reader to which these pieces have come, each as a chunk of HTTP; lean before the piece of this number."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = asyncio.Transport()
    reader = StreamReader(protocol, 2**16, loop=loop)
    for number, piece in enumerate([*pieces, b""]):
        if number == lean_from:
            lean(reader)
        if piece:
            feed(reader, piece)
    if ended:
        reader.feed_eof()
    return reader


def feed(reader: StreamReader, piece: bytes) -> None:
    """What aiohttp's parser does with one chunk of HTTP."""
    reader.begin_http_chunk_receiving()
    reader.feed_data(piece)
    reader.end_http_chunk_receiving()


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30), st.data())
@settings(deadline=None, max_examples=50)
def test_pieces_are_joined_as_the_public_way_does(pieces: list[bytes], data: st.DataObject) -> None:
    """All that has come is given at once, in order, then b"" for ever; so it is by a reader that was left alone."""
    lean_from = data.draw(st.integers(0, len(pieces)))

    async def main() -> None:
        reader, other = reader_of(pieces, lean_from=lean_from), reader_of(pieces, lean_from=None)
        assert (type(reader), type(other)) == (_LeanReader, StreamReader)
        assert await reader.readany() == await other.readany() == b"".join(pieces)
        assert await reader.readany() == await other.readany() == b""
        assert reader.at_eof()
        assert other.at_eof()

    asyncio.run(main())


async def test_a_wait_ends_with_the_first_bytes_or_the_error() -> None:
    """Nothing has come: the wait ends with what comes next, be it bytes, the end, or an error, also one set before."""
    reader = reader_of([], ended=False)
    waiting = asyncio.create_task(reader.readany())
    await asyncio.sleep(0)
    assert not waiting.done()
    feed(reader, b"late")
    assert await waiting == b"late"
    waiting = asyncio.create_task(reader.readany())
    await asyncio.sleep(0)
    reader.set_exception(OSError("broken"))
    for attempt in (waiting, reader.readany()):
        with pytest.raises(OSError, match="broken"):
            await attempt


class Pausing(BaseProtocol):
    """Notes whether it was told to read no more."""

    resumed = 0

    def pause_reading(self, *_: Any) -> None:
        self._reading_paused = True

    def resume_reading(self, *_: Any) -> None:
        self._reading_paused = False
        self.resumed += 1


async def test_what_came_before_a_wire_broke_is_read_first() -> None:
    """An error of the connection waits behind the bytes; one of ours, of a clock or a closed client, does not."""
    for error, first in ((ClientPayloadError("cut"), b"abc"), (RequestTimeout("late"), b"")):
        reader = reader_of([b"a", b"bc"], ended=False)
        reader.set_exception(error)
        if first:
            assert await reader.readany() == first
        with pytest.raises(type(error)):
            await reader.readany()


async def test_what_nobody_reads_stops_the_connection() -> None:
    """A lean reader takes as many bytes as aiohttp's own before the connection is paused, and reading resumes it."""
    protocol = Pausing(asyncio.get_running_loop())
    paused_after: list[int] = []
    for is_lean in (True, False):
        reader = StreamReader(protocol, 1000, loop=asyncio.get_running_loop())
        if is_lean:
            lean(reader)
        pieces = 0
        while not protocol._reading_paused:
            feed(reader, bytes(100))
            pieces += 1
        paused_after.append(pieces)
        assert await reader.readany() == bytes(100 * pieces)
        assert not protocol._reading_paused
    assert paused_after == [21, 21]


async def test_a_connection_that_was_not_paused_is_not_resumed() -> None:
    """Reading all that came tells the connection nothing."""
    protocol = Pausing(asyncio.get_running_loop())
    protocol.transport = asyncio.Transport()
    reader = StreamReader(protocol, 1000, loop=asyncio.get_running_loop())
    lean(reader)
    feed(reader, b"some")
    assert await reader.readany() == b"some"
    assert protocol.resumed == 0


async def test_only_one_task_waits_and_only_for_an_open_connection() -> None:
    """A second reader, and one whose connection is gone, get aiohttp's own error."""
    reader = reader_of([], ended=False)
    waiting = asyncio.create_task(reader.readany())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another coroutine is already waiting"):
        await reader.readany()
    feed(reader, b"late")
    assert await waiting == b"late"
    reader._protocol.transport = None
    with pytest.raises(RuntimeError, match="Connection closed"):
        await reader.readany()


async def test_other_readers_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of another class is left as it is, and so is aiohttp's where its insides are not known."""

    class Other(StreamReader):
        """Of someone else's making."""

    other = Other(BaseProtocol(asyncio.get_running_loop()), 2**16, loop=asyncio.get_running_loop())
    lean(other)
    assert type(other) is Other
    monkeypatch.setattr(reading, "_IS_KNOWN", False)
    assert type(reader_of([])) is StreamReader


async def test_a_stream_is_the_same_with_the_public_reader(
    serve: Serve, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream's chunks do not depend on whether aiohttp's insides are known."""
    texts: list[str] = []
    for known in (True, False):
        monkeypatch.setattr(reading, "_IS_KNOWN", known)
        client, _ = await serve()
        stream = await client.chat.completions.create(**ask(stream=True))
        texts.append("".join([text async for text in stream.text_deltas()]))
    assert texts[0]
    assert texts[0] == texts[1]


async def test_connections_read_less_at_a_time(serve: Serve, ask: Any) -> None:
    """A connection of the pool reads AT_ONCE bytes at a time where asyncio's own transport carries it."""
    client, _ = await serve()
    await client.chat.completions.create(**ask())
    pool: Any = next(iter(client.pool._loops.values()))  # type: ignore[union-attr]
    assert [connection.transport.max_size for connection in pool.connections] == [AT_ONCE]


def test_other_transports_are_left_alone() -> None:
    """A transport without such a number is not given one."""
    transport = asyncio.Transport()
    read_less(transport)
    read_less(None)
    assert not hasattr(transport, "max_size")


def test_headers_are_read_in_lower_case_the_last_of_a_name() -> None:
    """The headers of an answer are a mapping like a dict, and pickle as one."""
    came = CIMultiDict([("X-Log-Id", "a"), ("Vary", "first"), ("vary", "last")])
    headers = AnswerHeaders(came)
    assert headers == {"x-log-id": "a", "vary": "last"}
    assert (headers["vary"], headers.get("X-Log-Id"), len(headers), repr(headers)) == (
        "last",
        None,
        2,
        "{'x-log-id': 'a', 'vary': 'last'}",
    )
    copy = pickle.loads(pickle.dumps(headers))
    assert type(copy) is dict
    assert copy == headers
