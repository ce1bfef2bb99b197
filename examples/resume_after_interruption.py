"""A run that is killed half-way and resumed: nothing that was answered is asked again, and nothing is lost.

The program starts itself once more, kills that with SIGKILL, and goes on with the journal that it left behind.
"""

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections import Counter
from pathlib import Path

from book import sentences

from zhipu_async import AsyncZhipuAI
from zhipu_async.config import key_in_environment
from zhipu_async.simulator import Pace, Scenario, Simulator

SERVICE = Scenario(concurrency_limit=20, pace=Pace(first_token=0.1))
KILLED_AFTER = 30  # answers


async def explain(journal: Path) -> None:
    """The run: begun where there is no journal yet, otherwise resumed."""
    async with (
        AsyncZhipuAI() as client,
        client.fan_out(
            sentences(), model="glm-4.7-flash", system="Explain in one line.", journal=journal, resume=True
        ) as run,
    ):
        async for outcome in run:
            print("r" if outcome.replayed else "." if outcome.ok else "F", end="", flush=True)
    print(f"\n{run.progress.done} outcomes, {run.progress.replayed} of them from the journal")


def ids(journal: Path) -> list[str]:
    """The ids of the answers in the journal, which any program can read: a line of JSON for each."""
    text = journal.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]  # a kill may have torn the last line
    return [json.loads(line)["custom_id"] for line in whole.splitlines()]


async def main(journal: Path, service: Simulator | None) -> None:
    first = await asyncio.create_subprocess_exec(sys.executable, __file__, str(journal), stdout=PIPE)
    assert first.stdout is not None
    print("first run: ", (await first.stdout.readexactly(KILLED_AFTER)).decode())
    first.kill()
    await first.communicate()
    kept = ids(journal)
    print(f"killed, with {len(kept)} answers in the journal")

    print("second run: ", end="")
    await explain(journal)
    print("every id once:", sorted(ids(journal)) == sorted(sentences()))
    if service is not None:
        taken = [request for request in service.requests if request.status != 429]  # 429: refused for load
        asked = Counter(request.get("messages")[-1]["content"] for request in taken)
        twice = {name for name, text in sentences().items() if asked[text] > 1}
        print(f"asked twice: {len(twice)}, under way at the kill; of those in the journal: {len(twice & {*kept})}")


async def begin() -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "explained.jsonl"
        if key_in_environment():
            await main(journal, None)
            return
        async with Simulator(SERVICE) as service:
            os.environ.update(ZHIPU_API_KEY=service.api_key, ZHIPU_BASE_URL=service.base_url)
            await main(journal, service)


asyncio.run(explain(Path(sys.argv[1])) if len(sys.argv) > 1 else begin())
