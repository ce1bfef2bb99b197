"""A server on the loopback that passes requests on: its port, and its connections to the service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

_BODY_LIMIT: Final = 1024 * 1024 * 1024
"""Bytes of a request."""
_CONNECT: Final = 30.0
"""Seconds for a connection to the service; nothing else is limited, since the client has its own clocks."""
_FAREWELL: Final = 0.1
"""Seconds that handlers have for their end."""


class LoopbackServer:
    """Listens on a free port of the loopback, and has the connections to the service."""

    session: ClientSession

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self._answer = answer
        self._runner: web.ServerRunner | None = None

    async def open(self) -> int:
        """The port that it listens on from now."""
        self.session = ClientSession(
            connector=TCPConnector(limit=0, force_close=True),  # a connection that went stale would look like a cut
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=True,
            timeout=ClientTimeout(total=None, sock_connect=_CONNECT),
        )
        server = web.Server(self._answer, request_factory=self._request, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=_FAREWELL)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Close the connections on both sides."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self.session.close()

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_BODY_LIMIT)
