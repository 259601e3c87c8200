"""What a request cost: its usage times a price, in exact decimals.

An unknown price gives no cost and says why; it is never 0 and never guessed. A provider that
reports what it billed is believed before any book. Prices are USD per million tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

import msgspec

from lens.errors import ConfigError
from lens.model import Record, Usage

MILLION = Decimal(1_000_000)


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's tokens cost; None where the price list says nothing of its own."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None  # input read from a cache; else as input
    cache_write: Decimal | None = None  # input written to a cache; else as input
    thinking: Decimal | None = None  # a rate of its own; else thinking is billed as output
    provider: str | None = None  # None: any
    model: str | None = None
    source: str = "given on the command line"
    checked: str | None = None  # date of the source, RFC 3339


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one request in USD. thinking_cost is a part of output_cost, never added to it."""

    input_cost: Decimal | None = None
    output_cost: Decimal | None = None
    thinking_cost: Decimal | None = None
    total_cost: Decimal | None = None
    source: str | None = None  # where the price comes from; "reported" by the provider
    reason: str | None = None  # why there is no cost


_FIELDS = {
    "in": "input",
    "input": "input",
    "out": "output",
    "output": "output",
    "cached": "cached",
    "cache_write": "cache_write",
    "thinking": "thinking",
}


def parse_price(text: str) -> Price:
    """A price as the command line takes it: "in=3,out=15", also cached=, cache_write=, thinking=.

    Raises:
        ConfigError: it is none; the message says what would be one.
    """
    fields: dict[str, Decimal] = {}
    for part in text.split(","):
        name, _, amount = part.partition("=")
        try:
            field = _FIELDS[name.strip()]
            fields[field] = Decimal(amount.strip().lstrip("$"))
        except (KeyError, InvalidOperation):
            raise ConfigError(f"price {text!r}: cannot read {part!r}; {_EXAMPLE}") from None
        if not fields[field].is_finite() or fields[field] < 0:
            raise ConfigError(f"price {text!r}: {part!r} is no amount; {_EXAMPLE}")
    if not {"input", "output"} <= fields.keys():
        raise ConfigError(f"price {text!r}: both in= and out= are needed; {_EXAMPLE}")
    return msgspec.convert(fields, Price)


_EXAMPLE = "write USD per million tokens, like in=3,out=15 or in=3,cached=0.3,out=15"


class PriceBook:
    """Prices by provider and model; the first that fits counts."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self._prices = tuple(prices)

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a model, None when the book has none."""
        for price in self._prices:
            if price.provider in (None, provider) and price.model in (None, model):
                return price
        return None

    def cost(self, record: Record) -> Cost:
        """What this request cost, or why that is not known."""
        price = self.find(record.provider, record.model)
        counted = cost_of(record.usage, price, f"{record.provider}/{record.model}")
        reported = _reported(record)
        if reported is None:
            return counted
        return msgspec.structs.replace(counted, total_cost=reported, source="reported", reason=None)


def cost_of(usage: Usage | None, price: Price | None, name: str) -> Cost:
    """Usage times price; cached, written and thinking tokens at their own rates."""
    if price is None:
        return Cost(reason=f"no price for {name}; give --price in=USD,out=USD (per million tokens)")
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return Cost(reason="the server did not say how many tokens it used")
    cached, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    thought = usage.reasoning_tokens
    thinking_rate = price.output if price.thinking is None else price.thinking
    input_cost = (
        (usage.input_tokens - cached - written) * price.input
        + cached * (price.input if price.cached is None else price.cached)
        + written * (price.input if price.cache_write is None else price.cache_write)
    ) / MILLION
    thinking_cost = None if thought is None else thought * thinking_rate / MILLION
    output_cost = (usage.output_tokens - (thought or 0)) * price.output / MILLION + (thinking_cost or 0)
    return Cost(
        input_cost=input_cost,
        output_cost=output_cost,
        thinking_cost=thinking_cost,
        total_cost=input_cost + output_cost,
        source=price.source,
    )


def _reported(record: Record) -> Decimal | None:
    """What the provider says it billed, where that is a number."""
    try:
        value = Decimal(record.reported_cost_usd) if record.reported_cost_usd is not None else None
    except InvalidOperation:
        return None
    return value if value is not None and value.is_finite() else None
