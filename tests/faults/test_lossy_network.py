"""A network that loses, delays, repeats and reorders packets: two network namespaces and this page as the cable.

The system's own TCP is at both ends, so that it is real losses that are mended. Needs root and iproute2 on Linux.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

import pytest

from benchmarks.bad_wire import BadWire
from tests.conftest import SHORT_SLEEPS
from tests.faults.conftest import CALLS, outcome, whole
from zhipu_async import AsyncZhipuAI, Timeouts
from zhipu_async.simulator import Delivery, Json, Reply, Scenario, Simulator

pytestmark = pytest.mark.heavy

T = TypeVar("T")

HERE, THERE = "198.18.77.1", "198.18.77.2"
"""Of the range that is set aside for trying out networks."""
HEADER = 10
"""Bytes before each frame: what is left for a network card to do, such as the checksum (virtio_net_hdr)."""
PACKET_VNET_HDR, PACKET_OUTGOING, EVERYTHING, NEW_NETWORK = 15, 4, 3, 0x40000000


@dataclass(frozen=True, slots=True)
class Cable:
    """How packets fare, each way: shares from 0 to 1, seconds, bits per second."""

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    """At most so many seconds more, at random: packets overtake each other."""
    twice: float = 0.0
    rate: float = float("inf")
    deaf: bool = False
    """Nothing comes back."""


CABLES = {
    "good": Cable(),
    "5 % lost, 50 ms": Cable(loss=0.05, delay=0.025),
    "reordered": Cable(delay=0.01, jitter=0.02),
    "repeated": Cable(delay=0.005, twice=0.2),
    "256 kbit/s": Cable(delay=0.01, rate=256_000),
    "all at once": Cable(loss=0.03, delay=0.02, jitter=0.02, twice=0.05, rate=1_000_000),
}


class Network:
    """The two ends of a cable between this side and the far one, where ``listening`` is."""

    def __init__(self, near: socket.socket, far: socket.socket, listening: socket.socket) -> None:
        self.near, self.far, self.listening = near, far, listening
        self.cable = Cable()
        self.packets = 0
        self.lost = 0
        self._dice = random.Random(6)
        self._free = {False: 0.0, True: 0.0}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Carry packets inside the block."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.near, self._carry, self.near, self.far)
        loop.add_reader(self.far, self._carry, self.far, self.near)
        try:
            yield
        finally:
            loop.remove_reader(self.near)
            loop.remove_reader(self.far)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(BlockingIOError):
            frame, (*_, kind, _, _) = source.recvfrom(65536 + HEADER)
            if kind == PACKET_OUTGOING:
                return
            cable, back, loop = self.cable, source is self.far, asyncio.get_running_loop()
            self.packets += 1
            if self._dice.random() < cable.loss or (cable.deaf and back):
                self.lost += 1
                return
            sent = max(loop.time(), self._free[back]) + 8 * len(frame) / cable.rate
            self._free[back] = sent
            for _ in range(1 + (self._dice.random() < cable.twice)):
                loop.call_at(sent + cable.delay + cable.jitter * self._dice.random(), _send, sink, frame)


def _send(sink: socket.socket, frame: bytes) -> None:
    with suppress(OSError):  # the end of the test, or a full queue: one more that is lost
        sink.send(frame)


def ip(*words: str) -> None:
    """Run ``ip``; an error that says what it said."""
    ran = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise OSError(f"ip {' '.join(words)}: {ran.stderr.strip()}")


def inside(namespace: str, make: Callable[[], T]) -> T:
    """What ``make`` gives in a thread that has gone into ``namespace``."""
    made: list[T | OSError] = []

    def enter() -> None:
        try:
            with open(f"/run/netns/{namespace}") as door:
                if ctypes.CDLL(None, use_errno=True).setns(door.fileno(), NEW_NETWORK):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(make())
        except OSError as error:
            made.append(error)

    thread = Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def end_of_cable(device: str) -> socket.socket:
    """All that comes in at ``device``, and the way out."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
    end.setsockopt(263, PACKET_VNET_HDR, 1)
    end.bind((device, EVERYTHING))
    end.setblocking(False)
    return end


def listening() -> socket.socket:
    """A socket that will listen on the far side."""
    made = socket.socket()
    made.bind((THERE, 0))
    return made


