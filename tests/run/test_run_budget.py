"""What a run may cost at most, by hand from bytes, allowed tokens and prices; the unknown is never nothing."""

from decimal import Decimal

import msgspec
import pytest
from handmade import record

from lens.config.settings import LoadConfig, PromptConfig, RunConfig, SessionConfig, TargetConfig
from lens.errors import BudgetError, ConfigError
from lens.model import Usage
from lens.orchestrator.plan import Slot, make_plan
from lens.orchestrator.sessions.history import LiveAnswer, turn_prompt
from lens.pricing import PriceBook, parse_price, standard_book
from lens.run.budget import (
    CostWarning,
    Spending,
    cost_warning,
    gpu_cost,
    parse_gpu_hour,
    quote,
    session_costs,
    worst_usd,
)
from lens.wire import Secret

MILLION = 1_000_000
PRICE = standard_book([parse_price("in=3,out=15")])


def plan_of(*, texts=("hi",), max_tokens=100, **load):
    target = TargetConfig(
        provider="openai", model="gpt-4", base_url="http://127.0.0.1:9/v1", max_tokens=max_tokens, proxy=""
    )
    config = RunConfig(
        targets=(target,), load=LoadConfig(**{"iterations": 10, **load}), prompts=PromptConfig(texts=texts)
    )
    return make_plan(config, {})


def by_hand(plan, prompt=0, max_tokens=100):
    return Decimal(len(plan.requests[0][prompt].body) * 3 + max_tokens * 15) / MILLION


def slot(plan, prompt=0):
    return Slot(index=0, stage=plan.stages[0], target=0, prompt=prompt)


def test_the_worst_is_a_token_a_byte_and_every_token_that_is_allowed():
    plan = plan_of(texts=("hi", "a much longer question"))
    assert [worst_usd(plan, 0, prompt, PRICE) for prompt in (0, 1)] == [by_hand(plan, 0), by_hand(plan, 1)]
    assert by_hand(plan, 0) < by_hand(plan, 1)


@pytest.mark.parametrize(
    ("max_tokens", "book", "says"),
    [
        (100, PriceBook(), "no price for openai/gpt-4; give --price"),
        (None, PRICE, "nothing bounds what an answer may cost; give --max-tokens"),
    ],
)
def test_what_is_not_known_is_an_error_and_a_quote_that_says_so(max_tokens, book, says):
    plan = plan_of(max_tokens=max_tokens)
    with pytest.raises(ConfigError, match=says):
        worst_usd(plan, 0, 0, book)
    with pytest.raises(ConfigError, match=says):
        Spending(plan, book, "1")
    told = quote(plan, book)
    assert told["known"] is False
    assert says in told["why"]


@pytest.mark.parametrize("limit", ["nan", "-1", "much"])
def test_what_is_no_amount_is_refused_as_such_before_prices_are_looked_up(limit):
    with pytest.raises(ConfigError, match=f"--max-cost '{limit}': write dollars"):
        Spending(plan_of(), PriceBook(), limit)


def test_a_model_whose_output_is_free_needs_no_bound():
    plan = plan_of(max_tokens=None)
    assert worst_usd(plan, 0, 0, standard_book([parse_price("in=3,out=0")])) == by_hand(plan, max_tokens=0)


@pytest.mark.parametrize("retries", [0, 3])
def test_each_try_again_may_cost_as_much(retries):
    plan = plan_of(retries=retries)
    spending = Spending(plan, PRICE, "1")
    assert spending.worst_nusd(slot(plan)) == by_hand(plan) * (1 + retries) * 10**9
    assert Decimal(quote(plan, PRICE)["worst_usd_a_request"]) == by_hand(plan) * (1 + retries)


def test_the_ceiling_lets_through_what_fits_and_settles_for_the_real_cost():
    plan = plan_of()
    spending = Spending(plan, PRICE, str(by_hand(plan) * 2))
    worst = spending.worst_nusd(slot(plan))
    spending.ceiling.reserve(worst)
    spending.ceiling.reserve(worst)
    with pytest.raises(BudgetError, match="the next request may cost"):
        spending.ceiling.reserve(worst)
    spending.ceiling.settle(worst, record(usage=Usage(input_tokens=10, output_tokens=2), token_source="usage"))
    assert spending.ceiling.spent_nusd == (10 * 3 + 2 * 15) * 1000
    # Where the answer does not say, the worst is taken.
    spending.ceiling.settle(worst, record(usage=None, token_source=None))
    assert spending.ceiling.spent_nusd == (10 * 3 + 2 * 15) * 1000 + worst


