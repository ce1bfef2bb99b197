"""``run``: many prompts or calls from a file, answered at the account's real limit, to a file that can be resumed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import typer

from ..config import check_seconds
from ..errors import ConfigError, ZhipuError
from ..journal import Journal
from ..journal.file import open_file
from ..outcomes import Outcome, RunProgress
from ..protocol.codec import encode_json
from . import progress
from .outputs import check_apart, check_output, shown
from .run_calls import Reading
from .run_input import Format, Input, opened, template_of
from .run_options import (
    AnyModel,
    Concurrency,
    Deadline,
    Dedupe,
    Errors,
    First,
    IdColumn,
    InputFormat,
    MaxConcurrency,
    MaxRetries,
    Ordered,
    Out,
    Overwrite,
    PromptTemplate,
    Resume,
    Source,
    SummaryAsJSON,
    TokenBudget,
    Travel,
    Via,
)
from .run_output import FailedCalls, Printer
from .run_summary import Summary, Tally
from .shared import (
    BaseURL,
    MaxTokens,
    System,
    Temperature,
    Thinks,
    client_of,
    exit_codes,
    output_is_terminal,
    remark,
    resumable,
    write_line,
)

if TYPE_CHECKING:
    from ..client import AsyncZhipuAI
    from ..fanout import FanOut

_ONLY_CALLS = ("concurrency", "max_concurrency", "deadline", "max_retries", "token_budget", "dedupe")
"""Options of calls that the service's batches do not have."""


