"""Settings: defaults, bounds, keys and endpoints, and the environment."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.config import (
    PLATFORMS,
    Limits,
    RetryPolicy,
    Timeouts,
    check_jwt_key,
    check_key,
    environment_proxy,
    key_and_endpoint,
    resolve_base_url,
    root_url,
)
from zhipu_async.errors import ConfigError

SETTINGS: list[type[Any]] = [Timeouts, RetryPolicy, Limits]


def test_defaults() -> None:
    """The defaults are those of the design."""
    assert Timeouts() == Timeouts(
        connect=10.0, pool=None, first_byte=300.0, first_token=None, between=300.0, total=None, stream_total=None
    )
    assert RetryPolicy() == RetryPolicy(
        retries=2, base=0.5, cap=8.0, overload_base=1.0, overload_cap=30.0, patience=None, retry_after_limit=60.0
    )
    assert Limits().keep_alive < 6.0
    assert Limits().body == 64 * 1024 * 1024
    assert (Limits().head_line, Limits().head_count) == (64 * 1024, 256)


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_are_frozen_values(kind: type[Any]) -> None:
    """Settings cannot be changed, compare and pickle as values."""
    settings = kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, dataclasses.fields(kind)[0].name, 1)
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert hash(settings) == hash(kind())


BAD_SECONDS = [-1, -0.001, math.nan, math.inf, -math.inf, True, False, "5", b"5", [5], 5j]
NAMES = [field.name for field in dataclasses.fields(Timeouts)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [*BAD_SECONDS, 0, 0.0], ids=repr)
def test_bad_clocks(name: str, value: Any) -> None:
    """A clock that is no positive finite number is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=name):
        Timeouts(**{name: value})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.001, 1, 1e9, None], ids=repr)
