"""``bench``: what it sends, prints and saves, how it ends, and how two measurements are compared."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarking.test_comparison import report as made
from zhipu_async import ConfigError
from zhipu_async.benchmarking import METRICS, RATES, Closed, Report, compare
from zhipu_async.cli import bench_outputs, bench_view
from zhipu_async.cli.terminal import CarefulConsole
from zhipu_async.simulator import Delivery, Pace, Refusal, Reply, Scenario

from .conftest import Service
from .invoking import Invoked, invoke, names
from .running import process_of, run, terminal

pytestmark = pytest.mark.heavy

WORDS = Reply(pieces=["word "] * 5, finish_reason="length", times=None)
QUICK = Scenario(replies=[WORDS], pace=Pace(first_token=0.02, per_chunk=0.002))
MODEL = ("bench", "--model", "glm-4.6")
drawn = pytest.mark.skipif(
    find_spec("matplotlib") is None and os.environ.get("REQUIRE_EXTRAS") != "1", reason="needs matplotlib"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(name: str) -> bytes:
    """What was saved."""
    return Path(name).read_bytes()


def report(name: str = "a.json") -> Report:
    """A report that was saved."""
    return Report.from_json(content(name))


def given(name: str, text: str) -> None:
    """A file that is there before."""
    Path(name).write_text(text)


async def test_a_measurement(service: Service, folder: Path) -> None:
    """Loads of each model become rows of the table; JSON and CSV hold them; as many requests are sent as are told."""
    simulator = await service(QUICK)
    done = await invoke(
        "bench", "--model", "glm-4.6,glm-4.7-flash", "--concurrency", "1,4", "--requests", "8", "--warmup", "1",
        "--goodput", "ttft:5,tpot:1", "--json", "a.json", "--csv", "a.csv", "--max-tokens", "7", "--no-thinking",
    )  # fmt: skip
    assert done.code == 0, done.errors
    assert [line for line in done.output.splitlines() if line in ("glm-4.6", "glm-4.7-flash")] == [
        "glm-4.6", "glm-4.7-flash",
    ]  # fmt: skip
    assert len(re.findall(r"^ +[14] +8 +0 +0 ", done.output, re.MULTILINE)) == 4
    assert all(f"{name}, time" in done.output for name in ("TTFT", "TPOT"))
    for title in ("req/s", "output tok/s", "tok/s each", "goodput/s", "p50", "p90", "p99"):
        assert title in done.output
    assert "\x1b" not in done.output + done.errors
    assert names(folder) == ["a.csv", "a.json"]
    found = report()
    assert [(load.model, load.value, load.summary.completed) for load in found.loads] == [
        (model, value, 8) for model in ("glm-4.6", "glm-4.7-flash") for value in (1, 4)
    ]
    assert [len(load.samples) for load in found.loads] == [8] * 4
    rows = list(csv.DictReader(content("a.csv").decode().splitlines()))
    assert [(row["model"], row["concurrency"], row["output_tokens"]) for row in rows] == [
        (load.model, str(load.value), "40") for load in found.loads
    ]
    bodies: list[Any] = [seen.body for seen in simulator.requests]
    assert len(bodies) == 4 * 9
    assert {(body["max_tokens"], body["thinking"]["type"], body["stream"]) for body in bodies} == {
        (7, "disabled", True)
    }
    assert simulator.api_key.encode() not in content("a.json")


async def test_an_open_load(service: Service) -> None:
    """--rate sends at its beat; the report says so."""
    await service(QUICK)
    done = await invoke(*MODEL, "--rate", "50", "--burstiness", "inf", "--requests", "10", "--json", "-")
    assert (done.code, done.errors) == (0, "")
    (load,) = Report.from_json(done.raw).loads
    assert (load.mode, load.value, load.burstiness, load.warmup) == ("open", 50.0, None, 50)
    assert [sample.planned for sample in load.samples] == [pytest.approx(number / 50) for number in range(10)]


async def test_prompts_of_a_file(service: Service) -> None:
    """Prompts come from a file as ``run`` reads it, with their parameters, again and again; the model is --model's."""
    simulator = await service(QUICK)
    given("in.jsonl", '{"id": "a", "prompt": "one", "temperature": 0.5, "max_tokens": 7}\n{"prompt": "two"}\n')
    done = await invoke(*MODEL, "--concurrency", "1", "--requests", "3", "--warmup", "0", "--prompts", "in.jsonl")
    assert done.code == 0, done.errors
    bodies: list[Any] = [seen.body for seen in simulator.requests]
    assert [body["messages"][0]["content"] for body in bodies] == ["one", "two", "one"]
    assert [body.get("temperature") for body in bodies] == [0.5, None, 0.5]
    assert [body["max_tokens"] for body in bodies] == [7, 128, 7]


