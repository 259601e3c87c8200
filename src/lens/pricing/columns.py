"""Costs of many requests at once: exact sums, and a column of each cost.

The arithmetic is that of one request (`rates.token_lines`): within one price a cost is linear in the tokens, so
the sums of tokens times the rates are exact to the last digit, whatever the number of requests. What is billed
beside the tokens is looked up once for all requests of the same bill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.arrays.dispatch import array_like, np
from lens.model import Usage
from lens.pricing.book import NO_EXTRAS, Extras, PriceBook, PriceKey, parse_reported_cost
from lens.pricing.rates import (
    MILLION,
    Price,
    Rates,
    TokenLine,
    Uncounted,
    contradicts,
    token_lines,
    uncounted_resends,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[Any]
else:
    Column = Any

AT_ONCE = 1 << 16  # requests whose costs are computed at once, so that a million need little memory
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
    resent: Column  # int: how often each was sent before, and may have been billed


class Listed(NamedTuple):
    """A text a request, of few different ones."""

    codes: Column  # int; -1: none
    texts: tuple[str, ...]

    def texts_of_each(self) -> list[str | None]:
        """Return the text of each request."""
        return [None if code < 0 else self.texts[code] for code in self.codes.tolist()]


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
    source_of: Listed  # where the price of each known cost is from
    lack_of: Listed  # what of each request could not be counted
    reason_of: Listed  # why a request has no cost
    fees: Decimal  # of tools, in `total`

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
        of[list(apart)] = list(range(len(values), len(values) + len(apart)))
        return [*values, *apart.values()], of


def cost_columns(book: PriceBook, asked: PriceKeys, usage: dict[str, Column], count: Column) -> Costs:
    """Return what each request cost. `usage`: float64 by field of Usage; `count`: who is summed up, as bool."""
    columns = {name: np.full_like(asked.of, np.nan, dtype=np.float64) for name in COSTS}
    pico = {name: np.full_like(asked.of, UNKNOWN, dtype=np.int64) for name in COSTS}
    each = [book.price_at(key) for key in asked.keys]
    of, prices = _numbered(each, asked.of)
    reported = {row: cost for row, text in asked.reported.items() if (cost := parse_reported_cost(text)) is not None}
    counted = count.copy()
    counted[list(reported)] = False
    total = Decimal(0)
    for _, rates, rows, billed in _rows_at_rates(book, asked, usage):
        total += _at_rates(rates, rows, billed, counted, columns, pico)
    extras = [
        NO_EXTRAS if price is None else book.extras(key, price) for key, price in zip(asked.keys, each, strict=True)
    ]
    beside = _add_extras(extras, asked.of, counted, columns, pico)
    lacks = _lacks(extras, asked.of, np.isnan(columns["total_cost"]), reported)
    total += beside.total
    for row, cost in reported.items():
        columns["total_cost"][row] = float(cost)
        if count[row]:
            total += cost
    known = count & ~np.isnan(columns["total_cost"])
    sources = _sources(prices, of, columns["total_cost"], reported)
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
        sources=_counted_sources(sources),
        estimated=estimated,
        uncounted=(*beside.uncounted, *uncounted_resends(int(asked.resent[known].sum()))),
        source_of=sources,
        lack_of=_with_resends(lacks, asked.resent),
        reason_of=_reasons(book, asked, usage, np.isnan(columns["total_cost"])),
        fees=beside.fees,
    )


def _numbered(each: Sequence[Price | None], of: Column) -> tuple[Column, dict[int, Price]]:
    """Return of each request a number, one for all keys of one price, and the price of each number."""
    same: dict[int, int] = {}
    numbers = array_like(of, [same.setdefault(id(price), len(same)) for price in each], dtype=np.int64)
    return numbers[of], {same[id(price)]: price for price in each if price is not None}


def rows_at_rates(
    book: PriceBook, asked: PriceKeys, usage: dict[str, Column]
) -> Iterator[tuple[Price, Rates, Column, dict[str, Column]]]:
    """Yield each price, its rates at one length of input, the requests they are for, and what is billed of them."""
    for price, rates, rows, billed in _rows_at_rates(book, asked, usage):
        yield price, rates, rows, {name: column[rows] for name, column in billed.items()}


def _rows_at_rates(
    book: PriceBook, asked: PriceKeys, usage: dict[str, Column]
) -> Iterator[tuple[Price, Rates, Column, dict[str, Column]]]:
    """Yield the same with what is billed of all requests."""
    billed = _billed_columns(usage, _itemized(asked))
    of, prices = _numbered([book.price_at(key) for key in asked.keys], asked.of)
    for number, price in prices.items():
        step = np.zeros_like(of)
        for above in price.above:
            step += billed["input_tokens"] > above.input_tokens
        for level in range(len(price.above) + 1):
            rows = np.flatnonzero((of == number) & (step == level) & ~np.isnan(billed["input_tokens"]))
            if len(rows):
                limit = price.above[level - 1].input_tokens + 1 if level else 0
                yield price, price.at(limit), rows, billed


def _itemized(asked: PriceKeys) -> Column:
    """Return, as bool, whose usage is not billed because the steps of the answer are."""
    each = [key.billing is not None and key.billing.itemized for key in asked.keys]
    found: Column = array_like(asked.of, each, dtype=bool)[asked.of]
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


class _Beside(NamedTuple):
    """What the requests that count are billed beside their tokens: exact sums, and what could not be counted."""

    total: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    uncounted: tuple[Uncounted, ...] = ()


def _add_extras(
    extras: Sequence[Extras], of: Column, counted: Column, columns: dict[str, Column], pico: dict[str, Column]
) -> _Beside:
    """Add what is billed beside the tokens to the costs that are known; return its sums."""
    if all(one is NO_EXTRAS for one in extras):
        return _Beside()
    known = ~np.isnan(columns["total_cost"])
    times = np.bincount(of[known & counted], minlength=len(extras)).tolist()
    amounts = {
        "input_cost": [one.input_cost for one in extras],
        "output_cost": [one.output_cost for one in extras],
        "total_cost": [one.input_cost + one.output_cost + one.fees for one in extras],
    }
    for name, usd in amounts.items():
        columns[name] += array_like(of, [float(one) for one in usd])[of]
        exact = known & (pico[name] != UNKNOWN)
        pico[name][exact] += array_like(of, [round(one * PICO) for one in usd], dtype=np.int64)[of[exact]]
        columns[name][exact] = pico[name][exact] / PICO
    lacks: Counter[str] = Counter()
    for one, number in zip(extras, times, strict=True):
        for lack in one.uncounted:
            lacks[lack.what] += lack.number * number
    return _Beside(
        total=sum((usd * number for usd, number in zip(amounts["total_cost"], times, strict=True)), Decimal(0)),
        fees=sum((one.fees * number for one, number in zip(extras, times, strict=True)), Decimal(0)),
        uncounted=tuple([Uncounted(what, number) for what, number in lacks.items() if number]),
    )


def _lacks(extras: Sequence[Extras], of: Column, unknown: Column, reported: Mapping[int, Decimal]) -> Listed:
    """Return what could not be counted of each request whose cost is known."""
    numbers = [i if one.uncounted else -1 for i, one in enumerate(extras)]
    codes: Column = array_like(of, numbers, dtype=np.int32)[of]
    codes[unknown] = -1
    codes[list(reported)] = -1
    return Listed(codes, tuple(["; ".join(map(str, one.uncounted)) for one in extras]))


def _with_resends(lacks: Listed, resent: Column) -> Listed:
    """Return what could not be counted, with what was sent before."""
    rows = np.flatnonzero(resent).tolist()
    if not rows:
        return lacks
    texts = dict.fromkeys(lacks.texts)
    numbers = {text: number for number, text in enumerate(texts)}
    codes = [numbers[lacks.texts[code]] if code >= 0 else -1 for code in lacks.codes.tolist()]
    for row in rows:
        before = [lacks.texts[lacks.codes[row]]] if lacks.codes[row] >= 0 else []
        text = "; ".join([*before, *map(str, uncounted_resends(int(resent[row])))])
        codes[row] = numbers.setdefault(text, len(numbers))
    return Listed(array_like(lacks.codes, codes, dtype=np.int64), tuple(numbers))


def _sources(prices: Mapping[int, Price], of: Column, usd: Column, reported: Mapping[int, Decimal]) -> Listed:
    """Return where the price of each known cost is from."""
    names = {"reported": 0}
    places = [-1] * (max(prices, default=0) + 2)
    for number, price in prices.items():
        places[number] = names.setdefault(price.source or "unknown", len(names))
    place = array_like(of, places, dtype=np.int32)[np.minimum(of, len(places) - 1)]
    codes = np.where(np.isnan(usd), -1, place)
    codes[list(reported)] = 0
    return Listed(codes, tuple(names))


def _counted_sources(sources: Listed) -> dict[str, int]:
    """Return of how many requests the prices are from each source, the most first."""
    n = np.bincount(sources.codes[sources.codes >= 0], minlength=len(sources.texts)).tolist()
    found = {name: number for name, number in zip(sources.texts, n, strict=True) if number}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _reasons(book: PriceBook, asked: PriceKeys, usage: dict[str, Column], unknown: Column) -> Listed:
    """Return why requests have no cost: one look at each bill and each way of not counting its tokens."""
    rows = np.flatnonzero(unknown)
    way = asked.of[rows] * 4 + np.isnan(usage["input_tokens"][rows]) * 2 + np.isnan(usage["output_tokens"][rows])
    first, of = np.unique(way, return_index=True, return_inverse=True)[1:]
    codes = np.full_like(unknown, -1, dtype=np.int32)
    codes[rows] = of
    return Listed(codes, tuple([_reason(book, asked, usage, int(row)) or "" for row in rows[first].tolist()]))


def _reason(book: PriceBook, asked: PriceKeys, usage: dict[str, Column], row: int) -> str | None:
    """Return why this request has no cost; its usage as it stands in the columns."""
    counts = {name: int(column[row]) for name, column in usage.items() if not isnan(column[row])}
    return book.cost_at(asked.keys[asked.of[row]], Usage(**counts) if counts else None).reason


def _at_rates(
    rates: Rates,
    rows: Column,
    billed: dict[str, Column],
    count: Column,
    columns: dict[str, Column],
    pico: dict[str, Column],
) -> Decimal:
    """Write the costs of these rows at one set of rates; return the exact sum of those that count."""
    if rates.input is None:
        return Decimal(0)
    tokens: dict[int, int] = {}  # of lines that a row has, by their place
    of_lines: dict[int, Decimal] = {}  # the rates of these
    for begin in range(0, len(rows), AT_ONCE):
        some = rows[begin : begin + AT_ONCE]
        given = {name: column[some] for name, column in billed.items()}
        u = _counts(given)
        sound = ~contradicts(u)
        sound &= u["output_tokens"] == 0 if rates.output is None else ~np.isnan(given["output_tokens"])
        lines = _lines_of_some(u, rates)
        _write_costs(some, sound, given, rates, [*lines.values()], columns, pico)
        summed = sound & count[some]
        for place, line in lines.items():
            of_lines[place] = line.rate
            tokens[place] = tokens.get(place, 0) + int(line.tokens[summed].sum())
    return sum((tokens[place] * of_lines[place] for place in sorted(tokens)), Decimal(0)) / MILLION


def _write_costs(
    rows: Column,
    sound: Column,
    given: dict[str, Column],
    rates: Rates,
    lines: Sequence[TokenLine],
    columns: dict[str, Column],
    pico: dict[str, Column],
) -> None:
    parts = {
        "input_cost": [line for line in lines if line.side == "input"],
        "output_cost": [line for line in lines if line.side != "input"],
        "total_cost": lines,
    }
    for name, own in parts.items():
        _write(rows, sound, own, columns[name], pico[name])
    thinking = [line for line in parts["output_cost"] if line.side == "thinking"]
    if rates.output is not None:
        which = sound & ~np.isnan(given["reasoning_tokens"])
        _write(rows, which, thinking, columns["thinking_cost"], pico["thinking_cost"])


def _counts(given: dict[str, Column]) -> dict[str, Column]:
    return {name: np.nan_to_num(column).astype(np.int64) for name, column in given.items()}


def sound_lines(given: dict[str, Column], rates: Rates) -> list[TokenLine]:
    """Return the lines of requests at one set of rates, those left out that none of them has."""
    return [*_lines_of_some(_counts(given), rates).values()]


def _lines_of_some(u: dict[str, Column], rates: Rates) -> dict[int, TokenLine]:
    """Return the same by their place among all lines."""
    lines = enumerate(token_lines(u, rates, np.minimum))
    return {place: line for place, line in lines if line.tokens.any() or line.what in _PLAIN}


# Lines that every request has.
_PLAIN = ("input", "output")


def _write(rows: Column, which: Column, lines: Sequence[TokenLine], usd: Column, pico: Column) -> None:
    """Write the sum of tokens times USD a million into the rows of a cost."""
    total, exact = np.zeros_like(rows, dtype=np.float64), np.zeros_like(rows, dtype=np.int64)
    for line in lines:
        total += line.tokens * float(line.rate)
        exact += line.tokens * round(line.rate * PICO / MILLION)
    total /= 1e6
    fits = total < MOST_EXACT_USD
    usd[rows[which]] = np.where(fits, exact / PICO, total)[which]
    pico[rows[which]] = np.where(fits, exact, UNKNOWN)[which]
