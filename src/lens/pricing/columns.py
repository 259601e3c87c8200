"""Costs of many requests at once: exact sums, and a column of each cost.

The arithmetic is that of rates.cost_of, which a test holds it to: within one price a cost is linear in the
tokens, so the sums of tokens times the rates are exact to the last digit, whatever the number of requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens.model import Usage
from lens.pricing.book import PriceBook, parse_reported_cost
from lens.pricing.rates import MILLION, Price, Rates, cost_of

Column = NDArray[Any]

COSTS = ("input_cost", "output_cost", "thinking_cost", "total_cost")


PICO = 10**12  # of a USD
UNKNOWN = -(2**63)
# Up to here a cost in 1e-12 USD fits into an int64, with room for a sum of its parts.
MOST_EXACT_USD = 4e6


class PriceKey(NamedTuple):
    """What a price depends on."""

    provider: str
    model: str
    served_model: str | None
    when: datetime | None  # None: the request does not say


class PriceKeys(NamedTuple):
    """Of some requests, in their order, what their prices depend on."""

    of: Column  # int: which of the keys
    keys: Sequence[PriceKey]
    reported: Mapping[int, str]  # request -> USD, where the provider said what it billed


class Costs(NamedTuple):
    """Of some requests, in their order."""

    columns: dict[str, Column]  # name of a cost -> USD as float64, NaN where not known
    total: Decimal | None  # exact, of the requests that count; None when none of them has a cost
    priced: int  # requests that count and have a cost
    unpriced: int
    reason: str | None  # of the first that has none
    stale_days: int | None  # how old the oldest price is, where it is stale
    pico: dict[str, Column]  # the same costs in 1e-12 USD as int64, exact; UNKNOWN where not known or too large
    reported: dict[int, Decimal]  # request -> what the provider says it billed
    sources: dict[str, int]  # where the prices are from, "reported" by the provider -> requests with a cost

    def decimals(self, name: str) -> list[Decimal | None]:
        """Return a cost of each request in USD with all its digits; None where it is not known."""
        values, of = self.distinct(name)
        return [values[place] for place in of.tolist()]

    def distinct(self, name: str) -> tuple[list[Decimal | None], Column]:
        """Return the different values of a cost in USD with all their digits, and the place of each request's in them.

        Requests of equal tokens have equal costs, so that these are fewer than requests.
        """
        pico, usd = self.pico[name], self.columns[name]
        known, of = np.unique(pico, return_inverse=True)
        values = [None if one == UNKNOWN else Decimal(one).scaleb(-12).normalize() for one in known.tolist()]
        large = np.flatnonzero((pico == UNKNOWN) & ~np.isnan(usd)).tolist()
        apart = {row: Decimal(float(usd[row])) for row in large} | (self.reported if name == "total_cost" else {})
        of[list(apart)] = len(values) + np.arange(len(apart))
        return [*values, *apart.values()], of


def cost_columns(book: PriceBook, asked: PriceKeys, usage: dict[str, Column], count: Column) -> Costs:
    """Return what each request cost. `usage`: float64 by field of Usage; `count`: who is summed up, as bool."""
    n = len(asked.of)
    columns = {name: np.full(n, np.nan) for name in COSTS}
    pico = {name: np.full(n, UNKNOWN, dtype=np.int64) for name in COSTS}
    total = Decimal(0)
    each = [book.price_at(*key) for key in asked.keys]
    same: dict[int, int] = {}  # one number for all keys of one price
    of = np.array([same.setdefault(id(price), len(same)) for price in each], dtype=np.int64)[asked.of]
    prices = {same[id(price)]: price for price in each if price is not None}
    reported = {row: cost for row, text in asked.reported.items() if (cost := parse_reported_cost(text)) is not None}
    counted = count.copy()
    counted[list(reported)] = False
    for number, price in prices.items():
        step = np.zeros(n, dtype=np.int64)
        for above in price.above:
            step += usage["input_tokens"] > above.input_tokens
        for level in range(len(price.above) + 1):
            rows = np.flatnonzero((of == number) & (step == level) & ~np.isnan(usage["input_tokens"]))
            if len(rows):
                limit = price.above[level - 1].input_tokens + 1 if level else 0
                total += _at_rates(price.at(limit), rows, usage, counted, columns, pico)
    for row, cost in reported.items():
        columns["total_cost"][row] = float(cost)
        if count[row]:
            total += cost
    lacking = count & np.isnan(columns["total_cost"])
    unpriced = int(lacking.sum())
    priced = int(count.sum()) - unpriced
    reason = None
    if unpriced:
        bare = int(np.argmax(lacking))  # the first that has none
        key = asked.keys[asked.of[bare]]
        reason = _reason(key, {k: float(v[bare]) for k, v in usage.items()}, each[asked.of[bare]])
    ages = [book.stale_days(price, key.when) for price, key in zip(each, asked.keys, strict=True) if price is not None]
    return Costs(
        columns=columns,
        total=total if priced else None,
        priced=priced,
        unpriced=unpriced,
        reason=reason,
        stale_days=max([days for days in ages if days is not None], default=None),
        pico=pico,
        reported=reported,
        sources=_sources(prices, of, columns["total_cost"], reported),
    )


def _sources(prices: Mapping[int, Price], of: Column, usd: Column, reported: Mapping[int, Decimal]) -> dict[str, int]:
    """Return where the prices of known costs are from, and of how many requests, the most first."""
    known = ~np.isnan(usd)
    known[list(reported)] = False
    n = np.bincount(of[known], minlength=max(prices, default=0) + 1)
    found = {"reported": len(reported)} if reported else {}
    for number, price in prices.items():
        if n[number]:
            name = price.source or "unknown"
            found[name] = found.get(name, 0) + int(n[number])
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _reason(key: PriceKey, usage: dict[str, float], price: Price | None) -> str | None:
    """Return why this request has no cost; its usage as it stands in the columns."""
    counts = {name: int(count) for name, count in usage.items() if not isnan(count)}
    return cost_of(Usage(**counts) if counts else None, price, f"{key.provider}/{key.model}").reason


def _at_rates(
    rates: Rates,
    rows: Column,
    usage: dict[str, Column],
    count: Column,
    columns: dict[str, Column],
    pico: dict[str, Column],
) -> Decimal:
    """The costs of these rows at one set of rates; the exact sum of those that count."""
    if rates.input is None:
        return Decimal(0)
    given = {name: column[rows] for name, column in usage.items()}
    u = {name: np.nan_to_num(column).astype(np.int64) for name, column in given.items()}
    cached, heard, spoken, thought = (
        u[f"{name}_tokens"] for name in ("cache_read", "audio_input", "audio_output", "reasoning")
    )
    written = u["cache_write_tokens"]
    hour = np.minimum(u["cache_write_1h_tokens"], written)
    answered = u["output_tokens"]
    sound = (cached + written + heard <= u["input_tokens"]) & (thought + spoken <= answered)
    sound &= answered == 0 if rates.output is None else ~np.isnan(given["output_tokens"])
    write_rate = _first(rates.cache_write, rates.input)
    asked = (
        (u["input_tokens"] - cached - written - heard, rates.input),
        (cached, _first(rates.cached, rates.input)),
        (written - hour, write_rate),
        (hour, _first(rates.cache_write_1h, write_rate)),
        (heard, _first(rates.audio_input, rates.input)),
    )
    output = rates.output if rates.output is not None else Decimal(0)
    thinking = (thought, _first(rates.thinking, output) if rates.output is not None else output)
    spoken_rate = _first(rates.audio_output, output)
    told: tuple[tuple[Column, Decimal], ...] = ((answered - thought - spoken, output), (spoken, spoken_rate), thinking)
    if rates.output is None:
        told = ()
    parts = {"input_cost": asked, "output_cost": told, "total_cost": (*asked, *told)}
    for name, lines in parts.items():
        _write(rows[sound], [(tokens[sound], rate) for tokens, rate in lines], columns[name], pico[name])
    if told:
        thinks = sound & ~np.isnan(given["reasoning_tokens"])
        _write(rows[thinks], [(thought[thinks], thinking[1])], columns["thinking_cost"], pico["thinking_cost"])
    summed = sound & count[rows]
    return sum((int(tokens[summed].sum()) * rate for tokens, rate in (*asked, *told)), Decimal(0)) / MILLION


def _write(rows: Column, lines: Sequence[tuple[Column, Decimal]], usd: Column, pico: Column) -> None:
    """Write the sum of tokens times USD a million into the rows of a cost."""
    total = np.zeros(len(rows))
    exact = np.zeros(len(rows), dtype=np.int64)
    for tokens, rate in lines:
        total += tokens * float(rate)
        exact += tokens * round(rate * PICO / MILLION)
    total /= 1e6
    fits = total < MOST_EXACT_USD
    usd[rows] = np.where(fits, exact / PICO, total)
    pico[rows] = np.where(fits, exact, UNKNOWN)


def _first(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate
