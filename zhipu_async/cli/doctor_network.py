"""The way to the service, step by step and each with its time: name, connection, tunnel, TLS, an answer, its clock.

The connection is one of its own and carries no key: any answer shows that the way is open.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..errors import AuthenticationError, NotFoundError
from ..protocol import faults
from ..protocol.codec import excerpt, shown
from ..protocol.token import LIFE, RENEWED_BEFORE
from ..transport.target import PROXY_AUTHENTICATION, refused_by_proxy, take_proxy_apart
from ..version import VERSION
from .doctor_settings import HOSTS
from .findings import Findings

BODY_READ = 64 * 1024
"""Bytes of an answer that are looked at, and of the head of a proxy's answer."""
SHORT_LIFE = 14 * 86400
"""Seconds before its end from which on a certificate is warned of."""
PATH = "/models"
_CLOCK = "set the clock of this machine: the certificate is not valid at the time that it shows"
_AUTHORITY = (
    "something between here and there, such as a company's proxy or a virus scanner, signs with an authority of its "
    "own: export SSL_CERT_FILE=/path/to/that/authority.pem"
)
_OTHER_SERVER = "another server answers under this address: check the URL, the name service and the network's login"
_TLS_HINTS: Mapping[int, str] = {
    9: _CLOCK, 10: f"{_CLOCK}, or has run out", 18: _AUTHORITY, 19: _AUTHORITY, 20: _AUTHORITY, 21: _AUTHORITY,
    62: _OTHER_SERVER, 64: _OTHER_SERVER,
}  # fmt: skip
"""What to do, by OpenSSL's number of what is wrong with a certificate."""


@dataclass(frozen=True)
class Reached:
    """What is known of a service that answers."""

    lists_models: bool
    open: bool
    """Whether it answers without a key, so that an answer says nothing of one."""


class _Stopped(Exception):
    """A step failed, which is said."""


def look_at_network(url: str, proxy: str | None, seconds: float, findings: Findings) -> Reached | None:
    """Go the way to ``url`` and say how far it leads. None when nothing more can be asked there.

    ``seconds`` bounds each step but the look-up of the name, which the system bounds.
    """
    parts = urlsplit(url)
    address, authorization = take_proxy_apart(proxy) if proxy else (None, {})
    door = urlsplit(address) if address else parts
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(_connected(door, seconds, findings, "proxy " if address else ""))
            if door.scheme == "https" and address:
                findings.add(
                    "TLS", "skipped", "a proxy that is spoken to by TLS: the calls below show whether it works"
                )
                return Reached(lists_models=True, open=False)
            if address and parts.scheme == "https":
                _tunnel(connection, parts, authorization, address, findings)
            if parts.scheme == "https":
                connection = stack.enter_context(_encrypted(connection, parts, findings))
            plain = address is not None and parts.scheme == "http"
            return _answer(connection, url, authorization if plain else {}, findings, absolute=plain)
        except _Stopped:
            return None


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


@contextlib.contextmanager
def _connected(door: SplitResult, seconds: float, findings: Findings, what: str) -> Generator[socket.socket]:
    host, port = door.hostname or "", _port(door)
    began = time.perf_counter()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        way = "check the address; with no network at all, the connection; in a company, its proxy: HTTPS_PROXY"
        findings.add("DNS", "failed", f"{what}{host}: {reason}", way, seconds=time.perf_counter() - began)
        raise _Stopped from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    text = f"{what}{host} is {addresses[0]}{more}"
    findings.add("DNS", "ok", text, seconds=time.perf_counter() - began, details={"addresses": addresses})
    refused: list[str] = []
    for place in addresses:
        began = time.perf_counter()
        try:
            connection = socket.create_connection((place, port), timeout=seconds)
        except OSError as error:
            refused.append(f"{place} port {port}: {_reason(error)}")
            continue
        took = time.perf_counter() - began
        with connection:
            if refused:
                way = "connections may be slow to come about: switch off what does not work, often IPv6"
                findings.add("TCP", "warning", f"no answer of {'; '.join(refused)}", way)
            findings.add("TCP", "ok", f"connected to {what}{place} port {port}", seconds=took)
            yield connection
        return
    way = "a firewall may be in the way, or nobody listens there: check host, port and HTTPS_PROXY"
    findings.add("TCP", "failed", f"{what}{'; '.join(refused)}", way, seconds=time.perf_counter() - began)
    raise _Stopped