@pytest.mark.parametrize("limit", ["much", "-1", "nan", "1e400000"])
def test_a_limit_that_is_no_amount_is_refused(limit):
    with pytest.raises(ConfigError, match="--max-cost"):
        Spending(plan_of(), PRICE, limit)


def test_a_quote_is_for_the_whole_run_where_its_length_is_known():
    plan = plan_of(texts=("hi", "a much longer question"))
    told = quote(plan, PRICE)
    assert Decimal(told["worst_usd"]) == (by_hand(plan, 0) + by_hand(plan, 1)) / 2 * 10
    assert told["price"] == "given on the command line"


def test_a_quote_for_a_run_that_only_time_ends_is_for_one_request():
    plan = plan_of(iterations=None, duration_ns=10**9)
    told = quote(plan, PRICE)
    assert told["worst_usd"] is None
    assert told["why"] == "only time ends this run; --max-cost bounds it"
    assert Decimal(told["worst_usd_a_request"]) == by_hand(plan)


def test_a_server_of_ones_own_costs_its_hours():
    assert gpu_cost(1800, 2_000_000, Decimal("2.5")) == {
        "usd": Decimal("1.25"),
        "usd_per_million_output_tokens": Decimal("0.625"),
    }
    assert gpu_cost(1800, 0, Decimal("2.5")) == {"usd": Decimal("1.25")}
    assert gpu_cost(None, 5, Decimal("2.5")) == {}


@pytest.mark.parametrize(
    ("text", "usd"), [("2.5", "2.5"), ("$2.50", "2.5"), ("2.5x8", "20"), ("2.5X8", "20"), ("0", "0"), (" 3 x 2", "6")]
)
def test_an_hour_of_gpus_is_read_as_it_is_meant(text, usd):
    assert parse_gpu_hour(text) == Decimal(usd)


@pytest.mark.parametrize("text", ["", "much", "-1", "2x-3", "2x1.5", "nan", "inf", "2xx3"])
def test_what_is_no_price_of_an_hour_is_refused(text):
    with pytest.raises(ConfigError, match=r"like 2\.5, or 2\.5x8"):
        parse_gpu_hour(text)


def body_plan(provider="openai", model="gpt-6.1-sol", **target):
    made = TargetConfig(provider=provider, model=model, base_url="http://127.0.0.1:9/v1", proxy="", **target)
    config = RunConfig(targets=(made,), load=LoadConfig(iterations=1), prompts=PromptConfig(texts=("hi",)))
    return make_plan(config, {})


@pytest.mark.parametrize(
    ("target", "tokens"),
    [
        ({"extra_body": {"max_completion_tokens": 7}}, 7),
        ({"max_tokens": 9, "extra_body": {"max_completion_tokens": 7}}, 7),
        ({"max_tokens": 9, "extra_body": {"n": 3}}, 27),
        ({"provider": "anthropic", "model": "m"}, 1024),  # its protocol has no answer without a bound
        ({"provider": "google", "model": "m", "extra_body": {"generationConfig": {"maxOutputTokens": 5}}}, 5),
        ({"provider": "bedrock", "model": "m", "max_tokens": 4, "api_key": Secret("k")}, 4),
        ({"provider": "ollama", "model": "m", "max_tokens": 6}, 6),
        ({"api": "embeddings", "model": "text-embedding-3-small"}, 0),
    ],
)
def test_the_quote_knows_the_bound_that_the_body_really_has(target, tokens):
    plan = body_plan(**target)
    assert worst_usd(plan, 0, 0, PRICE) == by_hand(plan, max_tokens=tokens)


def test_the_quote_is_for_the_tier_that_the_body_asks_for():
    book = standard_book()
    plain, fast = body_plan(max_tokens=100), body_plan(max_tokens=100, extra_body={"service_tier": "ultrafast"})
    size = [len(plan.requests[0][0].body) for plan in (plain, fast)]
    assert worst_usd(plain, 0, 0, book) == Decimal(size[0] * 2 + 100 * 10) / MILLION
    assert worst_usd(fast, 0, 0, book) == Decimal(size[1] * 12 + 100 * 60) / MILLION
    with pytest.raises(ConfigError, match="at the tier 'scale'"):
        worst_usd(body_plan(max_tokens=100, extra_body={"service_tier": "scale"}), 0, 0, book)


