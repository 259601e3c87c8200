"""The dated table of prices that ships, and how a model is found in it.

The table is made from the genai-prices package, and from litellm's list where that lacks a model or a rate, by
tools/make_prices.py; nobody writes into it by hand. Every rate names its source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec

from lens.patterns import lazy_pattern
from lens.pricing.rates import Above, Price, Rates

TIERS = ("batch", "flex", "priority", "fast", "ultrafast")
# Names and prices that were looked up and are kept at hand.
REMEMBERED = 10_000
# Regions that cost what the list says.
_PLAIN_REGIONS = (None, "", "global", "not_available")
# A provider and a tier that is no cheaper and no dearer than the standard one.
_AT_STANDARD_PRICE = {("groq", "flex")}  # https://console.groq.com/docs/flex-processing
# "6.2" and "5-5"; no date, no number of parameters (20b), no length of a context (32k).
_VERSION = lazy_pattern(r"\d{1,2}(?:[.-]\d{1,2}(?![\dbkm]))*(?![\dbkm])")


class Source(msgspec.Struct, frozen=True):
    """A list that rates were taken from."""

    name: str
    licence: str
    checked: date

    def __str__(self) -> str:
        return f"{self.name} of {self.checked}"


class Rate(Rates, frozen=True, kw_only=True):
    """One entry of the table: rates and when they hold."""

    above: tuple[Above, ...] = ()
    since: date | None = None
    hours: tuple[time, time] | None = None  # UTC, from and until; may go past midnight
    tier: str | None = None  # of TIERS: laid over the standard rates
    by: int = 0  # index of its source

    def holds(self, when: datetime) -> bool:
        """Return whether these rates were billed at a time."""
        if self.since is not None and when.date() < self.since:
            return False
        if self.hours is None:
            return True
        start, end = self.hours
        now = when.time()
        return start <= now < end if start <= end else now >= start or now < end


class Terms(msgspec.Struct, frozen=True):
    """What a rate depends on beside the model and the time."""

    tier: str | None = None
    region: str | None = None
    mode: str | None = None  # a speed that has no rates of its own


class Model(msgspec.Struct, frozen=True):
    """A model of the table."""

    id: str
    match: Any  # a clause: [kind, text] or ["or"|"and", clause, ...]
    rates: tuple[Rate, ...]
    regions: dict[str, Decimal] = {}  # factor of the rates where the model ran there
    ends: date | None = None  # the day on which it is shut down

    def price(self, when: datetime, terms: Terms, provider: str, sources: tuple[Source, ...]) -> Price | None:
        """Return the last standard rates that hold, with those of the tier over them; None: not known for the tier."""
        standard = [rate for rate in self.rates if rate.tier is None]
        found = next((rate for rate in reversed(standard) if rate.holds(when)), standard[0])
        rates, above = _plain(found), found.above
        tier = None if (provider, terms.tier) in _AT_STANDARD_PRICE else terms.tier
        if tier is not None:
            over = [rate for rate in self.rates if rate.tier == tier and rate.holds(when)]
            if not over:
                return None
            found = over[-1]
            rates, above = _plain(found.over(rates)), found.above
        price = Price(
            **msgspec.structs.asdict(rates),
            above=above,
            provider=provider,
            model=self.id,
            source=str(sources[found.by]),
            checked=str(sources[found.by].checked),
            tier=terms.tier,
            ends=str(self.ends) if self.ends else None,
        )
        return self._in_region(price, terms)

    def _in_region(self, price: Price, terms: Terms) -> Price:
        """Return the price with the factor of a region; one that is not known is named."""
        factor = self.regions.get(terms.region or "")
        if factor is not None:
            above = tuple([msgspec.structs.replace(step, **step.scaled(factor)) for step in price.above])
            return msgspec.structs.replace(price, **price.scaled(factor), above=above, region=terms.region)
        unknown = [f"region {terms.region!r}"] if terms.region not in _PLAIN_REGIONS else []
        unknown += [f"speed {terms.mode!r}"] if terms.mode else []
        return msgspec.structs.replace(price, surcharge=" and ".join(unknown) or None)


class Shop(msgspec.Struct, frozen=True):
    """A provider of the table, and where else to look for its models."""

    models: tuple[Model, ...] = ()
    also: tuple[str, ...] = ()


class PackedShops(Mapping[str, Shop]):
    """Shops of a table's file, each decoded when it is first asked for: a run needs one or two of them."""

    def __init__(self, packed: Mapping[str, msgspec.Raw]) -> None:
        self._packed = packed
        self._decoded: dict[str, Shop] = {}

    def __getitem__(self, name: str) -> Shop:
        if name not in self._decoded:
            self._decoded[name] = msgspec.json.decode(self._packed[name], type=Shop)
        return self._decoded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class _Packed(msgspec.Struct, frozen=True):
    """The file of the table that ships."""

    sources: tuple[Source, ...]
    shops: dict[str, msgspec.Raw]
    aliases: dict[str, str] = {}


