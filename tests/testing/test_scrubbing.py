"""Keys, tokens and cookies never get into a file, wherever they stand."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Iterator
from gzip import compress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import LAST, STREAM_HEAD, block
from tests.testing.services import KEY, ask, recorder, written
from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Scenario, Simulator
from zhipu_async.testing import Exchange, LoopThread, Piece, Recording, Scrubber, read_exchanges
from zhipu_async.testing.scrubbing import MASK, Secrets

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhcGlfa2V5IjoiMTIzIn0.c2lnbmF0dXJlLW9mLWl0"
COOKIE = "session-cookie-0123456789"
OTHER_KEY = "ffeeddccbbaa99887766554433221100.Aa1234567890Bbcc"
PASSWORD = 'pass "word" 1234'
MINE = "employee-4711"


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    """One for all tests."""
    with LoopThread() as thread:
        yield thread


def exchange(**changes: Any) -> Exchange:
    """An exchange with nothing to hide."""
    plain: dict[str, Any] = {"method": "POST", "target": "/x", "headers": (), "body": b"{}", "status": 200}
    return Exchange(**{**plain, **changes})


# ---------------------------------------------------------------- in files


async def test_planted_secrets_are_not_in_the_file(tmp_path: Path, thread: LoopThread) -> None:
    """Of secrets in headers, query, JSON, forms, streams and compressed answers no trace is left, in any spelling."""
    echo = json.dumps({"you": f"Bearer {KEY}", "other": OTHER_KEY, "cookie": COOKIE, "who": MINE}).encode()
    half = echo.index(KEY.encode()) + 7
    gzip = zlib.compressobj(wbits=31)
    packed = gzip.compress(echo) + gzip.flush()
    cookies = b"X-Log-Id: 1\r\nSet-Cookie: sid=" + COOKIE.encode() + b"; Path=/\r\n"
    sized = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b"
    answers = (
        [sized % (cookies, len(echo), echo)],
        [STREAM_HEAD, block(echo[:half]), 0.01, block(echo[half:]), LAST],
        [sized % (b"Content-Encoding: gzip\r\n", len(packed), packed)],
        [sized % (b"X-Echo: %b\r\n" % TOKEN.encode(), 2, b"{}")],
    )
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": f"my key is {OTHER_KEY}"}],
            "tools": [{"type": "mcp", "mcp": {"headers": {"Authorization": PASSWORD}, "api_key": "short-one"}}],
            "arguments": json.dumps({"password": "nested-secret-1"}),
            "url": f"https://x/?access_token={PASSWORD.replace(' ', '+')}&b=1",
        }
    ).encode()
    form = b'--b\r\nContent-Disposition: form-data; name="api_key"\r\n\r\nform-secret-1\r\n--b--\r\n'
    path = tmp_path / "r.jsonl"
    scrubber = Scrubber(patterns=[r"employee-\d+"], headers=["X-Team"], fields=["badge"], drop=["x-log-id"])
    async with written(*answers) as service:
        with recorder(path, service.url, thread=thread, scrubber=scrubber) as recording:
            for headers, content, query in (
                ([f"Authorization: Bearer {KEY}", f"Cookie: sid={COOKIE}"], body, ""),
                ([f"X-API-Key: {KEY}", "Content-Type: multipart/form-data; boundary=b"], form, ""),
                ([f"Authorization: {TOKEN}", "X-Team: team-secret-1"], b'{"badge":"badge-secret-1"}', ""),
                ([], b"", f"?api_key={KEY}&token=query-secret-1&page=2"),
            ):
                answer = await ask(recording.base_url, f"/x{query}", content, headers=headers)
                assert answer.status == 200
            assert recording.complaints() == []
    file = path.read_text()
    secrets = [KEY, KEY.partition(".")[2], TOKEN, COOKIE, OTHER_KEY, "pass ", MINE, "short-one"]
    secrets += [f"{name}-secret-1" for name in ("nested", "form", "team", "badge", "query")]
    assert [secret for secret in secrets if secret in file] == []
    everything = b"".join(part for one in read_exchanges(path) for part in (one.body, one.answer))
    assert [secret for secret in secrets if secret.encode() in everything] == []
    encoded = [b64encode(secret.encode()).rstrip(b"=") for secret in secrets]
    assert [text for text in encoded if text in everything] == []
    assert not re.search("x-log-id|cookie", re.sub('"cookie', "", file), re.IGNORECASE)  # left out as a whole
    assert "page=2" in file  # what is no secret stays
    assert "my key is ***" in file


async def test_a_scrubbed_answer_is_replayed_whole(tmp_path: Path, thread: LoopThread) -> None:
    """Its Content-Length is that of what is left; a compressed one comes without its compression."""
    echo = b'{"error":{"code":"1002","message":"bad key ' + KEY.encode() + b'"}}'
    gzip = zlib.compressobj(wbits=31)
    packed = gzip.compress(echo) + gzip.flush()
    answers = [
        [b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(echo), echo)],
        [b"HTTP/1.1 401 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(packed), packed)],
        [b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(echo), echo[:-2])],
    ]
    path = tmp_path / "r.jsonl"
    async with written(*answers) as service:
        with recorder(path, service.url, thread=thread) as recording:
            for _ in answers:
                await ask(recording.base_url, "/x", headers=[f"Authorization: Bearer {KEY}"])
    with Recording(path, thread=thread) as replay:
        found = [await ask(replay.base_url, "/x") for _ in answers]
    left = echo.replace(KEY.encode(), b"***")
    assert [answer.body for answer in found] == [left, left, left[:-2]]
    assert [answer.complete for answer in found] == [True, True, False]
    assert {answer.header("content-length") for answer in found} == {str(len(left))}


async def test_a_secret_that_is_known_late_leaves_what_was_written_before(tmp_path: Path, thread: LoopThread) -> None:
    """A value of which the first exchange did not tell that it is secret is gone from it once it was a header."""
    path = tmp_path / "r.jsonl"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n"
    async with written([head + b'{"issued":"late-secret-1"}'], [head + b'{"issued":"late-secret-2"}']) as service:
        with recorder(path, service.url, thread=thread) as recording:
            await ask(recording.base_url, "/x")
            await ask(recording.base_url, "/x", headers=["Authorization: Bearer late-secret-1"])
    assert "late-secret-1" not in path.read_text()
    assert "late-secret-2" in path.read_text()


@pytest.mark.parametrize("auth", ["bearer", "jwt"])
async def test_the_client_leaves_no_key(auth: Any, tmp_path: Path, thread: LoopThread) -> None:
    """With either way of signing, neither the key, its secret half nor a token is in the file; the replay answers."""
    asked: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": f"Is {KEY} a key?"}]}
    async with Simulator(Scenario(api_keys=[KEY])) as sim:
        with recorder(tmp_path / "r.jsonl", sim.base_url, thread=thread) as recording:
            async with AsyncZhipuAI(recording.api_key, base_url=recording.base_url, auth=auth) as client:
                assert (await client.chat.completions.create(**asked)).text
    text = (tmp_path / "r.jsonl").read_text()
    assert KEY not in text
    assert KEY.partition(".")[2] not in text
    assert "eyJ" not in text
    with Recording(tmp_path / "r.jsonl", thread=thread) as replay:
        async with AsyncZhipuAI(replay.api_key, base_url=replay.base_url, auth=auth) as client:
            assert (await client.chat.completions.create(**asked)).text
    replay.verify()


# ---------------------------------------------------------------- in exchanges


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_each_part_of_a_compressed_answer_is_searched(size: int) -> None:
    """A key in the second of two gzip members is found, however the bytes were cut."""
    packed = compress(b'{"a": "') + compress(KEY.encode()) + compress(b'"}')
    pieces = [Piece(0.0, packed[place : place + size]) for place in range(0, len(packed), size)]
    found = Secrets().of(exchange(pieces=pieces, answer_headers=(("Content-Encoding", "gzip"),)))
    assert (found.answer, found.answer_headers) == (b'{"a": "***"}', ())


@given(
    before=st.binary(max_size=20),
    after=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 120), max_size=6),
    secret=st.sampled_from([KEY, f"Bearer {KEY}", TOKEN]),
)
def test_a_secret_is_found_across_pieces(before: bytes, after: bytes, cuts: list[int], secret: str) -> None:
    """However a body is cut, its pieces joined are the scrubbed body, none is empty, and times stay."""
    whole = before + b" " + secret.encode() + b" " + after
    bounds = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [Piece(first, whole[first:last]) for first, last in pairwise(bounds)]
    scrubbed = Secrets().of(exchange(pieces=pieces))
    assert scrubbed.answer == Secrets().body(whole)
    assert secret.encode() not in scrubbed.answer
    assert KEY.encode() not in scrubbed.answer
    assert all(piece.data for piece in scrubbed.pieces)
    assert {piece.after for piece in scrubbed.pieces} <= {piece.after for piece in pieces}


@given(st.binary(max_size=200))
def test_scrubbing_twice_is_scrubbing_once(data: bytes) -> None:
    """What was scrubbed is found again by a request that is scrubbed in the same way."""
    for body in (data, b'{"api_key":"' + data + b'"}', b"x " + KEY.encode() + data):
        once = Secrets().body(body)
        assert Secrets().body(once) == once


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"token":"Hello","key":"a","logprob":-0.1}', None),
        (b'{"usage":{"prompt_tokens":3}}', None),
        (b"A bearer of good news", None),
        (b'{"api_key":""}', None),
        (b'{"api_key":"a\\"b","c":"d"}', b'{"api_key":"***","c":"d"}'),
        (b'{"API_KEY" : "x"}', b'{"API_KEY" : "***"}'),
        (b'"{\\"api_key\\":\\"x\\",\\"b\\":\\"c\\"}"', b'"{\\"api_key\\":\\"***\\",\\"b\\":\\"c\\"}"'),
        (b'{"password":"cut off', b'{"password":"***'),
        (
            b'{"accessToken":"a","clientSecret":"b","apiKey":"c"}',
            b'{"accessToken":"***","clientSecret":"***","apiKey":"***"}',
        ),
        (b'{"Api-Key":"a","refresh-token":"b"}', b'{"Api-Key":"***","refresh-token":"***"}'),
        (
            b'{"Cookie":"a","set-cookie":"b","X-Auth-Token":"c"}',
            b'{"Cookie":"***","set-cookie":"***","X-Auth-Token":"***"}',
        ),
        (b'{"url":"https://x/y?key=a&token=b&c=d"}', b'{"url":"https://x/y?key=***&token=***&c=d"}'),
        (
            b'{"url":"https://x/y?a=b\\u0026Signature=c\\u0026d=e"}',
            b'{"url":"https://x/y?a=b\\u0026Signature=***\\u0026d=e"}',
        ),
        (b"clientSecret=a&b=c&apiKey=d", b"clientSecret=***&b=c&apiKey=***"),
        (b"x=1&monkey=a", None),
        (b'"Keys:\\n' + KEY.encode() + b"\\n\\u4f60" + KEY.encode() + b'"', b'"Keys:\\n***\\n\\u4f60***"'),
        (b"https://x/y?api_key=abc&z=1", b"https://x/y?api_key=***&z=1"),
        (b"Authorization: Bearer abcdefgh12345", b"Authorization: ***"),
        (b"sk-abcdefghijklmnopqrstu", b"***"),
    ],
)
def test_what_is_a_secret(body: bytes, left: bytes | None) -> None:
    """Values of telling names and shapes of keys are; words, counts and the tokens of a model are not."""
    assert Secrets().body(body) == (body if left is None else left)


@pytest.mark.parametrize("value", ["x", 'a"b', 'ends in "', "ends in \\", '\\" \\\\" \n', "密码", 'a", "b": "c'])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_json_in_json_stays_json(value: str, ascii_only: bool, depth: int) -> None:
    """At any depth exactly the value of the field is replaced, whatever it is."""

    def packed(secret: str) -> str:
        text = json.dumps({"password": secret, "to": "Anna"}, ensure_ascii=False)
        for _ in range(depth):
            text = json.dumps({"a": text, "b": "c"}, ensure_ascii=ascii_only)
        return text

    assert Secrets().body(packed(value).encode()) == packed(MASK).encode()


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"a":"%b"}' % (b"\\" * 40_000), None),
        (b"eyJaaaaaaaa-" * 20_000, None),
        (b"eyJ" + b"a" * 200_000, None),
        (b'\\"password\\":\\"' * 4_000, None),
        (b'name="api_key"\r\n' * 20_000, None),
        (b'name="api_key"\r\n\r\n' * 20_000, b'name="api_key"\r\n\r\n***'),
        (b"?key=" * 40_000, b"?key=***"),
        (b"Bearer" + b" " * 200_000, None),
    ],
    ids=range(8),
)
def test_long_bodies_that_begin_like_secrets(body: bytes, left: bytes | None) -> None:
    """What looks like the beginning of a secret again and again is searched as anything else is."""
    assert Secrets().body(body) == (body if left is None else left)


# ---------------------------------------------------------------- in streams


def frames(name: str, *texts: str) -> list[Piece]:
    """A stream that brings a text in these parts."""
    deltas = [
        {"tool_calls": [{"index": 0, "function": {"arguments": text}}]} if name == "arguments" else {name: text}
        for text in texts
    ]
    said = [json.dumps({"choices": [{"index": 0, "delta": delta}]}, ensure_ascii=False) for delta in deltas]
    return [Piece(0.1 * number, f"data: {text}\n\n".encode()) for number, text in enumerate(said)]


@pytest.mark.parametrize("name", ["content", "reasoning_content", "arguments"])
@pytest.mark.parametrize(
    ("texts", "left"),
    [
        (('{"', "pass", 'word": "', "hun", "ter2", '"}'), ('{"', "pass", 'word": "', "***", "***", '"}')),
        (('{"password": "hun', 'ter2", "to": "Anna', '"}'), ('{"password": "***', '***", "to": "Anna', '"}')),
        (('{"password": "', "", "hunter2", '"}'), ('{"password": "', "", "***", '"}')),
        (('{"password": "', "hunter2", " is cut"), ('{"password": "', "***", "***")),
        (("Key: " + KEY[:9], KEY[9:40], KEY[40:] + ", so"), ("Key: ***", "***", "***, so")),
        (("Is it em", "ployee-", "4711?"), ("Is it ***", "***", "***?")),
        (("see https://x/?to", "ken=abc", "def&a=b"), ("see https://x/?to", "ken=***", "***&a=b")),
        (('Write "pass', 'word": 5 "or" 6'), None),
    ],
)
def test_a_secret_that_is_streamed_in_parts(name: str, texts: tuple[str, ...], left: tuple[str, ...] | None) -> None:
    """Each delta that has a part of it gets a `***` of its own; frames, their times and all other texts stay."""
    secrets = Secrets(Scrubber(patterns=[MINE]))
    scrubbed = secrets.of(exchange(pieces=frames(name, *texts)))
    assert scrubbed.pieces == frames(name, *(left or texts))
    assert secrets.of(scrubbed) == scrubbed
    cut = [Piece(0.0, bytes([byte])) for byte in exchange(pieces=frames(name, *texts)).answer]
    assert Secrets(Scrubber(patterns=[MINE])).of(exchange(pieces=cut)).answer == scrubbed.answer


def test_a_name_of_a_secret_in_one_frame_leaves_the_others() -> None:
    """What is no text of the same JSON is not taken for its value: no frame goes."""
    call = '{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"f"}}]}}]}'
    pieces = [
        *frames("arguments", '{"password": "'),
        Piece(0.5, f"data: {call}\n\n".encode()),
        *frames("content", 'Say "Hi"'),
    ]
    assert Secrets().of(exchange(pieces=pieces)).pieces == pieces


def test_a_secret_of_a_stream_is_looked_for_elsewhere() -> None:
    """A password that a model gives a function in parts is also gone from the request that told it."""
    pieces = frames("arguments", '{"password": "hun', "ter2-", 'hunter2"}')
    scrubbed = Secrets().of(exchange(pieces=pieces, body=b'{"content":"It is hunter2-hunter2"}'))
    assert scrubbed.body == b'{"content":"It is ***"}'


# ---------------------------------------------------------------- in addresses and settings


def test_names_count_however_they_are_written() -> None:
    """Headers of one's own are also names of fields, and words are joined by `-`, `_` or nothing, in any case."""
    secrets = Secrets(Scrubber(headers=["X-Team"], fields=["badge_number"]))
    scrubbed = secrets.of(
        exchange(
            target="/x?x_team=a&badgeNumber=b&accessToken=c&number=1",
            answer_headers=(("Location", "https://x/y?token=abc&d=e"),),
            body=b'{"xTeam":"a","Badge-Number":"b","number":"c"}',
        )
    )
    assert scrubbed.target == "/x?x_team=***&badgeNumber=***&accessToken=***&number=1"
    assert scrubbed.answer_headers == (("Location", "https://x/y?token=***&d=e"),)
    assert scrubbed.body == b'{"xTeam":"***","Badge-Number":"***","number":"c"}'


