"""An answer on its way to a browser: read as fast as the browser takes it, and closed when the browser leaves."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, Unpack

from ...config import check_seconds
from ...errors import ConfigError, ZhipuError
from ...telemetry import logger
from ...tool_runs import ToolRun
from .frames import DONE, KEEP_ALIVE, finished, frame, written
from .problems import Problem, problem_of

Source: TypeAlias = AsyncIterable[Any] | Awaitable[AsyncIterable[Any]]
"""A stream, a run with tools, any async iterable; or what gives one when it is awaited, like a call of
``create(..., stream=True)``: then the relay also watches over the time until the first token."""
Ended: TypeAlias = Literal["done", "left", "failed", "cancelled"]

HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
"""Proxies must neither keep, nor compress, nor collect what is streamed."""
MEDIA_TYPE = "text/event-stream"
LEFT = 499
"""The status of an answer that nobody waited for, as it is written to access logs."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """How a relay ended, and what had come by then."""

    ended: Ended
    """``done``; ``left``: the browser went away, or took nothing for ``stall`` seconds; ``failed``: the service, or a
    function; ``cancelled``: the server stopped, which aiohttp.web does not tell from ``left``."""
    events: int
    """Frames that were written."""
    source: Any = None
    """What was relayed; None where opening it failed. A run with tools has its ``messages``."""
    error: Exception | None = None

    @property
    def result(self) -> Any:
        """The ``result`` of the source as far as it came: the folded answer of a stream. None where there is none."""
        with suppress(RuntimeError):  # a run that has not ended has none
            return getattr(self.source, "result", None)
        return None


class RelayOptions(TypedDict, total=False):
    """How an answer is relayed."""

    text_only: bool
    """Send nothing but the answer's text, as ``{"text": ...}``."""
    keep_alive: float | None
    """Seconds of silence after which a comment is sent: 15. When nothing has come by then, the status 200 goes out with
    it, and an error that comes later is an ``event: error``. None: no comments."""
    stall: float | None
    """Seconds in which a browser may take nothing of what is written before it counts as gone, and its connection is
    cut where the framework can: 60. None: no limit."""
    on_end: Callable[[Relayed], object] | None
    """Called once, and awaited where it is async, however the relay ended: the place to store an answer. What the model
    wrote before the browser left is paid for, so it is here too: ``relayed.result``."""
    problem: Callable[[BaseException], Problem]
    """What the browser is told of an error: ``problem_of``."""


class Channel(Protocol):
    """The way to one browser, as a framework offers it."""

    async def begin(self) -> None:
        """Send the head: 200, and the headers of an event stream."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a frame; waits while much is still to be sent. OSError where the browser is gone."""
        ...

    async def end(self) -> None:
        """The answer is complete."""
        ...

    def abort(self) -> None:
        """Cut the connection, with what is still to be sent: the browser is gone, or takes nothing. May do nothing."""
        ...

    async def refuse(self, problem: Problem) -> None:
        """Send another answer than a stream: the head was not sent."""
        ...

    async def gone(self) -> None:
        """Return when the browser has left."""
        ...

    @property
    def left(self) -> bool:
        """Whether the browser is known to have left."""
        ...


