"""litellm's ``acompletion``, through its OpenAI provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import litellm

from . import KEY, MESSAGES, MODEL


class LiteLLM:
    def __init__(self, url: str) -> None:
        self.options: dict[str, Any] = {"model": f"openai/{MODEL}", "api_base": url, "api_key": KEY}

    async def whole(self) -> str:
        completion: Any = await litellm.acompletion(messages=MESSAGES, **self.options)
        return completion.choices[0].message.content or ""

    async def stream(self) -> AsyncGenerator[str]:
        stream: Any = await litellm.acompletion(messages=MESSAGES, stream=True, **self.options)
        async for chunk in stream:
            yield chunk.choices[0].delta.content or ""

    async def bulk(self) -> str:
        return "".join([text async for text in self.stream()])


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Any]:
    yield LiteLLM(url)
