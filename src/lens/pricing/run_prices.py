"""The prices that were given for a run, as its header keeps them: a later reading of the file costs the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from lens.columns import UNREADABLE
from lens.errors import ConfigError
from lens.pricing.rates import MOST_RATE, Price, is_rate


class RunPrices(msgspec.Struct, frozen=True, omit_defaults=True):
    """What --price, --prices and --price-tier said."""

    own: tuple[Price, ...] = ()  # before those of the list that ships
    tier: str | None = None  # where an answer names none
    alone: bool = False  # the list that ships was not asked


def check_prices(prices: Iterable[Price], what: str) -> None:
    """
    Raises:
        ConfigError: a rate is below zero, above MOST_RATE, or no number.
    """
    for price in prices:
        rates = [value for value in msgspec.structs.asdict(price).values() if isinstance(value, Decimal)]
        if not all(map(is_rate, rates)):
            raise ConfigError(f"{what}: {price.model or 'a price'} is below zero, above {MOST_RATE:,}, or no number")


def packed_prices(prices: RunPrices) -> dict[str, Any]:
    """Return prices as a header of a run keeps them, empty where none were given."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(prices))
    return found


def unpacked_prices(packed: Mapping[str, Any]) -> RunPrices | None:
    """Return the prices that a header of a run keeps; None where none were given.

    Raises:
        ConfigError: they are no prices.
    """
    return _unpacked(msgspec.json.encode(packed)) if packed else None


@cache
def _unpacked(data: bytes) -> RunPrices:
    try:
        found = msgspec.json.decode(data, type=RunPrices)
    except UNREADABLE as error:
        raise ConfigError(f"prices of the run: {error}") from None
    check_prices(found.own, "prices of the run")
    return found
