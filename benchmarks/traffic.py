"""Mixed traffic with faults, and the service that it goes to: what `soak` does for long and `trust` does of each kind.

Every call has a number and a fault in its prompt (``[12 busy]``), so that the service knows what to do, answers with
both, and counts what was made. The faults of `bad_wire` are on relays before the service, a relay for each.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import re
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from zhipu_async import AsyncZhipuAI, Limits, RetryPolicy, Timeouts, ZhipuError, read_journal
from zhipu_async.simulator import Answer, Delivery, ErrorFrame, HangUp, Json, Raw, Refusal, Reply, Scenario, Simulator
from zhipu_async.simulator import page as gateway_page
from zhipu_async.simulator.seen import SeenRequest

from .bad_wire import FAULTS, BadWire

T = TypeVar("T")

KEY = "3f786850e387550fdab836ed7e6dc881.Planted5ecretKey"
TAG = re.compile(rb"\[(\d+) ([a-z ]+)\]")
CREATING = ("/files", "/async/chat/completions")
HASTE = Timeouts(connect=1.0, first_byte=0.4, between=0.4, total=4.0)
"""Where something stalls, it is seen soon; fast answers may be missed with it when the machine is busy."""
SHORT = RetryPolicy(base=0.005, cap=0.02, overload_base=0.005, overload_cap=0.02)
KEEP_ALIVE = 0.5
CALLS = 12
"""Calls of a fan-out. Errands are numbered so far apart that theirs have numbers of their own."""
APART = 20


class Strange(NamedTuple):
    """What the service does to a request."""

    make: Callable[[str], Answer | None]
    """The answer, given the tag; None: the usual one."""
    cured: str = "never"
    """Who has to get the result all the same: "never", those calls that are "repeatable", or "all"."""
    stalls: bool = False


SERVICE: Mapping[str, Strange] = {
    "none": Strange(lambda tag: None, "all"),
    "busy": Strange(lambda tag: Refusal("1302"), "all"),
    "overloaded": Strange(lambda tag: Refusal("1305"), "all"),
    "failed": Strange(lambda tag: Refusal("1234"), "repeatable"),
    "gateway": Strange(lambda tag: gateway_page(502), "repeatable"),
    "hung up": Strange(lambda tag: HangUp(), "repeatable"),
    "reset": Strange(lambda tag: HangUp(reset=True), "repeatable"),
    "no balance": Strange(lambda tag: Refusal("1113")),
    "filtered": Strange(lambda tag: Refusal("1301")),
    "garbage": Strange(lambda tag: Raw(b"\x1f\x8b\x08{\xff\xfe\x00", content_type="application/json")),
    "not ours": Strange(lambda tag: Json([{"id": 17}, None])),
    "error frame": Strange(lambda tag: ErrorFrame("1234", after=["so far "])),
    "torn": Strange(lambda tag: Reply(f"{tag} and more", pieces=2, delivery=Delivery(stops_at=300))),
    "half": Strange(lambda tag: Reply(f"{tag} and more", pieces=2, delivery=Delivery(stops_at=300, then="close"))),
    "stalled": Strange(lambda tag: Reply(tag, pieces=2, delivery=Delivery(stops_at=300, then="hang")), stalls=True),
    "late": Strange(lambda tag: Reply(tag, delivery=Delivery(head_after=0.6)), stalls=True),
    "compressed": Strange(lambda tag: Reply(tag, delivery=Delivery(gzip=True))),
    "no end": Strange(lambda tag: Reply(tag, final_chunk=False, done=False)),
}
"""What befalls the first request with a tag; the next gets its answer."""
WIRES = [name for name in FAULTS if name not in ("extra answer", "answer twice")]
"""Without those that lie: a second answer that comes when the next request is out is, by HTTP, the answer to that."""


# ---------------------------------------------------------------- the service


class Counts(NamedTuple):
    """What the service has seen since it was asked last."""

    served: int
    """Requests, since it began."""
    made: dict[int, int]
    """How often each creating call was carried out, or may have been."""


class _Script:
    def __init__(self) -> None:
        self.arrived: Counter[int] = Counter()
        self.made: Counter[int] = Counter()

    def __call__(self, request: SeenRequest) -> Answer | None:
        told = request.uploads[0].filename.encode() if request.uploads else request.raw
        found = TAG.search(told)
        if found is None:
            return None
        number = int(found[1])
        self.arrived[number] += 1
        first = self.arrived[number] == 1
        answer = SERVICE[found[2].decode()].make(found[0].decode()) if first else None
        chat = request.path.endswith("/v4/chat/completions") and not request.get("tools")
        if isinstance(answer, (Reply, ErrorFrame)) and not chat:
            answer = None  # what is said there has another shape
        if request.path.endswith(CREATING) and not (isinstance(answer, Refusal) and answer.code in ("1302", "1305")):
            self.made[number] += 1
        return answer


async def _service(pipe: Connection) -> None:
    script = _Script()
    async with AsyncExitStack() as stack:
        scenario = Scenario(replies=script, api_keys=(KEY,))
        sim = await stack.enter_async_context(Simulator(scenario, record=False))
        port = int(sim.origin.rpartition(":")[2])
        wires = {name: BadWire("127.0.0.1", port, FAULTS[name]) for name in WIRES}
        for wire in wires.values():
            await stack.enter_async_context(wire)
        pipe.send((sim.base_url, {name: f"{wire.url}/api/paas/v4" for name, wire in wires.items()}))
        with suppress(EOFError):
            while await asyncio.to_thread(pipe.recv):
                pipe.send(Counts(sim.served, dict(script.made)))
                script.arrived.clear()
                script.made.clear()


def _serve(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks
    asyncio.run(_service(pipe))


@dataclass
class Service:
    """The way to the service."""

    pipe: Connection
    url: str
    wires: Mapping[str, str]
    """Where it is reached through a bad wire, by the name of the fault."""

    def counts(self) -> Counts:
        """What it has seen; call it when nothing is under way."""
        self.pipe.send(True)
        counts: Counts = self.pipe.recv()
        return counts

    def client(self, **settings: Any) -> AsyncZhipuAI:
        """A client of it with short sleeps."""
        limits = Limits(keep_alive=KEEP_ALIVE, polls=500.0)
        return AsyncZhipuAI(KEY, **{"base_url": self.url, "retry": SHORT, "limits": limits, **settings})


@contextmanager
def service() -> Generator[Service]:
    """The service in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,))
    process.start()
    there.close()
    try:
        yield Service(here, *here.recv())
    finally:
        here.close()
        process.join()


