"""Runs of a client against the simulator: real requests, the adaptive limit, every kind of endpoint."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Serve
from tests.fanning import left_over, take_all, told
from zhipu_async import AsyncZhipuAI
from zhipu_async.config import Limits, RetryPolicy
from zhipu_async.downloads import Binary
from zhipu_async.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLost,
    OverloadedError,
    QuotaError,
    RateLimitError,
    RequestTimeout,
    ServerError,
    TokenBudgetSpent,
)
from zhipu_async.simulator import Delivery, HangUp, Pace, Refusal, Reply, Scenario

PROMPTS = [f"Question {index}" for index in range(60)]


def embedding(text: str) -> Any:
    """A call that is repeatable."""
    return AsyncZhipuAI.embeddings.create.call(model="embedding-3", input=text)


async def test_prompts_are_answered_with_common_parameters(serve: Serve) -> None:
    """Each prompt is one request with the system message and the parameters, and one outcome in its place."""
    client, sim = await serve(Scenario(replies=lambda request: Reply(request.body["messages"][-1]["content"])))
    run = client.fan_out(PROMPTS, model="glm-4.6", system="Be brief.", temperature=0.1, max_tokens=100)
    outcomes = await run.collect()
    assert [outcome.unwrap().text for outcome in outcomes] == PROMPTS
    assert [outcome.attempts for outcome in outcomes] == [1] * len(PROMPTS)
    assert len(sim.requests) == len(PROMPTS)
    assert {request.body["messages"][0]["content"] for request in sim.requests} == {"Be brief."}
    used = [outcome.value.usage.total_tokens for outcome in outcomes if outcome.value and outcome.value.usage]
    assert run.progress.tokens == sum(tokens or 0 for tokens in used) > 0


async def test_a_hidden_limit_is_met_without_losing_a_call(serve: Serve) -> None:
    """Calls that are refused are asked again, although no repeat is allowed after failures."""
    client, sim = await serve(Scenario(concurrency_limit=5, pace=Pace(first_token=0.01)))
    run = client.fan_out(PROMPTS * 3, model="glm-4.6", max_retries=0)
    outcomes = await run.collect()
    assert all(outcome.ok for outcome in outcomes)
    refused = [request for request in sim.requests if request.status == 429]
    assert len(sim.requests) - len(refused) == 180
    assert run.progress.refused == len(refused) > 0
    assert sum(outcome.attempts for outcome in outcomes) == len(sim.requests)


@pytest.mark.parametrize("size", [1, 7])
async def test_a_fixed_number_of_requests_is_on_the_wire(serve: Serve, size: int) -> None:
    """``concurrency=N`` holds at the service, too, and needs no limit to be found."""
    client, sim = await serve(Scenario(pace=Pace(first_token=0.05)))
    outcomes = await client.fan_out(PROMPTS, model="glm-4.6", concurrency=size).collect()
    assert all(outcome.ok for outcome in outcomes)
    assert sim.peak_in_flight == size


@pytest.mark.parametrize("most", [1, 3])
async def test_max_concurrency_bounds_the_adaptive_number(serve: Serve, most: int) -> None:
    """It is reached, never passed, and one more call at most is taken from the input."""
    client, sim = await serve(Scenario(pace=Pace(first_token=0.05)))
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        for taken, prompt in enumerate(PROMPTS, 1):
            assert taken - len(sim.requests) <= most + 1
            yield prompt

    outcomes = await client.fan_out(source(), model="glm-4.6", max_concurrency=most).collect()
    assert all(outcome.ok for outcome in outcomes)
    assert sim.peak_in_flight == most


async def test_calls_of_several_endpoints_and_models_in_one_run(serve: Serve) -> None:
    """Chat, embeddings, rerank, images and speech: each outcome has its endpoint's own answer."""
    client, _ = await serve()
    calls: dict[str, Any] = {
        "chat": AsyncZhipuAI.chat.completions.create.call(
            model="glm-4.6", messages=[{"role": "user", "content": "Hi"}]
        ),
        "flash": AsyncZhipuAI.chat.completions.create.call(
            model="glm-4.5-flash", messages=[{"role": "user", "content": "Hi"}]
        ),
        "embedding": embedding("Hi"),
        "rerank": AsyncZhipuAI.rerank.create.call(model="rerank", query="Hi", documents=["a", "b"]),
        "image": AsyncZhipuAI.images.generations.call(model="cogview-4-250304", prompt="A cat"),
        "speech": AsyncZhipuAI.audio.speech.call(model="glm-tts", input="Hi", voice="tongtong"),
    }
    outcomes = await client.fan_out(calls, concurrency=3).collect()
    values = {outcome.id: outcome.unwrap() for outcome in outcomes}
    assert list(values) == list(calls)
    assert (values["chat"].model, values["flash"].model) == ("glm-4.6", "glm-4.5-flash")
    assert len(values["embedding"].data[0].embedding) > 0
    assert len(values["rerank"].results) == 2
    assert values["image"].data[0].url
    assert isinstance(values["speech"], Binary)
    assert values["speech"].content


