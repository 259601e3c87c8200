"""Auto-Optimizer: models compared on a known script, choices by what was measured lately, routing and rates."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest
from handmade import INFO, MS, failed_record, record, stamps

from lens import Profiler, ProviderConfig
from lens.errors import ConfigError, LensError, ThresholdError
from lens.history.write import write_run
from lens.integrations.optimizer import (
    AutoOptimizer,
    CostBelow,
    LatencyUnder,
    ModelComparator,
    RecentMetrics,
    Requirements,
    ThroughputAbove,
    target_named,
)
from lens.integrations.routing import AdaptiveRate, Router
from lens.model import Failure, Status
from lens.pricing import Price, PriceBook
from lens.simulator import make_script, start

BOOK = PriceBook(
    [Price(provider="dear", input=10, output=30), Price(provider="cheap", input=1, output=3),
     Price(model="quick", input=10, output=30), Price(model="slow", input=1, output=3)]
)  # fmt: skip
CRITERIA = LatencyUnder(10_000.0).and_(CostBelow(0.01)).and_(ThroughputAbove(0.5))


def answered(provider, ttft_ms, *, at_s=0.0, **more):
    """A request at so many seconds after the first, whose first token took ttft_ms."""
    one = record((ttft_ms, ttft_ms + 10), provider=provider, model="m")
    begun = stamps(one.stamps.start + round(at_s * 1000) * MS, end=ttft_ms + 15)
    return msgspec.structs.replace(one, stamps=begun, request_id=f"{provider}{at_s}", **more)


def refused(provider, *, at_s=0.0, retry_after_s=None):
    failure = Failure(message="slow down", where="http", retryable=True, retry_after_s=retry_after_s)
    one = failed_record(provider=provider, model="m", failure=failure)
    return msgspec.structs.replace(one, stamps=stamps(one.stamps.start + round(at_s * 1000) * MS, end=1))


@pytest.fixture(scope="module")
def targets():
    """Two models of known speed: 15 and 415 ms to the first token, which is more than a busy machine adds."""
    with (
        start(make_script(ttft="15ms", itl="1ms", tokens=5)) as a,
        start(make_script(ttft="415ms", itl="1ms", tokens=5)) as b,
    ):
        yield [
            ProviderConfig.of("vllm", "slow", base_url=f"{b.url}/v1"),
            ProviderConfig.of("vllm", "quick", base_url=f"{a.url}/v1"),
        ]


async def test_models_are_compared_and_the_specified_criteria_choose(targets):
    results = await ModelComparator(iterations=12, book=BOOK).compare_models(targets, ["Say hello"])
    assert len(results.records) == 24
    assert results.optimal_by_criteria(CRITERIA, by="latency").recommended == "vllm/quick"
    assert results.optimal_by_criteria(CRITERIA, by="cost").recommended == "vllm/slow"
    assert results.optimal_by_criteria(LatencyUnder(1)).recommended is None
    assert results.optimal_for(Requirements.BatchHighThroughput).recommended == "vllm/quick"
    found = results.optimal_by_criteria(CRITERIA, by="latency")
    assert found.in_turns
    assert found.confidence == 1.0
    assert found.expected_latency_improvement == pytest.approx(400, rel=0.5)
    assert results.comparisons()[0].too_few["ttft_ms p95"] > 12, "so few say nothing of a tail"


def test_the_same_from_asyncio_and_from_plain_code(targets):
    comparator = ModelComparator(iterations=2, book=BOOK)
    awaited = asyncio.run(comparator.compare_models(targets, ["a", "b"]))
    waited = comparator.compare_models_blocking(targets, ["a", "b"])
    assert len(awaited.records) == len(waited.records) == 4


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("gpt-4", "openai", "gpt-4"),
        ("claude-4.1-sonnet", "anthropic", "claude-4.1-sonnet"),
        ("gemini-pro", "google", "gemini-pro"),
        ("groq:llama-3", "groq", "llama-3"),
    ],
)
def test_well_known_names_need_no_provider(name, provider, model):
    found = target_named(name)
    assert (found.provider, found.model) == (provider, model)


def test_what_cannot_be_compared_is_reported():
    comparator = ModelComparator()
    with pytest.raises(ConfigError, match="unknown provider"):
        comparator.compare_models_blocking(["gpt-4", "mystery"], ["x"])
    with pytest.raises(ConfigError, match="two models"):
        comparator.compare_models_blocking(["gpt-4"], ["x"])
    with pytest.raises(ConfigError, match="a prompt"):
        comparator.compare_models_blocking(["gpt-4", "gemini-pro"], [])
    with pytest.raises(ConfigError, match="ModelComparator"):
        ModelComparator(iterations=0)


def fed(*records, **more):
    recent = RecentMetrics(**more)
    recent.follow(records)
    return recent


def test_a_purpose_selects_as_the_specified_matrix_does():
    recent = fed(
        *[answered("dear", 100, at_s=i) for i in range(20)], *[answered("cheap", 400, at_s=i) for i in range(20)]
    )
    optimizer = AutoOptimizer(recent, book=BOOK)
    assert optimizer.select_provider(Requirements.BatchHighThroughput).provider == "dear"
    assert optimizer.select_provider(Requirements.CostOptimized).provider == "cheap"
    assert optimizer.select_provider(Requirements.InteractiveLowLatency).provider == "dear"
    with_bound = optimizer.select_provider(Requirements.CostOptimized, LatencyUnder(200))
    assert with_bound.provider == "dear"
    assert optimizer.recommend(Requirements.CostOptimized, current="dear:m").expected_cost_savings > 0


def test_a_selection_that_cannot_be_made_says_why():
    recent = fed(*[answered("dear", 1500, at_s=i) for i in range(9)])
    optimizer = AutoOptimizer(recent, book=BOOK)
    with pytest.raises(ThresholdError, match="No target meets the constraints: ttft_ms p95 < 1000 excludes dear/m"):
        optimizer.select_provider(Requirements.CostOptimized)
    unpriced = AutoOptimizer(fed(answered("nobody", 10)), book=PriceBook())
    with pytest.raises(LensError, match="Cost is not known"):
        unpriced.select_provider(Requirements.CostOptimized)
    with pytest.raises(ConfigError, match="nothing to choose from"):
        AutoOptimizer(RecentMetrics()).select_provider(Requirements.CostOptimized)


def test_recent_metrics_are_bounded_in_number_and_in_age():
    of_each = fed(*[answered("dear", i + 1, at_s=i) for i in range(50)], answered("cheap", 5), most=10)
    assert Counter(r.provider for r in of_each.records()) == {"dear": 10, "cheap": 1}
    assert of_each.added == 51
    now = [1762540200.0]  # 2025-11-07T18:30:00Z, when the hand-made requests were
    recent = fed(answered("dear", 5), within_s=60, now_s=lambda: now[0])
    assert len(recent) == 1
    now[0] += 61
    assert len(recent) == 0


def test_warm_up_does_not_count_as_lately():
    assert len(fed(answered("dear", 5, warmup=True), answered("dear", 5))) == 1


@pytest.mark.parametrize("bounds", [{"most": 0}, {"within_s": 0}])
def test_a_window_of_nothing_is_refused(bounds):
    with pytest.raises(ConfigError, match="above 0"):
        RecentMetrics(**bounds)


def test_recent_metrics_are_fed_by_run_files_and_by_a_profiler(tmp_path, targets):
    path = tmp_path / "run.jsonl"
    write_run(path, INFO, [answered("dear", 100, at_s=i) for i in range(3)])
    recent = RecentMetrics()
    recent.read(path)
    recent.follow(Profiler(targets[1]).stream_metrics("hello", iterations=2))
    assert [one.name for one in recent.candidates()] == ["dear/m", "vllm/quick"]
    assert len(recent) == 5


async def test_recent_metrics_are_fed_from_async_code(targets):
    recent = RecentMetrics()
    await recent.follow_async(Profiler(targets[1]).stream_metrics("hello", iterations=2))
    assert len(recent) == 2


class World:
    """Targets as they behave, a clock that only the test moves, and a router that is told."""

    def __init__(self, ttft_ms, **options):
        self.ttft_ms, self.now_s = ttft_ms, 0.0
        self.router = Router(
            [f"{name}:m" for name in ttft_ms], RecentMetrics(most=20), book=BOOK,
            now_ns=lambda: round(self.now_s * 1e9),
            **{"slo": LatencyUnder(500), "explore": 0.0, "seed": 1} | options,
        )  # fmt: skip

    def ask(self, times=1):
        chosen = []
        for _ in range(times):
            self.now_s += 1
            provider = self.router.choose().partition(":")[0]
            took = self.ttft_ms[provider]
            told = refused(provider, at_s=self.now_s) if took is None else answered(provider, took, at_s=self.now_s)
            self.router.report(told)
            chosen.append(provider)
        return chosen


def test_every_target_is_tried_then_the_cheapest_that_keeps_the_slo_is_used():
    world = World({"dear": 100, "cheap": 400})
    assert Counter(world.ask(10)) == {"dear": 5, "cheap": 5}
    assert set(world.ask(20)) == {"cheap"}


def test_a_router_leaves_a_target_that_became_slow_and_finds_it_again():
    world = World({"dear": 100, "cheap": 400}, explore=0.2)
    world.ask(20)
    world.ttft_ms["cheap"] = 900
    world.ask(60)
    assert Counter(world.ask(20))["dear"] >= 12
    world.ttft_ms["cheap"] = 300
    world.ask(250)  # its slow answers leave the window by the requests that explore
    assert Counter(world.ask(20))["cheap"] >= 12


def test_a_target_that_fails_rests_and_comes_back():
    world = World({"dear": 100, "cheap": 400})
    world.ask(15)
    world.ttft_ms["cheap"] = None
    assert world.ask(4) == ["cheap", "cheap", "cheap", "dear"]
    world.ttft_ms["cheap"] = 400
    assert set(world.ask(26)) == {"dear"}
    assert "cheap" in world.ask(20)


def test_a_target_that_names_a_time_rests_for_that_time():
    world = World({"dear": 100, "cheap": 400})
    world.ask(15)
    world.router.report(refused("cheap", retry_after_s=100))
    assert set(world.ask(90)) == {"dear"}
    world.now_s += 20
    assert "cheap" in world.ask(3)


def test_when_all_rest_the_one_that_is_back_first_is_asked():
    world = World({"dear": 100, "cheap": 400})
    world.router.report(refused("dear", retry_after_s=50))
    world.router.report(refused("cheap", retry_after_s=90))
    assert world.router.choose() == "dear:m"


def test_a_window_of_few_requests_still_leads_to_the_cheapest():
    world = World({"dear": 100, "cheap": 400})
    world.router.recent = RecentMetrics(most=2)
    world.ask(4)
    assert set(world.ask(20)) == {"cheap"}


def test_requests_that_the_caller_stopped_do_not_speak_against_a_target():
    world = World({"dear": 100, "cheap": 400})
    world.ask(15)
    stopped = failed_record(provider="cheap", model="m", status=Status.CANCELLED, category="cancelled")
    for _ in range(5):
        world.router.report(stopped)
    assert set(world.ask(5)) == {"cheap"}


def test_when_nobody_keeps_the_slo_the_fastest_is_used():
    world = World({"dear": 700, "cheap": 900})
    world.ask(10)
    assert set(world.ask(10)) == {"dear"}


def test_a_router_with_the_same_seed_chooses_the_same():
    assert World({"dear": 100, "cheap": 400}, explore=0.5).ask(50) == World(
        {"dear": 100, "cheap": 400}, explore=0.5
    ).ask(50)
    spread = Counter(World({"dear": 100, "cheap": 400}, explore=0.5).ask(200))
    assert 20 < spread["dear"] < 90


@pytest.mark.parametrize("wrong", [{"targets": []}, {"targets": ["a:m", "a:m"]}, {"explore": 2}, {"failures": 0}])
def test_a_router_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="router"):
        Router(**{"targets": ["a:m"], "recent": RecentMetrics()} | wrong)


def test_the_rate_grows_while_answers_are_fast_and_shrinks_when_they_are_not():
    rate = AdaptiveRate(500, start_per_s=2, increase_per_s=0.5, decrease=0.5, every=5, most_per_s=3)
    for i in range(10):
        rate.observe(answered("dear", 100, at_s=i))
    assert rate.rate_per_s == 3.0
    for i in range(10, 15):
        rate.observe(answered("dear", 900, at_s=i))
    assert rate.rate_per_s == 1.5
    for _ in range(5):
        rate.observe(answered("dear", 900, at_s=14))
    assert rate.rate_per_s == 1.5, "these had started before the rate was lowered"


def broken_off(at_s):
    """A stream whose first token was quick, and that broke after it."""
    failure = Failure(message="connection reset", where="transport", retryable=True)
    return answered("dear", 1, at_s=at_s, status=Status.NETWORK_ERROR, category="truncated", failure=failure)


def server_error(at_s):
    failure = Failure(message="no worker", where="http", retryable=True)
    one = failed_record(status=Status.SERVER_ERROR, category="server_error", http_status=500, failure=failure)
    return msgspec.structs.replace(one, stamps=stamps(one.stamps.start + at_s * 1000 * MS, end=1))


def empty(at_s):
    """An answer of HTTP 200 without any content."""
    one = record(())
    return msgspec.structs.replace(one, stamps=stamps(one.stamps.start + at_s * 1000 * MS, end=5))


def quick(at_s):
    return answered("dear", 1, at_s=at_s)


@pytest.mark.parametrize("metric", ["ttft_ms", "total_latency_ms"])
@pytest.mark.parametrize("bad", [broken_off, server_error, empty])
def test_what_is_no_success_with_content_lowers_the_rate(bad, metric):
    rate = AdaptiveRate(100, metric=metric, start_per_s=8, decrease=0.5, every=5)
    told = [rate.observe(bad(i)) for i in range(1, 11)]
    assert told == [8, 8, 8, 8, 4, 4, 4, 4, 4, 2]


@pytest.mark.parametrize("bad", [broken_off, server_error, empty])
def test_a_target_of_which_every_second_answer_is_bad_is_not_fast(bad):
    rate = AdaptiveRate(100, start_per_s=8, decrease=0.5, every=10)
    told = [rate.observe((quick, bad)[i % 2](i)) for i in range(1, 21)]
    assert told == [8.0] * 9 + [4.0] * 10 + [2.0]


def test_what_tells_nothing_of_the_target_leaves_the_rate_as_it_is():
    rate = AdaptiveRate(100, metric="itl_ms", start_per_s=8, every=1)
    assert rate.observe(answered("dear", 1, at_s=1, status=Status.CANCELLED, category="cancelled")) == 8
    one_token = record((10,))
    assert rate.observe(one_token) == 8, "it has content, and no gap between tokens"


def test_a_429_halves_the_rate_once_and_holds_it_for_as_long_as_is_asked():
    rate = AdaptiveRate(500, start_per_s=8, least_per_s=1)
    told = refused("dear", at_s=1, retry_after_s=4)
    for _ in range(5):
        rate.observe(told)
    assert rate.rate_per_s == 4.0
    assert rate.delay_s(told.stamps.end) == pytest.approx(4)
    assert rate.delay_s(told.stamps.end) == pytest.approx(4.25), "the next one comes a turn later"
    for i in range(2, 9):
        rate.observe(refused("dear", at_s=i))
    assert rate.rate_per_s == 1.0, "never below the least"


def test_requests_are_spaced_by_the_rate():
    rate = AdaptiveRate(500, start_per_s=10)
    assert [rate.delay_s(1000) for _ in range(3)] == pytest.approx([0, 0.1, 0.2])
    assert rate.delay_s(10**9) == 0


@pytest.mark.parametrize(
    "wrong",
    [{"target_ms": 0}, {"metric": "nonsense"}, {"metric": "total_cost"}, {"decrease": 1}, {"start_per_s": 0.01}],
)
def test_a_rate_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="adaptive rate"):
        AdaptiveRate(**{"target_ms": 500} | wrong)
