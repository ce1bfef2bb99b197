"""What the doctor says of the settings: keys, endpoint, proxy, certificates. Asks nobody and shows no key."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..config import (
    KEY_VARIABLES,
    PLATFORMS,
    URL_VARIABLES,
    Chosen,
    PlainTextWarning,
    Secret,
    check_jwt_key,
    check_key,
    chosen_settings,
    environment_proxy,
    proxy_variables,
    resolve_base_url,
    variables_of,
    warn_of_plain_text,
)
from ..errors import ConfigError
from ..protocol.token import sign
from ..transport.target import take_proxy_apart
from .findings import Findings

HOSTS: Mapping[str, str] = {urlsplit(PLATFORMS[name]).netloc: name for name in URL_VARIABLES}
"""The service's own hosts, and the platform of each."""
_LONG_ID = 16
"""Characters of a key's id from which on its first four give nothing away."""
_WRONG_ENDINGS = ("/chat/completions", "/messages", "/models", "/responses")
"""Ends of an address that belong to one call, not to the base of all."""


@dataclass(frozen=True)
class Setup:
    """What the settings come to."""

    url: str | None
    """None where there is no usable one."""
    key: str | None
    signs: bool
    """Whether tokens can be made from the key."""
    proxy: str | None

    @property
    def platform(self) -> str | None:
        """``bigmodel`` or ``zai``; None for any other host."""
        return HOSTS.get(urlsplit(self.url or "").netloc)


def look_at_settings(base_url: str | None, findings: Findings) -> Setup:
    """Say which key and endpoint count, what contradicts them, and through which proxy the way leads."""
    variables = variables_of()
    try:
        chosen = chosen_settings(base_url, variables)
    except ConfigError:  # said below, of the endpoint
        chosen = chosen_settings(None, variables)._replace(endpoint=base_url or "")
    key = _key(chosen, variables, findings)
    url = _endpoint(chosen, base_url, findings)
    _contradictions(chosen, base_url, url, variables, findings)
    proxy = None if url is None else _proxy(url, findings)
    _authorities(findings)
    return Setup(url, key, key is not None and _signs(key), proxy)


def _signs(key: str) -> bool:
    """Whether a token can be made from a key: by making one."""
    try:
        return bool(sign(key, time.time()))
    except ConfigError:
        return False


def _key(chosen: Chosen, variables: Mapping[str, str], findings: Findings) -> str | None:
    name = chosen.key_variable
    if name is None:
        others = [variable for variable in KEY_VARIABLES if variables[variable]]
        if others:
            wanted = "ZAI_API_KEY" if KEY_VARIABLES[others[0]] == "bigmodel" else "ZHIPU_API_KEY"
            text = f"none for {chosen.endpoint}: {others[0]} is of the other platform"
            findings.add("key", "failed", text, f"export {wanted}=..., or leave out --base-url")
        else:
            way = "export ZHIPU_API_KEY=... (key of open.bigmodel.cn), or ZAI_API_KEY=... (key of z.ai)"
            findings.add("key", "failed", f"none: {', '.join(KEY_VARIABLES)} are not set", way)
        return None
    try:
        key = Secret(check_key(variables[name]))
    except ConfigError as error:
        findings.add("key", "failed", f"{name}: {error}", "copy the key again from the platform's console")
        return None
    of = f"{name}, for {KEY_VARIABLES[name]}"
    if key[0] in "\"'" or key[-1] in "\"'":
        findings.add("key", "warning", f"{of}: it has a quotation mark in it", f"set {name} without it")
        return key
    try:
        identity, _, secret = check_jwt_key(key).partition(".")
    except ConfigError:
        text = f"{of}: {len(key)} characters, not of the usual form <id>.<secret>"
        findings.add("key", "ok", f"{text}; some plans have such keys, which make no JWT")
        return key
    begins = f"{identity[:4]}..., " if len(identity) >= _LONG_ID else ""
    form = f"form <id>.<secret>, {len(identity)} and {len(secret)} characters"
    findings.add("key", "ok", f"{of}: {begins}{form}")
    return key


