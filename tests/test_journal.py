"""The journal: what is in it is never lost, never asked twice, and readable by anything that reads JSON."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhipu_async import AsyncZhipuAI, errors
from zhipu_async.downloads import Binary
from zhipu_async.errors import ClientClosedError, ConfigError, ConnectionLost, DecodeError, JournalError, ZhipuError
from zhipu_async.items import Item
from zhipu_async.journal import (
    Journal,
    file,
    outcome_of,
    read_journal,
    record_of,
    rewrite_in_order,
)
from zhipu_async.outcomes import Outcome
from zhipu_async.protocol.endpoint import Call, Endpoint
from zhipu_async.protocol.jsonl import (
    BatchNote,
    Begun,
    Record,
    RecordError,
    RecordResponse,
    encode_line,
    request_hash,
    run_id,
)
from zhipu_async.protocol.recorded import told_of
from zhipu_async.telemetry import Timing
from zhipu_async.types.base import Request
from zhipu_async.types.chat import ChatCompletion, ChatMessage, Choice
from zhipu_async.types.tasks import VideoTask

heavy = pytest.mark.heavy
AT = "2026-11-21T09:00:00Z"


def hash_of(identity: str) -> str:
    """The hash of the one request that an id has in these tests."""
    return request_hash("POST /chat/completions", identity.encode())


RUN = run_id("q-0", hash_of("q-0"))


def record(identity: str, text: str = "hello", error: RecordError | None = None) -> Record:
    """A finished call."""
    body = msgspec.json.encode({"choices": [{"message": {"role": "assistant", "content": text}}]})
    response = RecordResponse(200, msgspec.Raw(body)) if error is None else None
    return Record(identity, response, error, hash_of(identity), RUN, 0.5, 1, AT)


AGAIN = RecordError(type="RateLimitError", message="slow", code="1302", status=429, again=True)
FINAL = RecordError(type="BadRequestError", message="no", code="1210", status=400)


def content(found: Record | None) -> str:
    """The text of the answer in a record."""
    assert found is not None
    assert found.response is not None
    text: str = msgspec.json.decode(found.response.body)["choices"][0]["message"]["content"]
    return text


def read(path: Path) -> list[dict[str, Any]]:
    """Every line of a file, by the standard library alone."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


async def write(path: Path, *lines: Record | Begun | BatchNote) -> Path:
    """A journal with these lines."""
    async with Journal(path) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        for line in lines:
            journal._append(line)
    return path


# ---------------------------------------------------------------- writing and recalling


async def test_what_is_written_is_recalled(tmp_path: Path) -> None:
    """A resumed run gets back each finished call, and nothing of what is not there."""
    path = await write(tmp_path / "a.jsonl", record("q-0", "zero"), record("q-1", error=FINAL), record("q-2", "two"))
    before = path.read_bytes()
    async with Journal(path, resume=True) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        assert journal.lines == 3
        assert content(journal.recall("q-0", hash_of("q-0"))) == "zero"
        assert content(journal.recall("q-2", hash_of("q-2"))) == "two"
        failed = journal.recall("q-1", hash_of("q-1"))
        assert failed is not None
        assert failed.error == FINAL
        assert journal.recall("q-3", hash_of("q-3")) is None
        assert journal.run == RUN
    assert path.read_bytes() == before


async def test_a_line_is_the_systems_at_once(tmp_path: Path) -> None:
    """Another reader sees a line as soon as it is recorded."""
    path = tmp_path / "a.jsonl"
    async with Journal(path) as journal:
        for number in range(5):
            journal.record(record(f"q-{number}"))
            assert [line["custom_id"] for line in read(path)] == [f"q-{each}" for each in range(number + 1)]
            assert content(journal.recall(f"q-{number}", hash_of(f"q-{number}"))) == "hello"


async def test_the_last_line_of_an_id_counts(tmp_path: Path) -> None:
    """What failed in a way that may pass is sent again, until there is another line."""
    path = await write(tmp_path / "a.jsonl", record("q-0"), record("q-1", error=AGAIN), record("q-2", error=AGAIN))
    async with Journal(path, resume=True) as journal:
        assert journal.recall("q-1", hash_of("q-1")) is None
        journal.record(record("q-1", "at last"))
        assert content(journal.recall("q-1", hash_of("q-1"))) == "at last"
    async with Journal(path, resume=True) as journal:
        assert content(journal.recall("q-1", hash_of("q-1"))) == "at last"
        assert journal.recall("q-2", hash_of("q-2")) is None
        assert journal.lines == 4


async def test_a_call_that_creates_is_not_sent_twice(tmp_path: Path) -> None:
    """One that had begun and has no end is an error that says so; one that ended is what it ended with."""
    path = tmp_path / "a.jsonl"
    async with Journal(path) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        for number in range(3):
            journal.begin(f"q-{number}", hash_of(f"q-{number}"))
        journal.record(record("q-1"))
        journal.record(record("q-2", error=AGAIN))
    assert read(path)[0] == {"custom_id": "q-0", "begun": True, "hash": hash_of("q-0"), "run": RUN}
    async with Journal(path, resume=True) as journal:
        lost = journal.recall("q-0", hash_of("q-0"))
        assert lost is not None
        assert lost.error is not None
        assert not lost.error.again
        error = outcome_of(lost, Item(0, "q-0", VIDEO), "q-0").error
        assert isinstance(error, ConnectionLost)
        assert error.arrived
        assert str(error) == "under way when an earlier run ended; it may have been carried out"
        assert content(journal.recall("q-1", hash_of("q-1"))) == "hello"
        assert journal.recall("q-2", hash_of("q-2")) is None
    assert [type(entry.error).__name__ for entry in read_journal(path)] == [
        "ConnectionLost", "NoneType", "RateLimitError",
    ]  # fmt: skip


