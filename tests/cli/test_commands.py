"""models, simulate, demo and what surrounds the commands."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import zhipu_async
from tests.security.planted import KEY
from zhipu_async.cli.app import app
from zhipu_async.simulator import Json, Refusal, Scenario

from .conftest import Service
from .running import PATIENCE, command, finish, process_of, run, terminal

pytestmark = pytest.mark.heavy


async def invoke(*arguments: str) -> tuple[int, str, str]:
    """Run a command inside this process: exit code, standard output, standard error."""
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    return done.exit_code, done.stdout, done.stderr


# ---------------------------------------------------------------- models


async def test_models_are_listed(service: Service) -> None:
    """A table with a line for each model."""
    await service()
    code, output, _ = await invoke("models")
    assert code == 0
    assert {"glm-4.5", "glm-4.6", "glm-5.3"} <= {line.split()[0] for line in output.splitlines()}


async def test_names_of_models_are_no_markup(service: Service) -> None:
    """A name in brackets is shown as it is."""
    await service(Scenario(replies=[Json({"data": [{"id": "[bold]glm[/bold]"}]})]))
    _, output, _ = await invoke("models")
    assert output.splitlines()[1].split() == ["[bold]glm[/bold]"]


async def test_models_as_json(service: Service) -> None:
    """--json gives the list as the service sent it."""
    await service()
    code, output, errors = await invoke("models", "--json")
    assert (code, errors) == (0, "")
    assert {"id": "glm-4.6", "object": "model", "owned_by": "z-ai"} in json.loads(output)["data"]


async def test_models_that_are_refused(service: Service) -> None:
    """An error of the service ends with 1 and its message."""
    await service(Scenario(replies=[Refusal("1220")]))
    code, output, errors = await invoke("models")
    assert (code, output) == (1, "")
    assert "1220" in errors


# ---------------------------------------------------------------- simulate


async def test_simulate_serves_until_ctrl_c() -> None:
    """It prints address and key in a form for the shell, answers there, and ends with 130 at Ctrl-C."""
    async with process_of(*command("simulate", "--port", "0")) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        settings = dict(line.removeprefix("export ").strip().split("=") for line in lines[1:])
        assert settings.keys() == {"ZHIPU_BASE_URL", "ZHIPU_API_KEY"}
        asked = await run("chat", "--no-thinking", "Hi", env=settings)
        assert (asked.code, asked.errors) == (0, "")
        assert "simulated" in asked.output
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    assert (done.code, done.errors) == (130, "")


async def test_a_port_that_is_taken(service: Service) -> None:
    """It says which address it could not take, and ends with 1."""
    simulator = await service()
    code, output, errors = await invoke("simulate", "--port", simulator.origin.rpartition(":")[2])
    assert (code, output) == (1, "")
    assert f"cannot listen on {simulator.origin.removeprefix('http://')}" in errors


# ---------------------------------------------------------------- demo


async def test_the_demo_needs_no_key() -> None:
    """Without a key the whole conversation is held with a simulator, in some seconds, and a pipe gets plain text."""
    done = await run("demo")
    assert (done.code, done.errors) == (0, "")
    assert "\x1b" not in done.output
    assert "simulated service in this process: set ZHIPU_API_KEY" in done.output
    lines = done.output.splitlines()
    headings = " ".join(line.split()[0] for line in lines[1:] if line and not line.startswith(" "))
    assert headings == "you thinking tool result thinking glm you thinking glm call 1 2 3"
    assert 'tool      get_weather {"city":"Beijing"}' in lines
    assert any(line.startswith("glm       It is 4 °C in Beijing") for line in lines)
    assert all(line == line.rstrip() for line in lines if not line.startswith("call"))


async def test_the_demo_with_a_key_asks_the_service(service: Service) -> None:
    """With a key in the environment the service is asked: with thinking, the tool, its result and the follow-up."""
    simulator = await service()
    code, output, _ = await invoke("demo", "--model", "glm-4.6")
    assert code == 0
    assert simulator.base_url in output
    assert [request.model for request in simulator.requests] == ["glm-4.6"] * 3
    first, second, third = (request.body for request in simulator.requests)
    assert (first["stream"], first["tool_stream"], first["thinking"]) == (True, True, {"type": "enabled"})
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert second["messages"][-1]["tool_call_id"] == second["messages"][-2]["tool_calls"][0]["id"]
    assert [message["role"] for message in third["messages"][4:]] == ["assistant", "user"]


async def test_the_demo_can_leave_the_key_alone(service: Service) -> None:
    """--simulated asks nobody outside, though there is a key."""
    simulator = await service()
    async with process_of(*command("demo", "--simulated")) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            output = await process.stdout.readuntil(b"thinking")
    assert b"simulated service in this process" in output
    assert simulator.requests == []


async def test_ctrl_c_ends_the_demo() -> None:
    """Ctrl-C in the middle of the demo ends it with 130 and no traceback."""
    async with terminal("demo") as person:
        await person.until("thinking")
        person.interrupt()
        assert await person.end() == 130
    assert "Traceback" not in person.text
    assert "\x1b[2mthinking" in person.seen


# ---------------------------------------------------------------- around the commands


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chat", "hi", "--timeout", "0"), "error: timeout must be a positive number of seconds, not 0.0\n"),
        (("models",), "error: no API key: set ZHIPU_API_KEY (open.bigmodel.cn) or ZAI_API_KEY (api.z.ai)\n"),
    ],
    ids=["timeout", "key"],
)
async def test_errors_speak_of_the_command_line(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No error tells who types a command what to write in Python."""
    if "models" not in arguments:
        monkeypatch.setenv("ZHIPU_API_KEY", KEY)
    assert await invoke(*arguments) == (2, "", said)


