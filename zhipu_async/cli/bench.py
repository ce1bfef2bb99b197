"""``bench``: how fast models answer, under loads that are given; and two such measurements compared."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import msgspec
import typer

from ..errors import ConfigError, ZhipuError
from ..models import CHAT
from . import progress
from .bench_outputs import Outputs
from .outputs import shown
from .shared import BaseURL, Force, Seconds, examples, exit_codes, model_option, write_line

if TYPE_CHECKING:
    from ..benchmarking import Benchmark, Load, Prompts, Report
    from ..client import AsyncZhipuAI
    from ..protocol.endpoint import Call

T = TypeVar("T")

_CONCURRENCY = "1,8,32"
_TOKENS = 256

_HELP = """Measure how fast models answer: time to first token, time per output token, throughput, errors.

A load is closed (--concurrency: so many requests at any time) or open (--rate: so many requests per second, whether \
or not earlier ones have ended). Each prompt is another one, answers are streamed, nothing is repeated and nothing is \
held back: refusals are counted rather than hidden. It costs what the requests cost.

TTFT: time to first token, thinking included. TTFO: time to first output token, behind the thinking. TPOT: time per \
output token, (E2EL - TTFT) / (output tokens - 1). ITL: inter-token latency, the gaps between chunks. E2EL: end-to-end \
latency. Output tokens/s, total tokens/s, requests/s, goodput. As in vLLM's bench; --explain has the definitions in \
full, and what other benchmarks call them.

At the end of a load with --concurrency places become empty one after the other, which makes throughput too low where \
there are fewer than 20 requests for each: then a note says by how much.

