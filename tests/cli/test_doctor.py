"""doctor: what it finds wrong, where it stops, what it asks for, and that it shows no secret."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import trustme

from tests.security.planted import KEY, PASSWORD, PLAIN_KEY, found_in
from tests.servers import COMPLETION, Conversation, Handler, byte_server
from zhipu_async.cli.doctor_network import look_at_network
from zhipu_async.cli.doctor_settings import look_at_settings
from zhipu_async.cli.findings import Findings
from zhipu_async.simulator import HangUp, Refusal, Scenario, Simulator

from .conftest import Service
from .invoking import Invoked, invoke, paths
from .running import run

OK = ["key", "endpoint", "proxy", "DNS", "TCP", "HTTP", "clock", "bearer", "jwt", "models", "quota", "quota"]
"""What is looked at where nothing is in the way, before the versions."""
MODELS = b'{"object":"list","data":[{"id":"m","object":"model"}]}'
NO_KEY = b'{"error":{"code":"1001","message":"no Authorization header"}}'


async def doctor(*arguments: str) -> tuple[Invoked, dict[str, list[tuple[str, str]]]]:
    """Run it with --json: how it ended, and verdict and text of each check."""
    done = await invoke("doctor", "--json", *arguments)
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in json.loads(done.output)["findings"]:
        told = f"{finding['text']} {finding.get('way_out', '')}"
        found.setdefault(finding["check"], []).append((finding["level"], told))
    return done, found


def levels(found: dict[str, list[tuple[str, str]]], *checks: str) -> list[str]:
    """The verdicts of these checks."""
    return [level for check in checks for level, _ in found.get(check, [])]


# ---------------------------------------------------------------- the whole


async def test_all_is_well(service: Service) -> None:
    """Every step is named, the key is tried in both forms, nothing that costs is asked, and it ends with 0."""
    simulator = await service()
    done = await invoke("doctor")
    assert (done.code, done.errors) == (0, "")
    lines = done.output.splitlines()
    assert [line.split()[1] for line in lines[: len(OK)]] == OK
    assert {line.split()[0] for line in lines[: len(OK)]} <= {"ok", "skipped"}
    assert lines[-1] == "nothing is wrong"
    assert paths(simulator) == ["GET /models"] * 3 + ["GET /api/monitor/usage/quota/limit"]
    sent = [seen.headers.get("authorization", "") for seen in simulator.requests]
    assert sent[:2] == ["", f"Bearer {simulator.api_key}"]
    assert sent[2].startswith("Bearer eyJ")
    assert simulator.api_key.partition(".")[2] not in done.output


async def test_one_object_for_programs(service: Service) -> None:
    """--json prints one object with the findings, their times and details, and the same exit code."""
    await service()
    done = await invoke("doctor", "--json")
    report = json.loads(done.output)
    assert (done.code, report["ok"]) == (0, True)
    by_check = {finding["check"]: finding for finding in report["findings"]}
    assert by_check["HTTP"]["milliseconds"] > 0
    assert "glm-4.6" in by_check["models"]["details"]["models"]
    assert by_check["versions"]["details"]["aiohttp"]


async def test_without_a_key_the_way_is_checked_all_the_same(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which variables are missing, goes on as far as it can, and ends with 2 for the settings."""
    simulator = await service()
    monkeypatch.delenv("ZHIPU_API_KEY")
    done, found = await doctor()
    assert done.code == 2
    ((level, told),) = found["key"]
    assert level == "failed"
    assert "export ZHIPU_API_KEY" in told
    assert levels(found, "DNS", "TCP", "HTTP", "service", "versions") == ["ok", "ok", "ok", "skipped", "ok"]
    assert [seen.headers.get("authorization") for seen in simulator.requests] == [None]


