"""Have a text spoken: into memory, into a file, and piece by piece as the voice speaks."""

import asyncio
import sys
import tempfile
from pathlib import Path

from service import connect

TEXT = "The lighthouse keeper lights the lamp, and counts the ships until the morning comes."


async def main(path: Path) -> None:
    async with connect() as client:
        sound = await client.audio.speech(model="glm-tts", input=TEXT, voice="tongtong", response_format="wav")
        print("in memory:", sound.content_type, len(sound.content), "bytes")

        saved = await client.audio.speech.to_file(
            path, model="glm-tts", input=TEXT, voice="tongtong", speed=1.2, response_format="wav"
        )
        print("saved:", saved.name, saved.stat().st_size, "bytes")

        # A stream is pcm: mono samples of 16 bits, which a player can take as they come.
        stream = await client.audio.speech(model="glm-tts", input=TEXT, voice="tongtong", stream=True)
        async for chunk in stream:
            for choice in chunk.choices:
                if piece := choice.delta.audio():
                    print("piece:", len(piece), "bytes at", choice.delta.return_sample_rate, "samples a second")
        print("whole:", len(stream.result.audio), "bytes")


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "keeper.wav"))
