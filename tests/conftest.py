"""What many tests use: a client beside a simulator, with short sleeps."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
import trustme
from hypothesis import HealthCheck, settings

from tests.contract import objections
from zhipu_async import AsyncZhipuAI, RetryPolicy
from zhipu_async.simulator import Scenario, Simulator

# Started in the background of a script: the processes that tests start would inherit that Ctrl-C is ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What this run of pytest was told through the environment is not for those that tests start.
os.environ.pop("PYTEST_ADDOPTS", None)

# The machine may be busy, or stand still for a moment: no test has a clock of hypothesis's own.
settings.register_profile("no clock", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

SHORT_SLEEPS = RetryPolicy(base=0.001, cap=0.002, overload_base=0.001, overload_cap=0.002)


class Serve(Protocol):
    """Starts a simulator and a client of it; both end with the test."""

    async def __call__(self, scenario: Scenario | None = None, **settings: Any) -> tuple[AsyncZhipuAI, Simulator]: ...


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZHIPU_API_KEY", "ZHIPUAI_API_KEY", "ZAI_API_KEY", "ZHIPU_BASE_URL", "ZAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """``client, sim = await serve(scenario, **settings of the client)``; every request must validate in the end."""
    simulators: list[Simulator] = []
    async with AsyncExitStack() as stack:

        async def start(scenario: Scenario | None = None, **settings: Any) -> tuple[AsyncZhipuAI, Simulator]:
            sim = await stack.enter_async_context(Simulator(scenario))
            settings = {"retry": SHORT_SLEEPS, "api_key": sim.api_key, "base_url": sim.base_url, **settings}
            client = await stack.enter_async_context(AsyncZhipuAI(**settings))
            simulators.append(sim)
            return client, sim

        yield start
    chats = {request.raw: request.body for sim in simulators for request in sim.requests if "/chat/" in request.path}
    assert [objection for body in chats.values() for objection in objections(body)] == []


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """The arguments of a small chat call, with changes: ``create(**ask(stream=True))``."""
    return lambda **changes: {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}], **changes}


@pytest.fixture(scope="session")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for 127.0.0.1 and a client's that knows its authority."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client
