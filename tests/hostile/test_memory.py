"""What the worst answers cost in memory: measured in a process of its own, against the stated bounds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from pathlib import Path

import brotli
import pytest

from tests.hostile.peer import WAYS, Attack, hostile_peer
from tests.hostile.test_bodies import HEAD
from tests.servers import STREAM_HEAD, block, chunk
from zhipu_async import Limits, RequestTimeout, ResponseTooLarge, StreamCorrupted, Timeouts, ZhipuError

pytestmark = pytest.mark.heavy

MIB = 1024 * 1024
LIMITS = Limits(body=16 * MIB, event=4 * MIB, stream=16 * MIB)
BOMB = 128 * MIB
"""What a bomb unfolds to. Its bytes are a thousandth of that."""


def _gzip() -> bytes:
    compressor = zlib.compressobj(9, wbits=31)
    return b"".join(compressor.compress(b" " * MIB) for _ in range(BOMB // MIB)) + compressor.flush()


def _brotli() -> bytes:
    compressor = brotli.Compressor(quality=5)
    return b"".join(compressor.process(b" " * MIB) for _ in range(BOMB // MIB)) + compressor.finish()


def _encoded(name: str, data: bytes) -> bytes:
    return HEAD + f"Content-Encoding: {name}\r\n\r\n".encode() + data


WORST: dict[str, tuple[str, type[ZhipuError] | None, int]] = {
    "gzip whole": ("whole", ResponseTooLarge, 4),
    "gzip download": ("download", ResponseTooLarge, 4),
    "gzip error": ("request", ZhipuError, 4),
    "gzip to_file": ("to_file", None, 1),
    "br whole": ("whole", ResponseTooLarge, 4),
    "bytes whole": ("whole", ResponseTooLarge, 4),
    "line stream": ("stream", StreamCorrupted, 2),
    "content stream": ("stream", ResponseTooLarge, 4),
    "calls stream": ("stream", ResponseTooLarge, 12),
    "heads whole": ("whole", ZhipuError, 4),
    "gzip session": ("session", ZhipuError, 1),
}
"""The way of asking, the error, and how many times ``Limits.body`` the process may grow by."""


def _attack(name: str) -> Attack:
    calls = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":%d}]}}]}\n\n'
    match name.split()[0]:
        case "gzip":
            return Attack(_encoded("gzip", _gzip()))
        case "br":
            return Attack(_encoded("br", _brotli()))
        case "bytes":
            return Attack(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", again=block(b" " * 64) * 5_000)
        case "line":
            return Attack(STREAM_HEAD + block(b"data: "), again=block(b"xx") * 5000)
        case "content":
            return Attack(STREAM_HEAD, again=block(chunk("ab") * 100))
        case "calls":
            return Attack(STREAM_HEAD + b"".join(block(calls % number) for number in range(300_000)))
        case _:
            return Attack(b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 65_000 + b"\r\n") * 300)


async def measure(name: str) -> int:
    """Bytes by which this process grew while the client met ``name``."""
    way, kind, _ = WORST[name]
    attack, found = _attack(name), None
    async with hostile_peer(attack, limits=LIMITS, timeout=Timeouts(connect=None, first_byte=100, between=100)) as (
        client,
        _peer,
    ):
        before = _resident()
        try:
            await WAYS[way](client, Path(sys.argv[2]))
        except ZhipuError as error:
            found = error
        assert isinstance(found, kind) if kind is not None else found is None, found
        assert not isinstance(found, RequestTimeout)
        return _resident("VmHWM") - before


def _resident(field: str = "VmRSS") -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
@pytest.mark.parametrize("name", WORST)
def test_memory_stays_within_a_few_times_the_bound(name: str, tmp_path: Path) -> None:
    """Eight times the bound, or without end: the process grows by a small multiple of ``Limits.body`` (16 MiB)."""
    command = [sys.executable, "-m", __name__, name, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    grown = int(done.stdout.split()[-1]) / MIB
    print(f"{name}: grew by {grown:.1f} MiB")
    assert grown < WORST[name][2] * 16


if __name__ == "__main__":
    print(asyncio.run(measure(sys.argv[1])))
