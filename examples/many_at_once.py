"""Many calls with one client, a few at a time: the service limits how many are in flight per model and account."""

import asyncio
import time

from service import connect

from zhipu_async import AsyncZhipuAI, ZhipuError

AT_ONCE = 8
QUESTIONS = [f"What is {number} squared?" for number in range(40)]


async def ask(client: AsyncZhipuAI, question: str, few: asyncio.Semaphore) -> str | ZhipuError:
    async with few:
        try:
            reply = await client.chat.completions.create(
                model="glm-4.7-flash", messages=[{"role": "user", "content": question}]
            )
        except ZhipuError as error:  # one failure is a result too: the others go on
            return error
    return reply.text


async def main() -> None:
    few = asyncio.Semaphore(AT_ONCE)
    began = time.perf_counter()
    async with connect() as client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(client, question, few)) for question in QUESTIONS]
    answers = [task.result() for task in tasks]
    failed = sum(isinstance(answer, ZhipuError) for answer in answers)
    print(f"{len(answers) - failed} answers and {failed} failures in {time.perf_counter() - began:.2f} s")
    print("the last:", answers[-1])
    statistics = client.statistics()["glm-4.7-flash"]
    print(f"{statistics.total_tokens} tokens, latency p50 {statistics.latency.p50:.3f} s")


asyncio.run(main())
