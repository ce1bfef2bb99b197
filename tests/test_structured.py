"""``parse``: what is sent, what is made of each answer, when the model is asked again, and what can go wrong."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from typing import Any, Literal

import msgspec
import pydantic
import pytest

from tests.conftest import Serve
from tests.protocol.awkward_replies import NOTHING, REPLIES
from tests.protocol.awkward_replies import Reply as Awkward
from zhipu_async import (
    AsyncZhipuAI,
    ConfigError,
    Conversation,
    StreamConsumed,
    StreamFailed,
    SystemMessage,
    Usage,
    UserMessage,
)
from zhipu_async.errors import (
    AnswerError,
    AnswerFiltered,
    AnswerInvalid,
    AnswerRefused,
    AnswerTruncated,
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ZhipuError,
)
from zhipu_async.finish import add, check_finish
from zhipu_async.protocol.tolerant import is_object
from zhipu_async.resources import Completions
from zhipu_async.simulator import Frames, Json, Raw, Refusal, Reply, Scenario, SeenRequest, Simulator, ToolCall
from zhipu_async.simulator.replies import DONE, Answer
from zhipu_async.structured import TOOL, Parsed, ParseRun
from zhipu_async.types.chat import ChatCompletion, Choice, CompletionTokensDetails, PromptTokensDetails

Ask = Callable[..., dict[str, Any]]
Mode = Literal["json", "tool"]
MODES: tuple[Mode, ...] = ("json", "tool")


class Recipe(msgspec.Struct):
    """What most tests ask for."""

    title: str
    steps: list[str] = []


SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "What most tests ask for.",
    "properties": {
        "title": {"type": "string"},
        "steps": {"type": "array", "items": {"type": "string"}, "default": []},
    },
    "required": ["title"],
}
WANTED = "Answer with one JSON object that fits this JSON schema, and with nothing else:\n"
CALL_IT = "Give your answer by calling the function give_answer, and in no other way."
TOLD = "That was not accepted: Expected `str`, got `int` - at `$.title`. "
GOOD, BAD = '{"title": "Tea", "steps": ["boil"]}', '{"title": 1}'
TEA = Recipe("Tea", ["boil"])
HELLO = {"role": "user", "content": "Hello"}


def schema_of(request: SeenRequest) -> Any:
    """The schema in the system message, without what is only said of it."""
    content = request.body["messages"][0]["content"]
    return bare(json.loads(content[content.index(WANTED) + len(WANTED) :]))


def bare(schema: Any) -> Any:
    """A schema without titles."""
    if is_object(schema):
        return {key: bare(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    return schema


def answer(text: str, mode: Mode = "json", **more: Any) -> Reply:
    """A reply that gives this text, or calls the function with it."""
    return Reply(text, **more) if mode == "json" else Reply(tool_calls=[ToolCall(TOOL, text)], **more)


async def plain(run: ParseRun[Any]) -> Parsed[Any]:
    """Await it."""
    return await run


async def streamed(run: ParseRun[Any]) -> Parsed[Any]:
    """Iterate over it."""
    async with run:
        async for _ in run:
            pass
    return run.result


Way = Callable[[ParseRun[Any]], Awaitable[Parsed[Any]]]
both_ways = pytest.mark.parametrize("way", [plain, streamed])
both_modes = pytest.mark.parametrize("mode", MODES)


def roles(request: SeenRequest) -> list[str]:
    """Who speaks, in order; the order has to be one that the service takes."""
    messages: list[dict[str, Any]] = request.body["messages"]
    waiting: list[str] = []
    start: dict[str, Any] = {"role": "start"}
    for before, message in pairwise([start, *messages]):
        if waiting:
            assert message["role"] == "tool"
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        elif message["role"] != "system":
            assert message["role"] != before["role"]
        waiting += [call["id"] for call in message.get("tool_calls", ())]
    assert waiting == []
    assert messages[-1]["role"] in ("user", "tool")
    return [message["role"] for message in messages]


# ---------------------------------------------------------------- what is sent


async def test_json_is_asked_for_with_the_schema_in_the_system_message(serve: Serve, ask: Ask) -> None:
    """The whole body of the request, plain and as a stream."""
    client, sim = await serve(Scenario(replies=[answer(GOOD, times=2)]))
    expected = {
        "model": "glm-4.6",
        "messages": [{"role": "system", "content": WANTED}, HELLO],
        "response_format": {"type": "json_object"},
        "temperature": 0.5,
    }
    for way in (plain, streamed):
        parsed = await way(client.chat.completions.parse(Recipe, **ask(temperature=0.5)))
        assert parsed.value == TEA
    for request, more in zip(sim.requests, ({}, {"stream": True}), strict=True):
        assert schema_of(request) == SCHEMA
        sent = copy.deepcopy(request.body)
        sent["messages"][0]["content"] = WANTED
        assert sent == {**expected, **more}


async def test_a_tool_is_offered_with_the_schema_as_its_parameters(serve: Serve, ask: Ask) -> None:
    """The whole body: the schema is sent once; a stream asks for arguments in pieces, unless that is switched off."""
    client, sim = await serve(Scenario(replies=[answer(GOOD, "tool", times=None)]))
    parse = client.chat.completions.parse
    for way, more in ((plain, {}), (streamed, {}), (streamed, {"tool_stream": False}), (plain, {"tool_stream": True})):
        assert (await way(parse(Recipe, mode="tool", **ask(**more)))).value == TEA
    for request, more in zip(
        sim.requests,
        ({}, {"stream": True, "tool_stream": True}, {"stream": True, "tool_stream": False}, {"tool_stream": True}),
        strict=True,
    ):
        sent = copy.deepcopy(request.body)
        function = sent["tools"][0]["function"]
        assert (function.pop("description"), bare(function.pop("parameters"))) == ("Takes your answer.", SCHEMA)
        assert sent == {
            "model": "glm-4.6",
            "messages": [{"role": "system", "content": CALL_IT}, HELLO],
            "tools": [{"type": "function", "function": {"name": "give_answer"}}],
            **more,
        }


WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_weather", "description": "d", "parameters": {"type": "object", "properties": {}}},
}


@both_ways
@both_modes
async def test_what_the_caller_gives_is_kept_and_not_changed(serve: Serve, way: Way, mode: Mode) -> None:
    """Tools, response format, tool choice, system message, headers: all are sent, and are afterwards as they were."""
    client, sim = await serve(Scenario(replies=[answer(BAD, mode), answer(GOOD, mode)]))
    given: dict[str, Any] = {
        "model": "glm-4.6",
        "messages": [{"role": "system", "content": "Be brief.", "name": "me"}, {"role": "user", "content": "你好"}],
        "tools": [WEATHER],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "stop": ["END"],
        "thinking": {"type": "disabled"},
        "max_tokens": 1000,
        "user_id": "user-123",
        "extra_headers": {"X-A": "b"},
        "extra_body": {"new": 1},
        "timeout": 30,
    }
    before = copy.deepcopy(given)
    await way(client.chat.completions.parse(Recipe, mode=mode, **given))
    assert given == before
    for request in sim.requests:
        body = request.body
        wanted = WANTED if mode == "json" else CALL_IT
        assert body["messages"][0]["content"].startswith(f"Be brief.\n\n{wanted}")
        assert body["messages"][0]["name"] == "me"
        assert body["messages"][1] == {"role": "user", "content": "你好"}
        assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "give_answer"][
            : 1 + (mode == "tool")
        ]
        for name in ("response_format", "tool_choice", "stop", "thinking", "max_tokens", "user_id"):
            assert body[name] == given[name]
        assert (body["new"], request.headers["X-A"]) == (1, "b")
        assert "你好".encode() in request.raw


SYSTEMS: list[tuple[Any, Any]] = [
    ([], [{"role": "system", "content": CALL_IT}]),
    ([HELLO], [{"role": "system", "content": CALL_IT}, HELLO]),
    ((UserMessage("Hello"),), [{"role": "system", "content": CALL_IT}, HELLO]),
    ([SystemMessage("你是厨师。"), HELLO], [{"role": "system", "content": f"你是厨师。\n\n{CALL_IT}"}, HELLO]),
    (
        [{"role": "system", "content": [{"type": "text", "text": "a"}]}, HELLO],
        [{"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": CALL_IT}]}, HELLO],
    ),
    (
        [{"role": "system", "content": None}, HELLO],
        [{"role": "system", "content": CALL_IT}, {"role": "system", "content": None}, HELLO],
    ),
    (
        [HELLO, {"role": "system", "content": "late"}],
        [{"role": "system", "content": CALL_IT}, HELLO, {"role": "system", "content": "late"}],
    ),
]


@pytest.mark.parametrize(("messages", "sent"), SYSTEMS)
async def test_where_the_instruction_stands(messages: Any, sent: Any) -> None:
    """At the end of the first message if that is the system's, in its form; else before all."""
    scenario = Scenario(checks=False, replies=[answer(GOOD)])
    async with Simulator(scenario) as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
        before = copy.deepcopy(messages)
        await client.chat.completions.parse(Recipe, model="glm-4.6", messages=messages, mode="tool")
        assert messages == before
        assert sim.requests[0].body["messages"] == sent


