"""Frozen settings, with every default in one place; the only reader of the environment."""

from __future__ import annotations

import math
import os
import re
import urllib.request
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

from .errors import ConfigError

T = TypeVar("T")

Auth = Literal["bearer", "jwt"]
KeySource = str | Callable[[], Awaitable[str]]
"""An API key, or an async callable that gives the current one: before every attempt, within ``Timeouts.connect``."""

PLATFORMS: Mapping[str, str] = MappingProxyType(
    {
        "bigmodel": "https://open.bigmodel.cn/api/paas/v4",
        "zai": "https://api.z.ai/api/paas/v4",
        "bigmodel-coding": "https://open.bigmodel.cn/api/coding/paas/v4",
        "zai-coding": "https://api.z.ai/api/coding/paas/v4",
    }
)
"""The service's endpoints by name (README.md section 1)."""

KEY_VARIABLES: Mapping[str, str] = MappingProxyType(
    {"ZHIPU_API_KEY": "bigmodel", "ZHIPUAI_API_KEY": "bigmodel", "ZAI_API_KEY": "zai"}
)
"""Environment variables that hold a key, in the order in which they are looked at, and the platform each belongs to."""

URL_VARIABLES: Mapping[str, str] = MappingProxyType({"bigmodel": "ZHIPU_BASE_URL", "zai": "ZAI_BASE_URL"})

HOST = re.compile(r"[\w.-]+(:\d+)?|\[[\d:.a-f]+(%[\w.-]+)?\](:\d+)?", re.ASCII | re.IGNORECASE)
"""Host and port that all parsers of URLs read in the same way."""
_LOCAL_ZONES = (
    "localhost", "local", "localdomain", "internal", "intranet", "private", "lan", "home", "corp", "svc", "arpa",
    "test", "example", "invalid",
)  # fmt: skip
"""Last labels of names that the public network does not have."""


class PlainTextWarning(UserWarning):
    """The key travels to a public host over http, so that everybody on the way can read it."""


