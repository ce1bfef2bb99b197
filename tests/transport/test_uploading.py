"""Uploads: what arrives of which source, how it is told, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Conversation, byte_server
from tests.transport.sending import (
    STORED,
    WRITTEN_DOWN,
    Faulty,
    arrived,
    both_transports,
    client_of,
    nothing_left_open,
    once,
)
from zhipu_async import ConfigError, Limits
from zhipu_async.types.uploads import FileUpload

LARGE = os.urandom(3_000_000)


async def store(talk: Conversation) -> None:
    """Accept every upload."""
    while request := await talk.request():
        await talk.answer(WRITTEN_DOWN if b"transcriptions" in request[:100] else STORED)


def in_the_middle(content: bytes) -> io.BytesIO:
    """An open file whose first three bytes were read already."""
    file = io.BytesIO(b"xyz" + content)
    file.seek(3)
    return file


def saved(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


SOURCES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "bytes": (lambda _: LARGE, "file", "application/octet-stream"),
    "bytearray": (lambda _: bytearray(LARGE), "file", "application/octet-stream"),
    "memoryview": (lambda _: memoryview(LARGE), "file", "application/octet-stream"),
    "a view of every second byte": (
        lambda _: memoryview(bytes(byte for byte in LARGE for _ in (0, 1)))[::2],
        "file",
        "application/octet-stream",
    ),
    "a path as text": (lambda folder: str(saved(folder, "a.jsonl", LARGE)), "a.jsonl", "application/jsonl"),
    "a path": (lambda folder: saved(folder, "a.wav", LARGE), "a.wav", "audio/x-wav"),
    "a path that is not ASCII": (lambda folder: saved(folder, "语音 1.mp3", LARGE), "语音 1.mp3", "audio/mpeg"),
    "an open file in the middle": (lambda _: in_the_middle(LARGE), "file", "application/octet-stream"),
    "name and bytes": (lambda _: ("数据.jsonl", LARGE), "数据.jsonl", "application/jsonl"),
    "name and path": (lambda folder: ("b.pdf", saved(folder, "a", LARGE)), "b.pdf", "application/pdf"),
    "name, bytes and type": (lambda _: ("b.x", LARGE, "audio/x-own"), "b.x", "audio/x-own"),
    "FileUpload": (lambda _: FileUpload(LARGE, "é.txt", "text/x-own"), "é.txt", "text/x-own"),
    "a link": (lambda folder: _link(saved(folder, "a.jsonl", LARGE)), "link.jsonl", "application/jsonl"),
}


def _link(path: Path) -> Path:
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    return link


@both_transports
@pytest.mark.parametrize("source", SOURCES)
async def test_every_source_arrives_whole(transport: str, source: str, tmp_path: Path) -> None:
    """The bytes, with their length announced, under the right name and type, beside the other fields."""
    make, filename, media_type = SOURCES[source]
    file = make(tmp_path)
    async with byte_server(store) as server, client_of(server, transport) as client:
        with nothing_left_open():
            answer = await client.files.create(file=file, purpose="batch", extra_body={"note": "名"})
        assert answer.id == "file-1"
        (request,) = map(arrived, server.requests)
        assert request.file == LARGE
        assert (request.filename, request.media_type) == (filename, media_type)
        assert request.fields["purpose"] == b"batch"
        assert request.fields["note"] == "名".encode()
        assert "transfer-encoding" not in request.headers
        assert request.headers["content-type"].startswith("multipart/form-data; boundary=")


@both_transports
@pytest.mark.parametrize("kind", ["no seek", "a pipe", "read only"])
async def test_what_does_not_know_its_size_is_sent_in_chunks(transport: str, kind: str) -> None:
    """A source that cannot seek is sent as it is read, without a length."""
    content = LARGE[:700_000]

    class OnlyRead:
        def __init__(self) -> None:
            self.read = io.BytesIO(content).read

    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(content)

    writer = threading.Thread(target=write)
    with os.fdopen(reading, "rb") as pipe:
        writer.start()
        source: Any = {"no seek": once(content), "a pipe": pipe, "read only": OnlyRead()}[kind]
        totals: set[int | None] = set()
        async with byte_server(store) as server, client_of(server, transport) as client:
            await client.files.create(file=source, purpose="batch", progress=lambda _, total: totals.add(total))
        if kind != "a pipe":
            pipe.read()
        writer.join()
    request = arrived(server.requests[0])
    assert request.file == content
    assert request.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in request.headers
    assert totals == {None}


@both_transports
async def test_an_open_file_of_the_callers_stays_open(transport: str, tmp_path: Path) -> None:
    """It is sent from where it stood when the call was made, even when it is moved before the call is awaited."""
    with saved(tmp_path, "a.jsonl", b"0123456789").open("rb") as file:
        file.seek(4)
        async with byte_server(store) as server, client_of(server, transport) as client:
            await client.files.create(file=file, purpose="batch")
            assert arrived(server.requests[0]).file == b"456789"
            assert arrived(server.requests[0]).filename == "a.jsonl"
        assert not file.closed
        file.seek(0)
        assert file.read() == b"0123456789"


def test_a_file_is_not_read_when_the_call_is_made() -> None:
    """Only its place is noted: reading and moving wait until the call is awaited."""
    from zhipu_async.resources import Files

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("read too early")

        def seek(self, offset: int, whence: int = 0, /) -> int:
            raise AssertionError("moved too early")

    assert Files.create.call(file=Watched(b"abc"), purpose="batch")


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda folder: folder / "missing.jsonl", r"missing\.jsonl'.*No such file"),
    "missing, as text": (lambda folder: str(folder / "missing.jsonl"), r"missing\.jsonl'.*No such file"),
    "a folder": (lambda folder: folder, r"test_.*[Dd]irectory"),
    "an empty file": (lambda folder: saved(folder, "empty.jsonl", b""), r"empty\.jsonl' is empty"),
    "no bytes": (lambda _: ("empty.jsonl", b""), "'empty.jsonl' is empty"),
    "no bytearray": (lambda _: bytearray(), "'file' is empty"),
    "an open file at its end": (lambda _: ("spent.wav", _at_its_end()), "'spent.wav' is empty, or was read to its end"),
    "a closed file": (lambda _: ("closed.wav", _closed()), "'closed.wav'.*closed file"),
    "a released view": (lambda _: ("view.wav", _released()), "'view.wav'.*released"),
    "a name with NUL": (lambda _: "a\0b", r"a\\x00b'.*null"),
    "a pipe that nobody writes to": (lambda folder: _pipe(folder), r"pipe\.wav' is empty"),
    "text mode": (lambda _: io.StringIO("abc"), "file is a file in text mode"),
    "text": (lambda folder: open(saved(folder, "a.txt", b"abc")), "file is a file in text mode"),  # noqa: SIM115
    "an asynchronous file": (lambda _: asyncio.StreamReader(), "asynchronous"),
    "a number": (lambda _: 3, "file must be bytes, a path"),
    "a place that is gone": (lambda _: ("gone.wav", _unseekable()), "'gone.wav'.*no place"),
}


def _at_its_end() -> io.BytesIO:
    file = io.BytesIO(b"abc")
    file.read()
    return file


def _closed() -> io.BytesIO:
    file = io.BytesIO(b"abc")
    file.close()
    return file


def _released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.wav")
    return folder / "pipe.wav"


def _unseekable() -> io.BytesIO:
    class Broken(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            raise OSError("no place")

    return Broken(b"abc")


@both_transports
@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused(transport: str, case: str, tmp_path: Path) -> None:
    """ConfigError that names the file; no request is completed, and nothing is left open."""
    make, message = BAD[case]
    file = make(tmp_path)
    async with byte_server(store) as server, client_of(server, transport) as client:
        with nothing_left_open(), pytest.raises(ConfigError, match=message):
            await client.files.create(file=file, purpose="batch")
        assert server.requests == []
    getattr(file, "close", lambda: None)()


@both_transports
async def test_progress_rises_to_the_total(transport: str, tmp_path: Path) -> None:
    """It is told on the loop's thread, never goes back, and ends with the length of the body."""
    told: list[tuple[int, int | None]] = []
    told_in: set[int] = set()

    def progress(done: int, total: int | None) -> None:
        told.append((done, total))
        told_in.add(threading.get_ident())

    async with byte_server(store) as server, client_of(server, transport) as client:
        await client.files.create(file=saved(tmp_path, "a", LARGE), purpose="batch", progress=progress)
    length = int(arrived(server.requests[0]).headers["content-length"])
    assert {total for _, total in told} == {length}
    assert told[-1][0] == length
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) >= len(LARGE) // (256 * 1024)
    assert told_in == {threading.get_ident()}


