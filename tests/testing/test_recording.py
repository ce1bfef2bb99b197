"""Recording and replaying: what the service wrote comes back byte for byte, broken answers too."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientSession, StreamReader
from aiohttp.base_protocol import BaseProtocol
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers import COMPLETION, DONE, LAST, STREAM_HEAD, ByteServer, Conversation, block, byte_server, chunk
from tests.testing.services import KEY, Written, ask, recorder, written
from zhipu_async import AsyncZhipuAI, ConfigError, RateLimitError, StreamTruncated, ZhipuError
from zhipu_async.simulator import Answer, Delivery, HangUp, Json, Refusal, Reply, Scenario, Simulator
from zhipu_async.testing import LoopThread, Recording, read_exchanges
from zhipu_async.testing.exchange import Exchange, Piece, header
from zhipu_async.testing.forwarding import chunks_of
from zhipu_async.testing.recording import Mode

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
BODY = b'{"model":"glm-4.6","messages":[{"role":"user","content":"Hello"}]}'
STREAMED = BODY.replace(b"}]}", b'}],"stream":true}')
HEADERS = ["Content-Type: application/json", f"Authorization: Bearer {KEY}", "Accept-Encoding: gzip"]
CHAT = "/chat/completions"


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    """One for all tests."""
    with LoopThread() as thread:
        yield thread


def simulator(*replies: Answer) -> Simulator:
    """A service that knows any key."""
    return Simulator(Scenario(replies=replies, api_keys=None))


# ---------------------------------------------------------------- byte for byte

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(COMPLETION)
AS_WRITTEN: dict[str, Sequence[bytes | float]] = {
    "a plain answer": [PLAIN + COMPLETION],
    "in two parts": [PLAIN + COMPLETION[:50], 0.01, COMPLETION[50:]],
    "a refusal": [b'HTTP/1.1 429 Slow Down\r\nX-Odd: \xe9\r\nContent-Length: 28\r\n\r\n{"error":{"code" : "1302" }}'],
    "nothing but a head": [b"HTTP/1.1 204 No Content\r\nX-Log-Id: 1\r\n\r\n"],
    "a stream": [
        STREAM_HEAD,
        block(chunk("a")),
        0.01,
        block(chunk("b") + chunk("c", "stop")),
        0.01,
        block(DONE) + LAST,
    ],
    "bytes that are no text": [STREAM_HEAD, block(b"\xff\x00data"), block(b"\r\n"), LAST],
    "two equal headers": [b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\n{}"],
    "a cut stream": [STREAM_HEAD + block(chunk("a")) + block(chunk("b"))],
    "a cut chunk": [STREAM_HEAD + block(chunk("a")) + block(chunk("b"))[:-20]],
    "a cut body": [PLAIN + COMPLETION[:50]],
    "no body": [PLAIN],
    "no answer": [],
}


@pytest.mark.parametrize("name", AS_WRITTEN)
async def test_what_was_written_comes_back(name: str, tmp_path: Path, thread: LoopThread) -> None:
    """The client of the recorder and that of the replay get the head, the chunks and the end that the service sent."""
    async with written(AS_WRITTEN[name], AS_WRITTEN[name]) as service:
        wanted = await ask(service.url, CHAT, BODY, headers=HEADERS)
        with recorder(tmp_path / "r.jsonl", service.url, thread=thread) as recording:
            recorded = await ask(recording.base_url, CHAT, BODY, headers=HEADERS)
            recording.verify()
    with Recording(tmp_path / "r.jsonl", thread=thread) as replay:
        replayed = await ask(replay.base_url, CHAT, BODY, headers=HEADERS)
        replay.verify()
    assert essential(recorded) == essential(wanted)
    assert essential(replayed) == essential(wanted)


def essential(answer: Written) -> tuple[list[str], object, bool]:
    """Head, chunks as far as TCP keeps them, and whether it was complete."""
    ours = {"connection: close", "transfer-encoding: chunked"}
    lines = [line for line in answer.head.decode("latin-1").split("\r\n") if line.lower() not in ours]
    return lines, answer.chunks if answer.complete else answer.body, answer.complete


PIECES = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=PIECES)
async def test_any_pieces_are_recorded_and_replayed_as_the_same_pieces(
    pieces: list[bytes], tmp_path: Path, thread: LoopThread
) -> None:
    """Every HTTP chunk of a stream, whatever bytes it has, is a chunk of the recording and of its replay."""
    path = tmp_path / "r.jsonl"
    blocks = [block(piece) for piece in pieces]
    async with written([STREAM_HEAD, *blocks, LAST]) as service:
        with recorder(path, service.url, thread=thread) as recording:
            assert (await ask(recording.base_url, CHAT, BODY, headers=HEADERS)).body == b"".join(pieces)
    (exchange,) = read_exchanges(path)
    assert exchange.answer == b"".join(pieces)
    with Recording(path, thread=thread) as replay:
        answer = await ask(replay.base_url, CHAT, BODY, headers=HEADERS)
    assert list(answer.chunks) == [piece.data for piece in exchange.pieces]
    assert answer.complete


async def test_pieces_apart_in_time_are_pieces_of_the_recording(tmp_path: Path, thread: LoopThread) -> None:
    """Pieces that the service sends one by one, each when the last was read, are recorded so, with their pauses."""
    pieces, read = [chunk(text) for text in "abc"], asyncio.Semaphore(0)

    async def serve(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(STREAM_HEAD)
        for piece in pieces:
            await conversation.send(block(piece))
            await read.acquire()
            await asyncio.sleep(0.02)
        await conversation.send(LAST)

    async with byte_server(serve) as service:
        with recorder(tmp_path / "r.jsonl", service.url, thread=thread) as recording:
            async with ClientSession() as session, session.post(recording.base_url + CHAT, data=BODY) as answer:
                async for data in answer.content.iter_any():
                    assert data in pieces
                    read.release()
    (exchange,) = read_exchanges(tmp_path / "r.jsonl")
    assert [piece.data for piece in exchange.pieces] == pieces
    times = [*(piece.after for piece in exchange.pieces), exchange.end_after]
    assert 0 < exchange.head_after <= times[0]
    assert all(later - sooner >= 0.0199 for sooner, later in pairwise(times))


EXCHANGES = st.builds(
    Exchange,
    method=st.sampled_from(["GET", "POST"]),
    target=st.just("/api/paas/v4/models?a=%20b"),
    headers=st.just((("Accept", "*/*"),)),
    body=st.binary(max_size=40) | st.just(BODY) | st.just(b'{"a": 1}') | st.just(b'{"a":1e400}') | st.just(b"[0.10]"),
    status=st.sampled_from([200, 429]),
    reason=st.text(max_size=5),
    answer_headers=st.lists(st.tuples(st.just("X-A"), st.text(max_size=5)), max_size=2).map(tuple),
    head_after=st.floats(0, 10).map(lambda seconds: round(seconds, 6)),
    pieces=st.lists(st.builds(Piece, st.just(0.5), st.binary(max_size=20) | st.just(COMPLETION)), max_size=3),
    end=st.sampled_from(["complete", "cut", "reset", "left"]),
    end_after=st.just(1.0),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exchanges=st.lists(EXCHANGES, max_size=3))
def test_a_file_gives_back_what_was_written_to_it(exchanges: list[Exchange], tmp_path: Path) -> None:
    """Every byte of bodies, whether they are JSON, text or neither, and every other value."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(header("http://x", "/v4") + b"".join(exchange.lines() for exchange in exchanges))
    assert read_exchanges(path) == exchanges


