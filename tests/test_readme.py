"""The README says what is true: its programs run, its commands and names exist."""

import asyncio
import os
import re
import struct
import sys
import textwrap
import zlib
from pathlib import Path

import pytest

import zhipu_async
from tests.errors_said import said
from zhipu_async.catalogue import rows
from zhipu_async.config import KEY_VARIABLES, PLATFORMS, URL_VARIABLES
from zhipu_async.simulator import Simulator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
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
    """Each Python block runs against the simulator, as it stands, without an error or a warning."""
    (tmp_path / "photo.png").write_bytes(png())
    async with Simulator() as service:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error", "-c", program(text)),
            cwd=tmp_path,
            env={**os.environ, "ZHIPU_API_KEY": service.api_key, "ZHIPU_BASE_URL": service.base_url, "PYTHONUTF8": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            output, errors = await process.communicate()
    assert (process.returncode, said(errors)) == (0, "")
    assert output or "assert" in text or "timeout" in text


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


def test_every_resource_is_in_the_table() -> None:
    """The table of what there is beside chat names every resource of the client, and nothing else."""
    table = README[README.index("| `client.` |") : README.index("### Embeddings and rerank")]
    cells = [line.split("|")[1] for line in table.strip().splitlines()[2:]]
    named = {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}
    assert named == {row.name.rpartition(".")[0] for row in rows() if row.path != "{url}"} | {"realtime"}


def test_the_names_of_the_official_sdk_are_aliases() -> None:
    """What the table of names puts side by side is the same call."""
    table = README[README.index("| Name there |") : README.index("### Coming from the official SDK")].splitlines()[2:]
    endpoints = {name: row for row in rows() for name in (row.name, *row.aliases)}
    for line in filter(None, table):
        theirs, ours = (re.findall(r"`([\w.]+)`", cell) for cell in line.split("|")[1:3])
        assert [endpoints[name] for name in theirs] == [endpoints[name] for name in ours]
        assert not set(theirs) & set(ours)


def test_names_in_the_text_exist() -> None:
    """What the text names in the form `CapitalisedName` is a public name."""
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    names = set(re.findall(r"`([A-Z][a-z]\w*)`", prose))
    assert names
    assert names <= set(zhipu_async.__all__)


def test_links_lead_somewhere() -> None:
    """Every relative link of the README is a file of the project."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists()
