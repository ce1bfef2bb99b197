"""A tool call whose arguments are streamed in pieces, the tool's answer, and what the model makes of it."""

import asyncio
import json

from service import connect

from zhipu_async import (
    FunctionDefinition,
    FunctionTool,
    Message,
    ToolCallDelta,
    ToolCallStarted,
    ToolMessage,
    UserMessage,
)

WEATHER = FunctionTool(
    function=FunctionDefinition(
        name="get_weather",
        description="The weather of a city now.",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    )
)


def get_weather(arguments: str) -> str:
    """The tool. Its arguments are text that a model wrote: what is wrong with them is told to the model."""
    try:
        city = json.loads(arguments)["city"]
    except (ValueError, KeyError, TypeError) as error:
        return json.dumps({"error": f"bad arguments: {error!r}"})
    return json.dumps({"city": city, "celsius": 21, "sky": "clear"})


async def main() -> None:
    messages: list[Message] = [UserMessage("What is the weather in Tokyo? Use the tool.")]
    async with connect() as client:
        stream = await client.chat.completions.create(
            model="glm-4.7-flash", messages=messages, tools=[WEATHER], stream=True, tool_stream=True
        )
        async for event in stream.events():
            if isinstance(event, ToolCallStarted):
                print("call of", event.name, end=": ")
            elif isinstance(event, ToolCallDelta):
                print(event.arguments, end="|", flush=True)
        print("\nfinish reason:", stream.result.finish_reason)

        messages.append(stream.result.message)  # with the tool calls and the reasoning
        for call in stream.result.tool_calls:
            result = get_weather(call.function.arguments)
            print("result:", result)
            messages.append(ToolMessage(content=result, tool_call_id=call.id or ""))

        answer = await client.chat.completions.create(model="glm-4.7-flash", messages=messages, tools=[WEATHER])
        print("answer:", answer.text)


asyncio.run(main())
