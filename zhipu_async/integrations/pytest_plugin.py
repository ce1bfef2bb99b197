"""Fixtures for tests of programs that ask GLM models: a scripted service, and recordings of the real one.

pytest loads this file wherever the package is installed, so it imports nothing of it until a fixture is used.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pytest

if TYPE_CHECKING:
    from zhipu_async import AsyncZhipuAI
    from zhipu_async.testing import GLMSimulator, LoopThread, Recording, Scrubber

_SERVICES = pytest.StashKey["list[GLMSimulator | Recording]"]()
"""The services of a test, which are asked for complaints when it is over."""

_RECORDED = pytest.StashKey[dict[Path, set[str]]]()
"""The files that this session recorded, and the tests that did."""

MODES = ("none", "once", "new_episodes", "all")
"""Those of `zhipu_async.testing.MODES`."""

_LONGEST = 200
"""Bytes of the name of a recording."""
_KEPT = 50
"""Characters of a name that is too long, or not one of a file."""

MARKERS = (
    "glm_simulator(strict=False, **scenario): settings of glm_simulator: whether requests without a scripted answer "
    "fail the test, and fields of zhipu_async.simulator.Scenario",
    "glm_recording(file, mode=..., speed=0.0, ignored=..., upstream=...): the file of glm_recording, relative to that "
    "of the test, and settings of zhipu_async.testing.Recording; record tests that share a file in one process",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The command line and the ini file."""
    group = parser.getgroup("zhipu_async")
    group.addoption(
        "--glm-record",
        choices=MODES,
        default=None,
        help="what glm_recording does: only replay (none, the default), record where there is no file yet (once), "
        "record what is missing (new_episodes), or record all anew (all)",
    )
    parser.addini("glm_strict", "glm_simulator: requests without a scripted answer fail the test", "bool", False)
    parser.addini("glm_recordings", "folder of recordings beside each test file", "string", "recordings")


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose service has something to say, and tell in the report of one that failed what was asked."""
    services = item.stash.get(_SERVICES, ())
    try:
        result = yield
        if complaints := [said for service in services for said in service.complaints()]:
            pytest.fail("\n".join(complaints), pytrace=False)
    except BaseException:
        for service in services:
            item.add_report_section("call", "GLM service", service.report())
        raise
    return result


@pytest.fixture(scope="session")
def glm_thread() -> Iterator[LoopThread]:
    """The thread in which all services of a session run."""
    from zhipu_async.testing import LoopThread

    with LoopThread() as thread:
        yield thread


@pytest.fixture
def glm_simulator(request: pytest.FixtureRequest, glm_thread: LoopThread) -> Iterator[GLMSimulator]:
    """A simulated service: `glm_simulator.answers("Hello")`, `.refuses("1302")`, `.assert_called_once(model=...)`."""
    from zhipu_async.simulator import Scenario
    from zhipu_async.testing import GLMSimulator

    settings = _settings(request, "glm_simulator")
    strict = settings.pop("strict", request.config.getini("glm_strict"))
    simulator = GLMSimulator(Scenario(**settings), strict=strict, thread=glm_thread)
    with simulator as service, _heard(request, service):
        yield service


@pytest.fixture
def glm_scrubber() -> Scrubber:
    """What glm_recording replaces before it writes: override it to add patterns, headers and fields of your own."""
    from zhipu_async.testing import Scrubber

    return Scrubber()


@pytest.fixture
def glm_recording(
    request: pytest.FixtureRequest, glm_thread: LoopThread, glm_scrubber: Scrubber
) -> Iterator[Recording]:
    """The service as it was recorded for this test, or the real one while it is recorded: see --glm-record.

    A file that another test of this session recorded is continued; with `all`, a test that is run again begins anew.
    """
    from zhipu_async.testing import Recording

    settings = _settings(request, "glm_recording")
    file = settings.pop("file", None)
    settings["mode"] = request.config.getoption("--glm-record") or settings.get("mode", "none")
    if file is None:
        file = Path(request.config.getini("glm_recordings"), request.path.stem, f"{_file_name(request)}.jsonl")
    path, test = request.path.parent / file, request.node.nodeid
    recorders = request.config.stash.setdefault(_RECORDED, {}).setdefault(path.resolve(), set())
    if {"once": recorders, "all": recorders - {test}}.get(settings["mode"]):
        settings["mode"] = "new_episodes"
    recording = Recording(path, scrubber=glm_scrubber, thread=glm_thread, **settings)
    with recording as service, _heard(request, service):
        yield service
    if service.records and service.exchanges:
        recorders.add(test)


@pytest.fixture
def glm_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GLMSimulator | Recording:
    """Key and address in the environment, so that an `AsyncZhipuAI()` in the code under test finds the service."""
    from zhipu_async.config import KEY_VARIABLES, URL_VARIABLES

    service = _service(request)
    for name in (*KEY_VARIABLES, *URL_VARIABLES.values()):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZHIPU_API_KEY", service.api_key)
    monkeypatch.setenv("ZHIPU_BASE_URL", service.base_url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1", prepend=",")
    return service


@pytest.fixture
def glm_client(request: pytest.FixtureRequest) -> Iterator[AsyncZhipuAI]:
    """A client of glm_simulator, or of glm_recording where the test has that.

    Its sleeps before repeats are short, unless it is the real service that is asked.
    """
    from asyncio import get_running_loop

    from zhipu_async import AsyncZhipuAI, RetryPolicy

    service, loops = _service(request), WeakSet[Any]()
    real = getattr(service, "records", False)
    short = RetryPolicy(base=0.001, cap=0.002, overload_base=0.001, overload_cap=0.002)
    client = AsyncZhipuAI(
        service.api_key,
        base_url=service.base_url,
        retry=None if real else short,
        trust_env=False,
        hooks=[lambda _: loops.add(get_running_loop())],
    )
    yield client
    for loop in [*loops]:  # a loop of the test's own has ended, and the connections with it; one of a session has not
        if not loop.is_closed() and not loop.is_running():
            loop.run_until_complete(client.close())


@contextmanager
def _heard(request: pytest.FixtureRequest, service: GLMSimulator | Recording) -> Generator[None]:
    """Ask a service for complaints as long as its fixture lasts: a test that is run again has another one."""
    services = request.node.stash.setdefault(_SERVICES, [])
    services.append(service)
    yield
    services.remove(service)


def _service(request: pytest.FixtureRequest) -> GLMSimulator | Recording:
    """The recording where the test has one, else the simulator."""
    recorded = "glm_recording" in request.fixturenames or request.node.get_closest_marker("glm_recording")
    service: GLMSimulator | Recording = request.getfixturevalue("glm_recording" if recorded else "glm_simulator")
    return service


def _file_name(request: pytest.FixtureRequest) -> str:
    """The name of a test and its class, with a hash where it has more than a name of a file takes: no two are alike."""
    of = request.node.getparent(pytest.Class)
    name: str = f"{of.obj.__qualname__}.{request.node.name}" if of else request.node.name
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-")
    if re.fullmatch(r"[\w.]+(\[[\w.-]*[\w.]\])?", name) and len(plain.encode()) <= _LONGEST:
        return plain
    return f"{plain[:_KEPT]}-{sha256(name.encode()).hexdigest()[:8]}"


def _settings(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """What the markers of a test say, the nearest last; a `file` may come without its name."""
    settings: dict[str, Any] = {}
    for marker in reversed([*request.node.iter_markers(name)]):
        settings |= {**dict(zip(("file",), marker.args, strict=False)), **marker.kwargs}
    return settings
