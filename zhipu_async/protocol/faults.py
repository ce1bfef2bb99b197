"""Is this answer a failure, and which? One table from business code to error class (errors.md sections 1 to 4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, NamedTuple

from .. import errors
from ..errors import APIError
from . import tolerant
from .codec import excerpt, shown
from .endpoint import Endpoint


class Retry(Enum):
    """What to do after a fault."""

    NO = "never repeated"
    BACKOFF = "repeated after a back-off"
    OVERLOAD = "repeated after the longer back-off of an overloaded model"
    ONCE = "repeated once"
    TOKEN = "repeated once with a new token, when tokens are made here (JWT)"


class Fault(NamedTuple):
    """What a business code means."""

    error: type[APIError]
    retry: Retry
    meaning: str
    creates_nothing: bool = False
    """The refusal came before anything was created, so that even a creating call may be repeated (section 5)."""


_KEY = "check the API key; keys of open.bigmodel.cn and api.z.ai are bound to their platform"
_BALANCE = (
    "recharge the account, or, with a GLM Coding Plan, use base_url='bigmodel-coding' or 'zai-coding': "
    "a plan does not count on the general endpoint"
)
_PLAN = "check the plan of this key and the endpoint it belongs to"
_CONTACT = "the account needs attention in the vendor's console"
_REQUEST = "correct the request; repeating it unchanged cannot help"
_PASSWORD = "not the service, but a proxy or gateway before it, refuses the user name and password in its own URL"
_SLOW = "call with less concurrency per model, or allow more retries"

HINTS: Mapping[type[APIError], str] = {
    errors.AuthenticationError: _KEY,
    errors.BadRequestError: _REQUEST,
    errors.ContextLengthError: "shorten the prompt or use a model with a larger context",
    errors.PermissionDeniedError: "this key may not use this API or model",
    errors.NotFoundError: "check the id, the path, and base_url (one 'v4' segment, no doubled path)",
    errors.ContentFilterError: "change the content; it is refused each time",
    errors.AccountError: _CONTACT,
    errors.QuotaError: "wait for the reset time (.reset_at) or use another key",
    errors.RateLimitError: _SLOW,
    errors.OverloadedError: "the model is busy: retry later or use another model",
    errors.ServerError: "the service failed; report it with the request and log ids if it lasts",
}

_CODE_HINTS: Mapping[str, str] = {
    "1113": _BALANCE,
    "1003": "the token is expired: check this machine's clock",
    "1211": "no such model on this platform; client.models.list() names the core models",
    **dict.fromkeys(("1309", "1311", "1314", "1315"), _PLAN),
}


def _table() -> dict[str, Fault]:
    auth, account, bad = errors.AuthenticationError, errors.AccountError, errors.BadRequestError
    quota, server, rate, busy = errors.QuotaError, errors.ServerError, errors.RateLimitError, errors.OverloadedError
    no, yes, overload, token = Retry.NO, Retry.BACKOFF, Retry.OVERLOAD, Retry.TOKEN
    return {
        "401": Fault(auth, no, "key wrong or expired"),
        "500": Fault(server, yes, "internal error"),
        "1000": Fault(auth, no, "authentication failed"),
        "1001": Fault(auth, no, "no Authorization header"),
        "1002": Fault(auth, token, "token illegal"),
        "1003": Fault(auth, token, "token expired"),
        "1004": Fault(auth, no, "token verification failed"),
        "1005": Fault(auth, no, "second factor required"),
        "1100": Fault(account, Retry.ONCE, "account read or write error"),
        "1110": Fault(account, no, "account not active"),
        "1111": Fault(account, no, "account does not exist"),
        "1112": Fault(account, no, "account locked"),
        "1113": Fault(account, no, "account in arrears, no balance or resource package"),
        "1120": Fault(server, yes, "account cannot be reached at the moment"),
        "1121": Fault(account, no, "account locked for violations"),
        "1200": Fault(server, yes, "API call failed"),
        "1210": Fault(bad, no, "wrong parameters"),
        "1211": Fault(bad, no, "model does not exist"),
        "1212": Fault(bad, no, "model does not support this way of calling"),
        "1213": Fault(bad, no, "a required field is missing"),
        "1214": Fault(bad, no, "a field is illegal"),
        "1215": Fault(bad, no, "two fields exclude each other"),
        "1220": Fault(errors.PermissionDeniedError, no, "no permission for this API or model"),
        "1221": Fault(bad, no, "API taken offline"),
        "1222": Fault(bad, no, "API does not exist"),
        "1230": Fault(server, yes, "processing error in the call flow"),
        "1231": Fault(bad, no, "a request with this id is already running"),
        "1234": Fault(server, yes, "network error inside the service"),
        "1261": Fault(errors.ContextLengthError, no, "prompt too long"),
        "1300": Fault(errors.ContentFilterError, no, "blocked by policy"),
        "1301": Fault(errors.ContentFilterError, no, "unsafe or sensitive content in input or output"),
        "1302": Fault(rate, yes, "rate limit of the account reached", True),
        "1303": Fault(rate, yes, "frequency too high", True),
        "1304": Fault(quota, no, "daily call limit"),
        "1305": Fault(busy, overload, "model overloaded", True),
        "1308": Fault(quota, no, "plan usage limit for some hours"),
        "1309": Fault(account, no, "coding plan expired"),
        "1310": Fault(quota, no, "weekly or monthly limit"),
        "1311": Fault(account, no, "plan does not include the model"),
        "1312": Fault(busy, overload, "model busy, another model is suggested", True),
        "1313": Fault(account, no, "restricted under fair use"),
        "1314": Fault(account, no, "enterprise plan invalid"),
        "1315": Fault(account, no, "key is only for the enterprise coding plan"),
        **{str(code): Fault(quota, no, "5-hour or 7-day limit reached, balance empty") for code in (1316, 1317)},
        **{str(code): Fault(quota, no, "limit and monthly cap of the sub-account reached") for code in (1318, 1319)},
        **{str(code): Fault(quota, no, "limit and monthly cap of the enterprise reached") for code in (1320, 1321)},
        "1701": Fault(rate, yes, "web search concurrency limit", True),
        "1702": Fault(bad, no, "no search engine available"),
        "1703": Fault(bad, no, "search returned nothing"),
        **dict.fromkeys(("rate_limit_exceeded", "slow_down"), Fault(rate, yes, "rate limit reached", True)),
        **dict.fromkeys(("server_is_overloaded", "overloaded"), Fault(busy, overload, "model overloaded", True)),
        **dict.fromkeys(("authentication_error", "invalid_api_key", "expired"), Fault(auth, no, "key refused")),
        **dict.fromkeys(("insufficient_quota", "usage_not_included"), Fault(account, no, "not in the plan or balance")),
        **dict.fromkeys(("quota_exceeded", "usage_limit_reached"), Fault(quota, no, "plan usage limit")),
        **dict.fromkeys(("content_filter", "cyber_policy"), Fault(errors.ContentFilterError, no, "blocked by policy")),
        "server_error": Fault(server, yes, "server error"),
        "permission_denied": Fault(errors.PermissionDeniedError, no, "no permission"),
        "context_length_exceeded": Fault(errors.ContextLengthError, no, "prompt too long"),
        "invalid_request": Fault(bad, no, "wrong request"),
        "model_not_found": Fault(bad, no, "model does not exist"),
        "not_implemented": Fault(bad, no, "not implemented"),
        "request_too_large": Fault(bad, no, "body too large"),
    }


FAULTS: Mapping[str, Fault] = _table()
"""Business code to fault (errors.md section 3), and the words of section 6."""

STATUSES: Mapping[int, Fault] = {
    400: Fault(errors.BadRequestError, Retry.NO, "bad request"),
    401: Fault(errors.AuthenticationError, Retry.NO, "not authenticated"),
    403: Fault(errors.PermissionDeniedError, Retry.NO, "forbidden"),
    404: Fault(errors.NotFoundError, Retry.NO, "not found"),
    408: Fault(errors.ServerError, Retry.BACKOFF, "time-out"),
    409: Fault(errors.ServerError, Retry.BACKOFF, "conflict"),
    413: Fault(errors.BadRequestError, Retry.NO, "body too large"),
    429: Fault(errors.RateLimitError, Retry.BACKOFF, "too many requests", True),
    434: Fault(errors.PermissionDeniedError, Retry.NO, "no permission for files"),
    435: Fault(errors.BadRequestError, Retry.NO, "file too large"),
    503: Fault(errors.OverloadedError, Retry.OVERLOAD, "overloaded or unavailable", True),
}
"""HTTP status to fault, for codes that the table does not know."""


def fault_of(status: int, code: str | None) -> Fault:
    """By code first, by HTTP status only for unknown codes (errors.md section 3).

    Inside a 200 (a stream, a gateway) an unknown code that is an HTTP status stands for the answer's own.
    """
    if code is not None and code in FAULTS:
        return FAULTS[code]
    if status < 300 and code is not None and re.fullmatch("[45][0-9][0-9]", code):
        status = int(code)
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return Fault(errors.ServerError, Retry.BACKOFF, "server error")
    if 300 <= status < 400:
        return Fault(APIError, Retry.NO, "a redirect that is not followed: the key goes to no other address")
    return Fault(errors.BadRequestError if status >= 400 else errors.ServerError, Retry.NO, "")


def of_response(
    status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint[Any] | None = None
) -> APIError | None:
    """The error that a whole answer is, or None. ``headers`` have names in lower case.

    ``endpoint`` is where it came from, for what is an error on some endpoints only (section 2).
    """
    if status < 300 and body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        return None
    members = _object(body)
    if members is None and status < 300:
        return None
    if members is None and (data := re.search(rb"(?m)^data:(.*)$", body)):
        members = _object(data[1])  # of a stream: an event of one line
    found = _envelope(status, members) if members is not None else None
    if status < 300 and endpoint is not None and members is not None:
        of_task = isinstance(members.get("task_status") or members.get("status"), str)
        refused = members.get("success") is False and not members.get("code")
        told = refused and "success" in getattr(endpoint.response, "__struct_fields__", ())
        if (endpoint.failed == "report" and of_task) or (endpoint.failed and told):
            return None  # what failed is the work, not the call
        if found is None and endpoint.enveloped:
            found = _enveloped(members)
    if found is None:
        if status < 300:
            return None
        found = None, _plain(body)
    return make(status, *found, members=members or {}, headers=headers, body=excerpt(body))


def of_file(status: int, headers: Mapping[str, str], body: bytes) -> APIError | None:
    """The error that came in the place of a file, or None. A line of a batch's results may look like one."""
    members = _object(body)
    return None if members is None or "custom_id" in members else of_response(status, headers, body)


