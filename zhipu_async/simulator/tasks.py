"""Asynchronous tasks: created by one call, fetched by others (contract page async_tasks.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zhipu_async.simulator.chat import Chat
from zhipu_async.simulator.rendering import Stamps, completion
from zhipu_async.simulator.replies import Answer, Json, Refusal, Reply
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.scenario import Scenario
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.simulator.validation import illegal


@dataclass(slots=True)
class _Task:
    """A task: what its answers have in common, when it is done, how it ends."""

    head: Mapping[str, Any]
    ready_at: float
    finish: Callable[[], Mapping[str, Any]]
    result: Mapping[str, Any] | None = None


class Tasks:
    """The tasks that were created, whatever their kind. A task is done `Scenario.task_seconds` after its creation."""

    def __init__(self, scenario: Scenario, stamps: Stamps) -> None:
        self._scenario = scenario
        self._stamps = stamps
        self._tasks: dict[str, _Task] = {}

    def create(self, request: SeenRequest, make_result: Callable[[], Mapping[str, Any]]) -> Json:
        """A new task for this request, as the answer to it: `id`, `request_id`, `model`, `task_status` `PROCESSING`.

        `make_result` is called once, by the first fetch after the task is done, and gives the fields that the result
        has beside those: `{"image_result": [{"url": ...}]}`, `{"video_result": [...]}`, or the chat answer. It is not
        called where the scenario says that the task fails (`Scenario.task_failure`).
        """
        scenario = self._scenario
        identity = self._stamps.next().id
        given = request.get("request_id")
        head = {"id": identity, "request_id": given if isinstance(given, str) else identity, "model": request.model}
        seconds = scenario.task_seconds(request) if callable(scenario.task_seconds) else scenario.task_seconds
        failure = scenario.task_failure(request) if callable(scenario.task_failure) else scenario.task_failure

        def finish() -> Mapping[str, Any]:
            if failure is not None:
                return {"task_status": "FAIL", **failure}
            return {**make_result(), **head, "task_status": "SUCCESS"}

        self._tasks[identity] = _Task(head, asyncio.get_running_loop().time() + seconds, finish)
        return Json(head | {"task_status": "PROCESSING"})

    def fetch(self, request: SeenRequest) -> Answer:
        """How a task stands, with its result once it is done."""
        task = self._tasks.get(request.fields["id"])
        if task is None:
            return illegal("id")
        if task.result is None:
            if asyncio.get_running_loop().time() < task.ready_at:
                return Json({**task.head, "task_status": "PROCESSING"})
            task.result = {**task.head, **task.finish()}
        return Json(task.result)


class AsyncChat:
    """Chat completions as tasks: the body is that of a chat completion without `stream` and `tool_stream`."""

    def __init__(self, chat: Chat, tasks: Tasks, stamps: Stamps) -> None:
        self._chat = chat
        self._tasks = tasks
        self._stamps = stamps

    def check(self, request: SeenRequest) -> Refusal | None:
        """What the service refuses in a request."""
        if field := next((name for name in ("stream", "tool_stream") if request.get(name)), None):
            return illegal(field)
        return self._chat.check(request)

    def respond(self, request: SeenRequest) -> Answer:
        """A task whose result is what the model says; a refusal where it refuses at once."""
        answer = self._chat.respond(request)
        if not isinstance(answer, Reply):
            return answer
        return self._tasks.create(request, lambda: completion(answer, request, self._stamps.next()))


def endpoints(tasks: Tasks, chat: Chat, stamps: Stamps) -> tuple[Endpoint, ...]:
    """The rows of tasks."""
    asynchronous = AsyncChat(chat, tasks, stamps)
    return (
        Endpoint("POST", "/async/chat/completions", asynchronous.respond, asynchronous.check),
        Endpoint("GET", "/async-result/{id}", tasks.fetch),
    )
