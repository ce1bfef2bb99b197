"""Spans and metrics against the conventions for generative AI, and what of a call they tell."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from tests.integrations.observed import Observed, attributes  # first: without the package there is nothing to test

# isort: split
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from tests.conftest import SHORT_SLEEPS, Serve
from tests.integrations.genai_conventions import METRICS, OF_HTTP, OURS, SPANS, objections
from tests.realtime_sessions import talking
from tests.security.planted import HEADER, KEY, QUERY, SECRET_HEADERS, found_in
from zhipu_async import AsyncZhipuAI, catalogue, errors, tool
from zhipu_async.integrations.opentelemetry import CAPTURE_VARIABLE, OpenTelemetry, messages
from zhipu_async.integrations.opentelemetry.attributes import OPERATIONS, begun
from zhipu_async.protocol import codec
from zhipu_async.resources import Completions
from zhipu_async.simulator import Delivery, Frames, HangUp, Json, Pace, Refusal, Reply, Scenario, Simulator, ToolCall
from zhipu_async.telemetry import CallBegan
from zhipu_async.tools import PythonTool, current_call
from zhipu_async.types.chat import ChatCompletion, Choice, ResponseFormat
from zhipu_async.types.messages import AudioPart, FilePart, FileURLPart, ImagePart, TextPart, UserMessage, VideoPart

Ask = Callable[..., dict[str, Any]]
HI = [{"role": "user", "content": "Hello"}]
PARENT = "the caller's"

# ---------------------------------------------------------------- the conventions


async def _read(opening: Awaitable[Any]) -> None:
    await (await opening).until_done()


CALLS: dict[str, tuple[Callable[[AsyncZhipuAI], Awaitable[Any]], dict[str, Any]]] = {
    "chat glm-4.6": (
        lambda client: client.chat.completions.create(
            model="glm-4.6", messages=HI, temperature=1, top_p=0.5, max_tokens=100, seed=7, stop=["x", "y"],
            response_format={"type": "json_object"},
            extra_body={"top_k": 5, "frequency_penalty": 0.1, "presence_penalty": 1, "n": 2},
        ),
        {
            "gen_ai.request.temperature": 1.0, "gen_ai.request.top_p": 0.5, "gen_ai.request.max_tokens": 100,
            "gen_ai.request.seed": 7, "gen_ai.request.stop_sequences": ("x", "y"), "gen_ai.output.type": "json",
            "gen_ai.request.top_k": 5.0, "gen_ai.request.frequency_penalty": 0.1,
            "gen_ai.request.presence_penalty": 1.0, "gen_ai.request.choice.count": 2,
            "gen_ai.response.model": "glm-4.6", "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.reasoning.output_tokens": 8, "gen_ai.usage.cache_read.input_tokens": 0,
        },
    ),
    "chat glm-4.5": (
        lambda client: _read(client.chat.completions.create(model="glm-4.5", messages=HI, stream=True)),
        {"gen_ai.request.stream": True, "gen_ai.response.finish_reasons": ("stop",), "gen_ai.usage.input_tokens": 7},
    ),
    "embeddings embedding-3": (
        lambda client: client.embeddings.create(model="embedding-3", input=["a"], dimensions=256),
        {"gen_ai.embeddings.dimension.count": 256, "gen_ai.usage.input_tokens": 1},
    ),
    "rerank rerank": (
        lambda client: client.rerank.create(model="rerank", query="a", documents=["a", "b"]), {}
    ),
    "generate_content cogview-4": (
        lambda client: client.images.generate(model="cogview-4", prompt="A lighthouse"), {"gen_ai.output.type": "image"}
    ),
    "generate_content glm-tts": (
        lambda client: client.audio.speech(model="glm-tts", input="Hello", voice="tongtong"),
        {"gen_ai.output.type": "speech"},
    ),
    "create_task cogvideox-3": (
        lambda client: client.videos.generate(model="cogvideox-3", prompt="A storm"), {"gen_ai.output.type": "video"}
    ),
    "retrieval": (lambda client: client.web_search.search(search_query="a", search_engine="search_std"), {}),
    "invoke_agent": (
        lambda client: client.agents.invoke(
            agent_id="general_translation", messages=HI, custom_variables={"source_lang": "en", "target_lang": "fr"}
        ),
        {"gen_ai.agent.id": "general_translation"},
    ),
}  # fmt: skip
"""A call of each operation by the name of its span, and what is recorded beside what all have."""


@pytest.mark.parametrize("name", CALLS)
async def test_spans_are_as_the_conventions_say(name: str) -> None:
    """Each operation's span has its name, its kind, every required attribute, and none that the conventions of its
    operation do not have or have with another type; so have its metrics."""
    call, expected = CALLS[name]
    observed = Observed()
    async with Simulator() as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url, hooks=[observed.hook]) as client:
        await call(client)
    (span,) = observed.spans
    found = attributes(span)
    operation = found["gen_ai.operation.name"]
    assert (span.name, span.kind, span.status.status_code) == (name, SpanKind.CLIENT, StatusCode.UNSET)
    assert objections(found, SPANS[operation], {}) == []
    assert found.items() >= expected.items()
    assert operation == name.split()[0]
    assert found.get("gen_ai.request.model") == (name.split()[1] if " " in name else None)
    assert (found["gen_ai.provider.name"], found["server.address"]) == ("zhipu_ai", "127.0.0.1")
    assert found["server.port"] == int(sim.base_url.split(":")[2].split("/")[0])
    assert ("gen_ai.response.time_to_first_chunk" in found) is ("gen_ai.request.stream" in found)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"

    points = observed.points
    for point in points:
        unit, bounds, rows = METRICS[point.name]
        assert (point.unit, point.bounds) == (unit, tuple(float(bound) for bound in bounds))
        assert objections(point.attributes, rows, {}) == []
    counts = {(point.name, point.attributes.get("gen_ai.token.type")): point for point in points}
    duration = counts["gen_ai.client.operation.duration", None]
    assert duration.count == 1
    assert duration.sum > 0
    for kind in ("input", "output"):
        tokens = found.get(f"gen_ai.usage.{kind}_tokens")
        recorded = counts.get(("gen_ai.client.token.usage", kind))
        assert (recorded and recorded.sum) == tokens
    assert (("gen_ai.client.operation.time_to_first_chunk", None) in counts) is ("gen_ai.request.stream" in found)


ARGUMENTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("/chat/completions", {"n": 3}, {"gen_ai.request.choice.count": 3}),
    ("/chat/completions", {"n": 1}, {}),
    ("/chat/completions", {"stop": "x", "temperature": 0}, {
        "gen_ai.request.stop_sequences": ("x",), "gen_ai.request.temperature": 0.0,
    }),
    ("/chat/completions", {"temperature": "warm", "seed": True, "stop": [1], "max_tokens": 1.5}, {}),
    ("/chat/completions", {"response_format": ResponseFormat(type="json_object")}, {"gen_ai.output.type": "json"}),
    ("/chat/completions", {"response_format": {"type": "xml"}}, {}),
    ("/chat/completions", {"temperature": 0.5, "extra_body": {"temperature": 0.75}}, {
        "gen_ai.request.temperature": 0.75,
    }),
    ("/embeddings", {"encoding_format": "base64"}, {"gen_ai.request.encoding_formats": ("base64",)}),
    ("/api/v1/agents", {"agent_id": "a", "conversation_id": "c"}, {
        "gen_ai.agent.id": "a", "gen_ai.conversation.id": "c",
    }),
    ("/assistant", {"assistant_id": "a"}, {"gen_ai.agent.id": "a"}),
    ("/api/llm-application/open/v3/application/invoke", {"app_id": "a"}, {"gen_ai.agent.id": "a"}),
    ("/api/llm-application/open/knowledge/retrieve", {"knowledge_ids": ["k"], "top_k": 3}, {
        "gen_ai.data_source.id": "k", "gen_ai.request.top_k": 3.0,
    }),
    ("/api/llm-application/open/knowledge/retrieve", {"knowledge_ids": ["k", "l"]}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "arguments", "expected"), ARGUMENTS)
def test_arguments_that_are_recorded(path: str, arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    """Arguments, those of ``extra_body`` over the others, are attributes of the conventions' types; what has another
    type, or is several where one is meant, is not recorded."""
    call = CallBegan(
        f"POST {path}", None, "https://api.z.ai/api/paas/v4" + path, arguments=SimpleNamespace(**arguments)
    )
    name, found, labels = begun(call, "zhipu_ai")
    assert {key: value for key, value in found.items() if key not in labels} == expected
    assert objections(found, SPANS[labels["gen_ai.operation.name"]], {}) == []
    assert (labels["server.address"], labels["server.port"]) == ("api.z.ai", 443)
    assert name == " ".join(filter(None, (labels["gen_ai.operation.name"], found.get("gen_ai.data_source.id"))))


@pytest.mark.parametrize("endpoint", OPERATIONS)
def test_operations_are_endpoints(endpoint: str) -> None:
    """Each endpoint of the table of operations is one of the client's."""
    assert endpoint in {f"{row.verb} {row.path}" for row in catalogue.rows()}


