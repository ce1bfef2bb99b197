"""``files``: what is kept by the service (data.md section 7)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from ..downloads import Download
from ..errors import BadRequestError, NotFoundError, ZhipuError
from ..types.files import FileObject
from . import progress
from .outputs import check_output, shown, size_of
from .shared import AsJSON, BaseURL, Force, JSONLines, examples, exit_codes, perform, write_bytes, write_line
from .terminal import complain, console

if TYPE_CHECKING:
    from ..client import AsyncZhipuAI

PURPOSES = ("batch", "code-interpreter", "agent", "voice-clone-input", "user_data")


def _complete_purpose() -> list[str]:
    return [*PURPOSES]


_PURPOSE: dict[str, Any] = {"metavar": "PURPOSE", "autocompletion": _complete_purpose}

app = typer.Typer(help="Upload, list, fetch and delete files of the account.", no_args_is_help=True)


@app.command(epilog=examples("zhipu-async files upload calls.jsonl --purpose batch"))
def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What to upload.")],
    purpose: Annotated[str, typer.Option(**_PURPOSE, help=f"What they are for: {', '.join(PURPOSES)}.")],
    json_wanted: JSONLines = False,
    base_url: BaseURL = None,
) -> None:
    """Upload files; print the id and the name of each. What was uploaded before an error stays."""

    async def work(client: AsyncZhipuAI) -> None:
        for file in files:
            try:
                with progress.transferring(shown(file)) as line:
                    kept = await client.files.create(file=file, purpose=purpose, progress=line)
            except ZhipuError as error:
                error.add_note(f"(while uploading {shown(file)!r})")
                raise
            write_line(msgspec.json.encode(kept).decode() if json_wanted else f"{kept.id or ''}  {shown(file)}")

    with exit_codes():
        for file in files:
            size_of(file)
        perform(base_url, work)


@app.command("list", epilog=examples("zhipu-async files list --purpose batch --limit 10"))
def list_files(
    purpose: Annotated[str, typer.Option(**_PURPOSE, help=f"Which files: {', '.join(PURPOSES)}.")],
    limit: Annotated[int | None, typer.Option(metavar="FILES", min=1, help="At most so many. Default: all.")] = None,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
) -> None:
    """List the files of a purpose, the newest first."""

    async def work(client: AsyncZhipuAI) -> None:
        found: list[FileObject] = []
        with progress.waiting("listing"):
            async for file in client.files.list(purpose=purpose, limit=None if limit is None else min(limit, 100)):
                found.append(file)
                if len(found) == limit:
                    break
        if json_wanted:
            write_line(msgspec.json.encode({"object": "list", "data": found}).decode())
            return
        table = Table("id", "bytes", "created", "name", box=None, pad_edge=False, header_style="dim")
        table.columns[1].justify = "right"
        for file in found:
            size = "" if file.bytes is None else str(file.bytes)
            table.add_row(file.id or "", size, moment(file.created_at), file.filename or "")
        show_table(table)

    with exit_codes():
        perform(base_url, work)


@app.command(epilog=examples("zhipu-async files get 1725435402_e5bc --out answers.jsonl"))
def get(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The id of a file of a batch; others stay there.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to save it; - is standard output.")] = "-",
    force: Force = False,
    base_url: BaseURL = None,
) -> None:
    """Fetch the content of a file."""

    async def work(client: AsyncZhipuAI) -> None:
        if out != "-":
            await check_output(Path(out), force=force)
        await fetch(client, identity, None if out == "-" else Path(out))
        if out != "-":
            write_line(shown(Path(out)))

    with exit_codes():
        perform(base_url, work)


@app.command(epilog=examples("zhipu-async files delete 1725435402_e5bc"))
def delete(
    identities: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of files.")],
    base_url: BaseURL = None,
) -> None:
    """Delete files. One that cannot be deleted does not keep the others, but ends the command with 1."""

    async def work(client: AsyncZhipuAI) -> None:
        missed = False
        for identity in identities:
            try:
                gone = await client.files.delete(identity)
            except (NotFoundError, BadRequestError) as error:
                complain(error)
                missed = True
                continue
            if gone.deleted is False:
                complain(ZhipuError(f"the service did not delete {identity}"))
                missed = True
            else:
                write_line(identity)
        if missed:
            raise typer.Exit(1)

    with exit_codes():
        perform(base_url, work)


# ---------------------------------------------------------------- shared with batches


async def fetch(client: AsyncZhipuAI, identity: str, path: Path | None) -> None:
    """Save a file's content under ``path``, or write it to standard output as it arrives."""
    with progress.transferring(shown(path) if path else identity) as line:
        if path is not None:
            await client.files.content.to_file(path, identity, progress=line)
            return
        async with await client.files.content.open(identity, progress=line) as download:
            await _copy(download)


async def _copy(download: Download) -> None:
    async for block in download:
        write_bytes(block)


def moment(seconds: int | None) -> str:
    """Local date and time; "" for none and for what is no time."""
    try:
        return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return ""


def show_table(table: Table) -> None:
    """Print a table; a pipe gets every cell whole, however narrow its reader is."""
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    rows = [[str(cell) for cell in column.cells] for column in table.columns]
    heads = [str(column.header) for column in table.columns]
    widths = [max(map(len, [head, *cells])) for head, cells in zip(heads, rows, strict=True)]
    for line in (heads, *zip(*rows, strict=True)):
        write_line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