@both_transports
async def test_files_are_read_off_the_loops_thread_in_blocks(transport: str) -> None:
    """No read blocks the loop, and none asks for more than 256 KiB of a file."""
    seen: list[tuple[int, int | None]] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            seen.append((threading.get_ident(), size))
            return super().read(size)

        def seek(self, offset: int, whence: int = 0, /) -> int:
            seen.append((threading.get_ident(), 0))
            return super().seek(offset, whence)

    async with byte_server(store) as server, client_of(server, transport) as client:
        await client.files.create(file=Watched(LARGE), purpose="batch")
    assert arrived(server.requests[0]).file == LARGE
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert max(size or 0 for _, size in seen) == 256 * 1024


@both_transports
@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (lambda: ("short.wav", Faulty()), ConfigError, "'short.wav' changed its length"),
        (lambda: ("bad.wav", Faulty(OSError(5, "Input/output error"))), ConfigError, "'bad.wav': Input/output error"),
        (lambda: Faulty(RuntimeError("mine")), RuntimeError, "mine"),
        (lambda: Faulty(EOFError("mine")), EOFError, "mine"),
        (lambda: Faulty(ConnectionResetError("mine")), ConfigError, "mine"),
    ],
    ids=["shorter", "unreadable", "its own error", "its own error that looks like a network's", "a remote file"],
)
async def test_a_source_that_fails_ends_the_upload(transport: str, source: Any, error: Any, message: str) -> None:
    """Its error is raised at once, the request is not completed and not repeated."""
    async with byte_server(store) as server, client_of(server, transport) as client:
        async with asyncio.timeout(5):
            with pytest.raises(error, match=message):
                await client.audio.transcriptions.create(model="glm-asr", file=source())
    assert server.requests == []
    assert server.opened == 1


