"""Nothing that this library writes, raises or shows holds a key, a token, a password or a secret header."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.security.planted import (
    FORMS,
    HEADER,
    KEY,
    PASSWORD,
    PLAIN_KEY,
    QUERY,
    SECRET_HEADERS,
    found_in,
    locals_of,
    told_by,
)
from tests.servers import COMPLETION, DONE, LAST, STREAM_HEAD, Conversation, block, byte_server, chunk
from tests.transport.sending import both_transports
from zhipu_async import (
    APIError,
    AsyncZhipuAI,
    AuthenticationError,
    ConfigError,
    ConnectError,
    Journal,
    Limits,
    Outcome,
    Timeouts,
    ZhipuError,
)
from zhipu_async.config import Secret, hidden
from zhipu_async.protocol import codec
from zhipu_async.simulator import Refusal, Reply, Scenario, Simulator

ASK: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}
PLANTED: dict[str, Any] = {"extra_headers": SECRET_HEADERS, "extra_query": {"sign": QUERY}}
CREDENTIALS = pytest.mark.parametrize(("key", "auth"), [(KEY, "bearer"), (KEY, "jwt"), (PLAIN_KEY, "bearer")])


async def of_callable() -> str:
    """A key as it comes from a vault."""
    return KEY


@asynccontextmanager
async def client_at(url: str, transport: str, key: Any, auth: Any, **more: Any) -> AsyncIterator[AsyncZhipuAI]:
    """A client with secrets in its settings, over its own pool or over a session of the user's."""
    settings: dict[str, Any] = {"default_headers": {"X-Team-Key": HEADER}, "max_retries": 0, **more}
    if transport == "pool":
        async with AsyncZhipuAI(key, base_url=url, auth=auth, **settings) as client:
            yield client
        return
    proxy = settings.pop("proxy", None)
    async with aiohttp.ClientSession(proxy=proxy) as session:
        yield AsyncZhipuAI(key, base_url=url, auth=auth, session=session, **settings)


# ---------------------------------------------------------------- errors


async def garbage(talk: Conversation) -> None:
    await talk.request()
    await talk.send(b"no answer at all\r\n\r\n")


async def hang_up(talk: Conversation) -> None:
    await talk.request()


async def cut_off(talk: Conversation) -> None:
    await talk.request()
    await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")


async def quote_in_refusal(talk: Conversation) -> None:
    """A gateway that tells which key it does not know."""
    request = await talk.request()
    key = request.decode("latin-1").partition("Authorization: Bearer ")[2].partition("\r\n")[0]
    body = {"error": {"code": "1002", "message": f"unknown key {key}"}}
    await talk.answer(json.dumps(body).encode(), status="401 Unauthorized")


async def quote_in_body(talk: Conversation) -> None:
    """A debugging server that gives the Authorization back as what should be an answer."""
    request = await talk.request()
    key = request.decode("latin-1").partition("Authorization: ")[2].partition("\r\n")[0]
    await talk.answer(key.encode() + b"{")


def quoted(request: bytes) -> bytes:
    """What a server that gives everything back quotes of a request: token and secret headers."""
    lines = request.decode("latin-1").partition("\r\n\r\n")[0].split("\r\n")
    secret = ("authorization: ", "x-team-key: ", "x-api-key: ", "cookie: ")
    return " ".join(line.partition(": ")[2] for line in lines if line.lower().startswith(secret)).encode()


async def quote_in_status_line(talk: Conversation) -> None:
    request = await talk.request()
    await talk.send(b"HTTP/1.1 oops " + quoted(request) + b"\r\n\r\n")


async def quote_in_headers(talk: Conversation) -> None:
    """The numbers for the vendor's support, and what an answer is."""
    request = await talk.request()
    words = quoted(request).decode()
    await talk.answer(b"{}", f"X-Log-Id: {words}", f"X-Request-Id: {words}", status="401 Unauthorized", kind=words)


async def quote_all_in_refusal(talk: Conversation) -> None:
    request = await talk.request()
    body = {"error": {"code": "1002", "message": quoted(request).decode()}, "request_id": quoted(request).decode()}
    await talk.answer(json.dumps(body).encode(), status="401 Unauthorized")


async def redirect(talk: Conversation) -> None:
    await talk.request()
    await talk.answer(b"", "Location: http://127.0.0.1:9/", status="307 Temporary Redirect")


async def stay_silent(talk: Conversation) -> None:
    await talk.request()
    await talk.reader.read()


