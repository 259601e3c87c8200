"""The results of gates as checks: the one form from which JUnit files, annotations and summaries are made.

A check passed, failed, only warns, or could not be made. Texts come from models' names and
servers too, so whoever writes them into a format escapes them for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from lens.analysis.gates.regression import Change, Regression
from lens.analysis.gates.sla import GateResult
from lens.metrics.definitions import METRICS

State = Literal["passed", "failed", "warned", "skipped"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One question that was put to a run."""

    suite: str  # "files", "thresholds" or "regression"
    name: str
    state: State
    says: str


def checks_of(results: Sequence[GateResult], found: Regression | None) -> tuple[Check, ...]:
    """Return the thresholds first, then the figures that were compared with the baseline."""
    checks = [_of_gate(one) for one in results]
    if found is not None:
        checks += [_of_change(change, found.tolerance) for change in found.changes]
        checks += [
            Check(suite="regression", name=name, state="skipped", says="too few requests on one side to compare them")
            for name in found.not_compared
        ]
        checks += [Check(suite="regression", name="times", state="failed", says=says) for says in found.unjudged]
    return tuple(checks)


def checks_of_files(lost: Sequence[str]) -> tuple[Check, ...]:
    """Return a failed check for each thing that run files lost: gates were judged without it."""
    return tuple([Check(suite="files", name="complete", state="failed", says=says) for says in lost])


def _of_gate(one: GateResult) -> Check:
    verdict, threshold = one.verdict, one.gate.threshold
    unit = METRICS[threshold.metric].unit
    actual = "not measured" if verdict.actual is None else f"{verdict.actual:.6g} {unit}"
    why = f" ({verdict.reason})" if verdict.reason and verdict.actual is not None else ""
    state: State = "passed" if verdict.kept else "failed" if one.failed else "warned"
    return Check(suite="thresholds", name=f"{one.whose}{threshold}", state=state, says=f"{actual}{why}")


def _of_change(change: Change, tolerance: float) -> Check:
    failed = change.result == "regressed"
    return Check(
        suite="regression",
        name=change.name,
        state="failed" if failed else "passed",
        says=f"{format_check(change)}; the tolerance is {tolerance * 100:g} %" if failed else format_check(change),
    )


def format_check(change: Change) -> str:
    """Return one figure against its baseline as a sentence."""
    unit = METRICS[change.metric].unit
    by = f"{change.relative:+.1%}" if change.relative is not None else f"{change.current - change.baseline:+.4g}"
    says = f"{change.result}: {change.baseline:.4g} -> {change.current:.4g} {unit} ({by}, p {change.p_adjusted:.2g})"
    if change.result == "no change shown" and change.smallest is not None:
        says += f"; a change of {change.smallest:.1%} would have been seen"
    return says
