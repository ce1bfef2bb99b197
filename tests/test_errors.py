"""Everything that can go wrong: one tree of values that pickle, copy and help."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from zhipu_async import errors
from zhipu_async.config import check_key
from zhipu_async.errors import APIError, AttemptRecord, StreamError, TransportError, ZhipuError
from zhipu_async.protocol import faults
from zhipu_async.types.chat import ChatCompletion, ChatMessage, Choice

KINDS: list[type[ZhipuError]] = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ZhipuError)
]
ATTEMPTS = (AttemptRecord(1, 0.0, 0.5, "RateLimitError 1302: slow", 0.25), AttemptRecord(2, 0.75, 0.5, "again"))


def partial() -> ChatCompletion:
    """The result of a broken stream."""
    result = ChatCompletion(choices=[Choice(message=ChatMessage(content="Hi"))])
    vars(result)["complete"] = False
    return result


VALUES: dict[str, Any] = {
    "arrived": False, "reused": True, "clock": "between", "seconds": 3.0, "partial": partial(), "raw": "{torn",
    "status": 429, "code": "1302", "meaning": "rate limit", "hint": "slow down", "retryable": True, "retry_after": 7.0,
    "request_id": "R", "log_id": "L", "trace_id": "T", "method": "POST", "url": "https://h/x", "body": "{}",
    "task_id": "T1", "answer": partial(), "reason": "broken", "budget": 10, "tokens": 12,
    "text": "sorry", "completion": partial(), "requests": 3, "tool": "f", "arguments": "{}",
}  # fmt: skip


def full(kind: type[ZhipuError]) -> ZhipuError:
    """An error with everything that it can hold."""
    names = [
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    error = kind("it broke", **{name: VALUES[name] for name in names})
    error.attempts = ATTEMPTS
    if isinstance(error, errors.ContentFilterError):
        error.content_filter = [{"role": "user", "level": 1}]
    if isinstance(error, errors.QuotaError):
        error.reset_text, error.reset_at = "2026-04-09 15:13:03", datetime(2026, 4, 9, 15, 13, 3, tzinfo=UTC)
    return error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_are_values(kind: type[ZhipuError]) -> None:
    """Every error pickles and copies with class, text and all attributes, and is told by its repr."""
    for error in (kind(), kind("it broke"), full(kind)):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            check_same(pickle.loads(pickle.dumps(error, protocol)), error)
        check_same(copy.copy(error), error)
        check_same(copy.deepcopy(error), error)
    assert repr(full(kind)) == f"{kind.__name__}('it broke')"
    assert kind.__doc__


def check_same(other: ZhipuError, error: ZhipuError) -> None:
    """The errors are alike in everything."""
    assert type(other) is type(error)
    assert other is not error
    assert other.args == error.args
    assert vars(other) == vars(error)
    assert str(other) == str(error)
    assert (other.message, other.retryable, other.attempts) == (error.message, error.retryable, error.attempts)
    if isinstance(error, StreamError) and error.partial is not None:
        assert isinstance(other, StreamError)
        assert not other.partial.complete
        assert other.partial.text == "Hi"


def test_tree_is_on_the_first_screen() -> None:
    """The module's docstring shows the tree as it is."""
    tree = (errors.__doc__ or "").partition("``str(error)``")[0]
    assert {kind.__name__ for kind in KINDS} == set(
        re.findall(r"\b[A-Z]\w*(?:Error|Timeout|Full|Lost|Large|Spent|Unknown|Invalid|ed)\b", tree)
    )
    for line, parent in (
        ("ConnectError  ConnectionLost  RequestTimeout  PoolTimeout  PoolFull  ResponseTooLarge", TransportError),
        ("StreamTruncated  StreamRestarted  StreamCorrupted  StreamFailed  StreamConsumed", StreamError),
    ):
        assert line in tree
        assert all(issubclass(getattr(errors, name), parent) for name in line.split())
    assert issubclass(errors.ContextLengthError, errors.BadRequestError)
    assert issubclass(errors.PoolTimeout, errors.RequestTimeout)
    assert all(issubclass(kind, APIError) for kind in faults.HINTS)


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [
        (errors.ZhipuError, False),
        (errors.ConfigError, False),
        (errors.ClientClosedError, False),
        (errors.ConnectError, True),
        (errors.ConnectionLost, True),
        (errors.PoolTimeout, False),
        (errors.PoolFull, False),
        (errors.ResponseTooLarge, False),
        (errors.StreamTruncated, True),
        (errors.StreamRestarted, True),
        (errors.StreamCorrupted, True),
        (errors.StreamFailed, True),
        (errors.StreamConsumed, False),
        (errors.DecodeError, False),
        (errors.APIError, False),
    ],
)
def test_retryable(kind: type[ZhipuError], retryable: bool) -> None:
    """What may succeed a little later says so."""
    assert kind("x").retryable is retryable


