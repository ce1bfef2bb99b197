"""The lines of a batch's files: calls to lines, and lines to answers or errors (data.md section 9). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from ..config import Timeouts
from ..errors import APIError, ConfigError, TaskFailed, ZhipuError
from ..types.base import OPTIONS, Request
from ..types.batches import Batch, BatchError
from . import codec, faults, tolerant
from .endpoint import Call, Endpoint
from .jsonl import request_hash

T = TypeVar("T")

MOST_BYTES = 100_000_000
"""Of an input file; the service says 100 MB, and not which megabytes."""
MOST_LINES: Mapping[str, int] = {
    "/chat/completions": 50_000,
    "/embeddings": 10_000,
    "/images/generations": 50_000,
    "/videos/generations": 50_000,
}
"""The endpoints that batches take, and how many lines a file of each may have."""

_UNANSWERED = ("batch_expired", "batch_cancelled")
"""Codes of lines that say no more than that there was no time left for the call."""


def encoded(call: Call[Any]) -> tuple[str, bytes]:
    """Model and body of ``call``. ConfigError for what cannot stand in a batch, or cannot be encoded."""
    endpoint, arguments = call.endpoint, call.arguments
    if endpoint.method != "POST" or endpoint.path not in MOST_LINES:
        taken = ", ".join(MOST_LINES)
        raise ConfigError(f"{endpoint.name} cannot be called in a batch, only {taken}: use fan_out for the others")
    more = arguments.extra_body or {}
    if call.stream or more.get("stream"):
        raise ConfigError("a batch gives whole answers: leave stream=True out")
    named = [name for name in ("timeout", "extra_headers", "extra_query") if getattr(arguments, name) is not None]
    if named:
        raise ConfigError(f"a line of a batch has a body and nothing else: leave {', '.join(named)} out")
    model = more.get("model", call.model)
    if not isinstance(model, str) or not model:
        raise ConfigError("a call in a batch names its model")
    body = codec.encode(call, "", headers={}, query={}, timeout=None, default=Timeouts()).body
    if not isinstance(body, bytes):
        raise ConfigError(f"{endpoint.name} has no JSON body, which a line of a batch is made of")
    return model, body


def digest_of(endpoint: Endpoint[Any], body: bytes) -> str:
    """The hash of a call in a journal: the same as of a fan-out."""
    return request_hash(endpoint.name, body, endpoint.path)


def call_of(endpoint: Endpoint[T], kind: type[Request], body: bytes) -> Call[T]:
    """The call that was encoded as ``body``: it sends the same; what was a struct in it is a plain object."""
    members: dict[str, Any] = msgspec.json.decode(body)
    given: dict[str, Any] = {}
    for name, encoded_name, required in _fields(kind):
        if members.get(encoded_name) is not None:
            given[name] = members.pop(encoded_name)
        elif required:
            given[name] = None
    return Call(endpoint, kind(**given, extra_body=members or None))


@cache
def _fields(kind: type[Request]) -> tuple[tuple[str, str, bool], ...]:
    """Of the body's fields: name, encoded name, and whether the constructor wants it."""
    fields = msgspec.structs.fields(kind)
    return tuple((field.name, field.encode_name, field.required) for field in fields if field.name not in OPTIONS)


def custom_id(identity: str) -> str:
    """The id of a line: ``identity`` where the service takes it, else a text made of its hash, always the same."""
    if 6 <= len(identity) <= 64 and identity.isprintable() and identity == identity.strip():
        return identity
    return f"call-{blake2b(identity.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def line_head(identity: str, path: str) -> bytes:
    """An input line up to its body, which :data:`LINE_END` follows."""
    return b'{"custom_id":%b,"method":"POST","url":"/v4%b","body":' % (msgspec.json.encode(identity), path.encode())


