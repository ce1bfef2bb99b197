"""A service in virtual time whose delays are known, in the place of the pool: what a benchmark must find."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from tests.virtual_time import VirtualLoop
from zhipu_async import AsyncZhipuAI
from zhipu_async.benchmarking import undisturbed_client
from zhipu_async.protocol.endpoint import HTTPRequest
from zhipu_async.telemetry import CallRecord
from zhipu_async.transport.admission import Admission
from zhipu_async.transport.clocks import AttemptClock

T = TypeVar("T")

REFUSALS = {429: b'{"error":{"code":"1302","message":"too many at once"}}', 401: b'{"error":{"code":"1000"}}'}


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop, debug=False) as runner:
        return runner.run(coroutine)


class ScriptedService:
    """Implements :class:`~zhipu_async.transport.retrying.Opener`: each answer is a stream of ``chunks``.

    The first chunk comes ``first`` seconds after the request and each other, the last one with the finish reason
    among them, ``pause`` seconds after the one before. ``thinking`` of the chunks are reasoning; each is worth
    ``tokens``. While it is stalled (from, to), nothing that is due is sent. ``limit``: requests it takes at a time.
    """

    inherited = False

    def __init__(
        self,
        *,
        first: float = 0.3,
        pause: float = 0.02,
        chunks: int = 50,
        thinking: int = 0,
        tokens: int = 1,
        usage: bool = True,
        stall: tuple[float, float] = (0.0, 0.0),
        limit: int | None = None,
        status: int = 200,
        ending: str = "length",
    ) -> None:
        self.first, self.pause, self.chunks, self.thinking = first, pause, chunks, thinking
        self.tokens, self.usage, self.stall, self.limit, self.status = tokens, usage, stall, limit, status
        self.ending = ending
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0

    @property
    def seconds(self) -> float:
        """From a request to the end of its answer."""
        return self.first + self.chunks * self.pause

    async def open(
        self, request: HTTPRequest, headers: Mapping[str, str], clock: AttemptClock, record: CallRecord, *, fresh: bool
    ) -> Answer:
        """Take a request; the head of its answer comes at once."""
        assert isinstance(request.body, bytes)
        self.bodies.append(json.loads(request.body))
        if self.limit is not None and self.in_flight >= self.limit:
            return Answer(self, 429)
        if self.status == 200:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return Answer(self, self.status)

    async def close(self) -> None:
        """Nothing to close."""

    def payloads(self) -> list[bytes]:
        """The events of an answer."""
        deltas = [{"reasoning_content" if place < self.thinking else "content": "w"} for place in range(self.chunks)]
        frames: list[dict[str, Any]] = [{"id": "1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        frames.append({"id": "1", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": self.ending}]})
        if self.usage:
            count = self.chunks * self.tokens
            frames[-1]["usage"] = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": count + 7}
        return [b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames]

    def client(self, make: Callable[..., AsyncZhipuAI] = undisturbed_client, **settings: Any) -> AsyncZhipuAI:
        """A client whose requests come here."""
        client = make(api_key="k.s", base_url="http://127.0.0.1:1/api/paas/v4", **settings)
        sender = client._sender  # pyright: ignore[reportPrivateUsage]
        opener: Any = self
        client._begin(  # pyright: ignore[reportPrivateUsage]
            sender.settings, opener, sender.telemetry, Admission(sender.settings.limits)
        )
        return client


class Answer:
    """An exchange whose head has arrived."""

    def __init__(self, service: ScriptedService, status: int) -> None:
        self._service = service
        self.status = status
        self.headers = {"content-type": "text/event-stream" if status == 200 else "application/json"}
        self._pieces = service.payloads() if status == 200 else [REFUSALS[status]]
        self._began = asyncio.get_running_loop().time()
        self._read = 0
        self._over: Callable[[], None] | None = None
        self._open = True

    def limit(self, between: float | None, total: float | None = None, began: float = 0.0) -> None:
        """There are no clocks here."""

    def when_over(self, call: Callable[[], None]) -> None:
        self._over = call

    async def read(self) -> bytes:
        service, number = self._service, self._read
        self._read += 1
        if number == len(self._pieces):
            return b"data: [DONE]\n\n"
        due = self._began + service.first + number * service.pause
        begin, end = service.stall
        loop = asyncio.get_running_loop()
        await asyncio.sleep((end if begin <= due < end else due) - loop.time())
        return self._pieces[number]

    async def read_all(self, limit: int | None) -> bytes:
        self.finish()
        return b"".join(self._pieces)

    def finish(self) -> None:
        if self._open:
            self._open = False
            self._service.in_flight -= self.status == 200
            if self._over is not None:
                self._over()

    close = finish
