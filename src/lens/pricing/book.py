"""Books of prices: what the user said, then a user's file, then the dated table that ships.

Every look-up of a price, for a list, a quote or a bill, is `PriceBook.price_at`. What served counts, not what was
asked: tier, region and speed are read from the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from lens.columns import UNREADABLE
from lens.errors import ConfigError, FileError
from lens.model import Billing, Record, Usage, resends_of
from lens.parsing import read_small
from lens.pricing.rates import GIVE_PRICE, BillLine, Cost, Price, Uncounted, cost_of, fee_line, uncounted_resends
from lens.pricing.run_prices import RunPrices, check_prices
from lens.pricing.table import REMEMBERED, TIERS, PriceTable, Terms, shipped

# A table older than this, seen from the request, is called stale.
STALE_DAYS = 120
# Name of the fixed list of November 2025, for costs that must stay comparable.
FIXED_SET = "plan"
# No request costs more; a report of that is a fault, and would swallow every sum.
MOST_REPORTED_USD = 1_000_000
# Models that have a price in that list alone.
_ONLY_FIXED = "claude-4.1*"
# Tiers that cost what the list says, and those that do not say what served.
_STANDARD_TIERS = ("default", "standard", "on_demand")
_NO_TIERS = ("", "auto", "unspecified", "traffic_type_unspecified", "service_tier_unspecified")
_NOTHING = Usage(input_tokens=0, output_tokens=0)


class PriceKey(NamedTuple):
    """What the price and the fees of a request depend on."""

    provider: str
    model: str
    served_model: str | None = None  # what the answer says it is from
    when: datetime | None = None  # None: now
    billing: Billing | None = None
    given: RunPrices | None = None  # the prices that its run was given


class Extras(NamedTuple):
    """What a bill holds beside the tokens of the request's own usage."""

    input_cost: Decimal = Decimal(0)
    output_cost: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    lines: tuple[BillLine, ...] = ()
    uncounted: tuple[Uncounted, ...] = ()


NO_EXTRAS = Extras()


def terms_of(billing: Billing | None, guess: str | None) -> Terms:
    """Return the terms that an answer says it was billed under.

    guess: the tier that counts where the answer names none; a batch is always one, for no live answer says so.
    """
    said = (billing.service_tier or "").lower() if billing is not None else ""
    tier: str | None = said.removeprefix("service_tier_").removeprefix("on_demand_")
    if billing is not None and billing.speed == "fast":
        tier = "fast"
    elif guess == "batch" or said in _NO_TIERS:
        tier = guess
    elif tier in _STANDARD_TIERS:
        tier = None
    speed = billing.speed if billing is not None else None
    return Terms(
        tier=tier,
        region=billing.region if billing is not None else None,
        mode=speed if speed not in (None, "fast", "standard") else None,
    )


