"""The simulator as a server: addresses, connections, what it saw."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from zhipu_async.simulator import DEFAULT_KEY, SERVICE, Delivery, Frames, Reply, Scenario, Simulator, application

from .asking import HELLO, Asker, simulated


async def test_addresses() -> None:
    """The base URL has a port that was free, and two simulators do not meet."""
    async with Simulator() as one, Simulator() as two:
        assert one.base_url == f"{one.origin}/api/paas/v4"
        assert one.origin.startswith("http://127.0.0.1:")
        assert one.origin != two.origin
        assert one.api_key == DEFAULT_KEY


async def test_unknown_paths(ask: Asker) -> None:
    """An unknown path is a gateway envelope with HTTP 200, without x-log-id; a doubled version is a 404."""
    soft = await ask.post(HELLO, "/chat/completion")
    assert (soft.status, soft.json) == (200, {"code": 500, "msg": "404 NOT_FOUND", "success": False})
    assert "x-log-id" not in soft.headers
    assert (await ask.request("GET", "/api/paas/chat/completions")).json == soft.json
    assert (await ask.request("GET", "/videos/generations")).json == soft.json
    assert (await ask.request("GET", "/chat/completions")).json == soft.json
    doubled = await ask.post(HELLO, "/v1/chat/completions")
    assert doubled.status == 404
    assert doubled.json.keys() == {"timestamp", "status", "error", "path"}
    assert doubled.json["error"] == "Not Found"
    assert doubled.json["path"] == "/v4/v1/chat/completions"


async def test_headers(ask: Asker) -> None:
    """Answers of the model service carry x-log-id and the keep-alive time."""
    answered = await ask.hello()
    assert answered.headers["x-log-id"] == answered.json["id"]
    assert answered.headers["keep-alive"] == "timeout=6"


async def test_requests_are_recorded(ask: Asker) -> None:
    """Each request is there with everything it had, in order."""
    await ask.hello(user="me")
    await ask.request("GET", "/models?limit=1", headers={"X-Own": "1"})
    await ask.request("POST", "/files", data=b"\x00")
    chat, models, file = ask.sim.requests
    assert chat.body == HELLO | {"user": "me"}
    assert (chat.number, chat.method, chat.path) == (0, "POST", "/api/paas/v4/chat/completions")
    assert (chat.model, chat.stream, chat.status, chat.connection) == ("glm-4.6", False, 200, 1)
    assert chat.ended_at is not None
    assert chat.ended_at >= chat.received_at
    assert chat.headers["authorization"] == f"Bearer {ask.sim.api_key}"
    assert (models.query, models.headers["x-own"], models.body) == ({"limit": "1"}, "1", None)
    assert (file.raw, file.body) == (b"\x00", None)
    assert ask.sim.api_key not in repr(chat)


async def test_nothing_is_recorded_on_demand() -> None:
    """With `record=False` requests are only counted."""
    async with simulated(record=False) as ask:
        await ask.hello()
        assert ask.sim.requests == []
        assert ask.sim.served == 1


async def test_connections_are_counted() -> None:
    """Connections are reused, numbered in the order of opening, and counted when they are gone."""
    async with simulated(Scenario(replies=lambda _: Reply(delivery=Delivery(head_after=0.02)))) as ask:
        await asyncio.gather(ask.hello(), ask.hello(), ask.hello())
        await ask.hello()
        assert {seen.connection for seen in ask.sim.requests[:3]} == {1, 2, 3}
        assert ask.sim.requests[3].connection in {1, 2, 3}
        assert (ask.sim.connections.opened, ask.sim.connections.open) == (3, 3)
        await ask.session.close()
        await ask.sim.wait_until(lambda: ask.sim.connections.open == 0, timeout=2)
        assert ask.sim.connections.opened == 3


async def test_idle_connections_are_closed() -> None:
    """An idle connection is closed after the keep-alive time, which the header names."""
    async with simulated(keep_alive=0.05) as ask:
        assert (await ask.hello()).headers["keep-alive"] == "timeout=0.05"
        assert ask.sim.connections.open == 1
        await ask.sim.wait_until(lambda: ask.sim.connections.open == 0, timeout=2)


async def test_connection_close_is_honoured(ask: Asker) -> None:
    """A client that wants no further request on its connection gets it closed."""
    answered = await ask.hello()
    assert "connection" not in answered.headers
    closed = await ask.post(HELLO, headers={"Connection": "close"})
    assert closed.headers["connection"] == "close"
    await ask.sim.wait_until(lambda: ask.sim.connections.open == 0, timeout=2)


async def test_wait_until_times_out(ask: Asker) -> None:
    """Waiting for what does not happen ends with TimeoutError."""
    with pytest.raises(TimeoutError):
        await ask.sim.wait_until(lambda: False, timeout=0.02)


async def test_leaving_closes_everything() -> None:
    """Leaving the block ends silent streams at once and refuses new connections."""
    frames = Frames(["a"], delivery=Delivery(stops_after=1, then="hang"))
    async with aiohttp.ClientSession() as session:
        async with Simulator(Scenario(replies=[frames])) as sim:
            headers = {"Authorization": f"Bearer {sim.api_key}"}
            response = await session.post(f"{sim.base_url}/chat/completions", json=HELLO, headers=headers)
            started = time.monotonic()
        assert time.monotonic() - started < 1
        assert (sim.in_flight, sim.connections.open) == (0, 0)
        assert not sim.requests[0].closed_by_peer
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{sim.base_url}/models")


async def test_a_restart() -> None:
    """Entered again, a simulator opens on the same port and goes on with its script."""
    sim = Simulator(Scenario(replies=[Reply("one"), Reply("two")]))
    async with aiohttp.ClientSession() as session:
        for expected in ("one", "two"):
            async with sim:
                assert (await Asker(sim, session).hello()).message["content"] == expected
    assert len(sim.requests) == 2
    assert sim.requests[0].headers["host"] == sim.requests[1].headers["host"]


async def test_expect_continue(ask: Asker) -> None:
    """A client that waits for `100 Continue` gets it."""
    assert (await ask.post(HELLO, expect100=True)).status == 200


async def test_too_large_body(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body over the limit is answered with HTTP 413."""
    monkeypatch.setattr("zhipu_async.simulator.server.BODY_LIMIT", 100)
    assert (await ask.say("x" * 1000)).status == 413


