"""The fixtures, as pytest runs them in a project of somebody else."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.testing.services import KEY
from zhipu_async.integrations import pytest_plugin
from zhipu_async.simulator import Reply, Scenario, Simulator
from zhipu_async.testing import MODES, read_exchanges

pytestmark = pytest.mark.heavy

PLUGIN = "zhipu_async.integrations.pytest_plugin"
PLUGINS = [f"-p{name}" for name in ("pytest_asyncio.plugin", "anyio.pytest_plugin", PLUGIN)]
"""Those of the runs: what else is installed takes seconds to import."""

INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
asyncio_default_test_loop_scope = {scope}
asyncio_debug = true
filterwarnings = error
glm_strict = {strict}
addopts = --strict-markers -p no:cacheprovider
"""


HEAD = """
import asyncio
import pytest
from zhipu_async import AsyncZhipuAI

ASKED = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}

async def under_test():
    async with AsyncZhipuAI() as client:
        return (await client.chat.completions.create(**ASKED)).text
"""


@dataclass(frozen=True)
class Run:
    """How a run of pytest ended."""

    status: int
    output: str

    def count(self, what: str) -> int:
        """How many tests had this result, by the last line."""
        words = self.output.strip().splitlines()[-1].replace(",", "").split()
        return next((int(number) for number, word in pairwise(words) if word == what), 0)


Project = Callable[..., Run]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Runs pytest on one file of tests: ``project(text, "--option", mode="strict", ZHIPU_API_KEY=...)``."""

    def run(text: str, *options: str, mode: str = "auto", scope: str = "function", **environment: str) -> Run:
        (tmp_path / "pytest.ini").write_text(INI.format(mode=mode, scope=scope, strict=mode == "strict"))
        (tmp_path / "test_them.py").write_text(HEAD + text)
        outside = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}  # says more
        process = subprocess.run(
            [sys.executable, "-m", "pytest", *PLUGINS, *options],
            cwd=tmp_path,
            env={**outside, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Run(process.returncode, process.stdout + process.stderr)

    return run


USES = """
{marked}
async def test_client(glm_client, glm_simulator):
    glm_simulator.refuses("1302").answers("Hi")
    assert (await glm_client.chat.completions.create(**ASKED)).text == "Hi"
    glm_simulator.assert_called(times=2, model="glm-4.6")

{marked}
async def test_stream_that_is_left(glm_client, glm_simulator):
    glm_simulator.streams("a", "b", "c", pause=0.01)
    stream = await glm_client.chat.completions.create(**ASKED, stream=True)
    assert (await anext(stream)).choices[0].delta.content == "a"

{marked}
async def test_environment(glm_environment, glm_simulator):
    assert glm_environment is glm_simulator
    glm_simulator.answers("Hi")
    assert await under_test() == "Hi"

def test_without_a_loop(glm_client, glm_environment, glm_simulator):
    glm_simulator.answers("one").answers("two")
    assert asyncio.run(under_test()) == "one"
    async def main():
        return (await glm_client.chat.completions.create(**ASKED)).text
    assert asyncio.run(main()) == "two"

def test_nothing_is_left_of_others(glm_simulator):
    glm_simulator.assert_not_called()
"""

BACKEND = """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.mark.parametrize("scope", ["function", "session"])
def test_the_fixtures_work_in_auto_mode(project: Project, scope: str) -> None:
    """With loops of each test, and with one of the session; nothing warns of what is open at the end."""
    run = project(USES.replace("{marked}", ""), scope=scope)
    assert (run.status, run.count("passed")) == (0, 5), run.output


def test_the_fixtures_work_in_strict_mode_and_with_anyio(project: Project) -> None:
    """The same tests, marked for pytest-asyncio and for anyio."""
    ours = USES.replace("{marked}", "@pytest.mark.asyncio")
    others = USES.replace("{marked}", "@pytest.mark.anyio").replace("def test_", "def test_anyio_")
    run = project(BACKEND + ours + others, mode="strict")
    assert (run.status, run.count("passed")) == (0, 10), run.output


