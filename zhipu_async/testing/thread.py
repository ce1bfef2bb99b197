"""An event loop in a thread of its own, so that a server answers tests of every kind, those without a loop too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class LoopThread:
    """A running event loop, from entering to leaving its `with` block."""

    def __init__(self) -> None:
        self._ended: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="glm-testing", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._loop is None:
            self._thread.join()
            raise RuntimeError("the thread has no event loop: the traceback that it wrote says why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ended is not None:
            self._running.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine of this loop; the calling thread waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self._running).result()

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The same, for a caller that has a loop itself: that one goes on meanwhile."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running))

    @property
    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the thread does not run: enter it with `with`")
        return self._loop

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._until_ended())
        finally:
            self._started.set()  # also where no loop could be made: who enters must not wait for it

    async def _until_ended(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        await self._ended.wait()
