"""All that `analyze` finds in some runs, as data: what pages and documents are written from."""

from __future__ import annotations

from typing import Any

import msgspec

from lens.analysis.explore import anomalies, trends
from lens.analysis.explore.anomalies import Anomaly
from lens.analysis.explore.change_points import Step, steps_of
from lens.analysis.explore.groups import Group, Sheet
from lens.analysis.explore.trends import Trend
from lens.analysis.gates.checks import Check
from lens.analysis.gates.regression import Regression
from lens.metrics.summary import Summary
from lens.metrics.table import Table

# More requests than this are not searched for what stands out.
MOST_SEARCHED = 10_000_000


class Trends(msgspec.Struct, frozen=True, kw_only=True):
    """How figures moved as time went on, and which requests stood out."""

    trends: tuple[Trend, ...] = ()
    steps: tuple[Step, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    searched: bool = True


def find_trends(table: Table) -> Trends:
    """Return trends, changes of level and outliers."""
    if len(table) > MOST_SEARCHED:
        return Trends(searched=False)
    for name in {*trends.WATCHED, *anomalies.WATCHED}:
        table.metric(name)  # all at once, and not group by group
    return Trends(trends=trends.trends_of(table), steps=steps_of(table), anomalies=anomalies.anomalies_of(table))


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in the requests that were meant."""

    files: tuple[str, ...]
    requests: int  # that were meant, of all files
    where: str | None
    by: tuple[str, ...]
    sheet: Sheet
    total: Summary | None = None  # of all together; None: the sheet is the answer to a query
    groups: tuple[Group, ...] = ()
    checks: tuple[Check, ...] = ()
    regression: Regression | None = None
    trends: Trends = Trends()
    warnings: tuple[str, ...] = ()  # of what of the files could not be read
    run_warnings: tuple[str, ...] = ()  # of the runs themselves: that one was stopped early, that this client was busy

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(check.state == "failed" for check in self.checks)


def run_warnings(table: Table) -> tuple[str, ...]:
    """Return what the runs of a table say of themselves; of several each begins with the name of its file."""
    several = len({run.name for run in table.runs}) > 1
    found = [
        f"{run.name}: {says}" if several else says
        for run in table.runs
        if run.info is not None
        for says in run.info.warnings
    ]
    return tuple(dict.fromkeys(found))


def document(found: Findings) -> bytes:
    """Return one JSON document, indented, with money as exact numbers."""
    if found.total is None:
        return _json({"columns": found.sheet.columns, "rows": found.sheet.rows})
    groups = [{"key": dict(zip(found.by, one.key, strict=True)), "summary": one.summary} for one in found.groups]
    return _json(
        {
            "files": found.files,
            "requests": found.requests,
            "where": found.where,
            "by": found.by,
            "groups": groups,
            "columns": found.sheet.columns,
            "rows": found.sheet.rows,
            "total": found.total,
            "checks": found.checks,
            "failed": found.failed,
            "regression": found.regression,
            "course": found.trends,
            "warnings": (*found.warnings, *found.run_warnings),
        }
    )


def _json(tree: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode(tree)) + b"\n"