class PriceBook:
    """Prices by provider and model; the user's own come first, then the table's."""

    def __init__(
        self, prices: Iterable[Price] = (), table: PriceTable | None = None, *, tier: str | None = None
    ) -> None:
        """tier: counts where an answer does not say under which it was served."""
        self._prices, self._table, self.tier = tuple(prices), table, tier
        self._found: dict[tuple[str, str, str | None, datetime | None, Terms], Price | None] = {}
        self._same: dict[Price, Price] = {}  # one object for all minutes in which a price held
        self._books: dict[RunPrices, PriceBook] = {}

    def find(self, provider: str, model: str, when: datetime | None = None) -> Price | None:
        """Return the price of a model at a time (now, where none is given); None when the book has none."""
        return self.price_at(PriceKey(provider, model, None, when))

    def price_at(self, key: PriceKey) -> Price | None:
        """Return the price that held at a time, to the minute; None when the book has none.

        Where the book does not know the model's name, as that of a deployment or an alias, that of the answer counts.
        """
        book = self.of_run(key.given)
        if book is not self:
            return book.price_at(key._replace(given=None))
        minute = key.when and key.when.replace(second=0, microsecond=0)
        terms = terms_of(key.billing, self.tier)
        place = (key.provider, key.model, key.served_model, minute, terms)
        if place not in self._found:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            price = self._look_up(key, terms)
            self._found[place] = price and self._same.setdefault(price, price)
        return self._found[place]

    def of_run(self, given: RunPrices | None) -> PriceBook:
        """Return the book with the prices that a run was given behind the user's own, before the table.

        A book without a table says everything by itself.
        """
        if given is None or self._table is None:
            return self
        if given not in self._books:
            table = None if given.alone else self._table
            self._books[given] = PriceBook((*self._prices, *given.own), table, tier=self.tier or given.tier)
        return self._books[given]

    def given(self, providers: Iterable[str]) -> RunPrices:
        """Return what a run of these providers was given beside the table, for its header."""
        names = {provider_name(one) for one in providers}
        own = [price for price in self._prices if price.provider is None or provider_name(price.provider) in names]
        return RunPrices(own=tuple(own), tier=self.tier, alone=self._table is None)

    def _look_up(self, key: PriceKey, terms: Terms) -> Price | None:
        provider = provider_name(key.provider)
        for price in self._prices:
            if price.provider is not None and provider_name(price.provider) != provider:
                continue
            if price.model is None or fnmatchcase(key.model.lower(), price.model.lower()):
                return price
        if self._table is None:
            return None
        names = [key.model, key.served_model]
        if key.model.lower().endswith("-latest"):  # points to another model from time to time
            names.reverse()
        when = key.when or datetime.now(UTC)
        known = [name for name in names if name and self._table.model(provider, name) is not None]
        fixed = provider == "anthropic" and fnmatchcase(key.model.lower(), _ONLY_FIXED)
        if fixed and not known and terms.tier is None:
            return next(price for price in _fixed_prices() if price.model == _ONLY_FIXED)
        return self._table.find(provider, known[0], when, terms) if known else None

    def listed(self) -> list[tuple[str, str, Price | None]]:
        """Return (provider, model, price) of all there is; a user's own say any as *."""
        now = datetime.now(UTC)
        rows: list[tuple[str, str, Price | None]] = [(p.provider or "*", p.model or "*", p) for p in self._prices]
        for name, shop in (self._table.shops if self._table else {}).items():
            rows += [(name, one.id, self.find(name, one.id, now)) for one in shop.models]
        return rows

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers that the table has prices of."""
        return tuple(self._table.shops) if self._table else ()

    def knows(self, provider: str) -> bool:
        """Return whether the table has prices of this provider."""
        return provider_name(provider) in self.providers

    def price_of(self, record: Record) -> Price | None:
        """Return the price that held when the request was made; None when the book has none."""
        return self.price_at(price_key(record))

    def cost(self, record: Record) -> Cost:
        """Return what this request cost and the lines of its bill, or why that is not known."""
        key = price_key(record)
        counted = self.cost_at(key, record.usage)
        reported = parse_reported_cost(record.reported_cost_usd)
        resent = uncounted_resends(resends_of(record))
        if reported is not None:
            return replace(counted, total_cost=reported, source="reported", reason=None, uncounted=resent)
        return replace(counted, uncounted=(*counted.uncounted, *resent)) if resent else counted

    def cost_at(self, key: PriceKey, usage: Usage | None) -> Cost:
        """Return what a request of this usage costs, or why that is not known."""
        price = self.price_at(key)
        if key.billing is not None and key.billing.itemized:
            usage = _NOTHING
        found = cost_of(usage, price, f"{key.provider}/{key.model}")
        if price is None:
            return replace(found, reason=self.missing(key))
        extras = self.extras(key, price)
        if extras is NO_EXTRAS or found.input_cost is None or found.output_cost is None:
            return found
        input_cost, output_cost = found.input_cost + extras.input_cost, found.output_cost + extras.output_cost
        return replace(
            found,
            input_cost=input_cost,
            output_cost=output_cost,
            total_cost=input_cost + output_cost + extras.fees,
            lines=(*found.lines, *extras.lines),
            uncounted=extras.uncounted,
        )

    def extras(self, key: PriceKey, price: Price) -> Extras:
        """Return what is billed beside the usage: steps of other models, and fees of tools at the request's price."""
        billing = key.billing
        if billing is None or not (billing.items or billing.fees or price.surcharge):
            return NO_EXTRAS
        input_cost = output_cost = fees = Decimal(0)
        lines: list[BillLine] = []
        uncounted = [Uncounted(f"surcharge of {price.surcharge}", 1)] if price.surcharge else []
        for item in billing.items:
            cost = self._item_cost(key, item.kind, item.usage, item.model)
            if cost.input_cost is None or cost.output_cost is None:
                tokens = (item.usage.input_tokens or 0) + (item.usage.output_tokens or 0)
                at = f" by {item.model}" if item.model else ""
                uncounted.append(Uncounted(f"token of {item.kind.replace('_', ' ')}{at}", tokens))
                continue
            input_cost, output_cost = input_cost + cost.input_cost, output_cost + cost.output_cost
            step = "" if item.kind in ("message", "fallback_message") else f"{item.kind.replace('_', ' ')}: "
            lines += [replace(one, what=step + one.what, model=item.model) for one in cost.lines]
        for fee in billing.fees:
            line = fee_line(fee.tool, fee.count, price)
            if isinstance(line, Uncounted):
                uncounted.append(line)
            else:
                fees += line.usd
                lines.append(line)
        return Extras(input_cost, output_cost, fees, tuple(lines), tuple(uncounted))

    def _item_cost(self, key: PriceKey, kind: str, usage: Usage, model: str | None) -> Cost:
        if kind == "image_generation" and model is None:
            return Cost(reason="its model is not known")
        own = key if model is None else key._replace(model=model, served_model=None)
        price = self.price_at(own)
        return cost_of(usage, price, f"{own.provider}/{own.model}")

    def edition(self) -> str:
        """Return " in the book of 2026-11-28"; nothing where there is only what the user gave."""
        return f" in the book of {self._table.checked}" if self._table else ""

    def missing(self, key: PriceKey) -> str:
        """Return why there is no price: an unknown tier or model, and whether the model is newer than the book."""
        book = self.of_run(key.given)
        if book is not self:
            return book.missing(key._replace(given=None))
        name, terms = f"{key.provider}/{key.model}", terms_of(key.billing, self.tier)
        if self._table is None:
            return f"no price for {name}; {GIVE_PRICE}"
        provider, there = provider_name(key.provider), self.edition()
        known = [one for one in (key.model, key.served_model) if one and self._table.model(provider, one)]
        if known and terms.tier is not None:
            return f"no price for {name} at the tier {terms.tier!r}{there}; {GIVE_PRICE}"
        if self._table.is_newer(provider, key.model):
            return f"no price for {name}: the model is newer than the book of {self._table.checked}; {GIVE_PRICE}"
        return f"no price for {name}{there}; {GIVE_PRICE}"

    def stale_days(self, price: Price, when: datetime | None = None) -> int | None:
        """Return how old the price was, in days, where that is more than STALE_DAYS; else None."""
        if price.checked is None:
            return None
        days = ((when or datetime.now(UTC)).date() - date.fromisoformat(price.checked)).days
        return days if days > STALE_DAYS else None


