"""Have an image made and save it: `image_to_file.py lighthouse.png` keeps it; without a path it goes again."""

import asyncio
import sys
import tempfile
from pathlib import Path

from service import connect


def progress(done: int, total: int | None) -> None:
    print(f"  {done} of {total or '?'} bytes")


async def main(path: Path) -> None:
    async with connect() as client:
        image = await client.images.generate(model="cogview-3-flash", prompt="A lighthouse at night", size="1024x1024")
        if image.url:  # the service keeps it for 30 days
            saved = await client.download.to_file(path, image.url, progress=progress)
            print("saved:", saved.name, saved.stat().st_size, "bytes")

        # The newest model also works as a task: it is created, waited for, and read when it is wanted.
        task = await client.images.generate_async(model="glm-image", prompt="The same lighthouse by day")
        result = await client.wait(task, timeout=120)
        for url in result.urls:
            picture = await client.download(url)  # in memory
            print("in memory:", picture.content_type, len(picture), "bytes")


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "lighthouse.png"))
