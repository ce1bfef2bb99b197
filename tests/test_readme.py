"""The README says what is true: its programs run, its commands and names exist."""

import ast
import asyncio
import codeop
import os
import re
import struct
import sys
import textwrap
import tomllib
import zlib
from importlib.util import find_spec
from pathlib import Path

import pytest

import zhipu_async
from tests.errors_said import said
from zhipu_async.catalogue import rows
from zhipu_async.config import KEY_VARIABLES, PLATFORMS, URL_VARIABLES
from zhipu_async.simulator import Simulator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTEST = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider")
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
HEADINGS = re.findall(r"^##+ (.*)$", PROSE, re.MULTILINE)
PROGRAMS = [text for language, text in FENCES if language == "python"]
COMMANDS = [line for language, text in FENCES if language == "sh" for line in text.splitlines()]


def program(text: str) -> str:
    """A block as a whole program: those without an event loop of their own are put inside ``async with ... client``."""
    if "asyncio.run(" in text:
        return text
    return (
        "import asyncio\nfrom zhipu_async import AsyncZhipuAI as Client\n"
        "async def main() -> None:\n    async with Client() as client:\n"
        f"{textwrap.indent(text, ' ' * 8)}\nasyncio.run(main())\n"
    )


def packages(text: str) -> set[str]:
    """What a block imports."""
    nodes = list(ast.walk(ast.parse(program(text))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | named}


def png() -> bytes:
    """A picture of one white pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\xff")) + chunk(b"IEND", b"")


@pytest.mark.heavy
@pytest.mark.parametrize(
    "text", PROGRAMS, ids=[f"line {README[: README.index(text)].count(chr(10)) + 1}" for text in PROGRAMS]
)
async def test_every_program_runs(text: str, tmp_path: Path) -> None:
    """Each Python block runs against the simulator, as it stands, without an error or a warning; tests by pytest."""
    if missing := sorted(name for name in packages(text) if find_spec(name) is None):
        (pytest.fail if os.environ.get("REQUIRE_EXTRAS") == "1" else pytest.skip)(f"needs {missing}")
    (tmp_path / "photo.png").write_bytes(png())
    (tmp_path / "test_block.py").write_text(text, encoding="utf-8")
    tests = "def test_" in text
    how = ("-m", "pytest", *PYTEST) if tests else ("-c", program(text))
    async with Simulator() as service:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error", *how),
            cwd=tmp_path,
            env={**os.environ, "ZHIPU_API_KEY": service.api_key, "ZHIPU_BASE_URL": service.base_url, "PYTHONUTF8": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            output, errors = await process.communicate()
    assert (process.returncode, said(errors)) == (0, "")
    assert output or "assert" in text or "timeout" in text


@pytest.mark.parametrize(
    "text", PROGRAMS, ids=[f"line {README[: README.index(text)].count(chr(10)) + 1}" for text in PROGRAMS]
)
def test_every_program_can_be_typed(text: str) -> None:
    """Line by line, as ``python -m asyncio`` reads them: an empty line ends an indented block, nothing else does."""
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    typed: list[str] = []
    for line in [*text.splitlines(), ""]:
        typed.append(line)
        if compiler("\n".join(typed)) is not None:
            typed.clear()
    assert not "".join(typed)


def test_there_are_programs_to_run() -> None:
    """The blocks were found: more than ten of Python, and one command for the demo and one for the tests."""
    assert len(PROGRAMS) > 10
    setups = [command for command in COMMANDS if command.startswith("python3 -m venv .venv && ")]
    assert [command.split()[-1] for command in setups] == ["demo", "pytest"]


def test_the_error_tree_is_the_one_in_the_code() -> None:
    """Every error of the tree is public, and every public error is in the tree."""
    tree = next(text for _, text in FENCES if text.startswith("ZhipuError\n"))
    public = {
        name
        for name in zhipu_async.__all__
        if isinstance(kind := getattr(zhipu_async, name), type) and issubclass(kind, Exception)
    }
    named = set(re.findall(r"\b[A-Z]\w+", tree))
    assert named == public


def test_keys_and_endpoints_are_those_of_the_code() -> None:
    """Every platform, with its address, and every environment variable is in the README."""
    for name, url in PLATFORMS.items():
        assert re.search(rf'`"{name}"`[^|]*\| `{re.escape(url)}` \|', README)
    for variable in (*KEY_VARIABLES, *URL_VARIABLES.values()):
        assert f"`{variable}`" in README


def test_every_extra_is_in_the_table() -> None:
    """The table of extras names those of the package, each once."""
    table = README[README.index("| Extra | For | Brings |") :].partition("\n\n")[0].splitlines()[3:]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert sorted(name for line in table for name in re.findall(r"`([^`]+)`", line.split("|")[1])) == sorted(extras)


def test_every_resource_is_in_the_table() -> None:
    """The table of what there is beside chat names every resource of the client, and nothing else."""
    table = README[README.index("| `client.` |") : README.index("### Embeddings and rerank")]
    cells = [line.split("|")[1] for line in table.strip().splitlines()[2:]]
    named = {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}
    assert named == {row.name.rpartition(".")[0] for row in rows() if row.path != "{url}"} | {"realtime"}


def test_the_names_of_the_official_sdk_are_aliases() -> None:
    """What the table of names puts side by side is the same call."""
    table = README[README.index("| Name there |") :].partition("\n\n")[0].splitlines()[2:]
    endpoints = {name: row for row in rows() for name in (row.name, *row.aliases)}
    for line in filter(None, table):
        theirs, ours = (re.findall(r"`([\w.]+)`", cell) for cell in line.split("|")[1:3])
        assert [endpoints[name] for name in theirs] == [endpoints[name] for name in ours]
        assert not set(theirs) & set(ours)


def test_names_in_the_text_exist() -> None:
    """What the text names in the form `CapitalisedName` is a public name."""
    names = set(re.findall(r"`([A-Z][a-z]\w*)`", PROSE))
    assert names
    assert names <= set(zhipu_async.__all__)


def test_links_lead_somewhere() -> None:
    """Every relative link of the README is a file of the project, and every other one a heading of its own."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists()
    anchors = [slug(heading) for heading in HEADINGS]
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= set(anchors)


def test_the_page_for_the_next_engineer_names_what_is_there() -> None:
    """Its links and the files that it names, of the package or of the project, exist; so do the tables in capitals."""
    page = (ROOT / "zhipu_async" / "README.md").read_text(encoding="utf-8")
    files = re.findall(r"`([\w/]+\.(?:py|md)|[\w]+/)`", page)
    assert len(files) > 30
    for target in [*files, *re.findall(r"\]\(([^)#:]+)\)", page)]:
        assert any((folder / target).exists() for folder in (ROOT / "zhipu_async", ROOT)), target
    tables = {*re.findall(r"`([A-Z_]{4,})`", page)} - {"POST", "GET"}
    source = "".join(
        path.read_text(encoding="utf-8") for top in ("zhipu_async", "tests") for path in (ROOT / top).rglob("*.py")
    )
    assert {name for name in tables if not re.search(rf"^{name}\b.* = ", source, re.MULTILINE)} == set()


def slug(heading: str) -> str:
    """The anchor that a heading has on GitHub."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_contents_are_complete() -> None:
    """The list at the top leads to every part, or to all the sections of it, in their order."""
    listed = re.findall(r"\]\(#([^)]+)\)", README[README.index("**Contents**") : README.index("\n## ")])
    anchors = [slug(heading) for heading in HEADINGS]
    assert listed == sorted(listed, key=anchors.index)
    for part in PROSE.split("\n## ")[1:]:
        title, *sections = [part.partition("\n")[0], *re.findall(r"^### (.*)$", part, re.MULTILINE)]
        assert slug(title) in listed or {slug(section) for section in sections} <= set(listed), title