PLAIN: dict[str, tuple[Callable[[AsyncZhipuAI], Awaitable[Any]], dict[str, Any]]] = {
    "GET /models": (lambda client: client.models.list(), {"url.template": "/models"}),
    "GET /files/{file_id}/content": (
        lambda client: client.files.content("file-1"), {"url.template": "/files/{file_id}/content"},
    ),
    "GET": (lambda client: client.request("GET", "/files/private-7/content"), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
async def test_other_calls_are_plain_requests(name: str, serve: Serve) -> None:
    """What is no operation of generative AI is a span of a request, without metrics; no id of a path is in it."""
    call, expected = PLAIN[name]
    observed = Observed()
    client, _ = await serve(hooks=[observed.hook])
    failed = None
    try:
        await call(client)
    except errors.APIError as error:
        failed = error
    (span,) = observed.spans
    found = attributes(span)
    assert (span.name, span.kind) == (name, SpanKind.CLIENT)
    assert objections(found, OF_HTTP, OURS) == []
    assert found.items() >= expected.items()
    assert found.get("error.type") == (type(failed).__name__ if failed else None)
    assert observed.points == []
    assert "private-7" not in observed.exported()


async def test_an_operation_by_its_path_alone(serve: Serve, ask: Ask) -> None:
    """``client.request`` of an operation's path is that operation; what its bytes say is not looked at."""
    observed = Observed()
    client, _ = await serve(hooks=[observed.hook])
    await client.request("POST", "chat/completions", json=ask())
    await client.chat.completions.with_raw_response.create(**ask())
    assert [span.name for span in observed.spans] == ["chat glm-4.6"] * 2
    assert all(objections(attributes(span), SPANS["chat"], {}) == [] for span in observed.spans)


async def test_a_session_is_a_span() -> None:
    """A WebSocket is a span from its opening to its close, with the context in its handshake."""
    observed = Observed(propagate=True)
    async with talking(Scenario(), hooks=[observed.hook]) as (realtime, sim, _):
        async with realtime.connect():
            assert observed.spans == []
        (span,) = observed.spans
        assert objections(attributes(span), OF_HTTP, OURS) == []
        assert span.name.startswith("WS /")
        assert f"{span.context.span_id:016x}" in sim.requests[0].headers["traceparent"]  # type: ignore[union-attr]


# ---------------------------------------------------------------- streams


async def test_chunks_are_timed(serve: Serve, ask: Ask) -> None:
    """The first chunk is one sample, each later one another, as many as the caller gets, and they add up to the time
    from the first to the last."""
    observed = Observed()
    scenario = Scenario(replies=[Reply("one two three four")], pace=Pace(first_token=0.05, per_chunk=0.03))
    client, _ = await serve(scenario, hooks=[observed.hook])
    stream = await client.chat.completions.create(**ask(stream=True))
    chunks = [chunk async for chunk in stream]
    points = {point.name: point for point in observed.points}
    (span,) = observed.spans
    first = points["gen_ai.client.operation.time_to_first_chunk"]
    later = points["gen_ai.client.operation.time_per_output_chunk"]
    whole = points["gen_ai.client.operation.duration"]
    assert (first.count, later.count) == (1, len(chunks) - 1)
    assert first.sum == attributes(span)["gen_ai.response.time_to_first_chunk"] >= 0.05
    assert 0.03 <= later.sum <= whole.sum - first.sum + 0.005


async def test_the_first_chunk_is_that_of_the_attempt_that_came_through(serve: Serve, ask: Ask) -> None:
    """A chunk of an attempt that failed before it said something is not timed as the answer's first."""
    observed = Observed()
    empty = {"id": "1", "model": "glm-4.6", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    fault = {"error": {"code": "1305", "message": "busy"}}
    frames = b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in (empty, fault))
    replies = [Frames([frames]), Reply("Hi", delivery=Delivery(head_after=0.1))]
    client, _ = await serve(Scenario(replies=replies), hooks=[observed.hook])
    await _read(client.chat.completions.create(**ask(stream=True)))
    (span,) = observed.spans
    assert attributes(span)["http.request.resend_count"] == 1
    assert attributes(span)["gen_ai.response.time_to_first_chunk"] >= 0.1


LEAVING: dict[str, Callable[[Any], Awaitable[None]]] = {}


def leaving(name: str) -> Callable[[Any], Any]:
    """A way to leave a stream."""

    def keep(way: Any) -> Any:
        LEAVING[name] = way
        return way

    return keep


@leaving("closed")
async def _close(streams: list[Any]) -> None:
    await streams.pop().close()


@leaving("dropped")
async def _drop(streams: list[Any]) -> None:
    streams.clear()


@leaving("dropped in another thread")
async def _drop_elsewhere(streams: list[Any]) -> None:
    thread = threading.Thread(target=streams.clear)
    thread.start()
    await asyncio.to_thread(thread.join)


@leaving("its reader cancelled")
async def _cancel(streams: list[Any]) -> None:
    reading = asyncio.create_task(streams.pop().until_done())
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])