async def test_no_messages_are_the_services_to_refuse(serve: Serve) -> None:
    """A conversation without a question is sent as it is, as ``create`` does; it is not asked twice."""
    client, sim = await serve()
    with pytest.raises(BadRequestError, match="1214"):
        await client.chat.completions.parse(Recipe, model="glm-4.6", messages=[])
    assert sim.served == 1
    sim.requests.clear()  # the contract objects to it too


# ---------------------------------------------------------------- types


class Money(pydantic.BaseModel):
    """A model with an alias and a rule of its own."""

    amount: float = pydantic.Field(alias="howMuch")

    @pydantic.field_validator("amount")
    @classmethod
    def _not_much(cls, amount: float) -> float:
        if amount > 9:
            raise ValueError("that is too much")
        return amount


class Tree(msgspec.Struct):
    """A recursive type."""

    name: str
    children: list[Tree] = []


KINDS_TO_MAKE_UP = [Recipe, list[Recipe], Recipe | None, Tree, list[Tree], Money, list[Money], int, str]


@pytest.mark.parametrize("kind", KINDS_TO_MAKE_UP, ids=str)
@both_modes
async def test_the_simulator_answers_with_what_it_is_told_of_a_type(serve: Serve, kind: Any, mode: Mode) -> None:
    """What it makes up from the schema alone is taken as the type, the first time."""
    client, sim = await serve()
    messages = [{"role": "user", "content": 'a "Word" and 7'}]
    for way in (plain, streamed):
        parsed = await way(client.chat.completions.parse(kind, model="glm-4.6", messages=messages, mode=mode))
        plain_kind = getattr(kind, "__origin__", kind)
        assert isinstance(parsed.value, plain_kind)
        assert parsed.requests == 1
    assert sim.served == 2


