"""Sessions and connectors of the user's own: used, never closed."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import SHORT_SLEEPS
from tests.servers import COMPLETION, Conversation, byte_server
from zhipu_async import AsyncZhipuAI, ClientClosedError, ConfigError, ConnectError, ConnectionLost, RateLimitError
from zhipu_async.simulator import Delivery, HangUp, Pace, Refusal, Reply, Scenario, Simulator

Ask = Callable[..., dict[str, Any]]


async def test_an_injected_connector_is_used_and_not_closed(ask: Ask) -> None:
    """Its connections are given back to it, and it stays open for others."""
    async with Simulator() as sim:
        connector = aiohttp.TCPConnector(limit=5)
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, connector=connector)
        await asyncio.gather(*(client.chat.completions.create(**ask()) for _ in range(20)))
        stream = await client.chat.completions.create(**ask(stream=True))
        assert (await stream.until_done()).text
        await client.close()
        assert not connector.closed
        async with aiohttp.ClientSession(connector=connector) as session, session.get(sim.origin) as response:
            assert response.status == 200
        assert sim.connections.opened <= 6


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
async def test_a_connector_of_a_unix_socket_knows_no_proxy(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who listens there sees neither the environment's proxy nor its password; one that is given is refused."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(COMPLETION) + COMPLETION)
        writer.close()

    monkeypatch.setenv("http_proxy", "http://user:pass@127.0.0.1:9")
    path = str(tmp_path / "socket")
    async with await asyncio.start_unix_server(serve, path), aiohttp.UnixConnector(path) as connector:
        settings: dict[str, Any] = {"base_url": "http://localhost/v4", "connector": connector}
        with pytest.raises(ConfigError, match="proxy"):
            AsyncZhipuAI("k.s", proxy="http://127.0.0.1:9", **settings)
        async with AsyncZhipuAI("k.s", max_retries=0, **settings) as client:
            assert (await client.chat.completions.create(**ask())).text == "Hi"
    assert heads[0].startswith(b"POST /v4/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
    assert b"Proxy" not in heads[0]


async def test_an_injected_session_is_used_and_not_closed(ask: Ask) -> None:
    """Plain calls, streams, errors and broken connections work over a session of the user's."""
    replies = [Reply("1"), Reply("2"), HangUp(), Reply("3"), Reply("4", delivery=Delivery(gzip=True))]
    async with Simulator(Scenario(replies=replies)) as sim, aiohttp.ClientSession() as session:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, session=session, retry=SHORT_SLEEPS)
        assert (await client.chat.completions.create(**ask())).text == "1"
        assert (await (await client.chat.completions.create(**ask(stream=True))).until_done()).text == "2"
        assert (await client.chat.completions.create(**ask())).text == "3"
        assert (await client.chat.completions.create(**ask())).text == "4"
        assert client.pool.statistics().in_use == 0
        await client.close()
        assert not session.closed


async def test_closing_the_client_ends_a_stream_over_an_injected_session(ask: Ask) -> None:
    """Who waits for the next chunk is told; the session stays open."""
    scenario = Scenario(replies=[Reply("ab", pieces=["a", "b"])], pace=Pace(per_chunk=60.0))
    async with Simulator(scenario) as sim, aiohttp.ClientSession() as session:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, session=session)
        stream = await client.chat.completions.create(**ask(stream=True))
        await anext(stream)
        reading = asyncio.create_task(stream.until_done())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(reading, 5)
        assert client.pool.statistics().in_use == 0
        assert not session.closed


def test_an_injected_session_of_another_loop_is_refused(ask: Ask) -> None:
    """Using it elsewhere would break in odd places; it is a clear error before anything is sent."""

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use(session: aiohttp.ClientSession) -> None:
        async with Simulator() as sim:
            client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, session=session)
            with pytest.raises(ClientClosedError, match="another event loop"):
                await client.chat.completions.create(**ask())
            assert sim.requests == []

    loop = asyncio.new_event_loop()
    session = loop.run_until_complete(make())
    asyncio.run(use(session))
    loop.run_until_complete(session.close())
    loop.close()


async def test_an_injected_session_keeps_its_settings_to_itself(ask: Ask) -> None:
    """raise_for_status and base_url of the session change nothing: the service's error is retried and raised."""
    async with Simulator(Scenario(replies=[Refusal("1302", times=3), Reply("Hi")])) as sim:
        async with aiohttp.ClientSession("http://other.example/", raise_for_status=True) as session:
            client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, session=session, retry=SHORT_SLEEPS)
            with pytest.raises(RateLimitError):
                await client.chat.completions.create(**ask())
            assert (await client.chat.completions.create(**ask())).text == "Hi"
            await client.close()
            with pytest.raises(ClientClosedError):
                await client.chat.completions.create(**ask())
        assert len(sim.requests) == 4


async def test_an_unknown_encoding_over_an_injected_session_leaves_nothing_in_use(ask: Ask) -> None:
    """The answer that cannot be decoded is closed."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(b"{}", "Content-Encoding: rot13")

    async with byte_server(handler) as server, aiohttp.ClientSession() as session:
        client = AsyncZhipuAI("k.s", base_url=server.url, session=session, max_retries=0)
        with pytest.raises(ConnectionLost, match="rot13"):
            await client.chat.completions.create(**ask())
        assert client.pool.statistics().in_use == 0


async def test_the_password_of_a_proxy_of_an_injected_session_is_in_no_error(ask: Ask) -> None:
    """A tunnel that the proxy refuses is a ConnectError that holds neither the password nor aiohttp's own error."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(b"", status="407 Proxy Authentication Required")

    async with byte_server(handler) as server:
        proxy = server.url.replace("http://", "http://user:pass-word@").removesuffix("/api/paas/v4")
        async with aiohttp.ClientSession(proxy=proxy) as session:
            client = AsyncZhipuAI("k.s", base_url="https://glm.example/v4", session=session, max_retries=0)
            with pytest.raises(ConnectError, match="407") as caught:
                await client.chat.completions.create(**ask())
    assert "pass-word" not in "".join(traceback.format_exception(caught.value))


async def test_an_injected_connector_that_is_closed_or_of_another_loop_is_refused(ask: Ask) -> None:
    """Each is a clear error before anything is sent."""

    async def use(client: AsyncZhipuAI) -> None:
        with pytest.raises(ClientClosedError, match="another event loop"):
            await client.chat.completions.create(**ask())

    async with Simulator() as sim:
        connector = aiohttp.TCPConnector()
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url, connector=connector)
        await asyncio.to_thread(asyncio.run, use(client))
        await connector.close()
        with pytest.raises(ClientClosedError, match="connector is closed"):
            await client.chat.completions.create(**ask())
        assert sim.requests == []
