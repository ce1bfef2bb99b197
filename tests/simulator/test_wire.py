"""How answers travel: delays, cuts, breaks, lies."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.simulator import DONE, Delivery, Frames, HangUp, Json, Raw, Reply, Scenario, SeenRequest
from zhipu_async.simulator.wire import _broken_off, _cut

from .asking import HELLO, Asker, simulated

HI = Reply(pieces=["H", "i"])


async def reads(ask: Asker, **fields: Any) -> tuple[list[bytes], str]:
    """What single reads of a stream give, and the name of the error that ends it."""
    headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
    got: list[bytes] = []
    try:
        async with ask.session.post(
            f"{ask.sim.base_url}/chat/completions", json=HELLO | {"stream": True} | fields, headers=headers
        ) as response:
            while data := await response.content.readany():
                got.append(data)
    except aiohttp.ClientError as error:
        return got, type(error).__name__
    return got, ""


async def test_a_stream_leaves_in_http_chunks() -> None:
    """Each event of an undelayed stream is an HTTP chunk of its own."""
    async with simulated(Scenario(replies=[HI])) as ask:
        url = f"{ask.sim.base_url}/chat/completions"
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        async with ask.session.post(url, json=HELLO | {"stream": True}, headers=headers) as response:
            chunks = [(await response.content.readchunk())[0] for _ in range(4)]
        assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)


async def test_delays() -> None:
    """The head, the body and each event can be delayed."""
    delivery = Delivery(head_after=0.04, body_after=0.04, pause=0.02)
    async with simulated(Scenario(replies=[Reply("Hi", delivery=delivery)])) as ask:
        started = time.monotonic()
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        url = f"{ask.sim.base_url}/chat/completions"
        async with ask.session.post(url, json=HELLO | {"stream": True}, headers=headers) as response:
            head = time.monotonic() - started
            await response.content.readany()
            body = time.monotonic() - started
            await response.read()
            end = time.monotonic() - started
        assert 0.04 <= head < body < end < 1
        assert body >= 0.08
        assert end >= 0.12


async def test_cuts() -> None:
    """A body is written in the pieces that the cuts make, inside of characters and across events."""
    cut = Frames(["你好", "b", DONE], delivery=Delivery(cuts_at=[7, 8, 25, 1000]))
    async with simulated(Scenario(replies=[cut])) as ask:
        got, error = await reads(ask)
        assert got == [b"data: \xe4", b"\xbd", b"\xa0\xe5\xa5\xbd\n\ndata: b\n\nda", b"ta: [DONE]\n\n"]
        assert error == ""


async def test_cut_after_every_byte() -> None:
    """A stream torn after every byte still adds up to itself."""
    replies = [HI, Reply(pieces=["H", "i"], delivery=Delivery(cuts_at=range(1, 5000)))]
    async with simulated(Scenario(replies=replies, seed=5), clock=lambda: 1.0) as ask:
        whole, _ = await reads(ask)
        torn, _ = await reads(ask)
        size = len(b"".join(torn))
        assert size == len(b"".join(whole))
        assert len(torn) > size // 4


@given(st.binary(min_size=1), st.lists(st.integers(-5, 100)), st.integers(0, 100))
def test_cutting_loses_nothing(body: bytes, offsets: list[int], stop: int) -> None:
    """Cuts at any offsets leave the bytes as they are, and a break leaves the first of them."""
    writes = _cut(body, offsets)
    assert b"".join(writes) == body
    assert b"".join(_broken_off(writes, Delivery(stops_at=stop))) == body[:stop]


@pytest.mark.parametrize("then", ["reset", "close"])
@pytest.mark.parametrize(("offset", "expected"), [(0, b""), (3, b"dat"), (12, b"data: a\n\ndat")])
async def test_body_breaks_off_at_an_offset(then: Any, offset: int, expected: bytes) -> None:
    """The body ends at the offset and the connection with it, by RST or FIN."""
    frames = Frames(["a", "b", DONE], delivery=Delivery(stops_at=offset, then=then))
    async with simulated(Scenario(replies=[frames])) as ask:
        got, error = await reads(ask)
        assert b"".join(got) == expected
        assert error == "ClientPayloadError"
        await ask.sim.wait_until(lambda: ask.sim.connections.open == 0, timeout=2)


async def test_body_breaks_off_after_some_events() -> None:
    """The body ends after so many events."""
    frames = Frames(["a", "b", DONE], delivery=Delivery(stops_after=2))
    async with simulated(Scenario(replies=[frames])) as ask:
        got, error = await reads(ask)
        assert b"".join(got) == b"data: a\n\ndata: b\n\n"
        assert error == "ClientPayloadError"


async def test_plain_answer_breaks_off() -> None:
    """A plain answer with a Content-Length breaks off too."""
    async with simulated(Scenario(replies=[Json({"a": 1}, delivery=Delivery(stops_at=4, then="close"))])) as ask:
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask.hello()


async def test_reset_and_end_differ() -> None:
    """A reset raises ConnectionResetError at a plain reader, a clean end is an end of file."""

    async def read(ask: Asker) -> bytes:
        host, port = ask.sim.origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/paas/v4/models HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            return await reader.read()
        finally:
            writer.close()

    deliveries = [Delivery(stops_at=1, then="close"), Delivery(stops_at=1, then="reset")]
    replies = [Raw(b"abc", delivery=delivery) for delivery in deliveries]
    async with simulated(Scenario(replies=[*replies, HangUp(), HangUp(reset=True)], checks=False)) as ask:
        assert (await read(ask)).endswith(b"\r\n\r\na")
        with pytest.raises(ConnectionResetError):
            await read(ask)
        assert await read(ask) == b""
        with pytest.raises(ConnectionResetError):
            await read(ask)


async def test_silence() -> None:
    """A stream may fall silent; the simulator sees when the client leaves."""
    frames = Frames(["a", "b"], delivery=Delivery(stops_after=1, then="hang"))
    async with simulated(Scenario(replies=[frames])) as ask:
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        url = f"{ask.sim.base_url}/chat/completions"
        async with ask.session.post(url, json=HELLO | {"stream": True}, headers=headers) as response:
            assert await response.content.readany() == b"data: a\n\n"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await response.content.readany()
            assert not ask.sim.requests[0].closed_by_peer
            response.close()
            await ask.sim.wait_until(lambda: ask.sim.requests[0].closed_by_peer, timeout=2)
        assert ask.sim.connections.open == 0
        assert ask.sim.requests[0].ended_at is not None


async def test_lingering_after_done() -> None:
    """After `[DONE]` the body may stay open for a while."""
    async with simulated(Scenario(replies=[Frames([DONE], delivery=Delivery(lingers=0.1))])) as ask:
        started = time.monotonic()
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        url = f"{ask.sim.base_url}/chat/completions"
        async with ask.session.post(url, json=HELLO | {"stream": True}, headers=headers) as response:
            assert await response.content.readany() == DONE
            assert time.monotonic() - started < 0.1
            assert await response.content.readany() == b""
            assert time.monotonic() - started >= 0.1


@pytest.mark.parametrize("answer", [HangUp(), HangUp(reset=True), HangUp(before_reading=True)])
async def test_hang_up(answer: HangUp) -> None:
    """The connection is closed in the place of an answer, after the request was read or before."""
    async with simulated(Scenario(replies=[answer])) as ask:
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            await ask.hello()
        (seen,) = ask.sim.requests
        assert seen.status is None
        assert (seen.raw == b"") is answer.before_reading
        assert (await ask.hello()).status == 200
        assert ask.sim.connections.opened == 2


async def test_gzip() -> None:
    """Answers can be compressed, streams too, event by event."""
    delivery = Delivery(gzip=True)
    replies = [Reply("Hi", delivery=delivery), Frames(["a", DONE], delivery=Delivery(gzip=True, pause=0.01))]
    async with simulated(Scenario(replies=replies)) as ask:
        answered = await ask.hello()
        assert answered.headers["content-encoding"] == "gzip"
        assert answered.message["content"] == "Hi"
        got, _ = await reads(ask)
        assert got == [b"data: a\n\n", DONE]


async def test_cut_gzip() -> None:
    """A compressed body can break off inside."""
    async with simulated(Scenario(replies=[Reply("Hi", delivery=Delivery(gzip=True, stops_at=20))])) as ask:
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask.hello()


async def test_raw_gzip() -> None:
    """A raw body is sent as it is under any headers."""
    raw = Raw(gzip.compress(b"hello"), 503, headers={"Content-Encoding": "gzip"}, content_type="text/plain")
    async with simulated(Scenario(replies=[raw])) as ask:
        answered = await ask.hello()
        assert (answered.status, answered.body) == (503, b"hello")


@pytest.mark.parametrize("length", ["9999", "3"])
async def test_wrong_content_length(length: str) -> None:
    """A Content-Length may lie; the connection is closed afterwards."""
    async with simulated(Scenario(replies=[Json([1, 2, 3], headers={"Content-Length": length})])) as ask:
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientResponseError)):
            await ask.hello()
        await ask.sim.wait_until(lambda: ask.sim.connections.open == 0, timeout=2)


async def test_huge_headers() -> None:
    """Headers may be as large as one likes."""
    async with simulated(Scenario(replies=[Reply("Hi", headers={"x-large": "x" * 50_000})])) as ask:
        with pytest.raises(aiohttp.ClientResponseError):
            await ask.hello()


async def test_frames_are_exact() -> None:
    """Bytes go as they are, texts and mappings become events, and empty blocks are left out."""
    blocks: Sequence[Any] = [b"data:x\r", b"", {"id": "1"}, "y", b": ping\n\n", DONE]
    async with simulated(Scenario(replies=[Frames(blocks)])) as ask:
        got, error = await reads(ask)
        assert got == [b"data:x\r", b'data: {"id":"1"}\n\n', b"data: y\n\n", b": ping\n\n", DONE]
        assert error == ""


async def test_large_answer() -> None:
    """Ten megabytes arrive whole, plain and as a stream."""
    text = "x" * 10_000_000
    async with simulated(Scenario(replies=[Reply(text), Reply(text, pieces=1_000_000)])) as ask:
        assert (await ask.hello()).message["content"] == text
        deltas = (await ask.hello(stream=True)).deltas
        assert "".join(delta["content"] for delta in deltas) == text


async def test_slow_reader_that_leaves() -> None:
    """A client that leaves in the middle of a large answer is noticed, and no error is logged."""
    text = "x" * 20_000_000
    async with simulated(Scenario(replies=[Reply(text)])) as ask:
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        async with ask.session.post(f"{ask.sim.base_url}/chat/completions", json=HELLO, headers=headers) as response:
            await response.content.readany()
            assert ask.sim.in_flight == 1
            response.close()
        await ask.sim.wait_until(lambda: ask.sim.requests[0].closed_by_peer, timeout=2)


async def test_a_function_that_fails_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """A scenario's function that raises is answered with HTTP 500, and the log says why."""

    def fail(request: SeenRequest) -> None:
        raise LookupError("no answer")

    async with simulated(Scenario(replies=fail)) as ask:
        assert (await ask.hello()).status == 500
    assert "no answer" in caplog.text