async def test_types_by_position_and_by_name(serve: Serve, ask: Ask) -> None:
    """Both forms do the same."""
    client, _ = await serve(Scenario(replies=[answer(GOOD, times=2)]))
    first = await client.chat.completions.parse(Recipe, **ask())
    second = await client.chat.completions.parse(response_type=Recipe, **ask())
    assert first.value == second.value == TEA


class Plain:
    """No type of an answer."""


MISUSES: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((Plain,), {}, ConfigError, "Plain.* cannot be the type of an answer"),
    ((), {"response_type": list[Plain]}, ConfigError, "cannot be the type of an answer"),
    ((Recipe,), {"max_requests": 0}, ConfigError, "max_requests must be a whole number of at least 1"),
    ((Recipe,), {"max_requests": True}, ConfigError, "max_requests"),
    ((Recipe,), {"mode": "xml"}, ConfigError, "mode must be 'json' or 'tool', not 'xml'"),
    (
        (Recipe,),
        {"mode": "tool", "tools": [{"type": "function", "function": {"name": TOOL}}]},
        ConfigError,
        "another name",
    ),
    ((Recipe,), {"temprature": 1}, TypeError, r"Completions.parse\(\): .*temprature"),
    ((Recipe,), {"stream": True}, TypeError, r"Completions.parse\(\): .*stream"),
    ((Recipe,), {"response_type": Recipe}, TypeError, "multiple values for argument 'response_type'"),
    ((), {}, TypeError, "response_type"),
]


@pytest.mark.parametrize(("args", "given", "error", "words"), MISUSES)
async def test_misuse_is_told_at_once(
    serve: Serve, ask: Ask, args: Any, given: Any, error: type[Exception], words: str
) -> None:
    """Before anything is sent or awaited, in words that help."""
    client, sim = await serve()
    with pytest.raises(error, match=words):
        client.chat.completions.parse(*args, **ask(**given))
    assert sim.served == 0


async def test_a_raw_answer_cannot_be_parsed(serve: Serve, ask: Ask) -> None:
    """``with_raw_response`` has no ``parse``, and says so; the tools of others may have any name."""
    client, sim = await serve()
    with pytest.raises(ConfigError, match="raw"):
        client.chat.completions.with_raw_response.parse(Recipe, **ask())
    client.chat.completions.parse(Recipe, **ask(mode="tool", tools=[WEATHER, {"type": "web_search", "web_search": {}}]))
    assert sim.served == 0


async def test_help_shows_the_parameters() -> None:
    """The type comes first, the parameters of the request follow; the class has the method too."""
    async with AsyncZhipuAI("k.s", base_url="http://127.0.0.1:9") as client:
        method: Any = client.chat.completions.parse
        names = list(inspect.signature(method).parameters)
        assert names[0] == "response_type"
        assert {"model", "messages", "mode", "max_requests", "temperature", "timeout"} < set(names)
        assert "stream" not in names
        assert (method.__name__, method.__qualname__) == ("parse", "Completions.parse")
        assert "Ask a model for an answer of a type" in (inspect.getdoc(method) or "")
    assert Completions.parse is Completions.parse


# ---------------------------------------------------------------- awkward replies

