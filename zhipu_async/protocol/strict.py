"""JSON that any reader takes, of bytes that one answer or another has (README.md section 5)."""

from __future__ import annotations

import re
from itertools import accumulate

import msgspec

BOM = b"\xef\xbb\xbf"
DEEPEST = 128
"""Levels of a body that stands in a line as it came: what every JSON reader can follow. A deeper one becomes text."""
LONGEST_NUMBER = 4300
"""Digits of a whole number that stands in a line: the standard library of Python reads no longer ones."""

_check = msgspec.json.Decoder(msgspec.Raw).decode  # checks the grammar alone
_BLANKS = bytes.maketrans(b"\r\n", b"  ")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TOO_LONG = re.compile(rb"[0-9]{%d}" % (LONGEST_NUMBER + 1))
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|-?Infinity|NaN', re.DOTALL)
"""A string that has no end is one token to the end: looked for from each of its quotes, the time would be quadratic."""
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.")


def embedded(body: bytes) -> bytes:
    """``body`` as strict JSON in one line, of a form that decodes to the same.

    Strict JSON stays as it came, but for line breaks between its tokens. Of any other, lone surrogates and bytes that
    are not UTF-8 become U+FFFD, NaN and infinities texts; what is no JSON then, or is deeper than :data:`DEEPEST`,
    becomes one text.
    """
    data = body.removeprefix(BOM).strip(b" \t\r\n")
    if not _strict(data):
        text = data.decode("utf-8", "replace")
        data = _TOKEN.sub(_repaired, text).encode()
        if not _strict(data):
            return msgspec.json.encode(text)
    # strict JSON has line breaks between tokens only
    return data.translate(_BLANKS) if b"\n" in data or b"\r" in data else data


def _strict(data: bytes) -> bool:
    """Whether any reader of JSON takes ``data``."""
    try:
        data.decode()
        _check(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    if _digits_at_every(LONGEST_NUMBER + 1, data) and _TOO_LONG.search(_STRING.sub(b"", data)):
        return False
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return True
    brackets = _STRING.sub(b"", data).translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) <= DEEPEST


def _digits_at_every(step: int, data: bytes) -> bool:
    """Whether a number of ``step`` digits is possible: a look at the places of which it must cover one."""
    return any(
        data[place - 50 : place + 1].isdigit() or data[place : place + 51].isdigit()
        for place in range(step - 1, len(data), step)
    )


def _repaired(token: re.Match[str]) -> str:
    """A string without lone surrogates; NaN and infinities as texts, which the tolerant decoder takes for numbers."""
    text = token[0]
    if not text.startswith('"'):
        return f'"{text}"'
    return _ESCAPE.sub(lambda escape: "\ufffd" if len(escape[0]) == 6 else escape[0], text)
