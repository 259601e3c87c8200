"""Another tool's figures in the terminal, each above the one of ours that stands nearest, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lens.metrics.distribution import percentile_name
from lens.metrics.summary import Summary
from lens.metrics.tool_definitions import PERCENTS, ToolDefinitions, ToolFigure
from lens.report import terminal


def print_tool(console: Console, tool: ToolDefinitions, figures: Sequence[ToolFigure], summary: Summary) -> None:
    """Print a table of the tool's figures, and its definitions under it."""
    console.print()
    console.print(Text(f"as {tool.name} would have said, ms", style="bold"))
    if figures:
        console.print(_table(figures, summary))
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


def _table(figures: Sequence[ToolFigure], summary: Summary) -> Table:
    names = [percentile_name(percent) for percent in PERCENTS]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in ("mean", *names, "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in figures:
        cells = [terminal.number(value) for value in (one.mean, *[one.percentiles[name] for name in names])]
        table.add_row(Text(one.name), *cells, f"{one.n:,}")
        ours = summary.distributions.get(one.ours)
        if ours:
            row = [terminal.number(v) for v in (ours.mean, *[ours.percentiles.get(name) for name in names])]
            table.add_row(f"  ours: {one.ours}", *row, f"{ours.n:,}", style="dim")
    return table
