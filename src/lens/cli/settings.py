"""From what was typed to what a command works with: the config, the price book, the outputs wanted.

Read once, before anything is connected to, so that a mistake costs nothing.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec
from click.core import ParameterSource

from lens.cli.command import said
from lens.cli.conflicts import check_conflicts, check_outputs
from lens.cli.echo import echo
from lens.cli.figures import slos_of
from lens.cli.gates import gates_said
from lens.cli.logs import LEVELS, set_up_logging
from lens.cli.pushes import configured_pushes
from lens.config.load import VARIABLES, config_file, make_config
from lens.config.settings import RunConfig
from lens.errors import ConfigError, FileError
from lens.orchestrator.variants import with_ways
from lens.parsing import decode_text, read_upto
from lens.pricing import PriceBook, parse_price, standard_book
from lens.secrets import remember_secret

if TYPE_CHECKING:
    from lens.analysis.gates.sla import Gate
    from lens.metrics.goodput import Slo
    from lens.push.push import Push

LOG = logging.getLogger(__name__)
LOG_LEVELS = tuple(LEVELS)
TOLD = "lens.config_told"  # of a context: its config file was told


class Settings(NamedTuple):
    """Everything that was said."""

    config: RunConfig
    book: PriceBook
    output: str | None  # --output
    force: bool
    ui: str  # "live", "plain" or "none"
    pushes: tuple[Push, ...] = ()
    usd_per_gpu_hour: Decimal | None = None
    slos: tuple[Slo, ...] = ()  # --goodput
    gates: tuple[Gate, ...] = ()


NO_TARGET = "no target; name one: --provider openai --model gpt-6-luna, or --provider simulator"


def settings_of(
    ctx: click.Context,
    *,
    targets: Sequence[dict[str, str]] = (),
    no_target: str = NO_TARGET,
    own_formats: Collection[str] = (),
    of_url: bool = False,
    obeyed: Mapping[str, Collection[str]] | None = None,
    **load: Any,
) -> Settings:
    """Return the settings: flags over environment over file over defaults; `load` is what the command decides.

    targets: of a command that asks several; the flags count for each. no_target: what to say where there is none.
    own_formats: of --export, those that the command writes itself.
    of_url: the address was the command's argument: of the file's targets those of its host count.
    obeyed: fields of sections that the command uses; a file that was found in the folder, not named, may have others.

    Raises:
        ConfigError: something cannot be.
    """
    check_conflicts(ctx)
    tree = said(ctx)
    above = ctx.obj or {}
    tree.setdefault("load", {}).update(load)
    if ctx.params.get("prompt"):
        tree.setdefault("prompts", {})["texts"] = [_prompt(text) for text in ctx.params["prompt"]]
    if ctx.params.get("answer_limit"):
        tree["load"]["answer_limits"] = dict(ctx.params["answer_limit"])
    if ctx.params.get("label"):
        tree["labels"] = dict(ctx.params["label"])
    if above.get("log_level"):
        tree.setdefault("output", {}).setdefault("log_level", above["log_level"])
    set_up_logging(tree.get("output", {}).get("log_level") or os.environ.get("LLL_LOG_LEVEL"))
    output = ctx.params.get("output")
    formats = _formats(ctx.params.get("export"), output, own_formats)
    if formats:
        tree.setdefault("output", {})["exports"] = [{"format": name} for name in formats]
    _patterns(ctx, tree)
    chosen = _targets(ctx, tree.setdefault("target", {}), targets)
    if chosen:
        tree["targets"] = chosen
    file = config_of_folder(ctx)
    config = with_ways(
        make_config(
            tree, file=file, keep_exports=output is None, one_address=of_url, obeyed=None if _named(ctx) else obeyed
        )
    )
    config = _in_units(config, ctx.params.get("prometheus_units"))
    _check(config, no_target)
    check_outputs(ctx, config, output)
    set_up_logging(config.output.log_level)
    _log_sources(ctx, file)
    gates = gates_said(ctx, config.thresholds)
    config = msgspec.structs.replace(config, thresholds=_recorded(config.thresholds, gates))
    return Settings(
        config=config,
        book=book_of(ctx),
        output=output,
        force=bool(ctx.params.get("force")),
        ui=_ui(ctx),
        pushes=configured_pushes(ctx.params, config.output.exports),
        usd_per_gpu_hour=_gpu_hour(ctx.params.get("gpu_hour")),
        slos=slos_of(ctx),
        gates=gates,
    )


def _recorded(configured: tuple[str, ...], gates: Sequence[Gate]) -> tuple[str, ...]:
    """Return the thresholds of a run for its header, so that pages made of its file judge it by those of flags too.

    Not those of one target, those that only warn, and those of goodput, whose SLOs are in no file.
    """
    flags = [gate.threshold for gate in gates[len(configured) :] if gate.target is None]
    kept = [one.text for one in flags if one.severity == "error" and not one.metric.startswith("goodput")]
    return (*configured, *kept)


def _log_sources(ctx: click.Context, file: Path | None) -> None:
    """Tell where settings are from; their values may be secrets."""
    LOG.info("settings of the file: %s", file or os.environ.get("LLL_CONFIG_FILE") or "none")
    LOG.info("settings of the environment: %s", ", ".join(name for name in VARIABLES if os.environ.get(name)) or "none")
    typed = [name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    LOG.info("settings of the command line: %s", ", ".join(typed) or "none")


def config_of_folder(ctx: click.Context) -> Path | None:
    """Return the config file of a command; one that was found in the folder is told."""
    path = config_file(_said_file(ctx))
    if path is not None and not _named(ctx) and not ctx.meta.get(TOLD):
        ctx.meta[TOLD] = True
        echo(f"lll: settings from {path} (LLL_CONFIG_FILE= ignores it)", err=True)
    return path


def _said_file(ctx: click.Context) -> str | None:
    """Return the config file that an option names."""
    found: str | None = ctx.params.get("config") or (ctx.obj or {}).get("config")
    return found


def _named(ctx: click.Context) -> bool:
    """Return whether somebody said which config file counts; else it may be one that was found in the folder."""
    return bool(_said_file(ctx)) or "LLL_CONFIG_FILE" in os.environ


def _targets(ctx: click.Context, shared: dict[str, Any], pairs: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the targets of --target and the pairs of a command; what they say is taken out of the flags for all.

    Raises:
        ConfigError: one of them is none, or a flag for all would be ignored.
    """
    from lens.config.targets import completed, is_address, parse_target

    texts = ctx.params.get("targets") or ()
    addresses = [text.strip() for text in texts if is_address(text)]  # as other tools take it under this name
    if addresses and (len(texts) > 1 or shared.get("base_url") is not None):
        said = [*addresses, *([shared["base_url"]] if shared.get("base_url") else [])]
        raise ConfigError(
            f"--target {', '.join(said)}: two addresses need names: --target a=provider:model@URL --target b=..."
        )
    if addresses:
        shared["base_url"] = addresses[0]
        texts = ()
    own = completed([parse_target(text) for text in texts], shared)
    if own or pairs:
        shared.pop("provider", None)
        shared.pop("model", None)
    if own:
        shared.pop("base_url", None)
    return [*[dict(one) for one in pairs], *own]


