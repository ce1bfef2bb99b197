"""A URL taken apart: where its connection leads, and what the head of a request to it says."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import ClientError, ClientSSLError
from yarl import URL

from ..config import Secret
from ..errors import ConfigError, ConnectError
from ..protocol.codec import shown
from ..protocol.endpoint import HTTPRequest
from . import encoding


class Route(NamedTuple):
    """Where a connection leads: what two requests must share to share a connection."""

    scheme: str
    host: str
    port: int | None
    proxy: str | None
    """Address of the proxy, without user name and password."""


class Target(NamedTuple):
    """What is known of a URL before anything is sent."""

    url: URL
    route: Route
    line: str
    """The request target: the path, or the whole URL for a proxy that is spoken to in plain text."""
    head: str
    """The Host header, and the authorization for such a proxy."""
    proxy_headers: Mapping[str, str]
    """The authorization for a proxy that makes a tunnel."""

    def __repr__(self) -> str:
        return f"<Target {self.url.origin()}>"


class Head(bytes):
    """The head of a request, which holds the key: no traceback shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<head of {len(self)} bytes>"


def take_apart(text: str, proxy: str | None) -> Target:
    """``text`` (absolute, percent-encoded) as it is reached through ``proxy``."""
    url = URL(text, encoded=True)
    head, line = f"Host: {url.host_port_subcomponent or ''}\r\n", url.raw_path_qs
    address, authorization = take_proxy_apart(proxy) if proxy else (None, {})
    route = Route(url.scheme, url.raw_host or "", url.port, address)
    if address and url.scheme == "http":
        line = str(url)
        head += "".join(f"{name}: {value}\r\n" for name, value in authorization.items())
        authorization = {}
    return Target(url, route, line, head, authorization)


def head(request: HTTPRequest, target: Target, headers: Mapping[str, str], length: int | None) -> bytes:
    """Request line and headers; all values were checked when they were given. ``length``: of the body, if known."""
    lines = [f"{request.method} {target.line} HTTP/1.1\r\n{target.head}"]
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    given = {name.lower() for name in headers}
    if "accept-encoding" not in given:
        lines.append(f"Accept-Encoding: {encoding.ACCEPTED}\r\n")
    if request.body is not None:
        if "content-type" not in given:
            lines.append("Content-Type: application/json\r\n")
        lines.append("Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n")
    elif request.method in ("POST", "PUT", "PATCH"):
        lines.append("Content-Length: 0\r\n")
    lines.append("\r\n")
    return Head("".join(lines).encode("latin-1"))


PROXY_AUTHENTICATION = 407
"""What only a proxy answers: it wants a user name and a password, or others."""

_CREDENTIALS = "give its user name and password in its URL: http://user:password@host:port"
_PROXY_HINTS: Mapping[int, str] = {
    401: _CREDENTIALS,
    403: "it must be told to allow CONNECT to this host and port",
    PROXY_AUTHENTICATION: _CREDENTIALS,
}


def refused_by_proxy(status: int, reason: str, proxy: str | None = None) -> ConnectError:
    """The error for a proxy's own refusal, of a tunnel or of a request: nothing of the call has reached the service.

    ``proxy`` is its address without credentials. Only what may pass (408, 429, 5xx) is repeated.
    """
    hint = f"; {_PROXY_HINTS[status]}" if status in _PROXY_HINTS else ""
    error = ConnectError(
        f"the proxy{f' {proxy}' if proxy else ''} refused: {status} {shown(reason.strip(), 500)}{hint}"
    )
    error.retryable = status in (408, 429) or status >= 500
    return error


def take_proxy_apart(text: str) -> tuple[str, dict[str, str]]:
    """A proxy's address without its credentials, so that no error of aiohttp's shows them, and their header.

    ConfigError, without the text, for what is no proxy that aiohttp can speak to.
    """
    url = _proxy_url(text)
    if url is None:
        raise ConfigError("a proxy must be a URL like http://host:port")
    if url.user is None and url.password is None:
        return str(url), {}
    credentials = base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode("ascii")
    return str(url.with_user(None)), {"Proxy-Authorization": Secret(f"Basic {credentials}")}


def _proxy_url(text: str) -> URL | None:
    """None for what is no proxy."""
    try:
        url = URL(text)
    except ValueError:
        return None
    return url if url.scheme in ("http", "https") and url.host and text.isprintable() else None


def unreachable(address: object, error: Exception) -> ConnectError:
    """The error of a connection that could not be made, chained to what the system or TLS said. aiohttp's own errors,
    which are around that, know the proxy with its password and the headers."""
    failure = ConnectError(f"no connection to {address}: {str(error) or type(error).__name__}")
    failure.retryable = not isinstance(error, ClientSSLError)
    own = None if isinstance(error, ClientError) else error
    failure.__cause__ = getattr(error, "certificate_error", None) or getattr(error, "os_error", own)
    return failure
