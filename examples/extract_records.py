"""Records out of a text: the similes of the Tao Te Ching as structs, which are checked and written to a CSV file.

They are shown as the model writes them. (The simulated model goes by "like" and "compared to".)
"""

import asyncio
import csv
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from book import sentences
from msgspec import Meta
from service import connect

from zhipu_async import AnswerError, Parsed, SystemMessage, UserMessage
from zhipu_async.simulator import Pace, Reply, Scenario, SeenRequest


class Simile(msgspec.Struct):
    sentence: Annotated[str, Meta(pattern=r"^\d+\.\d+$", description="its id")]
    thing: Annotated[str, Meta(min_length=1, description="what is likened to something, in the words of the text")]
    image: Annotated[str, Meta(min_length=1, description="what it is likened to, in the words of the text")]


TASK = SystemMessage("Find all similes in the sentences. Take your words from the sentences and add none.")


async def extract() -> Parsed[list[Simile]]:
    """The similes of the whole book, from one answer; one that does not fit the struct is asked for again."""
    text = "\n".join(f"{name} {sentence}" for name, sentence in sentences().items())
    async with connect(SERVICE) as client:
        run = client.chat.completions.parse(
            list[Simile], model="glm-4.7-flash", messages=[TASK, UserMessage(text)], max_requests=3
        )
        shown = 0
        async for records in run:  # plain JSON as far as it has come: the last record may be half there
            if len(records) - 1 > shown:
                print("...", records[shown].get("sentence"))
                shown += 1
    return run.result


def is_quoted(simile: Simile) -> bool:
    """Whether the words stand in the sentence: a schema cannot say that a model has invented nothing."""
    source = sentences().get(simile.sentence, "").lower()
    return simile.thing.lower() in source and simile.image.lower() in source


def write(similes: list[Simile], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, Simile.__struct_fields__)
        table.writeheader()
        table.writerows(msgspec.structs.asdict(simile) for simile in similes)


def main(folder: Path) -> None:
    try:
        parsed = asyncio.run(extract())
    except AnswerError as error:
        sys.exit(f"no records: {error}\nthe answer: {error.text}")
    path = folder / "similes.csv"
    similes = [simile for simile in parsed.value if is_quoted(simile)]
    write(similes, path)
    print(path.read_text(encoding="utf-8"), end="")
    print(f"{len(similes)} of {len(parsed.value)} are in the book; requests: {parsed.requests}, mended: ", end="")
    print(f"{', '.join(parsed.extraction.repairs) or 'nothing'}, tokens: {parsed.usage.total_tokens}")


# ---------------------------------------------------------------- without a key

LIKENED = re.compile(r"^(\d+\.\d+) (?:May not )?(.+?) (?:is \(?like\)?|be compared to) (.+?)[;.?]", re.MULTILINE)


def simulated(request: SeenRequest) -> Reply:
    """A stand-in for the model. As models do, it says more than it was asked for."""
    text = request.get("messages")[-1]["content"]
    names = ("sentence", "thing", "image")
    records = [dict(zip(names, found.groups(), strict=True)) for found in LIKENED.finditer(text)]
    records.append({"sentence": "81.3", "thing": "the sage", "image": "a lighthouse"})  # invented
    return Reply(
        f"These are the similes:\n```json\n{json.dumps(records, indent=1)}\n```\nI hope this helps!", pieces=12
    )


SERVICE = Scenario(replies=simulated, pace=Pace(first_token=0.1, per_chunk=0.005))

if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
