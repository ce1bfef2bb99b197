"""Every client under every load, in turn: ``python -m benchmarks``.

    python -m benchmarks                               all installed clients, five rounds: about twenty minutes
    python -m benchmarks --clients handwritten,zhipu   some of them
    python -m benchmarks --loads bulk,whole-32 --rounds 3
    python -m benchmarks --uvloop                      on uvloop

Each measurement is a process of its own, pinned to another core than the service where the system allows it, and the
clients take turns in each round. A ratio is that of two medians of one run; CPU is user and system.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec

import msgspec

from .overhead.loads import LOADS, Figures
from .overhead.report import Table, machine
from .overhead.server import CHUNKS, serving

CLIENTS = {
    "handwritten": "aiohttp",
    "zhipu": "zhipu_async",
    "raw": "asyncio",
    "openai_httpx": "openai",
    "openai_aiohttp": "httpx_aiohttp",
    "zai_sdk": "zai",
    "lite_llm": "litellm",
}
"""What each client needs installed; the extra ``bench`` brings the peers."""
PATIENCE = 180.0
"""Seconds for one measurement."""


def measure(client: str, load: str, url: str, core: int | None, *, uvloop: bool) -> Figures | str:
    """One measurement in a fresh process, or why there is none."""
    command = [sys.executable, "-m", "benchmarks.overhead.loads", client, load, url]
    loop = "uvloop" if uvloop else "asyncio"
    environment = {**os.environ, "BENCHMARK_LOOP": loop, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    try:
        done = subprocess.run(
            [*command, *([] if core is None else [str(core)])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return f"took more than {PATIENCE:g} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1]
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Figures)


def names(text: str, known: dict[str, object]) -> list[str]:
    """The chosen names; an unknown one ends the program."""
    chosen = text.split(",") if text else list(known)
    for name in chosen:
        if name not in known:
            raise SystemExit(f"{name} is none of: {', '.join(known)}")
    return chosen


def main() -> None:
    """Read the options, measure, print."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    options.add_argument("--clients", default="", help=f"of: {', '.join(CLIENTS)}")
    options.add_argument("--loads", default="", help=f"of: {', '.join(LOADS)}")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--uvloop", action="store_true")
    given = options.parse_args()
    loads = names(given.loads, dict(LOADS))
    clients = []
    for client in names(given.clients, dict(CLIENTS)):
        if find_spec(CLIENTS[client]) is None:
            print(f"{client}: not installed ({CLIENTS[client]}), left out")
        else:
            clients.append(client)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    here, there = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    print(machine(uvloop=given.uvloop, chunks=CHUNKS))
    with serving(there) as url:
        for load in loads:
            table = Table(LOADS[load], clients)
            for _ in range(given.rounds):
                for client in clients:
                    table.add(client, measure(client, load, url, here, uvloop=given.uvloop))
            print(table.line, flush=True)


if __name__ == "__main__":
    main()
