"""``run``: what is sent and written, how it ends, how it goes on after an end that nobody wanted."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import random
import re
import shlex
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.cli.run_summary import Summary, Tally
from zhipu_async.errors import ConnectError, ContentFilterError, RateLimitError, ZhipuError
from zhipu_async.journal.file import open_file
from zhipu_async.outcomes import Outcome, RunProgress
from zhipu_async.protocol.endpoint import Call
from zhipu_async.resources import Completions
from zhipu_async.simulator import Case, Delivery, Pace, Refusal, Reply, Scenario, SeenRequest, Simulator
from zhipu_async.statistics import Percentiles
from zhipu_async.types.batches import BatchOutput
from zhipu_async.types.chat import ChatCompletion, Usage

from .batch_files import EMBEDDINGS, call, write
from .conftest import Service
from .invoking import ask_often, invoke, names
from .running import PATIENCE, command, finish, process_of, run, terminal

pytestmark = pytest.mark.heavy

UNSAFE = Scenario().unsafe_prompt


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and batches that are asked after often."""
    ask_often(monkeypatch)
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def prompts(number: int, name: str = "in.jsonl", **more: Any) -> None:
    """An input of questions with the ids q-0, q-1 ..."""
    write(name, *({"id": f"q-{place}", "prompt": f"question {place}", **more} for place in range(number)))


def content(path: str | Path = "out.jsonl") -> bytes:
    """The bytes of a file."""
    return Path(path).read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines(path: str | Path = "out.jsonl") -> list[BatchOutput]:
    """The lines of a file of answers."""
    whole = content(path)
    assert not whole or whole.endswith(b"\n")
    return [msgspec.json.decode(line, type=BatchOutput) for line in whole.splitlines()]


def ids(path: str | Path = "out.jsonl") -> list[str | None]:
    """Their ids, in the order of the file."""
    return [line.custom_id for line in lines(path)]


def questions_of(seen: SeenRequest) -> str:
    """What was asked by a request."""
    content: str = seen.get("messages")[-1]["content"]
    return content


def questions(simulator: Simulator) -> list[str]:
    """What was asked, in the order of arrival."""
    return [questions_of(seen) for seen in simulator.requests]


def way_on(errors: str) -> str:
    """The arguments of the one command that goes on, as it was told."""
    (told,) = [line for line in errors.splitlines() if line.startswith("to go on: ")]
    return told.removeprefix("to go on: zhipu-async ")


def answered(number: int) -> set[str]:
    """The ids of so many prompts."""
    return {f"q-{place}" for place in range(number)}


MODEL = ("--model", "glm-4.6")
OUT = ("-o", "out.jsonl")
RUN = ("run", "in.jsonl", *OUT, *MODEL)


# ---------------------------------------------------------------- what is sent and written


async def test_prompts_are_answered(service: Service, folder: Path) -> None:
    """Each prompt is one request; the answers are in the vendor's format; the path is printed, the rest is told."""
    simulator = await service()
    prompts(20)
    done = await invoke(*RUN, "--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "50", "--no-thinking")
    assert (done.code, done.output) == (0, "out.jsonl\n")
    assert sorted(questions(simulator)) == sorted(f"question {place}" for place in range(20))
    body = dict(simulator.requests[0].body)
    assert body.pop("messages")[0] == {"role": "system", "content": "Be brief."}
    assert body == {"model": "glm-4.6", "temperature": 0.5, "max_tokens": 50, "thinking": {"type": "disabled"}}
    found = lines()
    assert all(line.ok for line in found)
    assert {line.custom_id for line in found} == answered(20)
    for line in found:
        assert line.response is not None
        assert line.response.body["choices"][0]["message"]["content"]
    assert "20 of 20 answered; " in done.errors
    assert "prompt + " in done.errors
    assert "seconds a call, with waiting: p50 " in done.errors
    assert names(folder) == ["in.jsonl", "out.jsonl"]


async def test_a_table_and_a_template(service: Service) -> None:
    """Rows of a CSV file fill a template, and their ids come back."""
    simulator = await service()
    write("in.csv", "id,text", '7,"good, very"', "8,bad")
    done = await invoke("run", "in.csv", *OUT, *MODEL, "--template", "Classify: {text}")
    assert done.code == 0
    assert sorted(questions(simulator)) == ["Classify: bad", "Classify: good, very"]
    assert sorted(map(str, ids())) == ["7", "8"]


async def test_a_batch_file(service: Service) -> None:
    """The lines of a batch are run as calls, of embeddings too, with what each says."""
    simulator = await service()
    body = {"model": "embedding-3", "input": "hi", "dimensions": 256}
    write("in.jsonl", call("chat-1"), call("embed-1", url=EMBEDDINGS, body=body))
    done = await invoke("run", "in.jsonl", *OUT)
    assert done.code == 0
    assert {seen.path.rpartition("v4")[2]: seen.body for seen in simulator.requests} == {
        "/chat/completions": call()["body"],
        "/embeddings": body,
    }
    vectors = next(line.response.body for line in lines() if line.custom_id == "embed-1" and line.response)
    assert len(vectors["data"][0]["embedding"]) == 256


async def test_input_order(service: Service) -> None:
    """--ordered leaves the answers in the order of the input, whichever came first; failed ones in their places."""
    late = Reply("late", delivery=Delivery(head_after=0.3))
    await service(Scenario(cases=[Case(lambda seen: questions_of(seen).endswith(" 0"), [late])]))
    write(
        "in.jsonl", *({"id": f"q-{place}", "prompt": f"{UNSAFE if place == 3 else ''} {place}"} for place in range(9))
    )
    done = await invoke(*RUN, "--ordered")
    assert done.code == 1
    assert ids() == [f"q-{place}" for place in range(9)]
    assert [line.ok for line in lines()] == [place != 3 for place in range(9)]


async def test_standard_streams(service: Service) -> None:
    """- reads standard input, and writes the answers to standard output with nothing between them."""
    simulator = await service()
    done = await invoke("run", "-", "-o", "-", *MODEL, stdin=b"one\ntwo\n\nthree\n")
    assert done.code == 0
    printed = [json.loads(line) for line in done.output.splitlines()]
    assert [line["response"]["status_code"] for line in printed] == [200] * 3
    assert sorted(questions(simulator)) == ["one", "three", "two"]
    assert "3 of 3 answered" in done.errors


async def test_standard_output_in_order(service: Service) -> None:
    """--ordered works there too."""
    late = Reply("1", delivery=Delivery(head_after=0.2))
    one = Case(lambda seen: questions_of(seen) == "one", [late])
    await service(Scenario(cases=[one], replies=[Reply("x", times=None)]))
    done = await invoke("run", "-", "-o", "-", *MODEL, "--ordered", stdin=b"one\ntwo\n")
    bodies = [json.loads(line)["response"]["body"] for line in done.output.splitlines()]
    assert [body["choices"][0]["message"]["content"] for body in bodies] == ["1", "x"]


async def test_standard_output_has_answers_only(service: Service) -> None:
    """What a journal notes before calls that create something is not printed."""
    await service()
    body = {"model": "cogview-4", "prompt": "a fox"}
    lines_in = [json.dumps(call(f"i-{place}", url="/v4/images/generations", body=body)) for place in range(3)]
    done = await invoke("run", "-", "-o", "-", stdin="\n".join(lines_in).encode())
    assert done.code == 0
    printed = [json.loads(line) for line in done.output.splitlines()]
    assert sorted(line["custom_id"] for line in printed) == ["i-0", "i-1", "i-2"]
    assert all(line["response"]["body"]["data"] for line in printed)


async def test_identical_calls_once(service: Service) -> None:
    """--dedupe sends what is the same once, and answers each."""
    simulator = await service()
    write("in.txt", *["same"] * 10, "other")
    done = await invoke("run", "in.txt", *OUT, *MODEL, "--dedupe")
    assert done.code == 0
    assert sorted(questions(simulator)) == ["other", "same"]
    assert len(set(ids())) == 11
    assert "11 of 11 answered (9 of them without asking)" in done.errors


async def test_the_account_has_a_limit(service: Service) -> None:
    """Refusals for load are no failures: every call is answered, and the refused requests are counted."""
    simulator = await service(Scenario(concurrency_limit=4, pace=Pace(first_token=0.02)))
    prompts(60)
    done = await invoke(*RUN, "--json")
    assert done.code == 0
    summary = json.loads(done.output)
    refused = sum(seen.status == 429 for seen in simulator.requests)
    assert refused > 0
    assert (summary["answered"], summary["refused"], len(simulator.requests)) == (60, refused, 60 + refused)


async def test_a_fixed_concurrency(service: Service) -> None:
    """--concurrency is the most that is under way at the same time: where just so many may be, none is refused."""
    simulator = await service(Scenario(concurrency_limit=3, pace=Pace(first_token=0.02)))
    prompts(30)
    assert (await invoke(*RUN, "--concurrency", "3")).code == 0
    assert [seen.status for seen in simulator.requests] == [200] * 30


# ---------------------------------------------------------------- failures


async def test_calls_that_fail(service: Service, folder: Path) -> None:
    """A failure is a line and does not end the run, but the exit code is 1; the summary has kinds and an example."""
    await service()
    write("in.jsonl", *({"id": f"q-{place}", "prompt": UNSAFE if place % 3 == 0 else "hi"} for place in range(9)))
    done = await invoke(*RUN, "--errors", "failed.jsonl")
    assert (done.code, done.output) == (1, "out.jsonl\n")
    assert "6 of 9 answered, 3 failed; " in done.errors
    assert "3 x ContentFilterError 1301: " in done.errors
    assert {line.custom_id for line in lines() if not line.ok} == {"q-0", "q-3", "q-6"}
    assert {line.custom_id for line in lines("failed.jsonl")} == {"q-0", "q-3", "q-6"}
    assert "the failed calls, to be run again: failed.jsonl" in done.errors
    assert names(folder) == ["failed.jsonl", "in.jsonl", "out.jsonl"]


async def test_failed_calls_are_run_again(service: Service, folder: Path) -> None:
    """The file of --errors is an input: the same bodies are sent, nothing else; it is gone when none fails."""
    refuse = Case(lambda seen: questions_of(seen).endswith(("3", "5")), [Refusal("1301", times=2)])
    simulator = await service(Scenario(cases=[refuse]))
    prompts(8)
    done = await invoke(*RUN, "--system", "Be brief.", "--max-tokens", "9", "--errors", "failed.jsonl")
    assert done.code == 1
    first = {json.dumps(seen.body) for seen in simulator.requests}
    again = await invoke("run", "failed.jsonl", "-o", "more.jsonl", "--errors", "still.jsonl")
    assert (again.code, again.output) == (0, "more.jsonl\n")
    sent = [json.dumps(seen.body) for seen in simulator.requests[8:]]
    assert len(sent) == 2
    assert set(sent) < first
    assert sorted(map(str, ids("more.jsonl"))) == ["q-3", "q-5"]
    assert names(folder) == ["failed.jsonl", "in.jsonl", "more.jsonl", "out.jsonl"]


async def test_an_account_that_is_empty(service: Service) -> None:
    """1113 ends the run with 1; what was answered stays, the way to go on is told, and works once it is paid."""
    simulator = await service(Scenario(replies=[Reply("ok", times=10), Refusal("1113", times=None)]))
    prompts(30)
    done = await invoke(*RUN, "--concurrency", "1", "--force")
    assert (done.code, done.output) == (1, "")
    assert "error: " in done.errors
    assert "resume=True" not in done.errors
    assert "1113" in done.errors
    assert "10 of 30 answered, 20 not done" in done.errors
    kept = ids()
    assert len(kept) == 10
    told = way_on(done.errors)
    assert told == "run in.jsonl --out out.jsonl --model glm-4.6 --concurrency 1 --resume"
    async with Simulator() as paid:
        os.environ["ZHIPU_BASE_URL"] = paid.base_url
        again = await invoke(*shlex.split(told))
        assert again.code == 0
        assert len(paid.requests) == 20
    assert ids()[:10] == kept
    assert set(ids()) == answered(30)
    assert len(simulator.requests) < 30


async def test_a_refused_key(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is refused ends the run after one answer, not after all of them."""
    simulator = await service()
    monkeypatch.setenv("ZHIPU_API_KEY", "0123456789abcdef.wrong")
    prompts(1000)
    done = await invoke(*RUN)
    assert (done.code, done.output) == (1, "")
    assert "0 of 1,000 answered" in done.errors
    assert len(simulator.requests) < 100
    assert "0123456789abcdef" not in done.errors


async def test_a_budget_of_tokens(service: Service) -> None:
    """--token-budget ends the run when it is used, with 1 and the way to go on."""
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    simulator = await service(Scenario(replies=[Reply("x", usage=usage, times=None)]))
    prompts(100)
    done = await invoke(*RUN, "--token-budget", "200", "--concurrency", "1", "--json")
    assert done.code == 1
    summary = json.loads(done.output)
    assert (summary["stopped"], summary["answered"]) == ("TokenBudgetSpent", 20)
    assert (summary["prompt_tokens"], summary["completion_tokens"]) == (100, 100)
    assert len(simulator.requests) == 20
    assert "to go on: " in done.errors


# ---------------------------------------------------------------- resuming


async def test_only_what_is_missing_is_sent(service: Service) -> None:
    """--resume sends what the output does not have, appends to it, and counts both."""
    simulator = await service()
    prompts(10)
    assert (await invoke(*RUN, "--limit", "4")).code == 0
    kept = content()
    done = await invoke(*RUN, "--resume", "--json")
    assert done.code == 0
    assert sorted(questions(simulator)) == [f"question {place}" for place in range(10)]
    assert content().startswith(kept)
    assert Counter(ids()) == Counter(answered(10))
    summary = json.loads(done.output)
    assert (summary["total"], summary["answered"], summary["replayed"]) == (10, 10, 4)
    again = await invoke(*RUN, "--resume", "--ordered")
    assert again.code == 0
    assert len(simulator.requests) == 10
    assert ids() == [f"q-{place}" for place in range(10)]
    assert "10 of 10 answered (10 of them without asking)" in again.errors


async def test_failures_of_an_earlier_run_count(service: Service) -> None:
    """A resumed run does not ask again what was refused for good, but says so, and writes --errors with it."""
    simulator = await service()
    write("in.jsonl", {"id": "q-0", "prompt": UNSAFE}, {"id": "q-1", "prompt": "hi"})
    assert (await invoke(*RUN)).code == 1
    done = await invoke(*RUN, "--resume", "--errors", "failed.jsonl")
    assert done.code == 1
    assert len(simulator.requests) == 2
    assert "1 of 2 answered, 1 failed (2 of them without asking)" in done.errors
    assert ids("failed.jsonl") == ["q-0"]


async def test_stale_failures_are_removed(service: Service, folder: Path) -> None:
    """When a resumed run ends without failures, the file of an earlier one's is gone."""
    await service()
    prompts(2)
    write("failed.jsonl", call())
    assert (await invoke(*RUN, "--resume", "--errors", "failed.jsonl")).code == 0
    assert names(folder) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize("refused", ["1113", "1301"])
async def test_a_run_that_is_cut_short_leaves_the_failed_calls_alone(service: Service, refused: str) -> None:
    """Those that an earlier run found stay in the file of --errors while a resumed one does not come to its end."""
    await service(Scenario(replies=[Refusal(refused), Refusal("1113", times=None)]))
    prompts(3)
    write("failed.jsonl", call())
    before = content("failed.jsonl")
    done = await invoke(*RUN, "--resume", "--errors", "failed.jsonl", "--concurrency", "1")
    assert done.code == 1
    assert content("failed.jsonl") == before
    assert "to be run again" not in done.errors


async def test_another_run_is_not_resumed(service: Service) -> None:
    """The output of other calls is refused, before anything is sent, and stays as it is."""
    simulator = await service()
    prompts(3)
    assert (await invoke(*RUN)).code == 0
    before = content()
    done = await invoke("run", "in.jsonl", *OUT, "--model", "glm-4.5", "--resume")
    assert (done.code, done.output) == (2, "")
    assert len(done.errors.splitlines()) == 1
    assert len(simulator.requests) == 3
    assert content() == before


async def test_overwriting(service: Service) -> None:
    """An output that is there is refused with both ways out; --force overwrites it, once the input is in order."""
    simulator = await service()
    prompts(2)
    write("out.jsonl", "precious")
    done = await invoke(*RUN)
    assert (done.code, done.output) == (2, "")
    assert "'out.jsonl' exists already: --resume goes on with it, --force overwrites it" in done.errors
    write("bad.jsonl", "{")
    assert (await invoke("run", "bad.jsonl", *OUT, *MODEL, "--force")).code == 2
    assert content() == b"precious\n"
    assert simulator.requests == []
    assert (await invoke(*RUN, "--force")).code == 0
    assert set(ids()) == answered(2)


@pytest.mark.parametrize("option", ["--resume", "--force"])
async def test_an_output_in_use(service: Service, option: str) -> None:
    """An output that another run is writing is left alone, whatever is asked."""
    simulator = await service()
    prompts(2)
    assert (await invoke(*RUN, "--limit", "1")).code == 0
    before = content()
    with contextlib.closing(open_file(Path("out.jsonl"))):
        done = await invoke(*RUN, option)
    assert (done.code, done.output) == (2, "")
    assert "out.jsonl is being written by another run" in done.errors
    assert len(simulator.requests) == 1
    assert content() == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.jsonl", *OUT], "cannot read 'missing.jsonl': No such file"),
        (["empty.jsonl", *OUT], "'empty.jsonl' is empty"),
        (["bad.jsonl", *OUT], "'bad.jsonl' cannot be run:\n  line 2: no JSON"),
        (["in.jsonl", "-o", "in.jsonl", "--force"], "'in.jsonl' is the input"),
        (["in.jsonl", *OUT, "--errors", "in.jsonl", "--force"], "'in.jsonl' is the input"),
        (["in.jsonl", *OUT, "--errors", "../work/out.jsonl"], "has the answers: name another file for --errors"),
        (["in.jsonl", *OUT, "--errors", "taken.jsonl"], "'taken.jsonl' exists already: --force"),
        (["in.jsonl", "-o", "nowhere/out.jsonl"], "cannot write 'nowhere/out.jsonl'"),
        (["in.jsonl", "-o", "."], "it is a directory"),
        (["in.jsonl", "-o", "/dev/null"], "it is no regular file"),
        (["in.jsonl", *OUT, "--resume", "--force"], "give one of them"),
        (["in.jsonl", "-o", "-", "--resume"], "--resume needs a file for the answers"),
        (["in.jsonl", "-o", "-", "--json"], "--json needs a file"),
        (["in.jsonl", "-o", "-", "--via", "batch"], "--via batch needs a file"),
        (["in.jsonl", *OUT, "--via", "batch", "--max-concurrency", "3"], "--max-concurrency does not go with --via"),
        (["in.jsonl", *OUT, "--concurrency", "3", "--max-concurrency", "3"], "max_concurrency"),
        (["in.jsonl", *OUT, "--deadline", "0"], "--deadline must be a positive number"),
        (["in.jsonl", *OUT, "--template", "x"], "the template has no {name}"),
        (["in.jsonl", *OUT, "--template", "@missing"], "cannot read 'missing'"),
        (["in.jsonl", *OUT, "--template", "{no}"], "line 1: the template's 'no' is not there; there are: id, prompt"),
        (["in.jsonl", *OUT, "--id-column", "key"], "line 1: the id 'key' is not there; there are: id, prompt"),
        (["in.jsonl", *OUT, "--system", "\udcff"], "lone surrogate"),
        (["in.jsonl", *OUT, "--base-url", "nonsense"], "nonsense"),
        (["in.jsonl", *OUT, "--input-format", "xml"], "xml"),
        (["in.jsonl"], "--out"),
        (["-", *OUT], "standard input has nothing to run in it"),
    ],
)
async def test_wrong_use(service: Service, folder: Path, arguments: list[str], reason: str) -> None:
    """What cannot work is told with 2 before anything is sent; no file is written or changed."""
    simulator = await service()
    prompts(2)
    write("empty.jsonl")
    write("bad.jsonl", {"prompt": "hi"}, "{")
    write("taken.jsonl", "precious")
    before = contents(folder)
    done = await invoke("run", *arguments, *MODEL)
    assert (done.code, done.output) == (2, "")
    assert reason in " ".join(done.errors.split()) or reason in done.errors
    assert simulator.requests == []
    assert contents(folder) == before


