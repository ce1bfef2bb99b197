"""What comes in the place of a file, and files of other hosts."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Conversation, byte_server
from tests.transport.sending import both_transports, client_of
from zhipu_async import (
    APIError,
    AsyncZhipuAI,
    AuthenticationError,
    ConfigError,
    ConnectionLost,
    DecodeError,
    Limits,
    NotFoundError,
    RateLimitError,
    RequestTimeout,
    ResponseTooLarge,
)

SPEECH: dict[str, Any] = {"model": "glm-tts", "input": "你好", "voice": "tongtong"}
LINES = b'{"custom_id":"request-1","error":{"code":"1234"}}\n{"custom_id":"request-2","response":{}}\n'


def answering(body: bytes, kind: str, status: str = "200 OK", *headers: str) -> Any:
    """A server that gives one answer to everything."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            lines = [f"HTTP/1.1 {status}", *([f"Content-Type: {kind}"] if kind else [])]
            await talk.send("\r\n".join([*lines, f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body)

    return handler


# ---------------------------------------------------------------- in the place of a file


REFUSALS = [
    (b'{"error":{"code":"1002","message":"token invalid"}}', "application/json", AuthenticationError),
    (b'{"error":{"code":"1302","message":"slow down"}}', "application/json; charset=UTF-8", RateLimitError),
    (b' {"error":{"code":"1302","message":"slow down"}}', "Application/JSON", RateLimitError),
    (b'{"code":500,"msg":"404 NOT_FOUND","success":false}', "application/json", NotFoundError),
    (b'{"error":{"code":"1302","message":"slow down"}}', "", RateLimitError),
]


@both_transports
@pytest.mark.parametrize(("body", "kind", "error"), REFUSALS, ids=str)
async def test_an_error_in_the_place_of_a_file_is_raised(
    transport: str, body: bytes, kind: str, error: type[APIError], tmp_path: Path
) -> None:
    """An envelope under HTTP 200 is the error that its code says, for sound and for files, in all three ways."""
    async with byte_server(answering(body, kind)) as server:
        async with client_of(server, transport, max_retries=0) as client:
            with pytest.raises(error):
                await client.audio.speech(**SPEECH)
            with pytest.raises(error):
                await client.files.content("1")
            with pytest.raises(error):
                await client.files.content.open("1")
            with pytest.raises(error):
                await client.files.content.to_file(tmp_path / "a", "1")
        assert os.listdir(tmp_path) == []
        assert len(server.requests) == 4


async def test_a_refusal_under_200_is_repeated_like_any_other() -> None:
    """A rate limit that came with status 200 in the place of sound costs an attempt, not the call."""
    refusal = b'{"error":{"code":"1302","message":"slow down"}}'

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            if len(server.requests) == 1:
                await talk.answer(refusal)
            else:
                await talk.answer(b"RIFF", kind="audio/wav")

    async with byte_server(handler) as server, client_of(server) as client:
        assert (await client.audio.speech(model="glm-tts", input="你好", voice="tongtong")).content == b"RIFF"
        assert len(server.requests) == 2


FILES = {
    "lines of a batch": LINES,
    "one line of a batch": LINES.partition(b"\n")[0],
    "one line, ended": LINES.partition(b"\n")[0] + b"\n",
    "many lines": LINES * 2000,
    "an array": b'[{"error":{"code":"1302"}}]',
    "an object": b'{"choices":[{}],"error":{}}',
    "half an object": b'{"error":{"code":"1302"',
    "nothing": b"",
}


@both_transports
@pytest.mark.parametrize("kind", ["application/json", "application/jsonl", "application/octet-stream", ""])
@pytest.mark.parametrize("content", FILES)
async def test_lines_of_json_are_a_file(transport: str, content: str, kind: str, tmp_path: Path) -> None:
    """The results of batches are JSON lines, with errors of single calls in them; they come as they are."""
    async with byte_server(answering(FILES[content], kind)) as server, client_of(server, transport) as client:
        assert (await client.files.content("1")).content == FILES[content]
        assert (await client.files.content.to_file(tmp_path / "a", "1")).read_bytes() == FILES[content]


@both_transports
@pytest.mark.parametrize("body", [b'{"id":"1","choices":[]}', b"[]", b"{}", b"no json"], ids=repr)
async def test_json_in_the_place_of_sound_is_an_error(transport: str, body: bytes) -> None:
    """Also without an envelope: nobody plays JSON."""
    async with byte_server(answering(body, "application/json")) as server, client_of(server, transport) as client:
        with pytest.raises(DecodeError, match="JSON") as caught:
            await client.audio.speech(**SPEECH)
        assert caught.value.body == body.decode()


async def test_sound_without_a_type_is_sound() -> None:
    """Only what says that it is JSON, or is an error, is refused."""
    async with byte_server(answering(b"RIFF....", "")) as server, client_of(server) as client:
        sound = await client.audio.speech(model="glm-tts", input="你好", voice="tongtong")
        assert (sound.content, sound.content_type) == (b"RIFF....", None)
        assert b'{"model":"glm-tts","input":"' in server.requests[0]


async def test_a_stream_of_sound_is_no_file() -> None:
    """open() and to_file() take no stream=True, before anything is sent."""
    async with byte_server(answering(b"RIFF", "audio/wav")) as server, client_of(server) as client:
        with pytest.raises(ConfigError, match="stream=True"):
            await client.audio.speech.open(**SPEECH, stream=True)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="stream=True"):
            await client.audio.speech.to_file("/nowhere/a", **SPEECH, stream=True)  # type: ignore[arg-type]
        assert server.opened == 0


@both_transports
async def test_what_is_kept_in_memory_is_bounded(transport: str, tmp_path: Path) -> None:
    """Limits.body holds for memory, after decompression; not for what is saved or taken piece by piece."""
    content = b" " * 3_000_000
    handler = answering(gzip.compress(content), "application/octet-stream", "200 OK", "Content-Encoding: gzip")
    limits = Limits(body=1_000_000)
    async with byte_server(handler) as server, client_of(server, transport, limits=limits) as client:
        with pytest.raises(ResponseTooLarge, match="1000000"):
            await client.files.content("1")
        assert len(server.requests) == 1
        assert (await client.files.content.to_file(tmp_path / "a", "1")).stat().st_size == 3_000_000
        async with await client.files.content.open("1") as download:
            assert sum([len(block) async for block in download]) == 3_000_000


async def test_a_number_as_timeout_holds_for_each_silence_too() -> None:
    """A file that is open and says nothing more is given up after as long as the caller was ready to wait."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 100\r\n\r\nRIFF")
        await talk.reader.read()

    async with byte_server(handler) as server, client_of(server) as client:
        for opening in (
            client.audio.speech.open(**SPEECH, timeout=0.2),
            client.files.content.open("1", timeout=0.2),
            client.download.open(server.url, timeout=0.2),
        ):
            async with asyncio.timeout(5), await opening as download:
                assert await anext(download) == b"RIFF"
                with pytest.raises(RequestTimeout) as caught:
                    await anext(download)
                assert caught.value.clock == "between"


@both_transports
async def test_a_part_that_nobody_asked_for_is_no_file(transport: str, tmp_path: Path) -> None:
    """HTTP 206 without a Range in the request is an answer that is cut short; with one it is what was asked for."""
    handler = answering(b"abc", "video/mp4", "206 Partial Content", "Content-Range: bytes 0-2/100")
    async with byte_server(handler) as server, client_of(server, transport, max_retries=0) as client:
        for part in (client.files.content("1"), client.download.to_file(tmp_path / "a", server.url)):
            with pytest.raises(ConnectionLost, match="206"):
                await part
        assert os.listdir(tmp_path) == []
        assert (await client.download(server.url, extra_headers={"Range": "bytes=0-2"})).content == b"abc"


# ---------------------------------------------------------------- other hosts


@both_transports
async def test_other_hosts_see_neither_key_nor_settings(transport: str, tmp_path: Path) -> None:
    """No Authorization, no headers and no query of the client's; only what the call itself adds."""
    async with (
        byte_server(answering(b"picture", "image/png")) as server,
        client_of(server, transport, default_headers={"X-Own": "secret"}, default_query={"tenant": "secret"}) as client,
    ):
        url = f"{server.url}/图 1.png?a=%2F&sign=x%3D#part"
        picture = await client.download(url, extra_headers={"X-Call": "1"}, extra_query={"more": "2"})
        assert (picture.content, picture.content_type) == (b"picture", "image/png")
        assert (await client.download.to_file(tmp_path / "a.png", url)).read_bytes() == b"picture"
        async with await client.download.open(url) as download:
            assert [block async for block in download] == [b"picture"]
    for request in server.requests:
        head = request.decode("ascii").lower()
        assert head.startswith("get /api/paas/v4/%e5%9b%be%201.png?a=%2f&sign=x%3d")
        assert "accept-encoding: identity\r\n" in head
        assert not [word for word in ("authorization", "secret", "tenant", "k.s", "content-type", "#") if word in head]
    assert b"&more=2 HTTP" in server.requests[0]
    assert b"X-Call: 1\r\n" in server.requests[0]


@both_transports
@pytest.mark.parametrize(
    "body", [b'{"error":{"code":"1302","message":"a file"}}', b'{"code":500,"success":false}'], ids=["error", "gateway"]
)
async def test_json_of_another_host_is_a_file(transport: str, body: bytes) -> None:
    """What looks like an error of the service's is none there."""
    async with byte_server(answering(body, "application/json")) as server, client_of(server, transport) as client:
        assert (await client.download(server.url)).content == body


async def test_a_refusal_of_another_host_is_an_error() -> None:
    """The status says what it is; the query, which may hold a signature, is not in the text."""
    body = b"<html><title>404 Not Found</title></html>"
    async with byte_server(answering(body, "text/html", "404 Not Found")) as server, client_of(server) as client:
        with pytest.raises(NotFoundError, match="404 Not Found") as caught:
            await client.download(f"{server.url}/a?sign=secret")
        assert "secret" not in str(caught.value)


@both_transports
async def test_redirects_of_a_download_are_followed_to_other_hosts(transport: str) -> None:
    """What goes without the key may go anywhere: to another port, as here, by any of the redirect statuses."""
    async with byte_server(answering(b"picture", "image/png")) as there:
        for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
            handler = answering(b"", "text/plain", status, f"Location: {there.url}/next?x=1")
            async with byte_server(handler) as here, client_of(here, transport) as client:
                assert (await client.download(here.url)).content == b"picture"
        assert len(there.requests) == 5
        assert all(request.startswith(b"GET /api/paas/v4/next?x=1 HTTP") for request in there.requests)


UNFIT = [
    "http://evil\\.com/",
    "http://127.0.0.1\\@evil/",
    "http://h:99999/",
    "http://h:x/",
    "http://u:p@127.0.0.1/",
    "http://:80/",
]
"""What one parser of URLs refuses, or takes for another host than the other one does."""


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://x/", "//", "http://[", "", *UNFIT]
)
async def test_redirects_to_what_is_no_web_address_are_refused(location: str) -> None:
    """The redirect itself is then the error."""
    handler = answering(b"", "text/plain", "302 Found", f"Location: {location}")
    async with byte_server(handler) as server, client_of(server) as client:
        with pytest.raises(APIError) as caught:
            await client.download(server.url)
        assert caught.value.status == 302
        assert len(server.requests) == 1


