"""Ask once, and look at the answer."""

import asyncio

from service import connect


async def main() -> None:
    async with connect() as client:
        reply = await client.chat.completions.create(
            model="glm-4.7-flash",
            messages=[
                {"role": "system", "content": "Answer in one sentence."},
                {"role": "user", "content": "Why is the sky blue?"},
            ],
            max_tokens=2000,
        )
    print(reply.text)
    print("finish reason:", reply.finish_reason)
    if reply.usage and reply.timing:
        print("tokens:", reply.usage.total_tokens, "seconds:", round(reply.timing.total or 0, 3))


asyncio.run(main())
