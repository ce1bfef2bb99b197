"""``batch``: many calls in a file, answered within a day (data.md section 9)."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from ..config import check_seconds
from ..errors import BadRequestError, ConfigError, DecodeError, NotFoundError, TaskFailed, ZhipuError
from ..types.batches import Batch
from ..types.uploads import FileUpload
from . import progress
from .batch_lines import check_lines
from .files import fetch, moment, show_table
from .outputs import check_apart, check_output, shown
from .shared import AsJSON, BaseURL, Force, examples, exit_codes, perform, remark, resumable, write_line

if TYPE_CHECKING:
    from ..client import AsyncZhipuAI

_HOPELESS = (TaskFailed, BadRequestError, NotFoundError)
"""Errors of a batch that is no more, or never was."""

app = typer.Typer(help="Have many calls answered within a day, from a file of JSON lines.", no_args_is_help=True)

ID = Annotated[str, typer.Argument(metavar="ID", help="The id of a batch.")]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Longest wait; the batch goes on. Default: as long as it takes."),
]


@app.command(epilog=examples("zhipu-async batch run calls.jsonl --out answers.jsonl"))
def run(
    source: Annotated[Path, typer.Argument(metavar="INPUT.jsonl", help="The calls, one JSON object per line.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to save the answers. Default: INPUT.results.jsonl; errors beside it."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Which call the lines are for. Default: the url of the lines.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the answers, or only begin and print the id.")] = True,
    keep_input: Annotated[bool, typer.Option("--keep-input", help="Leave the uploaded file there.")] = False,
    timeout: Timeout = None,
    force: Force = False,
    base_url: BaseURL = None,
) -> None:
    """Check a file of calls, upload it, wait for the answers, save them and print the path."""
    path = source.parent / f"{source.stem}.results.jsonl" if out is None else out

    async def work(client: AsyncZhipuAI) -> None:
        if wait:
            await _check_outputs(path, force=force)
        with progress.waiting("checking the file"):
            checked = await asyncio.to_thread(check_lines, source, endpoint)
        name = source.name if source.suffix.lower() == ".jsonl" else f"{source.name}.jsonl"
        with progress.transferring(shown(source)) as line:
            file = await client.files.create(file=FileUpload(source, filename=name), purpose="batch", progress=line)
        if not file.id:
            raise DecodeError("the service gave the uploaded file no id")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=checked.endpoint, auto_delete_input_file=False if keep_input else None
        )
        if not batch.id:
            raise DecodeError("the service gave the batch no id")
        if not wait:
            write_line(batch.id)
            return
        resume = _resume(batch.id, path, base_url, force=force)
        remark(f"batch {batch.id} of {checked.lines} calls; to come back to it: {resume}")
        await _wait_and_save(client, batch, path, timeout, resume)

    with exit_codes():
        check_seconds("--timeout", timeout)
        if endpoint is not None and not endpoint.startswith("/v"):
            raise ConfigError(f"--endpoint is like /v4/chat/completions, not {endpoint!r}")
        if wait:
            check_apart(source, path)
            check_apart(source, _errors_of(path))
        perform(base_url, work)


@app.command(epilog=examples("zhipu-async batch status batch_1791490810192076800"))
def status(identity: ID, json_wanted: AsJSON = False, base_url: BaseURL = None) -> None:
    """Say how a batch stands."""

    async def work(client: AsyncZhipuAI) -> None:
        _show(await client.batches.retrieve(identity), as_json=json_wanted)

    with exit_codes():
        perform(base_url, work)


@app.command("list", epilog=examples("zhipu-async batch list --limit 5"))
def list_batches(
    limit: Annotated[int, typer.Option(metavar="BATCHES", min=1, help="At most so many.")] = 20,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
) -> None:
    """List the batches of the account, the newest first."""

    async def work(client: AsyncZhipuAI) -> None:
        found: list[Batch] = []
        with progress.waiting("listing"):
            async for batch in client.batches.list(limit=min(limit, 100)):
                found.append(batch)
                if len(found) == limit:
                    break
        if json_wanted:
            write_line(msgspec.json.encode({"object": "list", "data": found}).decode())
            return
        table = Table("id", "status", "calls", "created", "endpoint", box=None, pad_edge=False, header_style="dim")
        for batch in found:
            cells = (batch.id, batch.status, _counts(batch), moment(batch.created_at), batch.endpoint)
            table.add_row(*(cell or "" for cell in cells))
        show_table(table)

    with exit_codes():
        perform(base_url, work)


@app.command(epilog=examples("zhipu-async batch cancel batch_1791490810192076800"))
def cancel(identity: ID, json_wanted: AsJSON = False, base_url: BaseURL = None) -> None:
    """Cancel a batch; what is answered by then can be fetched."""

    async def work(client: AsyncZhipuAI) -> None:
        _show(await client.batches.cancel(identity), as_json=json_wanted)

    with exit_codes():
        perform(base_url, work)


@app.command(epilog=examples("zhipu-async batch results batch_1791490810192076800 --wait --out answers.jsonl"))
def results(
    identity: ID,
    out: Annotated[
        str,
        typer.Option(metavar="FILE", help="Where to save the answers, errors beside them; - is standard output."),
    ] = "-",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done.")] = False,
    timeout: Timeout = None,
    force: Force = False,
    base_url: BaseURL = None,
) -> None:
    """Fetch the answers of a batch, also those that one has which was cancelled or has expired."""
    path = None if out == "-" else Path(out)

    async def work(client: AsyncZhipuAI) -> None:
        if path is not None:
            await _check_outputs(path, force=force)
        if wait:
            resume = _resume(identity, path, base_url, force=force)
            await _wait_and_save(client, Batch(id=identity), path, timeout, resume)
            return
        batch = await client.batches.retrieve(identity)
        if batch.state == "running":
            raise ZhipuError(f"the batch is {batch.status}, {_counts(batch)} calls: add --wait to wait for it")
        await _save(client, batch, path)

    with exit_codes():
        check_seconds("--timeout", timeout)
        perform(base_url, work)


# ---------------------------------------------------------------- waiting and saving


async def _wait_and_save(
    client: AsyncZhipuAI, batch: Batch, path: Path | None, timeout: float | None, resume: str
) -> None:
    """Wait for a batch and save what it has. TaskFailed for one that was not completed, after its answers are saved.

    ``resume`` is the command that does the same in a later run.
    """
    failed: TaskFailed | None = None
    with (
        resumable(f"the batch goes on; to fetch its answers: {resume}", unless=_HOPELESS),
        progress.counting(batch.status or "waiting") as line,
    ):

        def advance(answer: Batch) -> None:
            line.label(answer.status or "waiting")
            line((answer.counts.completed or 0) + (answer.counts.failed or 0), answer.counts.total)

        try:
            done = await client.wait(batch, timeout=timeout, progress=advance)
        except TaskFailed as error:
            if not isinstance(error.answer, Batch):
                raise
            failed, done = error, error.answer
    if failed is not None and not (done.output_file_id or done.error_file_id):
        _note_errors(done, failed)
        raise failed
    with resumable(f"the answers stay with the service; to fetch them: {resume}", unless=(TaskFailed,)):
        await _save(client, done, path)
    if failed is not None:
        raise failed


async def _save(client: AsyncZhipuAI, batch: Batch, path: Path | None) -> None:
    """Save answers and errors and print where they are. TaskFailed when no call was answered."""
    if batch.output_file_id:
        await fetch(client, batch.output_file_id, path)
        if path is not None:
            write_line(shown(path))
    if batch.error_file_id:
        errors = None if path is None else _errors_of(path)
        if errors is not None:
            await fetch(client, batch.error_file_id, errors)
            where = shown(errors)
        else:
            where = f"zhipu-async files get {shlex.quote(batch.error_file_id)}"
        remark(f"{batch.counts.failed or 'some'} of {batch.counts.total or 'the'} calls failed: {where}")
    if not batch.output_file_id:
        said = f"the batch is {batch.status}, and no call of it was answered"
        error = TaskFailed(said, task_id=batch.id, answer=batch)
        _note_errors(batch, error)
        raise error


def _note_errors(batch: Batch, error: ZhipuError) -> None:
    for found in batch.errors.data if batch.errors else ():
        where = "" if found.line is None else f"line {found.line}: "
        error.add_note(f"  {where}{found.message or found.code or 'no reason given'}")


async def _check_outputs(path: Path, *, force: bool) -> None:
    await check_output(path, force=force)
    await check_output(_errors_of(path), force=force)


def _errors_of(path: Path) -> Path:
    """Where the errors go that belong to these answers."""
    return path.parent / f"{path.stem}.errors{path.suffix}"


def _resume(identity: str, path: Path | None, base_url: str | None, *, force: bool) -> str:
    words = ["zhipu-async", "batch", "results", identity, "--wait"]
    words += ["--out", shown(path)] if path is not None else []
    words += ["--force"] if force else []
    return shlex.join([*words, "--base-url", base_url] if base_url else words)


# ---------------------------------------------------------------- how a batch stands


def _counts(batch: Batch) -> str:
    """``8/10``, and the failures among them."""
    counts = batch.counts
    failed = f", {counts.failed} failed" if counts.failed else ""
    return f"{(counts.completed or 0) + (counts.failed or 0)}/{'?' if counts.total is None else counts.total}{failed}"


def _show(batch: Batch, *, as_json: bool) -> None:
    if as_json:
        write_line(msgspec.json.encode(batch).decode())
        return
    told = {
        "id": batch.id,
        "status": batch.status,
        "calls": _counts(batch),
        "endpoint": batch.endpoint,
        "created": moment(batch.created_at),
        "input": batch.input_file_id,
        "output": batch.output_file_id,
        "errors": batch.error_file_id,
    }
    for name, value in told.items():
        if value:
            write_line(f"{name:9} {value}")
    for found in batch.errors.data if batch.errors else ():
        where = "" if found.line is None else f"line {found.line}: "
        write_line(f"{'fault':9} {where}{found.message or found.code or 'no reason given'}")
