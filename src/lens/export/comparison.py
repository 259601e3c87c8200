"""A comparison as JSON, as CSV and as checks: a block a target, then every shift with its interval and its p value.

The JSON of a run that was measured for it holds its requests too, so that it can be read again like a run file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from lens.analysis.compare import Comparison, Shift
from lens.analysis.gates.checks import Check, checks_of
from lens.analysis.gates.sla import GateResult
from lens.analysis.sides import Compared, Side, shift_verdict, too_few_says, verdict_of
from lens.export.csv import no_formula
from lens.export.document import document_pieces, summary_fields
from lens.export.request_json import encode_requests
from lens.metrics.table import Table
from lens.model import RunInfo

COLUMNS = (
    "target", "provider", "model", "file", "metric", "statistic", "value", "unit", "baseline", "baseline_value",
    "difference", "low", "high", "relative", "p_value", "p_adjusted", "verdict", "smallest_seen", "n", "paired",
)  # fmt: skip
# Figures of a whole side, in the CSV before those of its metrics.
_TOTALS = {
    "requests": ("requests", "count"),
    "successes": ("successes", "count"),
    "success_rate": ("success_rate", "share"),
    "requests_per_second": ("requests_per_second", "1/s"),
    "output_tokens_per_second": ("output_tokens_per_second", "tokens/s"),
    "total_cost": ("total_cost", "USD"),
}


def json_document(found: Compared, *, table: Table | None = None, info: RunInfo | None = None) -> Iterator[bytes]:
    """Yield the document. table, info: of the run that was measured for it, whose requests it then holds."""
    fields: dict[str, Any] = {
        "verdict": [verdict_of(one) for one in found.comparisons],
        "failed": found.failed,
        **comparison_fields(found),
        "thresholds": [_threshold(one) for one in found.verdicts],
    }
    if info is not None:
        of_run = {"test_config": info.config, "start_time": info.started_at, "end_time": info.ended_at}
        fields = {**of_run, **fields, "run": info}
    yield from document_pieces(fields, None if table is None else encode_requests(table, timings=True))


def comparison_fields(found: Compared) -> dict[str, Any]:
    """Return the figures of each side, and how they differ."""
    return {
        "targets": [_block(one, found) for one in found.sides],
        "comparisons": [_comparison(one) for one in found.comparisons],
    }


def _block(side: Side, found: Compared) -> dict[str, Any]:
    return {
        "name": side.name,
        "target": side.target,
        "provider": side.provider,
        "model": side.model,
        "labels": side.labels,
        "file": side.file,
        "baseline": any(one.baseline == side.name for one in found.comparisons),
        **summary_fields(side.summary),
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "baseline": one.baseline,
        "candidate": one.candidate,
        "verdict": verdict_of(one),
        "failed": {"baseline": one.failed[0], "candidate": one.failed[1]},
        "empty": {"baseline": one.empty[0], "candidate": one.empty[1]},
        "too_few": one.too_few,
        "shifts": [{**msgspec.structs.asdict(shift), "verdict": shift_verdict(shift)} for shift in one.shifts],
    }


def _threshold(one: GateResult) -> dict[str, Any]:
    return {
        "target": one.side or one.gate.target,
        "threshold": str(one.gate.threshold),
        "severity": one.gate.threshold.severity,
        "actual": one.verdict.actual,
        "kept": one.verdict.kept,
        "reason": one.verdict.reason,
    }


def csv_table(found: Compared) -> bytes:
    """Return a row a figure of each side; those that were compared with the baseline bear the shift beside it."""
    shifts = {
        (one.candidate, shift.metric, shift.statistic): (one.baseline, shift)
        for one in found.comparisons
        for shift in one.shifts
    }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for side in found.sides:
        who = [side.name, side.provider, side.model, side.file or ""]
        for metric, statistic, value, unit in _figures(side):
            against = shifts.get((side.name, metric, statistic))
            cells = [metric, statistic, value, unit, *(_shift_cells(*against) if against else [])]
            writer.writerow([no_formula(one) for one in [*who, *cells, *[""] * (len(COLUMNS) - len(who) - len(cells))]])
    return out.getvalue().encode()


def _figures(side: Side) -> Iterator[tuple[str, str, Any, str]]:
    """Yield every figure of a side: metric, statistic, value, unit."""
    for name, (field, unit) in _TOTALS.items():
        yield name, "", getattr(side.summary, field), unit
    for name, one in side.summary.distributions.items():
        spread = {"mean": one.mean, "min": one.min, "max": one.max, **one.percentiles}
        for statistic, value in spread.items():
            yield name, statistic, value, one.unit


def _shift_cells(baseline: str, shift: Shift) -> list[Any]:
    return [
        baseline, shift.baseline, shift.difference, shift.low, shift.high, shift.relative, shift.p_value,
        shift.p_adjusted, shift_verdict(shift), shift.smallest_seen, shift.n, shift.paired,
    ]  # fmt: skip


def comparison_checks(found: Compared) -> tuple[Check, ...]:
    """Return the thresholds of each side, then a check a shift; one for the worse warns, for no gate is on it."""
    checks = list(checks_of(found.verdicts, None))
    for one in found.comparisons:
        for shift in one.shifts:
            verdict = shift_verdict(shift)
            by = f"{shift.relative:+.1%}" if shift.relative is not None else f"{shift.difference:+.3g}"
            checks.append(
                Check(
                    suite="comparison",
                    name=f"{one.candidate} against {one.baseline}: {shift.metric} {shift.statistic}",
                    state="warned" if verdict == "worse" else "passed",
                    says=f"{verdict}: {shift.baseline:.4g} -> {shift.candidate:.4g} ({by}, p {shift.p_adjusted:.2g})",
                )
            )
        if not one.shifts:
            says = too_few_says(one)
            name = f"{one.candidate} against {one.baseline}"
            checks.append(Check(suite="comparison", name=name, state="skipped", says=says))
    return tuple(checks)