# ---------------------------------------------------------------- with the client


async def test_a_session_without_the_service(tmp_path: Path, thread: LoopThread) -> None:
    """Chat, a stream, a refusal that is repeated, an upload, a download, a cut stream: each replay is as it was."""
    results: list[object] = []

    async def use(base_url: str, api_key: str) -> None:
        async with AsyncZhipuAI(api_key, base_url=base_url, max_retries=0) as client:
            create = client.chat.completions.create
            found: list[object] = [(await create(model="glm-4.6", messages=HELLO)).text]
            stream = await create(model="glm-4.6", messages=HELLO, stream=True)
            found.append([chunk.choices[0].delta.content async for chunk in stream])
            for kind in (RateLimitError, StreamTruncated):
                with pytest.raises(kind) as caught:
                    await (await create(model="glm-4.6", messages=HELLO, stream=True)).until_done()
                found.append((caught.value.message, getattr(caught.value, "code", None)))
            file = await client.files.create(file=("a.jsonl", b'{"a":1}\n'), purpose="batch")
            found += [file.id, (await client.files.content(file.id)).content]
            found.append([model.id for model in (await client.models.list()).data])
            results.append(found)

    cut = Reply("This breaks", delivery=Delivery(pause=0.0, stops_after=2, then="close"))
    async with simulator(Reply("Hi"), Reply("a b c"), Refusal("1302"), cut) as sim:
        with recorder(tmp_path / "r.jsonl", sim.base_url, thread=thread) as recording:
            await use(recording.base_url, recording.api_key)
        asked = len(sim.requests)
        assert recording.complaints() == []
        with Recording(tmp_path / "r.jsonl", thread=thread) as replay:
            await use(replay.base_url, replay.api_key)
        assert replay.complaints() == []
        assert replay.unplayed == []
        assert len(sim.requests) == asked == len(replay.exchanges) == 7
    assert results[0] == results[1]


