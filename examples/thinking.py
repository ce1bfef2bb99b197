"""Watch the model think, and ask it not to."""

import asyncio

from service import connect

from zhipu_async import ContentDelta, ReasoningDelta, Thinking


async def main() -> None:
    messages = [{"role": "user", "content": "What is 17 * 19?"}]
    async with connect() as client:
        stream = await client.chat.completions.create(
            model="glm-4.7-flash", messages=messages, thinking=Thinking(type="enabled"), stream=True
        )
        part = None
        async for event in stream.events():
            if isinstance(event, ReasoningDelta | ContentDelta):
                if type(event) is not part:
                    part = type(event)
                    print("\nthinking:" if part is ReasoningDelta else "\nanswer:", end=" ")
                print(event.text, end="", flush=True)
        usage = stream.result.usage
        details = usage.completion_tokens_details if usage else None
        print("\ntokens of thinking:", details.reasoning_tokens if details else None)

        quick = await client.chat.completions.create(
            model="glm-4.7-flash", messages=messages, thinking=Thinking(type="disabled")
        )
        print("without thinking:", quick.text, "| reasoning:", repr(quick.reasoning))


asyncio.run(main())
