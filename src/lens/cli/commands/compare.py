"""`lll compare`: targets side by side in one interleaved run, or run files side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.gates import GATES
from lens.cli.steps import shown_steps
from lens.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lens.analysis.compare import Comparison
    from lens.run.result import RunResult

WHO = (
    Option("--providers", group="Targets", metavar="A,B",
        help="Providers, in pairs with --models; the first is the baseline."),
    Option("--models", group="Targets", metavar="X,Y", help="Their models; one provider or one model stands for all."),
    Option("--target-spec", group="Targets", multiple=True, metavar="P:MODEL",
        help="A target as provider:model; several."),
)  # fmt: skip

TOO_FEW = (
    "compare what? give --providers a,b --models x,y, or --target-spec twice, or a --config with several targets, "
    "or two run files"
)


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
    example="lll compare --providers openai,anthropic --models gpt-6-sol,claude-sonnet-5-5 -n 50",
)
@click.argument("files", nargs=-1)
@click.pass_context
def command(ctx: click.Context, /, files: tuple[str, ...], **_: object) -> int:
    """Compare targets, asked in turns so that drift hits all alike; or run FILES that were measured before.

    -n counts requests for each target. The first target, or file, is the baseline.
    """
    if files:
        return _files(ctx, files)
    from lens.analysis.compare import compare_targets
    from lens.cli.settings import settings_of

    settings = settings_of(ctx, targets=pairs_of(ctx.params), no_target=TOO_FEW)
    many = len(settings.config.targets)
    if many < 2:
        raise ConfigError(TOO_FEW)
    if ctx.params["dry_run"]:
        from lens.cli.dry_run import print_plan

        return print_plan(settings)
    from lens.cli.running import run_and_report

    def also(console: Console, found: RunResult) -> None:
        print_comparisons(console, compare_targets(found.table, targets=many))

    return run_and_report(settings, also)


def _files(ctx: click.Context, files: Sequence[str]) -> int:
    """Compare run files with the first of them."""
    from lens.analysis.compare import compare_runs
    from lens.cli.settings import book_of
    from lens.metrics.builder import read_table
    from lens.report.terminal import console_for

    if len(files) < 2:
        raise ConfigError("compare two run files or more; one is compared with nothing")
    book = book_of(ctx)
    with shown_steps() as steps:
        read = [read_table(Path(name), book, on_progress=steps.reading) for name in files]
        steps.computing()
        comparisons = compare_runs([table for table, _ in read], [Path(name).name for name in files])
    for name, (_, warnings) in zip(files, read, strict=True):
        for warning in warnings:
            click.echo(f"lll: {name}: {warning}", err=True)
    print_comparisons(console_for(sys.stdout), comparisons)
    return ExitCode.OK


def pairs_of(params: dict[str, Any]) -> list[dict[str, str]]:
    """Targets as provider and model.

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
    found = [{"provider": provider[i % len(provider)], "model": model[i % len(model)]} for i in range(many)]
    for spec in params.get("target_spec") or ():
        name, colon, rest = spec.partition(":")
        if not colon or not name or not rest:
            raise ConfigError(f"--target-spec {spec!r}: write provider:model")
        found.append({"provider": name, "model": rest})
    return found


_HOW = {True: "asked in turns", False: "not interleaved: drift between them is not excluded"}


def print_comparisons(console: Console, comparisons: Sequence[Comparison]) -> None:
    """A table a candidate."""
    from rich.text import Text

    from lens.report import terminal

    for one in comparisons:
        console.print()
        how = _HOW[bool(one.shifts) and one.shifts[0].paired]
        title = f"{terminal.clean(one.candidate)} against {terminal.clean(one.baseline)}, {how}"
        console.print(Text(title, style="bold"))
        if one.shifts:
            console.print(_table(console, one))
        else:
            console.print("too few requests succeeded on both sides to compare them")
        if any(one.failed):
            terminal.fact(console, "failed", f"{one.failed[0]} of the baseline, {one.failed[1]} of the candidate")


def _table(console: Console, one: Comparison) -> Table:
    """A row a figure: both values, by how much they differ, and what that is worth."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from lens.report.terminal import number

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    wide = console.width >= 110
    for name in ("", "base", "cand.", "shift", *(["95 %", "p", "could see"] if wide else ["p"]), "verdict"):
        table.add_column(name, justify="left" if name in ("", "verdict") else "right", no_wrap=True)
    for shift in one.shifts:
        verdict = "same" if not shift.different else "better" if shift.better else "worse"
        style = {"better": "green", "worse": "bold red"}.get(verdict, "dim")
        by = f"{shift.relative:+.1%}" if shift.relative is not None else f"{shift.difference:+.3g}"
        p_value = f"{shift.p_adjusted:.3f}"
        sure = [f"{number(shift.low)} to {number(shift.high)}", p_value, number(shift.smallest_seen)]
        cells = [number(shift.baseline), number(shift.candidate), by, *(sure if wide else [p_value])]
        table.add_row(f"{shift.metric} {shift.statistic}", *cells, Text(verdict, style=style))
    return table