class Secret(str):
    """Text that its repr does not show: in dicts of headers, in dataclasses, and in the locals of a traceback.

    It is text in every other respect: ``str()``, f-strings and ``print`` give it as it is.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def hidden(value: T) -> T:
    """A text as :class:`Secret`, the values of a mapping each as one; anything else as it is."""
    if isinstance(value, str):
        return cast(T, Secret(value))
    if isinstance(value, Mapping):
        return cast(T, {name: hidden(inner) for name, inner in cast("Mapping[Any, Any]", value).items()})
    return value


def hidden_mapping(name: str, value: Any) -> Any:
    """A mapping whose values a repr does not show, or None; ConfigError for what is neither."""
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a mapping, such as a dict, not {type(value).__name__}")
    return hidden(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The clocks of a call, in seconds; None switches one off. The error of a clock that fires names it.

    Where a plain number is given instead, it is the longest time the caller waits with nothing in hand: ``total`` for a
    whole answer; for a stream the time to the first token, attempts included, and then ``between``.
    """

    connect: float | None = 10.0
    """Name look-up, TCP and TLS of one new connection; also how long an async source of the key may take."""
    pool: float | None = None
    """Waiting for a connection of the pool."""
    first_byte: float | None = 300.0
    """From the request to the head of its answer. Answers with thinking take minutes (README.md section 6)."""
    first_token: float | None = None
    """From the request to a stream's first non-empty delta; comments and empty chunks do not count."""
    between: float | None = 300.0
    """Between two reads of a body or stream; any byte counts. Never fires because the caller is slow."""
    total: float | None = None
    """One deadline over queue, attempts and sleeps. For a stream it ends at the first token."""
    stream_total: float | None = None
    """A deadline for the whole of a stream, from the call to its end."""

    def __post_init__(self) -> None:
        for clock in fields(self):
            check_seconds(f"Timeouts.{clock.name}", getattr(self, clock.name))

    @classmethod
    def of(cls, value: float | Timeouts | None, *, stream: bool, default: Timeouts) -> Timeouts:
        """What the user gave (``value``) as clocks for a whole answer or a stream; None is ``default``."""
        if value is None:
            return default
        if isinstance(value, Timeouts):
            return value
        seconds = check_seconds("timeout", value)
        return cls(
            connect=default.connect, pool=None, first_byte=None, total=seconds, between=seconds if stream else None
        )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to retry (errors.md section 5). Seconds; sleeps are drawn with full jitter."""

    retries: int = 2
    """Repeats after the first attempt: ``retries=2`` makes at most three requests."""
    base: float = 0.5
    """Upper bound of the first sleep; it doubles with each attempt."""
    cap: float = 8.0
    """Upper bound of any sleep after a rate limit or a failure."""
    overload_base: float = 1.0
    """The same as ``base`` for an overloaded model (1305, 1312, 503), which clears more slowly than a rate limit."""
    overload_cap: float = 30.0
    """The same as ``cap`` for an overloaded model."""
    patience: float | None = None
    """No sleep begins that would end later than this many seconds after the call began."""
    retry_after_limit: float = 60.0
    """A Retry-After above this raises at once, with ``.retry_after`` on the error; a run asks again after this long."""

    def __post_init__(self) -> None:
        check_count("max_retries", self.retries, least=0)
        for name in ("base", "cap", "overload_base", "overload_cap", "retry_after_limit"):
            check_seconds(f"RetryPolicy.{name}", getattr(self, name), zero=True, none=False)
        check_seconds("RetryPolicy.patience", self.patience)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of connections and of what is accepted from the network. Sizes are bytes; None switches a limit off."""

    connections: int | None = 1000
    """Connections in use at the same time, per event loop; further calls wait."""
    waiting: int | None = None
    """Calls that may wait for a connection, and for leave to start (of each model); one more raises PoolFull."""
    concurrency: int | None = None
    """Calls of one model and account in flight at most, per event loop."""
    adaptive: bool = True
    """Whether calls of a model that was refused for load wait for their turn, as many at a time as the service admits;
    a model that has never refused is not limited. False: calls are only repeated, and ``concurrency`` is the limit."""
    reserve: float = 0.0
    """Share of a model's places, and at least one, that a fan-out leaves to direct calls; costs it that share."""
    linger: bool = False
    """Rest a place after an answer (3 % of the latency, at most 60 ms), where the service frees its own late."""
    keep_alive: float = 5.0
    """Seconds an idle connection is kept: below the service's 6 s (README.md section 3)."""
    head_line: int = 64 * 1024
    """One header line."""
    head_count: int = 256
    """Header lines."""
    body: int | None = 64 * 1024 * 1024
    """A whole answer, after decompression."""
    event: int = 16 * 1024 * 1024
    """One event of a stream."""
    stream: int | None = 128 * 1024 * 1024
    """All of a stream, after decompression: what its events are folded into grows with it."""
    polls: float = 20.0
    """Requests per second that ask after unfinished tasks, all tasks together; those that find one finished do not
    count, and are at most ten times as many."""

    def __post_init__(self) -> None:
        for name in ("connections", "waiting", "concurrency", "head_line", "head_count", "body", "event", "stream"):
            value = getattr(self, name)
            if value is not None:
                check_count(f"Limits.{name}", value, least=0 if name == "waiting" else 1)
        check_seconds("Limits.keep_alive", self.keep_alive, zero=True, none=False)
        if not 0 <= self.reserve < 1:
            raise ConfigError(f"Limits.reserve must be a share from 0 to below 1, not {self.reserve!r}")
        if not 0 < self.polls < math.inf:
            raise ConfigError(f"Limits.polls must be a positive number of requests per second, not {self.polls!r}")


_KEY = re.compile(r"(?<![\w.-])[0-9A-Za-z]{16,}\.[0-9A-Za-z]{8,}(?![\w.-])")
"""The usual form of a key, ``<id>.<secret>`` (README.md section 2)."""
LONG_KEY = 8
"""Characters from which on what looks like the key in force is one."""


def without_keys(text: str, key: object = None) -> str:
    """``text`` with *** for what has the form of a key, and for ``key`` and those of the environment."""
    variables = variables_of()
    for found in (key, *(variables[name] for name in KEY_VARIABLES)):
        if isinstance(found, str) and len(found.strip()) >= LONG_KEY:
            text = text.replace(found.strip(), "***")
    return _KEY.sub("***", text)


