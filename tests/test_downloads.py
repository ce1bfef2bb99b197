"""Answers that are files: in memory, as they arrive, under a path."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import resource
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Conversation, byte_server
from tests.transport.sending import both_transports, client_of, nothing_left_open
from zhipu_async import (
    APIError,
    ConfigError,
    ConnectionLost,
    DecodeError,
    RequestTimeout,
    StreamConsumed,
    Timeouts,
    Timing,
)
from zhipu_async.downloads import Binary, Download

CONTENT = os.urandom(2_000_000)
BINARY = "application/octet-stream"


async def give(talk: Conversation) -> None:
    """Answer every request with the file."""
    while await talk.request():
        await talk.answer(CONTENT, kind=BINARY)


def breaking(times: int, status: str = "200 OK") -> Callable[[Conversation], Any]:
    """A server that breaks off half-way ``times`` times."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            if talk.number > times:
                await talk.answer(CONTENT, kind=BINARY)
                continue
            head = f"HTTP/1.1 {status}\r\nContent-Type: {BINARY}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
            await talk.send(head.encode() + CONTENT[:1_000_000])
            return

    return handler


async def take(download: Download, blocks: list[bytes]) -> None:
    """Read into ``blocks``."""
    async for block in download:
        blocks.append(block)


class Halfway:
    """A server that stops half-way until it is told to go on, and notes when the client is gone."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.reached = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, talk: Conversation) -> None:
        await talk.request()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {BINARY}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        await talk.send(head.encode() + CONTENT[:1_000_000])
        self.reached.set()
        told, gone = asyncio.ensure_future(self.go_on.wait()), asyncio.ensure_future(talk.reader.read())
        try:
            await asyncio.wait({told, gone}, return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                await talk.send(CONTENT[1_000_000:])
            else:
                self.left.set()
        finally:
            told.cancel()
            gone.cancel()
            await asyncio.gather(told, gone, return_exceptions=True)


# ---------------------------------------------------------------- three ways


@both_transports
async def test_a_file_comes_in_three_ways(transport: str, tmp_path: Path) -> None:
    """In memory, as an async iterator, and under a path: the same bytes, without compression asked for."""
    async with byte_server(give) as server, client_of(server, transport) as client:
        binary = await client.files.content("file-1")
        assert binary.content == bytes(binary) == CONTENT
        assert (len(binary), binary.content_type) == (len(CONTENT), BINARY)
        assert binary.timing.total is not None
        async with await client.files.content.open("file-1") as download:
            assert (download.length, download.content_type) == (len(CONTENT), BINARY)
            blocks = [block async for block in download]
            assert b"".join(blocks) == CONTENT
            assert download.received == len(CONTENT)
            assert len(blocks) > 1
        path = await client.files.content.to_file(tmp_path / "result.jsonl", "file-1")
        assert path == tmp_path / "result.jsonl"
        assert path.read_bytes() == CONTENT
        assert await binary.save(str(tmp_path / "again")) == tmp_path / "again"
        async with await client.files.content.open("file-1") as download:
            assert (await download.save(tmp_path / "third")).read_bytes() == CONTENT
        async with await client.files.content.open("file-1") as download:
            assert (await download.read()).content == CONTENT
        assert sorted(os.listdir(tmp_path)) == ["again", "result.jsonl", "third"]
        assert (tmp_path / "again").read_bytes() == CONTENT
        if transport == "pool":
            assert server.opened == 1
    for request in server.requests:
        assert request.startswith(b"GET /api/paas/v4/files/file-1/content HTTP/1.1\r\n")
        assert request.lower().count(b"accept-encoding: identity\r\n") == request.lower().count(b"accept-encoding") == 1
        assert b"content-type" not in request.lower()


@both_transports
async def test_an_empty_file_is_a_file(transport: str, tmp_path: Path) -> None:
    """No bytes are an answer like any other."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(b"", kind=BINARY)

    async with byte_server(handler) as server, client_of(server, transport) as client:
        assert (await client.files.content("1")).content == b""
        assert (await client.files.content.to_file(tmp_path / "empty", "1")).read_bytes() == b""
        assert [block async for block in await client.files.content.open("1")] == []