async def test_notes_on_batches(tmp_path: Path) -> None:
    """The latest note on each batch is there after a crash, and belongs to its run."""
    path = tmp_path / "a.jsonl"
    async with Journal(path) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        note = BatchNote(None, 1, 1, 500)
        journal.note_batch(note)
        note.id, note.file, note.state = "b1", "f1", "created"
        journal.note_batch(note)
        journal.note_batch(BatchNote(None, 2, 1, 20))
        assert note.run == ""
    async with Journal(path, resume=True) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        assert journal.batches() == [
            BatchNote("b1", 1, 1, 500, "f1", "created", RUN), BatchNote(None, 2, 1, 20, run=RUN),
        ]  # fmt: skip


# ---------------------------------------------------------------- refusals


async def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    """A file that is not empty is taken to resume only; one that is empty, or is not there, either way."""
    path = await write(tmp_path / "a.jsonl", record("q-0"))
    with pytest.raises(ConfigError, match=r"is not empty: go on with it by resume=True, or give another path"):
        await write(path, record("q-1"))
    assert len(read(path)) == 1
    (tmp_path / "empty.jsonl").touch()
    await write(tmp_path / "empty.jsonl", record("q-0"))
    async with Journal(tmp_path / "new.jsonl", resume=True) as journal:
        journal.record(record("q-0"))
    assert len(read(tmp_path / "new.jsonl")) == 1


@pytest.mark.parametrize(
    "text",
    [b"hello\nworld\n", b"hello", b'{"prompt":"a"}\n{"prompt":"b"}\n', b'{"prompt":"a"}', b'{"prompt":"a',
     b'{"custom_id":"q-0","method":"POST","url":"/v4/chat/completions","body":{}}\n', b"a,b\n1,2\n3",
     b'{"custom_id":"q-0","response":{"status_code":200,"body":{}}}', b"\x00" * 100, b"\x89PNG\r\n\x1a\n\x00\x01",
     b'hello\n{"custom_id":"q'],
)  # fmt: skip
async def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path, text: bytes) -> None:
    """Prompts, a batch's own files and whatever else are refused before one byte is changed."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="is no journal of a run"):
        await Journal(path, resume=True).__aenter__()
    assert path.read_bytes() == text


async def test_another_run_is_refused(tmp_path: Path) -> None:
    """A journal of other calls, or of other requests under the same ids, is refused, and told how to go on."""
    path = await write(tmp_path / "a.jsonl", record("q-0"), record("q-1"))
    before = path.read_bytes()
    async with Journal(path, resume=True) as journal:
        with pytest.raises(ConfigError, match=r"is the journal of another run.*or another path"):
            journal.begin_run("p-0", hash_of("p-0"))
        with pytest.raises(ConfigError, match=r"holds 'q-1' as the id of another request.*or another path"):
            journal.begin_run("q-1", hash_of("changed"))
        with pytest.raises(ConfigError, match="holds 'q-0' as the id of another request"):
            journal.recall("q-0", hash_of("changed"))
        with pytest.raises(ConfigError, match="not Unicode"):
            journal.recall("q-\ud83d", hash_of("q-0"))
    assert path.read_bytes() == before


async def test_the_same_run_in_another_order(tmp_path: Path) -> None:
    """An input that begins with a call that is finished is the same run, and its lines say so."""
    path = await write(tmp_path / "a.jsonl", record("q-0"), record("q-1"))
    async with Journal(path, resume=True) as journal:
        journal.begin_run("q-1", hash_of("q-1"))
        assert journal.run == RUN


async def test_a_run_that_died_before_its_first_call_ended(tmp_path: Path) -> None:
    """The journal knows its run by any of its lines, a note on a batch too."""
    for name, line in (("a", record("q-7")), ("b", BatchNote(None, 1, 1, 3))):
        path = await write(
            tmp_path / name, line if isinstance(line, Record) else msgspec.structs.replace(line, run=RUN)
        )
        async with Journal(path, resume=True) as journal:
            with pytest.raises(ConfigError, match="another run"):
                journal.begin_run("p-0", hash_of("p-0"))
            journal.begin_run("q-0", hash_of("q-0"))
            assert journal.run == RUN


async def test_one_run_in_one_journal(tmp_path: Path) -> None:
    """A second run of other calls is refused, also before the first has written anything."""
    async with Journal(tmp_path / "a.jsonl") as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        journal.begin_run("q-0", hash_of("q-0"))
        with pytest.raises(ConfigError, match="another run"):
            journal.begin_run("p-0", hash_of("p-0"))


async def test_a_run_whose_requests_could_not_be_written(tmp_path: Path) -> None:
    """A file that holds nothing but calls without a hash is the journal of its run all the same."""
    error = RecordError(type="ConfigError", message="no JSON")
    path = await write(tmp_path / "a.jsonl", Record("q-0", None, error, "", RUN))
    async with Journal(path, resume=True) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        assert journal.recall("q-0", hash_of("q-0")) is None


async def test_two_calls_under_one_id(tmp_path: Path) -> None:
    """The second is refused, as its line would take the place of the first."""
    async with Journal(tmp_path / "a.jsonl") as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        journal.record(record("q-0"))
        with pytest.raises(ConfigError, match="two calls have one id"):
            journal.recall("q-0", hash_of("another"))


async def test_one_run_at_a_time(tmp_path: Path) -> None:
    """A file that a run writes cannot be opened by another, in this process or elsewhere, until that run ends."""
    path = tmp_path / "a.jsonl"
    code = (
        "import asyncio, sys\nfrom zhipu_async.journal import Journal\n"
        "async def main():\n    async with Journal(sys.argv[1], resume=True): print('open')\n"
        "asyncio.run(main())"
    )
    command = [sys.executable, "-c", code, str(path)]
    async with Journal(path) as journal:
        journal.record(record("q-0"))
        with pytest.raises(ConfigError, match="is being written by another run"):
            await Journal(path, resume=True).__aenter__()
        with pytest.raises(ConfigError, match="open already"):
            await journal.__aenter__()
        with pytest.raises(ConfigError, match="is being written by another run"):
            rewrite_in_order(path, [])
        other = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert "is being written by another run" in other.stderr
    other = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert other.stdout == "open\n"
    assert len(read(path)) == 1


async def test_a_lock_on_a_file_that_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opened a file just before another was put in its place writes the new one."""
    path = await write(tmp_path / "a.jsonl", record("q-0"), record("q-1"))
    lock, turns = file._lock, iter([True])

    def replaced(descriptor: int, locked: Path) -> None:
        if next(turns, False):
            (tmp_path / "new").write_bytes(path.read_bytes())
            os.replace(tmp_path / "new", path)
        lock(descriptor, locked)

    monkeypatch.setattr(file, "_lock", replaced)
    async with Journal(path, resume=True) as journal:
        journal.record(record("q-2"))
    assert [line["custom_id"] for line in read(path)] == ["q-0", "q-1", "q-2"]


