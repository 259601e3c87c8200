"""Books of prices: what the user said, then a user's file, then the dated table that ships.

The table is made from the genai-prices package by tools/make_prices.py; nobody writes into it by hand.
Every price names its source and the day on which that was looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from lens.errors import ConfigError, FileError
from lens.model import UNREADABLE, Record
from lens.pricing.rates import Above, Cost, Price, Rates, cost_of

# A table older than this, seen from the request, is called stale.
STALE_DAYS = 120
# Prices looked up and kept at hand.
REMEMBERED = 10_000
# Name of the set that holds the prices of the project's first plan, for figures that must compare with it.
PLAN_SET = "plan"
TIERS = ("batch", "flex", "priority", "fast")


class Rate(Rates, frozen=True, kw_only=True):
    """One entry of the table: rates and when they hold."""

    above: tuple[Above, ...] = ()
    since: date | None = None
    hours: tuple[time, time] | None = None  # UTC, from and until; may go past midnight
    tier: str | None = None  # of TIERS: laid over the standard rates

    def holds(self, when: datetime) -> bool:
        if self.since is not None and when.date() < self.since:
            return False
        if self.hours is None:
            return True
        start, end = self.hours
        now = when.time()
        return start <= now < end if start <= end else now >= start or now < end


class Model(msgspec.Struct, frozen=True):
    """A model of the table."""

    id: str
    match: Any  # a clause: [kind, text] or ["or"|"and", clause, ...]
    rates: tuple[Rate, ...]

    def price(self, when: datetime, tier: str | None) -> Price | None:
        """The last standard rate that holds, with those of the tier over it. None: not known for the tier."""
        standard = [rate for rate in self.rates if rate.tier is None]
        base = next((rate for rate in reversed(standard) if rate.holds(when)), standard[0])
        price = Price(**msgspec.structs.asdict(_plain(base)), above=base.above)
        if tier is None:
            return price
        over = [rate for rate in self.rates if rate.tier == tier and rate.holds(when)]
        if not over:
            return None
        return Price(**msgspec.structs.asdict(_plain(over[0].over(_plain(base)))), above=over[0].above)


class Shop(msgspec.Struct, frozen=True):
    """A provider of the table, and where else to look for its models."""

    models: tuple[Model, ...] = ()
    also: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True):
    """The table that ships."""

    source: str
    checked: date
    shops: dict[str, Shop]

    def find(self, provider: str, model: str, when: datetime, tier: str | None) -> Price | None:
        shop = self.shops.get(provider)
        if shop is None:
            return None
        for name in (provider, *shop.also):
            for one in self.shops[name].models if name in self.shops else ():
                if fits(one.match, model.lower()):
                    price = one.price(when, tier)
                    told = {"provider": provider, "model": one.id, "source": f"{self.source} of {self.checked}"}
                    return price and msgspec.structs.replace(price, checked=str(self.checked), **told)
        return None


def fits(clause: Any, name: str) -> bool:
    """Whether a model's name (in lower case) is meant by a clause of the table."""
    kind, *rest = clause
    if kind == "or":
        return any(fits(one, name) for one in rest)
    if kind == "and":
        return all(fits(one, name) for one in rest)
    if kind == "regex":
        return re.search(rest[0], name) is not None
    text = str(rest[0]).lower()
    if kind == "is":
        return name == text
    if kind == "has":
        return text in name
    return name.startswith(text) if kind == "starts" else name.endswith(text)


@cache
def shipped() -> Table:
    """The table of this package."""
    return msgspec.json.decode(resources.files(__package__).joinpath("prices.json").read_bytes(), type=Table)


