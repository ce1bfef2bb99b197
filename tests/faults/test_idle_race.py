"""The idle race: a server closes a connection that it holds for idle in the moment when the next request comes.

The request was not worked on then, which the client cannot see. A chat call creates nothing: it is sent again at once,
outside the count of repeats. A call that creates something goes on a fresh connection, which the race cannot hit.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from tests.faults.conftest import Connect, Start, whole
from tests.faults.programs import nginx
from tests.servers import COMPLETION, Conversation, byte_server
from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Answer, Json, Reply, Scenario, SeenRequest, Simulator

PAUSE = 0.002
"""Seconds after which a connection is closed, and around which the next request comes."""
WORKERS = 10


# ------------------------------------------------------------ how a server closes


def reset(talk: Conversation) -> None:
    """RST."""
    connection: socket.socket = talk.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.writer.transport.abort()


async def kept(talk: Conversation) -> bytes:
    """Not at all."""
    return await talk.request()


async def fin_on_time(talk: Conversation) -> bytes:
    """FIN when its time is over, unless a request came first."""
    try:
        async with asyncio.timeout(random.uniform(0.5, 1.5) * PAUSE):
            return await talk.request()
    except TimeoutError:
        return b""


async def rst_on_time(talk: Conversation) -> bytes:
    """The same with RST."""
    request = await fin_on_time(talk)
    if not request:
        reset(talk)
    return request


async def fin_upon_the_request(talk: Conversation) -> bytes:
    """FIN in the instant when the first byte of the request arrives."""
    await talk.reader.read(1)
    return b""


async def rst_upon_the_request(talk: Conversation) -> bytes:
    """RST in that instant."""
    if await talk.reader.read(1):
        reset(talk)
    return b""


async def fin_behind_the_head(talk: Conversation) -> bytes:
    """FIN when the head of the request was read, and nothing of its body."""
    await talk.head()
    return b""


async def rst_behind_the_head(talk: Conversation) -> bytes:
    """RST at that point."""
    if await talk.head():
        reset(talk)
    return b""


async def unread(talk: Conversation) -> bytes:
    """Closed while the request lies unread in the system's buffer, which makes it a RST."""
    talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(2 * PAUSE)
    return b""


async def half_closed(talk: Conversation) -> bytes:
    """FIN just before or after the request, which is read and dropped."""
    await asyncio.sleep(random.uniform(0.5, 1.0) * PAUSE)
    talk.writer.write_eof()
    await talk.reader.read()
    return b""


async def told_408(talk: Conversation) -> bytes:
    """FIN when its time is over, with a 408 before it, as load balancers send it."""
    request = await fin_on_time(talk)
    if not request:
        await talk.answer(b"<html>", "Connection: close", status="408 Request Time-out", kind="text/html")
    return request


Closing = Callable[[Conversation], Awaitable[bytes]]
CLOSINGS: tuple[Closing, ...] = (
    *(kept, fin_on_time, rst_on_time, fin_upon_the_request, rst_upon_the_request),
    *(fin_behind_the_head, rst_behind_the_head, unread, half_closed),
)
"""Each waits for the next request of a kept connection: the request, or b"" where the connection ends in its place."""

BY_CHANCE = (kept, fin_on_time, rst_on_time, half_closed)
"""Those that may all come too early, so that the client sees them in time, or never."""


@dataclass
class Service:
    """Works on the first request of each connection, and on a later one as ``closings`` leave it."""

    closings: tuple[Closing, ...]
    done: Counter[str] = field(default_factory=Counter)
    """How often the request of each name was worked on."""
    later: set[str] = field(default_factory=set)
    """Those that came on a connection that was used before."""

    async def __call__(self, talk: Conversation) -> None:
        request, before = await talk.request(), False
        while request:
            body = json.loads(request.partition(b"\r\n\r\n")[2])
            name = body.get("prompt") or body["messages"][0]["content"]
            self.done[name] += 1
            self.later |= {name} if before else set()
            task = json.dumps({"id": name, "request_id": "1", "task_status": "PROCESSING"}).encode()
            await talk.answer(task if "prompt" in body else COMPLETION.replace(b"Hi", name.encode()))
            request, before = await random.choice(self.closings)(talk), True


# ------------------------------------------------------------ calls around the moment


async def race(client: AsyncZhipuAI, count: int) -> tuple[set[str], set[str]]:
    """``count`` chat calls and as many that create a task, each with its own answer; the names of both."""
    chats, tasks = ({f"{kind} {number}" for number in range(count)} for kind in ("chat", "task"))
    names = [*chats, *tasks]
    random.shuffle(names)

    async def work() -> None:
        while names:
            name = names.pop()
            if name in tasks:
                assert (await client.videos.generate(model="cogvideox-3", prompt=name)).id == name
            else:
                messages = [{"role": "user", "content": name}]
                assert (await client.chat.completions.create(model="glm-4.6", messages=messages)).text == name
            await asyncio.sleep(random.uniform(0, 2) * PAUSE)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return chats, tasks


@pytest.fixture
def races(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """How often a call met the race and was sent again so far."""
    caplog.set_level("DEBUG", "zhipu_async")
    return lambda: sum("once more on a fresh one" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("closings", "count"),
    [
        *(pytest.param((it,), 20, id=it.__name__) for it in CLOSINGS),
        pytest.param(CLOSINGS, 500, id="all", marks=pytest.mark.heavy),
    ],
)
async def test_a_server_that_closes(
    closings: tuple[Closing, ...], count: int, connect: Connect, races: Callable[[], int]
) -> None:
    """No call fails although none may be repeated, and none is worked on twice, however the server closes."""
    service = Service(closings)
    async with byte_server(service) as server:
        client = await connect(server.url, max_retries=0)
        chats, tasks = await race(client, count)
        await whole(client)
        assert service.done == dict.fromkeys(chats | tasks, 1)
        assert not service.later & tasks
        assert races() > 0 or closings[0] in BY_CHANCE
        assert server.opened >= count
        await client.close()


async def test_a_server_that_says_408_and_closes(connect: Connect) -> None:
    """Its 408 is no answer to what is just being sent, and is met like a connection that closes without a word."""
    service = Service((told_408,))
    async with byte_server(service) as server:
        client = await connect(server.url, max_retries=0)
        chats, tasks = await race(client, 50)
        assert service.done == dict.fromkeys(chats | tasks, 1)
        await client.close()


def named(request: SeenRequest) -> str:
    """The name of a chat call or of a task."""
    return str(request.get("prompt") or request.body["messages"][0]["content"])


def by_name(request: SeenRequest) -> Answer:
    """Its answer."""
    name = named(request)
    return Json({"id": name, "task_status": "PROCESSING"}) if request.get("prompt") else Reply(name)


@pytest.mark.heavy
async def test_nginx_that_closes_after_3_ms(start: Start, connect: Connect) -> None:
    """The same for a server that nobody here wrote, in a process of its own."""
    async with Simulator(Scenario(replies=by_name)) as sim:
        program = start("nginx", nginx(sim.base_url, server="keepalive_timeout 3ms;"))
        client = await connect(program.base_url, api_key=sim.api_key, max_retries=0)
        chats, tasks = await race(client, 500)
        assert Counter(map(named, sim.requests)) == dict.fromkeys(chats | tasks, 1)
