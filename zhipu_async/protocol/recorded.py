"""An error in a line of a journal, and the error of a line."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import msgspec

from .. import errors
from ..errors import APIError, ZhipuError
from . import faults, tolerant
from .codec import excerpt
from .endpoint import Endpoint
from .jsonl import Record, RecordError, RecordResponse
from .retry import repeatable

_ATTRIBUTES = ("request_id", "log_id", "trace_id", "arrived", "clock", "seconds", "task_id", "reason")
"""What is told of an error where it has it, besides its message, code and status."""
_STOPPING = (errors.AuthenticationError, errors.AccountError, errors.QuotaError, errors.PermissionDeniedError)
"""Refusals of a key or an account: nothing was done, and another key or another day is another answer."""
_ANSWERS = ("{", "[", "data:")
"""How an answer of the service itself begins, which may be paid for."""
_LOST = "under way when an earlier run ended; it may have been carried out"


def told_of(error: ZhipuError, *, creates: bool) -> RecordError:
    """``error`` as its line tells it; ``creates`` says whether its call creates something."""
    code: object = getattr(error, "code", None)
    given = {name: value for name in _ATTRIBUTES if (value := getattr(error, name, None)) not in (None, "", inf)}
    again = _never_asked(error, creates=creates) or repeatable(error, creates=creates)
    return RecordError(
        type=type(error).__name__,
        message=error.message,
        code=None if code is None else str(code),
        status=getattr(error, "status", None),
        again=again,
        **given,
    )


def _never_asked(error: ZhipuError, *, creates: bool) -> bool:
    """Whether a key or account was refused, or something before the service answered: a gateway, a firewall, a page."""
    if isinstance(error, errors.DecodeError):
        return not creates and error.body is not None and not error.body.lstrip("\ufeff \t\r\n").startswith(_ANSWERS)
    if isinstance(error, errors.NotFoundError):
        return error.status < 300 or error.code in (None, "404")
    return isinstance(error, _STOPPING) or (isinstance(error, APIError) and error.status == 405 and error.code is None)


def begun_before() -> RecordError:
    """What is told of a call that creates something and has begun, but has no end."""
    return told_of(errors.ConnectionLost(_LOST, arrived=True), creates=True)


def answer_to(error: ZhipuError, body: bytes | None) -> RecordResponse | None:
    """The answer that ``error`` is, as far as it is known: ``body``, or the part of it that the error holds.

    ``body`` may be that of an earlier attempt: it does not count where the error holds another, or has none at all.
    """
    if not isinstance(error, (APIError, errors.DecodeError, errors.TaskError)):
        return None
    kept = getattr(error, "body", None)
    if isinstance(kept, str) and (body is None or excerpt(body) != kept):
        body = kept.encode("utf-8", "replace")
    if body is None and isinstance(error, errors.TaskError) and error.answer is not None:
        body = plain(error.answer)
    status = (error.status or None) if isinstance(error, APIError) else 200
    return None if body is None else RecordResponse(status, msgspec.Raw(body))


def plain(answer: object) -> bytes:
    """``answer`` as JSON, for one whose bytes are not known. Fields that its struct does not have are missing in it."""
    return json.dumps(msgspec.to_builtins(answer), default=str).encode()


def error_of(record: Record, endpoint: Endpoint[Any] | None = None) -> ZhipuError | None:
    """The error of a line, as the class that it was; None where the line has an answer.

    What the table of faults knows of a code is added: meaning, hint, whether it can be repeated. A class of a later
    version becomes APIError where there is a status, else ZhipuError. The line of a batch of the vendor names no class:
    it has that of its status and code.
    """
    told, response = record.error, record.response
    body = b"" if response is None else response.content
    status = 0 if response is None else response.status_code or 0
    if told is None:
        if response is None:
            return ZhipuError("the line holds neither an answer nor an error")
        suspect = status >= 300 or faults.looks_like_fault(body) or (endpoint is not None and endpoint.enveloped)
        return faults.of_response(status or 200, {}, body, endpoint) if suspect else None
    if not told.type:
        found = faults.of_response(status, {}, body) if status >= 300 else None
        return found or _api_error(APIError, told, status, body)
    kind = _class(told)
    if issubclass(kind, APIError):
        return _api_error(kind, told, status, body)
    return _other_error(kind, told, body)


def _class(told: RecordError) -> type[ZhipuError]:
    kind: object = getattr(errors, told.type, None)
    if isinstance(kind, type) and issubclass(kind, ZhipuError):
        return kind
    return ZhipuError if told.status is None else APIError


def _api_error(kind: type[APIError], told: RecordError, status: int, body: bytes) -> APIError:
    status = told.status if told.status is not None else status
    error = faults.make(status, told.code, told.message, members=_members(body), headers={}, body=excerpt(body) or None)
    if told.type and type(error) is not kind:  # the table of that time, or a class that is no longer known
        other = kind(told.message, hint=faults.HINTS.get(kind), retryable=told.again, request_id=error.request_id)
        other.status, other.code, other.body = status, told.code, error.body
        error = other
    for name in ("request_id", "log_id", "trace_id"):
        if value := getattr(told, name):
            setattr(error, name, value)
    return error


def _other_error(kind: type[ZhipuError], told: RecordError, body: bytes) -> ZhipuError:
    error = kind(told.message)
    for name in (*_ATTRIBUTES, "code"):
        value = getattr(told, name)
        if value is not None and value is not msgspec.UNSET and hasattr(error, name):
            setattr(error, name, value)
    if isinstance(error, errors.RequestTimeout):
        error.retryable = errors.RequestTimeout("", clock=error.clock).retryable
    if isinstance(error, errors.DecodeError):
        error.body = excerpt(body) or None
    return error


def _members(body: bytes) -> dict[str, Any]:
    try:
        value = tolerant.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if tolerant.is_object(value) else {}
