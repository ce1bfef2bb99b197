"""Blocking work in threads, of which a cancelled caller leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def acquire(make: Callable[[], T], undo: Callable[[T], object]) -> T:
    """What ``make`` gives, run in a thread; when the caller is cancelled meanwhile, ``undo`` is called with it."""
    making = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait([making])
        if not making.cancelled() and making.exception() is None:
            undo(making.result())
        raise