KINDS: Mapping[str | None, type[AnswerError]] = {
    "empty": AnswerInvalid,
    "broken": AnswerInvalid,
    "unfit": AnswerInvalid,
    "no_json": AnswerRefused,
    "truncated": AnswerTruncated,
}
CUT_OFF = ("length", "model_context_window_exceeded")


def without_finish_reason(request: SeenRequest, reply: Reply) -> Answer:
    """The reply as a body of JSON, or as a stream, that does not say why it ended."""
    calls = [
        {"id": "1", "index": 0, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.tool_calls
    ]
    message = {"role": "assistant", "content": reply.content, **({"tool_calls": calls} if calls else {})}
    if request.stream:
        return Frames([{"id": "1", "choices": [{"index": 0, "delta": message}]}, DONE])
    return Json({"id": "1", "choices": [{"index": 0, "message": message}]})


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.id)
async def test_an_awkward_reply(serve: Serve, ask: Ask, reply: Awkward) -> None:
    """In both modes and both ways: the value after one request, or the error of its kind after so many as make sense.

    What was cut off at a limit is not asked for again; the rest is, three times in all.
    """

    def answers(request: SeenRequest) -> Answer:
        mode: Mode = "tool" if "tools" in request.body else "json"
        said = answer(reply.text, mode, finish_reason=reply.finish_reason)
        return without_finish_reason(request, said) if reply.finish_reason is None else said

    client, sim = await serve(Scenario(replies=answers))
    kind = Any if reply.shape is None else reply.shape
    for mode in MODES:
        for way in (plain, streamed):
            before = sim.served
            run = client.chat.completions.parse(kind, mode=mode, **ask())
            if reply.value is not NOTHING:
                parsed = await way(run)
                expected = reply.value if reply.shape is None else msgspec.convert(reply.value, reply.shape)
                assert parsed.value == expected
                assert (parsed.extraction.repairs, parsed.extraction.place) == (reply.repairs, reply.place)
                assert parsed.extraction.ambiguous == reply.ambiguous
                assert (parsed.requests, sim.served - before) == (1, 1)
                continue
            requests = 1 if reply.finish_reason in CUT_OFF else 3
            if reply.finish_reason == "network_error":
                with pytest.raises(StreamFailed, match="network_error") as failed:
                    await way(run)
                assert failed.value.partial.text == ("" if mode == "tool" else reply.text)
            else:
                failure = AnswerTruncated if reply.finish_reason in CUT_OFF else KINDS[reply.fails]
                with pytest.raises(failure) as caught:
                    await way(run)
                assert type(caught.value) is failure
                assert (caught.value.requests, caught.value.text) == (requests, "" if mode == "tool" else reply.text)
                assert reply.message in str(caught.value)
            assert (sim.served - before, run.requests) == (requests, requests)
            assert roles(sim.requests[-1])


# ---------------------------------------------------------------- asking again


def told(message: Any) -> str:
    """What a message of the next question says was wrong."""
    return str(message["content"]).removeprefix("That was not accepted: ").partition(". ")[0]


ROLES = {"json": ["assistant", "user"], "tool": ["assistant", "tool"]}
AGAIN = {
    "json": "Answer again, with the corrected JSON alone.",
    "tool": "Call give_answer again, with corrected arguments.",
}


@both_ways
@both_modes
async def test_the_model_is_told_what_was_wrong(serve: Serve, ask: Ask, way: Way, mode: Mode) -> None:
    """The next question holds the answers as they came, thoughts included, each with the validator's words."""
    replies = [
        answer('{"title": "x", "steps": [{}]}', mode, reasoning="Hm."),
        answer('```json\n{"title" oops}\n```', mode),
        answer(GOOD, mode),
    ]
    client, sim = await serve(Scenario(replies=replies))
    parsed = await way(client.chat.completions.parse(Recipe, mode=mode, **ask()))
    assert (parsed.value, parsed.requests, sim.served) == (TEA, 3, 3)
    messages = sim.requests[2].body["messages"]
    assert roles(sim.requests[2]) == ["system", "user", *ROLES[mode] * 2]
    assert messages[:2] == sim.requests[0].body["messages"]
    assert messages[:4] == sim.requests[1].body["messages"]
    assert (
        messages[3]["content"]
        == f"That was not accepted: Expected `str`, got `object` - at `$.steps[0]`. {AGAIN[mode]}"
    )
    assert messages[2]["reasoning_content"] == "Hm."
    assert "the JSON is broken: expected a colon" in messages[5]["content"]
    if mode == "json":
        assert [messages[place]["content"] for place in (2, 4)] == [replies[0].content, replies[1].content]
    else:
        calls = [messages[place]["tool_calls"][0] for place in (2, 4)]
        assert [call["function"] for call in calls] == [
            {"name": TOOL, "arguments": reply.tool_calls[0].arguments} for reply in replies[:2]
        ]
        assert [call["id"] for call in calls] == [messages[place]["tool_call_id"] for place in (3, 5)]
        assert all(call["id"].startswith("call_") for call in calls)


