"""Throughput and latency against load, as a picture. Needs matplotlib: ``pip install 'zhipu-async[plot]'``."""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .report import LoadReport, Report

FORMATS = (".png", ".svg", ".pdf")
_INK, _FAINT, _GRID = "#1a1a1a", "#666666", "#e4e4e4"
_COLOURS = ("#0b5394", "#c2650c", "#2e7d5b", "#8e3b76", "#4d4d4d")
"""Of models; they differ in grey, too, and each has a marker of its own."""
_MARKERS = "osD^v"
_PANELS = (
    ("ttft", "Time to first token", 1.0, "seconds"),
    ("tpot", "Time per output token", 1000.0, "milliseconds"),
    ("e2el", "End-to-end latency", 1.0, "seconds"),
)
"""Metric, title, factor, unit."""
_APART = 0.065
"""Least distance of two names, as a share of the height."""
_STYLES = (("p99", ":", 1.2), ("p90", "--", 1.2), ("p50", "-", 2.0))


def check(path: Path) -> None:
    """ConfigError for a file that cannot become a picture, by its name or for want of matplotlib."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{str(path)!r} is no name of a picture: {', '.join(FORMATS)}")
    _figure_class()


def draw(report: Report, form: str = ".png") -> bytes:
    """The picture in this format: throughput, then latencies (p50, p90, p99), against the load."""
    figure = _figure_class()(figsize=(10, 7), facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.2, h_pad=0.15, rect=(0.0, 0.0, 0.985, 1.0))
    models = [(model, list(loads)) for model, loads in groupby(report.loads, lambda load: load.model)]
    loads = [load for _, found in models for load in found]
    if not loads:
        raise ConfigError("nothing was measured that could be drawn")
    panels = figure.subplots(2, 2).flat
    names = _draw_throughput(panels[0], models)
    _finish(panels[0], "Throughput", "output tokens per second", loads, names)
    for panel, (metric, title, factor, unit) in zip(panels[1:], _PANELS, strict=True):
        names = _draw_latency(panel, models, metric, factor)
        _finish(panel, title, unit, loads, names)
    _title(figure, report, models)
    picture = io.BytesIO()
    figure.savefig(picture, format=form.lower().removeprefix("."), dpi=160)
    return picture.getvalue()


def _figure_class() -> Any:
    try:
        return importlib.import_module("matplotlib.figure").Figure
    except ImportError:
        raise ConfigError("pictures need matplotlib: pip install 'zhipu-async[plot]'") from None


Models = Sequence[tuple[str, Sequence[LoadReport]]]
Points = Sequence[tuple[float, float]]
Names = Sequence[tuple[str, Points, str]]
"""Of lines: the name, the points, the colour."""


def _draw_throughput(panel: Any, models: Models) -> Names:
    names: list[tuple[str, Points, str]] = []
    for place, (model, loads) in enumerate(models):
        points = [(load.value, load.summary.rates["output_throughput"]) for load in loads]
        _line(panel, points, place, "-", 2.0, marker=True)
        names += [(model, points, _colour(place))] if len(models) > 1 else []
        for load, point in zip(loads, points, strict=True):
            if load.summary.failed:
                share = load.summary.failed / len(load.samples)
                told = "refused" if load.summary.refused == load.summary.failed else "failed"
                panel.annotate(
                    f"{share:.0%} {told}",
                    point,
                    (-9, 3),
                    textcoords="offset points",
                    ha="right",
                    fontsize=8.5,
                    color=_FAINT,
                    bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
                    zorder=4,
                )
    return names


def _draw_latency(panel: Any, models: Models, metric: str, factor: float) -> Names:
    names: list[tuple[str, Points, str]] = []
    for place, (model, loads) in enumerate(models):
        found = [(load.value, load.summary.metrics[metric]) for load in loads if metric in load.summary.metrics]
        if not found:
            continue
        for part, style, width in _STYLES:
            points = [(value, getattr(distribution, part) * factor) for value, distribution in found]
            _line(panel, points, place, style, width, marker=part == "p50")
            if len(models) == 1 or part == "p50":
                names.append((part if len(models) == 1 else model, points, _colour(place)))
        panel.fill_between(
            [value for value, _ in found],
            [distribution.p50 * factor for _, distribution in found],
            [distribution.p99 * factor for _, distribution in found],
            color=_colour(place),
            alpha=0.08,
            linewidth=0,
        )
    return names


def _line(panel: Any, points: Points, place: int, style: str, width: float, *, marker: bool) -> None:
    panel.plot(
        [x for x, _ in points],
        [y for _, y in points],
        style,
        color=_colour(place),
        linewidth=width,
        marker=_MARKERS[place % len(_MARKERS)] if marker else "",
        markersize=6,
        clip_on=False,
        zorder=3,
    )


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _name_lines(panel: Any, names: Names) -> None:
    """The names of lines at their right ends, moved apart where they would lie on each other."""
    height = panel.get_ylim()[1]
    ends = sorted(((points[-1], name, colour) for name, points, colour in names), key=lambda end: end[0][1])
    lowest = -math.inf
    for (x, y), name, colour in ends:
        lowest = max(y, lowest + _APART * height)
        panel.annotate(
            name,
            (x, lowest),
            (9, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colour,
            annotation_clip=False,
        )


def _finish(panel: Any, title: str, unit: str, loads: Sequence[LoadReport], names: Names) -> None:
    """Axes from zero, ticks where something was measured, and no more lines than are read."""
    panel.set_title(title, loc="left", fontsize=11, fontweight="bold", color=_INK)
    panel.set_ylabel(unit, fontsize=9, color=_FAINT)
    if not any(load.summary.completed for load in loads):
        panel.text(0.5, 0.5, "no answers", transform=panel.transAxes, ha="center", fontsize=11, color=_FAINT)
        panel.set_yticks([])
    panel.set_ylim(bottom=0, top=panel.get_ylim()[1] * 1.03)
    if panel.get_ylim()[1] > 1000:
        panel.yaxis.set_major_formatter("{x:,.0f}")
    _name_lines(panel, names)
    values = sorted({load.value for load in loads})
    closed = loads[0].mode == "closed"
    panel.set_xlabel("requests at the same time" if closed else "requests per second", fontsize=9, color=_FAINT)
    if len(values) > 2 and values[-1] > 4 * values[0]:
        panel.set_xscale("log", base=2)
    panel.set_xticks(values, [f"{value:g}" for value in values])
    panel.minorticks_off()
    panel.grid(axis="y", color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(length=0, labelsize=9, labelcolor=_INK)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.spines["bottom"].set_color(_FAINT)


def _title(figure: Any, report: Report, models: Models) -> None:
    names = ", ".join(model for model, _ in models)
    figure.suptitle(names, x=0.01, ha="left", fontsize=14, fontweight="bold", color=_INK)
    asked = sum(load.summary.completed for load in report.loads)
    counted = [
        f"{sum(getattr(load.summary, name) for load in report.loads) / max(1, asked):,.0f} {title} tokens"
        for name, title in (("prompt_tokens", "prompt"), ("output_tokens", "output"))
    ]
    lines = "solid: median, dashed: p90, dotted: p99" if len(models) > 1 else "markers: median"
    short = "   CUT SHORT" if report.cut_short else ""
    text = f"{asked:,} requests answered, {' and '.join(counted)} each; {lines}; {report.made[:10]}{short}"
    figure.supxlabel(text, x=0.01, ha="left", fontsize=8.5, color=_FAINT)
