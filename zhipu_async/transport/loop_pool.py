"""The connections of one event loop: lent, taken back, kept while they are young, closed with their loop."""

from __future__ import annotations

import asyncio
import select
import ssl as tls
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from aiohttp import (
    BaseConnector,
    ClientError,
    ClientHttpProxyError,
    ClientRequest,
    ClientTimeout,
    TCPConnector,
)
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from ..config import Limits, Timeouts
from ..errors import ClientClosedError, PoolFull, ZhipuError
from ..telemetry import CallRecord, logger
from .clocks import AttemptClock
from .connection import Wire, cut
from .reading import hold_few, read_less
from .target import Route, Target, refused_by_proxy, unreachable

if TYPE_CHECKING:
    from .websocket import WebSocket

DRAIN_SECONDS = 1.0
"""How long the end of an answer is waited for after ``[DONE]``, in the background, before its connection is closed."""
DRAIN_BYTES = 64 * 1024
DRAIN_PATIENCE = 0.02
"""How long a new call waits for a connection that is about to come back, before it opens another, and how long the end
of an answer is waited for where calls wait for its place. Seconds."""


class LoopPool:
    """The connections of one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        ssl: tls.SSLContext | bool,
        connector: BaseConnector | None,
    ) -> None:
        if connector is not None and getattr(connector, "_loop", loop) is not loop:
            raise ClientClosedError("the injected connector belongs to another event loop")
        self._loop = loop
        self._limits = limits
        self._ssl = ssl
        self._shared = connector is not None
        self._connector = connector or TCPConnector(limit=0, force_close=True)  # those that are kept are kept here
        self._idle: dict[Route, deque[tuple[Connection, float]]] = {}
        self._draining: dict[asyncio.Task[None], tuple[Route, float]] = {}
        """With when each began (loop time)."""
        self._drain_clocks: set[asyncio.Timeout] = set()
        self._guard: AsyncGenerator[None] | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._seen: WeakSet[object] = WeakSet()
        self._lent: set[Wire | WebSocket] = set()
        self.closed = False
        self.connections: set[Connection] = set()
        self.inherited = False
        self.in_use = 0
        self.waiters: deque[asyncio.Future[None]] = deque()

    @property
    def idle_count(self) -> int:
        return sum(map(len, self._idle.values()))

    # ------------------------------------------------------------ lending

    def lease_idle(self, target: Target) -> Wire | None:
        """An idle connection to ``target``, if nobody waits for one and there is a slot."""
        limit = self._limits.connections
        if self.waiters or (limit is not None and self.in_use >= limit):
            return None
        connection = self._pop_idle(target.route)
        if connection is None:
            return None
        self.in_use += 1
        wire = Wire(connection, target.route, self, self._loop, reused=True)
        self._lent.add(wire)
        return wire

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
            if self.closed:  # while this call waited
                raise ClientClosedError("the client is closed")
            connection = None if fresh else self._pop_idle(target.route)
            if connection is None and not fresh and (soon := self._about_to_come(target.route)):
                await asyncio.wait(soon, timeout=DRAIN_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                connection = self._pop_idle(target.route)
            reused = connection is not None
            if connection is None:
                clock.phase("connect", timeouts.connect)
                connection, reused = await self._connect(target, fresh=fresh)
        except BaseException:
            self._free_slot()
            raise
        wire = Wire(connection, target.route, self, self._loop, reused=reused)
        self._lent.add(wire)
        return wire

    async def admit(self, clock: AttemptClock, record: CallRecord, timeouts: Timeouts) -> BaseConnector:
        """The connector, with a slot for a WebSocket that is opened on it: :meth:`part` gives it back."""
        await self._take_slot(clock, record, timeouts.pool)
        if self.closed:  # while this call waited
            self._free_slot()
            raise ClientClosedError("the client is closed")
        limit = self._limits.connections
        if limit is not None and self.in_use + self.idle_count > limit:
            self._evict_oldest()
        return self._connector

    def join(self, socket: WebSocket) -> None:
        """A WebSocket is open: it fails when everything is closed."""
        if self.closed:
            raise ClientClosedError("the client is closed")
        self._lent.add(socket)

    def part(self, socket: WebSocket | None) -> None:
        """A WebSocket is closed, or (None) was not opened."""
        if socket is not None:
            self._lent.discard(socket)
        self._free_slot()

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
        if not self.waiters:
            self._hurry()
        self.waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free_slot()  # the slot came in the same moment: hand it on
            else:
                with suppress(ValueError):  # a slot that became free in the same moment may have passed it over
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
        while True:
            connection = await self._dial(target)
            if isinstance(connection, ZhipuError):
                try:
                    raise connection
                finally:
                    del connection  # or this frame, which the error knows, knows the error
            seen = self._shared and connection.protocol in self._seen
            if not (seen and fresh):
                break
            connection.close()
        if self._shared:
            self._seen.add(connection.protocol)
        self.connections.add(connection)
        read_less(connection.transport)
        hold_few(connection.protocol, connection.transport)
        return connection, seen

    async def _dial(self, target: Target) -> Connection | ZhipuError:
        """What the connector gives, or what went wrong: given and not raised, since an error raised inside ``except``
        keeps the one that is handled there, and aiohttp's may hold a proxy's password."""
        try:
            return await self._connector.connect(self._description(target), [], ClientTimeout())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._connector.closed or (task is not None and task.cancelling()):
                raise  # otherwise the end of the connector cancelled the name look-up, and nobody this task
        except ClientHttpProxyError as error:
            return refused_by_proxy(error.status, error.message, target.route.proxy)
        except (ClientError, OSError, ValueError) as error:
            if not self._connector.closed:
                return unreachable(target.url.origin(), error)
        owner = "injected connector" if self._shared and not self.closed else "client"
        return ClientClosedError(f"the {owner} is closed")

    def _description(self, target: Target) -> ClientRequest:
        """What aiohttp's connector wants to know of a request that is never sent. ValueError for an unusable proxy."""
        proxy = URL(target.route.proxy) if target.route.proxy else None
        headers = CIMultiDict(target.proxy_headers) if target.proxy_headers else None
        return ClientRequest("GET", target.url, loop=self._loop, ssl=self._ssl, proxy=proxy, proxy_headers=headers)

    # ------------------------------------------------------------ taking back

    def give_back(self, wire: Wire, good: bool) -> None:
        """Keep the connection of a whole answer, after reading what is missing of its end in the background."""
        self._lent.discard(wire)
        if good and not wire.at_end and not self._loop.is_closed() and wire.connection.protocol is not None:
            task = self._loop.create_task(self._drain(wire))
            self._draining[task] = wire.route, self._loop.time()
            task.add_done_callback(partial(self._drained, wire))
            return
        self._settle(wire, good)

    async def _drain(self, wire: Wire) -> None:
        """The stream said ``[DONE]``, but the end of its body is still on the way."""
        good = False
        try:
            async with asyncio.timeout(DRAIN_PATIENCE if self.waiters else DRAIN_SECONDS) as clock:
                self._drain_clocks.add(clock)
                try:
                    good = await wire.skip_rest(DRAIN_BYTES)
                finally:
                    self._drain_clocks.discard(clock)
        except TimeoutError:
            logger.debug("a connection was closed: its answer did not end soon after [DONE]")
        self._settle(wire, good)

    def _hurry(self) -> None:
        """A call waits for a place: those that have to read no more than the end of an answer get less time."""
        soon = self._loop.time() + DRAIN_PATIENCE
        for clock in self._drain_clocks:
            if not clock.expired() and (when := clock.when()) is not None and when > soon:
                clock.reschedule(soon)

    def _about_to_come(self, route: Route) -> list[asyncio.Task[None]]:
        """The drains of connections to ``route`` that began just now: others are not about to end."""
        oldest = self._loop.time() - 5 * DRAIN_PATIENCE
        return [task for task, (to, began) in self._draining.items() if to == route and began > oldest]

    def _drained(self, wire: Wire, task: asyncio.Task[None]) -> None:
        del self._draining[task]
        if task.cancelled():  # maybe before it began
            self._settle(wire, good=False)

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
            wire.forget()
        self._free_slot()

    def _pop_idle(self, route: Route) -> Connection | None:
        """The connection used last, if it is young enough and still open; others are closed on the way."""
        idle = self._idle.get(route)
        while idle:
            connection, since = idle.pop()
            protocol = connection.protocol
            young = self._loop.time() - since < self._limits.keep_alive
            open_ = protocol is not None and protocol.is_connected() and not protocol.should_close
            if young and open_ and _silent(connection):
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
        self._idle = {route: queue for route, queue in self._idle.items() if queue}
        if self.idle_count:
            self._plan_sweep()

    def _discard(self, connection: Connection) -> None:
        self.connections.discard(connection)
        transport = connection.transport
        if transport is not None:
            cut(transport)
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
            if not self.closed:
                await self._close_all()

    async def close(self) -> None:
        """Close everything. Two tasks may do so at the same time, and another where one was cancelled."""
        guard, self._guard = self._guard, None
        await (self._close_all() if guard is None else guard.aclose())

    def close_at_once(self) -> None:
        """Close everything without waiting until it is closed: a task that did might outlive a loop that is ending."""
        if self.closed:
            return
        closing = self._close_all()
        with suppress(StopIteration):
            closing.send(None)
        closing.close()
        if self._guard is not None:
            with suppress(StopIteration):  # at once: it has nothing left to do
                self._guard.aclose().send(None)

    async def _close_all(self) -> None:
        self.closed = True
        for task in self._draining:
            task.cancel()
        for wire in list(self._lent):
            wire.fail(ClientClosedError("the client was closed"))
        while self.waiters:  # each gets a slot and gives it up
            self.in_use += 1
            self._free_slot()
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


def _silent(connection: Connection) -> bool:
    """Whether nothing waits to be read: what came before a request is the answer to none, or the connection's end."""
    transport = connection.transport
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None:
        return True
    if not hasattr(select, "poll"):  # Windows, where select() takes any socket
        return not select.select([socket], [], [], 0)[0]
    waiting = select.poll()
    waiting.register(socket, select.POLLIN)
    return not waiting.poll(0)
