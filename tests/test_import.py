"""What an import reads, and that names which are read later are there all the same."""

from __future__ import annotations

import ast
import json
import pickle
import pydoc
import ssl
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import zhipu_async
from zhipu_async import AsyncZhipuAI, resources
from zhipu_async.binding import Group, Resource
from zhipu_async.later import later
from zhipu_async.structured import Parse
from zhipu_async.tool_runs import RunTools

SOURCE = Path(zhipu_async.__file__).read_text(encoding="utf-8")

REPORT = """
import dataclasses, json, sys
modules = {name: module for name, module in sys.modules.items() if module is not None}
made = {
    f"{name}.{value.__name__}"
    for name, module in modules.items() if name.startswith("zhipu_async")
    for value in vars(module).values()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == name
}
print(json.dumps({"modules": sorted(modules), "dataclasses": sorted(made)}))
"""

ROOMS = (
    "alerts answer_types attachments batching catalogue cli conversation fanout finish integrations items journal "
    "ledger models outcomes polling realtime simulator structured testing tool_calls tool_runs tools"
)
"""Rooms that a client is made without."""
PROTOCOL = "candidates docstrings events extract json_schema jsonl mending partial places realtime schema"
LATER = {
    *(f"zhipu_async.{room}" for room in ROOMS.split()),
    "zhipu_async.types.realtime",
    *(f"zhipu_async.protocol.{file}" for file in PROTOCOL.split()),
    "zhipu_async.transport.handshake",
    "zhipu_async.transport.websocket",
    *("typer", "rich", "tenacity", "jwt", "pydantic", "pyarrow", "ray", "opentelemetry", "multiprocessing"),
}

CLIENT = "from zhipu_async import AsyncZhipuAI; client = AsyncZhipuAI('k.s')"


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def loaded(program: str, report: str = "modules") -> set[str]:
    """The modules (or dataclasses of ours) that an interpreter has after ``program``."""
    return set(json.loads(run(program + REPORT))[report])


def written() -> dict[str, str]:
    """The names that type checkers read, and their modules."""
    (block,) = [node for node in ast.parse(SOURCE).body if isinstance(node, ast.If)]
    lines = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.name == alias.asname for node in lines for alias in node.names), "X as X makes X public"
    return {alias.name: f"zhipu_async.{node.module}" for node in lines for alias in node.names}


# ---------------------------------------------------------------- what is read


@pytest.mark.heavy
def test_importing_the_package_reads_its_version_alone() -> None:
    """``import zhipu_async`` imports two modules of the package, and beside them ``typing`` alone."""
    found = loaded("import zhipu_async") - loaded("import typing")
    assert found == {"zhipu_async", "zhipu_async.version"}


@pytest.mark.heavy
def test_a_client_is_made_without_what_most_programs_do_not_use() -> None:
    """Runs, tools, typed answers, WebSockets, the command line: all comes later than a client."""
    assert loaded(CLIENT) & LATER == set()


def test_what_comes_later_exists() -> None:
    """The modules of ours that a client is made without are found: none is looked for in vain."""
    assert [name for name in LATER if name.startswith("zhipu_async.") and find_spec(name) is None] == []


@pytest.mark.heavy
def test_a_client_needs_little_beside_aiohttp_and_msgspec() -> None:
    """Of other packages a client imports three small modules of the standard library that those two have not."""
    foreign = {name for name in loaded(CLIENT) - loaded("import aiohttp, msgspec") if "zhipu_async" not in name}
    assert foreign <= {"hmac", "secrets", "dataclasses"}


@pytest.mark.heavy
def test_few_dataclasses_are_made_for_a_client() -> None:
    """Each is source that is written and compiled at import, as long as 60 structs take: at most eight are left."""
    assert len(loaded(CLIENT, "dataclasses")) <= 8


