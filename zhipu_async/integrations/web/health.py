"""Whether a server is alive and can take questions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from ...client import AsyncZhipuAI
from ...config import check_count, check_seconds
from ...errors import ConfigError
from ...telemetry import logger
from .problems import problem_of

LIVE = b'{"status":"live"}'
"""The answer to whether the process is alive: nothing is looked at."""


class Readiness:
    """Whether this process can take a question; by itself it asks the service nothing.

    It is ready as long as no more than ``max_waiting`` calls wait for a connection or for their turn. ``probe`` is
    called with the client, at most once in ``probe_every`` seconds and for at most ``probe_timeout``, and makes it not
    ready when it raises: ``lambda client: client.models.list()`` costs no tokens. Mind that a probe takes all servers
    out of service together when the service itself is down.
    """

    def __init__(
        self,
        *,
        max_waiting: int | None = 100,
        probe: Callable[[AsyncZhipuAI], Awaitable[object]] | None = None,
        probe_every: float = 30.0,
        probe_timeout: float = 5.0,
    ) -> None:
        if max_waiting is not None:
            check_count("max_waiting", max_waiting, least=0)
        if check_seconds("probe_every", probe_every) is None or check_seconds("probe_timeout", probe_timeout) is None:
            raise ConfigError("probe_every and probe_timeout are seconds")
        self._max_waiting = max_waiting
        self._probe = probe
        self._every = probe_every
        self._timeout = probe_timeout
        self._probing = asyncio.Lock()
        self._probed_at = -float("inf")
        self._fault: str | None = None

    async def look(self, client: AsyncZhipuAI) -> tuple[int, bytes]:
        """Status and JSON: 200, or 503 with a ``reason``."""
        pool = client.pool.statistics()
        models = client.concurrency().values()
        in_flight, waiting = sum(model.in_flight for model in models), sum(model.waiting for model in models)
        reason = await self._ask(client)
        if self._max_waiting is not None and pool.waiting + waiting > self._max_waiting:
            reason = "busy"
        answer = {
            "status": "ready" if reason is None else "not_ready",
            **({} if reason is None else {"reason": reason}),
            "calls": {"in_flight": in_flight, "waiting": waiting},
            "connections": {"in_use": pool.in_use, "idle": pool.idle, "waiting": pool.waiting},
        }
        return 200 if reason is None else 503, msgspec.json.encode(answer)

    async def _ask(self, client: AsyncZhipuAI) -> str | None:
        """What is wrong with the service, as the last probe found it."""
        if self._probe is None:
            return None
        clock = asyncio.get_running_loop().time
        async with self._probing:
            if clock() - self._probed_at >= self._every:
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._probe(client)
                    self._fault = None
                except Exception as error:
                    self._fault = problem_of(error).type
                    logger.warning("not ready: the probe failed with %s: %s", type(error).__name__, error)
                self._probed_at = clock()
        return self._fault
