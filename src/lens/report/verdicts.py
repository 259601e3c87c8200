"""Verdicts on thresholds as lines: kept or not, the value, and whose it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from lens.analysis.gates.sla import GateResult
from lens.metrics.definitions import METRICS
from lens.report.terminal import clean, fact


def print_verdicts(console: Console, results: Sequence[GateResult], *, gap: bool = True) -> None:
    """Print a line per gate: kept or not, the value, and whose it is. gap: an empty line comes first."""
    if gap:
        console.print()
    for one in results:
        verdict, threshold = one.verdict, one.gate.threshold
        unit = METRICS[threshold.metric].unit
        actual = "not measured" if verdict.actual is None else f"{verdict.actual:.6g} {unit}"
        whose = f"{clean(one.whose)} " if one.whose else ""
        why = f" ({verdict.reason})" if verdict.reason and verdict.actual is not None else ""
        word, style = ("ok", "green") if verdict.kept else ("FAIL", "bold red") if one.failed else ("warn", "yellow")
        fact(console, word, Text(f"{whose}{threshold}: {actual}{why}", style=style))
