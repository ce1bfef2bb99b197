"""Have documents read: as a task that is waited for, and at once."""

import asyncio
from pathlib import Path

from service import connect

BOOK = Path(__file__).parent / "data" / "tao_te_ching.txt"


async def main() -> None:
    async with connect() as client:
        task = await client.file_parser.create(file=BOOK, tool_type="lite", file_type="TXT")
        document = await client.wait(task, timeout=300)
        print("task:", document.status, len(document.text), "characters")

        document = await client.file_parser.create_sync(file=BOOK, tool_type="prime-sync", file_type="TXT")
        print("at once:", document.status, "with a result to download:", document.url is not None)
        print(document.text[:73])


asyncio.run(main())
