"""Several tools at once: the calls of a turn overlap, plain functions run in threads, and one that hangs holds up none.

(The simulated model asks for all the calls at once. A real one may take several turns.)
"""

import asyncio
import time
from typing import Literal

from service import connect

from zhipu_async import CallDecoded, CallReturned, tool
from zhipu_async.simulator import Reply, Scenario, SeenRequest
from zhipu_async.simulator import ToolCall as Call

QUESTION = "What is one euro in yen, pounds, francs and crowns? And what do the library and the archive know of it?"
RATES = {"JPY": 178.4, "GBP": 0.88, "CHF": 0.93, "SEK": 11.0}


async def exchange_rate(currency: Literal["JPY", "GBP", "CHF", "SEK"]) -> float:
    """How much one euro is in another currency (sample data)."""
    await asyncio.sleep(0.3)  # here a service would be asked
    return RATES[currency]


def search_library(words: str) -> list[str]:
    """Titles of books that have to do with some words (sample data)."""
    time.sleep(0.3)  # blocks, and so it is in a thread of its own
    return [f"A short history of the {words}", f"The {words} for beginners"]


@tool(timeout=0.5)
async def search_archive(words: str) -> list[str]:
    """Newspapers that have to do with some words."""
    await asyncio.Event().wait()  # this archive never answers
    return [words]


async def main() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    async with connect(SERVICE) as client:
        async with client.chat.completions.run_tools(
            model="glm-4.7-flash",
            messages=[{"role": "user", "content": QUESTION}],
            tools=[exchange_rate, search_library, search_archive],
            parallel=8,  # calls at the same time
            tool_timeout=10,  # seconds for one, if it has no time-out of its own
        ) as run:
            async for event in run:
                if isinstance(event, CallDecoded | CallReturned):
                    times.append(loop.time())
                if isinstance(event, CallDecoded):
                    print("call:  ", event.call.function.name, dict(event.arguments))
                elif isinstance(event, CallReturned):
                    print(f"result: {event.call.function.name} after {event.seconds:.1f} s: {event.content}")
        print(run.result.text)
        work = sum(call.seconds for call in run.result.calls)
        print(f"{len(run.result.calls)} calls, {work:.1f} s of work in {times[-1] - times[0]:.1f} s")
        for call in run.result.calls:
            if call.error is not None:
                print("failed:", call.call.function.name, repr(call.error))


# ---------------------------------------------------------------- without a key


def simulated(request: SeenRequest) -> Reply:
    """A stand-in for the model: it asks for all that it needs, then says what it was told."""
    messages = request.get("messages")
    if messages[-1]["role"] == "user":
        rates = [Call("exchange_rate", {"currency": currency}) for currency in RATES]
        searches = [Call(name, {"words": "euro"}) for name in ("search_library", "search_archive")]
        return Reply(None, tool_calls=[*rates, *searches])
    told = [message["content"] for message in messages if message["role"] == "tool"]
    rates_told = ", ".join(f"{rate} {currency}" for currency, rate in zip(RATES, told, strict=False))
    return Reply(f"One euro is {rates_told}. The library has {told[4]}; of the archive I know only: {told[5]}")


SERVICE = Scenario(replies=simulated)

asyncio.run(main())
