"""A video is a task: create it, wait for it and watch it, and what happens when it takes too long or fails."""

import asyncio
import tempfile
import time
from pathlib import Path

from service import USUAL, connect

from zhipu_async import AsyncResult, AsyncZhipuAI, TaskFailed, TaskTimeout
from zhipu_async.simulator import Scenario, SeenRequest

PROMPTS = ("A lighthouse in a storm", "A film that cannot be made")
BEGAN = time.perf_counter()


def fault(request: SeenRequest) -> dict[str, object] | None:
    """What the simulator fails in; real tasks fail by themselves."""
    if "cannot" in str(request.get("prompt")):
        return {"error": {"code": "1234", "message": "no picture came of it"}}
    return None


async def film(client: AsyncZhipuAI, prompt: str, folder: Path) -> None:
    def show(text: object) -> None:
        print(f"{time.perf_counter() - BEGAN:4.0f} s  {prompt}: {text}")

    def progress(answer: AsyncResult) -> None:
        show(answer.task_status)

    task = await client.videos.generate(model="cogvideox-flash", prompt=prompt)
    try:
        try:
            result = await client.wait(task, timeout=1)
        except TaskTimeout as error:  # the task goes on: it can be waited for again, also by another program
            show(error)
            result = await client.wait(task, timeout=600, progress=progress)
    except TaskFailed as error:
        show(f"failed, {error.code}: {error.reason}")
        return
    for url in result.urls:  # they live for about a day
        path = await client.download.to_file(folder / f"{task.id}.mp4", url)
        show(f"{path.name}, {path.stat().st_size} bytes")


async def main(folder: Path) -> None:
    scenario = Scenario(pace=USUAL.pace, task_seconds=8, task_failure=fault)
    async with connect(scenario) as client, asyncio.TaskGroup() as group:
        for prompt in PROMPTS:
            group.create_task(film(client, prompt, folder))


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
