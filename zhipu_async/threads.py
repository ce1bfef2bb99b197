"""Blocking work in threads, of which a cancelled caller leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import TypeVar, cast

T = TypeVar("T")


async def apart(call: Callable[[], T], name: str = "zhipu_async") -> T:
    """What ``call``, which may hang, gives: run in a thread of its own, with this name.

    It takes no place from what runs in the loop's executor, and neither the end of the loop nor that of the program
    waits for it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast(T, result))

    def run() -> None:
        _stdin = sys.stdin  # not destroyed while this runs: that would abort a program that ends during a read of it
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = context.run(call)
        except StopIteration as error:  # a future cannot hold it
            failure = RuntimeError(f"the function raised {error!r}")
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, failure)

    Thread(target=run, name=name, daemon=True).start()
    return await future


async def acquire(
    make: Callable[[], T],
    undo: Callable[[T], object],
    run_in_thread: Callable[[Callable[[], None]], Awaitable[None]] = asyncio.to_thread,
) -> T:
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
        await run_in_thread(run)
    except asyncio.CancelledError:
        with hand_over:
            wanted = False
        if made:
            undo(made.pop())
        raise
    return made.pop()
