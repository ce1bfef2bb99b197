"""Proxies that want a password, between the client and the service: tinyproxy and squid, plain and by tunnel."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.faults.conftest import Connect, Start, chat, outcome
from tests.faults.programs import OPTIONS, Program, free_port, port_of, running, squid, tinyproxy
from zhipu_async import AuthenticationError, ConnectError, ConnectionLost, StreamTruncated
from zhipu_async.simulator import Case, Delivery, Json, Pace, Scenario, Simulator

pytestmark = pytest.mark.heavy

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]

CONFIGURATIONS = {"tinyproxy": tinyproxy(), "squid": squid()}
WAY_OUT = "give its user name and password in its URL: http://user:password@host:port"
KINDS = ["plain", "stream", "task"]


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def proxy(request: pytest.FixtureRequest) -> Iterator[Program]:
    """Each proxy, started once for all tests of this file."""
    name: str = request.param
    with running(name, OPTIONS[name], CONFIGURATIONS[name]) as program:
        yield program


@pytest.fixture(params=["http", "https"])
async def sim(request: pytest.FixtureRequest, tls: Contexts) -> AsyncIterator[Simulator]:
    """A simulator of http, to which a proxy forwards requests, or of https, to which it makes tunnels.

    It ends after the clients of ``connect``, which must stand behind it: a goodbye of TLS has a long way.
    """
    never = Case(lambda seen: "/images/" in seen.path, [Json({}, delivery=Delivery(head_after=60.0))])
    scenario = Scenario(cases=[never], pace=Pace(per_chunk=0.005))
    async with Simulator(scenario, ssl=tls[0] if request.param == "https" else None) as simulator:
        yield simulator
        if secure(simulator):
            await simulator.wait_until(lambda: simulator.connections.open == 0)


def secure(sim: Simulator) -> bool:
    """Whether it speaks TLS."""
    return sim.base_url.startswith("https:")


def through(proxy: Program, credentials: str = "user:right-password@") -> str:
    """The proxy's URL."""
    return f"http://{credentials}{proxy.address}"


def everything_said(error: BaseException | None) -> str:
    """What an error and all that it was made from would print."""
    if error is None:
        return ""
    return f"{error}{error!r}{vars(error)}{everything_said(error.__cause__)}{everything_said(error.__context__)}"


async def test_calls_go_through_with_the_right_password(
    proxy: Program, sim: Simulator, connect: Connect, tls: Contexts
) -> None:
    """Every kind of call, by one request each; one connection serves those that are repeatable, to the proxy too."""
    client = await connect(sim.base_url, proxy=through(proxy), ssl=tls[1])
    for _ in range(3):
        assert "Hello" in await outcome(client, "plain")
        assert "Hello" in await outcome(client, "stream")
        assert await outcome(client, "task") == "created"
    uploaded = await client.files.create(file=("a.jsonl", b"x" * 3_000_000), purpose="batch")
    assert uploaded.bytes == 3_000_000
    assert sim.served == 10
    if secure(sim):
        assert sim.connections.opened == 5  # creating calls have their own
        assert all("Proxy-Authorization" not in request.headers for request in sim.requests)


@pytest.mark.parametrize("credentials", ["user:wrong-password@", "somebody:right-password@", ""])
async def test_a_wrong_password_is_said_once(
    proxy: Program, sim: Simulator, connect: Connect, tls: Contexts, credentials: str
) -> None:
    """A clear error with the way out, without repeats and without a password; the service sees nothing.

    tinyproxy has 401 for wrong ones, as a service would: without a tunnel only its challenge tells who refused.
    """
    kind, words = ConnectError, WAY_OUT
    if "tinyproxy" in str(proxy.folder) and credentials and not secure(sim):
        kind, words = AuthenticationError, "not the service, but a proxy"
    client = await connect(sim.base_url, proxy=through(proxy, credentials), ssl=tls[1])
    for stream in (False, True):
        with pytest.raises(kind, match=re.escape(words)) as caught:
            await chat(client, stream=stream)
        assert (caught.value.retryable, len(caught.value.attempts)) == (False, 1)
        said = everything_said(caught.value).replace(WAY_OUT, "")
        assert not any(secret in said for secret in ("wrong-password", "right-password", "Basic", sim.api_key))
    assert (await outcome(client, "task")).endswith("1 attempts")
    assert sim.served == 0


