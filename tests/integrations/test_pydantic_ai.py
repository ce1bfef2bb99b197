"""GLM models in pydantic-ai's agents. With ``REQUIRE_EXTRAS=1`` the absence of pydantic-ai is a failure."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if os.environ.get("REQUIRE_EXTRAS") != "1":
    pytest.importorskip("pydantic_ai")

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai import exceptions as theirs
from pydantic_ai.capabilities import RaiseContentFilterError
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    CachePoint,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolAvailabilityDeltaPart,
    ToolCallPart,
    ToolReturnPart,
    UploadedFile,
    VideoUrl,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings, ToolOrOutput
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import UsageLimits

from zhipu_async import AsyncZhipuAI, RetryPolicy, Timeouts, errors
from zhipu_async.integrations.pydantic_ai import ZhipuModel, ZhipuModelSettings, ZhipuProvider
from zhipu_async.integrations.pydantic_ai_errors import errors_as_theirs
from zhipu_async.integrations.pydantic_ai_messages import conversation, parts
from zhipu_async.simulator import (
    DONE,
    Answer,
    Delivery,
    ErrorFrame,
    Frames,
    HangUp,
    Json,
    Refusal,
    Reply,
    Scenario,
    Simulator,
    ToolCall,
)
from zhipu_async.types.chat import ChatCompletion, ChatMessage, Choice

MODEL = "glm-4.6"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Stage:
    """A simulator that gives these answers in turn, a client of it, and models that use the client."""

    def __init__(self, sim: Simulator, client: AsyncZhipuAI) -> None:
        self.sim = sim
        self.client = client

    def model(self, name: str = MODEL, **options: Any) -> ZhipuModel:
        """A model."""
        return ZhipuModel(name, client=self.client, **options)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked, request by request."""
        return [request.body for request in self.sim.requests]

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The messages of the last request."""
        messages: list[dict[str, Any]] = self.bodies[-1]["messages"]
        return messages


Begin = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    """``stage = await begin(answer, ..., **options of the client)``."""
    async with AsyncExitStack() as stack:

        async def start(*answers: Answer, **options: Any) -> Stage:
            sim = await stack.enter_async_context(Simulator(Scenario(replies=answers)))
            options = {"retry": RetryPolicy(retries=0), **options}
            client = await stack.enter_async_context(AsyncZhipuAI(sim.api_key, base_url=sim.base_url, **options))
            return Stage(sim, client)

        yield start


class City(BaseModel):
    name: str
    degrees: int


OSLO = {"name": "Oslo", "degrees": 4}


def answered(name: str, *, again: bool = False) -> Reply:
    """An answer that is a City, by the way that it is asked for; ``again``: one that is none."""
    content = {"name": "Oslo"} if again else OSLO
    if name == "tool":
        return Reply("", tool_calls=[ToolCall("final_result", content)])
    return Reply(json.dumps(content))


OUTPUTS: dict[str, Any] = {"tool": ToolOutput(City), "native": NativeOutput(City), "prompted": PromptedOutput(City)}

# ---------------------------------------------------------------- agents


async def test_an_agent_calls_tools_and_answers(begin: Begin) -> None:
    """Two calls in one answer are carried out, and their results go back by id, with the thinking as it came."""
    stage = await begin(
        Reply("", reasoning="\nboth ", tool_calls=[ToolCall("degrees", {"city": c}, id=c) for c in ("Oslo", "Rome")]),
        Reply("17 degrees"),
    )
    agent = Agent(stage.model(), system_prompt="System.", instructions="Instructions.")

    @agent.tool_plain
    def degrees(city: str) -> dict[str, int]:
        """The temperature in a city."""
        return {"celsius": {"Oslo": 4, "Rome": 21}[city]}

    result = await agent.run("How much warmer is it in Rome?")
    assert result.output == "17 degrees"
    assert stage.sent == [
        {"role": "system", "content": "System."},
        {"role": "system", "content": "Instructions."},
        {"role": "user", "content": "How much warmer is it in Rome?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "\nboth ",
            "tool_calls": [
                {"id": c, "type": "function", "function": {"name": "degrees", "arguments": f'{{"city":"{c}"}}'}}
                for c in ("Oslo", "Rome")
            ],
        },
        {"role": "tool", "tool_call_id": "Oslo", "content": '{"celsius":4}'},
        {"role": "tool", "tool_call_id": "Rome", "content": '{"celsius":21}'},
    ]
    (tool,) = stage.bodies[0]["tools"]
    assert tool["function"]["description"] == "The temperature in a city."
    assert "tool_choice" not in stage.bodies[0]


@pytest.mark.parametrize("mode", OUTPUTS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_agent_gives_an_answer_of_a_type(begin: Begin, mode: str, streamed: bool) -> None:
    """A type comes by a tool that is not forced, or as a JSON object with its schema in the instructions."""
    stage = await begin(answered(mode))
    agent = Agent(stage.model(), output_type=OUTPUTS[mode])
    if streamed:
        async with agent.run_stream("Where?") as run:
            output = await run.get_output()
    else:
        output = (await agent.run("Where?")).output
    assert output == City(name="Oslo", degrees=4)
    (body,) = stage.bodies
    assert body.get("response_format") == (None if mode == "tool" else {"type": "json_object"})
    assert [tool["function"]["name"] for tool in body.get("tools", [])] == (["final_result"] if mode == "tool" else [])
    assert "tool_choice" not in body
    assert ('"degrees"' in body["messages"][0]["content"]) == (mode != "tool")


@pytest.mark.parametrize("mode", OUTPUTS)
async def test_an_answer_that_does_not_fit_is_asked_for_again(begin: Begin, mode: str) -> None:
    """The model is told what is missing, as the result of its call or as a message of the user's."""
    stage = await begin(answered(mode, again=True), answered(mode))
    result = await Agent(stage.model(), output_type=OUTPUTS[mode]).run("Where?")
    assert result.output == City(name="Oslo", degrees=4)
    assert len(stage.bodies) == 2
    assert stage.sent[-1]["role"] == ("tool" if mode == "tool" else "user")
    assert "degrees" in stage.sent[-1]["content"]