# ---------------------------------------------------------------- the calls


class Lost(Exception):
    """A promise is broken."""


async def at_rest(busy: Callable[[], T]) -> T:
    """What ``busy`` says in the end, after three seconds at most: a stream may end some time after its [DONE]."""
    until = time.monotonic() + 3.0
    while (found := busy()) and time.monotonic() < until:  # noqa: ASYNC110 -- nobody tells
        await asyncio.sleep(0.01)
    return found


def promised(kept: bool, what: str) -> None:
    """Raise Lost where a promise is not kept."""
    if not kept:
        raise Lost(what)


@dataclass
class Errand:
    """One call (or a few that belong together) with what befalls it."""

    kind: str
    number: int
    dice: random.Random
    fault: str = "none"
    """Of the service."""
    wire: str | None = None
    created: list[int] = field(default_factory=list[int])
    """Numbers of creating calls whose answer came."""

    @property
    def tag(self) -> str:
        return f"[{self.number} {self.fault}]"

    @property
    def ask(self) -> dict[str, Any]:
        return {"model": "glm-4.6", "messages": [{"role": "user", "content": f"Say {self.tag}"}]}

    @property
    def must_succeed(self) -> bool:
        """Whether the fault is one that the client cures, so that there has to be a value."""
        cured = SERVICE[self.fault].cured
        return self.wire is None and (cured == "all" or (cured == "repeatable" and self.kind not in ("upload", "task")))

    @property
    def in_haste(self) -> bool:
        """Whether something stalls, so that short clocks are needed; other calls may then be missed, too."""
        return self.wire is not None or SERVICE[self.fault].stalls

    @property
    def patience(self) -> float:
        """Seconds for what may take long."""
        return 60.0 if self.wire is None else 2.0

    def client(self, service: Service, client: AsyncZhipuAI) -> AsyncZhipuAI:
        """``client`` on this errand's wire, in haste where something stalls; on the same connections and limits."""
        url = service.url if self.wire is None else service.wires[self.wire]
        return client.with_options(base_url=url, timeout=HASTE if self.in_haste else 60.0)


async def whole(client: AsyncZhipuAI, errand: Errand) -> None:
    reply = await client.chat.completions.create(**errand.ask)
    promised(errand.tag in reply.text, f"the answer is {reply.text!r}")


async def stream(client: AsyncZhipuAI, errand: Errand) -> None:
    async with await client.chat.completions.create(**errand.ask, stream=True) as chunks:
        text = "".join([text async for text in chunks.text_deltas()])
    promised(errand.tag in text and chunks.result.text == text, f"the stream said {text!r}")


async def left(client: AsyncZhipuAI, errand: Errand) -> None:
    """A stream that is left at the first text."""
    async with await client.chat.completions.create(**errand.ask, stream=True) as chunks:
        async for _ in chunks:
            break


async def dropped(client: AsyncZhipuAI, errand: Errand) -> None:
    """A stream that nobody closes."""
    chunks = await client.chat.completions.create(**errand.ask, stream=True)
    await anext(aiter(chunks), None)


async def tools(client: AsyncZhipuAI, errand: Errand) -> None:
    def look_up(word: str) -> str:
        """Look a word up."""
        return f"{errand.tag} is found"

    streamed = errand.dice.random() < 0.5
    run = await client.chat.completions.run_tools(**errand.ask, tools=[look_up], stream=streamed)
    promised(run.ended == "answer" and f"{errand.tag} is found" in run.text, f"the tools led to {run.text!r}")


