"""What the endpoints share: the scenario, the time, ids, and what lasts from one request to another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from zhipu_async.simulator.folder import Folder
from zhipu_async.simulator.rendering import Stamps
from zhipu_async.simulator.scenario import Scenario
from zhipu_async.simulator.storage import Files, Public
from zhipu_async.simulator.tasks import Tasks


class Stage:
    """The state of a simulation. `clock` gives Unix time, in seconds."""

    scenario: Scenario
    clock: Callable[[], float]
    stamps: Stamps
    """New ids: `stamps.next()` has `id` and `created`."""
    folder: Folder
    """Where uploads and files are, as long as the simulator is open."""
    files: Files
    """The files of data.md section 7."""
    public: Public
    """What anybody may fetch: `public.publish(request, content, media_type, name)` gives the URL."""
    tasks: Tasks
    """Asynchronous tasks: `tasks.create(request, make_result)` is the answer to a creating call."""

    def __init__(self, scenario: Scenario, clock: Callable[[], float] = time.time) -> None:
        self.scenario = scenario
        self.clock = clock
        self.stamps = Stamps(clock, scenario.seed)
        self.folder = Folder()
        self.files = Files(clock, scenario.seed)
        self.public = Public()
        self.tasks = Tasks(scenario, self.stamps)
        self._running: set[asyncio.Task[None]] = set()
        self._closing: list[Callable[[], None]] = [self.files.clear]

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, at the longest until the simulator is left."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def when_closed(self, call: Callable[[], None]) -> None:
        """Have something done whenever the simulator is left."""
        self._closing.append(call)

    async def close(self) -> None:
        """End what runs in the background, and remove all files and what was made of them."""
        for task in (running := [*self._running]):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for call in self._closing:
            call()
        await asyncio.to_thread(self.folder.close)
