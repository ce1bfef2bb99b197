"""Two reports side by side: what changed, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from ..protocol.tolerant import is_object
from .measures import METRICS, percentile
from .report import LoadReport, Report
from .samples import Sample

RESAMPLES = 1000
CONFIDENCE = 95
"""Percent of the resamples that lie between the two ends of an interval."""
FEW = 20
"""Requests below which a note says that they are few."""
METHOD = (
    f"Interval: {CONFIDENCE} % bootstrap interval of the ratio B/A, from {RESAMPLES} resamples of the requests of both "
    "runs. It knows the noise between the requests of a run, not that between runs, such as the hour of the day: "
    "measure A twice to see that. Of many rows, about one in twenty is outside by chance."
)

_VALUES = {metric.name: metric.values for metric in METRICS}


@dataclass(frozen=True, slots=True)
class _Statistic:
    name: str
    title: str
    more_is_better: bool
    values: Callable[[Sample], Sequence[float]]
    percent: int


_STATISTICS = (
    *(
        _Statistic(f"{name}_p{percent}", f"{name.upper()} p{percent}", False, _VALUES[name], percent)
        for name in ("ttft", "ttfo", "tpot", "e2el")
        for percent in (50, 99)
    ),
    _Statistic("speed_p50", "tokens/s p50", True, _VALUES["speed"], 50),
)


class Change(msgspec.Struct, kw_only=True, frozen=True):
    """One figure under one load."""

    model: str
    """That of B, where the reports have one model each."""
    load: str
    name: str
    """``ttft_p50`` and the like; ``failed`` of a load of which requests failed."""
    title: str
    before: float
    after: float
    ratio: float | None
    """``after`` / ``before``; None of ``failed``, which may have been none, as are the ends of the interval."""
    low: float | None
    high: float | None
    verdict: str
    """``better`` or ``worse`` where the interval leaves 1 out, and where another share failed; else ``same``."""
    regression: bool
    """Whether it is ``worse``, and by more than the threshold."""


class Comparison(msgspec.Struct, kw_only=True, frozen=True):
    """What changed from A to B."""

    pairs: int
    """Loads that both have."""
    changes: list[Change]
    notes: list[str]
    """What makes the two hard to compare, and loads that only one of them has."""
    regressions: int
    """Changes for the worse by more than the threshold."""


def compare(a: Report, b: Report, *, threshold: float | None = None, seed: int = 0) -> Comparison:
    """Compare B with A, load by load.

    ``threshold``: a share, such as 0.1; a figure that is worse by more, and by more than noise, is a regression, and so
    is a load of which a share of requests failed that is larger by more: from 5 % to more than 15 %.
    """
    notes = list(_differences(a, b))
    changes: list[Change] = []
    chance = Random(seed)
    pairs = list(_pairs(a, b, notes))
    for first, second in pairs:
        changes += _failures(first, second, threshold)
        changes += _changes(first, second, threshold, chance)
        if (fewest := min(first.summary.completed, second.summary.completed)) < FEW:
            name = f"{second.model}, {second.label}"
            notes.append(f"{name}: {fewest} requests were answered: too few for a p99, and for much else")
    regressions = sum(change.regression for change in changes)
    return Comparison(pairs=len(pairs), changes=changes, notes=notes, regressions=regressions)


def _differences(a: Report, b: Report) -> Iterator[str]:
    for title, first, second in (("", a.settings, b.settings), ("machine: ", a.machine, b.machine)):
        for name in dict.fromkeys((*first, *second)):
            one, other = (_seedless(name, settings.get(name)) for settings in (first, second))
            if one != other and name not in ("seed", "requests", "duration", "warmup", "goodput"):
                yield f"{title}{name} differs: {one} in A, {other} in B"
    for title, report in (("A", a), ("B", b)):
        if report.cut_short:
            yield f"{title} was cut short"


def _seedless(name: str, setting: Any) -> Any:
    """A setting; prompts without their seed, as another one is as good."""
    return {**setting, "seed": None} if name == "prompts" and is_object(setting) else setting


def _pairs(a: Report, b: Report, notes: list[str]) -> Iterator[tuple[LoadReport, LoadReport]]:
    """The loads that both have; those of two reports with one model each are compared whatever it is."""
    models = [{load.model for load in report.loads} for report in (a, b)]
    across = len(models[0]) == len(models[1]) == 1
    before = {((None if across else load.model), *load.key): load for load in a.loads}
    for load in b.loads:
        found = before.pop(((None if across else load.model), *load.key), None)
        if found is None:
            notes.append(f"{load.model}, {load.label}: only in B")
        else:
            yield found, load
    notes += [f"{load.model}, {load.label}: only in A" for load in before.values()]


def _failures(a: LoadReport, b: LoadReport, threshold: float | None) -> Iterator[Change]:
    """The share of requests that failed, where any did. A threshold counts in percentage points, as the share may have
    been 0."""
    before, after = (load.summary.failed / max(1, len(load.samples)) for load in (a, b))
    if before or after:
        yield Change(
            model=b.model,
            load=b.label,
            name="failed",
            title="failed, share of requests",
            before=before,
            after=after,
            ratio=None,
            low=None,
            high=None,
            verdict="worse" if after > before else "better" if after < before else "same",
            regression=threshold is not None and after - before > threshold,
        )


def _changes(a: LoadReport, b: LoadReport, threshold: float | None, chance: Random) -> Iterator[Change]:
    thinks = any(load.summary.metrics.get("ttfo") != load.summary.metrics.get("ttft") for load in (a, b))
    for statistic in _STATISTICS:
        if statistic.name.startswith("ttfo") and not thinks:  # then it is TTFT once more
            continue
        first, second = (
            sorted(value for sample in load.samples if sample.error is None for value in statistic.values(sample))
            for load in (a, b)
        )
        if not first or not second:
            continue
        before, after = percentile(first, statistic.percent), percentile(second, statistic.percent)
        if before <= 0 or after <= 0:
            continue
        low, high = _interval(first, second, statistic.percent, chance)
        change = 0 if low <= 1 <= high else 1 if low > 1 else -1
        worse = -change if statistic.more_is_better else change
        loss = before / after if statistic.more_is_better else after / before
        yield Change(
            model=b.model,
            load=b.label,
            name=statistic.name,
            title=statistic.title,
            before=before,
            after=after,
            ratio=after / before,
            low=low,
            high=high,
            verdict=("same", "worse", "better")[worse],
            regression=threshold is not None and worse > 0 and loss > 1 + threshold,
        )


def _interval(a: Sequence[float], b: Sequence[float], percent: int, chance: Random) -> tuple[float, float]:
    """Where the ratio of a percentile lies in most of the resamples. The values are sorted."""
    ratios = sorted(
        _resampled(b, percent, chance) / before
        for _ in range(RESAMPLES)
        if (before := _resampled(a, percent, chance)) > 0
    )
    tail = (100 - CONFIDENCE) / 2
    return (percentile(ratios, tail), percentile(ratios, 100 - tail)) if ratios else (0.0, math.inf)


def _resampled(ordered: Sequence[float], percent: int, chance: Random) -> float:
    """The percentile of as many values, drawn from these with replacement.

    It needs two neighbours of the drawn values in their order. Where those lie is known without drawing the others: of
    ``n`` uniform numbers the one with rank ``k`` has the distribution Beta(k, n + 1 - k).
    """
    count = len(ordered)
    place = (count - 1) * percent / 100
    rank = int(place) + 1
    lower = chance.betavariate(rank, count + 1 - rank)
    low = ordered[min(int(lower * count), count - 1)]
    if rank == count:
        return low
    upper = lower + (1 - lower) * chance.betavariate(1, count - rank)  # the least of those above
    high = ordered[min(int(upper * count), count - 1)]
    return low + (high - low) * (place - rank + 1)
