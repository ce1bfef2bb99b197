"""From the times of single requests to metrics: what each is stands in METRICS and RATES, and nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ..errors import ConfigError
from .samples import Sample

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Metric:
    """A time of single requests, of which a report gives the mean and percentiles."""

    name: str
    title: str
    unit: str
    definition: str
    values: Callable[[Sample], Sequence[float]]
    """What a request that was answered adds: no value, one, or several."""


def _ttft(sample: Sample) -> Sequence[float]:
    return () if sample.first_token is None else (sample.first_token - sample.planned,)


def _ttfo(sample: Sample) -> Sequence[float]:
    return () if sample.first_output is None else (sample.first_output - sample.planned,)


def _tpot(sample: Sample) -> Sequence[float]:
    if sample.first_token is None or sample.output_tokens < 2:
        return ()
    return ((sample.ended - sample.first_token) / (sample.output_tokens - 1),)


def _speed(sample: Sample) -> Sequence[float]:
    seconds = sample.ended - sample.planned
    return (sample.output_tokens / seconds,) if seconds > 0 else ()


METRICS = (
    Metric(
        "ttft",
        "time to first token",
        "s",
        "From the start of a request to its first chunk with output in it, thinking included. AIPerf and GenAI-Perf "
        "count like this; vLLM's bench takes the first chunk even when it is empty, LLMPerf the first of the answer, "
        "behind the thinking.",
        _ttft,
    ),
    Metric(
        "ttfo",
        "time to first output token",
        "s",
        "The same to the first content or tool call: what a user waits for who is not shown the thinking. AIPerf's "
        "name. Without thinking it equals TTFT.",
        _ttfo,
    ),
    Metric(
        "tpot",
        "time per output token",
        "s",
        "(E2EL - TTFT) / (output tokens - 1), one value for each request with two tokens or more. As in vLLM's bench; "
        "AIPerf and GenAI-Perf call this inter-token latency; LLMPerf's inter-token latency is E2EL / output tokens.",
        _tpot,
    ),
    Metric(
        "itl",
        "inter-token latency",
        "s",
        "The gap between two chunks with output, all gaps of all requests taken together. As in vLLM's bench; AIPerf "
        "calls it inter-chunk latency. A chunk may hold several tokens, and chunks that arrive in one piece have a gap "
        "of about 0: compare services by TPOT, look for stalls here.",
        lambda sample: sample.gaps,
    ),
    Metric(
        "e2el",
        "end-to-end latency",
        "s",
        "From the start of a request to the chunk with its finish reason. vLLM's name; AIPerf's is request latency.",
        lambda sample: (sample.ended - sample.planned,),
    ),
    Metric(
        "speed",
        "output tokens/s of a request",
        "tokens/s",
        "Output tokens / E2EL: LLMPerf's request output throughput. AIPerf's throughput per user leaves the time to "
        "the first token out: that is 1 / TPOT.",
        _speed,
    ),
    Metric(
        "lag",
        "start behind plan",
        "s",
        "From the moment at which a request was due to the one at which this client sent it. It is part of the "
        "latencies; where it is not small beside them, this machine is too slow for the load.",
        lambda sample: (sample.sent - sample.planned,),
    ),
)
"""The times of single requests. Those that failed add nothing."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A number for a whole load: what was answered, by seconds."""

    name: str
    title: str
    unit: str
    definition: str
    amount: Callable[[Sample], float]
    """What a request that was answered adds."""


RATES = (
    Rate(
        "output_throughput",
        "output tokens/s",
        "tokens/s",
        "Output tokens of all requests that were answered, thinking included, by the seconds from the beginning to the "
        "end of the last request.",
        lambda sample: sample.output_tokens,
    ),
    Rate(
        "total_token_throughput",
        "total tokens/s",
        "tokens/s",
        "The same with the tokens of the prompts.",
        lambda sample: sample.prompt_tokens + sample.output_tokens,
    ),
    Rate(
        "request_throughput",
        "requests/s",
        "requests/s",
        "Requests that were answered, by the same seconds.",
        lambda sample: 1,
    ),
)
GOODPUT = (
    "Requests per second that were answered within all limits of --goodput, such as ttft:0.5,tpot:0.05. Limits are in "
    "seconds (vLLM's and AIPerf's are in milliseconds); a request with one token meets any tpot."
)
MEANINGS = (
    "Latencies count from the start of a request: with --rate the moment at which it was due, so that a stall of the "
    "service shows in all requests that it held up (vLLM's bench and LLMPerf count from sending), with --concurrency "
    "the moment at which it was sent.",
    "Percentiles are interpolated between neighbours, as numpy and vLLM's bench do. Only requests that were answered "
    "count; those that failed are listed by their error, and refused ones (HTTP 429) apart.",
    "A connection that has been idle for five seconds is closed, so that at low rates some requests open a new one, "
    "which is in their TTFT.",
    "Throughput counts to the end of the last request, as in vLLM's bench. At the end of a load with --concurrency no "
    "more requests begin and its places become empty one after the other, which makes throughput less than the service "
    "can give: a few percent from 20 requests for each place on; with fewer a note says by how much.",
    "Tokens are those of the service's usage. Where it sends none, chunks with output are counted instead, which a "
    "note says.",
)