async def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on, with a warning."""

    def fails(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file.fcntl, "flock", fails)
    await write(tmp_path / "a.jsonl", record("q-0"))
    assert "cannot be locked here (No locks available)" in caplog.text


@pytest.mark.parametrize("name", ["", "no/such/folder.jsonl", "a\0b"])
async def test_paths_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    """ConfigError when it is opened, for a folder, a missing folder and what is no path."""
    with pytest.raises(ConfigError, match="cannot write"):
        await Journal(tmp_path / name).__aenter__()


async def test_a_device_is_no_journal() -> None:
    """What is no regular file could not be resumed."""
    with pytest.raises(ConfigError, match="a journal is a regular file"):
        await Journal("/dev/null").__aenter__()


async def test_a_journal_that_is_not_open(tmp_path: Path) -> None:
    """ClientClosedError before and after its block; leaving it twice does no harm."""
    journal = Journal(tmp_path / "a.jsonl")
    with pytest.raises(ClientClosedError, match="is not open"):
        journal.record(record("q-0"))
    async with journal:
        journal.record(record("q-0"))
    with pytest.raises(ClientClosedError, match="is not open"):
        journal.record(record("q-1"))
    await journal.__aexit__(None, None, None)
    assert len(read(journal.path)) == 1
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="fsync is seconds"):
            Journal(tmp_path / "b.jsonl", fsync=wrong)


# ---------------------------------------------------------------- torn lines

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LINES = st.lists(
    st.builds(record, st.sampled_from(["q-0", "q-1", 'q-"\n\\é']), TEXTS, st.sampled_from([None, AGAIN, FINAL]))
    | st.builds(lambda identity: Begun(identity, hash_of(identity), RUN), st.sampled_from(["q-0", "q-1"]))
    | st.builds(BatchNote, st.none() | TEXTS, st.integers(1, 3), st.just(1), st.just(5), run=st.just(RUN)),
    min_size=1,
    max_size=4,
)


def recalled(lines: list[Record | Begun | BatchNote]) -> dict[str, Any]:
    """What a resumed run is to get for each id, told by going through the lines one by one."""
    known: dict[str, Any] = {}
    for line in lines:
        if isinstance(line, Record):
            known[line.custom_id] = None if line.error == AGAIN else line
        elif isinstance(line, Begun) and known.get(line.custom_id) is None:
            known[line.custom_id] = "begun"
    return known


@settings(max_examples=3, deadline=None)
@given(lines=LINES)
def test_a_journal_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    """Cut at any byte: all complete lines are recalled exactly, the torn one is gone, and what is appended then makes
    a file of which every line is JSON."""
    cut_everywhere(tmp_path_factory.mktemp("cut") / "a.jsonl", lines)


@heavy
@settings(max_examples=20, deadline=None)
@given(lines=LINES)
def test_many_journals_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    """The same for many more of them."""
    cut_everywhere(tmp_path_factory.mktemp("cut") / "a.jsonl", lines)


def cut_everywhere(path: Path, lines: list[Any]) -> None:
    """Write the lines up to each byte, resume, look, append and look again."""
    parts = [encode_line(line) for line in lines]
    ends = list(itertools.accumulate(map(len, parts)))
    after = record("q-9", "after")
    with asyncio.Runner() as runner:
        for cut in range(ends[-1] + 1):
            path.write_bytes(b"".join(parts)[:cut])
            # a line that lacks only its line feed is complete
            whole = [line for line, end in zip(lines, ends, strict=True) if end - 1 <= cut]
            runner.run(resume(path, whole, after))
            assert path.read_bytes() == b"".join(parts[: len(whole)]) + encode_line(after)
            assert len(read(path)) == len(whole) + 1


async def resume(path: Path, whole: list[Any], after: Record) -> None:
    """Resume a journal of which these lines are complete, and write another."""
    async with Journal(path, resume=True, fsync=None) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        known = recalled(whole)
        for identity in ("q-0", "q-1", 'q-"\n\\é'):
            found, expected = journal.recall(identity, hash_of(identity)), known.get(identity)
            if expected == "begun":
                assert found is not None
                assert found.error is not None
                assert found.error.type == "ConnectionLost"
            elif expected is None:
                assert found is None
            else:
                assert found is not None
                assert encode_line(found) == encode_line(expected)
        assert journal.lines == len(whole)
        journal.record(after)
        assert content(journal.recall("q-9", hash_of("q-9"))) == "after"


async def test_a_corrupt_line_in_the_middle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is passed over with a warning, costs no other line, and stays."""
    lines = [encode_line(record(f"q-{number}")) for number in range(4)]
    bad = [b"\x00\x00\n", b"\n", lines[0][:30] + b"\n", b'{"custom_id":7}\r\n', b'{"prompt":"x"}\n']
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf" + lines[0] + bad[0] + bad[1] + lines[1].replace(b"\n", b"\r\n") + b"".join(bad[2:])
    )
    before = path.read_bytes()
    with caplog.at_level(logging.WARNING, "zhipu_async"):
        async with Journal(path, resume=True) as journal:
            journal.begin_run("q-0", hash_of("q-0"))
            assert content(journal.recall("q-0", hash_of("q-0"))) == "hello"
            assert content(journal.recall("q-1", hash_of("q-1"))) == "hello"
            journal.record(record("q-2"))
            assert journal.lines == 3
    assert path.read_bytes() == before + lines[2]
    assert "lines that cannot be read stay in it and are passed over: 4" in caplog.text
    assert [entry.id for entry in read_journal(path)] == ["q-0", "q-1", "q-2"]


