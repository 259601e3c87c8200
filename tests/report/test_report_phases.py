"""Phases from columns are those that a plain walk over each record finds."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import report_runs as runs
from handmade import MS, REASONING, START, TEXT, events, failed_record, full_record, record, stamps
from hypothesis import given

sys.path.insert(0, str(Path(__file__).parent.parent / "export"))
from made_records import records as made_records

from lens.metrics import columns
from lens.metrics.builder import table_of
from lens.model import CONTENT, OUTPUT, Signal
from lens.report.phases import PHASES, phase_totals, phases
from lens.report.terminal import bar

STAMPED = {
    "queue": ("intended", "start"),
    "DNS": ("dns_start", "dns_end"),
    "TCP": ("tcp_start", "tcp_end"),
    "proxy": ("proxy_start", "proxy_end"),
    "TLS": ("tls_start", "tls_end"),
    "send": ("send_start", "send_end"),
    "wait": ("send_end", "first_byte"),
}


def plain_phases(one):
    """The same, event by event, from one record: absolute ns."""
    at = one.stamps
    found = {}
    for name, (first, last) in STAMPED.items():
        start, end = getattr(at, first), getattr(at, last)
        if start is not None and end is not None and not (name == "queue" and end - start < 50_000):
            if name == "send" and at.first_byte is not None:
                end = min(end, at.first_byte)
            found[name] = (min(start, end), end)
    came = [
        (at.start + ns, signals)
        for ns, signals, chars in zip(one.events.arrived_ns, one.events.signals, one.events.chars, strict=True)
        if signals & int(CONTENT) and chars
    ]
    if not came:
        if at.first_byte is not None and at.end is not None:
            found["answer"] = (at.first_byte, at.end)
        return found
    begins, last = came[0][0], came[-1][0]
    if at.first_byte is not None:
        found["first token"] = (at.first_byte, begins)
    thought = next((ns for ns, signals in came if signals & int(Signal.REASONING)), None)
    if thought is not None:
        answered = next((ns for ns, signals in came if signals & int(OUTPUT)), None)
        begins = last if answered is None else max(answered, thought)
        found["thinking"] = (thought, begins)
    found["stream"] = (begins, last)
    if at.end is not None and at.end > last:
        found["tail"] = (last, at.end)
    return found


def shown(one):
    start = one.stamps.start
    return {phase.name: (phase.start_ns + start, phase.end_ns + start) for phase in phases(table_of([one]))}


@pytest.mark.parametrize("first_byte", [5, 20, 60])
def test_phases_of_a_request_add_up_to_its_total(first_byte):
    # Sent within 10 to 40 ms; the answer may begin before the call that sent the request has returned.
    one = record(
        (70, 90), stamps=stamps(intended=-30, send_start=0, send_end=40, first_byte=first_byte, end=100)
    )  # fmt: skip
    found = [phase for phase in phases(table_of([one])) if phase.name != "queue"]
    assert sum(phase.end_ns - phase.start_ns for phase in found) == 100 * MS
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(found))


@given(made_records())
def test_any_record_has_the_phases_of_a_plain_walk(one):
    assert shown(one) == plain_phases(one)


@pytest.mark.parametrize(
    "one",
    [
        full_record(),
        failed_record(),
        failed_record(stamps=stamps()),
        record(events=events((10, REASONING, 4), (20, REASONING, 4))),
        record(events=events((10, TEXT, 4), (20, REASONING, 4), (30, TEXT, 4))),
        record(stamps=stamps(intended=-30, send_start=1, send_end=2, first_byte=1.5, end=120)),
    ],
)
def test_a_record_has_the_phases_of_a_plain_walk(one):
    assert shown(one) == plain_phases(one)
    assert list(shown(one)) == [name for name in PHASES if name in plain_phases(one)]


def test_means_of_groups_are_those_of_their_requests(monkeypatch):
    monkeypatch.setattr(columns, "SLICE", 7)  # several slices
    asked = runs.loaded(60, thinking=True)
    group = np.array([index % 3 - 1 for index in range(60)])  # -1: of none
    totals = phase_totals(table_of(asked), group, 2)
    for number in range(2):
        good = [one for one, its in zip(asked, group, strict=True) if its == number and one.category == "success"]
        assert totals.n[number] == len(good)
        for place, name in enumerate(PHASES):
            took = [end - start for one in good for start, end in [plain_phases(one).get(name, (0, 0))]]
            assert totals.mean_ns[number, place] == pytest.approx(sum(took) / len(good))
            assert totals.had[number, place] == sum(name in plain_phases(one) for one in good)


def test_no_successes_have_no_means():
    totals = phase_totals(table_of([failed_record(stamps=stamps(START, first_byte=1, end=2 * MS))]))
    assert totals.n.tolist() == [0]
    assert not totals.had.any()


@pytest.mark.parametrize(("start", "end"), [(0, 4e18), (-4e18, 1), (2, 3), (0.5, 0.2), (0, 0)])
@pytest.mark.parametrize("fine", [True, False])
def test_a_bar_is_never_wider_than_its_place(start, end, fine):
    """Whatever the stamps of a file say."""
    assert 1 <= len(bar(start, end, 20, fine=fine)) <= 20