@pytest.mark.parametrize("way", LEAVING)
async def test_a_stream_that_is_left(way: str, serve: Serve, ask: Ask) -> None:
    """However a stream is left, its span ends once, as cancelled and no error, with what had arrived."""
    observed = Observed()
    scenario = Scenario(replies=[Reply("one two three four")], pace=Pace(per_chunk=0.1))
    client, _ = await serve(scenario, hooks=[observed.hook])
    streams = [await client.chat.completions.create(**ask(stream=True))]
    assert observed.spans == []
    await LEAVING[way](streams)
    (span,) = observed.spans
    found = attributes(span)
    assert span.status.status_code is StatusCode.UNSET
    assert objections(found, SPANS["chat"], OURS) == []
    assert found["zhipu_async.cancelled"] is True
    assert found["gen_ai.response.model"] == "glm-4.6"
    assert "gen_ai.response.finish_reasons" not in found
    (duration,) = [point for point in observed.points if point.name == "gen_ai.client.operation.duration"]
    assert duration.attributes["zhipu_async.cancelled"] is True


async def test_a_call_that_is_cancelled(serve: Serve, ask: Ask) -> None:
    """So does that of a call whose task is cancelled before there was an answer."""
    observed = Observed()
    client, _ = await serve(Scenario(pace=Pace(first_token=5.0)), hooks=[observed.hook])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.chat.completions.create(**ask())
    (span,) = observed.spans
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span)["zhipu_async.cancelled"] is True


