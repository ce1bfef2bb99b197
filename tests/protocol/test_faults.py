"""Is an answer a failure, and which? The table of errors.md, row by row, and every envelope of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async import errors
from zhipu_async.binding import Method
from zhipu_async.catalogue import rows
from zhipu_async.config import RetryPolicy
from zhipu_async.errors import APIError
from zhipu_async.protocol import codec, faults
from zhipu_async.protocol.retry import Progress, wait_before_retry
from zhipu_async.resources import KnowledgeDocuments

from .feeding import contract, examples, frame, read

AUTH, ACCOUNT, QUOTA = errors.AuthenticationError, errors.AccountError, errors.QuotaError
BAD, CONTEXT, FILTER = errors.BadRequestError, errors.ContextLengthError, errors.ContentFilterError
RATE, BUSY, SERVER = errors.RateLimitError, errors.OverloadedError, errors.ServerError
DENIED, MISSING = errors.PermissionDeniedError, errors.NotFoundError

# code, statuses, class, retry: as errors.md sections 3 and 4 have it
TABLE: list[tuple[str | None, tuple[int, ...], type[APIError], str]] = [
    ("500", (500,), SERVER, "yes"),
    (None, (500,), SERVER, "yes"),
    ("401", (401,), AUTH, "no"),
    ("1000", (401,), AUTH, "no"),
    ("1001", (401,), AUTH, "no"),
    ("1002", (401,), AUTH, "token"),
    ("1003", (401,), AUTH, "token"),
    ("1004", (401,), AUTH, "no"),
    ("1005", (401,), AUTH, "no"),
    ("1100", (401, 500), ACCOUNT, "few"),
    ("1110", (401,), ACCOUNT, "no"),
    ("1111", (401,), ACCOUNT, "no"),
    ("1112", (401,), ACCOUNT, "no"),
    ("1113", (429,), ACCOUNT, "no"),
    ("1120", (500,), SERVER, "yes"),
    ("1121", (401, 429), ACCOUNT, "no"),
    ("1200", (500,), SERVER, "yes"),
    ("1210", (400,), BAD, "no"),
    ("1211", (400,), BAD, "no"),
    ("1212", (400,), BAD, "no"),
    ("1213", (400,), BAD, "no"),
    ("1214", (400,), BAD, "no"),
    ("1215", (400,), BAD, "no"),
    ("1220", (403,), DENIED, "no"),
    ("1221", (400,), BAD, "no"),
    ("1222", (400,), BAD, "no"),
    ("1230", (500,), SERVER, "yes"),
    ("1231", (400,), BAD, "no"),
    ("1234", (500,), SERVER, "yes"),
    ("1261", (400,), CONTEXT, "no"),
    ("1300", (400,), FILTER, "no"),
    ("1301", (400,), FILTER, "no"),
    ("1302", (429,), RATE, "yes"),
    ("1303", (429,), RATE, "yes"),
    ("1304", (429,), QUOTA, "later"),
    ("1305", (429,), BUSY, "yes"),
    ("1308", (429,), QUOTA, "later"),
    ("1309", (429,), ACCOUNT, "no"),
    ("1310", (429,), QUOTA, "later"),
    ("1311", (429,), ACCOUNT, "no"),
    ("1312", (429,), BUSY, "yes"),
    ("1313", (429,), ACCOUNT, "no"),
    ("1314", (429,), ACCOUNT, "no"),
    ("1315", (429,), ACCOUNT, "no"),
    *((str(code), (429,), QUOTA, "later") for code in range(1316, 1322)),
    ("1701", (429, 400), RATE, "yes"),
    ("1702", (400,), BAD, "no"),
    ("1703", (400,), BAD, "no"),
    (None, (404,), MISSING, "no"),
    (None, (408,), SERVER, "yes"),
    (None, (413,), BAD, "no"),
    (None, (434,), DENIED, "no"),
    (None, (435,), BAD, "no"),
    (None, (502, 504), SERVER, "yes"),
    (None, (503,), BUSY, "yes"),
    # unknown codes: by status
    ("4711", (429,), RATE, "yes"),
    ("4711", (408, 409), SERVER, "yes"),
    ("4711", (500, 501, 502, 504, 520, 599), SERVER, "yes"),
    ("4711", (503,), BUSY, "yes"),
    ("4711", (400, 402, 405, 406, 410, 418, 422, 451), BAD, "no"),
    ("4711", (401,), AUTH, "no"),
    ("4711", (403,), DENIED, "no"),
    ("4711", (404,), MISSING, "no"),
    ("a_new_word", (400,), BAD, "no"),
    ("a_new_word", (500,), SERVER, "yes"),
    # section 6: words
    ("invalid_request", (400,), BAD, "no"),
    ("model_not_found", (400, 404), BAD, "no"),
    ("not_implemented", (400, 501), BAD, "no"),
    ("request_too_large", (413,), BAD, "no"),
    ("authentication_error", (401,), AUTH, "no"),
    ("invalid_api_key", (401,), AUTH, "no"),
    ("expired", (401,), AUTH, "no"),
    ("permission_denied", (403,), DENIED, "no"),
    ("context_length_exceeded", (400,), CONTEXT, "no"),
    ("rate_limit_exceeded", (429,), RATE, "yes"),
    ("insufficient_quota", (429,), ACCOUNT, "no"),
    ("quota_exceeded", (429,), QUOTA, "later"),
    ("usage_limit_reached", (429,), QUOTA, "later"),
    ("usage_not_included", (429,), ACCOUNT, "no"),
    ("server_error", (500,), SERVER, "yes"),
    ("server_is_overloaded", (503,), BUSY, "yes"),
    ("overloaded", (503, 529), BUSY, "yes"),
    ("slow_down", (429, 503), RATE, "yes"),
    ("content_filter", (400,), FILTER, "no"),
    ("cyber_policy", (400,), FILTER, "no"),
]
ROWS = [(code, status, kind, retry) for code, statuses, kind, retry in TABLE for status in statuses]


def error_of(status: int, body: Any, headers: Mapping[str, str] | None = None) -> APIError:
    """The error that an answer is; ``body`` is JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = faults.of_response(status, headers or {}, data)
    assert error is not None
    return error


