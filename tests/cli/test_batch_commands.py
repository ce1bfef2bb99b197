"""``batch``: files of calls are checked, run, waited for and fetched."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from zhipu_async.simulator import Refusal, Scenario
from zhipu_async.simulator.scenario import Case

from .batch_files import CHAT, EMBEDDINGS, call, without, write
from .conftest import Service
from .invoking import ask_often, invoke, names, paths
from .running import run, terminal

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and batches that are asked after often."""
    ask_often(monkeypatch)
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def answers(path: str) -> list[str]:
    """The custom ids of a file of answers, sorted."""
    return sorted(json.loads(line)["custom_id"] for line in Path(path).read_text(encoding="utf-8").splitlines())


# ---------------------------------------------------------------- run


async def test_a_batch_is_run(service: Service, folder: Path) -> None:
    """The answers are in the file that is printed; standard error has the id early, with the command that resumes."""
    simulator = await service()
    write("in.jsonl", *(call(f"request-{place}") for place in range(5)))
    done = await invoke("batch", "run", "in.jsonl", "--out", "out.jsonl")
    assert (done.code, done.output) == (0, "out.jsonl\n")
    assert answers("out.jsonl") == [f"request-{place}" for place in range(5)]
    identity = done.errors.split()[1]
    assert done.errors == (
        f"batch {identity} of 5 calls; to come back to it: "
        f"zhipu-async batch results {identity} --wait --out out.jsonl\n"
    )
    asked = paths(simulator)
    assert asked[:2] == ["POST /files", "POST /batches"]
    assert simulator.requests[1].get("endpoint") == CHAT
    assert names(folder) == ["in.jsonl", "out.jsonl"]


async def test_calls_that_fail(service: Service, folder: Path) -> None:
    """Failed calls are in a file beside the answers, and are counted; the command is done all the same."""
    await service()
    write("in.jsonl", call("good-1"), call("bad-1", "[unsafe prompt]"), call("good-2"))
    done = await invoke("batch", "run", "in.jsonl")
    assert (done.code, done.output) == (0, "in.results.jsonl\n")
    assert answers("in.results.jsonl") == ["good-1", "good-2"]
    assert answers("in.results.errors.jsonl") == ["bad-1"]
    assert done.errors.endswith("1 of 3 calls failed: in.results.errors.jsonl\n")
    assert names(folder) == ["in.jsonl", "in.results.errors.jsonl", "in.results.jsonl"]


async def test_no_call_is_answered(service: Service, folder: Path) -> None:
    """A batch whose calls all failed ends with 1, and the reasons are in the file of errors."""
    await service()
    write("in.jsonl", call("bad-1", "[unsafe prompt]"))
    done = await invoke("batch", "run", "in.jsonl")
    assert (done.code, done.output) == (1, "")
    assert "no call of it was answered" in done.errors
    assert answers("in.results.errors.jsonl") == ["bad-1"]
    assert names(folder) == ["in.jsonl", "in.results.errors.jsonl"]


async def test_only_begun(service: Service, folder: Path) -> None:
    """--no-wait prints the id alone, which the other commands take."""
    simulator = await service()
    write("calls.txt", call())
    done = await invoke("batch", "run", "calls.txt", "--no-wait")
    assert (done.code, done.errors) == (0, "")
    identity = done.output.strip()
    assert simulator.requests[0].uploads[0].filename == "calls.txt.jsonl"  # the service wants this ending
    fetched = await invoke("batch", "results", identity, "--wait")
    assert (fetched.code, fetched.errors) == (0, "")
    assert json.loads(fetched.output)["custom_id"] == "request-1"
    assert names(folder) == ["calls.txt"]


@pytest.mark.parametrize(("option", "kept"), [([], None), (["--keep-input"], False)])
async def test_the_input_stays_when_it_is_to(service: Service, option: list[str], kept: bool | None) -> None:
    """--keep-input asks the service not to delete the uploaded file; nothing is said of it otherwise."""
    simulator = await service()
    write("in.jsonl", call())
    assert (await invoke("batch", "run", "in.jsonl", "--no-wait", *option)).code == 0
    assert simulator.requests[1].get("auto_delete_input_file") is kept


