"""`lll profile`: one request, and where each millisecond of it went."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from lens.cli import options
from lens.cli.command import Command, with_options
from lens.cli.gates import GATES, report_gates, worse
from lens.errors import ExitCode


@with_options(options.TARGET, options.PROMPT, options.CONNECTION, GATES, options.OUTPUT, options.COMMON)
@click.command(
    cls=Command,
    example='lll profile --provider openai --model gpt-4o-mini --prompt "Explain quantum computing"',
)
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Measure one request and draw where its time went.

    The page goes to standard output; with --export and no --output the export does, and the
    page goes to standard error. A request that fails is shown and exported too (exit code 1). Of a
    --test-file each prompt is asked once, and held to the gates by itself (exit code 3).
    """
    from lens.cli.settings import settings_of

    settings = settings_of(ctx, pattern="single")
    # The engine is loaded when there is something to run.
    from lens.cli.measure import measure, remember_secrets, run_name
    from lens.cli.page import page_console
    from lens.cli.results import Results
    from lens.metrics.builder import table_of
    from lens.profiler import with_simulators
    from lens.report.request import print_profile

    remember_secrets(settings)
    keep_text = settings.config.output.save_text
    # The answer's beginning is shown in any case; --save-text decides whether it is written.
    shown = msgspec.structs.replace(settings.config.output, save_text=True)
    with with_simulators(msgspec.structs.replace(settings.config, output=shown)) as config:
        settings = settings._replace(config=config)
        name = run_name(settings, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        results = Results(settings, name, single=True)
        found = measure(settings, results, None, keep_text=keep_text)
    console = page_console(results)
    for record in found.records:
        print_profile(console, table_of([record], found.info, settings.book), record, found.info, found.summary)
    for path in results.paths:
        click.echo(f"written      {path}", err=results.on_stdout)
    table = table_of(found.records, found.info, settings.book)
    gate = report_gates(console, settings.gates, table, found.summary, each=True)
    if found.trouble:
        click.echo(f"lll: {found.trouble}", err=True)
    return worse(found.exit_code if found.records else ExitCode.INTERRUPTED, gate)
