"""--help, its examples, completion in real shells, colours, encodings, closed pipes, and what a start reads."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer import rich_utils
from typer.testing import CliRunner

from zhipu_async.cli.app import COMMANDS, READER_GONE, app

from .conftest import Service
from .invoking import invoke
from .running import COLOURS, command, environment, finish, process_of, run, terminal


@pytest.fixture(autouse=True)
def _no_colours_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rich_utils, "FORCE_TERMINAL", None)
    for name in COLOURS:
        monkeypatch.delenv(name, raising=False)


def walk(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, and the group, with the words that lead there."""
    yield path, group
    for name, below in getattr(group, "commands", {}).items():
        yield from walk(below, (*path, name))


ALL = dict(walk(typer.main.get_command(app)))
PATHS = [" ".join(path) for path in ALL]


def shown(path: str, width: int = 80) -> str:
    """The help of a command in a pipe of so many columns."""
    done = CliRunner().invoke(app, [*path.split(), "--help"], env={"COLUMNS": str(width), "TERMINAL_WIDTH": ""})
    assert done.exit_code == 0, done.output
    return done.stdout


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize("path", PATHS)
def test_everything_is_explained(path: str) -> None:
    """Every command and each of its arguments and options has a text, and ends with an example."""
    one = ALL[tuple(path.split())]
    assert one.help
    assert (one.epilog or "").startswith("Examples:")
    unexplained = [each.name for each in one.params if not each.help]
    assert unexplained == []


TYPES = re.compile(r"^│.* --[\w-]+ .*(<(?:str|int|float|path|list)\b.*>|\b(?:INTEGER|FLOAT|PATH)\b)", re.MULTILINE)
"""An option whose value is named by its type, as the versions of typer write it."""


@pytest.mark.parametrize("path", PATHS)
def test_options_with_a_value_say_what_it_is(path: str) -> None:
    """Numbers and texts are named by unit or kind, not by type; and the text of an option is a sentence."""
    assert TYPES.findall(shown(path, 200)) == []
    for each in ALL[tuple(path.split())].params:
        assert each.help[0].isupper() or each.help.startswith("bigmodel, "), each.help
        assert each.help.endswith("."), each.help


@pytest.mark.parametrize("path", PATHS)
def test_help_fits_80_columns(path: str) -> None:
    """Nothing is cut off, no line is longer, and a pipe gets no colours; the examples stand there as they are typed."""
    text = shown(path)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text
    lines = [line.strip() for line in text.splitlines()]
    for example in (ALL[tuple(path.split())].epilog or "").split("\n\n")[1:]:
        assert example.strip() in lines


@pytest.mark.parametrize("width", [1, 20, 200])
def test_help_at_other_widths(width: int) -> None:
    """However narrow or wide, help is shown, and wide lines are used."""
    text = shown("run", width)
    assert "Usage" in text or width == 1
    assert ("An" in text) or width < 20
    if width == 200:
        assert "Put the answers into the input's order at the end." in text


def test_commands_stand_in_panels() -> None:
    """In the order of the table that they are registered by, under its headings."""
    text = shown("")
    places = [text.index(f"\n│ {name} ") for _, name, *_ in COMMANDS]
    assert places == sorted(places)
    headings = re.findall(r"^╭─ (\w+) ─", text, re.MULTILINE)
    assert headings == ["Options", "Talk", "Make", "Many", "Files", "Tools"]


@pytest.mark.parametrize("path", PATHS)
def test_examples_are_understood(path: str) -> None:
    """Each example names a command that exists with options that exist, and values that they take."""
    commands = typer.main.get_command(app)
    called: list[str] = []
    for words, one in walk(commands):
        if words != () and one.callback is not None:
            one.callback = lambda words=words, **_: called.append(" ".join(words))
    for example in (ALL[tuple(path.split())].epilog or "").split("\n\n")[1:]:
        words = shlex.split(example.partition("  #")[0].rpartition("| ")[2])
        assert words[0] == "zhipu-async"
        words = words[1 : words.index(">")] if ">" in words else words[1:]
        if words == ["--install-completion"]:
            continue
        called.clear()
        commands.main(words, standalone_mode=False)
        assert called
        assert called[-1].startswith(path)


