"""`lll benchmark`: load an endpoint and summarize the results on one page."""

from __future__ import annotations

import click

from lens.cli import options
from lens.cli.command import Command, with_options
from lens.cli.endpoint import detected, take_url, url_argument
from lens.cli.figures import FIGURES, print_definitions
from lens.cli.gates import GATES


@with_options(
    options.TARGET,
    options.LOAD,
    options.PROMPT,
    options.SESSIONS,
    options.CONNECTION,
    FIGURES,
    GATES,
    options.OUTPUT,
    options.UI,
    options.COMMON,
)
@click.command(
    cls=Command,
    essential=options.ESSENTIAL | {"sessions"},
    example="""
    lll benchmark --provider openai --model gpt-6-luna -n 100 -c 8 -o run.json
    lll benchmark http://localhost:8000/v1 --rate 10 --duration 60s
    lll benchmark --provider simulator -n 100 -c 8 --threshold 'ttft_p95<1000'
    """,
)
@url_argument
@click.pass_context
def command(ctx: click.Context, /, url: str | None, **_: object) -> int:
    """Load an endpoint and summarize latency, throughput, errors and cost.

    Closed loop by default: -n requests, -c in flight. With --rate it is an open loop: requests start at that
    rate, whether or not earlier ones have ended. Ctrl-C ends the run and keeps the results (exit code 130).
    With a URL, provider, API path and model are detected where no option names them.
    """
    from lens.cli.settings import settings_of

    given = take_url(ctx, url)
    settings = settings_of(ctx, of_url=given)
    settings = detected(settings) if given else settings
    if ctx.params["dry_run"]:
        from lens.cli.dry_run import print_plan

        return print_plan(settings)
    # The engine is loaded when there is something to run.
    from lens.cli.running import run_and_report

    return run_and_report(settings, lambda console, found: print_definitions(ctx, console, found.table, found.summary))
