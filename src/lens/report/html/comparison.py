"""How the series of a page differ from the first of them, with the verdicts of `lll compare`, made in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lens.analysis.compare import Comparison, Shift, compare_targets
from lens.analysis.sides import Side, compare_sides, shift_verdict, too_few_says, verdict_of
from lens.metrics.definitions import METRICS
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.report.html.series import Series, Source
from lens.report.terminal import clean


def comparisons(
    sources: Sequence[Source], found: Sequence[Series], summaries: Sequence[Summary]
) -> list[dict[str, Any]]:
    """Return of each series that is compared how it differs, and from which; nothing where there is one series."""
    if len(found) < 2:
        return []
    sides = [_side(series, summary) for series, summary in zip(found, summaries, strict=True)]
    runs = list(dict.fromkeys(series.source for series in found))
    if len(runs) == 1:
        table = sources[runs[0]].table
        made = compare_targets(table, targets=int(table.measured().column("target_index").max()) + 1)
        names = {side.target: number for number, side in enumerate(sides)}
    else:
        made = compare_sides(
            [[side for side, of in zip(sides, found, strict=True) if of.source == run] for run in runs]
        )
        names = {side.name: number for number, side in enumerate(sides)}
    return [_comparison(one, names) for one in made if one.baseline in names and one.candidate in names]


def _side(series: Series, summary: Summary) -> Side:
    table = series.table
    target, provider, model, labels = (_first(table, one) for one in ("target", "provider", "model", "labels"))
    return Side(
        name=series.name, target=target, provider=provider, model=model, labels=dict(labels or ()), file=None,
        table=table, summary=summary,
    )  # fmt: skip


def _first(table: Table, column: str) -> Any:
    codes = table.codes(column)
    return codes.values[codes.codes[0]] if codes.codes[0] >= 0 else None


def _comparison(one: Comparison, names: dict[str, int]) -> dict[str, Any]:
    return {
        "baseline": names[one.baseline],
        "candidate": names[one.candidate],
        "says": clean(verdict_of(one), 600),
        "paired": one.paired,
        "too_few": clean(too_few_says(one), 600) if one.too_few or not one.shifts else "",
        "shifts": [_shift(shift) for shift in one.shifts],
    }


def _shift(shift: Shift) -> dict[str, Any]:
    return {
        "metric": shift.metric,
        "statistic": shift.statistic,
        "unit": METRICS[shift.metric].unit,
        "baseline": shift.baseline,
        "candidate": shift.candidate,
        "relative": shift.relative,
        "difference": shift.difference,
        "low": shift.low,
        "high": shift.high,
        "p": shift.p_adjusted,
        "smallest_seen": None if np.isinf(shift.smallest_seen) else shift.smallest_seen,
        "verdict": shift_verdict(shift),
    }
