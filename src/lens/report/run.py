"""A run as a page: what decides, then pictures, stages, tokens, money, cold starts and further warnings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from lens.metrics.cold_start import ColdStart
from lens.metrics.stages import StageRow
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.report import terminal
from lens.report.essentials import MATTER, print_essentials
from lens.report.figures import other_metrics, other_run_figures
from lens.report.instrument import clocks_say, error_says
from lens.report.plots import print_histogram, print_over_time, print_phases
from lens.report.sessions import print_sessions
from lens.report.tables import WholeTable, print_left_out, without
from lens.units import NS_PER_US, human_duration

if TYPE_CHECKING:
    from lens.analysis.gates.sla import GateResult

# Stages beyond these are counted, not shown.
MOST_STAGES = 200
_STAGE_COLUMNS = (
    "asked/s", "sent/s", "answered/s", "open", "TTFT p50", "TTFT p95", "ITL p50", "ITL p95", "tokens/s", "lag p99", "n",
    "failed",
)  # fmt: skip
# Left out in this order until the table fits the terminal.
_STAGE_DISPENSABLE = (
    "lag p99", "sent/s", "open", "tokens/s", "n", "asked/s", "ITL p50", "TTFT p50", "ITL p95", "TTFT p95",
)  # fmt: skip
_LEAST_NAME = 20  # cells of the name of a stage before a column is left out
# How long fewer requests than this took to be sent at the start says nothing.
_WAVE = 10


def print_report(
    console: Console,
    summary: Summary,
    info: RunInfo,
    files: Sequence[Path] = (),
    *,
    table: Table | None = None,
    verdicts: Sequence[GateResult] = (),
) -> None:
    """Print the whole page of a run: what decides first; last on a terminal that is too short for the page.

    files: that were written; table: its requests, without which there are no drawings of phases and over time;
    verdicts: on the thresholds of the run.
    """
    with console.capture() as essentials:
        print_essentials(console, summary, info, verdicts)
    with console.capture() as rest:
        _print_rest(console, summary, info, table)
    parts = [part.get() for part in (essentials, rest)]
    if console.file.isatty() and sum(part.count("\n") for part in parts) + len(files) >= console.height:
        parts.reverse()  # what decides stays on the screen
    console.file.write("\n".join(filter(None, parts)))
    for path in files:
        terminal.fact(console, "written", str(path))


def _print_rest(console: Console, summary: Summary, info: RunInfo, table: Table | None) -> None:
    """Print the pictures, then a line for each further fact."""
    if table is not None:
        measured = table.measured()
        print_phases(console, measured)
        print_over_time(console, measured)
    print_histogram(console, "TTFT", summary.distributions.get("ttft_ms"))
    _print_targets(console, table, info)
    _print_stages(console, summary.stages)
    _print_no_intervals(console, summary)
    _print_rates(console, summary)
    print_sessions(console, summary)
    _print_cold_start(console, summary.cold_start)
    if summary.gpu_cost:
        each = summary.gpu_cost.get("usd_per_million_output_tokens")
        more = f", {terminal.dollars(round(each, 4))} a million output tokens" if each is not None else ""
        terminal.fact(
            console, "GPU cost", f"{terminal.dollars(round(summary.gpu_cost['usd'], 6))} while measuring{more}"
        )
    terminal.fact(console, "instrument", error_says(info))
    for says in clocks_say(info):
        terminal.fact(console, "clock", terminal.clean(says, 200))
    for warning in summary.warnings[MATTER:]:
        terminal.fact(console, "warning", warning, style="yellow")


def _print_rates(console: Console, summary: Summary) -> None:
    """Print tokens, the server's own times, client lag, connections, money."""
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
    _print_others(console, summary)
    terminal.fact(console, "connections", f"{summary.connections_opened:,} opened while measuring")
    if summary.total_cost is None and summary.unpriced_reason:
        terminal.fact(console, "cost", f"not known: {terminal.clean(summary.unpriced_reason, 200)}", style="dim")
    if summary.total_cost is not None:
        each = f", {terminal.dollars(summary.cost_per_request)} a request"
        unknown = f"; {summary.unpriced} requests have no known cost" if summary.unpriced else ""
        estimate = f"; an estimate for {summary.estimated_costs}" if summary.estimated_costs else ""
        lacks = "".join([f"; {one}" for one in summary.uncounted])
        terminal.fact(console, "cost", f"{terminal.dollars(summary.total_cost)}{each}{estimate}{unknown}{lacks}")


def _print_no_intervals(console: Console, summary: Summary) -> None:
    """Print why values of TTFT have no confidence interval."""
    found = summary.distributions.get("ttft_ms")
    if found and found.n > 1 and found.no_interval:
        reasons = ", ".join([f"{name} ({reason})" for name, reason in found.no_interval.items()])
        terminal.fact(console, "interval", f"no 95 % confidence interval of TTFT {reasons}", style="dim")


def _print_others(console: Console, summary: Summary) -> None:
    """Print a line for each metric that has no other form on the page."""
    for metric in other_metrics():
        found = summary.distributions.get(metric.name)
        if found:
            figures = [("p50", found.median), *list(found.percentiles.items())[-1:], ("max", found.max)]
            says = ", ".join(
                [f"{name} {terminal.in_unit(value, metric.unit)}" for name, value in dict(figures).items()]
            )
            terminal.fact(console, "measured", f"{metric.name} {says} ({found.n:,})")
    for metric, value in other_run_figures(summary):
        terminal.fact(console, "measured", f"{metric.name} {terminal.in_unit(value, metric.unit)}")


