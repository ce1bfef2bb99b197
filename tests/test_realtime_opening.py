"""How realtime sessions open: keys, proxies, TLS, refusals."""

from __future__ import annotations

import asyncio
import math
import ssl
import traceback
from typing import Any

import aiohttp
import pytest

from tests.realtime_sessions import read_until, talking
from tests.servers import Conversation, byte_server
from zhipu_async import (
    AccountError,
    APIError,
    AsyncZhipuAI,
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    Limits,
    NotFoundError,
    PoolFull,
    RateLimitError,
    RequestTimeout,
    ServerError,
    Timeouts,
)
from zhipu_async.simulator import HangUp, Raw, Refusal, Scenario, Simulator, not_found, page
from zhipu_async.types.realtime import SessionConfig
from zhipu_async.types.realtime_events import (
    SessionUpdated,
)


async def test_nothing_happens_before_a_session_is_wanted() -> None:
    """connect() alone sends nothing; it can be awaited, or entered, and sends a configuration only when given one."""
    async with talking() as (realtime, sim, _):
        connecting = realtime.connect("glm-realtime-flash")
        await asyncio.sleep(0)
        assert sim.requests == []
        session = await connecting
        assert isinstance((await read_until(session, "session.updated"))[-1], SessionUpdated)
        await session.close()
        async with realtime.connect() as session:
            await read_until(session, "heartbeat")
        async with await realtime.connect(session={"model": "glm-realtime-air", "voice": "tongtong"}) as session:
            await read_until(session, "error")  # what the service requires is not in that mapping
        assert [len(request.events) for request in sim.requests] == [1, 0, 1]
        assert sim.requests[0].events[0]["session"] == {
            "model": "glm-realtime-flash",
            "input_audio_format": "wav",
            "output_audio_format": "pcm",
            "turn_detection": {"type": "client_vad"},
        }
        with pytest.raises(ConfigError, match="two models"):
            realtime.connect("glm-realtime-air", session=SessionConfig(model="glm-realtime-flash"))
        with pytest.raises(ConfigError, match="timeout"):
            realtime.connect(timeout=-1)


async def test_an_unfit_configuration_leaves_no_session() -> None:
    """What cannot be written as JSON is refused, and the connection that was opened for it is closed."""
    async with talking() as (realtime, sim, client):
        with pytest.raises(ConfigError):
            await realtime.connect(session=SessionConfig(temperature=math.nan))
        assert client.pool.statistics().in_use == 0
        await sim.wait_until(lambda: sim.connections.open == 0)


@pytest.mark.parametrize("kind", ["bearer", "jwt", "callable", "session", "connector"])
async def test_ways_to_a_session(kind: str) -> None:
    """Key, token, a key from a callable, and the user's own session or connector, which stay open."""
    async with Simulator() as sim, aiohttp.ClientSession() as foreign:
        settings: dict[str, Any] = {"api_key": sim.api_key, "default_headers": {"X-Team": "a"}}
        if kind == "jwt":
            settings["auth"] = "jwt"
        if kind == "callable":

            async def key() -> str:
                return sim.api_key

            settings["api_key"] = key
        if kind == "session":
            settings["session"] = foreign
        if kind == "connector":
            settings["connector"] = foreign.connector
        async with AsyncZhipuAI(base_url=sim.base_url, default_query={"team": "b"}, **settings) as client:
            async with client.realtime.connect("glm-realtime-flash") as session:
                await read_until(session, "session.updated")
                assert client.pool.statistics().in_use == 1
            assert client.pool.statistics().in_use == 0
        [request] = sim.requests
        sent = request.headers["Authorization"].removeprefix("Bearer ")
        assert (sent == sim.api_key) is (kind != "jwt")
        assert (request.headers["X-Team"], request.query["team"]) == ("a", "b")
        assert not foreign.closed
        assert foreign.connector is not None
        assert not foreign.connector.closed


