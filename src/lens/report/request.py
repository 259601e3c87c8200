"""One request as a page: its phases drawn to scale, its tokens in time, and what else is known.

Everything on one axis from the first stamp to the last, so that lengths can be compared by eye.
"""

from __future__ import annotations

from lens.arrays.dispatch import np
from lens.metrics.definitions import metric_named
from lens.metrics.distribution import percentile
from lens.metrics.rows import Value, error_texts, values_of
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.metrics.token_counts import EVIDENCE
from lens.model import Record, RunInfo, Status
from lens.report import terminal
from lens.report.facts import connection_facts, limit_facts, outcome_facts, tool_facts
from lens.report.figures import other_metrics
from lens.report.instrument import error_says
from lens.report.page import Line, TextPage
from lens.report.phases import PHASES, phases
from lens.units import ms, us

_LEFT = 35  # cells left of a bar: name, start, duration
_MEDIA = ("image input", "image output", "audio input", "audio output")


def print_profile(
    page: TextPage, table: Table, record: Record, info: RunInfo, summary: Summary, *, show_text: bool = True
) -> None:
    """Print the whole page of one request: `table` has it alone, `record` is all that was measured of it."""
    _print_head(page, record, info)
    _print_waterfall(page, table)
    _print_latency(page, table)
    _print_tokens(page, table, record)
    for name, says in (*tool_facts(record), *connection_facts(record), *limit_facts(record)):
        page.fact(name, says)
    if info.calibration:
        page.fact("instrument", error_says(info))
    for warning in summary.warnings:
        page.fact("warning", warning, style="yellow")
    for name, says in outcome_facts(record, error_texts(table)[0]):
        page.fact(name, says, style="" if record.status is Status.SUCCESS else "red")
    if show_text and record.text:
        page.fact("text", terminal.clean(record.text, 240), style="italic")
    page.flush()


def _print_head(page: TextPage, record: Record, info: RunInfo) -> None:
    good = record.status is Status.SUCCESS
    title = Line()
    title.append(f"{terminal.clean(record.provider)} {terminal.clean(record.model)}", style="bold")
    title.append("  ")
    title.append(record.status.value, style="bold green" if good else "bold red")
    if record.category.replace("_", "") != record.status.value.lower():
        title.append(f" ({record.category})", style="" if good else "red")
    page.print(title)
    target = info.targets[record.target_index] if record.target_index < len(info.targets) else None
    where = f"{terminal.clean(target.url)}  " if target else ""
    page.print(Line(f"{where}{record.timestamp}", style="dim"))
    page.print()


def _print_waterfall(page: TextPage, table: Table) -> None:
    """Print a line a phase: name, start, duration, bar; under them the tokens and the axis."""
    shown = phases(table)
    if not shown:
        return
    fine = terminal.blocks(page)
    zero = min(0, *(p.start_ns for p in shown))
    span = max(max(p.end_ns for p in shown) - zero, 1)
    width = max(page.width - _LEFT - 1, 4)
    page.print(Line(f"{'phase':<11}  {'start':>9}  {'took':>9}", style="dim"))
    for phase in shown:
        line = Line(f"{phase.name:<11}  ")
        line.append(f"{terminal.number(ms(phase.start_ns)):>9}", style="dim")
        line.append(f"  {terminal.number(ms(phase.end_ns - phase.start_ns)):>9}  ")
        drawn = terminal.bar((phase.start_ns - zero) / span, (phase.end_ns - zero) / span, width, fine=fine)
        line.append(drawn, style=PHASES[phase.name])
        page.print(line, wrap=False)
    if len(table.at):
        where = np.clip(((table.at - zero) / span * width).astype(np.int64), 0, width - 1)
        cells = np.bincount(where, table.tokens, minlength=width).tolist()
        line = Line(f"{'tokens':<11}  {'':>9}  {int(table.tokens.sum()):>9}  ")
        line.append(terminal.sparkline(cells, fine=fine), style="green")
        page.print(line, wrap=False)
    page.print(Line(f"{_axis(zero, span, width):>{_LEFT + width}}", style="dim"), wrap=False)
    page.print()


def _axis(zero_ns: int, span_ns: int, width: int) -> str:
    """Return times along the bars: at the left, in the middle, at the right; those that have room."""
    left, middle, right = (terminal.number(ms(zero_ns + span_ns * part / 2)) for part in (0, 1, 2))
    gap = width - len(left) - len(right) - 3
    if gap < 1:
        return f"{right} ms"
    return f"{left}{middle if gap > len(middle) + 1 else '':^{max(gap, 1)}}{right} ms"