def _endpoint(chosen: Chosen, base_url: str | None, findings: Findings) -> str | None:
    how = f"from {chosen.url_variable}" if chosen.url_variable else "the key's platform"
    if base_url is not None:
        how = "from --base-url"
    elif chosen.key_variable is None and not chosen.url_variable:
        how = "the default"
    try:
        url = resolve_base_url(chosen.endpoint)
    except ConfigError as error:
        findings.add("endpoint", "failed", f"{error} ({how})", f"give a URL, or one of {', '.join(PLATFORMS)}")
        return None
    parts = urlsplit(url)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PlainTextWarning)
        warn_of_plain_text(url, stacklevel=1)
    if caught:
        findings.add("endpoint", "warning", f"{url}, {how}: {caught[0].message}", "use its https address")
    elif url.endswith(_WRONG_ENDINGS):
        path = next(ending for ending in _WRONG_ENDINGS if url.endswith(ending))
        way = f"leave out the {path} at its end: the client adds the path of each call"
        findings.add("endpoint", "warning", f"{url}, {how}: this is the address of one call", way)
    elif parts.netloc in HOSTS and url not in PLATFORMS.values():
        way = f"use a name, such as {HOSTS[parts.netloc]}, in place of a URL; the names are {', '.join(PLATFORMS)}"
        findings.add("endpoint", "warning", f"{url}, {how}: not a documented path of this host", way)
    else:
        findings.add("endpoint", "ok", f"{url}, {how}")
    return url


def _contradictions(
    chosen: Chosen, base_url: str | None, url: str | None, variables: Mapping[str, str], findings: Findings
) -> None:
    """Say which variables are set and contradict one another, or do not count."""
    name, check = chosen.key_variable, "variables"
    home = KEY_VARIABLES[name] if name else None
    there = HOSTS.get(urlsplit(url or "").netloc)
    if name and there and home != there:
        text = f"{name} is for {home}, but the endpoint is {there}'s, which knows other keys"
        way = f"set {next(key for key, of in KEY_VARIABLES.items() if of == there)}, or --base-url {home}"
        findings.add(check, "warning", text, way)
    for other, platform in KEY_VARIABLES.items():
        if not name or other == name or not variables[other]:
            continue
        if platform != home:
            findings.add(check, "ok", f"{other} is set, too: it counts with --base-url {platform}")
        elif variables[other] != variables[name]:
            findings.add(check, "warning", f"{other} holds another key than {name}, which counts", f"unset {other}")
    for platform, other in URL_VARIABLES.items():
        if not variables[other] or other == chosen.url_variable:
            continue
        if base_url is not None:
            findings.add(check, "ok", f"{other} is set, but --base-url counts")
        else:
            text = f"{other} is set, but does not count: the key in force is of {home or 'no platform'}"
            wanted = next(key for key, of in KEY_VARIABLES.items() if of == platform)
            findings.add(check, "warning", text, f"set {wanted}, or unset {other}")


def _proxy(url: str, findings: Findings) -> str | None:
    names = proxy_variables(url)
    host = urlsplit(url).netloc
    proxy = environment_proxy(url)
    if proxy is None:
        if names and names[0].lower() == "all_proxy":
            scheme = urlsplit(url).scheme.upper()
            text, way = "a SOCKS proxy, or exempt by NO_PROXY: not used", f"export {scheme}_PROXY=http://host:port"
            findings.add("proxy", "warning", f"{names[0]} names {text}", f"where only a proxy gets out: {way}")
        else:
            findings.add("proxy", "ok", f"none: NO_PROXY exempts {host}" if names else "none")
        return None
    source = names[0] if names else "the settings of this system"
    try:
        address, password = take_proxy_apart(proxy)
    except ConfigError as error:
        findings.add("proxy", "failed", f"{source}: {error}", f"correct or unset {source}")
        return None
    told = ", with a user name and password" if password else ""
    findings.add("proxy", "ok", f"{address}{told}, from {source}")
    return proxy


def _authorities(findings: Findings) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        place = os.environ.get(name)
        if place and not os.path.exists(place):
            findings.add("TLS", "warning", f"{name} names {place!r}, which is not there", f"correct or unset {name}")
