"""A service in virtual time, in the place of the pool: a hidden limit, random overload, streams, and no sockets.

It admits a request while slots are free, else it answers 1302 at once. A request is 20 ms on the wire upwards, its
answer 20 ms plus an exponential 5 ms downwards: the model of benchmarks/limiter_simulation.py, under the whole client.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from tests.virtual_time import VirtualLoop
from zhipu_async import AsyncZhipuAI
from zhipu_async.protocol.endpoint import HTTPRequest
from zhipu_async.telemetry import CallRecord
from zhipu_async.transport.admission import Admission
from zhipu_async.transport.clocks import AttemptClock

T = TypeVar("T")

UP, DOWN, SPREAD, ROUND_TRIP = 0.02, 0.02, 0.005, 0.045
SECONDS = 0.2
"""Of one call at the service."""
CHUNKS = 4
"""Of a stream, one each ``SECONDS``."""

ANSWER = (
    b'{"id":"1","model":"glm-4.6","choices":[{"index":0,"message":{"role":"assistant","content":"Yes."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}'
)
CHUNK = b'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"Yes "}}]}\n\n'
LAST = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
REFUSALS = {
    "1302": b'{"error":{"code":"1302","message":"too many at once"}}',
    "1305": b'{"error":{"code":"1305","message":"the model is overloaded"}}',
    "1234": b'{"error":{"code":"1234","message":"network error"}}',
}
JSON, EVENTS = {"content-type": "application/json"}, {"content-type": "text/event-stream"}


def run(coroutine: Coroutine[Any, Any, T], seed: int = 0) -> T:
    """Run ``coroutine`` to its end in virtual time; what the client draws is drawn from ``seed``.

    Without the debug mode of asyncio, in which a hundred thousand calls take minutes.
    """
    random.seed(seed)
    with asyncio.Runner(loop_factory=VirtualLoop, debug=False) as runner:
        return runner.run(coroutine)


def now() -> float:
    """Virtual seconds since the loop began."""
    return asyncio.get_running_loop().time()


class Answer:
    """An exchange whose head has arrived; of a stream, chunks come until it is closed."""

    def __init__(self, status: int, body: bytes, over: Callable[[], None] | None = None, chunks: int = 0) -> None:
        self.status = status
        self.headers: Mapping[str, str] = EVENTS if chunks else JSON
        self._pieces = deque([body] if not chunks else [CHUNK] * (chunks - 1) + [LAST])
        self._streams = bool(chunks)
        self._first = True
        self._release = over
        self._when_over: Callable[[], None] | None = None
        self._over = False

    def limit(self, between: float | None, total: float | None = None, began: float = 0.0) -> None:
        """Nothing here is ever silent."""

    def when_over(self, call: Callable[[], None]) -> None:
        if self._over:
            call()
        else:
            self._when_over = call

    async def read(self) -> bytes:
        if not self._pieces:
            self.finish()
            return b""
        if self._streams and not self._first:
            await asyncio.sleep(SECONDS)
        self._first = False
        return self._pieces.popleft()

    async def read_all(self, limit: int | None) -> bytes:
        body = b"".join(self._pieces)
        self.finish()
        return body

    def finish(self) -> None:
        if not self._over:
            self._over = True
            if self._release is not None:
                self._release()
            if self._when_over is not None:
                self._when_over()

    close = finish


class VirtualService:
    """Implements :class:`~zhipu_async.transport.retrying.Opener`.

    ``limit``: calls it admits at a time, or a function of the time. ``chance``: of a refusal with ``code`` whatever is
    in flight, a function of the time.``first``: the codes of
    the first requests. Times of requests, refusals and answers are kept, as the client sees them.
    """

    inherited = False

    def __init__(
        self,
        limit: int | Callable[[float], int] = 1_000_000,
        *,
        chance: Callable[[float], float] = lambda now: 0.0,
        code: str = "1305",
        first: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.limit: Callable[[float], int] = limit if callable(limit) else lambda now: limit
        self.chance = chance
        self.code = code
        self.first = deque(first)
        self.rng = random.Random(seed)
        self.held = self.most_held = 0
        self.on_wire = self.most_on_wire = 0
        """Requests without the head of an answer."""
        self.sent: list[float] = []
        self.refused: list[float] = []
        self.answered: list[float] = []
        self.requests: Counter[bytes] = Counter()
        """How often each body was sent."""
        self.order: list[bytes] = []
        """The bodies as they were sent."""

    async def open(
        self, request: HTTPRequest, headers: Mapping[str, str], clock: AttemptClock, record: CallRecord, *, fresh: bool
    ) -> Answer:
        """Send ``request`` and wait for the head of its answer."""
        assert isinstance(request.body, bytes)
        loop = asyncio.get_running_loop()
        self.sent.append(loop.time())
        self.requests[request.body] += 1
        self.order.append(request.body)
        self.on_wire += 1
        self.most_on_wire = max(self.most_on_wire, self.on_wire)
        try:
            await asyncio.sleep(UP)
            code = "1302" if self.held >= self.limit(loop.time()) else ""
            if self.first:
                code = self.first.popleft()
            elif (chance := self.chance(loop.time())) and self.rng.random() < chance:
                code = self.code
            release: Callable[[], None] | None = None
            if not code:
                self.held += 1
                self.most_held = max(self.most_held, self.held)
                if request.stream:
                    release = self._free
                else:
                    loop.call_later(SECONDS, self._free)  # whether or not anybody still waits for the answer
            lasts = 0.0 if code else SECONDS
            await asyncio.sleep(lasts + DOWN + self.rng.expovariate(1 / SPREAD))
        finally:
            self.on_wire -= 1
        if code:
            self.refused.append(loop.time())
            return Answer(429 if code != "1234" else 500, REFUSALS[code])
        self.answered.append(loop.time())
        return Answer(200, ANSWER, release, CHUNKS if request.stream else 0)

    def _free(self) -> None:
        self.held -= 1

    async def close(self) -> None:
        """Nothing to close."""

    def client(self, **settings: Any) -> AsyncZhipuAI:
        """A client whose requests come here."""
        client = AsyncZhipuAI("k.s", **settings)
        sender = client._sender  # pyright: ignore[reportPrivateUsage]
        opener: Any = self
        client._begin(  # pyright: ignore[reportPrivateUsage]
            sender.settings, opener, sender.telemetry, Admission(sender.settings.limits)
        )
        return client

    def share(self, begin: float, end: float, limit: int) -> float:
        """Answers between ``begin`` and ``end``, relative to the ideal at this limit."""
        return within(self.answered, begin, end) / (end - begin) / ideal(limit)

    def refused_share(self, begin: float, end: float) -> float:
        """Refused of those that were sent between ``begin`` and ``end``."""
        return within(self.refused, begin, end) / max(1, within(self.sent, begin, end))


def ideal(limit: int) -> float:
    """Calls a second of a semaphore that knows the limit."""
    return limit / (SECONDS + ROUND_TRIP)


def within(times: list[float], begin: float, end: float) -> int:
    """How many of the sorted ``times`` lie between."""
    return bisect_left(times, end) - bisect_left(times, begin)
