"""Connections, lent for one request at a time: a pool per event loop, made when a loop first asks.

The connections of a loop close themselves when their loop does; those inherited by a forked child are kept and never
touched, since closing them would remove their sockets from the parent's selector, which the child shares.
"""

from __future__ import annotations

import asyncio
import os
import ssl as tls
import warnings
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakSet

from aiohttp import BaseConnector, ClientError, ClientRequest, ClientSSLError, ClientTimeout, TCPConnector
from aiohttp.connector import Connection
from yarl import URL

from ..config import Limits, Timeouts, environment_proxy
from ..errors import ClientClosedError, ConnectError, PoolFull
from ..protocol.endpoint import HTTPRequest
from ..telemetry import CallRecord, logger
from .clocks import AttemptClock
from .connection import Wire
from .target import Route, Target, head, take_apart

DRAIN_SECONDS = 1.0
"""How long the end of an answer is waited for after ``[DONE]``, in the background, before its connection is closed."""
DRAIN_BYTES = 64 * 1024
TARGETS_KEPT = 1024
"""URLs whose parts are kept; paths with ids in them are many."""
DRAIN_PATIENCE = 0.02
"""How long a new call waits for a connection that is about to come back, before it opens another. Seconds."""


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
        self._limits = limits
        self._ssl: tls.SSLContext | bool = ssl or True
        self._proxy = proxy
        self._trust_env = trust_env
        self._connector = connector
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPool] = WeakKeyDictionary()
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
        pool = await self._here()
        target = self._target(request.url)
        wire = await pool.lease(target, clock, record, request.timeouts, fresh=fresh)
        wire.pool = self
        try:
            clock.phase("first_byte", request.timeouts.first_byte, sent=True)
            opening = head(request, target, headers)
            await wire.request(opening, request.body, method=request.method, limits=self._limits)
        except BaseException:
            wire.close()
            raise
        clock.phase(None)
        record.first_byte()
        return wire

    def statistics(self) -> PoolStatistics:
        """How many connections are in use and idle, and how many calls wait."""
        pools = [pool for loop, pool in list(self._loops.items()) if not loop.is_closed()]
        return PoolStatistics(
            sum(pool.in_use for pool in pools),
            sum(pool.idle_count for pool in pools),
            sum(len(pool.waiters) for pool in pools),
        )

    async def close(self) -> None:
        """Close all connections. Calls under way on this loop fail; those of other loops are closed there."""
        self._closed = True
        for loop, pool in list(self._loops.items()):
            if loop is asyncio.get_running_loop():
                await pool.close()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(pool.close(), loop)
        self._loops.clear()

    def __del__(self) -> None:
        loops = getattr(self, "_loops", {})
        if forgotten := [pool for loop, pool in loops.items() if not loop.is_closed() and pool.connections]:
            warnings.warn(
                "unclosed AsyncZhipuAI client; use 'async with' or close()", ResourceWarning, stacklevel=2, source=self
            )
            for pool in forgotten:
                pool.abandon()

    async def _here(self) -> _LoopPool:
        """The pool of the running loop."""
        if self._closed:
            raise ClientClosedError("the client is closed")
        loop = asyncio.get_running_loop()
        pool = self._loops.get(loop)
        if pool is None:
            for ended in [other for other in self._loops if other.is_closed()]:
                del self._loops[ended]
            pool = self._loops[loop] = _LoopPool(loop, self._limits, self._ssl, self._connector)
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

        inherited, self._loops = self._loops, WeakKeyDictionary()
        for pool in inherited.values():
            pool.inherited = True
            # Without this, the interpreter's last clean-up would run destructors that unregister the parent's sockets.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(pool))


