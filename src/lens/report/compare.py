"""A comparison as a page: the verdict first, then each target's own figures, then shift by shift how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lens.analysis.compare import Comparison, Shift
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


def print_comparison(
    console: Console, found: Compared, *, notes: Sequence[str] = (), warnings: Sequence[str] = (),
    files: Sequence[Path] = (), instrument: str | None = None,
) -> None:  # fmt: skip
    """Print the whole page but for the gates. notes, warnings: of the run; files: that were written."""
    for one in found.comparisons:
        terminal.fact(console, "verdict", Text(terminal.clean(verdict_of(one)), style=_style(one)))
    console.print()
    console.print(side_table(console, found.sides))
    if any(shift.paired for one in found.comparisons for shift in one.shifts):
        terminal.fact(console, "requests/s", "of each target while they took turns", style="dim")
    for side in found.sides:
        _print_failures(console, side)
    for one in found.comparisons:
        _print_shifts(console, one)
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


def side_table(console: Console, sides: Sequence[Side]) -> Table:
    """Return a row a target: its throughput, its errors, its percentiles."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    table.add_column("target", overflow="fold", min_width=8)
    shown = [one for one in _FIGURES if console.width >= one[3]]
    for title in ("requests/s", "failed", *[one[0] for one in shown]):
        table.add_column(title, justify="right", no_wrap=True)
    for side in sides:
        summary = side.summary
        failed = summary.requests - summary.successes
        table.add_row(
            Text(terminal.clean(side.name)),
            terminal.number(summary.requests_per_second),
            Text(f"{failed:,} of {summary.requests:,}", style="bold red" if failed else ""),
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
    how = _HOW[bool(one.shifts) and one.shifts[0].paired]
    title = f"{terminal.clean(one.candidate)} against {terminal.clean(one.baseline)}, {how}"
    console.print(Text(title, style="bold"))
    if one.shifts:
        console.print(_shift_table(console, one.shifts))
    if one.too_few or not one.shifts:
        terminal.fact(console, "not compared", too_few_says(one), style="dim")
    if any(one.failed):
        terminal.fact(console, "failed", f"{one.failed[0]} of the baseline, {one.failed[1]} of the candidate")


def _shift_table(console: Console, shifts: Sequence[Shift]) -> Table:
    """Return a row a figure: both values, by how much they differ, and what that is worth."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    wide = console.width >= WIDE
    for name in ("", "base", "cand.", "shift", *(["95 %", "p", "could see"] if wide else ["p"]), "verdict"):
        table.add_column(name, justify="left" if name in ("", "verdict") else "right", no_wrap=True)
    for shift in shifts:
        verdict = shift_verdict(shift)
        by = f"{shift.relative:+.1%}" if shift.relative is not None else f"{shift.difference:+.3g}"
        p_value = f"{shift.p_adjusted:.3f}"
        sure = [f"{terminal.number(shift.low)} to {terminal.number(shift.high)}", p_value]
        sure.append(terminal.number(shift.smallest_seen))
        cells = [terminal.number(shift.baseline), terminal.number(shift.candidate), by, *(sure if wide else [p_value])]
        table.add_row(f"{shift.metric} {shift.statistic}", *cells, Text(verdict, style=_STYLES[verdict]))
    return table
