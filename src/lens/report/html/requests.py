"""Single requests on the page: their phases as bars, their tokens as marks; a sample of a large run.

The sample shows what people look for: the slowest, the failed, and an even pick of the rest.
Times are ms after the request's start, so that requests can be laid over each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lens.metrics.definitions import STALL_AT_LEAST_NS, STALL_TIMES_MEDIAN, measure
from lens.metrics.rows import error_text
from lens.metrics.timeline import timeline
from lens.model import Record, Status
from lens.report.facts import connection_facts
from lens.report.html.plots import evenly
from lens.report.html.series import PHASES, Series
from lens.report.request import phases
from lens.report.terminal import clean
from lens.units import NS_PER_S, ms

SHOWN = 48  # requests, all series together
FEWEST = 8  # of one series, where it has them
SLOWEST = 4
MARKS = 40_000  # token marks, all requests together


def sample(records: Sequence[Record], most: int) -> list[Record]:
    """At most so many, in the order of the run: the slowest, failures up to a quarter, the rest evenly."""
    if len(records) <= most:
        return sorted(records, key=_began)
    good = [r for r in records if r.status is Status.SUCCESS]
    failures = evenly([r for r in records if r.status is not Status.SUCCESS], most // 4)
    slowest = sorted(good, key=_took, reverse=True)[: min(SLOWEST, most)]
    chosen = {id(r) for r in (*failures, *slowest)}
    others = [r for r in good if id(r) not in chosen]
    return sorted([*failures, *slowest, *evenly(others, most - len(chosen))], key=_began)


def _began(record: Record) -> tuple[int, int]:
    return record.stamps.start, record.index


def _took(record: Record) -> int:
    return (record.stamps.end or record.stamps.start) - record.stamps.start


def requests(found: Sequence[Series]) -> list[dict[str, Any]]:
    """The requests to draw of each series, and of how many they are."""
    most = max(SHOWN // max(len(found), 1), FEWEST)
    samples = [sample(series.records, most) for series in found]
    marks = max(MARKS // max(sum(map(len, samples)), 1), 20)
    return [
        {"of": len(series.records), "rows": [_row(r, series.zero_ns, marks) for r in picked]}
        for series, picked in zip(found, samples, strict=True)
    ]


def _row(record: Record, zero_ns: int, marks: int) -> dict[str, Any]:
    start = record.stamps.start
    row: dict[str, Any] = {
        "index": record.index,
        "id": clean(record.request_id, 80),
        "at": round((start - zero_ns) / NS_PER_S, 5),
        "category": record.category,
        "ok": record.status is Status.SUCCESS,
        "bars": [
            [PHASES.index(p.name), round(ms(p.start_ns - start), 4), round(ms(p.end_ns - p.start_ns), 4)]
            for p in phases(record)
        ],
        "total": None if record.stamps.end is None else round(ms(record.stamps.end - start), 4),
        "ttft": measure("ttft_ms", record),
    }
    if record.failure:
        row["error"] = clean(error_text(record) or "", 200)
    if record.stage:
        row["stage"] = clean(record.stage, 60)
    connection = next((says for name, says in connection_facts(record) if name == "connection"), None)
    if connection:
        row["connection"] = clean(connection, 160)
    row.update(_tokens(record, marks))
    return row


def _tokens(record: Record, marks: int) -> dict[str, Any]:
    """When tokens came, as ms between one and the next (small numbers), and which gaps are stalls."""
    import numpy as np

    line = timeline(record)
    n = len(line.at_ns)
    if not n:
        return {}
    gaps = line.gaps_ns()
    limit = max(STALL_TIMES_MEDIAN * float(np.median(gaps)), STALL_AT_LEAST_NS) if len(gaps) else 0
    at_ns = line.at_ns
    if n > marks:
        # Even marks and both ends of each stall: what is left out is where nothing happened.
        keep = np.unique(np.linspace(0, n - 1, marks).round().astype(int))
        stalled = np.flatnonzero(gaps > limit)[:marks]
        keep = np.unique(np.concatenate((keep, stalled, stalled + 1)))
        at_ns = at_ns[keep]
    at_us = (at_ns / 1000).round().astype(int)
    found: dict[str, Any] = {
        "events": n,
        "tokens": int(line.tokens.sum()),
        "first_us": int(at_us[0]),
        "gaps_us": np.diff(at_us).tolist(),
        "stall_us": round(limit / 1000),
        "stalls": int((gaps > limit).sum()),
    }
    if line.reasoning.any():
        found["thought"] = int(line.reasoning.sum())
    return found
