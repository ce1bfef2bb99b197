"""The call surface as both type checkers see it. Nothing here runs: mypy --strict and pyright strict read it.

A line that must be refused carries an ignore comment, and both checkers report an ignore comment that is not needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, assert_type

from zhipu_async import (
    AsyncResult,
    AsyncZhipuAI,
    Batch,
    Binary,
    Call,
    CallDecoded,
    CallReturned,
    ChatCompletion,
    ChatCompletionChunk,
    Download,
    FanOut,
    ImagePart,
    ParserTask,
    PythonTool,
    RawResponse,
    Stream,
    SystemMessage,
    TextPart,
    Thinking,
    Timeouts,
    ToolCall,
    ToolCallDelta,
    ToolMessage,
    ToolRun,
    ToolRunResult,
    TurnFinished,
    UserMessage,
    VideoTask,
    WebSearchTool,
    tool,
)
from zhipu_async.resources import Completions, Embeddings
from zhipu_async.tools import AnyTool
from zhipu_async.types.agents import AgentResponse
from zhipu_async.types.audio import SpeechAudio, SpeechChunk, Transcription, TranscriptionChunk
from zhipu_async.types.batches import BatchList
from zhipu_async.types.documents import ParserResult
from zhipu_async.types.files import FileDeleted, FileList, FileObject
from zhipu_async.types.images import ImageList
from zhipu_async.types.models import ModelList
from zhipu_async.types.texts import EmbeddingResponse


async def plain(client: AsyncZhipuAI) -> None:
    """Without stream, or with stream=False, a completion."""
    messages: list[dict[str, str]] = [{"role": "user", "content": "Hello"}]
    reply = await client.chat.completions.create(model="glm-4.6", messages=messages)
    assert_type(reply, ChatCompletion)
    assert_type(reply.text, str)
    assert_type(await client.chat.completions.create(model="m", messages=messages, stream=False), ChatCompletion)
    assert_type(await client.models.list(), ModelList)


async def many(client: AsyncZhipuAI, names: dict[str, str]) -> None:
    """Outcomes have the type of the answers, of prompts too; a list may hold calls of several endpoints."""
    embeddings = AsyncZhipuAI.embeddings.create.call
    chat = AsyncZhipuAI.chat.completions.create.call
    assert_type(client.fan_out(embeddings(model="m", input=name) for name in names), FanOut[EmbeddingResponse])
    named = client.fan_out({key: embeddings(model="m", input=name) for key, name in names.items()}, ordered=True)
    assert_type([outcome.unwrap() async for outcome in named], list[EmbeddingResponse])
    assert_type(client.fan_out(names, model="m", temperature=0.1, window=3), FanOut[ChatCompletion])
    client.fan_out([embeddings(model="m", input="a"), chat(model="m", messages=[])])


async def streamed(client: AsyncZhipuAI) -> None:
    """With stream=True a stream of chunks, whose result is the completion."""
    stream = await client.chat.completions.create(
        model="glm-4.6",
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        tool_stream=True,
        timeout=Timeouts(first_token=5),
        extra_headers={"X-A": "b"},
    )
    assert_type(stream, Stream[ChatCompletionChunk, ChatCompletion])
    async with stream:
        async for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)
    assert_type(stream.result, ChatCompletion)
    assert_type(await stream.until_done(), ChatCompletion)
    async for text in stream.text_deltas():
        assert_type(text, str)
    async for event in stream.events():
        if event.type == "finished":
            print(event)


async def either(client: AsyncZhipuAI, flag: bool) -> None:
    """With a plain bool, one or the other."""
    answer = await client.chat.completions.create(model="m", messages=[], stream=flag)
    assert_type(answer, ChatCompletion | Stream[ChatCompletionChunk, ChatCompletion])


async def structs(client: AsyncZhipuAI) -> None:
    """Structs, dicts and earlier replies mix."""
    reply = await client.chat.completions.create(
        model="glm-4.6v",
        messages=[SystemMessage("Be brief."), UserMessage([ImagePart.from_url("https://x.test/a.png"), TextPart("?")])],
        thinking=Thinking(type="enabled"),
    )
    await client.chat.completions.create(
        model="glm-4.6",
        messages=[
            {"role": "user", "content": "Hello"},
            reply.message,
            ToolMessage(content="1", tool_call_id="call_1"),
        ],
        thinking={"type": "disabled"},
    )


async def tasks(client: AsyncZhipuAI) -> None:
    """Methods return real coroutines."""
    coroutine = client.chat.completions.create(model="m", messages=[])
    task = asyncio.create_task(assert_type(coroutine, Coroutine[Any, Any, ChatCompletion]))
    assert_type(await task, ChatCompletion)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.models.list())


async def raw(client: AsyncZhipuAI) -> None:
    """Calls without an endpoint of their own."""
    assert_type(await client.request("GET", "/x"), RawResponse)
    assert_type(await client.request("GET", "/x", response_type=ModelList), ModelList)


async def other_endpoints(client: AsyncZhipuAI) -> None:
    """Structs, ids by position, files, streams beside files, aliases."""
    assert_type(await client.embeddings.create(model="embedding-3", input=["a", "b"]), EmbeddingResponse)
    assert_type(await client.files.delete("file-1"), FileDeleted)
    assert_type(await client.files.create(file="a.jsonl", purpose="batch", progress=print), FileObject)
    assert_type(await client.images.generations(model="cogview-4", prompt="a"), ImageList)
    assert_type(await client.audio.transcriptions.create(model="glm-asr-2512", file=b"x"), Transcription)
    transcribing = await client.audio.transcriptions.create(model="glm-asr-2512", file=b"x", stream=True)
    assert_type(transcribing, Stream[TranscriptionChunk, Transcription])
    assert_type(await client.agents.invoke(agent_id="a", messages=[]), AgentResponse)


async def files(client: AsyncZhipuAI) -> None:
    """A file in memory, as it arrives, under a path; speech also as a stream."""
    assert_type(await client.files.content("file-1"), Binary)
    assert_type(await client.files.content.open("file-1"), Download)
    assert_type(await client.files.content.to_file("a.jsonl", "file-1", progress=print), Path)
    assert_type(await client.download("https://x.test/a.png", timeout=3), Binary)
    assert_type(await client.download.to_file("a.png", "https://x.test/a.png"), Path)
    assert_type(await client.audio.speech(model="glm-tts", input="a", voice="tongtong"), Binary)
    speaking = await client.audio.speech(model="glm-tts", input="a", voice="tongtong", stream=True)
    assert_type(speaking, Stream[SpeechChunk, SpeechAudio])


async def lists(client: AsyncZhipuAI) -> None:
    """One page, all elements, all pages."""
    assert_type(await client.files.list(purpose="batch"), FileList)
    async for file in client.files.list(purpose="batch"):
        assert_type(file, FileObject)
    async for page in client.batches.list().pages():
        assert_type(page, BatchList)
    asyncio.create_task(client.files.list(purpose="batch"))  # noqa: RUF006


async def waiting(client: AsyncZhipuAI) -> None:
    """Each kind of task has its own result."""
    video = await client.videos.generations(model="cogvideox-3", prompt="a")
    assert_type(video, VideoTask)
    assert_type(await client.wait(video, timeout=600), AsyncResult)
    assert_type(await client.wait(VideoTask(id="1")), AsyncResult)
    assert_type(await client.wait(Batch(id="1"), progress=lambda batch: print(batch.status)), Batch)
    assert_type(await client.wait(ParserTask(task_id="1")), ParserResult)


def calls() -> None:
    """Unsent calls are typed by their answer."""
    assert_type(Completions.create.call(model="m", messages=[]), Call[ChatCompletion])
    assert_type(Embeddings.create.call(model="m", input="a"), Call[EmbeddingResponse])


@tool
async def get_weather(city: str, days: Annotated[int, "0 is today"] = 0) -> str:
    """Weather of a city."""
    return f"{city} {days}"


@tool(name="sum", timeout=2.0)
def add(a: float, b: float = 0.0) -> float:
    """Add."""
    return a + b


def look(place: str) -> str:
    """Look."""
    return place


async def tools(client: AsyncZhipuAI) -> None:
    """A tool keeps the signature of its function; a run takes functions, tools of the service and plain objects."""
    assert_type(await get_weather("Bonn", days=1), str)
    assert_type(add(1, b=2), float)
    assert_type(add.name, str)
    assert_type(add.decode("{}"), dict[str, Any])
    made: PythonTool[[str], str] = tool(look)
    assert_type(made("here"), str)
    offered: list[AnyTool] = [get_weather, look]
    run = client.chat.completions.run_tools(
        model="glm-4.6",
        messages=[UserMessage("Hello"), {"role": "user", "content": "Hello"}],
        tools=[get_weather, add, look, WebSearchTool(web_search={}), {"type": "mcp", "mcp": {"server_label": "s"}}],
        stream=True,
        tool_stream=True,
        approve=allow,
        on_error="raise",
        token_budget=1000,
    )
    assert_type(run, ToolRun)
    async with run:
        async for event in run:
            if isinstance(event, ToolCallDelta):
                assert_type(event.call.name, str)
                print(event.call.partial.value, event.call.partial.complete)
            elif event.type == "turn.finished":
                assert_type(event, TurnFinished)
            elif isinstance(event, CallReturned):
                assert_type(event.error, Exception | None)
    assert_type(run.result, ToolRunResult)
    result = await client.chat.completions.run_tools(
        model="m", messages=run.messages, tools=offered, approve=lambda decoded: decoded.call.id == "1"
    )
    assert_type(result, ToolRunResult)
    assert_type(result.text, str)
    assert_type(result.pending, list[ToolCall])
    await client.chat.completions.run_tools(model="m", messages=result.messages, tools=[])


async def allow(decoded: CallDecoded) -> bool | str:
    """A hook."""
    return decoded.arguments.get("city") == "Bonn" or "only Bonn"


async def refused_tools(client: AsyncZhipuAI) -> None:
    """Wrong arguments of tools, and of runs."""
    await get_weather(5)  # type: ignore[arg-type]
    add("1")  # type: ignore[arg-type]
    tool(look, name="x")  # type: ignore[call-overload]
    tool(nmae="x")  # type: ignore[call-overload]
    run = client.chat.completions.run_tools
    run(model="m", messages=[], tools=[3])  # type: ignore[list-item]
    run(model="m", messages=[], tools=[look], on_error="ignore")  # type: ignore[arg-type]
    run(model="m", messages=[], tools=[look], max_step=3)  # type: ignore[call-arg]
    run(model="m", messages=[], tools=[look], approve=look)  # type: ignore[arg-type]


async def refused(client: AsyncZhipuAI) -> None:
    """Typos, missing and mistyped arguments."""
    create = client.chat.completions.create
    await create(model="m", messages=[], temprature=1.0)  # type: ignore[call-overload]
    await create(model="m")  # type: ignore[call-overload]
    await create(model=4, messages=[])  # type: ignore[call-overload]
    await create(model="m", messages=[], temperature="hot")  # type: ignore[call-overload]
    await client.embeddings.create(model="m", inputs="a")  # type: ignore[call-arg]
    await client.files.content(5)  # type: ignore[arg-type]
    await client.wait("id")  # type: ignore[call-overload]
    AsyncZhipuAI(base_ulr="zai")  # type: ignore[call-arg]
    AsyncZhipuAI(auth="basic")  # type: ignore[arg-type]


async def parsing(client: AsyncZhipuAI, messages: list[dict[str, str]]) -> None:
    """An answer has the type that was asked for, by position or by name; checkers see no unions as types."""
    from dataclasses import dataclass
    from enum import Enum
    from typing import NamedTuple, TypedDict

    import msgspec
    import pydantic

    from zhipu_async.structured import Parsed, ParseRun

    class Recipe(msgspec.Struct):
        title: str

    class Menu(TypedDict):
        dishes: list[str]

    class Pair(NamedTuple):
        left: int

    @dataclass
    class Order:
        items: list[str]

    class Color(Enum):
        RED = "red"

    class Bill(pydantic.BaseModel):
        total: float

    parse = client.chat.completions.parse
    assert_type(parse(Recipe, model="m", messages=messages), ParseRun[Recipe])
    assert_type(await parse(Recipe, model="m", messages=messages), Parsed[Recipe])
    assert_type((await parse(Recipe, model="m", messages=messages, mode="tool", max_requests=1)).value, Recipe)
    assert_type((await parse(response_type=Recipe, model="m", messages=messages)).value, Recipe)
    assert_type(parse(list[Recipe], model="m", messages=messages), ParseRun[list[Recipe]])
    assert_type(parse(dict[str, int], model="m", messages=messages, temperature=0.1), ParseRun[dict[str, int]])
    assert_type(parse(Menu, model="m", messages=messages), ParseRun[Menu])
    assert_type(parse(Pair, model="m", messages=messages), ParseRun[Pair])
    assert_type(parse(Order, model="m", messages=messages), ParseRun[Order])
    assert_type(parse(Color, model="m", messages=messages), ParseRun[Color])
    assert_type(parse(Bill, model="m", messages=messages), ParseRun[Bill])
    assert_type(parse(Recipe | None, model="m", messages=messages), ParseRun[Any])
    assert_type(parse(response_type=Recipe | None, model="m", messages=messages), ParseRun[Any])
    either: ParseRun[Recipe | None] = parse(Recipe | None, model="m", messages=messages)
    assert_type((await either).value, Recipe | None)
    async with parse(Recipe, model="m", messages=messages) as run:
        async for partial in run:
            print(partial, run.requests)
    assert_type(run.result.value, Recipe)
    parse(Recipe, model="m", messages=messages, temprature=1.0)  # type: ignore[call-overload]
    parse(Recipe | None, model="m", messages=messages, temprature=1.0)  # type: ignore[call-overload]
    parse(Recipe, model="m", messages=messages, mode="xml")  # type: ignore[call-overload]
    parse(Recipe, model="m", messages=messages, stream=True)  # type: ignore[call-overload]
    parse(Recipe, model="m")  # type: ignore[call-overload]
    parse(model="m", messages=messages)  # type: ignore[call-overload]