async def test_a_download_does_not_go_on_without_encryption(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A redirect from https to http is refused: the address may hold a signature."""
    locations: list[str] = []
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        where = f"Location: {locations[0]}\r\n".encode() if locations else b""
        writer.write((b"HTTP/1.1 302 Found\r\n" if where else b"HTTP/1.1 200 OK\r\n") + where)
        writer.write(b"Content-Length: 7\r\nConnection: close\r\n\r\npicture")
        writer.close()

    async with (
        byte_server(answering(b"picture", "image/png")) as plain,
        await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls[0]) as encrypted,
        AsyncZhipuAI("k.s", base_url=plain.url, ssl=tls[1]) as client,
    ):
        url = f"https://127.0.0.1:{encrypted.sockets[0].getsockname()[1]}/a"
        assert (await client.download(url)).content == b"picture"
        locations.append(f"{plain.url}/b")
        with pytest.raises(APIError) as caught:
            await client.download(url)
        assert caught.value.status == 302
        assert plain.requests == []
        assert len(requests) == 2


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.com/a", "data:text/plain,abc", "/files/1", "example.com/a", "", "http://",
        "https:///a", "http://user:word@example.com/a", "http://user@example.com/a", "http://example.com:0/",
        "http://example.com:x/", "http://[::1/a", "http://example.com/a\r\nX: 1", "http://example.com/\0",
        "http://exämple.com/", *UNFIT,
    ],
    ids=repr,
)  # fmt: skip
async def test_what_is_no_web_address_is_refused(url: str, tmp_path: Path) -> None:
    """ConfigError before anything is sent, and before a file is made."""
    async with AsyncZhipuAI("k.s", base_url="http://127.0.0.1:9", max_retries=0) as client:
        with pytest.raises(ConfigError, match="http and https"):
            await client.download(url)
        with pytest.raises(ConfigError, match="http and https"):
            await client.download.to_file(tmp_path / "a", url)
    assert os.listdir(tmp_path) == []
