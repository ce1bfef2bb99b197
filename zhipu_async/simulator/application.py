"""One request from its arrival to its answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final

import msgspec.json
from aiohttp import web

from zhipu_async.simulator import authentication
from zhipu_async.simulator.endpoints import endpoints
from zhipu_async.simulator.forms import Malformed, TooLarge, discard, read_form
from zhipu_async.simulator.realtime import Talk, converse
from zhipu_async.simulator.rendering import render
from zhipu_async.simulator.replies import (
    Answer,
    Delivery,
    Frames,
    HangUp,
    Later,
    Refusal,
    Reply,
    not_found,
    page,
    version_not_found,
)
from zhipu_async.simulator.routes import Endpoint, Routes
from zhipu_async.simulator.scenario import Scenario
from zhipu_async.simulator.script import Admission, Script
from zhipu_async.simulator.seen import Connections, SeenRequest
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.text import words
from zhipu_async.simulator.wire import CLOSED, hang_up, write

BODY_LIMIT: Final = 128 * 1024 * 1024
"""Bytes that the body of a request may have, files of a form excepted."""
UPLOAD_LIMIT: Final = 1024 * 1024 * 1024
"""Bytes that the files of a form may have."""
KEEP_ALIVE: Final = 6.0
"""Seconds after which the service closes an idle connection (contract page README.md, section 3)."""
_AT_ONCE: Final = Delivery()
_BLOCK_BY_BLOCK: Final = Delivery(pause=0.0)
_DOUBLED_VERSION: Final = re.compile(r"/v4/v\d")
_NO_FORM: Final = "Incorrect API call parameters: the body is no multipart/form-data"
_decode: Final = msgspec.json.Decoder().decode


class Service:
    """The simulated service: its state, and the handler of its requests."""

    requests: list[SeenRequest]
    """Every request in the order of arrival; empty with `record=False`."""
    connections: Connections
    """How many connections there were, and are; nothing where the server does not tell."""
    served: int
    """Requests that have arrived."""
    in_flight: int
    """Requests that are being answered now."""
    peak_in_flight: int
    """The most requests that were being answered at a time."""
    changed: asyncio.Event
    """Set whenever a request or a connection begins or ends."""
    stopping: bool
    """Whether it is the simulator that closes the connections now."""
    scheme: str
    """How clients come: `http` or `https`. Addresses that answers point at begin with it."""

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        keep_alive: float = KEEP_ALIVE,
        record: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.requests = []
        self.connections = Connections()
        self.served = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self.changed = asyncio.Event()
        self.stopping = False
        self.scheme = "http"
        self._scenario = scenario or Scenario()
        self._script = Script(self._scenario)
        self._admission = Admission(self._scenario)
        self._stage = Stage(self._scenario, clock)
        self._stamps = self._stage.stamps
        self._routes = Routes(endpoints(self._stage))
        self._keep_alive = f"timeout={keep_alive:g}"
        self._record = record
        self._clock = clock

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request: the handler that aiohttp calls."""
        loop = asyncio.get_running_loop()
        seen = SeenRequest(
            number=self.served,
            connection=self.connections.number(request.protocol),
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            received_at=loop.time(),
            scheme=self.scheme,
        )
        self.served += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        if self._record:
            self.requests.append(seen)
        self.changed.set()
        try:
            return await self._answer(seen, request)
        except ConnectionError:
            seen.closed_by_peer = True
            return CLOSED
        except asyncio.CancelledError:
            seen.closed_by_peer = not self.stopping
            raise
        finally:
            if seen.uploads and not self._record:
                discard(seen.uploads)
            self.in_flight -= 1
            seen.ended_at = loop.time()
            self.changed.set()

    async def close(self) -> None:
        """End what goes on beside the requests, and forget files and what was made of them."""
        await self._stage.close()

    async def _answer(self, seen: SeenRequest, request: web.BaseRequest) -> web.StreamResponse:
        if early := self._script.hangs_up_before_reading():
            return await hang_up(request, reset=early.reset, after_bytes=early.after_bytes)
        try:
            if seen.headers.get("Content-Type", "")[:10].lower() == "multipart/":
                await self._read_form(seen, request)
            else:
                seen.raw = await request.read()
                seen.body = _parsed(seen.raw)
        except (web.HTTPRequestEntityTooLarge, TooLarge):
            return await self._write(page(413), seen, request)
        except Malformed:
            return await self._write(Refusal("1210", message=_NO_FORM), seen, request)
        endpoint, seen.fields = self._routes.find(seen.method, seen.path)
        if endpoint is None:
            return await self._write(self._script.take(seen) or _unknown(seen.path), seen, request)
        if self._scenario.checks and (fault := self._fault(seen, endpoint)):
            return await self._write(fault, seen, request)
        if seen.method != "POST":
            return await self._write(self._script.take(seen) or endpoint.respond(seen), seen, request)
        if refusal := self._admission.enter(seen.model):
            return await self._write(refusal, seen, request)
        try:
            return await self._write(self._script.take(seen) or endpoint.respond(seen), seen, request)
        finally:
            self._admission.leave(seen.model)

    async def _read_form(self, seen: SeenRequest, request: web.BaseRequest) -> None:
        seen.form, seen.uploads = await read_form(
            request,
            self._stage.folder,
            limit=UPLOAD_LIMIT,
            text_limit=BODY_LIMIT,
            pause=self._scenario.pace.per_upload_block,
        )

    def _fault(self, seen: SeenRequest, endpoint: Endpoint) -> Answer | None:
        authorization = seen.headers.get("Authorization")
        refusal = authentication.check(authorization, self._scenario.api_keys, self._clock)
        if refusal and not endpoint.keyless:
            return refusal
        return endpoint.check(seen) if endpoint.check else None

    async def _write(self, answer: Answer, seen: SeenRequest, request: web.BaseRequest) -> web.StreamResponse:
        if isinstance(answer, HangUp):
            return await hang_up(request, reset=answer.reset)
        if isinstance(answer, Talk):
            return await converse(answer, seen, request, self._stage, self.changed.set)
        if isinstance(answer, Later):
            answer = await answer.make()
        body = render(answer, seen, self._stamps)
        seen.status = body.status
        return await write(body, answer.delivery or self._paced(answer, seen), request, self._keep_alive)

    def _paced(self, answer: Answer, seen: SeenRequest) -> Delivery:
        pace = self._scenario.pace
        if isinstance(answer, Reply) and (pace.first_token or pace.per_chunk):
            if seen.stream:
                return Delivery(head_after=pace.first_token, pause=pace.per_chunk)
            pieces = len(words(answer.reasoning or "")) + len(words(answer.text or ""))
            return Delivery(head_after=pace.first_token + pace.per_chunk * pieces)
        return _BLOCK_BY_BLOCK if isinstance(answer, Frames) else _AT_ONCE


def _parsed(raw: bytes) -> object:
    try:
        return _decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _unknown(path: str) -> Answer:
    return version_not_found(path.removeprefix("/api/paas")) if _DOUBLED_VERSION.search(path) else not_found()


SERVICE: Final = web.AppKey("zhipu_async.simulator", Service)
"""Where an application keeps its service."""


def application(scenario: Scenario | None = None) -> web.Application:
    """The simulated service as an application of aiohttp; `app[SERVICE]` has what it saw, connections excepted."""
    service = Service(scenario)
    app = web.Application(client_max_size=BODY_LIMIT)
    app[SERVICE] = service
    app.router.add_route("*", "/{path:.*}", service.handle)

    async def close(_: web.Application) -> None:
        await service.close()

    app.on_cleanup.append(close)
    return app
