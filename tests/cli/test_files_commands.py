"""``files``: upload, list, get and delete."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from zhipu_async.simulator import Delivery, Pace, Raw, Refusal, Scenario, Simulator
from zhipu_async.simulator.scenario import Case

from .conftest import Service
from .invoking import Invoked, invoke, names, paths
from .running import command, finish, process_of, terminal

pytestmark = pytest.mark.heavy

LINE = b'{"custom_id":"request-1","method":"POST","url":"/v4/chat/completions","body":{"model":"glm-4.6"}}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: a file of calls, an empty one, and a folder."""
    place = tmp_path / "work"
    place.mkdir()
    (place / "calls.jsonl").write_bytes(LINE)
    (place / "more.jsonl").write_bytes(LINE * 2)
    (place / "empty.jsonl").write_bytes(b"")
    (place / "folder").mkdir()
    os.mkfifo(place / "pipe")
    monkeypatch.chdir(place)
    return place


async def uploaded(*files: str) -> list[str]:
    """The ids of files that were uploaded for batches."""
    done = await invoke("files", "upload", *files, "--purpose", "batch")
    assert done.code == 0, done.errors
    return [line.split()[0] for line in done.output.splitlines()]


def refused(done: Invoked, code: int, reason: str) -> None:
    """The command failed with this exit code and reason, and printed nothing."""
    assert (done.code, done.output) == (code, "")
    assert reason in done.errors


# ---------------------------------------------------------------- upload


async def test_files_are_uploaded(service: Service) -> None:
    """Every file becomes a line with its id and name, in the order given."""
    simulator = await service()
    done = await invoke("files", "upload", "calls.jsonl", "more.jsonl", "--purpose", "batch")
    assert (done.code, done.errors) == (0, "")
    assert [line.split()[1] for line in done.output.splitlines()] == ["calls.jsonl", "more.jsonl"]
    assert [seen.uploads[0].size for seen in simulator.requests] == [len(LINE), 2 * len(LINE)]
    assert {seen.get("purpose") for seen in simulator.requests} == {"batch"}


async def test_uploads_as_json(service: Service) -> None:
    """--json gives the service's object of each file, a line each."""
    await service()
    done = await invoke("files", "upload", "calls.jsonl", "more.jsonl", "--purpose", "batch", "--json")
    told = [json.loads(line) for line in done.output.splitlines()]
    assert [(each["filename"], each["bytes"], each["purpose"]) for each in told] == [
        ("calls.jsonl", len(LINE), "batch"),
        ("more.jsonl", 2 * len(LINE), "batch"),
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["upload", "missing.jsonl", "--purpose", "batch"], "cannot read 'missing.jsonl': No such file"),
        (["upload", "calls.jsonl", "missing.jsonl", "--purpose", "batch"], "cannot read 'missing.jsonl'"),
        (["upload", "folder", "--purpose", "batch"], "cannot read 'folder': it is a directory"),
        (["upload", "empty.jsonl", "--purpose", "batch"], "'empty.jsonl' is empty"),
        (["upload", "pipe", "--purpose", "batch"], "it is no regular file"),
        (["upload", "calls.jsonl"], "--purpose"),
        (["upload", "--purpose", "batch"], "FILE"),
        (["list"], "--purpose"),
        (["list", "--purpose", "batch", "--limit", "0"], "--limit"),
        (["get"], "ID"),
        (["get", "some-id", "--out", "calls.jsonl"], "exists already: --force"),
        (["get", "some-id", "--out", "folder"], "it is a directory"),
        (["get", "some-id", "--out", "nowhere/a"], "cannot write 'nowhere/a'"),
        (["get", "..", "--out", "a"], ".."),
        (["delete"], "ID"),
    ],
)
async def test_wrong_use(service: Service, folder: Path, arguments: list[str], reason: str) -> None:
    """What cannot work is told with 2 before anything is sent, and nothing is left."""
    simulator = await service()
    refused(await invoke("files", *arguments), 2, reason)
    assert simulator.requests == []
    assert names(folder) == ["calls.jsonl", "empty.jsonl", "folder", "more.jsonl", "pipe"]


@pytest.mark.parametrize("arguments", [["upload", "calls.jsonl"], ["list"]], ids=lambda words: words[0])
async def test_a_wrong_purpose(service: Service, arguments: list[str]) -> None:
    """A purpose that the service does not know is refused by it."""
    await service()
    refused(await invoke("files", *arguments, "--purpose", "pleasure"), 1, "1214")


async def test_an_upload_that_is_refused(service: Service) -> None:
    """The ids of the files before it are printed; the one that failed is named, and those after it are not sent."""
    refusal = Case(lambda seen: seen.uploads[0].filename == "more.jsonl", [Refusal("1214")])
    simulator = await service(Scenario(cases=[refusal]))
    done = await invoke("files", "upload", "calls.jsonl", "more.jsonl", "calls.jsonl", "--purpose", "batch")
    assert done.code == 1
    assert len(done.output.splitlines()) == 1
    assert "while uploading 'more.jsonl'" in done.errors
    assert paths(simulator) == ["POST /files"] * 2


async def test_ctrl_c_in_an_upload(service: Service, folder: Path) -> None:
    """A terminal sees how much has travelled; Ctrl-C ends the upload at once, with 130."""
    (folder / "large.jsonl").write_bytes(b"x" * 30_000_000)
    await service(Scenario(pace=Pace(per_upload_block=0.2)))
    async with terminal("files", "upload", "large.jsonl", "--purpose", "batch") as person:
        await person.until("large.jsonl")
        await person.until("MB")
        person.interrupt()
        assert await person.end() == 130
    assert "Traceback" not in person.text


