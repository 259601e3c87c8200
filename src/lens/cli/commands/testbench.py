"""`lll testbench`: reports of test suites, checked against limits and earlier reports, and their trends.

A report is what `lens.integrations.testbench.run_suite` and `pytest --latency-lens-export` write; a run file is made
into one, a test case a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lens.cli.command import Command, Group, Option, given_options, with_options
from lens.cli.conflicts import refuse_alone
from lens.cli.echo import echo, echo_json
from lens.cli.gates import GATES, gates_said
from lens.cli.options import PRICES
from lens.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from lens.integrations.testbench import Change, TestBenchReport

MOST_NAMED = 8  # test cases
REPORT = (
    Option("--baseline", group="Gates", metavar="FILE",
        help="Baseline report or run; exit code 3 on a regression of a test case."),
    Option("--tolerance", group="Gates", default="10%", metavar="SHARE",
        help="Regression that is tolerated (default: 10%)."),
    Option("--output", "-o", group="Output", metavar="FILE", help="Write the report as JSON; - is standard output."),
    Option("--force", group="Output", is_flag=True, help="Overwrite an existing file."),
    Option("--suite", group="Output", metavar="NAME",
        help="Name of the suite made from a run (default: the file's name)."),
)  # fmt: skip
TRENDS = (
    Option("--metric", group="Figures", default="ttft_ms", metavar="NAME",
        help="Metric: ttft_ms, ttfb_ms, itl_ms, total_latency_ms, tokens_per_second, output_tokens or total_cost "
        "(default: ttft_ms)."),
    Option("--json", "as_json", group="Output", is_flag=True, help="Print JSON instead of text."),
)  # fmt: skip


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def command() -> None:
    """Report on test suites: failures, regressions, and trends across reports."""


@with_options(REPORT, GATES, PRICES)
@command.command(
    "report",
    cls=Command,
    example="""
    lll testbench report suite.json --baseline last-week.json
    lll testbench report run.jsonl --threshold 'ttft<1000' -o suite.json
    """,
)
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_context
def report(ctx: click.Context, /, file: Path, **_: object) -> int:
    """Show failed test cases, exceeded limits and regressions of a suite.

    FILE is a report or a saved run; each request of a run is a test case, checked against the thresholds by itself.
    Exit code 3: a test case failed, exceeded a limit, or regressed from the baseline.
    """
    from lens.analysis.gates.regression import parse_tolerance
    from lens.history.write import is_stdout
    from lens.integrations.testbench import regressions

    refuse_alone(ctx, "tolerance", "baseline")
    refuse_alone(ctx, "force", "output")
    tolerance = parse_tolerance(ctx.params["tolerance"])
    found = _read(ctx, file, judged=True)
    if not found.test_cases:
        echo(f"lll: testbench report: no request in {file} was measured", err=True)
        return ExitCode.NOTHING_MEASURED
    before = ctx.params["baseline"]
    earlier = _read(ctx, Path(before), judged=False) if before else None
    worse = regressions(earlier, found, tolerance) if earlier is not None else []
    gone = _gone(earlier, found) if earlier is not None else []
    _print(found, worse, on_stderr=is_stdout(ctx.params["output"]))
    if gone:
        echo(f"lll: {len(gone)} test cases of the baseline are not in it: {', '.join(gone[:MOST_NAMED])}", err=True)
    if ctx.params["output"]:
        _write(found, ctx.params["output"], force=ctx.params["force"])
    return ExitCode.THRESHOLD if found.failed or worse else ExitCode.OK


@with_options(TRENDS, PRICES)
@command.command(
    "trends",
    cls=Command,
    example="""
    lll testbench trends monday.json tuesday.json
    lll testbench trends monday.json tuesday.json --metric total_cost --json
    """,
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.pass_context
def trends(ctx: click.Context, /, files: tuple[Path, ...], **_: object) -> int:
    """Show a metric of each test case across reports, the earliest first."""

    from lens.integrations.testbench import FIGURES, trend

    metric = ctx.params["metric"]
    if metric not in FIGURES:
        raise ConfigError(f"--metric {metric!r}: test cases have {', '.join(FIGURES)}")
    prices = given_options(ctx, ("Output",), but=("as_json",))
    if prices and (metric != "total_cost" or all(map(_is_report, files))):
        raise ConfigError(
            f"testbench trends: {', '.join(prices)} has no effect without --metric total_cost and a run file"
        )
    reports = sorted([_read(ctx, file, judged=False) for file in files], key=lambda one: one.started_at)
    rows = trend(reports, metric)
    if ctx.params["as_json"]:
        told = {"metric": metric, "reports": [one.started_at for one in reports], "test_cases": rows}
        echo_json(told)
        return ExitCode.OK
    for line in _lines(rows, [one.started_at[:16].replace("T", " ") or "?" for one in reports]):
        echo(line)
    return ExitCode.OK


def _read(ctx: click.Context, path: Path, *, judged: bool) -> TestBenchReport:
    """Return a report, or a run as one; judged: with the violations of the gates.

    Raises:
        FileError: it cannot be read, or is neither.
        ConfigError: gates are given for a report, which holds no requests to judge.
    """
    from lens.cli.settings import book_of
    from lens.integrations.testbench import TestBenchReport, report_of
    from lens.metrics.builder import read_table

    gates = gates_said(ctx, saved=True) if judged else ()
    if _is_report(path):
        idle = given_options(ctx, ("Output",), but=("output", "force")) if judged else []
        if idle:
            raise ConfigError(f"{path} is a report, on which {', '.join(idle)} has no effect; give a run file")
        if gates:
            raise ConfigError(
                f"{path} is a report, and was already checked against its limits; give thresholds with a run file"
            )
        return TestBenchReport.read(path)
    table, warnings = read_table(path, book_of(ctx))
    for warning in warnings:
        echo(f"lll: {warning}", err=True)
    name = ctx.params.get("suite") or path.stem
    return report_of(table.measured(), gates, test_suite_id=name, info=table.info)


def _is_report(path: Path) -> bool:
    """Return whether a file begins as a report does; one that cannot be read is told by who reads it."""
    try:
        with path.open("rb") as file:
            return b'"test_suite_id"' in file.read(200)
    except OSError:
        return False


def _gone(before: TestBenchReport, after: TestBenchReport) -> list[str]:
    """Return the test cases of the baseline that are not in a report."""
    here = {case.id for case in after.test_cases}
    return [case.id for case in before.test_cases if case.id not in here]


def _print(found: TestBenchReport, worse: Sequence[Change], *, on_stderr: bool) -> None:
    from lens.cli.page import page_console
    from lens.report.terminal import clean

    console = page_console(on_stderr=on_stderr)
    for line in found.text().splitlines():
        console.print(clean(line), soft_wrap=True)
    for change in worse:
        console.print(f"worse: {clean(str(change))}", soft_wrap=True)


def _write(found: TestBenchReport, output: str, *, force: bool) -> None:
    from lens.history.write import NewFile, is_stdout

    if is_stdout(output):
        click.echo(found.encoded().decode())
        return
    with NewFile(Path(output), force=force) as file:
        file.write(found.encoded())
    echo(f"written      {output}")


def _lines(rows: dict[str, list[float | None]], heads: Sequence[str]) -> list[str]:
    """Return a table: a test case a line, a report a column, and by how much the last differs from the first."""
    from lens.report.terminal import clean, number

    cells: list[list[Any]] = [["", *heads, "change"]]
    for name, values in rows.items():
        known = [value for value in values if value is not None]
        moved = f"{known[-1] / known[0] - 1:+.0%}" if len(known) > 1 and known[0] else "-"
        cells.append([clean(name, 60), *map(number, values), moved])
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]]
        )
        for row in cells
    ]