def waits(error: APIError, attempt: int = 1, **progress: Any) -> float | None:
    """The sleep after the error, with all of the jitter."""
    return wait_before_retry(
        error, RetryPolicy(retries=9), Progress(attempt=attempt, **progress), creates=False, jitter=1.0
    )


def check_retry(error: APIError, retry: str) -> None:
    """Repeating goes as the table says."""
    assert error.retryable is (retry in ("yes", "few"))
    assert (waits(error) is not None) is (retry in ("yes", "few"))
    assert (waits(error, attempt=2) is not None) is (retry == "yes")
    assert waits(error, renewable=True) == (0.0 if retry == "token" else waits(error))
    assert waits(error, renewable=True, token_renewed=True) == waits(error)


@pytest.mark.parametrize(("code", "status", "kind", "retry"), ROWS)
def test_row(code: str | None, status: int, kind: type[APIError], retry: str) -> None:
    """Code and status give the class and the way of repeating that the contract's row says."""
    body = {"error": {"code": code, "message": "told so"}} if code else {"detail": "no envelope"}
    error = error_of(status, body)
    assert type(error) is kind
    assert (error.status, error.code) == (status, code)
    assert error.message == ("told so" if code else '{"detail": "no envelope"}')
    assert error.hint
    check_retry(error, retry)


@pytest.mark.parametrize(
    ("code", "status", "kind", "retry"), [row for row in ROWS if row[0] and row[0] in faults.FAULTS]
)
def test_row_by_code_alone(code: str, status: int, kind: type[APIError], retry: str) -> None:
    """A known code counts whatever the HTTP status: in a stream's frame, as int, and under another status."""
    assert type(error_of(418, {"error": {"code": code, "message": ""}})) is kind
    numeric = int(code) if code.isdigit() else code
    error = read(frame({"error": {"code": numeric, "message": "m"}})).error
    assert isinstance(error, kind)
    assert (error.status, error.code, error.meaning) == (200, code, error_of(status, {"error": {"code": code}}).meaning)
    assert error.meaning
    check_retry(error, retry)


