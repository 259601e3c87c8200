"""`lll providers`: what is built in, from the same data that the codecs use."""

from __future__ import annotations

from typing import Any

import click

from lens.cli.command import Command
from lens.cli.echo import echo, echo_json

EXAMPLE = """
    lll providers
    lll providers --json
    """


def facts() -> list[dict[str, Any]]:
    """Return one row a provider."""
    from lens.providers.registry import get_provider, provider_names

    rows = []
    for name in provider_names():
        provider = get_provider(name)
        preset = getattr(provider, "preset", None)
        rows.append(
            {
                "name": name,
                "title": getattr(preset, "title", name),
                "base_url": provider.base_url,
                "address_variables": list(getattr(preset, "address_variables", ())),
                "key_variables": list((preset or provider).key_variables),
                "apis": list(provider.apis),
                "aliases": list(getattr(preset, "aliases", ())),
                "quirks": list(getattr(preset, "quirks", ())),
            }
        )
    return rows


@click.command(cls=Command, example=EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def command(as_json: bool) -> None:
    """List the built-in providers: base URL, key variable, APIs and peculiarities."""
    rows = facts()
    if as_json:
        echo_json(rows)
        return
    wide = max(len(row["name"]) for row in rows)
    for row in rows:
        key = " or ".join(row["key_variables"]) or "no key"
        address = row["base_url"] or " or ".join([*row["address_variables"], "--base-url"])
        also = f", also {', '.join(row['aliases'])}" if row["aliases"] else ""
        echo(f"{row['name']:<{wide}}  {row['title']}{also}: {address} ({key})")
        for quirk in row["quirks"]:
            echo(f"{'':<{wide}}    {quirk}")
    for apis, names in _by_apis(rows).items():
        echo(f"\n--api {', '.join(apis)}\n  of {', '.join(names)}")


def _by_apis(rows: list[dict[str, Any]]) -> dict[tuple[str, ...], list[str]]:
    """Which providers have these APIs to choose from; the first is the default."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if len(row["apis"]) > 1:
            found.setdefault(tuple(row["apis"]), []).append(row["name"])
    return found
