"""A price, and what usage costs at it. Decimals throughout; no digit is lost or made up."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from lens.errors import ConfigError
from lens.model import Usage

MILLION = Decimal(1_000_000)


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """USD for a million tokens of each kind; None where the list has no rate of its own."""

    input: Decimal | None = None
    output: Decimal | None = None
    cached: Decimal | None = None  # input read from a cache; else as input
    cache_write: Decimal | None = None  # input written to a cache; else as input
    cache_write_1h: Decimal | None = None  # written to be kept for an hour; else as cache_write
    thinking: Decimal | None = None  # a rate of its own; else thinking is billed as output
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None

    def over(self, base: Rates) -> Rates:
        """`base` with what is set here laid over it."""
        fields = {name: value for name in RATE_NAMES if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(base, **fields)


RATE_NAMES = Rates.__struct_fields__


class Above(Rates, frozen=True, kw_only=True, omit_defaults=True):
    """Rates of the whole request once its input is longer than this: a cliff, as the providers bill it."""

    input_tokens: int


class Price(Rates, frozen=True, kw_only=True, omit_defaults=True):
    """What a model's tokens cost."""

    above: tuple[Above, ...] = ()  # by input_tokens, upwards
    provider: str | None = None  # None: any
    model: str | None = None  # a name, or a pattern with *; None: any
    source: str = "given on the command line"
    checked: str | None = None  # date on which the source was looked at, RFC 3339

    def at(self, input_tokens: int) -> Rates:
        """The rates of a request with so much input."""
        rates: Rates = self
        for step in self.above:
            if input_tokens > step.input_tokens:
                rates = step.over(rates)
        return rates


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
_EXAMPLE = "write USD per million tokens, like in=3,out=15 or in=3,cached=0.3,out=15"


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


def cost_of(usage: Usage | None, price: Price | None, name: str) -> Cost:
    """Usage times price; cached, written, thinking and audio tokens at their own rates."""
    if price is None:
        return Cost(reason=f"no price for {name}; give --price in=USD,out=USD (per million tokens)")
    if usage is None or usage.input_tokens is None:
        return Cost(reason="the server did not say how many tokens it used")
    rates = price.at(usage.input_tokens)
    if rates.input is None or (rates.output is None and usage.output_tokens):
        return Cost(reason=f"the price of {name} is not by tokens")
    if usage.output_tokens is None and rates.output is not None:
        return Cost(reason="the server did not say how many tokens it used")
    input_cost = _input_cost(usage, rates, rates.input)
    thought = usage.reasoning_tokens
    thinking_cost = None
    output_cost = Decimal(0)
    if rates.output is not None:
        thinking_cost = None if thought is None else thought * _first(rates.thinking, rates.output) / MILLION
        spoken = usage.audio_output_tokens or 0
        written = (usage.output_tokens or 0) - (thought or 0) - spoken
        output_cost = (written * rates.output + spoken * _first(rates.audio_output, rates.output)) / MILLION
        output_cost += thinking_cost or 0
    if _contradicts(usage):
        return Cost(reason="the usage that was reported contradicts itself: a part is larger than the whole")
    return Cost(
        input_cost=input_cost,
        output_cost=output_cost,
        thinking_cost=thinking_cost,
        total_cost=input_cost + output_cost,
        source=price.source,
    )


def _contradicts(usage: Usage) -> bool:
    """A part was reported larger than the whole."""
    of_input = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0) + (usage.audio_input_tokens or 0)
    of_output = (usage.reasoning_tokens or 0) + (usage.audio_output_tokens or 0)
    return of_input > (usage.input_tokens or 0) or of_output > (usage.output_tokens or 0)


def _input_cost(usage: Usage, rates: Rates, plain_rate: Decimal) -> Decimal:
    cached, written, heard = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0, usage.audio_input_tokens or 0
    hour = min(usage.cache_write_1h_tokens or 0, written)
    write_rate = _first(rates.cache_write, plain_rate)
    return (
        ((usage.input_tokens or 0) - cached - written - heard) * plain_rate
        + cached * _first(rates.cached, plain_rate)
        + (written - hour) * write_rate
        + hour * _first(rates.cache_write_1h, write_rate)
        + heard * _first(rates.audio_input, plain_rate)
    ) / MILLION


def _first(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate
