"""What a browser is told when a call fails: one table over the error tree."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from ... import errors


class Problem(msgspec.Struct, frozen=True):
    """An HTTP answer: a status, and ``{"error": {...}}``, which is how browser code for this protocol reads errors.

    The same body stands in the frame that ends a stream with an error. (RFC 9457 would be a second form beside it.)
    """

    status: int
    type: str
    """What happened, in a word that does not change."""
    message: str
    """The same for people. Nothing of what the service said is in it."""
    retryable: bool = False
    """Whether the same question may be answered a little later."""
    retry_after: int | None = None
    """Seconds after which to try again; also the header ``Retry-After``."""
    request_id: str | None = None
    """Identifies the call for the service's support."""

    @property
    def body(self) -> bytes:
        """The JSON of the answer."""
        return msgspec.json.encode({"error": self})

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer, without its type and length."""
        after = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return {"Cache-Control": "no-store", **after}


_UPSTREAM = Problem(502, "upstream_failed", "The model could not be reached. Please try again.", retryable=True)
_BROKEN = Problem(502, "upstream_failed", "The answer broke off. Please try again.", retryable=True)
_TIMED_OUT = Problem(504, "timed_out", "The model took too long. Please try again.", retryable=True)
_BUSY = Problem(503, "busy", "Too much is asked here at the moment.", retryable=True, retry_after=2)
_UNAVAILABLE = Problem(503, "unavailable", "This service is not available at the moment.")
_FILTERED = Problem(422, "content_filtered", "The content was stopped by a safety filter.")
_UNUSABLE = Problem(502, "no_usable_answer", "The model gave no usable answer. Please try again.", retryable=True)
_INTERNAL = Problem(500, "internal", "Something went wrong here.")

PROBLEMS: Mapping[type[BaseException], Problem] = {
    errors.ConfigError: _INTERNAL,
    errors.ClientClosedError: _UNAVAILABLE,
    errors.TransportError: _UPSTREAM,
    errors.RequestTimeout: _TIMED_OUT,
    errors.PoolTimeout: _BUSY,
    errors.PoolFull: _BUSY,
    errors.StreamError: _BROKEN,
    errors.StreamConsumed: _INTERNAL,
    errors.APIError: _UPSTREAM,
    errors.BadRequestError: Problem(400, "bad_request", "The model does not take this question as it is."),
    errors.ContextLengthError: Problem(400, "context_too_long", "The conversation is longer than the model can read."),
    errors.AuthenticationError: _UNAVAILABLE,  # the key is the application's: no visitor can log in to mend it
    errors.PermissionDeniedError: _UNAVAILABLE,
    errors.NotFoundError: Problem(404, "not_found", "What was asked for is not there."),
    errors.ContentFilterError: _FILTERED,
    errors.AccountError: _UNAVAILABLE,
    errors.QuotaError: _UNAVAILABLE,
    errors.RateLimitError: Problem(
        429, "rate_limited", "Too many questions at the moment. Try again in a few seconds.", True, retry_after=5
    ),
    errors.OverloadedError: Problem(
        503, "overloaded", "The model is overloaded. Try again in a few seconds.", True, retry_after=10
    ),
    errors.DecodeError: _UPSTREAM,
    errors.RunError: _INTERNAL,
    errors.AnswerError: _UNUSABLE,
    errors.AnswerFiltered: _FILTERED,
    errors.ToolError: Problem(500, "tool_failed", "A function that the model called has failed."),
    errors.ToolCallInvalid: _UNUSABLE,
    errors.TaskError: _UPSTREAM,
    errors.TaskFailed: Problem(502, "upstream_failed", "The service gave this task up."),
    errors.TaskTimeout: _TIMED_OUT,
    TimeoutError: _TIMED_OUT,
    Exception: _INTERNAL,
}
"""The answer to each class of error; a class that is not here has that of its base.

Refusals of the application's own key, account or plan look all the same, and are never 401: that would ask the visitor
to log in. ``rate_limited`` is 429 rather than 503 so that balancers do not take the server for a broken one.
"""


def problem_of(error: BaseException) -> Problem:
    """What the browser is told of ``error``: nothing of keys, of the account, or of the service's own words."""
    problem = next((PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS), _INTERNAL)
    after: float | None = getattr(error, "retry_after", None)
    return msgspec.structs.replace(
        problem,
        retry_after=max(1, math.ceil(after)) if problem.retryable and after is not None else problem.retry_after,
        request_id=getattr(error, "request_id", None),
    )