def test_a_test_fails_for_what_is_missing_and_what_is_left(project: Project) -> None:
    """Answers nobody asked for, unscripted calls where they are not allowed, and assertions: each with its reason.

    The report of each failed test lists the requests; a test that expects the failure of the call fails all the same.
    """
    run = project(
        """
@pytest.mark.asyncio
async def test_left(glm_client, glm_simulator):
    glm_simulator.answers("a").answers("b")
    await glm_client.chat.completions.create(**ASKED)

@pytest.mark.asyncio
async def test_strict(glm_client):
    with pytest.raises(Exception):
        await glm_client.chat.completions.create(**ASKED)

@pytest.mark.asyncio
@pytest.mark.glm_simulator(strict=False)
async def test_assertion(glm_client, glm_simulator):
    await glm_client.chat.completions.create(**ASKED)
    glm_simulator.assert_called_once(model="glm-5")

@pytest.mark.xfail(reason="it is known", strict=True)
def test_known(glm_simulator):
    glm_simulator.answers("a")

@pytest.mark.asyncio
@pytest.mark.glm_simulator(models=["mine"])
async def test_scenario(glm_client, glm_simulator):
    glm_simulator.answers("a")
    await glm_client.chat.completions.create(**{**ASKED, "model": "mine"})
""",
        mode="strict",
    )
    assert (run.count("failed"), run.count("passed"), run.count("xfailed")) == (3, 1, 1), run.output
    assert "nobody asked for answers('b')" in run.output
    assert "no answer is scripted for POST /api/paas/v4/chat/completions model='glm-4.6', prompt='Hello'" in run.output
    assert "expected one request with model='glm-5', and there was none" in run.output
    assert run.output.count("[0] POST /api/paas/v4/chat/completions ->") == 4  # three reports, and the assertion itself
    assert "All traceback entries are hidden" not in run.output


RECORDED = """
@pytest.mark.glm_recording("tapes/chat.jsonl")
async def test_named(glm_client):
    assert (await glm_client.chat.completions.create(**ASKED)).text == "Real"

async def test_by_its_own_name(glm_recording, glm_environment):
    assert await under_test() == "Real"

@pytest.mark.parametrize("city", ["a b", "a/b", "x" * 99, "天气"], ids=lambda city: city)
class TestAlike:
    class TestInner:
        async def test_by_its_own_name(self, glm_recording, glm_client, city):
            asked = {**ASKED, "messages": [{"role": "user", "content": city}]}
            assert (await glm_client.chat.completions.create(**asked)).text == "Real"

@pytest.mark.glm_recording("other.jsonl")
async def test_with_a_file_of_another_request(glm_client):
    with pytest.raises(Exception):
        await glm_client.chat.completions.create(**ASKED)

@pytest.fixture
def glm_scrubber():
    from zhipu_async.testing import Scrubber
    return Scrubber(patterns=["Hello"])
"""
OTHER = (
    '{"glm_recording":1,"service":"x","base_path":"/api/paas/v4"}\n'
    '{"request":{"method":"POST","target":"/api/paas/v4/chat/completions",'
    '"headers":[["Content-Type","application/json"]],"json":{"model":"glm-4.5"}}}\n'
    '{"answer":{"status":200,"reason":"OK","headers":[]},"after":0.0}\n{"end":"complete","after":0.0}\n'
)


