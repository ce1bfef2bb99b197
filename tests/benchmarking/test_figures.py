"""What a benchmark finds is what the service did: against delays that are known, in virtual time."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from zhipu_async import AsyncZhipuAI, AuthenticationError, ConfigError, Limits
from zhipu_async.benchmarking import Benchmark, Closed, Given, Load, LoadReport, Open, Report, Synthetic
from zhipu_async.benchmarking.measures import places_empty
from zhipu_async.benchmarking.runner import FUTILE, REST

from .scripted_service import ScriptedService, run


def measured(service: ScriptedService, *loads: Load, client: AsyncZhipuAI | None = None, **settings: Any) -> Report:
    """The report of a benchmark of the service, in virtual time."""

    async def measure() -> Report:
        async with client or service.client() as used:
            return await Benchmark(used, models=["glm-4.6"], loads=loads, **settings).run()

    return run(measure())


def one(report: Report) -> LoadReport:
    """The only load of a report."""
    (load,) = report.loads
    return load


def near(value: float) -> Any:
    """The value, but for the rounding of the clock."""
    return pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("load", [Closed(1), Closed(8), Open(4.0), Open(4.0, math.inf), Open(50.0, 0.5)], ids=str)
def test_figures_are_the_delays_of_the_service(load: Load) -> None:
    """TTFT, TPOT, ITL and E2EL are what the service was told, under closed and open loads; and nothing failed."""
    summary = one(measured(ScriptedService(first=0.3, pause=0.02, chunks=50), load, requests=32)).summary
    metrics = summary.metrics
    assert (summary.completed, summary.failed, summary.output_tokens, summary.prompt_tokens) == (32, 0, 32 * 50, 32 * 7)
    expected = {"ttft": 0.3, "ttfo": 0.3, "itl": 0.02, "e2el": 1.3, "tpot": 1.0 / 49, "lag": 0.0, "speed": 50 / 1.3}
    for name, value in expected.items():
        found = metrics[name]
        assert [found.mean, found.p50, found.p90, found.p99, found.least, found.most] == [near(value)] * 6, name
    assert metrics["itl"].count == 32 * 49


@pytest.mark.parametrize("concurrency", [1, 8])
def test_throughput_of_a_closed_load(concurrency: int) -> None:
    """So many requests are in flight, never more, and tokens per second are theirs."""
    service = ScriptedService(chunks=50)
    load = one(measured(service, Closed(concurrency), requests=32))
    assert service.most_in_flight == concurrency
    assert load.seconds == near(32 / concurrency * 1.3)
    assert load.summary.rates == {
        "output_throughput": near(concurrency * 50 / 1.3),
        "total_token_throughput": near(concurrency * 57 / 1.3),
        "request_throughput": near(concurrency / 1.3),
    }


@pytest.mark.parametrize(
    ("requests", "time", "less"),
    [(2, 1.0, 0.5), (8, 0.0, 0.0), (9, 1 / 3, 0.25), (14, 1 / 4, 1 / 8)],
)
def test_empty_places_at_the_end_of_a_closed_load(requests: int, time: float, less: float) -> None:
    """With whole waves all places are in use to the end; a last one that is not full makes throughput less."""
    load = one(measured(ScriptedService(chunks=50), Closed(4), requests=requests))
    assert places_empty(load.samples, 4, load.seconds) == (near(time), near(less))


def test_throughput_of_an_open_load() -> None:
    """Requests come in their beat, however many are in flight, and the last one ends the time."""
    service = ScriptedService(chunks=50)
    load = one(measured(service, Open(10.0, math.inf), requests=41))
    assert [sample.planned for sample in load.samples] == [near(number / 10) for number in range(41)]
    assert load.seconds == near(4.0 + 1.3)
    assert service.most_in_flight in (13, 14)  # 1.3 s at 10 a second
    assert load.summary.rates["output_throughput"] == near(41 * 50 / 5.3)


def test_thinking_comes_first() -> None:
    """TTFT counts thinking, TTFO does not: ten chunks of thinking lie between the two."""
    metrics = one(measured(ScriptedService(thinking=10), Closed(2), requests=4)).summary.metrics
    assert (metrics["ttft"].mean, metrics["ttfo"].mean) == (near(0.3), near(0.5))


def test_chunks_of_several_tokens() -> None:
    """TPOT is by tokens as the service counts them, ITL by chunks."""
    metrics = one(measured(ScriptedService(tokens=4, chunks=50), Closed(1), requests=2)).summary.metrics
    assert metrics["tpot"].mean == near(1.0 / 199)
    assert metrics["itl"].mean == near(0.02)


def test_without_usage_chunks_are_counted() -> None:
    """A service that sends no usage has its chunks counted, and the summary says of how many answers."""
    summary = one(measured(ScriptedService(usage=False, chunks=50), Closed(1), requests=3)).summary
    assert (summary.uncounted, summary.output_tokens, summary.prompt_tokens) == (3, 150, 0)
    assert summary.metrics["tpot"].mean == near(1.0 / 49)


def test_a_stall_shows_in_all_requests_that_it_held_up() -> None:
    """In an open load a stall of five seconds is in the latency of each request that was due in it."""
    service = ScriptedService(first=0.1, pause=0.0, chunks=1, stall=(5.0, 10.0))
    load = one(measured(service, Open(2.0, math.inf), requests=40, warmup=0))
    waits = {sample.planned: sample.first_token - sample.planned for sample in load.samples if sample.first_token}
    assert len(waits) == 40
    held = {planned: wait for planned, wait in waits.items() if wait > 0.1 + 1e-6}
    assert held == {5.0 + number / 2: near(5.0 - number / 2) for number in range(10)}
    assert load.summary.metrics["ttft"].p90 > 2


def test_a_queue_in_the_client_counts_too() -> None:
    """Latency counts from the moment a request was due: with one place in the client, each waits for those before."""
    service = ScriptedService(first=0.9, pause=0.1, chunks=1)
    client = service.client(AsyncZhipuAI, limits=Limits(concurrency=1, adaptive=False), max_retries=0)
    load = one(measured(service, Open(2.0, math.inf), requests=6, warmup=0, client=client))
    assert service.most_in_flight == 1
    waits = sorted(sample.ended - sample.planned for sample in load.samples)
    assert waits == [near(1.0 + number / 2) for number in range(6)]


def test_refusals_are_counted() -> None:
    """Where the service takes two at a time and four come, the refused ones are counted and not repeated."""
    service = ScriptedService(limit=2)
    load = one(measured(service, Closed(4), requests=20, warmup=0))
    summary = load.summary
    assert len(service.bodies) == 20
    assert summary.completed + summary.failed == 20
    assert summary.refused == summary.failed == summary.errors["RateLimitError 1302"] >= 2
    assert summary.repeats == 0
    assert summary.metrics["e2el"].most == near(1.3)


def test_a_refused_place_rests() -> None:
    """A closed load does not spend its requests on refusals: after one the place stays empty for a second."""
    load = one(measured(ScriptedService(limit=1), Closed(2), duration=5.0, warmup=0))
    refused = [sample.planned for sample in load.samples if sample.refused]
    assert 1 < len(refused) <= 5 / REST + 1
    assert all(later - earlier >= REST for earlier, later in pairwise(refused))


def test_repeats_are_counted_where_they_are_allowed() -> None:
    """A client that may repeat shows its attempts, and their time is in the latency."""
    service = ScriptedService(limit=1)
    client = service.client(max_retries=8)
    load = one(measured(service, Closed(2), requests=2, warmup=0, client=client))
    assert load.summary.completed == 2
    assert load.summary.repeats == len(service.bodies) - 2 >= 1
    assert load.summary.metrics["e2el"].most > 2.5


def test_nothing_but_failures_ends_a_load() -> None:
    """A load that time alone would end stops after two hundred failures in a row, and says so."""
    service = ScriptedService(limit=0)
    load = one(measured(service, Open(100.0, math.inf), duration=3600.0, warmup=0))
    assert load.gave_up
    assert FUTILE <= len(load.samples) <= FUTILE + 1
    assert load.summary.metrics == {}
    assert load.summary.rates["output_throughput"] == 0.0


@pytest.mark.parametrize(("load", "warmup"), [(Closed(8), 8), (Open(2.5), 3)], ids=str)
def test_warm_up_is_not_counted(load: Load, warmup: int) -> None:
    """Before a load as many requests are sent as open its connections; they are in no figure."""
    service = ScriptedService()
    found = one(measured(service, load, requests=10))
    assert (len(service.bodies), len(found.samples), found.warmup) == (10 + warmup, 10, warmup)
    assert min(sample.planned for sample in found.samples) == 0


def test_every_prompt_is_another_one() -> None:
    """No two requests of a benchmark, warm-up and all loads together, have the same first forty characters."""
    service = ScriptedService(chunks=2)
    measured(service, Closed(1), Closed(4), requests=20, prompts=Synthetic(64, seed=3))
    texts = [body["messages"][0]["content"] for body in service.bodies]
    assert len({text[:40] for text in texts}) == len(texts) == 45


def test_what_is_sent() -> None:
    """A request is a stream with usage and a limit of tokens; parameters that were given stand over the prompts'."""
    service = ScriptedService(chunks=2)
    mine: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "one"}], "temperature": 0.2, "extra_body": {"a": 1, "b": 1}},
        {"messages": [{"role": "user", "content": "two"}], "temperature": 0.4},
    ]
    given = Given(mine, "mine")
    parameters = {"temperature": 0.9, "extra_body": {"b": 2}}
    report = measured(service, Closed(1), requests=3, warmup=0, max_tokens=5, prompts=given, parameters=parameters)
    shared = {"model": "glm-4.6", "stream": True, "max_tokens": 5, "temperature": 0.9, "b": 2}
    shared["stream_options"] = {"include_usage": True}
    assert [body.pop("messages")[0]["content"] for body in service.bodies] == ["one", "two", "one"]
    assert service.bodies == [{**shared, "a": 1}, shared, {**shared, "a": 1}]
    assert mine[0]["extra_body"] == {"a": 1, "b": 1}
    assert report.settings["prompts"] == {"kind": "given", "name": "mine", "count": 2}