def asking(client: AsyncZhipuAI) -> dict[str, Callable[[], Awaitable[Any]]]:
    """The ways to ask."""
    create = client.chat.completions.create
    return {
        "chat": lambda: create(**ASK, **PLANTED),
        "stream": lambda: create(**ASK, **PLANTED, stream=True),
        "request": lambda: client.request("POST", "/x", json={}, headers=SECRET_HEADERS, query={"sign": QUERY}),
        "upload": lambda: client.files.create(file=b"abc", purpose="batch", **PLANTED),
        "realtime": lambda: client.realtime.connect("glm-realtime").__aenter__(),
        "download": lambda: client.download(f"{client.base_url}/a?sign={QUERY}", extra_headers=SECRET_HEADERS),
    }


QUOTE_MORE = (quote_in_status_line, quote_in_headers, quote_all_in_refusal)
"""Servers that quote what a handshake of a WebSocket does not look for."""


@both_transports
@CREDENTIALS
@pytest.mark.parametrize(
    "server",
    [
        *(garbage, hang_up, cut_off, quote_in_refusal, quote_in_body, redirect, stay_silent),
        *(quote_in_status_line, quote_in_headers, quote_all_in_refusal),
    ],
    ids=lambda it: it.__name__,
)
async def test_no_error_tells_a_secret(server: Any, key: str, auth: str, transport: str) -> None:
    """Of all ways to ask and to fail: text, attributes, chain, pickle, and the locals of a traceback."""
    async with byte_server(server) as there:
        silent = server is stay_silent
        timeouts = Timeouts(first_byte=0.05 if silent else 5.0, connect=0.5 if silent else 5.0)
        async with client_at(there.url, transport, key, auth, timeout=timeouts) as client:
            errors: dict[str, Exception] = {}
            for way, ask in asking(client).items():
                if way == "download" and server is quote_in_body:
                    continue  # a file of another host is what it is
                if way == "realtime" and server in QUOTE_MORE:
                    continue
                try:
                    await ask()
                except ZhipuError as error:
                    errors[way] = error
            for way, error in errors.items():
                assert found_in(*told_by(error)) == [], way
                if not server.__name__.startswith("quote"):  # where the answer itself is among the locals
                    assert found_in(*locals_of(error)) == [], way
            assert found_in(*map(repr, client.statistics().values()), repr(client)) == []
    assert len(errors) >= 4


@both_transports
async def test_a_key_that_the_service_quotes_is_taken_out(transport: str) -> None:
    """The rest of the refusal stays."""
    async with byte_server(quote_in_refusal) as there, client_at(there.url, transport, KEY, "bearer") as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.chat.completions.create(**ASK)
    assert caught.value.message == "unknown key ***"
    assert caught.value.body == '{"error": {"code": "1002", "message": "unknown key ***"}}'
    assert caught.value.code == "1002"


FRAMES: dict[str, Callable[[str], bytes]] = {
    "an error": lambda words: json.dumps({"error": {"code": "1002", "message": f"bad {words}"}}).encode(),
    "no JSON": lambda words: b"{" + words.encode(),
    "JSON that does not fit": lambda words: json.dumps({"id": "x", "choices": words}).encode(),
    "no object": lambda words: json.dumps([words]).encode(),
}


@both_transports
@CREDENTIALS
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("begun", [False, True])
async def test_no_error_of_a_stream_tells_a_secret(
    begun: bool, frame: Callable[[str], bytes], key: str, auth: str, transport: str
) -> None:
    """At its beginning or after its first chunk: the error that is raised, and the one that hooks get."""
    events: list[Any] = []

    async def handler(talk: Conversation) -> None:
        words = quoted(await talk.request()).decode()
        first = chunk("Hi") if begun else b""
        await talk.send(STREAM_HEAD + block(first + b"data: " + frame(words) + b"\n\n") + LAST)

    async with byte_server(handler) as there:  # noqa: SIM117
        async with client_at(there.url, transport, key, auth, hooks=[events.append]) as client:
            with pytest.raises(ZhipuError) as caught:
                await (await client.chat.completions.create(**ASK, **PLANTED, stream=True)).until_done()
    assert found_in(*told_by(caught.value)) == []
    assert [found_in(*told_by(event.error)) for event in events] == [[]] * len(events)
    assert events[-1].error is caught.value


async def test_words_that_are_no_secret_stay() -> None:
    """Neither a short key, as local servers take any, nor an ordinary header is taken out of an error."""
    async with byte_server(quote_in_headers) as there:
        headers = {"X-Team": "a long name of a team", "X-Api-Key": "none"}
        async with AsyncZhipuAI("Unau", base_url=there.url, default_headers=headers, max_retries=0) as client:
            with pytest.raises(AuthenticationError) as caught:
                await client.chat.completions.create(**ASK)
    assert (caught.value.message, caught.value.log_id) == ("{}", "none Bearer Unau")


