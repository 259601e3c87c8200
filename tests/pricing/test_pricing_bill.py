"""The bill of a run: its lines add up to the total, also where prices, tiers and models differ."""

from decimal import Decimal

import pytest
from handmade import record

from lens.metrics.builder import table_of
from lens.model import Billing, Status, ToolFee, Usage, UsageItem
from lens.pricing import standard_book

TODAY = "2026-11-28T12:00:00.000000Z"
MODEL = {"provider": "anthropic", "model": "claude-opus-5-5", "timestamp": TODAY}
SEARCHES = Billing(fees=(ToolFee(tool="web_search", count=3), ToolFee(tool="mind_reading", count=1)))
COMPACTION = Billing(items=(
    UsageItem(kind="compaction", usage=Usage(input_tokens=5000, output_tokens=800)),
    UsageItem(kind="advisor_message", usage=Usage(input_tokens=10, output_tokens=10), model="claude-sonnet-5-5"),
))  # fmt: skip
USAGE = Usage(input_tokens=100, output_tokens=50)


@pytest.fixture(scope="module")
def bill():
    several = [
        record(usage=USAGE, **MODEL),
        record(usage=Usage(input_tokens=100, output_tokens=50, cache_read_tokens=40), **MODEL),
        record(usage=USAGE, billing=Billing(speed="fast"), **MODEL),
        record(usage=USAGE, billing=SEARCHES, **MODEL),
        record(usage=USAGE, billing=COMPACTION, **MODEL),
        record(usage=USAGE, reported_cost_usd="0.5", **MODEL),
        record(usage=None, **MODEL),
        record(usage=USAGE, status=Status.NETWORK_ERROR, category="timeout", **MODEL),
    ]
    table = table_of(several, book=standard_book())
    return table.bill(), table


def test_the_lines_add_up_to_the_total(bill):
    found, table = bill
    lines = [line for section in found.sections.values() for line in section]
    assert sum(line.usd for line in lines) + found.reported == found.total == table.costs.total
    assert all(line.usd == line.quantity * line.rate / line.per for line in lines)
    assert (found.reported, found.reported_requests, found.unpriced) == (Decimal("0.5"), 1, 1)


def test_each_price_has_a_section_of_its_own(bill):
    titles = [title.split(" (")[0] for title in bill[0].sections]
    assert titles == ["anthropic/claude-opus-5-5", "anthropic/claude-opus-5-5 at fast", "anthropic/claude-sonnet-5-5"]
    standard = {line.what: line.quantity for line in next(iter(bill[0].sections.values()))}
    assert standard == {
        "input": 360, "cached input": 40, "output": 200, "web search": 3, "compaction: input": 5000,
        "compaction: output": 800,
    }  # fmt: skip


def test_what_is_not_counted_is_named(bill):
    assert [*map(str, bill[0].uncounted)] == ["1 mind reading not counted"]


def test_a_run_of_which_nothing_is_known_has_no_total():
    found = table_of([record(provider="vllm", usage=USAGE)], book=standard_book()).bill()
    assert (found.sections, found.total, found.unpriced) == ({}, None, 1)
