"""Another tool's figures in the terminal, each above the one of ours that stands nearest, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from lens.metrics.distribution import percentile_name
from lens.metrics.summary import Summary
from lens.metrics.tool_definitions import PERCENTS, ToolDefinitions, ToolFigure
from lens.report import terminal
from lens.report.tables import WholeTable, print_left_out, without

# Left out in this order until the table fits the terminal.
_DISPENSABLE = ("p90", "n", "p99", "mean", "p95")
_LEAST_NAME = 16  # cells of the name of a figure before a column is left out


def print_tool(console: Console, tool: ToolDefinitions, figures: Sequence[ToolFigure], summary: Summary) -> None:
    """Print a table of the tool's figures, and its definitions under it."""
    console.print()
    console.print(Text(f"as {tool.name} would have said, ms", style="bold"))
    if figures:
        table = _table(figures, summary)
        print_left_out(console, table.print(console, without(table.columns, _DISPENSABLE)))
    else:
        console.print(Text("nothing: no request succeeded with what it measures", style="dim"))
    terminal.fact(console, "zero", tool.zero)
    terminal.fact(console, "first token", tool.first)
    terminal.fact(console, "end", tool.end)
    for metric in tool.metrics:
        terminal.fact(console, "formula", f"{metric.name} = {metric.formula}")
    for note in tool.notes:
        terminal.fact(console, "note", note)
    if tool.interpolates:
        terminal.fact(console, "note", "its percentiles lie between two values; ours are values that were measured")


def _table(figures: Sequence[ToolFigure], summary: Summary) -> WholeTable:
    names = [percentile_name(percent) for percent in PERCENTS]
    table = WholeTable(["", "mean", *names, "n"], folds={0: _LEAST_NAME})
    for one in figures:
        cells = [terminal.number(value) for value in (one.mean, *[one.percentiles[name] for name in names])]
        table.add_row(one.name, *cells, f"{one.n:,}")
        ours = summary.distributions.get(one.ours)
        if ours:
            row = [terminal.number(v) for v in (ours.mean, *[ours.percentiles.get(name) for name in names])]
            table.add_row(f"  ours: {one.ours}", *row, f"{ours.n:,}", style="dim")
    return table