@pytest.mark.parametrize("endpoint", [[], ["--endpoint", EMBEDDINGS]])
async def test_another_endpoint(service: Service, endpoint: list[str]) -> None:
    """The endpoint is that of the lines."""
    simulator = await service()
    write("in.jsonl", call(url=EMBEDDINGS, body={"model": "embedding-3", "input": "hi"}))
    assert (await invoke("batch", "run", "in.jsonl", *endpoint)).code == 0
    assert simulator.requests[1].get("endpoint") == EMBEDDINGS


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.jsonl"], "cannot read 'missing.jsonl': No such file"),
        (["folder"], "cannot read 'folder': it is a directory"),
        (["."], "directory"),
        (["empty.jsonl"], "'empty.jsonl' is empty"),
        (["bad.jsonl"], "line 2: custom_id is missing"),
        (["in.jsonl", "--out", "in.jsonl", "--force"], "'in.jsonl' is the input"),
        (["in.jsonl", "--out", "../work/in.jsonl", "--force"], "is the input"),
        (["x.errors.jsonl", "--out", "x.jsonl", "--force"], "'x.errors.jsonl' is the input"),
        (["in.jsonl", "--out", "taken.jsonl"], "'taken.jsonl' exists already: --force"),
        (["in.jsonl", "--out", "other.jsonl"], "'other.errors.jsonl' exists already: --force"),
        (["in.jsonl", "--out", "folder"], "it is a directory"),
        (["in.jsonl", "--out", "."], "it is a directory"),
        (["in.jsonl", "--out", "nowhere/out.jsonl"], "cannot write 'nowhere/out.jsonl'"),
        (["in.jsonl", "--timeout", "0"], "--timeout must be a positive number"),
        (["in.jsonl", "--endpoint", "chat"], "--endpoint is like /v4/chat/completions"),
        (["in.jsonl", "--endpoint", EMBEDDINGS], f'--endpoint is "{EMBEDDINGS}": a batch has one url'),
    ],
)
async def test_wrong_use(service: Service, folder: Path, arguments: list[str], reason: str) -> None:
    """What cannot work is told with 2 before anything is uploaded; nothing is written."""
    simulator = await service()
    write("in.jsonl", call())
    write("bad.jsonl", call(), without("custom_id"))
    write("empty.jsonl")
    for name in ("taken.jsonl", "other.errors.jsonl", "x.errors.jsonl"):
        write(name, call())
    (folder / "folder").mkdir()
    before = contents(folder)
    done = await invoke("batch", "run", *arguments)
    assert (done.code, done.output) == (2, "")
    assert reason in done.errors
    assert simulator.requests == []
    assert contents(folder) == before


async def test_an_endpoint_that_the_service_does_not_have(service: Service) -> None:
    """The service refuses what only it can know, with 1."""
    await service()
    write("in.jsonl", call(url="/v1/chat/completions"))
    done = await invoke("batch", "run", "in.jsonl")
    assert (done.code, done.output) == (1, "")
    assert "1210" in done.errors


async def test_a_batch_that_fails(service: Service, folder: Path) -> None:
    """A batch that the service gives up ends with 1 and what the service says of it; no file appears."""
    await service(Scenario(batch_end="failed"))
    write("in.jsonl", call())
    done = await invoke("batch", "run", "in.jsonl")
    assert (done.code, done.output) == (1, "")
    assert "The batch could not be processed" in done.errors
    assert "goes on" not in done.errors
    assert names(folder) == ["in.jsonl"]


async def test_a_batch_that_expires(service: Service) -> None:
    """What an expired batch has is saved, and the command ends with 1."""
    await service(Scenario(batch_end="expired"))
    write("in.jsonl", *(call(f"request-{place}") for place in range(16)))
    done = await invoke("batch", "run", "in.jsonl", "--out", "out.jsonl")
    assert (done.code, done.output) == (1, "out.jsonl\n")
    assert len(answers("out.jsonl")) == 8
    assert "expired" in done.errors


