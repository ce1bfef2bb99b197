"""Connections whose other side says and hears nothing any more are closed at once, over TLS too."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.cancelling.sweep import descriptors, soon
from tests.servers import STREAM_HEAD, block, chunk
from zhipu_async import AsyncZhipuAI

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@contextmanager
def falling_silent(context: ssl.SSLContext) -> Iterator[str]:
    """A server in threads: it answers what comes first on each connection, and never reads or writes again."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def talk(peer: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(peer, server_side=True) as tls:
            tls.sendall(_answer(tls.recv(65536)))
            over.wait()

    def listen() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=talk, args=(listener.accept()[0],)))
                threads[-1].start()

    threads.append(threading.Thread(target=listen))
    threads[0].start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/v4"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()


def _answer(request: bytes) -> bytes:
    """The begin of a stream, or of a realtime session."""
    name = b"sec-websocket-key: "
    keys = [line[len(name) :] for line in request.split(b"\r\n") if line.lower().startswith(name)]
    if not keys:
        return STREAM_HEAD + block(chunk("Hi"))
    accept = base64.b64encode(hashlib.sha1(keys[0] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return upgrade + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


async def _stream(client: AsyncZhipuAI, length: int) -> None:
    messages = [{"role": "user", "content": "x" * length}]
    async for _ in await client.chat.completions.create(model="glm-4.6", messages=messages, stream=True):
        pass


async def _talk(client: AsyncZhipuAI) -> None:
    async with client.realtime.connect() as session:
        async for _ in session:
            pass


@pytest.mark.parametrize("how", ["cancel", "close"])
@pytest.mark.parametrize("what", ["stream", "stream that is still sent", "realtime"])
async def test_a_peer_that_does_not_say_goodbye(tls: Contexts, what: str, how: str) -> None:
    """Neither a call that is cancelled nor a client that is closed leaves a socket to a peer that has fallen silent."""
    server, trust = tls
    with falling_silent(server) as url:
        client = AsyncZhipuAI("k.s", base_url=url, ssl=trust, max_retries=0)
        before = sockets()
        work = _talk(client) if what == "realtime" else _stream(client, 3_000_000 if "still" in what else 1)
        task = asyncio.create_task(work)
        await soon(lambda: sockets() == before + 2, "no connection")  # both of its ends are here
        await asyncio.sleep(0.2)
        if how == "cancel":
            task.cancel()
        else:
            await client.close()
        await asyncio.wait([task])
        assert task.cancelled() == (how == "cancel")
        assert how == "cancel" or task.exception() is not None
        await soon(lambda: sockets() == before + 1, descriptors)
        await client.close()


def sockets() -> int:
    """How many this process has."""
    return sum(times for name, times in descriptors().items() if name.startswith("socket:"))
