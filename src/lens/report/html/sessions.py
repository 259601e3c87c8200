"""Sessions on the page: a swim lane for some of them, its turns as bars, and the figures turn by turn.

Turns that were under way together lie in tracks of one lane. How many lanes and turns are drawn is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.session_summary import SessionSummary
from lens.metrics.sessions import COMPLETE, FAILED, session_column
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.report.html.plots import evenly
from lens.report.html.series import Series
from lens.report.sessions import prompt_facts, session_facts
from lens.report.terminal import clean
from lens.units import NS_PER_MS, NS_PER_S

LANES = 40  # sessions that are drawn: some evenly picked over the run, and the slowest
SLOWEST = 8
MOST_TURNS = 120  # of a lane
_ENDED = {COMPLETE: "complete", FAILED: "failed"}


def sessions_on_page(series: Series, summary: Summary) -> dict[str, Any] | None:
    """Return the lanes and rows of a series; None where it has no sessions."""
    found = summary.sessions
    if found is None:
        return None
    facts = [*session_facts(summary), *prompt_facts(summary)]
    return {
        "facts": [list(fact) for fact in facts],
        "lanes": _lanes(series),
        "turns": _rows(found, "turns"),
        "contexts": _rows(found, "contexts"),
    }


def _rows(found: SessionSummary, name: str) -> list[dict[str, Any]]:
    return [{**msgspec.structs.asdict(row), "label": row.label} for row in getattr(found, name)]


def _lanes(series: Series) -> list[dict[str, Any]]:
    """Return the sessions that are drawn, in the order in which they began."""
    table = series.table
    codes = np.where(table.column("turn") >= 0, table.codes("session_id").codes, -1)
    turns = np.flatnonzero(codes >= 0)
    start, took = table.column("start"), np.nan_to_num(table.metric("task_ms"))
    order = turns[np.lexsort((start[turns], codes[turns]))]
    if not len(order):
        return []
    begins = np.flatnonzero(np.diff(codes[order], prepend=-1))
    ends = np.append(begins[1:], len(order))
    by_start = np.argsort(start[order[begins]], kind="stable")
    slow = np.argsort(-np.maximum.reduceat(took[order], begins)[by_start], kind="stable")[:SLOWEST]
    picked = by_start[np.unique(np.concatenate((evenly(np.arange(len(begins)), LANES - len(slow)), slow)))]
    return [_lane(series, table.take(order[begins[place] : ends[place]])) for place in picked.tolist()]


def _lane(series: Series, table: Table) -> dict[str, Any]:
    part = table.take(slice(0, min(len(table), MOST_TURNS)))
    begin = part.column("start") - series.zero_ns
    end = np.where(part.stamp("end") == MISSING, 0, part.stamp("end"))
    ids, ended = part.codes("session_id"), session_column(table, "ended_as")
    state = ended[~np.isnan(ended)].tolist()
    took = table.metric("task_ms")
    took = took[~np.isnan(took)]
    return {
        "id": clean(str(ids.values[ids.codes[0]]), 60),
        "ended": _ENDED.get(int(state[0]), "unfinished") if state else "unfinished",
        "at": round(float(begin[0]) / NS_PER_S, 6),
        "task": float(took[0]) if len(took) else None,
        "left_out": len(table) - len(part),
        "bars": _bars(part, begin, end, tracks(begin.tolist(), (begin + end).tolist())),
    }


def _bars(part: Table, begin: Column, end: Column, track: Sequence[int]) -> list[dict[str, Any]]:
    """Return the turns of a lane; times in ms, `at` after the start of the session."""
    critical = part.metric("critical_ms")
    columns: dict[str, Column] = {
        "at": (begin - begin[0]) / NS_PER_MS,
        "ttft": part.metric("ttft_ms"),
        "total": end / NS_PER_MS,
        "tool": part.column("tool") / NS_PER_MS,
        "think": part.column("think") / NS_PER_MS,
        "prompt": part.metric("input_tokens"),
        "cached": part.metric("cached_tokens"),
        "missed": part.metric("cache_missed_tokens"),
    }
    listed = {
        name: [None if v != v else float(f"{v:.7g}") for v in column.tolist()] for name, column in columns.items()
    }
    return [
        {
            "turn": turn,
            "ok": ok,
            "track": track[place],
            "beside": beside,
            **{name: values[place] for name, values in listed.items()},
        }
        for place, (turn, ok, beside) in enumerate(
            zip(part.column("turn").tolist(), part.success.tolist(), (critical == 0).tolist(), strict=True)
        )
    ]


def tracks(begins: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Return in which track each turn lies: the first that is free when it begins. Turns come as they began."""
    free: list[int] = []
    found = []
    for begin, end in zip(begins, ends, strict=True):
        place = next((place for place, until in enumerate(free) if until <= begin), len(free))
        free[place : place + 1] = [end]
        found.append(place)
    return found