@both_transports
async def test_a_server_that_compresses_all_the_same(transport: str) -> None:
    """The bytes are what was meant; the length of the compressed body is not taken for theirs."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(gzip.compress(CONTENT), "Content-Encoding: gzip", kind=BINARY)

    told: list[tuple[int, int | None]] = []
    async with byte_server(handler) as server, client_of(server, transport) as client:
        binary = await client.files.content("1", progress=lambda done, total: told.append((done, total)))
        assert binary.content == CONTENT
        assert told[-1] == (len(CONTENT), None)


@both_transports
@pytest.mark.parametrize("way", ["memory", "open", "file"])
async def test_progress_rises_to_the_length(transport: str, way: str, tmp_path: Path) -> None:
    """``progress(done, total)`` with the total of Content-Length, for each of the three ways."""
    told: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        told.append((done, total))

    async with byte_server(give) as server, client_of(server, transport) as client:
        if way == "memory":
            await client.files.content("1", progress=progress)
        elif way == "file":
            await client.files.content.to_file(tmp_path / "a", "1", progress=progress)
        else:
            async for _ in await client.files.content.open("1", progress=progress):
                pass
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in told} == {len(CONTENT)}
    assert [done for done, _ in told] == sorted({done for done, _ in told})


# ---------------------------------------------------------------- the file under its path


async def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    """Until then an older one stays as it was; a link leads to where it led."""
    (tmp_path / "folder").mkdir()
    real = tmp_path / "folder" / "result"
    real.write_bytes(b"older")
    link = tmp_path / "link"
    link.symlink_to(real)
    server_state = Halfway()
    async with byte_server(server_state) as server, client_of(server) as client:
        saving = asyncio.create_task(client.files.content.to_file(link, "1"))
        await server_state.reached.wait()
        await asyncio.sleep(0.05)
        assert real.read_bytes() == b"older"
        server_state.go_on.set()
        assert await saving == link
    assert real.read_bytes() == CONTENT
    assert link.is_symlink()
    assert os.listdir(tmp_path / "folder") == ["result"]


def fail_at_half(done: int, total: int | None) -> None:
    if done >= 500_000:
        raise KeyError("mine")


@pytest.mark.parametrize("case", ["break", "cancel", "callback", "silence", "disk full", "not found", "too late"])
async def test_after_a_failure_nothing_is_left_of_it(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No part of the file stays, an older file does, and the connection is closed."""
    path = tmp_path / "result"
    path.write_bytes(b"older")
    halfway = Halfway()

    async def not_found(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(b'{"error":{"code":"1220","message":"no such file"}}', status="404 Not Found")

    handlers: dict[str, Any] = {"break": breaking(9), "callback": give, "disk full": give, "not found": not_found}
    error: dict[str, type[BaseException]] = {
        "break": ConnectionLost, "cancel": asyncio.CancelledError, "callback": KeyError, "silence": RequestTimeout,
        "disk full": ConfigError, "not found": APIError, "too late": ConfigError,
    }  # fmt: skip
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with byte_server(handlers.get(case, halfway)) as server, client_of(server) as client:
        with nothing_left_open():
            saving = asyncio.create_task(
                client.files.content.to_file(
                    path,
                    "1",
                    progress=fail_at_half if case == "callback" else None,
                    timeout=Timeouts(between=0.1) if case == "silence" else None,
                )
            )
            if case in ("cancel", "too late"):
                await halfway.reached.wait()
            if case == "cancel":
                saving.cancel()
            elif case == "too late":
                path.unlink()
                path.mkdir()
                halfway.go_on.set()
            elif case == "disk full":
                resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
            try:
                with pytest.raises(error[case]):
                    await saving
            finally:
                if case == "disk full":
                    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert client.pool.statistics().in_use == 0
    assert os.listdir(tmp_path) == ["result"]
    assert path.is_dir() if case == "too late" else path.read_bytes() == b"older"


UNWRITABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (lambda folder: folder / "missing" / "a", "missing/a'.*No such file"),
    "a folder": (lambda folder: folder, "it is a directory"),
    "the folder itself": (lambda _: ".", "it is a directory"),
    "the root": (lambda _: "/", "it is a directory"),
    "NUL": (lambda folder: str(folder) + "/a\0b", r"a\\x00b'.*null"),
    "below a file": (lambda folder: _touched(folder) / "a", "Not a directory"),
    "a name that is too long": (lambda folder: folder / ("语" * 100), "name too long"),
    "a socket": (lambda folder: _socket(folder), "no regular file"),
    "a pipe": (lambda folder: _pipe(folder), "no regular file"),
}


def _touched(folder: Path) -> Path:
    (folder / "file").write_bytes(b"")
    return folder / "file"


def _socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    return folder / "socket"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


