"""GLM models as a provider of any-llm. With ``REQUIRE_EXTRAS=1`` the absence of any-llm is a failure."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

if os.environ.get("REQUIRE_EXTRAS") != "1":
    pytest.importorskip("any_llm")

from any_llm import exceptions as theirs
from pydantic import BaseModel, ValidationError

from zhipu_async import AsyncZhipuAI, RetryPolicy, errors
from zhipu_async.config import KEY_VARIABLES
from zhipu_async.integrations.any_llm import ZhipuProvider
from zhipu_async.integrations.thinking_levels import thinking_arguments
from zhipu_async.simulator import (
    DONE,
    Answer,
    Delivery,
    ErrorFrame,
    Frames,
    HangUp,
    Json,
    Raw,
    Refusal,
    Reply,
    Scenario,
    Simulator,
    ToolCall,
)

MODEL = "glm-4.6"
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "?"}]


class Stage:
    """A simulator that gives these answers in turn, and a provider that asks it."""

    def __init__(self, sim: Simulator, llm: ZhipuProvider) -> None:
        self.sim = sim
        self.llm = llm

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked, request by request."""
        return [request.body for request in self.sim.requests]

    async def ask(self, messages: Any = ASKED, **arguments: Any) -> Any:
        """One completion."""
        return await self.llm.acompletion(MODEL, messages, **arguments)


Begin = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    """``stage = await begin(answer, ..., **options of the provider)``."""
    async with AsyncExitStack() as stack:

        async def start(*answers: Answer, **options: Any) -> Stage:
            sim = await stack.enter_async_context(Simulator(Scenario(replies=answers)))
            options = {"unified_exceptions": True, "max_retries": 0, **options}
            return Stage(sim, await stack.enter_async_context(ZhipuProvider(sim.api_key, sim.base_url, **options)))

        yield start


def function(name: str) -> dict[str, Any]:
    """A tool."""
    schema = {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


# ---------------------------------------------------------------- completions


async def test_an_answer_is_any_llms_and_loses_nothing(begin: Begin) -> None:
    """Text, thinking, tokens and ids stand where any-llm has them, and what it has no field for beside them."""
    tokens = {
        "prompt_tokens": 20, "completion_tokens": 91, "total_tokens": 111,
        "prompt_tokens_details": {"cached_tokens": 16}, "completion_tokens_details": {"reasoning_tokens": 82},
    }  # fmt: skip
    stage = await begin(
        Reply("found", reasoning="\nhm", usage=tokens, web_search=[{"title": "A page"}], finish_reason="sensitive",
              content_filter=[{"role": "assistant", "level": 1}])
    )  # fmt: skip
    answer = await stage.ask()
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.reasoning.content) == ("found", "\nhm")
    assert (choice.finish_reason, choice.native_finish_reason) == ("content_filter", "sensitive")
    assert (answer.object, answer.model, answer.id) == ("chat.completion", MODEL, answer.request_id)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (20, 91, 111)
    assert answer.usage.prompt_tokens_details.cached_tokens == 16
    assert answer.usage.completion_tokens_details.reasoning_tokens == 82
    assert answer.web_search == [{"title": "A page"}]
    assert answer.content_filter == [{"role": "assistant", "level": 1}]
    assert stage.bodies == [{"model": MODEL, "messages": ASKED}]


REASONS = [("network_error", "network_error"), ("sensitive", "content_filter")]


@pytest.mark.parametrize(("reason", "told"), REASONS)
async def test_how_an_answer_ended_is_told_as_by_any_llms_own_provider(begin: Begin, reason: str, told: str) -> None:
    """The text stays and nothing is raised, whole or streamed, but where an answer of a type was filtered."""
    reply = Reply("half", finish_reason=reason)
    stage = await begin(reply, reply, reply)
    (choice,) = (await stage.ask()).choices
    assert (choice.message.content, choice.finish_reason) == ("half", told)
    chunks = [chunk.choices[0] async for chunk in await stage.ask(stream=True)]
    assert "".join(chunk.delta.content or "" for chunk in chunks) == "half"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [told]
    if told == "content_filter":
        with pytest.raises(theirs.ContentFilterFinishReasonError):
            await stage.ask(response_format=City)


