"""A plain HTTP client that asks a simulator, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from zhipu_async.simulator import Scenario, Simulator

HELLO: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_time", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
}


@dataclass(frozen=True)
class Answered:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The business code of an error."""
        return str(self.json["error"]["code"])

    @property
    def message(self) -> dict[str, Any]:
        """The message of the first choice."""
        message: dict[str, Any] = self.json["choices"][0]["message"]
        return message

    @property
    def payloads(self) -> list[str]:
        """What stands behind `data: ` in the events of a stream."""
        *events, rest = self.body.decode().split("\n\n")
        assert rest == ""
        assert all(event.startswith("data: ") and "\n" not in event for event in events)
        return [event.removeprefix("data: ") for event in events]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The chunks of a stream, which ends with `[DONE]`."""
        *chunks, done = self.payloads
        assert done == "[DONE]"
        return [json.loads(chunk) for chunk in chunks]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        """The deltas of a stream without its final chunk."""
        return [chunk["choices"][0]["delta"] for chunk in self.chunks[:-1]]


class Asker:
    """Asks one simulator."""

    def __init__(self, sim: Simulator, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.session = session

    async def request(self, method: str, url: str, **options: Any) -> Answered:
        """Any request: `url` begins below the base URL, or with `/api` at the origin."""
        root = self.sim.origin if url.startswith("/api") else self.sim.base_url
        headers = {"Authorization": f"Bearer {self.sim.api_key}"} | options.pop("headers", {})
        async with self.session.request(method, root + url, headers=headers, **options) as response:
            return Answered(response.status, response.headers, await response.read())

    async def post(self, body: Any, url: str = "/chat/completions", **options: Any) -> Answered:
        """A POST with a JSON body."""
        return await self.request("POST", url, json=body, **options)

    async def hello(self, **fields: Any) -> Answered:
        """The shortest chat request, with other fields."""
        return await self.post(HELLO | fields)

    async def say(self, text: Any, **fields: Any) -> Answered:
        """A chat request with this content."""
        return await self.hello(messages=[{"role": "user", "content": text}], **fields)


@asynccontextmanager
async def simulated(scenario: Scenario | None = None, **options: Any) -> AsyncIterator[Asker]:
    """A simulator with its asker."""
    async with Simulator(scenario, **options) as sim, aiohttp.ClientSession() as session:
        yield Asker(sim, session)
