"""A program that is killed while it saves a file."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.servers import Conversation, byte_server
from tests.transport.sending import client_of

CONTENT = bytes(range(256)) * 8192
HALF = len(CONTENT) // 2
BINARY = "application/octet-stream"
PROGRAM = """
import asyncio, sys
from zhipu_async import AsyncZhipuAI
async def main():
    async with AsyncZhipuAI("k.s", base_url=sys.argv[1], trust_env=False) as client:
        await client.files.content.to_file(sys.argv[2], "1", progress=lambda done, total: print(done, flush=True))
asyncio.run(main())
"""


@pytest.mark.heavy
async def test_a_download_that_is_killed(tmp_path: Path) -> None:
    """With SIGKILL half-way: the older file is as it was, what came stays beside it as a hidden ``.part``, and the next
    download is whole."""
    path = tmp_path / "result"
    path.write_bytes(b"older")

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            if talk.number > 1:
                await talk.answer(CONTENT, kind=BINARY)
                continue
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {BINARY}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
            await talk.send(head.encode() + CONTENT[:HALF])
            await talk.reader.read()

    async with byte_server(handler) as server, asyncio.timeout(30):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, server.url, str(path)), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            while int(await process.stdout.readline()) < HALF:
                pass
        finally:
            process.kill()
            await process.wait()
        assert path.read_bytes() == b"older"
        [part] = set(os.listdir(tmp_path)) - {"result"}
        assert (part.startswith(".result."), part.endswith(".part")) == (True, True)
        async with client_of(server) as client:
            await client.files.content.to_file(path, "1")
    assert path.read_bytes() == CONTENT
    assert set(os.listdir(tmp_path)) == {"result", part}