Exit codes: 0 measured, 1 no request of some load was answered, 2 wrong use, 130 Ctrl-C, 143 SIGTERM; these two show \
what was measured.
"""

app = typer.Typer(help=_HELP, invoke_without_command=True, subcommand_metavar="[compare A.json B.json]")


def _option(panel: str, *names: str, **more: Any) -> Any:
    """An option in this part of the help."""
    return typer.Option(*names, rich_help_panel=panel, **more)


_LOAD, _REQUESTS, _CLIENT, _OUTPUT = "Load", "Requests", "Client", "Output"


@app.callback()
def bench(
    context: typer.Context,
    model: Annotated[
        str | None, model_option("Model id, or several with commas between.", kinds=CHAT, several=True)
    ] = None,
    concurrency: Annotated[
        str | None, _option(_LOAD, metavar="N,N", help=f"Requests at the same time. Default: {_CONCURRENCY}.")
    ] = None,
    rate: Annotated[
        str | None, _option(_LOAD, metavar="R,R", help="Requests per second, in the place of --concurrency.")
    ] = None,
    burstiness: Annotated[
        float, _option(_LOAD, metavar="B", help="Of --rate: 1 is Poisson, less comes in bursts, inf is an even beat.")
    ] = 1.0,
    requests: Annotated[
        int | None,
        _option(
            _LOAD,
            metavar="N",
            min=1,
            help="Requests of each load. Default: 100, or --duration. Throughput is sound from 20 for each place on.",
        ),
    ] = None,
    duration: Annotated[
        float | None,
        _option(_LOAD, metavar="SECONDS", help="How long requests of a load begin; those under way are waited for."),
    ] = None,
    warmup: Annotated[
        int | None,
        _option(
            _LOAD, metavar="N", min=0, help="Uncounted requests before each load. Default: its concurrency or rate."
        ),
    ] = None,
    prompt_tokens: Annotated[
        int | None,
        _option(
            _REQUESTS,
            metavar="TOKENS",
            min=16,
            help=f"Length of made-up prompts: common short words, taken as a token each. Default: {_TOKENS}.",
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        _option(_REQUESTS, metavar="FILE", help="Prompts or chats as run reads them; from the beginning when used up."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        _option(
            _REQUESTS,
            metavar="TOKENS",
            min=1,
            help="Most tokens of thinking and answer together. Default: the prompt's own, else 128.",
        ),
    ] = None,
    thinking: Annotated[
        bool | None,
        _option(_REQUESTS, "--thinking/--no-thinking", help="Whether to think first. Default: the model's."),
    ] = None,
    extra_body: Annotated[
        str | None, _option(_REQUESTS, metavar="JSON", help="Further parameters: '{\"ignore_eos\": true}'.")
    ] = None,
    seed: Annotated[
        int | None,
        _option(_REQUESTS, metavar="N", help="Of prompts and arrivals. The same prompts again may be in a cache."),
    ] = None,
    max_retries: Annotated[
        int, _option(_CLIENT, metavar="N", min=0, help="Repeats of a failed request, within its latency.")
    ] = 0,
    adaptive: Annotated[
        bool, _option(_CLIENT, "--adaptive", help="Hold requests back after refusals, as the client usually does.")
    ] = False,
    goodput: Annotated[
        str | None,
        _option(_OUTPUT, metavar="ttft:S,tpot:S", help="Count requests within these seconds; also ttfo, e2el."),
    ] = None,
    json_file: Annotated[
        Path | None, _option(_OUTPUT, "--json", metavar="FILE", help="Save everything, for compare; - prints it alone.")
    ] = None,
    csv_file: Annotated[
        Path | None, _option(_OUTPUT, "--csv", metavar="FILE", help="Save a row for each load; - prints them alone.")
    ] = None,
    plot: Annotated[
        list[Path] | None,
        _option(_OUTPUT, metavar="FILE", help="Draw a .png, .svg or .pdf; - draws at the terminal. May be repeated."),
    ] = None,
    explain: Annotated[bool, _option(_OUTPUT, "--explain", help="Say what each figure means, and exit.")] = False,
    force: Force = False,
    base_url: BaseURL = None,
    timeout: Seconds = None,
) -> None:
    if context.invoked_subcommand is not None:
        return
    with exit_codes():
        if explain:
            from . import bench_view

            bench_view.explain()
            return
        outputs = Outputs(json_file, csv_file, plot or [])
        outputs.check(prompts, force=force)
        from ..benchmarking import Benchmark, undisturbed_client

        models = _listed("--model", model, str)
        chosen = secrets.randbelow(2**32) if seed is None else seed
        client = undisturbed_client(max_retries=max_retries, adaptive=adaptive, base_url=base_url, timeout=timeout)
        benchmark = Benchmark(
            client,
            models=models,
            loads=_loads(concurrency, rate, burstiness),
            prompts=_prompts(prompts, prompt_tokens, models[0], chosen),
            requests=requests,
            duration=duration,
            warmup=warmup,
            max_tokens=max_tokens,
            parameters=_parameters(thinking, extra_body),
            goodput=_limits(goodput),
            seed=chosen,
        )
        benchmark.report.settings |= {"max_retries": max_retries, "adaptive": adaptive}
        stopped = asyncio.run(_measured(client, benchmark))
        report = benchmark.report
        asyncio.run(outputs.write(report))
        if isinstance(stopped, ZhipuError):
            raise stopped
    if stopped is not None:
        raise typer.Exit(stopped)
    if not all(load.summary.completed for load in report.loads):
        raise typer.Exit(1)


@app.command(epilog=examples("zhipu-async bench compare before.json after.json --threshold 0.1"))
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="What --json saved, before.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="And after, or of another model.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Exit with 1 where something is worse by more than this (0.1) and more than noise; or more of the "
            "requests failed, by more percentage points than this (0.1: 10).",
        ),
    ] = None,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Compare two measurements: latencies and tokens/s of single requests, with an interval for noise, and failures.

    ITL, and figures of a whole load such as requests/s, are not compared.
    """
    with exit_codes():
        if threshold is not None and not 0 <= threshold < float("inf"):
            raise ConfigError(f"--threshold must be a share such as 0.1, not {threshold!r}")
        from .. import benchmarking
        from . import bench_view

        comparison = benchmarking.compare(_read(first), _read(second), threshold=threshold)
        if json_wanted:
            write_line(msgspec.json.encode(comparison).decode())
        else:
            bench_view.show_comparison(comparison, shown(first), shown(second))
        if not comparison.pairs:
            raise ConfigError("the two have no load in common")
    if comparison.regressions:
        raise typer.Exit(1)


# ---------------------------------------------------------------- what is asked for