class PriceTable(msgspec.Struct, frozen=True, dict=True):
    """The table that ships."""

    sources: tuple[Source, ...]
    shops: Mapping[str, Shop]
    aliases: dict[str, str] = {}  # other name of a provider -> its own

    def model(self, provider: str, name: str) -> Model | None:
        """Return the entry of a model; `provider` by its own name, the model's name in any case."""
        if (provider, name) not in self._found:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[provider, name] = self._first(provider, name)
        return self._found[provider, name]

    @cached_property
    def _found(self) -> dict[tuple[str, str], Model | None]:
        """The entries that were looked for."""
        return {}

    def _first(self, provider: str, name: str) -> Model | None:
        shop = self.shops.get(provider)
        wanted = name.strip().lower().removeprefix("models/")
        for place in (provider, *shop.also) if shop is not None else ():
            for one in self.shops[place].models if place in self.shops else ():
                if fits(one.match, wanted):
                    return one
        return None

    def find(self, provider: str, name: str, when: datetime, terms: Terms) -> Price | None:
        """Return what a model cost at a time; None where it or its tier is not in the table."""
        model = self.model(provider, name)
        return model.price(when, terms, provider, self.sources) if model is not None else None

    def is_newer(self, provider: str, name: str) -> bool:
        """Return whether a model's version is above all that the table has of its family ("gpt", "claude")."""
        family, version = _family_and_version(name)
        shop = self.shops.get(provider)
        if not family or not version or shop is None:
            return False
        models = [one for place in (provider, *shop.also) if place in self.shops for one in self.shops[place].models]
        known = [found[1] for one in models if (found := _family_and_version(one.id))[0] == family]
        return bool(known) and version > max(known)

    @property
    def checked(self) -> date:
        """The day on which the newest of its sources was looked at."""
        return max(source.checked for source in self.sources)


def _family_and_version(name: str) -> tuple[str, tuple[int, ...]]:
    """Return ("gpt", (6, 2)) of "gpt-6.2-sol"."""
    plain = name.lower().rpartition("/")[2]
    family = re.match(r"[a-z]+", plain)
    found = _VERSION.search(plain)
    version = tuple(int(part) for part in re.split(r"[.-]", found[0])) if found else ()
    return (family[0] if family else ""), version


def fits(clause: Any, name: str) -> bool:
    """Return whether a model's name (in lower case) is meant by a clause of the table."""
    kind, *rest = clause
    if kind == "or":
        return any(fits(one, name) for one in rest)
    if kind == "and":
        return all(fits(one, name) for one in rest)
    if kind == "regex":
        return name.startswith(_literal_start(rest[0])) and re.search(rest[0], name) is not None
    text = str(rest[0]).lower()
    if kind == "is":
        return name == text
    if kind == "has":
        return text in name
    return name.startswith(text) if kind == "starts" else name.endswith(text)


@cache
def _literal_start(pattern: str) -> str:
    """Return what every name begins with that this pattern finds, as far as it is easily seen; "" where it is not.

    Most names differ there already, and their patterns need not be compiled.
    """
    start = pattern.removeprefix("^").partition("\\")[0]
    return start if pattern.startswith("^") and start.replace("-", "").isalnum() else ""


@cache
def shipped() -> PriceTable:
    """Return the table of this package."""
    packed = msgspec.json.decode(Path(__file__).with_name("prices.json").read_bytes(), type=_Packed)
    return PriceTable(packed.sources, PackedShops(packed.shops), packed.aliases)


def _plain(rate: Rates) -> Rates:
    """Return only the rates."""
    return rate.over(Rates())
