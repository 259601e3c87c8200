"""Rates, and the lines of a bill: which tokens are billed at which rate. Decimals throughout; no digit is made up.

`token_lines` is the one definition of what tokens cost. Numbers of one request and columns of many go through it
alike, so that the cost of a request and the sum of a run cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

import msgspec

from lens.errors import ConfigError
from lens.model import Usage

MILLION = Decimal(1_000_000)
THOUSAND = Decimal(1_000)
# USD per million tokens; no model costs as much, and what is more does not fit into the columns of costs.
MOST_RATE = Decimal(1_000_000_000)


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """USD for a million tokens of each kind, or a thousand calls of a tool; None where there is no rate of its own."""

    input: Decimal | None = None
    output: Decimal | None = None
    cached: Decimal | None = None  # input read from a cache; else as input
    cache_write: Decimal | None = None  # input written to a cache; else as input
    cache_write_1h: Decimal | None = None  # written to be kept for an hour; else as cache_write
    thinking: Decimal | None = None  # a rate of its own; else thinking is billed as output
    audio_input: Decimal | None = None  # else as input
    audio_output: Decimal | None = None  # else as output
    cache_write_12h: Decimal | None = None  # written to be kept for twelve hours; else as cache_write
    audio_cached: Decimal | None = None  # audio read from a cache; else as cached
    image_input: Decimal | None = None  # else as input
    image_output: Decimal | None = None  # else as output
    web_search: Decimal | None = None  # a thousand searches
    file_search: Decimal | None = None  # a thousand searches of stored files

    def over(self, base: Rates) -> Rates:
        """Return `base` with what is set here laid over it."""
        fields = {name: value for name in RATE_NAMES if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(base, **fields)

    def scaled(self, factor: Decimal) -> dict[str, Decimal]:
        """Return the rates of tokens times a factor; fees of tools stay."""
        found = {name: getattr(self, name) for name in RATE_NAMES if name not in FEES}
        return {name: value * factor for name, value in found.items() if value is not None}


RATE_NAMES = Rates.__struct_fields__
# Tools that have a rate a thousand calls.
FEES = ("web_search", "file_search")


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
    tier: str | None = None  # of the service, where it is not the standard one
    region: str | None = None  # whose surcharge is in the rates
    ends: str | None = None  # day on which the model is shut down, RFC 3339
    surcharge: str | None = None  # of which no rate is known, so that it is not in the rates: "region 'eu'"

    def at(self, input_tokens: int) -> Rates:
        """Return the rates of a request with so much input."""
        rates: Rates = self
        for step in self.above:
            if input_tokens > step.input_tokens:
                rates = step.over(rates)
        return rates


class BillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a bill."""

    what: str  # "input", "cached input", "web_search", ...
    quantity: int
    per: int  # what the rate is for: 1,000,000 tokens, or 1,000 calls
    rate: Decimal  # USD
    usd: Decimal
    model: str | None = None  # where another model than the request's is billed


class Uncounted(NamedTuple):
    """What belongs to a bill and has no known price."""

    what: str  # one of them: "web search", "token of compaction"
    number: int

    def __str__(self) -> str:
        """Return a clause for people: "2 web searches not counted"."""
        head, of, rest = self.what.partition(" of ")
        ending = "" if self.number == 1 else "es" if head.endswith("ch") else "s"
        return f"{self.number:,} {head}{ending}{of}{rest} not counted"