def provider_name(name: str) -> str:
    """Return a provider's own name in lower case, for one of its aliases."""
    wanted = name.strip().lower()
    return shipped().aliases.get(wanted, wanted)


def price_key(record: Record) -> PriceKey:
    """Return what the price of a request depends on."""
    try:
        when = datetime.fromisoformat(record.timestamp).astimezone(UTC)
    except ValueError:
        when = None
    return PriceKey(record.provider, record.model, record.served_model, when, record.billing)


def standard_book(prices: Iterable[Price] = (), *, source: str | None = None, tier: str | None = None) -> PriceBook:
    """Return the user's prices before the table that ships. `source`: a file of prices, or a named set ("plan").

    Raises:
        ConfigError: there is no such tier, or the file holds no prices.
        FileError: it cannot be read.
    """
    if tier is not None and tier not in TIERS:
        raise ConfigError(f"price tier {tier!r}: there are {', '.join(TIERS)}")
    own = tuple(prices)
    if source == FIXED_SET:
        return PriceBook((*own, *_fixed_prices()))
    if source is not None:
        own = (*own, *read_prices(Path(source)))
    return PriceBook(own, shipped(), tier=tier)


@cache
def _fixed_prices() -> tuple[Price, ...]:
    """Return the prices of FIXED_SET."""
    packed = Path(__file__).with_name("fixed_prices.json").read_bytes()
    return _decoded(packed, "the fixed price list")


def read_prices(path: Path) -> tuple[Price, ...]:
    """Return the prices of a user's file: a JSON list of objects with provider, model (may hold *), input, output, ...

    Raises:
        FileError: it cannot be read.
        ConfigError: it holds something else.
    """
    try:
        data = read_small(path)
    except OSError as error:
        raise FileError(f"--prices {path}: cannot read: {error.strerror}") from error
    prices = _decoded(data, f"--prices {path}")
    return tuple([price if price.checked else replace(price, source=str(path)) for price in prices])


def _decoded(data: bytes, what: str) -> tuple[Price, ...]:
    example = '[{"provider": "openai", "model": "gpt-6*", "input": "1.25", "output": "10"}]'
    try:
        prices = msgspec.json.decode(data, type=tuple[Price, ...])
    except (*UNREADABLE, InvalidOperation) as error:
        raise ConfigError(f"{what}: {error}; write a list like {example}") from None
    check_prices(prices, what)
    return prices


def parse_reported_cost(text: str | None) -> Decimal | None:
    """Return what the provider says it billed, in USD; None where that is no number."""
    try:
        value = Decimal(text) if text is not None else None
    except InvalidOperation:
        return None
    return value if value is not None and value.is_finite() and abs(value) < MOST_REPORTED_USD else None
