"""Calls with a planted key and a proxy's password, and everything that is written on the way: is a secret in it?"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import logging
import os
import pickle
import random
import re
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from zhipu_async import AsyncZhipuAI, Event, Timeouts, ZhipuError

from .traffic import HASTE, KEY, KINDS, SERVICE, SHORT, Errand, Service

PASSWORD = "Pr0xyPassw0rd-7d1f"
_USER = f"proxyuser:{PASSWORD}"
_SECRETS = {
    "the key": re.escape(KEY),
    "the key's secret": re.escape(KEY.partition(".")[2]),
    "the key in base64": re.escape(base64.b64encode(KEY.encode()).decode().rstrip("=")),
    "the proxy's password": re.escape(PASSWORD),
    "the proxy's credentials in base64": re.escape(base64.b64encode(_USER.encode()).decode().rstrip("=")),
    "a token": r"eyJ[\w-]{16,}\.[\w-]{16,}\.[\w-]{16,}",
}
_PATTERNS = {name: re.compile(pattern.encode()) for name, pattern in _SECRETS.items()}
Written = list[tuple[str, bytes]]
"""Texts by what they are."""


def found(data: bytes) -> list[str]:
    """The secrets that stand in it."""
    return [name for name, pattern in _PATTERNS.items() if pattern.search(data)]


def written(service: Service, *, each: bool = True) -> Written:
    """Everything that calls and the command line write: well and ill, with a key, a token, a proxy.

    Every fault is tried with ``each`` of four kinds of call, or else with one of them.
    """
    texts: Written = []
    out, errors, log = io.StringIO(), io.StringIO(), io.StringIO()
    handler, root = logging.StreamHandler(log), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), warnings.catch_warnings():
            warnings.simplefilter("always")
            asyncio.run(_calls(service, texts, each=each), debug=True)
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    for name, text in (("stdout", out), ("stderr", errors), ("log", log)):
        texts.append((name, text.getvalue().encode()))
    return texts + list(_command_lines(service))


async def _calls(service: Service, texts: Written, *, each: bool) -> None:
    """Calls to a service that is good and bad, and by way of it and the bad wires as proxies."""
    events: list[Event] = []
    befalls = [(name, None) for name in SERVICE] + [("none", name) for name in service.wires]

    async def one(number: int, kind: str, fault: str, wire: str | None) -> None:
        errand = Errand(kind, 1_000_000_000 + 20 * number, random.Random(number), fault)
        settings: dict[str, Any] = {"auth": ("bearer", "jwt")[number % 2], "hooks": [events.append], "timeout": HASTE}
        if wire is not None:
            address = service.wires[wire].partition("/api")[0].replace("//", f"//{_USER}@")
            settings["proxy"] = address
        async with service.client(**settings) as client:
            texts.append(
                (f"{kind} {fault} {wire}: client", repr((client, client.with_options(), client.pool)).encode())
            )
            try:
                await KINDS[kind](client, errand)
            except Exception as error:
                texts.extend((f"{kind} {fault} {wire}: {what}", data) for what, data in _of_error(error))

    limit = asyncio.Semaphore(32)

    async def bounded(number: int, kind: str, fault: str, wire: str | None) -> None:
        async with limit:
            await one(number, kind, fault, wire)

    async with asyncio.TaskGroup() as group:
        for number, ((fault, wire), kind) in enumerate(product(befalls, ("whole", "stream", "upload", "tools"))):
            if each or number % 5 == 0:
                group.create_task(bounded(number, kind, fault, wire))
    texts.append(("events", "\n".join(map(repr, events)).encode()))
    await _wrong_settings(service, texts)
    texts.append(("journal", await _journal(service)))


async def _wrong_settings(service: Service, texts: Written) -> None:
    """A refused key, a key that is none, proxies that are none or not there."""
    url = service.url
    near, dead = (address.replace("//", f"//{_USER}@") for address in (url.partition("/api")[0], "http://127.0.0.1:9"))
    wrong: dict[str, dict[str, Any]] = {
        "another key": {"api_key": f"{KEY}x"},
        "a key with a line end": {"api_key": f"{KEY}\n{KEY}"},
        "no token from it": {"api_key": f"{KEY}.{KEY}", "auth": "jwt"},
        "a dead proxy": {"proxy": dead},
        "a dead proxy for TLS": {"proxy": dead, "base_url": "https://localhost:9"},
        "a proxy that makes no tunnel": {"proxy": near, "base_url": "https://localhost:9"},
        "a proxy of no scheme": {"proxy": f"socks9://{_USER}@127.0.0.1:9"},
        "a proxy of no port": {"proxy": f"http://{_USER}@127.0.0.1:99999"},
    }
    for name, settings in wrong.items():
        try:
            async with AsyncZhipuAI(
                **{"api_key": KEY, "base_url": url, "retry": SHORT, "timeout": Timeouts(connect=1.0), **settings}
            ) as client:
                texts.append((f"{name}: client", repr(client).encode()))
                await KINDS["whole"](client, Errand("whole", 7, random.Random(7)))
        except Exception as error:
            texts.extend((f"{name}: {what}", data) for what, data in _of_error(error))


def _of_error(error: BaseException) -> Iterator[tuple[str, bytes]]:
    """All that a program may write of an error: its text, its pickle, its traceback as a crash report shows it."""
    yield "text", f"{error!s} {error!r} {vars(error)!r}".encode()
    if isinstance(error, ZhipuError):
        yield "pickle", pickle.dumps(error)
    yield "traceback", "".join(traceback.format_exception(error)).encode()
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    for each in _chain(told):  # our own frames here hold the secrets that were planted
        each.stack[:] = [frame for frame in each.stack if "benchmarks" not in Path(frame.filename).parts]
    yield "crash report", "".join(told.format()).encode()


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    yield told
    for inner in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if inner is not None:
            yield from _chain(inner)


async def _journal(service: Service) -> bytes:
    """The journal of a run with failures in it."""
    with tempfile.TemporaryDirectory(prefix="trust-") as folder:
        path = Path(folder, "journal.jsonl")
        errands = [Errand("whole", 2_000_000_000 + n, random.Random(n), fault) for n, fault in enumerate(SERVICE)]
        calls = {each.tag: AsyncZhipuAI.chat.completions.create.call(**each.ask) for each in errands}
        calls.pop(errands[list(SERVICE).index("no balance")].tag)  # which would end the run
        async with service.client(timeout=HASTE) as client:
            await client.fan_out(calls, journal=path, deadline=10.0).collect()
        return path.read_bytes()  # noqa: ASYNC240 -- nothing else goes on


def _command_lines(service: Service) -> Iterator[tuple[str, bytes]]:
    """The command line with --debug: an answer, a refused key, a proxy, a dead proxy, a run with a journal."""
    proxy = service.url.partition("/api")[0].replace("//", f"//{_USER}@")
    with tempfile.TemporaryDirectory(prefix="trust-") as folder:
        prompts = Path(folder, "prompts.txt")
        prompts.write_text("one\ntwo [3 failed]\n")
        ask = ["chat", "Hello", "--base-url", service.url]
        run = ["run", str(prompts), "--model", "glm-4.6", "--base-url", service.url, "--out", f"{folder}/out.jsonl"]
        cases: dict[str, tuple[list[str], dict[str, str]]] = {
            "chat": (ask, {}),
            "wrong key": (ask, {"ZHIPU_API_KEY": f"{KEY}x"}),
            "no key": (ask, {"ZHIPU_API_KEY": f"{KEY} {KEY}"}),
            "proxy": (ask, {"HTTP_PROXY": proxy}),
            "dead proxy": ([*ask, "--timeout", "2"], {"HTTP_PROXY": f"http://{_USER}@127.0.0.1:9"}),
            "run": (run, {}),
        }
        clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        for name, (arguments, settings) in cases.items():
            command = [sys.executable, "-X", "dev", "-m", "zhipu_async", "--debug", *arguments]
            environment = {**clean, "ZHIPU_API_KEY": KEY, **settings}
            done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
            yield f"--debug {name} (status {done.returncode})", done.stdout + done.stderr
        for path in Path(folder).iterdir():
            yield path.name, path.read_bytes()
