"""Have written down what is said in a recording, at once and word by word. The recording is spoken here."""

import asyncio

from service import connect

TEXT = "The lighthouse keeper counts the ships until the morning comes."


async def main() -> None:
    async with connect() as client:
        spoken = await client.audio.speech(model="glm-tts", input=TEXT, voice="tongtong", response_format="wav")
        recording = ("keeper.wav", spoken.content)  # or a path, or an open file

        heard = await client.audio.transcriptions.create(
            model="glm-asr-2512", file=recording, hotwords=["lighthouse keeper"]
        )
        print("heard:", heard.text)

        stream = await client.audio.transcriptions.create(model="glm-asr-2512", file=recording, stream=True)
        async for chunk in stream:
            print(chunk.content, end="|", flush=True)
        print("\nwhole:", stream.result.text)


asyncio.run(main())
