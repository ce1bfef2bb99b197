"""A model in virtual time: it answers what its script says, a second after each question, and counts what is open."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tests.virtual_service import VirtualService
from zhipu_async.protocol.endpoint import HTTPRequest
from zhipu_async.simulator.rendering import Body, Stamps, render
from zhipu_async.simulator.replies import Answer
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.telemetry import CallRecord
from zhipu_async.transport.clocks import AttemptClock

THINKING = 1.0
"""Seconds from a question to the head of its answer."""
CHUNK = 0.125
"""Seconds before each event of a stream."""


class Exchange:
    """An answer that comes block by block; whoever reads it must finish or close it."""

    def __init__(self, body: Body, model: VirtualModel) -> None:
        self.status = body.status
        self.headers: Mapping[str, str] = body.headers
        self._blocks = deque(body.blocks)
        self._streams = body.stream
        self._model = model
        self._open = True
        self._when_over: Callable[[], None] | None = None
        model.open_exchanges += 1

    def limit(self, between: float | None, total: float | None = None, began: float = 0.0) -> None:
        """Nothing here is ever silent."""

    def when_over(self, call: Callable[[], None]) -> None:
        if self._open:
            self._when_over = call
        else:
            call()

    async def read(self) -> bytes:
        if self._streams:
            await asyncio.sleep(CHUNK)
        if not self._blocks:
            self.finish()
            return b""
        return self._blocks.popleft()

    async def read_all(self, limit: int | None) -> bytes:
        body = b"".join(self._blocks)
        self.finish()
        return body

    def finish(self) -> None:
        if self._open:
            self._open = False
            self._model.open_exchanges -= 1
            if self._when_over is not None:
                self._when_over()

    close = finish


class VirtualModel(VirtualService):
    """Implements the transport below a client: ``client = VirtualModel(replies).client()``."""

    def __init__(self, replies: Sequence[Answer]) -> None:
        super().__init__()
        self.asked: list[SeenRequest] = []
        self.open_exchanges = 0
        """Answers that are neither read to their end nor closed."""
        self._replies = deque(replies)
        self._stamps = Stamps(lambda: 0.0, 0)

    async def open(  # type: ignore[override]
        self, request: HTTPRequest, headers: Mapping[str, str], clock: AttemptClock, record: CallRecord, *, fresh: bool
    ) -> Exchange:
        """Send ``request`` and wait for the head of its answer."""
        assert isinstance(request.body, bytes)
        now = asyncio.get_running_loop().time()
        seen = SeenRequest(len(self.asked), 1, "POST", "/chat/completions", {}, {}, now, body=json.loads(request.body))
        self.asked.append(seen)
        await asyncio.sleep(THINKING)
        return Exchange(render(self._replies.popleft(), seen, self._stamps), self)


def unanswered(messages: Sequence[Any]) -> list[str]:
    """Ids of calls that are not answered right behind their message, and of answers without a call: the service takes a
    conversation in which there are none (chat.md section 2)."""
    wrong: list[str] = []
    waiting: list[str] = []
    for message in map(msgspec.to_builtins, messages):
        if message["role"] == "tool":
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
            else:
                wrong.append(message["tool_call_id"])
            assert isinstance(message["content"], str)
        else:
            wrong += waiting
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
            assert len(set(waiting)) == len(waiting)
    return wrong + waiting
