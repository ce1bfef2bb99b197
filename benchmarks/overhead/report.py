"""The table: medians, spreads, and ratios to the client written by hand."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from .loads import Figures, Load

REFERENCE = "handwritten"


class Table:
    """One load on all clients."""

    def __init__(self, load: Load, clients: list[str]) -> None:
        self._load = load
        self._figures: dict[str, list[float]] = {client: [] for client in clients}
        self._failed: dict[str, str] = {}

    def add(self, client: str, figures: Figures | str) -> None:
        """A measurement, or why there is none."""
        if isinstance(figures, str):
            self._failed[client] = figures
        else:
            self._figures[client].append(figures[self._load.shown])

    @property
    def line(self) -> str:
        """The load, and for each client median, spread and ratio."""
        reference = median(self._figures.get(REFERENCE) or [0.0])
        rows = [f"{self._load.title}, {self._load.unit}"]
        for client, figures in self._figures.items():
            if not figures:
                rows.append(f"  {client:16} {self._failed.get(client, 'nothing measured')}")
                continue
            middle = median(figures)
            ratio = f"{middle / reference:8.2f} x" if reference else ""
            rows.append(f"  {client:16} {middle:10.2f}  ({min(figures):.2f} to {max(figures):.2f}){ratio}")
        return "\n".join(rows)


def machine(*, uvloop: bool, chunks: int) -> str:
    """Where and on what this was measured."""
    packages = ("zhipu-async", "aiohttp", "msgspec", "openai", "zai-sdk", "litellm", *(["uvloop"] if uvloop else []))
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"Python {platform.python_version()} on {platform.machine()}, {', '.join(found)}; streams of {chunks} chunks"
