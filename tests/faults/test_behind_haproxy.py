"""HAProxy between the client and the service: its errors, its queues, its refusals, and its reload."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.faults.conftest import Certificate, Connect, Start, around, chat, outcome, traffic
from tests.faults.programs import haproxy
from tests.faults.upstreams import PASSED_ON, WAYS, failing, saying
from tests.servers import byte_server
from zhipu_async import BadRequestError, ConnectError, RequestTimeout, RetryPolicy, Timeouts
from zhipu_async.simulator import Delivery, Pace, Reply, Scenario, Simulator

pytestmark = pytest.mark.heavy

UNAVAILABLE = "OverloadedError 503 '503 Service Unavailable No server is available to handle this request.'"
BAD_GATEWAY = "ServerError 502 '502 Bad Gateway The server returned an invalid or incomplete response.'"
GATEWAY_TIMEOUT = """ServerError 504 "504 Gateway Time-out The server didn't respond in time.\""""

FAILURES = [
    # 503 says that no server took the call: what creates something is repeated too
    ("refuses", "plain", f"{UNAVAILABLE}, 3 attempts", 0),
    ("refuses", "stream", f"{UNAVAILABLE}, 3 attempts", 0),
    ("refuses", "task", f"{UNAVAILABLE}, 3 attempts", 0),
    # on a connection that carried a call before, HAProxy closes in the place of a 502: the idle race, not counted
    ("dies before the head", "plain", f"{BAD_GATEWAY}, 3 attempts", 5),
    ("dies before the head", "stream", f"{BAD_GATEWAY}, 3 attempts", 5),
    ("dies before the head", "task", f"{BAD_GATEWAY}, 1 attempts", 1),
    ("dies in the head", "plain", f"{BAD_GATEWAY}, 3 attempts", 5),
    ("dies in the head", "task", f"{BAD_GATEWAY}, 1 attempts", 1),
    ("is silent", "plain", f"{GATEWAY_TIMEOUT}, 3 attempts", 3),
    ("is silent", "stream", f"{GATEWAY_TIMEOUT}, 3 attempts", 3),
    ("is silent", "task", f"{GATEWAY_TIMEOUT}, 1 attempts", 1),
    *PASSED_ON,
]


@pytest.mark.parametrize(("ending", "call", "expected", "seen"), FAILURES)
async def test_a_service_that_fails_behind_haproxy(
    start: Start, connect: Connect, ending: str, call: str, expected: str, seen: int
) -> None:
    """The error says what happened; what creates a task is sent once unless it provably did not arrive."""
    async with failing(ending) as service:
        front = start("haproxy", haproxy(service.url, defaults="timeout server 100ms"))
        client = await connect(front.base_url)
        assert (await outcome(client, call), len(service.requests)) == (expected, seen)


@pytest.mark.parametrize("way", WAYS)
async def test_every_form_of_a_body_behind_haproxy(start: Start, connect: Connect, way: str) -> None:
    """With a length, in chunks, or in HTTP/1.0 until the connection closes: the answer is whole, after one request."""
    call, answer, text = WAYS[way]
    async with byte_server(saying(answer)) as service:
        front = start("haproxy", haproxy(service.url))
        client = await connect(front.base_url)
        assert (await outcome(client, call), len(service.requests)) == (text, 1)


async def test_the_certificate_of_haproxy(start: Start, connect: Connect, certificate: Certificate) -> None:
    """One of a trusted authority, for this host and in force is accepted; any other is refused at once, by its flaw."""
    async with Simulator() as sim:
        front = start("haproxy", haproxy(sim.base_url, tls=certificate.pem))
        client = await connect(front.secure_url, ssl=certificate.context)
        if certificate.flaw:
            with pytest.raises(ConnectError, match=certificate.flaw):
                await chat(client)
        for call in ("plain", "stream", "task"):
            said = await outcome(client, call)
            assert said == "ConnectError, 1 attempts" if certificate.flaw else said.startswith(("Hello", "created"))
        assert sim.served == (0 if certificate.flaw else 3)


# ------------------------------------------------------------ refusals

DENIED = [
    ("http-request deny", "PermissionDeniedError 403 '403 Forbidden Request forbidden by administrative rules.'", 1),
    ("http-request deny deny_status 401", "AuthenticationError 401", 1),
    ("http-request deny deny_status 413", "BadRequestError 413", 1),
    ("http-request deny deny_status 429", "RateLimitError 429 '429 Too Many Requests You have sent too many", 3),
    ("http-request tarpit", "ServerError 500 '500 Internal Server Error An internal server error occurred.'", 3),
    ("http-request tarpit deny_status 429", "RateLimitError 429", 3),
    ("http-request redirect location http://127.0.0.2:1/ code 302", "APIError 302", 1),
    ("http-request silent-drop", "RequestTimeout first_byte", 3),
]


@pytest.mark.parametrize("call", ["plain", "stream", "task"])
@pytest.mark.parametrize(("rule", "expected", "attempts"), DENIED)
async def test_a_rule_of_haproxy_refuses(
    start: Start, connect: Connect, rule: str, expected: str, attempts: int, call: str
) -> None:
    """What may pass is repeated, for a task only when nothing can have been created; the service sees none of it."""
    async with Simulator() as sim:
        front = start("haproxy", haproxy(sim.base_url, defaults="timeout tarpit 20ms", frontend=rule))
        client = await connect(front.base_url, timeout=Timeouts(first_byte=0.15))
        said = await outcome(client, call)
        assert said.startswith(expected)
        if call == "task" and "429" not in expected:
            attempts = 1  # a front that fails, or is silent, may have passed it on
        assert said.endswith(f", {attempts} attempts")
        assert sim.served == 0