async def test_only_chats_can_be_measured(service: Service) -> None:
    """A file with a call of another endpoint is refused before anything is sent."""
    simulator = await service(QUICK)
    line = {"custom_id": "a", "method": "POST", "url": "/v4/embeddings", "body": {"model": "embedding-3", "input": "x"}}
    given("in.jsonl", json.dumps(line))
    done = await invoke(*MODEL, "--prompts", "in.jsonl")
    assert (done.code, simulator.requests) == (2, [])
    assert "only chats can be measured" in done.errors


async def test_refusals_are_shown(service: Service) -> None:
    """Refused requests are counted in the table and named below it, and none is repeated."""
    simulator = await service(Scenario(replies=[Refusal("1302"), Refusal("1305"), WORDS], pace=Pace(first_token=0.01)))
    done = await invoke(*MODEL, "--concurrency", "2", "--requests", "6", "--warmup", "0")
    assert done.code == 0
    assert re.search(r"^ +2 +4 +2 +2 ", done.output, re.MULTILINE)
    assert "1 x RateLimitError 1302" in done.errors
    assert "1 x OverloadedError 1305" in done.errors
    assert len(simulator.requests) == 6


async def test_nothing_but_failures(service: Service) -> None:
    """A load without an answer ends with 1, and is shown all the same; a wrong model ends it before it begins."""
    await service(Scenario(replies=[Refusal("1302", times=None)]))
    done = await invoke(*MODEL, "--concurrency", "1", "--requests", "2", "--warmup", "0", "--json", "a.json")
    assert done.code == 1
    assert "2 x RateLimitError 1302" in done.errors
    assert report().loads[0].summary.failed == 2
    simulator = await service()
    done = await invoke("bench", "--model", "glm-0", "--concurrency", "2", "--requests", "50")
    assert (done.code, done.output) == (1, "")
    assert "1211" in done.errors
    assert len(simulator.requests) == 2


async def test_a_later_failure_keeps_what_was_measured(service: Service) -> None:
    """When the second model does not exist, the first one's figures are shown and saved, and the exit code is 1."""
    await service(Scenario(pace=Pace(first_token=0.01)))
    done = await invoke(
        "bench", "--model", "glm-4.6,glm-0", "--concurrency", "1", "--requests", "2", "--json", "a.json"
    )
    assert done.code == 1
    assert "1211" in done.errors
    assert "TTFT" in done.output
    assert [load.model for load in report().loads] == ["glm-4.6"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--model is missing"),
        (("--model", "a", "--concurrency", "1", "--rate", "2"), "two kinds of load"),
        (("--model", "a", "--concurrency", "x"), "--concurrency must be numbers"),
        (("--model", "a", "--concurrency", "0"), "concurrency"),
        (("--model", "a", "--concurrency", ""), "--concurrency is missing"),
        (("--model", "a", "--rate", ""), "--rate is missing"),
        (("--model", "a", "--rate", "-1"), "rate"),
        (("--model", "a", "--burstiness", "2"), "--burstiness goes with --rate"),
        (("--model", ","), "--model is missing"),
        (("--model", "a", "--goodput", "ttft"), "--goodput must be like"),
        (("--model", "a", "--goodput", ""), "--goodput must be like"),
        (("--model", "a", "--goodput", "speed:3"), "speed"),
        (("--model", "a", "--extra-body", '{"stream": false}'), "extra_body must not hold stream"),
        (("--model", "a", "--extra-body", "[]"), "--extra-body must be a JSON object"),
        (("--model", "a", "--extra-body", "\udcff"), "--extra-body must be a JSON object"),
        (("--model", "a", "--prompts", "none.txt"), "none.txt"),
        (("--model", "a", "--prompts", "in.txt", "--prompt-tokens", "40"), "--prompt-tokens"),
        (("--model", "a", "--prompts", "in.txt", "--json", "in.txt", "--force"), "is the input"),
        (("--model", "a", "--json", "in.txt"), "--force overwrites it"),
        (("--model", "a", "--json", "x", "--csv", "x"), "same file"),
        (("--model", "a", "--plot", "x.gif"), r"\.png, \.svg, \.pdf"),
        (("--model", "a", "--json", "-", "--plot", "-"), "leave --plot - out"),
        (("--model", "a", "--csv", "-", "--plot", "-"), "leave --plot - out"),
        (("--model", "a", "--json", "-", "--csv", "-"), "leave --csv - out"),
        (("--model", "a", "--duration", "-1"), r"seconds, not -1\.0$"),
        (("compare", "in.txt", "in.txt"), "no report"),
        (("compare", "none.json", "none.json"), "none.json"),
    ],
    ids=" ".join,
)
async def test_wrong_use_sends_nothing(arguments: tuple[str, ...], words: str, service: Service, folder: Path) -> None:
    """What cannot be measured is told with exit code 2 before anything is sent, and leaves no file behind."""
    simulator = await service(QUICK)
    given("in.txt", "a prompt\n")
    done = await invoke("bench", *arguments)
    assert (done.code, done.output) == (2, "")
    assert re.search(words, done.errors)
    assert (simulator.requests, names(folder)) == ([], ["in.txt"])