async def test_a_batch_is_waited_for_again(service: Service, folder: Path) -> None:
    """When the time is up, the message is the command that fetches the answers later, without a second batch."""
    simulator = await service(Scenario(batch_seconds=1.0))
    write("in.jsonl", call())
    write("out.jsonl", call())
    done = await invoke("batch", "run", "in.jsonl", "--out", "out.jsonl", "--timeout", "0.2", "--force")
    assert (done.code, done.output) == (1, "")
    resume = done.errors.splitlines()[-1]
    assert resume.startswith("the batch goes on; to fetch its answers: ")
    program, *arguments = shlex.split(resume.partition(": ")[2])
    assert program == "zhipu-async"
    again = await invoke(*arguments)
    assert (again.code, again.output, again.errors) == (0, "out.jsonl\n", "")
    assert answers("out.jsonl") == ["request-1"]
    assert paths(simulator).count("POST /batches") == 1
    assert names(folder) == ["in.jsonl", "out.jsonl"]


async def test_answers_that_cannot_be_fetched(service: Service, folder: Path) -> None:
    """When the download fails, the message says how to fetch the answers later."""
    refusal = Case(lambda seen: seen.path.endswith("/content"), [Refusal("1220")])
    await service(Scenario(cases=[refusal]))
    write("in.jsonl", call())
    done = await invoke("batch", "run", "in.jsonl", "--out", "out.jsonl")
    assert (done.code, done.output) == (1, "")
    assert "the answers stay with the service; to fetch them: zhipu-async batch results batch_" in done.errors
    assert names(folder) == ["in.jsonl"]


@pytest.mark.parametrize(
    "arguments", [["run", "in.jsonl", "--out", "out.jsonl"], ["results", "{id}", "--wait"]], ids=str
)
async def test_ctrl_c_while_a_batch_goes_on(service: Service, folder: Path, arguments: list[str]) -> None:
    """A person sees status and counts; Ctrl-C ends with 130 and says how to fetch the answers; no file is left."""
    await service(Scenario(batch_seconds=600))
    write("in.jsonl", call())
    identity = (await invoke("batch", "run", "in.jsonl", "--no-wait")).output.strip()
    async with terminal("batch", *(word.replace("{id}", identity) for word in arguments)) as person:
        await person.until("validating" if arguments[0] == "run" else "waiting")
        await person.until("0:00:01")
        person.interrupt()
        assert await person.end() == 130
    assert "the batch goes on; to fetch its answers: zhipu-async batch results batch_" in person.text
    assert "Traceback" not in person.text
    assert names(folder) == ["in.jsonl"]


async def test_no_progress_in_a_pipe(service: Service) -> None:
    """A pipe gets one line on standard error, also where colours are forced."""
    await service()
    write("in.jsonl", call())
    done = await run("batch", "run", "in.jsonl", env={"FORCE_COLOR": "1"})
    assert (done.code, done.output) == (0, "in.results.jsonl\n")
    assert done.errors.count("\n") == 1


# ---------------------------------------------------------------- status, list, cancel, results


async def begun(number: int = 1) -> list[str]:
    """The ids of batches that were begun."""
    write("begun.jsonl", call())
    return [(await invoke("batch", "run", "begun.jsonl", "--no-wait")).output.strip() for _ in range(number)]


async def test_how_a_batch_stands(service: Service) -> None:
    """status prints a line for each thing that is known, or the service's own object."""
    await service()
    (identity,) = await begun()
    assert (await invoke("batch", "results", identity, "--wait")).code == 0
    done = await invoke("batch", "status", identity)
    told = dict(line.split(maxsplit=1) for line in done.output.splitlines())
    assert told.keys() == {"id", "status", "calls", "endpoint", "created", "input", "output"}
    assert (told["id"], told["status"], told["calls"], told["endpoint"]) == (identity, "completed", "1/1", CHAT)
    whole = json.loads((await invoke("batch", "status", identity, "--json")).output)
    assert (whole["id"], whole["request_counts"]["completed"]) == (identity, 1)


