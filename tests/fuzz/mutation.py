"""The inputs that are known, and how others are made of them."""

from __future__ import annotations

import random
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
"""One folder for each target: what broke it once, and what leads to its corners."""

TOKENS: list[bytes] = [
    *b'{ } [ ] " : , \\ \n \r \r\n \n\n \0 \xef\xbb\xbf \xff \xe2\x80\xa8 \xed\xa0\x80'.split(b" "),
    *b"data: |event: ping\n|id: |retry: |: comment\n|data: [DONE]\n\n|data: {|data:".split(b"|"),
    *b"\\ud83d \\ude00 \\u0000 \\uD800 NaN Infinity -Infinity 1e999 -0 -0.0 1e-999 0.1 null true false".split(),
    *(b"9" * 20, b"9" * 309, b"1" * 4301, b"[" * 140, b'{"a":' * 140, b"]" * 140, b"}" * 140, b"2147483648", b"-1"),
    *b'"id":"1", "choices":[ "delta":{ "index":0, "content":"x" "finish_reason":"stop" "tool_calls":[{'.split(b" "),
    *b'"function":{ "arguments":"{}" "name":"f" "usage":{ "error":{ "code":"1302" "success":false'.split(),
    *b'"custom_id":"a" "response":{ "status_code":200 "body":{ "begun":true "batch":{ "hash":"x" "run":"r"'.split(),
    *b'"type":"error" "task_status":"FAILED" "data":{ "web_search":[ "mcp":{ "reasoning_content":"r"'.split(),
    *b"<think> </think> <|begin_of_box|> <|end_of_box|> ```json ``` ~~~ // /* */ # True None".split(),
    *b"http:// https:// @ // .. : [::1] %2f # ? \\".split(),
    *b"Fri, 21 Nov 2026 11:00:00 GMT|+9999|-0000|2026-11-21 11:00:00".split(b"|"),
]
"""What the formats are made of."""


def known(target: str) -> list[bytes]:
    """The corpus of a target, in the order of its names."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def mutated(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """``data`` after one to six accidents: bits flip, pieces are cut, repeated, taken from another, tokens appear."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        start, end = sorted(draw.randint(0, len(changed)) for _ in range(2))
        match draw.randrange(7):
            case 0 if changed:
                changed[start % len(changed)] ^= 1 << draw.randrange(8)
            case 1:
                del changed[start : min(end, start + 40)]
            case 2:
                changed[start:start] = changed[start:end][:200] * draw.choice((1, 2, 20))
            case 3:
                place, length = draw.randint(0, len(other)), draw.randint(1, 80)
                changed[start:start] = other[place : place + length]
            case 4:
                del changed[end:]
            case _:
                changed[start:start] = draw.choice(TOKENS)
    return bytes(changed[:20_000])