def _print_targets(console: Console, table: Table | None, info: RunInfo) -> None:
    """Print a row a target, where there are several."""
    if table is None or len(info.targets) < 2:
        return
    from lens.analysis.sides import sides_of
    from lens.report.compare import print_side_table

    print_side_table(console, sides_of(table))
    console.print()


def _print_stages(console: Console, rows: Sequence[StageRow]) -> None:
    """Print a row for each stage, where there are several; the pace of an open loop in any case."""
    if len(rows) > 1:
        _print_stage_table(console, rows[:MOST_STAGES])
        if len(rows) > MOST_STAGES:
            says = f"{len(rows) - MOST_STAGES:,} stages; `lll analyze --by stage --format csv` has all"
            terminal.fact(console, "more", says, style="dim")
        terminal.fact(console, "TTFT, ITL", "in ms; - where there are too few values", style="dim")
        console.print()
    elif rows and rows[0].asked_per_s is not None and rows[0].sent_per_s is not None:
        row = rows[0]
        lag = ""
        if row.lag_p50_us is not None and row.lag_p99_us is not None:
            lag = f"; sends behind it p50 {_lag(row.lag_p50_us)}, p99 {_lag(row.lag_p99_us)}"
        asked, sent = terminal.number(row.asked_per_s), terminal.number(row.sent_per_s)
        terminal.fact(console, "schedule", f"{asked} requests/s asked, {sent} sent{lag}")
    elif rows and (rows[0].first_wave or 0) >= _WAVE:
        sent = f"{rows[0].first_wave:,} requests sent within {terminal.number(rows[0].first_wave_ms or 0)} ms"
        terminal.fact(console, "first wave", sent)


def _print_stage_table(console: Console, rows: Sequence[StageRow]) -> None:
    cells = [_stage_cells(row) for row in rows]
    shown = [name for name in _STAGE_COLUMNS if any(row[name] for row in cells)]
    table = WholeTable(["stage", *shown], folds={0: _LEAST_NAME})
    for row, found in zip(rows, cells, strict=True):
        table.add_row(terminal.clean(row.name), *[_stage_cell(name, found[name], row) for name in shown])
    print_left_out(console, table.print(console, without(table.columns, _STAGE_DISPENSABLE)))


def _stage_cells(row: StageRow) -> dict[str, str]:
    return {
        "asked/s": terminal.number_or_blank(row.asked_per_s),
        "sent/s": terminal.number_or_blank(row.sent_per_s),
        "answered/s": terminal.number_or_blank(row.answered_per_s),
        "open": terminal.number_or_blank(row.open_mean),
        "TTFT p50": terminal.number_or_blank(row.ttft_p50_ms),
        "TTFT p95": terminal.number_or_blank(row.ttft_p95_ms),
        "ITL p50": terminal.number_or_blank(row.itl_p50_ms),
        "ITL p95": terminal.number_or_blank(row.itl_p95_ms),
        "tokens/s": terminal.number_or_blank(row.output_tokens_per_s),
        "lag p99": "" if row.lag_p99_us is None else _lag(row.lag_p99_us),
        "n": f"{row.requests:,}",
        "failed": f"{row.failed:,}",
    }


def _lag(us: float) -> str:
    return human_duration(us * NS_PER_US)


def _stage_cell(name: str, text: str, row: StageRow) -> Text:
    bad = (name == "failed" and row.failed > 0) or (name == "sent/s" and not row.kept)
    return Text(text or "-", style="bold red" if bad else "")


def _print_cold_start(console: Console, found: ColdStart | None) -> None:
    """Print a line for each thing that was found; nothing where nothing was."""
    if not found:
        return
    for penalty in found.penalties:
        sure = f" ({penalty.low_ms:.3g} to {penalty.high_ms:.3g})" if penalty.low_ms is not None else ""
        text = f"{penalty.phase} {penalty.mean_ms:+.4g} ms{sure} over a fresh connection, {penalty.pairs} pairs"
        terminal.fact(console, "cold", text)
    if found.first_ttft_ms is not None and found.baseline_ttft_ms is not None:
        first, usual = terminal.number(found.first_ttft_ms), terminal.number(found.baseline_ttft_ms)
        terminal.fact(console, "cold", f"the first request waited {first} ms for its token, the others {usual} ms")
    for gap in found.gaps:
        state = "cold" if gap.cold else "warm"
        text = (
            f"after {gap.name} idle: {terminal.number(gap.ttft_ms)} ms, {gap.over_warm_ms:+.4g} ms over warm: {state}"
        )
        terminal.fact(console, "idle", text)
    if found.gaps:
        answer = f"cold after {found.cold_after} idle" if found.cold_after else "warm after every gap that was tried"
        terminal.fact(console, "idle", answer)
    if found.change_at is not None and found.change_ms is not None:
        terminal.fact(console, "change", f"TTFT moved by {found.change_ms:+.4g} ms from request {found.change_at} on")
    if found.load_ms is not None:
        terminal.fact(console, "model load", f"{terminal.number(found.load_ms)} ms, as the server says")
    if found.cache_hit_from is not None and found.cache_saves_ms is not None:
        text = f"prompts were found in it from request {found.cache_hit_from} on; TTFT {-found.cache_saves_ms:+.4g} ms"
        terminal.fact(console, "cache", text)