async def test_a_call_that_creates_is_not_repeated_after_an_ambiguous_failure(serve: Serve) -> None:
    """A broken connection after the request: one request and the error for an image, repeats for an embedding."""
    client, sim = await serve(Scenario(replies=lambda request: HangUp(times=None)))
    image = AsyncZhipuAI.images.generations.call(model="cogview-4-250304", prompt="A cat")
    outcomes = await client.fan_out([image, embedding("a")], max_retries=3, concurrency=1).collect()
    assert [type(outcome.error) for outcome in outcomes] == [ConnectionLost, ConnectionLost]
    paths = Counter(request.path.rpartition("/")[2] for request in sim.requests)
    assert paths["generations"] == outcomes[0].attempts == 1
    assert outcomes[1].attempts == 4


async def test_a_refused_key_ends_the_run(serve: Serve) -> None:
    """The service's own error with a note, after few requests; nothing is left."""
    client, sim = await serve(Scenario(), api_key="wrong.key")
    outcomes, error = await take_all(client.fan_out(PROMPTS * 20, model="glm-4.6"))
    assert outcomes == []
    assert isinstance(error, AuthenticationError)
    assert told(error)[-1].startswith("the run was stopped by this error after 0 outcomes")
    assert len(sim.requests) <= 20


async def test_a_used_up_quota_keeps_what_is_finished(serve: Serve) -> None:
    """What was answered before, and what was on the wire, is given; then QuotaError."""
    client, sim = await serve(Scenario(replies=[*[Reply("fine")] * 30, Refusal("1308", times=None)]))
    outcomes, error = await take_all(client.fan_out(PROMPTS, model="glm-4.6", concurrency=4))
    assert isinstance(error, QuotaError)
    assert len([outcome for outcome in outcomes if outcome.ok]) == len(outcomes) == 30
    assert len(sim.requests) <= 34


async def test_a_call_that_is_refused_for_ever_ends_by_its_deadline(serve: Serve) -> None:
    """Its outcome is an error that holds all its attempts, and that they were refused."""
    client, sim = await serve(Scenario(replies=[Refusal("1305", times=None)]))
    outcome, *_ = await client.fan_out(["Hi"], model="glm-4.6", deadline=0.3).collect()
    on_the_wire = isinstance(outcome.error, RequestTimeout) and outcome.error.arrived  # when the deadline came
    assert isinstance(outcome.error, OverloadedError) or on_the_wire
    assert outcome.error is not None
    assert outcome.attempts == len(outcome.error.attempts)
    assert len(sim.requests) <= outcome.attempts <= len(sim.requests) + 1
    assert len(sim.requests) > 3
    assert outcome.seconds < 5.0


async def test_retries_of_failures_are_counted_per_call(serve: Serve) -> None:
    """``max_retries=1``: two requests for each call that keeps failing."""
    client, sim = await serve(Scenario(replies=[Refusal("1234", times=None)]))
    outcomes = await client.fan_out(PROMPTS[:5], model="glm-4.6", max_retries=1).collect()
    assert [(type(outcome.error), outcome.attempts) for outcome in outcomes] == [(ServerError, 2)] * 5
    assert len(sim.requests) == 10


