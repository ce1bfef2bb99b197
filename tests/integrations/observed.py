"""An OpenTelemetry hook beside what it exported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

if os.environ.get("REQUIRE_EXTRAS") != "1":
    pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from zhipu_async.integrations.opentelemetry import OpenTelemetry


class Point(NamedTuple):
    """What one series of a histogram holds."""

    name: str
    unit: str
    attributes: Mapping[str, Any]
    bounds: tuple[float, ...]
    count: int
    sum: float


class Observed:
    """A hook with providers of its own, and their exports."""

    def __init__(self, **options: Any) -> None:
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        meters = MeterProvider([self._metrics], shutdown_on_exit=False)
        self.hook = OpenTelemetry(tracer_provider=self.tracers, meter_provider=meters, **options)

    @property
    def tracer(self) -> Any:
        """Of the caller's own spans."""
        return self.tracers.get_tracer("the caller")

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their ends."""
        return list(self._spans.get_finished_spans())

    @property
    def points(self) -> list[Point]:
        """All series of all metrics."""
        data = self._metrics.get_metrics_data()
        metrics = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        return [
            Point(
                metric.name, metric.unit or "", point.attributes, tuple(point.explicit_bounds), point.count, point.sum
            )
            for metric in metrics
            for point in metric.data.data_points  # type: ignore[union-attr]
        ]

    @property
    def examples(self) -> dict[str, set[int | None]]:
        """The spans in which the values of each metric were recorded."""
        data = self._metrics.get_metrics_data()
        assert data is not None
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        return {
            metric.name: {example.span_id for point in metric.data.data_points for example in point.exemplars}
            for metric in metrics
        }

    def exported(self) -> str:
        """Everything that leaves the process, as text."""
        data = self._metrics.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + (data.to_json() if data else "")


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span."""
    return dict(span.attributes or {})
