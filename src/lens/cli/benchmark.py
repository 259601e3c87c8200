"""`lll benchmark`: load on an endpoint, and what came of it in one page."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from lens.cli import options
from lens.cli.command import Command, with_options
from lens.cli.figures import FIGURES, print_definitions
from lens.errors import ExitCode


@with_options(
    options.TARGET,
    options.LOAD,
    options.PROMPT,
    options.CONNECTION,
    FIGURES,
    options.OUTPUT,
    options.UI,
    options.COMMON,
)
@click.command(
    cls=Command,
    example="lll benchmark --provider openai --model gpt-4o-mini -n 100 -c 8 -o run.json",
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
        from lens.cli.dryrun import print_plan

        return print_plan(settings)
    # The engine is loaded when there is something to run.
    from lens.cli.measure import measure, remember_secrets, run_name
    from lens.cli.page import page_console
    from lens.cli.progress import Progress
    from lens.cli.results import Results
    from lens.export.report import print_report
    from lens.profiler import with_simulators

    remember_secrets(settings)
    with with_simulators(settings.config) as config:
        settings = settings._replace(config=config)
        results = Results(settings, run_name(settings, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
        live = settings.ui == "live"
        progress = None if settings.ui == "none" else Progress(live=live, duration_ns=config.load.duration_ns)
        found = measure(settings, results, progress, keep_text=config.output.save_text)
    console = page_console(results)
    print_report(console, found.summary, found.info, results.paths, records=found.records)
    print_definitions(ctx, console, found.records, found.summary)
    if found.exit_code == ExitCode.INTERRUPTED:
        click.echo(f"lll: interrupted ({found.outcome.stopped_by}); what was measured is above", err=True)
    elif found.outcome.over_budget:
        click.echo(f"lll: {found.outcome.over_budget}", err=True)
    if found.trouble:
        click.echo(f"lll: {found.trouble}", err=True)
    return found.exit_code
