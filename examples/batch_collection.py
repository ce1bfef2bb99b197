"""A text collection through the vendor's batch service: cheaper than calls of its own, and answered within a day.

It is used like ``fan_out``. Files, batches, waiting and the joining of results by their ids are done by the run; the
journal knows the batches, so that a program that was stopped finds them again.
"""

import asyncio
import json
import tempfile
from collections import defaultdict
from pathlib import Path

from book import sentences
from service import connect

from zhipu_async.simulator import Scenario

PICTURES = ("none", "bellows", "bow", "fish", "horse", "infant", "jade", "rain", "tree", "valley", "vessel", "water")
SCHEMA = {"type": "object", "properties": {"picture": {"enum": PICTURES}}, "required": ["picture"]}
SYSTEM = f"Which picture does the sentence use? Answer with JSON of this schema: {json.dumps(SCHEMA)}"


def picture_in(answer: str) -> str:
    try:
        picture = json.loads(answer)["picture"]
    except (ValueError, TypeError, KeyError):  # a model may say anything
        return "no answer"
    return picture if picture in PICTURES else "another"


async def main() -> None:
    texts = sentences()
    pictures: defaultdict[str, list[str]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            connect(Scenario(batch_seconds=2)) as client,
            client.run_batches(
                texts,
                model="glm-4-flash",
                system=SYSTEM,
                response_format={"type": "json_object"},
                journal=Path(folder) / "pictures.jsonl",
            ) as run,
        ):
            async for outcome in run:
                found = picture_in(outcome.value.text) if outcome.value else f"failed: {outcome.error}"
                pictures[found].append(outcome.id)
    for batch in run.batches:
        print(f"{batch.id} {batch.status}: {batch.counts.completed} of {batch.counts.total}")
    for picture, ids in sorted(pictures.items(), key=lambda row: len(row[1])):
        print(f"{picture:>8}: {', '.join(sorted(ids, key=float)[:6])}{' ...' if len(ids) > 6 else ''}")


asyncio.run(main())