def test_table_is_that_of_the_contract() -> None:
    """The rows here are those of the contract's section 3, status and retry included, and its words of section 6."""
    page = contract("errors.md").read_text(encoding="utf-8")
    section = page.partition("## 3.")[2].partition("## 4.")[0]
    here = {(code, status): retry for code, status, _, retry in ROWS}
    rows = re.findall(r"^\| (.+?) \| (.+?) \| .* \| (.+?) \|$", section, re.MULTILINE)
    assert len(rows) > 50
    for codes, statuses, retry in rows:
        if codes in ("Code", "---"):
            continue
        words = {"yes": "yes", "no": "no", "later": "later", "JWT": "token", "yes, few": "few"}
        expected = words.get(retry.strip("*").partition(":")[0].partition(" (")[0])
        expected = "token" if "JWT" in retry else expected
        assert expected, retry
        for code in re.findall(r"\d{3,4}|-|none", codes):
            for status in re.findall(r"\d{3}", statuses):
                assert here.get((None if code in "- none" else code, int(status))) == expected, (code, status)
    words_of_6 = set(re.findall(r"`([a-z_]+)`", page.partition("## 6.")[2].partition("Repeatable")[0]))
    assert words_of_6 == {code for code, *_ in TABLE if (code and "_" in code) or code in ("expired", "overloaded")} - {
        "a_new_word"
    }


def test_every_code_is_explained() -> None:
    """Each code of the table has a meaning, and each class of error a hint."""
    assert all(fault.meaning for fault in faults.FAULTS.values())
    assert {fault.error for fault in faults.FAULTS.values()} <= set(faults.HINTS)
    assert all(code in faults.FAULTS for code, *_ in TABLE if code and code not in ("4711", "a_new_word"))
    assert len(faults.FAULTS) == len({code for code, *_ in TABLE if code} - {"4711", "a_new_word"})


# ---------------------------------------------------------------- envelopes

