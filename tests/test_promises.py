"""The page of promises in the README: each line names tests that exist and run, and the defaults of the code."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from benchmarks import soak
from tests.hostile.test_memory import WORST
from zhipu_async import AsyncZhipuAI, Journal, Limits, RetryPolicy, Timeouts, errors
from zhipu_async.protocol import strict
from zhipu_async.runs import DEADLINE
from zhipu_async.transport import connection, retrying

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = README[README.index("## What it promises") : README.index("## Command line")]

HEAD = "| Promise | Kept by |"
LINK = re.compile(r"\[(test_\w+)\]\((tests/[\w/]+\.py)\)")
OPTION = re.compile(r"`(Limits|Timeouts|RetryPolicy)\.(\w+)` \(([^);]+)")
SETTINGS = {kind.__name__: kind for kind in (Limits, Timeouts, RetryPolicy)}
NO_BOUNDS = {"Limits.adaptive", "Limits.reserve", "Limits.linger"}
"""Options that say how, and not how much."""
UNITS = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024 * 1024}
MOST = sorted({times for _, _, times in WORST.values()})

FIXED = [
    f"Of 1xx before the answer, {connection.INTERIM} (",
    f"of redirects in an attempt, {retrying.REDIRECTS};",
    f"stand for nothing, {connection.SILENT_BYTES // UNITS['MiB']} MiB.",
    f"keeps {errors.BODY_KEPT // UNITS['KiB']} KiB of an answer",
    f"deeper than {strict.DEEPEST} levels, or with a whole number of more than {strict.LONGEST_NUMBER} digits",
    f"`window` ({inspect.signature(AsyncZhipuAI.fan_out).parameters['window'].default})",
    f"`deadline` of the call ({DEADLINE:g} s)",
    f"`fsync` ({inspect.signature(Journal).parameters['fsync'].default:g} s)",
    f"at most {MOST[-2]} times `Limits.body`, a stream of nothing but tool calls by {MOST[-1]} times",
    f"under {soak.GROWTH:g} MB per 100,000 requests and {soak.FILLING:g} MB in all, the process by that and "
    f"{soak.NOISE:g} MB in all",
]
"""What the page says of bounds that are no options."""


def rows(page: str) -> list[tuple[str, str]]:
    """The promises and what stands beside each."""
    lines = [line for line in page.splitlines() if line.startswith("|") and line not in (HEAD, "|---|---|")]
    return [(cells[0], " ".join(cells[1:])) for line in lines for cells in [line.strip("| ").split(" | ")]]


@cache
def found_in(path: str) -> dict[str, bool]:
    """The tests of a file, and whether each is run at all: not where a skip or an expected failure needs no reason."""
    file = ROOT / path
    if not file.is_file():
        return {}
    module = ast.parse(file.read_text(encoding="utf-8"))
    marks = [
        ast.unparse(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["pytestmark"]
    ]
    return {
        node.name: not any(map(_left_out, [*marks, *map(ast.unparse, node.decorator_list)]))
        and not ast.unparse(_first(node)).startswith("pytest.skip(")
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _left_out(mark: str) -> bool:
    return bool(re.search(r"\bmark\.(skip|xfail)\b|\bskipif\((True|1)\b", mark))


def _first(test: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
    """The first statement behind the docstring."""
    return test.body[min(1, len(test.body) - 1)]


def complaints(page: str) -> Iterator[str]:
    """What is wrong with a page of promises."""
    for promise, kept in rows(page):
        links = LINK.findall(kept)
        if not links or LINK.sub("", kept).strip(", "):
            yield f"{promise}: kept by {kept!r}"
        for name, path in links:
            if not found_in(path).get(name, False):
                yield f"{promise}: {path} has no {name} that is run"
    said = {f"{kind}.{name}": text for kind, name, text in OPTION.findall(page)}
    known = {f"{name}.{field.name}": field.default for name, kind in SETTINGS.items() for field in fields(kind)}
    yield from (f"{option} is not there" for option in known.keys() - NO_BOUNDS - said.keys())
    for option, text in said.items():
        if option not in known or amount(text) != known[option]:
            yield f"{option} is {known.get(option)}, not {text}"
    yield from (f"{text!r} is not there" for text in FIXED if text not in page)


def amount(text: str) -> float | None:
    """A default as the page writes it; None is off."""
    if text in ("off", "no limit"):
        return None
    number, _, unit = text.partition(" ")
    return float(number) * UNITS[unit]


def test_each_promise_is_kept_by_tests_and_says_the_defaults() -> None:
    """Every line links tests that are in their files and are run; every bound has its option and its default."""
    assert list(complaints(PAGE)) == []


def test_the_page_has_its_five_parts() -> None:
    """Retries, bounds, endings, kill -9 and security, each a table of several lines, none of them twice."""
    parts = PAGE.split(HEAD)[1:]
    assert len(parts) == 5
    assert all(5 < len(rows(part)) < 15 for part in parts)
    promises = [promise for promise, _ in rows(PAGE)]
    assert len(promises) == len(set(promises))


BROKEN = {
    "a test of another name": ("[test_patience]", "[test_impatience]", "no test_impatience"),
    "a file that is not there": ("(tests/test_soak.py)", "(tests/test_soaks.py)", "tests/test_soaks.py has no"),
    "a test of another file": ("(tests/test_soak.py)", "(tests/test_readme.py)", "tests/test_readme.py has no"),
    "no test": ("[test_memory_stays_within_a_few_times_the_bound](tests/hostile/test_memory.py)", "", "kept by ''"),
    "words beside a test": ("[test_patience]", "surely [test_patience]", "surely"),
    "another size": ("`Limits.body` (64 MiB)", "`Limits.body` (64 KiB)", "Limits.body is 67108864, not 64 KiB"),
    "another clock": ("`Timeouts.total` (off", "`Timeouts.total` (600 s", "Timeouts.total is None, not 600 s"),
    "another number": ("`RetryPolicy.retries` (2)", "`RetryPolicy.retries` (3)", "RetryPolicy.retries is 2, not 3"),
    "an option that is left out": ("`Limits.polls` (20)", "20", "Limits.polls is not there"),
    "an option that does not exist": ("`Limits.polls` (20)", "`Limits.pools` (20)", "Limits.pools is None, not 20"),
    "another number of what is fixed": (
        "before the answer, 32 ",
        "before the answer, 64 ",
        "answer, 32 (' is not there",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_page_that_is_wrong_is_noticed(case: str) -> None:
    """A name, a file, a number or an option that is not the code's is a complaint that names it."""
    before, after, told = BROKEN[case]
    assert before in PAGE
    assert any(told in complaint for complaint in complaints(PAGE.replace(before, after)))


@pytest.mark.parametrize(
    ("source", "run"),
    [
        ("def test_it():\n    assert True", True),
        ("@pytest.mark.skipif(sys.platform != 'linux', reason='x')\ndef test_it():\n    assert True", True),
        ("pytestmark = pytest.mark.heavy\nasync def test_it():\n    assert True", True),
        ("@pytest.mark.skip\ndef test_it():\n    assert True", False),
        ("@pytest.mark.skipif(True, reason='x')\ndef test_it():\n    assert True", False),
        ("@pytest.mark.xfail(strict=False)\ndef test_it():\n    assert True", False),
        ("pytestmark = [pytest.mark.heavy, pytest.mark.skip]\ndef test_it():\n    assert True", False),
        ('def test_it():\n    """It."""\n    pytest.skip("x")', False),
        ("def test_other():\n    assert True", None),
    ],
)
def test_a_test_that_is_never_run_keeps_nothing(
    source: str, run: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is skipped or expected to fail whatever the platform does not count; a condition is a reason."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "test_x.py").write_text(source)
    assert found_in.__wrapped__("test_x.py").get("test_it") is run
