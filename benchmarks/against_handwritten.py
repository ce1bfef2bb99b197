"""CPU of this process per whole answer and per stream chunk, beside twenty lines of aiohttp + msgspec."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Reply, Scenario
from zhipu_async.types.chat import ChatCompletion, ChatCompletionChunk

from .service import cpu, service

CHUNKS = 1000
PIECES = [f"token{number} " for number in range(CHUNKS)]
SCENARIO = Scenario(replies=[Reply("Hello there.", pieces=PIECES, times=None)])
ASK: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}
ROUNDS = 5


async def repeat(times: int, at_once: int, work: Callable[[], Awaitable[object]]) -> float:
    """CPU seconds per piece of work."""
    turns = iter(range(times))

    async def worker() -> None:
        for _ in turns:
            await work()

    before = cpu()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return (cpu() - before) / times


async def main(key: str, url: str) -> None:
    """Both ways in turn, the best of five rounds each."""
    decode = msgspec.json.Decoder(ChatCompletion).decode
    decode_chunk = msgspec.json.Decoder(ChatCompletionChunk).decode
    address, headers = f"{url}/chat/completions", {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        AsyncZhipuAI(key, base_url=url) as client,
    ):

        async def whole_by_hand() -> str | None:
            async with session.post(address, data=msgspec.json.encode(ASK), headers=headers) as response:
                return decode(await response.read()).choices[0].message.content

        async def whole() -> str | None:
            return (await client.chat.completions.create(**ASK)).choices[0].message.content

        async def stream_by_hand() -> str:
            texts: list[str] = []
            rest = b""
            body = msgspec.json.encode({**ASK, "stream": True})
            async with session.post(address, data=body, headers=headers) as response:
                async for data in response.content.iter_any():
                    *blocks, rest = (rest + data).split(b"\n\n")
                    for block in blocks:
                        if block != b"data: [DONE]":
                            texts.append(decode_chunk(block[6:]).choices[0].delta.content or "")
            return "".join(texts)

        async def stream() -> str:
            answer = await client.chat.completions.create(**ASK, stream=True)
            async for _ in answer:
                pass
            return answer.result.text

        assert await whole_by_hand() == await whole() != await stream_by_hand() == await stream()
        print(f"{'':28}{'by hand':>10}{'zhipu_async':>14}{'ratio':>8}")
        for name, at_once, times, unit, pair in (
            ("whole answers, 1 at once", 1, 1000, 1, (whole_by_hand, whole)),
            ("whole answers, 32 at once", 32, 3000, 1, (whole_by_hand, whole)),
            ("whole answers, 256 at once", 256, 3000, 1, (whole_by_hand, whole)),
            ("chunks in bulk", 8, 60, CHUNKS, (stream_by_hand, stream)),
        ):
            rounds = [[await repeat(times, at_once, work) for work in pair] for _ in range(ROUNDS)]
            hand, ours = (min(column) / unit * 1e6 for column in zip(*rounds, strict=True))
            print(f"{name:28}{hand:>7.2f} us{ours:>11.2f} us{ours / hand:>8.2f}")


if __name__ == "__main__":
    with service(SCENARIO) as (api_key, base_url):
        asyncio.run(main(api_key, base_url))
