"""What browsers are told of errors: the table, held against the whole tree."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from zhipu_async import errors
from zhipu_async.errors import APIError, AuthenticationError, OverloadedError, RateLimitError, ZhipuError
from zhipu_async.integrations.web import PROBLEMS, Problem, problem_of

TOLD = {
    "ConfigError": (500, "internal"),
    "ClientClosedError": (503, "unavailable"),
    "TransportError": (502, "upstream_failed"),
    "ConnectError": (502, "upstream_failed"),
    "ConnectionLost": (502, "upstream_failed"),
    "RequestTimeout": (504, "timed_out"),
    "PoolTimeout": (503, "busy"),
    "PoolFull": (503, "busy"),
    "ResponseTooLarge": (502, "upstream_failed"),
    "StreamError": (502, "upstream_failed"),
    "StreamTruncated": (502, "upstream_failed"),
    "StreamRestarted": (502, "upstream_failed"),
    "StreamCorrupted": (502, "upstream_failed"),
    "StreamFailed": (502, "upstream_failed"),
    "StreamConsumed": (500, "internal"),
    "APIError": (502, "upstream_failed"),
    "BadRequestError": (400, "bad_request"),
    "ContextLengthError": (400, "context_too_long"),
    "AuthenticationError": (503, "unavailable"),
    "PermissionDeniedError": (503, "unavailable"),
    "NotFoundError": (404, "not_found"),
    "ContentFilterError": (422, "content_filtered"),
    "AccountError": (503, "unavailable"),
    "QuotaError": (503, "unavailable"),
    "RateLimitError": (429, "rate_limited"),
    "OverloadedError": (503, "overloaded"),
    "ServerError": (502, "upstream_failed"),
    "DecodeError": (502, "upstream_failed"),
    "RunError": (500, "internal"),
    "TokenBudgetSpent": (500, "internal"),
    "JournalError": (500, "internal"),
    "CreationUnknown": (500, "internal"),
    "AnswerError": (502, "no_usable_answer"),
    "AnswerInvalid": (502, "no_usable_answer"),
    "AnswerTruncated": (502, "no_usable_answer"),
    "AnswerFiltered": (422, "content_filtered"),
    "AnswerRefused": (502, "no_usable_answer"),
    "ToolError": (500, "tool_failed"),
    "ToolFailed": (500, "tool_failed"),
    "ToolCallInvalid": (502, "no_usable_answer"),
    "TaskError": (502, "upstream_failed"),
    "TaskFailed": (502, "upstream_failed"),
    "TaskTimeout": (504, "timed_out"),
}
"""Every error of the library: status and type."""


def descendants(kind: type[ZhipuError]) -> Iterator[type[ZhipuError]]:
    """All errors below ``kind`` that the library defines."""
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from descendants(child)


def test_every_error_of_the_tree_has_its_answer() -> None:
    """Each class of the tree is told as TOLD says, and TOLD leaves none out."""
    told = {
        kind.__name__: (problem_of(kind("x")).status, problem_of(kind("x")).type) for kind in descendants(ZhipuError)
    }
    assert told == TOLD


@pytest.mark.parametrize("kind", ZhipuError.__subclasses__())
def test_every_branch_is_in_the_table_itself(kind: type[ZhipuError]) -> None:
    """No branch of the tree falls through to the answer for exceptions that nobody knows."""
    assert kind in PROBLEMS or kind.__module__ != errors.__name__


@pytest.mark.parametrize("kind", [*descendants(ZhipuError), LookupError, KeyboardInterrupt])
def test_nothing_of_the_error_is_told(kind: type[BaseException]) -> None:
    """Whatever an error says, the browser reads a sentence of the table and a word that does not change."""
    error = kind("key sk-123 of account Example Ltd, balance 0")
    if isinstance(error, APIError):
        error.body, error.code, error.hint, error.url = "sk-123", "1113", "recharge", "http://inside/secret"
        error.request_id = "20261121"
    told = json.loads(problem_of(error).body)["error"]
    assert told["message"] in {problem.message for problem in PROBLEMS.values()}
    assert set(told) == {"status", "type", "message", "retryable", "retry_after", "request_id"}
    assert told["request_id"] == ("20261121" if isinstance(error, APIError) else None)
    assert not any(word in str(told) for word in ("sk-123", "Example", "balance", "1113", "secret", "recharge"))


def test_an_exception_that_nobody_knows_is_internal() -> None:
    """Exceptions of the application and of Python are 500, a time-out of asyncio's is 504."""
    assert [problem_of(error).status for error in (LookupError(), KeyboardInterrupt(), TimeoutError())] == [
        500,
        500,
        504,
    ]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitError(retry_after=0.2), 1),
        (RateLimitError(retry_after=2.1), 3),
        (RateLimitError(), 5),
        (OverloadedError(retry_after=30.0), 30),
        (AuthenticationError(retry_after=30.0), None),
    ],
)
def test_retry_after_is_whole_seconds(error: APIError, seconds: int | None) -> None:
    """The service's own delay is rounded up, there is one where waiting is of use, and none where it is not."""
    problem = problem_of(error)
    assert problem.retry_after == seconds
    assert problem.headers.get("Retry-After") == (None if seconds is None else str(seconds))


def test_a_key_that_is_refused_is_never_401() -> None:
    """No error asks the visitor to log in, and refusals of key, account and plan cannot be told apart."""
    assert not {401, 402, 403, 407} & {problem.status for problem in PROBLEMS.values()}
    private = (errors.AuthenticationError, errors.PermissionDeniedError, errors.AccountError, errors.QuotaError)
    assert len({problem_of(kind("x")) for kind in private}) == 1
    assert isinstance(problem_of(AuthenticationError()), Problem)
