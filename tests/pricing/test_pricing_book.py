"""The table that ships: against its source's own arithmetic, at its dates, tiers and cliffs; and users' files."""

import random
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from handmade import record
from needs import need_module

from lens.errors import ConfigError, FileError
from lens.model import Billing, ToolFee, Usage, UsageItem
from lens.pricing import FIXED_SET, Price, PriceBook, cost_of, parse_price, standard_book
from lens.pricing.book import STALE_DAYS, PriceKey, terms_of
from lens.pricing.table import fits, shipped

NOVEMBER = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOOK = standard_book()


def cost(provider, model, usage, when=NOVEMBER, **book):
    price = standard_book(**book).find(provider, model, when)
    return cost_of(usage, price, f"{provider}/{model}")


@pytest.mark.parametrize(
    ("provider", "model", "usage", "total"),
    [
        # 1,000,000 in at 1.25, of which 400,000 cached at 0.125; 1,000,000 out at 10.
        ("openai", "gpt-5", Usage(input_tokens=10**6, cache_read_tokens=400_000, output_tokens=10**6), "10.8"),
        ("openai", "gpt-5-2025-08-07", Usage(input_tokens=10**6, output_tokens=0), "1.25"),
        # Up to 272,000 tokens of input $5/$30; above it the whole request is $10/$45.
        ("openai", "gpt-5.5", Usage(input_tokens=272_000, output_tokens=1000), "1.39"),
        ("openai", "gpt-5.5", Usage(input_tokens=272_001, output_tokens=1000), "2.76501"),
        # $3 in, $3.75 written for 5 minutes, $6 for an hour, $0.30 read, $15 out.
        (
            "anthropic",
            "claude-3-5-sonnet-20241022",
            Usage(
                input_tokens=1000,
                cache_read_tokens=500,
                cache_write_tokens=300,
                cache_write_1h_tokens=100,
                output_tokens=10,
            ),
            "0.00225",
        ),
        ("azure", "gpt-4o-mini", Usage(input_tokens=10**6, output_tokens=10**6), "0.75"),
        ("vertex", "gemini-2.5-pro", Usage(input_tokens=100_000, output_tokens=1000), "0.135"),
        ("vertex", "gemini-2.5-pro", Usage(input_tokens=200_001, output_tokens=1000), "0.5150025"),
        ("openai", "text-embedding-3-small", Usage(input_tokens=10**6), "0.02"),
    ],
)
def test_costs_equal_invoices_worked_out_by_hand(provider, model, usage, total):
    assert cost(provider, model, usage).total_cost == Decimal(total)


def test_a_batch_costs_what_the_list_says_and_nothing_is_known_before_that_was_looked_at():
    usage = Usage(input_tokens=10**6, output_tokens=10**6)
    assert cost("openai", "gpt-5", usage, tier="batch").total_cost == Decimal("5.625")
    before = cost("openai", "gpt-5", usage, datetime(2026, 1, 1, tzinfo=UTC), tier="batch")
    assert before.total_cost is None
    assert "no price" in before.reason


def test_prices_by_the_hour_of_the_day():
    usage = Usage(input_tokens=10**6, output_tokens=10**6)
    assert cost("deepseek", "deepseek-chat", usage, datetime(2026, 6, 1, 12, tzinfo=UTC)).total_cost == Decimal("1.37")
    assert cost("deepseek", "deepseek-chat", usage, datetime(2026, 6, 1, 20, tzinfo=UTC)).total_cost == Decimal("0.685")


def test_every_cost_is_that_of_the_lists_own_arithmetic():
    """A second witness: the package that the table is made from."""
    genai = need_module("genai_prices", "pip install 'llm-latency-lens[sdks]'")
    from genai_prices.data import providers

    names = {"openai": "openai", "anthropic": "anthropic", "google": "google", "groq": "groq", "xai": "x-ai"}
    random_ = random.Random(7)
    compared = 0
    for ours, theirs in names.items():
        shop = next(one for one in providers if one.id == theirs)
        for model in random_.sample(list(shipped().shops[ours].models), 12):
            info = next((one for one in shop.models if one.id == model.id), None)
            if info is None or fits(model.match, model.id) is False:
                continue
            sent, cached, got = random_.randrange(1000, 400_000), random_.randrange(500), random_.randrange(5000)
            price = BOOK.find(ours, model.id, NOVEMBER)
            if price is None or price.output is None or price.model != model.id:
                continue
            usage = Usage(input_tokens=sent, cache_read_tokens=cached, output_tokens=got)
            told = genai.Usage(input_tokens=sent, cache_read_tokens=cached, output_tokens=got)
            witness = info.calc_price(told, shop, genai_request_timestamp=NOVEMBER)
            assert cost_of(usage, price, model.id).total_cost == witness.total_price, model.id
            compared += 1
    assert compared > 30


def test_a_models_price_is_found_by_what_the_answer_says_it_is():
    deployed = record(provider="azure", model="my-deployment", served_model="gpt-4o-mini-2024-07-18")
    assert BOOK.cost(deployed).total_cost is not None
    assert BOOK.cost(record(provider="azure", model="my-deployment")).total_cost is None


def test_what_the_user_says_comes_before_the_table():
    book = standard_book([parse_price("in=1,out=1")])
    assert book.find("openai", "gpt-5").input == 1