async def test_a_mistyped_command() -> None:
    """The nearest is suggested, and it is wrong use."""
    done = await invoke("doctr")
    assert (done.code, done.output) == (2, "")
    assert "'doctor'" in done.errors
    assert "--base-url" in (await invoke("models", "--baseurl", "zai")).errors


# ---------------------------------------------------------------- colours and encodings


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str
)
async def test_colours_at_a_terminal(env: dict[str, str], coloured: bool) -> None:
    """Help has colours at a terminal, and no escape sequence where they are unwanted or not understood."""
    async with terminal("--help", env=env) as person:
        await person.end()
        await person.until("Examples")
    assert ("\x1b[" in person.seen) == coloured


@pytest.mark.heavy
async def test_findings_have_colours_at_a_terminal() -> None:
    """What the doctor finds is coloured by its verdict, and says the same."""
    async with terminal("doctor", "--base-url", "http://127.0.0.1:9") as person:
        assert await person.end() == 2
        await person.until("2 failed")
    assert "\x1b[1;31mfailed" in person.seen
    assert "failed   key       none" in person.text


@pytest.mark.heavy
async def test_colours_where_they_are_forced() -> None:
    """FORCE_COLOR colours a pipe as well, unless NO_COLOR forbids it; without it a pipe gets none."""
    for env, coloured in (({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)):
        done = await run("doctor", "--base-url", "http://127.0.0.1:9", env=env)
        assert (done.code, "\x1b[" in done.output) == (2, coloured)
    assert "\x1b[" not in (await invoke("doctor", "--base-url", "http://127.0.0.1:9")).output


@pytest.mark.heavy
@pytest.mark.parametrize("env", [{"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "cp1252"}], ids=str)
async def test_other_encodings(env: dict[str, str]) -> None:
    """Help and errors can be written in any encoding: frames are drawn with what it has."""
    for arguments, code in ((("--help",), 0), (("nothing",), 2)):
        async with process_of(*command(*arguments), env={"PYTHONUTF8": "0", **env}) as process:
            output, errors = await process.communicate()
        assert process.returncode == code, errors
        assert (output + errors).isascii()
        assert b"Traceback" not in errors


# ---------------------------------------------------------------- a reader that has seen enough


@pytest.mark.heavy
@pytest.mark.parametrize("arguments", ["--help", "models", "doctor"])
async def test_a_closed_pipe(service: Service, arguments: str) -> None:
    """Nobody reads on: the command ends quietly, as by SIGPIPE."""
    await service()
    ours, theirs = os.pipe()
    os.close(ours)
    process = await start(arguments.split(), theirs)
    done = await finish(process)
    assert (done.code, done.errors) == (READER_GONE, "")


@pytest.mark.heavy
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is full")
@pytest.mark.parametrize("arguments", ["--help", "bench --help", "--version", "models --known"])
async def test_a_full_disk(arguments: str) -> None:
    """What cannot be written ends with one line and 2, also where it is help."""
    done = await finish(await start(arguments.split(), os.open("/dev/full", os.O_WRONLY)))
    assert (done.code, done.errors) == (2, "error: cannot write standard output: No space left on device\n")


async def start(arguments: list[str], output: int) -> Any:
    """A process with this descriptor as its standard output, which is closed here."""
    try:
        return await asyncio.create_subprocess_exec(
            *command(*arguments), env=environment({}), stdout=output, stderr=asyncio.subprocess.PIPE
        )
    finally:
        os.close(output)


# ---------------------------------------------------------------- completion

QUESTIONS = ("doc", "chat --model glm-4.7", "files upload ")
BASH = """
eval "$(_ZHIPU_ASYNC_COMPLETE=source_bash zhipu-async)"
for question; do
  COMP_WORDS=(zhipu-async ${question% }); [[ $question == *' ' ]] && COMP_WORDS+=('')
  COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
  _zhipu_async_completion zhipu-async
  echo "${COMPREPLY[*]}"
done
complete -p zhipu-async
"""
ZSH = """
compdef() { }
_arguments() { print -r -- ${(F)@} }
_files() { print files }
eval "$(_ZHIPU_ASYNC_COMPLETE=source_zsh zhipu-async)"
for question; do
  words=(zhipu-async ${=question}); [[ $question == *' ' ]] && words+=('')
  CURRENT=$#words
  _zhipu_async_completion
done
"""
FISH = """
_ZHIPU_ASYNC_COMPLETE=source_fish zhipu-async | source
for question in $argv
  complete -C "zhipu-async $question"
  echo
end
"""
SHELLS = {
    "bash": (("bash", "--norc", "-c", BASH, "bash"), """doctor
glm-4.7 glm-4.7-flash glm-4.7-flashx

complete -o default -F _zhipu_async_completion zhipu-async
"""),
    "zsh": (("zsh", "-f", "-c", ZSH, "zsh"), """*: :(("doctor":"Find out why it does not work."))
*: :(("glm-4.7":"text" "glm-4.7-flash":"text, free" "glm-4.7-flashx":"text"))
files
"""),
    "fish": (("fish", "--no-config", "-c", FISH), """doctor\tFind out why it does not work.

glm-4.7\ttext
glm-4.7-flash\ttext, free
glm-4.7-flashx\ttext

calls.jsonl

"""),
}  # fmt: skip
"""How each is asked, and what it offers. Where bash is offered nothing it falls back (-o default) to files."""


@pytest.mark.heavy
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, tmp_path: Path) -> None:
    """Commands, models and files: what bash, zsh and fish offer, asked from the shells themselves."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    (tmp_path / "calls.jsonl").touch()
    program, expected = SHELLS[shell]
    scripts = str(Path(sys.executable).parent)
    env = environment({"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)})
    done = subprocess.run(
        [*program, *QUESTIONS], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (expected, "")


@pytest.mark.heavy
async def test_powershell_is_answered() -> None:
    """What its script asks for is answered in the form that it takes apart."""
    env = {
        "_ZHIPU_ASYNC_COMPLETE": "complete_powershell",
        "_TYPER_COMPLETE_ARGS": "zhipu-async doctor --ask glm-4.6,glm-5.3-",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": "glm-4.6,glm-5.3-",
    }
    names = CliRunner().invoke(
        app,
        [],
        prog_name="zhipu-async",
        env={
            **env,
            "_TYPER_COMPLETE_ARGS": "zhipu-async files list --purpose a",
            "_TYPER_COMPLETE_WORD_TO_COMPLETE": "a",
        },
    )
    assert names.stdout.splitlines() == ["agent::: "]
    done = await run(env=env)
    assert done.output.splitlines() == ["glm-4.6,glm-5.3-flash:::vision", "glm-4.6,glm-5.3-flashx:::vision"]


@pytest.mark.heavy
async def test_completion_is_installed(tmp_path: Path) -> None:
    """It is written where the shell looks, for the command by its name, and into the user's folder alone."""
    env = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = await run("--install-completion", "bash", env=env)
    assert done.code == 0
    assert (tmp_path / ".bash_completions" / "zhipu-async.sh").read_text().startswith("_zhipu_async_completion()")
    assert "zhipu-async.sh" in (tmp_path / ".bashrc").read_text()
    shown = await run("--show-completion", "zsh", env=env)
    assert "#compdef zhipu-async" in shown.output


# ---------------------------------------------------------------- a start


@pytest.mark.heavy
def test_help_reads_no_client() -> None:
    """--help imports neither aiohttp nor the client, the simulator or the checks of the doctor."""
    program = (
        "import json, sys\nfrom zhipu_async.__main__ import main\nsys.argv = ['zhipu-async', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = set(json.loads(done.stdout.splitlines()[-1]))
    unwanted = {"aiohttp", "jwt", "tenacity", "pydantic", "matplotlib", "zhipu_async.client"}
    assert not found & unwanted
    assert not [name for name in found if name.startswith(("zhipu_async.simulator", "zhipu_async.cli.doctor_"))]
    assert len([name for name in found if name.startswith("zhipu_async.")]) <= 100
