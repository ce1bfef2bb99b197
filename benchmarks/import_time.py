"""What it costs to begin: imports, the first call and further clients, beside aiohttp with msgspec, and openai.

CPU (user and system) of a fresh interpreter, the best of ten, in turns. Bytecode is cached, as it is after an
installation, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import timeit

from zhipu_async import AsyncZhipuAI

from .canned import canned

ROUNDS = 10
CLIENTS = 2000

BY_HAND = """
import asyncio, aiohttp, msgspec
class Message(msgspec.Struct):
    content: str
class Choice(msgspec.Struct):
    message: Message
class Answer(msgspec.Struct):
    choices: list[Choice]
async def main():
    async with aiohttp.ClientSession() as session:
        body = msgspec.json.encode({"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]})
        async with session.post("URL/chat/completions", data=body) as response:
            print(msgspec.json.decode(await response.read(), type=Answer).choices[0].message.content)
asyncio.run(main())
"""
OURS = """
import asyncio
from zhipu_async import AsyncZhipuAI
async def main():
    async with AsyncZhipuAI("k.s", base_url="URL") as client:
        question = [{"role": "user", "content": "Hello"}]
        print((await client.chat.completions.create(model="glm-4.6", messages=question)).text)
asyncio.run(main())
"""
REFERENCE = "import aiohttp, msgspec"
PROGRAMS = {
    "nothing": "pass",
    REFERENCE: REFERENCE,
    "import zhipu_async": "import zhipu_async",
    "from zhipu_async import AsyncZhipuAI": "from zhipu_async import AsyncZhipuAI",
    "from zhipu_async import *": "from zhipu_async import *",
    "import openai": "import openai",
    "one call by hand": BY_HAND,
    "one call": OURS,
}


def cpu(program: str, environment: dict[str, str]) -> float:
    """CPU seconds of an interpreter that runs ``program``."""
    started = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    assert started.returncode == 0, program
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the best of each, and its ratio to the reference."""
    if importlib.util.find_spec("openai") is None:
        print("openai is not installed: skipped")
        del PROGRAMS["import openai"]
    best = dict.fromkeys(PROGRAMS, float("inf"))
    with tempfile.TemporaryDirectory() as folder, canned(limit=1000, delay=0) as service:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for name, program in [*PROGRAMS.items()] * (1 + ROUNDS):
            seconds = cpu(program.replace("URL", service.url), environment)
            best[name] = min(best[name], seconds)  # the first round writes the bytecode, and is never the best
    for name, seconds in best.items():
        print(f"{name:40} {seconds * 1e3:6.0f} ms {seconds / best[REFERENCE]:6.2f}")
    seconds = min(timeit.repeat(lambda: AsyncZhipuAI("k.s"), number=CLIENTS, timer=time.process_time)) / CLIENTS
    print(f"{'a further client':40} {seconds * 1e3:6.3f} ms")


if __name__ == "__main__":
    main()