def test_a_users_file_of_prices(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(
        '[{"model": "llama-*", "input": "0.1", "output": "0.2", "above": [{"input_tokens": 10, "input": "1"}]}]'
    )
    book = standard_book(source=str(path))
    price = book.find("vllm", "llama-3")
    assert (price.input, price.output, price.source) == (Decimal("0.1"), Decimal("0.2"), str(path))
    assert cost_of(Usage(input_tokens=11, output_tokens=0), price, "x").total_cost == Decimal("0.000011")
    assert book.find("vllm", "qwen") is None
    assert book.find("openai", "gpt-5") is not None


@pytest.mark.parametrize("text", ["{}", '[{"input": "x"}]', '[{"input": "-1", "output": "1"}]', "not json"])
def test_a_file_that_holds_no_prices_is_refused_with_an_example(tmp_path, text):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.json"):
        standard_book(source=str(path))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileError, match="/nowhere"):
        standard_book(source="/nowhere")


def test_the_specified_prices_are_kept_under_a_name():
    book = standard_book(source=FIXED_SET)
    assert (book.find("openai", "gpt-5").input, book.find("openai", "gpt-5").output) == (30, 60)
    assert book.find("anthropic", "claude-3-7-sonnet-20250219").output == 15
    assert book.find("deepseek", "deepseek-r1").output == Decimal("2.19")
    assert book.find("openai", "gpt-4o") is None


@pytest.mark.parametrize("model", ["claude-4.1", "claude-4.1-sonnet", "Claude-4.1"])
def test_a_name_that_only_the_plan_has_is_priced_and_dated_as_there(model):
    price = standard_book().find("anthropic", model)
    assert (price.input, price.output, price.source, price.checked) == (3, 15, "fixed list of 2025-11", "2025-11-07")
    assert standard_book().find("openai", model) is None
    assert standard_book(tier="batch").find("anthropic", model) is None
    assert standard_book().price_at(PriceKey("anthropic", model, "claude-opus-4-1-20250805", None)).output == 75


def test_an_unknown_tier_is_refused():
    with pytest.raises(ConfigError, match="batch, flex, priority, fast"):
        standard_book(tier="bulk")


def test_an_old_price_is_called_stale():
    old = Price(input=Decimal(1), output=Decimal(1), checked="2026-01-01")
    assert PriceBook().stale_days(old, datetime(2026, 1, 2, tzinfo=UTC)) is None
    assert PriceBook().stale_days(old, datetime(2026, 12, 31, tzinfo=UTC)) > STALE_DAYS


def test_usage_that_contradicts_itself_costs_nothing_that_is_known():
    price = parse_price("in=1,out=1")
    assert cost_of(Usage(input_tokens=1, cache_read_tokens=10, output_tokens=0), price, "x").total_cost is None


@pytest.mark.parametrize(
    ("clause", "name", "is_meant"),
    [
        (["is", "GPT-5"], "gpt-5", True),
        (["starts", "gpt-"], "gpt-5", True),
        (["ends", "-mini"], "gpt-5", False),
        (["has", "pt"], "gpt-5", True),
        (["regex", "^o[134]"], "o3", True),
        (["or", ["is", "a"], ["is", "b"]], "b", True),
        (["and", ["has", "a"], ["has", "b"]], "a", False),
    ],
)
def test_clauses(clause, name, is_meant):
    assert fits(clause, name) is is_meant


def test_a_bill_holds_the_steps_and_tools_beside_the_tokens_and_names_what_it_lacks():
    book = PriceBook([parse_price("in=1,out=2,web_search=10")])  # USD per million tokens, per thousand searches
    million = Usage(input_tokens=10**6, output_tokens=10**6)
    billing = Billing(
        fees=(ToolFee("web_search", 3), ToolFee("code_interpreter", 1)),
        items=(UsageItem("compaction", million), UsageItem("image_generation", million)),
    )
    found = book.cost_at(PriceKey("openai", "m", billing=billing), million)
    assert found.total_cost == Decimal("6.03")
    assert [line.what for line in found.lines][-1] == "web search"
    assert sorted(one.what for one in found.uncounted) == ["code interpreter", "token of image generation"]
    whole = msgspec.structs.replace(billing, fees=(), items=(UsageItem("message", million),), itemized=True)
    assert book.cost_at(PriceKey("openai", "m", billing=whole), Usage(input_tokens=5)).total_cost == Decimal(3)


def test_what_the_provider_says_it_billed_is_the_cost():
    asked = record((100,), provider="x", model="m", usage=Usage(input_tokens=1, output_tokens=1))
    book = PriceBook([parse_price("in=1,out=1")])
    assert book.cost(asked).source != "reported"
    told = book.cost(msgspec.structs.replace(asked, reported_cost_usd="0.5"))
    assert (told.total_cost, told.source) == (Decimal("0.5"), "reported")


@pytest.mark.parametrize(
    ("provider", "model", "billing", "says"),
    [
        ("openai", "no-such-model", None, "no price for openai/no-such-model in the book of"),
        ("openai", "gpt-5", Billing(service_tier="bulk"), "at the tier 'bulk' in the book of"),
        ("openai", "gpt-99", None, "newer than the book of"),
    ],
)
def test_a_price_that_is_not_there_is_told_with_its_reason(provider, model, billing, says):
    found = BOOK.cost_at(PriceKey(provider, model, billing=billing), Usage(input_tokens=1, output_tokens=1))
    assert found.total_cost is None
    assert says in found.reason


def test_a_fast_answer_is_billed_as_one_and_a_book_knows_its_providers():
    fast, plain = Billing(speed="fast"), Billing(service_tier="default", speed="standard")
    assert terms_of(fast, None).tier == "fast"
    assert terms_of(plain, "flex").tier is None
    assert terms_of(None, "batch").tier == "batch"
    assert BOOK.knows("claude")
    assert not BOOK.knows("nobody")
    assert PriceBook().missing(PriceKey("x", "m")).startswith("no price for x/m; ")
