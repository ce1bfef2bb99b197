"""Read an answer while it is written: piece by piece, only its beginning, or all at once at the end."""

import asyncio

from service import connect


async def main() -> None:
    async with connect() as client:
        messages = [{"role": "user", "content": "Tell me a story about a lighthouse, in five sentences."}]

        stream = await client.chat.completions.create(model="glm-4.7-flash", messages=messages, stream=True)
        async for text in stream.text_deltas():
            print(text, end="", flush=True)
        print("\nfirst token after", round(stream.timing.first_token or 0, 3), "s; usage:", stream.result.usage)

        # Leaving the block closes the connection, and with it the slot that the stream holds at the service.
        async with await client.chat.completions.create(
            model="glm-4.7-flash", messages=messages, stream=True
        ) as stream:
            async for text in stream.text_deltas():
                print("left after:", repr(text))
                break
        print("complete:", stream.result.complete)

        stream = await client.chat.completions.create(model="glm-4.7-flash", messages=messages, stream=True)
        reply = await stream.until_done()
        print("whole answer:", len(reply.text), "characters")


asyncio.run(main())
