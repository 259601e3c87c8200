"""What the sessions of a run come to: how many, their parts, turn by turn, by length of the prompt, and the cache."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Any

import msgspec

from lens.arrays.dispatch import np
from lens.metrics.columns import Column
from lens.metrics.distribution import percentile, values_needed
from lens.metrics.goodput import Slo, keep_slos
from lens.metrics.session_columns import NO_TURN
from lens.metrics.sessions import COMPLETE, FAILED, NO_REASONS, UNFINISHED, session_column
from lens.metrics.table import Table
from lens.units import NS_PER_MS

# Turns from this one on share a row with as many as there were before: 8 to 15, 16 to 31, ...
SINGLE_TURNS = 8
# Prompts of fewer tokens share a row; from here on a row holds those up to twice as many.
SHORT_PROMPT = 1024
PARTS = ("model", "tool", "think", "client")


class TurnRow(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that are the same turn of their sessions, or that have prompts of about one length."""

    first: int  # turn, or tokens of the prompt
    last: int  # the last of the row
    requests: int
    failed: int
    input_tokens: float | None = None  # median
    cached_share: float | None = None  # of all tokens of these prompts
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    total_p50_ms: float | None = None
    critical_ms: float | None = None  # what such a turn adds to its session, mean
    on_path: float | None = None  # share of these turns that are on the critical path
    missed: int = 0  # sessions whose cache broke first here

    @property
    def label(self) -> str:
        """The turns of the row: "3", or "4-7"."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class CacheMisses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the prefix cache did not hold."""

    sessions: int  # that had one
    turn_p50: float  # of the first of each
    tokens: int  # that should have been read from the cache
    pause_missed_ms: float | None = None  # before such turns, median
    pause_held_ms: float | None = None  # before turns that found the cache
    reasons: dict[str, int] = {}  # as the server words them -> turns


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the sessions of a run come to."""

    complete: int
    failed: int  # a turn of them failed
    unfinished: int  # cut by the end of the run
    turns_mean: float | None = None  # of those that are complete
    good: int | None = None  # every turn, and the session, met every SLO; None: no SLO was given
    cost_mean_usd: float | None = None  # of complete sessions whose turns all have a known cost
    cost_p50_usd: float | None = None
    cost_p95_usd: float | None = None
    unpriced: int = 0  # complete sessions without a known cost
    parts: dict[str, float] = {}  # share of the time of all sessions: "model", "tool", "think", "client"
    turns: tuple[TurnRow, ...] = ()
    contexts: tuple[TurnRow, ...] = ()  # by tokens of the prompt
    misses: CacheMisses | None = None  # None: every cache held, or no count of cached tokens was told


def session_summary(table: Table, slos: Sequence[Slo] = ()) -> SessionSummary | None:
    """Return what the sessions come to that ended among these requests.

    None where no request is a turn of one, and of a single request, whose own figures say all.
    """
    turn = table.column("turn")
    if len(table) < 2 or not table.has_sessions or not (turn != NO_TURN).any():
        return None
    ended_as = session_column(table, "ended_as")
    complete = ended_as == COMPLETE
    turns = table.column("turns")[complete]
    return SessionSummary(
        complete=int(complete.sum()),
        failed=int((ended_as == FAILED).sum()),
        unfinished=int((ended_as == UNFINISHED).sum()),
        turns_mean=float(turns.mean()) if len(turns) else None,
        good=int((complete & good_sessions(table, slos)).sum()) if slos else None,
        **_costs(table, int(complete.sum())),
        parts=_parts(table),
        turns=_rows(table, turn, SINGLE_TURNS, 1),
        contexts=_rows(table, np.nan_to_num(table.usage("input_tokens"), nan=-1), SHORT_PROMPT, SHORT_PROMPT),
        misses=_misses(table),
    )


def good_sessions(table: Table, slos: Sequence[Slo]) -> Column:
    """Return at the last turn of each session whether all of its turns kept every SLO, as bool."""

    def good(whole: Table) -> Column:
        sessions = whole.sessions
        kept = (keep_slos(whole, slos) & whole.success)[sessions.rows]
        found = np.zeros(len(whole), dtype=bool)
        found[sessions.rows[sessions.last]] = np.bincount(sessions.of[~kept], minlength=sessions.n) == 0
        return found

    return table.of_whole(good)


def _costs(table: Table, complete: int) -> dict[str, Any]:
    """Return the fields about the cost of a session."""
    found = np.sort(table.values("session_cost"))
    return {
        "cost_mean_usd": round(float(found.sum()) / len(found), 12) if len(found) else None,
        "cost_p50_usd": _percentile(found, 50),
        "cost_p95_usd": _percentile(found, 95),
        "unpriced": complete - len(found),
    }


def _parts(table: Table) -> dict[str, float]:
    whole = float(np.nansum(table.counted("task_ms")))
    return {name: float(np.nansum(table.counted(f"task_{name}_ms"))) / whole for name in PARTS} if whole else {}


def _rows(table: Table, number: Column, single: int, step: int) -> tuple[TurnRow, ...]:
    """Return a row for each range of numbers; below `single` a range holds `step`, above it doubles."""
    known = number >= 0
    doubled = np.log2(np.maximum(number, single)) - log2(single)
    place = np.where(number < single, number // step, single // step + np.floor(doubled)).astype(np.int64)
    order = np.argsort(place, kind="stable")
    order = order[known[order]]
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(place[order])) + 1) if len(order) else ():
        at = int(place[rows[0]])
        double = at - single // step
        first, last = (at * step, (at + 1) * step - 1) if double < 0 else (single << double, (single << double + 1) - 1)
        found.append(_row(table.take(np.sort(rows)), first, min(last, int(number.max()))))
    return tuple(found)


def _row(table: Table, first: int, last: int) -> TurnRow:
    ttft, total = _sorted(table, "ttft_ms"), _sorted(table, "total_latency_ms")
    prompt, critical = _sorted(table, "input_tokens"), table.metric("critical_ms")
    critical = critical[~np.isnan(critical)]
    return TurnRow(
        first=first,
        last=last,
        requests=len(table),
        failed=len(table) - int(table.success.sum()),
        input_tokens=_percentile(prompt, 50),
        cached_share=cache_read_share(table),
        ttft_p50_ms=_percentile(ttft, 50),
        ttft_p95_ms=_percentile(ttft, 95),
        total_p50_ms=_percentile(total, 50),
        critical_ms=float(critical.mean()) if len(critical) else None,
        on_path=float((critical > 0).mean()) if len(critical) else None,
        missed=int(np.nansum(session_column(table, "first_miss"))),
    )


def _sorted(table: Table, name: str) -> Column:
    values: Column = np.sort(table.pooled(name).values)
    return values


def _percentile(ordered: Column, percent: float) -> float | None:
    return percentile(ordered, percent) if len(ordered) >= values_needed(percent) else None


def cache_read_share(table: Table) -> float | None:
    """Return which share of all tokens of the prompts was read from the cache, where both counts are told."""
    prompt, cached = table.counted("input_tokens"), table.counted("cached_tokens")
    told = ~np.isnan(prompt) & ~np.isnan(cached)
    whole = float(prompt[told].sum())
    return float(cached[told].sum()) / whole if whole else None


def _misses(table: Table) -> CacheMisses | None:
    first = session_column(table, "first_miss") == 1
    if not first.any():
        return None
    missed, reasons = table.metric("cache_missed_tokens"), table.codes("cache_miss").used()
    pause_ms = (table.column("think") + table.column("tool")) / NS_PER_MS
    return CacheMisses(
        sessions=int(first.sum()),
        turn_p50=percentile(np.sort(table.column("turn")[first]), 50),
        tokens=int(np.nansum(missed)),
        pause_missed_ms=_percentile(np.sort(pause_ms[missed > 0]), 50),
        pause_held_ms=_percentile(np.sort(pause_ms[missed == 0]), 50),
        reasons={str(reason): n for reason, n in reasons.items() if reason not in NO_REASONS},
    )
