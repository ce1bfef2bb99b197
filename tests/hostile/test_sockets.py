"""Frames of a WebSocket that break its rules, or are meant to fill the memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import zlib
from pathlib import Path

import pytest

from tests.hostile.peer import Attack
from tests.servers import COMPLETION, Conversation, byte_server
from zhipu_async import AsyncZhipuAI, ConnectionLost, Limits, RequestTimeout, ResponseTooLarge, Timeouts, ZhipuError
from zhipu_async.types.realtime_events import UnknownEvent

pytestmark = pytest.mark.heavy

KEY_END = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOCKS = Timeouts(connect=5, between=0.5, stream_total=None)


def frame(code: int, data: bytes = b"", *, last: bool = True, reserved: int = 0, masked: bool = False) -> bytes:
    """A frame as a server sends it, unless it is ``masked``."""
    first = (0x80 if last else 0) | reserved << 4 | code
    mask = 0x80 if masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, mask | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, mask | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, mask | 127, len(data))
    return head + (b"\0\0\0\0" if masked else b"") + data


TEXT, BINARY, MORE, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
PACKED = zlib.compress(b" " * 10_000_000, wbits=-15)[:-4]

BROKEN: dict[str, tuple[Attack, type[ZhipuError]]] = {
    "an event larger than the limit": (Attack(frame(TEXT, b"x" * 60_000)), ResponseTooLarge),
    "a length of 8 EB": (Attack(struct.pack("!BBQ", 0x81, 127, 2**63 - 1), again=b"x" * 60_000), ResponseTooLarge),
    "fragments without end": (
        Attack(frame(TEXT, b"x", last=False), again=frame(MORE, b"x" * 900, last=False)),
        ResponseTooLarge,
    ),
    "a compressed bomb that was not agreed on": (Attack(frame(TEXT, PACKED, reserved=4)), ConnectionLost),
    "what is no UTF-8": (Attack(frame(TEXT, b"\xff\xfe")), ConnectionLost),
    "an unknown opcode": (Attack(frame(3, b"x")), ConnectionLost),
    "reserved bits": (Attack(frame(TEXT, b"{}", reserved=2)), ConnectionLost),
    "a fragment of nothing": (Attack(frame(MORE, b"x")), ConnectionLost),
    "a second message inside a first": (Attack(frame(TEXT, b"{", last=False) + frame(TEXT, b"}")), ConnectionLost),
    "a long ping": (Attack(frame(PING, b"x" * 200)), ConnectionLost),
    "a ping in pieces": (Attack(frame(PING, b"x", last=False)), ConnectionLost),
    "a close code that is none": (Attack(frame(CLOSE, struct.pack("!H", 5))), ConnectionLost),
    "a close of one byte": (Attack(frame(CLOSE, b"x")), ConnectionLost),
    "a close with escapes": (Attack(frame(CLOSE, struct.pack("!H", 4000) + b"\x1b[2J\x07")), ConnectionLost),
    "HTTP": (Attack(b"HTTP/1.1 200 OK\r\n\r\n" + COMPLETION), ConnectionLost),
    "the end": (Attack(b""), ConnectionLost),
    "half a frame and the end": (Attack(frame(TEXT, b"x" * 100)[:50]), ConnectionLost),
    "half a frame": (Attack(frame(TEXT, b"x" * 100)[:50], closes=False), RequestTimeout),
    "a frame that drips": (Attack(frame(TEXT, b"x" * 40_000)[:4], again=b"x", every=0.05), RequestTimeout),
    "pings without end": (Attack(b"", again=frame(PING, b"x" * 100) * 20, every=0.01), RequestTimeout),
    "pongs without end": (Attack(b"", again=frame(PONG) * 500, every=0.01), RequestTimeout),
    "fragments of nothing": (Attack(b"", again=frame(TEXT, last=False)[:2] + frame(MORE, last=False)), ZhipuError),
}


async def _session(attack: Attack, folder: Path, limits: Limits, extra: bytes = b"") -> tuple[list[object], object]:
    """The events of a session in which the peer does ``attack``, and how it ended."""

    async def handler(talk: Conversation) -> None:
        head = await talk.request()
        if b"Sec-WebSocket-Key" not in head:
            await talk.answer(COMPLETION)
            return
        key = next(line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
        accept = base64.b64encode(hashlib.sha1(key + KEY_END).digest())
        lines = (
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: " + accept
        )
        await talk.send(lines + extra + b"\r\n\r\n")
        await attack.strike(talk)
        if not attack.closes:
            await talk.reader.read()

    events: list[object] = []
    error: object = None
    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, limits=limits) as client:
        try:
            async with asyncio.timeout(15), client.realtime.connect(timeout=CLOCKS) as session:
                async for event in session:
                    events.append(event)
        except ZhipuError as failure:
            error = failure
        assert client.pool.statistics().in_use == 0
        answer = await client.chat.completions.create(model="glm-4.6", messages=[{"role": "user", "content": "Hello"}])
        assert answer.text == "Hi"
    return events, error


@pytest.mark.parametrize("extra", [b"", b"\r\nSec-WebSocket-Extensions: permessage-deflate"], ids=["plain", "unasked"])
@pytest.mark.parametrize("name", BROKEN)
async def test_frames_that_break_the_rules_end_the_session(name: str, extra: bytes, tmp_path: Path) -> None:
    """With the error of the table, whose text can be printed; also where compression is declared unasked."""
    attack, kind = BROKEN[name]
    events, error = await _session(attack, tmp_path, Limits(event=50_000), extra)
    assert isinstance(error, kind)
    assert "\x1b" not in str(error)
    assert events == []


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[1]", b"\x1b", b'{"type":5}', b'{"type":"\\ud800"}', b"[" * 40_000, b"9" * 40_000],
    ids=repr,
)
async def test_frames_of_nonsense_are_unknown_events(data: bytes, tmp_path: Path) -> None:
    """As text and as bytes: each is one event that says nothing, and the session goes on."""
    attack = Attack(frame(TEXT, data) + frame(BINARY, data) + frame(CLOSE, struct.pack("!H", 1000)))
    events, error = await _session(attack, tmp_path, Limits(event=50_000))
    assert error is None
    assert [type(event) for event in events] == [UnknownEvent, UnknownEvent]
