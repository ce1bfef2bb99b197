"""The README's tables of names for those who move over: what they say to write exists, with these parameters."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import zhipu_async
from zhipu_async import APIError, AsyncZhipuAI, ChatCompletion, Pages, Parsed, RawResponse, RequestTimeout, Stream
from zhipu_async.config import KEY_VARIABLES

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
CLIENTS = {"zai": "### From zai-sdk or zhipuai", "openai": "### From AsyncOpenAI"}
"""The packages that people come from, and the section of each."""


def instance(*kinds: type) -> SimpleNamespace:
    """What has the attributes that instances have, without values."""
    names = [name for kind in kinds for name in (*dir(kind), *getattr(kind.__init__, "__code__", _none).co_names)]
    return SimpleNamespace(**dict.fromkeys(names))


_none = SimpleNamespace(co_names=())

OURS: dict[str, Any] = {
    "client": AsyncZhipuAI(api_key="key"),
    "answer": instance(ChatCompletion),
    "reply": instance(ChatCompletion),
    "stream": instance(Stream),
    "parsed": instance(Parsed),
    "raw": instance(RawResponse),
    "error": instance(APIError, RequestTimeout),
    "msgspec": msgspec,
    **{name: getattr(zhipu_async, name) for name in zhipu_async.__all__},
    **dict.fromkeys(("batch", "page", "task", "fetch", "dict", "Model")),
}
"""What the names in the tables stand for; None is anything."""


def theirs(package: str) -> dict[str, Any]:
    """The same for another client; the test is skipped where it is not installed."""
    module, httpx = pytest.importorskip(package), pytest.importorskip("httpx")
    client = module.AsyncOpenAI(api_key="key") if package == "openai" else None
    return defaultdict(lambda: None, {package: module, "httpx": httpx, "client": client})


def rows(section: str) -> list[tuple[str, str]]:
    """The cells of a section's first table."""
    table = README[README.index(section) :].partition("\n|---|---|\n")[2].partition("\n\n")[0]
    return [(cells[0], cells[1]) for line in table.splitlines() for cells in [line.strip("| ").split(" | ")]]


def complaints(cell: str, names: Mapping[str, Any]) -> Iterator[str]:
    """What the code in a cell names and is not there; header names and lone symbols are passed over."""
    parameters: set[str] = set()
    for code in re.findall(r"`([^`]+)`", cell):
        if code.endswith("="):  # a further parameter of the call before it
            if code[:-1] not in parameters:
                yield f"{code} is no parameter of the call before it"
        elif code.isupper():
            if code not in KEY_VARIABLES:
                yield f"{code} is read by nobody"
        elif code[0].isalpha() and not re.fullmatch(r"\w+(-\w+)+", code):
            tree = ast.parse(f"async def _():\n    {code}{': pass' if code.startswith('async for') else ''}")
            for node in ast.walk(tree):
                try:
                    stands_for(node, names)
                    if isinstance(node, ast.Call) and (function := stands_for(node.func, names)) is not None:
                        signature = inspect.signature(function)
                        parameters = {*signature.parameters}
                        signature.bind_partial(*node.args, **{str(given.arg): None for given in node.keywords})
                except (LookupError, AttributeError, TypeError) as error:
                    yield f"{code}: {error}"


def stands_for(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """What a name, an attribute or a call is; None for what is not known."""
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.Attribute):
        whose = stands_for(node.value, names)
        return None if whose is None else getattr(whose, node.attr)
    listed = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "list"
    return Pages if listed else None


@pytest.mark.parametrize("package", CLIENTS)
def test_our_names_exist(package: str) -> None:
    """Every name, parameter and variable on our side of a table is there."""
    found = rows(CLIENTS[package])
    assert len(found) > 20
    assert [complaint for _, here in found for complaint in complaints(here, OURS)] == []


@pytest.mark.parametrize("package", CLIENTS)
def test_their_names_exist(package: str) -> None:
    """So is what the tables say of the other packages, where these are installed."""
    names = theirs(package)
    assert [complaint for there, _ in rows(CLIENTS[package]) for complaint in complaints(there, names)] == []


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("`AsyncZhipu()`", "'AsyncZhipu'"),
        ("`AsyncZhipuAI(patience=3)`", "unexpected keyword argument 'patience'"),
        ("`AsyncZhipuAI(ssl=None)`; also `proxies=`", "proxies= is no parameter"),
        ("`client.chat.completion.create()`", "no attribute 'completion'"),
        ("`await client.chat.completions.create(max_token=1)`", "unexpected keyword argument 'max_token'"),
        ("`client.chat.completions.create(user=1)`", "unexpected keyword argument 'user'"),
        ("`AsyncZhipuAI(timeout=Timeouts(read=1))`", "unexpected keyword argument 'read'"),
        ("`async for page in client.batches.list().sheets()`", "no attribute 'sheets'"),
        ("`stream.outcome`", "no attribute 'outcome'"),
        ("`error.codes`", "no attribute 'codes'"),
        ("`RateLimitErrors`", "'RateLimitErrors'"),
        ("`ZHIPU_KEY`", "ZHIPU_KEY is read by nobody"),
    ],
)
def test_a_wrong_name_is_noticed(cell: str, told: str) -> None:
    """A name, an attribute, a parameter or a variable that does not exist is a complaint that names it."""
    assert any(told in complaint for complaint in complaints(cell, OURS)), list(complaints(cell, OURS))
