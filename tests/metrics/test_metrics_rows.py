"""Figures as plain values: exact, under their names in files, absent where not measured."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from handmade import TEXT, events, failed_record, full_record, record
from hypothesis import given
from hypothesis import strategies as st

from lens.metrics.builder import table_of
from lens.metrics.columns import Codes
from lens.metrics.rows import (
    codes_of,
    combinations,
    cost_texts,
    error_texts,
    figures_of,
    plain_values,
    request_ids,
    timestamps,
    token_timings,
)
from lens.model import Usage
from lens.pricing import PriceBook, parse_price

BOOK = PriceBook([parse_price("in=0.15,out=0.6")])


def test_figures_have_the_names_of_files_and_whole_numbers_are_ints():
    figures = {name: values[0] for name, values in figures_of(table_of([full_record()], book=BOOK)).items()}
    assert (figures["dns_resolution_ms"], figures["tls_handshake_ms"], figures["ttft_ms"]) == (12.0, 25.0, 240.0)
    assert (figures["output_tokens"], type(figures["output_tokens"])) == (6, int)
    assert figures["proxy_ms"] is None
    assert "dns_ms" not in figures


def test_costs_are_exact_in_values_and_texts():
    made = [
        record(usage=Usage(input_tokens=1, output_tokens=0)),
        record(usage=None),
        record(reported_cost_usd="0.00000000000000012"),
        record(usage=Usage(input_tokens=10**15, output_tokens=0)),  # beyond what an int64 of 1e-12 USD holds
    ]
    table = table_of(made, book=BOOK)
    exact = [Decimal("0.00000015"), None, Decimal("0.00000000000000012"), Decimal(150_000_000)]
    assert figures_of(table)["total_cost"] == exact
    assert cost_texts(table, "total_cost").listed() == ["0.00000015", None, "0.00000000000000012", "150000000"]


def test_nan_is_none_and_what_is_no_whole_number_stays_a_float():
    assert plain_values(np.array([1.0, np.nan]), whole=True) == [1, None]
    assert plain_values(np.array([1.5, 2.0]), whole=True) == [1.5, 2.0]
    assert plain_values(np.array([1.0, np.nan]), absent_as="") == [1.0, ""]
    assert plain_values(np.array([1e300, np.inf]), whole=True) == [1e300, np.inf]


def test_an_error_is_one_line_with_its_status():
    table = table_of([record(), failed_record("no,\n not  now"), failed_record("gone", http_status=None)])
    assert error_texts(table) == [None, "HTTP 429: no, not now", "gone"]
    assert error_texts(table.take(np.array([2, 0]))) == ["gone", None]


@given(st.lists(st.lists(st.none() | st.sampled_from("abcd"), min_size=3, max_size=3), max_size=20))
def test_combinations_are_those_of_each_request(rows):
    columns = []
    for values in zip(*rows, strict=True) if rows else [()] * 3:
        known = sorted({value for value in values if value is not None})
        numbers = [-1 if value is None else known.index(value) for value in values]
        columns.append(Codes(np.array(numbers, dtype=np.int32), tuple(known)))
    found = combinations(*columns)
    assert found.listed() == [tuple(row) for row in rows]
    assert list(found.values) == list(dict.fromkeys(map(tuple, rows)))


def test_combinations_of_very_many_values_do_not_overflow():
    many = Codes(np.array([0, 2**20 - 1, 0]), tuple(range(2**20)))
    assert combinations(*[many] * 8).listed() == [(0,) * 8, (2**20 - 1,) * 8, (0,) * 8]


def test_numbers_become_codes():
    assert codes_of(np.array([7, 3, 7])).listed() == [7, 3, 7]


def test_ids_and_times_are_text():
    table = table_of([record(), record(request_id="é", timestamp="never")])
    assert request_ids(table) == ["f47ac10b-58cc-4372-a567-0e02b2c3d479", "é"]
    assert timestamps(table) == ["2025-11-07T18:30:00.000000Z", ""]


def test_token_times_are_since_the_start_and_since_the_one_before():
    made = [record((100, 110)), record(()), record(events=events((0.1, TEXT, 1), (0.3, TEXT, 1)))]
    found = list(token_timings(table_of(made)))
    assert [len(one) for one in found] == [2, 0, 2]
    assert found[0][1] == {"token_index": 1, "timestamp_ms": 110.0, "delta_ms": 10.0}
    assert found[2][0]["delta_ms"] == 0.1
    assert found[2][1]["delta_ms"] == pytest.approx(0.2, abs=1e-9)
