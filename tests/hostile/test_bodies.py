"""Bodies that are framed, encoded or filled with intent: bombs, lies about length, and ends that never come."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest

from tests.hostile.peer import SHORT, Attack, files_in, outcomes
from tests.hostile.test_heads import answer
from tests.servers import COMPLETION, LAST, block
from zhipu_async import ConnectionLost, DecodeError, RequestTimeout, ResponseTooLarge, ServerError

pytestmark = pytest.mark.heavy

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = HEAD + b"Content-Encoding: gzip\r\n\r\n"
PACKED = gzip.compress(COMPLETION)
WHOLE = ("whole", "raw", "request", "upload", "download", "elsewhere", "task", "creation", "to_file", "stream")


def deflated(data: bytes) -> bytes:
    """``data`` as raw deflate."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


REFUSED: dict[str, tuple[Attack, type[Exception]]] = {
    "cut by the length": (Attack(HEAD + b"Content-Length: 500\r\n\r\n{}"), ConnectionLost),
    "no chunk size": (Attack(CHUNKED + b"zz\r\nabc", closes=False), ConnectionLost),
    "no chunk size later": (
        Attack(CHUNKED + block(b'{"a":'), again=b"zz\r\n", every=0.05, times=2, closes=False),
        ConnectionLost,
    ),
    "a negative chunk": (Attack(CHUNKED + b"-5\r\nabc", closes=False), ConnectionLost),
    "a chunk over 64 bits": (Attack(CHUNKED + b"f" * 21 + b"\r\nabc", closes=False), ConnectionLost),
    "a chunk without its end": (Attack(CHUNKED + b"2\r\n{}XX0\r\n\r\n", closes=False), ConnectionLost),
    "chunks and no last one": (Attack(CHUNKED + block(COMPLETION)), ConnectionLost),
    "a length in a trailer": (Attack(CHUNKED + block(COMPLETION) + b"0\r\nContent-Length: 5\r\n\r\n"), ConnectionLost),
    "trailers without end": (Attack(CHUNKED + block(b"{}") + b"0\r\n", again=b"X: y\r\n" * 1000), ResponseTooLarge),
    "an unknown encoding": (Attack(answer(b"Content-Encoding: rot13")), ConnectionLost),
    "two encodings": (Attack(answer(b"Content-Encoding: gzip, gzip", body=gzip.compress(PACKED))), ConnectionLost),
    "two encodings in two headers": (
        Attack(answer(b"Content-Encoding: gzip", b"Content-Encoding: gzip", body=gzip.compress(PACKED))),
        ConnectionLost,
    ),
    "two framings": (
        Attack(HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + block(PACKED) + LAST),
        ConnectionLost,
    ),
    "a gzip that is none": (Attack(answer(b"Content-Encoding: gzip")), ConnectionLost),
    "a gzip with a hole": (
        Attack(answer(b"Content-Encoding: gzip", body=PACKED[:30] + b"XXXXXX" + PACKED[36:])),
        ConnectionLost,
    ),
    "a gzip that is cut": (Attack(answer(b"Content-Encoding: gzip", body=PACKED[:-5])), ConnectionLost),
    "gzip members of nothing": (Attack(GZIP, again=gzip.compress(b"") * 3000), ResponseTooLarge),
    "a gzip's name without end": (Attack(GZIP + b"\x1f\x8b\x08\x08" + bytes(6), again=b"n" * 60_000), ResponseTooLarge),
    "deflate blocks of nothing": (
        Attack(GZIP.replace(b"gzip", b"deflate") + zlib.compress(b"")[:2], again=b"\0\0\0\xff\xff" * 12_000),
        ResponseTooLarge,
    ),
    "zeros behind a gzip": (Attack(GZIP + PACKED, again=bytes(60_000)), ResponseTooLarge),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_body_that_is_none_is_our_error(name: str, tmp_path: Path) -> None:
    """Whichever way was asked: the error of the table, at once and not by a clock; no part of a file is left."""
    attack, kind = REFUSED[name]
    found = await outcomes(attack, tmp_path, *WHOLE)
    assert {name: type(result) for name, result in found.items()} == dict.fromkeys(found, kind)
    assert files_in(tmp_path) == []


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate without a header": deflated,
    "br": brotli.compress,
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("status", ["200 OK", "500 No"])
async def test_bombs_are_refused_where_they_pass_the_limit(name: str, status: str, tmp_path: Path) -> None:
    """A body that unfolds to a hundred times ``Limits.body``: too large for an answer, cut for the text of an error."""
    head = HEAD.replace(b"200 OK", status.encode()) + f"Content-Encoding: {name.split()[0]}\r\n\r\n".encode()
    ways = [way for way in WHOLE if way != "to_file"]
    found = await outcomes(Attack(head + BOMBS[name](b" " * 20_000_000)), tmp_path, *ways)
    kind = ResponseTooLarge if status == "200 OK" else ServerError
    assert {name: type(result) for name, result in found.items()} == dict.fromkeys(found, kind)


LARGE: dict[str, Attack] = {
    "to the end of the connection": Attack(HEAD + b"\r\n", again=b" " * 50_000),
    "in chunks": Attack(CHUNKED, again=block(b" " * 50_000)),
    "in one chunk": Attack(CHUNKED + b"ffffffffffff\r\n", again=b" " * 50_000),
    "in bytes": Attack(CHUNKED, again=block(b" ") * 10_000),
}


@pytest.mark.parametrize("name", LARGE)
async def test_answers_are_bounded(name: str, tmp_path: Path) -> None:
    """An answer without end is refused where it passes ``Limits.body``."""
    ways = [way for way in WHOLE if way != "to_file"]
    found = await outcomes(LARGE[name], tmp_path, *ways)
    assert {name: type(result) for name, result in found.items()} == dict.fromkeys(found, ResponseTooLarge)


DEADLINES = {"total", "first_token", "stream_total"}
QUIET = {"between", *DEADLINES}
"""Where bytes come that are none of the body: ``between`` alone ends it too."""
SLOW: dict[str, tuple[Attack, set[str]]] = {
    "a byte now and then": (Attack(HEAD + b"\r\n", again=b" ", every=0.05), DEADLINES),
    "a compressed byte now and then": (Attack(GZIP + PACKED[:10], again=b"\0", every=0.2), DEADLINES),
    "a length that never comes": (Attack(HEAD + b"Content-Length: 9\r\n\r\n{", closes=False), QUIET),
    "a chunk extension that drips": (Attack(CHUNKED + b"2;", again=b"a", every=0.05), QUIET),
    "a chunk extension without end": (Attack(CHUNKED + b"2;", again=b"a" * 60_000), QUIET),
    "a trailer that drips": (Attack(CHUNKED + block(b"{}") + b"0\r\n", again=b"X: y\r\n", every=0.1), QUIET),
    "a file without end": (LARGE["to the end of the connection"], {"total"}),
    "an error that drips": (
        Attack(HEAD.replace(b"200 OK", b"400 No") + b"\r\n", again=b" ", every=0.05),
        DEADLINES,
    ),
}


@pytest.mark.parametrize("name", SLOW)
async def test_a_body_that_never_ends_is_ended_by_a_clock(name: str, tmp_path: Path) -> None:
    """``between`` for bytes that are none of the body, ``total`` for what never stops; a file leaves no part."""
    attack, clocks = SLOW[name]
    found = await outcomes(attack, tmp_path, *(["to_file"] if "file" in name else WHOLE), timeout=SHORT)
    bad = {
        way: result
        for way, result in found.items()
        if not (isinstance(result, RequestTimeout) and result.clock in clocks)
        and not isinstance(result, ConnectionLost)
    }
    assert bad == {}
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"1e999", b'"\\ud800"', bytes(range(256)) * 50, b"[" * 100_000, b"<html>\x1b[2J</html>",
     b'{"choices":' + b"[" * 90_000 + b"]" * 90_000 + b"}", b'{"id":' + b"9" * 100_000 + b"}"],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
@pytest.mark.parametrize("kind", [b"text/event-stream", b"\x1b\xff"], ids=repr)
async def test_answers_of_the_wrong_type_are_our_errors(body: bytes, kind: bytes, tmp_path: Path) -> None:
    """What is no answer of the endpoint is a DecodeError (an empty stream: a truncated one), or a whole default."""
    attack = Attack(answer(body=body).replace(b"application/json", kind))
    found = await outcomes(attack, tmp_path, "whole", "stream", "upload", "task", "creation")
    assert {name: str(result) for name, result in found.items() if not isinstance(result, Exception)} == {}
    assert isinstance(found["whole"], DecodeError)
