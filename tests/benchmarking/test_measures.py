"""From times to metrics: definitions that hold for any answers."""

from __future__ import annotations

import csv
import io
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhipu_async import ConfigError, RateLimitError
from zhipu_async.benchmarking import METRICS, RATES, Closed, Distribution, Open, Report, Sample, Summary
from zhipu_async.benchmarking.measures import LIMITED, percentile, summarise
from zhipu_async.benchmarking.report import begun, load_report
from zhipu_async.benchmarking.samples import Arrived, sample_of
from zhipu_async.types.chat import ChatCompletionChunk, ChunkChoice, Delta, Usage

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes

SECONDS = st.floats(0, 1e4, allow_nan=False)
VALUES = st.lists(SECONDS, min_size=1, max_size=200)
PARTS = ("mean", "p50", "p90", "p99", "least", "most")


def chunk(text: str = "", *, reasoning: str = "", ending: str | None = None, tokens: int = 0) -> ChatCompletionChunk:
    """A chunk with this in it."""
    delta = Delta(content=text or None, reasoning_content=reasoning or None)
    usage = Usage(prompt_tokens=9, completion_tokens=tokens, total_tokens=9 + tokens) if tokens else None
    return ChatCompletionChunk(id="1", choices=[ChunkChoice(delta=delta, finish_reason=ending)], usage=usage)