def check_seconds(name: str, value: Any, *, zero: bool = False, none: bool = True) -> float | None:
    """``value`` if it is a positive finite number of seconds (or None, or 0 where allowed); else ConfigError."""
    if value is None and none:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name} must be a number of seconds, not {type(value).__name__}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        off = "; None switches a clock off" if none else ""
        raise ConfigError(f"{name} must be a positive number of seconds, not {seconds!r}{off}")
    return seconds


def check_count(name: str, value: Any, *, least: int) -> int:
    """``value`` if it is an int of at least ``least``; else ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return value


def check_key(key: Any) -> str:
    """The key without surrounding whitespace; ConfigError for what cannot be one. The key is not in the message."""
    if not isinstance(key, str):
        raise ConfigError(f"api_key must be a str or an async callable that returns one, not {type(key).__name__}")
    text = Secret(key.strip())
    if not text:
        raise ConfigError(
            "no API key: pass api_key=..., or set ZHIPU_API_KEY (open.bigmodel.cn) or ZAI_API_KEY (api.z.ai)"
        )
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError("the API key holds whitespace, control or non-ASCII characters; was it copied whole?")
    return text


def check_jwt_key(key: str) -> str:
    """``key`` if it has the ``<id>.<secret>`` shape that a JWT is made from (README.md section 2); else ConfigError."""
    if key.count(".") != 1 or key.startswith(".") or key.endswith("."):
        raise ConfigError('auth="jwt" needs a key of the form <id>.<secret> with exactly one dot; use auth="bearer"')
    return key


def resolve_base_url(value: str, key: object = None) -> str:
    """An endpoint's name or URL as a URL without trailing slash. No error shows a key, such as ``key``."""
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"base_url must be a str, not {type(value).__name__}")
    url = PLATFORMS.get(value, value).strip().rstrip("/")
    parts, reason = urlsplit(""), "host or port cannot be read"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(HOST.fullmatch(parts.netloc)) and parts.port != 0
        if parts.scheme not in ("http", "https"):
            reason = "it must begin with https:// or http://"
    except ValueError as error:
        valid, reason = False, str(error)
    if "@" in (url if not valid else parts.netloc):  # which is not shown
        raise ConfigError("base_url must be a URL, and must not hold a user name or password")
    if valid and (not url.isascii() or not url.isprintable() or " " in url):
        valid, reason = False, "it holds whitespace, control or non-ASCII characters"
    if not valid:
        told, reason = repr(without_keys(value, key)), without_keys(reason, key)
        if "://" in value:
            raise ConfigError(f"base_url {told} is no URL of a service: {reason}")
        raise ConfigError(f"unknown endpoint {told}: use a URL or one of {', '.join(PLATFORMS)}")
    if "?" in url or "#" in url:
        raise ConfigError("base_url must not hold a query or fragment; use extra_query for parameters of a call")
    if parts.scheme == "http" and platform_of(url):
        raise ConfigError(f"{parts.hostname} is reached by https: by http everybody on the way could read the key")
    return url


def warn_of_plain_text(url: str, stacklevel: int) -> None:
    """PlainTextWarning for an http URL, unless its host is this machine or of a private network."""
    parts = urlsplit(url)
    host = _host(url)
    try:
        public = ip_address(host.partition("%")[0]).is_global
    except ValueError:
        public = "." in host and host.rpartition(".")[2] not in _LOCAL_ZONES
    if parts.scheme == "http" and public:
        text = f"the key travels to {parts.netloc} over http, where everybody on the way can read it: use https"
        warnings.warn(text, PlainTextWarning, stacklevel=stacklevel + 1)


def _host(url: str) -> str:
    """The host of a URL as names are compared: in lower case, without the dot of the root."""
    return (urlsplit(url).hostname or "").rstrip(".")


def platform_of(url: str) -> str | None:
    """The platform of a URL, in whatever way its host is written; None for a host that is not the service's."""
    return next((name for name in URL_VARIABLES if _host(PLATFORMS[name]) == _host(url)), None)