# ---------------------------------------------------------------- failures


FAILURES: dict[str, tuple[list[Any], bool, str, dict[str, Any]]] = {
    "refused": (
        [Refusal("1113")], False, "AccountError",
        {"http.response.status_code": 429, "zhipu_async.error.code": "1113"},
    ),
    "a stream refused": (
        [Refusal("1113")], True, "AccountError",
        {"http.response.status_code": 429, "zhipu_async.error.code": "1113"},
    ),
    "hung up": ([HangUp(), HangUp(), HangUp()], False, "ConnectionLost", {"http.request.resend_count": 2}),
    "no answer": ([Json(["no object"])], False, "DecodeError", {}),
}  # fmt: skip


@pytest.mark.parametrize(("replies", "stream", "kind", "expected"), FAILURES.values(), ids=FAILURES)
async def test_a_call_that_fails(
    replies: list[Any], stream: bool, kind: str, expected: Mapping[str, Any], serve: Serve, ask: Ask
) -> None:
    """Its span ends as an error with the class of the error, without its text; its duration is a sample of its own."""
    observed = Observed()
    client, _ = await serve(Scenario(replies=replies), hooks=[observed.hook])
    with pytest.raises(errors.ZhipuError):
        await client.chat.completions.create(**ask(stream=stream))
    (span,) = observed.spans
    found = attributes(span)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert objections(found, SPANS["chat"], {**OURS, **OF_HTTP}) == []
    assert found.items() >= {"error.type": kind, **expected}.items()
    assert len(span.events) == found.get("http.request.resend_count", 0)
    (duration,) = observed.points
    assert (duration.name, duration.count) == ("gen_ai.client.operation.duration", 1)
    assert duration.attributes["error.type"] == kind


async def test_a_stream_that_breaks_off(serve: Serve, ask: Ask) -> None:
    """Its span ends with the error, and has what had arrived; tokens that nobody told are not recorded."""
    observed = Observed()
    cut = Reply("one two three", delivery=Delivery(pause=0.01, stops_after=3))
    client, _ = await serve(Scenario(replies=[cut]), hooks=[observed.hook])
    with pytest.raises(errors.StreamTruncated):
        await _read(client.chat.completions.create(**ask(stream=True)))
    (span,) = observed.spans
    found = attributes(span)
    assert (found["error.type"], found["gen_ai.response.model"]) == ("StreamTruncated", "glm-4.6")
    assert objections(found, SPANS["chat"], {}) == []
    names = {point.name for point in observed.points}
    assert "gen_ai.client.token.usage" not in names
    assert "gen_ai.client.operation.time_to_first_chunk" in names


async def test_attempts_are_events_of_the_span(serve: Serve, ask: Ask) -> None:
    """Each failed attempt that is repeated is an event with its error and the wait; a call that succeeds in the end is
    no error."""
    observed = Observed()
    client, _ = await serve(Scenario(replies=[Refusal("1302"), Refusal("1305"), Reply("Hi")]), hooks=[observed.hook])
    await client.chat.completions.create(**ask())
    (span,) = observed.spans
    told = [dict(event.attributes or {}) for event in span.events]
    assert {event.name for event in span.events} == {"zhipu_async.attempt_failed"}
    assert [(event.get("http.request.resend_count"), event["error.type"]) for event in told] == [
        (None, "RateLimitError"),
        (1, "OverloadedError"),
    ]
    assert told[0]["http.response.status_code"] == 429
    assert told[0]["zhipu_async.error.code"] == "1302"
    assert all(event["zhipu_async.retry.delay"] > 0 for event in told)
    assert attributes(span)["http.request.resend_count"] == 2
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in attributes(span)


