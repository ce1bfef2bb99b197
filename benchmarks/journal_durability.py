"""What a line of a journal costs, by how soon the disk must have it; and how long a resumed run reads.

A line is the operating system's in every case, so that a killed process loses none. ``fsync`` is about power losses.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from zhipu_async.journal import Journal
from zhipu_async.protocol.jsonl import Record, RecordResponse, request_hash

SECONDS = 2.0
"""For each row, at most."""
LINES = 50_000
RESUMED = 200_000


def line(number: int, size: int) -> Record:
    """A finished chat call whose answer has about ``size`` bytes."""
    message = {"role": "assistant", "content": "x" * size}
    body = msgspec.json.encode({"id": str(number), "choices": [{"message": message}], "usage": {"total_tokens": 7}})
    identity = f"q-{number}"
    digest = request_hash("POST /chat/completions", identity.encode())
    return Record(
        identity, RecordResponse(200, msgspec.Raw(body)), None, digest, digest, 1.0, 1, "2026-11-21T09:00:00Z"
    )


async def write(path: Path, fsync: float | None, size: int) -> list[float]:
    """Microseconds that each line held up the event loop, sorted."""
    records = [line(number, size) for number in range(1000)]
    took: list[float] = []
    async with Journal(path, fsync=fsync) as journal:
        end = time.perf_counter() + SECONDS
        while len(took) < LINES and (began := time.perf_counter()) < end:
            journal.record(records[len(took) % 1000])
            took.append((time.perf_counter() - began) * 1e6)
            if not len(took) % 100:
                await asyncio.sleep(0)  # timers and tasks have their turn, as in a run
    return sorted(took)


async def resume(path: Path, size: int) -> tuple[float, float]:
    """Seconds to open a journal of many lines, and microseconds to recall a call from it."""
    async with Journal(path, fsync=None) as journal:
        for number in range(RESUMED):
            journal.record(line(number, size))
    began = time.perf_counter()
    async with Journal(path, resume=True) as journal:
        opened = time.perf_counter() - began
        digests = [line(number, 0).hash for number in range(2000)]
        began = time.perf_counter()
        for number, digest in enumerate(digests):
            assert journal.recall(f"q-{number}", digest) is not None
        return opened, (time.perf_counter() - began) / len(digests) * 1e6


async def main(folder: Path) -> None:
    """Both tables; files lie below ``folder``."""
    print(f"{'fsync':>12}{'answer':>10}{'lines':>9}{'mean':>10}{'p50':>10}{'p99':>10}{'longest':>12}")
    for size in (500, 10_000):
        for name, fsync in (("never", None), ("each second", 1.0), ("each line", 0.0)):
            path = folder / f"{size}-{name}.jsonl"
            took = await write(path, fsync, size)
            mean, p50, p99 = sum(took) / len(took), took[len(took) // 2], took[len(took) * 99 // 100]
            print(f"{name:>12}{size:>8} B{len(took):>9}{mean:>7.1f} us{p50:>7.1f} us{p99:>7.1f} us{took[-1]:>9.0f} us")
            path.unlink()
    opened, recalled = await resume(folder / "resumed.jsonl", 500)
    each = opened / RESUMED * 1e6
    print(f"\nresume: {RESUMED:,} lines in {opened:.2f} s ({each:.1f} us a line); recall {recalled:.1f} us a call")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        asyncio.run(main(Path(place)))
