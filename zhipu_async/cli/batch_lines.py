"""The lines of a batch's input file, checked before they are uploaded (data.md section 9)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from ..errors import ConfigError
from .outputs import shown, size_of

MOST_BYTES = 100 * 1024 * 1024
MOST_LINES = 50_000
MOST_LINES_OF = {"/v4/embeddings": 10_000}
_SHOWN = 10
"""Faults that are listed; the others are counted."""
_LONGEST = 80
"""Characters of a value that a message repeats."""


class Checked(msgspec.Struct, frozen=True):
    """An input file that is in order: how many calls it has, for which model and endpoint."""

    lines: int
    model: str
    endpoint: str


class Faults:
    """What is wrong with a file: the first faults in words, and their number."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.count = 0

    def add(self, number: int, text: str) -> None:
        """Line ``number``, from 1, has this fault."""
        self.count += 1
        if self.count <= _SHOWN:
            self.told.append(f"line {number}: {text}")


def check_lines(path: Path, endpoint: str | None) -> Checked:
    """Read the whole file, which blocks. ConfigError that lists what is wrong with it, by line."""
    if size_of(path) > MOST_BYTES:
        raise ConfigError(f"{shown(path)!r} is larger than 100 MB: split it")
    faults = Faults()
    seen: dict[str, int] = {}
    firsts: dict[str, tuple[str, int]] = {} if endpoint is None else {"url": (endpoint, 0)}
    lines = 0
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                lines += 1
                for fault in _faults_of(text, number, seen, firsts):
                    faults.add(number, fault)
    except OSError as error:
        raise ConfigError(f"cannot read {shown(path)!r}: {error.strerror or error}") from None
    if not lines:
        raise ConfigError(f"{shown(path)!r} has no line with a call in it")
    if faults.count:
        rest = f"\n  and {faults.count - _SHOWN} more" if faults.count > _SHOWN else ""
        listed = "".join(f"\n  {told}" for told in faults.told)
        raise ConfigError(f"{shown(path)!r} cannot become a batch:{listed}{rest}")
    url = firsts["url"][0]
    most = MOST_LINES_OF.get(url, MOST_LINES)
    if lines > most:
        raise ConfigError(f"{shown(path)!r} has {lines:,} calls; a batch of {url} takes {most:,}: split it")
    return Checked(lines, firsts["model"][0], url)


def _faults_of(text: bytes, number: int, seen: dict[str, int], firsts: dict[str, tuple[str, int]]) -> Iterator[str]:
    """What is wrong with a line; what it says is noted in ``seen`` (custom ids) and ``firsts`` (model and url)."""
    if number == 1 and text.startswith(b"\xef\xbb\xbf"):
        yield "the file begins with a byte order mark: save it as plain UTF-8"
        return
    try:
        line = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        yield f"no JSON: {str(error).removeprefix('JSON is malformed: ')}"
        return
    if not isinstance(line, dict):
        yield "no JSON object"
        return
    call = cast("dict[str, Any]", line)
    yield from _identity_faults(call, number, seen)
    if call.get("method") != "POST":
        yield 'method is missing: "POST"' if "method" not in call else f"method is {_short(call['method'])}, not POST"
    url = call.get("url")
    if not isinstance(url, str) or not url:
        yield "url is missing, like /v4/chat/completions" if url is None else f"url is {_short(url)}, not a path"
    elif not url.startswith("/v"):
        yield f"url is {_short(url)}: it begins with /v4/, without host and /api/paas"
    else:
        yield from _differs("url", url, number, firsts)
    body = call.get("body")
    if not isinstance(body, dict):
        yield "body is missing" if body is None else f"body is {_short(body)}, not an object"
        return
    model = cast("dict[str, Any]", body).get("model")
    if not isinstance(model, str) or not model:
        yield "body.model is missing" if model is None else f"body.model is {_short(model)}, not a model id"
    else:
        yield from _differs("model", model, number, firsts)


def _identity_faults(line: dict[str, Any], number: int, seen: dict[str, int]) -> Iterator[str]:
    identity = line.get("custom_id")
    if identity is None:
        yield "custom_id is missing"
    elif not isinstance(identity, str) or not identity:
        yield f"custom_id is {_short(identity)}, not a text of its own"
    elif identity in seen:
        yield f"custom_id {_short(identity)} is that of line {seen[identity]} already"
    else:
        seen[identity] = number


def _differs(field: str, value: str, number: int, firsts: dict[str, tuple[str, int]]) -> Iterator[str]:
    """One model and one endpoint per file."""
    first, place = firsts.setdefault(field, (value, number))
    if value != first:
        whose = f"that of line {place}" if place else "--endpoint"
        yield f"{field} is {_short(value)}, {whose} is {_short(first)}: a batch has one {field}"


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode(errors="replace")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
