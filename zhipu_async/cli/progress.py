"""How far a command is: one line on standard error at a terminal, gone at the end; nothing anywhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich import progress as rich
from rich.table import Column

from ..outcomes import RunProgress
from .terminal import console

SHOWN_EVERY = 0.2
"""Seconds between two looks at work that does not tell by itself how far it is."""


class Line:
    """The line, or nothing at all where nobody would see it."""

    def __init__(self, display: rich.Progress | None = None, label: str = "", total: float | None = None) -> None:
        self._display = display
        self._task = None if display is None else display.add_task(label, total=total, told="")

    def __call__(self, done: float, total: float | None = None) -> None:
        """So much is done of ``total``, None where that is not known."""
        if self._display is not None and self._task is not None:
            self._display.update(self._task, completed=done, total=total)

    def label(self, text: str) -> None:
        """What is being done now."""
        if self._display is not None and self._task is not None:
            self._display.update(self._task, description=_printable(text))

    def run(self, progress: RunProgress) -> None:
        """How far a run is."""
        if self._display is not None and self._task is not None:
            self._display.update(self._task, completed=progress.done, total=progress.total, told=_told(progress))

    @contextmanager
    def following(self, look: Callable[[], object]) -> Generator[None]:
        """Have ``look``, which shows how far something is, called now and then, where there is a line."""

        async def follow() -> None:
            while True:
                look()
                await asyncio.sleep(SHOWN_EVERY)

        task = asyncio.create_task(follow()) if self._display is not None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()

    def stop(self) -> None:
        """Take the line away, so that the text that comes now stands in its place."""
        if self._display is not None:
            self._display.stop()


@contextmanager
def transferring(label: str) -> Generator[Line]:
    """Bytes that travel: a bar, how many, how fast. The line is a ``progress`` for uploads and downloads."""
    with _shown(label, rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn()) as line:
        yield line


@contextmanager
def counting(label: str, total: int | None = None, *, hidden: bool = False) -> Generator[Line]:
    """Things that are done one by one: a bar, how many, and for how many seconds. ``hidden``: nothing after all."""
    columns = rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeElapsedColumn()
    with _shown(label, *columns, total=total, hidden=hidden) as line:
        yield line


@contextmanager
def waiting(label: str) -> Generator[Line]:
    """Something that says nothing of how far it is: a spinner, what it does, and for how many seconds."""
    with _shown(label, rich.TextColumn("{task.elapsed:.0f} s", markup=False), spinner=True) as line:
        yield line


@contextmanager
def running(label: str, total: int, *, hidden: bool = False) -> Generator[Line]:
    """Calls of a run: a bar, how many are done and failed, how fast, how many at once, how long still."""
    told = rich.TextColumn("{task.fields[told]}", markup=False, table_column=Column(no_wrap=True))
    columns = rich.BarColumn(bar_width=12), rich.MofNCompleteColumn(), told
    with _shown(label, *columns, total=total, hidden=hidden) as line:
        yield line


@contextmanager
def _shown(
    label: str,
    *columns: rich.ProgressColumn,
    spinner: bool = False,
    total: float | None = None,
    hidden: bool = False,
) -> Generator[Line]:
    out = console(stderr=True)
    # rich takes a pipe for a terminal where colours are forced, and gives a dumb one blank lines; a log on the same
    # stream would be torn apart
    seen = out.is_terminal and out.file.isatty() and not (hidden or out.is_dumb_terminal)
    if not seen or logging.getLogger("zhipu_async").isEnabledFor(logging.DEBUG):
        yield Line()
        return
    text = rich.TextColumn("{task.description}", markup=False)
    first = (rich.SpinnerColumn(), text) if spinner else (text,)
    with rich.Progress(
        *first, *columns, console=out, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as display:
        yield Line(display, _printable(label), total)


def _printable(label: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in label)


def _told(progress: RunProgress) -> str:
    left = "-:--" if progress.remaining is None else _clock(progress.remaining)
    return (
        f"{progress.failed} failed  {progress.rate:.1f} calls/s  {progress.token_rate:.0f} tok/s  "
        f"{progress.concurrency} wide  ETA {left}"
    )


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
