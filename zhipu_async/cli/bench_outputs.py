"""Where the report of ``bench`` goes: standard output, JSON, CSV, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .outputs import check_apart, check_output, shown
from .shared import remark, write_line

if TYPE_CHECKING:
    from ..benchmarking import Report


class Outputs:
    """Where the report goes."""

    def __init__(self, json_file: Path | None, csv_file: Path | None, plots: Sequence[Path]) -> None:
        tables = {"--json": json_file, "--csv": csv_file}
        self._printed = [option for option, path in tables.items() if path == Path("-")]
        self._drawn = Path("-") in plots
        self._json = None if "--json" in self._printed else json_file
        self._csv = None if "--csv" in self._printed else csv_file
        self._plots = [path for path in plots if path != Path("-")]

    def check(self, source: str | None, *, force: bool) -> None:
        """ConfigError for what cannot be written: before anything is sent."""
        files = [path for path in (self._json, self._csv, *self._plots) if path is not None]
        if len({path.resolve() for path in files}) < len(files):
            raise ConfigError("two outputs are to go to the same file")
        if self._plots:
            from ..benchmarking import plot

            for path in self._plots:
                plot.check(path)
        alone = [*self._printed, *["--plot"] * self._drawn]
        if len(alone) > 1:
            raise ConfigError(f"{alone[0]} - prints nothing else: leave {alone[1]} - out")
        for path in files:
            if source is not None and source != "-":
                check_apart(Path(source), path)
            asyncio.run(check_output(path, force=force))

    async def write(self, report: Report) -> None:
        """Save and print the report, as far as there is any.

        In this order, as who reads what is printed may leave. What cannot be saved keeps nothing else from being saved
        and printed: its error is raised at the end.
        """
        if not report.loads:
            remark("nothing was measured")
            return
        errors: list[Exception] = []
        for path, content in self._files(report):
            try:
                await _save(path, content())
            except Exception as error:  # also what matplotlib may raise
                errors.append(error)
        try:
            self._print(report)
        finally:
            if errors:
                raise errors[0]

    def _files(self, report: Report) -> Iterator[tuple[Path, Callable[[], bytes]]]:
        """What is to be saved, and what makes its content."""
        if self._json is not None:
            yield self._json, report.to_json
        if self._csv is not None:
            yield self._csv, lambda: report.to_csv().encode()
        if self._plots:
            from ..benchmarking import plot

            for path in self._plots:
                yield path, partial(plot.draw, report, path.suffix)

    def _print(self, report: Report) -> None:
        from . import bench_view

        if self._printed:
            text = report.to_json().decode() if self._printed == ["--json"] else report.to_csv()
            write_line(text.rstrip("\n"))
            return
        bench_view.show(report)
        if self._drawn:
            bench_view.draw(report)


async def _save(path: Path, data: bytes) -> None:
    from ..downloads import writing

    async with writing(path) as file:
        await file.write(data)
    remark(f"saved: {shown(path)}")
