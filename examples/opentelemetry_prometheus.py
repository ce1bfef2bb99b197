"""Spans and metrics by OpenTelemetry: what a Prometheus server would scrape, a trace, and an alert.

Needs ``pip install 'zhipu-async[otel]' opentelemetry-exporter-prometheus``.
"""

import asyncio

import aiohttp
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import start_http_server
from service import connect

from zhipu_async import APIError, AsyncZhipuAI
from zhipu_async.alerts import Thresholds, watch
from zhipu_async.integrations.opentelemetry import OpenTelemetry

MODEL = "glm-4.7-flash"
SHOWN = ("gen_ai_client_token_usage_sum", "gen_ai_client_operation_duration_seconds_count")
LABELS = ("gen_ai_operation_name", "gen_ai_request_model", "gen_ai_token_type", "error_type")
"""Those that are printed; there are more metrics, and more labels, such as the server."""


async def work(client: AsyncZhipuAI) -> None:
    for question in ("Why is the sky blue?", "And the sea?"):
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}], stream=True
        )
        await stream.until_done()
    await client.embeddings.create(model="embedding-3", input=["sky", "sea"])
    try:
        await client.chat.completions.create(model="glm-of-tomorrow", messages=[{"role": "user", "content": "Hello"}])
    except APIError as error:
        print("failed:", type(error).__name__)


async def scrape(port: int) -> None:
    """What a Prometheus server does every 15 seconds."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            name, _, rest = line.partition("{")
            labels, _, value = rest.partition("} ")
            if name in SHOWN:
                print(name, *(label for label in labels.split(",") if label.startswith(LABELS)), value)


async def main() -> None:
    spans = InMemorySpanExporter()  # in a service: OTLPSpanExporter(), in a BatchSpanProcessor
    tracers, meters = TracerProvider(), MeterProvider([PrometheusMetricReader()])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    server, thread = start_http_server(0, addr="127.0.0.1")  # in a service: a port that Prometheus knows

    async with connect(hooks=[OpenTelemetry(tracer_provider=tracers, meter_provider=meters)]) as client:
        rules = Thresholds(error_rate=0.5, minimum_calls=1)
        async with watch(client, rules, lambda alert: print("alert:", alert), every=0.2, window=10.0):
            with tracers.get_tracer("example").start_as_current_span("a visitor's request"):
                await work(client)
            await asyncio.sleep(0.4)

    await scrape(server.server_port)
    for span in spans.get_finished_spans():
        told = {name: value for name, value in (span.attributes or {}).items() if "finish" in name or "error" in name}
        print("span:", "  " * (span.parent is not None) + span.name, told or "")
    await asyncio.to_thread(server.shutdown)
    thread.join()
    server.server_close()
    tracers.shutdown()
    meters.shutdown()


asyncio.run(main())
