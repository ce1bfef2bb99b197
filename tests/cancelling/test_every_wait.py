"""Whatever is stopped, wherever it waits: nothing is left, nothing is sent twice, and the client goes on."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cancelling.operations import OPERATIONS
from tests.cancelling.steps import WAYS, Moment, Way
from tests.cancelling.sweep import leave, sweep
from zhipu_async.batching import service
from zhipu_async.polling import KINDS
from zhipu_async.simulator import Simulator
from zhipu_async.types.batches import Batch
from zhipu_async.types.tasks import VideoTask

SOME = (
    "ask",
    "close twice",
    "download",
    "fan_out that creates",
    "fan_out without a block",
    "realtime",
    "run_tools, streamed",
    "stream",
    "upload a path",
    "wait for a connection",
)
GIVING = (
    "events",
    "fan_out",
    "fan_out with a journal",
    "pages",
    "parse, watched",
    "realtime",
    "run_batches",
    "stream",
    "text_deltas",
)
OTHER_WAYS = [way for way in WAYS if way != "cancel"]


@pytest.fixture(autouse=True)
def _short_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LOOKS", (0.0, None))
    monkeypatch.setattr(service, "PATIENCE", (0.0, 0.0))
    for kind in (Batch, VideoTask):
        monkeypatch.setitem(KINDS, kind, type(KINDS[kind])(0.002, 0.004, KINDS[kind].ask))


@pytest.mark.parametrize("moment", ["begins", "ends"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in SOME else pytest.mark.heavy) for n in OPERATIONS])
def test_cancelled_at_every_wait(name: str, moment: Moment, tmp_path: Path) -> None:
    """Cancelled when any wait of any of its tasks begins, and in the moment when it ends."""
    sweep(OPERATIONS[name], "cancel", moment, tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("name", SOME)
def test_cancelled_at_every_turn_of_the_loop(name: str, tmp_path: Path) -> None:
    """Cancelled before any turn of the event loop, whatever is about to happen in it."""
    sweep(OPERATIONS[name], "cancel", "turn", tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("way", OTHER_WAYS)
@pytest.mark.parametrize("name", SOME)
def test_stopped_in_other_ways(name: str, way: Way, tmp_path: Path) -> None:
    """Stopped by ``asyncio.timeout``, ``wait_for``, the failure of a sibling in its task group, or cancelled thrice."""
    sweep(OPERATIONS[name], way, "begins", tmp_path)


@pytest.mark.parametrize("moment", ["begins", "ends"])
@pytest.mark.parametrize("name", ["ask", "stream", "fan_out", "upload a path", "realtime"])
def test_over_tls(name: str, moment: Moment, tmp_path: Path, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The same over TLS, whose handshake is waited for, too."""
    server, client = tls
    plain = OPERATIONS[name]
    operation = replace(plain, service=lambda: Simulator(ssl=server), settings={"ssl": client}, least=3)
    sweep(operation, "cancel", moment, tmp_path)


@pytest.mark.parametrize("name", GIVING)
def test_left_after_everything_that_it_gives(name: str, tmp_path: Path) -> None:
    """Left with any chunk, event, outcome, value or file in hand, by an exception."""
    leave(OPERATIONS[name], tmp_path)
