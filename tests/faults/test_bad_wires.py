"""Every fault of a bad wire under every kind of call: what the user gets, what the service saw, what is left."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from benchmarks.bad_wire import FAULTS, BadWire, Choice, Fault, mixed
from tests.conftest import SHORT_SLEEPS
from tests.faults.conftest import MESSAGES, whole
from zhipu_async import AsyncZhipuAI, RetryPolicy, Timeouts, ZhipuError
from zhipu_async.polling import KINDS
from zhipu_async.simulator import Delivery, Reply, Scenario, SeenRequest, Simulator
from zhipu_async.types.tasks import ChatTask

pytestmark = pytest.mark.heavy

TEXT = "word " * 30
FILE = b'{"a":1}\n' * 100
SILENCE = 1.0
"""Seconds after which a stalled call is given up, where the wire stalls."""


@dataclass
class Bench:
    """A simulator with a task and a file in it, and a client for each kind of call, behind a wire of its own."""

    sim: Simulator
    task: ChatTask
    file: str
    folder: Path
    wait: float
    """Seconds for which the task is waited for."""
    clients: dict[str, AsyncZhipuAI] = field(default_factory=dict)
    wires: dict[str, BadWire] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)

    def seen(self, kind: str) -> int:
        """Requests of this kind that reached the service."""
        return sum(request.headers.get("X-Kind") == kind for request in self.sim.requests)

    async def outcome(self, kind: str, client: AsyncZhipuAI | None = None) -> object:
        """What one call of this kind comes to: True where its value is right, or the name of its error."""
        try:
            return await CALLS[kind](client or self.clients[kind], self)
        except ZhipuError as error:
            self.errors[kind] = error
            return type(error).__name__

    async def outcomes(self) -> dict[str, object]:
        """One call of each kind, all at once."""
        return dict(zip(CALLS, await asyncio.gather(*map(self.outcome, CALLS)), strict=True))


async def chat(client: AsyncZhipuAI, bench: Bench) -> object:
    """A whole answer."""
    return (await client.chat.completions.create(model="glm-4.6", messages=MESSAGES)).text == TEXT


async def stream(client: AsyncZhipuAI, bench: Bench) -> object:
    """A stream, whose pieces must be the beginning of the text also where it breaks off."""
    pieces: list[str] = []
    async with await client.chat.completions.create(model="glm-4.6", messages=MESSAGES, stream=True) as answer:
        try:
            async for piece in answer.text_deltas():
                pieces.append(piece)
        except ZhipuError:
            assert pieces
            assert TEXT.startswith("".join(pieces))
            raise
    return "".join(pieces) == TEXT


async def create(client: AsyncZhipuAI, bench: Bench) -> object:
    """A call that creates a task."""
    return len((await client.videos.generate(model="cogvideox-3", prompt="A cat")).id or "") > 20


async def upload(client: AsyncZhipuAI, bench: Bench) -> object:
    """A file on its way out."""
    return (await client.files.create(file=("a.jsonl", FILE), purpose="batch")).bytes == len(FILE)


async def download(client: AsyncZhipuAI, bench: Bench) -> object:
    """A file on its way in, which stands under its path only when it is whole."""
    with TemporaryDirectory(dir=bench.folder) as folder:
        path = Path(folder, "copy")
        try:
            await client.files.content.to_file(path, bench.file)
        except ZhipuError:
            assert os.listdir(folder) == []
            raise
        return await asyncio.to_thread(path.read_bytes) == FILE


async def wait(client: AsyncZhipuAI, bench: Bench) -> object:
    """The wait for a task that is done."""
    return (await client.wait(bench.task, timeout=bench.wait)).state == "done"


CALLS: dict[str, Callable[[AsyncZhipuAI, Bench], Awaitable[object]]] = {
    call.__name__: call for call in (chat, stream, create, upload, download, wait)
}
CREATING = {"create", "upload"}
ONE_REPEAT = replace(SHORT_SLEEPS, retries=1)


def answers(request: SeenRequest) -> Reply | None:
    """What the service answers where a model speaks: a stream comes event by event."""
    if not request.path.endswith("/v4/chat/completions"):
        return None
    return Reply(TEXT, delivery=Delivery(pause=0.0) if request.stream else None)


@asynccontextmanager
async def bench(
    fault: Fault | Choice, folder: Path, *, silence: float = 10, wait: float = 10, retry: RetryPolicy = ONE_REPEAT
) -> AsyncGenerator[Bench]:
    """All of it, with tasks asked after often; all is whole in the end, and no connection left at wires or service."""
    clocks = Timeouts(first_byte=silence, between=silence)
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("zhipu_async.polling.POLL_SECONDS", silence)
        patch.setitem(KINDS, ChatTask, replace(KINDS[ChatTask], first=0.001, longest=0.02))
        sim = await stack.enter_async_context(Simulator(Scenario(replies=answers, task_seconds=0)))
        async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
            task = await client.chat.async_completions.create(model="glm-4.6", messages=MESSAGES)
            stored = await client.files.create(file=("a.jsonl", FILE), purpose="batch")
        made = Bench(sim, task, str(stored.id), folder, wait)
        for kind in CALLS:
            port = int(sim.origin.rpartition(":")[2])
            wire = await stack.enter_async_context(BadWire("127.0.0.1", port, fault))
            made.wires[kind] = wire
            made.clients[kind] = AsyncZhipuAI(
                sim.api_key,
                base_url=f"{wire.url}/api/paas/v4",
                timeout=clocks,
                retry=retry,
                default_headers={"X-Kind": kind},
            )
            stack.push_async_callback(made.clients[kind].close)
        yield made
        for client in made.clients.values():
            await whole(client)
            await client.close()
        await sim.wait_until(lambda: sim.in_flight == 0)
        async with asyncio.timeout(5):
            for wire in made.wires.values():
                await wire.emptied()


# ------------------------------------------------------------ what each fault comes to

HARMLESS = {
    **{name: FAULTS[name] for name in ("none", "latency", "jitter", "narrow", "small pieces", "slow accept")},
    **{name: FAULTS[name] for name in ("100 continue", "103 early hints", "many hints")},
    **{name: FAULTS[name] for name in ("extra answer", "answer twice", "closed when idle", "reset when idle")},
    **{f"{name}, later": replace(FAULTS[name], pause=0.01) for name in ("extra answer", "extra bytes", "answer twice")},
}
"""The user gets what the service said, asked once."""

NOT_SEEN = {
    "refused": "ConnectionLost",
    "closed at once": "ConnectionLost",
    "reset before": "ConnectionLost",
    "closed before": "ConnectionLost",
    "reset in request": "ConnectionLost",
    "request swallowed": "RequestTimeout",
}
"""The service sees nothing, which the client cannot know; and the error in the end."""

SEEN = {
    "reset after": "ConnectionLost",
    "closed after": "ConnectionLost",
    "half-closed after": "ConnectionLost",
    "never answered": "RequestTimeout",
    "head cut": "ConnectionLost",
    "answer cut": "ConnectionLost",
    "answer reset": "ConnectionLost",
    "answer half-closed": "ConnectionLost",
    "answer stalls": "RequestTimeout",
    "garbage": "ConnectionLost",
    "nothing but hints": "ConnectionLost",
}
"""The service has worked, and its answer is lost; and the error in the end."""

STALLING = {name for name, error in {**NOT_SEEN, **SEEN}.items() if error == "RequestTimeout"}

KEPT = {"kept one reset before": 2, "kept one closed before": 2, "kept one reset after": 3}
"""Only connections that were used before are spoilt; and the requests that two calls cost the service."""

JUST_BEHIND_THE_HEAD = 225
"""Bytes of an answer, such that its head is whole and its body is not."""


def spoilt(name: str) -> Fault:
    """The fault of this name, which cuts short answers too."""
    fault = FAULTS[name]
    return replace(fault, count=JUST_BEHIND_THE_HEAD) if fault.count == 400 else fault


def test_each_fault_is_tried() -> None:
    """The tables of this page have all the faults that the wire knows."""
    assert {*HARMLESS, *NOT_SEEN, *SEEN, *KEPT} >= {*FAULTS} - {"extra bytes"}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_a_client_must_bear(name: str, tmp_path: Path) -> None:
    """Two calls in a row give both their values at one request each, whatever the wire says between."""
    async with bench(HARMLESS[name], tmp_path) as made:
        for _ in range(2):
            assert await made.outcomes() == dict.fromkeys(CALLS, True)
            await asyncio.sleep(0.03)
        assert {kind: made.seen(kind) for kind in CALLS} == dict.fromkeys(CALLS, 2)


@pytest.mark.parametrize("name", [*NOT_SEEN, *SEEN])
async def test_a_fault_that_stays(name: str, tmp_path: Path) -> None:
    """A call that creates nothing is sent twice, as its policy has it, one that creates once; a wait asks on and on."""
    error, seen = {**NOT_SEEN, **SEEN}[name], name in SEEN
    asked = asyncio.Event()

    def always(number: int) -> Fault:
        if number > 2:  # on one wire: only who waits for a task asks so often
            asked.set()
        return spoilt(name)

    async with bench(always, tmp_path, silence=SILENCE if name in STALLING else 10) as made:
        waiting = asyncio.create_task(made.outcome("wait"))
        calls = [kind for kind in CALLS if kind != "wait"]
        assert await asyncio.gather(*map(made.outcome, calls)) == [error] * len(calls)
        for kind in calls:
            sent = 1 if kind in CREATING else 2
            assert (kind, made.wires[kind].connections, made.seen(kind)) == (kind, sent, sent * seen)
        assert all(made.errors[kind].arrived is True for kind in CREATING)
        await asyncio.wait_for(asked.wait(), 10)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


@pytest.mark.parametrize("name", [*NOT_SEEN, *SEEN])
async def test_a_fault_that_passes(name: str, tmp_path: Path) -> None:
    """The first connection alone is bad: the user gets the value, or, of a call that creates, the error; never two."""
    error, seen = {**NOT_SEEN, **SEEN}[name], name in SEEN
    silence = SILENCE if name in STALLING else 10
    async with bench(lambda number: spoilt(name) if number == 1 else Fault(), tmp_path, silence=silence) as made:
        assert await made.outcomes() == {kind: error if kind in CREATING else True for kind in CALLS}
        for kind in CALLS:
            assert (kind, made.seen(kind)) == (kind, seen if kind in CREATING else 1 + seen)


@pytest.mark.parametrize("name", KEPT)
async def test_a_fault_of_kept_connections(name: str, tmp_path: Path) -> None:
    """It costs the user nothing; a call that creates never meets it, since it goes on a connection of its own."""
    async with bench(FAULTS[name], tmp_path) as made:
        for _ in range(2):
            assert await made.outcomes() == dict.fromkeys(CALLS, True)
        for kind in CALLS:
            assert (kind, made.seen(kind)) == (kind, 2 if kind in CREATING else KEPT[name])
            assert made.wires[kind].struck[FAULTS[name]] == (0 if kind in CREATING else 1)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("answer cut", "StreamTruncated"),
        ("answer reset", "StreamTruncated"),
        ("answer half-closed", "StreamTruncated"),
        ("answer stalls", "RequestTimeout"),
    ],
)
async def test_a_stream_that_breaks_after_its_first_words(name: str, error: str, tmp_path: Path) -> None:
    """What came was right and stays in the user's hands, and nothing is asked again behind his back."""
    silence = SILENCE if name in STALLING else 10
    async with bench(replace(FAULTS[name], count=2000), tmp_path, silence=silence) as made:
        assert await made.outcome("stream") == error
        assert (made.wires["stream"].connections, made.seen("stream")) == (1, 1)