def test_good_clocks(name: str, value: Any) -> None:
    """A positive number sets a clock and None switches it off."""
    assert getattr(Timeouts(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["base", "cap", "overload_base", "overload_cap", "retry_after_limit", "patience"])
@pytest.mark.parametrize("value", BAD_SECONDS, ids=repr)
def test_bad_seconds_of_the_retry_policy(name: str, value: Any) -> None:
    """Seconds of the retry policy that are negative, not finite or no number are a ConfigError that names them."""
    with pytest.raises(ConfigError, match=name):
        RetryPolicy(**{name: value})


def test_zero_and_none_in_the_retry_policy() -> None:
    """Sleeps may be zero but not None; patience may be None but not zero."""
    none: Any = None
    assert RetryPolicy(base=0, cap=0, overload_base=0, overload_cap=0, retry_after_limit=0, patience=None).base == 0
    for name in ("base", "cap", "overload_base", "overload_cap", "retry_after_limit"):
        with pytest.raises(ConfigError, match=name):
            RetryPolicy(**{name: none})
    with pytest.raises(ConfigError, match="patience"):
        RetryPolicy(patience=0)


BAD_COUNTS = [-1, 1.0, 1.5, True, False, "1", math.nan]


@pytest.mark.parametrize("value", [*BAD_COUNTS, None], ids=repr)
def test_bad_retries(value: Any) -> None:
    """The number of repeats is a whole number of at least 0."""
    with pytest.raises(ConfigError, match="max_retries"):
        RetryPolicy(retries=value)
    assert RetryPolicy(retries=0).retries == 0


@pytest.mark.parametrize("name", ["connections", "waiting", "head_line", "head_count", "body", "event"])
@pytest.mark.parametrize("value", BAD_COUNTS, ids=repr)
def test_bad_limits(name: str, value: Any) -> None:
    """A limit that is no whole number in its bounds is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize("value", [*BAD_SECONDS, None], ids=repr)
def test_bad_keep_alive(value: Any) -> None:
    """Keep-alive is a number of seconds of at least 0."""
    with pytest.raises(ConfigError, match="keep_alive"):
        Limits(keep_alive=value)
    assert Limits(keep_alive=0).keep_alive == 0


def test_limits_that_are_off() -> None:
    """Limits of connections, waiting calls and bodies can be switched off; no connection at all is refused."""
    assert Limits(connections=None, waiting=None, body=None).body is None
    assert Limits(waiting=0).waiting == 0
    with pytest.raises(ConfigError, match="connections"):
        Limits(connections=0)


# ---------------------------------------------------------------- what a plain number means

DEFAULT = Timeouts(connect=1, pool=2, first_byte=3, first_token=4, between=5, total=6, stream_total=7)


@pytest.mark.parametrize("stream", [False, True])
def test_timeouts_of(stream: bool) -> None:
    """None is the default, clocks are themselves, a number is the longest wait with nothing in hand."""
    assert Timeouts.of(None, stream=stream, default=DEFAULT) is DEFAULT
    clocks = Timeouts(total=9)
    assert Timeouts.of(clocks, stream=stream, default=DEFAULT) is clocks
    assert Timeouts.of(9, stream=stream, default=DEFAULT) == Timeouts(
        connect=1, pool=None, first_byte=None, first_token=None, between=9 if stream else None, total=9
    )


@pytest.mark.parametrize("value", [*BAD_SECONDS, 0], ids=repr)
def test_bad_timeouts(value: Any) -> None:
    """A plain number that is no positive finite number of seconds is a ConfigError."""
    with pytest.raises(ConfigError, match="timeout"):
        Timeouts.of(value, stream=False, default=DEFAULT)


def test_a_number_beyond_floats() -> None:
    """An int that no float can hold is a ConfigError."""
    with pytest.raises(ConfigError):
        Timeouts(total=10**400)


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("key", ["id.secret", "sk-abc", "x", "a.b.c", "~!@#$%^&*()"])
@pytest.mark.parametrize("around", ["", " ", "\n", "\t \r\n"])
def test_keys(key: str, around: str) -> None:
    """A key is opaque; white space around it is stripped."""
    assert check_key(around + key + around) == key


@pytest.mark.parametrize(
    "key",
    ["", " ", "\n", "a b", "a\tb", "a\nb", "a\x00", "\x00", "a\x7f", "a\x1b[0m", "ключ", "a\u200b", "a\xa0b", "\ud83d"],
)
def test_bad_keys(key: str) -> None:
    """An empty key and one with inner white space, control or non-ASCII characters are ConfigErrors that hide it."""
    with pytest.raises(ConfigError) as caught:
        check_key(key)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize("key", [None, 5, b"key", ["key"]])
def test_keys_of_another_type(key: Any) -> None:
    """What is no text is a ConfigError that names the type."""
    with pytest.raises(ConfigError, match=type(key).__name__):
        check_key(key)


@pytest.mark.parametrize("key", ["nodot", ".s", "i.", "a.b.c", ".", "..", "a..b"])
def test_keys_for_jwt(key: str) -> None:
    """JWT needs exactly one dot between two parts; the error says so and does not show the key."""
    with pytest.raises(ConfigError, match=r"<id>\.<secret>") as caught:
        check_jwt_key(key)
    assert key.strip(".") == "" or key not in str(caught.value)
    assert check_jwt_key("id.secret") == "id.secret"


# ---------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("bigmodel", "https://open.bigmodel.cn/api/paas/v4"),
        ("zai", "https://api.z.ai/api/paas/v4"),
        ("bigmodel-coding", "https://open.bigmodel.cn/api/coding/paas/v4"),
        ("zai-coding", "https://api.z.ai/api/coding/paas/v4"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/v1///", "http://127.0.0.1:8080/v1"),
        (" https://gateway/x/ \n", "https://gateway/x"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_endpoints(name: str, url: str) -> None:
    """Endpoints have names, and any http(s) URL is one; a trailing slash makes no difference."""
    assert resolve_base_url(name) == url


@pytest.mark.parametrize(
    "value",
    ["", " ", "bigmodle", "open.bigmodel.cn", "//host/x", "ftp://host", "file:///etc/passwd", "http://", "http://:80",
     "http://host:99999", "http://host:port", "http://ho st", "http://host/a b", "http://host/\x00", "http://user@host",
     "http://user:pass@host", "http://host?x=1", "http://host#x", "javascript:alert(1)"],
)  # fmt: skip
def test_bad_endpoints(value: str) -> None:
    """A name that is none, and a URL that is not plain http(s), are ConfigErrors."""
    with pytest.raises(ConfigError):
        resolve_base_url(value)


def test_unknown_names_are_told_the_known_ones() -> None:
    """The error of an unknown name lists the names, and a password in a URL is not shown."""
    with pytest.raises(ConfigError, match="bigmodel, zai, bigmodel-coding, zai-coding"):
        resolve_base_url("bigmodle")
    with pytest.raises(ConfigError) as caught:
        resolve_base_url("http://user:secret@host")
    assert "secret" not in str(caught.value)


def test_a_bracket_too_few() -> None:
    """A URL whose IPv6 address is not closed is a ConfigError."""
    with pytest.raises(ConfigError):
        resolve_base_url("http://[::1")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("http://127.0.0.1:99999/v4", "'http://127.0.0.1:99999/v4' is no URL of a service: Port out of range"),
        ("http://[::1/v4", "Invalid IPv6 URL"),
        ("ftp://host", "it must begin with https:// or http://"),
        ("http://", "host or port cannot be read"),
        ("http://host/a b", "whitespace"),
        ("host/v4", "unknown endpoint 'host/v4': use a URL or one of"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(value: str, said: str) -> None:
    """What has a scheme is a URL, of which the error says what is wrong; all else is a name that is unknown."""
    with pytest.raises(ConfigError) as caught:
        resolve_base_url(value)
    assert said in str(caught.value)


FORMED = "0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOP"


@pytest.mark.parametrize("form", ["{}", "ftp://x/{}", "http://[{}", "http://[{}]", "http://host:{}", " {} "])
@pytest.mark.parametrize(
    ("key", "where"),
    [
        (FORMED, "argument"),
        (FORMED, "environment"),
        (FORMED, "nowhere"),
        ("plan-key-without-a-dot", "argument"),
        ("plan-key-without-a-dot", "environment"),
    ],
)
def test_a_key_in_the_place_of_an_endpoint_is_not_shown(
    key: str, form: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what has the form of a key is in the error, nor the key in force."""
    if where == "environment":
        monkeypatch.setenv("ZHIPU_API_KEY", key)
    with pytest.raises(ConfigError) as caught:
        key_and_endpoint(key if where == "argument" else None, form.format(key))
    assert key not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize("value", [5, None, b"http://host"])
def test_endpoints_of_another_type(value: Any) -> None:
    """What is no text is a ConfigError that names the type."""
    with pytest.raises(ConfigError, match=type(value).__name__):
        resolve_base_url(value)


@pytest.mark.parametrize(
    ("base", "root"),
    [
        (PLATFORMS["bigmodel"], "https://open.bigmodel.cn/api"),
        (PLATFORMS["zai-coding"], "https://api.z.ai/api"),
        ("http://127.0.0.1:8080/api/paas/v4", "http://127.0.0.1:8080/api"),
        ("http://gateway/glm/api/paas/v4", "http://gateway/glm/api"),
        ("http://vllm:8000/v1", "http://vllm:8000/v1"),
    ],
)
def test_root(base: str, root: str) -> None:
    """Agents and knowledge are below /api of the same host; a server without it is its own root."""
    assert root_url(base) == root


# ---------------------------------------------------------------- the environment

CN, INTL = PLATFORMS["bigmodel"], PLATFORMS["zai"]
ENVIRONMENTS: list[tuple[dict[str, str], str | None, str | None, str, str]] = [
    # environment, api_key=, base_url= -> key, url
    ({"ZHIPU_API_KEY": "z"}, None, None, "z", CN),
    ({"ZHIPUAI_API_KEY": "o"}, None, None, "o", CN),
    ({"ZAI_API_KEY": "i"}, None, None, "i", INTL),
    ({"ZHIPU_API_KEY": "z", "ZHIPUAI_API_KEY": "o", "ZAI_API_KEY": "i"}, None, None, "z", CN),
    ({"ZHIPUAI_API_KEY": "o", "ZAI_API_KEY": "i"}, None, None, "o", CN),
    ({"ZHIPU_API_KEY": "  ", "ZAI_API_KEY": " i\n"}, None, None, "i", INTL),
    # a platform that was named takes a key of its own kind
    ({"ZHIPU_API_KEY": "z", "ZAI_API_KEY": "i"}, None, "zai", "i", INTL),
    ({"ZHIPU_API_KEY": "z", "ZAI_API_KEY": "i"}, None, "zai-coding", "i", PLATFORMS["zai-coding"]),
    ({"ZAI_API_KEY": "i", "ZHIPUAI_API_KEY": "o"}, None, "bigmodel-coding", "o", PLATFORMS["bigmodel-coding"]),
    ({"ZAI_API_KEY": "i"}, None, "http://gateway/v4", "i", "http://gateway/v4"),
    # the key that was passed goes before the environment's, and to bigmodel
    ({"ZAI_API_KEY": "i"}, "mine", None, "mine", CN),
    ({"ZAI_API_KEY": "i"}, "mine", "zai", "mine", INTL),
    ({}, " mine ", None, "mine", CN),
    # base URLs of the environment
    ({"ZHIPU_API_KEY": "z", "ZHIPU_BASE_URL": "http://cn/v4/"}, None, None, "z", "http://cn/v4"),
    ({"ZAI_API_KEY": "i", "ZAI_BASE_URL": "http://intl/v4"}, None, None, "i", "http://intl/v4"),
    ({"ZAI_API_KEY": "i", "ZHIPU_BASE_URL": "http://cn/v4"}, None, None, "i", INTL),
    ({"ZHIPU_API_KEY": "z", "ZAI_BASE_URL": "http://intl/v4"}, None, None, "z", CN),
    ({"ZHIPU_BASE_URL": "bigmodel-coding"}, "mine", None, "mine", PLATFORMS["bigmodel-coding"]),
    ({"ZHIPU_API_KEY": "z", "ZHIPU_BASE_URL": " "}, None, None, "z", CN),
    ({"ZHIPU_API_KEY": "z", "ZHIPU_BASE_URL": "http://cn/v4"}, None, "http://mine", "z", "http://mine"),
    ({"ZAI_API_KEY": "i", "ZAI_BASE_URL": "http://intl/v4"}, None, "zai", "i", INTL),
]


@pytest.mark.parametrize(("environment", "api_key", "base_url", "key", "url"), ENVIRONMENTS)
def test_key_and_endpoint(
    environment: dict[str, str], api_key: str | None, base_url: str | None, key: str, url: str
) -> None:
    """What was passed counts first, then the environment; a key brings its platform and a platform takes its key."""
    assert key_and_endpoint(api_key, base_url, environment) == (key, url)


@pytest.mark.parametrize(
    ("environment", "base_url"),
    [({}, None), ({"ZHIPU_API_KEY": ""}, None), ({"ZAI_API_KEY": "i"}, "bigmodel"), ({"ZHIPU_API_KEY": "z"}, "zai")],
)
def test_no_key(environment: dict[str, str], base_url: str | None) -> None:
    """Without a key for the platform the error names the variables to set."""
    with pytest.raises(ConfigError, match=r"ZHIPU_API_KEY.*ZAI_API_KEY"):
        key_and_endpoint(None, base_url, environment)


def test_an_empty_key_that_was_passed() -> None:
    """A key that was passed empty is refused even when the environment has one."""
    with pytest.raises(ConfigError):
        key_and_endpoint("", None, {"ZHIPU_API_KEY": "z"})


def test_bad_values_of_the_environment() -> None:
    """A malformed key or base URL of the environment is a ConfigError like one that was passed."""
    for environment in ({"ZHIPU_API_KEY": "a b"}, {"ZHIPU_API_KEY": "z", "ZHIPU_BASE_URL": "nowhere"}):
        with pytest.raises(ConfigError):
            key_and_endpoint(None, None, environment)


def test_a_callable_key() -> None:
    """A callable is taken as it is, and asked later."""

    async def rotating() -> str:
        return "key"

    assert key_and_endpoint(rotating, "zai", {}) == (rotating, INTL)


def test_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another is given, the environment is the process's."""
    monkeypatch.setenv("ZAI_API_KEY", "i")
    assert key_and_endpoint(None, None) == ("i", INTL)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "https://host/x", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://host/x", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://host/x", None),
        ({"http_proxy": "http://p:1"}, "http://host/x", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://host/x", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "https://host/x", None),
        ({"HTTPS_PROXY": "p:1"}, "https://host/x", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "host"}, "https://host/x", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com, host:8443"}, "https://host:8443/x", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, "https://api.example.com/x", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://host/x", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other"}, "https://host/x", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "::1"}, "http://[::1]:8000/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "[::1]"}, "http://[::1]:8000/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a, [::1]"}, "http://[::1]/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "[::1]:8000"}, "http://[::1]:8000/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "::2"}, "http://[::1]:8000/x", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a, 10.0.0.0/8"}, "http://10.1.2.3:8000/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3/x", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "fd00::/8, 10.0.0.0/8"}, "http://[fd00::7]/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://ten.example/x", "http://p:1"),
    ],
)
def test_proxies(variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy variables count for their schemes, and NO_PROXY exempts hosts, domains, addresses and networks."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy(url) == proxy


@pytest.mark.parametrize("check", [check_key, resolve_base_url])
@given(text=st.text())
def test_any_text(check: Callable[[Any], Any], text: str) -> None:
    """Any text is accepted or a ConfigError; nothing else is raised."""
    try:
        accepted = check(text)
    except ConfigError:
        return
    assert accepted.isprintable()
    assert accepted.strip() == accepted