async def test_tls(tmp_path: Path) -> None:
    """With a server-side context the simulator speaks TLS, resets included."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    command = [*make, "-keyout", str(key), "-out", str(certificate), *subject]
    await asyncio.to_thread(lambda: subprocess.run(command, check=True, capture_output=True))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    replies = [Reply("Hi"), Reply("Hi", delivery=Delivery(stops_at=3))]
    async with simulated(Scenario(replies=replies), ssl=server) as ask:
        assert ask.sim.base_url.startswith("https://")
        answered = await ask.post(HELLO, ssl=client)
        assert answered.message["content"] == "Hi"
        with pytest.raises(aiohttp.ClientError):
            await ask.post(HELLO, ssl=client)


async def test_application() -> None:
    """The service runs as an application of aiohttp in any server, and keeps what it saw."""
    app = application(Scenario(replies=[Reply("Hi")]))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/paas/v4/chat/completions"
        headers = {"Authorization": f"Bearer {DEFAULT_KEY}"}
        async with aiohttp.ClientSession() as session, session.post(url, json=HELLO, headers=headers) as response:
            assert (await response.json())["choices"][0]["message"]["content"] == "Hi"
        assert app[SERVICE].requests[0].body == HELLO
    finally:
        await runner.cleanup()


async def test_many_at_once() -> None:
    """Two hundred requests at once are all answered."""
    async with simulated(Scenario(replies=lambda _: Reply(delivery=Delivery(head_after=0.2)))) as ask:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            wide = Asker(ask.sim, session)
            answers = await asyncio.gather(*(wide.hello() for _ in range(200)))
        assert {answered.status for answered in answers} == {200}
        assert ask.sim.peak_in_flight > 100
