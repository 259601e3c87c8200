"""Requests as Arrow tables: any cut into slices gives the same table, and floats stand for decimals where asked."""

from __future__ import annotations

import pytest
from handmade import INFO, full_record, record
from needs import need_module

from lens.export import arrow
from lens.metrics.builder import table_of
from lens.pricing import PriceBook, parse_price

BOOK = PriceBook((parse_price("in=3,out=15"),))
RECORDS = [record((100 + i, 130 + i), index=i, request_id=str(i)) for i in range(7)] + [full_record()]


@pytest.fixture
def pa():
    return need_module("pyarrow", "pip install pyarrow")


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_any_cut_into_slices_gives_the_same_table(pa, rows, monkeypatch):
    table = table_of(RECORDS, INFO, BOOK)
    whole = arrow.arrow_table(pa, table, INFO)
    monkeypatch.setattr(arrow, "ROWS_A_GROUP", rows)
    assert arrow.arrow_table(pa, table, INFO).equals(whole, check_metadata=True)
    assert whole.column("request_id").to_pylist()[:7] == [str(i) for i in range(7)]


def test_floats_stand_for_decimals_and_all_else_is_kept(pa):
    table = arrow.arrow_table(pa, table_of(RECORDS, INFO, BOOK))
    plain = arrow.without_decimals(table)
    for field in table.schema:
        kind = plain.schema.field(field.name).type
        assert kind == (pa.float64() if pa.types.is_decimal(field.type) else field.type)
    assert plain.column("total_cost").to_pylist() == [float(cost) for cost in table.column("total_cost").to_pylist()]
