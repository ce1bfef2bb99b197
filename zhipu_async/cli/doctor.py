"""``doctor``: what is set, how far the way leads, what the service says to the key; each with the way out."""

from __future__ import annotations

import asyncio
import platform
import re
import sys
from typing import Annotated

import typer

from ..config import check_seconds
from ..models import CHAT
from ..version import VERSION
from .findings import Findings
from .shared import AsJSON, BaseURL, exit_codes, model_option

STEP_SECONDS = 10.0
PACKAGES = ("aiohttp", "msgspec", "PyJWT", "tenacity", "uvloop")
_NOT_OFFERED = {"dev", "fuzz"}
"""Extras for those who work on the package itself."""
_REQUIREMENT = re.compile(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]")


def doctor(
    ask: Annotated[
        list[str] | None,
        model_option(
            "Hold a chat of one token with these models, which costs; free: with all free ones. May be repeated.",
            kinds=CHAT,
            several=True,
            metavar="MODEL,..",
        ),
    ] = None,
    all_listed: Annotated[
        bool, typer.Option("--all", help="The same with every model that the platform lists.")
    ] = False,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Longest wait in each step.")] = STEP_SECONDS,
) -> None:
    """Find out why it does not work. Looks at key, endpoint, proxy, network, clock and models; only --ask costs.

    Ends with 0 when nothing has failed, with 2 when settings are wrong, with 1 for what else has failed.
    """
    from .doctor_network import look_at_network  # with all of the client, which --help does not need
    from .doctor_service import look_at_service, models_asked
    from .doctor_settings import look_at_settings

    findings = Findings(as_json=json_wanted)
    with exit_codes():
        check_seconds("--timeout", timeout)
        models_asked(ask or (), None)  # wrong names are refused before anything is asked
        setup = look_at_settings(base_url, findings)
        reached = None
        if setup.url is not None and not findings.failed("proxy"):
            reached = look_at_network(setup.url, setup.proxy, timeout, findings)
        if reached is None or setup.key is None:
            missing = "no key" if reached is not None or setup.key is None else "no way to the service"
            findings.add("service", "skipped", f"{missing}: the key and the models were not checked")
        else:
            asked = models_asked(ask or (), setup.platform)
            asyncio.run(look_at_service(setup, reached, base_url, timeout, asked, findings, all_listed=all_listed))
        look_at_installation(findings)
        findings.end()
    raise typer.Exit(findings.exit_code)


def look_at_installation(findings: Findings) -> None:
    """Say which versions there are, and which extras."""
    import ssl

    versions: dict[str, str | None] = {
        "python": platform.python_version(),
        "zhipu-async": VERSION,
        **{name: _version(name) for name in PACKAGES},
        "OpenSSL": ssl.OPENSSL_VERSION.split()[1],
    }
    told = ", ".join(f"{name} {version or '(missing)'}" for name, version in versions.items())
    findings.add("versions", "ok", f"{told}, on {sys.platform}", details=dict(versions))
    missing = _missing_extras()
    there = [extra for extra, packages in missing.items() if not packages]
    absent = [f"{extra} ({', '.join(packages)})" for extra, packages in missing.items() if packages]
    text = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    findings.add("extras", "ok", text, details=dict(missing))


def _missing_extras() -> dict[str, list[str]]:
    """The packages that each extra lacks here."""
    import importlib.metadata

    missing: dict[str, list[str]] = {}
    try:
        requirements = importlib.metadata.requires("zhipu-async") or []
    except importlib.metadata.PackageNotFoundError:  # run from its source
        requirements = []
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        if found and found[2] not in _NOT_OFFERED:
            lacks = missing.setdefault(found[2], [])
            if _version(found[1]) is None:
                lacks.append(found[1])
    return missing


def _version(name: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