async def test_an_answer_that_says_little_is_an_answer(begin: Begin) -> None:
    """Neither tokens, nor a finish reason, nor text, nor the model's name need to be there."""
    little = {"choices": [{"message": {"role": "assistant"}}]}
    stage = await begin(Json(little), Json({**little, "usage": {"total_tokens": 3}}))
    answer = await stage.ask()
    assert (answer.usage, answer.choices[0].message.content, answer.choices[0].finish_reason) == (None, None, "")
    usage = (await stage.ask()).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (0, 0, 3)


@pytest.mark.parametrize("dumped", [False, True])
async def test_tools_are_called_and_their_results_go_back(begin: Begin, dumped: bool) -> None:
    """An answer goes back as it came, as a message or as its dump, with thinking and calls."""
    stage = await begin(
        Reply("", reasoning="\nboth ", tool_calls=[ToolCall("f", {"x": 1}, id="a"), ToolCall("g", {}, id="b")]),
        Reply("done"),
    )
    message = (await stage.ask(tools=[function("f"), function("g")], tool_choice="auto")).choices[0].message
    assert [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]
    results = [{"role": "tool", "tool_call_id": id, "content": "1"} for id in "ab"]
    sent = message.model_dump() if dumped else message
    before = json.dumps(sent) if dumped else ""
    assert (await stage.ask([*ASKED, sent, *results])).choices[0].message.content == "done"
    asked, back, *rest = stage.bodies[1]["messages"]
    assert (asked, rest) == (ASKED[0], results)
    assert {name: back[name] for name in ("role", "content", "reasoning_content")} == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "\nboth ",
    }
    assert back.keys() == {"role", "content", "reasoning_content", "tool_calls"}
    assert [call["function"] for call in back["tool_calls"]] == [
        {"name": "f", "arguments": '{"x":1}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert not dumped or json.dumps(sent) == before


async def test_thinking_goes_back_under_the_services_name(begin: Begin) -> None:
    """Some servers of GLM call it ``reasoning``; it is found, and goes back as ``reasoning_content``."""
    said = {"role": "assistant", "content": "a", "reasoning": "why"}
    stage = await begin(Json({"choices": [{"finish_reason": "stop", "message": said}]}), Reply("b"))
    message = (await stage.ask()).choices[0].message
    assert message.reasoning.content == "why"
    await stage.ask([*ASKED, message, *ASKED])
    assert stage.bodies[1]["messages"][1] == {"role": "assistant", "content": "a", "reasoning_content": "why"}


async def test_calls_of_the_services_own_are_kept_aside(begin: Begin) -> None:
    """A call that is none of a function is not one to carry out, and is not lost."""
    own = {"type": "mcp", "id": "m", "mcp": {"type": "mcp_call"}, "function": {}}
    stage = await begin(
        Json({"choices": [{"finish_reason": "stop", "message": {"content": "ok", "tool_calls": [own]}}]})
    )
    message = (await stage.ask()).choices[0].message
    assert message.tool_calls is None
    assert message.extra_content["zhipu"]["tool_calls"][0]["mcp"] == {"type": "mcp_call"}


async def test_speech_is_in_its_place(begin: Begin) -> None:
    """A spoken answer has its text as transcript, and goes back by its id."""
    sound = {"id": "s", "data": base64.b64encode(b"RIFF").decode(), "expires_at": "9"}
    stage = await begin(Reply("hi", audio=sound), Reply("again"))
    message = (await stage.ask()).choices[0].message
    assert (message.audio.id, message.audio.transcript, message.audio.expires_at) == ("s", "hi", 9)
    assert base64.b64decode(message.audio.data) == b"RIFF"
    await stage.ask([*ASKED, message, *ASKED])
    assert stage.bodies[1]["messages"][1] == {"role": "assistant", "content": "hi", "audio": {"id": "s"}}


class City(BaseModel):
    name: str


@dataclasses.dataclass
class Town:
    name: str


SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}


@pytest.mark.parametrize(
    ("wanted", "parsed"),
    [
        (City, City(name="Oslo")),
        (Town, Town("Oslo")),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, None),
    ],
)
async def test_an_answer_of_a_type_is_asked_for_as_json(begin: Begin, wanted: Any, parsed: Any) -> None:
    """The schema stands before the conversation, JSON mode is on, and the answer is what was wanted."""
    stage = await begin(Reply('{"name": "Oslo"}'))
    message = (await stage.ask(response_format=wanted)).choices[0].message
    assert getattr(message, "parsed", None) == parsed
    (body,) = stage.bodies
    assert body["response_format"] == {"type": "json_object"}
    assert [told["role"] for told in body["messages"]] == ["system", "user"]
    assert '"name"' in body["messages"][0]["content"]


