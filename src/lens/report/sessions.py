"""Sessions as text: how many there were, where the time of a task went, turn by turn, prefill, and the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from lens.metrics.prefill import Estimate, PrefillFit
from lens.metrics.session_summary import CacheMisses, SessionSummary, TurnRow
from lens.metrics.summary import Summary
from lens.report import terminal
from lens.report.tables import WholeTable, print_left_out, without

_PARTS = {"model": "model", "tool": "tools", "think": "think time", "client": "this client"}
_COLUMNS = ("prompt", "cached", "TTFT p50", "p95", "total p50", "critical", "on path", "broke", "n", "failed")
# Left out in this order until the table fits the terminal.
_DISPENSABLE = ("on path", "total p50", "p95", "critical", "cached", "broke", "prompt", "n")
_LEAST_NAME = 12  # cells of the name of a row before a column is left out


def print_session_counts(console: Console, summary: Summary) -> None:
    """Print how many sessions there were, how many of them were good, and where their time went."""
    for name, says in session_facts(summary):
        terminal.fact(console, name, says)


def session_facts(summary: Summary) -> Iterator[tuple[str, str]]:
    """Yield how many sessions there were, how many of them were good, and where their time went."""
    found = summary.sessions
    if found is None:
        return
    yield "sessions", _counts(found, summary.sessions_per_second)
    if found.good is not None and summary.goodput_sessions_per_second is not None:
        rate = terminal.number(summary.goodput_sessions_per_second)
        yield "goodput", f"{rate} sessions/s met {', '.join(summary.slos)} in every turn ({found.good:,} sessions)"
    if found.cost_mean_usd is not None:
        yield "task cost", _cost(found)
    if found.parts:
        shares = ", ".join([f"{_PARTS[name]} {share:.1%}" for name, share in found.parts.items()])
        yield "task time", f"{shares}; along the critical path"


def print_sessions(console: Console, summary: Summary) -> None:
    """Print sessions turn by turn and by length of the prompt, the cache, and what tokens of the prompt cost."""
    found = summary.sessions
    for name, rows in (("turn", found.turns), ("prompt tokens", found.contexts)) if found is not None else ():
        if len(rows) > 1:
            _print_table(console, name, rows)
            console.print()
    for name, says in prompt_facts(summary):
        terminal.fact(console, name, says)


def prompt_facts(summary: Summary) -> Iterator[tuple[str, str]]:
    """Yield what share of prompts was cached, where the cache broke, and what tokens of the prompt cost."""
    found = summary.sessions
    if found is not None and summary.cache_read_share is not None:
        yield "cache", f"{summary.cache_read_share:.1%} of all tokens of prompts were read from it"
    if found is not None and found.misses is not None:
        yield "cache broke", _misses(found.misses)
    if summary.prefill is not None and _tells(summary.prefill):
        yield "prefill", _prefill(summary.prefill)


def _counts(found: SessionSummary, per_second: float | None) -> str:
    turns = f" of {terminal.number(found.turns_mean)} turns (mean)" if found.turns_mean is not None else ""
    others = [f"{n:,} {what}" for n, what in ((found.failed, "failed"), (found.unfinished, "unfinished")) if n]
    rate = [f"{terminal.number(per_second)} sessions/s"] if per_second else []
    return ", ".join([f"{found.complete:,} complete{turns}", *others, *rate])


def _cost(found: SessionSummary) -> str:
    figures = [(found.cost_mean_usd, "a session (mean)"), (found.cost_p50_usd, "p50"), (found.cost_p95_usd, "p95")]
    said = [f"{terminal.dollars(Decimal(f'{usd:.4g}'))} {name}" for usd, name in figures if usd is not None]
    unknown = f"; {found.unpriced:,} sessions have no known cost" if found.unpriced else ""
    return f"{', '.join(said)}{unknown}"


def _misses(found: CacheMisses) -> str:
    many = (
        f"in {found.sessions:,} session{'s' if found.sessions > 1 else ''}, first at turn {found.turn_p50:g} (median)"
    )
    if found.tokens:
        many += f"; {found.tokens:,} tokens were computed again"
    if found.pause_missed_ms is not None and found.pause_held_ms is not None:
        missed, held = terminal.time_ms(found.pause_missed_ms), terminal.time_ms(found.pause_held_ms)
        many += f"; pause before it {missed}, where the cache held {held} (medians)"
    reasons = [f"{terminal.clean(reason, 60)} {n:,}" for reason, n in found.reasons.items()]
    return f"{many}; the server says {', '.join(reasons)}" if reasons else many


def _tells(found: PrefillFit) -> bool:
    """Return whether tokens of the prompt are known to cost time."""
    return any(one is not None and one.low > 0 for one in (found.uncached_us, found.cached_us))


def _prefill(found: PrefillFit) -> str:
    parts = [f"{terminal.number(found.base_ms.value)} ms{_range(found.base_ms)}"]
    for one, what in ((found.uncached_us, "uncached token"), (found.cached_us, "cached token")):
        if one is not None:
            parts.append(f"{terminal.number(one.value)} us{_range(one)} per {what}")
    return f"TTFT from send = {' + '.join(parts)}; explains {found.explained:.1%} of its variance"


def _range(one: Estimate) -> str:
    return f" ({terminal.number(one.low)} to {terminal.number(one.high)})"


def _print_table(console: Console, name: str, rows: Sequence[TurnRow]) -> None:
    cells = [_cells(row) for row in rows]
    shown = [column for column in _COLUMNS if any(row[column] for row in cells)]
    table = WholeTable([name, *shown], folds={0: _LEAST_NAME})
    for row, found in zip(rows, cells, strict=True):
        table.add_row(row.label, *[Text(found[column], style=_style(column)) for column in shown])
    print_left_out(console, table.print(console, without(table.columns, _DISPENSABLE)))


def _style(column: str) -> str:
    return {"failed": "bold red", "broke": "yellow", "TTFT p50": "bold"}.get(column, "")


def _cells(row: TurnRow) -> dict[str, str]:
    return {
        "prompt": "" if row.input_tokens is None else f"{row.input_tokens:,.0f}",
        "cached": "" if row.cached_share is None else f"{row.cached_share:.0%}",
        "TTFT p50": terminal.number_or_blank(row.ttft_p50_ms),
        "p95": terminal.number_or_blank(row.ttft_p95_ms),
        "total p50": terminal.number_or_blank(row.total_p50_ms),
        "critical": terminal.number_or_blank(row.critical_ms),
        "on path": "" if row.on_path is None else f"{row.on_path:.0%}",
        "broke": f"{row.missed:,}" if row.missed else "",
        "n": f"{row.requests:,}",
        "failed": f"{row.failed:,}" if row.failed else "",
    }
