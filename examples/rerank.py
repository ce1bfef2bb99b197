"""Put texts in the order in which they answer a question: the second, finer step of a search."""

import asyncio

from service import connect

QUESTION = "Which planet has the most moons?"
FOUND = [
    "Mercury is the planet that is nearest to the sun.",
    "The moons of Jupiter were seen by Galileo in 1610.",
    "With more than a hundred of them, Saturn is the planet with the most moons.",
    "The tides follow the moon.",
]


async def main() -> None:
    async with connect() as client:
        ranking = await client.rerank.create(
            model="rerank", query=QUESTION, documents=FOUND, top_n=3, return_documents=True
        )
    print(QUESTION)
    for result in ranking.results:  # best first; result.index is the place in FOUND
        print(f"  {result.relevance_score or 0:.2f}  {result.document}")


asyncio.run(main())
