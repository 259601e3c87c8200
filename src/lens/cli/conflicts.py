"""Options that contradict each other, or that have no effect without another: refused before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import click
from click.core import ParameterSource

from lens.cli.pushes import OPTIONS as PUSHES
from lens.config.settings import RunConfig
from lens.errors import ConfigError

_PROMETHEUS = frozenset({"prometheus", "prometheus-seconds"})


class Conflict(NamedTuple):
    """Options of which only one can be obeyed."""

    options: tuple[str, ...]  # names of parameters
    why: str


CONFLICTS = (
    Conflict(("api_key", "api_key_env", "api_key_file"), "each names the key"),
    Conflict(("output_tokens", "max_tokens"), "both bound the answer"),
    Conflict(("output", "output_dir"), "both say where the export goes"),
    Conflict(("ui", "no_tui"), "both say how progress is shown"),
    Conflict(("price", "prices"), "--price is that of every model"),
    Conflict(("price", "price_tier"), "--price is what is paid"),
    Conflict(("insecure", "cacert"), "--insecure verifies no certificate"),
)


def check_conflicts(ctx: click.Context) -> None:
    """Check the options that were typed against each other.

    Raises:
        ConfigError: two contradict each other, or one has no effect without another.
    """
    typed = _typed(ctx)
    for conflict in CONFLICTS:
        both = [name for name in conflict.options if typed(name)]
        if len(both) > 1:
            raise ConfigError(f"{_option(both[0])} and {_option(both[1])} exclude each other: {conflict.why}")
    if typed("price_tier") and ctx.params.get("prices") == "plan":
        raise ConfigError("--price-tier has no effect on --prices plan, which has no tiers: leave one out")


def refuse_alone(ctx: click.Context, name: str, *partners: str, why: str = "") -> None:
    """
    Raises:
        ConfigError: an option was typed and none of those that give it an effect.
    """
    if _typed(ctx)(name) and not any(ctx.params.get(partner) for partner in partners):
        needed = " or ".join(map(_option, partners))
        raise ConfigError(f"{_option(name)} has no effect without {needed}{why}")


def check_outputs(ctx: click.Context, config: RunConfig, output: str | None) -> None:
    """Check that the options of outputs have an output, and that standard output carries one thing.

    Raises:
        ConfigError: an option has no effect, or two things want standard output.
    """
    from lens.run.outputs import exports_to_stdout

    typed = _typed(ctx)
    exports = [one for one in config.output.exports if one.endpoint is None]
    places = [output, config.output.dir, *[one.file for one in exports]]
    if typed("force") and not any(place not in (None, "-") for place in places):
        raise ConfigError("--force has no effect: nothing is written to a file; give --output FILE or --output-dir DIR")
    if typed("output_dir") and not exports:
        raise ConfigError("--output-dir has no effect without an export: give --export json, or another format")
    formats = {one.format for one in config.output.exports}
    if typed("prometheus_units") and not formats & _PROMETHEUS and not any(ctx.params.get(name) for name in PUSHES):
        raise ConfigError("--prometheus-units has no effect without --export prometheus or a push")
    if config.output.real_time and exports_to_stdout(config.output, output):
        raise ConfigError(
            "--real-time and the export both want standard output: give --output FILE or --output-dir DIR"
        )


def _typed(ctx: click.Context) -> Callable[[str], bool]:
    return lambda name: ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
