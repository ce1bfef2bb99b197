"""Show the model a picture from a file. The picture is drawn here, so that the example needs none."""

import asyncio
import struct
import tempfile
import zlib
from pathlib import Path

from service import connect

from zhipu_async import ImagePart, TextPart, UserMessage


def flag(width: int = 96, height: int = 64) -> bytes:
    """A PNG with a black, a red and a golden stripe."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    colours = [(0, 0, 0), (221, 0, 0), (255, 204, 0)]
    rows = b"".join(b"\0" + bytes(colours[row * 3 // height]) * width for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    picture = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + picture


async def main(path: Path) -> None:
    async with connect() as client:
        image = await ImagePart.from_file(path)  # read in a thread, sent as a data: URL
        reply = await client.chat.completions.create(
            model="glm-4.6v-flash",
            messages=[UserMessage([image, TextPart("Which colours does this flag have?")])],
        )
        print(reply.text)


with tempfile.TemporaryDirectory() as folder:
    picture = Path(folder) / "flag.png"
    picture.write_bytes(flag())
    asyncio.run(main(picture))