def of_outcome(answer: object) -> errors.TaskFailed | None:
    """The error that an answer of an :class:`~zhipu_async.types.base.Standing` is, when its work failed."""
    outcome: Any = answer
    if outcome.state != "failed":
        return None
    code, reason = outcome.failure
    code, reason = shown(code), shown(reason)
    identity = getattr(outcome, "task_id", None) or getattr(outcome, "id", None)
    text = f"the service failed in {shown(identity or 'it')}: {reason or 'it gives no reason'}"
    return errors.TaskFailed(
        f"{text} [code {code}]" if code else text,
        task_id=identity,
        answer=answer,
        code=code,
        reason=reason,
    )


def of_frame(members: Mapping[str, Any], headers: Mapping[str, str], payload: bytes = b"") -> APIError | None:
    """The error that a frame of a 200 stream is, or None (streaming.md section 5)."""
    error = members.get("error")
    told = not _empty(error) if tolerant.is_object(error) else bool(error)
    if _usable(members.get("choices")) or not (told or members.get("success") is False):
        return None
    found = _envelope(200, members) or (None, str(members.get("error")))
    return make(200, *found, members=members, headers=headers, body=excerpt(payload))


def looks_like_fault(body: bytes) -> bool:
    """Whether a 200 body may be an error envelope: a cheap look at keys (inside text the quotes would be escaped)."""
    return body.find(b'"error"') >= 0 or body.find(b'"success"') >= 0  # twice as fast as ``in``


