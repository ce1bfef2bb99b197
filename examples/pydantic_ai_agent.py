"""A GLM model in an agent of pydantic-ai: tools, an answer of a type, a question that follows, streamed.

Needs ``pip install 'zhipu-async[pydantic-ai]'``.
"""

import asyncio
import sys

from service import connect

from zhipu_async.simulator import Delivery, Reply, Scenario, ToolCall

try:
    from pydantic import BaseModel
    from pydantic_ai import Agent

    from zhipu_async.integrations.pydantic_ai import ZhipuModel, ZhipuModelSettings
except ImportError as error:
    sys.exit(f"this example needs pydantic-ai: pip install 'zhipu-async[pydantic-ai]' ({error})")


class Advice(BaseModel):
    city: str
    celsius: int
    pack: list[str]


def celsius(city: str) -> int:
    """The temperature in a city, in degrees Celsius."""
    degrees = {"Oslo": 4, "Lisbon": 19}[city]
    print(f"celsius({city!r}) gives {degrees}")
    return degrees


async def main() -> None:
    async with connect(TALK) as client:  # its limits, retries and time-outs hold for the agent too
        model = ZhipuModel("glm-4.7-flash", client=client, settings=ZhipuModelSettings(zhipu_clear_thinking=False))
        adviser = Agent(model, output_type=Advice, tools=[celsius], instructions="Look up the weather, then advise.")
        result = await adviser.run("Oslo or Lisbon this weekend?")
        print("advice:", result.output)

        writer = Agent(model)
        async with writer.run_stream("Tell me in a sentence.", message_history=result.all_messages()) as run:
            async for piece in run.stream_text(delta=True, debounce_by=None):
                print(piece, end="|", flush=True)
        usage = result.usage + run.usage
        print(f"\n{usage.requests} requests, {usage.input_tokens + usage.output_tokens} tokens")
        print("thought:", *(message.thinking for message in run.all_messages() if getattr(message, "thinking", None)))


TALK = Scenario(
    replies=[
        Reply(
            reasoning="Two cities, two questions.",
            tool_calls=[ToolCall("celsius", {"city": city}) for city in ("Oslo", "Lisbon")],
        ),
        Reply(tool_calls=[ToolCall("final_result", {"city": "Lisbon", "celsius": 19, "pack": ["a light coat"]})]),
        Reply("Go to Lisbon, where it is 19 degrees.", delivery=Delivery(pause=0.01)),
    ]
)

asyncio.run(main())