async def test_junk_in_one_packet_with_an_answer(tmp_path: Path) -> None:
    """Whether the answer is still understood or not, a call that creates is made once and the rest are repeated."""
    async with bench(FAULTS["extra bytes"], tmp_path, wait=2) as made:
        for kind, came in (await made.outcomes()).items():
            assert came in (True, "ConnectionLost", "TaskTimeout")
            assert made.seen(kind) == 1 if came is True or kind in CREATING else made.seen(kind) >= 2


async def test_a_service_that_is_away_for_a_while(tmp_path: Path) -> None:
    """Where no connection can be made nothing can have arrived: all kinds of calls are repeated, and seen once."""
    async with bench(Fault(), tmp_path, retry=RetryPolicy(retries=500, base=0.01, cap=0.01)) as made:
        for wire in made.wires.values():
            await wire.unplug()
        calls = asyncio.create_task(made.outcomes())
        await asyncio.sleep(0.1)
        for wire in made.wires.values():
            assert wire.connections == 0
            await wire.plug()
        assert await calls == dict.fromkeys(CALLS, True)
        assert {kind: made.seen(kind) for kind in CALLS} == dict.fromkeys(CALLS, 1)


@pytest.mark.heavy
async def test_all_faults_mixed(tmp_path: Path) -> None:
    """Of 300 calls over wires with all faults at random, each ends with its value or our error, and none is doubled."""
    faults = {spoilt(name): 10.0 if name == "none" else 1.0 for name in FAULTS if name not in STALLING}
    ended: Counter[tuple[str, object]] = Counter()
    async with bench(mixed(faults, seed=6), tmp_path) as made:

        async def some(kind: str, number: int) -> None:
            mark = f"{kind}-{number}"
            client = made.clients[kind].with_options(default_headers={"X-Call": mark})
            ended[kind, await made.outcome(kind, client)] += 1
            times = sum(request.headers.get("X-Call") == mark for request in made.sim.requests)
            assert kind == "wait" or times <= (1 if kind in CREATING else 4)

        for begin in range(0, 50, 10):
            await asyncio.gather(*(some(kind, number) for kind in CALLS for number in range(begin, begin + 10)))
    assert ended.total() == 300
    assert {came for _, came in ended} <= {True, "ConnectionLost", "StreamTruncated"}
    assert min(ended[kind, True] for kind in CALLS) >= 10
