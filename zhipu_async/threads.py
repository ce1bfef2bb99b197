"""Blocking work in threads, of which a cancelled caller leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


async def acquire(make: Callable[[], T], undo: Callable[[T], object]) -> T:
    """What ``make`` gives, run in a thread.

    A caller that is cancelled meanwhile does not wait for it (a path may hang): ``undo`` is called with it in the end.
    """
    made: list[T] = []
    hand_over = Lock()
    wanted = True

    def run() -> None:
        thing = make()
        with hand_over:
            if wanted:
                made.append(thing)
                return
        undo(thing)

    try:
        await asyncio.to_thread(run)
    except asyncio.CancelledError:
        with hand_over:
            wanted = False
        if made:
            undo(made.pop())
        raise
    return made.pop()
