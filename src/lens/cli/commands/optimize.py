"""`lll optimize`: which target to use and why, from run files or from a run in turns made for it.

What decides is settled before anything is sent. Standard output holds one thing: the page, or the JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from lens.cli import options
from lens.cli.command import Command, Option, given_options, with_options
from lens.cli.commands.compare import WHO, pairs_of, with_enough_requests
from lens.cli.echo import echo, echo_json
from lens.cli.saved_runs import saved_runs
from lens.cli.steps import shown_steps
from lens.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from lens.analysis.optimize.criteria import Criteria
    from lens.analysis.optimize.recommend import Candidate
    from lens.analysis.optimize.recommendation import OptimizationRecommendation
    from lens.cli.settings import Settings
    from lens.pricing import PriceBook

DECISION = (
    Option("--criteria", group="Decision", metavar="C[=W],...",
        help="Criteria, with weights: latency, cost, throughput, reliability; latency=2,cost (default: latency,cost)."),
    Option("--preset", group="Decision", metavar="NAME",
        help="Criteria by name: InteractiveLowLatency, BatchHighThroughput or CostOptimized."),
    Option("--constraint", group="Decision", multiple=True, metavar="'M<LIMIT'",
        help="Constraint that a target must meet, repeatable: 'ttft_p95<500'."),
    Option("--current", group="Decision", metavar="TARGET",
        help="Target in use today, for the savings (default: the first)."),
    Option("--recommend-provider", group="Decision", is_flag=True,
        help="Recommend a provider, with the best of its models."),
    Option("--export", "-e", "shown_as", group="Output", type=click.Choice(["json"]), metavar="json",
        help="Print the recommendation as JSON."),
)  # fmt: skip
# What only fits a page of one run.
_LEFT_OUT = ("export", "prometheus_units", "gpu_hour", "real_time")
OUTPUT = tuple(option for option in options.OUTPUT if option.name not in _LEFT_OUT)

TOO_FEW = (
    "optimize needs two targets or run files: give run files, or --target NAME=provider:model@URL twice, or "
    "--providers a,b --models x,y, or a --config with several targets (llm-latency-lens.toml of this folder is found)"
)
ESSENTIAL = options.ESSENTIAL - {"export", "output", "threshold", "warmup", "timeout"} | {
    "criteria", "preset", "constraint", "current", "shown_as", "targets"
}  # fmt: skip
# Options that only a run that is measured now can obey, and those of their groups that run files obey too.
_OF_A_RUN = ("Targets", "Target", "Load", "Prompt", "Connection", "Output")
_OF_FILES = ("shown_as", "price", "prices", "price_tier")


class Decision(NamedTuple):
    """What was asked for."""

    weights: dict[str, float]
    optional: frozenset[str]
    constraints: Criteria | None
    current: str | None
    by_provider: bool
    as_json: bool


@with_options(
    DECISION,
    WHO,
    options.TARGET,
    options.LOAD,
    options.PROMPT,
    options.CONNECTION,
    OUTPUT,
    options.UI,
    options.COMMON,
)
@click.command(
    cls=Command,
    essential=ESSENTIAL,
    example="""
    lll optimize run.jsonl --criteria latency=2,cost --constraint 'ttft_p95<500'
    lll optimize run.jsonl --preset CostOptimized --current openai/gpt-6-luna
    lll optimize --target a=vllm:m@http://gpu1:8000/v1 --target b=vllm:m@http://gpu2:8000/v1 -n 50
    """,
)
@click.argument("files", nargs=-1)
@click.pass_context
def command(ctx: click.Context, /, files: tuple[str, ...], **_: object) -> int:
    """Recommend one of several targets, from saved runs (FILES) or from an interleaved run made now.

    A run made now sends 50 requests to each target unless -n says otherwise.
    Shows which targets meet the constraints, which are on the Pareto front, what a change saves, and the confidence
    of the recommendation. The quality of the answers is not evaluated. Exit code 3: no target meets the constraints.
    """
    decision = _decision(ctx)
    if not files:
        return _fresh(ctx, decision)
    said = given_options(ctx, _OF_A_RUN, but=_OF_FILES)
    if said:
        raise ConfigError(f"run files are measured already: leave out {', '.join(said)}, or the files")
    from lens.cli.settings import book_of

    return _advise(_read(files, book_of(ctx)), decision, on_stderr=False)


def _decision(ctx: click.Context) -> Decision:
    """
    Raises:
        ConfigError: a criterion, preset or constraint is none.
    """
    from lens.analysis.optimize.criteria import Bound, all_of
    from lens.analysis.optimize.presets import DEFAULT_CRITERIA, parse_criteria, preset_named

    params = ctx.params
    if params["preset"] and params["criteria"]:
        raise ConfigError("--preset brings its own criteria: give that or --criteria")
    preset = preset_named(params["preset"]) if params["preset"] else None
    parts: list[Criteria] = [preset.constraints] if preset and preset.constraints else []
    parts += [Bound(text) for text in params["constraint"]]
    return Decision(
        weights=dict(preset.weights) if preset else parse_criteria(params["criteria"] or DEFAULT_CRITERIA),
        optional=preset.optional if preset else frozenset(),
        constraints=all_of(parts),
        current=params["current"],
        by_provider=params["recommend_provider"],
        as_json=params["shown_as"] == "json",
    )


def _read(files: Sequence[str], book: PriceBook) -> list[Candidate]:
    from lens.analysis.optimize.candidates import candidates_of
    from lens.metrics.builder import read_tables

    paths = saved_runs(files)
    with shown_steps() as steps:
        table, warnings = read_tables(paths, book, on_progress=steps.reading)
    for warning in warnings:
        echo(f"lll: {warning}", err=True)
    return candidates_of(table)


def _fresh(ctx: click.Context, decision: Decision) -> int:
    """Measure the targets in turns, then choose."""
    from lens.cli.settings import settings_of

    settings = settings_of(ctx, targets=pairs_of(ctx.params), no_target=TOO_FEW)
    if len(settings.config.targets) < 2:
        raise ConfigError(TOO_FEW)
    settings = with_enough_requests(settings)
    if decision.current is not None:
        _check_current(settings, decision.current)
    if ctx.params["dry_run"]:
        from lens.cli.dry_run import print_plan

        return print_plan(settings)
    return _measured(settings, decision)


def _check_current(settings: Settings, current: str) -> None:
    """
    Raises:
        ConfigError: no target, or more than one, is meant by --current.
    """
    from lens.config.targets import find_named
    from lens.orchestrator.plan_target import planned_targets
    from lens.run.simulators import with_placeholders

    targets = planned_targets(with_placeholders(settings.config).targets)
    names = [one.name for one in targets]
    meant = find_named(names, current, lambda place: (targets[place].provider, targets[place].model))
    if len(meant) != 1:
        why = "may be any of" if meant else "is not among"
        raise ConfigError(f"--current {current!r} {why} the targets: {', '.join(names)}")


def _measured(settings: Settings, decision: Decision) -> int:
    from lens.analysis.optimize.candidates import candidates_of
    from lens.cli.gates import worse
    from lens.cli.page import page_console
    from lens.cli.running import run_settings, tell_troubles
    from lens.report.verdicts import print_verdicts
    from lens.run.outputs import uses_stdout

    on_stderr = uses_stdout(settings.config.output, settings.output)
    if decision.as_json and on_stderr:
        raise ConfigError("--export json and the run's own export both want standard output; give --output FILE")
    result = run_settings(settings)
    tell_troubles(result)
    if not len(result.table):
        return result.exit_code
    code = _advise(candidates_of(result.table), decision, on_stderr=on_stderr)
    if result.verdicts:
        print_verdicts(page_console(on_stderr=on_stderr or decision.as_json), result.verdicts)
    return worse(result.exit_code, code)


def _advise(candidates: Sequence[Candidate], decision: Decision, *, on_stderr: bool) -> int:
    from lens.analysis.optimize.recommend import recommend
    from lens.report.optimize import print_recommendation

    found = recommend(
        candidates,
        weights=decision.weights,
        optional=decision.optional,
        constraints=decision.constraints,
        current=decision.current,
        by_provider=decision.by_provider,
    )
    if decision.as_json:
        echo_json(found)
    else:
        from lens.report.terminal import console_for

        print_recommendation(console_for(sys.stderr if on_stderr else sys.stdout), found)
    return exit_code(found)


def exit_code(found: OptimizationRecommendation) -> int:
    """3 when the constraints exclude all that answered, 1 when nothing could be told at all."""
    if found.recommended is not None:
        return ExitCode.OK
    return ExitCode.THRESHOLD if found.none_meets else ExitCode.NOTHING_MEASURED