@both_transports
@pytest.mark.parametrize("kind", [ValueError, OSError, KeyError, EOFError])
async def test_an_error_of_the_callback_ends_the_upload(transport: str, kind: type[Exception], tmp_path: Path) -> None:
    """It is raised as it is, also where it looks like a broken connection; nothing is completed or left open."""

    def progress(done: int, total: int | None) -> None:
        if done > 500_000:
            raise kind("mine")

    async with byte_server(store) as server, client_of(server, transport) as client:
        with nothing_left_open(), pytest.raises(kind, match="mine"):
            async with asyncio.timeout(5):
                await client.files.create(file=saved(tmp_path, "a", LARGE), purpose="batch", progress=progress)
        assert server.requests == []
        assert server.opened == 1
        await client.files.create(file=b"abc", purpose="batch")
        assert server.opened == 2


async def test_many_uploads_at_once_open_as_many_files_as_connections(tmp_path: Path) -> None:
    """Two hundred uploads over ten connections all arrive; never are more than ten of their files open."""
    path, content = saved(tmp_path, "a.jsonl", LARGE[:300_000]), LARGE[:300_000]
    most = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal most
        if done == total:
            return
        links = [os.path.realpath(f"/proc/self/fd/{entry}") for entry in os.listdir("/proc/self/fd")]
        most = max(most, links.count(str(path)))

    async with byte_server(store) as server, client_of(server, limits=Limits(connections=10)) as client:
        with nothing_left_open():
            calls = [
                client.files.create(file=path, purpose="batch", progress=None if number % 10 else progress)
                for number in range(200)
            ]
            await asyncio.gather(*calls)
        assert sum(content in request for request in server.requests) == 200
    assert 1 <= most <= 10


async def test_a_spooled_file_is_sent() -> None:
    """What web frameworks hand out for an upload of their own, in memory or on disk."""
    async with byte_server(store) as server, client_of(server) as client:
        for limit in (10, 10_000_000):
            with tempfile.SpooledTemporaryFile(max_size=limit) as file:
                file.write(LARGE)
                file.seek(0)
                await client.files.create(file=file, purpose="batch")  # type: ignore[arg-type]
        assert [arrived(request).file for request in server.requests] == [LARGE, LARGE]