LIMITED = ("ttft", "ttfo", "tpot", "e2el")
"""Metrics that goodput may limit."""


class Distribution(msgspec.Struct, kw_only=True, frozen=True):
    """Of the values of a metric, in its unit."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Distribution | None:
        """None where there are no values."""
        ordered = sorted(values)
        if not ordered:
            return None
        p50, p90, p99 = (percentile(ordered, percent) for percent in PERCENTILES)
        mean = min(max(sum(ordered) / len(ordered), ordered[0]), ordered[-1])  # sums are rounded
        return cls(count=len(ordered), mean=mean, p50=p50, p90=p90, p99=p99, least=ordered[0], most=ordered[-1])


class Summary(msgspec.Struct, kw_only=True):
    """What a load came to."""

    completed: int
    failed: int
    refused: int
    """Of the failed, those answered with HTTP 429."""
    repeats: int
    """Attempts beyond the first, where the client was allowed to repeat."""
    errors: dict[str, int]
    """Failed requests by class and code of their error, the most frequent first."""
    finish_reasons: dict[str, int]
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    uncounted: int
    """Requests that were answered without usage, of which the chunks were counted."""
    rates: dict[str, float]
    """By the names of RATES; and ``goodput`` where there are limits."""
    metrics: dict[str, Distribution]
    """By the names of METRICS; those without a value are missing."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The percentile of sorted values, which must not be empty, interpolated between the two nearest."""
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return min(max(low + (high - low) * (place - below), low), high)


def summarise(samples: Sequence[Sample], seconds: float, limits: Mapping[str, float] | None = None) -> Summary:
    """The summary of a load that took so many seconds; ``limits``: for goodput, seconds by the name of a metric."""
    done = [sample for sample in samples if sample.error is None]
    failed = [sample for sample in samples if sample.error is not None]
    rates = {rate.name: sum(map(rate.amount, done)) / seconds if seconds > 0 else 0.0 for rate in RATES}
    if limits:
        good = sum(is_good(sample, limits) for sample in done)
        rates["goodput"] = good / seconds if seconds > 0 else 0.0
    found = {
        metric.name: Distribution.of(value for sample in done for value in metric.values(sample)) for metric in METRICS
    }
    return Summary(
        completed=len(done),
        failed=len(failed),
        refused=sum(sample.refused for sample in failed),
        repeats=sum(sample.attempts - 1 for sample in samples),
        errors=dict(Counter(str(sample.error) for sample in failed).most_common()),
        finish_reasons=dict(Counter(str(sample.finish_reason) for sample in done).most_common()),
        prompt_tokens=sum(sample.prompt_tokens for sample in done),
        cached_tokens=sum(sample.cached_tokens for sample in done),
        output_tokens=sum(sample.output_tokens for sample in done),
        reasoning_tokens=sum(sample.reasoning_tokens for sample in done),
        uncounted=sum(not sample.counted for sample in done),
        rates=rates,
        metrics={name: distribution for name, distribution in found.items() if distribution is not None},
    )


def places_empty(samples: Sequence[Sample], places: int, seconds: float) -> tuple[float, float]:
    """Of a closed load, of which the last requests leave their places empty: the share of the time in which not all
    were in use, and by what share that makes its throughput less."""
    if not samples or seconds <= 0:
        return 0.0, 0.0
    since = 0.0 if len(samples) < places else sorted(sample.ended for sample in samples)[-places]
    used = sum(max(0.0, sample.ended - max(sample.sent, since)) for sample in samples)
    return 1 - since / seconds, (places * (seconds - since) - used) / (places * seconds)


def is_good(sample: Sample, limits: Mapping[str, float]) -> bool:
    """Whether a request that was answered met all limits; a value that it does not have meets any."""
    values = {metric.name: metric.values for metric in METRICS}
    return all(value <= limit for name, limit in limits.items() for value in values[name](sample))


def check_limits(limits: Mapping[str, float]) -> Mapping[str, float]:
    """The limits of goodput; ConfigError for a name that is none, or for what is no positive number of seconds."""
    for name, limit in limits.items():
        if name not in LIMITED:
            raise ConfigError(f"goodput knows no limit {name!r}: there are {', '.join(LIMITED)}")
        if not limit > 0:
            raise ConfigError(f"the limit of {name} must be a positive number of seconds, not {limit!r}")
    return limits