def _listed(option: str, text: str | None, kind: Callable[[str], T]) -> list[T]:
    """The values of an option that takes several, with commas between them."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"{option} is missing")
    try:
        return [kind(part) for part in parts]
    except ValueError:
        raise ConfigError(f"{option} must be numbers with commas between them, not {text!r}") from None


def _loads(concurrency: str | None, rate: str | None, burstiness: float) -> Sequence[Load]:
    from ..benchmarking import Closed, Open

    if concurrency is not None and rate is not None:
        raise ConfigError("--concurrency and --rate are two kinds of load: give one of them")
    if rate is not None:
        return [Open(value, burstiness) for value in _listed("--rate", rate, float)]
    if burstiness != 1.0:
        raise ConfigError("--burstiness goes with --rate")
    wanted = _CONCURRENCY if concurrency is None else concurrency
    return [Closed(value) for value in _listed("--concurrency", wanted, int)]


def _prompts(place: str | None, tokens: int | None, model: str, seed: int) -> Prompts:
    from ..benchmarking import Given, Synthetic

    if place is None:
        return Synthetic(tokens or _TOKENS, seed)
    if tokens is not None:
        raise ConfigError("--prompt-tokens goes with prompts that are made up: give it or --prompts")
    from .run_calls import Reading
    from .run_input import Format, opened

    with opened(place, Format.AUTO, Reading(model)) as calls:
        calls.check()
        found = [_arguments(entry) for entry in calls]
    return Given(found, "standard input" if place == "-" else shown(Path(place)))


def _arguments(entry: Any) -> Mapping[str, Any]:
    """The parameters of a chat that are set; ``entry`` is its call, or an id and its call."""
    from ..resources import Completions

    call = cast("Call[Any]", entry[1] if isinstance(entry, tuple) else entry)
    if call.endpoint != Completions.create.endpoint:
        raise ConfigError(f"--prompts has a call of {call.endpoint.path}: only chats can be measured")
    given = msgspec.structs.asdict(call.arguments)
    return {name: value for name, value in given.items() if value is not None and name not in ("model", "stream")}


def _parameters(thinking: bool | None, extra_body: str | None) -> Mapping[str, Any]:
    parameters: dict[str, Any] = {}
    if thinking is not None:
        parameters["thinking"] = {"type": "enabled" if thinking else "disabled"}
    if extra_body is not None:
        try:
            parameters["extra_body"] = msgspec.json.decode(extra_body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ConfigError(f"--extra-body must be a JSON object: {error}") from None
    return parameters


def _limits(text: str | None) -> Mapping[str, float]:
    """``ttft:0.5,tpot:0.05``."""
    limits: dict[str, float] = {}
    for part in () if text is None else text.split(","):
        name, _, seconds = part.partition(":")
        try:
            limits[name.strip().lower()] = float(seconds)
        except ValueError:
            raise ConfigError(f"--goodput must be like ttft:0.5,tpot:0.05 (seconds), not {text!r}") from None
    return limits


def _read(path: Path) -> Report:
    from ..benchmarking import Report

    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read {shown(path)!r}: {reason}") from None
    try:
        return Report.from_json(data)
    except ConfigError as error:
        raise ConfigError(f"{shown(path)!r} is {error}") from None


# ---------------------------------------------------------------- measuring


async def _measured(client: AsyncZhipuAI, benchmark: Benchmark) -> ZhipuError | int | None:
    """Measure, and give what stopped it, of a signal its exit code; what was measured until then is in the report."""
    loop, task, code = asyncio.get_running_loop(), asyncio.current_task(), 130

    def terminate() -> None:
        nonlocal code
        code = 143
        loop.remove_signal_handler(signal.SIGTERM)  # once more, it is the system's own
        if task is not None:
            task.cancel()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; no signals in other threads
        loop.add_signal_handler(signal.SIGTERM, terminate)
    async with client:
        with progress.counting("warming up") as line, line.following(lambda: _show(benchmark, line)):
            try:
                await benchmark.run()
            except ZhipuError as error:
                return error
            except asyncio.CancelledError:
                return code
    return None


def _show(benchmark: Benchmark, line: progress.Line) -> None:
    """How far it is."""
    title, done, total = benchmark.progress
    if title:
        line.label(title)
        line(done, total)