def uncounted_resends(number: int) -> tuple[Uncounted, ...]:
    """Return what a bill lacks of requests that were sent before, over connections that ended."""
    return (Uncounted("resend of a request", number),) if number else ()


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one request in USD. thinking_cost is a part of output_cost, never added to it.

    total_cost is input_cost + output_cost + the fees of tools, unless the provider reported it.
    """

    input_cost: Decimal | None = None
    output_cost: Decimal | None = None
    thinking_cost: Decimal | None = None
    total_cost: Decimal | None = None
    source: str | None = None  # where the price comes from; "reported" by the provider
    reason: str | None = None  # why there is no cost
    lines: tuple[BillLine, ...] = ()
    uncounted: tuple[Uncounted, ...] = ()  # what the total lacks


_FIELDS = {
    "in": "input",
    "out": "output",
    "audio_in": "audio_input",
    "audio_out": "audio_output",
    "image_in": "image_input",
    "image_out": "image_output",
    **{name: name for name in RATE_NAMES},
}
_EXAMPLE = "write USD per million tokens, like in=3,out=15 or in=3,cached=0.3,out=15; web_search= is per thousand"


def parse_price(text: str) -> Price:
    """Return a price as the command line takes it: "in=3,out=15", or "in=0.02" of what makes no output.

    Raises:
        ConfigError: a part is no rate, or in= is missing; the message has an example.
    """
    fields: dict[str, Decimal] = {}
    for part in text.split(","):
        name, _, amount = part.partition("=")
        try:
            field = _FIELDS[name.strip()]
            fields[field] = Decimal(amount.strip().lstrip("$"))
        except (KeyError, InvalidOperation):
            raise ConfigError(f"price {text!r}: cannot read {part!r}; {_EXAMPLE}") from None
        if not is_rate(fields[field]):
            raise ConfigError(f"price {text!r}: {part!r} is not an amount; {_EXAMPLE}")
    if "input" not in fields:
        raise ConfigError(f"price {text!r}: in= is needed, and out= for what makes output; {_EXAMPLE}")
    return msgspec.convert(fields, Price)


def is_rate(usd: Decimal) -> bool:
    """Return whether an amount can be a rate: a number from 0 to MOST_RATE."""
    return usd.is_finite() and 0 <= usd <= MOST_RATE


# A count of one request, or a column of counts.
Count = Any
Side = Literal["input", "output", "thinking"]


class TokenLine(NamedTuple):
    """Tokens that have one rate, of one request or of many."""

    what: str
    side: Side
    tokens: Count
    rate: Decimal


def token_lines(u: Mapping[str, Count], rates: Rates, lesser: Callable[[Count, Count], Count]) -> list[TokenLine]:
    """Return what tokens are billed at which rate. `u`: counts by field of Usage, 0 where there are none.

    Where cached and audio or image tokens overlap and the answer does not say how much, the cached ones are text.
    """
    plain, cached, written = u["input_tokens"], u["cache_read_tokens"], u["cache_write_tokens"]
    cached_audio = u["audio_cache_read_tokens"]
    rest = plain - cached - written
    audio = lesser(u["audio_input_tokens"] - cached_audio, rest)
    image = lesser(u["image_input_tokens"], rest - audio)
    hour = lesser(u["cache_write_1h_tokens"], written)
    half_day = lesser(u["cache_write_12h_tokens"], written - hour)
    plain_rate = rates.input if rates.input is not None else Decimal(0)
    cached_rate, write_rate = _first(rates.cached, plain_rate), _first(rates.cache_write, plain_rate)
    found = [
        TokenLine("input", "input", rest - audio - image, plain_rate),
        TokenLine("cached input", "input", cached - cached_audio, cached_rate),
        TokenLine("cached audio input", "input", cached_audio, _first(rates.audio_cached, cached_rate)),
        TokenLine("cache write", "input", written - hour - half_day, write_rate),
        TokenLine("cache write, 1 h", "input", hour, _first(rates.cache_write_1h, write_rate)),
        TokenLine("cache write, 12 h", "input", half_day, _first(rates.cache_write_12h, write_rate)),
        TokenLine("audio input", "input", audio, _first(rates.audio_input, plain_rate)),
        TokenLine("image input", "input", image, _first(rates.image_input, plain_rate)),
    ]
    if rates.output is None:
        return found
    thought, spoken, drawn = u["reasoning_tokens"], u["audio_output_tokens"], u["image_output_tokens"]
    return [
        *found,
        TokenLine("output", "output", u["output_tokens"] - thought - spoken - drawn, rates.output),
        TokenLine("thinking", "thinking", thought, _first(rates.thinking, rates.output)),
        TokenLine("audio output", "output", spoken, _first(rates.audio_output, rates.output)),
        TokenLine("image output", "output", drawn, _first(rates.image_output, rates.output)),
    ]


def contradicts(u: Mapping[str, Count]) -> Any:
    """Return whether a part was reported larger than the whole; of columns a column."""
    given, cached, audio = u["input_tokens"], u["cache_read_tokens"], u["audio_input_tokens"]
    made = u["reasoning_tokens"] + u["audio_output_tokens"] + u["image_output_tokens"]
    return (
        (cached + u["cache_write_tokens"] > given)
        | (audio > given)
        | (u["image_input_tokens"] > given - audio)
        | (u["audio_cache_read_tokens"] > cached)
        | (u["audio_cache_read_tokens"] > audio)
        | (made > u["output_tokens"])
    )


def billed_usage(usage: Usage) -> Usage:
    """Return the counts that are billed: what the provider says it bills, where that is not what it used."""
    if usage.billed_input_tokens is None and usage.billed_output_tokens is None:
        return usage
    return Usage(
        input_tokens=usage.input_tokens if usage.billed_input_tokens is None else usage.billed_input_tokens,
        output_tokens=usage.output_tokens if usage.billed_output_tokens is None else usage.billed_output_tokens,
    )


def cost_of(usage: Usage | None, price: Price | None, name: str) -> Cost:
    """Return usage times price, or why that is not known; `name` is what the tokens are of: "openai/gpt-5"."""
    if price is None:
        return Cost(reason=f"no price for {name}; {GIVE_PRICE}")
    if usage is None:
        return Cost(reason=_NOT_COUNTED)
    usage = billed_usage(usage)
    if usage.input_tokens is None:
        return Cost(reason=_NOT_COUNTED)
    rates = price.at(usage.input_tokens)
    if rates.input is None:
        return Cost(reason=f"the price of {name} is not by tokens")
    if rates.output is None and usage.output_tokens:
        return Cost(reason=f"the price of {name} has no rate for output; {GIVE_PRICE}")
    if usage.output_tokens is None and rates.output is not None:
        return Cost(reason=_NOT_COUNTED)
    counts = {field: getattr(usage, field) or 0 for field in Usage.__struct_fields__}
    if contradicts(counts):
        return Cost(reason="the usage that was reported contradicts itself: a part is larger than the whole")
    lines = token_lines(counts, rates, min)
    by_side = {side: sum((one.tokens * one.rate for one in lines if one.side == side), Decimal(0)) / MILLION
               for side in ("input", "output", "thinking")}  # fmt: skip
    output_cost = by_side["output"] + by_side["thinking"]
    thinks = rates.output is not None and usage.reasoning_tokens is not None
    return Cost(
        input_cost=by_side["input"],
        output_cost=output_cost,
        thinking_cost=by_side["thinking"] if thinks else None,
        total_cost=by_side["input"] + output_cost,
        source=price.source,
        lines=tuple([_bill_line(one) for one in lines if one.tokens]),
    )


GIVE_PRICE = "give --price in=USD,out=USD (per million tokens)"
_NOT_COUNTED = "the server did not say how many tokens it used; --tokenizer counts them"


def _bill_line(line: TokenLine) -> BillLine:
    usd = line.tokens * line.rate / MILLION
    return BillLine(what=line.what, quantity=line.tokens, per=int(MILLION), rate=line.rate, usd=usd)


def fee_line(tool: str, count: int, price: Price) -> BillLine | Uncounted:
    """Return the line of a tool's calls; what is not counted, where the price has no rate for them."""
    rate = getattr(price, tool, None) if tool in FEES else None
    if rate is None:
        return Uncounted(tool.replace("_", " "), count)
    return BillLine(
        what=tool.replace("_", " "), quantity=count, per=int(THOUSAND), rate=rate, usd=count * rate / THOUSAND
    )


def _first(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate
