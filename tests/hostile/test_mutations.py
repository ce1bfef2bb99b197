"""Valid answers, damaged at random: whatever the damage, an error of ours or a sound value, and a client that goes on.

``HOSTILE_MUTATIONS`` is how many are tried (500 by default), ``HOSTILE_SEED`` the first; a failure names its own.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.peer import WAYS, Attack, hostile_peer, is_whole, outcome
from tests.hostile.test_heads import answer
from tests.servers import COMPLETION, DONE, LAST, STREAM_HEAD, block, chunk
from zhipu_async import ChatCompletion, Timeouts, ZhipuError

pytestmark = pytest.mark.heavy

MUTATIONS = int(os.environ.get("HOSTILE_MUTATIONS", "500"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
AT_ONCE = 25
CLOCKS = Timeouts(connect=10.0, first_byte=0.3, first_token=0.4, between=0.3, total=0.5, stream_total=0.5)

EVENTS = [chunk("Hel"), chunk("lo"), chunk("!", "stop"), DONE]
GZIPPED_HEAD = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
WHOLE = answer(b"X-Log-Id: 1", b"Date: Fri, 02 Oct 2026 09:00:00 GMT")
VALID: dict[str, bytes] = {
    "whole": WHOLE,
    "chunked": STREAM_HEAD.replace(b"text/event-stream", b"application/json")
    + b"".join(block(COMPLETION[start : start + 40]) for start in range(0, len(COMPLETION), 40)) + LAST,
    "gzip": answer(b"Content-Encoding: gzip", body=gzip.compress(COMPLETION)),
    "events": STREAM_HEAD + b"".join(map(block, EVENTS)) + LAST,
    "events, gzip": GZIPPED_HEAD + b"".join(block(gzip.compress(event)) for event in EVENTS) + LAST,
    "error": answer(status=b"HTTP/1.1 429 No", body=b'{"error":{"code":"1302","message":"slow"}}'),
}  # fmt: skip
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"\x1b", b":", b" ", b"0", b"9" * 20, b"-1", b"\r\n\r\n", b"data: ", b"{",
    b"}", b'"', b"[DONE]", b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n",
    b"Content-Encoding: gzip\r\n", b"Location: /x\r\n", b"\xef\xbb\xbf", b"null", b"1e999", b"\\ud800", b"\xe2\x80\xa8",
]  # fmt: skip


def damaged(data: bytes, chance: random.Random) -> bytes:
    """``data`` with one to four places changed: bits, bytes, tokens, pieces left out, doubled, moved or cut off."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((0, 1, 1, 4, 30)))
        piece, other = data[start:end], chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0 if piece:
                data = data[:start] + bytes([data[start] ^ 1 << chance.randrange(8)]) + data[start + 1 :]
            case 1:
                data = data[:start] + chance.randbytes(len(piece)) + data[end:]
            case 2:
                data = data[:start] + chance.choice(TOKENS) + data[end:]
            case 3:
                data = data[:start] + data[end:]
            case 4:
                data = data[:start] + piece * chance.choice((2, 9, 500)) + data[end:]
            case 5:
                data = data[:other] + piece + data[other:]
            case _ if chance.random() < 0.3:
                data = data[:start]
            case _:
                data = data[:start] + chance.choice(list(VALID.values()))[other:] + data[end:]
    return data


@pytest.mark.heavy
async def test_damaged_answers_are_errors_of_ours_or_sound_values(tmp_path: Path) -> None:
    """None raises anything else, hangs, or leaves something in use; after each lot the client gets what it asks for."""
    kinds: Counter[str] = Counter()

    async def one(seed: int) -> None:
        chance = random.Random(seed)
        kind = chance.choice(list(VALID))
        way = (
            "stream"
            if "events" in kind
            else chance.choice(("whole", "raw", "upload", "download", "creation", "stream"))
        )
        attack = Attack(damaged(VALID[kind], chance), closes=chance.random() < 0.8)
        try:
            async with hostile_peer(attack, timeout=CLOCKS) as (client, peer):
                found = await outcome(WAYS[way], client, tmp_path)
                if isinstance(found, ChatCompletion):
                    assert isinstance(found.text, str | None)
                    str(found.usage)
                kinds[type(found).__name__ if isinstance(found, ZhipuError) else "value"] += 1
                if seed % 5 == 0:
                    await is_whole(client.with_options(timeout=10), peer)
                assert client.pool.statistics().in_use == 0 or way == "stream"
        except BaseException as error:
            error.add_note(f"HOSTILE_SEED={seed} HOSTILE_MUTATIONS=1: {way}, {kind}: {attack.data[:2000]!r}")
            raise

    for begin in range(SEED, SEED + MUTATIONS, AT_ONCE):
        await asyncio.gather(*(one(seed) for seed in range(begin, min(begin + AT_ONCE, SEED + MUTATIONS))))
    assert kinds.total() == MUTATIONS
    if MUTATIONS >= 100:  # the damage is neither harmless nor deadly
        assert kinds["value"] > MUTATIONS / 50
        assert kinds["value"] < MUTATIONS * 0.8