# ---------------------------------------------------------------- list


async def test_files_are_listed(service: Service) -> None:
    """The table has a line for each file of the purpose, whole also where it is wide; other purposes are not in it."""
    await service()
    ids = await uploaded("calls.jsonl", "more.jsonl")
    assert (await invoke("files", "upload", "calls.jsonl", "--purpose", "agent")).code == 0
    done = await invoke("files", "list", "--purpose", "batch")
    heading, *lines = done.output.splitlines()
    assert heading.split() == ["id", "bytes", "created", "name"]
    assert [(line.split()[0], line.split()[1], line.split()[-1]) for line in lines] == [
        (ids[1], str(2 * len(LINE)), "more.jsonl"),
        (ids[0], str(len(LINE)), "calls.jsonl"),
    ]


@pytest.mark.parametrize(("limit", "number"), [([], 25), (["--limit", "3"], 3), (["--limit", "23"], 23)])
async def test_a_list_of_several_pages(service: Service, limit: list[str], number: int) -> None:
    """All pages are listed, or as many files as were wanted, each once."""
    await service()
    await uploaded(*["calls.jsonl"] * 25)
    done = await invoke("files", "list", "--purpose", "batch", "--json", *limit)
    data = json.loads(done.output)["data"]
    assert len({file["id"] for file in data}) == len(data) == number


async def test_no_files(service: Service) -> None:
    """A list of nothing is a heading, and as JSON an empty list."""
    await service()
    assert (await invoke("files", "list", "--purpose", "batch")).output.split() == ["id", "bytes", "created", "name"]
    done = await invoke("files", "list", "--purpose", "batch", "--json")
    assert json.loads(done.output)["data"] == []


# ---------------------------------------------------------------- get


async def test_a_file_is_fetched(service: Service, folder: Path) -> None:
    """The content goes to standard output byte by byte, or under a name."""
    await service()
    (identity,) = await uploaded("more.jsonl")
    assert (await invoke("files", "get", identity)).raw == LINE * 2
    done = await invoke("files", "get", identity, "--out", "copy")
    assert (done.code, done.output) == (0, "copy\n")
    assert (folder / "copy").read_bytes() == LINE * 2
    assert (await invoke("files", "get", identity, "--out", "calls.jsonl", "--force")).code == 0
    assert (folder / "calls.jsonl").read_bytes() == LINE * 2


@pytest.mark.parametrize("out", [[], ["--out", "copy"]])
async def test_files_that_cannot_be_had(service: Service, folder: Path, out: list[str]) -> None:
    """An unknown id, and a file that is for no batch, end with 1; no file appears."""
    await service()
    done = await invoke("files", "upload", "calls.jsonl", "--purpose", "agent")
    refused(await invoke("files", "get", done.output.split()[0], *out), 1, "1214")
    refused(await invoke("files", "get", "file-unknown", *out), 1, "file-unknown")
    assert "copy" not in names(folder)


async def test_a_download_that_breaks_off(service: Service, folder: Path) -> None:
    """A file that does not arrive whole does not appear, and an old one under its name stays."""
    broken = Raw(LINE * 1000, delivery=Delivery(stops_at=5000), times=None, content_type="application/octet-stream")
    await service(Scenario(replies=[broken]))
    done = await invoke("files", "get", "any", "--out", "calls.jsonl", "--force")
    assert (done.code, done.output) == (1, "")
    assert (folder / "calls.jsonl").read_bytes() == LINE
    assert names(folder) == ["calls.jsonl", "empty.jsonl", "folder", "more.jsonl", "pipe"]


async def test_a_reader_that_has_seen_enough(service: Service, folder: Path) -> None:
    """Where the pipe is closed early, the command ends without a word."""
    (folder / "large.jsonl").write_bytes(LINE * 100_000)
    await service()
    (identity,) = await uploaded("large.jsonl")
    program = f"{shlex.join(command('files', 'get', identity))} | head -n 1"
    async with process_of("/bin/sh", "-c", program) as process:
        done = await finish(process)
    assert (done.output.encode(), done.errors) == (LINE, "")


# ---------------------------------------------------------------- delete


async def remaining(simulator: Simulator) -> list[str]:
    """The ids of the files for batches that the service has."""
    done = await invoke("files", "list", "--purpose", "batch", "--json")
    assert simulator.requests[-1].method == "GET"
    return [file["id"] for file in json.loads(done.output)["data"]]


async def test_files_are_deleted(service: Service) -> None:
    """The ids of deleted files are printed, and the files are gone; others stay."""
    simulator = await service()
    one, two, three = await uploaded(*["calls.jsonl"] * 3)
    done = await invoke("files", "delete", one, three)
    assert (done.code, done.output, done.errors) == (0, f"{one}\n{three}\n", "")
    assert await remaining(simulator) == [two]


async def test_an_unknown_file_does_not_keep_the_others(service: Service) -> None:
    """The files after an unknown one are deleted all the same; the command ends with 1."""
    simulator = await service()
    one, two = await uploaded(*["calls.jsonl"] * 2)
    done = await invoke("files", "delete", one, "file-unknown", two)
    assert (done.code, done.output) == (1, f"{one}\n{two}\n")
    assert "file-unknown" in done.errors
    assert await remaining(simulator) == []


async def test_a_refused_key_ends_the_deleting(service: Service) -> None:
    """What concerns all files is told once."""
    simulator = await service(Scenario(replies=[Refusal("1000", times=None)]))
    done = await invoke("files", "delete", "one", "two")
    assert done.code == 1
    assert done.errors.count("error:") == 1
    assert len(simulator.requests) == 1
