"""Pictures of a run made of characters: where the time went, what happened when, how values are spread.

Every picture has its scale beside it, in the unit of the metric; where block characters cannot
be shown, plain ones are drawn, and a picture without values is left out.
"""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.text import Text

from lens.metrics.columns import Column
from lens.metrics.distribution import Distribution, Histogram
from lens.metrics.table import Table
from lens.report import terminal
from lens.report.phases import PHASES, phase_totals
from lens.report.time_series import medians_over_time, span_ns, time_series
from lens.units import NS_PER_S, ms

# Left of a picture: name, two numbers.
LEFT = 35


def print_phases(console: Console, measured: Table) -> None:
    """Print the mean request, phase after phase, to scale; of those that succeeded."""
    totals = phase_totals(measured)
    if not totals.had.any():
        return
    fine, width = terminal.blocks(console), max(console.width - LEFT, 10)
    means = totals.mean_ns[0]
    requests, span, at = int(totals.n[0]), max(float(means.sum()), 1.0), 0.0
    console.print(Text(f"{'phase':<11}  {'mean ms':>9}  {'requests':>9}", style="dim"))
    for (name, style), mean, had in zip(PHASES.items(), means.tolist(), totals.had[0].tolist(), strict=True):
        if not had:
            continue
        line = Text(f"{name:<11}  {terminal.number(ms(mean)):>9}")
        line.append(f"  {had if had < requests else 'all':>9}  ", style="dim")
        line.append(terminal.bar(at / span, (at + mean) / span, width, fine=fine), style=style)
        _print_whole(console, line)
        at += mean
    console.print()


def print_over_time(console: Console, measured: Table) -> None:
    """Print what happened when: TTFT, requests open, tokens, failures; a cell a slice of time."""
    if len(measured) < 2:
        return
    zero = int(measured.column("start").min())
    span = span_ns(measured, zero)
    # At least two requests for each cell, or the line would be mostly holes.
    width = max(min(console.width - LEFT - 5, len(measured) // 2, 72), 8)
    step = -(-span // width)
    found = time_series(measured, zero_ns=zero, step_ns=step)
    console.print(Text(f"{'over time':<11}  {'least':>9}  {'most':>9}", style="dim"))
    ttft = medians_over_time(measured, "ttft_ms", zero_ns=zero, step_ns=step, n=len(found.open))
    _print_line(console, "TTFT ms", ttft, "cyan")
    _print_line(console, "open", found.open, "blue")
    _print_line(console, "answers/s", found.requests, "green")
    if found.tokens.any():
        _print_line(console, "tokens/s", found.tokens, "green")
    if found.failed.any():
        _print_line(console, "failed", found.failed, "red")
    end = f"{terminal.number(span / NS_PER_S)} s"
    _print_whole(console, Text(f"{'':{LEFT}}0{end:>{max(len(found.open) - 1, len(end) + 1)}}", style="dim"))
    console.print()


def _print_line(console: Console, name: str, values: Column, style: str) -> None:
    """Print one line: name, least, most, a cell a slice. The scale begins at zero, so that heights can be compared."""
    known = values[~np.isnan(values)]
    if not len(known):
        return
    line = Text(f"{name:<11}  ")
    line.append(f"{_short(float(known.min())):>9}", style="dim")
    line.append(f"  {_short(float(known.max())):>9}  ")
    cells = np.nan_to_num(values).tolist()
    line.append(terminal.sparkline(cells, fine=terminal.blocks(console)), style=style)
    _print_whole(console, line)


def _print_whole(console: Console, line: Text) -> None:
    """Print a line that may be wider than the terminal: its numbers are never cut."""
    console.print(line, no_wrap=True, overflow="ignore", crop=False)


def _short(value: float) -> str:
    """Return a number of few digits; a whole one without a point."""
    return f"{value:.0f}" if value == round(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_histogram(console: Console, name: str, found: Distribution | None) -> None:
    """Print a line a bin; the last holds what lies beyond the axis."""
    if found is None or found.histogram is None:
        return
    console.print(Text(f"{name}, {found.unit}", style="bold"))
    fine, histogram = terminal.blocks(console), found.histogram
    bins = [_bin(histogram, i, found.max) for i in range(len(histogram.counts))]
    label, top = max(19, *map(len, bins)), max(histogram.counts)
    width = max(min(console.width - label - max(len(f" {top:,}"), 12) - 1, 60), 10)
    for name, count in zip(bins, histogram.counts, strict=True):
        line = Text(f"{name:>{label}}", style="dim")
        if count:
            line.append(f" {terminal.bar(0, count / top, width, fine=fine)}", style="green not dim")
            line.append(f" {count:,}")
        _print_whole(console, line)
    console.print()


def _bin(histogram: Histogram, i: int, greatest: float) -> str:
    edges = histogram.edges
    last = i == len(histogram.counts) - 1
    return f"{terminal.number(edges[i])} - {terminal.number(greatest if last else edges[i + 1])}"
