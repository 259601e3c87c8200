"""How a model is found in the table that ships: names, aliases, sources, and what is newer than it."""

import importlib.util
import json
import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from needs import need_module

from lens.model import Billing
from lens.pricing import standard_book
from lens.pricing.book import PriceKey, provider_name, terms_of
from lens.pricing.table import TIERS, Model, PriceTable, Rate, Shop, Source, Terms, fits, shipped
from lens.providers.registry import get_provider, provider_names

BOOK = standard_book()
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MAKE = Path(__file__).parents[2] / "tools" / "make_prices.py"


def aliases():
    presets = [getattr(get_provider(name), "preset", None) for name in provider_names()]
    return {alias: preset.name for preset in presets if preset for alias in preset.aliases}


def test_the_aliases_are_those_of_the_providers():
    assert shipped().aliases == aliases()


@pytest.mark.parametrize(
    ("typed", "model", "own"),
    [
        ("claude", "claude-opus-5-5", "anthropic"),
        ("Claude", "Claude-Opus-5-5", "anthropic"),
        ("gemini", "models/gemini-2.5-flash", "google"),
        ("azure-openai", "GPT-4o", "azure"),
        (" OpenAI ", "GPT-6-Luna", "openai"),
    ],
)
def test_aliases_and_capitals_keep_the_price(typed, model, own):
    assert provider_name(typed) == own
    found = BOOK.find(typed, model, NOW)
    plain = BOOK.find(own, model.lower().removeprefix("models/"), NOW)
    assert found is not None
    assert (found.input, found.output, found.model) == (plain.input, plain.output, plain.model)


def test_a_model_that_the_first_list_lacks_is_of_the_second():
    found = BOOK.find("anthropic", "claude-mythos-5", NOW)
    assert (found.input, found.output) == (10, 50)
    assert found.source.startswith("litellm")
    assert BOOK.find("anthropic", "claude-opus-5-5", NOW).source.startswith("genai-prices")
    assert {source.name.split()[0] for source in shipped().sources} == {"genai-prices", "litellm"}


def test_an_alias_of_the_newest_model_is_priced_by_the_model_that_served():
    asked = BOOK.price_at(PriceKey("openai", "gpt-sol-latest", None, NOW))
    served = BOOK.price_at(PriceKey("openai", "gpt-sol-latest", "gpt-6-luna", NOW))
    assert served == BOOK.find("openai", "gpt-6-luna", NOW)
    assert asked != served


@pytest.mark.parametrize(
    ("provider", "model", "newer"),
    [
        ("openai", "gpt-6.2-sol", True),
        ("openai", "gpt-5.9-new", False),
        ("openai", "gpt-4-2099-01-01", False),
        ("anthropic", "claude-opus-9", True),
        ("openai", "my-deployment", False),
        ("vllm", "gpt-99", False),
    ],
)
def test_a_model_newer_than_the_book_is_called_so(provider, model, newer):
    says = BOOK.missing(PriceKey(provider, model))
    assert f"no price for {provider}/{model}" in says
    assert (f"newer than the book of {shipped().checked}" in says) == newer
    assert str(shipped().checked) in says
    assert "--price in=" in says


@pytest.mark.parametrize(
    ("billing", "guess", "terms"),
    [
        (None, None, Terms()),
        (None, "flex", Terms(tier="flex")),
        (Billing(service_tier="default"), "flex", Terms()),
        (Billing(service_tier="auto"), "flex", Terms(tier="flex")),
        (Billing(service_tier="default"), "batch", Terms()),
        (Billing(service_tier="priority"), "flex", Terms(tier="priority")),
        (Billing(service_tier="ON_DEMAND"), None, Terms()),
        (Billing(service_tier="ON_DEMAND_PRIORITY"), None, Terms(tier="priority")),
        (Billing(service_tier="SERVICE_TIER_FLEX"), None, Terms(tier="flex")),
        (Billing(service_tier="standard", speed="fast", region="us"), None, Terms(tier="fast", region="us")),
        (Billing(speed="optimized"), None, Terms(mode="optimized")),
    ],
)
def test_the_terms_are_those_of_the_answer(billing, guess, terms):
    if guess == "batch":
        terms = Terms(tier="batch")
    assert terms_of(billing, guess) == terms


def table(*models, **more):
    return PriceTable(sources=(Source("a list", "MIT", NOW.date()),), shops={"openai": Shop(models=models)}, **more)


def test_a_factor_of_a_region_is_for_tokens_and_for_every_step():
    rates = (Rate(input=Decimal(2), output=Decimal(4), web_search=Decimal(10)),)
    model = Model(id="m", match=["is", "m"], rates=rates, regions={"us": Decimal("1.1")})
    found = table(model).find("openai", "m", NOW, Terms(region="us"))
    assert (found.input, found.output, found.web_search) == (Decimal("2.2"), Decimal("4.4"), Decimal(10))
    assert table(model).find("openai", "m", NOW, Terms(region="mars")).surcharge == "region 'mars'"
    assert table(model).find("openai", "m", NOW, Terms(tier="flex")) is None


