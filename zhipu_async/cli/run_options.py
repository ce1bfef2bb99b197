"""What ``run`` can be told, in the panels of its help."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..models import CHAT
from .run_input import Format
from .shared import model_option

_read = partial(typer.Option, rich_help_panel="What is read")
_written = partial(typer.Option, rich_help_panel="What is written")
_pace = partial(typer.Option, rich_help_panel="How it is done")


class Via(StrEnum):
    """How the calls travel."""

    CALLS = "calls"
    BATCH = "batch"


Source = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A file, or - for standard input: JSON lines (prompts, chats, lines of a batch file), CSV, or text.",
    ),
]
AnyModel = Annotated[str | None, model_option("Model id, over that of the lines.", kinds=(*CHAT, "embedding"))]

PromptTemplate = Annotated[
    str | None,
    _read(
        metavar="TEXT|@FILE",
        help="The prompt, with {column}, or {line} of plain text; {{ is a brace. @FILE reads a file.",
    ),
]
InputFormat = Annotated[Format, _read(help="What the input is. auto: by its name or beginning.")]
IdColumn = Annotated[
    str | None, _read(metavar="NAME", help="The column or field with the ids. Default: custom_id or id.")
]
First = Annotated[int | None, _read(metavar="CALLS", min=1, help="Only so many, from the beginning.")]

Out = Annotated[
    str,
    _written("--out", "-o", metavar="FILE", help="Where answers go, one JSON object per line; - is standard output."),
]
Errors = Annotated[
    Path | None, _written(metavar="FILE", help="Where failed calls go, as an input that can be run again.")
]
Resume = Annotated[bool, _written("--resume", help="Go on with the output of an earlier run.")]
Overwrite = Annotated[bool, _written("--force", help="Overwrite the output if it exists.")]
Ordered = Annotated[bool, _written("--ordered", help="Put the answers into the input's order at the end.")]
SummaryAsJSON = Annotated[bool, _written("--json", help="Print the summary as one JSON object.")]

Concurrency = Annotated[
    int | None, _pace(metavar="CALLS", min=1, help="At the same time. Default: finds the account's limit.")
]
MaxConcurrency = Annotated[int | None, _pace(metavar="CALLS", min=1, help="The most at the same time that it tries.")]
Deadline = Annotated[float | None, _pace(metavar="SECONDS", help="For each call with all repeats.")]
MaxRetries = Annotated[
    int | None, _pace(metavar="TIMES", min=0, help="Repeats of a failed call; refusals for load do not count.")
]
TokenBudget = Annotated[int | None, _pace(metavar="TOKENS", min=1, help="Stop when so many are used.")]
Dedupe = Annotated[bool, _pace("--dedupe", help="Ask identical calls once.")]
Travel = Annotated[Via, _pace(help="Calls of their own, or the service's batches: cheaper, within a day.")]
