"""Talk with a model over a WebSocket: a question in sound and one in text, answered in both."""

import asyncio
import math
import struct

from service import connect

from zhipu_async.realtime import error_of
from zhipu_async.types.realtime import ConversationItem, SessionConfig
from zhipu_async.types.realtime_events import (
    ErrorEvent,
    ResponseAudioDelta,
    ResponseAudioTranscriptDelta,
    ResponseDone,
    TranscriptionCompleted,
)

CONFIG = SessionConfig(model="glm-realtime-flash", input_audio_format="pcm16", instructions="Answer in one sentence.")
SOUND = b"".join(struct.pack("<h", round(9000 * math.sin(step / 12))) for step in range(16_000))
"""One second as a microphone gives it: 16 kHz, mono, 16 bits."""


async def main() -> None:
    async with connect() as client, client.realtime.connect(session=CONFIG) as session:
        for start in range(0, len(SOUND), 3200):  # a tenth of a second each
            await session.append_audio(SOUND[start : start + 3200])
        await session.commit_audio()
        await session.create_item(ConversationItem.message("What does a lighthouse keeper do?"))
        await session.create_response()

        sound = bytearray()  # 24 kHz, mono, 16 bits: what a loudspeaker takes
        async for event in session:
            if isinstance(event, TranscriptionCompleted):
                print("heard:", event.transcript)
            elif isinstance(event, ResponseAudioTranscriptDelta):
                print(event.delta, end="", flush=True)
            elif isinstance(event, ResponseAudioDelta):
                sound += event.audio
            elif isinstance(event, ErrorEvent):  # the session goes on after most errors
                print("error:", error_of(event))
            elif isinstance(event, ResponseDone):
                print(f"\n{len(sound) / 48_000:.1f} seconds of sound, {event.response and event.response.status}")
                break


asyncio.run(main())
