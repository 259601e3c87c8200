"""What decides, on one screen: outcome, thresholds, the warnings that matter, throughput, failures, latencies.

A percentile that the number of requests cannot support is a dash; one line below says how many it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from lens.metrics.distribution import Distribution
from lens.metrics.summary import Summary
from lens.model import RunInfo
from lens.report import terminal
from lens.report.sessions import print_session_counts
from lens.report.tables import WholeTable, print_left_out, without
from lens.report.verdicts import print_verdicts

if TYPE_CHECKING:
    from lens.analysis.gates.sla import GateResult

# Row names of the latency table; a row without values is left out.
_ROWS = (
    ("TTFT", "ttft_ms"),
    ("TTFO", "ttfo_ms"),
    ("ITL", "itl_ms"),
    ("TPOT", "tpot_ms"),
    ("total", "total_latency_ms"),
    ("task", "task_ms"),
    ("TTFB", "ttfb_ms"),
    ("connect", "connect_ms"),
    ("tool call", "tool_first_ms"),
    ("tool ready", "tool_ready_ms"),
    (" silent before", "tool_silence_before_ms"),
    (" silent inside", "tool_silence_inside_ms"),
    ("sentence", "first_sentence_ms"),
    ("to valid", "time_to_valid_ms"),
)
_COLUMNS = ("min", "p50", "p90", "p95", "p99", "max", "mean", "n")
# Left out in this order until the table fits the terminal.
_DISPENSABLE = ("min", "p90", "mean", "p99", "n", "max")
# So many warnings stand above the figures, the ones that take the most from them; the others stand below.
MATTER = 2
# Rows that are followed by their confidence intervals; for all it would be a wall of numbers.
_SURE = ("ttft_ms", "itl_ms", "total_latency_ms")


def print_essentials(console: Console, summary: Summary, info: RunInfo, verdicts: Sequence[GateResult] = ()) -> None:
    """Print what decides. verdicts: on the thresholds of the run."""
    _print_head(console, summary, info)
    if verdicts:
        print_verdicts(console, verdicts, gap=False)
    for note in summary.notes:
        terminal.fact(console, "result", note, style="bold")
    for warning in summary.warnings[:MATTER]:
        terminal.fact(console, "warning", warning, style="yellow")
    _print_throughput(console, summary)
    print_session_counts(console, summary)
    _print_failures(console, summary)
    latencies = _latency_table(console, summary)
    if len(latencies):
        console.print()
        left_out = latencies.print(console, without(latencies.columns, _DISPENSABLE))
        print_left_out(console, left_out)
        if len(summary.stages) > 1:
            says = f"the values above are of all {len(summary.stages)} together; each has a row below"
            terminal.fact(console, "stages", says, style="dim")
        _print_needs(console, summary)


def _print_head(console: Console, summary: Summary, info: RunInfo) -> None:
    plain = [terminal.clean(f"{t.provider} {t.model}") for t in info.targets]
    alike = len(set(plain)) < len(plain)
    told = zip(info.targets, plain, strict=True)
    names = [terminal.clean(one.name) if one.named or (alike and one.name) else name for one, name in told]
    console.print(Text(", ".join(names) or "run", style="bold"))
    took = f" in {terminal.number(summary.window_s)} s" if summary.window_s else ""
    failed = summary.requests - summary.successes
    line = Text(f"{summary.requests:,} request{'' if summary.requests == 1 else 's'}{took}: ")
    line.append(f"{summary.successes:,} succeeded", style="green" if summary.successes else "")
    line.append(", ")
    line.append(f"{failed:,} failed", style="bold red" if failed else "")
    if summary.interrupted:
        line.append(f", {summary.interrupted:,} interrupted")
    if summary.retries:
        line.append(f", {summary.retries:,} retries")
    console.print(line)


def _print_failures(console: Console, summary: Summary) -> None:
    """Print a line per kind of failure, with the first message of it."""
    for category, count in summary.by_category.items():
        if category == "success":
            continue
        why = terminal.clean(summary.examples.get(category, ""), 200)
        terminal.fact(console, f"{count:,} x", f"{category}{': ' if why else ''}{why}", style="red")


def _latency_table(console: Console, summary: Summary) -> WholeTable:
    """Return a row for each metric; those that people decide by are followed by their confidence intervals."""
    table = WholeTable(["ms", *_COLUMNS])
    sure = f" {'±' if terminal.blocks(console) else '+-'} 95 %"
    for label, metric in _ROWS:
        found = summary.distributions.get(metric)
        if found is None or (metric == "ttfo_ms" and "thinking_ms" not in summary.distributions):
            continue
        style = "bold" if label == "TTFT" else ""
        table.add_row(Text(label, style=style), *(_figure(found, name) for name in _COLUMNS))
        if metric in _SURE and found.intervals:
            table.add_row(Text(sure, style="dim"), *(_arm(found, name) for name in _COLUMNS))
    return table


def _figure(found: Distribution, name: str) -> Text:
    if name == "n":
        return Text(f"{found.n:,}", style="dim")
    if name in ("min", "max", "mean"):
        return Text(terminal.number(getattr(found, name)))
    return _percentile(found, name)


def _arm(found: Distribution, name: str) -> Text:
    """Return how far off a figure may be, with 95 % confidence: the longer arm of its interval."""
    interval = found.intervals.get(name)
    value = found.mean if name == "mean" else found.percentiles.get(name)
    if interval is None or value is None:
        return Text("")
    return Text(terminal.number(max(interval.high - value, value - interval.low)), style="dim")


def _print_needs(console: Console, summary: Summary) -> None:
    """Print what the rows of intervals say, and how many requests the percentiles need that are a dash."""
    shown = [summary.distributions[metric] for _, metric in _ROWS if metric in summary.distributions]
    needs = {name: least for found in shown for name, least in found.needs.items() if name in _COLUMNS}
    if any(summary.distributions[metric].intervals for metric in _SURE if metric in summary.distributions):
        sign = "±" if terminal.blocks(console) else "+-"
        terminal.fact(
            console, f"{sign} 95 %", "the true value is this close to the one above, in 95 runs of 100", style="dim"
        )
    says = ", ".join(f"{name} needs at least {needs[name]} requests" for name in _COLUMNS if name in needs)
    if says:
        terminal.fact(console, "-", says, style="dim")


def _percentile(found: Distribution, name: str) -> Text:
    """Return the value, or a dash where there are too few values."""
    if name in found.percentiles:
        return Text(terminal.number(found.percentiles[name]), style="bold" if name == "p50" else "")
    return Text("-", style="dim italic")


def _print_throughput(console: Console, summary: Summary) -> None:
    """Print what was answered per second, and how much of it was good."""
    answers = summary.requests_per_second
    rate = [f"{terminal.number(answers)} requests/s" if answers else "no answers"]
    if summary.output_tokens_per_second is not None:
        rate.append(f"{terminal.number(summary.output_tokens_per_second)} output tokens/s")
    if summary.concurrency_mean is not None:
        rate.append(f"{terminal.number(summary.concurrency_mean)} open on average")
    terminal.fact(console, "throughput", ", ".join(rate))
    if summary.goodput_rps is not None and summary.good is not None:
        share = f"{summary.good / summary.requests:.1%} of all" if summary.requests else "none"
        says = f"{terminal.number(summary.goodput_rps)} requests/s met {', '.join(summary.slos)} ({share})"
        terminal.fact(console, "goodput", says)
    if summary.valid_rate is not None:
        why = "".join([f"; {n} not: {terminal.clean(reason)}" for reason, n in summary.invalid.items()])
        terminal.fact(console, "valid", f"{summary.valid_rate:.1%} of the answers{why}")