# ---------------------------------------------------------------- batches


async def test_through_batches(service: Service, folder: Path) -> None:
    """--via batch has the same calls answered by the service's batches: the same files, the same summary."""
    simulator = await service()
    write("in.jsonl", *({"id": f"request-{place}", "prompt": UNSAFE if place == 3 else "hi"} for place in range(6)))
    done = await invoke(*RUN, "--via", "batch", "--errors", "failed.jsonl")
    assert (done.code, done.output) == (1, "out.jsonl\n")
    assert "5 of 6 answered, 1 failed" in done.errors
    assert {seen.path.rpartition("v4")[2] for seen in simulator.requests} >= {"/files", "/batches"}
    assert not [seen for seen in simulator.requests if seen.path.endswith("/chat/completions")]
    assert ids("failed.jsonl") == ["request-3"]
    again = await invoke(*RUN, "--via", "batch", "--resume", "--ordered")
    assert again.code == 1
    assert "(6 of them without asking)" in again.errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_leaves_a_batch_alone(service: Service, number: signal.Signals) -> None:
    """Ctrl-C while a batch goes on ends with 130, SIGTERM with 143; what is told then collects it, and nothing is sent
    a second time."""
    simulator = await service(Scenario(batch_seconds=3.0))
    write("in.jsonl", *({"id": f"request-{place}", "prompt": "hi"} for place in range(4)))
    async with process_of(*command(*RUN, "--via", "batch")) as process:
        await until(lambda: [seen.method for seen in simulator.requests].count("GET") >= 1)
        process.send_signal(number)
        done = await finish(process)
    assert (done.code, done.output) == (128 + number, "")
    assert "Traceback" not in done.errors
    told = way_on(done.errors)
    assert told == "run in.jsonl --out out.jsonl --model glm-4.6 --via batch --resume"
    again = await invoke(*shlex.split(told))
    assert again.code == 0
    assert sorted(map(str, filter(None, ids()))) == [f"request-{place}" for place in range(4)]
    assert [seen.path for seen in simulator.requests if seen.method == "POST"].count("/api/paas/v4/batches") == 1


