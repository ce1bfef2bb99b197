"""Settings of the client: where key and endpoint come from, what is refused, what with_options changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Serve
from zhipu_async import APIError, AsyncZhipuAI, ConfigError, Limits, Timeouts
from zhipu_async.config import environment_proxy, key_and_endpoint
from zhipu_async.simulator import Scenario

Ask = Callable[..., dict[str, Any]]

NAN = math.nan


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("zai", "z"),
        ("https://api.z.ai/api/coding/paas/v4", "z"),
        ("https://api.z.ai:443/api/paas/v4", "z"),
        ("https://API.Z.AI/api/paas/v4", "z"),
        ("https://api.z.ai./api/paas/v4", "z"),
        ("https://open.bigmodel.cn/api/paas/v4/", "b"),
        ("http://gateway:8000", "b"),
        (None, "b"),
    ],
)
def test_a_platform_takes_the_key_of_its_kind(base_url: str | None, key: str) -> None:
    """With both keys in the environment, the name or the host of the endpoint decides."""
    assert key_and_endpoint(None, base_url, {"ZHIPU_API_KEY": "b", "ZAI_API_KEY": "z"})[0] == key


@pytest.mark.parametrize(
    ("environment", "arguments", "url"),
    [
        ({"ZHIPU_API_KEY": "k"}, {}, "https://open.bigmodel.cn/api/paas/v4"),
        ({"ZHIPUAI_API_KEY": "k"}, {}, "https://open.bigmodel.cn/api/paas/v4"),
        ({"ZAI_API_KEY": "k"}, {}, "https://api.z.ai/api/paas/v4"),
        ({"ZAI_API_KEY": "k", "ZHIPU_API_KEY": "k"}, {}, "https://open.bigmodel.cn/api/paas/v4"),
        ({"ZAI_API_KEY": "k", "ZHIPU_API_KEY": "k"}, {"base_url": "zai-coding"}, "https://api.z.ai/api/coding/paas/v4"),
        ({"ZAI_API_KEY": "k"}, {"base_url": "zai"}, "https://api.z.ai/api/paas/v4"),
        ({"ZHIPU_API_KEY": "k", "ZHIPU_BASE_URL": "http://localhost:1/v4/"}, {}, "http://localhost:1/v4"),
        ({"ZAI_API_KEY": "k", "ZAI_BASE_URL": "zai-coding"}, {}, "https://api.z.ai/api/coding/paas/v4"),
        ({"ZHIPU_BASE_URL": "http://localhost:1"}, {"api_key": "k"}, "http://localhost:1"),
        ({}, {"api_key": " k \n"}, "https://open.bigmodel.cn/api/paas/v4"),
        ({"ZHIPU_API_KEY": "k"}, {"base_url": "http://10.0.0.1:8000/v1"}, "http://10.0.0.1:8000/v1"),
    ],
)
def test_key_and_endpoint_come_from_arguments_then_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], arguments: dict[str, Any], url: str
) -> None:
    """A key brings its platform, a URL variable overrides it, an argument overrides both."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert AsyncZhipuAI(**arguments).base_url == url


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": ""},
        {"api_key": "  "},
        {"api_key": None},
        {"api_key": "a\nb"},
        {"api_key": "a b"},
        {"api_key": "a\x00b"},
        {"api_key": "ключ"},
        {"api_key": 7},
        {"api_key": b"k"},
        {"auth": "jwt", "api_key": "nodot"},
        {"auth": "jwt", "api_key": "two.dots.here"},
        {"auth": "jwt", "api_key": ".secret"},
        {"auth": "basic"},
        {"base_url": "nowhere"},
        {"base_url": "ftp://host"},
        {"base_url": "http://"},
        {"base_url": "http://user:password@host"},
        {"base_url": "http://host:99999"},
        {"base_url": "http://["},
        {"base_url": "http://host/путь"},
        {"base_url": "http://user:good.key@host:99999"},
        {"base_url": "http://host/path?query=1"},
        {"base_url": 5},
        {"timeout": -1},
        {"timeout": 0},
        {"timeout": NAN},
        {"timeout": "10"},
        {"timeout": True},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": True},
        {"default_headers": {"X": "a\r\nInjected: b"}},
        {"default_headers": {"X Y": "a"}},
        {"default_headers": {"Host": "other"}},
        {"default_headers": {"X": 5}},
        {"proxy": "nonsense"},
        {"proxy": "socks5://host:1"},
        {"proxy": "http://user:good.key@host:99999"},
        {"proxy": "http://user:good.key@["},
        {"ssl": False},
    ],
    ids=repr,
)
def test_bad_settings_are_config_errors(arguments: dict[str, Any]) -> None:
    """Each is refused when the client is made, and no message holds the key."""
    with pytest.raises(ConfigError) as caught:
        AsyncZhipuAI(**{"api_key": "good.key", **arguments})
    assert "good.key" not in str(caught.value)
    key = arguments.get("api_key")
    if isinstance(key, str) and len(key.strip()) > 3:
        assert key not in str(caught.value)


@pytest.mark.parametrize("clock", ["connect", "pool", "first_byte", "first_token", "between", "total", "stream_total"])
@pytest.mark.parametrize("value", [-1, 0, NAN, math.inf, "1", True])
def test_clocks_are_checked(clock: str, value: Any) -> None:
    """Each clock takes positive finite seconds or None."""
    with pytest.raises(ConfigError, match=clock):
        Timeouts(**{clock: value})
    assert getattr(Timeouts(**{clock: None}), clock) is None


@pytest.mark.parametrize(
    "limits", [{"connections": 0}, {"waiting": -1}, {"body": 0}, {"keep_alive": -1}, {"event": "x"}]
)
def test_limits_are_checked(limits: dict[str, Any]) -> None:
    """An impossible limit is refused."""
    with pytest.raises(ConfigError):
        Limits(**limits)