@pytest.mark.heavy
def test_the_first_resource_reads_the_endpoints_and_no_more() -> None:
    """``client.chat`` imports the list of endpoints; what ``run_tools`` and ``parse`` need comes with their use."""
    found = loaded(f"{CLIENT}; client.chat.completions.create")
    assert "zhipu_async.resources" in found
    assert not found & {f"zhipu_async.{room}" for room in ("structured", "tool_runs", "tools", "fanout", "polling")}
    assert "zhipu_async.tool_runs" in loaded(f"{CLIENT}; client.chat.completions.run_tools")
    assert "zhipu_async.structured" in loaded(f"{CLIENT}; client.chat.completions.parse")


def test_a_client_makes_no_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are cheap to make, as many as one likes: certificates are not read again for each."""
    made: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "__new__", lambda *arguments, **_: made.append(arguments))
    monkeypatch.setattr(ssl, "create_default_context", made.append)
    for _ in range(3):
        AsyncZhipuAI("k.s").with_options(timeout=3)
    assert made == []


# ---------------------------------------------------------------- names


def test_the_table_of_names_is_what_type_checkers_read() -> None:
    """The names of the two lists, and the modules that they are of, are the same."""
    assert {name: f"zhipu_async.{module}" for name, module in zhipu_async._MODULE_OF.items()} == written()  # type: ignore[attr-defined]
    assert zhipu_async.__all__ == sorted(written())


@pytest.mark.parametrize(("name", "module"), written().items(), ids=written())
def test_every_public_name_is_there(name: str, module: str) -> None:
    """A name is what its module has, stays the same object; a class pickles by its own path."""
    value = getattr(zhipu_async, name)
    assert value is getattr(import_module(module), name)
    assert value is vars(zhipu_async)[name]
    if isinstance(value, type):
        assert pickle.loads(pickle.dumps(value)) is value


@pytest.mark.heavy
def test_all_names_at_once() -> None:
    """``dir()`` has every public name before its first use; ``from zhipu_async import *`` gives them and no other."""
    assert set(zhipu_async.__all__) <= set(run("import zhipu_async; print(*dir(zhipu_async))").split())
    program = "before = set(globals()); from zhipu_async import *; print(*set(globals()) - before - {'before'})"
    assert sorted(run(program).split()) == zhipu_async.__all__


def test_an_unknown_name_is_told() -> None:
    """AttributeError and ImportError name it, and ``hasattr`` says no."""
    assert not hasattr(zhipu_async, "Nothing")
    with pytest.raises(AttributeError, match="module 'zhipu_async' has no attribute 'Nothing'"):
        _ = zhipu_async.Nothing  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="Nothing"):
        exec("from zhipu_async import Nothing")


@pytest.mark.heavy
def test_modules_are_attributes() -> None:
    """``zhipu_async.errors`` needs no import of its own, as type checkers take for granted."""
    assert "zhipu_async.errors" in loaded("import zhipu_async; zhipu_async.errors.ConfigError")


def test_help_shows_the_names() -> None:
    """``help(zhipu_async)`` lists what is public, and ``help`` of the client its resources."""
    page = pydoc.plain(pydoc.render_doc(zhipu_async))
    assert "class AsyncZhipuAI" in page
    assert "class RateLimitError" in page
    assert "chat" in pydoc.plain(pydoc.render_doc(AsyncZhipuAI))


# ---------------------------------------------------------------- attributes


def test_what_comes_later_takes_its_own_place() -> None:
    """After the first use the class has the method itself: nothing is looked up twice."""
    completions: Any = AsyncZhipuAI("k.s").chat.completions
    assert completions.run_tools
    assert completions.parse
    assert type(vars(resources.Completions)["run_tools"]) is RunTools
    assert type(vars(resources.Completions)["parse"]) is Parse


def test_later_makes_its_descriptor_once() -> None:
    """It is made at the first use, knows its class and name, and serves instances as if it had been there."""
    made: list[Group[Resource]] = []

    def make() -> Group[Resource]:
        made.append(Group(Resource))
        return made[-1]

    class Outer(Resource):
        inner = later(make)

    assert not made
    outer = Outer(sender=None)  # type: ignore[arg-type]
    assert type(outer.inner) is Resource
    assert outer.inner is outer.inner
    assert vars(Outer)["inner"] is made[0]
    assert len(made) == 1
    assert Outer.inner is Resource