LINE_END = b"}\n"


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A line of an output or error file."""

    custom_id: str
    status: int
    body: bytes
    """The JSON as it came: the answer, or an error envelope; empty where there is none."""
    error: bytes = b""
    """The member ``error`` as it came, empty where there is none."""

    @property
    def told(self) -> bytes:
        """The body, or the error in the form of one."""
        return self.body or (b'{"error":%b}' % self.error if self.error else b"")


class _Response(msgspec.Struct):
    status_code: int | None = None
    body: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Line).decode


def read_line(text: bytes) -> ResultLine | None:
    """A line as it was read; None for what is none, or has no id."""
    try:
        line = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_tolerantly(text)
    response = line.response or _Response()
    return ResultLine(line.custom_id, _status(response.status_code), _given(response.body), _given(line.error))


def _read_tolerantly(text: bytes) -> ResultLine | None:
    try:
        members = tolerant.loads(text)
    except (ValueError, RecursionError):
        return None
    if not tolerant.is_object(members) or not members.get("custom_id"):
        return None
    response = members.get("response")
    response = response if tolerant.is_object(response) else {}
    body, error = (
        json.dumps(value).encode() if value is not None else b""
        for value in (response.get("body"), members.get("error"))
    )
    return ResultLine(str(members["custom_id"]), _status(response.get("status_code")), body, error)


def _status(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 200


def _given(raw: msgspec.Raw) -> bytes:
    data = bytes(raw)
    return b"" if data == b"null" else data


def answer(line: ResultLine, endpoint: Endpoint[T], url: str, batch: Batch) -> tuple[T | None, ZhipuError | None]:
    """The value of a line or its error, as the client would have made them of an answer from ``url``.

    :func:`unanswered` for a line that says that the batch ended before the call was made.
    """
    error = None
    if line.error:
        error = faults.of_response(200, {}, b'{"error":%b}' % line.error, endpoint)
        if error is not None and error.code in _UNANSWERED:
            return None, unanswered(batch)
    if line.status >= 300 or (error is None and faults.looks_like_fault(line.body)):
        error = faults.of_response(line.status, {}, line.body, endpoint) or error
    if error is not None:
        return None, _placed(error, endpoint, url)
    if not line.body:
        return None, unanswered(batch)
    try:
        return codec.decode(endpoint.response, line.body), None
    except ZhipuError as failure:
        return None, failure


def unanswered(batch: Batch) -> TaskFailed:
    """The error of a call to which a batch has no answer: it expired, was cancelled, or its line is missing."""
    return _failed(batch, "there is no line for this call", None)


def refused(batch: Batch) -> TaskFailed:
    """The error of the calls of a batch that was not processed at all; retryable when its code is, or is not told."""
    code, reason = batch.failure
    error = _failed(batch, reason or "no reason given", code)
    error.retryable = code is None or faults.fault_of(400, code).retry is not faults.Retry.NO
    return error


def refusal(batch: Batch) -> APIError:
    """Why a batch was not processed at all, as the client would raise it of a call: by its code."""
    code, reason = batch.failure
    return faults.make(400, code, f"the batch {batch.id} is {batch.status}: {reason}", members={}, headers={})


def not_sent() -> TaskFailed:
    """The error of a call that was not sent because its run was cancelled."""
    error = TaskFailed("the run was cancelled before this call was sent")
    error.retryable = True
    return error


def _failed(batch: Batch, reason: str, code: str | None) -> TaskFailed:
    suffix = f" [code {code}]" if code else ""
    text = f"the batch {batch.id} is {batch.status}: {reason}{suffix}"
    error = TaskFailed(text, task_id=batch.id, code=code, reason=reason)  # many have this one batch: not in each
    error.retryable = True
    return error


def line_refused(found: BatchError, endpoint: Endpoint[Any], url: str) -> APIError:
    """The error of a call whose line the service did not take."""
    place = f" ({found.param})" if found.param else ""
    error = faults.make(400, found.code, f"{found.message or 'no reason given'}{place}", members={}, headers={})
    return _placed(error, endpoint, url)


def _placed(error: APIError, endpoint: Endpoint[Any], url: str) -> APIError:
    error.method, error.url = endpoint.method, url
    return error
