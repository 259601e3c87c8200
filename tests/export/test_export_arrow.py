"""Requests as Arrow tables: any cut into slices gives the same table, and floats stand for decimals where asked."""

from __future__ import annotations

from decimal import Decimal

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


# More than 18 digits behind the point, more than 28 digits in all, and too many before the point.
@pytest.mark.parametrize(
    ("usd", "held"),
    [
        ("0.1234567890123456785", "0.123456789012345678"),
        ("12345678901.123456789012345678", "12345678901.123456789012345678"),
        ("99999999999999999999.5", "99999999999999999999.5"),
        ("1e-30", "0"),
        ("-1e19", "-1e19"),
        ("1e20", None),
    ],
)
def test_a_cost_of_any_digits_fits_into_its_column(pa, usd, held):
    made = pa.array([arrow._fitted(Decimal(usd))], type=pa.decimal128(*arrow._MONEY)).to_pylist()
    assert made == [None if held is None else Decimal(held)]