async def test_healing_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """How much of a torn line was cut off is a warning; a whole file is opened in silence."""
    path = await write(tmp_path / "a.jsonl", record("q-0"))
    async with Journal(path, resume=True):
        assert caplog.text == ""
    with path.open("ab") as end:
        end.write(b'{"custom_id":"q-1","resp')
    async with Journal(path, resume=True):
        assert "its last line is torn (24 bytes) and was cut off" in caplog.text
    assert len(read(path)) == 1


# ---------------------------------------------------------------- disks

FULL = """
import asyncio, resource, sys
from zhipu_async.errors import JournalError
from zhipu_async.journal import Journal
sys.path.insert(0, sys.argv[2])
from tests.test_journal import record

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    async with Journal(sys.argv[1]) as journal:
        for number in range(100):
            try:
                journal.record(record(f"q-{number}"))
            except JournalError as error:
                print(number, error)
                break
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

asyncio.run(main())
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """A line that does not fit is an error that says what to do, and leaves nothing of itself; the others stay."""
    path, root = tmp_path / "a.jsonl", str(Path(__file__).parent.parent)
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(path), root], capture_output=True, text=True, timeout=60, check=True
    )
    number, _, text = ran.stdout.partition(" ")
    assert text.startswith(f"cannot write the journal {path}: File too large; what is finished stands in it: make room")
    assert [line["custom_id"] for line in read(path)] == [f"q-{each}" for each in range(int(number))]
    assert 1500 < path.stat().st_size < 2000


class Disk:
    """Stands before ``os.write``: takes so many bytes, in pieces, and then no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, piece: int = 1 << 30) -> None:
        self.room: int | None = None
        self.calls = 0
        self._piece = piece
        self._write = os.write
        monkeypatch.setattr(file.os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        """``os.write``."""
        self.calls += 1
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = data[: min(self._piece, len(data) if self.room is None else self.room)]
        if self.room is not None:
            self.room -= len(taken)
        return self._write(descriptor, taken)


@pytest.mark.parametrize("truncates", [True, False])
async def test_a_line_that_tears_swallows_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truncates: bool
) -> None:
    """Wherever the disk ends, and whether or not the torn part can be taken back, all other lines are read again."""
    line = encode_line(record("q-1"))
    for room in range(len(line)):
        path = tmp_path / f"{room}.jsonl"
        with monkeypatch.context() as patch:
            disk = Disk(patch)
            if not truncates:
                patch.setattr(file.os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "bad")))
            async with Journal(path, fsync=None) as journal:
                journal.record(record("q-0"))
                disk.room = room
                with pytest.raises(JournalError, match="No space left on device"):
                    journal.record(record("q-1"))
                assert journal.recall("q-1", hash_of("q-1")) is None
                disk.room = None
                for number in (2, 3):
                    journal.record(record(f"q-{number}"))
                    assert content(journal.recall(f"q-{number}", hash_of(f"q-{number}"))) == "hello"
        async with Journal(path, resume=True, fsync=None) as journal:
            found = [journal.recall(f"q-{number}", hash_of(f"q-{number}")) is not None for number in range(4)]
            # of a line that lacks only its line feed, and cannot be taken back, nothing is lost
            assert found == [True, not truncates and room == len(line) - 1, True, True]
        if truncates:
            assert len(read(path)) == 3


