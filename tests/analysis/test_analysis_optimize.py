"""Which target to use: the choice, its confidence, its gains, and honesty where the data says little."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from handmade import INFO, MS, failed_record, record, stamps
from hypothesis import given
from hypothesis import strategies as st

from lens.analysis.optimize.candidates import draws, figure_of, sample_of
from lens.analysis.optimize.criteria import Both, Bound, Either, Opposite, all_of, conjuncts
from lens.analysis.optimize.recommend import (
    CostBelow,
    LatencyUnder,
    ReliabilityAbove,
    ThroughputAbove,
    candidates_of,
    parse_criteria,
    preset_named,
    recommend,
)
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.metrics.joins import join_tables
from lens.metrics.rows import timestamps
from lens.model import Events, Status, Target
from lens.pricing import Price, PriceBook

BOOK = PriceBook(
    [
        Price(provider="dear", input=10, output=30),
        Price(provider="cheap", input=1, output=3),
        Price(provider="free", input=0, output=0),
    ]
)
BOTH = {"latency": 1.0, "cost": 1.0}


def asked(provider, ttft_ms, n=40, *, spread=2.0, seed=0, failed=0, model="m", target=0, targets=1):
    """Requests to one target: TTFT about ttft_ms, then three tokens 10 ms apart."""
    rng = random.Random(f"{provider}{seed}")
    made = []
    for i in range(n):
        at = ttft_ms + rng.uniform(-spread, spread)
        one = record((at, at + 10, at + 20, at + 30), provider=provider, model=model)
        if i < failed:
            one = failed_record(provider=provider, model=model)
        after = msgspec.structs.replace(
            one, index=i * targets + target, target_index=target, request_id=f"{provider}-{model}-{i}",
            stamps=stamps(one.stamps.start + i * 1000 * MS, end=at + 35),
        )  # fmt: skip
        made.append(after)
    return made


def advice(*runs, weights=BOTH, book=BOOK, **more):
    return recommend(candidates(runs, book), weights=weights, **more)


def candidates(runs, book=BOOK, info=None):
    """Those of several runs."""
    return candidates_of(join_tables([table_of(run, info, book) for run in runs])) if runs else []


def at_hour(records, hour):
    """The same at another hour."""
    return [msgspec.structs.replace(one, timestamp=f"2026-01-01T{hour:02}:00:00Z") for one in records]


@pytest.mark.parametrize("apart_ms", [0, 86_400_000])
def test_a_target_in_two_runs_has_the_rate_of_its_runs_whatever_their_clocks_say(apart_ms):
    run = asked("cheap", 100)
    later = [msgspec.structs.replace(one, stamps=stamps(one.stamps.start + apart_ms * MS, end=135)) for one in run]
    runs = [at_hour(later, 12), at_hour(run, 9)]
    (one,) = candidates(runs)
    assert [text[11:13] for text in timestamps(one.table)] == ["09"] * 40 + ["12"] * 40
    # A request each second: 40 in 39.1 s.
    assert advice(*runs, constraints=Bound("rps>1.02")).recommended == "cheap/m"
    assert advice(*runs, constraints=Bound("rps>1.03")).recommended is None


def test_the_target_that_is_faster_and_cheaper_is_recommended_with_what_it_saves():
    found = advice(asked("dear", 200), asked("cheap", 100))
    assert found.recommended == "cheap/m"
    assert found.confidence == 1.0
    # 42 tokens in, 4 out: 0.00054 USD and 0.000054 USD a request.
    assert found.expected_cost_savings == pytest.approx(0.486)
    assert found.cost_savings_share == pytest.approx(0.9)
    assert found.expected_latency_improvement == pytest.approx(100, abs=2)
    low, high = found.latency_interval
    assert low < 100 < high
    assert high - low < 4
    assert "is the best of 2 in latency and cost" in found.reasoning
    assert "saves 0.486 USD per 1,000 requests (90%)" in found.reasoning
    assert [one.front for one in found.standings] == [False, True]


def test_the_specified_struct_has_the_plans_fields():
    found = advice(asked("dear", 200), asked("cheap", 100))
    assert isinstance(found.current_config, Target)
    assert (found.current_config.provider, found.recommended_config.provider) == ("dear", "cheap")
    assert {"expected_cost_savings", "expected_latency_improvement", "confidence", "reasoning"} <= set(
        found.__struct_fields__
    )


def test_weights_decide_between_the_fast_one_and_the_cheap_one():
    runs = asked("dear", 100), asked("cheap", 300)
    assert advice(*runs, weights={"latency": 1.0}).recommended == "dear/m"
    assert advice(*runs, weights={"cost": 1.0}).recommended == "cheap/m"
    assert advice(*runs).recommended == "cheap/m", "a tenth of the price outweighs three times the wait"
    assert advice(*runs, weights={"latency": 4.0, "cost": 1.0}).recommended == "dear/m"
    assert [one.front for one in advice(*runs).standings] == [True, True]


def test_a_target_that_another_beats_in_everything_is_not_on_the_front():
    found = advice(asked("dear", 100), asked("cheap", 300), asked("dear", 350, model="slow"))
    assert [one.front for one in found.standings] == [True, True, False]


def test_what_costs_nothing_does_not_decide_alone():
    runs = asked("cheap", 10, spread=0.1), asked("free", 2000)
    assert advice(*runs).recommended == "cheap/m", "a hundredth of the price against two hundred times the wait"
    assert advice(*runs, weights={"cost": 1.0}).recommended == "free/m"


def test_a_constraint_excludes_and_is_told_with_the_figure():
    found = advice(asked("dear", 100), asked("cheap", 700), constraints=LatencyUnder(500))
    assert found.recommended == "dear/m"
    assert found.constraints[0].excludes == ("cheap/m",)
    assert "ttft_ms p95 < 500: 70" in found.standing("cheap/m").excluded[0]
    assert "the only target that meets the constraints" in found.reasoning


def test_when_no_target_meets_the_constraints_nothing_is_recommended():
    found = advice(asked("dear", 100), asked("cheap", 700), constraints=LatencyUnder(50))
    assert found.recommended is None
    assert found.recommended_config is None
    assert found.none_meets
    assert "No target meets the constraints: ttft_ms p95 < 50 excludes dear/m, cheap/m." in found.reasoning


def test_a_choice_between_like_targets_is_not_called_settled():
    found = advice(asked("dear", 100, 20, spread=30, seed=1), asked("dear", 100, 20, spread=30, seed=2, model="other"),
                   weights={"latency": 1.0})  # fmt: skip
    assert 0.3 < found.confidence < 0.95
    assert "this is not settled" in found.reasoning
    assert sum(one.best_share for one in found.standings) == pytest.approx(1)


def test_confidence_grows_with_the_number_of_requests():
    def sure(n):
        return (
            advice(
                asked("dear", 100, n, spread=40), asked("dear", 90, n, spread=40, model="b"), weights={"latency": 1.0}
            )
            .standing("dear/b")
            .best_share
        )

    assert sure(400) > 0.95 > sure(12)


@pytest.mark.parametrize("statistic", ["mean", "p50", "p95", "std_dev", "min", "max"])
def test_many_requests_are_drawn_in_chunks_and_scatter_as_one_by_one(statistic):
    (one,) = candidates([asked("dear", 100, 3000, spread=40)])
    spreads = []
    for each in (1, 3):
        sample = sample_of(one, "ttft_ms", statistic, each)
        drawn = [sample.at(counts) for (counts,) in draws([one], 200, 1, each)]
        assert np.mean(drawn) == pytest.approx(figure_of(one, "ttft_ms", statistic)[0], rel=0.01)
        spreads.append(np.std(drawn))
    assert spreads[1] == pytest.approx(spreads[0], rel=0.35, abs=0.02)


def test_too_few_requests_give_a_choice_without_a_confidence():
    found = advice(asked("dear", 200, 5), asked("cheap", 100, 5))
    assert found.recommended == "cheap/m"
    assert found.confidence is None
    assert found.latency_interval is None
    assert "Too few requests for a confidence: 5 of a target succeeded" in found.reasoning


def test_a_target_without_a_price_is_not_ranked_by_cost():
    found = advice(asked("dear", 200), asked("unheard", 100))
    assert found.recommended == "dear/m"
    assert found.standing("unheard/m").unranked.startswith("cost not known")
    assert "unheard/m is not ranked: cost not known (give --prices FILE" in found.reasoning


def test_a_criterion_that_nobody_has_decides_nothing():
    found = advice(asked("unheard", 200), asked("nameless", 100))
    assert found.recommended == "nameless/m"
    assert set(found.criteria) == {"latency"}
    assert "Cost is not known of any target and decides nothing" in found.reasoning
    only = advice(asked("unheard", 200), weights={"cost": 1.0})
    assert only.recommended is None
    assert not only.none_meets


def test_an_optional_criterion_is_left_out_when_one_target_lacks_it():
    preset = preset_named("interactive-low-latency")
    found = advice(asked("dear", 200), asked("unheard", 100), weights=preset.weights, optional=preset.optional)
    assert found.recommended == "unheard/m"
    assert set(found.criteria) == {"latency"}


def test_a_target_that_never_answered_is_not_ranked():
    found = advice(asked("dear", 200), asked("cheap", 100, 10, failed=10))
    assert found.recommended == "dear/m"
    assert "cheap/m is not ranked: no request succeeded." in found.reasoning


def test_failures_of_the_choice_are_told_and_reliability_can_decide():
    runs = asked("dear", 200), asked("cheap", 100, failed=20)
    found = advice(*runs)
    assert "20 of 40 requests to cheap/m failed" in found.reasoning
    assert advice(*runs, weights={"reliability": 1.0}).recommended == "dear/m"
    assert advice(*runs, constraints=ReliabilityAbove(0.9)).recommended == "dear/m"


def test_a_target_that_breaks_its_answers_off_is_not_recommended_for_their_first_tokens():
    breaks = [
        msgspec.structs.replace(one, status=Status.NETWORK_ERROR, category="truncated", events=record((1,)).events)
        if one.index % 2
        else one
        for one in asked("breaks", 100)
    ]
    found = advice(breaks, asked("good", 50), weights={"latency": 1.0})
    assert found.recommended == "good/m"


def test_answers_without_content_count_as_failures_of_a_target():
    half = [msgspec.structs.replace(one, events=Events()) if one.index % 2 else one for one in asked("half", 30)]
    found = advice(half, asked("good", 50), weights={"latency": 1.0, "reliability": 4.0})
    assert found.recommended == "good/m"
    by_latency = advice(half, asked("good", 50), weights={"latency": 1.0})
    assert "20 of 40 requests to half/m failed or brought nothing; add reliability" in by_latency.reasoning


def test_the_current_target_can_be_named_and_kept():
    runs = asked("dear", 200), asked("cheap", 100)
    kept = advice(*runs, current="cheap/m")
    assert "nothing is to be changed" in kept.reasoning
    assert kept.expected_cost_savings is None
    with pytest.raises(ConfigError, match=r"'other/m' is not among the targets .* dear/m, cheap/m"):
        advice(*runs, current="other/m")


def test_what_changing_costs_is_called_a_cost():
    found = advice(asked("cheap", 400), asked("dear", 100), weights={"latency": 1.0})
    assert found.expected_cost_savings < 0
    assert "costs 0.486 USD per 1,000 requests (900%)" in found.reasoning


def test_drift_that_hits_targets_asked_in_turns_alike_decides_nothing():
    """Each request waits longer than the one before; b is 5 ms faster in each turn."""
    info = msgspec.structs.replace(
        INFO, targets=tuple(Target(provider="dear", model=m, url="http://x") for m in ("a", "b"))
    )
    records = []
    for turn in range(60):
        for place, (model, at) in enumerate((("a", 100 + 10 * turn), ("b", 95 + 10 * turn))):
            one = asked("dear", at, 1, spread=0, model=model, target=place, targets=2)[0]
            begun = stamps(one.stamps.start + (2 * turn + place) * 1000 * MS, end=at + 35)
            records.append(msgspec.structs.replace(one, index=2 * turn + place, stamps=begun))
    together = recommend(candidates([records], info=info), weights={"latency": 1.0})
    apart = recommend(candidates([records]), weights={"latency": 1.0})
    assert together.in_turns
    assert together.confidence == 1.0
    assert apart.confidence < 0.95
    assert "not asked in turns" in apart.reasoning
    assert "not asked in turns" not in together.reasoning


def test_one_model_at_two_addresses_is_two_targets():
    info = msgspec.structs.replace(
        INFO, targets=tuple(Target(provider="vllm", model="m", url=url) for url in ("http://a", "http://b"))
    )
    records = [*asked("vllm", 100, target=0, targets=2), *asked("vllm", 50, target=1, targets=2, seed=9)]
    found = recommend(candidates([records], info=info), weights={"latency": 1.0})
    assert [one.name for one in found.standings] == ["vllm/m@a", "vllm/m@b"]
    assert found.recommended_config.url == "http://b"


def test_a_provider_is_as_sure_as_any_of_its_models():
    runs = (asked("dear", 100, spread=30), asked("dear", 100, spread=30, seed=3, model="b"), asked("cheap", 200))
    by_target = advice(*runs, weights={"latency": 1.0})
    by_provider = advice(*runs, weights={"latency": 1.0}, by_provider=True)
    assert by_target.confidence < 0.95
    assert by_provider.confidence == 1.0
    assert "the provider dear stays the best in 100.0%" in by_provider.reasoning


def test_the_same_records_give_the_same_advice():
    runs = asked("dear", 100, spread=50), asked("cheap", 110, spread=50)
    assert advice(*runs, weights={"latency": 1.0}) == advice(*runs, weights={"latency": 1.0})


def test_nothing_measured_is_an_error():
    with pytest.raises(ConfigError, match="nothing to choose from"):
        advice()


def test_warm_up_requests_do_not_count():
    warm = [msgspec.structs.replace(r, warmup=True) for r in asked("cheap", 1, 5)]
    found = advice([*warm, *asked("cheap", 100)], asked("dear", 50), weights={"latency": 1.0})
    assert found.recommended == "dear/m"


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("latency,cost", {"latency": 1, "cost": 1}),
        ("latency=2, cost=0.5", {"latency": 2, "cost": 0.5}),
        ("THROUGHPUT,reliability", {"throughput": 1, "reliability": 1}),
    ],
)
def test_criteria_are_read_with_their_weights(text, weights):
    assert parse_criteria(text) == weights


@pytest.mark.parametrize("text", ["", "latency,beauty", "latency=0", "cost=-1", "cost=x", "cost=nan", "cost=inf"])
def test_criteria_that_are_none_are_reported(text):
    with pytest.raises(ConfigError, match="criteria"):
        parse_criteria(text)


@pytest.mark.parametrize("name", ["BatchHighThroughput", "batch-high-throughput", "batch_high_throughput"])
def test_presets_have_the_specified_names_and_dashed_ones(name):
    assert preset_named(name).weights == {"throughput": 1}


def test_an_unknown_preset_names_those_that_are():
    with pytest.raises(ConfigError, match="InteractiveLowLatency, BatchHighThroughput, CostOptimized"):
        preset_named("Fast")


def test_the_specified_criteria_are_joined_as_the_plan_writes_them():
    found = LatencyUnder(500.0).and_(CostBelow(0.01)).and_(ThroughputAbove(20.0))
    assert str(found) == "ttft_ms p95 < 500 and total_cost mean < 0.01 and tokens_per_second mean > 20"
    assert [str(one) for one in conjuncts(found)] == str(found).split(" and ")
    assert found == all_of([LatencyUnder(500), CostBelow(0.01), ThroughputAbove(20)])
    assert found == LatencyUnder(500) & CostBelow(0.01) & ThroughputAbove(20)
    assert str(LatencyUnder(5).or_(CostBelow(1)).and_(CostBelow(2).not_())) == (
        "(ttft_ms p95 < 5 or total_cost mean < 1) and not (total_cost mean < 2)"
    )


def test_the_opposite_of_an_unknown_bound_excludes_too():
    found = advice(asked("unheard", 100), weights={"latency": 1.0}, constraints=CostBelow(0.01).not_())
    assert found.recommended is None
    assert "not measured" in found.standing("unheard/m").excluded[0]


def test_either_of_two_bounds_is_enough():
    runs = asked("dear", 100), asked("cheap", 700), asked("dear", 700, model="slow")
    found = advice(*runs, constraints=LatencyUnder(500).or_(CostBelow(0.0001)))
    assert found.constraints[0].excludes == ("dear/slow",)


TRUTHS = st.sampled_from([True, False, None])


@given(TRUTHS, TRUTHS)
def test_unknowns_are_joined_as_kleene_did(a, b):
    one, other = Bound("ttft_p95<1"), Bound("ttft_p95<2")
    of = {one.threshold: a, other.threshold: b}.__getitem__
    as_number = {True: 2, None: 1, False: 0}
    assert as_number[Both(one, other).truth(of)] == min(as_number[a], as_number[b])
    assert as_number[Either(one, other).truth(of)] == max(as_number[a], as_number[b])
    assert as_number[Opposite(one).truth(of)] == 2 - as_number[a]
    assert Opposite(Both(one, other)).truth(of) == Either(Opposite(one), Opposite(other)).truth(of)