@both_ways
@both_modes
async def test_a_lone_surrogate_is_sent_back_as_another_character(serve: Serve, ask: Ask, way: Way, mode: Mode) -> None:
    """U+FFFD stands for it in the next question, and where the parsed answer is added to a conversation."""
    replies: list[Answer] = []
    for text in (f"\ud83d {BAD}", f"\ud83d {GOOD}"):
        calls = [call(text, id="c\ud83d", index=0)] if mode == "tool" else None
        said = {"content": text if mode == "json" else "\ud83d", "tool_calls": calls}
        choice = {"index": 0, "finish_reason": "stop", "delta" if way is streamed else "message": said}
        data = json.dumps({"id": "1", "choices": [choice]})
        plainly = Raw(data.encode(), content_type="application/json")
        replies.append(Frames([data, DONE]) if way is streamed else plainly)
    client, sim = await serve(Scenario(replies=replies))
    parsed = await way(client.chat.completions.parse(Recipe, mode=mode, **ask()))
    assert (parsed.value, parsed.requests) == (TEA, 2)
    refused = sim.requests[1].body["messages"][2]
    assert refused["content"].startswith("\ufffd")
    talk = Conversation()
    talk.add(parsed)
    assert talk.messages[0]["content"].startswith("\ufffd")
    assert talk.pending == []


async def test_bytes_are_no_text(serve: Serve, ask: Ask) -> None:
    """ConfigError at once: they would be sent as base64."""
    client, _ = await serve()
    with pytest.raises(ConfigError, match="decode it to str"):
        client.chat.completions.parse(Recipe, **ask(messages=[{"role": "user", "content": b"abc"}]))


@both_ways
@pytest.mark.parametrize("allowed", [1, 2, 3, 4, 5])
async def test_no_more_requests_than_allowed(serve: Serve, ask: Ask, way: Way, allowed: int) -> None:
    """Three bad answers and a good one: the fourth is asked for when four are allowed, and never a fifth."""
    client, sim = await serve(Scenario(replies=[answer(BAD, times=3), answer(GOOD, times=None)]))
    run = client.chat.completions.parse(Recipe, max_requests=allowed, **ask())
    if allowed < 4:
        words = f"got `int` - at `$.title` (after {allowed} request{'s' * (allowed > 1)})"
        with pytest.raises(AnswerInvalid, match=re.escape(words)) as caught:
            await way(run)
        assert caught.value.requests == allowed
    else:
        assert (await way(run)).requests == 4
    assert sim.served == min(allowed, 4)


async def test_pydantic_words_reach_the_model(serve: Serve, ask: Ask) -> None:
    """The message of a validator of the caller's, with the place as JSON has it, alias and wrapping included."""
    replies = [answer('{"value": [{"howMuch": 10}]}'), answer('[{"amount": 1}]'), answer('[{"howMuch": 1}]')]
    client, sim = await serve(Scenario(replies=replies))
    parsed = await client.chat.completions.parse(list[Money], **ask())
    assert [money.amount for money in parsed.value] == [1.0]
    words = [told(request.body["messages"][-1]) for request in sim.requests[1:]]
    assert words == [
        "Value error, that is too much - at `$.value[0].howMuch`",
        "Field required - at `$[0].howMuch`",
    ]


def used(prompt: int, answered: int, cached: int | None = None, thought: int | None = None) -> dict[str, Any]:
    """Usage as the service gives it."""
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": answered,
        "total_tokens": prompt + answered,
    }
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if thought is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usage


@both_ways
async def test_tokens_of_all_answers_are_summed(serve: Serve, ask: Ask, way: Way) -> None:
    """On the result, on the run while it goes on, and on an error: cached and reasoning tokens too, where counted."""
    usages = [used(10, 5, 4, 2), {}, used(20, 5, 8), used(30, 6)]
    bad = [answer(BAD, usage=usage) for usage in usages]
    client, _ = await serve(Scenario(replies=[*bad[:3], answer(GOOD, usage=usages[3]), *bad, *bad]))
    run = client.chat.completions.parse(Recipe, max_requests=4, **ask())
    parsed = await way(run)
    assert msgspec.to_builtins(parsed.usage) == used(60, 16, 12, 2)
    assert run.usage == parsed.usage
    assert parsed.completion.usage is not None
    assert parsed.completion.usage.total_tokens == 36
    with pytest.raises(AnswerInvalid) as caught:
        await way(client.chat.completions.parse(Recipe, max_requests=4, **ask()))
    assert (caught.value.tokens, caught.value.requests) == (76, 4)