# ---------------------------------------------------------------- context


async def test_a_call_is_a_child_of_what_is_current(serve: Serve, ask: Ask) -> None:
    """The parent is the caller's current span, also when a stream is read to its end by another task, outside."""
    observed = Observed()
    client, _ = await serve(hooks=[observed.hook])
    with observed.tracer.start_as_current_span(PARENT) as parent:
        stream = await client.chat.completions.create(**ask(stream=True))
        await client.chat.completions.create(**ask())
        assert trace.get_current_span() is parent
    await asyncio.create_task(stream.until_done())
    await client.chat.completions.create(**ask())
    spans = {span.name: span for span in observed.spans}
    parents = [span.parent and span.parent.span_id for span in observed.spans if span.name != PARENT]
    assert parents == [spans[PARENT].context.span_id, spans[PARENT].context.span_id, None]  # type: ignore[union-attr]


async def test_calls_of_a_run_are_children_of_its_beginning(serve: Serve, ask: Ask) -> None:
    """A fan-out's calls, made by its own tasks, have the span as parent in which the run was begun."""
    observed = Observed()
    client, _ = await serve(hooks=[observed.hook])
    with observed.tracer.start_as_current_span(PARENT) as parent:
        async with client.fan_out(Completions.create.call(**ask()) for _ in range(5)) as run:
            outcomes = [outcome async for outcome in run]
    calls = [span for span in observed.spans if span.name == "chat glm-4.6"]
    assert len(calls) == len(outcomes) == 5
    assert {span.parent and span.parent.span_id for span in calls} == {parent.get_span_context().span_id}


@pytest.mark.parametrize("propagate", [True, False])
async def test_the_context_travels_when_asked(propagate: bool, serve: Serve, ask: Ask) -> None:
    """``propagate=True`` sends ``traceparent`` with the call's own span in every attempt; otherwise nothing is sent."""
    observed = Observed(propagate=propagate)
    client, sim = await serve(Scenario(replies=[Refusal("1302"), Reply("Hi")]), hooks=[observed.hook])
    await client.chat.completions.create(**ask())
    sent = [request.headers.get("traceparent") for request in sim.requests]
    context = observed.spans[0].context
    assert context is not None
    expected = f"00-{context.trace_id:032x}-{context.span_id:016x}-"
    assert len(sent) == 2
    assert all((header or "").startswith(expected) if propagate else header is None for header in sent)


async def test_two_clients_share_a_hook(serve: Serve, ask: Ask) -> None:
    """Calls of two clients, at the same time, are spans with their own servers."""
    observed = Observed()
    first, one = await serve(Scenario(pace=Pace(first_token=0.05)), hooks=[observed.hook])
    second, two = await serve(hooks=[observed.hook])
    await asyncio.gather(*(client.chat.completions.create(**ask()) for client in (first, second, second)))
    ports = sorted(attributes(span)["server.port"] for span in observed.spans)
    assert ports == sorted(int(sim.origin.rpartition(":")[2]) for sim in (one, two, two))


async def test_without_providers_nothing_happens(serve: Serve, ask: Ask) -> None:
    """Where no SDK is set up, the hook records nothing, sends nothing and disturbs nothing."""
    client, sim = await serve(hooks=[OpenTelemetry(propagate=True, capture_content=True)])
    assert (await client.chat.completions.create(**ask())).text
    await _read(client.chat.completions.create(**ask(stream=True)))
    assert [request.headers.get("traceparent") for request in sim.requests] == [None, None]


async def test_metrics_know_the_span_of_their_call(serve: Serve, ask: Ask) -> None:
    """From each value of a metric one comes to the call that it is of, also where no span is the caller's."""
    observed = Observed()
    client, _ = await serve(Scenario(replies=[Reply("abc", pieces=list("abc"))]), hooks=[observed.hook])
    await (await client.chat.completions.create(**ask(stream=True))).until_done()
    (span,) = observed.spans
    assert observed.examples == {name: {span.context.span_id} for name in METRICS}  # type: ignore[union-attr]


async def test_an_answer_that_the_model_broke_off(serve: Serve, ask: Ask) -> None:
    """The finish reason network_error is an error of the call, though its caller gets what came."""
    observed = Observed()
    client, _ = await serve(Scenario(replies=[Reply("ab", finish_reason="network_error")]), hooks=[observed.hook])
    assert (await client.chat.completions.create(**ask())).text == "ab"
    (span,) = observed.spans
    assert span.status.status_code is StatusCode.ERROR
    found = attributes(span)
    assert found["error.type"] == "StreamFailed"
    assert found["gen_ai.response.finish_reasons"] == ("network_error",)
    assert found["gen_ai.usage.output_tokens"] > 0


# ---------------------------------------------------------------- tools


class Doubled(PythonTool[..., Any]):
    """A function that is called in a way of its own."""

    async def run(self, arguments: Any) -> Any:
        """Twice what it gives."""
        return 2 * await super().run(arguments)


async def test_a_tool_of_a_class_of_its_own(serve: Serve, ask: Ask) -> None:
    """It is called as its class has it, also where its calls are spans; one that is cancelled is no error."""
    observed = Observed()

    def give() -> int:
        """Give a number."""
        return 21

    async def leave() -> None:
        raise asyncio.CancelledError

    replies = [Reply("", tool_calls=[ToolCall("give", {}), ToolCall("leave", {})]), Reply("done")]
    client, _ = await serve(Scenario(replies=replies), hooks=[observed.hook])
    tools = observed.hook.tools([Doubled(give), leave])
    result = await client.chat.completions.run_tools(**ask(tools=tools))
    assert next(iter(result.calls)).content == "42"
    (left,) = (span for span in observed.spans if span.name == "execute_tool leave")
    assert attributes(left)["zhipu_async.cancelled"] is True
    assert left.status.status_code is StatusCode.UNSET


async def test_a_tool_loop(serve: Serve, ask: Ask) -> None:
    """Each call of a function is a span ``execute_tool``, beside those of the model's answers under the caller's span,
    and parent of the function's own; errors and time-outs are told, arguments and results are not."""
    observed = Observed()

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        with observed.tracer.start_as_current_span("inside"):
            return a + b

    async def fail() -> None:
        raise LookupError("ContentSecret")

    @tool(timeout=0.01)
    async def hang() -> None:
        await asyncio.sleep(5)

    calls = [ToolCall("add", {"a": 41, "b": 1}), ToolCall("fail", {}), ToolCall("hang", {})]
    replies = [Reply("", tool_calls=calls), Reply("42")]
    client, _ = await serve(Scenario(replies=replies), hooks=[observed.hook])
    tools = observed.hook.tools([add, fail, hang])
    assert observed.hook.tools([LOOK]) == [LOOK]
    with observed.tracer.start_as_current_span(PARENT):
        result = await client.chat.completions.run_tools(**ask(tools=tools))
    assert next(iter(result.calls)).content == "42"
    spans = {span.name: span for span in observed.spans}
    names = [span.name for span in observed.spans]
    assert names.count("chat glm-4.6") == 2
    for name in ("execute_tool add", "execute_tool fail", "execute_tool hang"):
        span = spans[name]
        assert span.kind is SpanKind.INTERNAL
        assert objections(attributes(span), SPANS["execute_tool"], OURS) == []
        assert span.parent is not None
        assert span.parent.span_id == spans[PARENT].context.span_id  # type: ignore[union-attr]
    added = spans["execute_tool add"]
    assert attributes(added)["gen_ai.tool.description"] == "Add two numbers."
    ids = [attributes(spans[f"execute_tool {name}"])["gen_ai.tool.call.id"] for name in ("add", "fail", "hang")]
    assert ids == [returned.call.id for returned in result.calls]
    assert spans["inside"].parent.span_id == added.context.span_id  # type: ignore[union-attr]
    assert attributes(spans["execute_tool fail"])["error.type"] == "LookupError"
    assert spans["execute_tool fail"].status.status_code is StatusCode.ERROR
    assert attributes(spans["execute_tool hang"])["error.type"] == "TimeoutError"
    assert spans["execute_tool hang"].status.status_code is StatusCode.ERROR
    assert "ContentSecret" not in observed.exported()
    assert '"41"' not in observed.exported()


async def test_content_of_tools_is_recorded_when_asked(serve: Serve, ask: Ask) -> None:
    """The model's arguments as it wrote them and what it is told, where there is something; a name for neither else."""
    observed = Observed(capture_content=True)

    def add(a: int, b: int) -> int:
        assert current_call.get().function.name == "add"
        return a + b

    def odd() -> object:
        return object()

    replies = [Reply("", tool_calls=[ToolCall("add", {"a": 41, "b": 1}), ToolCall("odd", {})]), Reply("42")]
    client, _ = await serve(Scenario(replies=replies), hooks=[observed.hook])
    await client.chat.completions.run_tools(**ask(tools=observed.hook.tools([add, odd])))
    spans = {span.name: attributes(span) for span in observed.spans}
    added, gave_none = spans["execute_tool add"], spans["execute_tool odd"]
    assert objections(added, SPANS["execute_tool"], OURS) == []
    assert json.loads(added["gen_ai.tool.call.arguments"]) == {"a": 41, "b": 1}
    assert added["gen_ai.tool.call.result"] == "42"
    assert gave_none["gen_ai.tool.call.arguments"] == "{}"
    assert "gen_ai.tool.call.result" not in gave_none
    with pytest.raises(LookupError):
        current_call.get()