def _value(table: Table, name: str) -> Value | None:
    """Return a metric of the request; None where it was not measured."""
    return values_of(table, metric_named(name))[0]


def _time(table: Table, name: str) -> str:
    value = _value(table, name)
    return terminal.time_ms(None if value is None else float(value))


def _print_latency(page: TextPage, table: Table) -> None:
    """Print the figures that people look for, the first line in bold."""
    thinks = bool(table.reasoning.any())
    bold = Line()
    for label, name in (("TTFT", "ttft_ms"), ("TTFO", "ttfo_ms"), ("TTFB", "ttfb_ms"), ("total", "total_latency_ms")):
        if _value(table, name) is None or (label == "TTFO" and not thinks):
            continue  # TTFO is the same as TTFT when nobody thinks aloud
        bold.append(f"{'   ' if bold else ''}{label} ")
        bold.append(_time(table, name), style="bold")
    if bold:
        page.fact("latency", bold)
    _print_gaps(page, table)
    rate, decode = _value(table, "tokens_per_second"), _value(table, "decode_tokens_per_second")
    if rate is not None:
        shown = f", {terminal.number(float(decode))} after the first token" if decode else ""
        page.fact("speed", f"{terminal.number(float(rate))} tokens/s{shown}")
    count = _value(table, "stall_count")
    if count is not None:
        says = f"{count} stall{'s' if count != 1 else ''}, longest gap {_time(table, 'longest_gap_ms')}"
        together = _value(table, "coalescing")
        if together:
            says += f", {together:.0%} of token events came together with the one before"
        page.fact("smoothness", says)
    for metric in other_metrics():
        value = _value(table, metric.name)
        if value is not None:
            page.fact("measured", f"{metric.name} {terminal.in_unit(float(value), metric.unit)}")


def _print_gaps(page: TextPage, table: Table) -> None:
    """Print the gaps between tokens; also of a stream that broke."""
    pooled = metric_named("itl_ms").pooled
    if pooled is None:
        return
    gaps = np.sort(pooled(table)[0])
    if not len(gaps):
        return
    tail = f"p99 {terminal.time_ms(percentile(gaps, 99))}" if len(gaps) >= 100 else ""
    says = f"ITL p50 {terminal.time_ms(percentile(gaps, 50))}, {tail or f'max {terminal.time_ms(float(gaps[-1]))}'}"
    evidence = EVIDENCE[int(table.column("evidence")[0])].replace("_", " ")
    says += f", mean {_time(table, 'itl_ms')} ({len(gaps)} gaps, {evidence})"
    page.fact("per token", f"{says}   TPOT {_time(table, 'tpot_ms')}")


def _print_tokens(page: TextPage, table: Table, record: Record) -> None:
    usage = record.usage
    if usage:
        parts = [f"{terminal.count(usage.input_tokens)} in", f"{terminal.count(usage.output_tokens)} out"]
        if usage.cache_read_tokens is not None:
            parts.append(f"{terminal.count(usage.cache_read_tokens)} cached")
        if usage.reasoning_tokens is not None:
            parts.append(f"{terminal.count(usage.reasoning_tokens)} thinking")
        media = {name: getattr(usage, f"{name.replace(' ', '_')}_tokens") for name in _MEDIA}
        parts += [f"{terminal.count(tokens)} of {name}" for name, tokens in media.items() if tokens]
        source = {"usage": "counted by the server"}.get(record.token_source or "usage", f"{record.token_source}")
        page.fact("tokens", f"{', '.join(parts)} ({source})")
    cost = table.costs.decimals("total_cost")[0]
    if cost is not None:
        source = next(iter(table.costs.sources), "")
        estimate = ", an estimate" if table.costs.estimated[0] else ""
        lacks = "".join([f"; {one}" for one in table.costs.lack_of.texts_of_each() if one])
        page.fact("cost", f"{terminal.dollars(cost)} ({source}{estimate}){lacks}")
    elif (reason := table.costs.reason_of.texts_of_each()[0]) and table.book.knows(record.provider):
        page.fact("cost", f"not known: {terminal.clean(reason, 200)}", style="dim")
    for source, took_ms in record.server_timing_ms.items():
        page.fact("server", f"{terminal.clean(source)} {terminal.time_ms(took_ms)}")
    if len(table.lag) and table.kernel[0]:
        ordered = np.sort(table.lag)
        says = (
            f"read p50 {us(percentile(ordered, 50)):.0f} us, max {us(int(ordered[-1])):.0f} us after the kernel's stamp"
        )
        page.fact("client lag", says)
