"""What the tests of uploads share: clients over both transports, sources of files, and what arrives."""

from __future__ import annotations

import email.parser
import email.policy
import io
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.conftest import SHORT_SLEEPS
from tests.servers import ByteServer
from zhipu_async import AsyncZhipuAI

STORED = b'{"id":"file-1","object":"file","bytes":3}'
WRITTEN_DOWN = b'{"id":"1","text":"Hello"}'
BUSY = b'{"error":{"code":"1302","message":"slow down"}}'

both_transports = pytest.mark.parametrize("transport", ["pool", "session"])


@asynccontextmanager
async def client_of(server: ByteServer, transport: str = "pool", **settings: Any) -> AsyncGenerator[AsyncZhipuAI]:
    """A client of ``server``, over its own pool or over a session of the user's."""
    settings = {"retry": SHORT_SLEEPS, **settings}
    if transport == "pool":
        async with AsyncZhipuAI("k.s", base_url=server.url, **settings) as client:
            yield client
            assert client.pool.statistics().in_use == 0
            return
    async with (
        aiohttp.ClientSession() as session,
        AsyncZhipuAI("k.s", base_url=server.url, session=session, **settings) as client,
    ):
        yield client
        assert client.pool.statistics().in_use == 0


class Arrived(NamedTuple):
    """A request as a server reads it."""

    headers: dict[str, str]
    fields: dict[str, bytes]
    filename: str | None
    media_type: str
    file: bytes


def arrived(request: bytes) -> Arrived:
    """``request`` taken apart by the standard library's parser of mail; Content-Length is checked against the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    headers = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    }
    if "content-length" in headers:
        assert int(headers["content-length"]) == len(body)
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + body
    )
    fields: dict[str, bytes] = {}
    filename, media_type = None, ""
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        fields[str(name)] = bytes(part.get_payload(decode=True))
        if name == "file":
            filename, media_type = part.get_filename(), part.get_content_type()
    return Arrived(headers, fields, filename, media_type, fields["file"])


class Once(io.RawIOBase):
    """A binary file that can only be read once, like a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)
        self.reads = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        self.reads += 1
        return self._content.read(size)


def once(content: bytes) -> Any:
    """Such a file."""
    return Once(content)


class Faulty(io.BytesIO):
    """A file of 1 MiB that, after its first block, does what it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__(bytes(1024 * 1024))
        self._failure = failure
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads == 1:
            return super().read(size)
        if self._failure is not None:
            raise self._failure
        return b""


def open_files() -> set[str]:
    """What the descriptors of this process point to, sockets aside."""
    found: set[str] = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(entry.readlink()))
        except OSError:
            continue
    return {target for target in found if target.startswith("/") and not target.startswith(("/dev", "/proc"))}


@contextmanager
def nothing_left_open() -> Generator[None]:
    """Inside the block no file is opened that stays open; the thread of a read under way may have to close it."""
    before = open_files()
    yield
    patience = time.monotonic() + 5
    while not open_files() <= before and time.monotonic() < patience:
        time.sleep(0.01)
    assert open_files() <= before
