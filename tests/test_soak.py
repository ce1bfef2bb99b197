"""A short soak, a small table of trust, and what they led to."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from aiohttp import ClientError
from aiohttp.http import RawResponseMessage

from benchmarks import planted, soak, traffic, trust
from benchmarks.bad_wire import FAULTS, BadWire
from tests.conftest import Serve
from tests.servers import COMPLETION, Conversation, byte_server
from zhipu_async import AsyncZhipuAI, ConfigError, Timeouts, ZhipuError
from zhipu_async.protocol.endpoint import HTTPRequest
from zhipu_async.simulator import Raw, Refusal, Scenario
from zhipu_async.transport.reading import UNREAD

SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))
"""Of the soak: more of them make its figures sharper."""


@pytest.mark.heavy
def test_a_soak_loses_nothing_doubles_nothing_and_does_not_grow() -> None:
    """Mixed traffic with faults, on a lasting loop and on others that come and go: each call gives what it promises or
    an error of ours, what creates is made once, and at the end there is no task or socket more than after the warm-up,
    and ten objects of ours at most. The heap grows by under 5 MB per 100,000 requests and 1 MB in all (the memory of
    URLs fills up), the pages of the process by that and 3 MB in all.
    """
    report = soak.soak(SECONDS, seed=1)
    assert report.verdict() == []
    assert len(report.marks) >= 4
    assert report.measured > 1500
    assert report.ended["value"] > report.errands / 2
    assert {"cancelled", "ConnectionLost", "DecodeError", "RequestTimeout", "StreamTruncated"} < report.ended.keys()
    assert sum(report.ended.values()) == report.errands


def marks(*megabytes: float, sockets: int = 3) -> list[soak.Mark]:
    """Marks 10,000 requests apart."""
    return [
        soak.Mark(10_000 * number, resident, resident, 0, sockets * number, 40, 60.0 * number)
        for number, resident in enumerate(megabytes, 1)
    ]


def test_the_verdict_of_a_soak_sees_a_leak_and_not_a_peak() -> None:
    """A hundred bytes per request are too much, a single high mark is not; a socket more is too much."""
    steady = soak.Report(marks=marks(60, 60.1, 90, 60, 60.2, 60.1, 60.2, 60.1, 60.2, sockets=0))
    assert steady.verdict() == []
    assert steady.measured == 80_000
    leaking = soak.Report(marks=marks(*(60 + number for number in range(10)), sockets=0))
    assert [each.split(" MB")[0] for each in leaking.verdict()] == [
        "the heap grows by 10.0",
        "the process grows by 10.0",
    ]
    assert soak.Report(marks=marks(60, 60, 60, 60)).verdict() == ["6 more sockets"]
    assert soak.Report(broken=["lost"]).verdict() == ["lost"]


def test_a_call_that_was_made_twice_is_seen() -> None:
    """So is one that answered though it was not made."""
    assert traffic.doubled(traffic.Counts(9, {20: 1, 40: 2}), [20, 40]) == [40]
    assert traffic.doubled(traffic.Counts(9, {20: 1}), [20, 60]) == [60]


@pytest.mark.parametrize(("fault", "told"), [("none", "'no'"), ("no balance", "AccountError")])
async def test_a_value_that_is_not_the_promised_one_is_lost(serve: Serve, fault: str, told: str) -> None:
    """An answer without the tag is Lost, and so is an error where the fault is one that is to be cured."""
    answer = (
        Raw(b'{"id":"1","choices":[{"index":0,"message":{"content":"no"}}]}') if fault == "none" else Refusal("1113")
    )
    client, sim = await serve(Scenario(replies=[answer]))
    far: Any = traffic.Service(pipe=None, url=sim.base_url, wires={})  # type: ignore[arg-type]
    with pytest.raises(traffic.Lost, match=told):
        await traffic.run(far, client, traffic.Errand("whole", 20, random.Random(0)))


@pytest.mark.heavy
def test_the_table_of_trust() -> None:
    """A tiny one: every fault survived, nothing doubled or shown, bad inputs and greedy answers withstood. (Killed runs
    are in test_fan_out_scale.)"""
    parts = ("faults", "secrets", "inputs", "memory", "--tiny", "--seed", "1")
    command = [sys.executable, "-m", "benchmarks.trust", *parts]  # by itself: the memory of this process is the tests'
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    assert not [line for line in lines if "BROKEN" in line]
    figures = {line[:40].strip(): line[40:].split() for line in lines}
    survived = figures["faults survived / tried"]
    assert survived[0] == survived[2]
    assert int(survived[0]) == 3 * (len(traffic.SERVICE) + len(traffic.WIRES))
    assert figures["requests doubled, of those that create"][0] == "0"
    assert int(figures["requests doubled, of those that create"][2]) > 20
    assert figures["secrets found"][0] == "0"
    assert int(figures["secrets found"][2]) > 100
    assert int(figures["bad inputs tried, failures"][0].rstrip(",")) > 50
    assert sum(name.startswith("memory: ") for name in figures) == 11


@pytest.mark.parametrize(
    "written",
    [
        traffic.KEY,
        f"Bearer {traffic.KEY}",
        "x.Planted5ecretKey",
        f"http://u:{planted.PASSWORD}@h",
        "eyJhbGciOiJIUzI1NiIsIn.eyJhcGlfa2V5IjoiMDEyMz.uMfyFj2Q4ENbMcZ4qc_OEb",
    ],
)
def test_a_secret_that_was_written_is_found(written: str) -> None:
    """The key or its secret half, the password of a proxy, and a token."""
    assert planted.found(f"..{written}..".encode())
    assert not planted.found(b"nothing of the kind")


def test_a_broken_promise_gives_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And what broke it stands below the table."""
    monkeypatch.setitem(trust.PARTS, "faults", lambda size: [trust.Line("faults", "1 / 2", "all", ["it hangs"])])
    assert trust.main(["faults"]) == 1
    assert capfd.readouterr().out.split("\n")[-2:] == ["faults: it hangs", ""]


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """In the end: what of calls the garbage collector has to find (frames of ours, errors, requests, answers)."""
    left: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += [each for each in gc.garbage if isinstance(each, FrameType) and _ours(each)]
        left += [each for each in gc.garbage if isinstance(each, (ZhipuError, ClientError))]
        left += [each for each in gc.garbage if isinstance(each, (HTTPRequest, RawResponseMessage))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _ours(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__"))
    return module.startswith("zhipu_async.") and not module.startswith("zhipu_async.simulator")


@pytest.mark.parametrize("answer", [Refusal("1113"), Refusal("1234", times=3), Raw(b"{", times=3)])
async def test_a_call_that_fails_leaves_nothing_for_the_garbage_collector(serve: Serve, answer: Any) -> None:
    """Its error, which knows the frames it came through, is in no cycle with them, with repeats or without."""
    client, _ = await serve(Scenario(replies=[answer, answer]))
    await _fail(client)
    with garbage() as left:
        await _fail(client)
    assert left == []


@pytest.mark.heavy
@pytest.mark.parametrize(
    "name", ["closed at once", "never answered", "answer cut", "answer stalls", "nothing but hints"]
)
async def test_a_call_on_a_bad_wire_leaves_nothing_for_the_garbage_collector(serve: Serve, name: str) -> None:
    """Nor does one whose connection breaks, or whose clock ends it; and what its peer has sent too much is gone."""
    client, sim = await serve()
    async with BadWire("127.0.0.1", int(sim.origin.rpartition(":")[2]), FAULTS[name]) as wire:
        client = client.with_options(base_url=f"{wire.url}/api/paas/v4", timeout=Timeouts(first_byte=0.1, between=0.1))
        await _fail(client)
        with garbage() as left:
            await _fail(client)
            await wire.emptied()
    assert left == []


async def _fail(client: AsyncZhipuAI) -> None:
    with pytest.raises(ZhipuError):
        await client.embeddings.create(model="embedding-3", input="x")
    await asyncio.sleep(0)


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
async def test_an_idle_connection_is_closed_by_answers_that_nobody_asked_for(unasked: bytes) -> None:
    """A peer that goes on after its answer is cut off; till then few of its messages are kept, and the next call has
    another connection."""
    cut = asyncio.Event()

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(COMPLETION)
            try:
                for _ in range(200 if talk.number == 1 else 0):
                    await talk.send(unasked * 1000)
            except ConnectionError:
                cut.set()

    async with byte_server(handler) as server, AsyncZhipuAI("id.secret", base_url=server.url) as client:
        for opened in (1, 2):
            await client.chat.completions.create(model="glm-4.6", messages=[{"role": "user", "content": "Hi"}])
            async with asyncio.timeout(10):
                await cut.wait()
            assert server.opened == opened
            assert sum(isinstance(each, RawResponseMessage) for each in gc.get_objects()) <= UNREAD


def test_a_client_whose_settings_were_refused_has_a_repr() -> None:
    """A crash report shows it, in the frame that refused them."""
    made = AsyncZhipuAI.__new__(AsyncZhipuAI)
    with pytest.raises(ConfigError):
        made.__init__("")  # type: ignore[misc]
    assert repr(made) == "<AsyncZhipuAI None auth=None>"
