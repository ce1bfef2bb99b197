"""Waiting for tasks: when it is asked, what ends the wait, and how many requests thousands of tasks cost."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.virtual_time import run
from zhipu_async import AsyncZhipuAI
from zhipu_async.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    NotFoundError,
    OverloadedError,
    PoolFull,
    PoolTimeout,
    RateLimitError,
    RequestTimeout,
    ServerError,
    TaskFailed,
    TaskTimeout,
    ZhipuError,
)
from zhipu_async.polling import KINDS, Poller
from zhipu_async.protocol.endpoint import Call
from zhipu_async.types.agents import AgentChoice, AgentResponse
from zhipu_async.types.base import Failure
from zhipu_async.types.batches import Batch
from zhipu_async.types.documents import ParserResult, ParserTask
from zhipu_async.types.tasks import AsyncResult, ChatTask, ImageTask, VideoTask

RUNNING = AsyncResult(task_status="PROCESSING")
DONE = AsyncResult(task_status="SUCCESS")


class Service:
    """Answers from a list, the last one for ever, or from a function of task and time; notes when it was asked."""

    def __init__(self, *answers: Any, of: Callable[[str, float], Any] | None = None, seconds: float = 0.0) -> None:
        self._answers = list(answers)
        self._of = of
        self._seconds = seconds
        self.asked: list[tuple[float, str]] = []
        self.endpoints: list[str] = []

    async def send(self, call: Call[Any]) -> Any:
        """One question."""
        now = asyncio.get_running_loop().time()
        arguments: Any = call.arguments
        task = getattr(arguments, "id", None) or getattr(arguments, "task_id", None) or arguments.batch_id
        self.asked.append((now, task))
        self.endpoints.append(call.endpoint.name)
        await asyncio.sleep(self._seconds)
        answer = self._of(task, now) if self._of else self._answers[min(len(self.asked), len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def times(self) -> list[float]:
        """When it was asked."""
        return [when for when, _ in self.asked]


def wait(service: Service, task: Any, timeout: float | None = None, rate: float = 20.0) -> Any:
    """Wait for one task in virtual time."""
    return run(Poller(service.send, rate).wait(task, timeout, None))


@pytest.mark.parametrize(
    ("task", "first", "longest"),
    [
        (ChatTask(id="1"), 1, 5),
        (ImageTask(id="1"), 2, 5),
        (VideoTask(id="1"), 5, 15),
        (ParserTask(task_id="1"), 1, 5),
        (Batch(id="1"), 2, 60),
    ],
    ids=lambda task: type(task).__name__,
)
def test_questions_grow_rarer(task: Any, first: float, longest: float) -> None:
    """The first sleep and the longest go by the kind of task, and each is jittered by at most a fifth."""
    results = {ParserTask: ParserResult(status="succeeded"), Batch: Batch(id="1", status="completed")}
    running = {ParserTask: ParserResult(status="processing"), Batch: Batch(id="1", status="in_progress")}
    done = results.get(type(task), DONE)
    service = Service(*[running.get(type(task), RUNNING)] * 30, done)
    assert wait(service, task) is done
    sleeps = [now - before for before, now in zip([0.0, *service.times], service.times, strict=False)]
    assert 0.8 * first <= sleeps[0] <= 1.2 * first + 0.01
    assert all(0.8 * longest <= sleep <= 1.2 * longest + 0.01 for sleep in sleeps[15:])
    assert len({round(sleep, 3) for sleep in sleeps[15:]}) > 5


@pytest.mark.parametrize(
    ("task", "endpoint"),
    [
        (ChatTask(id="1"), "GET /async-result/{id}"),
        (VideoTask(id="1"), "GET /async-result/{id}"),
        (ParserTask(task_id="1"), "GET /files/parser/result/{task_id}/{format_type}"),
        (Batch(id="1"), "GET /batches/{batch_id}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_is_asked_after_at_its_endpoint(task: Any, endpoint: str) -> None:
    """Tasks, documents and batches have paths of their own."""
    done = {ParserTask: ParserResult(status="succeeded"), Batch: Batch(status="completed")}.get(type(task), DONE)
    service = Service(done)
    wait(service, task)
    assert service.endpoints == [endpoint]
    assert service.asked[0][1] == "1"


@pytest.mark.parametrize(
    "error",
    [
        RateLimitError("slow", status=429, code="1302", retryable=True),
        RateLimitError("slow", status=429, code="1303", retryable=True),
        OverloadedError("busy", status=429, code="1305", retryable=True),
        ServerError("broken", status=500, retryable=True),
        ServerError("gateway", status=502, retryable=True),
        ConnectionLost("gone"),
        ConnectError("nobody there"),
        RequestTimeout("no answer within 30 s", clock="total"),
        PoolTimeout("no connection was free"),
        PoolFull("all connections are in use"),
    ],
    ids=str,
)
def test_passing_trouble_does_not_end_the_wait(error: ZhipuError) -> None:
    """A busy, broken or unreachable service is asked again, as often as it takes (async_tasks.md section 3)."""
    service = Service(*[error] * 20, DONE)
    assert wait(service, ChatTask(id="1")) is DONE
    assert len(service.asked) == 21


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("key", status=401),
        BadRequestError("no such task", status=400, code="1214"),
        NotFoundError("no such task", status=404),
    ],
    ids=str,
)
def test_lasting_trouble_ends_the_wait(error: APIError) -> None:
    """An unknown id or a refused key is raised as it is, at once."""
    service = Service(error)
    with pytest.raises(type(error)) as caught:
        wait(service, ChatTask(id="1"))
    assert caught.value is error
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (AsyncResult(task_status="FAIL"), None, ""),
        (AsyncResult(task_status="FAIL", error=Failure(code="1301", message="unsafe")), "1301", "unsafe"),
        (AsyncResult(task_status="FAIL", error="broken"), None, "broken"),
        (AsyncResult(task_status="FAIL", message="broken"), None, "broken"),
    ],
    ids=str,
)
def test_a_failed_task_is_told_with_its_reason(answer: AsyncResult, code: str | None, reason: str) -> None:
    """TaskFailed has code and reason as far as the service says, the id and the answer."""
    with pytest.raises(TaskFailed) as caught:
        wait(Service(RUNNING, answer), ChatTask(id="1"))
    error = caught.value
    assert (error.code, error.reason, error.answer) == (code, reason, answer)
    assert reason in str(error)


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_batch_that_ends_otherwise_has_failed(status: str) -> None:
    """Failed, expired and cancelled batches raise TaskFailed with their id."""
    with pytest.raises(TaskFailed) as caught:
        wait(Service(Batch(id="b1", status=status)), Batch(id="b1", status="validating"))
    assert caught.value.task_id == "b1"


def test_a_time_out_keeps_the_id() -> None:
    """TaskTimeout has the id, the last answer and the limit; the task can be waited for again."""
    service = Service(of=lambda task, now: DONE if now > 30 else RUNNING)
    with pytest.raises(TaskTimeout) as caught:
        wait(service, VideoTask(id="v1"), timeout=20)
    error = caught.value
    assert (error.task_id, error.seconds, error.answer) == ("v1", 20, RUNNING)
    assert "v1" in str(error)
    assert max(service.times) <= 20

    async def again() -> Any:
        poller = Poller(service.send, 20)
        with pytest.raises(TaskTimeout):
            await poller.wait(VideoTask(id="v1"), 20, None)
        return await poller.wait(VideoTask(id="v1"), 20, None)

    assert run(again()) is DONE


def test_a_finished_batch_is_not_asked_after() -> None:
    """An answer that is final already is given back without a request."""
    service, batch = Service(), Batch(id="1", status="completed")
    assert wait(service, batch) is batch
    assert service.asked == []


@pytest.mark.parametrize("task", [DONE, "id", None, ParserTask(), Batch()], ids=repr)
def test_what_cannot_be_waited_for_is_told_at_once(task: Any) -> None:
    """ConfigError, which says how an id becomes a task, before anything is asked."""
    service = Service(DONE)
    with pytest.raises(ConfigError):
        wait(service, task)
    assert service.asked == []


def test_every_answer_is_shown_to_the_callback() -> None:
    """The progress callback gets each answer, and what it raises ends the wait."""
    seen: list[Any] = []
    run(Poller(Service(RUNNING, RUNNING, DONE).send, 20).wait(ChatTask(id="1"), None, seen.append))
    assert seen == [RUNNING, RUNNING, DONE]

    def impatient(_: object) -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        run(Poller(Service(RUNNING).send, 20).wait(ChatTask(id="1"), 100, impatient))


def test_thousands_of_tasks_cost_little_more_than_their_completions() -> None:
    """2,000 tasks that take a minute: two requests for each at most, not one for each every few seconds."""
    randomly = random.Random(1)
    ends = {str(number): randomly.uniform(50, 70) for number in range(2000)}
    service = Service(of=lambda task, now: DONE if now > ends[task] else RUNNING, seconds=0.05)

    async def all_of_them() -> float:
        poller = Poller(service.send, 20)
        await asyncio.gather(*(poller.wait(ChatTask(id=task), None, None) for task in ends))
        return asyncio.get_running_loop().time()

    took = run(all_of_them())
    assert len(service.asked) <= 2000 + 20 * took + 20
    assert len(service.asked) <= 4000
    assert took < 110
    per_second = Counter(int(when) for when in service.times)
    assert max(per_second.values()) <= 200 + 1
    assert all(count <= 41 for second, count in per_second.items() if second < 49)


def test_a_few_tasks_are_not_held_up() -> None:
    """Up to the rate of the gate, each task is asked after as if it were alone."""
    service = Service(of=lambda task, now: DONE if now > 10 else RUNNING)

    async def some() -> float:
        poller = Poller(service.send, 20)
        await asyncio.gather(*(poller.wait(ChatTask(id=str(number)), None, None) for number in range(20)))
        return asyncio.get_running_loop().time()

    assert run(some()) < 17


@pytest.mark.parametrize("moment", [0.5, 1.5, 30.0, 61.0])
def test_cancelling_one_waiter_leaves_the_others(moment: float) -> None:
    """Its place in the queue goes to the next, and its task can be waited for again."""
    service = Service(of=lambda task, now: DONE if now > 60 else RUNNING, seconds=0.3)

    async def some() -> list[Any]:
        poller = Poller(service.send, 2)
        waits = [asyncio.create_task(poller.wait(ChatTask(id=str(number)), None, None)) for number in range(10)]
        await asyncio.sleep(moment)
        for task in waits[:5]:
            task.cancel()
        results = await asyncio.gather(*waits, return_exceptions=True)
        return [*results, await poller.wait(ChatTask(id="0"), None, None)]

    results = run(some())
    assert results[5:] == [DONE] * 6


def test_all_kinds_are_known() -> None:
    """Chat, image, video, parser, batch and agent tasks can be waited for."""
    assert {kind.__name__ for kind in KINDS} == {
        "ChatTask", "ImageTask", "VideoTask", "ParserTask", "Batch", "AgentResponse",
    }  # fmt: skip


def test_an_agent_that_answered_at_once_is_not_asked_after() -> None:
    """Such an answer has no number to ask for: it is given back, or raised, as it is."""
    service = Service()
    done = AgentResponse(agent_id="a", status="success", choices=[AgentChoice()])
    assert wait(service, done) is done
    with pytest.raises(TaskFailed):
        wait(service, AgentResponse(agent_id="a", status="failed"))
    assert service.asked == []


def test_an_agent_without_its_id_cannot_be_asked_after() -> None:
    """The question needs both ids: ConfigError that names the missing one, before anything is asked."""
    service = Service()
    with pytest.raises(ConfigError, match="agent_id"):
        wait(service, AgentResponse(async_id="1", status="pending"))
    assert service.asked == []


def test_the_end_of_the_client_ends_all_waits() -> None:
    """The first question that meets a closed client frees all that stand in the queue: no wait of minutes for them."""
    service = Service(of=lambda _, now: ClientClosedError("closed") if now > 10 else RUNNING)

    async def many() -> tuple[float, set[type[BaseException | Any]]]:
        poller = Poller(service.send, 1)
        waits = [poller.wait(ChatTask(id=str(number)), None, None) for number in range(1000)]
        results = await asyncio.gather(*waits, return_exceptions=True)
        return asyncio.get_running_loop().time(), {type(result) for result in results}

    seconds, kinds = run(many())
    assert seconds < 20
    assert kinds == {ClientClosedError}


async def test_clients_with_other_options_share_the_rate() -> None:
    """``with_options`` for each wait does not multiply the questions."""
    async with AsyncZhipuAI("k.s", base_url="http://127.0.0.1:9") as client:
        gates = {id(other._poller._gate()) for other in (client, client.with_options(timeout=1), client.with_options())}
    assert len(gates) == 1


def test_a_client_does_not_keep_the_loops_that_it_served() -> None:
    """A service that runs one loop after another does not grow."""
    service = Service(DONE)
    poller = Poller(service.send, 20)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def once() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await poller.wait(ChatTask(id="1"), None, None)

    for _ in range(4):
        run(once())
    gc.collect()
    assert [loop() is None for loop in loops[:3]] == [True] * 3