@pytest.mark.parametrize(
    ("clock", "retryable"),
    [("connect", True), ("first_byte", True), ("first_token", True), ("between", True), ("total", False),
     ("stream_total", False), ("pool", False)],
)  # fmt: skip
def test_clocks(clock: str, retryable: bool) -> None:
    """A time-out names its clock; a deadline over everything is not tried again."""
    error = errors.RequestTimeout("x", clock=clock, seconds=1.5)
    assert (error.clock, error.seconds, error.retryable) == (clock, 1.5, retryable)


def test_what_did_not_arrive() -> None:
    """Only errors that prove it say that nothing arrived."""
    assert not errors.ConnectError("x").arrived
    assert not errors.PoolTimeout("x").arrived
    assert not errors.PoolFull("x").arrived
    assert errors.ConnectionLost("x").arrived
    assert errors.RequestTimeout("x").arrived
    assert errors.ResponseTooLarge("x").arrived


def test_str_helps() -> None:
    """The text of an API error names message, code, status, meaning, endpoint, ids, attempts and what to do."""
    error = full(errors.RateLimitError)
    assert str(error) == (
        "it broke [code 1302, HTTP 429] (rate limit) at POST https://h/x [request R, log L] after 2 attempts: slow down"
    )
    assert str(APIError("", status=502)) == "no message [HTTP 502]"
    assert error.message == "it broke"


@pytest.mark.parametrize(("status", "code"), [(429, "1113"), (401, "401"), (400, "1211"), (503, None), (404, None)])
def test_str_of_what_the_service_said(status: int, code: str | None) -> None:
    """An error made of an answer explains itself: code, meaning and hint are in its text."""
    error = faults.make(status, code, "said the service", members={}, headers={})
    error.method, error.url = "POST", "https://h/api/paas/v4/chat/completions"
    text = str(error)
    assert text.startswith("said the service [")
    assert f"HTTP {status}" in text
    assert f"code {code}" in text or code is None
    assert error.meaning is not None
    assert error.hint is not None
    assert error.meaning in text
    assert error.hint in text
    assert "POST https://h/api/paas/v4/chat/completions" in text


def test_the_status_under_its_other_name() -> None:
    """``status_code``, which other clients' errors have, is the status."""
    assert APIError("no", status=429).status_code == 429


def test_no_secrets() -> None:
    """What an answer's error holds and says comes from the answer's body and its three diagnostic headers alone."""
    headers = {"authorization": "Bearer SECRET", "set-cookie": "acw_tc=SECRET", "x-log-id": "L", "x-api-key": "SECRET"}
    error = faults.of_response(401, headers, b'{"error":{"code":"401","message":"token expired or incorrect"}}')
    assert error is not None
    assert "SECRET" not in f"{error!r} {error} {vars(error)}"
    for key in ("SECRET KEY", "SECRET\x00", "SECRETé"):
        with pytest.raises(errors.ConfigError) as caught:
            check_key(key)
        assert "SECRET" not in f"{caught.value!r} {vars(caught.value)}"


def test_text_that_cannot_be_printed() -> None:
    """A lone surrogate in the service's message does not make the error unprintable."""
    error = faults.of_response(400, {}, b'{"error":{"code":"1214","message":"bad \\ud83d"}}')
    assert str(error).encode("utf-8").startswith(b"bad ? [code 1214")
