"""A service and a window for runs, on any loop's clock: what is sent, how many at a time, and what comes of it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from zhipu_async import AsyncZhipuAI
from zhipu_async.errors import AuthenticationError, ServerError
from zhipu_async.fanout import FanOut, Options
from zhipu_async.protocol.endpoint import Call

Failure = BaseException | None


def call(text: str = "x") -> Call[Any]:
    """A small call that says which it is."""
    return AsyncZhipuAI.embeddings.create.call(model="embedding-3", input=text)


def calls(number: int) -> list[Call[Any]]:
    """Calls "0", "1" and so on."""
    return [call(str(index)) for index in range(number)]


def drawing(text: str = "x") -> Call[Any]:
    """A call that creates something."""
    return AsyncZhipuAI.images.generations.call(model="cogview-4", prompt=text)


def text_of(call: Call[Any]) -> str:
    """Which call it is."""
    arguments: Any = call.arguments
    return str(getattr(arguments, "input", None) or arguments.prompt)


def refused_key() -> AuthenticationError:
    """What every further call would meet."""
    return AuthenticationError("the key is not known", status=401, code="1000")


def broken() -> ServerError:
    """A failure of one call."""
    return ServerError("it broke", status=500, code="1234")


class Used(msgspec.Struct):
    """Tokens."""

    total_tokens: int


class Answer(msgspec.Struct, omit_defaults=True):
    """What the service says: which call it was."""

    model: str
    usage: Used | None = None

    @property
    def text(self) -> str:
        """Which call it was."""
        return self.model


class Gate:
    """A window of a fixed size, as runs want one: first come, first served."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.on_start: Callable[[], None] | None = None
        self.in_flight = self.waiting = self.refused = 0
        self.closing = False
        self.holders: set[asyncio.Task[Any]] = set()
        self._taken = 0
        self._turns: deque[asyncio.Future[None]] = deque()

    @property
    def crowded(self) -> bool:
        return self.waiting > 0

    async def enter(self) -> None:
        """Wait for a place and take it."""
        if self._taken < self.level:
            self._taken += 1
        else:
            await self._turn()
        self.in_flight += 1
        self.holders.add(_here())
        if self.on_start is not None:
            self.on_start()

    async def _turn(self) -> None:
        self.waiting += 1
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self._give()
            raise
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """Give the place to the next."""
        self.in_flight -= 1
        self.holders.discard(_here())
        self._give()

    def _give(self) -> None:
        self._taken -= 1
        while self._turns and self._taken < self.level:
            turn = self._turns.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


def _here() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


@dataclass
class Service:
    """Answers every call after ``seconds``, or with the error that ``fails`` names; ``rests`` before a repeat."""

    seconds: Callable[[str], float] | float = 1.0
    fails: Mapping[str, Failure] | Callable[[str], Failure] = field(default_factory=dict[str, Failure])
    tokens: int = 0
    window: Gate | None = None
    rests: Mapping[str, float] = field(default_factory=dict[str, float])
    """Calls that are refused once, and how long they sleep then."""
    sent: list[str] = field(default_factory=list[str])
    answered: list[str] = field(default_factory=list[str])
    cancelled: list[str] = field(default_factory=list[str])
    in_flight: int = 0
    most: int = 0

    async def send(self, call: Call[Any], keep: Callable[[bytes], None] | None = None) -> Any:
        """One call."""
        text = text_of(call)
        if text in self.rests and text not in self.sent:
            await self._once(text, 0.0)
            await asyncio.sleep(self.rests[text])
        await self._once(text, self.seconds(text) if callable(self.seconds) else self.seconds)
        self.answered.append(text)
        failure = self.fails(text) if callable(self.fails) else self.fails.get(text)
        if failure is not None:
            raise failure
        answer = Answer(text, Used(self.tokens) if self.tokens else None)
        if keep is not None:
            keep(msgspec.json.encode(answer))
        return answer

    async def _once(self, text: str, seconds: float) -> None:
        if self.window is not None:
            await self.window.enter()
        self.sent.append(text)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            if seconds:
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(text)
            raise
        finally:
            self.in_flight -= 1
            if self.window is not None:
                self.window.leave()

    @property
    def times(self) -> Counter[str]:
        """How often each call was sent."""
        return Counter(self.sent)


def fan(service: Service, source: Any, *, journal: Any = None, **options: Any) -> FanOut[Any]:
    """A run of ``source`` with ``service``; eight calls at a time unless something else is said."""
    if service.window is None and "concurrency" not in options:
        options["concurrency"] = 8
    return FanOut(source, {}, Options(**options), send=service.send, window=service.window, journal=journal)


def texts(outcomes: Iterable[Any]) -> list[str]:
    """Which calls the outcomes are of."""
    return [text_of(outcome.call) for outcome in outcomes]


async def take_all(run: FanOut[Any]) -> tuple[list[Any], BaseException | None]:
    """All outcomes and the error that iterating ended with."""
    outcomes: list[Any] = []
    try:
        async for outcome in run:
            outcomes.append(outcome)
    except Exception as error:
        return outcomes, error
    return outcomes, None


def left_over() -> set[asyncio.Task[Any]]:
    """Tasks beside the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def told(error: BaseException) -> list[str]:
    """The notes of an error."""
    return list(getattr(error, "__notes__", ()))


class Pulls:
    """An input without end that counts what is taken from it, and whether it was closed."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.taken = 0
        self.closed = False
        self._seconds = seconds

    def plain(self) -> Iterable[Call[Any]]:
        """Calls, at once."""
        try:
            while True:
                self.taken += 1
                yield call(str(self.taken - 1))
        finally:
            self.closed = True

    async def slow(self) -> Any:
        """Calls, each after a while."""
        try:
            while True:
                await asyncio.sleep(self._seconds)
                self.taken += 1
                yield call(str(self.taken - 1))
        finally:
            self.closed = True
