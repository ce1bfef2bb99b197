"""Proxies, spoken to in plain text and tunnelled through, and TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import SHORT_SLEEPS
from tests.servers import COMPLETION, Conversation, byte_server
from zhipu_async import AsyncZhipuAI, AuthenticationError, ConnectError
from zhipu_async.simulator import Pace, Scenario, Simulator

Ask = Callable[..., dict[str, Any]]


async def proxy(talk: Conversation) -> None:
    """A proxy that answers plain requests itself and wants a password."""
    while request := await talk.request():
        if b"Proxy-Authorization: Basic dXNlcjpwYXNz" in request:
            await talk.answer(COMPLETION)
        else:
            await talk.answer(b"", status="407 Proxy Authentication Required")


async def test_a_proxy_gets_the_whole_url_and_its_own_authorization(ask: Ask) -> None:
    """By argument or from the environment, NO_PROXY honoured; its password is in no error."""
    async with byte_server(proxy) as server:
        address = server.url.removeprefix("http://").removesuffix("/api/paas/v4")
        settings: dict[str, Any] = {"base_url": "http://glm.example:81/v4", "max_retries": 0}
        async with AsyncZhipuAI("k.s", proxy=f"http://user:pass@{address}", **settings) as client:
            for _ in range(2):
                assert (await client.chat.completions.create(**ask())).text == "Hi"
        assert server.opened == 1
        assert server.requests[0].startswith(b"POST http://glm.example:81/v4/chat/completions HTTP/1.1\r\n")
        assert b"Host: glm.example:81\r\n" in server.requests[0]
        async with AsyncZhipuAI("k.s", proxy=f"http://user:wrong@{address}", **settings) as client:
            with pytest.raises(ConnectError, match="user:password@") as caught:
                await client.chat.completions.create(**ask())
            assert "wrong" not in f"{caught.value}{caught.value!r}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HTTP_PROXY", f"http://user:pass@{address}")
            async with AsyncZhipuAI("k.s", **settings) as client:
                assert (await client.chat.completions.create(**ask())).text == "Hi"
            patch.setenv("NO_PROXY", "127.0.0.1,localhost")
            async with Simulator() as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
                assert (await client.chat.completions.create(**ask())).text
            patch.delenv("NO_PROXY")
            async with Simulator() as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url, trust_env=False) as client:
                assert (await client.chat.completions.create(**ask())).text


async def test_a_challenge_for_a_password_is_not_the_services(ask: Ask) -> None:
    """A 401 that asks for a user name and password comes from a proxy or gateway: its hint does not blame the key."""

    async def gateway(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(b"<html></html>", 'WWW-Authenticate: Basic realm="x"', status="401 Unauthorized")

    async with byte_server(gateway) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        with pytest.raises(AuthenticationError, match="not the service, but a proxy or gateway"):
            await client.chat.completions.create(**ask())
        assert len(server.requests) == 1


async def test_a_tunnel_through_a_proxy_carries_tls(ask: Ask, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """An https endpoint behind a proxy is reached by CONNECT; the proxy's password is in no error."""
    server_side, client_side = tls
    seen: list[bytes] = []

    async def tunnel(talk: Conversation) -> None:
        request = await talk.request()
        seen.append(request)
        if b"dXNlcjpwYXNz" not in request:
            await talk.answer(b"", status="407 Proxy Authentication Required")
            return
        target = request.split(b" ")[1].decode()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        await talk.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(talk.reader, writer), pump(reader, talk.writer))

    async with Simulator(ssl=server_side) as sim, byte_server(tunnel) as server:
        address = server.url.removeprefix("http://").removesuffix("/api/paas/v4")
        for password in ("pass", "wrong-password"):
            client = AsyncZhipuAI(
                sim.api_key,
                base_url=sim.base_url,
                proxy=f"http://user:{password}@{address}",
                ssl=client_side,
                max_retries=0,
            )
            async with client:
                if password == "pass":
                    stream = await client.chat.completions.create(**ask(stream=True))
                    assert (await stream.until_done()).text
                else:
                    with pytest.raises(ConnectError) as caught:
                        await client.chat.completions.create(**ask())
                    error: BaseException | None = caught.value
                    while error is not None:
                        assert password not in f"{error}{error!r}"
                        assert "Basic" not in repr(error)
                        error = error.__context__
        assert seen[0].startswith(b"CONNECT 127.0.0.1:")


async def test_tls_is_verified_by_default(ask: Ask, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """An unknown certificate is refused at once, without retries; a context that knows it works, also left early."""
    server_side, client_side = tls
    async with Simulator(Scenario(pace=Pace(per_chunk=0.02)), ssl=server_side) as sim:
        async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url, retry=SHORT_SLEEPS) as client:
            with pytest.raises(ConnectError) as caught:
                await client.chat.completions.create(**ask())
            assert len(caught.value.attempts) == 1
        assert sim.requests == []
        async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url, ssl=client_side) as client:
            assert (await client.chat.completions.create(**ask())).text
            async for _ in await client.chat.completions.create(**ask(stream=True)):
                break
            await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
            assert client.pool.statistics().in_use == 0
