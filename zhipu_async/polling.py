"""Waiting for tasks: ask again until one is done. All tasks of a client share one gate, which bounds the requests."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from .config import check_seconds
from .errors import APIError, ClientClosedError, ConfigError, PoolFull, RequestTimeout, TaskTimeout, TransportError
from .protocol import faults
from .protocol.endpoint import Call
from .resources import Agents, AsyncCompletions, Batches, FileParser
from .telemetry import logger
from .types.agents import AgentResponse
from .types.base import Standing
from .types.batches import Batch
from .types.documents import ParserResult, ParserTask
from .types.tasks import AsyncResult, ChatTask, ImageTask, VideoTask

T = TypeVar("T")

POLL_SECONDS = 30.0
"""One question (README.md section 6)."""
GROWTH = 1.5
"""Each sleep is this many times as long as the one before."""
HITS = 10
"""How many times as many requests may find a finished task as an unfinished one, per second."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How to ask after a kind of task; seconds (async_tasks.md section 3)."""

    first: float
    """The sleep before the first question."""
    longest: float
    ask: Callable[[Any], Call[Any]]


KINDS: dict[type[Any], Kind] = {
    ChatTask: Kind(1, 5, lambda task: AsyncCompletions.retrieve.call(task.id)),
    ImageTask: Kind(2, 5, lambda task: AsyncCompletions.retrieve.call(task.id)),
    VideoTask: Kind(5, 15, lambda task: AsyncCompletions.retrieve.call(task.id)),
    ParserTask: Kind(1, 5, lambda task: FileParser.result.call(_id("task_id", task.task_id), "text")),
    Batch: Kind(2, 60, lambda task: Batches.retrieve.call(_id("id", task.id))),
    AgentResponse: Kind(
        2, 10, lambda task: Agents.async_result.call(_id("agent_id", task.agent_id), _id("async_id", task.async_id))
    ),
}
_ANSWERS = (AsyncResult, ParserResult, Batch, AgentResponse)
"""What says how a task ended: a task that was not even taken up is asked after once, for the reason."""


class Send(Protocol):
    """What sends a call once, without repeats of its own."""

    def __call__(self, call: Call[T]) -> Coroutine[Any, Any, T]: ...


class Poller:
    """Waits for tasks with ``send``; at most ``rate`` requests per second find their task unfinished."""

    def __init__(self, send: Send, rate: float, gates: Gates | None = None) -> None:
        self._send = send
        self._rate = rate
        self._gates: Gates = {} if gates is None else gates
        """One for each loop, shared with other pollers."""

    async def wait(self, task: Standing, timeout: float | None, progress: Callable[[Any], object] | None) -> Any:
        """The answer that says that ``task`` is done; TaskFailed, TaskTimeout, or what ended the asking."""
        check_seconds("timeout", timeout)
        kind = KINDS.get(type(task))
        if kind is None:
            raise ConfigError(
                f"cannot wait for a {type(task).__name__}, only for {', '.join(kind.__name__ for kind in KINDS)}; "
                "an id alone becomes one with its class: VideoTask(id=...)"
            )
        if not _ended(task):
            kind.ask(task)  # an id that cannot be asked after is told at once
        latest, scope = task, asyncio.timeout(timeout)
        try:
            async with scope:
                delay = kind.first
                while not _ended(latest):
                    await asyncio.sleep(delay * random.uniform(0.8, 1.2))
                    delay = min(delay * GROWTH, kind.longest)
                    latest = await self._ask(kind.ask(task)) or latest
                    if progress is not None:
                        progress(latest)
        except TimeoutError:
            if not scope.expired():
                raise
            raise TaskTimeout(
                f"the task {_identity(task)} was not done within {timeout:g} s; it goes on and can be waited for again",
                task_id=_identity(task),
                answer=latest,
                seconds=timeout,
            ) from None
        if failure := faults.of_outcome(latest):
            raise failure
        return latest

    async def _ask(self, call: Call[Any]) -> Standing | None:
        """How the task stands; None when that could not be learnt now (async_tasks.md section 3)."""
        gate = self._gate()
        await gate.turn()
        answer: Standing | None = None
        try:
            answer = cast(Standing, await self._send(call))
        except ClientClosedError:
            gate.end()
            raise
        except (APIError, TransportError) as error:
            if not error.retryable and not isinstance(error, (RequestTimeout, PoolFull)):  # those mean: not now
                raise
            logger.debug("%s: asking again later: %s", call.endpoint.name, error)
        finally:
            if answer is not None and answer.state != "running":
                gate.give_back()
        return answer

    def _gate(self) -> Gate:
        loop = asyncio.get_running_loop()
        if loop not in self._gates:
            for other in list(self._gates):  # a gate holds its loop
                if other.is_closed():
                    self._gates.pop(other, None)
            self._gates[loop] = Gate(loop, self._rate)
        return self._gates[loop]


class Gate:
    """Lets ``rate`` questions per second through, in the order of asking, and more as long as they meet finished tasks.

    So the number of requests grows with completions and with time, not with tasks times time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, rate: float) -> None:
        self._loop = loop
        self._rate = rate
        self._burst = max(1.0, rate)
        self._allowance = self._burst
        self._counted_at = loop.time()
        self._next = 0.0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    async def turn(self) -> None:
        """Wait for leave to ask once."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(turn)
        self._let_through()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()  # it was not used
            else:
                with suppress(ValueError):
                    self._queue.remove(turn)
            raise

    def give_back(self) -> None:
        """The question met a finished task: it does not count."""
        self._allowance = min(self._burst, self._allowance + 1)
        self._let_through()

    def end(self) -> None:
        """Nothing will be asked any more: let all through, to be told so."""
        self._over = True
        self._let_through()

    def _let_through(self) -> None:
        now = self._loop.time()
        self._allowance = min(self._burst, self._allowance + (now - self._counted_at) * self._rate)
        self._counted_at = now
        while self._queue and (self._over or (self._allowance >= 1 and now >= self._next)):
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                self._allowance -= 1
                self._next = now + 1 / (self._rate * HITS)
        if self._queue and self._timer is None:
            until = max((1 - self._allowance) / self._rate, self._next - now, 0.001)
            self._timer = self._loop.call_later(until, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._let_through()


Gates: TypeAlias = dict[asyncio.AbstractEventLoop, Gate]
"""The gates of a client, one for each loop; a plain dict, whose operations are atomic for loops of other threads."""


def _ended(answer: Standing) -> bool:
    return isinstance(answer, _ANSWERS) and answer.state != "running"


def _id(name: str, value: str | None) -> str:
    if not value:
        raise ConfigError(f"the task has no {name}: there is nothing to ask after")
    return value


def _identity(task: Any) -> str | None:
    names = ("async_id", "task_id", "id")
    return next((identity for name in names if (identity := getattr(task, name, None))), None)
