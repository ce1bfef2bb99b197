"""nginx between the client and the service: what it makes of failures, connections, bodies and crowds."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter

import pytest

from tests.faults.conftest import MESSAGES, Certificate, Connect, Start, around, chat, outcome, traffic
from tests.faults.programs import Program, nginx, running
from tests.faults.upstreams import PASSED_ON, WAYS, failing, saying
from tests.servers import DONE, LAST, STREAM_HEAD, Conversation, block, byte_server, chunk
from zhipu_async import BadRequestError, ConnectError, RetryPolicy, StreamTruncated
from zhipu_async.simulator import Pace, Scenario, Simulator

pytestmark = pytest.mark.heavy

BAD_GATEWAY = "ServerError 502 '502 Bad Gateway'"
GATEWAY_TIMEOUT = "ServerError 504 '504 Gateway Time-out'"

FAILURES = [
    ("refuses", "plain", f"{BAD_GATEWAY}, 3 attempts", 0),
    ("refuses", "stream", f"{BAD_GATEWAY}, 3 attempts", 0),
    ("refuses", "task", f"{BAD_GATEWAY}, 1 attempts", 0),
    ("dies before the head", "plain", f"{BAD_GATEWAY}, 3 attempts", 3),
    ("dies before the head", "stream", f"{BAD_GATEWAY}, 3 attempts", 3),
    ("dies before the head", "task", f"{BAD_GATEWAY}, 1 attempts", 1),
    ("dies in the head", "plain", f"{BAD_GATEWAY}, 3 attempts", 3),
    ("dies in the head", "task", f"{BAD_GATEWAY}, 1 attempts", 1),
    ("is silent", "plain", f"{GATEWAY_TIMEOUT}, 3 attempts", 3),
    ("is silent", "stream", f"{GATEWAY_TIMEOUT}, 3 attempts", 3),
    ("is silent", "task", f"{GATEWAY_TIMEOUT}, 1 attempts", 1),
    *PASSED_ON,
]


@pytest.mark.parametrize(("ending", "call", "expected", "seen"), FAILURES)
async def test_a_service_that_fails_behind_nginx(
    start: Start, connect: Connect, ending: str, call: str, expected: str, seen: int
) -> None:
    """The error says what happened; what creates a task is sent once, and a stream not again after its first token."""
    async with failing(ending) as service:
        front = start("nginx", nginx(service.url, location="proxy_read_timeout 100ms;"))
        client = await connect(front.base_url)
        assert (await outcome(client, call), len(service.requests)) == (expected, seen)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("buffering", ["on", "off"])
async def test_every_form_of_a_body_behind_nginx(start: Start, connect: Connect, buffering: str, way: str) -> None:
    """With a length, in chunks, or in HTTP/1.0 until the connection closes: the answer is whole, after one request."""
    call, answer, text = WAYS[way]
    async with byte_server(saying(answer)) as service:
        front = start("nginx", nginx(service.url, location=f"proxy_buffering {buffering};"))
        client = await connect(front.base_url)
        assert (await outcome(client, call), len(service.requests)) == (text, 1)


async def test_the_certificate_of_nginx(start: Start, connect: Connect, certificate: Certificate) -> None:
    """One of a trusted authority, for this host and in force is accepted; any other is refused at once, by its flaw."""
    async with Simulator() as sim:
        front = start("nginx", nginx(sim.base_url, tls=certificate.pem))
        client = await connect(front.secure_url, ssl=certificate.context)
        if not certificate.flaw:
            assert "Hello" in await outcome(client, "plain")
            assert "Hello" in await outcome(client, "stream")
            assert await outcome(client, "task") == "created"
            assert sim.served == 3
            return
        for stream in (False, True):
            with pytest.raises(ConnectError, match=certificate.flaw) as caught:
                await chat(client, stream=stream)
            assert (caught.value.arrived, caught.value.retryable, len(caught.value.attempts)) == (False, False, 1)
        assert await outcome(client, "task") == "ConnectError, 1 attempts"
        assert sim.served == 0


@pytest.mark.parametrize("buffering", ["on", "off"])
async def test_what_nginx_compresses_is_the_same(start: Start, connect: Connect, buffering: str) -> None:
    """gzip of whole answers and of streams: the same text as without it, and the answer said that it was gzip."""
    packed = "gzip on; gzip_min_length 1; gzip_proxied any; gzip_types application/json text/event-stream;"
    async with Simulator() as sim:
        front = start("nginx", nginx(sim.base_url, server=packed, location=f"proxy_buffering {buffering};"))
        client, direct = await connect(front.base_url), await connect(sim.base_url)
        raw = await client.chat.completions.with_raw_response.create(model="glm-4.6", messages=MESSAGES)
        assert raw.headers["content-encoding"] == "gzip"
        stream = await chat(client, stream=True)
        assert stream.response_headers["content-encoding"] == "gzip"
        text = json.loads(raw.body)["choices"][0]["message"]["content"]
        assert text == (await stream.until_done()).text == await outcome(direct, "plain")
        assert await outcome(client, "task") == "created"
        assert sim.served == 4


# ------------------------------------------------------------ connections


def connections(front: Program) -> Counter[str]:
    """How many requests came over each connection, from nginx's own log."""
    return Counter(line.split()[0] for line in (front.folder / "seen").read_text().splitlines())