async def test_without_matplotlib_nothing_is_sent(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that cannot be drawn is told before anything is paid for, with what to install."""
    simulator = await service(QUICK)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = await invoke(*MODEL, "--plot", "a.png")
    assert (done.code, len(simulator.requests)) == (2, 0)
    assert "zhipu-async[plot]" in done.errors


async def test_a_reader_that_leaves_loses_nothing(service: Service, folder: Path) -> None:
    """Files are complete also where standard output is closed, or on a full disk, which ends with a message."""
    await service(QUICK)
    program = shlex.join((sys.executable, "-m", "zhipu_async", *MODEL, "--concurrency", "1", "--requests", "2"))
    for name, rest, code, words in (
        ("a.json", "| true", 141, ""),
        ("b.json", "> /dev/full", 2, "cannot write standard output"),
    ):
        async with process_of("bash", "-c", f"set -o pipefail; {program} --json {name} {rest}") as process:
            _, errors = await process.communicate()
        assert (process.returncode, "Traceback" in errors.decode()) == (code, False)
        assert words in errors.decode()
        assert report(name).loads[0].summary.completed == 2


async def test_what_cannot_be_saved_is_shown(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a disk became full meanwhile, the figures are on standard output, and the error is told."""
    await service(QUICK)

    async def full(*_: object) -> None:
        raise ConfigError("cannot write 'a.json': No space left on device")

    monkeypatch.setattr(bench_outputs, "_save", full)
    done = await invoke(*MODEL, "--concurrency", "1", "--requests", "2", "--json", "a.json")
    assert done.code == 2
    assert "TTFT" in done.output
    assert "No space left" in done.errors


async def test_an_output_that_fails_keeps_no_other_from_being_written(
    service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each output is tried; the error of the one that could not be written is told at the end, with exit code 2."""
    await service(QUICK)
    save = bench_outputs._save  # pyright: ignore[reportPrivateUsage]

    async def full(path: Path, data: bytes) -> None:
        if path.suffix == ".json":
            raise ConfigError("cannot write 'a.json': No space left on device")
        await save(path, data)

    monkeypatch.setattr(bench_outputs, "_save", full)
    done = await invoke(*MODEL, "--concurrency", "1", "--requests", "2", "--json", "a.json", "--csv", "a.csv")
    assert (done.code, names(folder)) == (2, ["a.csv"])
    assert "TTFT" in done.output
    assert "No space left" in done.errors


async def test_the_rows_alone_on_standard_output(service: Service, folder: Path) -> None:
    """``--csv -`` prints the rows and nothing else, and makes no file."""
    await service(QUICK)
    done = await invoke(*MODEL, "--concurrency", "1,2", "--requests", "2", "--csv", "-")
    assert (done.code, done.errors, names(folder)) == (0, "", [])
    assert [row["concurrency"] for row in csv.DictReader(done.output.splitlines())] == ["1.0", "2.0"]


async def test_why_requests_failed_is_said(service: Service) -> None:
    """Each kind of error is told with what the first of them says, in words of the command line."""
    await service()
    done = await invoke(
        *MODEL, "--concurrency", "1", "--requests", "2", "--warmup", "0",
        "--extra-body", '{"model": "x"}', "--plot", "-",
    )  # fmt: skip
    assert done.code == 1
    (line,) = (line for line in done.errors.splitlines() if "2 x BadRequestError 1211, the first: " in line)
    assert line.endswith("zhipu-async models lists the core models")
    assert "█" not in done.output  # no bar for no throughput


@drawn
async def test_pictures(service: Service, folder: Path) -> None:
    """Pictures are saved in the format of their name, and bars are drawn on standard output."""
    await service(QUICK)
    done = await invoke(
        *MODEL, "--concurrency", "1,2,4", "--requests", "4", "--plot", "a.png", "--plot", "a.svg", "--plot", "-"
    )
    assert done.code == 0, done.errors
    assert names(folder) == ["a.png", "a.svg"]
    assert content("a.png").startswith(b"\x89PNG")
    assert done.output.count("█") > 20
    assert "TTFT, milliseconds from p50 to p99" in done.output


async def test_what_the_figures_mean() -> None:
    """--explain has the definition of every metric and rate, and --help the name of each."""
    explained, helped = await invoke("bench", "--explain"), await invoke("bench", "--help")
    assert (explained.code, helped.code) == (0, 0)
    text, said = " ".join(explained.output.split()), " ".join(helped.output.replace("│", " ").split())
    for metric in METRICS:
        assert metric.definition in text
    for rate in RATES:
        assert f"{rate.title} ({rate.name})" in text
        assert rate.title.lower() in said.lower()
    assert all(f"{metric.name.upper()}: {metric.title}" in said for metric in METRICS[:5])
    assert all(tool in text for tool in ("vLLM", "AIPerf", "GenAI-Perf", "LLMPerf", "goodput"))


async def compared(*arguments: str) -> Invoked:
    """``bench compare`` of the two reports of a test."""
    return await invoke("bench", "compare", "a.json", "b.json", *arguments)


async def test_two_measurements_are_compared(service: Service) -> None:
    """A service at half the speed is a regression with a threshold, exit code 1; without one it is only told."""
    for name, slow in (("a.json", 1.0), ("b.json", 2.0)):
        reply = Reply(
            pieces=["word "] * 5, finish_reason="length", times=None,
            delivery=Delivery(body_after=0.08 * slow, pause=0.03 * slow),
        )  # fmt: skip
        await service(Scenario(replies=[reply]))
        done = await invoke(*MODEL, "--concurrency", "2", "--requests", "12", "--json", name)
        assert done.code == 0
    found = await compared("--threshold", "0.3")
    assert found.code == 1
    assert found.output.count("REGRESSION") >= 3
    assert "95 % bootstrap interval" in found.errors
    assert "base_url differs" in found.errors
    told = await compared()
    assert told.code == 0
    assert "worse" in told.output
    assert "REGRESSION" not in told.output
    data = json.loads((await compared("--json", "--threshold", "0.3")).output)
    assert data["regressions"] >= 3
    ratios = {change["name"]: change["ratio"] for change in data["changes"]}
    assert 1.5 < ratios["e2el_p50"] < 2.5
    assert (await invoke("bench", "compare", "a.json", "a.json", "--threshold", "0")).code == 0


async def test_a_total_failure_is_a_regression() -> None:
    """A service that refused every request has loads in common with one that answered, and the share is a row."""
    given("a.json", made(1).to_json().decode())
    given("b.json", made(2, failed=100).to_json().decode())
    found = await compared("--threshold", "0.1")
    assert found.code == 1
    assert len(re.findall(r"^failed, share of requests +0\.0% +100\.0% +REGRESSION$", found.output, re.MULTILINE)) == 2
    given("b.json", made(2, loads=(Closed(3),)).to_json().decode())
    apart = await compared()
    assert (apart.code, "no load in common" in apart.errors) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_shows_what_was_measured(service: Service, number: signal.Signals) -> None:
    """At a terminal a line shows how far it is. Ctrl-C ends with 130, SIGTERM with 143, and what was measured is shown
    as cut short."""
    simulator = await service(Scenario(replies=[WORDS], pace=Pace(first_token=0.1, per_chunk=0.01)))
    arguments = (*MODEL, "--concurrency", "1,2", "--requests", "3000", "--warmup", "1", "--json", "a.json")
    async with terminal(*arguments) as person:
        await person.until("/3000")
        await simulator.wait_until(lambda: len(simulator.requests) >= 6)  # the fifth that counts is under way
        person.interrupt(number)
        assert await person.end() == 128 + number
        await person.until("CUT SHORT")
        assert "TTFT, time to first token" in person.text
    (load,) = report().loads
    assert load.cut_short
    assert load.wanted == 3000
    assert 4 <= load.summary.completed < 1000
    assert load.unfinished == 1


async def test_few_requests_for_the_places_are_said(service: Service) -> None:
    """Where a closed load has few requests for its places, a note says what its end takes from its throughput."""
    await service(Scenario(replies=[WORDS], pace=Pace(first_token=0.1, per_chunk=0.01)))
    done = await invoke(*MODEL, "--concurrency", "1,8", "--requests", "9")
    noted = r"(\d) at a time: for \d+% of the time not all places were in use, which makes throughput \d+% too low"
    assert re.findall(noted, done.errors) == ["8"]  # a single place is in use to the end


@pytest.mark.parametrize("columns", [60, 80])
def test_no_number_is_cut_at_a_narrow_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Titles become short where a table does not fit, and never numbers; what is still too long the terminal wraps."""
    seen = io.StringIO()
    screen = partial(CarefulConsole, file=seen, force_terminal=True, width=columns, no_color=True, color_system=None)
    monkeypatch.setattr(bench_view, "console", screen)
    before, after = made(1, slower=40), made(2, slower=90, failed=30)
    bench_view.show(after)
    bench_view.show_comparison(compare(before, after, threshold=0.1), "a.json", "b.json")
    assert "…" not in seen.getvalue()
    latencies = [
        line.split() for line in seen.getvalue().splitlines() if line.startswith(("TTFT  ", "TPOT  ", "E2EL  "))
    ]
    ttft = after.loads[0].summary.metrics["ttft"]
    figures = (ttft.mean, ttft.p50, ttft.p90, ttft.p99, ttft.most)
    assert latencies[0] == ["TTFT", "1", *(f"{1000 * value:,.0f}" for value in figures)]
    assert len(latencies) == 3
    assert [line.split()[:3] for line in seen.getvalue().splitlines() if "30.0%" in line] == [
        ["failed", "0.0%", "30.0%"]
    ] * 2
    assert seen.getvalue().count("REGRESSION") == 16


def test_explanations_are_shown_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets the long titles, however narrow its reader is, and so does a wide terminal."""
    for screen in ({"width": 40}, {"width": 120, "force_terminal": True}):
        seen = io.StringIO()
        monkeypatch.setattr(bench_view, "console", partial(CarefulConsole, file=seen, color_system=None, **screen))
        bench_view.show(made(1, slower=40))
        assert "TTFT, time to first token" in seen.getvalue()


async def test_in_a_pipe_and_without_colours(service: Service) -> None:
    """With NO_COLOR a pipe gets plain text, and standard error the notes alone; there is no progress line."""
    await service(QUICK)
    arguments = (*MODEL, "--concurrency", "1", "--requests", "2", "--plot", "-")
    done = await run(*arguments, env={"NO_COLOR": "1", "FORCE_COLOR": "1"})
    assert done.code == 0
    assert "\x1b" not in done.output + done.errors
    assert done.errors.splitlines()[0].startswith("prompts: ")


async def test_the_help_of_all_commands_loads_no_benchmark() -> None:
    """What the benchmark needs is imported by ``bench`` alone."""
    program = (
        "import sys; from zhipu_async.cli.app import app; "
        "print([name for name in sys.modules if 'benchmarking' in name or 'matplotlib' in name])"
    )
    async with process_of(sys.executable, "-c", program) as process:
        output, _ = await process.communicate()
    assert output.decode().strip() == "[]"
