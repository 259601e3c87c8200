"""`lll prices` as typed."""

import json

import pytest
from click.testing import CliRunner

from lens.cli.main import lll
from lens.cli.options import PRICE_TIERS
from lens.pricing import TIERS, standard_book


def run(*words):
    return CliRunner().invoke(lll, ["prices", *words])


def test_a_pattern_lists_models_with_their_source():
    out = run("gpt-5*").output
    assert "gpt-5-mini" in out
    assert "claude" not in out
    assert "source: genai-prices" in out


def test_an_alias_is_found_at_the_provider_that_resells():
    assert "2.5" in run("gpt-4o", "--provider", "azure").output


@pytest.mark.parametrize("typed", ["azure-openai", "AZURE", "azure"])
def test_an_alias_of_a_provider_in_any_case_has_its_price(typed):
    told = json.loads(run("GPT-4o", "--provider", typed, "--json").output)
    assert [one["price"]["input"] for one in told] == ["2.5"]
    assert "claude-opus-5-5" in run("CLAUDE-OPUS-*", "--provider", "Claude").output


def test_a_name_is_shown_as_a_request_of_it_would_be_billed():
    for model in ("gpt-5-2025-08-07", "gpt-sol-latest"):
        told = json.loads(run(model, "--provider", "openai", "--json").output)
        assert told[0]["price"]["input"] == str(standard_book().find("openai", model).input)


def test_a_price_that_is_given_is_shown_once():
    told = json.loads(run("text-embedding-3-small", "--price", "in=1", "--json").output)
    assert [(one["provider"], one["price"]["input"]) for one in told] == [("*", "1")]


def test_a_model_newer_than_the_book_is_called_so():
    result = run("gpt-99", "--provider", "openai")
    assert result.exit_code != 0
    assert "newer than the book of" in str(result.exception)


def test_a_tier_and_a_cliff_are_shown():
    assert "0.625" in run("gpt-5", "--price-tier", "batch").output
    assert "above 272000 tokens of input" in run("gpt-5.5").output


def test_json_holds_every_rate_as_an_exact_string():
    told = json.loads(run("gpt-5", "--json").output)
    assert told[0]["price"]["input"] == "1.25"


def test_old_prices_are_said_to_be_old():
    result = run("--prices", "plan")
    assert "days old" in result.stderr


@pytest.mark.parametrize("words", [("no-such-model",), ("--prices", "/nowhere")])
def test_what_is_not_there_is_an_error(words):
    assert run(*words).exit_code != 0


def test_the_tiers_of_the_option_are_those_of_the_book():
    assert PRICE_TIERS == TIERS