async def refuse_tunnel(talk: Conversation) -> None:
    await talk.request()
    await talk.answer(b"", status="407 Proxy Authentication Required")


async def break_tls(talk: Conversation) -> None:
    await talk.request()
    await talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
    await talk.send(b"this is no TLS\r\n")


@both_transports
@pytest.mark.parametrize("base_url", ["https://glm.example/v4", "http://glm.example/v4"])
@pytest.mark.parametrize(
    "proxy", [refuse_tunnel, break_tls, garbage, hang_up, None], ids=lambda it: getattr(it, "__name__", "none")
)
async def test_no_error_tells_the_password_of_a_proxy(proxy: Any, base_url: str, transport: str) -> None:
    """A proxy that refuses, talks nonsense, hangs up or is not there; for calls and for WebSockets."""
    async with byte_server(proxy or hang_up) as there:
        address = "127.0.0.1:9" if proxy is None else there.url.removeprefix("http://").partition("/")[0]
        through = f"http://user:{PASSWORD}@{address}"
        async with client_at(base_url, transport, KEY, "bearer", proxy=through) as client:
            for ask in (asking(client)["chat"], asking(client)["realtime"]):
                with pytest.raises((APIError, ZhipuError)) as caught:
                    await ask()
                assert found_in(*told_by(caught.value), *locals_of(caught.value)) == []


UNFIT: list[dict[str, Any]] = [
    {"base_url": f"http://user:{PASSWORD}@[::1"},
    {"base_url": f"user:{PASSWORD}@host"},
    {"base_url": f"https://user:{PASSWORD}@host:99999"},
    {"base_url": f"https://user:{PASSWORD}@host/"},
    {"base_url": "bigmodle"},
    {"root_url": f"//user:{PASSWORD}@host"},
    {"proxy": f"socks5://user:{PASSWORD}@host:1"},
    {"proxy": f"http://user:{PASSWORD}@[::1"},
    {"proxy": f"user:{PASSWORD}@host"},
    {"auth": "digest"},
    {"auth": "jwt", "api_key": PLAIN_KEY},
    {"api_key": f"{KEY}\r\nX-Evil: 1"},
    {"timeout": -1},
    {"default_headers": {"X-Api-Key": f"{HEADER}\r\nX-Evil: 1"}},
    {"default_headers": {"Authorization": f"Bearer {PLAIN_KEY}"}},
    {"ssl": False},
]


