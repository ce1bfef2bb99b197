"""Which recorded exchange a request is: what counts of it, and how the nearest one differs."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from email.message import Message
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec.json

from zhipu_async.simulator.shapes import is_array, is_object
from zhipu_async.testing.comparing import json_diff
from zhipu_async.testing.scrubbing import MASK

_LONG: Final = 4096
"""Bytes of a file above which only its length and hash are shown, and also compared where it is no text."""


def essence(method: str, target: str, content_type: str, body: bytes, ignored: Collection[str]) -> dict[str, Any]:
    """What counts of a request, as JSON: method, path, the query in any order, and what the body says.

    JSON counts by its value, a form by its parts whatever its boundary is; the fields that are ignored do not count.
    """
    path, _, query = target.partition("?")
    pairs = sorted([*pair] for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in ignored)
    return {"method": method, "path": path, "query": pairs, "body": _said(content_type, body, ignored)}


def alike(known: Any, wanted: Any) -> bool:
    """Whether a recorded essence is that of a request; where a recorded text has `***`, any text may stand."""
    return bool(known == wanted or _filled(known, wanted) == wanted)


def nearest(wanted: dict[str, Any], known: Sequence[dict[str, Any]]) -> int:
    """The place of the one that differs least; ValueError where there is none."""
    text = repr(wanted)[:_LONG]

    def likeness(place: int) -> tuple[bool, float]:
        other = known[place]
        same = all(alike(other[name], wanted[name]) for name in ("method", "path"))
        return same, SequenceMatcher(None, text, repr(other)[:_LONG], autojunk=False).quick_ratio()

    return max(range(len(known)), key=likeness)


def unlike(known: dict[str, Any], wanted: dict[str, Any]) -> str:
    """How a request differs from a recorded one, as lines of a diff."""
    known, wanted = ({**one, "body": _short(one["body"])} for one in (_filled(known, wanted), wanted))
    return "\n".join(f"    {line}" for line in json_diff(known, wanted))


def _filled(known: Any, wanted: Any) -> Any:
    """What was recorded, with the texts of a request in the place of those that fit them."""
    if is_object(known) and is_object(wanted):
        return {name: _filled(value, wanted.get(name)) for name, value in known.items()}
    if is_array(known) and is_array(wanted):
        return [*map(_filled, known, wanted), *known[len(wanted) :]]
    if isinstance(known, str) and isinstance(wanted, str) and MASK in known and _fits(known, wanted):
        return wanted
    return known


def _fits(known: str, wanted: str) -> bool:
    """Whether a text is the recorded one with something in the place of each `***`."""
    first, *between, last = known.split(MASK)
    place = len(first)
    for part in between:
        if (found := wanted.find(part, place)) < 0:
            return False
        place = found + len(part)
    return wanted.startswith(first) and wanted.endswith(last) and place + len(last) <= len(wanted)


def _said(content_type: str, body: bytes, ignored: Collection[str]) -> Any:
    if content_type[:10].lower() == "multipart/":
        return sorted((part for part in _parts(content_type, body) if part[0] not in ignored), key=repr)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _shown(body)
    return {name: inner for name, inner in value.items() if name not in ignored} if is_object(value) else value


def _parts(content_type: str, body: bytes) -> list[list[str]]:
    """The parts of a form: name, file name, type, content."""
    boundary = _parameters("Content-Type", content_type).get_boundary("").encode()
    found: list[list[str]] = []
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        said = dict(line.split(":", 1) for line in head.decode(errors="replace").split("\r\n") if ":" in line)
        said = {name.lower(): value.strip() for name, value in said.items()}
        disposition = _parameters("Content-Disposition", said.get("content-disposition", ""))
        name = disposition.get_param("name", "", "content-disposition")
        file = disposition.get_param("filename", "", "content-disposition")
        found.append([str(name), str(file), said.get("content-type", ""), _shown(content)])
    return found


def _parameters(name: str, value: str) -> Message:
    message = Message()
    message[name] = value
    return message


def _shown(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return b64encode(data).decode() if len(data) <= _LONG else _hashed(data)


def _short(value: Any) -> Any:
    """A form or a text as it is shown: of what is long in it, length and hash."""
    if is_array(value):
        return [*map(_short, value)]
    return _hashed(value.encode()) if isinstance(value, str) and len(value) > _LONG else value


def _hashed(data: bytes) -> str:
    return f"{len(data)} bytes, sha256 {sha256(data).hexdigest()}"
