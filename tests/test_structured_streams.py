"""``parse`` while the answer comes: what is seen of it, asking again, leaving, waiting, and the work."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Serve
from tests.protocol.feeding import examples
from tests.protocol.json_values import is_prefix
from tests.test_structured import BAD, GOOD, TEA, WEATHER, Ask, Mode, Recipe, answer, both_modes, call, frames, roles
from zhipu_async import AsyncZhipuAI, StreamConsumed, StreamTruncated
from zhipu_async.errors import AnswerInvalid
from zhipu_async.simulator import Delivery, Frames, Pace, Reply, Scenario, Simulator, ToolCall
from zhipu_async.structured import TOOL, ParseRun

SLOW = Scenario(pace=Pace(per_chunk=0.05), replies=[Reply(GOOD, pieces=[GOOD[:12], *GOOD[12:]], times=None)])


async def watched(run: ParseRun[Any]) -> list[tuple[int, Any]]:
    """Copies of all that is seen, each with the number of the request."""
    return [(run.requests, copy.deepcopy(partial)) async for partial in run]


async def collect(run: ParseRun[Any], into: list[Any]) -> None:
    """The same, where it may raise."""
    async for partial in run:
        into.append(copy.deepcopy(partial))


def grows(seen: list[tuple[int, Any]]) -> bool:
    """Whether what is seen of one answer only becomes more."""
    return all(is_prefix(early, late) for (one, early), (two, late) in pairwise(seen) if one == two)


# ---------------------------------------------------------------- what is seen


async def test_text_is_seen_as_it_grows(serve: Serve, ask: Ask) -> None:
    """Each piece that told more gives a value, the last of them is the whole answer."""
    pieces = ['{"ti', 'tle": ', '"T', 'ea", "steps": [', '"boil"]', "}", "\n"]
    client, sim = await serve(Scenario(replies=[Reply("", pieces=pieces)]))
    run = client.chat.completions.parse(Recipe, **ask())
    assert await watched(run) == [
        (1, {"title": "T"}),
        (1, {"title": "Tea", "steps": []}),
        (1, {"title": "Tea", "steps": ["boil"]}),
        (1, {"title": "Tea", "steps": ["boil"]}),
    ]
    assert run.result.value == TEA
    assert sim.served == 1


async def test_it_is_one_object_that_grows(serve: Serve, ask: Ask) -> None:
    """What was seen before is the same object, so that nothing is copied for who only looks."""
    client, _ = await serve(Scenario(replies=[Reply(GOOD, pieces=3)]))
    seen = [partial async for partial in client.chat.completions.parse(Recipe, **ask())]
    assert len(seen) > 3
    assert {id(partial) for partial in seen} == {id(seen[0])}


@pytest.mark.parametrize("kind", [list[Recipe], Recipe | None, list[Recipe] | Recipe])
async def test_what_is_no_object_is_seen_without_its_wrapping(serve: Serve, ask: Ask, kind: Any) -> None:
    """Neither the object around it nor its empty beginning is seen."""
    inner = f"[{GOOD}]" if kind == list[Recipe] else GOOD
    texts = [f'{{"value": {inner}}}', inner]
    client, _ = await serve(Scenario(replies=[Reply(text, pieces=1) for text in texts]))
    for _ in texts:
        run = client.chat.completions.parse(kind, **ask())
        seen = await watched(run)
        assert grows(seen)
        assert all(not isinstance(partial, dict) or "value" not in partial for _, partial in seen)
        assert seen[-1][1] == json.loads(inner)
        assert run.result.value == ([TEA] if kind == list[Recipe] else TEA)


async def test_scalars_in_their_wrapping(serve: Serve, ask: Ask) -> None:
    """A text is seen as it grows, a number when it is whole; one without wrapping is not seen before the end."""
    texts = ['{"value": "ab"}', '{"value": 42}', "42"]
    client, _ = await serve(Scenario(replies=[Reply(text, pieces=1) for text in texts]))
    parse = client.chat.completions.parse
    assert list(dict.fromkeys(await watched(parse(str, **ask())))) == [(1, ""), (1, "a"), (1, "ab")]
    assert set(await watched(parse(int, **ask()))) == {(1, 42)}
    run = parse(int, **ask())
    assert (await watched(run), run.result.value) == ([], 42)


AROUND = {
    "fence": "Here:\n```json\n{}\n```\nI hope it [helps].",
    "thought": '<think>maybe {{"title": "No"}} or {{</think>\n{}',
    "box": "<|begin_of_box|>{}<|end_of_box|>",
    "brackets": "for {{name}} of {{}} in [1]: {}",
}


@both_modes
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("length", [1, 2, 5, 1000])
async def test_what_stands_around_is_not_seen(serve: Serve, ask: Ask, mode: Mode, around: str, length: int) -> None:
    """Prose, fences, marks and thoughts are passed over, however the text is cut."""
    text = around.format(GOOD)
    reply = Reply(text, pieces=length) if mode == "json" else Reply(tool_calls=[ToolCall(TOOL, text)])
    client, _ = await serve(Scenario(replies=[reply]))
    run = client.chat.completions.parse(Recipe, mode=mode, **ask(tool_stream=length < 5))
    seen = await watched(run)
    assert grows(seen)
    assert [*(seen[0][1])] == ["title"] if length < 5 else True
    assert seen[-1] == (1, json.loads(GOOD))
    assert run.result.value == TEA


@pytest.mark.parametrize("in_pieces", [True, False])
async def test_arguments_are_seen_as_they_grow(serve: Serve, ask: Ask, in_pieces: bool) -> None:
    """With ``tool_stream`` in pieces, without it at once; prose before the call is passed over."""
    client, sim = await serve(Scenario(replies=[Reply("I will call it {now}.", tool_calls=[ToolCall(TOOL, GOOD)])]))
    run = client.chat.completions.parse(Recipe, mode="tool", **ask(tool_stream=None if in_pieces else False))
    seen = await watched(run)
    assert grows(seen)
    assert (len(seen) > 5) == in_pieces
    assert seen[-1] == (1, json.loads(GOOD))
    assert sim.requests[0].body["tool_stream"] is in_pieces


async def test_only_the_first_call_of_our_function_is_seen(serve: Serve, ask: Ask) -> None:
    """Calls of others, a second one of ours, other choices, and text behind the call are not mixed in."""
    weather = call('{"city": "Rome"}', "get_weather", index=0, id="a")
    first, second = call('{"title": "T', index=1, id="b"), call('{"title": "X", ', index=2, id="c")
    rest = {"index": 1, "function": {"arguments": 'ea", "steps": ["boil"]}'}}
    stream = frames(weather, first, second, rest)
    blocks = list(stream.blocks)
    blocks.insert(3, {"id": "1", "choices": [{"index": 0, "delta": {"content": '{"title": "Y"}'}}]})
    blocks.insert(
        3, {"id": "1", "choices": [{"index": 1, "delta": {"content": '{"title": "Z"}'}, "finish_reason": "stop"}]}
    )
    client, _ = await serve(Scenario(replies=[Frames(blocks)]))
    run = client.chat.completions.parse(Recipe, mode="tool", **ask(tools=[WEATHER]))
    assert await watched(run) == [(1, {"title": "T"}), (1, json.loads(GOOD))]
    assert run.result.value == TEA


async def test_text_that_was_seen_stays(serve: Serve, ask: Ask) -> None:
    """When a call follows text that looked like the answer, what is seen does not jump; the result is the call's."""
    client, _ = await serve(Scenario(replies=[Reply('{"title": "Draft"}', tool_calls=[ToolCall(TOOL, GOOD)])]))
    run = client.chat.completions.parse(Recipe, mode="tool", **ask())
    seen = await watched(run)
    assert grows(seen)
    assert seen[-1] == (1, {"title": "Draft"})
    assert run.result.value == TEA


