"""`lll prices`: token prices of a model, from the built-in price list or the user's own."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from lens.cli.command import Command
from lens.cli.echo import echo, echo_json
from lens.cli.options import PRICES
from lens.errors import ConfigError

if TYPE_CHECKING:
    from lens.pricing import Price, PriceBook

EXAMPLE = """
    lll prices gpt-6-luna
    lll prices 'gpt-6*'
    lll prices --provider anthropic --json
    """
_SHOWN = ("input", "cached", "cache_write", "output", "thinking")


@click.command(cls=Command, example=EXAMPLE)
@click.argument("model", required=False, default="*")
@click.option("--provider", metavar="NAME", help="Prices of this provider only (default: all).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every rate.")
@click.pass_context
def command(ctx: click.Context, /, model: str, provider: str | None, as_json: bool, **_: Any) -> None:
    """Show token prices in USD per million, with their source. MODEL may contain *; without it, all are listed."""
    from lens.cli.settings import book_of

    book = book_of(ctx)
    rows = _rows(book, model, provider)
    if not rows:
        raise ConfigError(_no_price(book, model, provider))
    if as_json:
        told = [{"provider": name, "model": one, "price": price} for name, one, price in rows]
        echo_json(told)
        return
    _table(rows, book.stale_days)


def _rows(book: PriceBook, model: str, provider: str | None) -> list[tuple[str, str, Price]]:
    """Return (provider, model, price) of what is asked for: of a name what a request of it would cost."""
    from lens.pricing.book import provider_name

    if not any(sign in model for sign in "*?["):
        places = (provider,) if provider else ("*", *book.providers)
        found = [(place, model, price) for place in places if (price := book.find(place, model)) is not None]
        return found[:1] if found and found[0][0] == "*" else found  # given for every provider
    own = provider and provider_name(provider)
    return [
        (place, one, price)
        for place, one, price in book.listed()
        if price is not None and fnmatchcase(one.lower(), model.lower()) and own in (None, place, provider_name(place))
    ]


def _no_price(book: PriceBook, model: str, provider: str | None) -> str:
    from lens.pricing.book import PriceKey

    if provider and not any(sign in model for sign in "*?["):
        return book.missing(PriceKey(provider, model))
    return f"no price for {model!r}{book.edition()}; patterns hold *, as in 'gpt-6*'; --price and --prices add your own"


# The options of prices are those of every command that has costs.
command.params.extend(PRICES)


def _table(rows: list[tuple[str, str, Price]], stale_days: Any) -> None:
    wide = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    echo(f"{'':{wide[0]}}  {'USD per million tokens':{wide[1]}}" + "".join(f"{name:>12}" for name in _SHOWN))
    for name, model, price in rows:
        cells = "".join(f"{_amount(getattr(price, field)):>12}" for field in _SHOWN)
        echo(f"{name:{wide[0]}}  {model:{wide[1]}}{cells}")
        for step in price.above:
            cells = "".join(f"{_amount(getattr(step, field)):>12}" for field in _SHOWN)
            echo(f"{'':{wide[0]}}  {f'  above {step.input_tokens} tokens of input':{wide[1]}}{cells}")
    for name, model, price in rows:
        if price.ends:
            echo(f"{name}/{model} {'was' if price.ends < str(_today()) else 'will be'} shut down on {price.ends}")
    for source in sorted({price.source for _, _, price in rows}):
        echo(f"source: {source}")
    old = [days for _, _, price in rows if (days := stale_days(price))]
    if old:
        echo(f"these prices are up to {max(old)} days old: look at the provider's page, or give --prices", err=True)


def _today() -> date:
    return datetime.now(UTC).date()


def _amount(value: Decimal | None) -> str:
    return "-" if value is None else format(value.normalize(), "f")