# ---------------------------------------------------------------- content and secrets

PICTURE = "data:image/png;base64," + "A" * 4000
CONVERSATION: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [
        {"type": "text", "text": "What is it? ContentSecret"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": PICTURE}},
    ]},
    {"role": "assistant", "content": "", "reasoning_content": "Hm", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "a"}'}},
        {"id": "c2", "type": "function", "function": {"name": "look", "arguments": '{"at"'}},
    ]},
    {"role": "tool", "content": "a boat", "tool_call_id": "c1"},
    {"role": "tool", "content": "error", "tool_call_id": "c2"},
]  # fmt: skip
LOOK = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}


def _messages(span: Any, name: str) -> Any:
    return json.loads(attributes(span)[name])


async def test_nothing_of_a_conversation_is_exported_by_default(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what was said, thought, called and answered, nor the text of an error, a key or a header."""
    monkeypatch.delenv(CAPTURE_VARIABLE, raising=False)
    observed = Observed(propagate=True)
    await _talk(observed, ask)
    exported = observed.exported()
    assert exported.count("gen_ai.response.id") == 2
    assert "Secret" not in exported
    assert found_in(exported) == []


async def _talk(observed: Observed, ask: Ask) -> None:
    """A call that is repeated, a stream, and a call that fails, with secrets in all that the caller says and gets."""
    answer = Reply("AnswerSecret", reasoning="ThoughtSecret", tool_calls=[ToolCall("look", {"at": "ArgumentSecret"})])
    replies = [Refusal("1302", message="ContentSecret"), answer, answer, Refusal("1210", message="ContentSecret")]
    settings: dict[str, Any] = {"default_headers": SECRET_HEADERS, "default_query": {"q": QUERY}, "retry": SHORT_SLEEPS}
    arguments = ask(model="glm-4.6v", messages=CONVERSATION, tools=[LOOK])
    async with (
        Simulator(Scenario(replies=replies, api_keys=[KEY])) as sim,
        AsyncZhipuAI(KEY, base_url=sim.base_url, hooks=[observed.hook], **settings) as client,
    ):
        await client.chat.completions.create(**arguments)
        await _read(client.chat.completions.create(**arguments, stream=True))
        with pytest.raises(errors.BadRequestError):
            await client.chat.completions.create(**arguments)


async def test_content_is_recorded_when_asked_for(ask: Ask) -> None:
    """Messages, tools and answers are JSON in the form of the conventions, also of streams; of a picture inside of a
    message there is its size. No key or header is recorded even then."""
    observed = Observed(capture_content=True)
    await _talk(observed, ask)
    whole, stream, failed = observed.spans
    for span in (whole, stream, failed):
        assert objections(attributes(span), SPANS["chat"], {**OURS, **OF_HTTP}) == []
        assert _messages(span, "gen_ai.input.messages") == [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [
                {"type": "text", "content": "What is it? ContentSecret"},
                {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                {"type": "omitted_blob", "modality": "image", "characters": len(PICTURE)},
            ]},
            {"role": "assistant", "parts": [
                {"type": "reasoning", "content": "Hm"},
                {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": "a"}},
                {"type": "tool_call", "id": "c2", "name": "look", "arguments": '{"at"'},
            ]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "a boat"}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c2", "response": "error"}]},
        ]  # fmt: skip
        assert _messages(span, "gen_ai.tool.definitions") == [
            {"type": "function", "name": "look", "description": "Look.", "parameters": {"type": "object"}}
        ]
    for span in (whole, stream):
        (message,) = _messages(span, "gen_ai.output.messages")
        reasoning, text, call = message.pop("parts")
        assert message == {"role": "assistant", "finish_reason": "tool_call"}
        assert reasoning == {"type": "reasoning", "content": "ThoughtSecret"}
        assert text == {"type": "text", "content": "AnswerSecret"}
        assert call.pop("id")
        assert call == {"type": "tool_call", "name": "look", "arguments": {"at": "ArgumentSecret"}}
    assert "gen_ai.output.messages" not in attributes(failed)
    assert "ContentSecret" in (failed.status.description or "")
    assert found_in(observed.exported()) == []
    assert HEADER not in observed.exported()


async def test_content_of_other_operations(serve: Serve) -> None:
    """An agent's words, a prompt, a transcription and a query are recorded in the same form; pictures are not."""
    observed = Observed(capture_content=True)
    client, _ = await serve(hooks=[observed.hook])
    await CALLS["invoke_agent"][0](client)
    await CALLS["generate_content cogview-4"][0](client)
    await CALLS["retrieval"][0](client)
    await _read(client.audio.transcriptions.create(model="glm-asr-2512", file=b"RIFF....WAVE", stream=True))
    agent, image, search, speech = map(attributes, observed.spans)
    (said,) = json.loads(agent["gen_ai.output.messages"])
    assert [part["type"] for part in said["parts"]] == ["text"]
    assert said["parts"][0]["content"]
    assert json.loads(image["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "A lighthouse"}]}
    ]
    assert "gen_ai.output.messages" not in image
    assert search["gen_ai.retrieval.query.text"] == "a"
    (heard,) = json.loads(speech["gen_ai.output.messages"])
    assert heard["parts"][0]["content"]
    assert "gen_ai.input.messages" not in speech


PARTS: list[tuple[Any, dict[str, Any]]] = [
    (TextPart("a"), {"type": "text", "content": "a"}),
    (ImagePart.from_url("https://a.b/c"), {"type": "uri", "modality": "image", "uri": "https://a.b/c"}),
    (VideoPart.from_bytes(b"1234"), {"type": "omitted_blob", "modality": "video", "characters": 30}),
    (AudioPart.from_bytes(b"1234", "mp3"), {"type": "omitted_blob", "modality": "audio", "characters": 8}),
    (FilePart.from_id("f"), {"type": "file", "modality": "file", "file_id": "f"}),
    (FilePart.from_bytes(b"1", "a.txt"), {"type": "omitted_blob", "modality": "file", "characters": 27}),
    (FileURLPart.from_url("https://a.b/c"), {"type": "uri", "modality": "file", "uri": "https://a.b/c"}),
    (MappingProxyType({"type": "audio_url", "audio_url": "https://a.b/c"}), {
        "type": "uri", "modality": "audio", "uri": "https://a.b/c",
    }),
    ({"type": "hologram", "hologram": "Secret"}, {"type": "hologram"}),
    ("a", {"type": "text", "content": "a"}),
]  # fmt: skip


@pytest.mark.parametrize(("part", "recorded"), PARTS, ids=str)
def test_parts_of_messages(part: Any, recorded: dict[str, Any]) -> None:
    """Structs and mappings of each kind of part, as the conventions have them."""
    arguments = SimpleNamespace(messages=(UserMessage(content=[part]),))
    found = messages.of_request("chat", arguments)
    assert json.loads(found["gen_ai.input.messages"]) == [{"role": "user", "parts": [recorded]}]


@pytest.mark.parametrize(
    ("said", "given", "captured"),
    [
        (None, None, False),
        ("true", None, True),
        ("SPAN_ONLY", None, True),
        ("span_and_event", None, True),
        ("event_only", None, False),
        ("no_content", None, False),
        ("true", False, False),
        ("false", True, True),
    ],
)
def test_the_variable_of_the_conventions(
    said: str | None, given: bool | None, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content is captured when the environment says so for spans, unless the parameter says otherwise."""
    monkeypatch.delenv(CAPTURE_VARIABLE, raising=False)
    if said is not None:
        monkeypatch.setenv(CAPTURE_VARIABLE, said)
    assert OpenTelemetry(capture_content=given).capture_content is captured


async def test_content_that_cannot_be_recorded(
    serve: Serve, ask: Ask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out with a warning, and its span is there all the same, with the rest."""

    def break_down(*_: Any) -> Any:
        raise ValueError("content trouble")

    monkeypatch.setattr(messages, "of_answer", break_down)
    observed = Observed(capture_content=True)
    client, _ = await serve(hooks=[observed.hook])
    await client.chat.completions.create(**ask())
    (span,) = observed.spans
    assert "gen_ai.input.messages" in attributes(span)
    assert "gen_ai.response.id" in attributes(span)
    assert "content trouble" in caplog.text


async def test_a_span_ends_whatever_an_answer_is(
    serve: Serve, ask: Ask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When what came cannot be looked at, that is logged, and the span ends without it; the caller gets it."""

    class Choices(list[Any]):
        def __iter__(self) -> Any:
            raise ValueError("answer trouble")

    observed = Observed()
    client, _ = await serve(hooks=[observed.hook])
    monkeypatch.setattr(ChatCompletion, "finish_reason", None)
    monkeypatch.setattr(codec, "decode", lambda *_: ChatCompletion(id="1", choices=Choices([Choice()])))
    assert (await client.chat.completions.create(**ask())).id == "1"
    assert [span.name for span in observed.spans] == ["chat glm-4.6"]
    assert "answer trouble" in caplog.text


@pytest.mark.heavy
def test_without_the_package_the_way_out_is_told() -> None:
    """Importing the integration without OpenTelemetry is a ConfigError that names the extra."""
    program = """
import sys
sys.modules["opentelemetry"] = None
from zhipu_async import ConfigError
try:
    import zhipu_async.integrations.opentelemetry
except ConfigError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == "OpenTelemetry is not installed: pip install 'zhipu-async[otel]'\n"