# ---------------------------------------------------------------- Ctrl-C, crashes, terminals


SLOW = Scenario(pace=Pace(first_token=0.25))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody could set an event
            await asyncio.sleep(0.01)


def has_seen(simulator: Simulator, number: int) -> bool:
    """Whether so many requests have arrived."""
    return len(simulator.requests) >= number


SIGNALS = pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])


@SIGNALS
async def test_ctrl_c_finishes_what_is_under_way(service: Service, number: signal.Signals, name: str) -> None:
    """It sends nothing more, keeps every answer that was asked for, and ends with 130 or 143 and the way to go on."""
    simulator = await service(SLOW)
    prompts(200)
    async with process_of(*command(*RUN, "--concurrency", "5")) as process:
        await until(lambda: len(simulator.requests) >= 12)
        process.send_signal(number)
        done = await finish(process)
    sent = len(simulator.requests)
    assert (done.code, done.output) == (128 + number, "")
    assert re.search(rf"finishing the [1-5] calls that are under way; {name} again stops now", done.errors)
    assert sent < 30
    assert len(ids()) == sent
    assert f"{sent} of 200 answered, {200 - sent} not done" in done.errors
    assert way_on(done.errors) == "run in.jsonl --out out.jsonl --model glm-4.6 --concurrency 5 --resume"
    assert "Traceback" not in done.errors