async def test_a_tarpit_longer_than_the_clock(start: Start, connect: Connect) -> None:
    """A call that HAProxy holds ends by the client's clock, which is named, and holds nothing afterwards."""
    async with Simulator() as sim:
        front = start("haproxy", haproxy(sim.base_url, defaults="timeout tarpit 20s", frontend="http-request tarpit"))
        client = await connect(front.base_url, max_retries=0)
        for timeout, clock in ((Timeouts(first_byte=0.1), "first_byte"), (0.1, "total")):
            for stream in (False, True):
                with pytest.raises(RequestTimeout) as caught:
                    await chat(client, timeout=timeout, stream=stream)
                assert (caught.value.clock, caught.value.arrived) == (clock, True)
        assert sim.served == 0


@pytest.mark.parametrize("size", [1_000, 300_000, 20_000_000])
async def test_uploads_that_haproxy_denies_before_their_end(start: Start, connect: Connect, size: int) -> None:
    """HAProxy answers at the head and resets the connection: of 10 uploads each ends with that answer, sent once."""
    sent: list[int] = []
    async with Simulator() as sim:
        front = start("haproxy", haproxy(sim.base_url, frontend="http-request deny deny_status 413"))
        client = await connect(front.base_url)
        for _ in range(10):
            with pytest.raises(BadRequestError) as caught:
                await client.files.create(
                    file=("a.jsonl", b"x" * size), purpose="batch", progress=lambda now, _: sent.append(now)
                )
            assert (caught.value.status, len(caught.value.attempts)) == (413, 1)
        assert sim.served == 0
        assert size < 10_000_000 or max(sent, default=0) < size


# ------------------------------------------------------------ queues


@pytest.mark.parametrize("call", ["plain", "stream", "task"])
async def test_a_server_that_takes_one_at_a_time(start: Start, connect: Connect, call: str) -> None:
    """HAProxy queues the others: the service never has two at once, and every call is done once."""
    async with Simulator(Scenario(pace=Pace(first_token=0.01))) as sim:
        front = start("haproxy", haproxy(sim.base_url, server="maxconn 1"))
        client = await connect(front.base_url)
        said = await asyncio.gather(*(outcome(client, call) for _ in range(12)))
        assert {text.partition("!")[0] for text in said} == {"created" if call == "task" else "Hello"}
        assert (sim.served, sim.peak_in_flight) == (12, 1)


@pytest.mark.parametrize("call", ["plain", "stream", "task"])
async def test_a_queue_that_is_left_too_late(start: Start, connect: Connect, call: str) -> None:
    """Calls that HAProxy lets go from its queue with 503 were not done: they are repeated, and every call done once."""
    policy = RetryPolicy(retries=60, overload_base=0.02, overload_cap=0.05)
    slow = Reply("Slow!", delivery=Delivery(head_after=0.2))
    async with Simulator(Scenario(replies=[slow])) as sim:
        front = start("haproxy", haproxy(sim.base_url, server="maxconn 1", defaults="timeout queue 40ms"))
        client = await connect(front.base_url, retry=policy)
        first = asyncio.create_task(outcome(client, "plain"))
        await sim.wait_until(lambda: sim.in_flight == 1)
        said = await asyncio.gather(*(outcome(client, call) for _ in range(10)))
        assert await first == "Slow!"
        assert {text.partition("!")[0] for text in said} == {"created" if call == "task" else "Hello"}
        assert sum(it.attempts - it.calls for it in client.statistics().values()) > 0  # some did have to leave
        assert (sim.served, sim.peak_in_flight) == (11, 1)


@pytest.mark.parametrize(
    ("setting", "call"),
    [("option httpclose", "plain"), *(("timeout http-keep-alive 60ms", call) for call in ("plain", "stream", "task"))],
)
async def test_connections_that_haproxy_closes(start: Start, connect: Connect, setting: str, call: str) -> None:
    """After each answer, or just as the next call begins: of 160 none fails, without retries, and each is done once."""
    async with Simulator() as sim:
        front = start("haproxy", haproxy(sim.base_url, defaults=setting))
        client = await connect(front.base_url, max_retries=0)
        said = await around(client, call, 0.06)
        assert {text.partition("!")[0] for text in said} == {"created" if call == "task" else "Hello"}
        assert (len(said), sim.served) == (160, 160)


async def test_a_reload_of_haproxy_during_traffic(start: Start, connect: Connect) -> None:
    """Three reloads under calls of every kind: none is lost, none is done twice, and streams go on to their end."""
    async with Simulator(Scenario(pace=Pace(per_chunk=0.002))) as sim:
        front = start("haproxy", haproxy(sim.base_url))
        client = await connect(front.base_url)

        async def reload() -> None:
            await front.tell(signal.SIGUSR2, "Proxy front stopped")

        said = await traffic(client, reload)
        assert {text.partition("!")[0] for text in said} == {"created", "Hello"}
        assert len(said) == sim.served >= 160