async def test_a_service_that_counts_no_tokens(serve: Serve, ask: Ask) -> None:
    """There is nothing to sum: an error has 0, a result None."""
    client, _ = await serve(Scenario(replies=[answer(BAD, usage={}), answer(GOOD, usage={})]))
    with pytest.raises(AnswerInvalid) as caught:
        await client.chat.completions.parse(Recipe, max_requests=1, **ask())
    assert caught.value.tokens == 0
    assert (await client.chat.completions.parse(Recipe, **ask())).usage == Usage()


def test_an_answer_alone_has_its_own_tokens() -> None:
    """Without word of other requests an error is about one."""
    choice = Choice(finish_reason="sensitive")
    for usage, tokens in ((Usage(total_tokens=7), 7), (Usage(), 0), (None, 0)):
        with pytest.raises(AnswerFiltered) as caught:
            check_finish(ChatCompletion(choices=[choice], usage=usage))
        assert (caught.value.requests, caught.value.tokens) == (1, tokens)
    with pytest.raises(AnswerFiltered) as caught:
        check_finish(ChatCompletion(choices=[choice], usage=Usage(total_tokens=7)), requests=2, tokens=0)
    assert (caught.value.requests, caught.value.tokens) == (2, 0)
    check_finish(ChatCompletion())


def test_adding_usage() -> None:
    """What neither counts stays None; what one counts is kept; the summands are not changed."""
    assert add(Usage(), None) == add(Usage(), Usage()) == Usage()
    one = Usage(total_tokens=3, prompt_tokens_details=PromptTokensDetails(2))
    other = Usage(prompt_tokens=1, total_tokens=4, completion_tokens_details=CompletionTokensDetails(0))
    for total in (add(one, other), add(other, one)):
        assert total == Usage(
            prompt_tokens=1,
            total_tokens=7,
            prompt_tokens_details=PromptTokensDetails(2),
            completion_tokens_details=CompletionTokensDetails(0),
        )
    assert add(one, Usage(prompt_tokens_details=PromptTokensDetails())) == one
    assert one.total_tokens == 3


@both_ways
async def test_an_error_of_the_service_ends_the_run(serve: Serve, ask: Ask, way: Way) -> None:
    """It comes as it is; what was asked and used before stands on the run, and the run is over."""
    replies = [answer(BAD, usage=used(10, 5)), Refusal("1000")]
    client, sim = await serve(Scenario(replies=replies))
    run = client.chat.completions.parse(Recipe, **ask())
    with pytest.raises(AuthenticationError):
        await way(run)
    assert (run.requests, run.usage.total_tokens) == (2, 15)
    for again in (plain, streamed):
        with pytest.raises(StreamConsumed):
            await again(run)
    with pytest.raises(RuntimeError, match="no answer yet"):
        _ = run.result
    assert sim.served == 2


async def test_each_question_is_repeated_as_any_call_is(serve: Serve, ask: Ask) -> None:
    """A failure of the moment is the transport's to repeat, and is no request of the run's."""
    replies = [Refusal("1234"), answer(BAD), Refusal("1302"), answer(GOOD)]
    client, sim = await serve(Scenario(replies=replies))
    parsed = await client.chat.completions.parse(Recipe, max_requests=2, **ask())
    assert (parsed.requests, sim.served) == (2, 4)


# ---------------------------------------------------------------- calls of functions


