"""Reading with less work: what is not documented gives what the public way gives, and is used where it is known."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from tests.conftest import Serve
from zhipu_async.transport.answer_headers import AnswerHeaders
from zhipu_async.transport.reading import AT_ONCE, read_less, readany


class PublicReader:
    """A reader whose insides are others."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self.asked = 0

    async def readany(self) -> bytes:
        self.asked += 1
        return await self._reader.readany()


def reader_of(pieces: list[bytes], *, ended: bool = True) -> StreamReader:
    """A reader to which these pieces have come, each as a chunk of HTTP."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = asyncio.Transport()
    reader = StreamReader(protocol, 2**16, loop=loop)
    for piece in pieces:
        reader.begin_http_chunk_receiving()
        reader.feed_data(piece)
        reader.end_http_chunk_receiving()
    if ended:
        reader.feed_eof()
    return reader


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30))
@settings(deadline=None, max_examples=50)
def test_pieces_are_joined_as_the_public_way_does(pieces: list[bytes]) -> None:
    """All that has come is given at once, in order, then b"" for ever; so it is where the insides are not known."""

    async def main() -> None:
        reader, other = reader_of(pieces), PublicReader(reader_of(pieces))
        assert await readany(reader) == await readany(other) == b"".join(pieces)  # type: ignore[arg-type]
        assert await readany(reader) == await readany(other) == b""  # type: ignore[arg-type]
        assert other.asked == 2
        assert reader.at_eof()

    asyncio.run(main())


async def test_a_wait_ends_with_the_first_bytes_or_the_error() -> None:
    """Nothing has come: the wait ends with what comes next, be it bytes, the end, or an error, also one set before."""
    reader = reader_of([], ended=False)
    waiting = asyncio.create_task(readany(reader))
    await asyncio.sleep(0)
    assert not waiting.done()
    reader.feed_data(b"late")
    assert await waiting == b"late"
    waiting = asyncio.create_task(readany(reader))
    await asyncio.sleep(0)
    reader.set_exception(OSError("broken"))
    for attempt in (waiting, readany(reader)):
        with pytest.raises(OSError, match="broken"):
            await attempt


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
