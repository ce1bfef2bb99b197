"""Streams of events that are meant to fill the memory, or to be waited for for ever."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from pathlib import Path

import pytest

from tests.hostile.peer import MESSAGES, SHORT, Attack, hostile_peer, is_whole, outcomes
from tests.servers import DONE, LAST, STREAM_HEAD, block, chunk
from zhipu_async import ChatCompletion, Limits, RequestTimeout, ResponseTooLarge, StreamCorrupted, StreamTruncated
from zhipu_async.protocol.chunks import CHAT, ChunkReader
from zhipu_async.transport import encoding

pytestmark = pytest.mark.heavy

CALLS = b"".join(
    b'data: {"choices":[{"index":%d,"delta":{"tool_calls":[{"index":%d,"function":{"name":"x"}}]}}]}\n\n' % (n, n)
    for n in range(100)
)

REFUSED: dict[str, tuple[bytes, bytes, type[Exception]]] = {
    "a line without end": (b"data: ", b"x" * 5000, StreamCorrupted),
    "an event without end": (b"", b"data: x\n" * 500, StreamCorrupted),
    "an id without end": (b"id: ", b"x" * 5000, StreamCorrupted),
    "empty lines": (b"", b"\n" * 5000, ResponseTooLarge),
    "carriage returns": (b"", b"\r" * 5000, ResponseTooLarge),
    "comments": (b"", b": x\n\n" * 1000, ResponseTooLarge),
    "comments without a blank line": (b"\r\n", b": x\n" * 1000, ResponseTooLarge),
    "unknown fields": (b"\r\n", b"id: " + b"x" * 9000 + b"\nfoo: x\n", ResponseTooLarge),
    "pings": (b"", b"event: ping\ndata: {}\n\n" * 200, ResponseTooLarge),
    "chunks that say nothing": (b"", b'data: {"id":"1","choices":[]}\n\n' * 50, ResponseTooLarge),
    "content without end": (b"", chunk("evil " * 10) * 10, ResponseTooLarge),
    "tool calls without end": (b"", CALLS, ResponseTooLarge),
    "what is no UTF-8": (b"", b"data: \xff\xfe\n\n", StreamCorrupted),
    "what is no JSON": (b"", b"data: <html>\n\n", StreamCorrupted),
    "nested for ever": (b"", b"data: " + b'{"choices":[' * 3000 + b"\n\n", StreamCorrupted),
    "a second answer inside": (chunk("a"), chunk("b", identity="\\u001b[2J") * 2, Exception),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_a_stream_without_end_is_refused(name: str, packed: bool, tmp_path: Path) -> None:
    """An event larger than ``Limits.event`` is corrupt, more than ``Limits.stream`` too large; no clock fires."""
    first, again, kind = REFUSED[name]
    head = STREAM_HEAD
    if packed:
        head = head.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
        first, again = gzip.compress(first), gzip.compress(again * 5)
    attack = Attack(head + block(first) if first else head, again=block(again))
    error = (await outcomes(attack, tmp_path, "stream"))["stream"]
    assert isinstance(error, kind)
    assert not isinstance(error, RequestTimeout)


async def test_blank_lines_by_the_million_hold_nobody_up() -> None:
    """A few compressed bytes stand for very much: the loop has its turn between the blocks that come of them."""
    packed = gzip.compress(b"\n" * 5_000_000 + chunk("Hi", "stop") + DONE)
    attack = Attack(STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + block(packed) + LAST)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with hostile_peer(attack, limits=Limits()) as (client, peer):
        task = asyncio.create_task(others())
        stream = await client.chat.completions.create(model="glm-4.6", messages=MESSAGES, stream=True)
        assert (await stream.until_done()).text == "Hi"
        task.cancel()
        assert turns > 5_000_000 / encoding.STEP
        await is_whole(client, peer)


async def test_what_came_before_the_bound_is_kept() -> None:
    """The text up to ``Limits.stream`` stands in ``result``, which is not complete."""
    attack = Attack(STREAM_HEAD, again=block(chunk("evil")))
    async with hostile_peer(attack, limits=Limits(stream=10_000)) as (client, peer):
        stream = await client.chat.completions.create(model="glm-4.6", messages=MESSAGES, stream=True)
        with pytest.raises(ResponseTooLarge, match=r"Limits\.stream"):
            await stream.until_done()
        assert stream.result.text.startswith("evilevil")
        assert not stream.result.complete
        await is_whole(client, peer)


def test_a_stream_may_be_as_large_as_its_bound() -> None:
    """Not one byte more; None allows any size."""
    data = chunk("Hi", "stop") + DONE
    for whole, complete in ((len(data), True), (len(data) - 1, False), (None, True)):
        reader = ChunkReader(CHAT, whole=whole)
        for start in range(0, len(data), 7):
            reader.feed(data[start : start + 7])
        assert reader.complete is complete
        assert isinstance(reader.failure, ResponseTooLarge) is not complete


@pytest.mark.parametrize(
    ("first", "again", "every", "clock"),
    [
        (b"", b": x\n\n", 0.05, "first_token"),
        (chunk("a"), b":", 0.05, "stream_total"),
        (chunk("a"), b": x\n\n", 0.0, "stream_total"),
        (chunk("a"), chunk("evil"), 0.0, "stream_total"),
        (chunk("a"), b"", 0.0, "between"),
    ],
)
async def test_a_stream_that_is_never_silent_is_ended_by_its_deadline(
    first: bytes, again: bytes, every: float, clock: str, tmp_path: Path
) -> None:
    """However fast or slow bytes come: ``first_token`` before, ``stream_total`` after; ``between`` in silence."""
    attack = Attack(STREAM_HEAD + (block(first) if first else b""), block(again) if again else b"", every, closes=False)
    error = (await outcomes(attack, tmp_path, "stream", timeout=SHORT, limits=Limits(stream=None)))["stream"]
    assert isinstance(error, RequestTimeout)
    assert error.clock == clock


@pytest.mark.parametrize("every", [0.0, 0.02])
async def test_nothing_behind_done_matters(every: float, tmp_path: Path) -> None:
    """The answer is the user's at ``[DONE]``; what goes on behind it is left, and its connection closed."""
    attack = Attack(STREAM_HEAD + block(chunk("Hi", "stop") + DONE), again=block(b"evil" * 1000), every=every)
    answer = (await outcomes(attack, tmp_path, "stream"))["stream"]
    assert isinstance(answer, ChatCompletion)
    assert answer.text == "Hi"


@pytest.mark.parametrize("end", [b"", LAST, b"2\r\n"], ids=repr)
async def test_a_stream_that_breaks_off_is_truncated(end: bytes, tmp_path: Path) -> None:
    """With what had come before in ``partial``."""
    error = (await outcomes(Attack(STREAM_HEAD + block(chunk("Hi")) + end), tmp_path, "stream"))["stream"]
    assert isinstance(error, StreamTruncated)
    assert error.partial.text == "Hi"


@pytest.mark.parametrize("first", [b"", b"\r\n"], ids=["blocks", "lines"])
def test_an_event_in_tiny_pieces_costs_little_more_than_its_bytes(first: bytes) -> None:
    """30,000 pieces of two bytes: the reader holds the event, and not as many objects."""
    reader = ChunkReader(CHAT, limit=1_000_000)
    reader.feed(first + b"data: ")
    tracemalloc.start()
    try:
        for number in range(30_000):
            reader.feed(b"%02d" % (number % 100))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.failure is None
    assert 50_000 < held < 200_000
