"""The names of filters, groups and queries: what each reads, and that a metric defined at run time is one of them."""

import numpy as np
import pytest
from handmade import failed_record, record

from lens.analysis.explore.fields import FIELDS, coded, field_named, listed
from lens.analysis.explore.filters import compile_filter
from lens.analysis.explore.groups import Groups, figures_named
from lens.analysis.explore.sql import query
from lens.analysis.gates.thresholds import evaluate_thresholds, parse_threshold
from lens.metrics import definitions
from lens.metrics.builder import table_of
from lens.metrics.definitions import Metric
from lens.metrics.summarize import summarize


def read(name, *records):
    table = table_of(records)
    return listed(field_named(name, table)(table))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("provider", "openai"),
        ("target", "openai/gpt-4"),
        ("target_index", 0),
        ("status", "Success"),
        ("http_status", 200),
        ("stream", True),
        ("reused", None),
        ("index", 0),
        ("tries", 0),
        ("timestamp", "2025-11-07T18:30:00.000000Z"),
        ("day", "2025-11-07"),
        ("hour", "2025-11-07 18:00"),
        ("hour_of_day", 18),
        ("weekday", "Friday"),
        ("minute", "2025-11-07 18:30"),
        ("ttft_ms", 100.0),
        ("ttft", 100.0),
        ("output_tokens", 4),
        ("thinking_ms", None),
    ],
)
def test_a_field_is_read_as_python_knows_it(name, value):
    (found,) = read(name, record())
    assert found == value
    assert type(found) is type(value)


def test_whole_numbers_stay_whole_beside_those_that_nobody_counted():
    assert read("output_tokens", record(), failed_record()) == [4, None]


def test_a_day_of_the_week_that_comes_again_is_one_value():
    days = [record(timestamp=f"2025-11-{day:02}T00:00:00Z") for day in (7, 8, 14)]
    table = table_of(days)
    assert coded(FIELDS["weekday"](table)).values == ("Friday", "Saturday")
    assert read("weekday", *days) == ["Friday", "Saturday", "Friday"]


def test_a_time_of_day_that_nobody_can_read_is_none():
    assert read("minute", record(timestamp="yesterday"), record()) == [None, "2025-11-07 18:30"]
    assert read("timestamp", record(timestamp="yesterday")) == [None]


@pytest.mark.parametrize("name", ["ttft_ms", "output_tokens", "stream", "index", "provider"])
def test_codes_say_the_same_as_the_values(name):
    table = table_of([record((100, 110)), failed_record(index=7), record((90, 95)), record((100, 120))])
    values = field_named(name, table)(table)
    assert coded(values).listed() == listed(values)


def test_a_metric_defined_at_run_time_is_a_field_a_figure_a_threshold_and_a_column():
    metric = Metric(
        name="letters", unit="count", better="lower", formula="letters of the model", source="the record",
        column=lambda t: np.array([len(name) for name in t.codes("model").listed()], dtype=np.float64),
        aliases=("chars",),
    )  # fmt: skip
    definitions.define(metric)
    try:
        table = table_of([record(model="ab"), record(model="abc"), record(model="xyz")])
        assert compile_filter("chars > 2")(table).tolist() == [False, True, True]
        groups = Groups(table, ["letters"])
        assert [(group.key, len(group.table)) for group in groups] == [((2,), 1), ((3,), 2)]
        assert [row[-1] for row in groups.sheet(figures_named("letters_max")).rows] == [2.0, 3.0]
        (verdict,) = evaluate_thresholds([parse_threshold("letters_max<3")], table, summarize(table))
        assert (verdict.actual, verdict.kept) == (3.0, False)
        pytest.importorskip("duckdb", reason="the extra `sql` is not installed")
        assert query("select sum(letters) from runs", table).rows == [(8.0,)]
    finally:
        definitions.remove("letters")