ENVELOPES: dict[str, tuple[int, Any, type[APIError], str | None, str]] = {
    # the decision order of section 2
    "1 error is an object": (
        400, {"error": {"code": "1214", "message": "m"}, "success": False, "code": 1, "msg": "n"}, BAD, "1214", "m",
    ),
    "1 code as int": (400, {"error": {"code": 1214, "message": "m"}}, BAD, "1214", "m"),
    "1 without code": (429, {"error": {"message": "m"}}, RATE, None, "m"),
    "1 code null, message null": (502, {"error": {"code": None, "message": None}}, SERVER, None, ""),
    "1 code of another kind": (502, {"error": {"code": ["1214"], "message": 5}}, SERVER, None, ""),
    "1 type in the place of code": (400, {"error": {"type": "expired", "message": "m"}}, AUTH, "expired", "m"),
    "1 beside choices": (400, {"error": {"code": "1214", "message": "m"}, "choices": [{"index": 0}]}, BAD, "1214", "m"),
    "1 an HTTP status as code": (400, {"error": {"code": "503", "message": "m"}}, BAD, "503", "m"),
    "1 an HTTP status as code in a 200": (200, {"error": {"code": "503", "message": "m"}}, BUSY, "503", "m"),
    "1 inside a 200": (200, {"error": {"code": "1211", "message": "m"}}, BAD, "1211", "m"),
    "1 flat message": (400, {"error": {"code": "1214"}, "message": "flat"}, BAD, "1214", "flat"),
    "2 error is a text": (
        404, {"timestamp": "2026", "status": 404, "error": "Not Found", "path": "/v4/v1/chat/completions"},
        MISSING, "404", "Not Found",
    ),
    "2 without status": (403, {"error": "forbidden"}, DENIED, "403", "forbidden"),
    "2 beside choices": (403, {"error": "forbidden", "choices": [{"index": 0}]}, DENIED, "403", "forbidden"),
    "2 inside a 200": (200, {"error": "Not Found", "status": 404}, MISSING, "404", "Not Found"),
    "3 success is false": (200, {"code": 9999, "msg": "m", "success": False}, SERVER, "9999", "m"),
    "3 message in the place of msg": (200, {"code": 9999, "message": "m", "success": False}, SERVER, "9999", "m"),
    "3 under 401": (401, {"code": 1001, "msg": "m", "success": False}, AUTH, "1001", "m"),
    "3 under 429": (429, {"code": 1302, "msg": "m", "success": False}, RATE, "1302", "m"),
    "4 flat code": (400, {"code": 1210, "message": "m"}, BAD, "1210", "m"),
    "4 flat code as text, msg": (400, {"code": "1210", "msg": "m"}, BAD, "1210", "m"),
    "4 message before msg": (400, {"code": "1210", "message": "m", "msg": "n"}, BAD, "1210", "m"),
    "5 nothing known": (500, {"detail": "m"}, SERVER, None, '{"detail": "m"}'),
    "5 success true is no code": (500, {"success": True}, SERVER, None, '{"success": true}'),
    "5 a list": (500, ["m"], SERVER, None, '["m"]'),
    "5 a text": (500, b'"m"', SERVER, None, '"m"'),
    "5 null": (500, b"null", SERVER, None, "null"),
    "5 plain text": (502, b"upstream  connect\nerror", SERVER, None, "upstream connect error"),
    "5 text with an angle": (502, b"1 < 2", SERVER, None, "1 < 2"),
    "5 empty": (502, b"", SERVER, None, ""),
    "5 not UTF-8": (502, b"\xff\xfe", SERVER, None, "\ufffd\ufffd"),
    "5 torn JSON": (429, b'{"error":{"code":"13', RATE, None, '{"error":{"code":"13'),
    "5 JSON without end": (500, b"[" * 100_000, SERVER, None, "[" * 200),
    # the gateway inside a 200
    "gateway: route": (200, {"code": 500, "msg": "404 NOT_FOUND", "success": False}, MISSING, "500", "404 NOT_FOUND"),
    "gateway: 401": (200, {"code": 401, "msg": "m", "success": False}, AUTH, "401", "m"),
    "gateway: 1000": (200, {"code": 1000, "msg": "m", "success": False}, AUTH, "1000", "m"),
    "gateway: 1001": (200, {"code": 1001, "msg": "m", "success": False}, AUTH, "1001", "m"),
    "gateway: 500": (200, {"code": 500, "msg": "m", "success": False}, SERVER, "500", "m"),
    "gateway: no code": (200, {"msg": "m", "success": False}, SERVER, None, "m"),
    "gateway: a code of the table": (200, {"code": 1305, "msg": "m", "success": False}, BUSY, "1305", "m"),
    "gateway: under 500": (500, {"code": 500, "msg": "404 m", "success": False}, SERVER, "500", "404 m"),
    "gateway: accepted": (202, {"code": 1001, "msg": "m", "success": False}, AUTH, "1001", "m"),
    # around them
    "white space": (200, b' \r\n\t{"error":{"code":"1211","message":"m"}}', BAD, "1211", "m"),
    "a byte order mark": (200, b'\xef\xbb\xbf{"error":{"code":"1211","message":"m"}}', BAD, "1211", "m"),
    "NaN beside it": (400, b'{"error":{"code":"1214","message":"m"},"x":NaN}', BAD, "1214", "m"),
    "WAF": (405, b"<!doctype html><html><head><TITLE>\n405  Blocked</TITLE></head>", BAD, None, "405 Blocked"),
    "HTML without a title": (403, b"<html><body><h1>403</h1> Forbidden</body></html>", DENIED, None, "403 Forbidden"),
    "HTML 503": (503, b"<html><title>busy</title></html>", BUSY, None, "busy"),
    "error null": (500, {"error": None, "code": 1234, "message": "m"}, SERVER, "1234", "m"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "code", "message"), ENVELOPES.values(), ids=ENVELOPES)
