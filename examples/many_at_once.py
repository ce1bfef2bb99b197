"""Many direct calls at a time, as a web service makes them: no semaphore, each call is awaited by whoever needs it.

A model that refuses calls is given as many as it takes from then on; the others wait for their turn. (The simulator
takes 20.) For a long list of questions see classify_collection.py.
"""

import asyncio
import time

from service import connect

from zhipu_async import AsyncZhipuAI, ZhipuError
from zhipu_async.simulator import Pace, Scenario

QUESTIONS = [f"What is {number} squared?" for number in range(40)]
SERVICE = Scenario(concurrency_limit=20, pace=Pace(first_token=0.1))


async def ask(client: AsyncZhipuAI, question: str) -> str | ZhipuError:
    try:
        reply = await client.chat.completions.create(
            model="glm-4.7-flash", messages=[{"role": "user", "content": question}]
        )
    except ZhipuError as error:  # one failure is a result too: the others go on
        return error
    return reply.text


async def main() -> None:
    began = time.perf_counter()
    async with connect(SERVICE) as client:
        answers = await asyncio.gather(*(ask(client, question) for question in QUESTIONS))
        failed = sum(isinstance(answer, ZhipuError) for answer in answers)
        print(f"{len(answers) - failed} answers and {failed} failures in {time.perf_counter() - began:.2f} s")
        print("the last:", answers[-1])
        print("calls at a time:", client.concurrency()["glm-4.7-flash"].level)
    statistics = client.statistics()["glm-4.7-flash"]
    print(f"{statistics.total_tokens} tokens, latency p50 {statistics.latency.p50:.3f} s")


asyncio.run(main())
