"""An open WebSocket on aiohttp's client: frames in both directions, and every way in which it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, WSMsgType

from ..config import Limits, Timeouts
from ..errors import ClientClosedError, ConnectionLost, ResponseTooLarge
from ..protocol.codec import shown
from ..telemetry import CallRecord
from .clocks import timed_out
from .connection import BROKEN, cut

CLOSE_SECONDS = 2.0
"""How long the service's answer to a close is waited for."""
_CLEAN = (1000, 1001, 1005)
"""Close codes of a session that ended as it should: done, going away, and no code at all."""
_TOO_BIG = 1009


class Owner(Protocol):
    """Who lent the way to a WebSocket."""

    inherited: bool
    """True in a forked child, where the connection is the parent's and must not be touched."""

    def join(self, socket: WebSocket) -> None:
        """The WebSocket is open; it is to be told (``fail``) when everything ends."""
        ...

    def part(self, socket: WebSocket | None) -> None:
        """The WebSocket is closed, or (None) was not opened."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """The way to a WebSocket: the aiohttp session that opens it, and who is told that it is over."""

    session: ClientSession
    owner: Owner
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """What the handshake needs beside its headers: TLS and proxy."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    refusal: list[bytes] = field(default_factory=list[bytes], repr=False)
    """The body of a refused handshake. That of a foreign session stays unknown: aiohttp's error does not hold it."""
    foreign: bool = False

    def end(self, socket: WebSocket | None = None) -> None:
        """Give the way back."""
        if not self.foreign:
            self.session.detach()
        self.owner.part(socket)


class WebSocket:
    """An open WebSocket: one task receives, any may send. Dropping it does not close it: call close or abort."""

    def __init__(
        self, response: ClientWebSocketResponse, lease: Lease, timeouts: Timeouts, limits: Limits, record: CallRecord
    ) -> None:
        self._response = response
        self._handshake: ClientResponse = response._response  # pyright: ignore[reportPrivateUsage] # nothing else closes without waiting
        self._lease = lease
        self._limits = limits
        self._record = record
        self._loop = asyncio.get_running_loop()
        self._between = timeouts.between
        self._stream_total = timeouts.stream_total
        self._opened = self._loop.time()
        self._closing = False
        self._released = False
        self._failure: Exception | None = None
        self.close_code: int | None = None
        """The service's close code; None as long as it did not close. 1005 stands for none."""
        self.close_reason = ""
        """The text that came with it."""

    async def send(self, text: str) -> None:
        """Send a text frame; waits while much is still to be written."""
        if self._failure is not None:
            raise self._failure
        if self.close_code is not None:
            raise ConnectionLost("the service has closed the session: the event was not sent", arrived=False)
        if self._closing or self._released:
            raise ClientClosedError("the session is closed")
        try:
            async with asyncio.timeout(self._between):
                await self._response.send_str(text)
        except TimeoutError:
            assert self._between is not None
            raise self._fail(timed_out("between", self._between)) from None
        except BROKEN as error:
            raise ConnectionLost(f"the connection broke: {str(error) or type(error).__name__}") from error

    async def receive(self) -> str | bytes | None:
        """The next frame; None at a clean end, of either side's making. ConnectionLost for any other end."""
        if self._failure is not None:
            raise self._failure
        if self._closing or self._released:
            return None
        clock, seconds, left = self._patience()
        try:
            async with asyncio.timeout(left):
                message = await self._response.receive()
        except TimeoutError:
            raise self._fail(timed_out(clock, seconds)) from None
        kind: WSMsgType = message.type
        data: Any = message.data
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY):
            frame: str | bytes = data
            return frame
        if kind is WSMsgType.CLOSE:
            self.close_code, self.close_reason = data or 1005, message.extra or ""
            if self.close_code in _CLEAN:
                self._record.succeed()
                self._release()
                return None
            reason = f": {shown(self.close_reason)}" if self.close_reason else ""
            raise self._fail(ConnectionLost(f"the service closed the session with code {self.close_code}{reason}"))
        if kind is WSMsgType.ERROR:
            if getattr(data, "code", None) == _TOO_BIG:
                text = f"an event is larger than {self._limits.event} bytes (Limits.event)"
                raise self._fail(ResponseTooLarge(text)) from data
            text = f"the service broke the WebSocket protocol: {shown(str(data), 500)}"
            raise self._fail(ConnectionLost(text)) from data
        if self._failure is not None:  # the client was closed while this waited
            raise self._failure
        if self._closing:
            return None
        raise self._fail(ConnectionLost("the connection broke off"))

    def _patience(self) -> tuple[str, float, float | None]:
        """The clock that fires first, its length, and the seconds that are left of it."""
        clocks: list[tuple[float, str, float]] = []
        if self._between is not None:
            clocks.append((self._between, "between", self._between))
        if self._stream_total is not None:
            left = self._opened + self._stream_total - self._loop.time()
            clocks.append((max(0.0, left), "stream_total", self._stream_total))
        if not clocks:
            return "", 0.0, None
        left, clock, seconds = min(clocks)
        return clock, seconds, left

    async def close(self) -> None:
        """Say goodbye and wait shortly for the answer; a task that receives gets None. Harmless when closed."""
        if self._released:
            return
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._response.close()
        except TimeoutError:
            pass
        finally:
            self._record.succeed()
            self._release()

    def abort(self) -> None:
        """Close the connection without a word. Harmless when closed, after the loop ended, or from another thread."""
        self._in_its_loop(self._leave)

    def fail(self, error: Exception) -> None:
        """Close the connection, like ``abort``; who receives or sends, now or later, gets ``error``."""
        self._in_its_loop(self._fail, error)

    def _in_its_loop(self, act: Callable[..., object], *arguments: object) -> None:
        if self._released or self._lease.owner.inherited or self._loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = not self._loop.is_running()
        if here:
            act(*arguments)
        else:
            self._loop.call_soon_threadsafe(act, *arguments)

    def _leave(self) -> None:
        self._record.fail(None)
        self._release()

    def _fail(self, error: Exception) -> Exception:
        if not self._released:
            self._failure = error
            self._record.fail(error)
            self._release()
        return error

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        connection = self._handshake.connection  # None when the goodbyes were said
        transport = connection.transport if connection is not None else None
        if transport is not None and not transport.is_closing():
            cut(transport)
        self._handshake.close()
        self._lease.end(self)
