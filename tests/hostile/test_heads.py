"""Heads of answers that no server should send."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.hostile.peer import SHORT, WAYS, Attack, files_in, outcomes
from tests.servers import COMPLETION
from zhipu_async import ConnectionLost, RequestTimeout, ResponseTooLarge, ServerError, TransportError

pytestmark = pytest.mark.heavy

LINE = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(COMPLETION)


def answer(*headers: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = COMPLETION) -> bytes:
    """A whole answer with these headers."""
    lines = (status, b"Content-Length: %d" % len(body), b"Content-Type: application/json", *headers, b"", b"")
    return b"\r\n".join(lines) + body


INTERIM = "1xx without end"
REFUSED: dict[str, tuple[Attack, type[Exception]]] = {
    "nothing": (Attack(b""), ConnectionLost),
    "a status line without end": (Attack(b"HTTP/1.1 200 ", again=b"O" * 65536), ResponseTooLarge),
    "a header without end": (Attack(LINE + b"X: ", again=b"y" * 65536), ResponseTooLarge),
    "a name without end": (Attack(LINE + b"X", again=b"y" * 65536), ResponseTooLarge),
    "headers without end": (Attack(LINE, again=b"X: y\r\n" * 1000), ResponseTooLarge),
    "100,000 headers": (Attack(LINE + b"X: y\r\n" * 100_000 + b"\r\n"), ResponseTooLarge),
    "NUL in a header": (Attack(answer(b"X: a\0b")), ConnectionLost),
    "CR in a header": (Attack(answer(b"X: a\rb")), ConnectionLost),
    "a header without a colon": (Attack(answer(b"garbage")), ConnectionLost),
    "a blank after a name": (Attack(answer(b"X : y")), ConnectionLost),
    "a header without a name": (Attack(answer(b": y")), ConnectionLost),
    "status 000": (Attack(answer(status=b"HTTP/1.1 000 OK")), ConnectionLost),
    "status 099": (Attack(answer(status=b"HTTP/1.1 099 OK")), ConnectionLost),
    "status 999": (Attack(answer(status=b"HTTP/1.1 999 No")), ServerError),
    "status 99999": (Attack(answer(status=b"HTTP/1.1 99999 No")), ConnectionLost),
    "status -1": (Attack(answer(status=b"HTTP/1.1 -1 No")), ConnectionLost),
    "no status": (Attack(answer(status=b"HTTP/1.1  OK")), ConnectionLost),
    "HTTP/0.9": (Attack(COMPLETION), ConnectionLost),
    "HTTP/9.9": (Attack(answer(status=b"HTTP/9.9 200 OK")), ConnectionLost),
    "the preface of HTTP/2": (Attack(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ConnectionLost),
    "frames of HTTP/2": (Attack(b"\0\0\x06\4\0\0\0\0\0\0\3\0\0\0\x64", closes=False), ConnectionLost),
    "another protocol": (Attack(b"SSH-2.0-OpenSSH_9\r\n", greets=True, closes=False), ConnectionLost),
    "a terminal's escapes": (Attack(b"\x1b[2J\x1b]0;evil\x07\xff\xfe\r\n\r\n"), ConnectionLost),
    "one line of 300 kB": (Attack(b"x" * 300_000), ConnectionLost),
    "101 to a POST": (
        Attack(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", again=b"z" * 60_000),
        ConnectionLost,
    ),
    INTERIM: (Attack(b"", again=b"HTTP/1.1 100 Continue\r\n\r\n" * 50), ConnectionLost),
    "a negative length": (Attack(answer().replace(LENGTH, b"Content-Length: -1\r\n")), ConnectionLost),
    "a signed length": (Attack(answer().replace(LENGTH, b"Content-Length: +5\r\n")), ConnectionLost),
    "two lengths": (Attack(answer(b"Content-Length: 5")), ConnectionLost),
    "a list of lengths": (Attack(answer().replace(LENGTH, b"Content-Length: 5, 5\r\n")), ConnectionLost),
    "a length over 64 bits": (Attack(answer().replace(LENGTH, b"Content-Length: %d\r\n" % 10**30)), ConnectionLost),
    "a length of 99 TB": (Attack(answer().replace(LENGTH, b"Content-Length: %d\r\n" % (99 * 10**12))), ConnectionLost),
    "length and chunks": (Attack(answer(b"Transfer-Encoding: chunked")), ConnectionLost),
    "an unknown framing": (
        Attack(answer(b"Transfer-Encoding: rot13").replace(LENGTH, b"")),
        ConnectionLost,
    ),
}

SLOW: dict[str, Attack] = {
    "silence": Attack(b"", closes=False),
    "a head that drips": Attack(LINE, again=b"X: y\r\n", every=0.05),
    "a long one that drips": Attack(LINE, again=b"y", every=0.02),
    "103 that drips": Attack(b"", again=b"HTTP/1.1 103 Early Hints\r\n\r\n", every=0.05),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_head_that_is_none_is_our_error(name: str, tmp_path: Path) -> None:
    """Whichever way was asked: the error of the table, at once and not by a clock; the pool is whole afterwards."""
    attack, kind = REFUSED[name]
    ways = [way for way in WAYS if way != "session" or name != INTERIM]  # which the handshake's clock ends
    found = await outcomes(attack, tmp_path, *ways)
    assert isinstance(found.pop("session", ConnectionLost()), ServerError if kind is ServerError else TransportError)
    assert {name: type(result) for name, result in found.items()} == dict.fromkeys(found, kind)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", SLOW)
async def test_a_head_that_never_comes_is_ended_by_a_clock(name: str, tmp_path: Path) -> None:
    """However busy the connection is, ``first_byte`` counts to the end of the head (``total`` for a handshake)."""
    only = replace(SHORT, first_token=None, total=None, stream_total=None)
    found = await outcomes(SLOW[name], tmp_path, *(way for way in WAYS if way != "session"), timeout=only)
    found |= await outcomes(SLOW[name], tmp_path, "session", timeout=SHORT)
    assert all(isinstance(result, RequestTimeout) for result in found.values())
    clocks = {name: getattr(result, "clock", result) for name, result in found.items()}
    assert clocks == {**dict.fromkeys(clocks, "first_byte"), "session": "total"}


@pytest.mark.parametrize(
    "header", [b"X: a\r\n folded", b"X: \x1b[2J\x07", b"X-Log-Id: \xff\xfe", b"Keep-Alive: timeout=1e99"], ids=repr
)
async def test_odd_headers_do_no_harm(header: bytes, tmp_path: Path) -> None:
    """What may be ignored of a head is: the answer behind it is taken."""
    found = await outcomes(Attack(answer(header)), tmp_path, "whole", "raw", "request", "download", "task")
    assert [result for result in found.values() if isinstance(result, Exception)] == []