@pytest.mark.parametrize(("settings", "sent"), [({}, [128, 9]), ({"max_tokens": 5}, [5, 5])], ids=["none", "given"])
def test_prompts_keep_their_own_limit(settings: dict[str, Any], sent: list[int]) -> None:
    """The limit of tokens that was given counts, else that of each prompt, else 128."""
    service = ScriptedService(chunks=2)
    question = {"messages": [{"role": "user", "content": "?"}]}
    measured(
        service, Closed(1), requests=2, warmup=0, prompts=Given([question, {**question, "max_tokens": 9}]), **settings
    )
    assert [body["max_tokens"] for body in service.bodies] == sent


def test_no_secret_is_in_a_report() -> None:
    """Headers and queries that are sent with the requests are not in the report, nor is the key."""
    service = ScriptedService(chunks=2)
    secret = {"extra_headers": {"x-token": "s3cret"}, "extra_query": {"token": "s3cret"}}
    data = measured(service, Closed(1), requests=2, parameters=secret).to_json()
    assert len(service.bodies) == 3
    assert b"s3cret" not in data
    assert b"k.s" not in data


def test_time_ends_a_load() -> None:
    """With a duration no request begins after it, and those under way are waited for."""
    for load in (Closed(3), Open(2.0, math.inf)):
        found = one(measured(ScriptedService(), load, duration=5.0, warmup=0))
        assert max(sample.planned for sample in found.samples) < 5.0 < found.seconds
        assert len(found.samples) == found.summary.completed == (12 if isinstance(load, Closed) else 10)