async def test_a_tool_may_ask_for_other_arguments(begin: Begin) -> None:
    """What a tool says against its arguments is the result of the call."""
    stage = await begin(
        Reply("", tool_calls=[ToolCall("degrees", {"city": "Atlantis"}, id="one")]),
        Reply("", tool_calls=[ToolCall("degrees", {"city": "Oslo"}, id="two")]),
        Reply("4"),
    )
    agent = Agent(stage.model())

    @agent.tool_plain(retries=1)
    def degrees(city: str) -> int:
        if city == "Atlantis":
            raise ModelRetry("no such city")
        return 4

    assert (await agent.run("?")).output == "4"
    first, second = [message for message in stage.sent if message["role"] == "tool"]
    assert (first["tool_call_id"], second["tool_call_id"], second["content"]) == ("one", "two", "4")
    assert "no such city" in first["content"]


async def test_a_conversation_goes_on_from_its_stored_history(begin: Begin) -> None:
    """A history that was written as JSON and read again goes back as it came, thinking included."""
    stage = await begin(Reply("323", reasoning="\nthink\n"), Reply("646"))
    agent = Agent(stage.model(settings=ZhipuModelSettings(zhipu_clear_thinking=False, thinking=True)))
    first = await agent.run("17 * 19?")
    history = ModelMessagesTypeAdapter.validate_json(first.all_messages_json())
    second = await agent.run("Times 2?", message_history=history)
    assert second.output == "646"
    assert stage.sent == [
        {"role": "user", "content": "17 * 19?"},
        {"role": "assistant", "content": "323", "reasoning_content": "\nthink\n"},
        {"role": "user", "content": "Times 2?"},
    ]
    assert stage.bodies[1]["thinking"] == {"type": "enabled", "clear_thinking": False}


async def test_usage_is_counted_and_limited(begin: Begin) -> None:
    """All kinds of tokens are told, and an agent stops at its limit without another request."""
    tokens = {
        "prompt_tokens": 20, "completion_tokens": 91, "total_tokens": 111,
        "prompt_tokens_details": {"cached_tokens": 16}, "completion_tokens_details": {"reasoning_tokens": 82},
    }  # fmt: skip
    stage = await begin(Reply("a", usage=tokens), Reply("b", usage=tokens), Reply("c", usage={}))
    agent = Agent(stage.model())
    usage = (await agent.run("?")).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (20, 91, 16)
    assert usage.details == {"reasoning_tokens": 82}
    with pytest.raises(theirs.UsageLimitExceeded):
        await agent.run("?", usage_limits=UsageLimits(output_tokens_limit=90))
    assert len(stage.bodies) == 2
    assert (await agent.run("?")).response.usage.unmeasured_requests == 1


# ---------------------------------------------------------------- answers

THINKS = Reply("It is 21. Or 4.", reasoning="\nRome?\nOslo?", pieces=3)
CALLS = Reply("", reasoning="hm", tool_calls=[ToolCall("a", {"x": [1, "é"]}, id="1"), ToolCall("b", {}, id="2")])
SEARCHES = Reply("found", web_search=[{"title": "A page", "link": "https://a.example"}])
FILTERED = Reply("half", finish_reason="sensitive", content_filter=[{"role": "assistant", "level": 1}])
SPEAKS = Reply("hi", audio={"id": "sound-1", "data": base64.b64encode(b"RIFF").decode(), "expires_at": 9})


@pytest.mark.parametrize("reply", [THINKS, CALLS, SEARCHES, FILTERED, SPEAKS, Reply("", reasoning="only thoughts")])
async def test_a_streamed_answer_is_the_whole_answer(begin: Begin, reply: Reply) -> None:
    """Parts, tokens, finish reason and details are the same, whichever way an answer comes."""
    stage = await begin(reply, reply)
    model, asked, parameters = stage.model(), [ModelRequest.user_text_prompt("?")], ModelRequestParameters()
    whole = await model.request(asked, None, parameters)
    async with model.request_stream(asked, None, parameters) as stream:
        events = [event async for event in stream]
    assert events
    told = ("parts", "usage", "model_name", "provider_name", "provider_url", "finish_reason", "state")
    assert {name: getattr(stream.get(), name) for name in told} == {name: getattr(whole, name) for name in told}
    assert whole.parts
    assert whole.provider_details is not None
    assert (stream.get().provider_details or {}).keys() | {"request_id"} == whole.provider_details.keys()
    assert whole.provider_details["request_id"] == whole.provider_response_id
    assert stream.get().provider_response_id not in (None, whole.provider_response_id)


async def test_what_has_no_place_is_in_the_details(begin: Begin) -> None:
    """Pages found, the filter's findings, the service's words and calls that it made itself are not lost."""
    listed = {"type": "mcp", "id": "m", "mcp": {"type": "mcp_call", "server_label": "maps"}, "function": {}}
    message = {"role": "assistant", "content": "ok", "tool_calls": [listed]}
    choice = {"index": 0, "finish_reason": "brand_new", "message": message}
    stage = await begin(SEARCHES, FILTERED, Json({"id": "i", "created": 60, "choices": [choice]}))
    responses = [(await Agent(stage.model()).run("?")).response for _ in range(3)]
    found = [response.provider_details or {} for response in responses]
    assert found[0]["web_search"] == [{"title": "A page", "link": "https://a.example"}]
    assert (found[1]["finish_reason"], responses[1].finish_reason) == ("sensitive", "content_filter")
    assert found[1]["content_filter"] == [{"role": "assistant", "level": 1}]
    assert (found[2]["finish_reason"], responses[2].finish_reason) == ("brand_new", None)
    assert found[2]["timestamp"].timestamp() == 60
    assert found[2]["tool_calls"][0]["mcp"] == {"type": "mcp_call", "server_label": "maps"}
    assert responses[2].parts == [TextPart("ok")]
    assert responses[2].model_name == MODEL