@SIGNALS
async def test_ctrl_c_again_stops_at_once(service: Service, number: signal.Signals, name: str) -> None:
    """A second one waits for nothing: 130 or 143, the answers so far are kept, and the run can be resumed."""
    hang = Scenario(replies=[Reply("x", times=10), Reply("never", times=None, delivery=Delivery(head_after=600))])
    simulator = await service(hang)
    prompts(40)
    async with process_of(*command(*RUN, "--concurrency", "5")) as process:
        await until(lambda: len(simulator.requests) == 15 and content().count(b"\n") == 10)
        process.send_signal(number)
        assert process.stderr is not None
        await process.stderr.readuntil(f"{name} again stops now\n".encode())
        process.send_signal(number)
        done = await finish(process)
    assert (done.code, done.output) == (128 + number, "")
    assert "10 of 40 answered, 30 not done" in done.errors
    assert way_on(done.errors).startswith("run in.jsonl ")
    assert "Traceback" not in done.errors
    assert len(ids()) == 10


async def test_ctrl_c_may_be_ignored(service: Service) -> None:
    """A run that was started to ignore Ctrl-C, as in the background of a script, goes on to its end."""
    simulator = await service(SLOW)
    prompts(20)
    program = f"trap '' INT; exec {shlex.join(command(*RUN, '--concurrency', '5'))}"
    async with process_of("/bin/sh", "-c", program) as process:
        await until(lambda: len(simulator.requests) >= 6)
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    assert (done.code, done.output) == (0, "out.jsonl\n")
    assert len(ids()) == 20