async def test_a_wrong_key(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's refusal is shown with the way out; nothing more is asked, and it ends with 1."""
    simulator = await service()
    monkeypatch.setenv("ZHIPU_API_KEY", KEY)
    done, found = await doctor("--ask", "glm-4.6")
    assert done.code == 1
    assert levels(found, "bearer", "jwt") == ["failed", "failed"]
    assert "keys of open.bigmodel.cn and api.z.ai" in found["bearer"][0][1]
    assert "model" not in found
    assert {seen.path.rpartition("/")[2] for seen in simulator.requests} == {"models"}
    assert found_in(done.output, done.errors) == []


async def test_a_lost_connection_says_nothing_of_the_key(service: Service) -> None:
    """Where the service answers no call with a key, neither the key nor the clock is suspected."""
    await service(Scenario(replies=lambda request: HangUp() if "authorization" in request.headers else None))
    done, found = await doctor()
    assert (done.code, levels(found, "HTTP", "bearer", "jwt")) == (1, ["ok", "failed", "failed"])
    assert "check the clock" not in str(found)


async def test_a_key_that_makes_no_token(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without a dot is tried as it is alone, and is not shown in part either."""
    simulator = await service(Scenario(api_keys=[PLAIN_KEY]))
    monkeypatch.setenv("ZHIPU_API_KEY", PLAIN_KEY)
    done, found = await doctor()
    assert (done.code, levels(found, "bearer", "jwt")) == (0, ["ok", "skipped"])
    assert len(simulator.requests) == 3
    assert PLAIN_KEY[:6] not in done.output


# ---------------------------------------------------------------- models and quota


async def test_models_are_asked_only_when_they_are_named(service: Service) -> None:
    """--ask holds one chat of one token with each: lists, repeated options, and free for those without a price."""
    simulator = await service()
    done, found = await doctor("--ask", "glm-4.6,glm-5.3", "--ask", "free,glm-4.6")
    chats = [seen.body for seen in simulator.requests if "chat" in seen.path]
    assert done.code == 0
    assert {(body["max_tokens"], body["model"]) for body in chats} >= {
        (1, "glm-4.6"),
        (1, "glm-5.3"),
        (1, "glm-4.7-flash"),
    }
    assert len(chats) == len({body["model"] for body in chats}) == len(found["model"])
    assert all(told.split()[1] == "answers," for _, told in found["model"])
    by_model = {body["model"]: body for body in chats}
    assert by_model["glm-4.6"]["thinking"] == {"type": "disabled"}
    assert by_model["glm-5.3"]["reasoning_effort"] == "low"


async def test_all_that_is_listed_is_asked(service: Service) -> None:
    """--all asks each model of the platform's list once, also one that is named."""
    simulator = await service()
    _, found = await doctor("--all", "--ask", "glm-4.6")
    chats = [seen.model for seen in simulator.requests if "chat" in seen.path]
    listed = found["models"][0][1].partition(": ")[2].strip().split(", ")
    assert sorted(map(str, chats)) == sorted(listed)


async def test_models_that_do_not_answer(service: Service) -> None:
    """An unknown one fails, a busy one is a warning; each with its way out, asked once."""
    refusals = {"glm-4.6": Refusal("1305"), "glm-5": Refusal("1113")}
    simulator = await service(Scenario(replies=lambda seen: refusals.get(seen.model or "")))
    done, found = await doctor("--ask", "glm-9,glm-4.6,glm-5")
    assert done.code == 1
    assert levels(found, "model") == ["failed", "warning", "failed"]
    assert [told.split(":")[0] for _, told in found["model"]] == ["glm-9", "glm-4.6", "glm-5"]
    assert "coding" in found["model"][2][1]
    assert sum("chat" in seen.path for seen in simulator.requests) == 3


@pytest.mark.parametrize("name", ["embedding-3", "glm-4.6,,glm-5", "cogvideox-3"])
async def test_what_is_no_chat_model_is_refused_before_anything_is_asked(service: Service, name: str) -> None:
    """A name that cannot be asked is wrong use: exit code 2, and no request."""
    simulator = await service()
    done = await invoke("doctor", "--ask", name)
    assert (done.code, done.output, simulator.requests) == (2, "", [])


async def test_a_quota_that_is_nearly_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """90 per cent and more is a warning; a limit of an unknown form is named and nothing else."""
    quota = {"code": 200, "success": True, "data": {"limits": [{"type": "T", "percentage": 91}, {"x": "y"}]}}

    async def serve(talk: Conversation) -> None:
        while request := await talk.request():
            await talk.answer(json.dumps(quota).encode() if b"/quota/" in request else MODELS)

    async with byte_server(serve) as server:
        monkeypatch.setenv("ZHIPU_API_KEY", KEY)
        done, found = await doctor("--base-url", server.url)
    assert (done.code, levels(found, "quota")) == (0, ["warning", "ok"])
    assert "91 % used" in found["quota"][0][1]


# ---------------------------------------------------------------- settings

BIGMODEL = "https://open.bigmodel.cn/api/paas/v4"
CASES: dict[str, tuple[dict[str, str], str | None, str, str, str]] = {
    # environment, --base-url, then a check with its verdict and a piece of what it says
    "the other platform's URL": (
        {"ZHIPU_API_KEY": KEY, "ZHIPU_BASE_URL": "https://api.z.ai/api/paas/v4"},
        None, "variables", "warning", "is for bigmodel, but the endpoint is zai's",
    ),
    "two keys of one platform": (
        {"ZHIPU_API_KEY": KEY, "ZHIPUAI_API_KEY": PLAIN_KEY}, None, "variables", "warning", "holds another key",
    ),
    "keys of both": (
        {"ZHIPU_API_KEY": KEY, "ZAI_API_KEY": PLAIN_KEY}, None, "variables", "ok", "counts with --base-url zai",
    ),
    "a URL that does not count": (
        {"ZAI_API_KEY": KEY, "ZHIPU_BASE_URL": BIGMODEL}, None, "variables", "warning", "does not count",
    ),
    "a URL under an option": (
        {"ZHIPU_API_KEY": KEY, "ZHIPU_BASE_URL": BIGMODEL}, "zai-coding", "variables", "ok", "--base-url counts",
    ),
    "no key of this platform": ({"ZHIPU_API_KEY": KEY}, "zai", "key", "failed", "export ZAI_API_KEY"),
    "a key in quotation marks": ({"ZHIPU_API_KEY": f"'{KEY}'"}, None, "key", "warning", "quotation mark"),
    "a key with a line end in it": ({"ZHIPU_API_KEY": f"{KEY}\nx"}, None, "key", "failed", "copy the key again"),
    "an old path": ({}, "https://open.bigmodel.cn/api/paas/v3", "endpoint", "warning", "not a documented path"),
    "the address of a call": ({}, f"{BIGMODEL}/chat/completions", "endpoint", "warning", "leave out the /chat/compl"),
    "plain text to the public": ({}, "http://glm.example.com/v4", "endpoint", "warning", "everybody on the way"),
    "a key in the place of a URL": ({"ZHIPU_API_KEY": KEY}, KEY, "endpoint", "failed", "unknown endpoint '***'"),
    "no URL": ({}, "glm", "endpoint", "failed", "one of bigmodel, zai"),
    "a variable that is no URL": ({"ZHIPU_BASE_URL": "glm"}, None, "endpoint", "failed", "(from ZHIPU_BASE_URL)"),
    "a named endpoint": ({}, "zai-coding", "endpoint", "ok", "https://api.z.ai/api/coding/paas/v4, from --base-url"),
    "a proxy with a password": (
        {"HTTPS_PROXY": f"http://user:{PASSWORD}@proxy.example:3128"},
        None, "proxy", "ok", "http://proxy.example:3128, with a user name and password, from HTTPS_PROXY",
    ),
    "an exempt host": (
        {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "bigmodel.cn"}, None, "proxy", "ok", "NO_PROXY exempts",
    ),
    "a proxy that is not used": ({"ALL_PROXY": "socks5://proxy:1"}, None, "proxy", "warning", "export HTTPS_PROXY"),
    "a proxy that is none": ({"HTTPS_PROXY": f"http://u:{PASSWORD}@[::1"}, None, "proxy", "failed", "unset HTTPS"),
    "authorities that are not there": (
        {"SSL_CERT_FILE": "/nowhere/ca.pem"}, None, "TLS", "warning", "SSL_CERT_FILE names",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_settings(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of each, with a way out for all that is not well, and no secret."""
    variables, base_url, check, level, said = CASES[case]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    findings = Findings(as_json=True)
    setup = look_at_settings(base_url, findings)
    found = [(each.level, f"{each.text}: {each.way_out}") for each in findings.all if each.check == check]
    assert any(how == level and said in told for how, told in found), found
    assert all(each.way_out for each in findings.all if each.level in ("warning", "failed"))
    assert found_in(*(f"{each.text}{each.way_out}{each.details}" for each in findings.all), repr(setup)) == []
    assert (setup.url is None) == findings.failed("endpoint")
    assert findings.exit_code == (2 if findings.failed("key", "endpoint", "proxy") else 0)


# ---------------------------------------------------------------- the way there


def handler(
    *answers: bytes, status: str = "200 OK", kind: str = "application/json", headers: tuple[str, ...] = ()
) -> Handler:
    """Gives each request of a connection the same answer."""

    async def serve(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(b"".join(answers), *headers, status=status, kind=kind)

    return serve


async def hang_up(talk: Conversation) -> None:
    """Closes without an answer."""
    await talk.request()


async def say_nothing(talk: Conversation) -> None:
    """Keeps the connection and is silent."""
    await talk.request()
    await talk.reader.read()


async def babble(talk: Conversation) -> None:
    """Speaks another protocol."""
    await talk.send(b"220 mail.example ESMTP\r\n")


LOGIN = b"<!DOCTYPE html><title>Welcome to our Wi-Fi</title>"
ANSWERS: dict[str, tuple[Handler, str, str]] = {
    "a service": (handler(NO_KEY, status="401 Unauthorized"), "ok", "HTTP 401 without a key"),
    "one that asks for no key": (handler(MODELS), "ok", "also without a key"),
    "a captive portal": (handler(LOGIN, kind="text/html"), "failed", "log in to the network"),
    "a page without its type": (handler(b" <html>", status="403 Forbidden"), "failed", "a page"),
    "a redirection": (
        handler(b"", status="302 Found", headers=("Location: http://portal.example",)), "failed", "portal.example",
    ),
    "a gateway that knows no such path": (
        handler(b'{"code":500,"msg":"404 NOT_FOUND","success":false}'), "warning", "one 'v4', at its end",
    ),
    "no such path": (handler(b'{"status":404,"error":"Not Found"}', status="404 Not Found"), "warning", "one 'v4'"),
    "a gateway with a password of its own": (
        handler(b"", status="401 Unauthorized", headers=("WWW-Authenticate: Basic realm=x",)), "failed", "gateway",
    ),
    "no such path, and no word": (handler(b"", status="404 Not Found"), "warning", "no /models there: HTTP 404"),
    "a service that is down": (handler(b"{}", status="503 Service Unavailable"), "warning", "HTTP 503"),
    "a proxy's refusal": (handler(b"", status="407 Proxy Authentication Required"), "failed", "user:password@"),
    "no answer": (hang_up, "failed", "no answer in HTTP"),
    "silence": (say_nothing, "failed", "no answer in time"),
    "another protocol": (babble, "failed", "no answer in HTTP"),
}  # fmt: skip


async def way(url: str, *, proxy: str | None = None, seconds: float = 5.0) -> tuple[bool, dict[str, tuple[str, str]]]:
    """Go the way in a thread: whether more can be asked there, and the findings by check."""
    findings = Findings(as_json=True)
    reached = await asyncio.to_thread(look_at_network, url, proxy, seconds, findings)
    return reached is not None, {each.check: (each.level, f"{each.text}: {each.way_out}") for each in findings.all}


@pytest.mark.parametrize("case", ANSWERS)
async def test_answers(case: str) -> None:
    """Who answers is told from what is answered; where it is not the service, nothing more is asked."""
    serve, level, said = ANSWERS[case]
    async with byte_server(serve) as server:
        usable, found = await way(server.url, seconds=0.3 if case == "silence" else 5.0)
    assert found["HTTP"][0] == level
    assert said in found["HTTP"][1]
    assert usable == (level != "failed")
    assert b"authorization" not in b"".join(server.requests).lower()


async def test_no_such_name() -> None:
    """A name that nobody knows ends at the name service."""
    assert await way("https://glm.invalid/v4") == (False, {"DNS": ("failed", ANY)})


async def test_nobody_listens() -> None:
    """A closed port ends at the connection, with its address."""
    async with byte_server(hang_up) as server:
        pass
    usable, found = await way(server.url)
    assert (usable, found.keys()) == (False, {"DNS", "TCP"})
    assert "127.0.0.1 port" in found["TCP"][1]


@pytest.mark.parametrize(
    ("ahead", "level", "said"),
    [(0, "ok", "differ by "), (-25, "ok", "differ by 2"), (100, "warning", "behind the service's: it may refuse"),
     (-300, "warning", "ahead of the service's: it refuses")],
)  # fmt: skip
async def test_clocks_are_compared(ahead: int, level: str, said: str) -> None:
    """A service that is ``ahead`` by seconds: up to 30 are well, from 210 on no token is valid any more."""

    async def serve(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(NO_KEY, f"Date: {formatdate(time.time() + ahead, usegmt=True)}", status="401 Unauthorized")

    async with byte_server(serve) as server:
        _, found = await way(server.url)
    assert found["clock"][0] == level
    assert said in found["clock"][1]


# ---------------------------------------------------------------- TLS and proxies


authority = trustme.CA()


def context(host: str = "127.0.0.1", **dates: datetime) -> ssl.SSLContext:
    """A server's context with a certificate of the test's authority."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, **dates).configure_cert(server)
    return server


NOW = datetime.now(UTC)
TLS: dict[str, tuple[bool, dict[str, Any], str, str]] = {
    # whether the authority is known, the certificate, the verdict and a piece of what is said
    "well": (True, {}, "ok", "valid until"),
    "nearly over": (True, {"not_after": NOW + timedelta(days=3)}, "warning", "must renew it soon"),
    "over": (True, {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)}, "failed", "clock"),
    "not yet": (True, {"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=9)}, "failed", "clock"),
    "of another name": (True, {"host": "other.example"}, "failed", "another server answers"),
    "of an unknown authority": (False, {}, "failed", "export SSL_CERT_FILE"),
}


@pytest.mark.parametrize("case", TLS)
async def test_certificates(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a certificate is named, and nothing is sent behind a bad one."""
    known, certificate, level, said = TLS[case]
    if known:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with Simulator(ssl=context(**certificate)) as simulator:
        usable, found = await way(simulator.base_url)
        assert len(simulator.requests) == usable
    assert found["TLS"][0] == level
    assert said in found["TLS"][1]
    assert usable == (level != "failed")


async def test_a_port_that_speaks_no_tls() -> None:
    """https where http is spoken is told from a bad certificate."""
    async with byte_server(babble) as server:
        usable, found = await way(server.url.replace("http:", "https:"))
    assert (usable, found["TLS"][0]) == (False, "failed")
    assert "no TLS" in found["TLS"][1]


def tunnel(status: str) -> Handler:
    """A proxy that leads on to where CONNECT says, or refuses."""

    async def serve(talk: Conversation) -> None:
        request = await talk.request()
        if b"dXNlcjp" not in request or not status.startswith("200"):
            await talk.answer(b"", status=status if b"dXNlcjp" in request else "407 Proxy Authentication Required")
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", int(request.split(b" ")[1].rpartition(b":")[2]))
        await talk.send(f"HTTP/1.1 {status}\r\n\r\n".encode())

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        try:
            await asyncio.gather(pump(talk.reader, writer), pump(reader, talk.writer))
        finally:
            writer.close()

    return serve


@pytest.mark.parametrize(
    ("status", "user", "said"),
    [("200 Connected", "user", "leads to 127.0.0.1"), ("403 Forbidden", "user", "allow CONNECT"),
     ("200 Connected", "nobody", "its user name and password")],
)  # fmt: skip
async def test_a_tunnel(status: str, user: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's own steps come first; a refusal names the way out, and its password is not shown."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with Simulator(ssl=context()) as simulator, byte_server(tunnel(status)) as server:
        address = server.url.removesuffix("/api/paas/v4").replace("//", f"//{user}:{PASSWORD}@")
        usable, found = await way(simulator.base_url, proxy=address)
    assert said in found["tunnel"][1]
    assert "proxy 127.0.0.1" in found["DNS"][1]
    assert usable == (found["tunnel"][0] == "ok") == ("HTTP" in found)
    assert found_in(str(found)) == []


async def test_a_proxy_in_plain_text() -> None:
    """An http endpoint is asked through the proxy by its whole URL, with the proxy's own authorization."""
    async with byte_server(handler(NO_KEY, status="401 Unauthorized")) as server:
        address = server.url.removesuffix("/api/paas/v4").replace("//", f"//user:{PASSWORD}@")
        usable, found = await way("http://glm.example/v4", proxy=address)
    assert usable
    assert server.requests[0].startswith(b"GET http://glm.example/v4/models HTTP/1.1\r\n")
    assert b"\r\nHost: glm.example\r\n" in server.requests[0]
    assert b"Proxy-Authorization: Basic " in server.requests[0]
    assert found_in(str(found)) == []


async def test_a_proxy_that_is_spoken_to_by_tls() -> None:
    """The way behind it is left to the calls: nothing is sent to it here."""
    arrived = asyncio.Event()

    async def notice(talk: Conversation) -> None:
        arrived.set()
        await talk.request()

    async with byte_server(notice) as server, asyncio.timeout(5):
        address = server.url.removesuffix("/api/paas/v4").replace("http:", "https:")
        usable, found = await way("https://glm.example/v4", proxy=address)
        await arrived.wait()
    assert (usable, found["TLS"][0], server.requests) == (True, "skipped", [])


@pytest.mark.heavy
async def test_the_whole_way_by_tls(tmp_path: Path) -> None:
    """With the authority in SSL_CERT_FILE all checks pass; without it they end there, with 1 and no request."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with Simulator(ssl=context()) as simulator:
        env = {"ZHIPU_API_KEY": simulator.api_key, "ZHIPU_BASE_URL": simulator.base_url}
        refused = await run("doctor", env=env)
        assert simulator.requests == []
        done = await run("doctor", env={**env, "SSL_CERT_FILE": str(tmp_path / "ca.pem")})
    assert (refused.code, refused.errors, done.code, done.errors) == (1, "", 0, "")
    assert "failed   TLS" in refused.output
    assert "skipped  service   no way to the service" in refused.output
    assert "ok       bearer" in done.output


# ---------------------------------------------------------------- answers to the key


async def test_tokens_alone_are_refused(service: Service) -> None:
    """Where only the token is refused, it is a warning: the default form works."""
    simulator = await service(
        Scenario(replies=lambda seen: Refusal("1003") if "eyJ" in seen.headers.get("authorization", "") else None)
    )
    done, found = await doctor()
    assert (done.code, levels(found, "bearer", "jwt")) == (0, ["ok", "skipped"])
    assert simulator.requests


async def test_an_endpoint_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not say that a key was accepted where none is asked for."""
    async with byte_server(handler(MODELS)) as server:
        monkeypatch.setenv("ZHIPU_API_KEY", KEY)
        _, found = await doctor("--base-url", server.url)
    assert found["bearer"] == [("ok", "answered; it asks for no key ")]


async def test_a_gateway_that_quotes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service says is shown without the key in it."""

    async def serve(talk: Conversation) -> None:
        while request := await talk.request():
            error = {"error": {"code": "401", "message": request.decode("latin-1")}}
            await talk.answer(json.dumps(error).encode(), status="401 Unauthorized")

    async with byte_server(serve) as server:
        monkeypatch.setenv("ZHIPU_API_KEY", KEY)
        done = await invoke("doctor", "--base-url", server.url)
    assert done.code == 1
    assert "Bearer ***" in done.output
    assert found_in(done.output, done.errors) == []


async def test_models_without_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no list of models, a model that is asked tells whether the key is good."""

    async def serve(talk: Conversation) -> None:
        while request := await talk.request():
            if request.startswith(b"POST"):
                await talk.answer(COMPLETION)
            else:
                await talk.answer(b"{}", status="404 Not Found")

    async with byte_server(serve) as server:
        monkeypatch.setenv("ZHIPU_API_KEY", KEY)
        done, found = await doctor("--base-url", server.url, "--ask", "own-model", "--all")
    assert (done.code, levels(found, "HTTP", "bearer", "models", "model")) == (
        0,
        ["warning", "skipped", "skipped", "ok"],
    )


@pytest.mark.heavy
async def test_debug_output_holds_no_secret() -> None:
    """With --debug and a proxy that has a password, nothing secret is written anywhere."""
    async with byte_server(handler(NO_KEY, status="401 Unauthorized")) as server:
        address = server.url.removesuffix("/api/paas/v4").replace("//", f"//user:{PASSWORD}@")
        env = {"ZHIPU_API_KEY": KEY, "ZAI_API_KEY": PLAIN_KEY, "HTTP_PROXY": address}
        done = await run("--debug", "doctor", "--base-url", "http://glm.invalid/v4", "--ask", "m", env=env)
    assert (done.code, len(server.requests)) == (1, 3)
    assert "CallFailed" in done.errors
    assert found_in(done.output, done.errors) == []