def root_url(base_url: str) -> str:
    """The ``/api`` root beside ``base_url``, for agents and knowledge (README.md section 1)."""
    parts = urlsplit(base_url)
    head, found, _ = parts.path.partition("/api/")
    return urlunsplit((parts.scheme, parts.netloc, f"{head}/api" if found else parts.path, "", ""))


def key_and_endpoint(
    api_key: KeySource | None, base_url: str | None, environment: Mapping[str, str] | None = None
) -> tuple[KeySource, str]:
    """The key and base URL in force: what was passed, else what the environment says, else bigmodel.

    A key from the environment brings its platform with it. A platform that was named takes a key of its own kind, since
    keys are bound to a platform (README.md section 1); one that was given as a URL takes such a key first.
    """
    variables = variables_of(environment)
    chosen = chosen_settings(base_url, variables, api_key)
    if api_key is None and chosen.key_variable:
        api_key = variables[chosen.key_variable]
    url = resolve_base_url(chosen.endpoint, api_key)
    key = api_key if callable(api_key) else check_key("" if api_key is None else api_key)
    return key, url


class Chosen(NamedTuple):
    """What counts of the environment: the names of variables, None where the setting is not taken from one."""

    key_variable: str | None
    url_variable: str | None
    endpoint: str
    """A name or URL, not yet checked."""


def chosen_settings(
    base_url: str | None, environment: Mapping[str, str] | None = None, api_key: KeySource | None = None
) -> Chosen:
    """Which variables give the key, where none is given, and the endpoint; ConfigError for a bad URL."""
    environment = variables_of(environment)
    platform = None if base_url is None else platform_of(resolve_base_url(base_url, api_key))
    key_variable = None
    wanted = KEY_VARIABLES.items() if api_key is None else ()
    for variable, home in sorted(wanted, key=lambda item: item[1] != platform):
        if environment[variable] and (home == platform or base_url not in PLATFORMS):
            key_variable, platform = variable, home
            break
    if base_url is not None:
        return Chosen(key_variable, None, base_url)
    platform = platform or "bigmodel"
    url_variable = URL_VARIABLES[platform]
    if environment[url_variable]:
        return Chosen(key_variable, url_variable, environment[url_variable])
    return Chosen(key_variable, None, platform)


def variables_of(environment: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Our variables alone, so that no traceback shows the others; "" for what is not set."""
    environment = os.environ if environment is None else environment
    return {name: Secret(environment.get(name, "").strip()) for name in (*KEY_VARIABLES, *URL_VARIABLES.values())}


def key_in_environment() -> bool:
    """Whether a variable of :data:`KEY_VARIABLES` holds a key."""
    return any(os.environ.get(variable, "").strip() for variable in KEY_VARIABLES)


def environment_proxy(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY name for ``url``, unless NO_PROXY exempts its host.

    ALL_PROXY often names a SOCKS proxy, which aiohttp cannot speak to: then it does not count.
    """
    parts, proxies = urlsplit(url), urllib.request.getproxies()
    host = parts.hostname or ""
    exempt = map(urllib.request.proxy_bypass, (parts.netloc.rpartition("@")[2], host))
    if any(exempt) or _in_networks(host, proxies.get("no", "")):
        return None
    proxy = proxies.get(parts.scheme)
    if not proxy:
        shared = proxies.get("all", "")
        proxy = "" if shared.lower().startswith("socks") else shared
    return Secret(proxy if "://" in proxy else f"http://{proxy}") if proxy else None


def _in_networks(host: str, networks: str) -> bool:
    """Whether ``host`` is an address of one of the ``networks``, such as ``10.0.0.0/8, ::1``."""
    for network in networks.split(","):
        with suppress(ValueError):
            if ip_address(host) in ip_network(network.strip(" []"), strict=False):
                return True
    return False


def proxy_variables(url: str) -> list[str]:
    """The variables that are set and may name a proxy for ``url``, the one that counts first."""
    names = (f"{urlsplit(url).scheme}_proxy", "all_proxy")
    return [form for name in names for form in (name, name.upper()) if os.environ.get(form, "").strip()]
