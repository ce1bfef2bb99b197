"""A peer that means harm: it answers with scripted bytes, and a client that is asked in every way it can be asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from tests.servers import COMPLETION, ByteServer, Conversation, byte_server
from zhipu_async import AsyncZhipuAI, Limits, RetryPolicy, Timeouts, ZhipuError

SHORT = Timeouts(connect=5.0, first_byte=0.3, first_token=0.4, between=0.3, total=0.5, stream_total=0.5)
"""Clocks for attacks that only a clock ends."""
LONG = Timeouts(connect=20.0, first_byte=20.0, first_token=20.0, between=20.0, total=20.0, stream_total=20.0)
"""Clocks that never fire where a bound must."""
SMALL = Limits(body=200_000, event=50_000, stream=400_000)
"""Bounds that a few writes go beyond."""
PATIENCE = 15.0
"""Seconds after which a call counts as hung: many times what SHORT allows, and less than LONG."""
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no text for people may hold: what moves a cursor or turns a line, and half a character."""
MESSAGES = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Attack:
    """What is answered to a request: ``data`` once, then ``again`` for ever, or as often as ``times`` says."""

    data: bytes
    again: bytes = b""
    every: float = 0.0
    """Seconds between two of ``again``."""
    times: int | None = None
    closes: bool = True
    """Whether the connection is closed in the end; otherwise it stays open, in silence until the next request."""
    greets: bool = False
    """Whether it is said before the request has come."""

    async def strike(self, talk: Conversation) -> None:
        """Say it."""
        await talk.send(self.data)
        rounds: Iterator[None] = repeat(None) if self.times is None else repeat(None, self.times)
        for _ in rounds if self.again else ():
            await talk.send(self.again)
            await asyncio.sleep(self.every)


@dataclass
class Peer:
    """The server: ``attack`` is what it does now; None: it answers like the service."""

    server: ByteServer
    attack: Attack | None = None
    struck: int = 0
    complaints: list[Mapping[str, Any]] = field(default_factory=list)
    """What the event loop was told: errors that nobody took, callbacks that failed."""


@asynccontextmanager
async def hostile_peer(attack: Attack | None = None, **settings: Any) -> AsyncIterator[tuple[AsyncZhipuAI, Peer]]:
    """A client with small bounds, and its peer."""
    settings = {"timeout": LONG, "limits": SMALL, "max_retries": 0, "retry": RetryPolicy(base=0, cap=0), **settings}

    async def handler(talk: Conversation) -> None:
        if peer.attack is not None and peer.attack.greets:
            await peer.attack.strike(talk)
        while await talk.request():
            if (attack := peer.attack) is None:
                await talk.answer(COMPLETION)
                continue
            peer.struck += 1
            if not attack.greets:
                await attack.strike(talk)
            if attack.closes:
                return

    peer = Peer(ByteServer(), attack)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: peer.complaints.append(context))
    async with byte_server(handler) as server:
        peer.server = server
        async with AsyncZhipuAI("k.s", base_url=server.url, **settings) as client:
            yield client, peer


async def whole(client: AsyncZhipuAI, folder: Path) -> object:
    """A chat answer in one piece."""
    return await client.chat.completions.create(model="glm-4.6", messages=MESSAGES)


async def stream(client: AsyncZhipuAI, folder: Path) -> object:
    """A chat answer as events, to its end."""
    async with await client.chat.completions.create(model="glm-4.6", messages=MESSAGES, stream=True) as events:
        return await events.until_done()


async def raw(client: AsyncZhipuAI, folder: Path) -> object:
    """A chat answer as bytes."""
    return await client.chat.completions.with_raw_response.create(model="glm-4.6", messages=MESSAGES)


async def request(client: AsyncZhipuAI, folder: Path) -> object:
    """A path without an endpoint of its own."""
    return await client.request("GET", "/models")


async def upload(client: AsyncZhipuAI, folder: Path) -> object:
    """A form with a file."""
    return await client.files.create(file=("f.jsonl", b"{}" * 1000), purpose="batch")


async def download(client: AsyncZhipuAI, folder: Path) -> object:
    """A file in memory."""
    return await client.files.content("file-1")


async def to_file(client: AsyncZhipuAI, folder: Path) -> object:
    """A file under a path."""
    return await client.files.content.to_file(folder / "saved", "file-1")


async def elsewhere(client: AsyncZhipuAI, folder: Path) -> object:
    """A file of another host."""
    return await client.download(client.base_url + "/picture.png")


async def task(client: AsyncZhipuAI, folder: Path) -> object:
    """One question after a task."""
    return await client.chat.asyncCompletions.retrieve_completion_result("task-1")


async def creation(client: AsyncZhipuAI, folder: Path) -> object:
    """A task, which is created once."""
    return await client.videos.generations(model="cogvideox-3", prompt="a cat")


async def session(client: AsyncZhipuAI, folder: Path) -> object:
    """A realtime session, to its end."""
    async with client.realtime.connect("glm-realtime-flash") as events:
        return [event async for event in events]


Asking = Callable[[AsyncZhipuAI, Path], Awaitable[object]]
WAYS: dict[str, Asking] = {
    way.__name__: way
    for way in (whole, stream, raw, request, upload, download, to_file, elsewhere, task, creation, session)
}
"""Every way in which the client asks something of a peer."""


async def outcomes(attack: Attack, folder: Path, *names: str, **settings: Any) -> dict[str, object]:
    """What the callers get who ask at the same time in the ways of these ``names`` (without any: in all ways)."""
    async with hostile_peer(attack, **settings) as (client, peer):
        found = await asyncio.gather(*(outcome(WAYS[name], client, folder) for name in names or WAYS))
        assert peer.struck or attack.greets
        await is_whole(client, peer)
    return dict(zip(names or WAYS, found, strict=True))


async def outcome(way: Asking, client: AsyncZhipuAI, folder: Path) -> object:
    """What the caller gets: a value or an error of ours. Any other error, and a call that hangs, is raised."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await way(client, folder)
    except ZhipuError as error:
        text = str(error)
        assert len(text) < 20_000
        assert not UNSEEN.search(text)
        return error


def files_in(folder: Path) -> list[str]:
    """The paths of the files below ``folder``."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


async def is_whole(client: AsyncZhipuAI, peer: Peer) -> None:
    """After whatever came before: nothing is in use, nobody waits, and the next call gets its own answer."""
    peer.attack = None
    async with asyncio.timeout(PATIENCE):
        while client.pool.statistics().in_use:  # noqa: ASYNC110 # the end of a stream may still be drained
            await asyncio.sleep(0.01)
    assert client.pool.statistics().waiting == 0
    for _ in range(2):
        assert (await client.chat.completions.create(model="glm-4.6", messages=MESSAGES, timeout=PATIENCE)).text == "Hi"
    assert peer.complaints == []