async def test_recordings_are_made_once_and_replayed_without_a_key(project: Project, tmp_path: Path) -> None:
    """With --glm-record the service is asked and files appear; then no request reaches it, and no key is needed.

    Each test has a file of its own, whatever its name, class and parameters are.
    A request that is not in the file fails the test even where the code under test survives it, with a diff.
    """
    (tmp_path / "other.jsonl").write_text(OTHER)
    none = await asyncio.to_thread(project, RECORDED)
    assert none.count("failed") == 7
    assert "there is no recording" in none.output
    assert '-    "model": "glm-4.5"' in none.output
    assert '+    "model": "glm-4.6"' in none.output
    async with Simulator(Scenario(replies=[Reply("Real", times=None)], api_keys=[KEY])) as service:
        environment = {"ZHIPU_API_KEY": KEY, "ZHIPU_BASE_URL": service.base_url}
        once = await asyncio.to_thread(project, RECORDED, "--glm-record=once", **environment)
        assert (once.count("failed"), once.count("passed"), len(service.requests)) == (1, 6, 6), once.output
        for file in ("tapes/chat.jsonl", "recordings/test_them/test_by_its_own_name.jsonl"):
            text = (tmp_path / file).read_text()
            assert KEY not in text
            assert "Hello" not in text
        again = await asyncio.to_thread(project, RECORDED)
        assert (again.count("failed"), again.count("passed"), len(service.requests)) == (1, 6, 6), again.output
    names = {path.name for path in (tmp_path / "recordings/test_them").iterdir()}
    assert len(names) == 5
    assert all(len(name.encode()) < 250 and re.fullmatch(r"[\w.-]+", name) for name in names)


RUN_TWICE = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, log=False, nextitem=nextitem)
"""


async def test_a_test_that_is_run_again_begins_anew(project: Project, tmp_path: Path) -> None:
    """Neither the unasked answers of its first run count, nor what was recorded in that."""
    (tmp_path / "conftest.py").write_text(RUN_TWICE)
    program = """
RUNS = []

async def test_flaky(glm_client, glm_simulator):
    RUNS.append(1)
    glm_simulator.answers("Hi")
    if len(RUNS) == 1:
        raise OSError("for once")
    assert (await glm_client.chat.completions.create(**ASKED)).text == "Hi"

async def test_recorded(glm_recording, glm_client):
    assert (await glm_client.chat.completions.create(**ASKED)).text == "Real"
"""
    async with Simulator(Scenario(replies=[Reply("Real", times=None)], api_keys=[KEY])) as service:
        environment = {"ZHIPU_API_KEY": KEY, "ZHIPU_BASE_URL": service.base_url}
        run = await asyncio.to_thread(project, program, "--glm-record=all", **environment)
        assert (run.status, run.count("passed"), len(service.requests)) == (0, 2, 2), run.output
    assert len(read_exchanges(tmp_path / "recordings/test_them/test_recorded.jsonl")) == 1


SHARED = """
@pytest.mark.parametrize("city", ["Rome", "Bonn"])
@pytest.mark.glm_recording("shared.jsonl")
async def test_shared(glm_client, city):
    asked = {**ASKED, "messages": [{"role": "user", "content": city}]}
    assert (await glm_client.chat.completions.create(**asked)).text == "Real"
"""


async def test_tests_that_share_a_file_are_recorded_into_it_together(project: Project, tmp_path: Path) -> None:
    """Each session with `all` records all anew, one with `once` does where there was no file when it began."""
    path = tmp_path / "shared.jsonl"
    async with Simulator(Scenario(replies=[Reply("Real", times=None)], api_keys=[KEY])) as service:
        environment = {"ZHIPU_API_KEY": KEY, "ZHIPU_BASE_URL": service.base_url}
        for mode, asked in (("once", 2), ("once", 0), ("all", 2), ("none", 0)):
            before = len(service.requests)
            run = await asyncio.to_thread(project, SHARED, f"--glm-record={mode}", **environment)
            assert (run.count("passed"), len(service.requests) - before) == (2, asked), run.output
            assert len(read_exchanges(path)) == 2


def test_the_plugin_weighs_nothing_where_it_is_not_used() -> None:
    """Beside pytest it imports two modules of the package that are all but empty: no client, no aiohttp."""
    program = f"import pytest, sys; before = {{*sys.modules}}; import {PLUGIN}; print(*{{*sys.modules}} - before)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert {*found.split()} == {"zhipu_async", "zhipu_async.version", "zhipu_async.integrations", PLUGIN}


def test_the_plugin_is_found_by_pytest() -> None:
    """The project names it as an entry point of pytest, and its list of modes is that of the recording."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"zhipu_async": PLUGIN}
    assert pytest_plugin.MODES == MODES