def _patterns(ctx: click.Context, tree: dict[str, Any]) -> None:
    """Set what several options say together of a load.

    Raises:
        ConfigError: a trace is wanted and none is named.
    """
    load, prompts = tree.setdefault("load", {}), tree.setdefault("prompts", {})
    if load.get("arrival") == "trace":
        del load["arrival"]
        load["trace"] = load.get("trace") or tree.get("sessions", {}).get("file") or prompts.get("file")
        if not load["trace"]:
            raise ConfigError(
                "--arrival trace needs a trace: give --trace FILE, or --prompt-file or --sessions with timestamps"
            )
    if ctx.params.get("scenario") == "standard":
        prompts.setdefault("input_tokens", "550")
        prompts.setdefault("output_tokens", "150")
    sweeps = load.get("sweep_concurrency") or load.get("sweep_max_per_s") or load.get("sweep_min_per_s")
    if sweeps and load.get("duration_ns"):
        load["step_duration_ns"] = load["duration_ns"]
    if tree.get("target", {}).get("seed") is not None:
        load.setdefault("seed", tree["target"]["seed"])


def _gpu_hour(text: str | None) -> Decimal | None:
    if text is None:
        return None
    from lens.run.budget import parse_gpu_hour

    return parse_gpu_hour(text)


def book_of(ctx: click.Context) -> PriceBook:
    """Return the prices that --price, --prices and --price-tier ask for, before those that ship.

    Raises:
        ConfigError: two of them contradict each other, or one holds no prices.
    """
    check_conflicts(ctx)
    price = ctx.params.get("price")
    own = [parse_price(price)] if price else []
    return standard_book(own, source=ctx.params.get("prices"), tier=ctx.params.get("price_tier"))


def _prompt(text: str) -> str:
    """Return the text, or standard input for "-"."""
    if text != "-":
        return text
    try:
        found = decode_text(read_upto(sys.stdin.buffer))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FileError(f"--prompt -: cannot read standard input: {why}") from error
    if not found.strip():
        raise ConfigError("--prompt -: standard input was empty; pipe a text in")
    return found.removesuffix("\n")


def _in_units(config: RunConfig, units: str | None) -> RunConfig:
    """Return the config with the Prometheus export under the names that --prometheus-units asks for."""
    if units != "seconds":
        return config
    exports = [
        msgspec.structs.replace(one, format="prometheus-seconds")
        if one.format == "prometheus" and one.endpoint is None
        else one
        for one in config.output.exports
    ]
    output = msgspec.structs.replace(config.output, exports=tuple(exports))
    return msgspec.structs.replace(config, output=output)


def _formats(export: str | None, output: str | None, own: Collection[str] = ()) -> list[str]:
    """--export's list; without it, what the name of --output asks for."""
    from lens.export.formats import format_named, format_of_suffix

    if export:
        names = [name.strip() for name in export.split(",") if name.strip()]
        return [name if name in own else format_named(name).name for name in names]
    if output and not os.environ.get("LLL_EXPORT_FORMAT"):
        if "junit" in own and Path(output).suffix == ".xml":
            return ["junit"]
        by_suffix = format_of_suffix(Path(output).suffix)
        return [by_suffix.name if by_suffix else "json"]
    return []


def _check(config: RunConfig, no_target: str) -> None:
    level = config.output.log_level
    if level is not None and level.lower() not in LOG_LEVELS:
        raise ConfigError(f"log level {level!r}; there are {', '.join(LOG_LEVELS)}")
    if not config.targets:
        raise ConfigError(no_target)
    for target in config.targets:
        remember_secret(target.api_key.reveal() if target.api_key else None)


def _ui(ctx: click.Context) -> str:
    """Live drawings need a terminal; asked for elsewhere they become plain lines."""
    wanted = "none" if ctx.params.get("no_tui") else ctx.params.get("ui")
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if wanted in (None, "live"):
        return "live" if live else "plain"
    return str(wanted)