async def test_a_service_that_is_absent_behind_a_proxy(
    proxy: Program, sim: Simulator, connect: Connect, tls: Contexts
) -> None:
    """The error is the proxy's; only what says that nothing was done is repeated for a call that creates."""
    absent = sim.base_url.replace(str(port_of(sim.base_url)), str(free_port()))
    client = await connect(absent, proxy=through(proxy), ssl=tls[1])
    for call in KINDS:
        said = await outcome(client, call)
        if secure(sim):
            assert said == "ConnectError, 3 attempts"  # no tunnel: nothing was sent
        elif "squid" in str(proxy.folder):
            assert said.startswith("OverloadedError 503 'ERROR: The requested URL could not be retrieved'")
            assert said.endswith("3 attempts")
        else:
            assert said.startswith("ServerError 500 '500 Unable to connect'")
            assert said.endswith("1 attempts" if call == "task" else "3 attempts")


async def test_a_proxy_that_is_absent(sim: Simulator, connect: Connect, tls: Contexts) -> None:
    """Nobody at its port: ConnectError after all attempts, for each kind of call, without its password."""
    port = free_port()
    client = await connect(sim.base_url, proxy=f"http://user:right-password@127.0.0.1:{port}", ssl=tls[1])
    with pytest.raises(ConnectError, match=str(port)) as caught:
        await chat(client)
    assert "right-password" not in everything_said(caught.value)
    for call in KINDS:
        assert await outcome(client, call) == "ConnectError, 3 attempts"
    assert sim.served == 0


FORBIDDING = {"tinyproxy": tinyproxy(ports=(443,)), "squid": squid(rules="acl safe port 443\nhttp_access deny !safe")}


@pytest.mark.parametrize("name", FORBIDDING)
async def test_a_proxy_that_forbids_the_port(start: Start, connect: Connect, tls: Contexts, name: str) -> None:
    """A tunnel that the proxy does not allow: ConnectError with 403 and what to do about it, not repeated."""
    forbidding = start(name, FORBIDDING[name])
    async with Simulator(ssl=tls[0]) as sim:
        client = await connect(sim.base_url, proxy=through(forbidding), ssl=tls[1])
        with pytest.raises(ConnectError, match=r"403 .*allow CONNECT") as caught:
            await chat(client)
        assert (caught.value.arrived, len(caught.value.attempts)) == (False, 1)
        for call in KINDS:
            assert await outcome(client, call) == "ConnectError, 1 attempts"
        assert sim.served == 0


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_a_proxy_that_dies(start: Start, sim: Simulator, connect: Connect, tls: Contexts, name: str) -> None:
    """In the middle of a stream and before an answer: what had arrived is kept, and what creates is not sent again."""
    mortal = start(name, CONFIGURATIONS[name])
    client = await connect(sim.base_url, proxy=through(mortal), ssl=tls[1])

    async def read() -> None:
        async for piece in await chat(client, stream=True):
            if piece.choices[0].delta.content:
                mortal.end()

    waiting = asyncio.create_task(client.images.generate(model="cogview-4", prompt="Hello"))
    await sim.wait_until(lambda: sim.served == 1)
    with pytest.raises(StreamTruncated) as caught:
        await read()
    assert caught.value.partial.text
    with pytest.raises(ConnectionLost) as lost:
        await waiting
    assert (lost.value.arrived, len(lost.value.attempts)) == (True, 1)
    for call in KINDS:
        assert await outcome(client, call) == "ConnectError, 3 attempts"
    await sim.wait_until(lambda: sim.in_flight == 0)
    assert sim.served == 2


async def test_the_environment_names_the_proxy(
    proxy: Program, sim: Simulator, connect: Connect, tls: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY, HTTPS_PROXY and ALL_PROXY count, NO_PROXY and trust_env=False go round it, an argument goes first."""
    wrong, right = through(proxy, "user:wrong-password@"), through(proxy)
    name = "HTTPS_PROXY" if secure(sim) else "HTTP_PROXY"

    async def answers(**settings: object) -> bool:
        return "Hello" in await outcome(await connect(sim.base_url, ssl=tls[1], **settings), "plain")

    for variable in (name, name.lower(), "ALL_PROXY"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, right)
            assert await answers()
            patch.setenv(variable, wrong)
            assert not await answers()
            assert await answers(proxy=right)
            assert await answers(trust_env=False)
            for exempt in ("127.0.0.1", "*", f"localhost,127.0.0.1:{port_of(sim.base_url)}"):
                patch.setenv("NO_PROXY", exempt)
                assert await answers()
            patch.setenv("NO_PROXY", "example.com,10.0.0.1")
            assert not await answers()