async def test_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that the system takes in pieces is whole; usually it is one write."""
    with monkeypatch.context() as patch:
        disk = Disk(patch, piece=7)
        await write(tmp_path / "a.jsonl", record("q-0"), record("q-1"))
        assert disk.calls > 20
    disk = Disk(monkeypatch)
    await write(tmp_path / "b.jsonl", record("q-0"), record("q-1"))
    assert disk.calls == 2
    assert read(tmp_path / "a.jsonl") == read(tmp_path / "b.jsonl")


async def test_ctrl_c_within_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever interrupts a line takes it back."""
    path, real = tmp_path / "a.jsonl", os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise KeyboardInterrupt
        return real(descriptor, data[: len(data) // 2])

    async with Journal(path) as journal:
        journal.record(record("q-0"))
        with monkeypatch.context() as patch:
            patch.setattr(file.os, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                journal.record(record("q-1"))
        journal.record(record("q-2"))
    assert [line["custom_id"] for line in read(path)] == ["q-0", "q-2"]


async def test_another_program_changed_the_file(tmp_path: Path) -> None:
    """A line that is no longer where it was is an error, and no answer to another call."""
    path = await write(tmp_path / "a.jsonl", record("q-0"), record("q-1"))
    async with Journal(path, resume=True) as journal:
        for changed in (path.read_bytes()[::-1], encode_line(record("q-1")) + encode_line(record("q-0")), b""):
            path.write_bytes(changed)
            with pytest.raises(JournalError, match="was changed by another program"):
                journal.recall("q-1", hash_of("q-1"))


# ---------------------------------------------------------------- durability


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what a thread does."""
    async with asyncio.timeout(30):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class Syncs:
    """Counts what reaches the disk: for each file how long it was then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.folders = 0
        self.error: OSError | None = None
        self.hold: Callable[[], None] = lambda: None
        self._fsync = os.fsync
        monkeypatch.setattr(file.os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        """``os.fsync``."""
        self.hold()
        if self.error is not None:
            raise self.error
        self._fsync(descriptor)
        status = os.fstat(descriptor)
        if os.path.stat.S_ISDIR(status.st_mode):  # type: ignore[attr-defined]
            self.folders += 1
        else:
            self.sizes.append(status.st_size)


async def test_each_line_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fsync=0 a line is on the disk before the next, and the new file's name is too."""
    syncs = Syncs(monkeypatch)
    async with Journal(tmp_path / "a.jsonl", fsync=0) as journal:
        assert syncs.folders == 1
        for number in range(3):
            journal.record(record(f"q-{number}"))
            assert syncs.sizes[-1] == journal.path.stat().st_size
        count = len(syncs.sizes)
        await journal.sync()
    assert len(syncs.sizes) == count == 4
    assert syncs.folders == 1


async def test_no_line_reaches_the_disk_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fsync=None only sync() waits for the disk."""
    syncs = Syncs(monkeypatch)
    async with Journal(tmp_path / "a.jsonl", fsync=None) as journal:
        journal.record(record("q-0"))
        assert syncs.sizes == []
        await journal.sync()
        assert syncs.sizes == [journal.path.stat().st_size]
    assert len(syncs.sizes) == 1


async def test_lines_reach_the_disk_by_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many lines share an fsync, the loop goes on meanwhile, and the last ones are on the disk when the block ends."""
    syncs = Syncs(monkeypatch)
    loop_thread = asyncio.get_running_loop()
    async with Journal(tmp_path / "a.jsonl", fsync=0.02) as journal:
        on_loop: list[bool] = []

        def look() -> None:
            try:
                on_loop.append(asyncio.get_running_loop() is loop_thread)
            except RuntimeError:
                on_loop.append(False)

        syncs.hold = look
        start = len(syncs.sizes)
        for number in range(200):
            journal.record(record(f"q-{number}"))
        size = journal.path.stat().st_size
        await until(lambda: bool(syncs.sizes[start:]))
        assert syncs.sizes[start:] == [size]
        await asyncio.sleep(0.05)
        assert syncs.sizes[start:] == [size]  # nothing new, no fsync
        journal.record(record("q-200"))
    assert syncs.sizes[-1] == journal.path.stat().st_size > size
    assert not any(on_loop)


async def test_lines_written_during_an_fsync_have_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written while the disk is busy is synced after it, also when nothing more comes."""
    syncs = Syncs(monkeypatch)
    async with Journal(tmp_path / "a.jsonl", fsync=0.01) as journal:
        loop, started, go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        held = iter([True])

        def wait() -> None:
            if next(held, False):
                loop.call_soon_threadsafe(started.set)
                asyncio.run_coroutine_threadsafe(go.wait(), loop).result(30)

        syncs.hold = wait
        journal.record(record("q-0"))
        await started.wait()
        journal.record(record("q-1"))
        before = len(syncs.sizes)
        go.set()
        await until(lambda: len(syncs.sizes) == before + 2)


async def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not reach the disk is an error at the next line, which stands in the file all the same, and at the end
    of the block; a call that creates something is not said to have begun then."""
    syncs = Syncs(monkeypatch)
    journal = await Journal(tmp_path / "a.jsonl", fsync=0.01).__aenter__()
    syncs.error = OSError(errno.EIO, "Input/output error")
    journal.record(record("q-0"))
    with pytest.raises(JournalError, match="did not reach the disk: Input/output error"):
        await journal.sync()
    with pytest.raises(JournalError, match="did not reach the disk"):
        journal.record(record("q-1"))
    with pytest.raises(JournalError, match="did not reach the disk"):
        journal.begin("q-2", hash_of("q-2"))
    with pytest.raises(JournalError, match="did not reach the disk"):
        await journal.__aexit__(None, None, None)
    syncs.error = None
    async with Journal(tmp_path / "a.jsonl", resume=True) as journal:  # it was closed all the same
        assert journal.lines == 2
        assert journal.recall("q-1", hash_of("q-1")) is not None
        assert journal.recall("q-2", hash_of("q-2")) is None


async def test_an_error_of_the_run_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends with an error ends with that one, also where the disk fails then."""
    syncs = Syncs(monkeypatch)
    journal = await Journal(tmp_path / "a.jsonl", fsync=60.0).__aenter__()
    journal.record(record("q-0"))
    syncs.error = OSError(errno.EIO, "Input/output error")
    own = RuntimeError("mine")
    await journal.__aexit__(RuntimeError, own, None)
    syncs.error = None
    async with Journal(tmp_path / "a.jsonl", resume=True) as journal:
        assert journal.lines == 1


async def test_a_cancelled_run_closes_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is cancelled while the disk is waited for waits for it: then all is written and unlocked."""
    syncs = Syncs(monkeypatch)
    path, loop, started, go = tmp_path / "a.jsonl", asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with Journal(path, fsync=60.0) as journal:
            journal.record(record("q-0"))

            def wait() -> None:
                loop.call_soon_threadsafe(started.set)
                asyncio.run_coroutine_threadsafe(go.wait(), loop).result(30)

            syncs.hold = wait

    running = asyncio.create_task(run())
    await started.wait()
    running.cancel()
    await asyncio.sleep(0.01)
    assert not running.done()
    go.set()
    await asyncio.wait([running])
    assert running.cancelled()
    syncs.hold = lambda: None
    async with Journal(path, resume=True) as journal:
        assert journal.lines == 1


async def test_a_journal_that_is_dropped_lets_go(tmp_path: Path) -> None:
    """A run that nobody ends keeps neither file nor lock."""
    journal = await Journal(tmp_path / "a.jsonl", fsync=None).__aenter__()
    journal.record(record("q-0"))
    del journal
    again = Journal(tmp_path / "a.jsonl", resume=True)
    async with asyncio.timeout(5):
        while True:
            try:
                await again.__aenter__()
                break
            except ConfigError:  # its thread writes the line, and holds it until then
                await asyncio.sleep(0.01)
    assert again.lines == 1
    await again.__aexit__(None, None, None)


CHILD = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from tests.test_journal import hash_of, record
from zhipu_async.journal import Journal

async def main():
    async with Journal(sys.argv[1], resume=True) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        print("open", flush=True)
        for number in range(1_000_000):
            if journal.recall(f"q-{number}", hash_of(f"q-{number}")) is None:
                journal.record(record(f"q-{number}", "x" * (number % 5000)))
                print(number, flush=True)
            await asyncio.sleep(0)

asyncio.run(main())
"""


@heavy
def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """Killed twelve times at random moments and resumed: no line is lost, none is written twice, all are JSON."""
    path, root = tmp_path / "a.jsonl", str(Path(__file__).parent.parent)
    chance = random.Random(20261121)
    said = -1
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), root], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            time.sleep(chance.uniform(0.0, 0.15))
            child.send_signal(signal.SIGKILL)
            said = max([said, *map(int, child.stdout.read().split("\n")[:-1])])
        complete = path.read_bytes().count(b"\n")
        numbers = [int(entry.id.removeprefix("q-")) for entry in read_journal(path)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= complete  # none was written twice
        assert numbers[-1:] >= ([said] if said >= 0 else [])  # what was said to be written is there
    assert said > 500

    async def last() -> None:
        async with Journal(path, resume=True) as journal:
            journal.begin_run("q-0", hash_of("q-0"))

    asyncio.run(last())
    lines = read(path)
    assert [line["custom_id"] for line in lines] == [f"q-{number}" for number in range(len(lines))]
    for number, line in enumerate(lines):
        assert line["response"]["body"]["choices"][0]["message"]["content"] == "x" * (number % 5000)


# ---------------------------------------------------------------- memory and order


@heavy
async def test_the_index_is_small(tmp_path: Path) -> None:
    """A journal of 100,000 calls takes less than 150 bytes per call in memory besides its id, whatever its answers
    are, and so does one that writes them."""
    count, path = 100_000, tmp_path / "a.jsonl"
    ids = sum(sys.getsizeof(f"question-{number}") for number in range(count))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        async with Journal(path, fsync=None) as journal:
            for number in range(count):
                journal.record(record(f"question-{number}", "long " * 20))
            written = tracemalloc.get_traced_memory()[0] - before
        del journal
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        async with Journal(path, resume=True, fsync=None) as journal:
            now, peak = tracemalloc.get_traced_memory()
            assert journal.lines == count
        assert path.stat().st_size > 300 * count
        for taken in (written, now - before):
            assert 80 * count < taken - ids < 150 * count
        assert peak - before < now - before + 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def mixed(path: Path) -> Path:
    """A finished journal out of order, with lines of every kind."""
    lines = [
        b"\xef\xbb\xbf" + encode_line(record("q-2", "two")), encode_line(BatchNote("b", 1, 1, 2, run=RUN)), b"\n",
        encode_line(Begun("q-0", hash_of("q-0"), RUN)), encode_line(record("q-1", error=AGAIN)), b"not json\n",
        encode_line(record("q-0", "zero")), encode_line(record("q-9")), encode_line(record("q-1", "one")),
        encode_line(Begun("q-8", hash_of("q-8"), RUN)).replace(b"\n", b"\r\n"), b'{"custom_id":"q-7","res',
    ]  # fmt: skip
    path.write_bytes(b"".join(lines))
    return path


async def test_in_the_order_of_the_input(tmp_path: Path) -> None:
    """The last line of each id in the order given; then, as they came, other ids, notes and what is no line."""
    path = mixed(tmp_path / "a.jsonl")
    path.chmod(0o640)
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    await asyncio.to_thread(rewrite_in_order, link, iter(["q-0", "q-1", "q-5", "q-0", "q-2"]))
    assert path.read_bytes() == b"".join(
        [encode_line(record("q-0", "zero")), encode_line(record("q-1", "one")), encode_line(record("q-2", "two")),
         encode_line(BatchNote("b", 1, 1, 2, run=RUN)), b"not json\n", encode_line(record("q-9")),
         encode_line(Begun("q-8", hash_of("q-8"), RUN))]
    )  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "link.jsonl"]
    async with Journal(path, resume=True) as journal:
        journal.begin_run("q-0", hash_of("q-0"))
        assert content(journal.recall("q-1", hash_of("q-1"))) == "one"
        lost = journal.recall("q-8", hash_of("q-8"))
        assert lost is not None
        assert lost.error is not None
        assert len(journal.batches()) == 1


async def test_in_the_order_of_the_run(tmp_path: Path) -> None:
    """A journal that is over knows in which order its calls were asked for."""
    path = await write(tmp_path / "a.jsonl", record("q-0"))
    async with Journal(path, resume=True) as journal:
        for number in (0, 1, 2, 3):
            journal.recall(f"q-{number}", hash_of(f"q-{number}"))
        for number in (3, 1, 2):
            journal.record(record(f"q-{number}"))
        with pytest.raises(ConfigError, match="is being written"):
            await journal.rewrite_in_order()
    await journal.rewrite_in_order()
    assert [line["custom_id"] for line in read(path)] == ["q-0", "q-1", "q-2", "q-3"]


async def test_an_order_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error the file is what it was, nothing stands beside it, and it can be opened."""
    path = mixed(tmp_path / "a.jsonl")
    await asyncio.to_thread(rewrite_in_order, path, [])
    before = path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file.os, "fsync", fails)
        with pytest.raises(ConfigError, match="anew: No space left on device"):
            rewrite_in_order(path, ["q-2"])
    with pytest.raises(ConfigError, match="cannot write"):
        rewrite_in_order(tmp_path / "none.jsonl", [])
    (tmp_path / "prompts").write_bytes(b"hello\nwor")
    with pytest.raises(ConfigError, match="is no journal"):
        rewrite_in_order(tmp_path / "prompts", [])
    assert (tmp_path / "prompts").read_bytes() == b"hello\nwor"
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "prompts"]
    async with Journal(path, resume=True) as journal:
        assert journal.lines == 6


# ---------------------------------------------------------------- outcomes

CHAT = AsyncZhipuAI.chat.completions.create.call(model="glm-4.6", messages=[])
SPEECH = AsyncZhipuAI.audio.speech.call(model="glm-tts", input="hello", voice="tongtong")
VIDEO = AsyncZhipuAI.videos.generations.call(model="cogvideox-3", prompt="a cat")
ANSWER = ChatCompletion(id="a", choices=[Choice(message=ChatMessage(content="hi", tool_calls=None))])


def again(outcome: Outcome[Any], body: bytes | None = None) -> tuple[Record, Outcome[Any]]:
    """The record of an outcome, written and read, and the outcome that it is then."""
    made = record_of(outcome, hash=hash_of("q"), run=RUN, body=body, at=AT)
    places = file.Places()
    places.read([data := encode_line(made)])
    found = file.decode_line(data)
    assert isinstance(found, Record)
    return found, outcome_of(found, Item(outcome.index, outcome.id, outcome.call), outcome.id)


def check_same(back: Outcome[Any], outcome: Outcome[Any]) -> None:
    """What is known of an outcome beside its value is what it was."""
    assert (back.id, back.index, back.call) == (outcome.id, outcome.index, outcome.call)
    assert (back.seconds, back.attempts, back.replayed) == (outcome.seconds, outcome.attempts, True)


@pytest.mark.parametrize(
    "body", [None, b'{"id":"a","new_field":1.0,\n"choices":[{"message":{"content":"hi"}}]}'], ids=["struct", "bytes"]
)
def test_an_answer_comes_back(body: bytes | None) -> None:
    """The value of an outcome survives, from the bytes that came and from the struct alone."""
    outcome = Outcome("q", 3, CHAT, ANSWER, None, 1.25, 2)
    found, back = again(outcome, body)
    check_same(back, outcome)
    assert back.value == ANSWER
    assert (found.at, found.run, found.hash) == (AT, RUN, hash_of("q"))
    assert found.response is not None
    assert (b"new_field" in bytes(found.response.body)) == (body is not None)


@given(st.binary(max_size=50), st.none() | st.text("abc/-", min_size=1, max_size=9))
def test_a_file_comes_back(data: bytes, kind: str | None) -> None:
    """Bytes that are no JSON survive, with what the service says that they are."""
    headers = {} if kind is None else {"content-type": kind}
    outcome = Outcome("q", 0, SPEECH, Binary(data, headers, Timing()), None, 1.0, 1)
    found, back = again(outcome, data)
    check_same(back, outcome)
    assert isinstance(back.value, Binary)
    assert (back.value.content, back.value.content_type) == (data, kind)
    assert (back.value.timing.total, back.value.timing.attempts) == (1.0, 1)
    assert found.response is not None
    assert set(json.loads(bytes(found.response.body))) == {"content_type", "base64"}


OUTCOMES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ZhipuError) and not issubclass(kind, errors.StreamError)
]


