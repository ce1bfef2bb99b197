"""The client: the call surface, bad arguments, answers, telemetry, calls without an endpoint of their own."""

from __future__ import annotations

import asyncio
import inspect
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from tests.conftest import Serve
from tests.servers import Conversation, byte_server
from zhipu_async import (
    APIError,
    AsyncZhipuAI,
    CallFailed,
    CallSucceeded,
    ClientClosedError,
    ConfigError,
    DecodeError,
    ImagePart,
    NotFoundError,
    RateLimitError,
    RawResponse,
    SystemMessage,
    TextPart,
    Thinking,
    ToolMessage,
    UserMessage,
)
from zhipu_async.resources import Completions
from zhipu_async.simulator import DEFAULT_KEY, ErrorFrame, Json, Refusal, Reply, Scenario, ToolCall, page

Ask = Callable[..., dict[str, Any]]

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


async def test_what_is_not_set_is_not_sent_and_nothing_is_changed(serve: Serve) -> None:
    """The body holds the caller's values as they are; the caller's objects stay as they were."""
    client, sim = await serve()
    messages = [{"role": "user", "content": "Hello"}]
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
    before = msgspec.json.encode([messages, tools])
    await client.chat.completions.create(
        model="glm-4.6", messages=messages, tools=tools, temperature=1.0, top_p=None, stop=None, timeout=5,
        extra_headers={"X-A": "1"}, extra_query={"q": "ü"},
    )  # fmt: skip
    assert sim.requests[0].body == {"model": "glm-4.6", "messages": messages, "tools": tools, "temperature": 1.0}
    assert sim.requests[0].headers["X-A"] == "1"
    assert "q=%C3%BC" in str(sim.requests[0].query) or sim.requests[0].query == {"q": "ü"}
    assert msgspec.json.encode([messages, tools]) == before


async def test_structs_and_dicts_mix(serve: Serve) -> None:
    """Structs, dicts and the reply's own message make one conversation, over a tool call and back."""
    tool = {"type": "function", "function": {"name": "now", "description": "time", "parameters": {"type": "object"}}}
    client, sim = await serve(Scenario(replies=[Reply(reasoning="I need the time.", tool_calls=[ToolCall("now")])]))
    messages: list[Any] = [SystemMessage("Be brief."), {"role": "user", "content": "What time is it?"}]
    reply = await client.chat.completions.create(
        model="glm-4.6", messages=messages, tools=[tool], thinking=Thinking(type="enabled", clear_thinking=False)
    )
    [call] = reply.tool_calls
    messages += [reply.message, ToolMessage(content="12:00", tool_call_id=call.id or "")]
    answer = await client.chat.completions.create(model="glm-4.6", messages=messages, tools=[tool])
    assert answer.text
    sent = sim.requests[1].body["messages"]
    assert sent[2]["reasoning_content"] == "I need the time."
    assert sent[2]["tool_calls"] == [
        {"id": call.id, "type": "function", "function": {"name": "now", "arguments": "{}"}}
    ]
    assert sent[3] == {"role": "tool", "content": "12:00", "tool_call_id": call.id}


async def test_images_from_files_bytes_and_addresses(serve: Serve, tmp_path: Any) -> None:
    """A path, bytes and a URL become the right parts; the file is read off the loop's thread."""
    path = tmp_path / "pixel.png"
    path.write_bytes(PIXEL)
    parts = [await ImagePart.from_file(path), ImagePart.from_bytes(PIXEL), ImagePart.from_url("https://x.test/a.png")]
    assert parts[0] == parts[1]
    assert parts[0].image_url.url.startswith("data:image/png;base64,iVBOR")
    client, sim = await serve()
    reply = await client.chat.completions.create(
        model="glm-4.6v", messages=[UserMessage([*parts, TextPart("What is this?")])]
    )
    assert reply.text
    assert [part["type"] for part in sim.requests[0].body["messages"][0]["content"]] == ["image_url"] * 3 + ["text"]
    with pytest.raises(ConfigError, match=r"nothing\.png"):
        await ImagePart.from_file(tmp_path / "nothing.png")
    with pytest.raises(ConfigError, match="media_type"):
        ImagePart.from_bytes(b"?")


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [{"role": "user", "content": "\ud800"}]},
        {"messages": [{"role": "user", "content": math.nan}]},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"extra_body": {"a": {"b": [1, -math.inf]}}},
        {"messages": [{"role": "user", "content": object()}]},
        {"extra_headers": {"X": "a\nb"}},
        {"extra_headers": {"X": "\ud800"}},
        {"extra_query": {"q": "\ud800"}},
        {"timeout": -1},
        {"timeout": math.nan},
        {"stream": "yes"},
    ],
    ids=repr,
)
async def test_bad_arguments_are_refused_before_anything_is_sent(
    serve: Serve, ask: Ask, changes: dict[str, Any]
) -> None:
    """Each is a ConfigError; no request leaves, no connection is opened."""
    client, sim = await serve()
    with pytest.raises(ConfigError):
        await client.chat.completions.create(**ask(**changes))
    assert sim.requests == []
    assert sim.connections.opened == 0


