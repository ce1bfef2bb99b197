"""Asynchronous tasks, held against async_tasks.md."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from zhipu_async.simulator import Json, Scenario, SeenRequest

from .asking import HELLO, WEATHER, Answered, Asker, simulated
from .uploading import polled


async def create(ask: Asker, **fields: Any) -> dict[str, Any]:
    """Create a chat task."""
    answered = await ask.post(HELLO | fields, "/async/chat/completions")
    assert answered.status == 200
    status: dict[str, Any] = answered.json
    return status


async def fetch(ask: Asker, identity: str) -> Answered:
    """How a task stands."""
    return await ask.request("GET", f"/async-result/{identity}")


async def done(ask: Asker, identity: str) -> dict[str, Any]:
    """A task when it no longer runs."""
    answered = await polled(lambda: fetch(ask, identity), lambda got: got.json["task_status"] != "PROCESSING")
    result: dict[str, Any] = answered.json
    return result


async def test_a_chat_task(ask: Asker) -> None:
    """A task is PROCESSING without any result, then it is the chat answer with its own id and SUCCESS."""
    created = await create(ask, request_id="my-req-0001")
    identity = created["id"]
    assert created == {
        "id": identity,
        "request_id": "my-req-0001",
        "model": "glm-4.6",
        "task_status": "PROCESSING",
    }
    assert (await fetch(ask, identity)).json == created
    result = await done(ask, identity)
    plain = (await ask.hello()).json
    assert result.keys() == plain.keys() | {"task_status"}
    assert (result["id"], result["request_id"], result["model"]) == (identity, "my-req-0001", "glm-4.6")
    assert (result["task_status"], result["usage"]) == ("SUCCESS", plain["usage"])
    assert result["choices"] == plain["choices"]
    assert (await fetch(ask, identity)).json == result


async def test_a_task_has_a_request_id_of_its_own(ask: Asker) -> None:
    """Without a request_id of the caller it is the id."""
    created = await create(ask)
    assert created["request_id"] == created["id"]


async def test_tasks_are_apart(ask: Asker) -> None:
    """Each task has its own id and answer."""
    texts = [f"number {place}" for place in range(20)]
    tasks = await asyncio.gather(*(create(ask, messages=[{"role": "user", "content": text}]) for text in texts))
    results = await asyncio.gather(*(done(ask, task["id"]) for task in tasks))
    assert len({task["id"] for task in tasks}) == 20
    for text, result in zip(texts, results, strict=True):
        assert text in result["choices"][0]["message"]["content"]


async def test_tool_calls_in_a_task(ask: Asker) -> None:
    """The answer of a task may be tool calls."""
    result = await done(ask, (await create(ask, tools=[WEATHER]))["id"])
    assert result["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"stream": True}, "1214"),
        ({"tool_stream": True}, "1214"),
        ({"model": "none"}, "1211"),
        ({"messages": []}, "1214"),
    ],
)
async def test_refused_tasks(ask: Asker, fields: dict[str, Any], code: str) -> None:
    """What a chat completion refuses, a task refuses, and streams too."""
    answered = await ask.post(HELLO | fields, "/async/chat/completions")
    assert (answered.status, answered.code) == (400, code)


async def test_unsafe_prompts_are_refused_at_once(ask: Asker) -> None:
    """Content safety answers the creation."""
    body = HELLO | {"messages": [{"role": "user", "content": "[unsafe prompt]"}]}
    assert (await ask.post(body, "/async/chat/completions")).code == "1301"


@pytest.mark.parametrize("identity", ["0", "20261120091012345678", "%E4%BD%A0"])
async def test_unknown_tasks(ask: Asker, identity: str) -> None:
    """An id that nothing has is refused with 400 and 1214."""
    answered = await fetch(ask, identity)
    assert (answered.status, answered.code) == (400, "1214")


def seconds(request: SeenRequest) -> float:
    """A time for each user."""
    return 0.15 if request.get("user_id") == "slow-user" else 0.0


async def test_a_time_for_each_task() -> None:
    """How long a task takes can depend on its request."""
    async with simulated(Scenario(task_seconds=seconds)) as ask:
        started = time.monotonic()
        slow = (await create(ask, user_id="slow-user"))["id"]
        quick = (await create(ask))["id"]
        assert (await fetch(ask, quick)).json["task_status"] == "SUCCESS"
        assert (await fetch(ask, slow)).json["task_status"] == "PROCESSING"
        assert (await done(ask, slow))["task_status"] == "SUCCESS"
        assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize(
    "reason",
    [
        {},
        {"error": {"code": "1301", "message": "unsafe"}},
        {"error": "out of luck"},
        {"message": "out of luck"},
        {"content_filter": [{"role": "assistant", "level": 0}]},
    ],
)
async def test_failures(reason: Mapping[str, Any]) -> None:
    """A task fails with HTTP 200 and the reason that the scenario gives, or with none."""
    async with simulated(Scenario(task_failure=reason)) as ask:
        created = await create(ask)
        assert created["task_status"] == "PROCESSING"
        assert await done(ask, created["id"]) == {**created, "task_status": "FAIL", **reason}
        assert (await fetch(ask, created["id"])).status == 200


async def test_a_failure_for_some() -> None:
    """Which tasks fail can depend on their requests."""
    failure = {"error": {"code": "500", "message": "no"}}
    scenario = Scenario(task_failure=lambda request: failure if request.get("user_id") else None)
    async with simulated(scenario) as ask:
        failing, other = await create(ask, user_id="user-01"), await create(ask)
        assert (await done(ask, failing["id"]))["error"] == failure["error"]
        assert (await done(ask, other["id"]))["task_status"] == "SUCCESS"


async def test_a_status_that_nobody_knows() -> None:
    """A script can answer a poll with anything."""
    async with simulated(Scenario(replies=[Json({"task_status": "QUEUED"})])) as ask:
        assert (await fetch(ask, "1")).json == {"task_status": "QUEUED"}


async def test_results_are_made_once(ask: Asker) -> None:
    """The maker of a result is called by the first fetch after the end, once, and the result may be anything."""
    await ask.hello()
    calls: list[int] = []

    def make() -> dict[str, Any]:
        calls.append(1)
        return {"image_result": [{"url": "https://example.com/i.png"}], "id": "other"}

    created = ask.sim._service._stage.tasks.create(ask.sim.requests[0], make).body
    assert calls == []
    results = [await done(ask, created["id"]) for _ in range(2)]
    assert results[0] == results[1]
    assert results[0] == created | {
        "task_status": "SUCCESS",
        "image_result": [{"url": "https://example.com/i.png"}],
    }
    assert calls == [1]


async def test_failed_tasks_make_nothing() -> None:
    """The maker of a result is not called for a task that fails."""

    def make() -> dict[str, Any]:
        raise AssertionError

    async with simulated(Scenario(task_failure={}, task_seconds=0)) as ask:
        await ask.hello()
        created = ask.sim._service._stage.tasks.create(ask.sim.requests[0], make).body
        assert (await done(ask, created["id"]))["task_status"] == "FAIL"


async def test_tasks_outlive_a_restart(ask: Asker) -> None:
    """Tasks are there when the simulator is entered again."""
    identity = (await create(ask))["id"]
    await ask.sim.__aexit__(None, None, None)
    async with ask.sim:
        assert (await done(ask, identity))["task_status"] == "SUCCESS"
