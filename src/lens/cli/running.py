"""A load from its settings to its page: what every command that measures a load does alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from lens.cli.gates import report_gates, worse
from lens.cli.measure import Measured, measure, remember_secrets, run_name
from lens.cli.page import page_console
from lens.cli.progress import Progress
from lens.cli.results import Results
from lens.cli.settings import Settings
from lens.errors import ExitCode
from lens.metrics.builder import table_of
from lens.profiler import with_simulators
from lens.report.run import print_report

if TYPE_CHECKING:
    from rich.console import Console


def run_and_report(settings: Settings, also: Callable[[Console, Measured], None] | None = None) -> int:
    """Measure, write what was asked for, and print the page; `also` prints below it. Then the gates are held.

    What went wrong goes to stderr. Returns the exit code.

    Raises:
        LensError: nothing could be measured, or written.
    """
    remember_secrets(settings)
    with with_simulators(settings.config) as config:
        settings = settings._replace(config=config)
        results = Results(settings, run_name(settings, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
        live = settings.ui == "live"
        progress = None if settings.ui == "none" else Progress(live=live, duration_ns=config.load.duration_ns)
        found = measure(settings, results, progress, keep_text=config.output.save_text)
    console = page_console(results)
    print_report(
        console, found.summary, found.info, results.paths, table=table_of(found.records, found.info, settings.book)
    )
    if also is not None:
        also(console, found)
    table = table_of(found.records, found.info, settings.book)
    gate = report_gates(console, settings.gates, table, found.summary, slos=settings.slos)
    if found.exit_code == ExitCode.INTERRUPTED:
        click.echo(f"lll: interrupted ({found.outcome.stopped_by}); what was measured is above", err=True)
    elif found.outcome.over_budget:
        click.echo(f"lll: {found.outcome.over_budget}", err=True)
    if found.trouble:
        click.echo(f"lll: {found.trouble}", err=True)
    return worse(found.exit_code, gate)
