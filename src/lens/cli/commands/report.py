"""`lll report`: run files as one page of HTML, to look at, to print, to send on.

The files are read and the page is made before the output is opened, so that a bad file
leaves nothing half-written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.echo import echo
from lens.cli.saved_runs import saved_runs
from lens.cli.steps import shown_steps
from lens.errors import ConfigError, ExitCode

REPORT = (
    Option("--output", "-o", group="Output", metavar="FILE",
        help="Output file; - is standard output (default: the run's name, or report.html for several)."),
    Option("--force", group="Output", is_flag=True, help="Overwrite an existing file."),
    Option("--title", group="Output", metavar="TEXT", help="Title of the page (default: what was measured)."),
)  # fmt: skip


@with_options(REPORT, options.PRICES, options.COMMON[1:])
@click.command(
    cls=Command,
    example="""
    lll report run.jsonl
    lll report before.jsonl after.jsonl -o report.html --title "Release 2.1"
    """,
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Write saved runs as one self-contained HTML page.

    A run is a file of --export jsonl, msgpack or json. Several runs are overlaid and compared with the first. The
    page loads nothing from the network, works in light and dark mode, and prints.
    """
    from lens.cli.settings import book_of
    from lens.history.write import NewFile, is_stdout
    from lens.metrics.builder import read_table
    from lens.report.html.document import MOST_RUNS, default_name, report_page
    from lens.report.html.series import Source

    paths = saved_runs(ctx.params["runs"])
    if len(paths) > MOST_RUNS:
        raise ConfigError(f"report: {len(paths)} runs are too many to tell apart on a page; name up to {MOST_RUNS}")
    output = ctx.params["output"] or default_name(paths)
    book = book_of(ctx)
    sources = []
    with shown_steps() as steps:
        for path in paths:
            table, warnings = read_table(path, book, on_progress=steps.reading)
            sources.append(Source(path.name, table, table.info, warnings))
        steps.computing()
        page = report_page(sources, ctx.params["title"])
    for source in sources:
        for warning in source.warnings:
            echo(f"lll: {source.name}: {warning}", err=True)
    if is_stdout(output):
        sys.stdout.buffer.write(page)
    else:
        with NewFile(Path(output), force=ctx.params["force"]) as file:
            file.write(page)
        echo(f"written      {output}")
    if not any(len(source.table) for source in sources):
        echo("lll: report: no request was measured in these runs", err=True)
        return ExitCode.NOTHING_MEASURED
    return ExitCode.OK