async def test_killed_and_resumed(service: Service) -> None:
    """Killed and resumed, again and again, every id is answered once, and nothing is asked again that was done."""
    simulator = await service(Scenario(pace=Pace(first_token=0.03)))
    prompts(400)
    known: set[str] = set()
    kills = random.Random(7)
    for _ in range(5):
        before = len(simulator.requests)
        async with process_of(*command(*RUN, "--resume", "--concurrency", "8")) as process:
            goal = before + kills.randrange(9, 60)
            await until(functools.partial(has_seen, simulator, goal))
            process.kill()
            await process.wait()
        asked = {questions_of(seen).replace("question ", "q-") for seen in simulator.requests[before:]}
        assert not asked & known
        whole = content().rpartition(b"\n")[0].splitlines()
        known = {json.loads(line)["custom_id"] for line in whole}
    done = await run(*RUN, "--resume")
    assert done.code == 0
    assert Counter(ids()) == Counter(answered(400))
    assert all(line.ok for line in lines())
    assert len(simulator.requests) <= 400 + 5 * 8


async def test_what_a_terminal_shows(service: Service) -> None:
    """A person sees how far the run is: done, failed, rate, tokens, how many at once, how long still."""
    await service(Scenario(pace=Pace(first_token=0.1)))
    write("in.jsonl", *({"id": f"q-{place}", "prompt": UNSAFE if place == 3 else "hi"} for place in range(40)))
    async with terminal(*RUN, "--concurrency", "4") as person:
        await person.until("1 failed  ")
        assert await person.end() == 1
    for word in ("running", "/40", " calls/s", " tok/s", "4 wide", "ETA 0:0"):
        assert word in person.text
    assert "39 of 40 answered, 1 failed" in person.text
    assert person.text.rstrip().splitlines()[-1] == "out.jsonl"