@pytest.fixture
def network() -> Iterator[Network]:
    """Two namespaces and their devices, which are gone in the end."""
    if not sys.platform.startswith("linux") or os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs Linux, root and the program ip")
    near, far, middle, there = (f"z{part}{os.getpid()}" for part in "nfmt")
    with ExitStack() as stack:
        try:
            for namespace in (middle, there):
                ip("netns", "add", namespace)
                stack.callback(ip, "netns", "del", namespace)
            ip("link", "add", near, "type", "veth", "peer", "name", "near", "netns", middle)
            stack.callback(ip, "link", "del", near)
            ip("link", "add", far, "netns", there, "type", "veth", "peer", "name", "far", "netns", middle)
            ip("addr", "add", f"{HERE}/30", "dev", near)
            ip("-n", there, "addr", "add", f"{THERE}/30", "dev", far)
            ip("link", "set", near, "gso_max_segs", "1", "up")  # packets as the cable would see them, not joined
            ip("-n", there, "link", "set", far, "gso_max_segs", "1", "up")
            for device in ("near", "far"):
                ip("-n", middle, "link", "set", device, "up")
            ends = [stack.enter_context(inside(middle, lambda it=it: end_of_cable(it))) for it in ("near", "far")]
            door = stack.enter_context(inside(there, listening))
        except OSError as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield Network(*ends, door)


@asynccontextmanager
async def service(
    network: Network, scenario: Scenario | None = None, **settings: Any
) -> AsyncGenerator[tuple[AsyncZhipuAI, Simulator]]:
    """A simulator on the far side, and a client on this one, which is whole in the end."""
    async with network.running(), Simulator(scenario) as sim:
        port = int(sim.origin.rpartition(":")[2])
        async with (
            BadWire("127.0.0.1", port, sock=network.listening) as door,
            AsyncZhipuAI(sim.api_key, base_url=f"{door.url}/api/paas/v4", retry=SHORT_SLEEPS, **settings) as client,
        ):
            yield client, sim
            await whole(client)
            network.cable = Cable()


@pytest.mark.parametrize("name", CABLES)
async def test_calls_over_a_bad_network(name: str, network: Network) -> None:
    """Sixty calls all come to their value, each worked on once, in a bounded time."""
    network.cable = CABLES[name]
    async with asyncio.timeout(60), service(network, timeout=Timeouts(connect=20, first_byte=20, between=20)) as made:
        client, sim = made

        async def call(kind: str, number: int) -> str:
            return await outcome(client.with_options(default_headers={"X-Call": f"{kind} {number}"}), kind)

        came = Counter([*await asyncio.gather(*(call(kind, number) for kind in CALLS for number in range(20)))])
        assert came == {"Hello! I am a simulated glm-4.6. You said: “Hello”": 40, "created": 20}
        assert Counter(request.headers["X-Call"] for request in sim.requests) == {
            f"{kind} {number}": 1 for kind in CALLS for number in range(20)
        }
        assert network.packets > 60
        assert bool(network.lost) == bool(network.cable.loss)


async def test_a_network_that_is_dead(network: Network) -> None:
    """No connection can be made: told by its clock after all attempts, and nothing of it arrived."""
    network.cable = Cable(loss=1.0)
    async with service(network, timeout=Timeouts(connect=0.3)) as (client, sim):
        came = [await outcome(client, kind) for kind in CALLS]
        assert came == ["RequestTimeout connect, 3 attempts"] * 3
        assert sim.served == 0


async def test_a_network_where_nothing_comes_back(network: Network) -> None:
    """The request for a task arrives, its answer does not: it is asked for once, and the next call finds all whole."""
    late = Json({"id": "123", "task_status": "PROCESSING"}, delivery=Delivery(head_after=0.2))
    scenario = Scenario(replies=[Reply("Hi"), late, Reply("Hi again")])
    async with service(network, scenario, timeout=Timeouts(first_byte=1)) as (client, sim):
        assert await outcome(client, "plain") == "Hi"
        creating = asyncio.create_task(outcome(client, "task"))
        await sim.wait_until(lambda: sim.served == 2)
        network.cable = Cable(deaf=True)
        assert await creating == "RequestTimeout first_byte, 1 attempts"
        assert network.lost > 0
        network.cable = Cable()
        assert await outcome(client, "plain") == "Hi again"
        assert sim.served == 3