class Relay:
    """Relays a source to one browser.

    The source is read only as fast as the browser takes frames, so that memory stays bounded, and is closed in every
    case; when the browser leaves, at once. An error before the first frame is an HTTP answer of its own, a later one a
    last frame ``event: error``; only an answer that is whole ends with ``[DONE]``. Errors of this library are logged;
    others are also raised, for the framework to see.

    A browser's ``EventSource`` asks again whenever a stream ends, and each question is paid for: let the page close it
    at ``[DONE]`` and at ``event: error``, or read the answer with ``fetch``.
    """

    def __init__(self, source: Source, **options: Unpack[RelayOptions]) -> None:
        if not isinstance(source, AsyncIterable) and not inspect.isawaitable(source):
            raise ConfigError(f"{type(source).__name__} cannot be relayed: it is no async iterable, and gives none")
        known = RelayOptions.__annotations__
        if unknown := options.keys() - known:
            raise ConfigError(f"a relay has no option {', '.join(sorted(unknown))}: it has {', '.join(known)}")
        self._source: Source | None = source
        self._unclosed: object = source
        self._opened: AsyncIterable[Any] | None = None
        self._text_only = options.get("text_only", False)
        self._keep_alive = check_seconds("keep_alive", options.get("keep_alive", 15.0))
        self._stall = check_seconds("stall", options.get("stall", 60.0))
        self._on_end = options.get("on_end")
        self._problem = options.get("problem", problem_of)
        if not callable(self._problem) or not (self._on_end is None or callable(self._on_end)):
            raise ConfigError("on_end and problem are functions")
        self._begun = self._over = False
        self._events = 0
        self._writing = asyncio.Lock()
        self._silent_since = 0.0

    async def answer(self, channel: Channel) -> Relayed:
        """Relay to the end, or until the browser leaves. ConfigError the second time."""
        source, self._source = self._source, None
        if source is None:
            raise ConfigError("this answer was sent already: make a new one for each request")
        relaying = asyncio.create_task(self._relay(channel, source))
        tasks = (relaying, asyncio.create_task(channel.gone()), asyncio.create_task(self._break_silences(channel)))
        ended: Ended = "cancelled"
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = "left"
        except asyncio.CancelledError:
            if channel.left:
                ended = "left"
            raise
        finally:
            self._over = True
            try:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self.close()
            finally:  # also when it is cancelled once more
                relayed = self._ending(ended, relaying, tasks)
                if self._on_end is not None and inspect.isawaitable(waiting := self._on_end(relayed)):
                    await _shielded(waiting)
        if relayed.error is not None and not isinstance(relayed.error, ZhipuError):
            raise relayed.error
        return relayed

    def _ending(self, ended: Ended, relaying: asyncio.Task[None], tasks: Iterable[asyncio.Task[None]]) -> Relayed:
        failures = [task.exception() for task in tasks if task.done() and not task.cancelled()]
        error = next((failure for failure in failures if isinstance(failure, Exception)), None)
        if isinstance(error, _Left):
            ended, error = "left", None
        elif error is not None:
            ended = "failed"
        elif relaying.done() and not relaying.cancelled():
            ended = "done"
        return Relayed(ended, self._events, self._opened, error)

    async def close(self) -> None:
        """Close the source. One that was never asked for anything is not asked any more."""
        source, self._source, self._unclosed = self._unclosed, None, None
        names = ("aclose", "close", "cancel")  # the last is that of tasks
        if (close := next(filter(None, (getattr(source, name, None) for name in names)), None)) is not None:
            try:
                if inspect.isawaitable(closing := close()):
                    await closing
            except Exception:  # it must not hide how the relay ended
                logger.exception("closing %s after it was relayed failed", type(source).__name__)

    async def _relay(self, channel: Channel, source: Source) -> None:
        try:
            await self._read(channel, source)
        except _Left:
            raise
        except asyncio.CancelledError:
            if self._over:
                await self.close()  # here, where nothing cancels it again, and where the source was read
                raise
            raise RuntimeError("what was relayed was cancelled, but not by its relay") from None
        except Exception as error:
            if isinstance(error, ZhipuError):
                logger.warning("relay failed after %d frames: %s: %s", self._events, type(error).__name__, error)
            async with self._writing:  # a comment may be on its way, and none may come from here on
                begun, self._over = self._begun, True
            if begun:
                await self._send(channel, written({"error": self._problem(error)}, "error"), last=True)
            elif isinstance(error, ZhipuError):
                with suppress(OSError):  # nobody is there to read it
                    await channel.refuse(self._problem(error))
            raise

    async def _read(self, channel: Channel, source: Source) -> None:
        self._opened = self._unclosed = opened = source if isinstance(source, AsyncIterable) else await source
        if not isinstance(opened, AsyncIterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"the call gave a {type(opened).__name__}, which is no stream: pass stream=True")
        begun_with = len(opened.messages) if isinstance(opened, ToolRun) else 0
        async for item in opened:
            if data := frame(item, text_only=self._text_only):
                await self._send(channel, data)
        if isinstance(opened, ToolRun) and not self._text_only:
            await self._send(channel, finished(opened.result, begun_with))
        await self._send(channel, DONE, last=True)

    async def _send(self, channel: Channel, data: bytes, *, last: bool = False) -> None:
        async with self._writing:
            await self._write(channel, data)
            if last:
                self._over = True
                try:
                    async with asyncio.timeout(self._stall):
                        await channel.end()
                except OSError:  # of the browser, or of the time-out: the answer is whole
                    channel.abort()

    async def _write(self, channel: Channel, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._stall):
                if not self._begun:
                    await channel.begin()
                    self._begun = True
                await channel.write(data)
        except OSError as error:  # of the browser, or of the time-out
            channel.abort()
            raise _Left from error
        self._events += data is not KEEP_ALIVE
        self._silent_since = asyncio.get_running_loop().time()

    async def _break_silences(self, channel: Channel) -> None:
        """Send a comment whenever nothing was sent for a while."""
        loop = asyncio.get_running_loop()
        self._silent_since = loop.time()
        while self._keep_alive is not None and not self._over:
            await asyncio.sleep(self._silent_since + self._keep_alive - loop.time())
            async with self._writing:
                if not self._over and loop.time() >= self._silent_since + self._keep_alive:
                    await self._write(channel, KEEP_ALIVE)
        await loop.create_future()


_alone: set[asyncio.Future[object]] = set()


async def _shielded(waiting: Awaitable[object]) -> None:
    """Wait for ``waiting``; it goes on alone when the waiting is cancelled, which anyio's scopes do again and again."""
    task = asyncio.ensure_future(waiting)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        _alone.add(task)  # a loop keeps no task alive
        task.add_done_callback(_ended_alone)
        raise


def _ended_alone(task: asyncio.Future[object]) -> None:
    _alone.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("on_end of a relay failed", exc_info=error)


class _Left(Exception):
    """The browser is gone."""
