"""The bill of a run: every kind of token and fee once for each price, with its quantity, rate and amount.

Its lines add up to the run's total to the last digit, for both are sums of the same columns.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import NamedTuple

from lens.arrays.dispatch import np
from lens.pricing.book import PriceBook, PriceKey
from lens.pricing.columns import Column, PriceKeys, cost_columns, rows_at_rates, sound_lines
from lens.pricing.rates import MILLION, BillLine, Price, Uncounted

_Sums = Counter[tuple[str, Decimal, int]]  # (what, rate, per) -> quantity


class Bill(NamedTuple):
    """What the requests that count are billed."""

    sections: dict[str, list[BillLine]]  # whose price and where it is from -> its lines
    reported: Decimal  # what providers say they billed, in place of lines
    reported_requests: int
    uncounted: tuple[Uncounted, ...]
    unpriced: int
    total: Decimal | None


def bill_of(book: PriceBook, asked: PriceKeys, usage: dict[str, Column], count: Column) -> Bill:
    """Return the bill of many requests. `usage`: float64 by field of Usage; `count`: who is summed up, as bool."""
    costs = cost_columns(book, asked, usage, count)
    known = count & ~np.isnan(costs.columns["total_cost"])
    known[list(costs.reported)] = False
    sums: dict[str, _Sums] = {}
    for price, rates, rows, given in rows_at_rates(book, asked, usage):
        section = sums.setdefault(_title(price, asked.keys[int(asked.of[rows[0]])]), Counter())
        for line in sound_lines(given, rates):
            section[line.what, line.rate, int(MILLION)] += int(line.tokens[known[rows]].sum())
    times = np.bincount(asked.of[known], minlength=len(asked.keys)).tolist()
    for key, number in zip(asked.keys, times, strict=True):
        if number:
            _add_extras(sums, book, key, number)
    reported = [cost for row, cost in costs.reported.items() if count[row]]
    return Bill(
        sections={title: lines for title, section in sums.items() if (lines := _lines(section))},
        reported=sum(reported, Decimal(0)),
        reported_requests=len(reported),
        uncounted=costs.uncounted,
        unpriced=costs.unpriced,
        total=costs.total,
    )


def _add_extras(sums: dict[str, _Sums], book: PriceBook, key: PriceKey, number: int) -> None:
    """Add what so many requests of one bill are billed beside their tokens."""
    own = book.price_at(key)
    for line in book.extras(key, own).lines if own is not None else ():
        of_line = key if line.model is None else key._replace(model=line.model, served_model=None)
        price = book.price_at(of_line)
        if price is not None:
            section = sums.setdefault(_title(price, of_line), Counter())
            section[line.what, line.rate, line.per] += line.quantity * number


def _title(price: Price, key: PriceKey) -> str:
    """Return whose price it is: "openai/gpt-5 at flex (genai-prices 0.2.3 of 2026-11-28)"."""
    tier = f" at {price.tier}" if price.tier else ""
    region = f" in {price.region}" if price.region else ""
    return f"{key.provider}/{price.model or key.model}{tier}{region} ({price.source})"


def _lines(sums: _Sums) -> list[BillLine]:
    return [
        BillLine(what=what, quantity=quantity, per=per, rate=rate, usd=quantity * rate / per)
        for (what, rate, per), quantity in sums.items()
        if quantity
    ]