async def test_unknown_and_missing_arguments_are_type_errors(serve: Serve) -> None:
    """A misspelt or a missing name is Python's own error."""
    client, sim = await serve()
    with pytest.raises(TypeError, match="temprature"):
        await client.chat.completions.create(model="glm-4.6", messages=[], temprature=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="messages"):
        await client.chat.completions.create(model="glm-4.6")  # type: ignore[call-overload]
    assert sim.requests == []


def test_the_signature_is_shown(ask: Ask) -> None:
    """help() shows every parameter and the struct's docstring; the class's method builds an unsent call."""
    client = AsyncZhipuAI("k.s")
    create = client.chat.completions.create
    parameters = inspect.signature(create).parameters
    assert {"model", "messages", "stream", "tool_stream", "thinking", "timeout", "extra_body"} <= set(parameters)
    assert str(parameters["stream"].annotation) == "bool | None"
    assert "Ask a model" in (create.__doc__ or "")
    call = Completions.create.call(**ask(stream=True))
    assert (call.endpoint.name, call.model, call.stream) == ("POST /chat/completions", "glm-4.6", True)


async def test_methods_return_coroutines(serve: Serve, ask: Ask) -> None:
    """They go into create_task and task groups as they are."""
    client, _ = await serve()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.chat.completions.create(**ask())) for _ in range(3)]
    assert all(task.result().text for task in tasks)


async def test_the_models_are_listed(serve: Serve) -> None:
    """GET /models gives ids, all in one page: awaited, or iterated as the other lists are."""
    client, sim = await serve()
    listed = (await client.models.list()).data
    assert "glm-4.6" in {model.id for model in listed}
    assert sim.requests[0].raw == b""
    assert [model async for model in client.models.list()] == listed
    assert len(sim.requests) == 2


async def test_headers_of_a_call_replace_the_clients_whatever_their_case(serve: Serve, ask: Ask) -> None:
    """Each header is sent once."""
    client, sim = await serve(default_headers={"user-agent": "mine", "X-A": "1"})
    await client.chat.completions.create(**ask(extra_headers={"x-a": "2"}))
    names = [name.lower() for name in sim.requests[0].headers]
    assert len(names) == len(set(names))
    headers = {name.lower(): value for name, value in sim.requests[0].headers.items()}
    assert (headers["user-agent"], headers["x-a"]) == ("mine", "2")


async def test_an_answer_that_is_odd_is_mended(serve: Serve, ask: Ask) -> None:
    """Ids as numbers, whole floats, objects as arguments and nulls are read as what they mean."""
    odd = {
        "id": 8635243129834723621,
        "created": 1.79e9,
        "model": None,
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": 7, "function": {"name": "f", "arguments": {"a": [1, "ü"]}}}],
                },
            }
        ],
        "usage": {"prompt_tokens": 3.0, "completion_tokens": "4", "total_tokens": None},
        "new_field": {"x": 1},
    }
    client, _ = await serve(Scenario(replies=[Json(odd)]))
    reply = await client.chat.completions.create(**ask())
    assert reply.id == "8635243129834723621"
    assert reply.created == 1_790_000_000
    [call] = reply.tool_calls
    assert (call.id, call.type, call.function.arguments) == ("7", "function", '{"a":[1,"ü"]}')
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (3, 4, None)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"choices":' + b"9" * 5000 + b"x}"]
)
async def test_an_answer_that_is_none_is_a_decode_error(ask: Ask, body: bytes) -> None:
    """It carries the body, at most 4 KiB of it."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(body)

    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url) as client:
        with pytest.raises(DecodeError) as caught:
            await client.chat.completions.create(**ask())
        assert len(caught.value.body or "") <= 4096
        assert len(server.requests) == 1
        assert client.pool.statistics().in_use == 0


async def test_a_wrong_base_url_is_explained(serve: Serve, ask: Ask) -> None:
    """A missing or doubled version segment is a NotFoundError although the gateway says 200."""
    client, sim = await serve()
    for base in (f"{sim.origin}/api/paas", f"{sim.origin}/api/paas/v4/v4"):
        with pytest.raises(NotFoundError, match="base_url"):
            await client.with_options(base_url=base, max_retries=0).chat.completions.create(**ask())


async def test_hooks_and_statistics_see_everything_and_no_key(
    serve: Serve, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """Attempts, successes, failures, tokens and times per model; a hook that raises fails nothing."""
    caplog.set_level("DEBUG", logger="zhipu_async")
    events: list[Any] = []

    def broken(event: Any) -> None:
        raise RuntimeError("hook")

    client, sim = await serve(
        Scenario(replies=[Refusal("1302"), Reply("Hi", reasoning="Hm"), Refusal("1113")]), hooks=[broken, events.append]
    )
    await client.chat.completions.create(**ask())
    with pytest.raises(APIError):
        await client.chat.completions.create(**ask())
    await (await client.chat.completions.create(**ask(stream=True))).until_done()
    statistics = client.statistics()["glm-4.6"]
    assert (statistics.calls, statistics.successes, statistics.failures) == (3, 2, 1)
    assert (statistics.attempts, statistics.refused, statistics.errors) == (4, 2, {"AccountError": 1})
    assert statistics.total_tokens > 0
    assert statistics.reasoning_tokens > 0
    assert statistics.latency.p50 is not None
    assert statistics.first_token.p99 is not None
    assert [type(event) for event in events if isinstance(event, (CallSucceeded, CallFailed))] == [
        CallSucceeded,
        CallFailed,
        CallSucceeded,
    ]
    assert sim.api_key not in f"{events}{statistics}{caplog.text}"
    assert "Bearer" not in f"{events}{statistics}{caplog.text}"


async def test_only_429_counts_as_refused(serve: Serve, ask: Ask) -> None:
    """A 429 and its twin inside a stream do; a gateway's 503 does not."""
    replies = [Refusal("1302"), page(503), ErrorFrame("1305"), Reply("Hi")]
    client, _ = await serve(Scenario(replies=replies), max_retries=3)
    await (await client.chat.completions.create(**ask(stream=True))).until_done()
    statistics = client.statistics()["glm-4.6"]
    assert (statistics.attempts, statistics.refused) == (4, 2)


