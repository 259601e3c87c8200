"""A comparison as a page: the verdict first, then a column per target, then shift by shift how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lens.analysis.compare import Comparison
from lens.analysis.explore.groups import figure_of
from lens.analysis.sides import Compared, Side, shift_verdict, too_few_says, verdict_of
from lens.report import terminal

_HOW = {True: "asked in turns", False: "not interleaved: drift between them is not excluded"}
_STYLES = {"better": "green", "worse": "bold red", "same": "dim"}
# Figures of each target: title, metric, statistic; and the width from which on a column is shown.
_FIGURES = (
    ("TTFT p50", "ttft_ms", "p50", 0),
    ("TTFT p95", "ttft_ms", "p95", 0),
    ("TTFT p99", "ttft_ms", "p99", 110),
    ("ITL p50", "itl_ms", "p50", 78),
    ("ITL p95", "itl_ms", "p95", 100),
    ("total p50", "total_latency_ms", "p50", 100),
    ("total p95", "total_latency_ms", "p95", 70),
    ("tokens/s", "tokens_per_second", "p50", 90),
)
WIDE = 110
NARROW = 78  # there is no room for intervals below
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
    wanted = Measurement.get(console, console.options.update(max_width=10 * WIDE), columns).maximum
    fits = wanted <= console.width
    console.print(columns if fits else side_table(console, found.sides))
    if any(shift.paired for one in found.comparisons for shift in one.shifts):
        terminal.fact(console, "requests/s", "of each target while they took turns", style="dim")
    for side in found.sides:
        _print_failures(console, side)
    for one in found.comparisons:
        _print_shifts(console, one)
    if any(one.shifts for one in found.comparisons):
        for name in _sureness(console):
            terminal.fact(console, name, _ABOUT[name], style="dim")
    if notes or warnings or files or instrument or any(side.summary.warnings for side in found.sides):
        console.print()
    for note in notes:
        terminal.fact(console, "result", note, style="bold")
    if instrument is not None:
        terminal.fact(console, "instrument", instrument)
    told = dict.fromkeys(warnings, "")
    for side in found.sides:
        for says in side.summary.warnings:
            if says not in told:
                terminal.fact(console, "warning", terminal.clean(f"{side.name}: {says}"), style="yellow")
    for says in told:
        terminal.fact(console, "warning", says, style="yellow")
    for path in files:
        terminal.fact(console, "written", str(path))


def _style(one: Comparison) -> str:
    said = {shift_verdict(shift) for shift in one.shifts}
    return "bold red" if "worse" in said else "bold green" if "better" in said else "bold"


def side_columns(sides: Sequence[Side]) -> Table:
    """Return a column per target: its throughput, its errors, its percentiles."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for side in sides:
        table.add_column(Text(terminal.clean(side.name)), justify="right", no_wrap=True)
    table.add_row("requests/s", *[terminal.number(side.summary.requests_per_second) for side in sides])
    table.add_row("failed", *[_failed(side) for side in sides])
    for title, metric, statistic, _ in _FIGURES:
        cells = [figure_of(side.summary, metric, statistic) for side in sides]
        if any(cell is not None for cell in cells):
            table.add_row(title, *map(terminal.number, cells))
    return table


def _failed(side: Side) -> Text:
    failed = side.summary.requests - side.summary.successes
    return Text(f"{failed:,} of {side.summary.requests:,}", style="bold red" if failed else "")


def side_table(console: Console, sides: Sequence[Side]) -> Table:
    """Return a row a target: its throughput, its errors, its percentiles."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    table.add_column("target", overflow="fold", min_width=8)
    shown = [one for one in _FIGURES if console.width >= one[3]]
    for title in ("requests/s", "failed", *[one[0] for one in shown]):
        table.add_column(title, justify="right", no_wrap=True)
    for side in sides:
        summary = side.summary
        table.add_row(
            Text(terminal.clean(side.name)),
            terminal.number(summary.requests_per_second),
            _failed(side),
            *[terminal.number(figure_of(summary, metric, statistic)) for _, metric, statistic, _ in shown],
        )
    return table


def _print_failures(console: Console, side: Side) -> None:
    for category, count in side.summary.by_category.items():
        if category != "success":
            why = terminal.clean(side.summary.examples.get(category, ""), 200)
            says = f"{terminal.clean(side.name)}: {category}{': ' if why else ''}{why}"
            terminal.fact(console, f"{count:,} x", says, style="red")


def _print_shifts(console: Console, one: Comparison) -> None:
    console.print()
    how = _HOW[one.paired]
    title = f"{terminal.clean(one.candidate)} against {terminal.clean(one.baseline)}, {how}"
    console.print(Text(title, style="bold"))
    if one.shifts:
        console.print(_shift_table(console, one))
    if one.too_few or not one.shifts:
        terminal.fact(console, "not compared", too_few_says(one), style="dim")
    if any(one.failed):
        terminal.fact(console, "failed", f"{one.failed[0]} of the baseline, {one.failed[1]} of the candidate")
    if any(one.empty):
        terminal.fact(console, "empty", f"answers: {one.empty[0]} of the baseline, {one.empty[1]} of the candidate")


def _sureness(console: Console) -> list[str]:
    """Return the columns of the uncertainty of a difference; those that fit."""
    if console.width >= WIDE:
        return ["95 %", "p", "could see"]
    return ["p"] if console.width < NARROW else ["95 %"]


def _shift_table(console: Console, one: Comparison) -> Table:
    """Return a row per statistic: both values, their difference with its confidence interval, and the verdict."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    sure = _sureness(console)
    short = all(len(terminal.clean(name)) <= SHORT_NAME for name in (one.baseline, one.candidate))
    both = [terminal.clean(one.baseline), terminal.clean(one.candidate)] if short else ["base", "cand."]
    for name in ("", *both, "shift", *sure, "verdict"):
        table.add_column(Text(name), justify="left" if name in ("", "verdict") else "right", no_wrap=True)
    for shift in one.shifts:
        verdict = shift_verdict(shift)
        by = f"{shift.relative:+.1%}" if shift.relative is not None else f"{shift.difference:+.3g}"
        known = {
            "95 %": f"{terminal.number(shift.low)} to {terminal.number(shift.high)}",
            "p": f"{shift.p_adjusted:.3f}",
            "could see": terminal.number(shift.smallest_seen),
        }
        cells = [terminal.number(shift.baseline), terminal.number(shift.candidate), by, *[known[name] for name in sure]]
        table.add_row(f"{shift.metric} {shift.statistic}", *cells, Text(verdict, style=_STYLES[verdict]))
    return table
