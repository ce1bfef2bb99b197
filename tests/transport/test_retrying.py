"""How many requests each failure makes, plain and streamed, and what the caller sees in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import SHORT_SLEEPS, Serve
from zhipu_async import (
    AccountError,
    APIError,
    AsyncZhipuAI,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    DecodeError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    RequestTimeout,
    RetryPolicy,
    ServerError,
    StreamTruncated,
    Timeouts,
    ZhipuError,
)
from zhipu_async.simulator import ErrorFrame, HangUp, Json, Raw, Refusal, Reply, Scenario

Ask = Callable[..., dict[str, Any]]

ONCE, REPEATED, TWICE = 1, 3, 2

CODES: list[tuple[str, type[APIError], int]] = [
    ("500", ServerError, REPEATED),
    ("401", AuthenticationError, ONCE),
    ("1000", AuthenticationError, ONCE),
    ("1001", AuthenticationError, ONCE),
    ("1002", AuthenticationError, ONCE),
    ("1003", AuthenticationError, ONCE),
    ("1004", AuthenticationError, ONCE),
    ("1005", AuthenticationError, ONCE),
    ("1100", AccountError, TWICE),
    ("1110", AccountError, ONCE),
    ("1111", AccountError, ONCE),
    ("1112", AccountError, ONCE),
    ("1113", AccountError, ONCE),
    ("1120", ServerError, REPEATED),
    ("1121", AccountError, ONCE),
    ("1200", ServerError, REPEATED),
    ("1210", BadRequestError, ONCE),
    ("1211", BadRequestError, ONCE),
    ("1212", BadRequestError, ONCE),
    ("1213", BadRequestError, ONCE),
    ("1214", BadRequestError, ONCE),
    ("1215", BadRequestError, ONCE),
    ("1220", PermissionDeniedError, ONCE),
    ("1221", BadRequestError, ONCE),
    ("1222", BadRequestError, ONCE),
    ("1230", ServerError, REPEATED),
    ("1231", BadRequestError, ONCE),
    ("1234", ServerError, REPEATED),
    ("1261", ContextLengthError, ONCE),
    ("1300", ContentFilterError, ONCE),
    ("1301", ContentFilterError, ONCE),
    ("1302", RateLimitError, REPEATED),
    ("1303", RateLimitError, REPEATED),
    ("1304", QuotaError, ONCE),
    ("1305", OverloadedError, REPEATED),
    ("1308", QuotaError, ONCE),
    ("1309", AccountError, ONCE),
    ("1310", QuotaError, ONCE),
    ("1311", AccountError, ONCE),
    ("1312", OverloadedError, REPEATED),
    ("1313", AccountError, ONCE),
    ("1314", AccountError, ONCE),
    ("1315", AccountError, ONCE),
    *((str(code), QuotaError, ONCE) for code in range(1316, 1322)),
    ("1701", RateLimitError, REPEATED),
    ("1702", BadRequestError, ONCE),
    ("1703", BadRequestError, ONCE),
]
"""errors.md section 3: code, class, requests made with two retries allowed."""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("code", "kind", "requests"), CODES)
async def test_every_code_is_repeated_as_the_table_says(
    serve: Serve, ask: Ask, code: str, kind: type[APIError], requests: int, stream: bool
) -> None:
    """The business code decides the class and the number of requests, whatever the HTTP status."""
    client, sim = await serve(Scenario(replies=[Refusal(code, times=None)]))
    with pytest.raises(kind) as caught:
        await client.chat.completions.create(**ask(stream=stream))
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert len(sim.requests) == requests == len(caught.value.attempts)


@pytest.mark.parametrize(
    ("code", "kind", "requests"), [row for row in CODES if row[0] in ("1302", "1305", "1308", "1113", "1301", "1234")]
)
async def test_an_error_in_the_first_frame_is_treated_like_its_http_twin(
    serve: Serve, ask: Ask, code: str, kind: type[APIError], requests: int
) -> None:
    """Inside create(), before anything was handed out, a frame with an error is an attempt that failed."""
    for event in (False, True):
        client, sim = await serve(Scenario(replies=[ErrorFrame(code, event=event, times=None)]))
        with pytest.raises(kind):
            await client.chat.completions.create(**ask(stream=True))
        assert len(sim.requests) == requests


STATUSES: list[tuple[int, type[ZhipuError], int]] = [
    (400, BadRequestError, ONCE),
    (401, AuthenticationError, ONCE),
    (403, PermissionDeniedError, ONCE),
    (404, NotFoundError, ONCE),
    (408, ServerError, REPEATED),
    (409, ServerError, REPEATED),
    (413, BadRequestError, ONCE),
    (418, BadRequestError, ONCE),
    (429, RateLimitError, REPEATED),
    (434, PermissionDeniedError, ONCE),
    (500, ServerError, REPEATED),
    (502, ServerError, REPEATED),
    (503, OverloadedError, REPEATED),
    (504, ServerError, REPEATED),
]


@pytest.mark.parametrize(("status", "kind", "requests"), STATUSES)
@pytest.mark.parametrize(
    "body", [b"", b"<html><title>Bad Gateway</title></html>", b'{"error":{"code":"9999","message":"?"}}']
)
async def test_an_unknown_code_goes_by_its_status(
    serve: Serve, ask: Ask, status: int, kind: type[APIError], requests: int, body: bytes
) -> None:
    """Empty bodies, pages of HTML and codes that nobody knows are judged by the HTTP status."""
    client, sim = await serve(Scenario(replies=[Raw(body, status, times=None)]))
    with pytest.raises(kind) as caught:
        await client.chat.completions.create(**ask())
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert len(sim.requests) == requests


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
async def test_max_retries_counts_repeats(serve: Serve, ask: Ask, retries: int) -> None:
    """n retries are n + 1 requests."""
    client, sim = await serve(Scenario(replies=[Refusal("1302", times=None)]), max_retries=retries)
    with pytest.raises(RateLimitError) as caught:
        await client.chat.completions.create(**ask())
    assert len(sim.requests) == retries + 1 == len(caught.value.attempts)
    delays = [record.delay for record in caught.value.attempts]
    assert delays[-1] is None
    assert all(delay is not None for delay in delays[:-1])


async def test_a_failure_that_passes_is_not_seen(serve: Serve, ask: Ask) -> None:
    """Refusals, a server error, a broken idle connection: the fourth attempt answers; the idle race does not count."""
    replies = [Refusal("1302"), Refusal("1305"), Raw(b"", 502), HangUp(), Reply("at last")]
    client, sim = await serve(Scenario(replies=replies), max_retries=4)
    reply = await client.chat.completions.create(**ask())
    assert reply.text == "at last"
    assert reply.timing is not None
    assert (reply.timing.attempts, len(sim.requests)) == (4, 5)
    assert len({request.raw for request in sim.requests}) == 1


async def test_a_stream_is_repeated_before_its_first_token_only(serve: Serve, ask: Ask) -> None:
    """An early end inside create() is repeated; the same after a delta was handed out is the caller's to see."""
    from zhipu_async.simulator import Delivery

    broken = Reply("Hello", delivery=Delivery(stops_after=0, then="close"))
    client, sim = await serve(Scenario(replies=[broken, Reply("whole")]))
    stream = await client.chat.completions.create(**ask(stream=True))
    assert (await stream.until_done()).text == "whole"
    assert len(sim.requests) == 2

    broken = Reply("Hello", pieces=["Hel", "lo"], delivery=Delivery(stops_after=1, then="close"))
    client, sim = await serve(Scenario(replies=[broken]))
    stream = await client.chat.completions.create(**ask(stream=True))
    with pytest.raises(StreamTruncated) as caught:
        async for _ in stream:
            pass
    assert caught.value.partial.text == "Hel"
    assert not caught.value.partial.complete
    assert len(sim.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Json({"error": {"code": "1302", "message": "busy"}}), RateLimitError),
        (Json({"code": 500, "msg": "404 NOT_FOUND", "success": False}), NotFoundError),
        (Json({"code": 401, "msg": "no", "success": False}), AuthenticationError),
        (Raw(b"<html>captcha</html>", content_type="text/html"), DecodeError),
        (Raw(b"<html>captcha</html>", content_type="text/event-stream"), DecodeError),
        (Raw(b'{"error":{"code":"1113","message":"x"}}', content_type="text/event-stream"), AccountError),
        (Json({"choices": []}), DecodeError),
    ],
    ids=repr,
)
async def test_json_or_html_instead_of_a_stream_is_raised_in_create(
    serve: Serve, ask: Ask, answer: Any, kind: type[ZhipuError]
) -> None:
    """A body that is no stream is read as what it is, whatever its content type says."""
    client, _ = await serve(Scenario(replies=[answer]), max_retries=0)
    with pytest.raises(kind):
        await client.chat.completions.create(**ask(stream=True))
    assert client.pool.statistics().in_use == 0