@pytest.mark.parametrize(
    ("setting", "most"), [("keepalive_timeout 0;", 1), ("keepalive_requests 3;", 3), ("keepalive_timeout 5s;", 12)]
)
@pytest.mark.parametrize("call", ["plain", "stream", "task"])
async def test_connections_that_nginx_limits(
    start: Start, connect: Connect, setting: str, most: int, call: str
) -> None:
    """`Connection: close` after each, or after the third answer: none fails, none is sent twice, all else is reused."""
    async with Simulator() as sim:
        front = start("nginx", nginx(sim.base_url, server=setting))
        client = await connect(front.base_url)
        assert all([(await outcome(client, call)).startswith(("Hello", "created")) for _ in range(12)])
        assert sim.served == 12
        expected = [1] * 12 if call == "task" else [most] * (12 // most)
        await asyncio.sleep(0.05)  # nginx writes its log after the answer
        assert sorted(connections(front).values()) == expected
        if most == 1:
            assert client.pool.statistics().idle == 0


@pytest.mark.parametrize("call", ["plain", "stream", "task"])
async def test_the_moment_at_which_nginx_closes_idle_connections(start: Start, connect: Connect, call: str) -> None:
    """Of 160 calls of each kind around it none fails, without retries, and the service sees each once."""
    async with Simulator() as sim:
        front = start("nginx", nginx(sim.base_url, server="keepalive_timeout 60ms;"))
        client = await connect(front.base_url, max_retries=0)
        said = await around(client, call, 0.06)
        assert {text.partition("!")[0] for text in said} == {"created" if call == "task" else "Hello"}
        assert (len(said), sim.served) == (160, 160)
        await asyncio.sleep(0.05)
        assert len(connections(front)) > 20  # it did close some


@pytest.mark.parametrize("packed", [False, True])
async def test_chunks_arrive_as_they_are_sent_where_nginx_does_not_buffer(
    start: Start, connect: Connect, packed: bool
) -> None:
    """The service sends each chunk only after the client has the one before; gzip of nginx's holds none back either."""
    arrived = asyncio.Semaphore(0)

    async def speak(talk: Conversation) -> None:
        await talk.request()
        await talk.send(STREAM_HEAD)
        for number in range(10):
            await talk.send(block(chunk(str(number))))
            await asyncio.wait_for(arrived.acquire(), 5)
        await talk.send(block(chunk(finish="stop") + DONE) + LAST)

    gzip = "gzip on; gzip_min_length 1; gzip_proxied any; gzip_types text/event-stream;" if packed else ""
    async with byte_server(speak) as service:
        front = start("nginx", nginx(service.url, location="proxy_buffering off;", server=gzip))
        client = await connect(front.base_url)
        stream = await chat(client, stream=True)
        text = ""
        async for piece in stream:
            if content := piece.choices[0].delta.content:
                text += content
                arrived.release()
        assert (text, len(service.requests)) == ("0123456789", 1)
        assert ("gzip" in stream.response_headers.get("content-encoding", "")) is packed


async def test_all_chunks_arrive_where_nginx_buffers(start: Start, connect: Connect) -> None:
    """More than nginx's buffers hold, to a client that is slow to read: every chunk arrives, in order, once."""
    pieces = [f"{number}:{'x' * 500};" for number in range(400)]
    events = b"".join(chunk(piece) for piece in pieces) + chunk(finish="stop") + DONE
    async with byte_server(saying(STREAM_HEAD + block(events) + LAST)) as service:
        front = start("nginx", nginx(service.url, location="proxy_buffering on; proxy_buffers 4 4k;"))
        client = await connect(front.base_url)
        stream = await chat(client, stream=True)
        arrived: list[str] = []
        async for piece in stream:
            arrived.append(piece.choices[0].delta.content or "")
            if len(arrived) % 40 == 0:
                await asyncio.sleep(0.005)
        assert [content for content in arrived if content] == pieces
        assert len(service.requests) == 1


# ------------------------------------------------------------ crowds, large bodies, reloads


@pytest.mark.parametrize("size", [2_000, 20_000_000])
async def test_a_file_that_nginx_finds_too_large(start: Start, connect: Connect, size: int) -> None:
    """413 also when it comes while the file is still being sent; nothing reaches the service, nothing is repeated."""
    async with Simulator() as sim:
        front = start("nginx", nginx(sim.base_url, server="client_max_body_size 1k;"))
        client = await connect(front.base_url)
        with pytest.raises(BadRequestError) as caught:
            await client.files.create(file=("a.jsonl", b"x" * size), purpose="batch")
        assert (caught.value.status, caught.value.message) == (413, "413 Request Entity Too Large")
        assert len(caught.value.attempts) == 1
        assert sim.served == 0


async def test_a_prompt_that_nginx_finds_too_large(start: Start, connect: Connect) -> None:
    """413 for a JSON body of 4 MB, which is written at once: the error is nginx's, and the next call goes well."""
    async with Simulator() as sim:
        front = start("nginx", nginx(sim.base_url, server="client_max_body_size 1k;"))
        client = await connect(front.base_url)
        for stream in (False, True):
            with pytest.raises(BadRequestError) as caught:
                await chat(client, messages=[{"role": "user", "content": "x" * 4_000_000}], stream=stream)
            assert (caught.value.status, len(caught.value.attempts)) == (413, 1)
        assert "Hello" in await outcome(client, "plain")
        assert sim.served == 1


CROWDS = {
    "a rate": ("limit_req_zone all zone=some:1m rate=50r/s;", "limit_req zone=some; limit_req_status 429;"),
    "a number": ("limit_conn_zone $binary_remote_addr zone=some:1m;", "limit_conn some 2; limit_conn_status 429;"),
    "a number, with its wait": (
        "limit_conn_zone $binary_remote_addr zone=some:1m;",
        "limit_conn some 2; limit_conn_status 429; add_header Retry-After 0 always;",
    ),
    "a rate, by its default of 503": ("limit_req_zone all zone=some:1m rate=50r/s;", "limit_req zone=some;"),
}


@pytest.mark.parametrize("limit", CROWDS)
@pytest.mark.parametrize("call", ["plain", "stream", "task"])
async def test_a_crowd_that_nginx_limits(start: Start, connect: Connect, limit: str, call: str) -> None:
    """nginx bounds a rate or a number and refuses the rest with HTML: all calls end well, each done once."""
    zone, rule = CROWDS[limit]
    policy = RetryPolicy(retries=60, base=0.02, cap=0.05, overload_base=0.02, overload_cap=0.05)
    async with Simulator(Scenario(pace=Pace(first_token=0.02))) as sim:
        front = start("nginx", nginx(sim.base_url, http=zone, server=rule))
        client = await connect(front.base_url, retry=policy)
        said = await asyncio.gather(*(outcome(client, call) for _ in range(12)))
        assert {text.partition("!")[0] for text in said} == {"created" if call == "task" else "Hello"}
        assert sim.served == 12
        assert sum(it.attempts - it.calls for it in client.statistics().values()) > 0  # it did refuse some


async def test_what_nginx_keeps_on_refusing(start: Start, connect: Connect) -> None:
    """After the last attempt the user gets the 429 with nginx's own words, without a wait that nobody named."""
    async with Simulator() as sim:
        rule = "limit_req zone=some; limit_req_status 429;"
        front = start("nginx", nginx(sim.base_url, http="limit_req_zone all zone=some:1m rate=1r/m;", server=rule))
        client = await connect(front.base_url)
        assert "Hello" in await outcome(client, "plain")
        for call in ("plain", "stream", "task"):
            assert await outcome(client, call) == "RateLimitError 429 '429 Too Many Requests', 3 attempts"
        assert sim.served == 1


async def test_a_reload_of_nginx_during_traffic(start: Start, connect: Connect) -> None:
    """Three reloads under calls of every kind: none is lost, none is done twice, and streams go on to their end."""
    async with Simulator(Scenario(pace=Pace(per_chunk=0.002))) as sim:
        front = start("nginx", nginx(sim.base_url, location="proxy_buffering off;"))
        client = await connect(front.base_url)

        async def reload() -> None:
            await front.tell(signal.SIGHUP, "gracefully shutting down")

        said = await traffic(client, reload)
        assert {text.partition("!")[0] for text in said} == {"created", "Hello"}
        assert len(said) == sim.served >= 160


async def test_nginx_killed_in_the_middle_of_a_stream(start: Start, connect: Connect) -> None:
    """The stream ends with what had arrived, its service sees it end, and the next call says that nobody is there."""
    async with Simulator(Scenario(pace=Pace(per_chunk=0.02))) as sim:
        front = start("nginx", nginx(sim.base_url, location="proxy_buffering off;"))
        client = await connect(front.base_url)
        stream = await chat(client, stream=True)

        async def read() -> None:
            async for piece in stream:
                if piece.choices[0].delta.content:
                    front.end()

        with pytest.raises(StreamTruncated) as caught:
            await read()
        assert caught.value.partial.text
        await sim.wait_until(lambda: sim.in_flight == 0)
        assert await outcome(client, "plain") == "ConnectError, 3 attempts"
        assert await outcome(client, "task") == "ConnectError, 3 attempts"
        assert sim.served == 1


@pytest.mark.parametrize(("required", "ends"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_program_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, required: str, ends: type[BaseException]
) -> None:
    """Its tests are skipped, but fail where REQUIRE_FAULT_PROGRAMS=1 says that it must be there."""
    monkeypatch.setenv("REQUIRE_FAULT_PROGRAMS", required)
    with pytest.raises(ends, match="no-such-program is not installed"), running("no-such-program", (), nginx("")):
        pass