def test_every_pattern_of_the_table_finds_the_same_names_by_its_beginning_first():
    models = [model for shop in shipped().shops.values() for model in shop.models]
    names = [f"{model.id}{end}" for model in models for end in ("", "-20260101", "-2026-01-01", "@20260101")]
    clauses = [model.match for model in models]
    while any(clause[0] in ("or", "and") for clause in clauses):
        clauses = [one for clause in clauses for one in (clause[1:] if clause[0] in ("or", "and") else [clause])]
    patterns = {clause[1] for clause in clauses if clause[0] == "regex"}
    assert patterns
    for pattern in patterns:
        found = {name for name in names if fits(["regex", pattern], name)}
        assert found == {name for name in names if re.search(pattern, name)}


def test_a_shop_of_the_shipped_table_is_decoded_once():
    shops = shipped().shops
    assert shops["openai"] is shops["openai"]
    assert len(shops) == len(list(shops)) == len(dict(shops))
    assert "nobody" not in shops
    assert shops.get("nobody") is None


def make_prices():
    spec = importlib.util.spec_from_file_location("make_prices", MAKE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LITELLM = {
    "input_cost_per_token": 2e-06, "output_cost_per_token": 1e-05, "input_cost_per_token_ultrafast": 1.2e-05,
    "output_cost_per_token_ultrafast": 6e-05, "cache_creation_input_token_cost_above_12hr": 5e-06,
    "input_cost_per_token_above_272k_tokens": 4e-06, "provider_specific_entry": {"us": 1.1, "fast": 2},
    "search_context_cost_per_query": {"low": 0.01, "high": 0.01}, "mode": "chat", "litellm_provider": "openai",
}  # fmt: skip


def test_the_second_lists_keys_are_read_as_rates():
    found = make_prices().litellm_rates(LITELLM)
    assert found[None] == {
        "input": "2", "output": "10", "cache_write_12h": "5", "web_search": "10",
        "above": [{"input_tokens": 272000, "input": "4"}],
    }  # fmt: skip
    assert found["ultrafast"] == {"input": "12", "output": "60"}


def test_the_second_list_adds_what_the_first_lacks_and_changes_nothing():
    tool = make_prices()
    known = {"id": "m", "match": ["is", "m"], "rates": [{"input": "2", "output": "10", "web_search": "25"}]}
    other = {"id": "n", "match": ["is", "n"], "rates": [{"input": "3", "output": "10"}]}
    shops = {name: {"models": []} for name in tool.SHOPS} | {"openai": {"models": [known, other]}}
    tool.add_litellm(shops, {"m": LITELLM, "n": LITELLM, "new": LITELLM, "m-latest": {"alias_of": "m"}})
    assert known["rates"][0] == {"input": "2", "output": "10", "web_search": "25", "cache_write_12h": "5"}
    assert {rate.get("tier") for rate in known["rates"]} == {None, "ultrafast", "fast"}
    assert known["regions"] == {"us": "1.1"}
    assert known["match"] == ["or", ["is", "m"], ["is", "m-latest"]]
    assert len(other["rates"]) == 1, "base rates differ, so it is not the same list price"
    assert shops["openai"]["models"][2]["id"] == "new"
    assert all(rate["by"] == 1 for rate in shops["openai"]["models"][2]["rates"])


def test_the_shipped_table_is_what_the_tool_makes(monkeypatch):
    need_module("genai_prices", "pip install 'llm-latency-lens[sdks]'")
    made = make_prices().make_table({}, "")
    assert made["aliases"] == shipped().aliases
    assert made["shops"].keys() == shipped().shops.keys()
    assert all(one["id"] for one in made["shops"]["openai"]["models"])


def test_without_a_network_the_book_stays_and_that_is_said(tmp_path, monkeypatch):
    tool = make_prices()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SystemExit, match=r"cannot fetch genai-prices .* is there a network\? The book stays that of"):
        tool.renew(tmp_path)
    assert json.loads(tool.GOAL.read_text())["sources"]


def test_every_tier_of_the_table_is_an_option():
    tiers = {rate.tier for shop in shipped().shops.values() for model in shop.models for rate in model.rates}
    assert tiers - {None} == set(TIERS)


ROOT = Path(__file__).parents[2]
EXAMPLES = [
    ROOT / "README.md",
    ROOT / "src/lens/config/example.toml",
    ROOT / "src/lens/profiler.py",
    *(ROOT / "src/lens/cli").rglob("*.py"),
    *(path for kind in ("*.md", "*.yml", "*.toml", "*.py") for path in (ROOT / "docs").rglob(kind)),
]
NAMED = re.compile(r"(?<![\w/-])((?:gpt|claude|gemini)-[a-z0-9][a-z0-9.-]*[a-z0-9])(?![\w*-])")
MAKERS = {"gpt": "openai", "claude": "anthropic", "gemini": "google"}


def test_examples_name_models_that_exist_on_the_day_of_the_book():
    named = {name: path for path in EXAMPLES for name in NAMED.findall(path.read_text(encoding="utf-8"))}
    assert "gpt-6-luna" in named
    for name, path in named.items():
        found = shipped().model(MAKERS[name.split("-")[0]], name)
        assert found is not None, f"{path}: no model {name}"
        assert found.ends is None or found.ends > shipped().checked, f"{path}: {name} ended on {found.ends}"
