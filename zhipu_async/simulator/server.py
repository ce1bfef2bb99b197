"""The simulator as a server on a port of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from zhipu_async.simulator.application import BODY_LIMIT, KEEP_ALIVE, Service
from zhipu_async.simulator.authentication import DEFAULT_KEY
from zhipu_async.simulator.scenario import Scenario
from zhipu_async.simulator.seen import Connections, SeenRequest

BASE_PATH: Final = "/api/paas/v4"
_BACKLOG: Final = 8192
_FAREWELL: Final = 0.1
"""Seconds that handlers have for their end."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Simulator:
    """A GLM service on this machine, open as long as its `async with` block.

    ```python
    async with Simulator(Scenario(replies=[Refusal("1302"), Reply("Hello")])) as sim:
        ...  # ask sim.base_url with sim.api_key
    ```

    `port=0` takes a free port, `ssl` is a server-side context, `keep_alive` is in seconds, `record=False` keeps no
    requests (for long runs), and `clock` gives the Unix time that ids and the expiry of tokens are made with. Entered
    again, it opens on the same port and goes on where it was, but for files and batches, which leaving it removes.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl: SSLContext | None = None,
        keep_alive: float = KEEP_ALIVE,
        record: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = Service(scenario, keep_alive=keep_alive, record=record, clock=clock)
        keys = (scenario or Scenario()).api_keys
        self.api_key = next(iter(keys), DEFAULT_KEY) if keys else DEFAULT_KEY
        """A key that is accepted."""
        self._service.scheme = "http" if ssl is None else "https"
        self._host = host
        self._port = port
        self._ssl = ssl
        self._keep_alive = keep_alive
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        self._service.stopping = False
        server = _Server(self._service, keepalive_timeout=self._keep_alive, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=_FAREWELL)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._ssl, backlog=_BACKLOG)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._service.stopping = True
        for site in runner.sites:
            await site.stop()
        if runner.server is not None:
            for connection in runner.server.connections:
                connection.force_close()
        await runner.cleanup()
        await self._service.close()

    @property
    def origin(self) -> str:
        """Where the server is, in the form `http://127.0.0.1:PORT`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._service.scheme}://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """The address that a client is given, in the form `http://127.0.0.1:PORT/api/paas/v4`."""
        return self.origin + BASE_PATH

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request in the order of arrival; empty with `record=False`."""
        return self._service.requests

    @property
    def connections(self) -> Connections:
        """How many connections there were, and are."""
        return self._service.connections

    @property
    def served(self) -> int:
        """How many requests have arrived."""
        return self._service.served

    @property
    def in_flight(self) -> int:
        """How many requests are being answered now."""
        return self._service.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most requests that were being answered at a time."""
        return self._service.peak_in_flight

    async def wait_until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until a condition on what the simulator saw is true, or raise TimeoutError after `timeout` seconds.

        The condition is asked again whenever a request or connection begins or ends.
        """
        async with asyncio.timeout(timeout):
            while not condition():
                self._service.changed.clear()
                await self._service.changed.wait()


class _Server(web.Server):
    """Counts connections, and agrees to requests that ask before they send their body."""

    def __init__(self, service: Service, **options: Any) -> None:
        super().__init__(self._handle, request_factory=self._request, access_log=None, **options)
        self._service = service

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._service.connections.made(handler)
        self._service.changed.set()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._service.connections.lost(handler)
        self._service.changed.set()

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(_CONTINUE)
        return await self._service.handle(request)
