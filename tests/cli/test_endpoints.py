"""``endpoints``: what it lists, and how it looks in a pipe and at a terminal."""

from __future__ import annotations

import json
from functools import reduce

import pytest
from typer.testing import CliRunner

from zhipu_async import AsyncZhipuAI
from zhipu_async.catalogue import rows
from zhipu_async.cli.app import app
from zhipu_async.cli.endpoints import HEADINGS

from .running import run, terminal

pytestmark = pytest.mark.heavy


def listed(*arguments: str) -> str:
    """What ``endpoints`` prints, inside this process: without a key, and without a loop that could ask anybody."""
    done = CliRunner().invoke(app, ("endpoints", *arguments))
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_the_table_holds_the_catalogue_and_realtime() -> None:
    """A line for each row of the catalogue, with verb, path, method, types and other names, and one for realtime."""
    heading, *lines = listed().splitlines()
    assert tuple(heading.split()) == HEADINGS
    expected = {
        (
            row.verb,
            row.path,
            row.name,
            row.request,
            row.response,
            row.events or "-",
            *(", ".join(row.aliases).split()),
        )
        for row in rows()
    }
    realtime = ("WSS", "/realtime", "realtime.connect", "ClientEvent", "RealtimeSession", "RealtimeEvent")
    assert {tuple(line.split()) for line in lines} == expected | {realtime}
    assert len(lines) == len(expected) + 1


def test_the_columns_stand_below_each_other() -> None:
    """Each column begins where its heading does, and no line ends in blanks."""
    heading, *lines = listed().splitlines()
    for name in HEADINGS[:-1]:
        start = heading.index(name)
        assert all(line[start] != " " and (start == 0 or line[start - 1] == " ") for line in lines)
    assert all(line == line.rstrip() for line in (heading, *lines))


def test_every_name_is_a_method_of_the_client() -> None:
    """Whatever stands in the table can be called."""
    client = AsyncZhipuAI(api_key="0123456789abcdef.0123456789abcdef")
    for line in json.loads(listed("--json")):
        for name in (line["name"], *line["aliases"]):
            assert callable(reduce(getattr, name.split("."), client)), name


def test_json() -> None:
    """--json gives the same as objects, in the same order."""
    _, *lines = listed().splitlines()
    found = json.loads(listed("--json"))
    assert [(line["verb"], line["path"], line["name"]) for line in found] == [tuple(line.split()[:3]) for line in lines]
    chat = next(line for line in found if line["path"] == "/chat/completions")
    assert chat == {
        "verb": "POST",
        "path": "/chat/completions",
        "name": "chat.completions.create",
        "aliases": [],
        "request": "ChatRequest",
        "response": "ChatCompletion",
        "events": "ChatCompletionChunk",
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("/reader", {"web_reader.read"}),
        ("WEB_READER", {"web_reader.read"}),
        ("retrieve_videos_result", {"chat.async_completions.retrieve"}),
        ("zrag", {"knowledge.chat", "knowledge.search_multimodal"}),
        ("realtime", {"realtime.connect"}),
    ],
)
def test_a_part_of_the_list(text: str, names: set[str]) -> None:
    """An argument leaves what has it in its path or one of its names; case makes no difference."""
    assert {line["name"] for line in json.loads(listed(text, "--json"))} == names
    assert {line.split()[2] for line in listed(text).splitlines()[1:]} == names


@pytest.mark.parametrize("format_wanted", [[], ["--json"]])
def test_nothing_found(format_wanted: list[str]) -> None:
    """A text that is nowhere is wrong use: exit code 2, the text in the message, nothing on standard output."""
    done = CliRunner().invoke(app, ["endpoints", "no-such-path", *format_wanted])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no-such-path" in done.stderr


async def test_in_a_pipe() -> None:
    """A pipe gets each endpoint on one line, whole, without escape sequences, however narrow the reader says it is."""
    done = await run("endpoints", env={"COLUMNS": "40"})
    assert (done.code, done.errors) == (0, "")
    assert done.output == listed()
    assert "\x1b" not in done.output
    longest = max(rows(), key=lambda row: len(row.path))
    assert [line.split()[1] for line in done.output.splitlines() if longest.path in line] == [longest.path]


async def test_at_a_narrow_terminal() -> None:
    """Where the table is too wide for the terminal, each thing has a line of its own."""
    async with terminal("endpoints", "/async-result") as person:
        await person.until("also videos.retrieve_videos_result\n")
        assert await person.end() == 0
    assert person.text.splitlines()[:2] == [
        "GET   /async-result/{id}",
        "      chat.async_completions.retrieve(AsyncResultRequest) -> AsyncResult",
    ]
    assert all(len(line) <= 100 for line in person.text.splitlines())
