"""Where the report of ``bench`` goes: standard output, JSON, CSV, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
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
        self._printed = json_file == Path("-")
        self._drawn = Path("-") in plots
        self._json = None if self._printed else json_file
        self._csv = csv_file
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
        if self._printed and self._drawn:
            raise ConfigError("--json - prints nothing else: leave --plot - out")
        for path in files:
            if source is not None and source != "-":
                check_apart(Path(source), path)
            asyncio.run(check_output(path, force=force))

    async def write(self, report: Report) -> None:
        """Save and print the report, as far as there is any.

        In this order, as who reads what is printed may leave; and what cannot be saved is printed all the same.
        """
        if not report.loads:
            remark("nothing was measured")
            return
        try:
            await self._save(report)
        finally:
            self._print(report)

    async def _save(self, report: Report) -> None:
        if self._json is not None:
            await _save(self._json, report.to_json())
        if self._csv is not None:
            await _save(self._csv, report.to_csv().encode())
        if self._plots:
            from ..benchmarking import plot

            for path in self._plots:
                await _save(path, plot.draw(report, path.suffix))

    def _print(self, report: Report) -> None:
        from . import bench_view

        if self._printed:
            write_line(report.to_json().decode().rstrip("\n"))
            return
        bench_view.show(report)
        if self._drawn:
            bench_view.draw(report)


async def _save(path: Path, data: bytes) -> None:
    from ..downloads import writing

    async with writing(path) as file:
        await file.write(data)
    remark(f"saved: {shown(path)}")
