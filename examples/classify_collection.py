"""Classify a text collection: one call for each sentence, a label from a closed set, every answer checked, a table.

How many calls the service takes at a time is found out on the way. (The simulator takes 20, and its labels are words
that it found in the sentence.)
"""

import asyncio
import json
from collections import defaultdict
from typing import Literal

import msgspec
from book import sentences
from service import connect

from zhipu_async import models
from zhipu_async.simulator import Pace, Scenario

MODEL = "glm-4.7-flash"


class Answer(msgspec.Struct):
    label: Literal["conduct", "death", "heaven", "people", "state", "tao", "water"]


SYSTEM = f"""You are given a sentence of the Tao Te Ching. What is it about?
Answer with JSON of this schema: {json.dumps(msgspec.json.schema(Answer))}"""
SERVICE = Scenario(concurrency_limit=20, pace=Pace(first_token=0.1))


async def main() -> None:
    texts = sentences()
    labelled: defaultdict[str, list[str]] = defaultdict(list)
    async with (
        connect(SERVICE) as client,
        client.fan_out(
            texts,  # any iterable or mapping, of prompts or of calls
            model=MODEL,
            system=SYSTEM,
            response_format={"type": "json_object"},
            **models.least_thinking(MODEL),
        ) as run,
    ):
        async for outcome in run:  # as they come
            if outcome.value is None:
                label = f"failed: {type(outcome.error).__name__}"
            else:
                try:
                    label = msgspec.json.decode(outcome.value.text, type=Answer).label
                except msgspec.DecodeError:  # a model may say anything
                    label = "no label"
            labelled[label].append(outcome.id)

    for label, ids in sorted(labelled.items(), key=lambda row: -len(row[1])):
        shortest = min((texts[name] for name in ids), key=len)
        print(f"{label:>8} {len(ids):3} {'■' * len(ids):36} {shortest[:60]}")
    progress = run.progress
    print(f"{progress.done} sentences in {progress.seconds:.1f} s, {progress.tokens} tokens")
    print(f"{progress.concurrency} calls at a time at the end, {progress.refused} refused and asked again")


asyncio.run(main())