def frame(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    """A chunk."""
    return {"id": "f", "model": MODEL, "choices": [{"index": 0, "delta": delta, **choice}]}


async def test_awkward_tool_calls_of_a_stream_are_whole(begin: Begin) -> None:
    """A name that comes after its arguments is that of the call, and a call of the service's own is none to make."""
    stage = await begin(
        Frames([
            frame({"tool_calls": [{"index": 0, "id": "late", "function": {"arguments": '{"x"'}}]}),
            frame({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ": 1}"}}]}),
            frame({"tool_calls": [{"index": 1, "id": "own", "type": "mcp", "mcp": {"type": "mcp_call"}}]}),
            frame({"tool_calls": [{"index": 2, "id": "usual", "function": {"name": "g", "arguments": ""}}]}),
            frame({"tool_calls": [{"index": 2, "function": {"arguments": "{}"}}]}),
            frame({}, finish_reason="tool_calls"),
            DONE,
        ])
    )  # fmt: skip
    asked = [ModelRequest.user_text_prompt("?")]
    async with stage.model().request_stream(asked, None, ModelRequestParameters()) as stream:
        async for _ in stream:
            pass
    response = stream.get()
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    assert {(call.tool_name, call.args, call.tool_call_id) for call in calls} == {
        ("f", '{"x": 1}', "late"),
        ("g", "{}", "usual"),
    }
    assert len(response.parts) == 2
    assert [call["id"] for call in (response.provider_details or {})["tool_calls"]] == ["own"]
    assert response.finish_reason == "tool_call"


async def test_an_agent_streams_text_as_it_comes(begin: Begin) -> None:
    """The pieces of the text come one by one and are the whole text."""
    stage = await begin(Reply("one two three", pieces=4, delivery=Delivery(pause=0.0)))
    async with Agent(stage.model()).run_stream("?") as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
    assert pieces == ["one ", "two ", "thre", "e"]
    assert stage.bodies[0]["stream"] is True


async def test_an_answer_of_a_type_grows_in_a_stream(begin: Begin) -> None:
    """Arguments of the output tool are streamed in pieces where the model can, and partial values are seen."""

    class Names(BaseModel):
        names: list[str]

    reply = Reply("", tool_calls=[ToolCall("final_result", {"names": ["a", "b", "c"]})], delivery=Delivery(pause=0.0))
    stage = await begin(reply, reply, reply)
    seen: list[int] = []
    async with Agent(stage.model(), output_type=Names).run_stream("?") as run:
        seen = [len(partial.names) async for partial in run.stream_output(debounce_by=None)]
    assert seen[-1] == 3
    assert len({*seen}) > 1
    for chosen in (ZhipuModelSettings(zhipu_tool_stream=False), None):
        model = stage.model(MODEL if chosen else "glm-4.5")
        async with Agent(model, output_type=Names, model_settings=chosen).run_stream("?") as run:
            assert len((await run.get_output()).names) == 3
    assert [body.get("tool_stream") for body in stage.bodies] == [True, None, None]


@pytest.mark.parametrize(("created", "kept"), [(1700000000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)), *(
    (odd, odd) for odd in (1700000000000, 1700000000 * 10**9, -(10**18))
)])  # fmt: skip
async def test_a_time_that_is_none_loses_no_answer(begin: Begin, created: int, kept: object) -> None:
    """The service's time is a moment where it is seconds; else it is kept as the number that came."""
    message = {"role": "assistant", "content": "Hi"}
    stage = await begin(Json({"created": created, "choices": [{"index": 0, "message": message}]}))
    (answer,) = (await Agent(stage.model()).run("?")).new_messages()[1:]
    assert isinstance(answer, ModelResponse)
    assert (answer.text, answer.provider_details) == ("Hi", {"timestamp": kept})


async def test_speech_that_cannot_be_read_is_their_error(begin: Begin) -> None:
    """What is no base64 is UnexpectedModelBehavior, with the text of the answer."""
    message = {"role": "assistant", "content": "Hi", "audio": {"id": "a", "data": "b"}}
    stage = await begin(Json({"choices": [{"index": 0, "message": message}]}))
    with pytest.raises(theirs.UnexpectedModelBehavior, match="base64") as caught:
        await Agent(stage.model()).run("?")
    assert caught.value.body == "Hi"


@pytest.mark.parametrize("chosen", [{"max_retries": -1}, {"thinking": "ultra"}], ids=str)
async def test_wrong_settings_are_their_error_too(begin: Begin, chosen: Any) -> None:
    """What is refused before anything is sent is a UserError, for a whole answer and for a stream."""
    stage = await begin()
    agent = Agent(stage.model(), model_settings=chosen)
    with pytest.raises(theirs.UserError):
        await agent.run("?")
    with pytest.raises(theirs.UserError):
        async with agent.run_stream("?"):
            pass
    assert stage.bodies == []


@pytest.mark.parametrize(
    ("address", "name"),
    [("https://api.z.ai/api/paas/v4", "zai"), ("https://z.ai/v4", "zai"), ("https://api.quiz.ai/v4", "zhipuai")],
)
async def test_the_platform_is_that_of_the_host(address: str, name: str) -> None:
    """Prices are looked up under the platform's name; a host that only ends alike is not Z.ai's."""
    async with AsyncZhipuAI("key.secret", base_url=address) as client:
        assert ZhipuProvider(client).name == name


