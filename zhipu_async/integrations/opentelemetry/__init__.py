"""Spans and metrics of each call by the OpenTelemetry conventions for generative AI (extra ``otel``).

    from zhipu_async.integrations.opentelemetry import OpenTelemetry

    client = AsyncZhipuAI(hooks=[OpenTelemetry()])

The conventions are those of release 1.41.1, the last one that has them (they are moving to a repository of their own,
without a release so far), with status *development*: names may change with them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from ...telemetry import AttemptFailed, CallBegan, CallFailed, CallSucceeded, Event
from ...tools import AnyTool, PythonTool, Toolbox, content_of, current_call, current_clock
from ...version import VERSION
from . import messages
from .attributes import SCHEMA_URL, Attributes, answered, begun, failed

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.trace import SpanKind, StatusCode
except ImportError as missing:
    raise ConfigError("OpenTelemetry is not installed: pip install 'zhipu-async[otel]'") from missing

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = tuple(4**power for power in range(14))
METRICS = {
    "gen_ai.client.operation.duration": ("s", "GenAI operation duration.", SECONDS),
    "gen_ai.client.token.usage": ("{token}", "Number of input and output tokens used.", TOKENS),
    "gen_ai.client.operation.time_to_first_chunk": ("s", "Time to receive the first chunk.", SECONDS),
    "gen_ai.client.operation.time_per_output_chunk": ("s", "Time per chunk after the first one.", SECONDS),
}
"""Unit, description and bucket boundaries of each histogram."""

_TOKEN_TYPES = {"input": "gen_ai.usage.input_tokens", "output": "gen_ai.usage.output_tokens"}
_logger = logging.getLogger("zhipu_async")


class OpenTelemetry:
    """A hook for ``AsyncZhipuAI(hooks=[...])``, also for several clients: a span for each call, and metrics.

    A span covers the whole call, waiting and repeats included; a child of the span that is current where the call is
    made. It ends with the answer, with the last chunk of a stream, or when the call is cancelled or left:
    then ``zhipu_async.cancelled`` is true, which is no error. Each failed attempt that is repeated is an event
    ``zhipu_async.attempt_failed`` of the span. ``error.type`` is a class of ``zhipu_async.errors``.
    Operations of generative AI are named by the conventions, and have metrics; other calls are spans named after
    their endpoint. No key, header, text of an error or content is recorded unless asked for.

    Parameters
    ----------
    tracer_provider, meter_provider
        Default: the global ones. Without any, nothing is recorded.
    capture_content
        Record messages, tools and answers, also in part, as attributes of spans, and the texts of errors. Not pictures
        and sounds inside of messages. None (the default): when the environment says so with
        ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` as ``true``, ``span_only`` or ``span_and_event``.
    propagate
        Send the context (``traceparent``, and what else the global propagator injects, baggage too) to the service.
    provider
        ``gen_ai.provider.name``; the conventions have no name for Zhipu AI or Z.ai.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        capture_content: bool | None = None,
        propagate: bool = False,
        provider: str = "zhipu_ai",
    ) -> None:
        if capture_content is None:
            said = os.environ.get(CAPTURE_VARIABLE, "").strip().lower()
            capture_content = said in ("true", "span_only", "span_and_event")
        self.capture_content = capture_content
        self.propagate = propagate
        self.provider = provider
        self.tracer = trace.get_tracer("zhipu_async", VERSION, tracer_provider, SCHEMA_URL)
        meter = metrics.get_meter("zhipu_async", VERSION, meter_provider, SCHEMA_URL)
        self.histograms: Mapping[str, Histogram] = {
            name: meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=boundaries)
            for name, (unit, description, boundaries) in METRICS.items()
        }

    def begin(self, call: CallBegan) -> _ObservedCall:
        """Start the span of a call."""
        return _ObservedCall(self, call)

    def tools(self, tools: Iterable[AnyTool]) -> list[AnyTool]:
        """The same tools for ``run_tools``: each call of a function is a span ``execute_tool {name}``."""
        return [_TracedTool(self, tool) if callable(tool) else tool for tool in tools]


class _ObservedCall:
    """The span of a call, and what its metrics are made of."""

    def __init__(self, observer: OpenTelemetry, call: CallBegan) -> None:
        name, attributes, self._labels = begun(call, observer.provider)
        self._observer = observer
        self._began = perf_counter()
        self._first_chunk: float | None = None
        self._last_chunk = 0.0
        self._span = observer.tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        self._context = trace.set_span_in_context(self._span)
        if self._captures:
            _set_content(self._span, messages.of_request, str(self._labels["gen_ai.operation.name"]), call.arguments)

    @property
    def _captures(self) -> bool:
        return self._observer.capture_content and bool(self._labels) and self._span.is_recording()

    @property
    def headers(self) -> Mapping[str, str]:
        """The context of the span, for the service, if it is to be told."""
        carrier: dict[str, str] = {}
        if self._observer.propagate:
            propagate.inject(carrier, self._context)
        return carrier

    def arrived(self, chunks: int) -> None:
        """The first chunk is timed from the beginning of the call, each later one from the one before it."""
        now = perf_counter()
        if self._first_chunk is None:
            self._first_chunk = now - self._began
            chunks -= 1
            self._last_chunk = now
        if self._labels:
            record = self._observer.histograms["gen_ai.client.operation.time_per_output_chunk"].record
            for _ in range(chunks):  # what arrives together, arrives at once
                record(now - self._last_chunk, self._labels, self._context)
                self._last_chunk = now

    def happened(self, event: Event, answer: Any) -> None:
        """Tell of a failed attempt, or end."""
        if isinstance(event, AttemptFailed):
            self._first_chunk = None
            if event.delay is not None:
                told: Attributes = {"zhipu_async.retry.delay": event.delay}
                if event.number > 1:
                    told["http.request.resend_count"] = event.number - 1
                self._span.add_event("zhipu_async.attempt_failed", {**failed(event.error), **told})
            return
        try:
            self._end(event, answer)
        finally:
            self._span.end()

    def _end(self, event: CallSucceeded | CallFailed, answer: Any) -> None:
        attributes = self._ending(event, answer)
        self._span.set_attributes(attributes)
        if self._captures:
            _set_content(self._span, messages.of_answer, answer)
        if isinstance(event, CallFailed) and event.error is not None:
            self._span.set_status(StatusCode.ERROR, str(event.error) if self._observer.capture_content else None)
        total = event.timing.total
        self._measure(perf_counter() - self._began if total is None else total, attributes)

    def _ending(self, event: CallSucceeded | CallFailed, answer: Any) -> Attributes:
        attributes: Attributes = {}
        if isinstance(event, CallSucceeded):
            usage, reason = event.usage, event.finish_reason
        else:
            usage, reason = event.usage or getattr(answer, "usage", None), None
            attributes |= failed(event.error) if event.error is not None else {"zhipu_async.cancelled": True}
        if self._labels:
            attributes |= answered(self._labels["gen_ai.operation.name"], answer, reason, usage)
            if self._first_chunk is not None:
                attributes["gen_ai.response.time_to_first_chunk"] = self._first_chunk
        if event.timing.attempts > 1:
            attributes["http.request.resend_count"] = event.timing.attempts - 1
        return attributes

    def _measure(self, seconds: float, attributes: Attributes) -> None:
        if not self._labels:
            return
        histograms, context = self._observer.histograms, self._context
        labels = dict(self._labels)
        if (model := attributes.get("gen_ai.response.model")) is not None:
            labels["gen_ai.response.model"] = model
        for kind, name in _TOKEN_TYPES.items():
            if isinstance(tokens := attributes.get(name), int):
                histograms["gen_ai.client.token.usage"].record(tokens, {**labels, "gen_ai.token.type": kind}, context)
        if self._first_chunk is not None:
            histograms["gen_ai.client.operation.time_to_first_chunk"].record(self._first_chunk, labels, context)
        for name in ("error.type", "zhipu_async.cancelled"):
            if name in attributes:
                labels[name] = attributes[name]
        histograms["gen_ai.client.operation.duration"].record(seconds, labels, context)


def _set_content(span: Span, content: Callable[..., dict[str, str]], *of: Any) -> None:
    """Content that cannot be written down is left out: the span is worth more."""
    try:
        span.set_attributes(content(*of))
    except Exception:
        _logger.warning("content of a call was not recorded", exc_info=True)


class _TracedTool(PythonTool[..., Any]):
    """A function whose calls are spans. Its own spans are their children."""

    def __init__(self, observer: OpenTelemetry, function: AnyTool) -> None:
        (tool,) = Toolbox([function]).functions.values()
        signature = tool.signature
        super().__init__(tool, name=signature.name, description=signature.description, timeout=tool.timeout)
        self._tool = tool
        self._observer = observer

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """What the function gives, inside of a span."""
        call, recorded = current_call.get(None), self._observer.capture_content
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": self.name,
            "gen_ai.tool.type": "function",
            **({"gen_ai.tool.description": self.signature.description} if self.signature.description else {}),
            **({"gen_ai.tool.call.id": call.id} if call is not None and call.id else {}),
            **({"gen_ai.tool.call.arguments": call.function.arguments} if call is not None and recorded else {}),
        }
        begin = self._observer.tracer.start_as_current_span
        with begin(
            f"execute_tool {self.name}", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                value = await self._tool.run(arguments)
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR, str(error) if recorded else None)
                raise
            except BaseException:
                if (clock := current_clock.get(None)) is not None and clock.expired():
                    span.set_attribute("error.type", TimeoutError.__name__)
                    span.set_status(StatusCode.ERROR)
                else:
                    span.set_attribute("zhipu_async.cancelled", True)
                raise
            if recorded:
                _set_content(span, lambda: {"gen_ai.tool.call.result": content_of(value)})
            return value