def test_envelope(status: int, body: Any, kind: type[APIError], code: str | None, message: str) -> None:
    """Code and message come from where the decision order says, under any content type and none."""
    for headers in ({}, {"content-type": "application/json"}, {"content-type": "text/html"}):
        error = error_of(status, body, headers)
        assert type(error) is kind
        assert (error.status, error.code, error.message) == (status, code, message)


RECORDED: list[tuple[int, str, type[APIError], str]] = [
    (401, "401", AUTH, "token expired or incorrect"),
    (401, "401", AUTH, "令牌已过期或验证不正确"),
    (429, "1113", ACCOUNT, "Insufficient balance or no resource package. Please recharge."),
    (429, "1302", RATE, "Your account has reached its rate limit..."),
    (429, "1302", RATE, "High concurrency usage of this API, ..."),
    (429, "1305", BUSY, "The service may be temporarily overloaded, please try again later"),
    (429, "1308", QUOTA, "Usage limit reached for 5 hour. Your limit will reset at 2026-04-09 15:13:03"),
    (429, "1310", QUOTA, "Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-05-11 21:02:26"),
    (400, "1214", BAD, "messages parameter is illegal"),
]


@pytest.mark.parametrize(("status", "code", "kind", "message"), RECORDED)
def test_recorded(status: int, code: str, kind: type[APIError], message: str) -> None:
    """What was recorded of the real service is what it says, and its text is kept."""
    error = error_of(status, json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False).encode())
    assert type(error) is kind
    assert (error.code, error.message) == (code, message)


SUCCESSES: dict[str, tuple[int, Any]] = {
    "a chat answer": (200, {"id": "1", "choices": [{"message": {"content": '"error" "success":false'}}]}),
    "error null": (200, {"error": None, "choices": []}),
    "error empty": (200, {"error": {}, "id": "1"}),
    "error of nulls": (200, {"error": {"code": None, "message": None}, "id": "1", "status": "pending"}),
    "error of nothing": (200, {"error": {"code": "0", "message": ""}, "id": "1", "choices": []}),
    "error beside choices": (200, {"error": {"code": "1", "message": "m"}, "choices": [{"index": 0}]}),
    "a text error beside choices": (200, {"error": "m", "choices": [{"index": 0}]}),
    "success true": (200, {"code": 200, "msg": "ok", "success": True, "data": {}}),
    "a code without more": (200, {"code": 1302, "message": "m"}),
    "success null": (200, {"success": None}),
    "a list": (200, [{"error": {"code": "1302"}}]),
    "text": (200, b"error"),
    "nothing": (200, b""),
    "accepted": (202, {"id": "1", "task_status": "PROCESSING"}),
    "no content": (204, b""),
    "torn JSON": (200, b'{"error": {'),
    "HTML": (200, b"<html>error</html>"),
}


