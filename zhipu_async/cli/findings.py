"""What the doctor finds: a line with a verdict each, with the way out below it; or all as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from ..protocol.codec import shown
from .shared import write_line
from .terminal import console, say

Level = Literal["ok", "warning", "failed", "skipped"]

STYLES: Mapping[Level, str] = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
SETTINGS = frozenset({"key", "endpoint", "proxy"})
"""Checks that a wrong setting fails, and nobody else: they end the command with 2."""
_CHECK = max(map(len, STYLES)) + 2
_TEXT = _CHECK + 10


class Finding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing that was looked at."""

    check: str
    level: Level
    text: str
    way_out: str | None = None
    """What to do about it."""
    milliseconds: float | None = None
    details: dict[str, Any] | None = None
    """The same for programs, where the text leaves something out."""


class Findings:
    """Takes findings as they are made, and shows each at once unless all are wanted as JSON at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self.all: list[Finding] = []
        self._as_json = as_json

    def add(
        self,
        check: str,
        level: Level,
        text: str,
        way_out: str | None = None,
        *,
        seconds: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Take one; ``seconds`` is how long it took to find out."""
        milliseconds = None if seconds is None else round(seconds * 1000, 1)
        finding = Finding(
            check=check, level=level, text=shown(text), way_out=way_out, milliseconds=milliseconds, details=details
        )
        self.all.append(finding)
        if not self._as_json:
            _show(finding)

    def failed(self, *checks: str) -> bool:
        """Whether one of these checks has failed."""
        return any(finding.level == "failed" for finding in self.all if finding.check in checks)

    @property
    def exit_code(self) -> int:
        """2 for settings that cannot work, 1 for what else has failed, 0 when nothing has."""
        failed = {finding.check for finding in self.all if finding.level == "failed"}
        return 2 if failed & SETTINGS else 1 if failed else 0

    def end(self) -> None:
        """Print all of them as JSON, where that is wanted, or else how many are bad."""
        if self._as_json:
            write_line(msgspec.json.encode({"ok": self.exit_code == 0, "findings": self.all}).decode())
            return
        counts = {level: sum(finding.level == level for finding in self.all) for level in ("failed", "warning")}
        told = [f"{count} {level}" for level, count in counts.items() if count]
        write_line(f"\n{', '.join(told) or 'nothing is wrong'}")


def _show(finding: Finding) -> None:
    told = "" if finding.milliseconds is None else f" ({finding.milliseconds:.0f} ms)"
    rest = list(_rest(finding, told))
    out = console()
    if not out.is_terminal:
        write_line("\n".join([f"{finding.level:{_CHECK}}{rest[0]}", *rest[1:]]))
        return
    say(out, f"{finding.level:{_CHECK}}", STYLES[finding.level])
    say(out, f"{rest[0]}\n")
    say(out, "".join(f"{line}\n" for line in rest[1:]), "dim")


def _rest(finding: Finding, told: str) -> Iterator[str]:
    yield f"{finding.check:{_TEXT - _CHECK}}{' '.join(finding.text.split())}{told}"
    if finding.way_out:
        yield f"{'':{_TEXT}}way out: {finding.way_out}"
