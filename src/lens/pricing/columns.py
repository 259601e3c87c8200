"""Costs of many requests at once: exact sums, and a column of each cost.

The arithmetic is that of rates.cost_of, which a test holds it to: within one price a cost is linear in the
tokens, so the sums of tokens times the rates are exact to the last digit, whatever the number of requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.model import Record, Usage
from lens.pricing.book import PriceBook, reported_cost
from lens.pricing.rates import MILLION, Price, Rates, cost_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[Any]

COSTS = ("input_cost", "output_cost", "thinking_cost", "total_cost")


class Costs(NamedTuple):
    """Of some requests, in their order."""

    columns: dict[str, Column]  # name of a cost -> USD as float64, NaN where not known
    total: Decimal | None  # exact, of the requests that count; None when none of them has a cost
    priced: int  # requests that count and have a cost
    unpriced: int
    reason: str | None  # of the first that has none
    stale_days: int | None  # how old the oldest price is, where it is stale


def cost_columns(book: PriceBook, records: Sequence[Record], usage: dict[str, Column], count: Column) -> Costs:
    """What each of these cost. `usage`: a column of float64 for each field of Usage; `count`: who is summed up."""
    import numpy as np

    n = len(records)
    columns = {name: np.full(n, np.nan) for name in COSTS}
    total = Decimal(0)
    each = book.prices_of(records)
    of = np.array([*map(id, each)], dtype=np.int64)
    numbers, places = np.unique(of, return_index=True)
    first = dict(zip(numbers.tolist(), places.tolist(), strict=True))
    prices = {number: price for number, place in first.items() if (price := each[place]) is not None}
    reported = {
        place: cost
        for place, record in enumerate(records)
        if record.reported_cost_usd is not None and (cost := reported_cost(record)) is not None
    }
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
                total += _at_rates(price.at(limit), rows, usage, counted, columns)
    for place, cost in reported.items():
        columns["total_cost"][place] = float(cost)
        if count[place]:
            total += cost
    lacking = count & np.isnan(columns["total_cost"])
    unpriced = int(lacking.sum())
    priced = int(count.sum()) - unpriced
    bare = int(np.argmax(lacking)) if unpriced else 0  # the first that has none
    return Costs(
        columns=columns,
        total=total if priced else None,
        priced=priced,
        unpriced=unpriced,
        reason=_reason(records[bare], {k: float(v[bare]) for k, v in usage.items()}, each[bare]) if unpriced else None,
        stale_days=_stale_days(book, {first[number]: price for number, price in prices.items()}, records),
    )


def _reason(record: Record, usage: dict[str, float], price: Price | None) -> str | None:
    """Why this request has no cost; its usage as it stands in the columns."""
    counts = {name: int(count) for name, count in usage.items() if not isnan(count)}
    return cost_of(Usage(**counts) if counts else None, price, f"{record.provider}/{record.model}").reason


def _stale_days(book: PriceBook, prices: Mapping[int, Price], records: Sequence[Record]) -> int | None:
    """How old the oldest price is, where stale; each seen from the first request that it was used for."""
    ages = [book.stale_days(p, datetime.fromisoformat(records[place].timestamp)) for place, p in prices.items()]
    return max([days for days in ages if days is not None], default=None)


def _at_rates(
    rates: Rates, rows: Column, usage: dict[str, Column], count: Column, columns: dict[str, Column]
) -> Decimal:
    """The costs of these rows at one set of rates; the exact sum of those that count."""
    import numpy as np

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
    at = rows[sound]
    columns["input_cost"][at] = _dollars(asked)[sound]
    columns["output_cost"][at] = _dollars(told)[sound] if told else 0.0
    columns["total_cost"][at] = _dollars((*asked, *told))[sound]
    if told:
        thinks = sound & ~np.isnan(given["reasoning_tokens"])
        columns["thinking_cost"][rows[thinks]] = _dollars((thinking,))[thinks]
    summed = sound & count[rows]
    return sum((int(tokens[summed].sum()) * rate for tokens, rate in (*asked, *told)), Decimal(0)) / MILLION


def _dollars(parts: tuple[tuple[Column, Decimal], ...]) -> Any:
    return sum(tokens * float(rate) for tokens, rate in parts) / 1e6


def _first(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate
