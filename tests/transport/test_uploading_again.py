"""Uploads that do not go well: what is sent again and what is not, early answers, breaks, silences and cancelling."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from tests.servers import ByteServer, Conversation, byte_server
from tests.transport.sending import (
    BUSY,
    STORED,
    WRITTEN_DOWN,
    Once,
    arrived,
    both_transports,
    client_of,
    nothing_left_open,
    once,
)
from zhipu_async import (
    APIError,
    AsyncZhipuAI,
    BadRequestError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    RateLimitError,
    RequestTimeout,
    RetryPolicy,
    Timeouts,
)

CONTENT = os.urandom(20_000_000)
"""More than the buffers of a connection hold."""

SMALL = CONTENT[:400_000]


def at(file: io.BytesIO, place: int) -> io.BytesIO:
    file.seek(place)
    return file


SOURCES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: SMALL,
    "a path": lambda path: path,
    "an open file": lambda _: at(io.BytesIO(b"xyz" + SMALL), 3),
    "a view": lambda _: memoryview(SMALL),
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.wav"
    path.write_bytes(SMALL)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.wav"
    path.write_bytes(CONTENT)
    return path


async def send(client: AsyncZhipuAI, call: str, file: Any) -> None:
    """Upload by a call that creates something ("files") or by one that does not."""
    if call == "files":
        await client.files.create(file=file, purpose="batch")
    else:
        await client.audio.transcriptions.create(model="glm-asr", file=file)


async def until(condition: Callable[[], object]) -> None:
    """Wait up to 5 seconds for what is not announced."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@both_transports
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("after", [b"", BUSY], ids=["reading all", "reading nothing"])
async def test_a_repeat_sends_the_whole_file(transport: str, source: str, after: bytes, small: Path) -> None:
    """After a refusal for load, also one that came before the body, the file is sent again from its start."""

    async def handler(talk: Conversation) -> None:
        while True:
            if talk.number == 1 and after:
                assert await talk.head()
                await talk.answer(BUSY, "Connection: close", status="429 Too Many Requests")
                await talk.reader.read()
                return
            if not await talk.request():
                return
            refuse = not after and len(server.requests) == 1
            await talk.answer(BUSY if refuse else STORED, status="429 Too Many Requests" if refuse else "200 OK")

    told: list[int] = []
    async with byte_server(handler) as server, client_of(server, transport) as client:
        with nothing_left_open():
            await client.files.create(
                file=SOURCES[source](small), purpose="batch", progress=lambda done, _: told.append(done)
            )
        assert [arrived(request).file for request in server.requests] == [SMALL] * (1 if after else 2)
        assert told[-1] == int(arrived(server.requests[-1]).headers["content-length"])


@pytest.mark.parametrize("source", SOURCES)
async def test_the_idle_race_sends_the_whole_file_again(source: str, small: Path) -> None:
    """A kept connection that was closed meanwhile costs nothing: the call goes whole over a fresh one."""

    async def handler(talk: Conversation) -> None:
        while await (talk.request() if talk.number > 1 or not server.requests else talk.head()):
            if talk.number == 1 and len(server.requests) == 1 and seen:
                return  # the head of the second request was read, and the connection is closed
            seen.append(talk.number)
            await talk.answer(WRITTEN_DOWN)

    seen: list[int] = []
    async with byte_server(handler) as server, client_of(server, max_retries=0) as client:
        await client.audio.transcriptions.create(model="glm-asr", file=b"abc")
        await client.audio.transcriptions.create(model="glm-asr", file=SOURCES[source](small))
        assert [arrived(request).file for request in server.requests] == [b"abc", SMALL]
        assert server.opened == 2


@both_transports
@pytest.mark.parametrize("call", ["files", "transcriptions"])
async def test_what_cannot_be_read_again_is_sent_once(transport: str, call: str) -> None:
    """The error is the service's own, with a note that says why there was no second attempt."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(BUSY, status="429 Too Many Requests")

    async with byte_server(handler) as server, client_of(server, transport) as client:
        with pytest.raises(RateLimitError, match="slow down") as caught:
            await send(client, call, once(SMALL))
        assert len(server.requests) == 1
        assert "cannot be read again" in caught.value.__notes__[0]
        assert len(caught.value.attempts) == 1


@both_transports
@pytest.mark.parametrize("status", ["503 Service Unavailable", "307 Temporary Redirect"])
async def test_the_path_of_a_pipe_is_sent_once(transport: str, status: str, tmp_path: Path) -> None:
    """What was read of it is gone, however often it is opened: neither an error nor a redirect sends the rest."""
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    writing = os.open(path, os.O_RDWR)

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(SMALL)  # more than a pipe holds: it ends when the upload has opened the path

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(BUSY, "Location: /moved", status=status)

    writer = threading.Thread(target=write)
    writer.start()
    async with byte_server(handler) as server, client_of(server, transport) as client:
        with nothing_left_open(), pytest.raises(APIError) as caught:
            await client.files.create(file=path, purpose="batch")
        assert caught.value.status == int(status[:3])
        assert [arrived(request).file for request in server.requests] == [SMALL]
        if status.startswith("503"):
            assert "cannot be read again" in caught.value.__notes__[0]
    writer.join()


async def test_what_cannot_be_read_again_goes_over_a_fresh_connection() -> None:
    """A kept connection may be closed at any moment, which would cost the only attempt."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(WRITTEN_DOWN)

    async with byte_server(handler) as server, client_of(server) as client:
        await client.audio.transcriptions.create(model="glm-asr", file=b"abc")
        await client.audio.transcriptions.create(model="glm-asr", file=once(SMALL))
        assert server.opened == 2


@both_transports
async def test_no_attempt_is_lost_when_nothing_was_sent(transport: str) -> None:
    """While no connection can be made nothing is read of a file that can be read only once, so it is asked again."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        file = once(SMALL)
        async with client_of(ByteServer(url), transport) as client:
            with pytest.raises(ConnectError) as caught:
                await client.files.create(file=file, purpose="batch")
        assert len(caught.value.attempts) == 3
        assert file.reads == 0


TOO_LARGE = b'{"error":{"code":"1210","message":"the file is too large"}}' + b" " * 200_000


@both_transports
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "closed"])
@pytest.mark.parametrize("source", ["bytes", "a path"])
async def test_an_answer_before_the_end_is_the_answer(transport: str, kept: bool, source: str, large: Path) -> None:
    """A refusal that comes while the file is on its way is raised, and the connection carries nothing else."""
    taken: list[int] = []

    async def handler(talk: Conversation) -> None:
        if talk.number > 1:
            await talk.request()
            await talk.answer(STORED)
            return
        await talk.head()
        taken.append(len(await talk.reader.readexactly(300_000)))
        headers = () if kept else ("Connection: close",)
        await talk.answer(TOO_LARGE, *headers, status="413 Content Too Large")
        while data := await talk.reader.read(65536):
            taken.append(len(data))

    async with byte_server(handler) as server, client_of(server, transport) as client:
        with nothing_left_open(), pytest.raises(BadRequestError, match="too large") as caught:
            await client.files.create(file=CONTENT if source == "bytes" else large, purpose="batch")
        assert caught.value.status == 413
        await client.files.create(file=b"abc", purpose="batch")
        assert server.opened == 2
        assert sum(taken) < len(CONTENT)


@both_transports
async def test_a_success_before_the_end_is_an_answer_too(transport: str, large: Path) -> None:
    """The connection is closed with it, and a large answer is read whole for all that."""

    async def handler(talk: Conversation) -> None:
        await talk.head()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900044\r\nContent-Type: application/json\r\n\r\n")
        await talk.send(b'{"id":"file-1","filename":"')
        for _ in range(9):
            await talk.send(b"x" * 100_000)
            await asyncio.sleep(0.01)
        await talk.send(b'","bytes":123456}')
        await talk.reader.read()

    async with byte_server(handler) as server, client_of(server, transport) as client:
        answer = await client.files.create(file=large, purpose="batch")
        assert (len(answer.filename or ""), answer.bytes) == (900_000, 123456)
        assert server.opened == 1


@both_transports
@pytest.mark.parametrize("call", ["files", "transcriptions"])
async def test_a_reset_half_way(transport: str, call: str, large: Path) -> None:
    """ConnectionLost; a call that creates something is not repeated, another is, from the file's start."""

    async def handler(talk: Conversation) -> None:
        await talk.head()
        await talk.reader.readexactly(300_000)
        talk.writer.transport.abort()

    retry = RetryPolicy(retries=1, base=0.001, cap=0.001)
    async with byte_server(handler) as server, client_of(server, transport, retry=retry) as client:
        with nothing_left_open(), pytest.raises(ConnectionLost) as caught:
            await send(client, call, large)
        assert caught.value.arrived
        assert server.opened == (1 if call == "files" else 2)


@both_transports
async def test_a_server_that_stops_reading(transport: str, large: Path) -> None:
    """The clock "between" ends the wait, as it does for an answer that stops."""

    async def handler(talk: Conversation) -> None:
        await talk.head()
        await talk.reader.readexactly(300_000)
        await asyncio.sleep(30)

    timeout = Timeouts(between=0.3)
    async with byte_server(handler) as server, client_of(server, transport) as client:
        with nothing_left_open():
            async with asyncio.timeout(5):
                with pytest.raises(RequestTimeout) as caught:
                    await client.files.create(file=large, purpose="batch", timeout=timeout)
        assert (caught.value.clock, caught.value.seconds) == ("between", 0.3)
        assert server.opened == 1


@both_transports
async def test_a_slow_server_that_goes_on_reading_is_waited_for(transport: str) -> None:
    """The clocks "between" and "first_byte" count from the last block, not from the beginning of the upload."""

    async def handler(talk: Conversation) -> None:
        head = await talk.head()
        length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))[16:])
        while length > 0:
            length -= len(await talk.reader.read(length))
            await asyncio.sleep(0.01 if length > 8_000_000 else 0)  # less than that may have left the client as a whole
        await talk.answer(STORED)

    timeout = Timeouts(between=0.4, first_byte=0.4)
    async with byte_server(handler) as server, client_of(server, transport) as client:
        began = asyncio.get_running_loop().time()
        await client.files.create(file=CONTENT, purpose="batch", timeout=timeout)
        assert asyncio.get_running_loop().time() - began > 0.4


@both_transports
async def test_a_source_that_never_gives_is_ended_by_the_clock(transport: str) -> None:
    """A read that hangs in its thread holds up neither the error nor the loop."""
    released = threading.Event()

    class Stuck(Once):
        def read(self, size: int = -1, /) -> bytes:
            released.wait(10)
            return super().read(size)

    async def handler(talk: Conversation) -> None:
        await talk.request()

    async with byte_server(handler) as server, client_of(server, transport) as client:
        async with asyncio.timeout(5):
            with pytest.raises(RequestTimeout) as caught:
                await client.files.create(file=cast(Any, Stuck(b"abc")), purpose="batch", timeout=Timeouts(between=0.2))
        assert caught.value.clock == "between"
        assert server.requests == []
    released.set()


@both_transports
async def test_cancelling_half_way(transport: str, large: Path) -> None:
    """The connection is closed, the file too, and the pool is as if nothing had been asked."""
    half = asyncio.Event()
    closed = asyncio.Event()

    async def handler(talk: Conversation) -> None:
        await talk.head()
        await talk.reader.readexactly(300_000)
        half.set()
        await asyncio.sleep(0.3)
        with suppress(ConnectionError):
            await talk.reader.read(-1)
        closed.set()

    async with byte_server(handler) as server, client_of(server, transport) as client:
        with nothing_left_open():
            upload = asyncio.create_task(client.files.create(file=large, purpose="batch"))
            await half.wait()
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upload
            await until(lambda: _opened_times(large) == 0)  # a read that was under way closes it when it ends
        assert client.pool.statistics().in_use == client.pool.statistics().idle == 0
        async with asyncio.timeout(5):
            await closed.wait()
        assert server.opened == 1


async def test_cancelling_while_a_file_is_being_read(tmp_path: Path) -> None:
    """A file opened here is closed by the read under way when that ends: its number is not given away under it."""
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR)  # somebody has the pipe open and writes nothing

    async def handler(talk: Conversation) -> None:
        await talk.request()

    async with byte_server(handler) as server, client_of(server) as client:
        upload = asyncio.create_task(client.files.create(file=path, purpose="batch"))
        await until(lambda: _opened_times(path) == 2)
        await asyncio.sleep(0.05)
        upload.cancel()
        async with asyncio.timeout(2):
            with pytest.raises(asyncio.CancelledError):
                await upload
        assert _opened_times(path) == 2
        os.write(keeper, b"x" * 10)
        os.close(keeper)
        await until(lambda: _opened_times(path) == 0)
        assert server.requests == []


def _opened_times(path: Path) -> int:
    links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum(os.path.realpath(link) == str(path) for link in links)


async def test_a_redirect_sends_the_file_again(small: Path) -> None:
    """A 307 to the same origin is followed with the whole body; not with a file that can be read only once."""

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if b"/moved" in request[:200]:
                await talk.answer(STORED)
            else:
                await talk.answer(b"", "Location: /moved", status="307 Temporary Redirect")

    async with byte_server(handler) as server, client_of(server) as client:
        await client.files.create(file=small, purpose="batch")
        assert [arrived(request).file for request in server.requests] == [SMALL, SMALL]
        with pytest.raises(APIError) as caught:
            await client.files.create(file=once(SMALL), purpose="batch")
        assert caught.value.status == 307
        assert len(server.requests) == 3


async def test_a_path_that_vanishes_between_attempts(small: Path) -> None:
    """The second attempt opens the path anew, and says that it is gone."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            os.remove(small)
            await talk.answer(BUSY, status="429 Too Many Requests")

    async with byte_server(handler) as server, client_of(server) as client:
        with pytest.raises(ConfigError, match="No such file"):
            await client.files.create(file=small, purpose="batch")
        assert len(server.requests) == 1