async def test_what_has_to_be_mended_is_seen_as_far_as_it_is_json(serve: Serve, ask: Ask) -> None:
    """The preview ends at the mistake, the result does not."""
    client, _ = await serve(Scenario(replies=[Reply('{"title": "Tea", steps: ["boil"]}', pieces=1)]))
    run = client.chat.completions.parse(Recipe, **ask())
    seen = await watched(run)
    assert seen[-1] == (1, {"title": "Tea"})
    assert run.result.value == TEA


@both_modes
async def test_asking_again_begins_anew(serve: Serve, ask: Ask, mode: Mode) -> None:
    """``requests`` tells which answer is seen; each of them grows from its beginning."""
    bad = '{"title": "Soup", "steps": 1}'
    client, sim = await serve(Scenario(replies=[answer(bad, mode), answer("No.", mode), answer(GOOD, mode)]))
    run = client.chat.completions.parse(Recipe, mode=mode, **ask())
    assert run.requests == 0
    seen = await watched(run)
    assert grows(seen)
    assert [request for request, _ in seen] == sorted(request for request, _ in seen)
    assert {request for request, _ in seen} == {1, 3}
    assert [partial for request, partial in seen if request == 1][-1] == json.loads(bad)
    assert seen[-1] == (3, json.loads(GOOD))
    assert roles(sim.requests[2])
    assert all(request.body["stream"] for request in sim.requests)


