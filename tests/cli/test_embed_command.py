"""``embed``: which texts it takes, what it prints, and what it refuses."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from zhipu_async.cli.embed import cosine
from zhipu_async.errors import DecodeError
from zhipu_async.simulator import Json, Scenario

from .conftest import Service
from .invoking import invoke
from .running import command, finish, process_of, run, terminal

pytestmark = pytest.mark.heavy


def lines(output: str) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in output.splitlines()]


async def test_a_line_for_each_text(service: Service) -> None:
    """Each text becomes one line with its place, itself and a vector of the length that was asked for."""
    simulator = await service()
    done = await invoke("embed", "--dimensions", "256", "a cat", "一只猫")
    assert (done.code, done.errors) == (0, "")
    assert [(line["index"], line["text"], len(line["embedding"])) for line in lines(done.output)] == [
        (0, "a cat", 256),
        (1, "一只猫", 256),
    ]
    assert simulator.requests[0].body == {"model": "embedding-3", "input": ["a cat", "一只猫"], "dimensions": 256}


async def test_many_lines_go_in_requests_of_64(service: Service, tmp_path: Path) -> None:
    """130 lines are three requests, and every vector stands beside its own text."""
    simulator = await service()
    texts = [f"text number {place}" for place in range(130)]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts), encoding="utf-8")
    done = await invoke("embed", "--file", file, "--dimensions", "256")
    assert done.code == 0
    assert [len(seen.get("input")) for seen in simulator.requests] == [64, 64, 2]
    found = lines(done.output)
    assert [line["index"] for line in found] == list(range(130))
    assert [line["text"] for line in found] == texts
    alone = lines((await invoke("embed", "--dimensions", "256", texts[100])).output)
    assert alone[0]["embedding"] == found[100]["embedding"]


@pytest.mark.parametrize("arguments", [["-"], [], ["--file", "-"]], ids=str)
async def test_standard_input_has_a_text_per_line(service: Service, arguments: list[str]) -> None:
    """Lines end with LF or CRLF only; a byte order mark and blank lines are no texts."""
    simulator = await service()
    done = await invoke("embed", *arguments, stdin="\ufeffone\r\n\r\n \ntwo\u2028still two\nthree".encode())
    assert done.code == 0
    assert simulator.requests[0].get("input") == ["one", "two\u2028still two", "three"]


async def test_one_object_with_json(service: Service) -> None:
    """--json gives one object: the model, all vectors and the tokens used."""
    await service()
    done = await invoke("embed", "--json", "--dimensions", "256", "a", "b")
    (whole,) = lines(done.output)
    assert whole["model"] == "embedding-3"
    assert [item["text"] for item in whole["data"]] == ["a", "b"]
    assert whole["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("as_json", [False, True])
async def test_texts_by_their_nearness_to_a_query(service: Service, as_json: bool) -> None:
    """--query prints the nearest text first, and no vectors."""
    simulator = await service()
    texts = ["stocks fell in Tokyo", "the cat sat on the mat", "rain is expected"]
    more = ["--json"] if as_json else []
    done = await invoke("embed", "--query", "a cat on a mat", *more, *texts)
    assert done.code == 0
    assert len(simulator.requests) == 1
    if as_json:
        (whole,) = lines(done.output)
        assert whole["query"] == "a cat on a mat"
        found = [(item["similarity"], item["text"], item["index"]) for item in whole["data"]]
        assert found[0][1:] == (texts[1], 1)
    else:
        found = [(float(line[:7]), line[9:], 0) for line in done.output.splitlines()]
        assert found[0][1] == texts[1]
    assert [similarity for similarity, *_ in found] == sorted((each[0] for each in found), reverse=True)
    assert sorted(text for _, text, _ in found) == sorted(texts)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 0.0], [2.0, 0.0], 1.0),
        ([1.0, 0.0], [0.0, 3.0], 0.0),
        ([1.0, 1.0], [-1.0, -1.0], -1.0),
        ([0.0], [1.0], 0.0),
    ],
)
def test_the_cosine(one: list[float], other: list[float], expected: float) -> None:
    """1 for the same direction, 0 for a right angle and for a vector without length, -1 for the opposite."""
    assert cosine(one, other) == pytest.approx(expected)


def test_vectors_of_two_lengths_have_no_angle() -> None:
    """Vectors that cannot be compared are an error of the answer."""
    with pytest.raises(DecodeError, match="of 1 and of 2"):
        cosine([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        (["--file", "missing.txt"], b"", "cannot read 'missing.txt': No such file"),
        (["--file", "."], b"", "cannot read '.': Is a directory"),
        (["--file", "empty.txt"], b"", "'empty.txt' has no text in it"),
        (["--file", "binary.txt"], b"", "'binary.txt' is not UTF-8 text"),
        (["--file", "empty.txt", "text"], b"", "not both"),
        (["-", "text"], b"", "- stands for standard input"),
        (["text", " "], b"", "a text is empty"),
        (["-"], b"\n \n", "standard input has no text in it"),
        (["-"], b"\xff", "standard input is not UTF-8 text"),
        (["--query", " ", "text"], b"", "the query is empty"),
        (["--dimensions", "0", "text"], b"", "--dimensions"),
        (["--base-url", "nonsense", "text"], b"", "nonsense"),
    ],
)
async def test_wrong_use(
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    stdin: bytes,
    reason: str,
) -> None:
    """What cannot be embedded is told on standard error, with 2, before anything is asked."""
    simulator = await service()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_bytes(b"\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    done = await invoke("embed", *arguments, stdin=stdin)
    assert (done.code, done.output) == (2, "")
    assert reason in done.errors
    assert simulator.requests == []


async def test_what_the_service_refuses(service: Service) -> None:
    """A length of vectors that there is not is refused by the service: 1, with its code."""
    await service()
    done = await invoke("embed", "--dimensions", "7", "text")
    assert (done.code, done.output) == (1, "")
    assert "1210" in done.errors


async def test_vectors_that_are_missing(service: Service) -> None:
    """Fewer vectors than texts are an error: none is printed beside the wrong text."""
    await service(Scenario(replies=[Json({"data": [{"index": 0, "embedding": [1.0]}]})]))
    done = await invoke("embed", "one", "two")
    assert (done.code, done.output) == (1, "")
    assert "1 vectors for 2 texts" in done.errors


async def test_a_reader_that_has_seen_enough(service: Service, tmp_path: Path) -> None:
    """Where the pipe is closed early, the command ends without a word, and does not ask on."""
    simulator = await service()
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(f"text {place}" for place in range(640)), encoding="utf-8")
    program = f"{shlex.join(command('embed', '--file', str(file)))} | head -n 1"
    async with process_of("/bin/sh", "-c", program) as process:
        done = await finish(process)
    assert (done.code, done.errors) == (0, "")
    assert lines(done.output)[0]["text"] == "text 0"
    assert len(simulator.requests) < 10


async def test_output_that_is_full(service: Service) -> None:
    """A disk that is full is told in a line."""
    await service()
    async with process_of("/bin/sh", "-c", f"{shlex.join(command('embed', 'text'))} >/dev/full") as process:
        done = await finish(process)
    assert done.code == 2
    assert "cannot write standard output: No space left" in done.errors
    assert "Traceback" not in done.errors


async def test_progress_is_for_a_terminal(service: Service) -> None:
    """A terminal sees how far it is; a pipe sees nothing of it, with forced colours too."""
    await service()
    async with terminal("embed", "--query", "a cat", "the cat", "a dog") as person:
        assert await person.end() == 0
    assert "embedding" in person.text
    assert person.text.rstrip().splitlines()[-1].endswith("a dog")
    piped = await run("embed", "--query", "a cat", "the cat", "a dog", env={"FORCE_COLOR": "1"})
    assert (piped.code, piped.errors) == (0, "")


async def test_texts_are_no_commands_for_the_terminal(service: Service) -> None:
    """Escape sequences in a text do not reach a terminal."""
    await service()
    async with terminal("embed", "--query", "a cat", "evil \x1b]0;title\x07 cat") as person:
        assert await person.end() == 0
    assert "evil ]0;title cat" in person.text
    assert "\x1b]0;" not in person.seen
