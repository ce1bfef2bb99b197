"""A program that is interrupted, as by Ctrl-C, at every wait of each operation, and says what was not whole then."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import sys
from pathlib import Path

from tests.cancelling.operations import OPERATIONS
from tests.cancelling.steps import POINT, Point, StepLoop
from tests.cancelling.sweep import Operation, Stage, client_of, descriptors, left_in

INTERRUPTED = ("ask", "stream", "fan_out with a journal", "run_tools", "upload a path", "download", "realtime")


async def _program(operation: Operation, point: Point, folder: Path, number: int) -> None:
    async with operation.service() as service, client_of(operation, service) as client:
        stage = Stage(client, service, folder, number)
        await operation.prepare(stage)
        point.running = asyncio.current_task()
        point.stop = lambda: signal.raise_signal(signal.SIGINT)
        try:
            await operation.work(stage)
        finally:
            point.stop = None  # what follows is the end of the program


def interrupt(operation: Operation, folder: Path) -> int:
    """How many waits there were."""
    number, point = 0, None
    while point is None or point.took:
        number += 1
        before = descriptors()
        (place := folder / str(number)).mkdir(parents=True)
        try:
            with asyncio.Runner(loop_factory=StepLoop, debug=True) as runner:
                loop = runner.get_loop()
                assert isinstance(loop, StepLoop)
                point = Point(loop, number, "begins", 1)
                context = contextvars.copy_context()
                context.run(POINT.set, point)
                runner.run(_program(operation, point, place, number), context=context)
                assert not point.took, "the interrupt was swallowed"
        except KeyboardInterrupt:
            assert point is not None
            assert point.took, "an interrupt out of nowhere"
        point.running = None
        gc.collect()
        assert descriptors() == before, (descriptors(), before)
        assert loop.reports == [], loop.reports
        assert not left_in(operation, place), left_in(operation, place)
    return number - 1


def main() -> None:
    """Each operation's waits, a line each."""
    for name in INTERRUPTED:
        waits = interrupt(OPERATIONS[name], Path(sys.argv[1]) / name)
        print(name, waits >= OPERATIONS[name].least, sep=": ")


if __name__ == "__main__":
    main()
