"""``endpoints``: every call of the client with its path and types; without a key and without the network."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import typer

from ..catalogue import Row, rows
from ..errors import ConfigError
from ..realtime import RealtimeSession
from .terminal import console, say

HEADINGS = ("verb", "path", "method", "request", "answer", "events", "also")


class EndpointLine(msgspec.Struct, kw_only=True, frozen=True):
    """What is printed of an endpoint."""

    verb: str
    path: str
    """Below ``.../api/paas/v4``, or from ``/api/`` on below the platform's root."""
    name: str
    aliases: tuple[str, ...] = ()
    request: str
    response: str
    events: str | None = None


REALTIME = EndpointLine(
    verb="WSS",
    path="/realtime",
    name="realtime.connect",
    request="ClientEvent",
    response=RealtimeSession.__name__,
    events="RealtimeEvent",
)
"""The one endpoint that is no request and answer (data.md section 13)."""


def show(holds: str | None, *, as_json: bool) -> None:
    """Print the endpoints, or those whose path or one of whose names holds a text; ConfigError when none does."""
    wanted = (holds or "").lower()
    lines = [line for line in all_lines() if any(wanted in text.lower() for text in (line.path, *_names(line)))]
    if not lines:
        raise ConfigError(f"no endpoint has {holds!r} in its path or name")
    if as_json:
        typer.echo(msgspec.json.encode(lines).decode())
        return
    out = console()
    table = [HEADINGS, *map(_cells, lines)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if out.is_terminal and sum(widths) + 2 * len(widths) > out.width:
        for line in lines:
            say(out, f"{line.verb:6}{line.path}\n", "bold")
            say(out, "".join(f"      {told}\n" for told in _told(line)))
        return
    for row, style in ((table[0], "dim"), *((row, "") for row in table[1:])):
        # one line each, also where a pipe's reader is narrower: so that grep and cut can work on it
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(out, text.rstrip() + "\n", style)


def all_lines() -> list[EndpointLine]:
    """Every endpoint, in the order of paths; what follows ``/api/`` comes last."""
    lines = [*map(_line, rows()), REALTIME]
    return sorted(lines, key=lambda line: (line.path.startswith("/api/"), line.path, line.verb))


def _line(row: Row) -> EndpointLine:
    return EndpointLine(
        verb=row.verb,
        path=row.path,
        name=row.name,
        aliases=row.aliases,
        request=row.request,
        response=row.response,
        events=row.events,
    )


def _names(line: EndpointLine) -> tuple[str, ...]:
    return line.name, *line.aliases


def _cells(line: EndpointLine) -> tuple[str, ...]:
    return line.verb, line.path, line.name, line.request, line.response, line.events or "-", ", ".join(line.aliases)


def _told(line: EndpointLine) -> Iterable[str]:
    """The same for a narrow terminal, a line for each thing."""
    yield f"{line.name}({line.request}) -> {line.response}"
    if line.events:
        yield f"events: {line.events}"
    yield from (f"also {alias}" for alias in line.aliases)
