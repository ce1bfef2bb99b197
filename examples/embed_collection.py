"""Embed a text collection: calls of any endpoint in a run, answers in the order of the input, vectors in a file.

At the end: which sentences of different chapters are nearest to each other?
"""

import asyncio
import math
import tempfile
from array import array
from itertools import combinations
from pathlib import Path

from book import sentences
from service import connect

from zhipu_async import AsyncZhipuAI

DIMENSIONS = 512
AT_ONCE = 8  # texts in one call; embedding-3 takes up to 64


async def embed(texts: list[str], path: Path) -> None:
    """Write a vector for each text, 4-byte floats one after the other, in the order of the texts."""
    calls = (  # made one by one, when they are wanted
        AsyncZhipuAI.embeddings.create.call(
            model="embedding-3", input=texts[start : start + AT_ONCE], dimensions=DIMENSIONS
        )
        for start in range(0, len(texts), AT_ONCE)
    )
    with path.open("wb") as file:
        async with connect() as client, client.fan_out(calls, ordered=True) as run:
            async for outcome in run:
                for vector in outcome.unwrap().vectors:  # raises the error of a call that failed
                    array("f", vector).tofile(file)
        print(f"{run.progress.done} calls, {run.progress.tokens} tokens, {file.tell()} bytes of vectors")


def read(path: Path) -> list[list[float]]:
    """The vectors, each with a length of 1."""
    numbers = array("f", path.read_bytes()).tolist()
    vectors = [numbers[start : start + DIMENSIONS] for start in range(0, len(numbers), DIMENSIONS)]
    return [[value / math.hypot(*vector) for value in vector] for vector in vectors]


def main() -> None:
    texts = sentences()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.f32"
        asyncio.run(embed(list(texts.values()), path))
        places = dict(zip(texts, read(path), strict=True))
    pairs = [
        (sum(a * b for a, b in zip(places[one], places[other], strict=True)), one, other)  # the cosine
        for one, other in combinations(texts, 2)
        if one.partition(".")[0] != other.partition(".")[0]
    ]
    for near, one, other in sorted(pairs, reverse=True)[:4]:
        print(f"{near:.2f}\n  {one:>4}  {texts[one]}\n  {other:>4}  {texts[other]}")


main()
