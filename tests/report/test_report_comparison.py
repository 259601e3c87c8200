"""The page's comparison has the verdicts of `lll compare`, whatever the runs and targets."""

from __future__ import annotations

import msgspec
import pytest
import report_runs as runs
from handmade import record

from lens.analysis.sides import compared_files, verdict_of
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.report.html.comparison import comparisons
from lens.report.html.series import Source, split


def compared(sources):
    found = split(sources)
    return comparisons(sources, found, [summarize(series.table) for series in found])


def test_runs_are_compared_as_the_command_compares_them():
    tables = [table_of(runs.loaded(60)), table_of(runs.loaded(60, model="deep-2", slow=1.4, seed=2))]
    (found,) = compared([Source("a.jsonl", tables[0], None), Source("b.jsonl", tables[1], None)])
    (told,) = compared_files(tables, ["openai fast-1", "openai deep-2"]).comparisons
    assert (found["baseline"], found["candidate"]) == (0, 1)
    assert found["says"] == verdict_of(told)
    assert [(one["metric"], one["statistic"], one["p"]) for one in found["shifts"]] == [
        (one.metric, one.statistic, one.p_adjusted) for one in told.shifts
    ]
    assert "worse" in {one["verdict"] for one in found["shifts"]}
    assert not found["paired"]


def test_targets_that_took_turns_are_compared_in_pairs():
    def asked(one):
        return msgspec.structs.replace(
            one, target_index=one.index % 2, model=f"m{one.index % 2}", target=f"m{one.index % 2}"
        )

    table = table_of([asked(one) for one in runs.loaded(80, failures=False)])
    (found,) = compared([Source("r", table, None)])
    assert found["paired"]
    assert (found["baseline"], found["candidate"]) == (0, 1)
    assert found["shifts"]


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_is_compared_with_nothing(n):
    assert compared([Source("r", table_of([record()] * n), None)]) == []


def test_too_few_requests_are_said_to_be_too_few():
    (found,) = compared([Source(name, table_of([record()]), None) for name in "ab"])
    assert found["shifts"] == []
    assert "too few" in found["says"]
