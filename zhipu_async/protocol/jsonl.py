"""The lines of a journal: one finished call each, as the vendor's batches write them, with additions.

    {"custom_id":"q-17","response":{"status_code":200,"body":{...}},"error":null,
     "hash":"...","run":"...","seconds":1.234,"attempts":1,"at":"2026-11-21T09:00:00Z"}

Two kinds of lines have no answer: ``{"custom_id":"x","begun":true,...}`` stands before a call that creates something is
sent, and ``{"batch":{...},"run":"..."}`` says how a batch of the vendor stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from math import isfinite
from typing import Any, Literal, TypeVar, cast

import msgspec

from ..errors import ConfigError
from . import tolerant
from .form import FilePiece, Form
from .strict import BOM, embedded

T = TypeVar("T")

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_NULL, _ABSENT = msgspec.Raw(b"null"), msgspec.Raw()


class RecordResponse(msgspec.Struct):
    """The answer: its HTTP status, and its body as JSON. A body that is no JSON stands there as text."""

    status_code: int | None = None
    body: msgspec.Raw = _NULL

    @property
    def content(self) -> bytes:
        """The body as it came, as far as the line kept it: of one that stands there as text, the text."""
        body = bytes(self.body)
        if not body.startswith(b'"'):
            return b"" if body == b"null" else body
        try:
            return msgspec.json.decode(body, type=str).encode()
        except _UNREADABLE:
            return body


class RecordError(msgspec.Struct, kw_only=True):
    """What went wrong: the name of the error's class and its attributes. What is unset is not written.

    ``again``: a resumed run sends the call again; otherwise this is its result.
    """

    type: str = ""
    message: str = ""
    code: str | None = None
    status: int | None = None
    again: bool = False
    request_id: str | msgspec.UnsetType = msgspec.UNSET
    log_id: str | msgspec.UnsetType = msgspec.UNSET
    trace_id: str | msgspec.UnsetType = msgspec.UNSET
    arrived: bool | msgspec.UnsetType = msgspec.UNSET
    clock: str | msgspec.UnsetType = msgspec.UNSET
    seconds: float | msgspec.UnsetType = msgspec.UNSET
    task_id: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET


class Record(msgspec.Struct):
    """A finished call. Lines of other origin (a batch's output file) have empty ``hash`` and ``run``."""

    custom_id: str
    response: RecordResponse | None = None
    error: RecordError | None = None
    hash: str = ""
    """Of the request: :func:`request_hash`."""
    run: str = ""
    """Of the first call of the run: :func:`run_id`."""
    seconds: float = 0.0
    attempts: int = 0
    at: str = ""
    """When it ended, UTC, as ISO 8601."""


class Begun(msgspec.Struct):
    """A call that creates something is about to be sent."""

    custom_id: str
    hash: str = ""
    run: str = ""


class BatchNote(msgspec.Struct):
    """How a batch of the vendor stands: to be created, created, or its results are in the journal."""

    id: str | None
    """Its number at the service, None before it is created."""
    shard: int
    round: int
    calls: int
    file: str | None = None
    """The number of its input file."""
    state: Literal["intended", "created", "collected"] = "intended"
    run: str = ""
    """Written beside the note, not in it."""
    input: str = ""
    """What the whole input of the run was, as far as it is known: not written where it is empty."""


Line = Record | Begun | BatchNote


class _Line(msgspec.Struct):
    """Any line, as far as it can be read at once."""

    custom_id: str | None = None
    response: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    begun: bool = False
    batch: msgspec.Raw = _ABSENT
    hash: str | None = None
    run: str | None = None
    seconds: float | None = None
    attempts: int | None = None
    at: str | None = None


_encoder = msgspec.json.Encoder()
_read_line = msgspec.json.Decoder(_Line).decode
_read_vendor_line = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_response = msgspec.json.Decoder(RecordResponse | None).decode
_read_error = msgspec.json.Decoder(RecordError | None).decode
_read_note = msgspec.json.Decoder(BatchNote).decode
_is_json = msgspec.json.Decoder(msgspec.Raw).decode  # checks the grammar and keeps the bytes


def request_hash(endpoint: str, body: bytes | Form | None, *more: str) -> str:
    """What tells a request from others, 32 hexadecimal digits: its endpoint's name, its body, and what ``more`` there
    is of it, as the path and query of a GET. The random boundary of a form does not count.

    ConfigError for a form with an open file that has no name.
    """
    digest = blake2b(digest_size=16)
    parts = [endpoint.encode("utf-8", "surrogatepass"), *(text.encode("utf-8", "surrogatepass") for text in more)]
    for part in (*parts, *_pieces(body)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def run_id(first_id: str, first_hash: str) -> str:
    """What tells a run from others, 32 hexadecimal digits: its first call."""
    return request_hash(first_id, first_hash.encode())


def encode_line(line: Line) -> bytes:
    """``line`` as one line of strict JSON, with the line feed.

    A body stands in it as :func:`~zhipu_async.protocol.strict.embedded` makes it: as it came wherever that is JSON.
    """
    if isinstance(line, Record):
        finite = line.seconds if isfinite(line.seconds) else 0.0
        line = msgspec.structs.replace(line, seconds=finite)
        if line.response is not None:
            body = msgspec.Raw(embedded(bytes(line.response.body)))
            line.response = RecordResponse(line.response.status_code, body)
    value: Any = line
    if isinstance(line, BatchNote):
        left_out = {"run"} if line.input else {"run", "input"}
        note = {name: getattr(line, name) for name in line.__struct_fields__ if name not in left_out}
        value = {"batch": note, "run": line.run}
    elif isinstance(line, Begun):
        value = {"custom_id": line.custom_id, "begun": True, "hash": line.hash, "run": line.run}
    try:
        return _encoder.encode(value) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate in an error's text
        return _encoder.encode(_printable(value)) + b"\n"


def decode_line(data: bytes) -> Line | None:
    """What a line says, with or without its line end. None for a blank one, for what is no JSON, and for JSON that is
    no line of a journal and none of a batch's output either.
    """
    data = data.removeprefix(BOM).strip()
    if not data:
        return None
    try:
        line = _read_line(data)
    except msgspec.ValidationError:
        return _vendor_line(data)
    except _UNREADABLE:
        return None
    try:
        if line.batch:
            note = _read_note(line.batch)
            note.run = line.run or ""
            return note
        if line.custom_id is None:
            return None
        if line.begun:
            return Begun(line.custom_id, line.hash or "", line.run or "")
        if not (line.response or line.error):
            return None
        response = _read_response(line.response) if line.response else None
    except _UNREADABLE:
        return None
    error = _error(line.error)
    seconds, attempts = line.seconds or 0.0, line.attempts or 0
    return Record(line.custom_id, response, error, line.hash or "", line.run or "", seconds, attempts, line.at or "")


def is_whole(data: bytes) -> bool:
    """Whether ``data`` is a complete JSON value, so that a last line lacks nothing but its end."""
    try:
        _is_json(data.removeprefix(BOM).strip())
    except _UNREADABLE:
        return False
    return True


def may_begin(data: bytes) -> bool:
    """Whether a torn ``data`` may be the beginning of a line that :func:`encode_line` wrote."""
    data = data.removeprefix(BOM)
    if _agree(data, b'{"batch":{'):
        return True
    named = b'{"custom_id":"'
    if len(data) <= len(named):
        return _agree(data, named)
    if not (match := _NAMED.match(data)):
        return False
    rest = data[match.end() :]
    return not rest or any(_agree(rest, b'","%s":' % member) for member in (b"response", b"begun"))


_NAMED = re.compile(rb'\{"custom_id":"[^"\\]*(?:\\.[^"\\]*)*\\?', re.DOTALL)


def _printable(value: Any) -> Any:
    """``value`` with question marks in the place of lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, msgspec.Struct):
        changes = {name: _printable(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **changes)
    if tolerant.is_object(value):
        return {name: _printable(item) for name, item in value.items()}
    return value


def _vendor_line(data: bytes) -> Record | None:
    """A line in which something of ours has another type: what a batch of the vendor would say with it."""
    try:
        members = _read_vendor_line(data)
        custom_id = msgspec.json.decode(members["custom_id"], type=str)
        answer = members.get("response", _NULL)
        if "response" not in members and "error" not in members:
            return None
        return Record(custom_id, _read_response(answer), _error(members.get("error", _ABSENT)))
    except (*_UNREADABLE, KeyError):
        return None


def _error(data: msgspec.Raw) -> RecordError | None:
    """An error of ours, or of a batch's output: an object or text, where an empty one says that there is none."""
    if not data:
        return None
    try:
        error: RecordError | None = _read_error(data)
        return None if error == RecordError() else error
    except _UNREADABLE:
        pass
    try:
        told: Any = tolerant.loads(bytes(data))
    except (ValueError, RecursionError):
        told = bytes(data).decode("utf-8", "replace")
    if not tolerant.is_object(told):
        return RecordError(message=told if isinstance(told, str) else str(told)) if told else None
    if not any(told.values()):
        return None
    code, message = told.get("code"), told.get("message") or told.get("msg")
    code = None if code in (None, "") else str(code)
    text = message if isinstance(message, str) else ""
    return RecordError(message=text or ("" if code else bytes(data).decode("utf-8", "replace")), code=code)


def _agree(data: bytes, beginning: bytes) -> bool:
    """Whether the two are alike as far as both go."""
    return data.startswith(beginning[: len(data)])


def _pieces(body: bytes | Form | None) -> Iterator[bytes]:
    if not isinstance(body, Form):
        yield body or b""
        return
    boundary = body.boundary.encode()
    for piece in body.pieces:
        yield _identity(piece) if isinstance(piece, FilePiece) else piece.replace(boundary, b"")


def _identity(piece: FilePiece) -> bytes:
    """What tells a file from others: its bytes where they are in memory, else its path and where reading begins."""
    source: Any = piece.source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(cast(bytes, source))
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        return str(source).encode("utf-8", "surrogateescape")
    if hasattr(source, "getvalue"):
        return cast(bytes, source.getvalue())[piece.start or 0 :]
    name = getattr(source, "name", None)
    if not isinstance(name, str):
        raise ConfigError("an open file without a name cannot be told from others: give its path or its bytes")
    return f"{name}@{piece.start}".encode("utf-8", "surrogateescape")
