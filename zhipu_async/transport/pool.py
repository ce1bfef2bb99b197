"""Connections, lent for one request at a time: a pool per event loop, made when a loop first asks.

The connections of a loop close themselves when their loop does; those inherited by a forked child are kept and never
touched, since closing them would remove their sockets from the parent's selector, which the child shares.
"""

from __future__ import annotations

import asyncio
import os
import ssl as tls
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from aiohttp import BaseConnector, TCPConnector

from ..config import Limits, Timeouts, environment_proxy
from ..errors import ClientClosedError, ConfigError
from ..protocol.endpoint import HTTPRequest
from ..protocol.form import Form
from ..telemetry import CallRecord
from .clocks import AttemptClock
from .connection import Wire
from .loop_pool import LoopPool
from .target import Target, head, take_apart
from .uploading import Upload

if TYPE_CHECKING:
    from .websocket import Lease

TARGETS_KEPT = 1024
"""URLs whose parts are kept; paths with ids in them are many."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """Connections and calls of all event loops together."""

    in_use: int
    """Connections that carry a request or an open stream, or are being made."""
    idle: int
    """Open connections that wait for a request."""
    waiting: int
    """Calls that wait for a connection."""


class SessionPool:
    """Lends connections: at most ``limits.connections`` at a time on each loop, then in the order of asking."""

    def __init__(
        self,
        limits: Limits,
        *,
        ssl: tls.SSLContext | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        connector: BaseConnector | None = None,
    ) -> None:
        if connector is not None and not isinstance(connector, TCPConnector):  # one of Unix sockets, for instance
            if proxy is not None:
                raise ConfigError("only a TCPConnector can go through a proxy")
            trust_env = False
        self._limits = limits
        self._ssl: tls.SSLContext | bool = ssl or True
        self._proxy = proxy
        self._trust_env = trust_env
        self._connector = connector
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopPool] = WeakKeyDictionary()
        self._changing = Lock()
        """Held by who changes ``_loops`` or goes through it: loops of several threads may do so at once."""
        self._targets: dict[str, Target] = {}
        self._closed = False
        _pools.add(self)

    async def open(
        self,
        request: HTTPRequest,
        headers: Mapping[str, str],
        clock: AttemptClock,
        record: CallRecord,
        *,
        fresh: bool,
    ) -> Wire:
        """Send ``request`` and wait for the head of its answer; ``fresh``: on a connection that carried nothing yet."""
        pool = self._loops.get(clock.loop)
        if pool is None or pool.closed or self._closed:
            pool = await self._here()
        target = self._target(request.url)
        timeouts, body = request.timeouts, request.body
        wire = None if fresh else pool.lease_idle(target)
        if wire is None:
            wire = await pool.lease(target, clock, record, timeouts, fresh=fresh)
        wire.pool = self
        try:
            if isinstance(body, Form):
                clock.phase(None)
                async with Upload(body, request, clock) as upload:  # now: each open file has its connection
                    opening = head(request, target, headers, upload.length)
                    clock.phase("first_byte", timeouts.first_byte, sent=True)
                    await wire.request(opening, upload, method=request.method, limits=self._limits)
            else:
                opening = head(request, target, headers, len(body or b""))
                clock.phase("first_byte", timeouts.first_byte, sent=True)
                await wire.request(opening, body, method=request.method, limits=self._limits)
        except BaseException:
            wire.close()
            raise
        clock.phase(None)
        record.first_byte()
        return wire

    async def lend(self, url: str, clock: AttemptClock, record: CallRecord, timeouts: Timeouts) -> Lease:
        """The way to a WebSocket at ``url``, which holds a connection like any call."""
        from .handshake import own_way

        target = self._target(url)
        pool = await self._here()
        return own_way(await pool.admit(clock, record, timeouts), self._ssl, target, pool)

    def statistics(self) -> PoolStatistics:
        """How many connections are in use and idle, and how many calls wait."""
        with self._changing:
            pools = [pool for loop, pool in self._loops.items() if not loop.is_closed()]
        return PoolStatistics(
            sum(pool.in_use for pool in pools),
            sum(pool.idle_count for pool in pools),
            sum(len(pool.waiters) for pool in pools),
        )

    async def close(self) -> None:
        """Close all connections. Calls under way on this loop fail; those of other loops are closed there."""
        with self._changing:
            self._closed = True
            pools = list(self._loops.items())
        for loop, pool in pools:
            if loop is asyncio.get_running_loop():
                await pool.close()
            else:
                with suppress(RuntimeError):  # it has ended meanwhile, and closed its pool
                    loop.call_soon_threadsafe(pool.close_at_once)
        with self._changing:
            self._loops.clear()

    def __del__(self) -> None:
        loops = getattr(self, "_loops", {})
        if forgotten := [(loop, pool) for loop, pool in loops.items() if not loop.is_closed() and pool.connections]:
            warnings.warn(
                "unclosed AsyncZhipuAI client; use 'async with' or close()", ResourceWarning, stacklevel=2, source=self
            )
            for loop, pool in forgotten:
                if loop.is_running() and loop is not _running_loop():
                    with suppress(RuntimeError):  # it has ended meanwhile, and closed its pool
                        loop.call_soon_threadsafe(pool.abandon)
                else:
                    pool.abandon()

    async def _here(self) -> LoopPool:
        """The pool of the running loop."""
        loop = asyncio.get_running_loop()
        with self._changing:
            if self._closed:
                raise ClientClosedError("the client is closed")
            pool = self._loops.get(loop)
            if pool is not None and not pool.closed:
                return pool
            for ended in [other for other in self._loops if other.is_closed()]:
                self._loops.pop(ended, None)
            pool = self._loops[loop] = LoopPool(loop, self._limits, self._ssl, self._connector)
        await pool.end_with_loop()
        return pool

    def _target(self, url: str) -> Target:
        target = self._targets.get(url)
        if target is None:
            if len(self._targets) >= TARGETS_KEPT:
                self._targets.clear()
            proxy = self._proxy or (environment_proxy(url) if self._trust_env else None)
            target = self._targets[url] = take_apart(url, proxy)
        return target

    def leave_to_parent(self) -> None:
        """This is a forked child: keep what was inherited as it is, for ever, and begin anew."""
        import ctypes

        self._changing = Lock()  # which another thread of the parent may hold
        inherited, self._loops = self._loops, WeakKeyDictionary()
        for pool in inherited.values():
            pool.inherited = True
            # Without this, the interpreter's last clean-up would run destructors that unregister the parent's sockets.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(pool))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_pools: WeakSet[SessionPool] = WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
