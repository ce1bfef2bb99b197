"""``models --known``: the documented models as a table, without a key and without the network."""

from __future__ import annotations

import msgspec
import typer

from ..models import EFFORTS, MODELS, K, Kind, M, ModelInfo
from .terminal import console, say

HEADINGS = ("model", "kind", "context", "output", "thinking", "efforts", "inputs", "platforms", "notes")


def show(kind: Kind | None, *, as_json: bool) -> None:
    """Print the table, or the models of one kind; as JSON with every field, in the form of the service's list."""
    chosen = [info for info in MODELS.values() if kind in (None, info.kind)]
    if as_json:
        typer.echo(msgspec.json.encode({"object": "list", "data": chosen}).decode())
        return
    rows = [_row(info) for info in chosen]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    out = console()
    for row, style in ((HEADINGS, "dim"), *((row, "") for row in rows)):
        # one line each, also where it is wider than the terminal: so that grep and cut can work on it
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(out, line.rstrip() + "\n", style)


def _row(info: ModelInfo) -> tuple[str, ...]:
    def marked(text: str, *names: str) -> str:
        return f"{text}?" if text and not {*names}.isdisjoint(info.unverified) else text

    efforts = "all" if info.efforts == EFFORTS else ",".join(info.efforts or ())
    output = "/".join(filter(None, (_tokens(info.default_output), _tokens(info.max_output))))
    notes = (*(["free"] if info.free else ()), *([info.note] if info.note else ()))
    return (
        info.id,
        info.kind,
        marked(_tokens(info.context), "context"),
        marked(output, "default_output", "max_output"),
        info.thinking or "",
        efforts,
        marked(",".join(info.inputs), "inputs"),
        ",".join(info.platforms),
        ", ".join(notes),
    )


def _tokens(count: int | None) -> str:
    """``1M``, ``128K`` or ``4095``."""
    if count is None:
        return ""
    for unit, name in ((M, "M"), (K, "K")):
        if count % unit == 0:
            return f"{count // unit}{name}"
    return str(count)
