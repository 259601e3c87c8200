"""Options for what is said of records, wherever they come from: a run just measured, or files of old ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import click

from lens.cli.command import Option

if TYPE_CHECKING:
    from rich.console import Console

    from lens.metrics.goodput import Slo
    from lens.metrics.summary import Summary
    from lens.model import Record

# metrics.DIALECTS, without loading them for --help
DIALECTS = ("vllm", "sglang", "aiperf", "guidellm", "inference-perf", "llmperf", "otel")
_figures = partial(Option, group="Figures")
SLOS = (
    _figures("--goodput", multiple=True, greedy=True, metavar="SLO...",
        help="Count the requests that keep all of these: ttft:200 tpot:50 e2el:1000 (ms)."),
)  # fmt: skip
FIGURES = (
    *SLOS,
    _figures("--definitions", type=click.Choice(DIALECTS), multiple=True, metavar="TOOL",
        help="Show beside ours what another tool would have said: vllm, sglang, aiperf, guidellm, "
        "inference-perf, llmperf or otel."),
)  # fmt: skip


def slos_of(ctx: click.Context) -> tuple[Slo, ...]:
    """What --goodput asks for.

    Raises:
        ConfigError: one is no SLO.
    """
    said = ctx.params.get("goodput")
    if not said:
        return ()
    from lens.metrics.goodput import parse_slos

    return parse_slos(" ".join(said))


def print_definitions(ctx: click.Context, console: Console, records: Iterable[Record], summary: Summary) -> None:
    """What the tools that --definitions names would have said."""
    names = ctx.params.get("definitions")
    if not names:
        return
    from lens.metrics.tool_definitions import dialect_named, in_dialect
    from lens.report.tool_figures import print_dialect

    kept = list(records)
    for name in dict.fromkeys(names):
        dialect = dialect_named(name)
        print_dialect(console, dialect, in_dialect(dialect, kept), summary)
