"""A conversation with thinking, a streamed tool call and a follow-up: with the service, or with the simulator."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from ..client import AsyncZhipuAI
from ..config import KEY_VARIABLES, key_in_environment
from ..simulator import Pace, Reply, Scenario, SeenRequest, Simulator
from ..simulator import ToolCall as SimulatedCall
from ..types.chat import ChatCompletion, Thinking
from ..types.messages import Message, SystemMessage, ToolMessage, UserMessage
from ..types.tools import FunctionDefinition, FunctionTool, ToolCall
from ..version import VERSION
from .terminal import Display, say

QUESTIONS = ("What should I wear in Beijing today? Look at the weather first.", "谢谢！请用一句中文总结。")
TIMEOUT = 60.0
"""Seconds without a first token, or between two, after which the real service is given up."""
_ROUNDS = 3
"""Tool calls in a row before the next question."""
_PACE = Pace(first_token=0.4, per_chunk=0.03)
_GUTTER = 10


class Place(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of the tool."""

    city: str


WEATHER = FunctionTool(
    function=FunctionDefinition(
        name="get_weather",
        description="The weather of a city now.",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    )
)


def get_weather(arguments: str) -> str:
    """The tool: sample data for any city; arguments that do not fit are told to the model, which can mend them."""
    try:
        place = msgspec.json.decode(arguments, type=Place)
    except msgspec.DecodeError as error:
        return json.dumps({"error": str(error)})
    weather = {"city": place.city, "celsius": 4, "sky": "light rain", "wind": "fresh, north"}
    return json.dumps(weather, ensure_ascii=False)


async def demonstrate(model: str, base_url: str | None, *, simulated: bool, console: Console) -> None:
    """Hold the conversation; without a key in the environment, or with ``simulated``, the simulator answers."""
    async with _client(base_url, simulated=simulated or not key_in_environment()) as (client, where):
        say(console, f"zhipu-async {VERSION}", "bold")
        say(console, f"  {model} at {where}\n", "dim")
        replies = await _converse(client, model, console)
    console.print()
    console.print(_table(replies))


async def _converse(client: AsyncZhipuAI, model: str, console: Console) -> list[ChatCompletion]:
    replies: list[ChatCompletion] = []
    display = Display(console, console, gutter=_GUTTER)
    messages: list[Message] = [SystemMessage("Answer in two or three short sentences.")]
    for question in QUESTIONS:
        console.print()
        display.line("you", question, "bold green", "bold")
        messages.append(UserMessage(question))
        for _ in range(_ROUNDS):
            stream = await client.chat.completions.create(
                model=model,
                messages=messages,
                tools=[WEATHER],
                thinking=Thinking(type="enabled"),
                stream=True,
                tool_stream=True,
            )
            reply = await display.show(stream)
            replies.append(reply)
            messages.append(reply.message)
            messages.extend(_answers(reply.tool_calls, display))
            if not reply.tool_calls:
                break
    return replies


def _answers(calls: list[ToolCall], display: Display) -> Iterator[ToolMessage]:
    for call in calls:
        result = get_weather(call.function.arguments)
        display.line("result", result, "cyan", "cyan")
        yield ToolMessage(content=result, tool_call_id=call.id or "")


def _table(replies: list[ChatCompletion]) -> Table:
    table = Table("call", "ended with", box=None, pad_edge=False, header_style="dim")
    for heading in ("prompt", "completion", "thinking", "first token", "total"):
        table.add_column(heading, justify="right")
    for number, reply in enumerate(replies, 1):
        usage, timing = reply.usage, reply.timing
        details = usage.completion_tokens_details if usage else None
        tokens = (
            usage.prompt_tokens if usage else None,
            usage.completion_tokens if usage else None,
            details.reasoning_tokens if details else None,
        )
        seconds = (timing.first_token, timing.total) if timing else (None, None)
        table.add_row(
            str(number),
            reply.finish_reason or "",
            *("-" if count is None else str(count) for count in tokens),
            *("-" if time is None else f"{time:.2f} s" for time in seconds),
        )
    return table


# ---------------------------------------------------------------- who answers


@asynccontextmanager
async def _client(base_url: str | None, *, simulated: bool) -> AsyncGenerator[tuple[AsyncZhipuAI, str], None]:
    """A client, and in words where its answers come from."""
    if not simulated:
        async with AsyncZhipuAI(base_url=base_url, timeout=TIMEOUT) as client:
            yield client, client.base_url
        return
    async with (
        Simulator(Scenario(replies=_played, pace=_PACE)) as simulator,
        AsyncZhipuAI(simulator.api_key, base_url=simulator.base_url, timeout=TIMEOUT) as client,
    ):
        why = "" if key_in_environment() else f": set {next(iter(KEY_VARIABLES))} to talk to the real service"
        yield client, f"a simulated service in this process{why}"


def _played(request: SeenRequest) -> Reply:
    """The simulated model's part. It speaks of what the tool really said, so a lost tool message would show."""
    messages: list[Mapping[str, Any]] = request.get("messages", [])
    last = messages[-1]
    if last.get("role") == "tool":
        weather = json.loads(last["content"])
        return Reply(
            f"It is {weather['celsius']} °C in {weather['city']} with {weather['sky']}.\n"
            "Wear a warm, waterproof coat and good shoes, and take a hat rather than an\n"
            f"umbrella: the wind is {weather['wind']}.",
            reasoning="Close to freezing, rain and wind. So: warm, waterproof, and no umbrella.",
        )
    if any(message.get("role") == "tool" for message in messages):
        return Reply(
            "北京今天冷、有小雨、风大：穿保暖防水的外套，戴帽子，不用带伞。",
            reasoning="用户要一句中文总结，天气刚才已经查过，不用再查。",
        )
    return Reply(
        None,
        reasoning="The user asks what to wear in Beijing and wants me to look at the weather first.\n"
        "There is a tool for that: get_weather takes a city.",
        tool_calls=[SimulatedCall("get_weather", {"city": "Beijing"})],
    )
