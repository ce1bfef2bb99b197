"""What a benchmark found, as a struct that becomes JSON and CSV and comes back from JSON."""

from __future__ import annotations

import csv
import io
import math
import os
import platform
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import msgspec

from ..errors import ConfigError
from ..version import VERSION
from .measures import METRICS, Summary
from .samples import Sample
from .workload import Closed, Load, label_of

FORMAT = 1
"""Of the JSON; another number is not read."""
_DIGITS = 6
"""After the point, of seconds in JSON: microseconds."""


class LoadReport(msgspec.Struct, kw_only=True):
    """One model under one load."""

    model: str
    mode: str
    """``closed`` (``value`` requests at a time) or ``open`` (``value`` requests per second)."""
    value: float
    burstiness: float | None = None
    """Of an open load; None also for an even beat, as JSON knows no infinity."""
    seconds: float
    """From the beginning to the end of the last request."""
    wanted: int | None
    """Requests that it was to send; None for as many as the time allowed."""
    unfinished: int = 0
    """Requests that were under way when it was cut short: nothing is counted of them."""
    cut_short: bool = False
    gave_up: bool = False
    """Whether it was ended because nothing but failures came."""
    warmup: int = 0
    """Requests that were sent before, and are not counted."""
    client_cpu: float = 0.0
    """Share of one processor that this process used; near 1 the client itself is the limit."""
    summary: Summary
    samples: list[Sample]

    @property
    def label(self) -> str:
        """The load in words."""
        return label_of(self.mode, self.value)

    @property
    def key(self) -> tuple[str, float, float | None]:
        """What two reports have in common where they measured under the same load."""
        return self.mode, self.value, self.burstiness


class Report(msgspec.Struct, kw_only=True):
    """A whole benchmark."""

    format: int = FORMAT
    made: str
    """When it began: UTC."""
    settings: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    """Facts of the measuring machine, without its name."""
    loads: list[LoadReport] = []

    @property
    def cut_short(self) -> bool:
        """Whether it was interrupted; the last load then has fewer requests than it was to have."""
        return any(load.cut_short for load in self.loads)

    def to_json(self) -> bytes:
        """As JSON, with every request; times to the microsecond."""
        fields = msgspec.to_builtins(self, enc_hook=repr)  # what was measured counts, whatever the settings hold
        return (
            msgspec.json.format(msgspec.json.encode({**fields, "loads": _rounded(fields["loads"])}), indent=1) + b"\n"
        )

    @classmethod
    def from_json(cls, data: bytes) -> Report:
        """What :meth:`to_json` wrote. ConfigError for anything else."""
        try:
            report = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"no report of a benchmark: {error}") from None
        if report.format != FORMAT:
            raise ConfigError(f"a report in format {report.format}, of which this version knows {FORMAT} alone")
        return report

    def rows(self) -> list[dict[str, Any]]:
        """A flat row for each load: counts, rates, and of each metric mean and percentiles, such as ``ttft_p99``."""
        return [_row(load) for load in self.loads]

    def to_csv(self) -> str:
        """The rows as CSV with a header."""
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rounded(rows))
        return text.getvalue()


def begun(settings: Mapping[str, Any]) -> Report:
    """An empty report of this moment."""
    clock = time.get_clock_info("monotonic")
    return Report(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=dict(settings),
        versions={
            "zhipu-async": VERSION,
            "python": platform.python_version(),
            "aiohttp": version("aiohttp"),
            "msgspec": version("msgspec"),
        },
        machine={
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            "processors": os.cpu_count(),
            "implementation": sys.implementation.name,
            "clock_resolution": clock.resolution,
        },
    )


def load_report(model: str, load: Load, **measured: Any) -> LoadReport:
    """What was measured of a model under a load."""
    if isinstance(load, Closed):
        return LoadReport(model=model, mode="closed", value=float(load.concurrency), **measured)
    burstiness = None if math.isinf(load.burstiness) else load.burstiness
    return LoadReport(model=model, mode="open", value=load.rate, burstiness=burstiness, **measured)


def _row(load: LoadReport) -> dict[str, Any]:
    summary = load.summary
    row: dict[str, Any] = {
        "model": load.model,
        "mode": load.mode,
        "concurrency" if load.mode == "closed" else "rate": load.value,
        "seconds": load.seconds,
        "cut_short": load.cut_short,
    }
    for name in ("completed", "failed", "refused", "repeats"):
        row[name] = getattr(summary, name)
    for name in ("prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"):
        row[name] = getattr(summary, name)
    row |= summary.rates
    for metric in METRICS:
        found = summary.metrics.get(metric.name)
        for part in ("mean", "p50", "p90", "p99"):
            row[f"{metric.name}_{part}"] = None if found is None else getattr(found, part)
    row["client_cpu"] = load.client_cpu
    row["errors"] = " ".join(f"{name}={count}" for name, count in summary.errors.items())
    return row


def _rounded(value: Any) -> Any:
    """The value with its floats rounded, to any depth."""
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    return value