async def test_raw_calls(serve: Serve, ask: Ask) -> None:
    """Any path, as bytes or decoded; errors, retries and authentication are the same."""
    client, sim = await serve(Scenario(replies=[Reply("Hi"), Refusal("1302", times=3)]))
    raw = await client.request("post", "/chat/completions", json=ask())
    assert isinstance(raw, RawResponse)
    assert raw.status == 200
    assert raw.headers["content-type"].startswith("application/json")
    assert msgspec.json.decode(raw.body)["choices"][0]["message"]["content"] == "Hi"
    with pytest.raises(RateLimitError):
        await client.request("POST", "chat/completions", json=ask(), response_type=dict[str, Any])
    query = {"limit": 3, "id": ["a", "b"], "none": None, "yes": True}
    models = await client.request("GET", "models", query=query, response_type=dict[str, Any])
    assert models["object"] == "list"
    assert sim.requests[-1].path.endswith("/models")


@pytest.mark.parametrize(
    "kind",
    [
        list[Annotated[str, msgspec.Meta(pattern="^a")] | list[int]],
        dict[str, Annotated[int, pydantic.Field(gt=0)]],
        pydantic.BaseModel,
    ],
)
async def test_types_that_a_raw_call_cannot_have(serve: Serve, kind: Any) -> None:
    """What msgspec would break memory with, or not check, is refused before anything is sent."""
    client, sim = await serve(Scenario())
    with pytest.raises(ConfigError, match=r"cannot be the type of an answer: msgspec "):
        await client.request("GET", "models", response_type=kind)
    assert not sim.requests


async def test_any_call_can_give_its_raw_response(serve: Serve, ask: Ask) -> None:
    """What a struct has no field for is in the body."""
    client, _ = await serve(Scenario(replies=[Json({"id": "1", "brand_new": 7}), Reply("Hi"), Refusal("1113")]))
    raw = await client.chat.completions.with_raw_response.create(**ask())
    assert isinstance(raw, RawResponse)
    assert msgspec.json.decode(raw.body)["brand_new"] == 7
    raw = await client.chat.completions.with_raw_response.create(**ask(stream=True))
    assert raw.body.endswith(b"data: [DONE]\n\n")
    with pytest.raises(APIError):
        await client.chat.completions.with_raw_response.create(**ask())


@pytest.mark.parametrize(
    "path",
    ["../secrets", "/a/../b", "https://other.example/x", "http://[/x", "/a b", "/a\r\nX: y", "/ü", "/a#b"],
)
async def test_raw_paths_stay_below_the_endpoint(serve: Serve, path: str) -> None:
    """No path leads the key elsewhere or smuggles anything into the request."""
    client, sim = await serve()
    with pytest.raises(ConfigError):
        await client.request("GET", path)
    with pytest.raises(ConfigError):
        await client.request("GET /x", "models")
    assert sim.requests == []


def test_importing_loads_neither_jwt_nor_tenacity() -> None:
    """They are loaded when a token is signed, or a first attempt has failed."""
    program = "import sys, zhipu_async; sys.exit(bool({'jwt', 'tenacity', 'typer', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_the_client_is_refused_after_close(ask: Ask) -> None:
    """Also when it never made a call."""
    client = AsyncZhipuAI(DEFAULT_KEY)
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.chat.completions.create(**ask())
