"""Verdicts as lines: a word that says what became of the threshold, the value, and whose it is."""

from __future__ import annotations

import io

import pytest
from handmade import INFO, record

from lens.analysis.gates.sla import Gate, evaluate_gates
from lens.analysis.gates.thresholds import parse_threshold
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.report.terminal import console_for
from lens.report.verdicts import print_verdicts


@pytest.mark.parametrize(
    ("threshold", "target", "line"),
    [
        ("ttft_ms<=200", None, "ok           ttft_ms mean <= 200: 100 ms"),
        ("ttft_ms<=50", None, "FAIL         ttft_ms mean <= 50: 100 ms"),
        ("thinking_ms<=50", None, "FAIL         thinking_ms mean <= 50: not measured"),
    ],
)
def test_a_line_says_whether_a_threshold_was_kept(threshold, target, line):
    table = table_of([record((100, 110), index=i) for i in range(3)], INFO)
    results = evaluate_gates([Gate(threshold=parse_threshold(threshold), target=target)], table, summarize(table))
    out = io.StringIO()
    print_verdicts(console_for(out, 80), results, gap=False)
    assert out.getvalue().strip() == line