def test_answers_are_streamed_whatever_the_parameters_say() -> None:
    """A ``stream`` among the parameters changes nothing, and settings that are no JSON do not lose the report."""
    prompts = Given([{"messages": [{"role": "user", "content": "?"}], "stream": False}], name=Path("x"))  # type: ignore[arg-type]
    found = measured(ScriptedService(), Closed(1), requests=2, prompts=prompts, parameters={"stream": None})
    assert one(found).summary.completed == 2
    assert Report.from_json(found.to_json()).settings["prompts"]["name"] == repr(Path("x"))


def test_a_benchmark_runs_once() -> None:
    """A second run would mix its loads with those of the first, in the same report."""

    async def twice() -> None:
        async with ScriptedService().client() as client:
            benchmark = Benchmark(client, models=["glm-4.6"], loads=[Closed(1)], requests=1, warmup=0)
            await benchmark.run()
            with pytest.raises(ConfigError, match="make another"):
                await benchmark.run()
            assert len(benchmark.report.loads) == 1

    run(twice())


def test_goodput_counts_what_is_within_the_limits() -> None:
    """Requests that a stall held up are no good ones."""
    service = ScriptedService(first=0.1, pause=0.01, chunks=3, stall=(5.0, 10.0))
    load = one(measured(service, Open(2.0, math.inf), requests=40, warmup=0, goodput={"ttft": 0.2, "e2el": 1.0}))
    assert load.summary.rates["goodput"] * load.seconds == near(30)


