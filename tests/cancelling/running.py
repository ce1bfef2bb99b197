"""Runs of many calls: fan-outs and batches, and what a later run makes of their journals."""

from __future__ import annotations

from typing import Any

from tests.cancelling.asking import CALLS, chat
from tests.cancelling.sweep import Stage, soon
from zhipu_async import AsyncZhipuAI, ConfigError, Journal


def calls(stage: Stage) -> list[Any]:
    return [AsyncZhipuAI.chat.completions.create.call(**chat(stage, number)) for number in range(CALLS)]


async def iterate(stage: Stage) -> None:
    async with stage.client.fan_out(calls(stage), concurrency=2) as run:
        async for outcome in run:
            stage.got.append(outcome.unwrap())


async def iterate_without_a_block(stage: Stage) -> None:
    async for outcome in stage.client.fan_out(calls(stage), ordered=True):
        stage.got.append(outcome.unwrap())


async def collect(stage: Stage) -> None:
    stage.got += await stage.client.fan_out(calls(stage)).collect()


async def drain(stage: Stage) -> None:
    async with stage.client.fan_out(calls(stage), leaving="drain") as run:
        async for outcome in run:
            stage.got.append(outcome.unwrap())


async def journalled(stage: Stage) -> None:
    path = stage.folder / "answers.jsonl"
    async with stage.client.fan_out(calls(stage), journal=path, concurrency=2) as run:
        async for outcome in run:
            stage.got.append(outcome.id)


async def draw_many(stage: Stage) -> None:
    """Calls that create something."""
    generate = AsyncZhipuAI.images.generations
    pictures = [generate.call(model="cogview-4", prompt=f"{number} of {stage.number}") for number in range(CALLS)]
    async with stage.client.fan_out(pictures, journal=stage.folder / "answers.jsonl", concurrency=2) as run:
        async for outcome in run:
            stage.got.append(outcome.id)


async def resume_calls(stage: Stage) -> None:
    await _resume(stage, calls(stage))


async def resume_pictures(stage: Stage) -> None:
    generate = AsyncZhipuAI.images.generations
    pictures = [generate.call(model="cogview-4", prompt=f"{number} of {stage.number}") for number in range(CALLS)]
    await _resume(stage, pictures)


async def _resume(stage: Stage, work: list[Any]) -> None:
    """What was given out is in the journal, and so is not sent again; each call has an outcome in the end."""
    sent, outcomes = len(stage.service.requests), list[Any]()

    async def resume() -> bool:
        journal = Journal(stage.folder / "answers.jsonl", resume=True)
        try:
            outcomes[:] = await stage.client.fan_out(work, journal=journal).collect()
        except ConfigError:  # a thread that was opening it still has it
            return False
        return True

    await soon(resume, "the journal stays locked")
    replayed = {outcome.id for outcome in outcomes if outcome.replayed}
    assert replayed >= set(stage.got)
    assert len({outcome.id for outcome in outcomes}) == CALLS
    assert len(stage.service.requests) - sent == CALLS - len(replayed)


async def batches(stage: Stage) -> None:
    async with stage.client.run_batches(calls(stage), journal=stage.folder / "answers.jsonl") as run:
        async for outcome in run:
            stage.got.append(outcome.id)


async def resume_batches(stage: Stage) -> None:
    """A batch that was created is found again, and no second one is made of its calls."""
    outcomes = list[Any]()

    async def resume() -> bool:
        journal = Journal(stage.folder / "answers.jsonl", resume=True)
        try:
            outcomes[:] = await stage.client.run_batches(calls(stage), journal=journal).collect()
        except ConfigError:  # a thread that was opening it still has it
            return False
        return True

    await soon(resume, "the journal stays locked")
    assert len({outcome.id for outcome in outcomes if outcome.ok}) == CALLS
    assert {outcome.id for outcome in outcomes} >= set(stage.got)
    created = [request for request in stage.sent if (request.method, request.path[-8:]) == ("POST", "/batches")]
    assert len(created) == 1, created
