"""`lll recover`: the journal of a run that was killed, as a run file or any other export."""

from __future__ import annotations

from pathlib import Path

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.echo import echo
from lens.cli.steps import shown_step
from lens.errors import ExitCode

RECOVER = (
    Option("--output", "-o", group="Output", metavar="FILE",
        help="Where the run goes; its ending names the format (default: the name before .journal.msgpack)."),
    Option("--force", group="Output", is_flag=True, help="Replace a file that exists."),
)  # fmt: skip


@with_options(RECOVER, options.PRICES, options.COMMON[1:])
@click.command(
    cls=Command,
    example="""
    lll recover run.json.journal.msgpack
    lll recover run.json.journal.msgpack -o recovered.html
    """,
)
@click.argument("journal", metavar="FILE")
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Turn the journal of a run that was killed into the file that it would have written.

    A run keeps each request that ended in NAME.journal.msgpack beside its output, and removes that when
    the output is complete. The journal stays; remove it when the run is as you want it.
    """
    from lens.cli.settings import book_of
    from lens.history.write import NewFile, is_stdout
    from lens.run.recover import name_of_run, recover, write_recovered

    journal, book = Path(ctx.params["journal"]), book_of(ctx)
    output = Path(ctx.params["output"]) if ctx.params["output"] else name_of_run(journal)
    with shown_step("reading the journal"):
        run = recover(journal, book)
    for warning in run.warnings:
        echo(f"lll: {journal}: {warning}", err=True)
    numbered = not ctx.params["output"]
    with (
        shown_step(f"writing {len(run.table):,} requests"),
        NewFile(output, force=ctx.params["force"], numbered=numbered) as file,
    ):
        for piece in write_recovered(run, output, book):
            file.write(piece)
    echo(f"recovered    {len(run.table)} requests in {file.path}", err=is_stdout(ctx.params["output"]))
    return ExitCode.OK if len(run.table) else ExitCode.NOTHING_MEASURED