@pytest.mark.parametrize("budget", [0, 1, 7])
async def test_a_budget_of_repeats_holds_for_all_calls_together(serve: Serve, budget: int) -> None:
    """So many repeats are made; afterwards a failure is an outcome at once, and says why in a note."""
    client, sim = await serve(Scenario(replies=[Refusal("1234", times=None)]))
    outcomes = await client.fan_out(PROMPTS[:20], model="glm-4.6", max_retries=5, retry_budget=budget).collect()
    assert all(isinstance(outcome.error, ServerError) for outcome in outcomes)
    assert len(sim.requests) == 20 + budget
    assert any("budget of repeats" in note for outcome in outcomes for note in told(outcome.error))  # type: ignore[arg-type]


async def test_refusals_do_not_use_up_the_budget_of_repeats(serve: Serve) -> None:
    """Calls that are refused for load are asked again with a budget of none."""
    client, _ = await serve(Scenario(replies=[Refusal("1302", times=10)]))
    outcomes = await client.fan_out(PROMPTS, model="glm-4.6", retry_budget=0, max_retries=0).collect()
    assert all(outcome.ok for outcome in outcomes)


async def test_a_budget_of_tokens_is_counted_from_the_answers(serve: Serve) -> None:
    """TokenBudgetSpent names what was used, which is what the outcomes used."""
    client, _ = await serve(Scenario(replies=lambda request: Reply("fine", usage={"total_tokens": 10})))
    outcomes, error = await take_all(client.fan_out(PROMPTS, model="glm-4.6", token_budget=100, concurrency=3))
    assert isinstance(error, TokenBudgetSpent)
    assert 100 <= error.tokens <= 120
    assert error.tokens == 10 * len(outcomes)


async def test_a_wrong_call_is_an_outcome_and_the_others_go_on(serve: Serve) -> None:
    """One call that cannot be sent at all, one that the service refuses, and one that is answered."""
    client, sim = await serve()
    wrong = AsyncZhipuAI.embeddings.create.call(model="embedding-3", input="x", extra_body={"number": float("inf")})
    unknown = AsyncZhipuAI.embeddings.create.call(model="no-such-model", input="x")
    outcomes = await client.fan_out([wrong, unknown, embedding("x")], concurrency=1).collect()
    assert isinstance(outcomes[0].error, ConfigError)
    assert outcomes[0].attempts == 0
    assert outcomes[1].error is not None
    assert outcomes[2].ok
    assert len(sim.requests) == 2


@pytest.mark.parametrize(
    ("source", "options", "kind"),
    [
        ("one prompt", {"model": "glm-4.6"}, ConfigError),
        (["Hi"], {"model": "glm-4.6", "temprature": 1}, TypeError),
        (["Hi"], {"model": "glm-4.6", "stream": True}, ConfigError),
        ([], {"concurrency": 2, "max_concurrency": 3}, ConfigError),
        ([], {"window": 0}, ConfigError),
        ([], {"deadline": 0}, ConfigError),
        ([], {"max_retries": -1}, ConfigError),
        ([], {"resume": True}, ConfigError),
    ],
    ids=str,
)
async def test_wrong_use_is_told_when_the_run_is_made(serve: Serve, source: Any, options: Any, kind: Any) -> None:
    """Nothing is sent, and nothing need be awaited to learn of it."""
    client, sim = await serve()
    with pytest.raises(kind):
        client.fan_out(source, **options)
    assert sim.requests == []


async def test_a_client_without_any_limit_needs_a_number(serve: Serve) -> None:
    """With Limits(adaptive=False) a run must say how many calls at a time."""
    client, _ = await serve(limits=Limits(adaptive=False))
    with pytest.raises(ConfigError, match=r"concurrency=\.\.\."):
        client.fan_out([embedding("x")])
    assert (await client.fan_out([embedding("x")], concurrency=2).collect())[0].ok


@pytest.mark.parametrize("leaving", ["stop", "drain"])
async def test_leaving_early_leaves_nothing_behind(serve: Serve, leaving: Any) -> None:
    """No task, no connection in use; with drain every request that was made has its outcome."""
    client, sim = await serve(Scenario(pace=Pace(first_token=0.02)))
    before = left_over()
    run = client.fan_out(PROMPTS * 10, model="glm-4.6", leaving=leaving)
    async with run:
        found = [await anext(run)]
    assert client.pool.statistics().in_use == 0
    found += [outcome async for outcome in run]
    if leaving == "drain":
        assert len(found) == len(sim.requests)
    assert {task for task in left_over() - before if "fan" in repr(task)} == set()


