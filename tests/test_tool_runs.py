"""The tool loop against the simulator: what is asked, what happens, how it ends, and the conversation afterwards."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from tests.conftest import Serve
from tests.virtual_model import unanswered
from zhipu_async import (
    AnswerFiltered,
    AssistantMessage,
    BadRequestError,
    CallDecoded,
    CallReturned,
    ChatCompletion,
    ConfigError,
    Conversation,
    MCPServer,
    MCPTool,
    StreamConsumed,
    StreamFailed,
    StreamTruncated,
    SystemMessage,
    ToolCallDelta,
    ToolCallDone,
    ToolCallInvalid,
    ToolCallStarted,
    ToolFailed,
    ToolMessage,
    ToolRun,
    ToolRunResult,
    TurnFinished,
    UserMessage,
    tool,
)
from zhipu_async.simulator import DONE, Frames, HangUp, Json, Raw, Refusal, Reply, Scenario, SeenRequest
from zhipu_async.simulator import ToolCall as Call
from zhipu_async.types.tools import Retrieval, RetrievalTool, WebSearch, WebSearchTool

Ask = Callable[..., dict[str, Any]]
STREAMS = pytest.mark.parametrize("stream", [None, True], ids=["plain", "streamed"])


async def get_weather(city: str, days: int = 1) -> dict[str, Any]:
    """Weather of a city."""
    await asyncio.sleep(0)
    return {"city": city, "days": days, "celsius": 21}


@tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def look(city: str = "Bonn") -> str:
    """Look out of the window."""
    raise LookupError(f"no window in {city}")


WEATHER = Call("get_weather", {"city": "北京"}, id="call_w")
SUM = Call("add", {"a": 1, "b": 2}, id="call_s")
QUESTION = {"role": "user", "content": "Hello"}
CALLS = Reply("", tool_calls=[WEATHER, SUM], reasoning="\nThey want both.", usage={"total_tokens": 100})
ANSWER = Reply("It is 21 degrees; 3.", reasoning="Now I know.", usage={"total_tokens": 20})


async def events_of(run: ToolRun) -> list[Any]:
    """Everything that happens."""
    async with run:
        return [event async for event in run]


def plain(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """Messages as they are sent."""
    return [msgspec.to_builtins(message) for message in messages]


def told(run: ToolRun | ToolRunResult) -> list[str]:
    """What the model was told of its calls."""
    return [message["content"] for message in plain(run.messages) if message["role"] == "tool"]


# ---------------------------------------------------------------- the loop


@STREAMS
async def test_a_run(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """Calls are carried out and answered, the model is asked again with its reasoning unchanged, and its answer ends
    the run. The conversation is a list of messages; plain and streamed, it is the same."""
    client, sim = await serve(Scenario(replies=[CALLS, ANSWER]))
    result = await client.chat.completions.run_tools(**ask(tools=[get_weather, add], stream=stream))
    assert (result.text, result.ended, result.steps) == ("It is 21 degrees; 3.", "answer", 2)
    assert result.completion.reasoning == "Now I know."
    assert plain(result.messages) == [
        QUESTION,
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "\nThey want both.",
            "tool_calls": [
                {
                    "id": "call_w",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"北京"}'},
                },
                {"id": "call_s", "type": "function", "function": {"name": "add", "arguments": '{"a":1,"b":2}'}},
            ],
        },
        {"role": "tool", "content": '{"city":"北京","days":1,"celsius":21}', "tool_call_id": "call_w"},
        {"role": "tool", "content": "3.0", "tool_call_id": "call_s"},
        {"role": "assistant", "content": "It is 21 degrees; 3.", "reasoning_content": "Now I know."},
    ]
    first, second = sim.requests
    assert first.body["messages"] == [QUESTION]
    assert second.body["messages"] == plain(result.messages)[:4]
    assert [tool["function"]["name"] for tool in first.body["tools"]] == ["get_weather", "add"]
    assert first.body["tools"] == second.body["tools"]
    assert [(answer.call.id, answer.value) for answer in result.calls] == [
        ("call_w", {"city": "北京", "days": 1, "celsius": 21}),
        ("call_s", 3.0),
    ]
    assert result.pending == []


async def test_events_of_a_plain_run(serve: Serve, ask: Ask) -> None:
    """An answer, its calls one by one, and the last answer."""
    client, _ = await serve(Scenario(replies=[CALLS, ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[get_weather, add]))
    events = await events_of(run)
    assert [event.type for event in events[:3]] == ["turn.finished", "call.decoded", "call.decoded"]
    assert {event.type for event in events[3:5]} == {"call.returned"}
    assert [event.type for event in events[5:]] == ["turn.finished"]
    finished, decoded, other, *_, last = events
    assert isinstance(finished, TurnFinished)
    assert (finished.step, finished.completion.usage and finished.completion.usage.total_tokens) == (1, 100)
    assert isinstance(decoded, CallDecoded)
    assert (decoded.call.id, decoded.arguments) == ("call_w", {"city": "北京"})
    assert other.arguments == {"a": 1.0, "b": 2.0}
    assert isinstance(last, TurnFinished)
    assert (last.step, last.completion) == (2, run.result.completion)


async def test_events_of_a_streamed_run(serve: Serve, ask: Ask) -> None:
    """Reasoning, calls that start, grow in pieces and are done; then as in a plain run; then the text of the answer."""
    client, sim = await serve(Scenario(replies=[CALLS, ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[get_weather, add], stream=True, tool_stream=True))
    events = await events_of(run)
    kinds = [event.type for event in events]
    story = [kind for place, kind in enumerate(kinds) if place == 0 or kind != kinds[place - 1]]
    assert story == [
        "reasoning.delta",
        *["tool_call.started", "tool_call.delta"] * 2,
        "tool_call.done",
        "turn.finished",
        "call.decoded",
        "call.returned",
        "reasoning.delta",
        "content.delta",
        "turn.finished",
    ]
    pieces = [event.arguments for event in events if isinstance(event, ToolCallDelta) and event.position == 0]
    assert len(pieces) > 3
    assert "".join(pieces) == '{"city":"北京"}'
    assert [request.body["tool_stream"] for request in sim.requests] == [True, True]
    done = [event.call for event in events if isinstance(event, ToolCallDone)]
    assert [(call.id, call.function.name) for call in done] == [("call_w", "get_weather"), ("call_s", "add")]


async def test_arguments_while_they_stream(serve: Serve, ask: Ask) -> None:
    """Each event of a call gives the call as it stands: its id, its name, its text and the object that it holds."""
    client, _ = await serve(Scenario(replies=[CALLS, ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[get_weather, add], stream=True, tool_stream=True))
    seen: list[Any] = []
    async with run:
        async for event in run:
            if isinstance(event, (ToolCallStarted, ToolCallDelta)) and event.position == 0:
                call = event.call
                assert (call.id, call.name) == ("call_w", "get_weather")
                assert '{"city":"北京"}'.startswith(call.arguments)
                seen.append(copy.deepcopy(call.partial.value))
                assert call.partial.complete == (call.arguments == '{"city":"北京"}')
    different = [value for place, value in enumerate(seen) if place == 0 or value != seen[place - 1]]
    assert different[:2] in ([None, {}], [{}, {"city": ""}])
    assert different[-1] == {"city": "北京"}


@STREAMS
async def test_usage_and_statistics(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """The tokens of all answers are summed, details too; the client counts each question."""
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    replies = [Reply("", tool_calls=[SUM], usage=usage), Reply("3", usage=usage)]
    client, _ = await serve(Scenario(replies=replies))
    run = client.chat.completions.run_tools(**ask(tools=[add], stream=stream))
    result = await run
    assert msgspec.to_builtins(result.usage) == {
        "prompt_tokens": 14,
        "completion_tokens": 10,
        "total_tokens": 24,
        "prompt_tokens_details": {"cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    assert run.usage == result.usage
    statistics = client.statistics()["glm-4.6"]
    assert (statistics.calls, statistics.errors, statistics.total_tokens) == (2, {}, 24)


@STREAMS
async def test_parameters_go_with_each_question(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """What ``create`` takes is sent each time, what the run takes never."""
    client, sim = await serve(Scenario(replies=[CALLS, ANSWER]))
    await client.chat.completions.run_tools(
        **ask(
            tools=[get_weather, add],
            stream=stream,
            temperature=0.5,
            thinking={"type": "enabled"},
            extra_headers={"X-A": "b"},
            extra_body={"more": 1},
            timeout=30.0,
            max_steps=5,
            token_budget=1000,
            parallel=2,
            tool_timeout=3.0,
            on_error="raise",
            max_invalid=1,
            approve=lambda decoded: True,
        )
    )
    for request in sim.requests:
        assert request.headers["X-A"] == "b"
        wanted = {"model", "messages", "tools", "temperature", "thinking", "more"} | ({"stream"} if stream else set())
        assert request.body.keys() == wanted


async def test_what_the_caller_gave_is_left_alone(serve: Serve, ask: Ask) -> None:
    """Lists, dicts and structs of the caller's are as they were; the conversation is a list of the run's own."""
    schema = {"type": "function", "function": {"name": "f", "description": "-", "parameters": {"type": "object"}}}
    messages: list[Any] = [SystemMessage("Be brief."), {"role": "user", "content": "Hello"}]
    tools: list[Any] = [get_weather, add, schema]
    before = copy.deepcopy((messages, schema))
    client, _ = await serve(Scenario(replies=[CALLS, ANSWER]))
    result = await client.chat.completions.run_tools(**ask(messages=messages, tools=tools))
    assert (messages, schema) == before
    assert tools == [get_weather, add, schema]
    assert result.messages is not messages
    assert len(result.messages) == 6


async def test_going_on_with_the_conversation(serve: Serve, ask: Ask) -> None:
    """The messages of one run, with another question, are those of the next."""
    client, sim = await serve(Scenario(replies=[CALLS, ANSWER, CALLS, ANSWER]))
    first = await client.chat.completions.run_tools(**ask(tools=[get_weather, add]))
    again = [*first.messages, UserMessage("And tomorrow?")]
    second = await client.chat.completions.run_tools(**ask(messages=again, tools=[get_weather, add], stream=True))
    assert plain(second.messages[:6]) == plain(again)
    assert unanswered(second.messages) == []
    assert sim.requests[2].body["messages"] == plain(again)
    assert second.usage.total_tokens == 120
    assert len(second.calls) == 2


async def test_a_run_without_a_call(serve: Serve, ask: Ask) -> None:
    """The first answer ends it; without tools none are sent."""
    client, sim = await serve(Scenario(replies=[ANSWER, Reply(None, reasoning="Hm.", finish_reason="stop")]))
    result = await client.chat.completions.run_tools(**ask(tools=[]))
    assert (result.text, result.ended, result.calls) == ("It is 21 degrees; 3.", "answer", [])
    assert "tools" not in sim.requests[0].body
    silent = await client.chat.completions.run_tools(**ask(tools=[add]))
    assert (silent.text, silent.ended) == ("", "answer")


async def test_two_runs_of_one_tool_at_once(serve: Serve, ask: Ask) -> None:
    """A tool serves any number of runs; each has its own conversation."""

    def answer(seen: SeenRequest) -> Reply:
        number = seen.body["messages"][0]["content"]
        if seen.body["messages"][-1]["role"] == "user":
            return Reply("", tool_calls=[Call("add", {"a": int(number), "b": 1})])
        return Reply(seen.body["messages"][-1]["content"])

    client, _ = await serve(Scenario(replies=answer))
    results = await asyncio.gather(
        *(
            client.chat.completions.run_tools(**ask(messages=[UserMessage(str(number))], tools=[add]))
            for number in range(10)
        )
    )
    assert [result.text for result in results] == [f"{number + 1}.0" for number in range(10)]


BUILT_IN: dict[str, Any] = {
    "web search": WebSearchTool(web_search=WebSearch(search_engine="search_std", enable=True)),
    "web search as a dict": {"type": "web_search", "web_search": {"search_engine": "search_std", "enable": True}},
    "retrieval": RetrievalTool(retrieval=Retrieval(knowledge_id="2")),
    "mcp": MCPTool(mcp=MCPServer(server_label="s", server_url="https://x.test/mcp")),
}
DONE_BY_THE_SERVICE: list[dict[str, Any]] = [
    {"id": "m", "type": "mcp", "mcp": {"id": "m", "type": "mcp_call", "server_label": "s", "output": "42"}},
    {"id": "w", "type": "web_search", "web_search": {}},
    {"id": "r", "type": "retrieval", "function": {"name": "add", "arguments": "{}"}},
]


@pytest.mark.parametrize("built_in", BUILT_IN.values(), ids=BUILT_IN)
async def test_tools_of_the_service_pass_through(serve: Serve, ask: Ask, built_in: Any) -> None:
    """Built-in tools are offered as they are given; what the service did itself is not answered and not sent back."""
    client, sim = await serve(Scenario(replies=[completion(DONE_BY_THE_SERVICE, content="42"), ANSWER]))
    result = await client.chat.completions.run_tools(**ask(tools=[built_in]))
    assert sim.requests[0].body["tools"] == [msgspec.to_builtins(built_in)]
    assert (result.ended, result.text, result.calls) == ("answer", "42", [])
    assert plain(result.messages) == [QUESTION, {"role": "assistant", "content": "42"}]
    assert [call.type for call in result.completion.tool_calls] == ["mcp", "web_search", "retrieval"]


async def test_functions_beside_tools_of_the_service(serve: Serve, ask: Ask) -> None:
    """Whether they go together is for the service to say; a call beside what it did itself is answered alone, and is
    told apart from it by its id."""
    calls = [*DONE_BY_THE_SERVICE, function(ONE, id="m"), function(TWO, id="m")]
    client, sim = await serve(Scenario(replies=[completion(calls), ANSWER], models=["glm-new"]))
    result = await client.chat.completions.run_tools(**ask(model="glm-new", tools=[add, *BUILT_IN.values()]))
    assert len(sim.requests[0].body["tools"]) == 5
    assert told(result) == ["1.0", "2.0"]
    assert unanswered(result.messages) == []
    ids = [answer.call.id for answer in result.calls]
    assert ids[0] == "m"
    assert ids[1] != "m"


# ---------------------------------------------------------------- how it ends


@STREAMS
async def test_a_function_of_which_only_the_schema_is_known(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """Its call ends the run and is the caller's to answer; the run's own calls are answered. With the missing answer
    the conversation goes on."""
    schema = {
        "type": "function",
        "function": {"name": "ask_boss", "description": "-", "parameters": {"type": "object"}},
    }
    calls = Reply("", tool_calls=[Call("ask_boss", {"what": "raise?"}, id="call_b"), SUM])
    client, _ = await serve(Scenario(replies=[calls, ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[add, schema], stream=stream, approve=lambda decoded: True))
    result = await run
    assert (result.ended, result.steps, result.text) == ("pending", 1, "")
    assert [(call.id, call.function.arguments) for call in result.pending] == [("call_b", '{"what":"raise?"}')]
    assert [answer.call.id for answer in result.calls] == ["call_s"]
    assert unanswered(result.messages) == ["call_b"]
    messages = [*result.messages, ToolMessage(content="no", tool_call_id="call_b")]
    assert (await client.chat.completions.run_tools(**ask(messages=messages, tools=[add, schema]))).text == ANSWER.text


@STREAMS
@pytest.mark.parametrize("steps", [1, 3])
async def test_a_model_that_calls_forever(serve: Serve, ask: Ask, stream: bool | None, steps: int) -> None:
    """The run ends after so many questions; the last calls are answered, and the conversation can go on."""
    client, sim = await serve(Scenario(replies=[Reply("", tool_calls=[SUM], times=None)]))
    result = await client.chat.completions.run_tools(**ask(tools=[add], stream=stream, max_steps=steps))
    assert (result.ended, result.steps, sim.served) == ("max_steps", steps, steps)
    assert unanswered(result.messages) == []
    assert len(result.calls) == steps


@STREAMS
@pytest.mark.parametrize(("budget", "asked"), [(1, 1), (100, 1), (101, 2), (300, 3), (301, 4)])
async def test_a_token_budget(serve: Serve, ask: Ask, stream: bool | None, budget: int, asked: int) -> None:
    """The model is not asked again once the tokens of its answers reach the budget."""
    client, sim = await serve(Scenario(replies=[Reply("", tool_calls=[SUM], usage={"total_tokens": 100}, times=None)]))
    result = await client.chat.completions.run_tools(
        **ask(tools=[add], stream=stream, token_budget=budget, max_steps=100)
    )
    assert (result.ended, sim.served, result.usage.total_tokens) == ("token_budget", asked, asked * 100)
    assert unanswered(result.messages) == []


async def test_a_budget_without_totals(serve: Serve, ask: Ask) -> None:
    """Where the service counts no total, prompt and completion count; where it counts nothing, steps end the run."""
    for usage, ended in (({"prompt_tokens": 60, "completion_tokens": 50}, "token_budget"), ({}, "max_steps")):
        client, _ = await serve(Scenario(replies=[Reply("", tool_calls=[SUM], usage=usage, times=None)]))
        result = await client.chat.completions.run_tools(**ask(tools=[add], token_budget=100, max_steps=3))
        assert result.ended == ended


@STREAMS
@pytest.mark.parametrize("reason", ["length", "model_context_window_exceeded"])
async def test_an_answer_that_was_cut_off(serve: Serve, ask: Ask, stream: bool | None, reason: str) -> None:
    """Text that reached a limit of tokens ends the run, which says so."""
    client, _ = await serve(Scenario(replies=[Reply("It is 21 deg", finish_reason=reason)]))
    result = await client.chat.completions.run_tools(**ask(tools=[add], stream=stream))
    assert (result.ended, result.text) == ("cut_off", "It is 21 deg")


@STREAMS
async def test_half_a_call(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """A call in which the answer was cut off is not carried out; the model is told, and asked again."""
    half = Reply("", tool_calls=[SUM, Call("get_weather", '{"city": "Bo', id="call_h")], finish_reason="length")
    client, sim = await serve(Scenario(replies=[half, ANSWER]))
    result = await client.chat.completions.run_tools(**ask(tools=[get_weather, add], stream=stream))
    assert told(result) == [
        "3.0",
        "error: the arguments are no JSON: Input data was truncated; the answer was cut off at the limit of tokens "
        "before this call was whole",
    ]
    assert (result.ended, sim.served, unanswered(result.messages)) == ("answer", 2, [])


@STREAMS
async def test_a_model_that_breaks_off(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """The finish reason network_error is a failed call: nothing of that answer is in the conversation, nothing in it is
    carried out, and the question is not repeated."""
    broken = Reply("", tool_calls=[SUM], finish_reason="network_error")
    client, sim = await serve(Scenario(replies=[CALLS, broken, ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[get_weather, add], stream=stream))
    with pytest.raises(StreamFailed) as caught:
        await run
    assert isinstance(caught.value.partial, ChatCompletion)
    assert caught.value.partial.tool_calls[0].function.name == "add"
    assert sim.served == 2
    assert len(run.messages) == 4
    assert unanswered(run.messages) == []
    with pytest.raises(RuntimeError, match="the run has no result: it failed with StreamFailed: the model broke off"):
        _ = run.result
    assert run.usage.total_tokens is not None
    assert run.usage.total_tokens > 100


@STREAMS
async def test_an_answer_that_content_safety_stopped(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """It is an error that keeps the text; the conversation does not have it, and its calls are not carried out."""
    stopped = Reply("half", tool_calls=[SUM], finish_reason="sensitive", usage={"total_tokens": 30})
    client, sim = await serve(Scenario(replies=[CALLS, stopped]))
    run = client.chat.completions.run_tools(**ask(tools=[get_weather, add], stream=stream))
    with pytest.raises(AnswerFiltered) as caught:
        await run
    assert (caught.value.text, caught.value.requests, caught.value.tokens) == ("half", 2, 130)
    assert sim.served == 2
    assert unanswered(run.messages) == []
    assert "half" not in str(plain(run.messages))


@STREAMS
async def test_errors_of_the_service(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """They are raised as by ``create``; what was said before stays, and can be gone on with."""
    client, _ = await serve(Scenario(replies=[CALLS, Refusal("1210"), ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[get_weather, add], stream=stream))
    with pytest.raises(BadRequestError):
        await run
    assert len(run.messages) == 4
    again = await client.chat.completions.run_tools(**ask(messages=run.messages, tools=[get_weather, add]))
    assert again.text == ANSWER.text


async def test_busy_answers_are_repeated(serve: Serve, ask: Ask) -> None:
    """Refusals for load, and a connection that breaks before the answer, are repeated as in any call."""
    client, sim = await serve(Scenario(replies=[Refusal("1302"), CALLS, HangUp(), ANSWER]))
    result = await client.chat.completions.run_tools(**ask(tools=[get_weather, add]))
    assert (result.ended, result.steps, sim.served) == ("answer", 2, 4)
    assert len(result.calls) == 2


async def test_a_stream_that_breaks_off(serve: Serve, ask: Ask) -> None:
    """A stream that ends before its finish reason is an error, and nothing of it is carried out."""
    client, sim = await serve(Scenario(replies=[Reply("", tool_calls=[SUM], final_chunk=False, done=False)]))
    run = client.chat.completions.run_tools(**ask(tools=[add], stream=True))
    with pytest.raises(StreamTruncated):
        await run
    assert plain(run.messages) == [QUESTION]
    assert sim.served == 1


# ---------------------------------------------------------------- what goes wrong with calls


@STREAMS
async def test_the_model_is_told_what_went_wrong(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """Unknown functions, broken JSON, wrong arguments and exceptions are told in the order of the calls, and the run
    goes on; only calls that could not be carried out count towards the limit."""
    calls = [
        Call("fly", {}),
        Call("add", '{"a": 1'),
        Call("add", {"a": 1, "b": "2"}),
        Call("look", {"city": "Bonn"}),
        Call("look", ""),
        SUM,
    ]
    client, _ = await serve(Scenario(replies=[Reply("", tool_calls=calls), ANSWER]))
    result = await client.chat.completions.run_tools(**ask(tools=[add, look], stream=stream))
    assert told(result) == [
        "error: there is no function 'fly'; there are add, look",
        "error: the arguments are no JSON: Input data was truncated",
        "error: Expected `float`, got `str` - at `$.b`",
        "error: LookupError: no window in Bonn",
        "error: LookupError: no window in Bonn",
        "3.0",
    ]
    assert (result.ended, unanswered(result.messages)) == ("answer", [])
    assert [type(answer.error).__name__ for answer in result.calls] == [
        *["InvalidArguments"] * 3, *["LookupError"] * 2, "NoneType",
    ]  # fmt: skip


@STREAMS
async def test_invalid_calls_are_counted_over_the_run(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """A model that does not learn is stopped, however many turns it takes."""
    client, sim = await serve(Scenario(replies=[Reply("", tool_calls=[Call("fly", {})], times=None)]))
    run = client.chat.completions.run_tools(**ask(tools=[add], stream=stream, max_invalid=2))
    with pytest.raises(ToolCallInvalid, match="the model made 3 calls that cannot be carried out, the last of 'fly'"):
        await run
    assert sim.served == 3
    assert unanswered(run.messages) == []
    assert told(run) == ["error: there is no function 'fly'; there are add"] * 3


@STREAMS
async def test_an_exception_stops_the_run(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """With on_error="raise"; the conversation has an answer for each call."""
    client, sim = await serve(Scenario(replies=[Reply("", tool_calls=[Call("look", {}), SUM])]))
    run = client.chat.completions.run_tools(**ask(tools=[add, look], stream=stream, on_error="raise", parallel=1))
    with pytest.raises(ToolFailed, match="look: LookupError: no window in Bonn") as caught:
        await run
    assert isinstance(caught.value.__cause__, LookupError)
    assert (caught.value.tool, caught.value.arguments) == ("look", "{}")
    assert told(run)[0] == "error: LookupError: no window in Bonn"
    assert unanswered(run.messages) == []
    assert sim.served == 1


async def test_approval_is_asked_with_decoded_arguments(serve: Serve, ask: Ask) -> None:
    """The hook sees call and arguments; what it refuses is told to the model with its reason."""
    seen: list[tuple[str, Mapping[str, Any]]] = []

    async def approve(decoded: CallDecoded) -> bool | str:
        seen.append((decoded.call.function.name, decoded.arguments))
        return decoded.call.function.name == "add" or "not without a coat"

    client, _ = await serve(Scenario(replies=[CALLS, ANSWER]))
    result = await client.chat.completions.run_tools(**ask(tools=[get_weather, add], approve=approve))
    assert seen == [("get_weather", {"city": "北京"}), ("add", {"a": 1.0, "b": 2.0})]
    assert told(result) == ["error: not without a coat", "3.0"]


# ---------------------------------------------------------------- ids and types of calls


def completion(calls: list[dict[str, Any]], content: str = "", **message: Any) -> Json:
    """A plain answer with exactly these calls."""
    message = {"role": "assistant", "content": content, "tool_calls": calls, **message}
    return Json({"id": "1", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]})


def frames(calls: list[dict[str, Any]]) -> Frames:
    """The same as a stream, each call in one delta."""
    deltas = [{"tool_calls": [{**call, "index": place}]} for place, call in enumerate(calls)]
    chunks = [{"id": "1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    return Frames([*chunks, end, DONE])


def function(arguments: Any, **more: Any) -> dict[str, Any]:
    """A call of ``add`` as the service writes it."""
    return {"type": "function", "function": {"name": "add", "arguments": arguments}, **more}


ONE, TWO = '{"a": 1, "b": 0}', '{"a": 2, "b": 0}'
IDS: dict[str, list[dict[str, Any]]] = {
    "missing": [function(ONE), function(TWO)],
    "null": [function(ONE, id=None), function(TWO, id=None)],
    "empty": [function(ONE, id=""), function(TWO, id="")],
    "the same": [function(ONE, id="call_x"), function(TWO, id="call_x")],
    "one of two": [function(ONE, id="call_x"), function(TWO)],
}


@STREAMS
@pytest.mark.parametrize("calls", IDS.values(), ids=IDS)
async def test_calls_without_ids_of_their_own(
    serve: Serve, ask: Ask, stream: bool | None, calls: list[dict[str, Any]]
) -> None:
    """A call without an id, or with that of another, gets one that nobody else has: in the events, in the conversation,
    and in the next question. What the service gave stays in the completion."""
    client, sim = await serve(Scenario(replies=[frames(calls) if stream else completion(calls), ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[add], stream=stream))
    events = await events_of(run)
    assert unanswered(run.messages) == []
    assistant, first, second = sim.requests[1].body["messages"][1:]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert [(first["tool_call_id"], first["content"]), (second["tool_call_id"], second["content"])] == [
        (ids[0], "1.0"),
        (ids[1], "2.0"),
    ]
    given = calls[0].get("id")
    assert ids[0] == given if given else ids[0].startswith("call_")
    assert ids[1].startswith("call_")
    assert ids[1] not in (ids[0], "call_x")
    assert {event.call.id for event in events if isinstance(event, (CallDecoded, CallReturned))} == set(ids)
    finished = next(event for event in events if isinstance(event, TurnFinished))
    assert [call.id or None for call in finished.completion.tool_calls] == [call.get("id") or None for call in calls]


async def test_a_pending_call_without_an_id(serve: Serve, ask: Ask) -> None:
    """It gets one too: its answer needs it."""
    schema = {"type": "function", "function": {"name": "add", "description": "-", "parameters": {"type": "object"}}}
    client, _ = await serve(Scenario(replies=[completion([function(ONE)])]))
    result = await client.chat.completions.run_tools(**ask(tools=[schema]))
    (message,) = [message for message in result.messages if isinstance(message, AssistantMessage)]
    assert message.tool_calls
    assert result.pending == list(message.tool_calls)
    assert result.pending[0].id


TYPES: dict[str, tuple[dict[str, Any], str]] = {
    "function": (function(ONE, id="c"), "1.0"),
    "no type": ({"id": "c", "function": {"name": "add", "arguments": ONE}}, "1.0"),
    "an empty type": (function(ONE, id="c", type=""), "1.0"),
    "a new type": (function(ONE, id="c", type="function_v2"), "1.0"),
    "arguments as an object": (function({"a": 1, "b": 0}, id="c"), "1.0"),
    "no arguments": (function(None, id="c"), "error: Object missing required field `a`"),
    "nothing": ({"id": "c"}, "error: there is no function ''; there are add"),
}


@STREAMS
@pytest.mark.parametrize(("call", "content"), TYPES.values(), ids=TYPES)
async def test_types_of_calls(serve: Serve, ask: Ask, stream: bool | None, call: dict[str, Any], content: str) -> None:
    """All that the service has not carried out itself is a call of a function."""
    client, _ = await serve(Scenario(replies=[frames([call]) if stream else completion([call]), ANSWER], checks=False))
    result = await client.chat.completions.run_tools(**ask(tools=[add], stream=stream))
    assert told(result) == [content]
    assert (result.ended, unanswered(result.messages)) == ("answer", [])


async def test_several_choices(serve: Serve, ask: Ask) -> None:
    """The service gives one; of several, the first counts."""
    message = {"role": "assistant", "content": "first"}
    other = {"role": "assistant", "content": "", "tool_calls": [function(ONE, id="c")]}
    body = {
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": message},
            {"index": 1, "finish_reason": "tool_calls", "message": other},
        ]
    }
    client, _ = await serve(Scenario(replies=[Json(body), Json({"choices": []})]))
    result = await client.chat.completions.run_tools(**ask(tools=[add]))
    assert (result.text, result.ended, result.calls) == ("first", "answer", [])
    nothing = await client.chat.completions.run_tools(**ask(tools=[add]))
    assert (nothing.text, nothing.ended) == ("", "answer")


LONE: dict[str, dict[str, Any]] = {
    "content": {"content": "\ud83d!", "tool_calls": [function(ONE, id="c")]},
    "reasoning": {"reasoning_content": "\ud83d", "tool_calls": [function(ONE, id="c")]},
    "id": {"tool_calls": [function(ONE, id="c\ud83d")]},
    "arguments": {"tool_calls": [function(f"{ONE} \ud83d", id="c")]},
    "name": {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "\ud83d", "arguments": ONE}}]},
}


@STREAMS
@pytest.mark.parametrize("message", LONE.values(), ids=LONE)
async def test_a_lone_surrogate_of_the_model(
    serve: Serve, ask: Ask, stream: bool | None, message: dict[str, Any]
) -> None:
    """It is U+FFFD in the conversation, which goes on and can be kept; the completion has it as it came."""
    choice = {"index": 0, "finish_reason": "tool_calls", "delta" if stream else "message": message}
    text = json.dumps({"id": "1", "choices": [choice]})
    answer = Frames([text, DONE]) if stream else Raw(text.encode(), content_type="application/json")
    client, sim = await serve(Scenario(replies=[answer, ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[add], stream=stream))
    finished = next(event for event in await events_of(run) if isinstance(event, TurnFinished))
    assert "\ud83d" in json.dumps(msgspec.to_builtins(finished.completion), ensure_ascii=False)
    sent = sim.requests[1].body["messages"]
    assert "\ufffd" in json.dumps(sent[1], ensure_ascii=False)
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]
    assert (run.result.ended, unanswered(run.messages)) == ("answer", [])
    talk = Conversation()
    talk.add(QUESTION)
    talk.add(run.result)
    assert [*talk.messages[:3]] == sent


async def test_bytes_are_no_text(serve: Serve, ask: Ask) -> None:
    """ConfigError at once: they would be sent as base64."""
    client, sim = await serve()
    with pytest.raises(ConfigError, match="decode it to str"):
        client.chat.completions.run_tools(**ask(tools=[add], messages=[{"role": "user", "content": b"abc"}]))
    assert sim.served == 0


# ---------------------------------------------------------------- the object


async def test_awaiting_and_iterating(serve: Serve, ask: Ask) -> None:
    """Awaiting again gives the same result, also after iterating; there are no events after the end; awaiting after
    some events goes on where they were."""
    client, sim = await serve(Scenario(replies=[CALLS, ANSWER, CALLS, ANSWER]))
    run = client.chat.completions.run_tools(**ask(tools=[get_weather, add]))
    with pytest.raises(RuntimeError, match="the run has no result: it has not ended: iterate over it to its end"):
        _ = run.result
    result = await run
    assert await run is result is run.result
    assert [event async for event in run] == []
    assert sim.served == 2
    run = client.chat.completions.run_tools(**ask(tools=[get_weather, add]))
    assert isinstance(await anext(run), TurnFinished)
    with pytest.raises(RuntimeError, match="it has not ended"):
        _ = run.result
    assert (await run).text == ANSWER.text
    assert sim.served == 4


async def test_a_run_that_is_never_used(serve: Serve, ask: Ask) -> None:
    """Making one asks nothing; closing it before its beginning does no harm."""
    client, sim = await serve()
    run = client.chat.completions.run_tools(**ask(tools=[add]))
    await run.close()
    await run.close()
    assert [event async for event in run] == []
    assert sim.served == 0
    client.chat.completions.run_tools(**ask(tools=[add]))


async def test_after_a_failure(serve: Serve, ask: Ask) -> None:
    """A run that failed has no more events and no result; asking for one says why."""
    client, _ = await serve(Scenario(replies=[Refusal("1210")]))
    run = client.chat.completions.run_tools(**ask(tools=[add]))
    with pytest.raises(BadRequestError):
        await run
    assert [event async for event in run] == []
    with pytest.raises(RuntimeError, match="the run has no result: it failed with BadRequestError"):
        await run


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no steps": ({"max_steps": 0}, "max_steps"),
    "no parallel calls": ({"parallel": 0}, "parallel"),
    "negative": ({"max_invalid": -1}, "max_invalid"),
    "no seconds": ({"tool_timeout": 0}, "tool_timeout"),
    "no tokens": ({"token_budget": 0}, "token_budget"),
    "an unknown choice": ({"on_error": "ignore"}, "on_error must be 'tell' or 'raise', not 'ignore'"),
    "no tools": ({"tools": None}, "tools must be a list"),
    "two of one name": ({"tools": [add, add]}, "two tools are called 'add'"),
    "no function": ({"tools": [3]}, "3 is no tool"),
    "no annotations": ({"tools": [lambda x: x]}, "is no name for a tool"),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG)
async def test_wrong_use(serve: Serve, ask: Ask, changes: dict[str, Any], said: str) -> None:
    """It is a ConfigError at once, before anything is sent."""
    client, sim = await serve()
    with pytest.raises(ConfigError, match=said):
        client.chat.completions.run_tools(**ask(**{"tools": [add], **changes}))
    assert sim.served == 0


async def test_there_is_no_raw_response(serve: Serve, ask: Ask) -> None:
    """A run asks more than once."""
    client, _ = await serve()
    with pytest.raises(ConfigError, match="run_tools has no raw response"):
        client.chat.completions.with_raw_response.run_tools(**ask(tools=[add]))


async def test_help(serve: Serve) -> None:
    """The method says what it takes."""
    client, _ = await serve()
    method = client.chat.completions.run_tools
    assert method.__name__ == "run_tools"
    assert "Let a model call Python functions until it answers." in (method.__doc__ or "")
    assert "tool_timeout" in str(method.__signature__)  # type: ignore[attr-defined]


async def test_one_task_waits_for_a_run(serve: Serve, ask: Ask) -> None:
    """Another that waits too is told, and leaves the first alone."""
    client, _ = await serve(Scenario(replies=[Reply("Hi")]))
    run = client.chat.completions.run_tools(**ask(tools=[]))
    waiting = asyncio.ensure_future(_result(run))
    await asyncio.sleep(0)
    with pytest.raises(StreamConsumed, match="another task waits"):
        await run
    assert (await waiting).text == "Hi"
    assert (await run).text == "Hi"


async def _result(run: Any) -> Any:
    return await run
