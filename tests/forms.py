"""Forms taken apart, as they left the client."""

from __future__ import annotations

import re
from typing import NamedTuple

from zhipu_async.protocol.form import FilePiece, Form


class Part(NamedTuple):
    """A part of a form."""

    name: str
    filename: str | None
    """None for text."""
    content: bytes


def parts_of(form: Form) -> list[Part]:
    """The parts of a form that is in memory."""
    pieces = [piece.source if isinstance(piece, FilePiece) else piece for piece in form.pieces]
    assert all(isinstance(piece, bytes) for piece in pieces)
    return parts(b"".join(piece for piece in pieces if isinstance(piece, bytes)), form.boundary)


def parts(body: bytes, boundary: str) -> list[Part]:
    """The parts of a form as it travels."""
    mark = b"\r\n--" + boundary.encode()
    first, *found, last = (b"\r\n" + body).split(mark)
    assert (first, last) == (b"", b"--\r\n")
    return [_part(part) for part in found]


def _part(data: bytes) -> Part:
    head, _, content = data.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    names = dict(re.findall(r'[; ]((?:file)?name)="([^"]*)"', head.decode()))
    return Part(names["name"], names.get("filename"), content)
