"""Uploads that are refused before their end by a peer that then resets the connection, as HAProxy does."""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from threading import Event, Thread

import pytest

from zhipu_async import AsyncZhipuAI, BadRequestError, ConnectionLost

REFUSAL = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"


@pytest.mark.parametrize("size", [1_000, 5_000_000])
@pytest.mark.parametrize("answer", [REFUSAL, b""])
async def test_an_answer_before_a_reset_is_heard(answer: bytes, size: int) -> None:
    """An answer and the reset arrive between two writes: the second write fails, and the answer is told all the same.

    Without an answer the connection is lost, in the middle of the request: that is not repeated.
    """
    closed = Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with closing(connection):
                while b"\r\n\r\n" not in connection.recv(65536):
                    pass
                connection.sendall(answer)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            closed.set()

        thread = Thread(target=refuse)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v4"
        async with AsyncZhipuAI("k.s", base_url=url) as client:
            with pytest.raises(BadRequestError if answer else ConnectionLost) as caught:
                await client.files.create(
                    file=("a.jsonl", b"x" * size),
                    purpose="batch",
                    progress=lambda *_: closed.wait(10),  # the loop reads nothing between these two writes
                )
            assert len(caught.value.attempts) == 1
            assert not answer or caught.value.message == "too large"
            assert client.pool.statistics().in_use == 0
        thread.join()
