"""Prices that were given for a run stay with it: a later reading of its file costs the same."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from handmade import INFO, record

from lens.errors import ConfigError
from lens.history.write import write_run
from lens.metrics.builder import read_table, read_tables, table_of
from lens.model import Usage
from lens.pricing import parse_price, standard_book
from lens.pricing.run_prices import RunPrices, packed_prices, unpacked_prices

MODEL = "gpt-5"
USED = Usage(input_tokens=1_000_000, output_tokens=0)


def saved(path, book, model=MODEL):
    """A run of one request under these prices, as a file."""
    info = msgspec.structs.replace(INFO, prices=packed_prices(book.given(["openai"])))
    one = record(model=model, usage=USED, request_id=path.name, timestamp="2026-11-07T18:30:00Z")
    write_run(path, info, [one])
    return path, table_of([one], info, book).costs.total


def test_a_file_costs_later_what_its_run_did(tmp_path):
    """With --price, --prices FILE, --price-tier and --prices plan; without any of them the header keeps nothing."""
    (tmp_path / "own.json").write_text('[{"provider": "openai", "model": "gpt*", "input": "7"}]')
    books = [
        standard_book([parse_price("in=3,out=15")]),
        standard_book(source=str(tmp_path / "own.json")),
        standard_book(tier="batch"),
        standard_book(source="plan"),
        standard_book(),
    ]
    for number, book in enumerate(books):
        path, cost = saved(tmp_path / f"{number}.jsonl", book)
        assert read_table(path, standard_book())[0].costs.total == cost
    assert packed_prices(standard_book().given(["openai"])) == {}
    several, _ = read_tables([tmp_path / "0.jsonl", tmp_path / "1.jsonl"], standard_book())
    assert several.costs.total == Decimal(3 + 7)
    assert several.bill().total == Decimal(3 + 7)
    assert [several.book_of(row).cost(several.record(row)).total_cost for row in range(2)] == [3, 7]


def test_what_is_given_now_comes_before_what_was_given_then(tmp_path):
    path, _ = saved(tmp_path / "run.jsonl", standard_book([parse_price("in=3,out=15")]))
    assert read_table(path, standard_book([parse_price("in=5,out=5")]))[0].costs.total == 5


def test_the_header_keeps_only_prices_of_its_providers(tmp_path):
    (tmp_path / "own.json").write_text(
        '[{"provider": "openai", "input": "7"}, {"provider": "anthropic", "input": "9"}, {"input": "1"}]'
    )
    kept = standard_book(source=str(tmp_path / "own.json")).given(["OpenAI"])
    assert [price.provider for price in kept.own] == ["openai", None]


def test_a_model_without_a_price_says_why_as_in_its_run(tmp_path):
    path, cost = saved(tmp_path / "run.jsonl", standard_book(tier="batch"), model="no-such-model")
    table, _ = read_table(path, standard_book())
    assert cost is None
    assert "no price for openai/no-such-model" in table.costs.reason


@pytest.mark.parametrize("packed", [{"own": 3}, {"own": [{"input": "-1"}]}, {"own": [{"input": "NaN"}]}])
def test_prices_that_are_none_are_told_and_left_out(tmp_path, packed):
    with pytest.raises(ConfigError, match="prices of the run"):
        unpacked_prices(packed)
    path = tmp_path / "run.jsonl"
    write_run(path, msgspec.structs.replace(INFO, prices=packed), [record(model=MODEL, usage=USED)])
    table, warnings = read_table(path, standard_book())
    assert "prices of the run" in warnings[0]
    assert table.costs.total is not None


def test_packed_prices_are_plain_data():
    given = RunPrices(own=(parse_price("in=0.15,out=0.6"),), tier="flex")
    packed = packed_prices(given)
    assert msgspec.json.decode(msgspec.json.encode(packed)) == packed
    assert unpacked_prices(packed) == given
    assert unpacked_prices({}) is None
