"""One question: asked, streamed, repeated, queued, and a client from its making to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession

from tests.cancelling.sweep import Stage
from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Delivery, Refusal, Reply, Scenario, Simulator
from zhipu_async.simulator.seen import SeenRequest

PIECES = Delivery(pause=0.0)
"""Each event, or 256 KB of a file, is a write of its own."""
CALLS = 4
FILE = b"0123456789abcdef" * 40_000
"""640 KB: more than one block of a file, and than one write of the simulator's."""


def chat(stage: Stage, number: int = 0, **more: Any) -> dict[str, Any]:
    """The arguments of a call that no other run makes."""
    content = f"question {number} of run {stage.number}"
    return {"model": "glm-4.6", "messages": [{"role": "user", "content": content}], **more}


def service(**scenario: Any) -> Callable[[], Simulator]:
    return lambda: Simulator(Scenario(**scenario))


SPEAKING = service(replies=[Reply("A few words that come one by one.", times=None, delivery=PIECES)])


async def ask(stage: Stage) -> None:
    stage.got.append(await stage.client.chat.completions.create(**chat(stage)))


async def ask_before(stage: Stage) -> None:
    """An idle connection is there."""
    await stage.client.chat.completions.create(**chat(stage, -1))


async def ask_by_name(stage: Stage) -> None:
    """The name of the host has to be looked up."""
    url = stage.client.base_url.replace("127.0.0.1", "localhost")
    await stage.client.with_options(base_url=url).chat.completions.create(**chat(stage))


async def draw(stage: Stage) -> None:
    await stage.client.images.generate(model="cogview-4", prompt=f"picture {stage.number}")


async def read_stream(stage: Stage) -> None:
    async with await stage.client.chat.completions.create(**chat(stage, stream=True)) as stream:
        async for chunk in stream:
            stage.got.append(chunk)


async def read_without_a_block(stage: Stage) -> None:
    async for chunk in await stage.client.chat.completions.create(**chat(stage, stream=True)):
        stage.got.append(chunk)


async def read_text(stage: Stage) -> None:
    stream = await stage.client.chat.completions.create(**chat(stage, stream=True))
    async for text in stream.text_deltas():
        stage.got.append(text)


async def read_events(stage: Stage) -> None:
    stream = await stage.client.chat.completions.create(**chat(stage, stream=True))
    async for event in stream.events():
        stage.got.append(event)


async def read_to_the_end(stage: Stage) -> None:
    await (await stage.client.chat.completions.create(**chat(stage, stream=True))).until_done()


def refusing_twice() -> Simulator:
    """Each question meets two refusals for load before it is answered."""
    times: dict[bytes, int] = {}

    def answer(request: SeenRequest) -> Any:
        times[request.raw] = times.get(request.raw, 0) + 1
        return Refusal("1305") if b"question" in request.raw and times[request.raw] < 3 else None

    return Simulator(Scenario(replies=answer))


async def ask_several(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(CALLS):
            group.create_task(stage.client.chat.completions.create(**chat(stage, number)))


async def whole_client(stage: Stage) -> None:
    """A client of its own, from its making to its end, with an idle connection and one that is read."""
    async with AsyncZhipuAI(stage.service.api_key, base_url=stage.service.base_url) as client:
        stream = await client.chat.completions.create(**chat(stage, stream=True))
        await client.chat.completions.create(**chat(stage, 1))
        await anext(stream)


async def ask_in_a_session(stage: Stage) -> None:
    """The connections are those of an aiohttp session of the caller's."""
    async with ClientSession() as session:
        url = stage.service.base_url
        async with AsyncZhipuAI(stage.service.api_key, base_url=url, session=session) as client:
            await client.chat.completions.create(**chat(stage))
            await (await client.chat.completions.create(**chat(stage, stream=True))).until_done()
            await client.files.create(file=("a.jsonl", FILE), purpose="batch")


async def close_twice(stage: Stage) -> None:
    """Two tasks close one client, while two streams of it are open."""
    client = AsyncZhipuAI(stage.service.api_key, base_url=stage.service.base_url)
    try:
        streams = [await client.chat.completions.create(**chat(stage, n, stream=True)) for n in range(2)]
        await anext(streams[0])
        async with asyncio.TaskGroup() as group:
            group.create_task(client.close())
            group.create_task(client.close())
    finally:
        await client.close()
