"""Search by meaning: the sentences of a book become vectors once, and each question finds those that point its way."""

import asyncio
import math
from pathlib import Path

from service import connect

from zhipu_async import AsyncZhipuAI

BOOK = Path(__file__).parent / "data" / "tao_te_ching.txt"
QUESTIONS = (
    "How does a journey of a thousand miles begin?",
    "What is as soft as water?",
    "Should one speak of what one knows?",
)
AT_ONCE = 64  # texts in one call, the most that embedding-3 takes


async def embed(client: AsyncZhipuAI, texts: list[str]) -> list[list[float]]:
    """A vector of length 1 for each text, in their order."""
    answers = await asyncio.gather(
        *(
            client.embeddings.create(model="embedding-3", input=texts[start : start + AT_ONCE], dimensions=512)
            for start in range(0, len(texts), AT_ONCE)
        )
    )
    return [of_length_1(vector) for answer in answers for vector in answer.vectors]


def of_length_1(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector]


async def main() -> None:
    lines = [line for line in BOOK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    chapters, sentences = zip(*(line.split("\t") for line in lines), strict=True)
    async with connect() as client:
        places = await embed(client, list(sentences))
        print(f"{len(places)} sentences, {len(places[0])} numbers each")
        for question, asked in zip(QUESTIONS, await embed(client, list(QUESTIONS)), strict=True):
            near = [sum(a * b for a, b in zip(asked, place, strict=True)) for place in places]  # cosines
            print(question)
            for best in sorted(range(len(near)), key=near.__getitem__, reverse=True)[:2]:
                print(f"  {near[best]:.2f}  chapter {chapters[best]}: {sentences[best]}")


asyncio.run(main())