def answered(gaps: list[float], tokens: int, *, began: float = 0.0, planned: float = 0.0) -> Sample:
    """The sample of an answer whose chunks come one ``gap`` after the other; the last has the finish reason."""
    moment = began + planned
    arrived: list[Arrived] = []
    for place, gap in enumerate(gaps):
        moment += gap
        last = place == len(gaps) - 1
        ending = chunk(ending="stop", tokens=tokens)
        arrived.append((moment, ending if last and place else chunk("w", tokens=tokens if last else 0)))
    return sample_of(arrived, None, began=began, planned=planned, sent=planned, ended=moment - began)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Any request: answered, or failed."""
    planned = draw(SECONDS)
    if draw(st.booleans()):
        late = planned + draw(SECONDS)
        return Sample(
            planned=planned, sent=planned, ended=late, error="RateLimitError 1302", refused=draw(st.booleans())
        )
    gaps = draw(st.lists(st.floats(0, 100), min_size=2, max_size=20))
    return answered(gaps, draw(st.integers(1, 1000)), began=draw(SECONDS), planned=planned)


@given(VALUES, st.floats(0, 100), st.floats(0, 100))
def test_percentiles_lie_in_order_among_the_values(values: list[float], one: float, other: float) -> None:
    """A percentile lies between the least and the greatest value, and a higher one is not lower."""
    ordered = sorted(values)
    low, high = sorted((one, other))
    assert ordered[0] <= percentile(ordered, low) <= percentile(ordered, high) <= ordered[-1]
    assert (percentile(ordered, 0), percentile(ordered, 100)) == (ordered[0], ordered[-1])


@given(st.lists(SECONDS, min_size=2, max_size=200))
def test_percentiles_are_those_of_the_standard_library(values: list[float]) -> None:
    """The percentiles are interpolated as ``statistics.quantiles`` and numpy do."""
    expected = statistics.quantiles(values, n=100, method="inclusive")
    found = [percentile(sorted(values), percent) for percent in range(1, 100)]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(VALUES, st.randoms(use_true_random=False))
def test_a_distribution_does_not_depend_on_the_order(values: list[float], chance: object) -> None:
    """Requests may end in any order; and the percentiles of a distribution are in theirs."""
    found = Distribution.of(values)
    assert found is not None
    assert found == Distribution.of(sorted(values))
    assert found.least <= found.p50 <= found.p90 <= found.p99 <= found.most
    assert found.least <= found.mean <= found.most
    assert found.count == len(values)
    assert Distribution.of([]) is None


@given(st.lists(st.floats(0, 100), min_size=3, max_size=50), st.integers(2, 5000), SECONDS, SECONDS)
def test_latency_is_made_of_its_parts(gaps: list[float], tokens: int, began: float, planned: float) -> None:
    """E2EL is TTFT and one TPOT for each further token; the gaps lead from the first output to the last."""
    sample = answered(gaps, tokens, began=began, planned=planned)
    values = {metric.name: metric.values(sample) for metric in METRICS}
    (ttft,), (tpot,), (e2el,), (lag,) = values["ttft"], values["tpot"], values["e2el"], values["lag"]
    assert ttft + (tokens - 1) * tpot == pytest.approx(e2el, rel=1e-6, abs=1e-6)
    assert e2el == pytest.approx(sum(gaps), rel=1e-6, abs=1e-6)
    assert sum(values["itl"]) == pytest.approx(sum(gaps[1:-1]), rel=1e-6, abs=1e-6)
    assert (values["ttfo"], lag) == (values["ttft"], 0.0)


@settings(max_examples=50)
@given(st.lists(samples(), max_size=30), st.floats(0.1, 1e4), st.floats(1e-3, 1e3))
def test_a_summary_counts_every_request_once(found: list[Sample], seconds: float, limit: float) -> None:
    """Answered and failed are all; refused are failed; a stricter limit makes no more good requests than there are."""
    summary = summarise(found, seconds, {"ttft": limit, "tpot": limit})
    assert summary.completed + summary.failed == len(found)
    assert summary.refused <= summary.failed == sum(summary.errors.values())
    assert summary.completed == sum(summary.finish_reasons.values())
    assert 0 <= summary.rates["goodput"] <= summary.rates["request_throughput"] * (1 + 1e-9)
    wider = summarise(found, seconds, {"ttft": 2 * limit, "tpot": 2 * limit})
    assert summary.rates["goodput"] <= wider.rates["goodput"]
    assert summary.rates["request_throughput"] * seconds == pytest.approx(summary.completed)
    assert all(part.count for part in summary.metrics.values())


@settings(max_examples=30)
@given(st.lists(samples(), max_size=10))
def test_a_report_comes_back_from_json(found: list[Sample]) -> None:
    """JSON holds the whole report, times to the microsecond, and gives the same JSON again."""
    report = reported(found)
    data = report.to_json()
    again = Report.from_json(data)
    assert again.to_json() == data
    assert [sample.error for sample in again.loads[0].samples] == [sample.error for sample in found]
    assert again.loads[0].summary.completed == report.loads[0].summary.completed


def reported(found: list[Sample]) -> Report:
    """A report of a closed and an open load with the same samples."""
    report = begun({"base_url": "http://127.0.0.1/v4", "prompts": {"kind": "synthetic", "tokens": 256, "seed": 1}})
    for load in (Closed(4), Open(2.5)):
        summary = summarise(found, 10.0)
        report.loads.append(load_report("glm-4.6", load, seconds=10.0, wanted=9, summary=summary, samples=found))
    return report


def test_rows_of_a_report() -> None:
    """CSV has a header and a row for each load, with every rate and four figures of every metric, in seconds."""
    report = reported([answered([0.25, 0.5, 0.5], 3), answered([0.75, 0.5, 0.5], 3)])
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [(row["mode"], row["concurrency"], row["rate"]) for row in rows] == [
        ("closed", "4.0", ""),
        ("open", "", "2.5"),
    ]
    for name in (
        *(rate.name for rate in RATES),
        *(f"{metric.name}_{part}" for metric in METRICS for part in PARTS[:4]),
    ):
        assert float(rows[0][name]) >= 0
    assert (rows[0]["ttft_mean"], rows[0]["ttft_p50"], rows[0]["e2el_p99"]) == ("0.5", "0.5", "1.745")
    assert (rows[0]["completed"], rows[0]["output_tokens"], rows[0]["request_throughput"]) == ("2", "6", "0.2")


def test_a_report_says_where_it_was_made_without_names() -> None:
    """Versions and facts of the machine are there; its name, the user's and the key are not."""
    report = reported([])
    assert {"zhipu-async", "python", "aiohttp", "msgspec"} <= report.versions.keys()
    assert set(report.machine) == {
        "system", "release", "architecture", "processors", "implementation", "clock_resolution",
    }  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"format": 1}', b"\xff", b'{"a"', b"x" * 100], ids=repr)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    """JSON of something else is a ConfigError; so is a report in another format."""
    with pytest.raises(ConfigError, match="no report"):
        Report.from_json(data)
    with pytest.raises(ConfigError, match="format 2"):
        Report.from_json(reported([]).to_json().replace(b'"format": 1', b'"format": 2'))


def test_what_a_failed_request_adds() -> None:
    """The error of a request that was cut off leaves no latency behind, whatever had arrived."""
    error = RateLimitError("too many", status=429, code="1302")
    sample = sample_of([(1.0, chunk("w"))], error, began=0.0, planned=0.0, sent=0.0, ended=2.0)
    assert (sample.error, sample.refused, sample.ended) == ("RateLimitError 1302", True, 2.0)
    summary = summarise([sample], 2.0)
    assert (summary.metrics, summary.refused, summary.output_tokens) == ({}, 1, 0)


def test_a_late_start_is_part_of_the_latency() -> None:
    """Latencies count from the moment a request was due; how much later it was sent is told apart."""
    arrived: list[Arrived] = [(3.0, chunk("a")), (4.0, chunk("b", ending="stop", tokens=2))]
    sample = sample_of(arrived, None, began=0.0, planned=1.0, sent=1.5, ended=4.0)
    values = {metric.name: list(metric.values(sample)) for metric in METRICS}
    assert values == {
        "ttft": [2.0], "ttfo": [2.0], "tpot": [1.0], "itl": [1.0], "e2el": [3.0], "speed": [2 / 3], "lag": [0.5],
    }  # fmt: skip


def test_usage_in_a_chunk_of_its_own() -> None:
    """Other servers send usage behind the finish reason, without choices: it is counted, its time is not."""
    tail = ChatCompletionChunk(id="1", choices=[], usage=Usage(prompt_tokens=4, completion_tokens=2, total_tokens=6))
    arrived: list[Arrived] = [(1.0, chunk("a")), (2.0, chunk("b")), (3.0, chunk(ending="stop")), (9.0, tail)]
    sample = sample_of(arrived, None, began=0.5, planned=0.0, sent=0.0, ended=9.0)
    assert (sample.first_token, sample.ended, sample.gaps, sample.output_tokens) == (0.5, 2.5, [1.0], 2)
    assert (sample.counted, sample.finish_reason) == (True, "stop")


def test_the_finish_reason_is_the_last_that_was_given() -> None:
    """A chunk behind the one with the finish reason, as some servers send, does not take it away."""
    arrived: list[Arrived] = [(1.0, chunk("a", ending="length")), (2.0, chunk(tokens=1))]
    assert sample_of(arrived, None, began=0.0, planned=0.0, sent=0.0, ended=2.0).finish_reason == "length"


def test_an_empty_chunk_is_no_token() -> None:
    """A first chunk that only names the role does not end the wait for the first token."""
    arrived: list[Arrived] = [(1.0, chunk()), (2.0, chunk(reasoning="hm")), (3.0, chunk("a", ending="stop", tokens=2))]
    sample = sample_of(arrived, None, began=0.0, planned=0.0, sent=0.0, ended=3.0)
    assert (sample.first_token, sample.first_output, sample.ended) == (2.0, 3.0, 3.0)


def test_limits_are_metrics() -> None:
    """What goodput may limit is the name of a metric in seconds; an answer of one token meets any tpot."""
    assert set(LIMITED) <= {metric.name for metric in METRICS if metric.unit == "s"}
    summary: Summary = summarise([answered([0.5, 0.1], 1)], 1.0, {"tpot": 1e-9, "ttft": 0.5})
    assert summary.rates["goodput"] == 1.0
    assert summarise([answered([0.5, 0.1], 1)], 1.0, {"ttft": 0.49}).rates["goodput"] == 0.0