async def test_a_compressed_answer_stays_compressed(tmp_path: Path, thread: LoopThread) -> None:
    """Its bytes and header are those of the service, and the client reads it."""
    async with simulator(Reply("Hi", delivery=Delivery(gzip=True))) as sim:
        with recorder(tmp_path / "r.jsonl", sim.base_url, thread=thread) as recording:
            wanted = await ask(recording.base_url, CHAT, BODY, headers=[*HEADERS, "Accept-Encoding: gzip, br"])
    with Recording(tmp_path / "r.jsonl", thread=thread) as replay:
        client = AsyncZhipuAI(replay.api_key, base_url=replay.base_url)
        async with client:
            assert (await client.chat.completions.create(model="glm-4.6", messages=HELLO)).text == "Hi"
    (exchange,) = replay.exchanges
    assert wanted.header("content-encoding") == "gzip"
    assert exchange.answer == wanted.body
    assert exchange.answer[:2] == b"\x1f\x8b"


@pytest.mark.parametrize(
    ("accepted", "asked"),
    [
        ("identity", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate", "gzip, deflate"),
        ("br;q=1.0, GZIP;q=0.5, identity; q=0", "GZIP;q=0.5, identity; q=0"),
        ("br", "identity"),
        ("*", "identity"),
        ("", "identity"),
    ],
)
async def test_compressions_that_can_be_read_are_asked_for(
    accepted: str, asked: str, tmp_path: Path, thread: LoopThread
) -> None:
    """Of those that the client takes, as it said it; a client that names none leaves it to the service."""
    path = tmp_path / "r.jsonl"
    async with written([PLAIN + COMPLETION], [PLAIN + COMPLETION]) as service:
        with recorder(path, service.url, thread=thread) as recording:
            await ask(recording.base_url, CHAT, BODY, headers=[f"Accept-Encoding: {accepted}"])
            await ask(recording.base_url, CHAT, BODY)
    lines = [
        [line for line in request.decode().split("\r\n") if line.startswith("Accept-Encoding")]
        for request in service.requests
    ]
    assert lines == [[f"Accept-Encoding: {asked}"], []]
    assert ("Accept-Encoding", accepted) in read_exchanges(path)[0].headers


@pytest.mark.parametrize(("speed", "scale", "least"), [(1.0, 0.1, 0.3), (1000.0, 200.0, 0.6), (0.0, 200.0, 0.0)])
async def test_the_pauses_come_back_at_a_speed(
    speed: float, scale: float, least: float, tmp_path: Path, thread: LoopThread
) -> None:
    """A replay takes no less than the answer took, divided by `speed`; with 0 ten minutes are over at once."""
    path, loop = tmp_path / "r.jsonl", asyncio.get_running_loop()
    pieces = [Piece(scale * number, chunk(str(number))) for number in range(1, 4)]
    path.write_bytes(header("http://x", "/api/paas/v4") + replace_pieces(pieces, end_after=3 * scale).lines())
    with Recording(path, speed=speed, thread=thread) as replay:
        begun = loop.time()
        assert (await ask(replay.base_url, CHAT, BODY, headers=HEADERS)).complete  # within its ten seconds
        assert loop.time() - begun >= least


def replace_pieces(pieces: Sequence[Piece], end_after: float = 1.0) -> Exchange:
    """A stream of these pieces as the answer to BODY."""
    return Exchange(
        method="POST",
        target="/api/paas/v4" + CHAT,
        headers=(("Content-Type", "application/json"),),
        body=BODY,
        status=200,
        reason="OK",
        answer_headers=(("Content-Type", "text/event-stream"),),
        pieces=pieces,
        end_after=end_after,
    )


async def test_a_client_that_leaves_is_recorded_as_far_as_it_listened(tmp_path: Path, thread: LoopThread) -> None:
    """What it had received is in the file; the service's connection is closed; the replay ends at the same place."""
    async with simulator(
        Reply(pieces=list("abcdefgh"), delivery=Delivery(pause=0.0, stops_after=3, then="hang"))
    ) as sim:
        with recorder(tmp_path / "r.jsonl", sim.base_url, thread=thread) as recording:
            async with AsyncZhipuAI(KEY, base_url=recording.base_url) as client:
                async with await client.chat.completions.create(model="glm-4.6", messages=HELLO, stream=True) as stream:
                    assert (await anext(stream)).choices[0].delta.content == "a"
                await sim.wait_until(lambda: sim.requests[0].closed_by_peer)
    (exchange,) = read_exchanges(tmp_path / "r.jsonl")
    assert exchange.end == "left"
    assert 1 <= len(exchange.pieces) <= 3


async def test_closed_and_reset_connections_are_told_apart(tmp_path: Path, thread: LoopThread) -> None:
    """In the middle of an answer and in its place: the file has how it ended, the client gets what it got then."""
    cut = [Reply("Hi there", delivery=Delivery(pause=0.0, stops_after=1, then=then)) for then in ("close", "reset")]
    async with simulator(*cut, HangUp(), HangUp(reset=True)) as sim:
        with recorder(tmp_path / "r.jsonl", sim.base_url, thread=thread) as recording:
            found = [await ask(recording.base_url, CHAT, STREAMED, headers=HEADERS) for _ in range(4)]
    with Recording(tmp_path / "r.jsonl", thread=thread) as replay:
        assert [await ask(replay.base_url, CHAT, STREAMED, headers=HEADERS) for _ in range(4)] == found
    assert [exchange.end for exchange in replay.exchanges] == ["cut", "reset", "cut", "reset"]
    assert [exchange.status for exchange in replay.exchanges] == [200, 200, None, None]


async def test_what_arrived_before_a_connection_broke_is_kept() -> None:
    """Also where it was not read yet when the error came: the chunks first, then the error."""
    loop = asyncio.get_running_loop()
    content = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    content.feed_data(b"one")
    content.feed_data(b"two")
    content.set_exception(ClientPayloadError("broken"))
    found: list[bytes] = []

    async def read() -> None:
        async for data in chunks_of(content):
            found.append(data)

    with pytest.raises(ClientPayloadError, match="broken"):
        await read()
    assert b"".join(found) == b"onetwo"


# ---------------------------------------------------------------- modes and matching


async def test_modes(tmp_path: Path, thread: LoopThread) -> None:
    """How many requests reach the service, in each mode, with and without a file that has one of the two."""
    reached: dict[tuple[str, bool], int | str] = {}
    for mode in ("none", "once", "new_episodes", "all"):
        for known in (False, True):
            path = tmp_path / f"{mode}-{known}.jsonl"
            async with simulator() as sim:
                if known:
                    with recorder(path, sim.base_url, thread=thread) as first:
                        await ask(first.base_url, CHAT, BODY, headers=HEADERS)
                before = len(sim.requests)
                with recorder(path, sim.base_url, mode, thread=thread) as recording:
                    for body in (BODY, BODY.replace(b"Hello", b"Bye")):
                        await ask(recording.base_url, CHAT, body, headers=HEADERS)
                reached[mode, known] = len(sim.requests) - before
                assert len(recording.complaints()) == {("none", False): 2, ("none", True): 1, ("once", True): 1}.get(
                    (mode, known), 0
                )
            assert path.exists() == (known or mode != "none")
            if path.exists():
                assert len(read_exchanges(path)) == (2 if mode in ("new_episodes", "all") or not known else 1)
    assert reached == {
        ("none", False): 0,
        ("none", True): 0,
        ("once", False): 2,
        ("once", True): 0,
        ("new_episodes", False): 2,
        ("new_episodes", True): 1,
        ("all", False): 2,
        ("all", True): 2,
    }
    assert {Path(name).suffix for name in os.listdir(tmp_path)} == {".jsonl"}


async def test_a_recording_that_breaks_off_replaces_none(tmp_path: Path, thread: LoopThread) -> None:
    """Until the recorder is left, an old file stays as it is, and what was received is in a file beside it.

    That has the number of the process in its name: two that record the same file do not mix their lines.
    """
    path, part = tmp_path / "r.jsonl", tmp_path / f"r.jsonl.{os.getpid()}.part"
    async with simulator() as sim:
        with recorder(path, sim.base_url, thread=thread) as recording:
            await ask(recording.base_url, CHAT, BODY, headers=HEADERS)
        old = path.read_bytes()
        with recorder(path, sim.base_url, thread=thread) as recording:
            await ask(recording.base_url, CHAT, BODY, headers=HEADERS)
            await asyncio.to_thread(wait_for, part.exists)
            assert path.read_bytes() == old
            assert len(read_exchanges(part)) == 1
        assert path.read_bytes() != old
        assert not part.exists()
        with recorder(path, sim.base_url, thread=thread):
            pass
        assert len(read_exchanges(path)) == 1


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it is true."""
    import time

    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError


async def test_equal_requests_get_their_answers_in_order(tmp_path: Path, thread: LoopThread) -> None:
    """Each exchange is replayed once; one request more than there are recordings is refused and told."""
    async with simulator(*(Reply(text) for text in "abc")) as sim:
        with recorder(tmp_path / "r.jsonl", sim.base_url, thread=thread) as recording:
            for _ in range(3):
                await ask(recording.base_url, CHAT, BODY, headers=HEADERS)
    with Recording(tmp_path / "r.jsonl", thread=thread) as replay:
        answers = [await ask(replay.base_url, CHAT, BODY, headers=HEADERS) for _ in range(4)]
    texts = [json.loads(answer.body)["choices"][0]["message"]["content"] for answer in answers[:3]]
    assert texts == ["a", "b", "c"]
    assert answers[3].status == 404
    with pytest.raises(AssertionError, match=r"each of the 3 recordings in .* was replayed already"):
        replay.verify()


FORM = (
    b'--%(b)s\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--%(b)s\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n%(c)s\r\n--%(b)s--\r\n'
)


def form(boundary: bytes, content: bytes = b"\x00\xff") -> tuple[bytes, str]:
    """A form and its type."""
    return FORM % {b"b": boundary, b"c": content}, f"multipart/form-data; boundary={boundary.decode()}"


JSON = "application/json"
SAME: dict[str, tuple[tuple[bytes, str, str], tuple[bytes, str, str]]] = {
    "order of keys": ((b'{"a":1,"b":[2]}', JSON, ""), (b'{ "b": [2.0], "a": 1 }', JSON, "")),
    "ids": ((b'{"a":1,"request_id":"x"}', JSON, ""), (b'{"a":1,"user_id":"y"}', JSON, "")),
    "query": ((b"", JSON, "?a=1&b=2"), (b"", JSON, "?b=2&a=1")),
    "boundary": ((*form(b"abc"), ""), (*form(b"xyz"), "")),
    "key in the query": ((b"", JSON, "?api_key=0123456789"), (b"", JSON, "?api_key=abcdefghi")),
}
DIFFERENT: dict[str, tuple[tuple[bytes, str, str], tuple[bytes, str, str]]] = {
    "value": ((b'{"a":1}', JSON, ""), (b'{"a":2}', JSON, "")),
    "inner id": ((b'{"a":{"user_id":1}}', JSON, ""), (b'{"a":{"user_id":2}}', JSON, "")),
    "query": ((b"", JSON, "?a=1"), (b"", JSON, "?a=2")),
    "file": ((*form(b"abc"), ""), (*form(b"abc", b"\x00\xfe"), "")),
    "large file": ((*form(b"abc", b"x" * 9000), ""), (*form(b"abc", b"x" * 8999 + b"y"), "")),
    "no JSON": ((b"a", JSON, ""), (b"b", JSON, "")),
}


@pytest.mark.parametrize(
    ("pair", "same"),
    [*((pair, True) for pair in SAME.values()), *((pair, False) for pair in DIFFERENT.values())],
    ids=[*SAME, *(f"not {name}" for name in DIFFERENT)],
)
async def test_what_counts_of_a_request(
    pair: tuple[tuple[bytes, str, str], tuple[bytes, str, str]], same: bool, tmp_path: Path, thread: LoopThread
) -> None:
    """JSON by its value without ids, forms by their parts, queries in any order; keys never; all else does."""
    (first, kind, query), (second, other_kind, other_query) = pair
    async with simulator(Json({"a": 1})) as sim:
        with recorder(tmp_path / "r.jsonl", sim.base_url, thread=thread) as recording:
            await ask(recording.base_url, f"/x{query}", first, headers=[f"Content-Type: {kind}"])
    with Recording(tmp_path / "r.jsonl", thread=thread) as replay:
        answer = await ask(replay.base_url, f"/x{other_query}", second, headers=[f"Content-Type: {other_kind}"])
    assert (answer.status, replay.complaints() == []) == ((200, True) if same else (404, False))


async def test_a_request_without_a_recording_is_told_with_the_nearest(tmp_path: Path, thread: LoopThread) -> None:
    """The client gets an error, and the complaint shows how the nearest exchange differs and how to record."""
    async with simulator() as sim:
        with recorder(tmp_path / "r.jsonl", sim.base_url, thread=thread) as recording:
            await ask(recording.base_url, "/models", method="GET", headers=HEADERS)
            for text in (b"Hello", b"Something else altogether"):
                await ask(recording.base_url, CHAT, BODY.replace(b"Hello", text), headers=HEADERS)
    with Recording(tmp_path / "r.jsonl", thread=thread) as replay:
        async with AsyncZhipuAI(replay.api_key, base_url=replay.base_url) as client:
            with pytest.raises(ZhipuError, match="not in"):
                await client.chat.completions.create(model="glm-4.6", messages=[{"role": "user", "content": "Hallo"}])
    (told,) = replay.complaints()
    assert f"POST /api/paas/v4/chat/completions: not in {tmp_path / 'r.jsonl'}; the nearest is exchange 2 " in told
    assert '-        "content": "Hello"\n    +        "content": "Hallo"' in told
    assert told.endswith("record it with pytest --glm-record=new_episodes")
    assert len(replay.unplayed) == 3


async def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path, thread: LoopThread) -> None:
    """The client has its answer all the same; the complaint names the place, and a directory is no recording."""
    (tmp_path / "file").touch()
    async with simulator() as sim:
        with recorder(tmp_path / "file/r.jsonl", sim.base_url, thread=thread) as recording:
            assert (await ask(recording.base_url, CHAT, BODY, headers=HEADERS)).complete
    (complaint,) = recording.complaints()
    assert "is not recorded" in complaint
    assert str(tmp_path / "file") in complaint
    with pytest.raises(ConfigError, match="cannot read the recording"):
        Recording(tmp_path)


async def test_what_cannot_be_recorded_is_told(tmp_path: Path, thread: LoopThread) -> None:
    """No file, a service that is not there, WebSockets, an unknown compression: each a complaint, and no file of it."""
    odd = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"
    async with AsyncExitStack() as stack:
        service: ByteServer = await stack.enter_async_context(written([odd]))
        path = tmp_path / "r.jsonl"
        cases: list[tuple[Mode, str, list[str], int, str]] = [
            ("none", service.url, HEADERS, 404, "there is no recording .*r.jsonl; record it with"),
            ("all", "http://127.0.0.1:1/v4", HEADERS, 502, "cannot be reached, nothing is recorded"),
            ("all", service.url, ["Upgrade: websocket"], 501, "WebSocket sessions are not recorded"),
            ("all", service.url, HEADERS, 200, "is not recorded: an answer in 'br' cannot be searched"),
        ]
        for mode, url, headers, status, text in cases:
            with recorder(path, url, mode, thread=thread) as recording:
                answer = await ask(recording.base_url, CHAT, BODY, headers=headers)
            assert answer.status == status
            with pytest.raises(AssertionError, match=text):
                recording.verify()
            assert not path.exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "line 1 is no line of a recording"),
        (b'{"glm_recording":2}\n', "no recording of version 1: record it again"),
        (b'{"glm_recording":1}\n', "no recording of version 1"),
        (b'{"glm_recording":1,"base_path":"/v4"}\n[]\n', "line 2 is no line"),
        (
            b'{"glm_recording":1,"base_path":"/v4"}\n{"request":{"method":"","target":"","headers":[],"text":1}}\n{"end":"cut","after":0}\n',
            "ends in line 3 cannot be read",
        ),
        (b'{"glm_recording":1,"base_path":"/v4"}\n{"end":"complete"}\n', "ends in line 2 cannot be read"),
        (b'{"glm_recording":1,"base_path":"/v4"}\n{"request":{}}\n', "the last exchange has no end"),
        (header("x", "/v4") + replace_pieces([]).lines().replace(b"complete", b"odd"), "'odd' is no end"),
    ],
)
def test_a_file_that_is_no_recording(content: bytes, text: str, tmp_path: Path) -> None:
    """It is a ConfigError that names the file, and the line where it can."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=text) as caught:
        Recording(path)
    assert str(path) in str(caught.value)


def test_settings_that_cannot_work(tmp_path: Path) -> None:
    """An unknown mode, a speed below 0, and a recording without a key are ConfigErrors before anything is opened."""
    path: Any = tmp_path / "r.jsonl"
    mode: Any = "sometimes"
    with pytest.raises(ConfigError, match="use one of none, once, new_episodes, all"):
        Recording(path, mode=mode)
    for speed in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="speed"):
            Recording(path, speed=speed)
    with pytest.raises(ConfigError, match="ZHIPU_API_KEY"):
        Recording(path, mode="once")


def test_the_service_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and address for recording come from the environment; for replaying neither is needed."""
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    recording = Recording(tmp_path / "r.jsonl", mode="once")
    assert recording.api_key == KEY
    assert recording.base_url.endswith("/api/paas/v4")
    assert KEY not in repr(recording)
    assert Recording(tmp_path / "r.jsonl").api_key != KEY