@pytest.mark.parametrize("how", ["left", "cancelled"])
async def test_leaving_a_stream_closes_the_connection(begin: Begin, how: str) -> None:
    """Nothing is read any more when an agent's stream is left or cancelled, and the answer says so."""
    stage = await begin(Reply("word " * 50, delivery=Delivery(pause=0.0, stops_after=9, then="hang")))
    asked = [ModelRequest.user_text_prompt("?")]
    async with stage.model().request_stream(asked, None, ModelRequestParameters()) as stream:
        async for _ in stream:
            if how == "cancelled":
                await stream.cancel()
            else:
                break
    await stage.sim.wait_until(lambda: stage.sim.requests[0].closed_by_peer)
    assert stream.get().state == ("interrupted" if how == "cancelled" else "incomplete")


@pytest.mark.parametrize("who", ["the stream", "the task"])
async def test_a_stream_is_cancelled_while_it_is_waited_for(begin: Begin, who: str) -> None:
    """The task that reads comes to the end when the stream is cancelled, and is cancelled only when it is itself."""
    stage = await begin(Reply("one two", pieces=1, delivery=Delivery(stops_after=3, then="hang", pause=0.0)))
    asked = [ModelRequest.user_text_prompt("?")]
    async with stage.model().request_stream(asked, None, ModelRequestParameters()) as stream:
        begun = asyncio.Event()

        async def read() -> int | None:
            async for _ in stream:
                begun.set()
            task = asyncio.current_task()
            return task and task.cancelling()

        reading = asyncio.create_task(read())
        await begun.wait()
        await asyncio.sleep(0.1)  # it has read what there is, and waits
        if who == "the stream":
            await stream.cancel()
        else:
            reading.cancel()
        async with asyncio.timeout(5):
            (result,) = await asyncio.gather(reading, return_exceptions=True)
        assert result == 0 if who == "the stream" else isinstance(result, asyncio.CancelledError)
    assert stream.get().state == ("interrupted" if who == "the stream" else "incomplete")
    await stage.sim.wait_until(lambda: stage.sim.connections.open == 0)


async def test_speech_is_a_file_and_goes_back_by_its_id(begin: Begin) -> None:
    """A spoken answer is kept beside its text, and the next request refers to it."""
    stage = await begin(SPEAKS, Reply("again"))
    agent = Agent(stage.model("glm-4-voice"))
    first = await agent.run("Say hi")
    (speech,) = [part for part in first.response.parts if isinstance(part, FilePart)]
    assert (speech.id, speech.content.data, speech.content.media_type) == ("sound-1", b"RIFF", "audio/wav")
    assert speech.provider_details == {"expires_at": 9}
    await agent.run("Again", message_history=first.all_messages())
    assert stage.sent[1] == {"role": "assistant", "content": "hi", "audio": {"id": "sound-1"}}


# ---------------------------------------------------------------- what is asked

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(content=texts, reasoning=texts, arguments=st.dictionaries(texts, texts | st.integers(-9, 9), max_size=3))
def test_an_answer_goes_back_as_it_came(content: str, reasoning: str, arguments: dict[str, Any]) -> None:
    """Text, thinking and arguments survive the way into pydantic-ai's history, through JSON, and back."""
    text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}]
    message = msgspec.convert(
        {"content": content, "reasoning_content": reasoning or None, "tool_calls": calls}, ChatMessage
    )
    completion = ChatCompletion(choices=[Choice(message=message)])
    stored = ModelMessagesTypeAdapter.dump_json([ModelResponse(parts=parts(completion, "zai"))])
    history = ModelMessagesTypeAdapter.validate_json(stored)
    (back,) = asyncio.run(conversation(history, ()))
    assert msgspec.to_builtins(back) == msgspec.to_builtins(completion.message)


async def test_answers_of_other_models_are_understood() -> None:
    """Several texts and thoughts of one answer become one of each, and what only another provider knows is left out."""
    from pydantic_ai.messages import CompactionPart, NativeToolCallPart

    others = [
        ThinkingPart("one"), TextPart("a"), NativeToolCallPart("web_search", {}, tool_call_id="w"), ThinkingPart(""),
        ThinkingPart("two"), TextPart("b"),
    ]  # fmt: skip
    history = [
        ModelRequest(parts=[CompactionPart("what was said before")]),
        ModelResponse(parts=others),
        ModelResponse(parts=[]),
    ]
    assert msgspec.to_builtins(await conversation(history, ())) == [
        {"role": "user", "content": "what was said before"},
        {"role": "assistant", "content": "a\n\nb", "reasoning_content": "one\n\ntwo"},
    ]


DATA = base64.b64encode(PNG).decode()
CONTENT: list[tuple[str, Any, Any]] = [
    ("text", "plain", "plain"),
    ("only texts", ["a", TextContent("b"), CachePoint()], "a\n\nb"),
    ("an image by address", [ImageUrl("https://a.example/i.png")],
     [{"type": "image_url", "image_url": {"url": "https://a.example/i.png"}}]),
    ("an image in memory", ["see", BinaryContent(PNG, media_type="image/png")],
     [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}]),
    ("a video", [VideoUrl("https://a.example/v.mp4")],
     [{"type": "video_url", "video_url": {"url": "https://a.example/v.mp4"}}]),
    ("a document", [DocumentUrl("https://a.example/d.pdf")],
     [{"type": "file", "file": {"file_url": "https://a.example/d.pdf"}}]),
    ("a document in memory", [BinaryContent(b"%PDF", media_type="application/pdf", identifier="d")],
     [{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "d.pdf"}}]),
    ("sound", [BinaryContent(b"RIFF", media_type="audio/wav")],
     [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), [row[1:] for row in CONTENT], ids=[row[0] for row in CONTENT])