async def test_direct_calls_go_on_beside_a_run(serve: Serve) -> None:
    """A call of the same client is answered while a run fills the account's limit."""
    client, _ = await serve(Scenario(concurrency_limit=4, pace=Pace(first_token=0.01)))
    async with client.fan_out((f"Question {index}" for index in range(10**9)), model="glm-4.6") as run:
        for _ in range(30):
            assert (await anext(run)).ok
        reply = await client.chat.completions.create(model="glm-4.6", messages=[{"role": "user", "content": "Hi"}])
        assert reply.text
        await asyncio.sleep(0)


async def test_a_closed_client_ends_the_run(serve: Serve) -> None:
    """What every further call would meet is raised, once, instead of an outcome for each."""
    client, _ = await serve(retry=RetryPolicy(retries=0))
    await client.close()
    outcomes, error = await take_all(client.fan_out(PROMPTS, model="glm-4.6"))
    assert outcomes == []
    assert type(error).__name__ == "ClientClosedError"


async def test_a_refusal_carries_its_attempts(serve: Serve) -> None:
    """``outcome.attempts`` counts the requests of a call that was refused and then answered."""
    client, sim = await serve(Scenario(replies=[Refusal("1302", times=3)]))
    outcome = (await client.fan_out(["Hi"], model="glm-4.6").collect())[0]
    assert outcome.ok
    assert outcome.attempts == len(sim.requests) == 4
    assert RateLimitError.__name__ not in repr(outcome.error)


@pytest.mark.parametrize("how", ["stop", "drain"])
async def test_what_is_refused_after_the_stop_is_not_asked_again(serve: Serve, how: str) -> None:
    """A call that was on the wire when the run was stopped, and is refused then, has the refusal as its outcome."""
    slow = Refusal("1305", times=None, delivery=Delivery(head_after=0.2))
    client, sim = await serve(Scenario(replies=[slow]), retry=RetryPolicy(overload_base=5.0))
    run = client.fan_out(PROMPTS, model="glm-4.6", concurrency=3, leaving="drain")
    async with run:
        await asyncio.sleep(0.1)
        if how == "stop":
            run.stop()
            await asyncio.sleep(0.3)
    outcomes = [outcome async for outcome in run]
    assert len(sim.requests) == 3
    assert [type(outcome.error) for outcome in outcomes] == [OverloadedError] * 3
    for outcome in outcomes:
        assert outcome.error is not None
        assert "not repeated: the run was stopped" in told(outcome.error)


async def test_a_call_whose_turn_does_not_come_was_not_sent(serve: Serve) -> None:
    """Its outcome is a timeout with no attempt, which says so; the telemetry counts none either."""
    records: list[Any] = []
    limits = Limits(concurrency=1)
    client, sim = await serve(Scenario(pace=Pace(first_token=0.5)), limits=limits, hooks=[records.append])
    held = asyncio.create_task(client.fan_out(["Hello"], model="glm-4.6").collect())
    await asyncio.sleep(0.05)
    outcome, *_ = await client.fan_out(["Hi"], model="glm-4.6", deadline=0.1).collect()
    assert isinstance(outcome.error, RequestTimeout)
    assert outcome.attempts == len(outcome.error.attempts) == 0
    assert told(outcome.error) == ["not sent: its turn did not come"]
    assert [type(record).__name__ for record in records] == ["CallFailed"]
    assert records[0].timing.attempts == 0
    assert records[0].timing.queue > 0
    assert (await held)[0].ok
    assert len(sim.requests) == 1


async def test_a_slow_model_does_not_hold_up_another(serve: Serve) -> None:
    """Of two models in turn, the one with room is done while the other, one call at a time, has hardly begun."""
    limits = {"glm-4.6": 1, "glm-4.5": 100}
    client, _ = await serve(Scenario(concurrency_by_model=limits, pace=Pace(first_token=0.02)))
    make = AsyncZhipuAI.chat.completions.create.call
    calls = [make(model=model, messages=[{"role": "user", "content": "Hi"}]) for _ in range(100) for model in limits]
    done: list[str | None] = []
    async with client.fan_out(calls) as run:
        async for outcome in run:
            done.append(outcome.call.model)
            if done.count("glm-4.5") == 100:
                break
    assert done.count("glm-4.6") < 50