@pytest.mark.parametrize(("status", "body"), SUCCESSES.values(), ids=SUCCESSES)
def test_no_failure(status: int, body: Any) -> None:
    """A 2xx answer without an error envelope is no failure (what does not decode is another matter)."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert faults.of_response(status, {}, data) is None


@pytest.mark.parametrize("envelope", [body for status, body, *_ in ENVELOPES.values() if status == 200])
def test_cheap_look_finds_every_envelope(envelope: Any) -> None:
    """The look that spares whole answers a second reading lets no envelope of a 200 pass."""
    assert faults.looks_like_fault(envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode())


def test_cheap_look_is_not_taken_in_by_text() -> None:
    """Text that talks of errors and success does not cost a second reading."""
    answer = {"choices": [{"message": {"content": 'an "error" and "success": false, an \\"error\\"'}}]}
    assert not faults.looks_like_fault(json.dumps(answer).encode())


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
def test_redirects_that_are_not_followed(status: int) -> None:
    """A redirect that was not followed is an APIError, never repeated."""
    error = error_of(status, b"")
    assert type(error) is APIError
    assert not error.retryable
    assert "redirect" in str(error)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("head", ["", ": hello\n\n", "event: error\n"])
def test_a_refusal_as_an_event(head: str, end: str) -> None:
    """A refusal of a stream that is framed as one has its code, which says whether it may be repeated."""
    body = f'{head}data: {{"error": {{"code": "1113", "message": "no money"}}}}\n\ndata: [DONE]\n\n'
    error = error_of(429, body.replace("\n", end).encode())
    assert (type(error), error.code, error.message) == (errors.AccountError, "1113", "no money")
    assert not error.retryable


@examples(300)
@given(st.integers(100, 999), st.binary(max_size=60))
def test_any_answer_is_decided(status: int, body: bytes) -> None:
    """Any status with any body is an APIError with that status, or, below 300, no failure; nothing else is raised."""
    error = faults.of_response(status, {}, body)
    assert status < 300 if error is None else (isinstance(error, APIError) and error.status == status)


@examples(300)
@given(
    st.integers(200, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["error", "code", "message", "msg", "success", "status", "choices", "id"]), inner
            )
        ),
        max_leaves=8,
    ),
)
def test_any_envelope_is_decided(status: int, value: Any) -> None:
    """Whatever stands under the keys of envelopes, the decision is an APIError of text code and message, or none."""
    error = faults.of_response(status, {}, json.dumps(value).encode())
    if error is None:
        assert status < 300
    else:
        assert error.code is None or isinstance(error.code, str)
        assert isinstance(error.message, str)
        assert str(error)
        assert (
            wait_before_retry(error, RetryPolicy(), Progress(1), creates=False, jitter=0.5) is not None
        ) == error.retryable


# ---------------------------------------------------------------- what an error keeps


def test_what_identifies_the_call() -> None:
    """The error keeps request id, log id and trace id, and at most 4 KiB of the body."""
    headers = {"x-log-id": "L", "ga-traceid": "T", "set-cookie": "acw_tc=secret"}
    error = error_of(500, {"error": {"code": "1234", "message": "m"}, "request_id": "R", "x": "y" * 9000}, headers)
    assert (error.request_id, error.log_id, error.trace_id) == ("R", "L", "T")
    assert error.body is not None
    assert len(error.body) == 4096
    assert "secret" not in repr(vars(error))
    assert error_of(500, {"error": {"code": "1234"}, "id": "I"}).request_id == "I"
    assert error_of(500, {"error": {"code": "1234"}, "id": 5}).request_id is None
    assert error_of(500, b"").request_id is None
    assert error_of(418, b"").meaning is None


@pytest.mark.parametrize("code", ["1300", "1301"])
@pytest.mark.parametrize("key", ["contentFilter", "content_filter"])
def test_content_filter(code: str, key: str) -> None:
    """Errors of content safety carry the list under either name; without a list it is empty."""
    found = [{"level": 1, "role": "user"}, {"level": 0, "role": "history"}]
    error = error_of(400, {"error": {"code": code, "message": "m"}, key: found})
    assert isinstance(error, FILTER)
    assert error.content_filter == found
    for odd in ("x", None, {"level": 1}):
        error = error_of(400, {"error": {"code": code, "message": "m"}, key: odd})
        assert isinstance(error, FILTER)
        assert list(error.content_filter) == []


CHINA = timezone(timedelta(hours=8))
RESETS: list[tuple[str, str | None, datetime | None]] = [
    (
        "Your limit will reset at 2026-04-09 15:13:03",
        "2026-04-09 15:13:03",
        datetime(2026, 4, 9, 15, 13, 3, tzinfo=CHINA),
    ),
    ("您的限额将在 2026-05-11 21:02:26 重置。", "2026-05-11 21:02:26", datetime(2026, 5, 11, 21, 2, 26, tzinfo=CHINA)),
    ("from 2026-01-01 00:00:00 to 2026-01-02 00:00:00", "2026-01-01 00:00:00", datetime(2026, 1, 1, tzinfo=CHINA)),
    ("reset at 2026-02-30 00:00:00", "2026-02-30 00:00:00", None),
    ("reset at 2026-04-09", None, None),
    ("", None, None),
]


@pytest.mark.parametrize("code", ["1304", "1308", "1310", *map(str, range(1316, 1322))])
@pytest.mark.parametrize(("message", "text", "moment"), RESETS)
def test_reset_time(code: str, message: str, text: str | None, moment: datetime | None) -> None:
    """Errors of a quota give the reset time as text and as an aware datetime in UTC+8, and are never slept on."""
    error = error_of(429, {"error": {"code": code, "message": message}}, {"retry-after": "1"})
    assert isinstance(error, QUOTA)
    assert (error.reset_text, error.reset_at) == (text, moment)
    assert waits(error) is None


DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
RETRY_AFTER: list[tuple[str | None, float | None]] = [
    (None, None),
    ("", None),
    ("7", 7.0),
    (" 7 ", 7.0),
    ("0", 0.0),
    ("0.25", 0.25),
    ("-5", 0.0),
    ("86400", 86400.0),
    ("Fri, 20 Nov 2026 12:01:30 GMT", 90.0),
    ("Friday, 20-Nov-26 12:01:30 GMT", 90.0),
    ("Fri Nov 20 12:01:30 2026", 90.0),
    ("Fri, 20 Nov 2026 20:01:30 +0800", 90.0),
    ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
    ("soon", None),
    ("nan", None),
    ("inf", None),
    ("1e999", None),
    ("-inf", 0.0),
    ("Fri, 99 Nov 2026 12:01:30 GMT", None),
    ("Fri, 20 Nov 99999999999 12:01:30 GMT", None),
    ("7 seconds", None),
    ("\ud83d", None),
]


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Retry-After is seconds or a date, measured from the answer's own Date; what is neither is not there."""
    headers = {"date": DATE} | ({} if value is None else {"retry-after": value})
    assert faults.retry_after(headers) == seconds
    assert error_of(429, b"", headers).retry_after == seconds


