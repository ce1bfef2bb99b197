"""An event loop whose clock jumps to the next timer: minutes of waiting in no time, and always the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never sleeps: where it would, its clock moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__()
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def jump(timeout: float | None = None) -> Any:
            self.now += timeout or 0.0
            return select(0)

        selector.select = jump

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop, debug=True) as runner:
        return runner.run(coroutine)
