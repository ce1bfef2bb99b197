"""What the fault suite shares: programs and clients that end with their test, calls, and what became of them."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
import trustme

from tests.conftest import SHORT_SLEEPS
from tests.faults.programs import OPTIONS, Configure, Program, running
from zhipu_async import APIError, AsyncZhipuAI, RequestTimeout, StreamError, ZhipuError
from zhipu_async.simulator import DEFAULT_KEY


class Start(Protocol):
    """Starts a program, which ends with the test."""

    def __call__(self, name: str, configure: Configure) -> Program: ...


class Connect(Protocol):
    """Makes a client, which is closed at the end of the test, after it was found whole."""

    async def __call__(self, base_url: str, **settings: Any) -> AsyncZhipuAI: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """``program = start("nginx", nginx(sim.base_url))``."""
    with ExitStack() as stack:
        yield lambda name, configure: stack.enter_context(running(name, OPTIONS[name], configure))


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """``client = await connect(url, **settings)``; all are whole in the end."""
    clients: list[AsyncZhipuAI] = []
    async with AsyncExitStack() as stack:

        async def make(base_url: str, **settings: Any) -> AsyncZhipuAI:
            settings = {"api_key": DEFAULT_KEY, "retry": SHORT_SLEEPS, **settings}
            client = await stack.enter_async_context(AsyncZhipuAI(base_url=base_url, **settings))
            clients.append(client)
            return client

        yield make
        for client in clients:
            await whole(client)


WHOLE_SECONDS = 3.0
"""How long a client may take to be whole: the end of a stream is read in the background, for a second at most."""


async def whole(client: AsyncZhipuAI) -> None:
    """Pool and limiter are whole: no connection is in use, no call in flight or waiting for one or for its turn."""
    for _ in range(int(WHOLE_SECONDS / 0.005)):
        if not held(client):
            break
        await asyncio.sleep(0.005)
    assert held(client) == {}


def held(client: AsyncZhipuAI) -> dict[str, tuple[int, int]]:
    """Connections, and calls of each model, that are taken and that are waited for, where there are any."""
    pool = client.pool.statistics()
    models = {name: (it.in_flight, it.waiting) for name, it in client.concurrency().items()}
    counts = {"connections": (pool.in_use, pool.waiting), **models}
    return {name: count for name, count in counts.items() if count != (0, 0)}


# ------------------------------------------------------------ calls, and what became of them

MESSAGES = ({"role": "user", "content": "Hello"},)


async def chat(client: AsyncZhipuAI, **changes: Any) -> Any:
    """A small chat call, with changes: ``await chat(client, stream=True)``."""
    return await client.chat.completions.create(**{"model": "glm-4.6", "messages": MESSAGES, **changes})


async def _plain(client: AsyncZhipuAI) -> str:
    text: str = (await chat(client)).text
    return text


async def _stream(client: AsyncZhipuAI) -> str:
    async with await chat(client, stream=True) as stream:
        text: str = (await stream.until_done()).text
        return text


async def _task(client: AsyncZhipuAI) -> str:
    return "created" if (await client.videos.generate(model="cogvideox-3", prompt="Hello")).id else "no task"


CALLS: Mapping[str, Callable[[AsyncZhipuAI], Awaitable[str]]] = {"plain": _plain, "stream": _stream, "task": _task}
"""A whole answer, a stream, and a call that creates a task: the three that differ in what may be repeated."""


async def outcome(client: AsyncZhipuAI, call: str) -> str:
    """What a call came to: its text, or what :func:`told` says of its error."""
    try:
        return await CALLS[call](client)
    except ZhipuError as error:
        return told(error)


async def around(client: AsyncZhipuAI, call: str, idle: float) -> list[str]:
    """What 160 calls come to, twenty at a time, which begin about when connections idle for so long are closed.

    The loop is held up then, as by somebody's own work, so that the calls are sent before it has seen any of that.
    """
    said: list[str] = []
    chance = random.Random(6)
    for _ in range(8):
        said += await asyncio.gather(*(outcome(client, call) for _ in range(20)))
        await asyncio.sleep(idle / 2)
        time.sleep(idle * chance.uniform(0.4, 0.8))  # noqa: ASYNC251 -- that is the point
    return said


async def traffic(client: AsyncZhipuAI, disturb: Callable[[], Awaitable[None]]) -> list[str]:
    """What calls of every kind come to, twelve at a time, while after each forty of them ``disturb`` is awaited."""
    said: list[str] = []
    enough = asyncio.Event()

    async def caller(call: str) -> None:
        while not enough.is_set():
            said.append(await outcome(client, call))
            if len(said) % 40 == 0:
                turn.release()

    turn = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        for call in [*CALLS] * 4:
            group.create_task(caller(call))
        for _ in range(3):
            await turn.acquire()
            await disturb()
        await turn.acquire()
        enough.set()
    return said


def told(error: ZhipuError) -> str:
    """An error in a line: its class, with the fields that matter, and how many attempts were made."""
    text = type(error).__name__
    match error:
        case APIError():
            text += f" {error.status} {error.message!r}"
        case RequestTimeout():
            text += f" {error.clock}"
        case StreamError():
            text += f" after {error.partial.text!r}"
    return f"{text}, {len(error.attempts)} attempts"


# ------------------------------------------------------------ certificates


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as a server shows it, and how it looks to a client."""

    pem: Path
    """Key and chain in one file."""
    context: ssl.SSLContext
    """The client's."""
    flaw: str
    """A part of the error's text; "" where there is nothing wrong with it."""


FLAWS = {
    "trusted": "",
    "of an unknown authority": "unable to get local issuer certificate",
    "for another host": "IP address mismatch, certificate is not valid for '127.0.0.1'",
    "expired": "certificate has expired",
}


@pytest.fixture(params=FLAWS)
def certificate(request: pytest.FixtureRequest, tmp_path: Path) -> Certificate:
    """One of each kind."""
    authority, context = trustme.CA(), ssl.create_default_context()
    if request.param != "of an unknown authority":
        authority.configure_trust(context)
    now = datetime.now(UTC)
    leaf = authority.issue_cert(
        "127.0.0.2" if request.param == "for another host" else "127.0.0.1",
        not_before=now - timedelta(days=3),
        not_after=now + timedelta(days=-1 if request.param == "expired" else 3),
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
    return Certificate(pem, context, FLAWS[request.param])
