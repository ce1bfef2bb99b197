"""Two reports compared: what is worse is found, what is noise is not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from zhipu_async.benchmarking import Closed, Load, Open, Report, Sample, compare
from zhipu_async.benchmarking.comparison import _resampled  # pyright: ignore[reportPrivateUsage]
from zhipu_async.benchmarking.measures import percentile, summarise
from zhipu_async.benchmarking.report import begun, load_report

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes


def request(chance: Random, slower: float, tpot: float, thinking: float) -> Sample:
    """A request with noise of a tenth."""
    first = 0.3 * slower * chance.lognormvariate(0, 0.1)
    output = first + thinking
    ended = output + 99 * 0.02 * slower * tpot * chance.lognormvariate(0, 0.1)
    return Sample(
        planned=0.0, sent=0.0, first_token=first, first_output=output, ended=ended, output_tokens=100, prompt_tokens=10
    )


def report(
    seed: int,
    *,
    slower: float = 1.0,
    tpot: float = 1.0,
    thinking: float = 0.0,
    failed: int = 0,
    count: int = 100,
    model: str = "glm-4.6",
    loads: tuple[Load, ...] = (Closed(1), Closed(8)),
    **settings: Any,
) -> Report:
    """A report of ``count`` requests under each load, some of which ``failed``."""
    chance = Random(seed)
    found = begun(
        {"base_url": "http://a/v4", "prompts": {"kind": "synthetic", "tokens": 256, "seed": seed}, **settings}
    )
    for load in loads:
        samples = [request(chance, slower, tpot, thinking) for _ in range(count - failed)]
        samples += [Sample(planned=0.0, sent=0.0, ended=0.1, error="ServerError") for _ in range(failed)]
        summary = summarise(samples, 60.0)
        found.loads.append(load_report(model, load, seconds=60.0, wanted=count, summary=summary, samples=samples))
    return found


def test_a_report_is_itself() -> None:
    """Compared with itself every ratio is one, the interval holds it, and nothing is to be remarked."""
    mine = report(1)
    found = compare(mine, mine, threshold=0.0)
    assert {change.name for change in found.changes} == {
        "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99", "e2el_p50", "e2el_p99", "speed_p50",
    }  # fmt: skip
    assert len(found.changes) == 14
    assert all(change.ratio == 1 and change.low <= 1 <= change.high for change in found.changes)
    assert ({change.verdict for change in found.changes}, found.regressions, found.notes) == ({"same"}, 0, [])


def test_reports_without_settings_are_compared() -> None:
    """A report that was made by hand says less, and is compared all the same, with a note."""
    bare = report(1)
    bare.settings = {}
    assert any("prompts differs: None in A" in note for note in compare(bare, report(2)).notes)


def test_noise_is_no_regression() -> None:
    """Ten pairs of equal services: medians leave the interval about as rarely as it says, and never by a tenth."""
    found = [
        compare(report(seed), report(seed + 100, loads=(Closed(1), Closed(8))), threshold=0.1) for seed in range(10)
    ]
    medians = [change for each in found for change in each.changes if change.name.endswith("p50")]
    assert sum(change.verdict != "same" for change in medians) <= 0.15 * len(medians)
    assert not any(change.regression for change in medians)


@pytest.mark.parametrize("percent", [0, 50, 90, 99, 100])
def test_resamples_are_those_of_a_bootstrap(percent: int) -> None:
    """What is drawn by rank has the same mean and spread as the percentile of values that are drawn one by one."""
    values = [float(number) for number in range(40)]
    chance = Random(6)
    by_rank = [_resampled(values, percent, chance) for _ in range(4000)]
    one_by_one = [percentile(sorted(chance.choices(values, k=40)), percent) for _ in range(4000)]
    assert statistics.fmean(by_rank) == pytest.approx(statistics.fmean(one_by_one), abs=0.2)
    assert statistics.pstdev(by_rank) == pytest.approx(statistics.pstdev(one_by_one), rel=0.1)


def test_what_is_slower_is_found() -> None:
    """A service that is a third slower is worse in every median, a regression at a tenth and none at a half."""
    for threshold, expected in ((0.1, True), (0.5, False), (None, False)):
        found = compare(report(1), report(2, slower=1.33), threshold=threshold)
        medians = [change for change in found.changes if change.name.endswith("p50")]
        assert {(change.verdict, change.regression) for change in medians} == {("worse", expected)}
        assert bool(found.regressions) == expected
        by_name = {change.name: change for change in medians}
        assert by_name["ttft_p50"].ratio == pytest.approx(1.33, rel=0.05)
        assert by_name["speed_p50"].ratio == pytest.approx(1 / 1.33, rel=0.05)
        assert all(change.low < change.ratio < change.high for change in medians)


def test_what_is_faster_is_no_regression() -> None:
    """A service that is a third faster is better in every median."""
    found = compare(report(1), report(2, slower=0.67), threshold=0.0)
    assert {change.verdict for change in found.changes if change.name.endswith("p50")} == {"better"}
    assert found.regressions == 0


def test_only_what_changed_is_worse() -> None:
    """Slower tokens leave the time to the first one as it was."""
    found = {change.name: change for change in compare(report(1), report(2, tpot=1.5)).changes}
    assert (found["tpot_p50"].verdict, found["ttft_p50"].verdict) == ("worse", "same")


def test_the_same_comparison_twice() -> None:
    """The resamples are drawn from a seed: the same reports give the same intervals."""
    assert compare(report(1), report(2)) == compare(report(1), report(2))


def test_failures_are_a_regression_of_their_own() -> None:
    """The share that fails is a change of its own, and a regression beyond the threshold in percentage points."""
    for before, after, threshold, verdict, regression in (
        (0, 30, 0.1, "worse", True),
        (0, 5, 0.1, "worse", False),
        (30, 35, 0.1, "worse", False),  # a sixth more, and five points
        (0, 30, None, "worse", False),
        (30, 0, 0.0, "better", False),
        (30, 30, 0.0, "same", False),
    ):
        found = compare(report(1, failed=before), report(1, failed=after), threshold=threshold)
        (change,) = (each for each in found.changes if (each.name, each.load) == ("failed", "8 at a time"))
        assert (change.before, change.after) == (before / 100, after / 100)
        assert (change.ratio, change.low, change.high) == (None, None, None)
        assert (change.verdict, change.regression) == (verdict, regression)
        assert found.regressions == sum(each.regression for each in found.changes)


def test_a_total_failure_is_compared() -> None:
    """Where B answered nothing, the loads are in common all the same, and what failed is all that changed."""
    found = compare(report(1), report(1, failed=100), threshold=0.1)
    assert (found.pairs, [change.name for change in found.changes], found.regressions) == (2, ["failed"] * 2, 2)


def test_the_wait_for_the_answer_itself_is_compared() -> None:
    """Longer thinking shows in TTFO, which without any thinking would be TTFT once more."""
    changes = compare(report(1, thinking=1.0), report(2, thinking=3.0)).changes
    found = {change.name: change.verdict for change in changes}
    assert (found["ttft_p50"], found["ttfo_p50"]) == ("same", "worse")


def test_loads_are_paired() -> None:
    """Loads that only one report has are named, and the others compared."""
    found = compare(report(1, loads=(Closed(1), Closed(8))), report(2, loads=(Closed(8), Closed(32))))
    assert {change.load for change in found.changes} == {"8 at a time"}
    assert {"glm-4.6, 1 at a time: only in A", "glm-4.6, 32 at a time: only in B"} <= set(found.notes)
    assert found.pairs == 1
    other = compare(report(1), report(2, loads=(Open(1.0),)))
    assert (other.pairs, other.changes) == (0, [])
    assert compare(report(1, loads=(Open(1.0),)), report(2, loads=(Open(1.0, math.inf),))).changes == []


def test_two_models_are_compared() -> None:
    """Reports of one model each are compared across; the note says that it is another one."""
    found = compare(report(1, models=["glm-4.6"]), report(2, model="glm-5", models=["glm-5"], slower=1.5))
    assert {(change.model, change.verdict) for change in found.changes if change.name == "e2el_p50"} == {
        ("glm-5", "worse")
    }
    assert found.notes == ["models differs: ['glm-4.6'] in A, ['glm-5'] in B"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mine: mine.settings.update(base_url="http://b/v4"), "base_url differs"),
        (lambda mine: mine.settings.update(prompts={"kind": "given", "name": "x", "count": 1}), "prompts differs"),
        (lambda mine: mine.machine.update(processors=-1), "machine: processors differs"),
        (lambda mine: setattr(mine.loads[0], "cut_short", True), "B was cut short"),
    ],
    ids=["base_url", "prompts", "machine", "cut_short"],
)
def test_what_makes_them_hard_to_compare_is_said(change: Callable[[Report], object], words: str) -> None:
    """Other settings, another machine and an interruption are noted; another seed is as good."""
    other = msgspec.json.decode(report(2).to_json(), type=Report)
    assert compare(report(1), other).notes == []
    change(other)
    (note,) = compare(report(1), other).notes
    assert words in note


def test_few_requests_are_said_to_be_few() -> None:
    """Under twenty requests a note says that they are few."""
    found = compare(report(1, count=10), report(2))
    assert sum("10 requests were answered: too few" in note for note in found.notes) == 2