def make(
    status: int,
    code: str | None,
    message: str,
    *,
    members: Mapping[str, Any],
    headers: Mapping[str, str],
    body: str | None = None,
) -> APIError:
    """The error for a code or status, with everything that helps to find the call again."""
    full, message, code = message, shown(message), shown(code, 100)
    fault = _gateway(code, message) if status < 300 and members.get("success") is False else fault_of(status, code)
    kind = fault.error
    wants_password = status == 401 and headers.get("www-authenticate", "").lower().startswith("basic")
    request_id = members.get("request_id") or members.get("id")
    error = kind(
        message,
        status=status,
        code=code,
        meaning=fault.meaning or None,
        hint=_PASSWORD if wants_password else _CODE_HINTS.get(code or "") or HINTS.get(kind),
        retryable=fault.retry not in (Retry.NO, Retry.TOKEN),
        retry_after=retry_after(headers),
        request_id=shown(request_id, 200) if isinstance(request_id, str) else None,
        log_id=shown(headers.get("x-log-id"), 200),
        trace_id=shown(headers.get("ga-traceid"), 200),
        body=body,
    )
    if isinstance(error, errors.ContentFilterError):
        filters = members.get("contentFilter") or members.get("content_filter")
        error.content_filter = filters if tolerant.is_list(filters) else ()
    if isinstance(error, errors.QuotaError):
        error.reset_text, error.reset_at = reset_time(full)
    return error