@pytest.mark.parametrize("case", UNWRITABLE)
async def test_an_unwritable_path_is_refused_before_anything_is_sent(case: str, tmp_path: Path) -> None:
    """ConfigError that names the path; the service is not asked and the path is as it was."""
    make, message = UNWRITABLE[case]
    path = make(tmp_path)
    before = sorted(os.listdir(tmp_path))
    async with byte_server(give) as server, client_of(server) as client:
        with nothing_left_open(), pytest.raises(ConfigError, match=message):
            await client.files.content.to_file(path, "1")
        assert server.opened == 0
    assert sorted(os.listdir(tmp_path)) == before


async def test_a_long_name_that_fits_is_written(tmp_path: Path) -> None:
    """The name that it has until it is complete is no longer than the one it gets."""
    path = tmp_path / ("语" * 85)
    async with byte_server(give) as server, client_of(server) as client:
        await client.files.content.to_file(path, "1")
    assert path.stat().st_size == len(CONTENT)


# ---------------------------------------------------------------- breaks


@both_transports
async def test_a_break_half_way_is_repeated_where_nothing_was_handed_out(transport: str, tmp_path: Path) -> None:
    """In memory and under a path the file comes whole in the end, no byte twice."""
    async with byte_server(breaking(2)) as server, client_of(server, transport) as client:
        assert (await client.files.content("1")).content == CONTENT
        assert len(server.requests) == 3
    async with byte_server(breaking(2)) as server, client_of(server, transport) as client:
        assert (await client.files.content.to_file(tmp_path / "a", "1")).read_bytes() == CONTENT
        assert len(server.requests) == 3


@both_transports
async def test_a_break_of_what_was_handed_out_is_an_error(transport: str) -> None:
    """An open download raises ConnectionLost, asks nothing again, and never ends as if it were whole."""
    async with byte_server(breaking(9)) as server, client_of(server, transport) as client:
        download = await client.files.content.open("1")
        received: list[bytes] = []
        with pytest.raises(ConnectionLost):
            await take(download, received)
        assert CONTENT.startswith(b"".join(received))
        assert len(server.requests) == 1
        with pytest.raises(StreamConsumed):
            await anext(download)


async def test_a_part_does_not_pass_for_the_whole(tmp_path: Path) -> None:
    """What was begun, read or closed is neither read nor saved as if it were new."""
    async with byte_server(give) as server, client_of(server) as client:
        begun = await client.files.content.open("1")
        await anext(begun)
        closed = await client.files.content.open("1")
        await closed.close()
        whole = await client.files.content.open("1")
        assert len(await whole.read()) == len(CONTENT)
        for download in (begun, closed, whole):
            with pytest.raises(StreamConsumed):
                await download.read()
            with pytest.raises(StreamConsumed):
                await download.save(tmp_path / "a")
        await begun.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["async with", "close", "dropped", "callback", "cancelled"])
@both_transports
async def test_leaving_early_closes_the_connection(transport: str, way: str) -> None:
    """Nothing more is received than is wanted, however the download is left."""
    halfway = Halfway()
    async with byte_server(halfway) as server, client_of(server, transport) as client:
        download = await client.files.content.open("1", progress=fail_at_half if way == "callback" else None)
        if way == "async with":
            async with download:
                await anext(download)
        elif way == "close":
            await download.close()
            await download.close()
        elif way == "callback":
            with pytest.raises(KeyError):
                async for _ in download:
                    pass
        elif way == "cancelled":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(download.read(), 0.1)
        else:
            del download
        assert client.pool.statistics().in_use == 0
        async with asyncio.timeout(5):
            await halfway.left.wait()
    gc.collect()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
async def test_a_file_that_is_replaced_keeps_its_permissions(mode: int, tmp_path: Path) -> None:
    """What others could not read before they cannot read after, whatever the umask."""
    path = tmp_path / "a"
    path.write_bytes(b"older")
    path.chmod(mode)
    async with byte_server(give) as server, client_of(server) as client:
        await client.files.content.to_file(path, "1")
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(
    ("content", "value"), [(b'{"a": [1]}', {"a": [1]}), (b"{", None), (b"\xff", None), (b"", None)]
)
def test_a_file_in_memory_as_json(content: bytes, value: Any) -> None:
    """JSON is decoded, and what is none is our error; read() gives the bytes as other clients do."""
    binary = Binary(content, {}, Timing())
    assert binary.read() == bytes(binary) == content
    if value is None:
        with pytest.raises(DecodeError):
            binary.json()
    else:
        assert binary.json() == value