def test_retry_after_date_without_date() -> None:
    """A date in Retry-After means nothing when the answer does not tell its own time."""
    assert faults.retry_after({"retry-after": DATE}) is None
    assert faults.retry_after({"retry-after": DATE, "date": "today"}) is None


@examples(300)
@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ (GMT|[+-]\d+)"))
def test_any_retry_after(value: str) -> None:
    """Any text in Retry-After gives a number of seconds of at least 0, or none."""
    seconds = faults.retry_after({"retry-after": value, "date": DATE})
    assert seconds is None or 0.0 <= seconds < float("inf")


def test_hints() -> None:
    """Without balance one is told of the coding endpoints, with an expired token of the clock, and so on."""
    for code, words in (("1113", "bigmodel-coding"), ("1003", "clock"), ("1211", "models.list"), ("1308", "reset")):
        assert words in (error_of(400, {"error": {"code": code, "message": "m"}}).hint or "")


@pytest.mark.parametrize("code", [None, 0, "0", 200, "200", 200.0, ""])
def test_an_envelope_with_the_code_of_success(code: Any) -> None:
    """Knowledge bases answer with a code always; in whatever type it says success, the call is no failure."""
    endpoint = KnowledgeDocuments.get.endpoint
    assert faults.of_response(200, {}, json.dumps({"code": code, "data": {}}).encode(), endpoint) is None
    assert faults.of_response(200, {}, b'{"code": 500.0, "message": "broken"}', endpoint) is not None


REFUSED = b'{"success": false, "message": "no such task"}'


@pytest.mark.parametrize("method", [row.method for row in rows()], ids=[row.name for row in rows()])
def test_a_refusal_without_a_code_is_never_lost(method: Method[..., Any, Any]) -> None:
    """It is an error of the call, or stands in a struct that has a field for it and tells that the work failed."""
    error = faults.of_response(200, {}, REFUSED, method.endpoint)
    if error is None:
        answer = codec.decode(method.endpoint.response, REFUSED)
        assert (answer.state, answer.failure) == ("failed", (None, "no such task"))
    else:
        assert error.message == "no such task"