@pytest.mark.parametrize("kind", OUTCOMES, ids=lambda kind: kind.__name__)
def test_an_error_comes_back(kind: type[ZhipuError]) -> None:
    """Every error that an outcome can be survives as its own class, with its text."""
    outcome: Outcome[Any] = Outcome("q", 0, CHAT, None, kind("it broke"), 1.0, 1)
    _, back = again(outcome)
    check_same(back, outcome)
    assert type(back.error) is kind
    assert back.error.message == "it broke"
    assert back.value is None
    with pytest.raises(kind):
        back.unwrap()


NOT_ASKED: list[tuple[ZhipuError, bool, bool]] = [
    (errors.PermissionDeniedError("<title>blocked</title>", status=403), True, True),
    (errors.PermissionDeniedError("no permission", status=403, code="1220"), True, True),
    (errors.BadRequestError("Method Not Allowed", status=405), True, True),
    (errors.BadRequestError("bad", status=405, code="1210"), False, False),
    (errors.BadRequestError("bad", status=400), False, False),
    (errors.NotFoundError("404 NOT_FOUND", status=200, code="500"), True, True),
    (errors.NotFoundError("Not Found", status=404, code="404"), True, True),
    (errors.NotFoundError("no such file", status=404, code="1222"), False, False),
    (DecodeError("empty", body=""), True, False),
    (DecodeError("a page", body="\ufeff\n<html>maintenance</html>"), True, False),
    (DecodeError("cut off", body=' {"choices": ['), False, False),
    (DecodeError("a list", body="[]"), False, False),
    (DecodeError("a stream", body='data: {"choices": []}'), False, False),
    (DecodeError("of unknown text"), False, False),
]


