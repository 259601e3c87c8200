"""Costs of many requests at once against the cost of each alone, to the last digit."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from handmade import record
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.metrics.builder import table_of
from lens.model import Attempt, Billing, Connection, Status, ToolFee, Usage, UsageItem
from lens.pricing import Price, PriceBook, standard_book
from lens.pricing.columns import COSTS
from lens.pricing.rates import RATE_NAMES, Above

count = st.none() | st.integers(0, 400)
part = st.none() | st.integers(0, 90)
PARTS = (
    "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cache_write_1h_tokens", "cache_write_12h_tokens",
    "audio_input_tokens", "audio_output_tokens", "audio_cache_read_tokens", "image_input_tokens",
    "image_output_tokens", "billed_input_tokens", "billed_output_tokens",
)  # fmt: skip
usages = st.none() | st.builds(Usage, input_tokens=count, output_tokens=count, **dict.fromkeys(PARTS, part))
billings = st.none() | st.builds(
    Billing,
    service_tier=st.sampled_from([None, "default", "flex"]),
    region=st.sampled_from([None, "us"]),
    fees=st.lists(
        st.builds(ToolFee, tool=st.sampled_from(["web_search", "typing"]), count=st.integers(1, 9)), max_size=2
    ).map(tuple),
    items=st.lists(
        st.builds(
            UsageItem, kind=st.sampled_from(["compaction", "image_generation"]),
            usage=st.builds(Usage, input_tokens=st.integers(0, 99), output_tokens=st.integers(0, 99)),
            model=st.sampled_from([None, "a", "z"]),
        ),
        max_size=2,
    ).map(tuple),
    itemized=st.booleans(),
)  # fmt: skip
rate = st.none() | st.decimals(0, 100, places=3)
rates = dict.fromkeys(RATE_NAMES, rate)
prices = st.builds(
    Price, **rates, model=st.sampled_from(["a", "b"]),
    above=st.lists(st.builds(Above, input=rate, output=rate, input_tokens=st.sampled_from([50, 200])), max_size=2)
    .map(lambda steps: tuple(sorted(steps, key=lambda step: step.input_tokens)))
    .filter(lambda steps: len({step.input_tokens for step in steps}) == len(steps)),
)  # fmt: skip
AWAY = Attempt(address="a", family="ipv4", start_ns=0, end_ns=1, error="reset", resent=True)
CONNECTED = Connection(reused=False, attempts=(msgspec.structs.replace(AWAY, error=None, resent=False),))
RESENT = Connection(reused=False, attempts=(AWAY, AWAY, *CONNECTED.attempts))
records = st.lists(
    st.builds(
        record,
        usage=usages,
        model=st.sampled_from("abc"),
        billing=billings,
        reported_cost_usd=st.sampled_from([None, None, "0.25", "?"]),
        token_source=st.sampled_from(["usage", "estimated:x"]),
        connection=st.sampled_from([None, CONNECTED, RESENT]),
    ),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(records, st.lists(prices, max_size=3), st.integers(0, 255))
def test_the_costs_of_many_are_those_of_each(several, book, mask):
    book = PriceBook(book)
    counts = [bool(mask >> i & 1) for i in range(len(several))]
    several = [
        msgspec.structs.replace(one, status=Status.SUCCESS if wanted else Status.NETWORK_ERROR)
        for one, wanted in zip(several, counts, strict=True)
    ]
    found = table_of(several, book=book).costs
    alone = [book.cost(one) for one in several]
    for name in COSTS:
        expected = [getattr(cost, name) for cost in alone]
        shown = [None if np.isnan(v) else v for v in found.columns[name]]
        assert shown == [None if v is None else pytest.approx(float(v), rel=1e-12, abs=1e-15) for v in expected], name
        assert found.decimals(name) == expected, name
    known = [c.total_cost for c, wanted in zip(alone, counts, strict=True) if wanted and c.total_cost is not None]
    assert found.total == (sum(known, Decimal(0)) if known else None)
    assert (found.priced, found.unpriced) == (len(known), sum(counts) - len(known))
    assert (found.reason is None) == (found.unpriced == 0)
    lacks = Counter()
    for cost, wanted in zip(alone, counts, strict=True):
        for one in cost.uncounted if wanted and cost.total_cost is not None else ():
            lacks[one.what] += one.number
    assert {one.what: one.number for one in found.uncounted} == +lacks
    told = [cost.total_cost is not None or one.connection is RESENT for cost, one in zip(alone, several, strict=True)]
    said = [cost.uncounted if tells else () for cost, tells in zip(alone, told, strict=True)]
    assert found.lack_of.texts_of_each() == ["; ".join(map(str, one)) or None for one in said]


def test_a_price_is_looked_up_at_the_minute_of_the_request():
    book = standard_book()
    early, late = (record(provider="deepseek", model="deepseek-chat", timestamp=t) for t in (
        "2025-03-01T12:00:00.000000Z", "2025-03-01T20:00:00.000000Z"))  # fmt: skip
    assert [book.price_of(one) for one in (early, late)] == [
        book.find("deepseek", "deepseek-chat", when(one)) for one in (early, late)
    ]


def when(one):
    from datetime import datetime

    return datetime.fromisoformat(one.timestamp)