def test_unknown_settings_are_type_errors() -> None:
    """A misspelt keyword is Python's own error."""
    with pytest.raises(TypeError):
        AsyncZhipuAI("k", base_ulr="zai")  # type: ignore[call-arg]


async def test_with_options_shares_connections_and_statistics(serve: Serve, ask: Ask) -> None:
    """A derived client differs in its settings only; closing it closes nothing."""
    client, sim = await serve()
    await client.chat.completions.create(**ask())
    async with client.with_options(default_headers={"X-Tenant": "7"}, max_retries=0, timeout=3) as other:
        await other.chat.completions.create(**ask())
    await client.chat.completions.create(**ask())
    assert [request.headers.get("X-Tenant") for request in sim.requests] == [None, "7", None]
    assert sim.connections.opened == 1
    assert client.statistics()["glm-4.6"].calls == 3
    assert other.pool is client.pool


async def test_with_options_can_change_key_and_endpoint(serve: Serve, ask: Ask) -> None:
    """Another key, another way of authentication and another endpoint over the same pool."""
    client, sim = await serve(Scenario(api_keys=None))
    for options in ({"auth": "jwt"}, {"api_key": "other-key"}, {"base_url": f"{sim.origin}/api/coding/paas/v4"}):
        await client.with_options(**options).chat.completions.create(**ask())
    jwt, other, coding = sim.requests
    assert jwt.headers["Authorization"].startswith("Bearer eyJ")
    assert other.headers["Authorization"] == "Bearer other-key"
    assert coding.path == "/api/coding/paas/v4/chat/completions"


BOTH_KEYS = {"ZHIPU_API_KEY": "key-of-bigmodel", "ZAI_API_KEY": "key-of-zai"}


@pytest.mark.parametrize(
    ("environment", "first", "options", "key"),
    [
        (BOTH_KEYS, {}, {"base_url": "zai"}, "key-of-zai"),
        (BOTH_KEYS, {}, {"base_url": "https://API.Z.AI:443/api/paas/v4", "auth": "bearer"}, "key-of-zai"),
        (BOTH_KEYS, {"base_url": "zai"}, {"base_url": "bigmodel-coding"}, "key-of-bigmodel"),
        (BOTH_KEYS, {}, {"base_url": "bigmodel-coding"}, "key-of-bigmodel"),
        (BOTH_KEYS, {}, {"base_url": "http://gateway:8000"}, "key-of-bigmodel"),
        (BOTH_KEYS, {}, {"base_url": "zai", "api_key": "mine"}, "mine"),
        (BOTH_KEYS, {"api_key": "mine"}, {"base_url": "zai"}, "mine"),
        ({"ZHIPU_API_KEY": "same", "ZAI_API_KEY": "same"}, {}, {"base_url": "zai"}, "same"),
    ],
)
def test_a_client_that_moves_to_another_platform_takes_its_key(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], first: Any, options: Any, key: str
) -> None:
    """A key of the environment stays on its platform; one that was passed is the user's to place."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = AsyncZhipuAI(**first).with_options(**options)
    assert client._sender.settings.credentials.source == key


def test_a_client_cannot_move_to_a_platform_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable to set, and the key of the other platform goes nowhere."""
    monkeypatch.setenv("ZHIPU_API_KEY", "key-of-bigmodel")
    with pytest.raises(ConfigError, match="ZAI_API_KEY"):
        AsyncZhipuAI().with_options(base_url="zai")


@pytest.mark.parametrize("host", ["open.bigmodel.cn.", "OPEN.bigmodel.cn", "api.z.ai.:80", "api.z.ai"])
def test_the_service_is_not_asked_by_http(host: str) -> None:
    """In whatever way its host is written."""
    with pytest.raises(ConfigError, match="https"):
        AsyncZhipuAI("k", base_url=f"http://{host}/api/paas/v4")


@pytest.mark.parametrize("given", [[("a", "b")], "a: b", 5])
async def test_headers_are_a_mapping(given: Any) -> None:
    """Of a client, of its options, and of one request; of its query, too."""
    async with AsyncZhipuAI("k", base_url="http://127.0.0.1:9") as client:
        for make in (
            lambda: AsyncZhipuAI("k", default_headers=given),
            lambda: client.with_options(default_headers=given),
        ):
            with pytest.raises(ConfigError, match="default_headers must be a mapping"):
                make()
        for name in ("headers", "query"):
            with pytest.raises(ConfigError, match=f"{name} must be a mapping"):
                await client.request("GET", "/x", **{name: given})


@pytest.mark.parametrize("model", [5, {"id": "x"}, ["x"], None])
async def test_a_request_may_have_a_model_of_any_kind(serve: Serve, model: Any) -> None:
    """What the body of ``client.request`` calls its model is the service's to judge."""
    client, sim = await serve(Scenario(api_keys=None))
    with pytest.raises(APIError):
        await client.request("POST", "/nowhere", json={"model": model})
    assert len(sim.requests) == 1
    assert set(client.statistics()) == {None}


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"HTTP_PROXY": "http://p:1"}, "http://a/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://a/", None),
        ({"HTTPS_PROXY": "p:1"}, "https://a/", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://a/", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "https://a/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example,.z.ai"}, "https://api.z.ai/x", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example,.z.ai"}, "https://open.bigmodel.cn/x", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://api.z.ai/x", None),
        ({}, "https://a/", None),
    ],
)
def test_the_environment_names_a_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    """By the URL's scheme, then for all; NO_PROXY exempts hosts; a SOCKS proxy for all does not count."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy(url) == proxy
