"""A comparison as a page: the verdict first, then a column per target, then shift by shift how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lens.analysis.compare import Comparison
from lens.analysis.explore.groups import figure_of
from lens.analysis.sides import Compared, Side, shift_verdict, too_few_says, verdict_of
from lens.report import terminal
from lens.report.tables import WholeTable, print_left_out, without

_HOW = {True: "asked in turns", False: "not interleaved: drift between them is not excluded"}
_STYLES = {"better": "green", "worse": "bold red", "same": "dim"}
# Figures of each target: title, metric, statistic.
_FIGURES = (
    ("TTFT p50", "ttft_ms", "p50"),
    ("TTFT p95", "ttft_ms", "p95"),
    ("TTFT p99", "ttft_ms", "p99"),
    ("ITL p50", "itl_ms", "p50"),
    ("ITL p95", "itl_ms", "p95"),
    ("total p50", "total_latency_ms", "p50"),
    ("total p95", "total_latency_ms", "p95"),
    ("tokens/s", "tokens_per_second", "p50"),
)
# Left out in this order until the table fits the terminal.
_DISPENSABLE = (
    "TTFT p99", "ITL p95", "total p50", "tokens/s", "ITL p50", "total p95", "requests/s", "TTFT p50", "TTFT p95",
)  # fmt: skip
_LEAST_NAME = 12  # cells of the name of a target before a column is left out
# The columns of the uncertainty of a difference; the first of these that fit.
_UNCERTAINTY = (("95 %", "p", "could see"), ("95 %",), ("p",), ())
_ABOUT = {
    "95 %": "confidence interval of the difference",
    "p": "how often chance alone shifts as much, corrected for all comparisons",
    "could see": "the smallest difference that these requests would have shown",
}
SHORT_NAME = 8  # a longer one is "base" or "cand." at the head of a column


def print_comparison(
    console: Console, found: Compared, *, notes: Sequence[str] = (), warnings: Sequence[str] = (),
    files: Sequence[Path] = (), instrument: str | None = None,
) -> None:  # fmt: skip
    """Print the whole page but for the gates. notes, warnings: of the run; files: that were written."""
    for one in found.comparisons:
        terminal.fact(console, "verdict", Text(terminal.clean(verdict_of(one)), style=_style(one)))
    console.print()
    columns = side_columns(found.sides)
    if columns.least_width(range(len(columns.columns))) <= console.width:
        columns.print(console)
    else:
        print_side_table(console, found.sides)
    if any(shift.paired for one in found.comparisons for shift in one.shifts):
        terminal.fact(console, "requests/s", "of each target while they took turns", style="dim")
    for side in found.sides:
        _print_failures(console, side)
    told = [(one, _print_shifts(console, one)) for one in found.comparisons]
    left_out = [names for one, names in told if one.shifts]
    for name in [name for name in _ABOUT if not all(name in names for names in left_out)]:
        terminal.fact(console, name, _ABOUT[name], style="dim")
    print_left_out(console, [name for name in _ABOUT if any(name in names for names in left_out)])
    if notes or warnings or files or instrument or any(side.summary.warnings for side in found.sides):
        console.print()
    for note in notes:
        terminal.fact(console, "result", note, style="bold")
    if instrument is not None:
        terminal.fact(console, "instrument", instrument)
    said = dict.fromkeys(warnings, "")
    for side in found.sides:
        for says in side.summary.warnings:
            if says not in said:
                terminal.fact(console, "warning", terminal.clean(f"{side.name}: {says}"), style="yellow")
    for says in said:
        terminal.fact(console, "warning", says, style="yellow")
    for path in files:
        terminal.fact(console, "written", str(path))


def _style(one: Comparison) -> str:
    said = {shift_verdict(shift) for shift in one.shifts}
    return "bold red" if "worse" in said else "bold green" if "better" in said else "bold"


def side_columns(sides: Sequence[Side]) -> WholeTable:
    """Return a column per target: its throughput, its errors, its percentiles."""
    table = WholeTable(["", *[terminal.clean(side.name) for side in sides]])
    table.add_row("requests/s", *[terminal.number(side.summary.requests_per_second) for side in sides])
    table.add_row("failed", *[_failed(side) for side in sides])
    for title, metric, statistic in _FIGURES:
        cells = [figure_of(side.summary, metric, statistic) for side in sides]
        if any(cell is not None for cell in cells):
            table.add_row(title, *map(terminal.number, cells))
    return table


def _failed(side: Side) -> Text:
    failed = side.summary.requests - side.summary.successes
    return Text(f"{failed:,} of {side.summary.requests:,}", style="bold red" if failed else "")


def print_side_table(console: Console, sides: Sequence[Side]) -> None:
    """Print a row a target: its throughput, its errors, its percentiles."""
    table = WholeTable(["target", "requests/s", "failed", *[one[0] for one in _FIGURES]], folds={0: _LEAST_NAME})
    for side in sides:
        table.add_row(
            terminal.clean(side.name),
            terminal.number(side.summary.requests_per_second),
            _failed(side),
            *[terminal.number(figure_of(side.summary, metric, statistic)) for _, metric, statistic in _FIGURES],
        )
    print_left_out(console, table.print(console, without(table.columns, _DISPENSABLE)))


def _print_failures(console: Console, side: Side) -> None:
    for category, count in side.summary.by_category.items():
        if category != "success":
            why = terminal.clean(side.summary.examples.get(category, ""), 200)
            says = f"{terminal.clean(side.name)}: {category}{': ' if why else ''}{why}"
            terminal.fact(console, f"{count:,} x", says, style="red")


def _print_shifts(console: Console, one: Comparison) -> list[str]:
    """Print how two targets differ; return the columns that had no room."""
    console.print()
    how = _HOW[one.paired]
    title = f"{terminal.clean(one.candidate)} against {terminal.clean(one.baseline)}, {how}"
    console.print(Text(title, style="bold"))
    left_out = _print_shift_table(console, one) if one.shifts else []
    if one.too_few or not one.shifts:
        terminal.fact(console, "not compared", too_few_says(one), style="dim")
    if any(one.failed):
        terminal.fact(console, "failed", f"{one.failed[0]} of the baseline, {one.failed[1]} of the candidate")
    if any(one.empty):
        terminal.fact(console, "empty", f"answers: {one.empty[0]} of the baseline, {one.empty[1]} of the candidate")
    return left_out


def _print_shift_table(console: Console, one: Comparison) -> list[str]:
    """Print a row per statistic: both values, their difference with its confidence interval, and the verdict."""
    short = all(len(terminal.clean(name)) <= SHORT_NAME for name in (one.baseline, one.candidate))
    both = [terminal.clean(one.baseline), terminal.clean(one.candidate)] if short else ["base", "cand."]
    table = WholeTable(["", *both, "shift", *_ABOUT, "verdict"], left=(0, 4 + len(_ABOUT)), folds={0: _LEAST_NAME})
    for shift in one.shifts:
        verdict = shift_verdict(shift)
        by = f"{shift.relative:+.1%}" if shift.relative is not None else f"{shift.difference:+.3g}"
        interval = f"{terminal.number(shift.low)} to {terminal.number(shift.high)}"
        sure = (interval, f"{shift.p_adjusted:.3f}", terminal.number(shift.smallest_seen))
        cells = [terminal.number(shift.baseline), terminal.number(shift.candidate), by, *sure]
        table.add_row(f"{shift.metric} {shift.statistic}", *cells, Text(verdict, style=_STYLES[verdict]))
    choices = [[0, 1, 2, 3, *[4 + list(_ABOUT).index(name) for name in sure], 7] for sure in _UNCERTAINTY]
    return table.print(console, choices)
