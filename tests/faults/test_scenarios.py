"""What the simulator can do wrong, end to end: a plain answer, a stream and a call that creates a task, with counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from tests.conftest import SHORT_SLEEPS
from tests.faults.conftest import CALLS, Connect, outcome, whole
from zhipu_async import Timeouts
from zhipu_async.simulator import (
    DONE,
    Answer,
    Delivery,
    ErrorFrame,
    Frames,
    HangUp,
    Json,
    Later,
    OverloadPhase,
    Pace,
    Raw,
    Refusal,
    Reply,
    Scenario,
    Simulator,
    not_found,
    page,
)

pytestmark = pytest.mark.heavy

HELLO = Reply("Hello you")
TASK = Json({"id": "123", "model": "cogvideox-3", "request_id": "1", "task_status": "PROCESSING"})
RIGHT: dict[str, tuple[Answer, str]] = {
    "plain": (HELLO, "Hello you"),
    "stream": (HELLO, "Hello you"),
    "task": (TASK, "created"),
}
"""What is right for each kind of call, and what it comes to."""
CLOCKS = Timeouts(first_byte=0.5, between=0.5)


async def made() -> Answer:
    """An answer that took its time."""
    await asyncio.sleep(0.01)
    return HELLO


Expected = int | str
"""The number of requests that the value cost; or the beginning of the error, after one request."""
LOST, LATE, CUT = "ConnectionLost", "RequestTimeout", "StreamTruncated after 'Hello"

ROWS: dict[str, tuple[Answer | Delivery, Expected, Expected, Expected]] = {
    # ------------------------------------------------ no answer
    "closed": (HangUp(), 2, 2, LOST),
    "reset": (HangUp(reset=True), 2, 2, LOST),
    "closed before it was read": (HangUp(before_reading=True), 2, 2, LOST),
    "reset half-read": (HangUp(reset=True, before_reading=True, after_bytes=20), 2, 2, LOST),
    "no head": (Delivery(head_after=1), 2, 2, LATE),
    # ------------------------------------------------ an answer that says no
    "too many calls": (Refusal("1302"), 2, 2, 2),
    "overloaded": (Refusal("1305"), 2, 2, 2),
    "broken": (Refusal("500"), 2, 2, "ServerError 500"),
    "no money": (Refusal("1113"), *["AccountError 429"] * 3),
    "unsafe": (Refusal("1301"), *["ContentFilterError 400"] * 3),
    "no such path": (not_found(), *["NotFoundError 200"] * 3),
    # ------------------------------------------------ an answer of something else on the way
    "page 502": (page(502), 2, 2, "ServerError 502"),
    "page 504": (page(504), 2, 2, "ServerError 504"),
    "page 403": (page(403), *["PermissionDeniedError 403"] * 3),
    "page 200": (page(200), *["DecodeError"] * 3),
    "nothing under 500": (Raw(b"", 500), 2, 2, "ServerError 500"),
    "nothing under 200": (Raw(b"", 200), "DecodeError", 2, "DecodeError"),
    "no JSON": (Raw(b"{\xff", content_type="application/json"), *["DecodeError"] * 3),
    # ------------------------------------------------ an answer that breaks off
    "reset behind the head": (Delivery(stops_at=0), 2, 2, LOST),
    "closed behind the head": (Delivery(stops_at=0, then="close"), 2, 2, LOST),
    "silent behind the head": (Delivery(stops_at=0, then="hang"), 2, 2, LATE),
    "reset in the body": (Delivery(stops_at=60), 2, 2, LOST),
    "closed in the body": (Delivery(stops_at=60, then="close"), 2, 2, LOST),
    "silent in the body": (Delivery(stops_at=60, then="hang"), 2, 2, LATE),
    "compressed, reset in the body": (Delivery(gzip=True, stops_at=60), 2, 2, LOST),
    "no body": (Delivery(body_after=1), 2, 2, LATE),
    "shorter than its length": (replace(HELLO, headers={"content-length": "9999"}), 2, 1, LOST),
    "longer than its length": (replace(HELLO, headers={"content-length": "20"}), 2, 2, LOST),
    "reset after a word": (Delivery(stops_after=1), 1, CUT, 1),
    "closed after two words": (Delivery(stops_after=2, then="close"), 1, f"{CUT} you'", 1),
    "silent after two words": (Delivery(stops_after=2, then="hang"), 1, "RequestTimeout between", 1),
    # ------------------------------------------------ odd, and whole
    "torn after each byte": (Delivery(cuts_at=range(1, 3000)), 1, 1, 1),
    "compressed": (Delivery(gzip=True), 1, 1, 1),
    "compressed and torn": (Delivery(gzip=True, cuts_at=range(1, 3000)), 1, 1, 1),
    "late end": (Delivery(lingers=0.1), 1, 1, 1),
    "made later": (Later(made), 1, 1, 1),
    "no [DONE]": (replace(HELLO, done=False), 1, 1, 1),
    "no finish reason": (replace(HELLO, final_chunk=False), 1, 1, 1),
    # ------------------------------------------------ streams that go wrong
    "neither end": (replace(HELLO, done=False, final_chunk=False), 1, f"{CUT} you'", 1),
    "another answer begins": (replace(HELLO, restarts_at=1), 1, "StreamRestarted after 'Hello'", 1),
    "the model breaks off": (replace(HELLO, finish_reason="network_error"), 1, "StreamFailed after 'Hello you'", 1),
    "an error at first": (ErrorFrame("1305"), 2, 2, 2),
    "an error at first, no [DONE]": (ErrorFrame("1305", done=False), 2, 2, 2),
    "an error after a word": (ErrorFrame("1305", after=["Hello"]), 2, "OverloadedError 200", 2),
    "no JSON in a frame": (Frames(["{junk", DONE]), "DecodeError", 2, "DecodeError"),
    "no frames": (Frames([]), "DecodeError", 2, "DecodeError"),
}
"""The first answer, or how the right one is delivered, and what becomes of a plain answer, a stream and a task; the
second answer is right. A call that creates something is sent again only where the service said that it did nothing."""


@pytest.mark.parametrize("row", ROWS)
async def test_one_wrong_answer(row: str, connect: Connect) -> None:
    """It ends as its row says, after as many requests, and nothing is left in use."""
    first, *expected = ROWS[row]

    async def check(call: str, wanted: Expected) -> None:
        right, value = RIGHT[call]
        wrong = replace(right, delivery=first) if isinstance(first, Delivery) else first
        async with Simulator(Scenario(replies=[wrong, right])) as sim:
            client = await connect(sim.base_url, api_key=sim.api_key, timeout=CLOCKS)
            came = await outcome(client, call)
            if isinstance(wanted, int):
                assert (came, sim.served) == (value, wanted)
            else:
                assert came.startswith(wanted)
                assert sim.served == 1
            await whole(client)
            await client.close()

    await asyncio.gather(*map(check, CALLS, expected))


CROWDED = {
    "overloaded at first": Scenario(overload=[OverloadPhase(duration=0.1)]),
    "half of all are refused": Scenario(overload=[OverloadPhase(probability=0.5)]),
    "half are refused, at the rate limit": Scenario(overload=[OverloadPhase(probability=0.5, code="1302")]),
    "three places": Scenario(concurrency_limit=3, pace=Pace(first_token=0.002)),
    "three places that are freed late": Scenario(concurrency_limit=3, release_lag=0.01),
}


@pytest.mark.parametrize("name", CROWDED)
async def test_a_crowd(name: str, connect: Connect) -> None:
    """Thirty calls at once all come to their value in the end, however many are refused; none is accepted twice."""
    async with Simulator(CROWDED[name]) as sim:
        client = await connect(sim.base_url, api_key=sim.api_key, retry=replace(SHORT_SLEEPS, retries=200))
        came = await asyncio.gather(*(outcome(client, call) for call in CALLS for _ in range(10)))
        greeting = "Hello! I am a simulated glm-4.6. You said: “Hello”"
        assert Counter(came) == {greeting: 20, "created": 10}
        accepted = Counter(request.path.rpartition("/v4")[2] for request in sim.requests if request.status == 200)
        assert accepted == {"/chat/completions": 20, "/videos/generations": 10}
        assert sim.served > 30