async def test_users_say_more_than_text(content: Any, expected: Any) -> None:
    """Each kind of content becomes the service's kind of part."""
    request = ModelRequest.user_text_prompt(content)
    (message,) = await conversation([request], ())
    assert msgspec.to_builtins(message) == {"role": "user", "content": expected}


async def test_an_image_is_seen(begin: Begin) -> None:
    """A picture goes to a vision model with the question, and what a tool returned follows its result."""
    stage = await begin(Reply("", tool_calls=[ToolCall("photo", {}, id="p")]), Reply("a dot"))
    agent = Agent(stage.model("glm-4.6v"), instructions="Be brief.")

    @agent.tool_plain
    def photo() -> BinaryContent:
        return BinaryContent(PNG, media_type="image/png", identifier="dot")

    assert (await agent.run(["Look", ImageUrl("https://a.example/i.png")])).output == "a dot"
    told, *system, asked, called, result, shown = stage.sent
    assert "tool result" in told["content"]  # pydantic-ai says what the frame around the picture means
    assert system == [{"role": "system", "content": "Be brief."}]
    assert [message["role"] for message in (asked, called, result, shown)] == ["user", "assistant", "tool", "user"]
    assert result["content"] == "See file dot."
    assert {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}} in shown["content"]


@pytest.mark.parametrize(
    "content", [[UploadedFile("file-1", "openai")], [AudioUrl("http://127.0.0.1:9/a.wav", force_download=True)]]
)
async def test_content_that_cannot_be_sent_is_refused(begin: Begin, content: Any) -> None:
    """A file of another provider, and sound that cannot be fetched, end in an error before anything is sent."""
    stage = await begin()
    with pytest.raises((theirs.UserError, ValueError)):
        await Agent(stage.model()).run(content)
    assert stage.bodies == []