@pytest.mark.parametrize(("error", "again", "creates"), NOT_ASKED)
def test_what_no_model_was_asked_is_sent_again(error: ZhipuError, again: bool, creates: bool) -> None:
    """What a gateway, a firewall or a page answered for the service is no result of a call; where the call creates
    something, an answer that cannot be read may be of what was created."""
    assert told_of(error, creates=False).again is again
    assert told_of(error, creates=True).again is creates


def test_a_task_that_failed_comes_back_with_its_answer() -> None:
    """What the service said of it is there again, from the bytes that came and from the struct alone."""
    answer = VideoTask(id="T1", task_status="FAIL")
    for body in (None, b'{"id":"T1","task_status":"FAIL","more":1}'):
        failure = errors.TaskFailed("no", task_id="T1", answer=answer, code="7", reason="dark")
        _, back = again(Outcome("q", 0, VIDEO, None, failure, 1.0, 1), body)
        error = back.error
        assert isinstance(error, errors.TaskFailed)
        assert (error.task_id, error.code, error.reason, error.answer) == ("T1", "7", "dark", answer)
    found = Record("q", RecordResponse(200, msgspec.Raw(b'{"id":"T2","task_status":"FAIL"}')))
    layout = AsyncZhipuAI.videos.generations.endpoint
    raising: Call[Any] = Call(Endpoint("POST", "/x", layout.response, failed="raise"), VIDEO.arguments)
    assert isinstance(outcome_of(found, Item(0, None, raising), "q").error, errors.TaskFailed)


