"""The import directions of the design, read from the source itself."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy  # the source is the same for every version of Python

PACKAGE = Path(__file__).parent.parent / "zhipu_async"

ROOMS = {
    "errors": set(),
    "version": set(),
    "config": {"errors"},
    "statistics": set(),
    "telemetry": {"errors", "statistics"},
    "alerts": {"errors", "config", "statistics", "telemetry"},
    "types": {"errors", "config", "telemetry"},
    "attachments": {"errors", "types"},
    "protocol": {"errors", "config", "telemetry", "types"},
    "threads": set(),
    "later": set(),
    "models": set(),
    "streaming": {"errors", "telemetry", "types", "protocol"},
    "downloads": {"errors", "telemetry", "types", "threads"},
    "pages": {"types"},
    "binding": {"errors", "types", "protocol", "streaming", "downloads", "pages"},
    "tools": {"errors", "config", "types", "protocol", "threads"},
    "finish": {"errors", "types"},
    "tool_calls": {"errors", "types", "tools"},
    "tool_runs": {"errors", "config", "types", "protocol", "binding", "tools", "tool_calls", "finish"},
    "answer_types": {"errors", "protocol"},
    "structured": {"errors", "config", "types", "protocol", "binding", "answer_types", "finish"},
    "conversation": {"errors", "types", "protocol", "tools", "finish", "tool_runs", "structured"},
    "resources": {"types", "protocol", "later", "binding", "tool_runs", "structured"},
    "transport": {"errors", "config", "telemetry", "protocol", "threads"},
    "realtime": {"errors", "config", "types", "protocol"},
    "polling": {"errors", "config", "telemetry", "types", "protocol", "resources"},
    "outcomes": {"errors", "protocol"},
    "items": {"errors", "protocol", "resources"},
    "journal": {"errors", "config", "telemetry", "types", "protocol", "downloads", "threads", "outcomes", "items"},
    "ledger": {"errors", "config", "protocol", "outcomes", "items", "journal"},
    "fanout": {"errors", "config", "telemetry", "protocol", "outcomes", "items", "journal", "ledger"},
    "batching": {
        "errors", "config", "telemetry", "types", "protocol", "downloads", "threads", "resources", "outcomes", "items",
        "journal",
    },
    "runs": {
        "errors", "config", "types", "downloads", "dispatch", "transport", "polling", "outcomes", "items", "journal",
        "fanout", "batching",
    },
    "dispatch": {
        "errors", "config", "telemetry", "types", "protocol", "models", "downloads", "streaming", "binding",
        "transport",
    },
    "client": {
        "errors", "version", "config", "statistics", "telemetry", "types", "protocol", "later", "streaming", "binding",
        "resources", "transport", "dispatch", "polling", "realtime", "runs",
    },
    "catalogue": {"binding", "client"},
    "benchmarking": {"errors", "version", "config", "telemetry", "types", "protocol", "client"},
    "simulator": set(),
    "testing": {"errors", "config", "simulator"},
}  # fmt: skip
"""Each room and the rooms it may import, besides itself. What is not here (OPEN) may import all."""

OPEN = {"__init__", "__main__", "cli", "integrations"}

PURE = ("errors", "types", "protocol")
"""Rooms without async, clock, socket and randomness."""

IMPURE_MODULES = {"asyncio", "time", "random", "socket", "threading", "os", "pathlib"}

ONLY_IN = {
    "aiohttp": {"transport", "simulator", "testing", "integrations/aiohttp_web.py"},
    "starlette": {"integrations/starlette.py"},
    "yarl": {"transport", "simulator", "testing"},
    "multidict": {"transport", "simulator"},
    "tenacity": {"transport/retrying.py"},
    "jwt": {"protocol/token.py", "simulator"},
    "pytest": {"integrations/pytest_plugin.py"},
    "typer": {"cli"},
    "matplotlib": {"benchmarking/plot.py"},
    "rich": {"cli"},
    "ray": {"integrations"},
    "pyarrow": {"integrations"},
    "opentelemetry": {"integrations"},
    "pydantic_ai": {"integrations"},
    "any_llm": {"integrations"},
}
"""Packages and the only rooms or files that import them (aside from names for type checking)."""

FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    """The top-level module or folder that a file belongs to."""
    return file.parts[0].removesuffix(".py")


def imports(file: Path) -> list[tuple[str, bool]]:
    """The modules that a file imports, absolute; True when only for type checking."""
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: list[tuple[str, bool]] = []
    package = ["zhipu_async", *file.with_suffix("").parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in checking) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.module or "", id(node) in checking))
        elif isinstance(node, ast.ImportFrom):
            base = package[: -node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found += [(".".join([*base, name]), id(node) in checking) for name in names]
    return found


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_imports_only_the_rooms_below_it(file: Path) -> None:
    """Every import inside the package goes down, as ROOMS lists it."""
    room = room_of(file)
    if room not in ROOMS:
        assert room in OPEN, f"{room} is a new room: say what it may import"
        return
    inside = {module.split(".")[1] for module, _ in imports(file) if module.startswith("zhipu_async.")}
    assert inside - {room} <= ROOMS[room]


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) in PURE], ids=str)
def test_the_middle_is_pure(file: Path) -> None:
    """Errors, types and protocol hold no async code and import no clock, socket, randomness or file system."""
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(tree) if isinstance(node, waiting)]
    assert not {module.split(".")[0] for module, _ in imports(file)} & IMPURE_MODULES


@pytest.mark.parametrize("file", FILES, ids=str)
def test_packages_are_imported_in_their_own_room_only(file: Path) -> None:
    """aiohttp's client is known to the transport alone, tenacity to one file, and so on."""
    for module, for_types in imports(file):
        homes = ONLY_IN.get(module.split(".")[0])
        if homes is not None and not for_types:
            assert {room_of(file), str(file.as_posix())} & homes, f"{file} imports {module}"


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) != "integrations"], ids=str)
def test_nobody_imports_the_integrations(file: Path) -> None:
    """Each integration is for its users alone: what it needs is an extra."""
    assert not [module for module, _ in imports(file) if module.startswith("zhipu_async.integrations")]


def test_no_file_is_longer_than_400_lines() -> None:
    """A file that one can hold in the head."""
    long = {str(file): lines for file in FILES if (lines := len((PACKAGE / file).read_text().splitlines())) > 400}
    assert not long
