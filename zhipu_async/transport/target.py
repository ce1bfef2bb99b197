"""A URL taken apart: where its connection leads, and what the head of a request to it says."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NamedTuple

from yarl import URL

from ..errors import ConfigError
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
    return "".join(lines).encode("latin-1")


def take_proxy_apart(text: str) -> tuple[str, dict[str, str]]:
    """A proxy's address without its credentials, so that no error of aiohttp's shows them, and their header.

    ConfigError, without the text, for what is no proxy that aiohttp can speak to.
    """
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("a proxy must be a URL like http://host:port")
    if url.user is None and url.password is None:
        return str(url), {}
    credentials = base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode("ascii")
    return str(url.with_user(None)), {"Proxy-Authorization": f"Basic {credentials}"}
