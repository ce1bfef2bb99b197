"""200 MB in both directions: no file is ever held in memory, and half of one leaves nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Pace, Scenario, Simulator

pytestmark = pytest.mark.heavy

MB = 1024 * 1024

MEASURE = """
import asyncio, resource, sys
from pathlib import Path
from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Scenario, Simulator

folder, MB = Path(sys.argv[1]), 1024 * 1024


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def there_and_back(client, size):
    source = folder / "source.jsonl"
    with source.open("wb") as file:
        for number in range(size):
            file.write(bytes([number]) * MB)
    told = []
    sent = await client.files.create(file=source, purpose="batch", progress=lambda *state: told.append(state))
    assert sent.bytes == size * MB
    assert told[-1][0] == told[-1][1] > size * MB
    came = await client.files.content.to_file(folder / "copy.jsonl", sent.id)
    with source.open("rb") as one, came.open("rb") as other:
        assert all(one.read(MB) == other.read(MB) for _ in range(size + 1))


async def main():
    async with Simulator(Scenario(checks=False), record=False) as service:
        async with AsyncZhipuAI(service.api_key, base_url=service.base_url) as client:
            await there_and_back(client, 4)
            before = peak()
            await there_and_back(client, 200)
            print(peak() - before)
            assert client.pool.statistics().in_use == 0


asyncio.run(main())
"""


def test_two_hundred_megabytes_pass_through_little_memory(tmp_path: Path) -> None:
    """Client and simulator together grow by less than 20 MB over what 4 MB needed."""
    command = [sys.executable, "-W", "error", "-c", MEASURE, str(tmp_path)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert int(ran.stdout) < 20 * MB


async def test_half_an_upload_leaves_nothing(tmp_path: Path) -> None:
    """Cancelled half-way: no connection in use, no open file, and nothing at the service."""
    source = tmp_path / "source.jsonl"
    source.write_bytes(b"x" * 20 * MB)
    scenario = Scenario(checks=False, pace=Pace(per_upload_block=0.001))
    async with Simulator(scenario) as service, AsyncZhipuAI(service.api_key, base_url=service.base_url) as client:
        half = asyncio.Event()

        def told(done: int, total: int | None) -> None:
            if done > 10 * MB:
                half.set()

        sending = asyncio.create_task(client.files.create(file=source, purpose="batch", progress=told))
        await half.wait()
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled()
        assert client.pool.statistics().in_use == 0
        await service.wait_until(lambda: service.in_flight == 0 and service.connections.open == 0)
        assert (await client.files.list(purpose="batch")).data == []
        assert not [name for name in open_files() if name.startswith(str(tmp_path))]


async def test_half_a_download_leaves_nothing(tmp_path: Path) -> None:
    """Cancelled half-way: no connection in use, no file under the path or beside it, no open file."""
    scenario = Scenario(checks=False)
    async with Simulator(scenario) as service, AsyncZhipuAI(service.api_key, base_url=service.base_url) as client:
        sent = await client.files.create(file=("a.jsonl", b"x" * 20 * MB), purpose="batch")
        half = asyncio.Event()

        def told(done: int, total: int | None) -> None:
            assert total == 20 * MB
            if done > 10 * MB:
                half.set()

        path = tmp_path / "copy.jsonl"
        fetching = asyncio.create_task(client.files.content.to_file(path, str(sent.id), progress=told))
        await half.wait()
        assert not path.exists()
        fetching.cancel()
        await asyncio.wait([fetching])
        assert fetching.cancelled()
        assert os.listdir(tmp_path) == []
        assert client.pool.statistics().in_use == 0
        assert not [name for name in open_files() if name.startswith(str(tmp_path))]


def open_files() -> list[str]:
    """The paths of this process's open files, where the system tells them."""
    folder = Path("/proc/self/fd")
    found: list[str] = []
    for link in folder.iterdir() if folder.exists() else ():
        try:
            found.append(os.readlink(link))
        except OSError:
            continue
    return found
