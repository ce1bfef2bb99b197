"""Prompts and arrivals: of the length and at the rate that were asked for, and the same for the same seed."""

from __future__ import annotations

import math
import statistics
from itertools import islice, pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhipu_async import ConfigError
from zhipu_async.benchmarking import Closed, Given, Open, Synthetic
from zhipu_async.benchmarking.workload import WORDS


@settings(max_examples=50)
@given(st.integers(16, 3000), st.integers(0, 2**32), st.integers(0, 10**6), st.integers(1, 1000))
def test_prompts_differ_from_their_beginning(tokens: int, seed: int, number: int, further: int) -> None:
    """Two prompts of a run part within twenty characters, and the same number of the same seed is the same prompt."""
    prompts = Synthetic(tokens, seed)
    one, other = prompts.text(number), prompts.text(number + further)
    assert one[:20] != other[:20]
    assert one == Synthetic(tokens, seed).text(number) != Synthetic(tokens, seed + 1).text(number)


@pytest.mark.parametrize("tokens", [32, 256, 4096])
def test_prompts_are_of_the_wanted_length(tokens: int) -> None:
    """A prompt has about as many words as it is to have tokens, and all are common."""
    words = Synthetic(tokens).text(7).split()
    assert abs(len(words) - tokens) <= 4
    assert set(words[2 : tokens - 16]) <= set(WORDS)
    assert len(WORDS) == len(set(WORDS)) > 150


def test_given_prompts_begin_again() -> None:
    """Calls of one's own come in their order, and again from the beginning."""
    calls: list[dict[str, Any]] = [{"messages": [{"role": "user", "content": text}]} for text in "abc"]
    assert [Given(calls).arguments(number) for number in range(5)] == [*calls, *calls[:2]]


@pytest.mark.parametrize("burstiness", [0.5, 1.0, 4.0, math.inf])
def test_arrivals_come_at_their_rate(burstiness: float) -> None:
    """Requests begin at once, in order, at the wanted rate; what burstiness changes is the spread of the gaps."""
    arrivals = list(islice(Open(8.0, burstiness).arrivals(Random(1)), 20_001))
    assert arrivals[0] == 0.0
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert min(gaps) >= 0
    assert statistics.fmean(gaps) == pytest.approx(1 / 8, rel=0.03)
    spread = statistics.pstdev(gaps) / statistics.fmean(gaps)
    assert spread == pytest.approx(0.0 if math.isinf(burstiness) else burstiness**-0.5, rel=0.05, abs=1e-6)
    assert arrivals == list(islice(Open(8.0, burstiness).arrivals(Random(1)), 20_001))


def test_poisson_arrivals_have_no_memory() -> None:
    """In seconds of a Poisson process at eight a second, the numbers of arrivals vary as much as their mean."""
    arrivals = islice(Open(8.0).arrivals(Random(2)), 40_000)
    counts = [0] * 4000
    for arrival in arrivals:
        if arrival < 4000:
            counts[int(arrival)] += 1
    assert statistics.fmean(counts) == pytest.approx(8, rel=0.03)
    assert statistics.pvariance(counts) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize(
    ("load", "words"),
    [(Closed(8), "8 at a time"), (Open(2.0), "2 per second"), (Open(2.5, 0.5), "2.5 per second")],
    ids=str,
)
def test_loads_in_words(load: Closed | Open, words: str) -> None:
    """A load says what it is."""
    assert load.label == words


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Closed, (0,)),
        (Closed, (1.5,)),
        (Closed, (10**9,)),
        (Open, (0.0,)),
        (Open, (-1.0,)),
        (Open, (math.inf,)),
        (Open, (1e9,)),
        (Open, (math.nan,)),
        (Open, (1.0, 0.0)),
        (Open, (1.0, math.nan)),
        (Synthetic, (3,)),
        (Given, ([],)),
    ],
    ids=str,
)
def test_impossible_loads_are_refused(kind: Any, arguments: tuple[Any, ...]) -> None:
    """A load that cannot be, and prompts that are none, are a ConfigError."""
    with pytest.raises(ConfigError):
        kind(*arguments)
