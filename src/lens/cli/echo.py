"""Print lines of a command: the one place where text of servers, files and settings reaches a terminal or a log."""

from __future__ import annotations

from typing import Any

import click

from lens.secrets import clean_json, clean_line


def echo(text: str = "", *, err: bool = False) -> None:
    """Print text on standard output or standard error, each line of it clean."""
    click.echo("\n".join([clean_line(line) for line in text.split("\n")]), err=err)


def echo_json(value: Any) -> None:
    """Print a value as JSON, indented; its characters are escaped where a terminal would obey them."""
    import msgspec

    click.echo(clean_json(msgspec.json.format(msgspec.json.encode(value)).decode()))