def _tunnel(
    connection: socket.socket, parts: SplitResult, authorization: Mapping[str, str], proxy: str, findings: Findings
) -> None:
    began = time.perf_counter()
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    target = f"{host}:{_port(parts)}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *(f"{name}: {it}" for name, it in authorization.items())]
    head = b""
    try:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        while not head.endswith(b"\r\n\r\n") and len(head) < BODY_READ:
            byte = connection.recv(1)  # no more: what follows the head belongs to TLS
            if not byte:
                break
            head += byte
        _, status, reason = (head.split(b"\r\n")[0].decode("latin-1") + "  ").split(" ", 2)
        code = int(status)
    except (OSError, ValueError) as error:
        text = f"{proxy} gives no answer to CONNECT: {_reason(error)}"
        findings.add("tunnel", "failed", text, "is it a proxy, and this its port?", seconds=time.perf_counter() - began)
        raise _Stopped from None
    took = time.perf_counter() - began
    if 200 <= code < 300:
        findings.add("tunnel", "ok", f"{proxy} leads to {target}", seconds=took)
        return
    text, _, way = str(refused_by_proxy(code, reason, proxy)).partition("; ")
    findings.add("tunnel", "failed", text, way or "ask those who run the proxy", seconds=took)
    raise _Stopped


@contextlib.contextmanager
def _encrypted(connection: socket.socket, parts: SplitResult, findings: Findings) -> Generator[ssl.SSLSocket]:
    began = time.perf_counter()
    try:
        encrypted = ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname)
    except OSError as error:
        if isinstance(error, ssl.SSLCertVerificationError):
            text = f"the certificate is not trusted: {error.verify_message}"
            way = _TLS_HINTS.get(error.verify_code, _AUTHORITY)
        else:
            text, way = (
                f"no TLS: {_reason(error)}",
                "is this the port of https, and nothing in the way that breaks TLS?",
            )
        findings.add("TLS", "failed", text, way, seconds=time.perf_counter() - began)
        raise _Stopped from None
    took = time.perf_counter() - began
    with encrypted:
        certificate: Any = encrypted.getpeercert() or {}
        names = {name: value for part in certificate.get("issuer", ()) for name, value in part}
        issuer = names.get("organizationName") or names.get("commonName") or "an unnamed authority"
        ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        left, day = ends - time.time(), time.strftime("%Y-%m-%d", time.gmtime(ends))
        text = f"{encrypted.version()}, certificate of {shown(str(issuer), 100)}, valid until {day}"
        details = {"issuer": issuer, "expires": day, "days": int(left // 86400)}
        if left < SHORT_LIFE:
            way = "who runs the endpoint must renew it soon"
            findings.add("TLS", "warning", f"{text}, {left / 86400:.0f} days", way, seconds=took, details=details)
        else:
            findings.add("TLS", "ok", text, seconds=took, details=details)
        yield encrypted


def _answer(
    connection: socket.socket, url: str, authorization: Mapping[str, str], findings: Findings, *, absolute: bool
) -> Reached | None:
    parts = urlsplit(url)
    asking = http.client.HTTPConnection(parts.hostname or "", _port(parts))
    asking.sock = connection
    headers = {"Host": parts.netloc, "Accept": "application/json", "User-Agent": f"zhipu-async/{VERSION}"}
    began, clock = time.perf_counter(), time.time()
    try:
        asking.request(
            "GET", f"{url}{PATH}" if absolute else f"{parts.path}{PATH}", headers={**headers, **authorization}
        )
        answer = asking.getresponse()
        clock += (time.perf_counter() - began) / 2
        body = answer.read(BODY_READ)
    except (OSError, http.client.HTTPException) as error:
        text = f"no answer in HTTP: {_reason(error)}"
        way = "is this the address of the service, and http or https as it is spoken there?"
        findings.add("HTTP", "failed", text, way, seconds=time.perf_counter() - began)
        return None
    took = time.perf_counter() - began
    seen = {name.lower(): value for name, value in answer.getheaders()}
    reached = _verdict(answer.status, seen, body, parts.netloc, took, findings)
    if reached is not None:
        _clock(seen.get("date"), clock, findings)
    return reached


def _verdict(
    status: int, headers: Mapping[str, str], body: bytes, host: str, took: float, findings: Findings
) -> Reached | None:
    """What an answer to a request without a key says."""
    fault = faults.of_response(status, headers, body)
    if status == PROXY_AUTHENTICATION:
        text, _, way = str(refused_by_proxy(status, "")).partition("; ")
        findings.add("HTTP", "failed", text, way, seconds=took)
        return None
    if 300 <= status < 400 or "html" in headers.get("content-type", "").lower() or body.lstrip()[:1] == b"<":
        place = headers.get("location")
        what = f"a redirection to {place[:200]!r}" if place else f"a page: {excerpt(body)[:80]!r}"
        way = "not the service answers: log in to the network (hotel, train, company), or correct the URL"
        findings.add("HTTP", "failed", f"HTTP {status} with {what}", way, seconds=took)
        return None
    if isinstance(fault, NotFoundError):
        text, way = (
            f"{host} knows no {PATH} there: {fault.message[:200] or f'HTTP {status}, and not a word'}",
            "check the path in the URL: one 'v4', at its end",
        )
        findings.add("HTTP", "failed" if host in HOSTS else "warning", text, way, seconds=took)
        return None if host in HOSTS else Reached(lists_models=False, open=False)
    if isinstance(fault, AuthenticationError):
        if "www-authenticate" in headers and "bearer" not in headers["www-authenticate"].lower():
            findings.add("HTTP", "failed", f"HTTP {status}: {fault.message[:200]}", fault.hint, seconds=took)
            return None
        findings.add("HTTP", "ok", f"HTTP {status} without a key, as it should be", seconds=took)
        return Reached(lists_models=True, open=False)
    if fault is not None:
        way = fault.hint or "try again later"
        findings.add("HTTP", "warning", f"HTTP {status}: {fault.message[:200]}", way, seconds=took)
        return Reached(lists_models=True, open=False)
    findings.add("HTTP", "ok", f"HTTP {status}, also without a key", seconds=took)
    return Reached(lists_models=True, open=True)


def _clock(date: str | None, here: float, findings: Findings) -> None:
    """Compare the clocks; the service's has whole seconds."""
    try:
        ahead = here - parsedate_to_datetime(date or "").timestamp() - 0.5
    except (ValueError, OverflowError):
        findings.add("clock", "skipped", "the answer names no time")
        return
    details = {"seconds_ahead": round(ahead, 1)}
    if abs(ahead) <= RENEWED_BEFORE:
        findings.add("clock", "ok", f"this machine's and the service's differ by {abs(ahead):.0f} s", details=details)
        return
    text = f"this machine's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the service's"
    refused = "refuses" if abs(ahead) >= LIFE else "may refuse"
    text += f": it {refused} tokens made here (JWT, valid for {LIFE:.0f} s); keys that are sent as they are do not mind"
    findings.add("clock", "warning", text, "set the clock of this machine, by NTP", details=details)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return shown(str(getattr(error, "strerror", None) or error), 200) or type(error).__name__