async def test_what_is_wrong_with_a_batch(service: Service) -> None:
    """status names the faults that the service found, by line."""
    await service(Scenario(batch_end="failed", batch_seconds=0))
    (identity,) = await begun()
    assert (await invoke("batch", "results", identity, "--wait")).code == 1
    done = await invoke("batch", "status", identity)
    assert done.code == 0
    assert "fault     The batch could not be processed" in done.output


async def test_no_batches(service: Service) -> None:
    """A list of nothing is a heading, and as JSON an empty list."""
    await service()
    assert (await invoke("batch", "list")).output.split() == ["id", "status", "calls", "created", "endpoint"]
    assert json.loads((await invoke("batch", "list", "--json")).output)["data"] == []


async def test_batches_are_listed(service: Service) -> None:
    """The newest are first, each in a line; --limit counts them, over several pages."""
    await service()
    ids = (await begun(23))[::-1]
    done = await invoke("batch", "list")
    heading, *lines = done.output.splitlines()
    assert heading.split() == ["id", "status", "calls", "created", "endpoint"]
    assert [line.split()[0] for line in lines] == ids[:20]
    assert {line.split()[-1] for line in lines} == {CHAT}
    whole = json.loads((await invoke("batch", "list", "--limit", "22", "--json")).output)
    assert [batch["id"] for batch in whole["data"]] == ids[:22]


async def test_a_batch_is_cancelled(service: Service) -> None:
    """cancel says that it is being cancelled; its results are then those it has, or none."""
    await service(Scenario(batch_seconds=0.4))
    (identity,) = await begun()
    done = await invoke("batch", "cancel", identity)
    assert done.code == 0
    assert "status    cancelling" in done.output
    results = await invoke("batch", "results", identity, "--wait")
    assert (results.code, results.output) == (1, "")
    assert "cancelled" in results.errors
    again = await invoke("batch", "cancel", identity)
    assert again.code == 1
    assert "1214" in again.errors


async def test_results_under_a_name(service: Service, folder: Path) -> None:
    """results --out saves answers and errors beside each other; without --out the answers are standard output."""
    await service()
    write("in.jsonl", call("good-1"), call("bad-1", "[unsafe prompt]"))
    identity = (await invoke("batch", "run", "in.jsonl", "--no-wait")).output.strip()
    done = await invoke("batch", "results", identity, "--wait", "--out", "out.jsonl")
    assert (done.code, done.output) == (0, "out.jsonl\n")
    assert (answers("out.jsonl"), answers("out.errors.jsonl")) == (["good-1"], ["bad-1"])
    plain = await invoke("batch", "results", identity)
    assert (plain.code, plain.raw) == (0, (folder / "out.jsonl").read_bytes())
    program, *arguments = shlex.split(plain.errors.partition(": ")[2])
    assert program == "zhipu-async"
    assert (await invoke(*arguments)).raw == (folder / "out.errors.jsonl").read_bytes()
    assert (await invoke("batch", "results", identity, "--out", "out.jsonl")).code == 2
    assert names(folder) == ["in.jsonl", "out.errors.jsonl", "out.jsonl"]


async def test_results_that_are_not_there_yet(service: Service) -> None:
    """A batch that goes on has no results: 1, and how to wait for it."""
    await service(Scenario(batch_seconds=600))
    (identity,) = await begun()
    done = await invoke("batch", "results", identity)
    assert (done.code, done.output) == (1, "")
    assert "the batch is validating" in done.errors
    assert "--wait" in done.errors


@pytest.mark.parametrize("arguments", [["status"], ["cancel"], ["results"], ["results", "--wait"]], ids=" ".join)
async def test_an_unknown_batch(service: Service, arguments: list[str]) -> None:
    """An id that the service does not know ends with 1."""
    await service()
    done = await invoke("batch", *arguments, "batch_unknown")
    assert (done.code, done.output) == (1, "")
    assert "batch_unknown" in done.errors
    assert "goes on" not in done.errors
