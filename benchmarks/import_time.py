"""``import zhipu_async`` beside a bare ``import aiohttp, msgspec``: the best of ten interpreters each."""

from __future__ import annotations

import subprocess
import sys
import time


def seconds(program: str) -> float:
    """Wall time of an interpreter that runs ``program``."""
    before = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - before


programs = {"nothing": "pass", "aiohttp, msgspec": "import aiohttp, msgspec", "zhipu_async": "import zhipu_async"}
best = {name: min(seconds(program) for _ in range(10)) for name, program in programs.items()}
for name, time_taken in best.items():
    print(f"{name:20} {time_taken * 1e3:6.0f} ms")
print(f"ratio {best['zhipu_async'] / best['aiohttp, msgspec']:.2f}")
