"""Forms with files, and waiting, for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp

from .asking import Answered, Asker

T = TypeVar("T")


def form(content: Any = b"x", filename: str = "a.jsonl", **texts: str) -> aiohttp.FormData:
    """A form with a file and texts."""
    data = aiohttp.FormData(quote_fields=False)
    for name, text in texts.items():
        data.add_field(name, text)
    data.add_field("file", content, filename=filename, content_type="application/octet-stream")
    return data


async def upload(ask: Asker, content: Any = b"x", filename: str = "a.jsonl", purpose: str = "batch") -> Answered:
    """Upload a file."""
    return await ask.request("POST", "/files", data=form(content, filename, purpose=purpose))


async def polled(ask: Callable[[], Awaitable[T]], until: Callable[[T], object]) -> T:
    """Ask again and again until the answer is as wanted."""
    async with asyncio.timeout(5):
        while True:
            if until(answer := await ask()):
                return answer
            await asyncio.sleep(0.005)
