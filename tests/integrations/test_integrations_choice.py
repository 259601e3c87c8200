"""Targets that were measured, filtered and chosen from by any figure."""

from __future__ import annotations

import pytest
from handmade import failed_record, record

from lens.errors import ConfigError
from lens.integrations.optimizer import AutoOptimizer
from lens.integrations.recent import RecentMetrics
from lens.pricing import Price, PriceBook

BOOK = PriceBook([Price(provider="dear", input=10, output=30), Price(provider="cheap", input=1, output=3)])


@pytest.fixture(scope="module")
def measured():
    recent = RecentMetrics()
    for number in range(5):
        recent.add(record((100, 110), provider="dear", model="m", index=number))
        recent.add(record((900, 910), provider="cheap", model="m", index=number))
    recent.add(record((10, 20, 30, 40), provider="free", model="m"))
    recent.add(failed_record(provider="down", model="m"))
    return recent.get_recent_metrics(BOOK)


def test_each_target_has_its_summary(measured):
    assert [one.name for one in measured] == ["dear/m", "cheap/m", "free/m", "down/m"]
    assert measured[0].ttft_stats.median == 100
    assert (measured[0].provider, measured[0].model, measured[0].total_requests) == ("dear", "m", 5)
    assert repr(measured[1:2]) == "MeasuredTargets(cheap/m)"
    assert repr(measured[0]) == "MeasuredTarget(dear/m, 5 requests)"


def test_times_and_costs_are_best_when_low_and_rates_when_high(measured):
    assert measured.optimal_by(lambda m: m.ttft_stats.median).provider == "free"
    assert measured.optimal_by(lambda m: m.avg_tokens_per_second).provider == "free"
    assert measured.optimal_by(lambda m: m.avg_cost_per_request).provider == "cheap"
    assert measured.optimal_by(lambda m: m.success_rate).provider == "dear"


def test_a_filter_goes_before_the_choice_and_what_is_not_known_does_not_pass_it(measured):
    quick = measured.filter(lambda m: m.ttft_stats.p95 < 500)
    assert [one.provider for one in quick] == ["dear", "free"]
    assert quick.optimal_by(lambda m: m.avg_cost_per_request).provider == "dear"
    assert measured.filter(lambda m: False).optimal_by(lambda m: m.ttft_stats.p95) is None


def test_a_figure_that_is_computed_needs_to_be_told_which_end_is_good(measured):
    worth = measured.filter(lambda m: m.avg_cost_per_request is not None)

    def value(m):
        return m.avg_tokens_per_second / float(m.avg_cost_per_request)

    with pytest.raises(ConfigError, match="best="):
        worth.optimal_by(value)
    assert worth.optimal_by(value, best="highest").provider in ("dear", "cheap")


def test_a_figure_that_does_not_exist_is_named(measured):
    with pytest.raises(AttributeError, match=r"ttft_stat.*there are.*ttft_stats"):
        measured[0].ttft_stat  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        measured[:1].optimal_by(lambda m: m.nothing)


def test_an_optimizer_asks_what_was_measured_lately_by_its_client(measured):
    recent = RecentMetrics()
    recent.add(record((100, 110), provider="dear", model="m"))
    client = AutoOptimizer(recent, book=BOOK).latency_lens_client
    assert client.get_recent_metrics().optimal_by(lambda m: m.ttft_stats.median).name == "dear/m"
