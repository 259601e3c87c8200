"""A run as a page: outcomes, latency table, throughput, tokens, money, histogram, doubts.

A percentile that the number of requests cannot support is shown as the number it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lens.export import terminal
from lens.metrics.summary import Distribution, Histogram, Summary
from lens.model import RunInfo

# Row names of the latency table; a row without values is left out.
_ROWS = (
    ("TTFT", "ttft_ms"),
    ("TTFO", "ttfo_ms"),
    ("ITL", "itl_ms"),
    ("TPOT", "tpot_ms"),
    ("total", "total_latency_ms"),
    ("TTFB", "ttfb_ms"),
    ("connect", "connect_ms"),
)
_COLUMNS = ("p50", "p90", "p95", "p99")


def print_report(console: Console, summary: Summary, info: RunInfo, files: Sequence[Path] = ()) -> None:
    """The whole page of a run."""
    _print_head(console, summary, info)
    if summary.distributions:
        console.print(_latency_table(summary))
    _print_rates(console, summary)
    _print_histogram(console, summary.distributions.get("ttft_ms"))
    for warning in summary.warnings:
        terminal.fact(console, "warning", warning, style="yellow")
    for path in files:
        terminal.fact(console, "written", str(path))


def _print_head(console: Console, summary: Summary, info: RunInfo) -> None:
    names = ", ".join(f"{terminal.clean(t.provider)} {terminal.clean(t.model)}" for t in info.targets)
    console.print(Text(names or "run", style="bold"))
    took = f" in {terminal.number(summary.window_s)} s" if summary.window_s else ""
    failed = summary.requests - summary.successes
    line = Text(f"{summary.requests:,} requests{took}: ")
    line.append(f"{summary.successes:,} succeeded", style="green" if summary.successes else "")
    line.append(", ")
    line.append(f"{failed:,} failed", style="bold red" if failed else "")
    if summary.retries:
        line.append(f", {summary.retries:,} retries")
    console.print(line)
    for category, count in summary.by_category.items():
        if category == "success":
            continue
        why = terminal.clean(summary.examples.get(category, ""), 200)
        terminal.fact(console, f"{count:,} x", f"{category}{': ' if why else ''}{why}", style="red")
    console.print()


def _latency_table(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    table.add_column("ms", no_wrap=True)
    for name in ("min", *_COLUMNS, "max", "mean", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for label, metric in _ROWS:
        found = summary.distributions.get(metric)
        if found is None or (metric == "ttfo_ms" and "thinking_ms" not in summary.distributions):
            continue
        cells = [Text(terminal.number(found.min)), *(_percentile(found, name) for name in _COLUMNS)]
        cells += [Text(terminal.number(found.max)), Text(terminal.number(found.mean))]
        cells.append(Text(f"{found.n:,}", style="dim"))
        table.add_row(Text(label, style="bold" if label == "TTFT" else ""), *cells)
    return table


def _percentile(found: Distribution, name: str) -> Text:
    """The value, or how many values it would need."""
    if name in found.percentiles:
        return Text(terminal.number(found.percentiles[name]), style="bold" if name == "p50" else "")
    return Text(f"n>={found.needs[name]}" if name in found.needs else "-", style="dim italic")


def _print_rates(console: Console, summary: Summary) -> None:
    """Throughput, tokens, connections, client lag, money."""
    console.print()
    rate = [f"{terminal.number(summary.requests_per_second)} requests/s"]
    if summary.output_tokens_per_second is not None:
        rate.append(f"{terminal.number(summary.output_tokens_per_second)} output tokens/s")
    if summary.concurrency_mean is not None:
        rate.append(f"{terminal.number(summary.concurrency_mean)} requests open on average")
    terminal.fact(console, "throughput", ", ".join(rate))
    if summary.output_tokens is not None:
        says = f"{terminal.count(summary.input_tokens)} in, {terminal.count(summary.output_tokens)} out"
        speed = summary.distributions.get("tokens_per_second")
        says += f"; {terminal.number(speed.median)} tokens/s a request (median)" if speed else ""
        terminal.fact(console, "tokens", says)
    for source, found in summary.server_timing_ms.items():
        terminal.fact(console, "server", f"{terminal.clean(source)} p50 {terminal.time_ms(found.median)}")
    lag = summary.distributions.get("client_lag_us")
    if lag:
        tail = f"p99 {lag.percentiles['p99']:.0f} us, " if "p99" in lag.percentiles else ""
        terminal.fact(console, "client lag", f"p50 {lag.median:.0f} us, {tail}max {lag.max:.0f} us")
    stalls = summary.distributions.get("stall_count")
    if stalls and stalls.max:
        terminal.fact(console, "stalls", f"{round(stalls.mean * stalls.n):,} in {stalls.n:,} requests")
    terminal.fact(console, "connections", f"{summary.connections_opened:,} opened while measuring")
    if summary.total_cost is not None:
        each = f", {terminal.dollars(summary.cost_per_request)} a request"
        unknown = f"; {summary.unpriced} requests have no known cost" if summary.unpriced else ""
        terminal.fact(console, "cost", f"{terminal.dollars(summary.total_cost)}{each}{unknown}")


def _print_histogram(console: Console, found: Distribution | None) -> None:
    """TTFT in bins; the last holds what lies beyond the axis."""
    if found is None or found.histogram is None:
        return
    console.print()
    console.print(Text("TTFT, ms", style="bold"))
    fine, histogram = terminal.blocks(console), found.histogram
    width = max(min(console.width - 32, 60), 10)
    top = max(histogram.counts)
    for i, count in enumerate(histogram.counts):
        line = Text(f"{_bin(histogram, i, found.max):>19}", style="dim")
        if count:
            line.append(f" {terminal.bar(0, count / top, width, fine=fine)}", style="green not dim")
            line.append(f" {count:,}")
        console.print(line, no_wrap=True, overflow="crop")
    console.print()


def _bin(histogram: Histogram, i: int, greatest: float) -> str:
    edges = histogram.edges
    last = i == len(histogram.counts) - 1
    return f"{terminal.number(edges[i])} - {terminal.number(greatest if last else edges[i + 1])}"
