"""Closing a client from two tasks, and closing that was cancelled half-way."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.cancelling.asking import SPEAKING
from tests.cancelling.sweep import soon
from tests.servers import Conversation, byte_server
from zhipu_async import AsyncZhipuAI, ClientClosedError

ASK = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("cancelled", [False, True])
async def test_two_tasks_close_one_client(cancelled: bool) -> None:
    """Each of them comes back when everything is closed, also when the first one was cancelled on the way."""
    async with SPEAKING() as service:
        client = AsyncZhipuAI(service.api_key, base_url=service.base_url)
        stream = await client.chat.completions.create(**ASK, stream=True)
        await client.chat.completions.create(**ASK)
        assert service.connections.open == 2
        first = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        assert not first.done()
        if cancelled:
            first.cancel()
        await client.close()
        with pytest.raises(ClientClosedError):
            await stream.until_done()
        await asyncio.wait([first])
        assert first.cancelled() == cancelled
        await soon(lambda: service.connections.open == 0, "open at the service")
        del client, stream, first
        gc.collect()  # nothing is forgotten: a ResourceWarning would be an error


async def test_closing_ends_a_call_that_nothing_has_answered_yet() -> None:
    """Who waits for the head of an answer is told that the client was closed, and the call is not repeated."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.request()

    async with byte_server(handler) as server:
        client = AsyncZhipuAI("k.s", base_url=server.url)
        asking = asyncio.create_task(client.chat.completions.create(**ASK))
        await soon(lambda: len(server.requests) == 1, "no request")
        await client.close()
        with pytest.raises(ClientClosedError, match="the client was closed"):
            await asking
        assert len(server.requests) == 1