async def test_a_model_that_is_none(service: Service) -> None:
    """The way to the list of models is the command."""
    await service()
    code, _, errors = await invoke("chat", "hi", "--model", "x")
    assert (code, "client." in errors) == (1, False)
    assert "zhipu-async models lists" in errors


@pytest.mark.parametrize(
    "arguments",
    [("chat", "hi", "--base-url", KEY), ("doctor", "--base-url", KEY), ("doctor", KEY), (KEY,)],
    ids=" ".join,
)
@pytest.mark.parametrize("known", [True, False], ids=["set", "not set"])
async def test_a_key_in_the_wrong_place_is_not_shown(
    arguments: tuple[str, ...], known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something else is wanted, what has the form of a key is ***, whether or not it is the one in force."""
    if known:
        monkeypatch.setenv("ZHIPU_API_KEY", KEY)
    code, output, errors = await invoke(*arguments)
    assert code == 2
    assert KEY not in output + errors
    assert "***" in output + errors


async def test_help_and_version() -> None:
    """--help lists the commands, --version the version; no command at all shows the help and is wrong use."""
    code, output, _ = await invoke("--help")
    assert code == 0
    assert all(name in output for name in ("chat", "models", "simulate", "demo"))
    assert await invoke("--version") == (0, f"{zhipu_async.__version__}\n", "")
    assert (await invoke())[0] == 2


async def test_the_script_is_the_module(service: Service) -> None:
    """The installed command does what the module does."""
    await service()
    script = Path(sys.executable).with_name("zhipu-async")
    async with process_of(str(script), "models") as process:
        done = await finish(process)
    assert done == await run("models")
    assert done.code == 0


@pytest.mark.parametrize("missing", ["typer", "rich"])
async def test_without_the_extra_one_line_says_how_to_get_it(missing: str) -> None:
    """Where a package of the extra is not installed, one line names the command that installs it, with exit code 2."""
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from zhipu_async.__main__ import main\n"
        "sys.argv[1:] = ['demo']; main()"
    )
    async with process_of(sys.executable, "-W", "error", "-c", program) as process:
        done = await finish(process)
    assert (done.code, done.output) == (2, "")
    assert done.errors.endswith("pip install 'zhipu-async[cli]'\n")
    assert done.errors.count("\n") == 1


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of the installation that has nothing to do with the extra is not hidden."""
    from zhipu_async.__main__ import main

    monkeypatch.delitem(sys.modules, "zhipu_async.cli.app")
    monkeypatch.setitem(sys.modules, "zhipu_async.cli.shared", None)
    with pytest.raises(ModuleNotFoundError):
        main()