def retry_of(error: APIError) -> Retry:
    """What to do after ``error``."""
    retry = fault_of(error.status, error.code).retry
    return retry if error.retryable or retry is Retry.TOKEN else Retry.NO


def creates_nothing(error: APIError) -> bool:
    """Whether ``error`` proves that nothing was created: the refusals of load, by code or status."""
    return error.status == 429 or fault_of(error.status, error.code).creates_nothing


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, in seconds; a date is measured from the answer's own Date. None when absent."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (_date(value) - _date(headers.get("date", ""))).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


def _date(text: str) -> datetime:
    """An HTTP date; the form without a zone is UTC too."""
    date = parsedate_to_datetime(text)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


_RESET = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")
_CHINA = timezone(timedelta(hours=8))


def reset_time(message: str) -> tuple[str | None, datetime | None]:
    """The reset time in a message, as text and as a datetime in UTC+8 (assumed: the service names no zone)."""
    match = _RESET.search(message)
    if not match:
        return None, None
    try:
        return match[0], datetime.strptime(match[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=_CHINA)
    except ValueError:
        return match[0], None


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = tolerant.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if tolerant.is_object(value) else None


def _envelope(status: int, members: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """Code and message by the decision order of errors.md section 2, or None for what is no error envelope."""
    error = members.get("error")
    flat = _text(members.get("msg")) or _text(members.get("message"))
    if tolerant.is_object(error):
        if status < 300 and (_empty(error) or _usable(members.get("choices"))):
            return None
        return _code(error.get("code") or error.get("type")), _text(error.get("message")) or flat
    if isinstance(error, str) and error and not (status < 300 and _usable(members.get("choices"))):
        return _code(members.get("status", status)), error
    if members.get("success") is False:
        return _code(members.get("code")), flat
    if status >= 400 and "code" in members:
        return _code(members["code"]), _text(members.get("message")) or flat
    return None


def _enveloped(members: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """Code and message of ``{"code": 200, "data": ...}`` where the code is another (data.md section 10)."""
    code = _code(members.get("code"))
    return None if code in _NO_CODE else (code, _text(members.get("message")) or _text(members.get("msg")))


def _gateway(code: str | None, message: str) -> Fault:
    """The fault of a gateway envelope inside HTTP 200 (errors.md section 2)."""
    if "404" in message:
        return Fault(errors.NotFoundError, Retry.NO, "the gateway knows no such route")
    if code in ("401", "1000", "1001"):
        return Fault(errors.AuthenticationError, Retry.NO, "the gateway refused the key")
    return FAULTS.get(code or "", Fault(errors.ServerError, Retry.BACKOFF, "gateway error"))


_NO_CODE = (None, "", "0", "200")


def _empty(error: Mapping[str, Any]) -> bool:
    """Whether an error object says nothing: some answers always have one."""
    return all(not value or (name == "code" and _code(value) in _NO_CODE) for name, value in error.items())


def _usable(choices: Any) -> bool:
    """Whether ``choices`` hold anything: agents send an error beside usable ones (streaming.md section 5)."""
    return tolerant.is_list(choices) and any(tolerant.is_object(choice) and choice for choice in choices)


def _code(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or isinstance(value, (dict, list, bool)) else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _plain(body: bytes) -> str:
    """The first part of a body that is no JSON object; of HTML its title or text."""
    text = excerpt(body)
    if "<" in text[:200] and ">" in text:
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return " ".join(text.split())[:200]
