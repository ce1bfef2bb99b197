"""models --known: the documented models, without a key and without the network."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from zhipu_async.cli import app as commands
from zhipu_async.cli.known_models import HEADINGS
from zhipu_async.models import MODELS

from .running import run

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def _no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, and no client that could ask anybody."""

    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("a client was made")

    monkeypatch.setattr(commands, "client_of", refuse)
    for name in ("ZHIPU_API_KEY", "ZHIPUAI_API_KEY", "ZAI_API_KEY", "ZHIPU_BASE_URL", "ZAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


async def invoke(*arguments: str) -> tuple[int, str, str]:
    """Run ``models`` inside this process: exit code, standard output, standard error."""
    done = await asyncio.to_thread(CliRunner().invoke, commands.app, ["models", *arguments])
    return done.exit_code, done.stdout, done.stderr


def table(output: str) -> dict[str, dict[str, str]]:
    """The cells of a printed table by model and heading."""
    head, *lines = output.splitlines()
    starts = [head.index(heading) for heading in HEADINGS]
    rows = [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in lines]
    return {row[0]: dict(zip(HEADINGS, row, strict=True)) for row in rows}


async def test_every_known_model_has_a_line() -> None:
    """The table has one line for each model, headings first, and no client is made for it."""
    code, output, errors = await invoke("--known")
    assert (code, errors) == (0, "")
    assert output.split("\n")[0].split() == list(HEADINGS)
    assert list(table(output)) == list(MODELS)


@pytest.mark.parametrize(
    ("model", "cells"),
    [
        ("glm-5.3", ("text", "1M", "64K/128K", "always", "low,high,max", "text", "CN,INTL", "")),
        ("glm-5.2", ("text", "1M", "64K/128K", "decides", "all", "text", "CN,INTL", "")),
        ("glm-4.5-flash", ("text", "128K", "64K/96K", "decides", "", "text", "CN,INTL", "free, being retired")),
        ("glm-4.5v", ("vision", "64K?", "16K/16K", "switched", "", "text,image,video,file", "INTL", "")),
        ("glm-4-plus", ("text", "128K", "4095", "never", "", "text", "CN,INTL", "older")),
        ("autoglm-phone", ("agent", "20K", "2K?", "", "", "text,image?", "CN", "")),
        ("embedding-2", ("embedding", "512", "", "", "", "text", "CN", "")),
    ],
)
async def test_the_cells_of_a_model(model: str, cells: tuple[str, ...]) -> None:
    """Tokens are in K and M, what is not documented is blank, and a question mark stands at what is not sure."""
    _, output, _ = await invoke("--known")
    assert tuple(table(output)[model].values()) == (model, *cells)


async def test_the_models_of_one_kind() -> None:
    """--kind leaves the lines of that kind."""
    code, output, _ = await invoke("--known", "--kind", "vision")
    assert code == 0
    assert list(table(output)) == [id for id, info in MODELS.items() if info.kind == "vision"]


async def test_known_models_as_json() -> None:
    """--json prints one object in the form of the service's list, whose elements have every field of the table."""
    code, output, errors = await invoke("--known", "--kind", "embedding", "--json")
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert found["object"] == "list"
    assert [model["id"] for model in found["data"]] == ["embedding-3", "embedding-2"]
    assert found["data"][0]["dimensions"] == [2048, 1024, 512, 256]
    assert found["data"][0]["max_output"] is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--kind", "vision"), "--kind goes with --known"),
        (("--known", "--kind", "visions"), "'visions'"),
    ],
)
async def test_wrong_use(arguments: tuple[str, ...], complaint: str) -> None:
    """--kind without --known, and a kind that there is not, are wrong use."""
    code, output, errors = await invoke(*arguments)
    assert (code, output) == (2, "")
    assert complaint in errors


async def test_in_a_pipe_every_model_is_one_plain_line() -> None:
    """A process without a key prints lines that are not wrapped, coloured or padded, however long they are."""
    done = await run("models", "--known")
    assert (done.code, done.errors) == (0, "")
    assert len(done.output.splitlines()) == len(MODELS) + 1
    assert "\x1b" not in done.output
    assert max(map(len, done.output.splitlines())) > 100
    assert all(line == line.rstrip() for line in done.output.splitlines())