async def test_a_refusal_that_stops_half_way_is_closed() -> None:
    """The clock of the handshake ends it, and its connection with it."""
    left = asyncio.Event()

    async def handler(talk: Conversation) -> None:
        await talk.head()
        await talk.send(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 42\r\n\r\n{")
        await talk.reader.read()
        left.set()

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        with pytest.raises(RequestTimeout, match="connect"):
            await client.realtime.connect(timeout=Timeouts(connect=0.2))
        async with asyncio.timeout(10):
            await left.wait()
        assert client.pool.statistics().in_use == 0


REFUSALS: list[tuple[Any, type[Exception], str | None]] = [
    (Refusal("401"), AuthenticationError, "401"),
    (Refusal("1302"), RateLimitError, "1302"),
    (Refusal("1113"), AccountError, "1113"),
    (page(502), ServerError, None),
    (not_found(), NotFoundError, "500"),
    (Raw(b"", status=302, headers={"Location": "http://127.0.0.1:9/"}), APIError, None),
    (Raw(b"Hello", content_type="text/plain"), ConnectError, None),
    (HangUp(times=2), ConnectionLost, None),
    (HangUp(reset=True, times=2), ConnectionLost, None),
]


@pytest.mark.parametrize("foreign", [False, True], ids=["own", "injected"])
@pytest.mark.parametrize(("answer", "kind", "code"), REFUSALS, ids=lambda value: str(value)[:40])
async def test_a_refused_handshake_is_what_it_means(
    answer: Any, kind: type[Exception], code: str | None, foreign: bool
) -> None:
    """Status and body are told like those of any call; over a session of the user's the status alone has to do."""
    async with Simulator(Scenario(replies=[answer], api_keys=None)) as sim, aiohttp.ClientSession() as session:
        settings: dict[str, Any] = {"session": session} if foreign else {}
        async with AsyncZhipuAI("secret-key.of-mine", base_url=sim.base_url, max_retries=0, **settings) as client:
            if foreign and kind is not ConnectionLost:
                kind = {"1113": RateLimitError, "500": ConnectError}.get(code or "", kind)
                code = None
            with pytest.raises(kind) as caught:
                await client.realtime.connect("glm-realtime-flash")
            assert type(caught.value) is kind
            if isinstance(caught.value, APIError):
                assert caught.value.code == code
                assert caught.value.url == sim.base_url.replace("http", "ws") + "/realtime"
            assert client.pool.statistics().in_use == 0
            told = "".join(traceback.format_exception(caught.value))
            error: BaseException | None = caught.value
            while error is not None:
                told += repr(error) + repr(vars(error))
                error = error.__context__ or error.__cause__
            assert "secret-key" not in told
            assert "of-mine" not in told


async def test_a_connection_that_is_closed_before_any_answer_is_made_anew() -> None:
    """Once: a handshake creates nothing."""
    async with talking(Scenario(replies=[HangUp()])) as (realtime, sim, _), realtime.connect() as session:
        await read_until(session, "heartbeat")
        assert len(sim.requests) == 2


async def test_an_expired_token_is_renewed_once() -> None:
    """1003 with tokens made here is answered by a new token; with a key, or the second time, it is the error."""
    for auth, times, outcome in (("jwt", 1, None), ("jwt", 2, "1003"), ("bearer", 1, "1003")):
        async with talking(Scenario(replies=[Refusal("1003", times=times)]), auth=auth) as (realtime, sim, _):
            if outcome is None:
                async with realtime.connect() as session:
                    await read_until(session, "heartbeat")
            else:
                with pytest.raises(AuthenticationError) as caught:
                    await realtime.connect()
                assert caught.value.code == outcome
            assert len(sim.requests) == (1 if auth == "bearer" else 2)


@pytest.mark.parametrize("foreign", [False, True], ids=["own", "injected"])
async def test_no_service_and_a_silent_one(foreign: bool) -> None:
    """Nobody there is ConnectError; somebody who does not answer is RequestTimeout by the clock that was set."""

    async def silent(talk: Conversation) -> None:
        await talk.request()
        await asyncio.sleep(10)

    async with byte_server(silent) as server, aiohttp.ClientSession() as session:
        settings: dict[str, Any] = {"session": session} if foreign else {}
        async with AsyncZhipuAI("k.s", base_url="http://127.0.0.1:9/v4", **settings) as client:
            with pytest.raises(ConnectError, match=r"ws://127\.0\.0\.1:9/v4/realtime") as refused:
                await client.realtime.connect()
            assert refused.value.retryable
            client = client.with_options(base_url=server.url)
            for timeout, clock in ((Timeouts(connect=0.05), "connect"), (0.05, "total")):
                with pytest.raises(RequestTimeout) as caught:
                    await client.realtime.connect(timeout=timeout)
                assert caught.value.clock == clock
            assert client.pool.statistics().in_use == 0


async def test_sessions_count_as_connections() -> None:
    """A session takes a slot of Limits.connections: others wait for it, or are refused."""
    async with talking(limits=Limits(connections=1, waiting=1)) as (realtime, _, client):
        async with realtime.connect() as session:
            await read_until(session, "heartbeat")
            waiting = asyncio.create_task(client.models.list())
            await asyncio.sleep(0.01)
            assert client.pool.statistics().waiting == 1
            with pytest.raises(PoolFull):
                await realtime.connect()
            assert not waiting.done()
        assert (await waiting).data


async def test_a_session_through_tls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """https becomes wss, with the context that the client was given; an unknown certificate is refused."""
    server_side, client_side = tls
    async with Simulator(ssl=server_side) as sim:
        async with (
            AsyncZhipuAI(sim.api_key, base_url=sim.base_url, ssl=client_side) as client,
            client.realtime.connect("glm-realtime-flash") as session,
        ):
            await read_until(session, "session.updated")
        async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
            with pytest.raises(ConnectError, match="wss://") as caught:
                await client.realtime.connect()
            assert not caught.value.retryable


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tunnel"])
@pytest.mark.parametrize("given", ["argument", "environment"])
async def test_a_session_through_a_proxy(
    secure: bool, given: str, tls: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy gets its own authorization and passes the session on; its password is in no error."""
    heads: list[bytes] = []

    async def proxy(talk: Conversation) -> None:
        request = await talk.request()
        heads.append(request)
        if b"Proxy-Authorization: Basic dXNlcjpwYXNz" not in request:
            await talk.answer(b"", status="407 Proxy Authentication Required")
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if secure:
            await talk.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            writer.write(request.replace(b"http://127.0.0.1:%d" % port, b"", 1))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(talk.reader, writer), pump(reader, talk.writer))

    async with Simulator(ssl=tls[0] if secure else None) as sim, byte_server(proxy) as server:
        port = int(sim.origin.rpartition(":")[2])
        address = server.url.removeprefix("http://").removesuffix("/api/paas/v4")
        for password in ("pass", "wrong-password"):
            url = f"http://user:{password}@{address}"
            settings: dict[str, Any] = {"proxy": url} if given == "argument" else {}
            monkeypatch.setenv("HTTPS_PROXY" if secure else "HTTP_PROXY", url if given == "environment" else "")
            async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url, ssl=tls[1], **settings) as client:
                if password == "pass":
                    async with client.realtime.connect("glm-realtime-flash") as session:
                        await read_until(session, "session.updated")
                    continue
                with pytest.raises((ConnectError, APIError), match="407") as caught:
                    await client.realtime.connect()
                error: BaseException | None = caught.value
                while error is not None:
                    assert password not in f"{error}{error!r}{vars(error)}"
                    error = error.__context__ or error.__cause__
        assert heads[0].startswith(b"CONNECT" if secure else b"GET http://127.0.0.1:")
        assert (sim.api_key.encode() in heads[0]) is not secure
