"""`lll benchmark`: load on an endpoint, and what came of it in one page."""

from __future__ import annotations

import click

from lens.cli import options
from lens.cli.command import Command, with_options
from lens.cli.figures import FIGURES, print_definitions
from lens.cli.gates import GATES


@with_options(
    options.TARGET,
    options.LOAD,
    options.PROMPT,
    options.CONNECTION,
    FIGURES,
    GATES,
    options.OUTPUT,
    options.UI,
    options.COMMON,
)
@click.command(
    cls=Command,
    example="lll benchmark --provider openai --model gpt-6-luna -n 100 -c 8 -o run.json",
)
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Put load on an endpoint and sum up what came of it.

    Without --rate it is a closed loop: -c requests at a time, -n in all. Ctrl-C ends the run and
    keeps what was measured (exit code 130).
    """
    from lens.cli.settings import settings_of

    settings = settings_of(ctx)
    if ctx.params["dry_run"]:
        from lens.cli.dry_run import print_plan

        return print_plan(settings)
    # The engine is loaded when there is something to run.
    from lens.cli.running import run_and_report

    return run_and_report(settings, lambda console, found: print_definitions(ctx, console, found.table, found.summary))