SETTINGS: list[tuple[str, ZhipuModelSettings, dict[str, Any]]] = [
    ("glm-4.6", {"max_tokens": 9, "temperature": 0.5, "top_p": 0.5, "seed": 3, "stop_sequences": ["x"]},
     {"max_tokens": 9, "temperature": 0.5, "top_p": 0.5, "seed": 3, "stop": ["x"]}),
    ("glm-4.6", {"extra_body": {"more": 1}, "timeout": 5}, {"more": 1}),
    ("glm-4.6", {"thinking": True}, {"thinking": {"type": "enabled"}}),
    ("glm-4.6", {"thinking": False}, {"thinking": {"type": "disabled"}}),
    ("glm-4.6", {"thinking": "high"}, {"thinking": {"type": "enabled"}}),
    ("glm-5.2", {"thinking": "medium"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "medium"}),
    ("glm-5.3", {"thinking": "medium"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
    ("glm-5.3", {"thinking": "minimal"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
    ("glm-5.3", {"thinking": False}, {"reasoning_effort": "low"}),
    ("glm-5.3", {"thinking": "low", "zhipu_reasoning_effort": "max"},
     {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
    ("glm-4-plus", {"thinking": True}, {}),
    ("glm-4.6", {"zhipu_clear_thinking": False}, {"thinking": {"clear_thinking": False}}),
    ("glm-4.6", {"thinking": True, "zhipu_clear_thinking": True},
     {"thinking": {"type": "enabled", "clear_thinking": True}}),
    ("glm-4.6", {"zhipu_do_sample": False, "zhipu_user_id": "user-77", "zhipu_request_id": "request-1"},
     {"do_sample": False, "user_id": "user-77", "request_id": "request-1"}),
    ("glm-4.6", {"zhipu_tools": [{"type": "web_search", "web_search": {"search_engine": "search_std"}}]},
     {"tools": [{"type": "web_search", "web_search": {"search_engine": "search_std"}}]}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given_", "expected"), SETTINGS)
async def test_settings_become_fields(
    begin: Begin, name: str, given_: ZhipuModelSettings, expected: dict[str, Any]
) -> None:
    """Each setting is the field of the request that it should be, and nothing else is sent."""
    stage = await begin(Reply("a"))
    before = json.dumps(given_)
    await Agent(stage.model(name), model_settings=given_).run("?")
    assert stage.bodies == [{"model": name, "messages": [{"role": "user", "content": "?"}], **expected}]
    assert json.dumps(given_) == before


async def test_headers_and_time_limits_are_the_calls(begin: Begin) -> None:
    """Headers go along, a time limit in seconds holds, and one of another kind is refused."""
    stage = await begin(Reply("a"), Reply("b", delivery=Delivery(head_after=5)))
    agent = Agent(stage.model())
    await agent.run("?", model_settings={"extra_headers": {"X-Mine": "1"}})
    assert stage.sim.requests[0].headers["X-Mine"] == "1"
    with pytest.raises(theirs.ModelTimeoutError) as caught:
        await agent.run("?", model_settings={"timeout": 0.1})
    assert isinstance(caught.value.__cause__, errors.RequestTimeout)
    assert caught.value.phase == "read"
    with pytest.raises(theirs.UserError, match="seconds"):
        await agent.run("?", model_settings=ModelSettings(timeout=object()))  # type: ignore[typeddict-item]
    assert len(stage.bodies) == 2


LATE = Delivery(head_after=5)
SILENT = Delivery(pause=0.01, stops_after=2, then="hang")
CLOCKS = [
    (httpx.Timeout(0.1), LATE, "first_byte"),
    (httpx.Timeout(None, read=0.1), LATE, "first_byte"),
    (httpx.Timeout(0.1), SILENT, "between"),
    (httpx.Timeout(5, write=0.1), Delivery(body_after=0.3), None),
    (httpx.Timeout(None), Delivery(head_after=0.3), None),
]


@pytest.mark.parametrize(("timeout", "delivery", "clock"), CLOCKS)
async def test_the_phases_of_a_time_limit_are_clocks(
    begin: Begin, timeout: httpx.Timeout, delivery: Delivery, clock: str | None
) -> None:
    """An `httpx.Timeout` is in force phase by phase, None is no limit, and the client's own clocks do not count."""
    stage = await begin(Reply("a b c", delivery=delivery), timeout=Timeouts(first_byte=0.2))

    async def answer() -> str:
        async with Agent(stage.model()).run_stream("?", model_settings={"timeout": timeout}) as run:
            return str(await run.get_output())

    if clock is None:
        assert await answer() == "a b c"
        return
    with pytest.raises(theirs.ModelTimeoutError) as caught:
        await answer()
    assert isinstance(caught.value.__cause__, errors.RequestTimeout)
    assert caught.value.__cause__.clock == clock


async def test_the_limits_of_connecting_and_of_waiting_are_kept_apart(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each phase that a client of ours has a clock for is that clock."""
    stage, asked = await begin(), list[Any]()

    async def create(**arguments: Any) -> ChatCompletion:
        asked.append(arguments["timeout"])
        return ChatCompletion(choices=[Choice(message=ChatMessage(content="a"))])

    monkeypatch.setattr(stage.client.chat.completions, "create", create)
    timeout = httpx.Timeout(connect=1, read=2, write=3, pool=4)
    await Agent(stage.model()).run("?", model_settings={"timeout": timeout})
    assert asked == [Timeouts(connect=1, first_byte=2, between=2, pool=4)]


async def test_settings_that_the_service_does_not_have_are_named(begin: Begin) -> None:
    """pydantic-ai warns of a setting that would be promised and not kept."""
    stage = await begin(Reply("a"))
    agent = Agent(stage.model(), model_settings={"parallel_tool_calls": False})
    agent.tool_plain(lambda: 1, name="one")
    with pytest.warns(theirs.UnsupportedSettingWarning, match="parallel_tool_calls"):
        await agent.run("?")
    assert "parallel_tool_calls" not in stage.bodies[0]


CHOICES: list[tuple[Any, list[str]]] = [
    (None, ["one", "two"]),
    ("auto", ["one", "two"]),
    ("none", []),
    (ToolOrOutput(function_tools=["two"]), ["two"]),
]


@pytest.mark.parametrize(("choice", "offered"), CHOICES)
async def test_a_choice_among_tools_is_made_by_what_is_offered(begin: Begin, choice: Any, offered: list[str]) -> None:
    """Only what may be called is offered; the output tool always is."""
    stage = await begin(Reply("a"), answered("tool"))
    for output, more in ((str, []), (ToolOutput(City), ["final_result"])):
        agent: Agent[None, Any] = Agent(stage.model(), output_type=output)  # pyright: ignore[reportArgumentType]
        agent.tool_plain(lambda: 1, name="one")
        agent.tool_plain(lambda: 2, name="two")
        await agent.run("?", model_settings={"tool_choice": choice})
        names = [tool["function"]["name"] for tool in stage.bodies[-1].get("tools", [])]
        assert names == offered + more


@pytest.mark.parametrize("choice", ["required", ["one"], ToolOrOutput(function_tools=["three"])])
async def test_a_tool_is_not_forced(begin: Begin, choice: Any) -> None:
    """A choice that the service cannot make is refused before anything is sent."""
    stage = await begin()
    parameters = ModelRequestParameters(function_tools=[ToolDefinition(name="one")])
    with pytest.raises(theirs.UserError, match="tool_choice"):
        await stage.model().request([ModelRequest.user_text_prompt("?")], {"tool_choice": choice}, parameters)
    assert stage.bodies == []


async def test_a_message_that_was_not_prepared_is_refused(begin: Begin) -> None:
    """A part that only pydantic-ai can put into words ends in an error that says what to do."""
    stage = await begin()
    request = ModelRequest(parts=[ToolAvailabilityDeltaPart(tools_added=["f"])])
    with pytest.raises(theirs.UserError, match="prepare_messages"):
        await stage.model().request([request], None, ModelRequestParameters())
    assert stage.bodies == []


# ---------------------------------------------------------------- models

PROFILES: list[tuple[str, str, Any]] = [
    ("glm-4.6", "supports_image_input", False),
    ("glm-4.6v", "supports_image_input", True),
    ("glm-4.6v", "supports_json_schema_output", False),
    ("glm-4.6", "context_window", 200 * 1024),
    ("glm-4.6", "supports_thinking", True),
    ("glm-4-plus", "supports_thinking", False),
    ("glm-5.3", "thinking_always_enabled", True),
    ("glm-4-voice", "supports_tools", False),
    ("glm-4-voice", "default_structured_output_mode", "prompted"),
    ("something-new", "supports_image_input", True),
    ("something-new", "supports_thinking", True),
]


@pytest.mark.parametrize(("name", "key", "value"), PROFILES)
async def test_pydantic_ai_knows_what_a_model_can_do(begin: Begin, name: str, key: str, value: Any) -> None:
    """The profile is what the table of models says; an unknown model can do everything."""
    stage = await begin()
    profile: Any = stage.model(name).profile
    assert profile[key] == value


async def test_what_a_model_cannot_do_is_refused(begin: Begin) -> None:
    """Native output of a vision model, which has no JSON mode, is an error before anything is sent."""
    stage = await begin()
    with pytest.raises(theirs.UserError, match="Native structured output"):
        await Agent(stage.model("glm-4.6v"), output_type=NativeOutput(City)).run("?")
    assert stage.bodies == []


@pytest.mark.parametrize(
    ("base_url", "system"),
    [("zai", "zai"), ("zai-coding", "zai"), ("bigmodel", "zhipuai"), ("https://not-z.ai.example/v4", "zhipuai")],
)
async def test_the_platform_is_named(base_url: str, system: str) -> None:
    """A model of api.z.ai is one of ``zai``, all others are of ``zhipuai``."""
    async with AsyncZhipuAI("key.secret", base_url=base_url) as client:
        model = ZhipuModel(MODEL, client=client)
        assert (model.system, model.model_id, model.client) == (system, f"{system}:{MODEL}", client)
        assert model.base_url == client.base_url
        assert "secret" not in repr(model)


# ---------------------------------------------------------------- errors

REFUSALS: list[tuple[Answer, type[Exception], type[errors.ZhipuError], int | None, str | None]] = [
    (Refusal(1214), theirs.ModelRequestRejectedError, errors.BadRequestError, 400, "1214"),
    (Refusal(1211), theirs.ModelNotFoundError, errors.BadRequestError, 400, "1211"),
    (Refusal(1261), theirs.ModelContextWindowExceededError, errors.ContextLengthError, 400, "1261"),
    (Refusal(1002), theirs.ModelAuthenticationError, errors.AuthenticationError, 401, "1002"),
    (Refusal(1220), theirs.ModelAuthenticationError, errors.PermissionDeniedError, 403, "1220"),
    (Refusal(1113), theirs.ModelQuotaExceededError, errors.AccountError, 429, "1113"),
    (Refusal(1308), theirs.ModelQuotaExceededError, errors.QuotaError, 429, "1308"),
    (Refusal(1302), theirs.ModelRateLimitError, errors.RateLimitError, 429, "1302"),
    (Refusal(1305), theirs.ModelOverloadedError, errors.OverloadedError, 429, "1305"),
    (Refusal(1234), theirs.ModelServerError, errors.ServerError, 500, "1234"),
    (Refusal(1301), theirs.ContentFilterError, errors.ContentFilterError, None, None),
    (ErrorFrame(1302), theirs.ModelRateLimitError, errors.RateLimitError, 429, "1302"),
    (ErrorFrame(1234, after=["a"]), theirs.ModelServerError, errors.ServerError, 500, "1234"),
    (HangUp(), theirs.ModelConnectionError, errors.ConnectionLost, None, None),
    (Reply("a b", final_chunk=False, done=False), theirs.ModelConnectionError, errors.StreamTruncated, None, None),
    (Json([]), theirs.UnexpectedModelBehavior, errors.DecodeError, None, None),
]


@pytest.mark.parametrize(("answer", "kind", "cause", "status", "code"), REFUSALS)
async def test_errors_are_pydantic_ais(
    begin: Begin,
    answer: Answer,
    kind: type[Exception],
    cause: type[Exception],
    status: int | None,
    code: str | None,
) -> None:
    """Each error is of the category that fits, with ours as its cause, whole and in a stream."""
    in_stream = isinstance(answer, ErrorFrame | Reply)
    stage = await begin(answer, answer)
    agent = Agent(stage.model())

    async def streamed() -> None:
        async with agent.run_stream("?") as run:
            await run.get_output()

    ways: list[Callable[[], Awaitable[Any]]] = [streamed]
    if not in_stream:
        ways.append(lambda: agent.run("?"))
    for way in ways:
        with pytest.raises(kind) as caught:
            await way()
        error: Any = caught.value
        assert type(error.__cause__) is cause
        if status is not None:
            assert (error.status_code, error.provider_error_code, error.in_stream) == (status, code, in_stream)
            assert error.body["error"]["code"] in (code, int(code or 0))
            assert error.hint == error.__cause__.hint
        elif kind is theirs.ModelConnectionError:
            assert error.phase == "read"


async def test_wrong_use_is_a_user_error(begin: Begin) -> None:
    """A client that was closed, and an argument that cannot be sent, are the caller's errors."""
    stage = await begin()
    with pytest.raises(theirs.UserError) as caught:
        await Agent(stage.model()).run("?", model_settings={"temperature": float("nan")})
    assert isinstance(caught.value.__cause__, errors.ConfigError)
    await stage.client.close()
    with pytest.raises(theirs.UserError) as caught:
        await Agent(stage.model()).run("?")
    assert isinstance(caught.value.__cause__, errors.ClientClosedError)


@pytest.mark.parametrize(
    ("error", "kind", "phase"),
    [
        (errors.RequestTimeout("t", clock="connect"), theirs.ModelTimeoutError, "connect"),
        (errors.RequestTimeout("t", clock="between"), theirs.ModelTimeoutError, "read"),
        (errors.PoolTimeout("t"), theirs.ModelTimeoutError, "pool"),
        (errors.PoolFull("t"), theirs.ModelConnectionError, "pool"),
        (errors.ConnectError("t"), theirs.ModelConnectionError, "connect"),
        (errors.ResponseTooLarge("t"), theirs.ModelConnectionError, "read"),
        (errors.StreamCorrupted("t", raw="x"), theirs.ModelConnectionError, "read"),
        (errors.AnswerInvalid("t"), theirs.ModelAPIError, None),
    ],
)
def test_where_a_connection_failed_is_told(error: errors.ZhipuError, kind: type[Exception], phase: str | None) -> None:
    """Each error of the transport says how far the request came."""
    with pytest.raises(kind) as caught, errors_as_theirs(MODEL):
        raise error
    assert caught.value.__cause__ is error
    assert getattr(caught.value, "phase", None) == phase


async def test_nobody_listens(begin: Begin) -> None:
    """A connection that could not be made is told as such: nothing was sent."""
    async with AsyncZhipuAI("k.s", base_url="http://127.0.0.1:9/v4", retry=RetryPolicy(retries=0)) as client:
        with pytest.raises(theirs.ModelConnectionError) as caught:
            await Agent(ZhipuModel(MODEL, client=client)).run("?")
    assert caught.value.phase == "connect"


async def test_another_model_takes_over(begin: Begin) -> None:
    """pydantic-ai's fallback works on our errors."""
    stage = await begin(Refusal(1113), Reply("from the other"))
    agent = Agent(FallbackModel(stage.model(), stage.model("glm-4.5-air")))
    assert (await agent.run("?")).output == "from the other"
    assert [body["model"] for body in stage.bodies] == [MODEL, "glm-4.5-air"]


FAILED = [
    (Reply("half of it", finish_reason="network_error"), False),
    (Reply("", finish_reason="network_error"), True),
    (Reply("half", finish_reason="network_error", tool_calls=[ToolCall("f", {})]), False),
]


@pytest.mark.parametrize(("reply", "nothing_was_streamed"), FAILED)
async def test_an_answer_that_failed_inside_the_service_is_an_error(
    begin: Begin, reply: Reply, nothing_was_streamed: bool
) -> None:
    """`network_error` is no answer, whole or streamed, and another model takes over where nothing was told yet."""
    other = Reply("from the other")
    stage = await begin(reply, reply, reply, other, reply, other)
    agent = Agent(stage.model())
    agent.tool_plain(name="f")(lambda: 1)

    async def streamed(agent: Agent[None, str]) -> str:
        async with agent.run_stream("?") as run:
            return await run.get_output()

    for in_stream in (False, True):
        with pytest.raises(theirs.ModelServerError) as caught:
            await (streamed(agent) if in_stream else agent.run("?"))
        assert caught.value.in_stream is in_stream
        assert isinstance(caught.value.__cause__, errors.StreamFailed)
        assert caught.value.__cause__.partial.text == (reply.content or "")
    both = Agent(FallbackModel(stage.model(), stage.model("glm-4.5-air")))
    assert (await both.run("?")).output == "from the other"
    if nothing_was_streamed:
        assert await streamed(both) == "from the other"
    else:
        with pytest.raises(theirs.ModelServerError):
            await streamed(both)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_filtered_answer_is_what_pydantic_ai_makes_of_it(begin: Begin, streamed: bool) -> None:
    """Text that was stopped is told by `finish_reason`; pydantic-ai's own ways to refuse it work."""
    stage = await begin(FILTERED, FILTERED)

    async def ask(agent: Agent[None, str]) -> ModelResponse:
        if not streamed:
            return (await agent.run("?")).response
        async with agent.run_stream("?") as run:
            await run.get_output()
            return run.response

    response = await ask(Agent(stage.model()))
    assert (response.text, response.finish_reason) == ("half", "content_filter")
    with pytest.raises(theirs.ContentFilterError, match="sensitive"):
        await ask(Agent(stage.model(), capabilities=[RaiseContentFilterError()]))


async def test_another_model_takes_over_from_a_filter(begin: Begin) -> None:
    """A fallback on ContentFilterError does not take text that was stopped for an answer."""
    stage = await begin(FILTERED, Reply("from the other"))
    models = FallbackModel(stage.model(), stage.model("glm-4.5-air"), fallback_on=theirs.ContentFilterError)
    assert (await Agent(models).run("?")).output == "from the other"


async def test_the_client_repeats_what_may_be_repeated(begin: Begin) -> None:
    """A refusal that passes is not seen by the agent, unless the setting says that nothing is to be repeated."""
    stage = await begin(Refusal(1302), Reply("a"), Refusal(1302), Reply("b"), retry=RetryPolicy(retries=1, base=0.001))
    agent = Agent(stage.model())
    result = await agent.run("?")
    assert (result.output, result.usage.requests, len(stage.bodies)) == ("a", 1, 2)
    with pytest.raises(theirs.ModelRateLimitError):
        await agent.run("?", model_settings={"max_retries": 0})
    assert len(stage.bodies) == 3


@pytest.mark.parametrize(
    ("reason", "kind"), [("sensitive", theirs.ContentFilterError), ("length", theirs.UnexpectedModelBehavior)]
)
async def test_an_answer_without_anything_is_told_by_its_finish_reason(
    begin: Begin, reason: str, kind: type[Exception]
) -> None:
    """What was filtered, or cut off while thinking, is not asked for again."""
    stage = await begin(Reply(None, reasoning="thinking", finish_reason=reason))
    with pytest.raises(kind):
        await Agent(stage.model()).run("?")
    assert len(stage.bodies) == 1


def test_without_pydantic_ai_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import fails with a text that names the extra."""
    for name in [name for name in sys.modules if name.startswith("zhipu_async.integrations.pydantic_ai")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic_ai.exceptions", None)
    with pytest.raises(ImportError, match=r"pip install 'zhipu-async\[pydantic-ai\]'"):
        importlib.import_module("zhipu_async.integrations.pydantic_ai")


def test_thinking_has_an_id_that_pydantic_ais_own_model_knows() -> None:
    """Histories can move to and from pydantic-ai's model of Z.ai: the thinking is marked as there."""
    message = ChatMessage(content="a", reasoning_content="b")
    found = parts(ChatCompletion(choices=[Choice(message=message)]), "zai")
    assert found == [ThinkingPart("b", id="reasoning_content", provider_name="zai"), TextPart("a")]


async def test_results_of_tools_are_told_even_when_they_failed() -> None:
    """A tool's failure goes to the model as a failure."""
    part = ToolReturnPart(tool_name="f", content="broke", tool_call_id="c", outcome="failed")
    (message,) = await conversation([ModelRequest(parts=[part])], ())
    assert msgspec.to_builtins(message) == {"role": "tool", "tool_call_id": "c", "content": '{"error":"broke"}'}
