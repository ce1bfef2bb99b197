"""Functions that a model calls, answers as types, tasks, files, lists and sessions."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

from tests.cancelling.asking import FILE, PIECES, chat, service
from tests.cancelling.sweep import Stage
from zhipu_async.simulator import Reply, Scenario, Simulator, ToolCall
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.types.tasks import VideoTask

running = 0
"""Functions of the model's that run."""


async def look(place: str) -> str:
    """Look there."""
    global running
    running += 1
    try:
        await asyncio.sleep(0.002)
    finally:
        running -= 1
    return "seen"


def look_up(place: str) -> str:
    """Look it up; in a thread."""
    time.sleep(0.002)
    return "found"


def count(place: str) -> str:
    """Count it; blocks a thread that asks the loop nothing."""
    return "three"


def thinking() -> Simulator:
    """A model that calls all functions, and answers when it has their results."""

    def answer(request: SeenRequest) -> Any:
        if request.get("tools") and request.body["messages"][-1]["role"] == "user":
            made = [ToolCall(name, {"place": "here"}) for name in ("look", "look_up", "count")]
            return Reply("", tool_calls=made, delivery=PIECES)
        return Reply("Done.", delivery=PIECES)

    return Simulator(Scenario(replies=answer))


async def use_tools(stage: Stage, **more: Any) -> None:
    run = stage.client.chat.completions.run_tools(**chat(stage, tools=[look, look_up, count], **more))
    stage.got.append(run)
    async with run:
        async for _ in run:
            pass


async def await_tools(stage: Stage) -> None:
    run = stage.client.chat.completions.run_tools(**chat(stage, tools=[look, look_up, count]))
    stage.got.append(run)
    await run


async def stream_tools(stage: Stage) -> None:
    await use_tools(stage, stream=True)


async def tools_are_done(stage: Stage) -> None:
    """No function runs, and each call in the conversation has its answer."""
    assert running == 0
    for run in stage.got:
        asked = [call.id for message in run.messages for call in getattr(message, "tool_calls", None) or ()]
        told = [message.tool_call_id for message in run.messages if hasattr(message, "tool_call_id")]
        assert sorted(told) == sorted(asked)


DATA = service(replies=[Reply('{"numbers": [1, 2, 3]}', pieces=4, times=None, delivery=PIECES)])


async def parse(stage: Stage) -> None:
    await stage.client.chat.completions.parse(dict[str, list[int]], **chat(stage))


async def watch_parse(stage: Stage) -> None:
    async with stage.client.chat.completions.parse(dict[str, list[int]], **chat(stage)) as run:
        async for value in run:
            stage.got.append(value)


# ---------------------------------------------------------------- tasks, files, lists, sessions


async def wait_for_video(stage: Stage) -> None:
    task = await stage.client.videos.generate(model="cogvideox-3", prompt=f"film {stage.number}")
    assert isinstance(task, VideoTask)
    await stage.client.wait(task)


async def upload_bytes(stage: Stage) -> None:
    await stage.client.files.create(file=("a.jsonl", FILE), purpose="batch")


async def make_file(stage: Stage) -> None:
    (stage.folder / "source.jsonl").write_bytes(FILE)


async def upload_path(stage: Stage) -> None:
    await stage.client.files.create(file=stage.folder / "source.jsonl", purpose="batch")


async def upload_open_file(stage: Stage) -> None:
    file = io.BytesIO(FILE)
    file.name = "a.jsonl"
    await stage.client.files.create(file=file, purpose="batch")
    assert not file.closed


async def store_file(stage: Stage) -> None:
    stage.got.append(await stage.client.files.create(file=("a.jsonl", FILE), purpose="batch"))


async def download(stage: Stage) -> None:
    await stage.client.files.content.to_file(stage.folder / "copy.jsonl", stage.got[0].id)


async def read_file(stage: Stage) -> None:
    async with await stage.client.files.content.open(stage.got[0].id) as coming:
        async for _ in coming:
            pass


async def copy_is_whole(stage: Stage) -> None:
    """A copy that is there is whole."""
    copy = stage.folder / "copy.jsonl"
    assert not copy.exists() or copy.read_bytes() == FILE


async def store_files(stage: Stage) -> None:
    for _ in range(3):
        await stage.client.files.create(file=("a.jsonl", b"{}"), purpose="agent")


async def list_files(stage: Stage) -> None:
    async for file in stage.client.files.list(purpose="agent", limit=1):
        stage.got.append(file)
        if len(stage.got) == 3:
            break


async def talk(stage: Stage) -> None:
    async with stage.client.realtime.connect("glm-realtime-flash") as session:
        async for event in session:
            stage.got.append(event)
            if event.type == "session.updated":
                await session.append_audio(b"\0" * 1000)
                break