class Run(Protocol):
    """A run of either kind, as far as this command knows it."""

    @property
    def progress(self) -> RunProgress: ...
    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
    def __aiter__(self) -> AsyncIterator[Outcome[Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done with the outcomes."""

    output: Path | None
    """None for standard output."""
    errors: Path | None
    resume: bool
    ordered: bool
    as_json: bool
    via: Via
    again: str | None
    """The command that goes on after an interruption, where one can."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of the run, as the client knows them."""


def run(
    context: typer.Context,
    source: Source,
    out: Out,
    model: AnyModel = None,
    system: System = None,
    template: PromptTemplate = None,
    resume: Resume = False,
    force: Overwrite = False,
    limit: First = None,
    ordered: Ordered = False,
    errors: Errors = None,
    concurrency: Concurrency = None,
    max_concurrency: MaxConcurrency = None,
    deadline: Deadline = None,
    max_retries: MaxRetries = None,
    token_budget: TokenBudget = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    thinking: Thinks = None,
    dedupe: Dedupe = False,
    input_format: InputFormat = Format.AUTO,
    id_column: IdColumn = None,
    via: Travel = Via.CALLS,
    json_wanted: SummaryAsJSON = False,
    base_url: BaseURL = None,
) -> None:
    """Answer many prompts or calls. The answers are the journal: after a crash, --resume goes on.

    What the command line says stands over what the lines say. Ctrl-C or SIGTERM finishes what is under way; once more
    stops.
    """
    with exit_codes():
        thinks = {} if thinking is None else {"thinking": {"type": "enabled" if thinking else "disabled"}}
        given = {"temperature": temperature, "max_tokens": max_tokens}
        parameters = {name: value for name, value in given.items() if value is not None} | thinks
        reading = Reading(model, system, template_of(template), id_column, parameters)
        encode_json([model, system, template, parameters])
        check_seconds("--deadline", deadline)
        options = {
            "concurrency": concurrency,
            "max_concurrency": max_concurrency,
            "deadline": deadline,
            "max_retries": max_retries,
            "token_budget": token_budget,
            "dedupe": dedupe or None,
        }
        plan = Plan(
            output=None if out == "-" else Path(out),
            errors=errors,
            resume=resume,
            ordered=ordered,
            as_json=json_wanted,
            via=via,
            again=None if out == "-" else _again(context),
            options={name: value for name, value in options.items() if value is not None},
        )
        _check(plan, source, force=force)
        asyncio.run(_check_outputs(plan))
        client = client_of(base_url)
        with opened(source, input_format, reading, limit) as calls:
            with progress.waiting("checking the input"):
                calls.check()
            if force and plan.output is not None:
                _empty(plan.output)
            asyncio.run(_perform(client, plan, calls))


# ---------------------------------------------------------------- before anything is sent


def _check(plan: Plan, source: str, *, force: bool) -> None:
    """ConfigError for options that do not go together, and for outputs that must not be touched."""
    if plan.resume and force:
        raise ConfigError("--resume goes on with the output and --force overwrites it: give one of them")
    if plan.output is None:
        for wanted, option in ((plan.resume, "--resume"), (plan.as_json, "--json"), (force, "--force")):
            if wanted:
                raise ConfigError(f"{option} needs a file for the answers: -o FILE")
        if plan.via is Via.BATCH:
            raise ConfigError("--via batch needs a file for the answers, to find its batches again: -o FILE")
    if plan.via is Via.BATCH and (named := [name for name in _ONLY_CALLS if name in plan.options]):
        raise ConfigError(f"--{named[0].replace('_', '-')} does not go with --via batch")
    outputs = [path for path in (plan.output, plan.errors) if path is not None]
    for path in outputs if source != "-" else ():
        check_apart(Path(source), path)
    if plan.output is not None and plan.errors is not None:
        with contextlib.suppress(OSError):
            if plan.output.resolve() == plan.errors.resolve() or plan.output.samefile(plan.errors):
                raise ConfigError(f"{shown(plan.errors)!r} has the answers: name another file for --errors")
    for path in outputs if not (plan.resume or force) else ():
        if path.is_file() and path.stat().st_size:
            way = "--resume goes on with it, " if path == plan.output else ""
            raise ConfigError(f"{shown(path)!r} exists already: {way}--force overwrites it")


async def _check_outputs(plan: Plan) -> None:
    for path in (plan.output, plan.errors):
        if path is not None:
            await check_output(path, force=True)


def _empty(path: Path) -> None:
    """Empty an output that is to be overwritten. ConfigError when another run is writing it."""
    if path.exists():
        with contextlib.closing(open_file(path)):
            os.truncate(path, 0)


def _again(context: typer.Context) -> str:
    """The command as it was given, with --resume."""
    words = ["zhipu-async", "run"]
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name)
        if given is None or given.name != "COMMANDLINE" or name in ("resume", "force"):
            continue
        value: Any = context.params[name]
        text = value.value if isinstance(value, Enum) else shown(value) if isinstance(value, Path) else str(value)
        if parameter.param_type_name == "argument":
            words.append(text)
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += [parameter.opts[0], text]
    return shlex.join([*words, "--resume"])


# ---------------------------------------------------------------- the run


async def _perform(client: AsyncZhipuAI, plan: Plan, calls: Input) -> None:
    """Run the calls and say what came of it. typer.Exit unless every call was answered."""
    note = f"to go on: {plan.again}" if plan.again else "what was not printed is lost: -o FILE makes a run resumable"
    signals = _Signals()
    with tempfile.TemporaryDirectory(prefix="zhipu-async-") as folder:
        path = Path(folder) / "answers.jsonl" if plan.output is None else plan.output
        try:
            with resumable(note, unless=(ConfigError,)):
                summary = await _run(client, plan, calls, path, signals)
        except asyncio.CancelledError:
            raise typer.Exit(signals.code) from None
    if summary.stopped is not None:
        remark(note)
        raise typer.Exit(signals.code)
    if summary.failed:
        raise typer.Exit(1)


async def _run(client: AsyncZhipuAI, plan: Plan, calls: Input, path: Path, signals: _Signals) -> Summary:
    tally = Tally(len(calls))
    journal = Journal(path, resume=plan.resume)
    with contextlib.closing(FailedCalls()) as failed, contextlib.closing(Printer(path)) as printer:
        async with client:
            run, stop = _begun(client, plan, calls, journal)
            hidden = plan.output is None and output_is_terminal()
            stopped: BaseException | None = None
            with progress.running("running", len(calls), hidden=hidden) as line:
                try:
                    async with run:
                        with signals.stopping(run, stop, line), line.following(lambda: line.run(run.progress)):
                            async for outcome in run:
                                tally.add(outcome)
                                if plan.errors is not None and not outcome.ok:
                                    failed.add(outcome)
                                if plan.output is None and not plan.ordered:
                                    await printer.advance()
                except (ZhipuError, asyncio.CancelledError) as error:
                    stopped = error
        summary = tally.summary(run.progress, output=None if plan.output is None else shown(plan.output))
        if stopped is not None:
            summary.stopped = "interrupted" if isinstance(stopped, asyncio.CancelledError) else type(stopped).__name__
        elif summary.done < len(calls):
            summary.stopped = "interrupted"
        if isinstance(stopped, ConfigError):
            raise stopped
        if plan.ordered and summary.stopped is None:
            await journal.rewrite_in_order()
        if plan.output is None:
            await printer.advance()
        # a run that was cut short does not know all that fails: what an earlier one has found stays
        kept = summary.stopped is not None and plan.resume and plan.errors is not None and plan.errors.exists()
        if plan.errors is not None and not kept and await failed.save(plan.errors):
            summary.errors = shown(plan.errors)
        _tell(plan, summary)
        if stopped is not None:
            # that of the run is for those who wrote it in Python; the command says its own
            stopped.__notes__ = [note for note in getattr(stopped, "__notes__", ()) if "resume=True" not in note]
            raise stopped
        return summary


def _begun(client: AsyncZhipuAI, plan: Plan, calls: Input, journal: Journal) -> tuple[Run, Callable[[], object] | None]:
    """The run, and what lets it finish no more than what is under way; batches go on by themselves."""
    if plan.via is Via.BATCH:
        return client.run_batches(calls, journal=journal), None
    run: FanOut[Any] = client.fan_out(calls, journal=journal, **plan.options)
    return run, run.stop


class _Signals:
    """Ctrl-C and SIGTERM: the first stops the run, where it can be, and the second cancels this task.

    Of a run that cannot be stopped, Ctrl-C is Python's own, and SIGTERM cancels.
    """

    def __init__(self) -> None:
        self.code = 130
        """With which the command ends: 128 and the signal's number."""
        self._before: dict[signal.Signals, Any] = {}
        """The signals that are handled, and what did so before."""

    @contextlib.contextmanager
    def stopping(self, run: Run, stop: Callable[[], object] | None, line: progress.Line) -> Generator[None]:
        """Handle them during the block."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        pressed = stop is None

        def press(number: signal.Signals) -> None:
            nonlocal pressed
            self.code = 128 + number
            if pressed and task is not None:
                self._release()  # once more, it is Python's or the system's own
                task.cancel()
                return
            pressed = True
            if stop is not None:
                stop()
            line.stop()
            name = "Ctrl-C" if number == signal.SIGINT else number.name
            remark(f"finishing the {run.progress.in_flight} calls that are under way; {name} again stops now")

        for number in (signal.SIGTERM,) if stop is None else (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            # Windows has no such handlers, other threads get no signals, and what is told to ignore one goes on with it
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                if before is not signal.SIG_IGN:
                    loop.add_signal_handler(number, press, number)
                    self._before[number] = before
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        """Leave the signals to those who had them before."""
        while self._before:
            number, before = self._before.popitem()
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, before)


def _tell(plan: Plan, summary: Summary) -> None:
    if plan.as_json:
        write_line(msgspec.json.encode(summary).decode())
        return
    for text in summary.lines():
        remark(text)
    if summary.errors is not None:
        remark(f"the failed calls, to be run again: {summary.errors}")
    elif summary.failed and plan.errors is None and plan.output is not None:
        remark("to have the failed calls in a file that can be run again, add: --resume --errors failed.jsonl")
    if plan.output is not None and summary.stopped is None:
        write_line(shown(plan.output))
