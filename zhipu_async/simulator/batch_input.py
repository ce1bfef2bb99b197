"""The input of a batch: one request a line, all to one endpoint and one model (data.md section 9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

_MAX_FAULTS: Final = 20
"""Faults that are listed before reading stops."""
_MAX_LINES: Final = {"/v4/embeddings": 10_000}
_MOST_LINES: Final = 50_000


class Line(Struct, frozen=True):
    """A line: `url` is without the `/api/paas` part."""

    custom_id: str
    method: str
    url: str
    body: dict[str, Any]


def read_lines(path: Path, endpoint: str) -> tuple[list[Line], list[dict[str, Any]]]:
    """The lines of a file, and what is wrong with them, in the form of the `errors` of a batch: lines count from 1."""
    decode = msgspec.json.Decoder(Line).decode
    lines: list[Line] = []
    faults: list[dict[str, Any]] = []
    known: set[str] = set()

    def fault(code: str, place: int | None, message: str, param: str | None) -> None:
        faults.append({"code": code, "line": place, "message": message, "param": param})

    if not path.exists():
        fault("missing_file", None, "The input file was deleted", "input_file_id")
        return lines, faults
    with path.open("rb") as file:
        for place, text in enumerate(file, 1):
            if not text.strip():
                continue
            if len(faults) >= _MAX_FAULTS:
                break
            try:
                line = decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                fault("invalid_line", place, str(error), None)
                continue
            lines.append(line)
            if line.custom_id in known or not line.custom_id:
                fault("duplicate_custom_id", place, f"The custom_id {line.custom_id!r} is not unique", "custom_id")
            known.add(line.custom_id)
            if line.method != "POST":
                fault("invalid_method", place, "The method has to be POST", "method")
            if line.url != endpoint:
                fault("mismatched_endpoint", place, f"The url has to be {endpoint}", "url")
            if line.body.get("model") != lines[0].body.get("model"):
                fault("mismatched_model", place, "All lines have to be for one model", "body.model")
    limit = _MAX_LINES.get(endpoint, _MOST_LINES)
    if not lines and not faults:
        fault("empty_file", None, "The file has no lines", None)
    if len(lines) > limit:
        fault("too_many_lines", None, f"A file may have {limit} lines", None)
    return lines, faults