async def test_the_callers_own_json_mode_is_left_alone(begin: Begin) -> None:
    """A format that the service knows goes along as it is, and nothing is said in the conversation."""
    stage = await begin(Reply("{}"))
    await stage.ask(response_format={"type": "json_object"})
    assert stage.bodies == [{"model": MODEL, "messages": ASKED, "response_format": {"type": "json_object"}}]
    with pytest.raises(theirs.InvalidRequestError, match="json_schema"):
        await stage.ask(response_format={"type": "json_schema"})
    assert len(stage.bodies) == 1


async def test_an_answer_that_does_not_fit_is_told(begin: Begin) -> None:
    """What any-llm raises for an answer of another shape, or one that was cut off, comes through."""
    stage = await begin(Reply('{"town": 1}'), Reply('{"na', finish_reason="length"))
    with pytest.raises(ValidationError):
        await stage.ask(response_format=City)
    with pytest.raises(theirs.LengthFinishReasonError):
        await stage.ask(response_format=City)


PARAMETERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (MODEL, {"temperature": 0.5, "top_p": 0.5, "max_tokens": 9, "seed": 1, "stop": "x", "user": "user-77"},
     {"temperature": 0.5, "top_p": 0.5, "max_tokens": 9, "seed": 1, "stop": ["x"], "user_id": "user-77"}),
    (MODEL, {"max_completion_tokens": 9, "stop": ["x", "y"], "n": 1, "parallel_tool_calls": True},
     {"max_tokens": 9, "stop": ["x", "y"]}),
    (MODEL, {"reasoning_effort": "auto"}, {}),
    (MODEL, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    (MODEL, {"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}),
    ("glm-5.3", {"reasoning_effort": "medium"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
    ("glm-4-plus", {"reasoning_effort": "high"}, {}),
    (MODEL, {"thinking": {"clear_thinking": False}, "do_sample": False, "extra_body": {"more": 1}},
     {"thinking": {"clear_thinking": False}, "do_sample": False, "more": 1}),
    (MODEL, {"tools": [function("f")], "tool_choice": "none"}, {}),
    (MODEL, {"timeout": 30}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "given", "expected"), PARAMETERS)
async def test_parameters_become_fields(
    begin: Begin, model: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Each parameter is the field of the request that it should be, and nothing else is sent."""
    stage = await begin(Reply("a"))
    await stage.llm.acompletion(model, ASKED, **given)
    assert stage.bodies == [{"model": model, "messages": ASKED, **expected}]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (False, {"thinking": {"type": "disabled"}}),
        ("none", {"thinking": {"type": "disabled"}}),
        (True, {"thinking": {"type": "enabled"}}),
        ("max", {"thinking": {"type": "enabled"}}),
    ],
)
def test_a_model_that_is_not_known_is_told_whether_to_think(level: bool | str, expected: dict[str, Any]) -> None:
    """On or off is said to it, and no level, which it may not have."""
    assert thinking_arguments("something-new", level) == expected


@pytest.mark.parametrize(
    "given",
    [
        {"n": 2}, {"presence_penalty": 0.5}, {"frequency_penalty": 0.5}, {"logit_bias": {"1": 1.0}}, {"logprobs": True},
        {"top_logprobs": 2}, {"service_tier": "flex"}, {"prompt_cache_key": "k"}, {"parallel_tool_calls": False},
        {"tool_choice": "required"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    ],
)  # fmt: skip
async def test_a_parameter_that_the_service_does_not_have_is_refused(begin: Begin, given: dict[str, Any]) -> None:
    """It is named in the error, and nothing is sent."""
    stage = await begin()
    with pytest.raises(theirs.UnsupportedParameterError, match=next(iter(given))):
        await stage.ask(**given)
    assert stage.bodies == []


async def test_messages_of_other_providers_are_understood(begin: Begin) -> None:
    """What only OpenAI has in messages is left out or said in the service's words, in a copy."""
    stage = await begin(Reply("a"))
    image = {"type": "image_url", "image_url": {"url": "https://a.example/i.png", "detail": "high"}}
    messages = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c", "refusal": None, "extra_content": {"x": 1}, "reasoning": "why"},
        {"role": "user", "content": [image, {"type": "text", "text": "d"}]},
    ]
    before = json.dumps(messages)
    await stage.llm.acompletion("glm-4.6v", messages)  # type: ignore[arg-type]
    assert stage.bodies[0]["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": "c", "reasoning_content": "why"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://a.example/i.png"}},
                {"type": "text", "text": "d"},
            ],
        },
    ]
    assert json.dumps(messages) == before


# ---------------------------------------------------------------- streams


async def test_a_stream_is_the_whole_answer(begin: Begin) -> None:
    """Its chunks are any-llm's, and together they are what a whole answer is."""
    reply = Reply(
        "one two", reasoning="\nhm", tool_calls=[ToolCall("f", {"x": [1]}, id="a"), ToolCall("g", {}, id="b")]
    )
    stage = await begin(reply, reply)
    whole = (await stage.ask()).choices[0]
    text = thinking = ""
    calls: dict[int, list[str]] = {}
    async for chunk in await stage.ask(stream=True, tool_stream=True):
        assert chunk.object == "chat.completion.chunk"
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thinking += choice.delta.reasoning.content if choice.delta.reasoning else ""
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, [call.id, call.function.name, ""])
                known[2] += call.function.arguments
    assert (text, thinking) == (whole.message.content, whole.message.reasoning.content)
    assert [calls[place] for place in sorted(calls)] == [
        [call.id, call.function.name, call.function.arguments] for call in whole.message.tool_calls
    ]
    assert (chunk.choices[0].finish_reason, whole.finish_reason) == ("tool_calls", "tool_calls")
    assert chunk.usage.total_tokens > 0


async def test_calls_without_an_index_are_told_apart(begin: Begin) -> None:
    """Each piece of a call carries the place of its call, also where the service sent none."""
    pieces = [{"id": "a", "function": {"name": "f", "arguments": "{}"}}, {"id": "b", "function": {"name": "g"}}]
    stage = await begin(
        Frames([
            {"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]} for piece in pieces
        ] + [{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}, DONE])
    )  # fmt: skip
    chunks = [chunk async for chunk in await stage.ask(stream=True)]
    found = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert [(call.index, call.id, call.function.name) for call in found] == [(0, "a", "f"), (1, "b", "g")]


async def test_calls_that_lack_something_are_kept(begin: Begin) -> None:
    """A call without an id, a type and arguments is an answer all the same: what is missing is empty."""
    call = {"function": {"name": "f", "arguments": None}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    stage = await begin(Json({"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}))
    (found,) = (await stage.ask()).choices[0].message.tool_calls
    assert (found.id, found.type, found.function.name, found.function.arguments) == ("", "function", "f", "")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": "picture.png"}]},
        {"role": "assistant", "content": "x", "reasoning": {"text": "y"}},
    ],
    ids=str,
)
async def test_messages_that_are_malformed_go_as_they_are(begin: Begin, message: dict[str, Any]) -> None:
    """The service is who refuses them, and its error names the field."""
    stage = await begin(unified_exceptions=True)
    with pytest.raises(theirs.InvalidRequestError, match=r"messages\[0\]"):
        await stage.ask([message, *ASKED])


@pytest.mark.parametrize("begun", [False, True])
async def test_leaving_a_stream_closes_the_connection(begin: Begin, begun: bool) -> None:
    """Closing it, before or after something was read, is seen by the service at once."""
    stage = await begin(Reply("word " * 50, delivery=Delivery(pause=0.0, stops_after=9, then="hang")))
    stream = await stage.ask(stream=True)
    if begun:
        await anext(stream)
    await stream.aclose()
    await stage.sim.wait_until(lambda: stage.sim.requests[0].closed_by_peer)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


def test_it_works_without_a_loop() -> None:
    """any-llm's blocking methods, which open a loop for each call, come to an answer, whole and as a stream."""
    import asyncio
    import threading

    ready, over = threading.Event(), asyncio.Event()
    stage: list[tuple[Simulator, asyncio.AbstractEventLoop]] = []

    def serve() -> None:
        async def main() -> None:
            async with Simulator(Scenario(replies=[Reply("one"), Reply("two three")])) as sim:
                stage.append((sim, asyncio.get_running_loop()))
                ready.set()
                await over.wait()

        asyncio.run(main())

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait(5)
    ((sim, loop),) = stage
    try:
        llm = ZhipuProvider(sim.api_key, sim.base_url)
        answer: Any = llm.completion(MODEL, ASKED)  # type: ignore[arg-type]
        assert answer.choices[0].message.content == "one"
        chunks: Any = llm.completion(MODEL, ASKED, stream=True)  # type: ignore[arg-type]
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text == "two three"
        asyncio.run(llm.aclose())
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(5)


# ---------------------------------------------------------------- beside completions


async def test_embeddings_come_in_order(begin: Begin) -> None:
    """The vectors are in the order of the texts, whatever the service's order was."""
    data = [{"index": place, "embedding": [float(place)], "object": "embedding"} for place in (1, 0)]
    stage = await begin(Json({"model": "embedding-3", "data": data, "usage": {"prompt_tokens": 2, "total_tokens": 2}}))
    answer = await stage.llm.aembedding("embedding-3", ["a", "b"], dimensions=256)
    assert [(item.index, item.embedding) for item in answer.data] == [(0, [0.0]), (1, [1.0])]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("embedding-3", 2, 2)
    assert stage.bodies == [{"model": "embedding-3", "input": ["a", "b"], "dimensions": 256}]


async def test_models_are_listed(begin: Begin) -> None:
    """The models that the service names are any-llm's."""
    stage = await begin()
    assert MODEL in [model.id for model in await stage.llm.alist_models()]


async def test_documents_are_ranked(begin: Begin) -> None:
    """Places and scores, best first."""
    found = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    stage = await begin(Json({"id": "r", "results": found, "usage": {"total_tokens": 7}}))
    answer = await stage.llm.arerank("rerank", "q", ["a", "b"], top_n=2)
    assert [(result.index, result.relevance_score) for result in answer.results] == [(1, 0.9), (0, 0.1)]
    assert (answer.id, answer.usage and answer.usage.total_tokens) == ("r", 7)
    assert stage.bodies == [{"model": "rerank", "query": "q", "documents": ["a", "b"], "top_n": 2}]


async def test_texts_are_moderated(begin: Begin) -> None:
    """What is not PASS is flagged, with its kinds as categories."""
    found = [{"risk_level": "PASS"}, {"risk_level": "REVIEW", "risk_type": ["politics"]}]
    stage = await begin(Json({"id": "m", "result_list": found}))
    answer = await stage.llm.amoderation("moderation", ["a", "b"])
    assert [(result.flagged, result.categories) for result in answer.results] == [
        (False, {}),
        (True, {"politics": True}),
    ]
    assert stage.bodies[0]["input"] == [{"type": "text", "text": text} for text in "ab"]


async def test_what_is_not_there_is_said(begin: Begin) -> None:
    """The Responses API is not offered: that is told before anything is sent."""
    stage = await begin()
    with pytest.raises(NotImplementedError):
        await stage.llm.aresponses(MODEL, "?")
    assert stage.bodies == []


async def test_anthropics_messages_are_answered(begin: Begin) -> None:
    """any-llm's bridge from the Messages API finds text and thinking."""
    stage = await begin(Reply("hi", reasoning="hm"))
    answer: Any = await stage.llm.amessages(MODEL, ASKED, 99)
    assert [(block.type, getattr(block, block.type)) for block in answer.content] == [
        ("thinking", "hm"),
        ("text", "hi"),
    ]
    assert stage.bodies[0]["max_tokens"] == 99


# ---------------------------------------------------------------- errors

REFUSALS: list[tuple[Answer, type[theirs.AnyLLMError], type[Exception], int | None, str | None]] = [
    (Refusal(1214), theirs.InvalidRequestError, errors.BadRequestError, 400, "1214"),
    (Refusal(1211), theirs.ModelNotFoundError, errors.BadRequestError, 400, "1211"),
    (Refusal(1261), theirs.ContextLengthExceededError, errors.ContextLengthError, 400, "1261"),
    (Refusal(1002), theirs.AuthenticationError, errors.AuthenticationError, 401, "1002"),
    (Refusal(1220), theirs.AuthenticationError, errors.PermissionDeniedError, 403, "1220"),
    (Refusal(1113), theirs.InsufficientFundsError, errors.AccountError, 429, "1113"),
    (Refusal(1308), theirs.RateLimitError, errors.QuotaError, 429, "1308"),
    (Refusal(1302), theirs.RateLimitError, errors.RateLimitError, 429, "1302"),
    (Refusal(1305), theirs.RateLimitError, errors.OverloadedError, 429, "1305"),
    (Refusal(1301), theirs.ContentFilterError, errors.ContentFilterError, 400, "1301"),
    (Refusal(1234), theirs.ProviderError, errors.ServerError, 500, "1234"),
    (Raw(b"", 502), theirs.UpstreamProviderError, errors.ServerError, 502, None),
    (Raw(b"", 504), theirs.GatewayTimeoutError, errors.ServerError, 504, None),
    (HangUp(), theirs.ProviderError, errors.ConnectionLost, None, None),
    (Json([]), theirs.ProviderError, errors.DecodeError, None, None),
]


@pytest.mark.parametrize(("answer", "kind", "cause", "status", "code"), REFUSALS)
async def test_errors_are_any_llms(
    begin: Begin, answer: Answer, kind: type[Exception], cause: type[Exception], status: int | None, code: str | None
) -> None:
    """Each error is of the class that fits, with ours inside."""
    stage = await begin(answer)
    with pytest.raises(theirs.AnyLLMError) as caught:
        await stage.ask()
    error = caught.value
    assert type(error) is kind
    assert type(error.original_exception) is cause
    assert (error.status_code, error.code, error.provider_name) == (status, code, "zhipu")


async def test_an_error_inside_a_stream_is_any_llms(begin: Begin) -> None:
    """What has come before it was given out."""
    stage = await begin(ErrorFrame(1234, after=["a"]))
    stream, texts = await stage.ask(stream=True), list[str]()

    async def read() -> None:
        async for chunk in stream:
            texts.append(chunk.choices[0].delta.content or "")

    with pytest.raises(theirs.ProviderError) as caught:
        await read()
    assert ("".join(texts), type(caught.value.original_exception)) == ("a", errors.ServerError)


async def test_errors_are_ours_where_they_are_not_unified(begin: Begin) -> None:
    """any-llm says that this will change."""
    stage = await begin(Refusal(1302), unified_exceptions=False)
    with pytest.warns(DeprecationWarning, match="unified"), pytest.raises(errors.RateLimitError):
        await stage.ask()


# ---------------------------------------------------------------- making one


async def test_a_provider_can_share_a_client() -> None:
    """The client's settings hold, and it stays open."""
    async with Simulator(Scenario(replies=[Reply("a"), Reply("b")])) as sim:
        retry = RetryPolicy(retries=0)
        async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url, retry=retry) as client:
            async with ZhipuProvider(client=client) as llm:
                await llm.acompletion(MODEL, ASKED)  # type: ignore[arg-type]
            await client.chat.completions.create(model=MODEL, messages=ASKED)
            with pytest.raises(errors.ConfigError, match="its own key"):
                ZhipuProvider("other", client=client)
        assert len(sim.requests) == 2


async def test_the_key_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any variable that the client knows counts; without one the error is any-llm's."""
    for variable in KEY_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(theirs.MissingApiKeyError):
        ZhipuProvider()
    monkeypatch.setenv("ZAI_API_KEY", "key.secret")
    monkeypatch.setenv("ZHIPU_BASE_URL", "https://of-the-other-platform.example/v4")
    async with ZhipuProvider(unified_exceptions=True) as llm:
        assert llm.client.base_url == "https://api.z.ai/api/paas/v4"
    async with ZhipuProvider("key.secret", "bigmodel-coding") as llm:
        assert llm.client.base_url == "https://open.bigmodel.cn/api/coding/paas/v4"


async def test_settings_that_cannot_work_are_told(begin: Begin) -> None:
    """A time limit below zero is an error of any-llm's kind, before anything is sent."""
    with pytest.raises(theirs.InvalidRequestError, match="timeout"):
        ZhipuProvider("key.secret", timeout=-1, unified_exceptions=True)


async def test_the_client_repeats_as_often_as_any_llm_says(begin: Begin) -> None:
    """``max_retries`` is the client's."""
    stage = await begin(Refusal(1302), Reply("a"), max_retries=None, retry=RetryPolicy(retries=1, base=0.001))
    assert (await stage.ask()).choices[0].message.content == "a"
    assert len(stage.bodies) == 2


def test_without_any_llm_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import fails with a text that names the extra."""
    for name in [name for name in sys.modules if name.startswith("zhipu_async.integrations.any_llm")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "any_llm", None)
    with pytest.raises(ImportError, match=r"pip install 'zhipu-async\[any-llm\]'"):
        importlib.import_module("zhipu_async.integrations.any_llm")
