"""The client's errors as pydantic-ai's, with the client's error as their cause."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pydantic_ai import exceptions as theirs

from .. import errors
from ..types.chat import ChatCompletion

_HTTP_ERRORS: tuple[tuple[type[errors.APIError], Any, int], ...] = (
    (errors.ContextLengthError, theirs.ModelContextWindowExceededError, 400),
    (errors.BadRequestError, theirs.ModelRequestRejectedError, 400),
    (errors.AuthenticationError, theirs.ModelAuthenticationError, 401),
    (errors.PermissionDeniedError, theirs.ModelAuthenticationError, 403),
    (errors.NotFoundError, theirs.ModelNotFoundError, 404),
    (errors.AccountError, theirs.ModelQuotaExceededError, 429),
    (errors.QuotaError, theirs.ModelQuotaExceededError, 429),
    (errors.RateLimitError, theirs.ModelRateLimitError, 429),
    (errors.OverloadedError, theirs.ModelOverloadedError, 429),
    (errors.ServerError, theirs.ModelServerError, 500),
    (errors.APIError, None, 500),
)
"""Our error, pydantic-ai's category, and the HTTP status for one that came inside a 200 (a stream, a gateway)."""
_UNKNOWN_MODEL = "1211"

_PHASES: Mapping[str, Any] = {"pool": "pool", "connect": "connect"}
"""Of our clocks, what pydantic-ai calls the phase; the others run while an answer is read."""


@contextmanager
def errors_as_theirs(model: str, *, in_stream: bool = False) -> Generator[None]:
    """Raises what pydantic-ai has for an error of ours that comes out of the block. ``model`` is the model's id."""
    try:
        yield
    except errors.ZhipuError as error:
        raise _their_error(error, model, in_stream) from error


def check_complete(completion: ChatCompletion) -> None:
    """StreamFailed for the finish reason ``network_error``: the answer failed (chat.md section 5).

    ``sensitive`` raises nothing: what becomes of its text is decided by pydantic-ai, which calls it ``content_filter``.
    """
    if completion.finish_reason == "network_error":
        raise errors.StreamFailed(partial=completion)


def _their_error(error: errors.ZhipuError, model: str, in_stream: bool) -> Exception:
    """pydantic-ai's error for one of ours."""
    match error:
        case errors.ContentFilterError():
            return theirs.ContentFilterError(str(error), error.body)
        case errors.APIError():
            return _http_error(error, model)
        case errors.RequestTimeout():
            return theirs.ModelTimeoutError(model, str(error), phase=_PHASES.get(error.clock, "read"))
        case errors.PoolFull():
            return theirs.ModelConnectionError(model, str(error), phase="pool")
        case errors.TransportError():
            return theirs.ModelConnectionError(model, str(error), phase="read" if error.arrived else "connect")
        case errors.StreamFailed():
            return theirs.ModelServerError(model, str(error), in_stream=in_stream)
        case errors.StreamError():
            return theirs.ModelConnectionError(model, str(error), phase="read", body=error.raw, in_stream=True)
        case errors.DecodeError():
            return theirs.UnexpectedModelBehavior(str(error), error.body)
        case errors.ConfigError() | errors.ClientClosedError():
            return theirs.UserError(str(error))
        case _:
            return theirs.ModelAPIError(model, str(error))


def _http_error(error: errors.APIError, model: str) -> Exception:
    category, status = next((category, status) for kind, category, status in _HTTP_ERRORS if isinstance(error, kind))
    if error.code == _UNKNOWN_MODEL:
        category = theirs.ModelNotFoundError
    body: Any = error.body
    with suppress(ValueError):
        body = json.loads(body or "")
    return theirs.ModelHTTPError.for_category(
        category,
        status_code=error.status if error.status >= 400 else status,
        model_name=model,
        body=body,
        hint=error.hint,
        provider_error_code=error.code,
        retry_after=error.retry_after,
        in_stream=error.status < 400,
    )