async def test_retry_after_is_honoured_when_bounded(serve: Serve, ask: Ask) -> None:
    """A short Retry-After is slept, a long one raises at once with the seconds on the error."""
    client, sim = await serve(Scenario(replies=[Refusal("1302", headers={"Retry-After": "0.05"})]))
    before = time.monotonic()
    await client.chat.completions.create(**ask())
    assert time.monotonic() - before >= 0.05

    client, sim = await serve(Scenario(replies=[Refusal("1302", headers={"Retry-After": "61"}, times=None)]))
    with pytest.raises(RateLimitError) as caught:
        await client.chat.completions.create(**ask())
    assert caught.value.retry_after == 61
    assert len(sim.requests) == 1


async def test_quota_errors_carry_their_reset_time(serve: Serve, ask: Ask) -> None:
    """The reset time is parsed, exposed, and never slept on."""
    client, sim = await serve(Scenario(replies=[Refusal("1308", times=None)]))
    with pytest.raises(QuotaError) as caught:
        await client.chat.completions.create(**ask())
    assert caught.value.reset_text in caught.value.message
    assert caught.value.reset_at is not None
    assert caught.value.reset_at.utcoffset() is not None
    assert len(sim.requests) == 1


async def test_an_expired_token_is_signed_anew_once(serve: Serve, ask: Ask) -> None:
    """With JWT, 1003 is repeated one time with a new token, even when no retries are allowed; then it is raised."""
    client, sim = await serve(Scenario(replies=[Refusal("1003"), Reply("Hi")]), auth="jwt", max_retries=0)
    assert (await client.chat.completions.create(**ask())).text == "Hi"
    assert len(sim.requests) == 2

    client, sim = await serve(Scenario(replies=[Refusal("1003", times=None)]), auth="jwt")
    with pytest.raises(AuthenticationError):
        await client.chat.completions.create(**ask())
    assert len(sim.requests) == 2


