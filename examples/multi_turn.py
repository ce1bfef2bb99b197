"""A conversation: every call sends all that was said before, and keeps the model's earlier reasoning."""

import asyncio

from service import connect

from zhipu_async import Message, SystemMessage, Thinking, UserMessage


async def main() -> None:
    messages: list[Message] = [SystemMessage("You are a patient teacher. Answer briefly.")]
    async with connect() as client:
        for question in ("What is 17 * 19?", "Now multiply that by 2.", "请用中文再说一遍。"):
            messages.append(UserMessage(question))
            reply = await client.chat.completions.create(
                model="glm-4.7-flash",
                messages=messages,
                thinking=Thinking(type="enabled", clear_thinking=False),  # earlier reasoning counts, so it is sent back
            )
            messages.append(reply.message)  # answer and reasoning
            print("you:", question)
            print("glm:", reply.text)
    print(len(messages), "messages, the last with reasoning:", bool(reply.reasoning))


asyncio.run(main())
