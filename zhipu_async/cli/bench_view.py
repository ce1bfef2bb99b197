"""What ``bench`` shows at a terminal: tables, bars, a comparison, and what the figures mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from ..benchmarking import Comparison, LoadReport, Report
from ..benchmarking.comparison import CONFIDENCE, METHOD, Change
from ..benchmarking.measures import GOODPUT, MEANINGS, METRICS, RATES, Distribution, places_empty
from .shared import remark
from .terminal import console, in_words_of_the_command_line, say

_SHOWN = ("ttft", "ttfo", "tpot", "itl", "e2el")
"""Metrics of the table, in milliseconds."""
_DRAWN = ("ttft", "tpot", "e2el")
_WIDE = 10_000
"""Columns that rich is told: it would cut numbers at the end of a line, which a terminal wraps instead."""
_FEW = 20
"""Requests for each place of a closed load below which its end shows in throughput."""
_BAR = 40
"""Columns of a bar."""
_BUSY = 0.7
"""Share of a processor above which the client may be what is slow."""
_LATE = 0.05
"""Share of TTFT above which late starts are told."""


def show(report: Report) -> None:
    """The report as tables on standard output, and what is to be known about it on standard error."""
    out = console()
    for model, loads in groupby(report.loads, lambda load: load.model):
        found = list(loads)
        say(out, f"{model}\n", "bold")
        for make in (_counts, _latencies):
            _print_fitting(partial(make, found))
            say(out, "\n")
    for note in _notes(report):
        remark(note)


def _table(*columns: str, words: int = 1) -> Table:
    """A table without lines: the first ``words`` columns hold words, the others numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < words else "right", no_wrap=True)
    return table


def _print(table: Table) -> None:
    """Print a table with every cell whole."""
    out = console()
    out.width = _WIDE
    out.print(table)


def _print_fitting(make: Callable[[bool], Table]) -> None:
    """Print a table, in its brief form where a terminal is too narrow for the other."""
    out = console()
    width, out.width = out.width, _WIDE
    table = make(False)
    _print(make(True) if out.is_terminal and out.measure(table).maximum > width else table)


def _title(title: str, brief: bool) -> str:
    """The title of a row, which has its explanation behind a comma."""
    return title.partition(",")[0] if brief else title


def _counts(loads: Sequence[LoadReport], brief: bool) -> Table:
    good = any("goodput" in load.summary.rates for load in loads)
    names = ["answered", "failed", "refused", "req/s", "tok/s" if brief else "output tok/s", "tok/s each"]
    table = _table(_load_title(loads), *names, *(["goodput/s"] if good else []), words=0)
    for load in loads:
        summary, rates = load.summary, load.summary.rates
        cells = [str(summary.completed), str(summary.failed), str(summary.refused)]
        cells += [_number(rates[name]) for name in ("request_throughput", "output_throughput")]
        speed = summary.metrics.get("speed")
        cells.append("" if speed is None else _number(speed.p50))
        cells += [_number(rates["goodput"])] if good else []
        table.add_row(f"{load.value:g}", *cells)
    return table


def _load_title(loads: Sequence[LoadReport]) -> str:
    return "at a time" if loads[0].mode == "closed" else "per second"


def _latencies(loads: Sequence[LoadReport], brief: bool) -> Table:
    table = _table("ms" if brief else "milliseconds", _load_title(loads), "mean", "p50", "p90", "p99", "most")
    metrics = {metric.name: metric for metric in METRICS}
    for name in _SHOWN:
        found = [(load, load.summary.metrics[name]) for load in loads if name in load.summary.metrics]
        if name == "ttfo" and all(part == load.summary.metrics["ttft"] for load, part in found):
            continue  # without thinking the two are the same
        for place, (load, part) in enumerate(found):
            title = _title(f"{name.upper()}, {metrics[name].title}", brief) if place == 0 else ""
            values = (part.mean, part.p50, part.p90, part.p99, part.most)
            table.add_row(title, f"{load.value:g}", *(_milliseconds(value) for value in values))
    return table


def _notes(report: Report) -> Iterator[str]:
    """What a reader has to know beside the figures."""
    prompts = report.settings.get("prompts", {})
    asked = sum(load.summary.completed for load in report.loads)
    counted = sum(load.summary.prompt_tokens for load in report.loads)
    cached = sum(load.summary.cached_tokens for load in report.loads)
    if asked:
        wanted = f" for {prompts['tokens']} that were estimated" if "tokens" in prompts else ""
        yield f"prompts: {counted / asked:,.0f} tokens each as the service counted{wanted}, {cached:,} of all cached"
    for load in report.loads:
        name, summary = f"{load.model}, {load.label}", load.summary
        if load.cut_short:
            of = "" if load.wanted is None else f" of {load.wanted:,}"
            yield f"{name}: CUT SHORT after {len(load.samples):,}{of} requests; {load.unfinished} were under way"
        if load.gave_up:
            yield f"{name}: ended early, as nothing but failures came"
        for error, count in summary.errors.items():
            yield f"{name}: {count} x {error}{_first(load, error)}"
        if other := {reason: count for reason, count in summary.finish_reasons.items() if reason != "length"}:
            told = ", ".join(f"{count} x {reason}" for reason, count in other.items())
            yield f"{name}: answers that ended before --max-tokens: {told}"
        if summary.uncounted:
            yield f"{name}: {summary.uncounted} answers came without usage: their chunks are counted as tokens"
        if load.client_cpu > _BUSY:
            yield f"{name}: this process used {load.client_cpu:.0%} of a processor: it may be what is slow"
        yield from _few(load, name)
        lag, first = summary.metrics.get("lag"), summary.metrics.get("ttft")
        if lag is not None and first is not None and lag.p99 > _LATE * first.p50:
            yield f"{name}: 1 % of the requests began {_milliseconds(lag.p99)} ms or more behind plan"