async def test_tokens_are_cached_and_renewed(serve: Serve, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token serves many calls; 30 s before its 210 s are over it is replaced."""
    now = [1_790_000_000.0]
    monkeypatch.setattr("zhipu_async.transport.credentials.time.time", lambda: now[0])
    client, sim = await serve(Scenario(replies=[Reply("Hi", times=None)], api_keys=None), auth="jwt")
    for now[0] in (1_790_000_000.0, 1_790_000_179.0, 1_790_000_181.0):
        await client.chat.completions.create(**ask())
    first, second, third = (request.headers["Authorization"] for request in sim.requests)
    assert first == second != third
    assert first.startswith("Bearer eyJ")


async def test_an_async_callable_gives_the_key_of_each_attempt(ask: Ask, serve: Serve) -> None:
    """A rotated key is used from the next attempt on."""
    keys = iter(["first-key", "second-key"])

    async def key() -> str:
        await asyncio.sleep(0)
        return next(keys)

    client, sim = await serve(Scenario(replies=[Refusal("1302"), Reply("Hi")], api_keys=None), api_key=key)
    await client.chat.completions.create(**ask())
    assert [request.headers["Authorization"] for request in sim.requests] == ["Bearer first-key", "Bearer second-key"]


async def test_a_sleep_that_would_cross_the_deadline_is_not_begun(serve: Serve, ask: Ask) -> None:
    """The service's own error comes at once instead of a time-out later."""
    slow = RetryPolicy(base=30, cap=30)
    client, sim = await serve(
        Scenario(replies=[Refusal("1302", times=None, headers={"Retry-After": "5"})]),
        retry=slow,
        timeout=Timeouts(total=1),
    )
    before = time.monotonic()
    with pytest.raises(RateLimitError):
        await client.chat.completions.create(**ask())
    assert time.monotonic() - before < 0.9
    assert len(sim.requests) == 1


async def test_concurrent_calls_do_not_share_their_retries(serve: Serve, ask: Ask) -> None:
    """Fifty calls that all meet refusals all get their own attempts."""
    client, sim = await serve(Scenario(replies=[Refusal("1302", times=100), Reply("Hi", times=None)]), max_retries=150)
    replies = await asyncio.gather(*(client.chat.completions.create(**ask()) for _ in range(50)))
    assert {reply.text for reply in replies} == {"Hi"}
    assert len(sim.requests) == 150


async def test_the_request_is_the_same_in_every_attempt(serve: Serve) -> None:
    """Body bytes are made once, before the first await: later changes of the caller's list do not leak in."""
    client, sim = await serve(Scenario(replies=[Refusal("1302"), Refusal("1302"), Reply("Hi")]))
    messages = [{"role": "user", "content": "one"}]
    task = asyncio.create_task(client.chat.completions.create(model="glm-4.6", messages=messages))
    await asyncio.sleep(0)
    messages.append({"role": "user", "content": "two"})
    await task
    assert len({request.raw for request in sim.requests}) == 1
    assert b"two" not in sim.requests[0].raw


async def test_no_error_is_tenacitys(serve: Serve, ask: Ask) -> None:
    """The error is the last attempt's own; tenacity stands neither in its class nor in its chain."""
    client, _ = await serve(Scenario(replies=[Refusal("1302", times=None)]))
    with pytest.raises(RateLimitError) as caught:
        await client.chat.completions.create(**ask())
    error: BaseException | None = caught.value
    while error is not None:
        assert not type(error).__module__.startswith("tenacity")
        error = error.__cause__ or error.__context__


async def test_errors_name_where_they_happened_and_hold_no_key(ask: Ask, serve: Serve) -> None:
    """An error of the service names method and address without query; neither its text nor its state holds the key."""
    client, sim = await serve(Scenario(replies=[Refusal("1113", times=None)]), default_query={"secret": "q"})
    with pytest.raises(AccountError) as caught:
        await client.chat.completions.create(**ask())
    error = caught.value
    assert (error.method, error.url) == ("POST", f"{sim.base_url}/chat/completions")
    assert "recharge" in str(error)
    assert "zai-coding" in str(error)
    assert sim.api_key not in f"{error!s}{error!r}{vars(error)}{client!r}{vars(client)}"


async def test_the_wait_for_a_key_counts_against_the_deadline(ask: Ask) -> None:
    """A key source that hangs is ended by the total clock, and nothing was sent."""

    async def key() -> str:
        await asyncio.sleep(10)
        return "k"

    client = AsyncZhipuAI(key, base_url="http://127.0.0.1:9", timeout=0.05, retry=SHORT_SLEEPS)
    with pytest.raises(ZhipuError, match="total"):
        await client.chat.completions.create(**ask())
    await client.close()


async def test_a_key_source_that_hangs_meets_the_clock_of_connections(ask: Ask) -> None:
    """It has as long as a connection may take, in each attempt, and the error says what was waited for."""
    asked = 0

    async def key() -> str:
        nonlocal asked
        asked += 1
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    settings: dict[str, Any] = {"timeout": Timeouts(connect=0.05), "retry": SHORT_SLEEPS, "max_retries": 1}
    async with AsyncZhipuAI(key, base_url="http://127.0.0.1:9", **settings) as client:
        with pytest.raises(RequestTimeout, match="source of the key") as caught:
            await asyncio.wait_for(client.chat.completions.create(**ask()), 30)
        assert client.concurrency()["glm-4.6"].in_flight == 0
    assert (caught.value.clock, caught.value.arrived, asked) == ("connect", False, 2)
    assert ["source of the key" in attempt.error for attempt in caught.value.attempts] == [True, True]


async def test_a_key_source_need_not_be_hashable(serve: Serve, ask: Ask) -> None:
    """It counts as one account, however many clients are made with it."""

    @dataclass
    class Vault:
        key: str

        async def __call__(self) -> str:
            return self.key

    vault = Vault("k.s")
    client, _ = await serve(Scenario(api_keys=None), api_key=vault)
    accounts = [one._sender.settings.account for one in (client, client.with_options(api_key=vault))]
    assert (await client.chat.completions.create(**ask())).text
    assert set(client.concurrency()) == {"glm-4.6"}
    assert len(set(accounts)) == 1
    assert client.with_options(api_key=Vault("k.s"))._sender.settings.account not in accounts


async def test_a_key_source_that_fails_is_a_failure_that_is_counted(serve: Serve, ask: Ask) -> None:
    """Its own error comes through, nothing was sent, and the call counts as failed, not as cancelled."""

    async def key() -> str:
        raise LookupError("the vault is closed")

    client, sim = await serve(api_key=key)
    with pytest.raises(LookupError, match="vault"):
        await client.chat.completions.create(**ask())
    statistics = client.statistics()["glm-4.6"]
    assert (statistics.failures, statistics.cancelled, statistics.errors) == (1, 0, {"LookupError": 1})
    assert sim.requests == []


async def test_a_key_source_that_is_not_async_is_a_config_error(serve: Serve, ask: Ask) -> None:
    """The message does not hold what it returned."""
    client, sim = await serve(api_key=lambda: "secret.key")
    with pytest.raises(ConfigError, match="async") as caught:
        await client.chat.completions.create(**ask())
    assert "secret" not in str(caught.value)
    assert sim.requests == []


async def test_a_key_source_that_swallows_cancellation_meets_the_clock_all_the_same(serve: Serve, ask: Ask) -> None:
    """The total clock is named although the source went on after it had fired."""

    async def key() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return "k.s"

    client, sim = await serve(api_key=key, timeout=0.05)
    with pytest.raises(RequestTimeout, match="total"):
        await asyncio.wait_for(client.chat.completions.create(**ask()), 2)
    assert sim.requests == []
