"""Which answer a request gets: order, cases, limits, overload, pace."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from zhipu_async.simulator import (
    Answer,
    Case,
    Delivery,
    Json,
    OverloadPhase,
    Pace,
    Raw,
    Refusal,
    Reply,
    Scenario,
    SeenRequest,
    not_found,
    page,
)

from .asking import Asker, simulated

SLOW = Delivery(head_after=0.05)


async def codes(ask: Asker, count: int, **fields: Any) -> list[str]:
    """The codes of so many requests at once, sorted; "" for a good answer."""
    answers = await asyncio.gather(*(ask.hello(**fields) for _ in range(count)))
    return sorted("" if answered.status == 200 else answered.code for answered in answers)


async def test_replies_in_order() -> None:
    """Answers are given in order, some several times, and then comes the default one."""
    async with simulated(Scenario(replies=[Refusal("1302"), Refusal("1305", times=2), Reply("Hi")])) as ask:
        said = [(await ask.hello()).json for _ in range(5)]
        assert [answer["error"]["code"] for answer in said[:3]] == ["1302", "1305", "1305"]
        assert said[3]["choices"][0]["message"] == {"role": "assistant", "content": "Hi"}
        assert "simulated" in said[4]["choices"][0]["message"]["content"]


async def test_an_answer_for_ever() -> None:
    """`times=None` gives an answer for ever, `times=0` never."""
    async with simulated(Scenario(replies=[Reply("never", times=0), Refusal("1302", times=None)])) as ask:
        assert await codes(ask, 5) == ["1302"] * 5


async def test_a_function_answers() -> None:
    """A function chooses by the request, and None is the default answer."""

    def choose(request: SeenRequest) -> Answer | None:
        return Refusal("1305") if request.model == "glm-5" else None

    async with simulated(Scenario(replies=choose)) as ask:
        assert (await ask.hello(model="GLM-5")).code == "1305"
        assert (await ask.hello()).status == 200


async def test_cases_come_first() -> None:
    """A case answers the requests it is for, in order, and the others go on to the replies."""
    streams = Case(lambda request: request.stream, [Refusal("1302"), Refusal("1305")])
    lists = Case(lambda request: request.path.endswith("/models"), [Json({"data": []})])
    async with simulated(Scenario(cases=[streams, lists], replies=[Reply("plain")])) as ask:
        assert (await ask.hello(stream=True)).code == "1302"
        assert (await ask.hello()).message["content"] == "plain"
        assert (await ask.request("GET", "/models")).json == {"data": []}
        assert (await ask.hello(stream=True)).code == "1305"
        assert (await ask.hello(stream=True)).status == 200


async def test_refused_requests_take_no_answer() -> None:
    """A request that fails the checks does not use up an answer."""
    async with simulated(Scenario(replies=[Reply("kept")])) as ask:
        assert (await ask.hello(temperature=2)).code == "1214"
        assert (await ask.hello(headers={})).message["content"] == "kept"


async def test_paths_without_an_endpoint_can_be_scripted() -> None:
    """A path that the simulator does not know takes answers of the script too."""
    async with simulated(
        Scenario(replies=[Json({"id": "1"}, 201), Raw(b"%PDF", content_type="application/pdf")])
    ) as ask:
        created = await ask.request("POST", "/unheard/of", data=b"x")
        assert (created.status, created.json) == (201, {"id": "1"})
        content = await ask.request("GET", "/unheard/of/1")
        assert (content.body, content.headers["content-type"]) == (b"%PDF", "application/pdf")
        assert (await ask.request("GET", "/unheard/of/1")).json["msg"] == "404 NOT_FOUND"


async def test_gateway_answers() -> None:
    """The gateway's envelope and a firewall's page are answers like others."""
    async with simulated(Scenario(replies=[not_found(), page(502)])) as ask:
        assert (await ask.hello()).json == {"code": 500, "msg": "404 NOT_FOUND", "success": False}
        answered = await ask.hello()
        assert (answered.status, answered.headers["content-type"]) == (502, "text/html")


async def test_concurrency_limit() -> None:
    """One request more than the limit is refused with 1302, and a slot is free again when its request is done."""
    scenario = Scenario(concurrency_limit=3, replies=lambda _: Reply("Hi", delivery=SLOW))
    async with simulated(scenario) as ask:
        assert await codes(ask, 5) == ["", "", "", "1302", "1302"]
        assert await codes(ask, 3) == ["", "", ""]
        assert ask.sim.in_flight == 0
        assert 4 <= ask.sim.peak_in_flight <= 5


async def test_concurrency_by_model() -> None:
    """A model may have a limit of its own, or none, and models do not take each other's slots."""
    limits = {"glm-4.7": 1, "glm-5": None}
    scenario = Scenario(
        concurrency_limit=2, concurrency_by_model=limits, limit_code="1303", replies=lambda _: Reply(delivery=SLOW)
    )
    async with simulated(scenario) as ask:
        counted = await asyncio.gather(*(codes(ask, 3, model=model) for model in ("glm-4.6", "glm-4.7", "glm-5")))
        assert counted == [["", "", "1303"], ["", "1303", "1303"], ["", "", ""]]


async def test_a_stream_holds_its_slot() -> None:
    """An open stream holds its slot until the client leaves."""
    scenario = Scenario(concurrency_limit=1, replies=[Reply("Hi", delivery=Delivery(stops_after=1, then="hang"))])
    async with simulated(scenario) as ask:
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        url = f"{ask.sim.base_url}/chat/completions"
        body = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        async with ask.session.post(url, json=body, headers=headers) as response:
            await response.content.readany()
            assert (await ask.hello()).code == "1302"
            response.close()
            await ask.sim.wait_until(lambda: ask.sim.in_flight == 0)
        assert (await ask.hello()).status == 200


async def test_release_lag() -> None:
    """With a release lag the slot of a finished request is taken for a while."""
    async with simulated(Scenario(concurrency_limit=1, release_lag=1)) as ask:
        assert (await ask.hello()).status == 200
        assert (await ask.hello()).code == "1302"
        await asyncio.sleep(1.05)
        assert (await ask.hello()).status == 200


async def test_overload_phase() -> None:
    """In an overload phase requests are refused, before and after it they are not."""
    codes: list[str | None] = []
    async with simulated(Scenario(overload=[OverloadPhase(start=0.05, duration=1)])) as ask, asyncio.timeout(10):
        while len(codes) < 3:
            answered = await ask.hello()
            code = answered.code if answered.status == 429 else None
            if codes[-1:] != [code]:
                codes.append(code)
            await asyncio.sleep(0.01)
    assert codes == [None, "1305", None]


@pytest.mark.parametrize(("seed", "other"), [(1, 1), (1, 2)])
async def test_overload_is_seeded(seed: int, other: int) -> None:
    """Overload at random is the same for the same seed, and another for another."""
    seen: list[list[int]] = []
    for each in (seed, other):
        async with simulated(Scenario(overload=[OverloadPhase(probability=0.5)], seed=each)) as ask:
            seen.append([(await ask.hello()).status for _ in range(30)])
    assert (seen[0] == seen[1]) is (seed == other)
    assert set(seen[0]) == {200, 429}


async def test_pace() -> None:
    """At a pace a stream comes chunk by chunk, and a plain answer takes about as long."""
    async with simulated(Scenario(pace=Pace(first_token=0.05, per_chunk=0.01))) as ask:
        for stream in (True, False):
            started = time.monotonic()
            answered = await ask.hello(stream=stream, thinking={"type": "disabled"})
            assert 0.1 < time.monotonic() - started < 1
        assert answered.status == 200
