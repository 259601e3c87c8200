"""What an experiment found, for people: stage by stage, cold starts, the edge of a search."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lens.metrics.cold_start import ColdStart
from lens.metrics.stages import StageRow
from lens.report import terminal

_COLUMNS = ("asked/s", "sent/s", "answered/s", "open", "TTFT p50", "p95", "tokens/s", "lag p99", "n", "failed")
# On a narrower terminal the column is left out.
_WIDTHS = {"lag p99": 100, "sent/s": 90, "open": 80, "p95": 60}


def print_stages(console: Console, rows: Sequence[StageRow]) -> None:
    """A row a stage, where there are several; the pace of an open loop in any case."""
    if len(rows) > 1:
        console.print(_table(console, rows))
        console.print()
    elif rows and rows[0].asked_per_s is not None and rows[0].sent_per_s is not None:
        row = rows[0]
        lag = ""
        if row.lag_p50_us is not None and row.lag_p99_us is not None:
            lag = f"; sends behind it p50 {row.lag_p50_us:.0f} us, p99 {row.lag_p99_us:.0f} us"
        asked, sent = terminal.number(row.asked_per_s), terminal.number(row.sent_per_s)
        terminal.fact(console, "schedule", f"{asked} requests/s asked, {sent} sent{lag}")


def _table(console: Console, rows: Sequence[StageRow]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    shown = [name for name in _COLUMNS if console.width >= _WIDTHS.get(name, 0)]
    cells = [_cells(row) for row in rows]
    shown = [name for name in shown if any(row[name] for row in cells)]
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for row, found in zip(rows, cells, strict=True):
        table.add_row(terminal.clean(row.name), *[_styled(name, found[name], row) for name in shown])
    return table


def _cells(row: StageRow) -> dict[str, str]:
    def told(value: float | None) -> str:
        return "" if value is None else terminal.number(value)

    return {
        "asked/s": told(row.asked_per_s),
        "sent/s": told(row.sent_per_s),
        "answered/s": told(row.answered_per_s),
        "open": told(row.open_mean),
        "TTFT p50": told(row.ttft_p50_ms),
        "p95": told(row.ttft_p95_ms),
        "tokens/s": told(row.output_tokens_per_s),
        "lag p99": "" if row.lag_p99_us is None else f"{row.lag_p99_us:.0f} us",
        "n": f"{row.requests:,}",
        "failed": f"{row.failed:,}" if row.failed else "",
    }


def _styled(name: str, text: str, row: StageRow) -> Text:
    bad = name == "failed" or (name == "sent/s" and not row.kept)
    return Text(text, style="bold red" if bad else "")


def print_cold_start(console: Console, found: ColdStart | None) -> None:
    """A line for each thing that was found; nothing where nothing was."""
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
