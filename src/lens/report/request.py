"""One request as a page: its phases drawn to scale, its tokens in time, and what else is known.

Everything on one axis from the first stamp to the last, so that lengths can be compared by eye.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from lens.metrics.definitions import measure
from lens.metrics.summary import Summary, percentile
from lens.metrics.timeline import first_at_ns, last_at_ns, timeline
from lens.model import OUTPUT, Record, RunInfo, Signal, Status
from lens.pricing import PriceBook
from lens.report import terminal
from lens.report.facts import connection_facts, limit_facts, outcome_facts
from lens.report.instrument import error_says
from lens.units import NS_PER_MS, ms, us


class Phase(NamedTuple):
    """One bar; absolute ns."""

    name: str
    start_ns: int
    end_ns: int
    style: str


# Name, first stamp, last stamp, colour.
_STAMPED = (
    ("queue", "intended", "start", "bright_black"),
    ("DNS", "dns_start", "dns_end", "cyan"),
    ("TCP", "tcp_start", "tcp_end", "blue"),
    ("proxy", "proxy_start", "proxy_end", "magenta"),
    ("TLS", "tls_start", "tls_end", "bright_magenta"),
    ("send", "send_start", "send_end", "white"),
    ("wait", "send_end", "first_byte", "yellow"),
)
# A queue shorter than this is the clock's grain, not a wait.
_QUEUE_AT_LEAST_NS = 50_000


def phases(record: Record) -> Iterator[Phase]:
    """The phases that were measured, in the order in which they happen."""
    stamps = record.stamps
    for name, first, last, style in _STAMPED:
        start, end = getattr(stamps, first), getattr(stamps, last)
        if start is None or end is None or (name == "queue" and end - start < _QUEUE_AT_LEAST_NS):
            continue
        # The answer's first byte may be stamped before the call that sent the request has returned.
        yield Phase(name, min(start, end), end, style)
    token, last_token = first_at_ns(record), last_at_ns(record)
    if token is None or last_token is None:
        if stamps.first_byte is not None and stamps.end is not None:
            yield Phase("answer", stamps.first_byte, stamps.end, "red")
        return
    token, last_token = token + stamps.start, last_token + stamps.start
    if stamps.first_byte is not None:
        yield Phase("first token", stamps.first_byte, token, "bright_yellow")
    thought, answered = first_at_ns(record, Signal.REASONING), first_at_ns(record, OUTPUT)
    if thought is not None:
        until = last_token if answered is None else max(answered, thought) + stamps.start
        yield Phase("thinking", thought + stamps.start, until, "bright_blue")
        token = until
    yield Phase("stream", token, last_token, "green")
    if stamps.end is not None and stamps.end > last_token:
        yield Phase("tail", last_token, stamps.end, "bright_black")


def print_profile(
    console: Console, record: Record, info: RunInfo, book: PriceBook, summary: Summary, *, show_text: bool = True
) -> None:
    """The whole page of one request."""
    _print_head(console, record, info)
    _print_waterfall(console, record)
    _print_latency(console, record)
    _print_tokens(console, record, book)
    for name, says in (*connection_facts(record), *limit_facts(record)):
        terminal.fact(console, name, says)
    if info.calibration:
        terminal.fact(console, "instrument", error_says(info))
    for warning in summary.warnings:
        terminal.fact(console, "warning", warning, style="yellow")
    for name, says in outcome_facts(record):
        terminal.fact(console, name, says, style="" if record.status is Status.SUCCESS else "red")
    if show_text and record.text:
        terminal.fact(console, "text", terminal.clean(record.text, 240), style="italic")


def _print_head(console: Console, record: Record, info: RunInfo) -> None:
    good = record.status is Status.SUCCESS
    title = Text()
    title.append(f"{terminal.clean(record.provider)} {terminal.clean(record.model)}", style="bold")
    title.append("  ")
    title.append(record.status.value, style="bold green" if good else "bold red")
    if record.category.replace("_", "") != record.status.value.lower():
        title.append(f" ({record.category})", style="" if good else "red")
    console.print(title)
    target = info.targets[record.target] if record.target < len(info.targets) else None
    where = f"{terminal.clean(target.url)}  " if target else ""
    console.print(Text(f"{where}{record.timestamp}", style="dim"), overflow="fold")
    console.print()


def _print_waterfall(console: Console, record: Record) -> None:
    """A line a phase: name, start, duration, bar; under them the tokens and the axis."""
    shown = list(phases(record))
    if not shown:
        return
    fine = terminal.blocks(console)
    zero = min(record.stamps.start, *(p.start_ns for p in shown))
    span = max(max(p.end_ns for p in shown) - zero, 1)
    width = max(console.width - 36, 10)
    console.print(Text(f"{'phase':<11}  {'start':>9}  {'took':>9}", style="dim"))
    for phase in shown:
        line = Text(f"{phase.name:<11}  ")
        line.append(f"{terminal.number(ms(phase.start_ns - record.stamps.start)):>9}", style="dim")
        line.append(f"  {terminal.number(ms(phase.end_ns - phase.start_ns)):>9}  ")
        drawn = terminal.bar((phase.start_ns - zero) / span, (phase.end_ns - zero) / span, width, fine=fine)
        line.append(drawn, style=phase.style)
        console.print(line, no_wrap=True, overflow="crop")
    tokens = timeline(record)
    if len(tokens.at_ns):
        cells = [0.0] * width
        for at, brought in zip(tokens.at_ns.tolist(), tokens.tokens.tolist(), strict=True):
            cells[min(int((at + record.stamps.start - zero) / span * width), width - 1)] += brought
        line = Text(f"{'tokens':<11}  {'':>9}  {int(tokens.tokens.sum()):>9}  ")
        line.append(terminal.sparkline(cells, fine=fine), style="green")
        console.print(line, no_wrap=True, overflow="crop")
    axis = _axis(zero - record.stamps.start, span, width)
    console.print(Text(f"{'':35}{axis}", style="dim"), no_wrap=True, overflow="crop")
    console.print()


def _axis(zero_ns: int, span_ns: int, width: int) -> str:
    """Times along the bars: at the left, in the middle, at the right."""
    left, middle, right = (terminal.number(ms(zero_ns + span_ns * part / 2)) for part in (0, 1, 2))
    gap = width - len(left) - len(right) - 3
    return f"{left}{middle if gap > len(middle) + 1 else '':^{max(gap, 1)}}{right} ms"


def _print_latency(console: Console, record: Record) -> None:
    """The figures that people look for, the first line in bold."""
    bold = Text()
    for label, name in (("TTFT", "ttft_ms"), ("TTFO", "ttfo_ms"), ("TTFB", "ttfb_ms"), ("total", "total_latency_ms")):
        value = measure(name, record)
        if label == "TTFO" and first_at_ns(record, Signal.REASONING) is None:
            continue  # the same as TTFT when nobody thinks aloud
        if value is None:
            continue
        bold.append(f"{'   ' if bold else ''}{label} ")
        bold.append(terminal.time_ms(value), style="bold")
    if bold:
        terminal.fact(console, "latency", bold)
    line = timeline(record)
    gaps = sorted(line.token_gaps_ns() / NS_PER_MS)
    if gaps:
        tail = f"p99 {terminal.time_ms(percentile(gaps, 99))}" if len(gaps) >= 100 else ""
        says = f"ITL p50 {terminal.time_ms(percentile(gaps, 50))}, {tail or f'max {terminal.time_ms(gaps[-1])}'}"
        says += f", mean {terminal.time_ms(measure('itl_ms', record))} ({len(gaps)} gaps, {_evidence(line.evidence)})"
        says += f"   TPOT {terminal.time_ms(measure('tpot_ms', record))}"
        terminal.fact(console, "per token", says)
    rate, decode = measure("tokens_per_second", record), measure("decode_tokens_per_second", record)
    if rate is not None:
        shown = f", {terminal.number(decode)} after the first token" if decode else ""
        terminal.fact(console, "speed", f"{terminal.number(rate)} tokens/s{shown}")
    _print_smoothness(console, record)


def _evidence(evidence: str | None) -> str:
    return (evidence or "").replace("_", " ")


def _print_smoothness(console: Console, record: Record) -> None:
    count, gap = measure("stall_count", record), measure("longest_gap_ms", record)
    if count is None:
        return
    says = f"{count} stall{'s' if count != 1 else ''}, longest gap {terminal.time_ms(gap)}"
    together = measure("coalescing", record)
    if together:
        says += f", {together:.0%} of token events came together with the one before"
    terminal.fact(console, "smoothness", says)


def _print_tokens(console: Console, record: Record, book: PriceBook) -> None:
    usage = record.usage
    if usage:
        parts = [f"{terminal.count(usage.input_tokens)} in", f"{terminal.count(usage.output_tokens)} out"]
        if usage.cache_read_tokens is not None:
            parts.append(f"{terminal.count(usage.cache_read_tokens)} cached")
        if usage.reasoning_tokens is not None:
            parts.append(f"{terminal.count(usage.reasoning_tokens)} thinking")
        source = {"usage": "counted by the server"}.get(record.token_source or "usage", f"{record.token_source}")
        terminal.fact(console, "tokens", f"{', '.join(parts)} ({source})")
    cost = book.cost(record)
    if cost.total_cost is not None:
        terminal.fact(console, "cost", f"{terminal.dollars(cost.total_cost)} ({cost.source})")
    for source, took_ms in record.server_timing_ms.items():
        terminal.fact(console, "server", f"{terminal.clean(source)} {terminal.time_ms(took_ms)}")
    lags = timeline(record).lag_ns
    if len(lags) and record.stamp_kind == "kernel":
        ordered = sorted(lags.tolist())
        says = f"read p50 {us(percentile(ordered, 50)):.0f} us, max {us(ordered[-1]):.0f} us after the kernel's stamp"
        terminal.fact(console, "client lag", says)