class Found(msgspec.Struct):
    """An answer."""

    answer: str
    places: list[str] = []


async def structured(client: AsyncZhipuAI, errand: Errand) -> None:
    async with client.chat.completions.parse(Found, **errand.ask) as run:
        if errand.dice.random() < 0.5:
            async for _ in run:
                pass
        parsed = await run
    promised(isinstance(parsed.value, Found), f"parsed to {parsed.value!r}")


async def embedding(client: AsyncZhipuAI, errand: Errand) -> None:
    response = await client.embeddings.create(model="embedding-3", input=[f"a {errand.tag}"], dimensions=256)
    promised(len(response.data) == 1, "no vector")


async def fan_out(client: AsyncZhipuAI, errand: Errand) -> None:
    """Prompts with a journal; the run is left early, then resumed."""
    curable = [name for name, strange in SERVICE.items() if strange.cured in ("all", "repeatable")]
    faults = [errand.fault, *errand.dice.choices(curable, k=CALLS - 1)]
    errands = [replace(errand, number=errand.number + n, fault=fault) for n, fault in enumerate(faults, 1)]
    source = {each.tag: AsyncZhipuAI.chat.completions.create.call(**each.ask) for each in errands}
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        journal = Path(folder, "journal.jsonl")
        seen: set[str] = set()
        async with client.fan_out(source, journal=journal, deadline=errand.patience) as run:
            async for outcome in run:
                seen.add(outcome.id)
                if len(seen) == 6:
                    break
        written = {entry.id for entry in read_journal(journal)}
        promised(seen <= written, f"{seen - written} were given and are not in the journal")
        outcomes = await client.fan_out(source, journal=journal, resume=True, deadline=errand.patience).collect()
        entries = {entry.id: entry.ok for entry in read_journal(journal)}
    promised([each.tag for each in errands] == [o.id for o in outcomes], "outcomes are missing")
    promised(entries == {outcome.id: outcome.ok for outcome in outcomes}, "the journal says something else")
    for each, outcome in zip(errands, outcomes, strict=True):
        promised(outcome.ok or errand.in_haste or not each.must_succeed, f"{outcome.id}: {outcome.error!r}")
        promised(not outcome.ok or outcome.id in outcome.unwrap().text, f"{outcome.id}: {outcome.value}")


async def upload(client: AsyncZhipuAI, errand: Errand) -> None:
    content = errand.dice.randbytes(errand.dice.choice((100, 30_000, 300_000)))
    stored = await client.files.create(file=(f"{errand.tag}.jsonl", content), purpose="batch")
    errand.created.append(errand.number)
    promised(stored.id is not None and stored.bytes == len(content), f"stored as {stored}")
    assert stored.id is not None
    fetched = await client.files.content(stored.id)
    promised(fetched.content == content, "the file came back changed")
    await client.files.delete(stored.id)


async def task(client: AsyncZhipuAI, errand: Errand) -> None:
    begun = await client.chat.async_completions.create(**errand.ask)
    errand.created.append(errand.number)
    done = await client.wait(begun, timeout=errand.patience)
    text = done.choices[0].message.content if done.choices else None
    promised(errand.tag in (text or ""), f"the task gave {text!r}")


Kind = Callable[[AsyncZhipuAI, Errand], Awaitable[None]]
KINDS: Mapping[str, Kind] = {
    kind.__name__: kind for kind in (whole, stream, left, dropped, tools, structured, embedding, fan_out, upload, task)
}


async def cancelled(kind: Kind, client: AsyncZhipuAI, errand: Errand, after: float) -> None:
    """The errand, cancelled after so many seconds."""
    under_way = asyncio.ensure_future(kind(client, errand))
    try:
        await asyncio.wait({under_way}, timeout=after)
    finally:
        under_way.cancel()
    await asyncio.wait({under_way})
    if not under_way.cancelled():
        under_way.result()


async def run(service: Service, client: AsyncZhipuAI, errand: Errand, *, cancel: float | None = None) -> str:
    """Do it: "value", or the class of our error. Lost, with everything that is neither, where a promise is broken."""
    kind, mine = KINDS[errand.kind], errand.client(service, client)
    try:
        if cancel is not None:
            await cancelled(kind, mine, errand, cancel)
        else:
            await kind(mine, errand)
    except ZhipuError as error:
        if errand.must_succeed:
            raise Lost(f"{errand.kind} {errand.tag}: {error!r}") from error
        return type(error).__name__
    except Lost as error:
        raise Lost(f"{errand.kind} {errand.tag} on {errand.wire}: {error}") from error
    except Exception as error:
        raise Lost(f"{errand.kind} {errand.tag} on {errand.wire}: {error!r} is no error of ours") from error
    return "value"


def doubled(counts: Counts, created: list[int]) -> list[int]:
    """Creating calls that were carried out twice, and those that answered though they were not carried out once."""
    twice = [number for number, times in counts.made.items() if times > 1]
    return twice + [number for number in created if counts.made.get(number, 0) == 0]