@pytest.mark.parametrize("settings", UNFIT, ids=lambda it: "-".join(it))
def test_no_error_of_a_setting_tells_a_secret(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a client that cannot be made, also with keys in the environment; nor do the traceback's locals."""
    monkeypatch.setenv("ZHIPU_API_KEY", KEY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:9")
    for given in (settings, {"api_key": PLAIN_KEY, **settings}):
        with pytest.raises(ConfigError) as caught:
            AsyncZhipuAI(**given)
        assert found_in(*told_by(caught.value)) == []
        if PASSWORD not in str(settings.get("base_url") or settings.get("root_url")):  # no secret belongs there
            assert found_in(*locals_of(caught.value)) == []


# ---------------------------------------------------------------- objects


async def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    """Of clients, resources, calls, requests, sessions, streams, answers, outcomes, journals and records."""
    shown: list[object] = []
    async with Simulator(Scenario(replies=[Reply("Hi")] * 8, api_keys=None)) as sim:
        for auth in ("bearer", "jwt"):
            async with client_at(sim.base_url, "pool", KEY, auth, hooks=[shown.append]) as client:
                create = type(client).chat.completions.create
                call = create.call(**ASK, **PLANTED)
                sender: Any = client._sender
                request = sender.request(call)
                shown += [
                    client,
                    client.with_options(api_key=PLAIN_KEY, auth="bearer"),
                    client.chat,
                    client.chat.completions,
                ]
                shown += [
                    call,
                    call.arguments,
                    request,
                    sender,
                    sender.settings,
                    sender.settings.credentials,
                    client.pool,
                ]
                shown += [list(call.arguments.__rich_repr__()), sender.settings.headers, request.headers]
                shown += [Limits(), client.statistics(), client.concurrency(), client.pool.statistics()]
                shown.append(await client.chat.completions.create(**ASK, **PLANTED))
                async with await client.chat.completions.create(**ASK, **PLANTED, stream=True) as stream:
                    shown += [stream, await stream.until_done()]
                path = tmp_path / f"{auth}.jsonl"
                async with client.fan_out([call], journal=Journal(path)) as run:
                    shown += [run, *[outcome async for outcome in run]]
                assert found_in(path.read_bytes()) == []
        shown += [sim, *sim.requests]
    assert any(isinstance(one, Outcome) for one in shown)
    for one in shown:
        assert found_in(repr(one), str(one)) == []


@pytest.mark.parametrize("value", [KEY, "", "'"])
def test_a_secret_is_text_that_is_not_shown(value: str) -> None:
    """It equals, hashes, pickles, formats and joins as what it is; its repr is the same for all."""
    secret = Secret(value)
    assert (secret, hash(secret), f"{secret}", str(secret), secret + "", pickle.loads(pickle.dumps(secret))) == (
        value, hash(value), value, value, value, value,
    )  # fmt: skip
    assert repr(secret) == repr(pickle.loads(pickle.dumps(secret))) == "'***'"
    assert repr(hidden({"a": value, "b": 1})) == "{'a': '***', 'b': 1}"


def test_headers_are_copied_and_not_shown() -> None:
    """Checked headers equal what was given, the caller's own dict stays as it is, and a repr shows the names alone."""
    given = {"X-Api-Key": HEADER}
    checked = codec.check_headers(given)
    assert checked == given
    assert checked is not given
    assert repr(checked) == "{'X-Api-Key': '***'}"
    assert type(given["X-Api-Key"]) is str


# ---------------------------------------------------------------- what is written


@both_transports
@CREDENTIALS
async def test_no_log_record_holds_a_secret(
    key: str, auth: str, transport: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything at DEBUG, asyncio's own log of each callback included; retries, a stream, an upload, a download."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    monkeypatch.setattr(loop, "slow_callback_duration", 0.0)

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if len(there.requests) == 1:
                await talk.answer(b'{"error":{"code":"1302","message":"slow down"}}', status="429 Busy")
            elif b'"stream":true' in request:
                await talk.send(STREAM_HEAD + block(chunk("Hi", "stop") + DONE) + LAST)
            else:
                await talk.answer(COMPLETION)

    def fails(event: object) -> None:
        raise ValueError(str(event))

    async with byte_server(handler) as there:  # noqa: SIM117
        async with client_at(there.url, transport, key, auth, max_retries=1, hooks=[fails]) as client:
            for way, ask in asking(client).items():
                if way == "realtime":
                    with pytest.raises(ConnectError):
                        await ask()
                elif way == "stream":
                    async with await ask() as stream:
                        assert (await stream.until_done()).text == "Hi"
                else:
                    await ask()
    assert len(there.requests) == 7
    assert any("Executing" in record.getMessage() for record in caplog.records)
    assert any("hook" in record.getMessage() for record in caplog.records)
    for record in caplog.records:
        if "byte_server" in record.getMessage():
            continue  # the tests' own server
        assert found_in(record.getMessage(), str(record.exc_text or ""), repr(record.args)) == []


async def test_a_callable_that_fails_is_not_quoted() -> None:
    """A key source that gives what is no key: the error does not show it."""

    async def wrong() -> str:
        return f"{KEY} {PLAIN_KEY}"

    async with AsyncZhipuAI(wrong, base_url="http://127.0.0.1:9") as client:
        with pytest.raises(ConfigError) as caught:
            await client.chat.completions.create(**ASK)
        assert found_in(*told_by(caught.value), *locals_of(caught.value)) == []
    async with byte_server(quote_in_refusal) as there, client_at(there.url, "pool", of_callable, "jwt") as client:
        with pytest.raises(AuthenticationError) as refused:
            await client.chat.completions.create(**ASK)
        assert found_in(*told_by(refused.value)) == []


async def test_outcomes_of_failed_calls_pickle_without_secrets() -> None:
    """What travels between the processes of a run."""
    async with Simulator(Scenario(replies=[Refusal("1210")], api_keys=None)) as sim:  # noqa: SIM117
        async with client_at(sim.base_url, "pool", KEY, "bearer") as client:
            call = type(client).chat.completions.create.call(**ASK)
            async with client.fan_out([call]) as run:
                [outcome] = [outcome async for outcome in run]
    assert outcome.error is not None
    assert found_in(pickle.dumps(outcome.error), repr(outcome)) == []


def test_the_search_finds_what_is_there() -> None:
    """Each planted form is found in text and in bytes, so that a search that finds nothing means something."""
    assert len(FORMS) == len(set(FORMS)) == 8
    for form in FORMS:
        assert len(found_in(f"a{form}b")) == len(found_in(f"a{form}b".encode())) == 1
