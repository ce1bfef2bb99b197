"""What the commands share: common options, exit codes, the client, and standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import sys
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ..config import PLATFORMS
from ..errors import ConfigError, ZhipuError
from ..models import MODELS, Kind
from .terminal import complain, console, say

if TYPE_CHECKING:
    from ..client import AsyncZhipuAI
    from ..telemetry import Event

logger = logging.getLogger("zhipu_async.cli")

# ---------------------------------------------------------------- common options


def model_option(
    help: str = "Model id.",
    *,
    kinds: Sequence[Kind],
    several: bool = False,
    metavar: str = "MODEL",
    show_default: bool = True,
) -> Any:
    """A ``--model``; the shell is offered those of these kinds that are known. ``several``: with commas between."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        before, comma, _ = incomplete.rpartition(",") if several else ("", "", "")
        found = [info for info in MODELS.values() if info.kind in kinds]
        return [(f"{before}{comma}{info.id}", f"{info.kind}{', free' * info.free}") for info in found]

    return typer.Option(help=help, metavar=metavar, autocompletion=complete, show_default=show_default)


def _complete_endpoint() -> list[tuple[str, str]]:
    return [(name, url.removeprefix("https://")) for name, url in PLATFORMS.items()]


BaseURL = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|URL",
        help=f"{', '.join(PLATFORMS)} or a URL. Default: the key's platform.",
        autocompletion=_complete_endpoint,
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="Longest wait with nothing in hand: for the first token, then between. Default: 300."
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
JSONLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per line and nothing else.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output if it exists.")]
System = Annotated[str | None, typer.Option(metavar="TEXT", help="Instructions before each question.")]
Thinks = Annotated[
    bool | None, typer.Option("--thinking/--no-thinking", help="Whether to think first. Default: the model's.")
]
MaxTokens = Annotated[
    int | None, typer.Option(metavar="TOKENS", min=1, help="Most tokens of thinking and answer together.")
]
Temperature = Annotated[
    float | None, typer.Option(metavar="0.0-1.0", help="How freely to choose words. Default: the model's.")
]


def examples(*lines: str) -> str:
    """The end of a command's help. Blank lines between: some versions of typer join those that have none."""
    return "\n\n".join(("Examples:", *lines))


# ---------------------------------------------------------------- running a command


@contextlib.contextmanager
def exit_codes() -> Generator[None, None, None]:
    """Turn the errors of a command into a message, with the error's notes below it, and an exit code."""
    try:
        yield
    except ZhipuError as error:
        complain(error)
        for note in getattr(error, "__notes__", ()):
            remark(note)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None
    except OSError as error:
        complain_of_full_disk(error)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def complain_of_full_disk(error: OSError) -> None:
    """Say that standard output has no room; raise any other error. Of files it is a ZhipuError already."""
    if error.errno != errno.ENOSPC:
        raise error
    complain(ConfigError(f"cannot write standard output: {error.strerror}"))


def client_of(base_url: str | None, timeout: float | None = None) -> AsyncZhipuAI:
    """The client of a command; its events go to the log."""
    from ..client import AsyncZhipuAI  # here, and not for --help and completion

    return AsyncZhipuAI(base_url=base_url, timeout=timeout, hooks=[_log])


def perform(base_url: str | None, work: Callable[[AsyncZhipuAI], Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` with a client of its own, on a loop of its own."""
    client = client_of(base_url)  # before the loop runs: what it imports takes a moment

    async def run() -> None:
        async with client:
            await work(client)

    asyncio.run(run())


@contextlib.contextmanager
def resumable(note: str, *, unless: tuple[type[ZhipuError], ...] = ()) -> Generator[None, None, None]:
    """Say how to go on when the block is ended by Ctrl-C or an error, other than those of ``unless``."""
    try:
        yield
    except asyncio.CancelledError:
        remark(note)
        raise
    except unless:
        raise
    except ZhipuError as error:
        error.add_note(note)
        raise


def _log(event: Event) -> None:
    logger.debug("%s", event)


def remark(text: str) -> None:
    """A line on standard error that is no error: an id, how to go on."""
    say(console(stderr=True), f"{text}\n", "dim")


# ---------------------------------------------------------------- standard input


def at_terminal() -> bool:
    """Whether a person can type on standard input."""
    source: TextIO | None = sys.stdin
    return source is not None and source.isatty()


def piped() -> str:
    """Standard input as text; "" where there is none."""
    source: TextIO | None = sys.stdin
    if source is None:  # closed by whoever started this
        return ""
    try:
        return source.buffer.read().decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ConfigError("standard input is not UTF-8 text") from None


def text_of(argument: str, name: str) -> str:
    """The argument, or standard input for ``-``; ConfigError when it is empty."""
    text = piped() if argument == "-" else argument
    if not text.strip():
        raise ConfigError(f"the {name} is empty")
    return text


# ---------------------------------------------------------------- standard output


def output_is_terminal() -> bool:
    """Whether standard output is seen by a person."""
    output: TextIO | None = sys.stdout
    return output is not None and output.isatty()


def write_bytes(data: bytes) -> None:
    """Write to standard output, at once. ConfigError when it cannot take more, such as on a full disk."""
    output: TextIO | None = sys.stdout
    if output is None:
        raise ConfigError("there is no standard output")
    try:
        output.flush()
        output.buffer.write(data)
        output.buffer.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # the reader has seen enough: typer ends quietly
        raise ConfigError(f"cannot write standard output: {error.strerror or error}") from None


def write_line(text: str) -> None:
    """Write a line to standard output, at once; a terminal gets no control characters from it."""
    if output_is_terminal():
        say(console(), f"{text}\n")
    else:
        write_bytes(f"{text}\n".encode(errors="backslashreplace"))
