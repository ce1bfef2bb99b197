"""A recorded exchange, and the file that it is kept in: lines of JSON that a person can read, compare and edit.

A file begins with a line that names the service. For each exchange follow one line for the request, one for the head of
the answer, one for every piece of its body with the seconds since the request, and one that says how it ended. Bytes
are written as JSON where that gives the very same bytes again, else as text, else in base64.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec.json

from zhipu_async.errors import ConfigError

VERSION: Final = 1
Headers = tuple[tuple[str, str], ...]
End = Literal["complete", "cut", "reset", "left"]
"""How an answer ended: whole; the service closed or reset the connection in it; the client left."""
_ENDS: Final = ("complete", "cut", "reset", "left")
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a body as it came."""

    after: float
    """Seconds since the request."""
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and what came back. Times are seconds since the request; headers are as they came, in their order."""

    method: str
    target: str
    """Path and query, percent-encoded."""
    headers: Headers
    body: bytes
    status: int | None
    """None: the connection ended without an answer."""
    reason: str = ""
    answer_headers: Headers = ()
    head_after: float = 0.0
    pieces: Sequence[Piece] = ()
    """The body of the answer, cut as it came; compressed where it came so."""
    end: End = "complete"
    end_after: float = 0.0

    @property
    def answer(self) -> bytes:
        """The whole body of the answer."""
        return b"".join(piece.data for piece in self.pieces)

    def lines(self) -> bytes:
        """The exchange as lines of a file."""
        request: dict[str, Any] = {"method": self.method, "target": self.target, "headers": self.headers}
        said: list[Any] = [{"request": {**request, **_stored(self.body)}}]
        if self.status is not None:
            head = {"status": self.status, "reason": self.reason, "headers": self.answer_headers}
            said.append({"answer": head, "after": _rounded(self.head_after)})
        said += [{"piece": _stored(piece.data), "after": _rounded(piece.after)} for piece in self.pieces]
        said.append({"end": self.end, "after": _rounded(self.end_after)})
        return b"".join(_encode(value) + b"\n" for value in said)


def header(service: str, base_path: str) -> bytes:
    """The first line of a file: the version of the format, the service that was asked, the path of its base URL."""
    return _encode({"glm_recording": VERSION, "service": service, "base_path": base_path}) + b"\n"


def read_header(path: Path) -> dict[str, Any]:
    """What the first line of a file says; ConfigError for a file that is no recording of this version."""
    try:
        with path.open("rb") as file:
            line = file.readline()
    except OSError as error:
        raise ConfigError(f"cannot read the recording {path}: {error.strerror}") from None
    said = _value(path, 1, line)
    if said.get("glm_recording") != VERSION or not isinstance(said.get("base_path"), str):
        raise ConfigError(f"{path} is no recording of version {VERSION}: record it again with --glm-record=all")
    return said


def read_exchanges(path: Path) -> list[Exchange]:
    """The exchanges of a file; ConfigError, with the number of the line, for what is none."""
    read_header(path)
    return [*_exchanges(path)]


def _exchanges(path: Path) -> Iterator[Exchange]:
    lines: Iterable[bytes] = path.read_bytes().split(b"\n")[1:]
    told: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        told.append(_value(path, number, line))
        if "end" in told[-1]:
            try:
                yield _exchange(told)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ConfigError(
                    f"{path}: the exchange that ends in line {number} cannot be read: {error!r}"
                ) from None
            told = []
    if told:
        raise ConfigError(f"{path}: the last exchange has no end")


def _value(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigError(f"{path}: line {number} is no line of a recording") from None


def _exchange(told: Sequence[dict[str, Any]]) -> Exchange:
    request, head, end = told[0]["request"], next((said for said in told if "answer" in said), None), told[-1]
    if end["end"] not in _ENDS:
        raise ValueError(f"{end['end']!r} is no end")
    answer: dict[str, Any] = head["answer"] if head else {}
    return Exchange(
        method=request["method"],
        target=request["target"],
        headers=_pairs(request["headers"]),
        body=_bytes(request),
        status=answer.get("status"),
        reason=answer.get("reason", ""),
        answer_headers=_pairs(answer.get("headers", ())),
        head_after=head["after"] if head else 0.0,
        pieces=[Piece(said["after"], _bytes(said["piece"])) for said in told if "piece" in said],
        end=end["end"],
        end_after=end["after"],
    )


def _pairs(pairs: Iterable[Sequence[str]]) -> Headers:
    return tuple((name, value) for name, value in pairs)


def _stored(data: bytes) -> dict[str, Any]:
    """Bytes as JSON: the value that they are, their text, or base64; each gives the same bytes again."""
    if data[:1] in (b"{", b"["):
        try:
            if _encode(value := _decode(data)) == data:
                return {"json": value}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _bytes(stored: dict[str, Any]) -> bytes:
    if "json" in stored:
        return _encode(stored["json"])
    return stored["text"].encode() if "text" in stored else b64decode(stored["base64"], validate=True)


def _rounded(seconds: float) -> float:
    return round(seconds, 6)