class PriceBook:
    """Prices by provider and model; the user's own come first, then the table's."""

    def __init__(self, prices: Iterable[Price] = (), table: Table | None = None, *, tier: str | None = None) -> None:
        self._prices, self._table, self.tier = tuple(prices), table, tier
        self._found: dict[tuple[str, str, str | None, datetime | None], Price | None] = {}
        self._same: dict[Price, Price] = {}  # one object for all minutes in which a price held

    def find(self, provider: str, model: str, when: datetime | None = None) -> Price | None:
        """The price of a model at a time (now, where none is given); None when the book has none."""
        for price in self._prices:
            if price.provider in (None, provider) and (price.model is None or fnmatchcase(model, price.model)):
                return price
        if self._table is None:
            return None
        return self._table.find(provider, model, when or datetime.now(UTC), self.tier)

    def listed(self) -> list[tuple[str, str, Price | None]]:
        """(provider, model, price) of all there is; a user's own say any as *."""
        now = datetime.now(UTC)
        rows: list[tuple[str, str, Price | None]] = [(p.provider or "*", p.model or "*", p) for p in self._prices]
        for name, shop in (self._table.shops if self._table else {}).items():
            rows += [(name, one.id, self.find(name, one.id, now)) for one in shop.models]
        return rows

    def price_at(self, provider: str, model: str, served_model: str | None, when: datetime | None) -> Price | None:
        """Return the price that held at a time, to the minute (now, where none is given); None when the book has none.

        Where the book does not know the model's name, as that of a deployment, that of the answer counts.
        """
        key = (provider, model, served_model, when and when.replace(second=0, microsecond=0))
        if key not in self._found:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            price = self.find(provider, model, when)
            if price is None and served_model and self._table:
                price = self.find(provider, served_model, when)
            self._found[key] = price and self._same.setdefault(price, price)
        return self._found[key]

    def price_of(self, record: Record) -> Price | None:
        """Return the price that held when the request was made; None when the book has none."""
        when = datetime.fromisoformat(record.timestamp).astimezone(UTC) if self._table else None
        return self.price_at(record.provider, record.model, record.served_model, when)

    def cost(self, record: Record) -> Cost:
        """What this request cost, or why that is not known."""
        counted = cost_of(record.usage, self.price_of(record), f"{record.provider}/{record.model}")
        reported = parse_reported_cost(record.reported_cost_usd)
        if reported is None:
            return counted
        return msgspec.structs.replace(counted, total_cost=reported, source="reported", reason=None)

    def stale_days(self, price: Price, when: datetime | None = None) -> int | None:
        """How old the price was, in days, where that is more than STALE_DAYS; else None."""
        if price.checked is None:
            return None
        days = ((when or datetime.now(UTC)).date() - date.fromisoformat(price.checked)).days
        return days if days > STALE_DAYS else None


def standard_book(prices: Iterable[Price] = (), *, source: str | None = None, tier: str | None = None) -> PriceBook:
    """The user's prices before the table that ships. `source`: a file of prices, or a named set ("plan").

    Raises:
        ConfigError: there is no such tier, or the file holds no prices.
        FileError: it cannot be read.
    """
    if tier is not None and tier not in TIERS:
        raise ConfigError(f"price tier {tier!r}: there are {', '.join(TIERS)}")
    own = tuple(prices)
    if source == PLAN_SET:
        packed = resources.files(__package__).joinpath("plan_prices.json").read_bytes()
        return PriceBook((*own, *_decoded(packed, "the plan's prices")))
    if source is not None:
        own = (*own, *read_prices(Path(source)))
    return PriceBook(own, shipped(), tier=tier)


def read_prices(path: Path) -> tuple[Price, ...]:
    """Prices of a user's file: JSON, a list of objects with provider, model (may hold *), input, output, ...

    Raises:
        FileError: it cannot be read.
        ConfigError: it holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"--prices {path}: cannot read: {error.strerror}") from error
    prices = _decoded(data, f"--prices {path}")
    return tuple([price if price.checked else msgspec.structs.replace(price, source=str(path)) for price in prices])


def _decoded(data: bytes, what: str) -> tuple[Price, ...]:
    example = '[{"provider": "openai", "model": "gpt-5*", "input": "1.25", "output": "10"}]'
    try:
        prices = msgspec.json.decode(data, type=tuple[Price, ...])
    except (*UNREADABLE, InvalidOperation) as error:
        raise ConfigError(f"{what}: {error}; write a list like {example}") from None
    for price in prices:
        rates = [value for value in msgspec.structs.asdict(price).values() if isinstance(value, Decimal)]
        if not all(rate.is_finite() and rate >= 0 for rate in rates):
            raise ConfigError(f"{what}: {price.model or 'a price'} is below zero, or no number")
    return prices


def _plain(rate: Rates) -> Rates:
    """Only the rates."""
    return rate.over(Rates())


def parse_reported_cost(text: str | None) -> Decimal | None:
    """Return what the provider says it billed, in USD; None where that is no number."""
    try:
        value = Decimal(text) if text is not None else None
    except InvalidOperation:
        return None
    return value if value is not None and value.is_finite() else None
