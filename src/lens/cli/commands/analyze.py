"""`lll analyze`: saved runs: grouped metrics, queries, thresholds, a regression gate, output for CI.

Everything is read and evaluated before an output is opened. Standard output holds one thing: the page, or
the document that --format asks for; GitHub annotations go with the page, else to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lens.cli.command import Command, Option, given_options, with_options
from lens.cli.conflicts import refuse_alone
from lens.cli.echo import echo
from lens.cli.figures import SLOS, slos_of
from lens.cli.gates import GATES, configured_thresholds, gates_said
from lens.cli.options import COMMON, PRICES
from lens.cli.saved_runs import saved_runs
from lens.cli.steps import shown_steps
from lens.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from lens.analysis.explore.findings import Findings
    from lens.analysis.gates.regression import Regression
    from lens.metrics.table import Table

_ask = partial(Option, group="Query")
_gate = partial(Option, group="Gates")
_out = partial(Option, group="Output")
QUESTIONS = (
    _ask("--where", metavar="EXPR", help="Filter requests: \"model == 'x' and ttft_ms > 500\" (default: all)."),
    _ask("--by", metavar="FIELD[,FIELD]",
        help="Group by: provider, model, target, status, file, stage, prompt, minute, hour, day or a label "
        "(default: file where there are several)."),
    _ask("--metrics", metavar="M[,M]",
        help="Metrics to show: ttft_p95,itl_p50,success_rate (default: the most common)."),
    _ask("--anomalies", type=click.IntRange(min=0), default=5, metavar="N",
        help="Number of outlier requests to show, with the reason (default: 5)."),
    _ask("--sql", metavar="SELECT",
        help="SQL query of the table `runs`, one row per request (needs llm-latency-lens[sql])."),
)  # fmt: skip
BASELINE = (
    _gate("--baseline", multiple=True, metavar="FILE",
        help="Baseline run; exit code 3 on a regression. Repeatable: three or more show how much runs vary."),
    _gate("--tolerance", default="5%", metavar="SHARE", help="Regression that is tolerated (default: 5%)."),
)  # fmt: skip
OUTPUT = (
    _out("--format", type=click.Choice(["table", "json", "csv", "markdown"]), default="table",
        metavar="table|json|csv|markdown", help="Output format (default: table)."),
    _out("--output", "-o", metavar="FILE", help="Output file (default: standard output)."),
    _out("--force", is_flag=True, help="Overwrite existing files."),
    _out("--junit", metavar="FILE", help="Write gate results as JUnit XML."),
    _out("--markdown", metavar="FILE", help="Write the page as Markdown too."),
    _out("--github", is_flag=True, help="Print GitHub annotations and append to the job summary."),
)  # fmt: skip


@with_options(QUESTIONS, GATES, BASELINE, SLOS, OUTPUT, PRICES, COMMON)
@click.command(
    cls=Command,
    example="""
    lll analyze run.jsonl --by model
    lll analyze run.jsonl --threshold 'ttft_p95<1000' --baseline before.jsonl --junit gates.xml
    lll analyze run.jsonl --sql "select model, avg(ttft_ms) from runs group by model"
    """,
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.pass_context
def command(ctx: click.Context, /, files: tuple[str, ...], **_: object) -> int:
    """Analyze saved runs: grouped metrics, thresholds, baseline regression, SQL.

    A saved run is a file of --export jsonl, msgpack or json, or the journal that a killed run left behind; a folder
    stands for the run files in it, as the history of a monitor.
    """
    gates = gates_said(ctx, configured_thresholds(ctx), saved=True)
    _check(ctx, gates)
    whole, warnings = _read(ctx, files)
    for warning in warnings:
        echo(f"lll: {warning}", err=True)
    table = _meant(whole, ctx.params["where"])
    if not len(table):
        meant = " of which --where is true" if ctx.params["where"] else ""
        echo(f"lll: analyze: there is no request{meant} in {', '.join(files)}", err=True)
        return ExitCode.NOTHING_MEASURED
    with shown_steps() as steps:
        steps.computing()
        if ctx.params["sql"]:
            found = _query(ctx, table)
        else:
            unmeasured = _unmeasured(table) if ctx.params["where"] is None else []
            found = _find(ctx, table, gates, (*warnings, *unmeasured))
    _write(ctx, found, table)
    return ExitCode.THRESHOLD if found.failed else ExitCode.OK


def _read(ctx: click.Context, files: Sequence[str]) -> tuple[Table, tuple[str, ...]]:
    from lens.cli.settings import book_of
    from lens.metrics.builder import read_tables

    paths = saved_runs(files)
    with shown_steps() as steps:
        return read_tables(paths, book_of(ctx), on_progress=steps.reading)


def _check(ctx: click.Context, gates: Sequence[Any]) -> None:
    """Refuse options that cannot go together, or have no effect.

    Raises:
        ConfigError: it was asked for.
    """
    params = ctx.params
    alone = given_options(ctx, ("Query", "Gates", "Metrics"), but=("sql", "where"))
    alone += [f"--{name}" for name in ("junit", "github", "config") if params[name]]
    if params["sql"] and alone:
        raise ConfigError(f"--sql answers alone; leave out {', '.join(alone)}, or ask for it without --sql")
    refuse_alone(ctx, "tolerance", "baseline")
    refuse_alone(ctx, "force", "output", "junit", "markdown")
    judged = gates or params["baseline"]
    if params["junit"] and not judged:
        raise ConfigError("--junit: nothing to evaluate; give --threshold, --sla or --baseline")
    if params["github"] and not judged and not os.environ.get("GITHUB_STEP_SUMMARY"):
        raise ConfigError("--github: nothing to annotate, and no job summary; give --threshold, --sla or --baseline")
    if params["format"] in ("json", "csv"):
        refuse_alone(ctx, "anomalies", "markdown", "github", why=f": --format {params['format']} has no such number")


def _meant(table: Table, where: str | None) -> Table:
    """Return the requests of the measured windows of which --where is true."""
    from lens.analysis.explore.filters import compile_filter

    if where is None:
        return table.measured()
    every = table.measured(interrupted=True)
    try:
        wanted = compile_filter(where, every)
    except ConfigError as error:
        raise ConfigError(f"--where: {error}") from None
    return every.take(wanted(every)).measured()


def _unmeasured(table: Table) -> list[str]:
    """Return what to say of files of which nothing was measured: no gate judges them."""
    import numpy as np

    from lens.history.framing import Loss

    if len(table.runs) == 1:
        return []
    requests = np.bincount(table.column("run"), minlength=len(table.runs))
    return [
        Loss(f"{run.name}: no request in it was measured") for run, n in zip(table.runs, requests, strict=True) if not n
    ]


def _query(ctx: click.Context, table: Table) -> Findings:
    from lens.analysis.explore.findings import Findings
    from lens.analysis.explore.sql import query

    sheet = query(ctx.params["sql"], table)
    return Findings(files=_names(table), requests=len(table), where=ctx.params["where"], by=(), sheet=sheet)


def _names(table: Table) -> tuple[str, ...]:
    return tuple(dict.fromkeys(run.name for run in table.runs))


def _find(ctx: click.Context, table: Table, gates: Any, warnings: tuple[str, ...]) -> Findings:
    """Figures of each group and of all, and what the gates say."""
    from lens.analysis.explore.findings import Findings, find_trends, run_warnings
    from lens.analysis.explore.groups import Groups, figures_named, percents_of
    from lens.analysis.gates.checks import checks_of, checks_of_files
    from lens.analysis.gates.sla import evaluate_run
    from lens.history.framing import Loss

    slos = slos_of(ctx)
    figures = figures_named(ctx.params["metrics"])
    if slos and not ctx.params["metrics"]:
        figures = (*figures, ("goodput_rps", ""))
    by = _fields(ctx.params["by"], many=len({run.name for run in table.runs}) > 1)
    how: dict[str, Any] = {"slos": slos, "percents": percents_of(figures)}
    groups = Groups(table, by, **how)
    everything = groups if len(groups) == 1 else Groups(table, **how)
    sheet = groups.sheet(figures)
    if by and len(groups) > 1:
        (total,) = everything.sheet(figures).rows
        sheet.rows.append(("all", *[""] * (len(by) - 1), *total))
    summary = everything.groups[0].summary
    results = evaluate_run(gates, table, summary, slos=slos)
    compared = _compared(ctx, table)
    lost = [one for one in warnings if isinstance(one, Loss)]
    return Findings(
        files=_names(table),
        requests=len(table),
        where=ctx.params["where"],
        by=by,
        sheet=sheet,
        total=summary,
        groups=tuple(groups),
        checks=(*(checks_of_files(lost) if gates or compared else ()), *checks_of(results, compared)),
        regression=compared,
        trends=find_trends(table),
        warnings=warnings,
        run_warnings=run_warnings(table),
    )


def _fields(text: str | None, *, many: bool) -> tuple[str, ...]:
    """Those of --by; several files are told apart where nothing else is asked for."""
    if text is None:
        return ("file",) if many else ()
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _compared(ctx: click.Context, table: Table) -> Regression | None:
    """Return the runs against their baselines, of which --where means the same requests."""
    if not ctx.params["baseline"]:
        return None
    from lens.analysis.gates.regression import parse_tolerance, regression_by_target

    tolerance = parse_tolerance(ctx.params["tolerance"])
    before, warnings = _read(ctx, ctx.params["baseline"])
    for warning in warnings:
        echo(f"lll: baseline {warning}", err=True)
    baselines = [run for _, run in _meant(before, ctx.params["where"]).by_run()]
    if not baselines:
        raise ConfigError(f"--baseline {', '.join(ctx.params['baseline'])}: there is no request to compare with")
    return regression_by_target(baselines, table, tolerance=tolerance)


def _write(ctx: click.Context, found: Findings, table: Table) -> None:
    """Write the page or document to its place, then what CI asked for."""
    from lens.analysis.explore.findings import document
    from lens.history.write import is_stdout
    from lens.report.analyze_text import csv_of, markdown_of
    from lens.secrets import clean_json

    form, output = ctx.params["format"], ctx.params["output"]
    on_stdout = output is None or is_stdout(output)
    if form == "table":
        _page(ctx, found, table)
    else:
        most = ctx.params["anomalies"]
        made = document(found) if form == "json" else csv_of(found) if form == "csv" else markdown_of(found, most)
        if on_stdout:
            sys.stdout.buffer.write(clean_json(made.decode()).encode() if form == "json" else made)
            sys.stdout.buffer.flush()
        else:
            _file(output, made, force=ctx.params["force"])
    _for_ci(ctx, found, on_stdout=form == "table" or not on_stdout)


def _page(ctx: click.Context, found: Findings, table: Table) -> None:
    from io import StringIO

    from lens.history.write import is_stdout
    from lens.report.analyze import print_findings
    from lens.report.terminal import WIDEST, console_for

    output, most, chosen = ctx.params["output"], ctx.params["anomalies"], bool(ctx.params["metrics"])
    if output is None or is_stdout(output):
        print_findings(console_for(sys.stdout), found, table, most, chosen=chosen)
        return
    text = StringIO()
    print_findings(console_for(text, width=WIDEST), found, table, most, chosen=chosen)
    _file(output, text.getvalue().encode(), force=ctx.params["force"])


def _for_ci(ctx: click.Context, found: Findings, *, on_stdout: bool) -> None:
    from lens.report.analyze_text import markdown_of
    from lens.report.ci import append_summary, github_lines, junit

    force, most = ctx.params["force"], ctx.params["anomalies"]
    if ctx.params["junit"]:
        from datetime import UTC, datetime

        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
        _file(ctx.params["junit"], junit(found.checks, Path(found.files[0]).name, now), force=force)
    if ctx.params["markdown"]:
        _file(ctx.params["markdown"], markdown_of(found, most), force=force)
    if ctx.params["github"]:
        for line in github_lines(found.checks):
            click.echo(line, err=not on_stdout)
        append_summary(markdown_of(found, most).decode())


def _file(name: str, data: bytes, *, force: bool) -> None:
    from lens.history.write import NewFile

    with NewFile(Path(name), force=force) as file:
        file.write(data)