async def test_a_secret_of_the_address_of_the_service(tmp_path: Path, thread: LoopThread) -> None:
    """It is not in the first line of the file either; replays find their requests, the service gets it as it is."""
    path, secret = tmp_path / "r.jsonl", "sk-0123456789abcdef0123"
    answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"]
    async with written(answer, answer) as service:
        upstream = f"{service.url}/{secret}"
        base_path = f"/api/paas/v4/{secret}"
        with recorder(path, upstream, thread=thread) as recording:
            assert (await ask(recording.base_url, "/x")).status == 200
        with recorder(path, upstream, "new_episodes", thread=thread) as recording:
            assert [(await ask(recording.base_url, target)).status for target in ("/x", "/y")] == [200, 200]
        assert [request.split(b" ")[1].decode() for request in service.requests] == [
            f"{base_path}/x",
            f"{base_path}/y",
        ]
    assert secret not in path.read_text()
    assert json.loads(path.read_text().partition("\n")[0])["base_path"] == "/api/paas/v4/***"
    with Recording(path, thread=thread) as replay:
        assert [(await ask(replay.base_url, target)).status for target in ("/y", "/x")] == [200, 200]
    replay.verify()


def test_patterns_of_ones_own() -> None:
    """Texts and compiled patterns, with their flags, work in bodies, addresses and headers."""
    secrets = Secrets(Scrubber(patterns=["müller", re.compile(r"case-\d+", re.IGNORECASE)]))
    scrubbed = secrets.of(
        exchange(target="/x?q=CASE-12", headers=(("X-A", "case-13"),), body="Herr müller, Case-14".encode())
    )
    assert scrubbed.target == "/x?q=***"
    assert scrubbed.headers == (("X-A", MASK),)
    assert scrubbed.body == b"Herr ***, ***"


def test_short_values_are_not_looked_for_elsewhere() -> None:
    """A secret header of three letters is replaced itself, but those letters stay where they are words."""
    scrubbed = Secrets().of(exchange(headers=(("Authorization", "the"),), body=b"the end"))
    assert (scrubbed.headers[0][1], scrubbed.body) == (MASK, b"the end")
