"""The URL that a command takes as its argument: an option's place, detection of what it does not say, hints."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

from lens.cli.echo import echo
from lens.errors import ConfigError
from lens.patterns import lazy_pattern

if TYPE_CHECKING:
    from lens.cli.settings import Settings
    from lens.run.result import RunResult

Decorated = TypeVar("Decorated", bound=Callable[..., object] | click.Command)
# http://host, host:8000/v1, 10.0.0.7:8000: what is no command's name and no file's.
_ADDRESS = lazy_pattern(r"https?://.*|(\[[0-9a-fA-F:.]+\]|[\w-]+(\.[\w-]+)*):\d+(/.*)?", re.IGNORECASE)


# How long an address that has given no answer yet may take to connect, where nobody says it.
SILENT_CONNECT_NS = 10 * 10**9


def is_address(word: str) -> bool:
    """Return whether a word of the command line is the address of an endpoint, with or without its scheme."""
    return _ADDRESS.fullmatch(word) is not None


def url_argument(command: Decorated) -> Decorated:
    """Add the argument [URL] to a command."""
    return click.argument("url", required=False, metavar="[URL]")(command)


def take_url(ctx: click.Context, url: str | None) -> bool:
    """Take the argument [URL] as --base-url; whether it was given.

    Raises:
        ConfigError: the address was given twice.
    """
    if url is None:
        return False
    if ctx.params.get("base_url"):
        raise ConfigError(f"{ctx.info_name}: the address was given twice, as an argument and with --base-url")
    from lens.run.detect import with_scheme

    ctx.params["base_url"] = with_scheme(url)
    ctx.set_parameter_source("base_url", ParameterSource.COMMANDLINE)
    return True


def detected(settings: Settings) -> Settings:
    """Return the settings with provider, base URL and model as the server tells them; what was found is told.

    Raises:
        ConfigError: a part of the target cannot be.
    """
    import trio
    from msgspec.structs import replace

    from lens.cli.steps import Spinner
    from lens.config.settings import LoadConfig
    from lens.run.detect import UNNAMED, detect
    from lens.secrets import bare_url

    said = settings.config.targets[0]
    spinner = Spinner(live=sys.stderr.isatty())
    spinner.start(f"asking {bare_url(said.base_url or said.provider)} for its models")
    try:
        one, served = trio.run(detect, said)
    finally:
        spinner.stop()
    others = len(served.models or ()) - 1
    model = f"model {one.model}" + (f" (first of {others + 1} listed)" if others > 0 else "")
    found = [
        f"provider {one.provider}" if one.provider != said.provider else "",
        f"address {one.base_url}" if one.base_url not in (said.base_url, None) else "",
        model if one.model not in (said.model, UNNAMED) else "",
    ]
    if any(found):
        echo(f"lll: detected {', '.join(filter(None, found))}", err=True)
    config = replace(settings.config, targets=(one, *settings.config.targets[1:]))
    if served.silent and config.load.connect_timeout_ns == LoadConfig().connect_timeout_ns:
        config = replace(config, load=replace(config.load, connect_timeout_ns=SILENT_CONNECT_NS))
    return settings._replace(config=config)


def tell_hints(settings: Settings, result: RunResult) -> None:
    """Say on standard error why a run failed of which nothing succeeded, and what to try."""
    if result.interrupted or len(settings.config.targets) != 1:
        return
    if not len(result.listed) or result.listed.measured().success.any():
        return
    import trio
    from msgspec.structs import replace

    from lens.run.detect import hints
    from lens.run.simulators import needs_simulator

    (target,) = settings.config.targets
    if needs_simulator(target):  # it has ended, and had the address of the run
        target = replace(target, base_url=result.info.targets[0].url)
    for says in trio.run(hints, target, result.records):
        echo(f"lll: {says}", err=True)