def _first(load: LoadReport, error: str) -> str:
    """What the first error of this kind says."""
    said = next((sample.message for sample in load.samples if sample.error == error), None)
    return f", the first: {in_words_of_the_command_line(said)}" if said else ""


def _few(load: LoadReport, name: str) -> Iterator[str]:
    """What the end of a closed load takes from its throughput, where it has few requests."""
    sent = len(load.samples)
    if load.mode != "closed" or load.cut_short or load.gave_up or sent >= _FEW * load.value:
        return
    time, less = places_empty(load.samples, int(load.value), load.seconds)
    if round(less, 2) > 0:
        yield (
            f"{name}: for {time:.0%} of the time not all places were in use, which makes throughput {less:.0%} too "
            f"low: {sent:,} requests are few for {load.value:g} at a time, {_FEW * load.value:,.0f} are enough"
        )


def draw(report: Report) -> None:
    """Bars on standard output: throughput by load, and where latencies lie between p50 and p99."""
    out = console()
    rates = [(load, 0.0, load.summary.rates["output_throughput"]) for load in report.loads]
    out.print(Text(f"output tokens/s, by requests {_load_title(report.loads)}", style="bold"))
    _print(_bars(rates, [_number(rate) for _, _, rate in rates]))
    for name in _DRAWN:
        found = [(load, load.summary.metrics[name]) for load in report.loads if name in load.summary.metrics]
        out.print(Text(f"{name.upper()}, milliseconds from p50 to p99", style="bold"))
        _print(_bars([(load, part.p50, part.p99) for load, part in found], [_span(part) for _, part in found]))


def _bars(spans: Sequence[tuple[LoadReport, float, float]], texts: Sequence[str]) -> Table:
    """A bar for each load from one figure to the other, all on one scale."""
    most = max((high for _, _, high in spans), default=0.0) or 1.0
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(width=_BAR, no_wrap=True)
    table.add_column(no_wrap=True)
    before = ""
    for (load, low, high), text in zip(spans, texts, strict=True):
        thin = most / _BAR if high else 0.0  # what is thinner than a column would not be seen
        bar = Bar(most, min(low, most - thin), max(high, low + thin), width=_BAR, color="cyan") if high else ""
        table.add_row(load.model if load.model != before else "", f"{load.value:g}", bar, text)
        before = load.model
    return table


def _span(part: Distribution) -> str:
    return f"{_milliseconds(part.p50)} - {_milliseconds(part.p99)}"


def show_comparison(comparison: Comparison, a: str, b: str) -> None:
    """The comparison on standard output, and its notes on standard error."""
    out = console()
    say(out, f"A {a}\nB {b}\n")
    for (model, load), changes in groupby(comparison.changes, lambda change: (change.model, change.load)):
        say(out, f"\n{model}, {load}\n", "bold")
        _print_fitting(partial(_changes, list(changes)))
    say(out, "\n")
    for note in (*comparison.notes, METHOD):
        remark(note)


def _changes(changes: Sequence[Change], brief: bool) -> Table:
    table = _table("", "A", "B", "B/A", f"{CONFIDENCE} % interval", "")
    for change in changes:
        style = {"worse": "red", "better": "green"}.get(change.verdict, "")
        verdict = "REGRESSION" if change.regression else "" if change.verdict == "same" else change.verdict
        form = _FORMS.get(change.name, _with_unit)
        ratio = "" if change.ratio is None else f"{change.ratio:.3f}"
        interval = "" if change.low is None else f"{change.low:.3f} - {change.high:.3f}"
        figures = (form(change.before), form(change.after), ratio, interval)
        table.add_row(_title(change.title, brief), *figures, Text(verdict, style))
    return table


def explain() -> None:
    """What each figure means, on standard output."""
    out = console()
    for metric in METRICS:
        _paragraph(f"{metric.name.upper()}, {metric.title} ({metric.unit})", metric.definition)
    for rate in RATES:
        _paragraph(f"{rate.title} ({rate.name})", rate.definition)
    _paragraph("goodput", GOODPUT)
    for meaning in MEANINGS:
        out.print(Text(f"{meaning}\n"))


def _paragraph(title: str, text: str) -> None:
    out = console()
    say(out, f"{title}\n", "bold")
    out.print(Text(f"{text}\n"))


def _number(value: float) -> str:
    """Three digits at least."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _milliseconds(seconds: float) -> str:
    return _number(seconds * 1000)


def _with_unit(seconds: float) -> str:
    return f"{_milliseconds(seconds)} ms"


_FORMS: Mapping[str, Callable[[float], str]] = {"speed_p50": _number, "failed": "{:.1%}".format}
"""How a change is written that is no time."""