async def test_a_broken_answer_is_seen_and_asked_again(serve: Serve, ask: Ask) -> None:
    """The finish reason network_error: what was seen of it is followed by another answer."""
    broken = Reply('{"title": "So', finish_reason="network_error", pieces=1)
    client, _ = await serve(Scenario(replies=[broken, Reply(GOOD, pieces=1)]))
    run = client.chat.completions.parse(Recipe, **ask())
    seen = await watched(run)
    assert (1, {"title": "So"}) in seen
    assert seen[-1] == (2, json.loads(GOOD))


nested = st.recursive(st.none() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3))


@given(nested, st.integers(1, 9))
@examples(40)
def test_any_value_is_seen_growing_to_its_end(value: Any, length: int) -> None:
    """Of a list of anything, whatever the pieces: in order, and whole before the result is there."""

    async def check() -> None:
        text = json.dumps({"value": [value]}, ensure_ascii=False)
        async with (
            Simulator(Scenario(replies=[Reply(text, pieces=length)])) as sim,
            AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client,
        ):
            messages = [{"role": "user", "content": "x"}]
            run = client.chat.completions.parse(list[Any], model="glm-4.6", messages=messages)
            seen = await watched(run)
        assert grows(seen)
        assert seen[-1][1] == run.result.value == [value]

    asyncio.run(check())


# ---------------------------------------------------------------- waiting and leaving


async def test_the_result_is_there_in_the_end(serve: Serve, ask: Ask) -> None:
    """Not before; awaiting after that, or twice, gives the same and asks nothing; iterating gives nothing more."""
    client, sim = await serve(Scenario(replies=[answer(GOOD, times=2)]))
    run = client.chat.completions.parse(Recipe, **ask())
    with pytest.raises(RuntimeError, match="no answer yet"):
        _ = run.result
    await watched(run)
    result = run.result
    assert (await run) is (await run) is result
    assert await watched(run) == []
    other = client.chat.completions.parse(Recipe, **ask())
    assert (await other) is (await other) is other.result
    assert await watched(other) == []
    assert sim.served == 2


async def test_iterating_goes_on_where_it_was_left(serve: Serve, ask: Ask) -> None:
    """A second loop over the same run reads on, awaiting reads to the end: one request in all."""
    client, sim = await serve(Scenario(replies=[Reply(GOOD, pieces=1, times=2)]))
    run = client.chat.completions.parse(Recipe, **ask())
    async for partial in run:
        assert partial == {"title": ""}
        break
    async for partial in run:
        assert partial == {"title": "T"}
        break
    assert (await run).value == TEA
    run = client.chat.completions.parse(Recipe, **ask())
    assert await anext(run) == {"title": ""}
    assert len(await watched(run)) > 5
    assert sim.served == 2