_pools: WeakSet[SessionPool] = WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _LoopPool:
    """The connections of one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        ssl: tls.SSLContext | bool,
        connector: BaseConnector | None,
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._ssl = ssl
        self._shared = connector is not None
        self._connector = connector or TCPConnector(limit=0, force_close=False, keepalive_timeout=limits.keep_alive)
        self._idle: dict[Route, deque[tuple[Connection, float]]] = {}
        self._draining: set[asyncio.Task[None]] = set()
        self._guard: AsyncGenerator[None] | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._seen: WeakSet[object] = WeakSet()
        self.connections: set[Connection] = set()
        self.inherited = False
        self.in_use = 0
        self.waiters: deque[asyncio.Future[None]] = deque()

    @property
    def idle_count(self) -> int:
        return sum(map(len, self._idle.values()))

    # ------------------------------------------------------------ lending

    async def lease(
        self,
        target: Target,
        clock: AttemptClock,
        record: CallRecord,
        timeouts: Timeouts,
        *,
        fresh: bool,
    ) -> Wire:
        """A connection to ``target``; an idle one unless ``fresh``."""
        await self._take_slot(clock, record, timeouts.pool)
        try:
            connection = None if fresh else self._pop_idle(target.route)
            if connection is None and not fresh and self._draining:
                await asyncio.wait(self._draining, timeout=DRAIN_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                connection = self._pop_idle(target.route)
            reused = connection is not None
            if connection is None:
                clock.phase("connect", timeouts.connect)
                connection, reused = await self._connect(target, fresh=fresh)
        except BaseException:
            self._free_slot()
            raise
        return Wire(connection, target.route, self, reused=reused)

    async def _take_slot(self, clock: AttemptClock, record: CallRecord, patience: float | None) -> None:
        limit = self._limits.connections
        if limit is None or (self.in_use < limit and not self.waiters):
            self.in_use += 1
            return
        if self._limits.waiting is not None and len(self.waiters) >= self._limits.waiting:
            raise PoolFull(f"all {limit} connections are in use and {len(self.waiters)} calls wait (Limits.waiting)")
        clock.phase("pool", patience)
        began = self._loop.time()
        turn = self._loop.create_future()
        self.waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free_slot()  # the slot came in the same moment: hand it on
            else:
                self.waiters.remove(turn)
            raise
        finally:
            record.queue += self._loop.time() - began

    def _free_slot(self) -> None:
        """Hand the slot to the one who has waited longest, or give it up."""
        while self.waiters:
            turn = self.waiters.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.in_use -= 1

    async def _connect(self, target: Target, *, fresh: bool) -> tuple[Connection, bool]:
        """A new connection; of a connector that others use too, maybe one that carried a request of ours (True)."""
        limit = self._limits.connections
        if limit is not None and self.in_use + self.idle_count > limit:
            self._evict_oldest()
        proxy = URL(target.route.proxy) if target.route.proxy else None
        description = ClientRequest("GET", target.url, loop=self._loop, ssl=self._ssl, proxy=proxy)
        while True:
            try:
                connection = await self._connector.connect(description, [], ClientTimeout())
            except (ClientError, OSError, ValueError) as error:
                failure = ConnectError(f"no connection to {target.url.origin()}: {str(error) or type(error).__name__}")
                failure.retryable = not isinstance(error, ClientSSLError)
                raise failure from error
            seen = self._shared and connection.protocol in self._seen
            if not (seen and fresh):
                break
            connection.close()
        if self._shared:
            self._seen.add(connection.protocol)
        self.connections.add(connection)
        return connection, seen

    # ------------------------------------------------------------ taking back

    def give_back(self, wire: Wire, good: bool) -> None:
        """Keep the connection of a whole answer, after reading what is missing of its end in the background."""
        if good and not wire.reusable and not self._loop.is_closed() and wire.connection.protocol is not None:
            task = self._loop.create_task(self._drain(wire))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
            return
        self._settle(wire, good)

    async def _drain(self, wire: Wire) -> None:
        """The stream said ``[DONE]``, but the end of its body is still on the way."""
        good = False
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                good = await wire.skip_rest(DRAIN_BYTES)
        except TimeoutError:
            logger.debug("a connection was closed: its answer did not end within %s s after [DONE]", DRAIN_SECONDS)
        finally:
            self._settle(wire, good)

    def _settle(self, wire: Wire, good: bool) -> None:
        connection = wire.connection
        if good and wire.reusable and self._limits.keep_alive > 0:
            if self._shared:
                self.connections.discard(connection)
                connection.release()
            else:
                self._idle.setdefault(wire.route, deque()).append((connection, self._loop.time()))
                self._plan_sweep()
        else:
            self._discard(connection)
        self._free_slot()

    def _pop_idle(self, route: Route) -> Connection | None:
        """The connection used last, if it is young enough and still open; others are closed on the way."""
        idle = self._idle.get(route)
        while idle:
            connection, since = idle.pop()
            protocol = connection.protocol
            young = self._loop.time() - since < self._limits.keep_alive
            if young and protocol is not None and protocol.is_connected() and not protocol.should_close:
                return connection
            self._discard(connection)
        return None

    def _evict_oldest(self) -> None:
        queues = [queue for queue in self._idle.values() if queue]
        if queues:
            self._discard(min(queues, key=lambda queue: queue[0][1]).popleft()[0])

    def _plan_sweep(self) -> None:
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._limits.keep_alive, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Close what has been idle for too long."""
        self._sweep = None
        oldest = self._loop.time() - self._limits.keep_alive
        for queue in self._idle.values():
            while queue and queue[0][1] <= oldest:
                self._discard(queue.popleft()[0])
        if self.idle_count:
            self._plan_sweep()

    def _discard(self, connection: Connection) -> None:
        self.connections.discard(connection)
        transport = connection.transport
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()  # closing would wait until the rest of the request is written
        connection.close()

    # ------------------------------------------------------------ ending

    async def end_with_loop(self) -> None:
        """Start a generator on the loop: ``shutdown_asyncgens`` finishes it when the loop ends, and it closes us."""
        self._guard = self._until_loop_ends()
        await anext(self._guard)

    async def _until_loop_ends(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._close_all()

    async def close(self) -> None:
        """Close everything."""
        if self._guard is not None:
            await self._guard.aclose()
            self._guard = None

    async def _close_all(self) -> None:
        for task in self._draining:
            task.cancel()
        self.abandon()
        if not self._shared:
            await self._connector.close()
        await asyncio.sleep(0)  # the transports close in the loop's next round

    def abandon(self) -> None:
        """Close the connections without waiting."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        for connection in list(self.connections):
            self._discard(connection)
