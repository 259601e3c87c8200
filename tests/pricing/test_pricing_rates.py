"""Costs against invoices worked out by hand, to the last digit; and when there is none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from handmade import record
from hypothesis import given
from hypothesis import strategies as st

from lens.errors import ConfigError
from lens.model import Usage
from lens.pricing import Price, PriceBook, cost_of, parse_price


@pytest.mark.parametrize(
    ("price", "usage", "total"),
    [
        # 42 in at $30, 187 out at $60.
        ("in=30,out=60", Usage(input_tokens=42, output_tokens=187), "0.01248"),
        ("in=3,out=15", Usage(input_tokens=1_000_000, output_tokens=1_000_000), "18"),
        # 200 plain at 3, 700 cached at 0.3, 100 written at 3.75, 10 out at 15.
        (
            "in=3,cached=0.3,cache_write=3.75,out=15",
            Usage(input_tokens=1000, output_tokens=10, cache_read_tokens=700, cache_write_tokens=100),
            "0.001335",
        ),
        # Thinking is a part of the output, and is billed once.
        ("in=0,out=10", Usage(input_tokens=5, output_tokens=100, reasoning_tokens=60), "0.001"),
        ("in=0,out=10,thinking=20", Usage(input_tokens=5, output_tokens=100, reasoning_tokens=60), "0.0016"),
        ("in=$0.15,out=$0.6", Usage(input_tokens=0, output_tokens=0), "0"),
    ],
)
def test_the_cost_is_that_of_the_invoice(price, usage, total):
    cost = cost_of(usage, parse_price(price), "openai/gpt-4")
    assert cost.total_cost == Decimal(total)
    assert cost.total_cost == cost.input_cost + cost.output_cost


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.decimals(0, 1000, places=4), st.decimals(0, 1000, places=4))
def test_no_digit_is_lost(sent, got, rate_in, rate_out):
    cost = cost_of(Usage(input_tokens=sent, output_tokens=got), Price(input=rate_in, output=rate_out), "x")
    assert cost.total_cost * 1_000_000 == sent * rate_in + got * rate_out


def test_an_unknown_price_gives_no_cost_and_says_what_to_do():
    cost = PriceBook().cost(record())
    assert cost.total_cost is None
    assert "openai/gpt-4" in cost.reason
    assert "--price" in cost.reason


def test_usage_that_was_not_told_gives_no_cost():
    assert cost_of(Usage(output_tokens=5), parse_price("in=1,out=1"), "x").total_cost is None


def test_the_provider_is_believed_about_its_own_bill():
    book = PriceBook([parse_price("in=30,out=60")])
    cost = book.cost(record(reported_cost_usd="0.00042"))
    assert (cost.total_cost, cost.source) == (Decimal("0.00042"), "reported")
    assert PriceBook().cost(record(reported_cost_usd="free")).total_cost is None


def test_a_price_counts_for_its_own_provider_and_model():
    book = PriceBook([Price(input=Decimal(1), output=Decimal(1), provider="openai", model="gpt-5")])
    assert book.find("openai", "gpt-5") is not None
    assert book.find("openai", "gpt-4") is None
    assert book.find("azure", "gpt-5") is None


@pytest.mark.parametrize(
    "text", ["", "3", "out=3", "in=3,out=much", "in=3,out=-1", "in=3,out=nan", "in=3,aut=2", "in=1e25"]
)
def test_what_is_no_price_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="in=3,out=15"):
        parse_price(text)