async def test_awaiting_goes_on_with_asking_again(serve: Serve, ask: Ask) -> None:
    """Also when the answer that was begun with is not accepted."""
    client, sim = await serve(Scenario(replies=[answer('{"title": "x", "steps": 1}'), answer(GOOD)]))
    run = client.chat.completions.parse(Recipe, **ask())
    async for _ in run:
        break
    assert ((await run).value, run.requests, sim.served) == (TEA, 2, 2)


async def test_gather_and_wait_for(serve: Serve, ask: Ask) -> None:
    """A run is awaitable like any other."""
    client, _ = await serve(Scenario(replies=[answer(GOOD, times=None)]))
    parse = client.chat.completions.parse
    first, second = await asyncio.gather(parse(Recipe, **ask()), parse(Recipe, **ask()))
    assert first.value == second.value == TEA
    assert (await asyncio.wait_for(parse(Recipe, **ask()), 5)).value == TEA
    assert (await asyncio.ensure_future(parse(Recipe, **ask()))).value == TEA


async def leave_with(run: ParseRun[Any]) -> None:
    """Enter with ``async with`` and break."""
    async with run:
        async for _ in run:
            break


async def leave_with_an_error(run: ParseRun[Any]) -> None:
    """Raise inside of ``async with``."""
    with suppress(ZeroDivisionError):
        async with run:
            async for _ in run:
                raise ZeroDivisionError


async def leave_by_closing(run: ParseRun[Any]) -> None:
    """Close it, twice."""
    await anext(run)
    await run.close()
    await run.aclose()


@pytest.mark.parametrize("leave", [leave_with, leave_with_an_error, leave_by_closing])
async def test_leaving_closes_the_stream(serve: Serve, ask: Ask, leave: Any) -> None:
    """The connection is given back at once, and the server sees it closed; the run is over."""
    client, sim = await serve(SLOW)
    run = client.chat.completions.parse(Recipe, **ask())
    await leave(run)
    assert client.pool.statistics().in_use == 0
    await sim.wait_until(lambda: sim.requests[0].closed_by_peer, timeout=2)
    with pytest.raises(StreamConsumed):
        await run
    with pytest.raises(StreamConsumed):
        await watched(run)
    assert sim.served == 1


async def test_a_run_that_nobody_holds_closes_its_stream(serve: Serve, ask: Ask) -> None:
    """Break out of a loop over a run without a name: without the garbage collector, and without a warning."""
    client, sim = await serve(SLOW)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            async for _ in client.chat.completions.parse(Recipe, **ask()):
                break
            assert client.pool.statistics().in_use == 0
            await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
    finally:
        gc.enable()
    assert sim.served == 20


async def test_a_run_that_was_never_used(serve: Serve, ask: Ask) -> None:
    """It sends nothing, and no warning comes of it; closed, it stays so."""
    client, sim = await serve()
    run = client.chat.completions.parse(Recipe, **ask())
    async with run:
        pass
    with pytest.raises(StreamConsumed, match="closed"):
        await run
    assert (run.requests, sim.served) == (0, 0)


async def test_leaving_after_the_end_keeps_the_result(serve: Serve, ask: Ask) -> None:
    """``result`` and awaiting work behind ``async with``."""
    client, _ = await serve(Scenario(replies=[answer(GOOD)]))
    async with client.chat.completions.parse(Recipe, **ask()) as run:
        await run
    assert run.result.value == (await run).value == TEA


@pytest.mark.parametrize("iterating", [True, False])
async def test_cancelling(serve: Serve, ask: Ask, iterating: bool) -> None:
    """The connection is closed, the task ends cancelled, and the run is over."""
    client, sim = await serve(Scenario(pace=Pace(first_token=0.01, per_chunk=30), replies=[Reply(GOOD, times=None)]))
    run = client.chat.completions.parse(Recipe, **ask())

    async def use() -> Any:
        return await watched(run) if iterating else await run

    task = asyncio.create_task(use())
    await sim.wait_until(lambda: sim.in_flight == 1)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.pool.statistics().in_use == 0
    await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
    for _ in range(2):
        with pytest.raises(StreamConsumed):
            await run
        with pytest.raises(StreamConsumed):
            await watched(run)
    assert sim.served == 1