async def test_ctrl_c_at_a_terminal(service: Service) -> None:
    """There too the first Ctrl-C finishes what is under way, and what is said stands on lines of its own."""
    await service(SLOW)
    prompts(100)
    async with terminal(*RUN, "--concurrency", "4") as person:
        await person.until("4 wide")
        person.interrupt()
        assert await person.end() == 130
    said = person.text[person.text.index("finishing the ") :].splitlines()
    assert said[0].endswith("Ctrl-C again stops now")
    assert any(line.startswith("to go on: zhipu-async run ") and line.endswith("--resume") for line in said)


@pytest.mark.parametrize("env", [{"FORCE_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
async def test_progress_is_for_terminals(service: Service, env: dict[str, str]) -> None:
    """A pipe sees the summary alone, whatever the colours; so does a terminal that cannot move its cursor."""
    await service()
    prompts(5)
    if "TERM" in env:
        async with terminal(*RUN, env=env) as person:
            assert await person.end() == 0
        errors = person.seen.replace("\r\n", "\n").removesuffix("out.jsonl\n")
    else:
        errors = (await run(*RUN, env=env)).errors
    assert "running" not in errors
    plain = re.sub(r"\x1b\[\d*m", "", errors)  # dimmed, where colours are forced
    # asyncio's debug mode complains of a machine that is busy with other things
    counts, tokens, times = [line for line in plain.splitlines() if not line.startswith("Executing ")]
    assert counts.startswith("5 of 5 answered; ")
    assert tokens.endswith(" completion tokens")
    assert times.startswith("seconds a call")


async def test_a_reader_that_has_seen_enough(service: Service) -> None:
    """Where standard output is closed early, the run ends without a word of Python, and does not ask on."""
    simulator = await service(Scenario(pace=Pace(first_token=0.02)))
    prompts(500)
    program = f"{shlex.join(command('run', 'in.jsonl', '-o', '-', *MODEL, '--concurrency', '2'))} | head -n 1"
    async with process_of("/bin/sh", "-c", program) as process:
        done = await finish(process)
    assert len(done.output.splitlines()) == 1
    assert "Traceback" not in done.errors
    assert len(simulator.requests) < 100


# ---------------------------------------------------------------- the summary


def outcome(seconds: float = 0.1, error: ZhipuError | None = None, **more: Any) -> Outcome[Any]:
    """An outcome of a small chat."""
    asked: Call[Any] = Completions.create.call(model="m", messages=[{"role": "user", "content": "x"}])
    value = None if error else ChatCompletion(usage=Usage(prompt_tokens=3, completion_tokens=4))
    return Outcome("x", 0, asked, value, error, seconds, 1, **more)


PROGRESS = RunProgress(10, 10, 0, 0, 0, 16, 7, 0, 2.0, 0.0, 0.0, 0.0)


def summary_of(outcomes: Sequence[Outcome[Any]], total: int | None = None) -> Summary:
    """The summary of a run with these outcomes, of 2 seconds and 7 refused requests."""
    tally = Tally(len(outcomes) if total is None else total)
    for each in outcomes:
        tally.add(each)
    return tally.summary(PROGRESS, output="out.jsonl")


@given(st.lists(st.floats(0.001, 5000), min_size=1, max_size=200))
def test_percentiles(times: list[float]) -> None:
    """The percentiles are those of the sorted times, to three digits."""
    exact = Percentiles.of(times)
    found = summary_of([outcome(seconds) for seconds in times]).latency
    for rough, fine in ((found.p50, exact.p50), (found.p90, exact.p90), (found.p99, exact.p99)):
        assert rough == pytest.approx(fine, rel=0.005)


def test_what_is_counted() -> None:
    """Tokens and times are of calls that were sent; failures are told apart by class and code, most frequent first."""
    refused = RateLimitError("busy\nnow", status=429, code="1302")
    filtered = [ContentFilterError(f"no {place}", status=400, code="1301") for place in range(3)]
    outcomes = [outcome(), outcome(0.2), outcome(9.0, replayed=True), outcome(error=refused)]
    outcomes += [outcome(error=error) for error in filtered] + [outcome(error=ConnectError("no way"))]
    summary = summary_of(outcomes, 1010)
    assert (summary.answered, summary.failed, summary.replayed, summary.done) == (3, 5, 1, 8)
    assert (summary.prompt_tokens, summary.completion_tokens) == (6, 8)
    assert (summary.latency.p50, summary.latency.p99) == (0.1, 0.2)
    assert list(summary.lines()) == [
        "3 of 1,010 answered, 5 failed, 1,002 not done (1 of them without asking); 2.0 s, 3.5 calls/s",
        "6 prompt + 8 completion tokens; 7 requests refused for load and asked again",
        "seconds a call, with waiting: p50 0.1, p90 0.2, p99 0.2",
        "3 x ContentFilterError 1301: no 0",
        "1 x RateLimitError 1302: busy now",
        "1 x ConnectError: no way",
    ]
    printed = json.loads(msgspec.json.encode(summary))
    assert printed["failures"][0] == {"type": "ContentFilterError", "code": "1301", "count": 3, "example": "no 0"}


def test_nothing_was_sent() -> None:
    """A run of nothing but earlier outcomes has no times and no rate."""
    assert list(summary_of([outcome(replayed=True)]).lines()) == [
        "1 of 1 answered (1 of them without asking); 2.0 s, 0.0 calls/s",
        "0 prompt + 0 completion tokens; 7 requests refused for load and asked again",
    ]


def test_a_tally_does_not_grow() -> None:
    """A hundred thousand outcomes with times and codes of all kinds leave a few thousand numbers behind."""
    tally = Tally(100_000)
    times = random.Random(1)
    for place in range(100_000):
        error = ContentFilterError("x" * 1000, status=400, code=str(place)) if place % 2 else None
        tally.add(outcome(times.uniform(0.01, 100), error))
    summary = tally.summary(PROGRESS, output=None)
    assert len(summary.failures) <= 101
    assert sum(kind.count for kind in summary.failures) == 50_000
    assert sum(len(kind.example) for kind in summary.failures) < 40_000
    kept = vars(tally)["_times"]
    assert 1000 < len(kept) < 4 * 900
