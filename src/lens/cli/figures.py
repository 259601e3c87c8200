"""Options for what is said of records, wherever they come from: a run just measured, or files of old ones."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from lens.cli.command import Option

if TYPE_CHECKING:
    from rich.console import Console

    from lens.metrics.goodput import Slo
    from lens.metrics.summary import Summary
    from lens.metrics.table import Table

# The names of tool_definitions.TOOLS, without loading it for --help.
TOOLS = ("vllm", "sglang", "aiperf", "guidellm", "inference-perf", "llmperf", "otel")
_figures = partial(Option, group="Metrics")
SLOS = (
    _figures("--goodput", multiple=True, greedy=True, metavar="SLO...",
        help="Goodput: count the requests that meet all of these SLOs: ttft:200 tpot:50 e2el:1000 (ms)."),
)  # fmt: skip
FIGURES = (
    *SLOS,
    _figures("--definitions", type=click.Choice(TOOLS), multiple=True, metavar="TOOL",
        help="Also show the metrics as another tool defines them: vllm, sglang, aiperf, guidellm, inference-perf, "
        "llmperf or otel."),
)  # fmt: skip


def slos_of(ctx: click.Context) -> tuple[Slo, ...]:
    """Return what --goodput asks for.

    Raises:
        ConfigError: one is no SLO.
    """
    said = ctx.params.get("goodput")
    if not said:
        return ()
    from lens.metrics.goodput import parse_slos

    return parse_slos(" ".join(said))


def print_definitions(ctx: click.Context, console: Console, table: Table, summary: Summary) -> None:
    """Print what the tools that --definitions names would have said."""
    names = ctx.params.get("definitions")
    if not names:
        return
    from lens.metrics.tool_definitions import definitions_of, tool_figures
    from lens.report.tool_figures import print_tool

    for name in dict.fromkeys(names):
        tool = definitions_of(name)
        print_tool(console, tool, tool_figures(tool, table), summary)