@pytest.mark.parametrize("iterating", [True, False])
async def test_two_tasks_cannot_share_a_run(serve: Serve, ask: Ask, iterating: bool) -> None:
    """The second is told so, the first gets its answer; it is asked for once."""
    client, sim = await serve(Scenario(pace=Pace(first_token=0.05), replies=[answer(GOOD, times=None)]))
    run = client.chat.completions.parse(Recipe, **ask())

    async def use() -> Any:
        return await watched(run) if iterating else await run

    results = await asyncio.gather(use(), use(), return_exceptions=True)
    assert sum(isinstance(result, StreamConsumed) for result in results) == 1
    assert run.result.value == TEA
    assert sim.served == 1


async def test_a_stream_that_breaks_off(serve: Serve, ask: Ask) -> None:
    """StreamTruncated with what had come; it is not asked again by itself, nor when the run is used again."""
    whole = Reply(GOOD, pieces=1)
    broken = Reply(GOOD, pieces=1, delivery=Delivery(stops_after=14, then="close", pause=0.001))
    client, sim = await serve(Scenario(replies=[broken, whole]))
    run = client.chat.completions.parse(Recipe, **ask())
    seen: list[Any] = []
    for _ in range(2):
        with pytest.raises(StreamTruncated) as caught:
            await collect(run, seen)
        assert caught.value.partial.text == GOOD[:14]
    with pytest.raises(StreamTruncated):
        await run
    assert seen[-1] == {"title": "Tea"}
    assert sim.served == 1
    assert client.pool.statistics().in_use == 0


async def test_a_run_that_failed_is_over(serve: Serve, ask: Ask) -> None:
    """Its error comes once; nothing more is asked after it."""
    client, sim = await serve(Scenario(replies=[answer(BAD, times=None)]))
    run = client.chat.completions.parse(Recipe, max_requests=1, **ask())
    with pytest.raises(AnswerInvalid):
        await watched(run)
    for again in (watched(run), run):
        with pytest.raises(StreamConsumed, match="failed"):
            await again
    assert sim.served == 1


class Fussy(msgspec.Struct):
    """A struct whose rule is broken itself."""

    title: str

    def __post_init__(self) -> None:
        raise ZeroDivisionError(self.title)


async def test_an_error_of_the_callers_own_comes_out(serve: Serve, ask: Ask) -> None:
    """What is no word about the value is a mistake of the program: the model is not asked to correct it."""
    client, sim = await serve(Scenario(replies=[answer(GOOD, times=None)]))
    with pytest.raises(ZeroDivisionError):
        await client.chat.completions.parse(Fussy, **ask())
    with pytest.raises(ZeroDivisionError):
        await watched(client.chat.completions.parse(Fussy, **ask()))
    assert sim.served == 2
    assert client.pool.statistics().in_use == 0


# ---------------------------------------------------------------- many pieces


@both_modes
async def test_twenty_thousand_pieces(serve: Serve, ask: Ask, mode: Mode) -> None:
    """All of a long answer is seen, and touched as often as a short one is for its length."""
    body = "".join(f'"{number:06}", ' for number in range(6_000))
    text = f'{{"title": "Long", "steps": [{body}"end"]}}'
    reply = Reply(text, pieces=3) if mode == "json" else Reply(tool_calls=[ToolCall(TOOL, text)])
    client, _ = await serve(Scenario(replies=[reply]))
    run = client.chat.completions.parse(Recipe, mode=mode, **ask())
    number = 0
    touched = 0
    async for partial in run:
        number += 1
        coming: Any = vars(run)["_coming"]
        touched = coming.preview.touched
        assert partial["title"] == "Long"[: len(partial["title"])]
    assert number > 18_000
    assert touched <= 4 * len(text)
    assert len(run.result.value.steps) == 6_001