def test_a_cancelled_benchmark_keeps_what_was_measured() -> None:
    """After a cancellation the report has the loads until then, the last one marked, and what was under way."""

    async def measure() -> Report:
        service = ScriptedService()
        async with service.client() as client:
            benchmark = Benchmark(client, models=["glm-4.6"], loads=[Closed(1), Closed(4)], requests=8, warmup=0)
            task = asyncio.create_task(benchmark.run())
            await asyncio.sleep(8 * 1.3 + 2.0)  # all of the first load; of the second four, and four under way
            assert benchmark.progress == ("glm-4.6, 4 at a time", 4, 8)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return benchmark.report

    report = run(measure())
    first, second = report.loads
    assert (first.cut_short, first.summary.completed) == (False, 8)
    assert (second.cut_short, second.summary.completed, second.unfinished) == (True, 4, 4)
    assert report.cut_short


def test_a_wrong_key_ends_it_at_once() -> None:
    """What repeating does not change is raised by the warm-up, and nothing is measured."""
    service = ScriptedService(status=401)
    with pytest.raises(AuthenticationError):
        measured(service, Closed(2), requests=100)
    assert len(service.bodies) == 2


def test_an_answer_without_output_is_a_failure() -> None:
    """A stream that ends without output, or with network_error, has no latency: it failed."""
    for service in (ScriptedService(chunks=0), ScriptedService(ending="network_error")):
        summary = one(measured(service, Closed(1), requests=2, warmup=0)).summary
        assert (summary.completed, summary.errors, summary.refused) == (0, {"StreamFailed": 2}, 0)


def test_a_failed_request_keeps_what_its_error_says() -> None:
    """Beside its class and code a sample has the message, which a report brings back."""
    report = measured(ScriptedService(limit=0), Closed(1), requests=1, warmup=0)
    (sample,) = one(Report.from_json(report.to_json())).samples
    assert sample.message is not None
    assert "too many at once" in sample.message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": []}, "models"),
        ({"models": "glm-4.6"}, "models"),
        ({"loads": []}, "loads"),
        ({"loads": [Closed(1), Open(1.0)]}, "not of both"),
        ({"requests": 0}, "requests"),
        ({"duration": 0.0}, "duration"),
        ({"warmup": -1}, "warmup"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"parameters": {"extra_body": {"stream": False}}}, "answers are streamed"),
        ({"goodput": {"itl": 1.0}}, "itl"),
        ({"goodput": {"ttft": 0.0}}, "ttft"),
    ],
    ids=str,
)
def test_wrong_use_is_refused(settings: dict[str, Any], words: str) -> None:
    """What cannot be measured is a ConfigError that names it, before anything is sent."""
    service = ScriptedService()
    with pytest.raises(ConfigError, match=words):
        Benchmark(service.client(), **{"models": ["glm-4.6"], "loads": [Closed(1)], **settings})
    assert service.bodies == []


def test_parameters_that_cannot_be_sent_are_raised() -> None:
    """A parameter that JSON cannot hold is wrong use, and not a failed request."""
    service = ScriptedService()
    with pytest.raises(ConfigError):
        measured(service, Closed(4), requests=4, warmup=0, parameters={"temperature": math.nan})
    assert service.bodies == []
