"""Alerts: a client's statistics of the last minute held against thresholds, and who is to be told of what.

async with AsyncZhipuAI() as client, watch(client, Thresholds(error_rate=0.05, p90=10.0), print):
    ...
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from .config import check_count, check_seconds
from .errors import ConfigError
from .statistics import ModelStatistics, Snapshot
from .telemetry import logger

Rule: TypeAlias = Literal["error_rate", "refused", "p50", "p90", "p99", "first_token_p90"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What is too much, for each model by itself. None (the default): that is not looked at."""

    error_rate: float | None = None
    """Share of failed calls, 0 to 1. Calls that the caller cancelled, and streams that it left, do not count."""
    refused: float | None = None
    """Share of attempts that were refused with 429, 0 to 1, whatever came of their calls."""
    p50: float | None = None
    p90: float | None = None
    """Seconds that whole calls took which succeeded, repeats included: of the newest 1,024."""
    p99: float | None = None
    first_token_p90: float | None = None
    """Seconds until streams had something to say."""
    minimum_calls: int = 20
    """With fewer in the window (for ``refused`` attempts, for percentiles successes, for ``first_token_p90`` streams)
    nothing is concluded: what was told last stands."""
    recovery: float = 0.8
    """What was too much is over at this share of its threshold, 0 to 1: what hovers around one is told of once."""

    def __post_init__(self) -> None:
        for name in ("error_rate", "refused", "recovery"):
            share = getattr(self, name)
            if share is not None and not (isinstance(share, (int, float)) and 0 <= share <= 1):
                raise ConfigError(f"{name} must be a share from 0 to 1, not {share!r}")
        for name in ("p50", "p90", "p99", "first_token_p90"):
            check_seconds(name, getattr(self, name))
        check_count("minimum_calls", self.minimum_calls, least=1)


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold was crossed, or what was beyond it has recovered."""

    model: str | None
    rule: Rule
    value: float
    """In the window: a share, or seconds."""
    threshold: float
    crossed: bool
    """False: it has recovered."""
    window: ModelStatistics
    """All that happened with the model in the window."""

    def __str__(self) -> str:
        what = "is above" if self.crossed else "has recovered from"
        return f"{self.model or 'calls without a model'}: {self.rule} {self.value:.3g} {what} {self.threshold:g}"


Notify: TypeAlias = Callable[[Alert], Awaitable[object] | object]
"""Told of each alert; may be async. The next look waits for it; what it raises is logged, and goes no further."""


class Watched(Protocol):
    """What has statistics: a client."""

    def statistics(self, since: Snapshot | None = None) -> dict[str | None, ModelStatistics]: ...


class Watch:
    """Holds windows of statistics against thresholds. Without a clock: ``alerts`` looks once."""

    def __init__(self, client: Watched, thresholds: Thresholds, windows: int) -> None:
        self._client = client
        self._thresholds = thresholds
        self._snapshots: deque[Snapshot] = deque([client.statistics()], maxlen=check_count("windows", windows, least=1))
        self.active: dict[tuple[str | None, Rule], Alert] = {}
        """What is too much now, as it was told."""

    def alerts(self) -> list[Alert]:
        """What was crossed and what recovered since the last look. A window goes back ``windows`` looks."""
        found: list[Alert] = []
        for model, window in self._client.statistics(self._snapshots[0]).items():
            for rule, value, threshold in self._values(window):
                active = (model, rule) in self.active
                if active and value <= threshold * self._thresholds.recovery:
                    del self.active[model, rule]
                elif not active and value > threshold:
                    self.active[model, rule] = Alert(model, rule, value, threshold, True, window)
                else:
                    continue
                found.append(Alert(model, rule, value, threshold, not active, window))
        self._snapshots.append(self._client.statistics())
        return found

    def _values(self, window: ModelStatistics) -> Iterator[tuple[Rule, float, float]]:
        """The rules that have enough to judge by, with what they say of a window and its threshold."""
        ended = window.successes + window.failures
        attempts = max(window.attempts, window.refused)  # what was refused may have begun before the window
        rules: tuple[tuple[Rule, int, float | None], ...] = (
            ("error_rate", ended, window.failures / ended if ended else None),
            ("refused", attempts, window.refused / attempts if attempts else None),
            ("p50", window.successes, window.latency.p50),
            ("p90", window.successes, window.latency.p90),
            ("p99", window.successes, window.latency.p99),
            ("first_token_p90", window.streams, window.first_token.p90),
        )
        for rule, count, value in rules:
            threshold = getattr(self._thresholds, rule)
            if threshold is not None and value is not None and count >= self._thresholds.minimum_calls:
                yield rule, value, threshold


@asynccontextmanager
async def watch(
    client: Watched, thresholds: Thresholds, notify: Notify, *, every: float = 10.0, window: float = 60.0
) -> AsyncGenerator[Watch, None]:
    """Look at ``client.statistics()`` while the block runs, and tell ``notify`` of what crosses and what recovers.

    ``every`` is seconds between two looks, ``window`` the seconds that each looks back on: to the
    nearest multiple of ``every``.
    """
    if not check_seconds("every", every) or not check_seconds("window", window) or window < every:
        raise ConfigError(f"every must be more than 0 seconds and window at least that, not {every!r} and {window!r}")
    watch = Watch(client, thresholds, round(window / every))
    task = asyncio.create_task(_look(watch, notify, every))
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def _look(watch: Watch, notify: Notify, every: float) -> None:
    itself = asyncio.current_task()
    while True:
        await asyncio.sleep(every)
        for alert in watch.alerts():
            try:
                told = notify(alert)
                if inspect.isawaitable(told):
                    await told
            except (Exception, asyncio.CancelledError):
                if itself is not None and itself.cancelling():
                    raise
                logger.exception("%r could not be told: %s", notify, alert)
