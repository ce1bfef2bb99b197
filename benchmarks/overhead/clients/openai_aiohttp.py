"""AsyncOpenAI with its aiohttp backend (``openai[aiohttp]``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI, DefaultAioHttpClient

from . import KEY
from .openai_httpx import OpenAI


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Any]:
    async with AsyncOpenAI(api_key=KEY, base_url=url, http_client=DefaultAioHttpClient()) as client:
        yield OpenAI(client)