def test_an_answer_that_cannot_be_read_is_an_outcome() -> None:
    """A body that its struct cannot take is a DecodeError of that call, and of no other."""
    for body in (b"null", b'"text"', b"[1]"):
        back = outcome_of(Record("q", RecordResponse(200, msgspec.Raw(body))), Item(0, None, CHAT), "q")
        assert isinstance(back.error, DecodeError)
        assert back.value is None
    back = outcome_of(Record("q", RecordResponse(200, msgspec.Raw(b"{}"))), Item(0, None, SPEECH), "q")
    assert isinstance(back.error, DecodeError)


def test_an_answer_that_no_line_can_hold_comes_back() -> None:
    """A body that is too deep for a line is read from the text that stands for it."""

    class Deep(msgspec.Struct):
        a: Any = None

    call: Call[Any] = Call(Endpoint("POST", "/x", Deep), Request())
    body = b'{"a":' + b"[" * 200 + b"]" * 200 + b"}"
    value = msgspec.json.decode(body, type=Deep)
    found, back = again(Outcome("q", 0, call, value, None, 1.0, 1), body)
    assert back.value == value
    assert found.response is not None
    assert bytes(found.response.body).startswith(b'"{')


# ---------------------------------------------------------------- reading a finished file


async def test_a_finished_journal_is_read_without_a_run(tmp_path: Path) -> None:
    """The last line of each id, in the order of the file, plain or as structs; a run may be writing it."""
    path = tmp_path / "a.jsonl"
    async with Journal(path) as journal:
        journal.record(record("q-0", "old"))
        journal.note_batch(BatchNote("b", 1, 1, 1))
        journal.record(record("q-1", error=FINAL))
        journal.record(record("q-0", "new"))
        with path.open("ab") as torn:
            torn.write(b'{"custom_id":"q-2","resp')
        entries = list(read_journal(path))
        assert [(entry.id, entry.ok) for entry in entries] == [("q-1", False), ("q-0", True)]
        assert entries[1].value["choices"][0]["message"]["content"] == "new"
        with pytest.raises(errors.BadRequestError, match="no"):
            entries[0].unwrap()
        typed = [entry.unwrap() for entry in read_journal(path, ChatCompletion) if entry.ok]
        assert [answer.text for answer in typed] == ["new"]


def test_the_results_of_a_batch_are_read(tmp_path: Path) -> None:
    """A result file of the vendor is read in the same way."""
    path = tmp_path / "results.jsonl"
    path.write_text(
        '{"id":"b","custom_id":"request-1","response":{"status_code":200,"body":{"choices":[]}}}\n'
        '{"id":"b","custom_id":"request-2","response":{"status_code":400,"body":{"error":{"code":"1214","message":"x"}}}}'
    )
    entries: Iterator[Any] = read_journal(path, ChatCompletion)
    assert [(entry.id, type(entry.error).__name__) for entry in entries] == [
        ("request-1", "NoneType"), ("request-2", "BadRequestError"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", [b"hello\n", b'{"prompt":"x"}\n', b"hello"])
def test_what_is_no_journal_is_not_read(tmp_path: Path, text: bytes) -> None:
    """ConfigError at the call, for other files and for none."""
    path = tmp_path / "a.txt"
    with pytest.raises(ConfigError, match="cannot read"):
        read_journal(path)
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="no line of it holds"):
        read_journal(path)


def test_an_empty_journal_has_no_entries(tmp_path: Path) -> None:
    """A run that ended before its first call was done is read as nothing."""
    (tmp_path / "a.jsonl").write_bytes(b"")
    assert list(read_journal(tmp_path / "a.jsonl")) == []
