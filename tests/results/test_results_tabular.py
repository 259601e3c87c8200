"""Requests and runs as data frames and plain values: the figures of attributes, in the types that are promised."""

from __future__ import annotations

import sys
from decimal import Decimal

import pytest
from handmade import INFO, full_record, record
from needs import need_module

from lens.errors import ConfigError
from lens.export.csv import column_names
from lens.history.read import Run
from lens.pricing import PriceBook, parse_price
from lens.results.request_metrics import RequestMetrics
from lens.results.saved_run import SavedRun

BOOK = PriceBook((parse_price("in=3,out=15"),))
RECORDS = [full_record(), record((100, 130), request_id="second", index=1)]
RUN = SavedRun(Run(info=INFO, records=RECORDS), BOOK)
EMPTY = SavedRun(Run(info=None, records=[]), BOOK)


def test_an_arrow_table_has_the_columns_of_the_exports_and_exact_costs():
    pa = need_module("pyarrow", "pip install pyarrow")
    table = RUN.to_arrow()
    assert table.column_names[: len(column_names())] == list(column_names())
    assert table.schema.metadata[b"lens.run_id"] == INFO.run_id.encode()
    costs = table.column("total_cost").to_pylist()
    assert costs == [one.total_cost for one in RUN.requests]
    assert all(isinstance(cost, Decimal) for cost in costs)
    assert table.column("token_at_ms").to_pylist()[1] == [100.0, 130.0]
    assert pa.types.is_timestamp(table.schema.field("timestamp").type)


def test_a_pandas_frame_has_numbers_to_count_with():
    need_module("pandas", "pip install pandas")
    frame = RUN.to_pandas()
    assert list(frame["ttft_ms"]) == [one.ttft_ms for one in RUN.requests]
    assert list(frame["total_cost"]) == [float(one.total_cost) for one in RUN.requests]
    assert frame["total_cost"].dtype == float
    assert list(frame["request_id"])[1] == "second"
    assert str(frame["timestamp"].dtype.tz) == "UTC"
    assert frame["dns_resolution_ms"].isna().tolist() == [one.dns_ms is None for one in RUN.requests]


def test_a_polars_frame_has_the_types_of_the_arrow_table():
    pl = need_module("polars", "pip install polars")
    frame = RUN.to_polars()
    assert frame["ttft_ms"].to_list() == [one.ttft_ms for one in RUN.requests]
    assert frame["total_cost"].to_list() == [one.total_cost for one in RUN.requests]
    assert frame.schema["token_gap_ms"] == pl.List(pl.Float64)


def test_a_request_is_a_frame_of_one_row():
    need_module("pandas", "pip install pandas")
    one = RequestMetrics(RECORDS[1], BOOK)
    assert one.to_pandas().to_dict("records")[0]["ttft_ms"] == one.ttft_ms
    assert one.to_polars().height == one.to_arrow().num_rows == 1


def test_a_run_without_requests_is_a_frame_without_rows():
    need_module("pandas", "pip install pandas")
    assert EMPTY.to_pandas().shape[0] == 0
    assert set(column_names()) <= set(EMPTY.to_polars().columns)
    assert EMPTY.to_dict()["requests"] == []


def test_plain_values_of_a_run_are_its_totals_its_header_and_its_requests():
    plain = RUN.to_dict()
    assert (plain["total_requests"], plain["run"]["run_id"]) == (2, INFO.run_id)
    assert plain["stats"]["ttft_ms"]["n"] == 2
    assert plain["total_cost"] == pytest.approx(float(RUN.summary.total_cost))
    assert [one["request_id"] for one in plain["requests"]] == [one.request_id for one in RECORDS]
    assert plain["requests"][1] == RequestMetrics(RECORDS[1], BOOK).to_dict()


@pytest.mark.parametrize("library", ["arrow", "pandas", "polars"])
def test_a_library_that_is_not_installed_is_named_with_its_extra(library, monkeypatch):
    module = {"arrow": "pyarrow"}.get(library, library)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ConfigError, match=rf"to_{library}\(\) needs {module}: pip install 'llm-latency-lens\[{library}\]'"
    ):
        getattr(RUN, f"to_{library}")()
