"""Single requests on the page: their phases as bars, their tokens as marks; a sample of a large run.

The sample shows what people look for: the slowest, the failed, and an even pick of the rest.
Times are ms after the request's start, so that requests can be laid over each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.formulas import STALL_AT_LEAST_NS, STALL_TIMES_MEDIAN
from lens.metrics.rows import error_texts
from lens.metrics.table import Table
from lens.report.facts import connection_facts
from lens.report.html.plots import evenly
from lens.report.html.series import Series
from lens.report.phases import phase_columns
from lens.report.terminal import clean
from lens.units import NS_PER_S, ms

SHOWN = 48  # requests, all series together
FEWEST = 8  # of one series, where it has them
SLOWEST = 4
MARKS = 40_000  # token marks, all requests together


def sample(table: Table, most: int) -> Column:
    """Return at most so many rows, in the order of the run: the slowest, failures up to a quarter, the rest evenly."""
    if len(table) <= most:
        return _as_begun(table, np.arange(len(table)))
    good, end = table.success, table.stamp("end")
    took = np.where(end == MISSING, 0, end)
    failures = evenly(np.flatnonzero(~good), most // 4)
    answered = np.flatnonzero(good)
    slowest = answered[np.argsort(-took[answered], kind="stable")[: min(SLOWEST, most)]]
    rest = good.copy()
    rest[slowest] = False
    others = evenly(np.flatnonzero(rest), most - len(failures) - len(slowest))
    return _as_begun(table, np.concatenate((failures, slowest, others)))


def _as_begun(table: Table, rows: Column) -> Column:
    return rows[np.lexsort((table.column("index")[rows], table.column("start")[rows]))]


def requests(found: Sequence[Series]) -> list[dict[str, Any]]:
    """Return the requests to draw of each series, and of how many they are."""
    most = max(SHOWN // max(len(found), 1), FEWEST)
    samples = [series.table.take(sample(series.table, most)) for series in found]
    marks = max(MARKS // max(sum(map(len, samples)), 1), 20)
    return [
        {"of": len(series.table), "rows": _rows(picked, series.zero_ns, marks)}
        for series, picked in zip(found, samples, strict=True)
    ]


def _rows(table: Table, zero_ns: int, marks: int) -> list[dict[str, Any]]:
    """Return the requests of a small table; what it has no columns of is read from their records again."""
    phases, errors, ttft, end = phase_columns(table), error_texts(table), table.metric("ttft_ms"), table.stamp("end")
    rows = []
    for number, record in enumerate(table.records()):
        row: dict[str, Any] = {
            "index": record.index,
            "id": clean(record.request_id, 80),
            "at": round((record.stamps.start - zero_ns) / NS_PER_S, 5),
            "category": record.category,
            "ok": bool(table.success[number]),
            "bars": [
                [place, round(ms(int(phase.start[number])), 4), round(ms(int(phase.took[number])), 4)]
                for place, phase in enumerate(phases)
                if phase.start[number] != MISSING
            ],
            "total": None if end[number] == MISSING else round(ms(int(end[number])), 4),
            "ttft": None if np.isnan(ttft[number]) else float(ttft[number]),
        }
        if errors[number] is not None:
            row["error"] = clean(errors[number] or "", 200)
        if record.stage:
            row["stage"] = clean(record.stage, 60)
        connection = next((says for name, says in connection_facts(record) if name == "connection"), None)
        if connection:
            row["connection"] = clean(connection, 160)
        rows.append(row | _tokens(table, number, marks))
    return rows


def _tokens(table: Table, row: int, marks: int) -> dict[str, Any]:
    """Return when tokens came, as us between one and the next (small numbers), and which gaps are stalls."""
    n, first = int(table.n[row]), int(table.first[row])
    if not n:
        return {}
    mine = slice(first, first + n)
    at_ns = table.at[mine]
    gaps = np.diff(at_ns)
    limit = max(STALL_TIMES_MEDIAN * float(np.median(gaps)), STALL_AT_LEAST_NS) if len(gaps) else 0
    if n > marks:
        # Even marks and both ends of each stall: what is left out is where nothing happened.
        keep = np.unique(np.linspace(0, n - 1, marks).round().astype(int))
        stalled = np.flatnonzero(gaps > limit)[:marks]
        keep = np.unique(np.concatenate((keep, stalled, stalled + 1)))
        at_ns = at_ns[keep]
    at_us = (at_ns / 1000).round().astype(int)
    found: dict[str, Any] = {
        "events": n,
        "tokens": int(table.tokens[mine].sum()),
        "first_us": int(at_us[0]),
        "gaps_us": np.diff(at_us).tolist(),
        "stall_us": round(limit / 1000),
        "stalls": int((gaps > limit).sum()),
    }
    thought = int(table.reasoning[mine].sum())
    if thought:
        found["thought"] = thought
    return found
