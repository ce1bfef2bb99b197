"""What the command line writes: no secrets, whatever fails, and nothing that steers a terminal."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main
from rich.table import Table
from typer.testing import CliRunner

from tests.cli.invoking import invoke, names
from tests.cli.running import run, terminal
from tests.security.planted import KEY, PASSWORD, PLAIN_KEY, found_in
from tests.servers import DONE, LAST, STREAM_HEAD, ByteServer, Conversation, block, byte_server, chunk
from zhipu_async.cli import app as commands
from zhipu_async.cli.terminal import console

EVIL = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\x08\x7fe"
"""Renames the window, clears the screen, colours, deletes."""
HARMLESS = "a]0;titleb[2Jc31mde"
"""The same for the eye."""
STEERING = set("\x1b\x07\x08\x7f\x9b")


async def service(talk: Conversation) -> None:
    """Answers each kind of question with text that steers terminals; models called "echo" with what was asked."""
    while request := await talk.request():
        target = request.split(b" ")[1]
        if b'"model":"echo"' in request:
            error = {"code": "1002", "message": request.decode("latin-1")}
            await talk.answer(json.dumps({"error": error}).encode(), status="401 Unauthorized")
        elif b'"model":"refused"' in request:
            await talk.answer(
                json.dumps({"error": {"code": "1210", "message": EVIL}}).encode(), status="400 Bad Request"
            )
        elif b"chat/completions" in target:
            evil = json.dumps(EVIL)[1:-1]
            await talk.send(STREAM_HEAD + block(chunk(evil, "stop") + DONE) + LAST)
        elif b"/files" in target:
            files = [{"id": EVIL, "filename": EVIL, "bytes": 1, "purpose": "batch", "object": "file"}]
            await talk.answer(json.dumps({"object": "list", "data": files}).encode())
        else:
            models = [{"id": EVIL, "owned_by": EVIL, "object": "model"}]
            await talk.answer(json.dumps({"object": "list", "data": models}).encode())


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[ByteServer, dict[str, str]]]:
    """The service and the environment of its users."""
    async with byte_server(service) as server:
        yield server, {"ZHIPU_API_KEY": PLAIN_KEY, "ZHIPU_BASE_URL": server.url, "NO_PROXY": "127.0.0.1"}


COMMANDS = {
    "chat": ("chat", "Hello"),
    "chat, one object": ("chat", "--json", "Hello"),
    "an error": ("chat", "--model", "refused", "Hello"),
    "models": ("models",),
    "models, one object": ("models", "--json"),
    "files": ("files", "list", "--purpose", "batch"),
    "files, one object": ("files", "list", "--purpose", "batch", "--json"),
}


@pytest.mark.heavy
@pytest.mark.parametrize("arguments", [COMMANDS[name] for name in ("chat, one object", "an error", "models", "files")])
async def test_a_terminal_gets_no_control_characters_of_others(arguments: tuple[str, ...]) -> None:
    """Answers, errors, ids and names are shown without them; colours of our own are all there is."""
    async with serving() as (_, env), terminal(*arguments, env={**env, "NO_COLOR": "1"}) as person:
        await person.end()
        await person.until("title")
        shown = person.text
    assert not STEERING & set(shown)
    assert any(text in shown for text in (HARMLESS, "a\\u001b]0;title", "a\\x1b]0;title"))


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
async def test_a_pipe_gets_every_character(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read what the service said, character for character; in JSON as its escapes."""
    async with serving() as (_, env):
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        done = await invoke(*arguments)
    if "--json" in arguments:
        assert EVIL in found_texts(json.loads(done.output))
    elif arguments[0] == "chat" and "refused" not in arguments:  # errors show escapes everywhere: they are logged, too
        assert done.output == f"{EVIL}\n"
    elif arguments[0] == "files":
        assert done.output.count(EVIL) == 2
    assert found_in(done.output, done.errors) == []


def found_texts(value: Any) -> list[str]:
    """All texts of a JSON value."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in found_texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in found_texts(inner)]
    return [value] if isinstance(value, str) else []


class Screen(io.StringIO):
    """A terminal in memory."""

    def isatty(self) -> bool:
        return True


def test_tables_are_cleaned_for_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells and headings, at a terminal; a pipe gets them as they are."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for output, expected in ((Screen(), HARMLESS), (io.StringIO(), "a\x1b]0;title")):
        monkeypatch.setattr(sys, "stdout", output)
        table = Table(EVIL, box=None)
        table.add_row(EVIL)
        console().print(table)
        assert output.getvalue().count(expected) == 2


# ---------------------------------------------------------------- secrets


FAILING: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "an answer": (("chat", "Hello"), {}),
    "a gateway that quotes the key": (("chat", "--model", "echo", "Hello"), {}),
    "a proxy that is not there": (
        ("models", "--base-url", "https://glm.example/v4"),
        {"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:9"},
    ),
    "a proxy that is none": (("models",), {"NO_PROXY": "", "HTTP_PROXY": f"http://user:{PASSWORD}@[::1"}),
    "a password in the address": (("models", "--base-url", f"http://user:{PASSWORD}@[::1"), {}),
    "a key with a line end": (("models",), {"ZHIPU_API_KEY": f"{KEY}\nX-Evil: 1"}),
}


@pytest.mark.heavy
@pytest.mark.parametrize("case", FAILING)
async def test_debug_output_holds_no_secret(case: str, tmp_path: Path) -> None:
    """Nor do errors and warnings, with asyncio's debug mode on; and no file is written."""
    arguments, variables = FAILING[case]
    async with serving() as (_, env):
        env |= {"PYTHONASYNCIODEBUG": "1", "HOME": str(tmp_path), **variables}
        done = await run("--debug", *arguments, env=env)
    assert found_in(done.output, done.errors) == []
    assert done.errors
    assert names(tmp_path) == []


def test_a_crash_shows_no_locals(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw ends in Python's own traceback: rich's, with local variables, is off."""

    def crash(*_: object, **__: object) -> None:
        secret = KEY
        raise RuntimeError(f"{len(secret)}")

    monkeypatch.setattr(commands, "client_of", crash)
    assert commands.app.pretty_exceptions_enable is False
    done = CliRunner().invoke(commands.app, ["models"])
    assert isinstance(done.exception, RuntimeError)
    assert found_in(done.output) == []


def options(command: Any) -> Iterator[tuple[str, Any]]:
    """Every option and argument of a command and those below it."""
    for one in command.params:
        yield command.name, one
    for below in getattr(command, "commands", {}).values():
        yield from options(below)


def test_no_key_is_taken_from_the_command_line() -> None:
    """Where any user of the machine could read it; nor does an option read a variable that a usage error would show."""
    found = list(options(typer.main.get_command(commands.app)))
    assert len(found) > 50
    for command, option in found:
        words = {
            word
            for name in (option.name, *option.opts)
            for word in name.lower().strip("-").replace("-", "_").split("_")
        }
        assert not words & {"key", "apikey", "password", "secret", "header", "proxy", "auth"}, (
            command,
            option.name,
        )
        assert option.envvar is None
