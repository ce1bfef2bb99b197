"""Heads, bodies and redirects: what servers send, and what of it is taken."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import pytest

from tests.servers import COMPLETION, DONE, LAST, STREAM_HEAD, Conversation, block, byte_server, chunk
from zhipu_async import APIError, AsyncZhipuAI, ConnectionLost, Limits, ResponseTooLarge, TransportError

Ask = Callable[..., dict[str, Any]]


async def test_headers_are_accepted_up_to_the_limits(ask: Ask) -> None:
    """A line of 60 KiB and 200 headers pass; a longer line, or more than 256 headers, is our error."""
    sizes = [60 * 1024, 200]

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            many = [f"X-Header-{number}: {number}" for number in range(sizes[1])]
            await talk.answer(COMPLETION, "X-Large: " + "x" * sizes[0], *many)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        reply = await client.chat.completions.create(**ask())
        assert len(reply.response_headers["x-large"]) == 60 * 1024
        sizes[0] = 70 * 1024
        with pytest.raises(ResponseTooLarge):
            await client.chat.completions.create(**ask())
        sizes[:] = [10, 300]
        with pytest.raises(ResponseTooLarge):
            await client.chat.completions.create(**ask())


async def test_bodies_are_bounded_after_decompression(ask: Ask) -> None:
    """A small gzip body that unfolds to more than the limit is refused."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip")

    limits = Limits(body=1_000_000)
    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, limits=limits) as client:
        with pytest.raises(ResponseTooLarge):
            await client.chat.completions.create(**ask())
        assert len(server.requests) == 1
        assert client.pool.statistics().in_use == 0


@pytest.mark.parametrize("kept", [-1, -4, -8, -20, 15], ids=str)
async def test_a_gzip_body_that_is_cut_is_an_error(ask: Ask, kept: int) -> None:
    """Whatever is missing of the compressed body, even only its checksum, is noticed although the framing is whole."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(gzip.compress(COMPLETION)[:kept], "Content-Encoding: gzip")

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        with pytest.raises(ConnectionLost):
            await client.chat.completions.create(**ask())


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "two members", "br"])
async def test_compressed_answers_and_streams_are_read(ask: Ask, encoding: str) -> None:
    """What Accept-Encoding offers is undone, for whole answers and for streams in small pieces."""
    import zlib

    def raw_deflate(data: bytes) -> bytes:
        compressor = zlib.compressobj(wbits=-15)
        return compressor.compress(data) + compressor.flush()

    def brotli(data: bytes) -> bytes:
        return bytes(pytest.importorskip("brotli", reason="Brotli is not installed").compress(data))

    compress = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "raw deflate": raw_deflate,
        "two members": lambda data: gzip.compress(data[:40]) + gzip.compress(data[40:]),
        "br": brotli,
    }[encoding]
    name = {"raw deflate": "deflate", "two members": "gzip"}.get(encoding, encoding)
    compress(b"")

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if b'"stream":true' in request:
                data = compress(chunk("Hel") + chunk("lo", "stop") + DONE)
                await talk.send(STREAM_HEAD.replace(b"\r\n\r\n", f"\r\nContent-Encoding: {name}\r\n\r\n".encode()))
                for start in range(0, len(data), 7):
                    await talk.send(block(data[start : start + 7]))
                    await asyncio.sleep(0)
                await talk.send(LAST)
            else:
                await talk.answer(compress(COMPLETION), f"Content-Encoding: {name}")

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        assert (await client.chat.completions.create(**ask())).text == "Hi"
        stream = await client.chat.completions.create(**ask(stream=True))
        assert (await stream.until_done()).text == "Hello"
        offered = next(line for line in server.requests[0].split(b"\r\n") if line.startswith(b"Accept-Encoding"))
        assert b"gzip, deflate" in offered


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: lzma\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200",
        b"\0\xff",
    ],
    ids=repr,
)
async def test_what_is_no_http_is_our_error(ask: Ask, answer: bytes) -> None:
    """Whatever a server sends, the caller sees an error of ours and the pool is whole."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(answer)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        with pytest.raises(TransportError):
            await client.chat.completions.create(**ask())
        assert client.pool.statistics().in_use == 0


async def test_interim_answers_and_answers_without_a_body(ask: Ask) -> None:
    """1xx answers are passed over; HEAD and 204 have no body; the connection serves on."""

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if request.startswith(b"HEAD"):
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            elif request.startswith(b"DELETE"):
                await talk.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                await talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
                await talk.answer(COMPLETION)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        for _ in range(2):
            assert (await client.chat.completions.create(**ask())).text == "Hi"
            assert (await client.request("HEAD", "/x")).body == b""
            assert (await client.request("DELETE", "/x", repeatable=True)).status == 204
        assert server.opened == 1


async def test_redirects_stay_on_their_origin(ask: Ask) -> None:
    """A redirect to the same host is followed with the body; one to another host is an error and gets no key."""

    async def elsewhere(talk: Conversation) -> None:
        await talk.request()

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if b"/moved/" in request.split(b"\r\n")[0]:
                await talk.answer(COMPLETION)
            else:
                location = "/moved/chat/completions" if len(server.requests) == 1 else other.url
                await talk.answer(b"", f"Location: {location}", status="307 Temporary Redirect")

    async with (
        byte_server(elsewhere) as other,
        byte_server(handler) as server,
        AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client,
    ):
        assert (await client.chat.completions.create(**ask())).text == "Hi"
        assert server.requests[0].split(b"\r\n\r\n")[1] == server.requests[1].split(b"\r\n\r\n")[1]
        with pytest.raises(Exception, match="redirect"):
            await client.chat.completions.create(**ask())
        assert other.requests == []


async def test_an_early_answer_to_a_large_request_is_heard(ask: Ask) -> None:
    """A server that answers before it has read the request, and closes, is understood when its answer arrived."""

    async def handler(talk: Conversation) -> None:
        await talk.reader.readuntil(b"\r\n\r\n")
        await talk.answer(b'{"error":{"code":"1210","message":"too large"}}', "Connection: close", status="413 Large")
        await asyncio.sleep(0.2)

    content = [{"role": "user", "content": "x" * 200_000}]
    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        with pytest.raises(Exception, match="too large"):
            await client.chat.completions.create(model="glm-4.6", messages=content)
        assert client.pool.statistics().idle == 0


@pytest.mark.parametrize("location", ["http://[", "//", "/\u0416 a", "http://127.0.0.1:99999/", "#here", ""])
async def test_a_redirect_to_rubbish_is_an_error_of_ours(location: str) -> None:
    """Whatever Location says: an error of the service, nothing in use, and no request line that is none."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.send(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode())

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        with pytest.raises(APIError, match="HTTP 302"):
            await client.request("GET", "models")
        assert client.pool.statistics().in_use == 0
        assert len(server.requests) <= 4
        assert all(len(request.split(b"\r\n")[0].split(b" ")) == 3 for request in server.requests)
