"""Sessions as text: each figure of a run whose turns can be worked out by hand, in its line or its cell."""

from __future__ import annotations

import io
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from handmade import INFO, record

from lens.metrics.builder import table_of
from lens.metrics.goodput import parse_slos
from lens.metrics.prefill import fit_prefill
from lens.metrics.session_summary import CacheMisses, SessionSummary, TurnRow
from lens.metrics.summarize import summarize
from lens.model import Usage
from lens.report.sessions import print_session_counts, print_sessions
from lens.report.terminal import console_for

ROWS = (
    TurnRow(first=0, last=0, requests=40, failed=0, input_tokens=2676, cached_share=0, ttft_p50_ms=326.2,
            ttft_p95_ms=373.7, total_p50_ms=477.1, critical_ms=462.9, on_path=1.0),
    TurnRow(first=8, last=15, requests=1200, failed=3, input_tokens=8267, cached_share=0.876, ttft_p50_ms=190.5,
            critical_ms=1242.7, on_path=0.5, missed=2),
)  # fmt: skip
SESSIONS = SessionSummary(
    complete=40,
    failed=2,
    unfinished=1,
    turns_mean=8.8,
    good=28,
    parts={"model": 0.307, "tool": 0.198, "think": 0.494, "client": 0.001},
    turns=ROWS,
    misses=CacheMisses(
        sessions=13, turn_p50=5, tokens=79178, pause_missed_ms=2932, pause_held_ms=453, reasons={"tools_changed": 7}
    ),
)
RUN = msgspec.structs.replace(
    summarize(table_of([record()]), slos=parse_slos("ttft:400")),
    sessions=SESSIONS,
    sessions_per_second=1.78,
    goodput_sessions_per_second=1.246,
    cache_read_share=0.794,
)


def page(summary, width=120):
    out = io.StringIO()
    print_session_counts(console_for(out, width), summary)
    print_sessions(console_for(out, width), summary)
    return out.getvalue()


def cells(shown, label):
    """The cells of a row by the names of their columns."""
    lines = shown.splitlines()
    head = next(line for line in lines if line.startswith("turn"))
    names = head.replace("TTFT p50", "TTFT").replace("total p50", "total").replace("on path", "path").split()
    row = next(line for line in lines if line.startswith(f"{label} "))
    return SimpleNamespace(names=names, row=row.split())


def test_a_row_has_the_figures_of_a_turn():
    found = cells(page(RUN), "0")
    assert found.names == [
        "turn",
        "prompt",
        "cached",
        "TTFT",
        "p95",
        "total",
        "critical",
        "path",
        "broke",
        "n",
        "failed",
    ]
    assert found.row == ["0", "2,676", "0%", "326.2", "373.7", "477.1", "462.9", "100%", "40"]


def test_what_was_not_measured_is_left_empty():
    assert cells(page(RUN), "8-15").row == ["8-15", "8,267", "88%", "190.5", "1242.7", "50%", "2", "1,200", "3"]


@pytest.mark.parametrize(
    "says",
    [
        "40 complete of 8.800 turns (mean), 2 failed, 1 unfinished, 1.780 sessions/s",
        "model 30.7%, tools 19.8%, think time 49.4%, this client 0.1%",
        "1.246 sessions/s met ttft_ms <= 400 in every turn (28 sessions)",
        "79.4% of all tokens of prompts",
        "in 13 sessions, first at turn 5 (median); 79,178 tokens were computed again",
        "pause before it 2932.0 ms, where the cache held 453.0 ms (medians)",
        "the server says tools_changed 7",
    ],
)
def test_a_line_says_what_sessions_came_to(says):
    assert says in " ".join(page(RUN).split())


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    assert max(map(len, page(RUN, width).splitlines())) <= width


def test_prefill_is_told_with_its_intervals():
    tokens = np.linspace(100, 4000, 50)
    fitted = msgspec.structs.replace(RUN, sessions=None, prefill=fit_prefill(47 + 0.123 * tokens, tokens, np.zeros(50)))
    shown = " ".join(page(fitted).split())
    assert shown.startswith(
        "prefill TTFT from send = 47.00 ms (47.00 to 47.00) + 123.0 us (123.0 to 123.0) per uncached"
    )
    assert "per cached" not in shown


def test_prefill_that_noise_hides_is_not_reported():
    tokens = np.linspace(100, 4000, 50)
    noise = np.random.default_rng(1).normal(0, 50, 50)
    fitted = msgspec.structs.replace(RUN, sessions=None, prefill=fit_prefill(50 + noise, tokens, np.zeros(50)))
    assert fitted.prefill is not None
    assert page(fitted) == ""


def test_a_run_without_sessions_says_nothing_of_them():
    assert page(summarize(table_of([record(usage=Usage(input_tokens=9, cache_read_tokens=3))], INFO))) == ""