def test_a_price_of_input_alone_is_enough_for_embeddings():
    book = standard_book([parse_price("in=1")])
    plan = body_plan(api="embeddings", model="text-embedding-3-small")
    assert worst_usd(plan, 0, 0, book) == Decimal(len(plan.requests[0][0].body)) / MILLION
    assert book.cost(record(usage=Usage(input_tokens=8))).total_cost == Decimal("0.000008")
    assert "has no rate for output" in book.cost(record(usage=Usage(input_tokens=8, output_tokens=1))).reason


def test_a_run_warns_once_when_it_has_cost_more():
    costly = CostWarning(PRICE, "0.0001")
    for _ in range(5):
        costly.add(record(usage=Usage(input_tokens=10, output_tokens=2)))  # $0.00006
    assert costly.warning == "--warn-cost $0.0001: the run had cost $0.00012 after 2 requests, and went on"
    with pytest.raises(ConfigError, match="--warn-cost"):
        CostWarning(PRICE, "much")


@pytest.mark.parametrize(("total", "limit", "warns"), [("2", "1", True), ("1", "1", False), (None, "1", False)])
def test_a_cost_that_is_known_at_the_end_is_warned_of_too(total, limit, warns):
    assert (cost_warning(Decimal(total) if total else None, limit) is not None) is warns
    assert cost_warning(Decimal(2), None) is None


def session_plan(*, history="recorded", max_tokens=50, turns=3, **load):
    target = TargetConfig(
        provider="openai", model="gpt-4", base_url="http://127.0.0.1:9/v1", max_tokens=max_tokens, proxy=""
    )
    sessions = SessionConfig(turns=str(turns), turn_tokens="20", history=history)
    return make_plan(RunConfig(targets=(target,), load=LoadConfig(iterations=2, **load), sessions=sessions), {})


def turn_slots(plan):
    """The turns of the first session as they will be sent; live answers are as long as is allowed."""
    session = plan.sessions.sessions[0]
    live = {n: LiveAnswer("x" * 50) for n in range(len(session.turns))} if plan.is_live else None
    for number in range(len(session.turns)):
        prompt = turn_prompt(session, number, answers=live)
        yield Slot(index=number, stage=plan.stages[0], target=0, prompt=0, asked=prompt,
                   request=plan.targets[0].encode(prompt))  # fmt: skip


@pytest.mark.parametrize("history", ["recorded", "live"])
def test_a_turn_costs_at_most_its_bytes_and_its_answer_and_a_session_no_less(history):
    plan = session_plan(history=history)
    spending = Spending(plan, PRICE, "1")
    each = [spending.worst_nusd(slot) for slot in turn_slots(plan)]
    by_bytes = [Decimal(len(slot.request.body) * 3 + 50 * 15) / MILLION for slot in turn_slots(plan)]
    assert each == [int(one * 10**9) for one in by_bytes]
    assert each == sorted(each)  # a history only grows
    (costs,) = session_costs(plan, PRICE)
    assert sum(by_bytes) <= costs[0] <= 3 * sum(by_bytes)
    told = quote(plan, PRICE)
    assert told["known"]
    assert Decimal(told["worst_usd"]) == sum(costs)
    assert Decimal(told["worst_usd_a_session"]) == max(costs)


def test_a_session_whose_answers_nothing_bounds_is_refused_before_anything_is_sent():
    plan = session_plan(max_tokens=None)
    with pytest.raises(ConfigError, match="nothing bounds what an answer may cost"):
        Spending(plan, PRICE, "1")
    assert "nothing bounds" in quote(plan, PRICE)["why"]


def test_a_quote_of_sessions_without_an_end_says_so():
    plan = session_plan(duration_ns=10**9)
    plan = msgspec.structs.replace(plan, stages=(msgspec.structs.replace(plan.stages[0], count=None),))
    told = quote(plan, PRICE)
    assert told["worst_usd"] is None
    assert "--max-cost bounds it" in told["why"]
