"""`lll compare`: compare targets in one interleaved run, or compare saved runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lens.cli import options
from lens.cli.command import Command, Option, given_options, with_options
from lens.cli.echo import echo
from lens.cli.errors import PROGRAM
from lens.cli.gates import GATES
from lens.cli.saved_runs import saved_runs
from lens.cli.steps import shown_steps
from lens.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from lens.analysis.gates.sla import Gate
    from lens.cli.settings import Settings
    from lens.run.result import RunResult

WHO = (
    Option("--providers", group="Targets", metavar="A,B",
        help="Providers to compare, paired with --models; the first is the baseline."),
    Option("--models", group="Targets", metavar="X,Y",
        help="Models to compare; a single provider or model is used for all."),
    Option("--variant", group="Targets", to="compare.variants", multiple=True, metavar="NAME[:JSON|:@FILE]",
        help="Ask each target with this JSON merged into the request body, too: plain, json:'{...}', low:@low.json."),
    Option("--factor", group="Targets", to="compare.factors", multiple=True, metavar="FACTOR",
        help="Ask each target in these ways: stream, connection, tier, tier=A,B, gateway=URL or lora=NAME."),
    Option("--novel", group="Targets", to="compare.novel", type=click.Choice(["schema", "tool"]), metavar="schema|tool",
        help="Ask with a new schema in each request, too: what the first use of a schema costs (default: not)."),
)  # fmt: skip

TOO_FEW = (
    "compare needs two targets or two run files: give --target NAME=provider:model@URL twice, or --providers a,b "
    "--models x,y, or one target with --variant or --factor, or a --config with several targets, or two run files"
)


# Requests of each target: a mean needs 30, and a median 50 where neighbours resemble each other, also by chance.
REQUESTS = 50

# What only a run that is measured now can obey; run files were measured already.
_OF_A_RUN = ("Targets", "Target", "Load", "Prompt", "Connection")
_OF_ITS_OUTPUT = (
    "prometheus_units", "gpu_hour", "push_gateway", "export_prometheus", "influx", "otlp", "real_time", "label",
    "save_text", "ui", "no_tui",
)  # fmt: skip


@with_options(
    WHO,
    options.TARGET,
    options.LOAD,
    options.PROMPT,
    options.CONNECTION,
    GATES,
    options.OUTPUT,
    options.UI,
    options.COMMON,
)
@click.command(
    cls=Command,
    essential=options.ESSENTIAL | {"targets", "providers", "models", "variant", "factor"},
    example="""
    lll compare --target a=vllm:m@http://gpu1:8000/v1 --target b=vllm:m@http://gpu2:8000/v1
    lll compare --provider openai --model gpt-6-luna --variant plain --variant json:@json.json --expect json
    lll compare before.jsonl after.jsonl
    """,
)
@click.argument("files", nargs=-1)
@click.pass_context
def command(ctx: click.Context, /, files: tuple[str, ...], **_: object) -> int:
    """Compare targets in one interleaved run, or compare saved runs (FILES).

    Requests alternate between the targets, so that drift affects all of them alike. -n is per target: 50 by default,
    enough to compare means and medians; a p95 needs 200. The first target, or file, is the baseline; a target in
    several files is compared with the target of the same name in the first. Thresholds are checked for each target.
    -e json, csv and junit write the comparison; other formats write the requests.
    """
    if files:
        return _files(ctx, files)
    from lens.cli.comparison_files import OWN_FORMATS
    from lens.cli.settings import settings_of

    settings = settings_of(
        ctx, targets=pairs_of(ctx.params), no_target=TOO_FEW, own_formats=OWN_FORMATS, obeyed={"sessions": ()}
    )
    if len(settings.config.targets) < 2:
        raise ConfigError(TOO_FEW)
    from lens.run.checks import refuse_sessions

    refuse_sessions(
        "compare", settings.config, "it compares single requests; run each by `lll benchmark`, and compare the files"
    )
    settings = with_enough_requests(settings)
    if ctx.params["dry_run"]:
        from lens.cli.dry_run import print_plan

        return print_plan(settings)
    return _measured(settings)


def with_enough_requests(settings: Settings) -> Settings:
    """Return the settings with as many requests of each target as a comparison needs, where no number was given."""
    from msgspec.structs import replace

    from lens.orchestrator.schedule import with_default_requests

    config = settings.config
    return settings._replace(config=replace(config, load=with_default_requests(config.load, REQUESTS)))


def _measured(settings: Settings) -> int:
    """Measure the targets in turns, then print and write how they compare."""
    from lens.analysis.sides import compared_run
    from lens.cli.comparison_files import ComparisonFiles, without_own
    from lens.cli.page import page_console
    from lens.cli.running import run_settings, tell_troubles
    from lens.report.compare import print_comparison
    from lens.report.instrument import error_says
    from lens.report.verdicts import print_verdicts
    from lens.run.outputs import uses_stdout

    rest, places = without_own(settings)
    on_stderr = uses_stdout(settings.config.output, settings.output)
    with ComparisonFiles(places, force=settings.force) as files:
        result = run_settings(rest, needs_all_targets=True, journal=next(iter(files.paths), None))
        tell_troubles(result)
        found = compared_run(
            result.table, targets=len(settings.config.targets), slos=settings.slos, verdicts=result.verdicts
        )
        trouble = files.write(found, table=result.table, info=result.info)
    console = page_console(on_stderr=on_stderr)
    print_comparison(
        console, found, notes=result.notes, warnings=result.warnings, files=[*files.complete, *result.paths],
        instrument=error_says(result.info),
    )  # fmt: skip
    if found.verdicts:
        print_verdicts(console, found.verdicts)
    if trouble is not None:
        result.trouble = f"{trouble}; {_rescued(result)}"
        echo(f"{PROGRAM}: {result.trouble}", err=True)
    return result.exit_code


def _files(ctx: click.Context, files: Sequence[str]) -> int:
    """Compare the targets of run files with those of the first.

    Raises:
        ConfigError: an option would be ignored, or there is one target only. FileError: a file cannot be read, or
            an output cannot be written.
    """
    from lens.analysis.sides import compared_files
    from lens.cli.comparison_files import ComparisonFiles, places_of_flags
    from lens.cli.page import page_console
    from lens.cli.settings import book_of
    from lens.metrics.builder import read_table
    from lens.report.compare import print_comparison
    from lens.report.verdicts import print_verdicts

    ignored = [*given_options(ctx, _OF_A_RUN), *[one for one in given_options(ctx, ("Output",)) if one in _names(ctx)]]
    if ignored:
        raise ConfigError(f"run files are measured already: leave out {', '.join(ignored)}, or the files")
    gates, places, book = _gates(ctx), places_of_flags(ctx.params), book_of(ctx)
    paths = saved_runs(files)
    with ComparisonFiles(places, force=bool(ctx.params["force"])) as written:
        with shown_steps() as steps:
            read = [read_table(path, book, on_progress=steps.reading) for path in paths]
            steps.computing()
            names = [path.name for path in paths]
            names = names if len(set(names)) == len(names) else [str(path) for path in paths]
            found = compared_files([table for table, _ in read], names, gates=gates)
        for name, (_, warnings) in zip(paths, read, strict=True):
            for warning in warnings:
                echo(f"lll: {name}: {warning}", err=True)
        empty = [name for name, (table, _) in zip(names, read, strict=True) if not len(table)]
        for missing in empty:
            echo(f"lll: {missing} holds no request: it is compared with nothing", err=True)
        trouble = written.write(found)
    console = page_console(on_stderr=any(place.path is None for place in places))
    print_comparison(console, found, files=list(written.complete))
    if found.verdicts:
        print_verdicts(console, found.verdicts)
    if trouble is not None:
        echo(f"{PROGRAM}: {trouble}", err=True)
        return ExitCode.USAGE
    if not any(side.summary.successes for side in found.sides):
        return ExitCode.NOTHING_MEASURED
    if found.failed:
        return ExitCode.THRESHOLD
    whole = not empty and all(side.summary.successes for side in found.sides)
    return ExitCode.OK if whole else ExitCode.NOTHING_MEASURED


def _rescued(result: RunResult) -> str:
    """Write a run whose comparison could not be written elsewhere, and return where it is."""
    from lens.run.journal import rescue

    path = rescue(result.info, result.records)
    return "what was measured is above" + (f", and in {path}" if path is not None else "")


def _names(ctx: click.Context) -> set[str]:
    """Return the long names of options that have no effect on run files."""
    return {name for one in ctx.command.params if one.name in _OF_ITS_OUTPUT for name in one.opts}


def _gates(ctx: click.Context) -> tuple[Gate, ...]:
    """Return the thresholds of the flags, the SLA file and the config file."""
    from lens.cli.gates import configured_thresholds, gates_said

    return gates_said(ctx, configured_thresholds(ctx), saved=True)


def pairs_of(params: dict[str, Any]) -> list[dict[str, str]]:
    """Return targets as provider and model.

    Raises:
        ConfigError: the lists have unequal lengths, or a spec is none.
    """
    providers = [one.strip() for one in (params.get("providers") or "").split(",") if one.strip()]
    models = [one.strip() for one in (params.get("models") or "").split(",") if one.strip()]
    if providers and models and len(providers) != len(models) and 1 not in (len(providers), len(models)):
        raise ConfigError(
            f"--providers names {len(providers)} ({', '.join(providers)}) and --models {len(models)} "
            f"({', '.join(models)}): they go in pairs, so give as many of one as of the other"
        )
    many = max(len(providers), len(models))
    if bool(providers) != bool(models) and many:
        only = params.get("provider") or params.get("model")
        if not only and providers != ["simulator"] * len(providers):
            raise ConfigError("--providers and --models go in pairs: give both")
    provider = providers or [params.get("provider") or ""]
    model = models or [params.get("model") or ""]
    return [{"provider": provider[i % len(provider)], "model": model[i % len(model)]} for i in range(many)]