def body(*calls: Any, content: str | None = "", finish_reason: str = "tool_calls") -> Json:
    """An answer with calls as they are given."""
    message = {"role": "assistant", "content": content, "tool_calls": [*calls]}
    return Json({"id": "1", "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}]})


def frames(*calls: Any) -> Frames:
    """The same as a stream, a frame for each call."""
    blocks = [{"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]} for call in calls]
    return Frames([*blocks, {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}, DONE])


def call(arguments: Any, name: str = TOOL, **more: Any) -> dict[str, Any]:
    """A call as the service may give it."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


async def test_calls_without_ids_get_some(serve: Serve, ask: Ask) -> None:
    """The service wants an id for each call that it is told of: those that it did not give are made, all different."""
    two = [call(BAD, index=0), call("{}", index=1, id="")]
    client, sim = await serve(Scenario(replies=[body(*two), body(*two), answer(GOOD, "tool")]))
    await client.chat.completions.parse(Recipe, mode="tool", **ask())
    assert roles(sim.requests[2]) == ["system", "user", *["assistant", "tool", "tool"] * 2]
    messages = sim.requests[2].body["messages"]
    ids = [each["id"] for message in messages for each in message.get("tool_calls", ())]
    assert len(set(ids)) == 4
    assert ids == [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    client, sim = await serve(Scenario(replies=[frames(*two), answer(GOOD, "tool")]))
    await streamed(client.chat.completions.parse(Recipe, mode="tool", **ask()))
    assert roles(sim.requests[1]) == ["system", "user", "assistant", "tool", "tool"]


@both_ways
async def test_the_first_call_that_fits_counts(serve: Serve, ask: Ask, way: Way) -> None:
    """Of several calls, or of a call and text; calls of other functions are no answer."""
    several = Reply(tool_calls=[ToolCall("get_weather", {"title": "no"}), ToolCall(TOOL, BAD), ToolCall(TOOL, GOOD)])
    beside = Reply(GOOD, tool_calls=[ToolCall(TOOL, BAD)])
    instead = Reply(GOOD)
    client, sim = await serve(Scenario(replies=[several, beside, instead]))
    for _ in range(3):
        parsed = await way(client.chat.completions.parse(Recipe, **ask(mode="tool", tools=[WEATHER])))
        assert (parsed.value, parsed.requests) == (TEA, 1)
    assert sim.served == 3


async def test_arguments_that_came_as_an_object(serve: Serve, ask: Ask) -> None:
    """One old report shows arguments that are no text: they are read all the same."""
    client, _ = await serve(Scenario(replies=[body(call(json.loads(GOOD), id="1"))]))
    assert (await client.chat.completions.parse(Recipe, mode="tool", **ask())).value == TEA


@both_ways
@both_modes
async def test_calls_of_other_functions_are_no_answer(serve: Serve, ask: Ask, way: Way, mode: Mode) -> None:
    """The model is told that nothing is called here, and that it is to answer; in the end it is AnswerInvalid."""
    weather = Reply(tool_calls=[ToolCall("get_weather", {}), ToolCall("get_time", {})])
    client, sim = await serve(Scenario(replies=[weather, answer(GOOD, mode), weather, weather]))
    words = "get_weather, get_time was called in place of an answer: calls are not carried out here"
    parsed = await way(client.chat.completions.parse(Recipe, **ask(mode=mode, tools=[WEATHER])))
    assert parsed.value == TEA
    assert roles(sim.requests[1]) == ["system", "user", "assistant", "tool", "tool"]
    assert {told(message) for message in sim.requests[1].body["messages"][3:]} == {words}
    with pytest.raises(AnswerInvalid, match=words) as caught:
        await way(client.chat.completions.parse(Recipe, **ask(mode=mode, max_requests=2, tools=[WEATHER])))
    assert [each.function.name for each in caught.value.completion.tool_calls] == ["get_weather", "get_time"]


async def test_calls_that_the_service_makes_itself_are_not_answered(serve: Serve, ask: Ask) -> None:
    """A call of type mcp has its result already: the next question is the user's."""
    mcp = {"id": "m", "type": "mcp", "mcp": {"id": "m", "type": "mcp_call"}, "function": {"name": "", "arguments": ""}}
    client, sim = await serve(
        Scenario(checks=False, replies=[body(mcp, content=BAD, finish_reason="stop"), answer(GOOD)])
    )
    assert (await client.chat.completions.parse(Recipe, **ask())).requests == 2
    assert [message["role"] for message in sim.requests[1].body["messages"]] == ["system", "user", "assistant", "user"]
    sim.requests.clear()  # the contract knows no such message


async def test_the_name_of_the_function_means_nothing_in_json_mode(serve: Serve, ask: Ask) -> None:
    """A function of the caller's that is called like ours is theirs."""
    tool = {"type": "function", "function": {**WEATHER["function"], "name": TOOL}}
    client, _ = await serve(Scenario(replies=[Reply(tool_calls=[ToolCall(TOOL, GOOD)], times=None)]))
    for way in (plain, streamed):
        with pytest.raises(AnswerInvalid, match="give_answer was called in place of an answer"):
            await way(client.chat.completions.parse(Recipe, **ask(tools=[tool])))


# ---------------------------------------------------------------- how an answer ended

FINISHES: list[tuple[Reply, type[ZhipuError] | None, int, str]] = [
    (Reply(GOOD, finish_reason="length"), None, 1, ""),
    (Reply(GOOD, finish_reason="model_context_window_exceeded"), None, 1, ""),
    (Reply(GOOD, finish_reason="tool_calls"), None, 1, ""),
    (Reply(GOOD, finish_reason="something_new"), None, 1, ""),
    (Reply(GOOD + "\nThat is", finish_reason="length"), None, 1, ""),
    (Reply(GOOD, finish_reason="sensitive"), AnswerFiltered, 1, "must not be shown"),
    (Reply("", finish_reason="sensitive"), AnswerFiltered, 1, "content safety"),
    (Reply(GOOD, finish_reason="network_error"), StreamFailed, 3, "network_error"),
    (Reply(BAD, finish_reason="length"), AnswerTruncated, 1, r"at `\$.title` \(cut off: allow more max_tokens\)"),
    (Reply('{"title": "Te', finish_reason="length"), AnswerTruncated, 1, "before its JSON was whole .*max_tokens"),
    (Reply('{"title": "Te', finish_reason="something_new"), AnswerTruncated, 3, "finish reason something_new"),
    (Reply("Let me", finish_reason="length"), AnswerTruncated, 1, "before any JSON came"),
    (
        Reply('{"title": "Te', finish_reason="model_context_window_exceeded"),
        AnswerTruncated,
        1,
        "the conversation is too long for the model",
    ),
    (Reply(None, reasoning="Let me think", finish_reason="length"), AnswerTruncated, 1, "allow more max_tokens"),
    (Reply("", finish_reason="stop"), AnswerInvalid, 3, "the answer is empty"),
    (Reply(None, reasoning="I am silent", finish_reason="stop"), AnswerInvalid, 3, "the answer is empty"),
    (Reply(None, finish_reason="tool_calls"), AnswerInvalid, 3, "the answer is empty"),
    (Reply("I cannot help with that."), AnswerRefused, 3, "the answer holds no JSON"),
    (Reply("抱歉，我无法回答。", reasoning="不行"), AnswerRefused, 3, "the answer holds no JSON"),
]


@both_ways
@both_modes
@pytest.mark.parametrize(("reply", "error", "requests", "words"), FINISHES, ids=str)
async def test_how_an_answer_ended(
    serve: Serve,
    ask: Ask,
    way: Way,
    mode: Mode,
    reply: Reply,
    error: type[ZhipuError] | None,
    requests: int,
    words: str,
) -> None:
    """A value that is whole and fits is one whatever ended the answer, but for what must not be used; the rest fails.

    The error keeps the last answer, the requests and their tokens, also through pickle and copy.
    """
    client, sim = await serve(Scenario(replies=lambda request: reply))
    run = client.chat.completions.parse(Recipe, mode=mode, **ask())
    if error is None:
        assert (await way(run)).value == TEA
    else:
        with pytest.raises(error, match=words) as caught:
            await way(run)
        assert type(caught.value) is error
        for failure in (caught.value, pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
            assert str(failure) == str(caught.value)
            if isinstance(failure, AnswerError):
                assert failure.text == failure.completion.text == (reply.content or "")
                assert failure.completion.reasoning == (reply.reasoning or "")
                assert (failure.requests, failure.tokens) == (requests, run.usage.total_tokens)
            elif isinstance(failure, StreamFailed):
                assert failure.partial.text == reply.content
    assert (sim.served, run.requests) == (requests, requests)
    assert roles(sim.requests[-1])


@both_ways
async def test_what_broke_inside_the_service_is_asked_again_as_it_was(serve: Serve, ask: Ask, way: Way) -> None:
    """The same bytes, within the requests that are allowed; the tokens count."""
    broken = Reply('{"title": "Te', finish_reason="network_error", usage=used(10, 5))
    client, sim = await serve(
        Scenario(replies=[broken, answer(BAD, usage=used(10, 5)), broken, answer(GOOD, usage={})])
    )
    parsed = await way(client.chat.completions.parse(Recipe, max_requests=4, **ask()))
    assert (parsed.requests, parsed.usage.total_tokens) == (4, 45)
    assert sim.requests[0].raw == sim.requests[1].raw
    assert sim.requests[2].raw == sim.requests[3].raw
    assert len(sim.requests[2].body["messages"]) == 4


async def test_what_the_service_refuses_to_answer_is_its_own_error(serve: Serve) -> None:
    """1301 is a ContentFilterError, as for any call; an answer that is stopped half-way is AnswerFiltered."""
    client, sim = await serve()
    parse = client.chat.completions.parse
    with pytest.raises(ContentFilterError):
        await parse(Recipe, model="glm-4.6", messages=[{"role": "user", "content": "[unsafe prompt]"}])
    with pytest.raises(AnswerFiltered) as caught:
        await parse(Recipe, model="glm-4.6", messages=[{"role": "user", "content": "[unsafe answer]"}])
    assert caught.value.completion.content_filter[0].role == "assistant"
    assert sim.served == 2


async def test_a_result_pickles(serve: Serve, ask: Ask) -> None:
    """With its value, its answer and how it was found."""
    client, _ = await serve(Scenario(replies=[answer(f"```json\n{GOOD[:-1]},}}\n```")]))
    parsed = await client.chat.completions.parse(Recipe, **ask())
    again = pickle.loads(pickle.dumps(parsed))
    assert (again.value, again.requests, again.usage) == (parsed.value, 1, parsed.usage)
    assert (again.completion, again.extraction) == (parsed.completion, parsed.extraction)
    assert again.extraction.repairs == ("trailing_comma",)
    assert again.completion.timing == parsed.completion.timing
