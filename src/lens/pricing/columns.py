"""Costs of many requests at once: exact sums, and a column of each cost.

The arithmetic is that of one request (`rates.token_lines`): within one price a cost is linear in the tokens, so
the sums of tokens times the rates are exact to the last digit, whatever the number of requests. What is billed
beside the tokens is looked up once for all requests of the same bill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens.model import Usage
from lens.pricing.book import NO_EXTRAS, Extras, PriceBook, PriceKey, parse_reported_cost
from lens.pricing.rates import MILLION, Price, Rates, TokenLine, Uncounted, contradicts, token_lines

Column = NDArray[Any]

COSTS = ("input_cost", "output_cost", "thinking_cost", "total_cost")


PICO = 10**12  # of a USD
UNKNOWN = -(2**63)
# Up to here a cost in 1e-12 USD fits into an int64, with room for a sum of its parts.
MOST_EXACT_USD = 4e6
_BILLED = ("billed_input_tokens", "billed_output_tokens")


class PriceKeys(NamedTuple):
    """Of some requests, in their order, what their prices depend on."""

    of: Column  # int: which of the keys
    keys: Sequence[PriceKey]
    reported: Mapping[int, str]  # request -> USD, where the provider said what it billed
    estimated: Column  # bool: whose tokens a tokenizer of ours counted, not the server


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
    estimated: Column  # bool: whose cost is an estimate, for its tokens are
    uncounted: tuple[Uncounted, ...]  # what the total lacks

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
    each = [book.price_at(key) for key in asked.keys]
    billed = _billed_columns(usage, _itemized(asked))
    same: dict[int, int] = {}  # one number for all keys of one price
    of = np.array([same.setdefault(id(price), len(same)) for price in each], dtype=np.int64)[asked.of]
    prices = {same[id(price)]: price for price in each if price is not None}
    reported = {row: cost for row, text in asked.reported.items() if (cost := parse_reported_cost(text)) is not None}
    counted = count.copy()
    counted[list(reported)] = False
    total = Decimal(0)
    for number, price in prices.items():
        step = np.zeros(n, dtype=np.int64)
        for above in price.above:
            step += billed["input_tokens"] > above.input_tokens
        for level in range(len(price.above) + 1):
            rows = np.flatnonzero((of == number) & (step == level) & ~np.isnan(billed["input_tokens"]))
            if len(rows):
                limit = price.above[level - 1].input_tokens + 1 if level else 0
                total += _at_rates(price.at(limit), rows, billed, counted, columns, pico)
    extras = [
        NO_EXTRAS if price is None else book.extras(key, price) for key, price in zip(asked.keys, each, strict=True)
    ]
    added, uncounted = _add_extras(extras, asked.of, counted, columns, pico)
    total += added
    for row, cost in reported.items():
        columns["total_cost"][row] = float(cost)
        if count[row]:
            total += cost
    lacking = count & np.isnan(columns["total_cost"])
    unpriced = int(lacking.sum())
    priced = int(count.sum()) - unpriced
    estimated = asked.estimated & ~np.isnan(columns["total_cost"])
    estimated[list(reported)] = False
    ages = [book.stale_days(price, key.when) for price, key in zip(each, asked.keys, strict=True) if price is not None]
    return Costs(
        columns=columns,
        total=total if priced else None,
        priced=priced,
        unpriced=unpriced,
        reason=_reason(book, asked, usage, int(np.argmax(lacking))) if unpriced else None,
        stale_days=max([days for days in ages if days is not None], default=None),
        pico=pico,
        reported=reported,
        sources=_sources(prices, of, columns["total_cost"], reported),
        estimated=estimated,
        uncounted=uncounted,
    )


def _itemized(asked: PriceKeys) -> Column:
    """Return, as bool, whose usage is not billed because the steps of the answer are."""
    each = [key.billing is not None and key.billing.itemized for key in asked.keys]
    found: Column = np.array(each, dtype=bool)[asked.of]
    return found


def _billed_columns(usage: dict[str, Column], itemized: Column) -> dict[str, Column]:
    """Return the counts that are billed, as `rates.billed_usage` does for one request; of the itemized none."""
    told = [~np.isnan(usage[name]) for name in _BILLED]
    apart = told[0] | told[1]
    if not (apart.any() or itemized.any()):
        return usage
    found = {}
    for name, column in usage.items():
        stands_for = f"billed_{name}"
        own = np.where(np.isnan(usage[stands_for]), column, usage[stands_for]) if stands_for in usage else np.nan
        found[name] = np.where(apart, own, column)
        found[name][itemized] = 0.0 if stands_for in usage else np.nan
    return found


def _add_extras(
    extras: Sequence[Extras], of: Column, counted: Column, columns: dict[str, Column], pico: dict[str, Column]
) -> tuple[Decimal, tuple[Uncounted, ...]]:
    """Add what is billed beside the tokens to the costs that are known.

    Return the exact sum of it over the requests that count, and what could not be counted.
    """
    if all(one is NO_EXTRAS for one in extras):
        return Decimal(0), ()
    known = ~np.isnan(columns["total_cost"])
    times = np.bincount(of[known & counted], minlength=len(extras)).tolist()
    amounts = {
        "input_cost": [one.input_cost for one in extras],
        "output_cost": [one.output_cost for one in extras],
        "total_cost": [one.input_cost + one.output_cost + one.fees for one in extras],
    }
    for name, usd in amounts.items():
        columns[name] += np.array([float(one) for one in usd])[of]
        exact = known & (pico[name] != UNKNOWN)
        pico[name][exact] += np.array([round(one * PICO) for one in usd], dtype=np.int64)[of[exact]]
        columns[name][exact] = pico[name][exact] / PICO
    lacks: Counter[str] = Counter()
    for one, number in zip(extras, times, strict=True):
        for lack in one.uncounted:
            lacks[lack.what] += lack.number * number
    total = sum((usd * number for usd, number in zip(amounts["total_cost"], times, strict=True)), Decimal(0))
    return total, tuple([Uncounted(what, number) for what, number in lacks.items() if number])


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


def _reason(book: PriceBook, asked: PriceKeys, usage: dict[str, Column], row: int) -> str | None:
    """Return why this request has no cost; its usage as it stands in the columns."""
    counts = {name: int(column[row]) for name, column in usage.items() if not isnan(column[row])}
    return book.cost_at(asked.keys[asked.of[row]], Usage(**counts) if counts else None).reason


def _at_rates(
    rates: Rates,
    rows: Column,
    usage: dict[str, Column],
    count: Column,
    columns: dict[str, Column],
    pico: dict[str, Column],
) -> Decimal:
    """Write the costs of these rows at one set of rates; return the exact sum of those that count."""
    if rates.input is None:
        return Decimal(0)
    given = {name: column[rows] for name, column in usage.items()}
    u = {name: np.nan_to_num(column).astype(np.int64) for name, column in given.items()}
    sound = ~contradicts(u)
    sound &= u["output_tokens"] == 0 if rates.output is None else ~np.isnan(given["output_tokens"])
    lines = [line for line in token_lines(u, rates, np.minimum) if line.tokens.any() or line.what in _PLAIN]
    parts = {
        "input_cost": [line for line in lines if line.side == "input"],
        "output_cost": [line for line in lines if line.side != "input"],
        "total_cost": lines,
    }
    for name, own in parts.items():
        _write(rows, sound, own, columns[name], pico[name])
    thinking = [line for line in parts["output_cost"] if line.side == "thinking"]
    if rates.output is not None:
        _write(
            rows,
            sound & ~np.isnan(given["reasoning_tokens"]),
            thinking,
            columns["thinking_cost"],
            pico["thinking_cost"],
        )
    summed = sound & count[rows]
    return sum((int(line.tokens[summed].sum()) * line.rate for line in lines), Decimal(0)) / MILLION


# Lines that every request has.
_PLAIN = ("input", "output")


def _write(rows: Column, which: Column, lines: Sequence[TokenLine], usd: Column, pico: Column) -> None:
    """Write the sum of tokens times USD a million into the rows of a cost."""
    total = np.zeros(len(rows))
    exact = np.zeros(len(rows), dtype=np.int64)
    for line in lines:
        total += line.tokens * float(line.rate)
        exact += line.tokens * round(line.rate * PICO / MILLION)
    total /= 1e6
    fits = total < MOST_EXACT_USD
    usd[rows[which]] = np.where(fits, exact / PICO, total)[which]
    pico[rows[which]] = np.where(fits, exact, UNKNOWN)[which]
