"""Run what was typed: settings to the driver, its result to the page, the messages and the exit code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from lens.cli.echo import echo
from lens.cli.endpoint import tell_hints
from lens.cli.errors import PROGRAM
from lens.cli.settings import Settings
from lens.config.secret_settings import remember_settings
from lens.errors import NO_MEMORY, ExitCode, is_out_of_memory
from lens.export.isolated import memory_is_limited
from lens.run import driver
from lens.run.driver import RunOptions
from lens.run.outputs import uses_stdout
from lens.run.result import RunResult
from lens.run.sink import Sink
from lens.secrets import mask_command

if TYPE_CHECKING:
    from rich.console import Console


def run_and_report(settings: Settings, also: Callable[[Console, RunResult], None] | None = None) -> int:
    """Run, write what was asked for, and print the page; `also` prints below it.

    What went wrong goes to stderr. Returns the exit code.

    Raises:
        LensError: nothing could be measured, or written.
    """
    result = run_settings(settings, prepare=lambda found: found.summary)
    try:
        return _report(settings, result, also)
    except (MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        return _tell_unprintable(result)


def _report(settings: Settings, result: RunResult, also: Callable[[Console, RunResult], None] | None) -> int:
    """Print the page and what went wrong; return the exit code."""
    from lens.cli.page import page_console
    from lens.report.run import print_report

    if result.ended_by is not None and not result.summary.successes:
        tell_troubles(result)  # there is nothing to show
        tell_hints(settings, result)
        return result.exit_code
    console = page_console(on_stderr=uses_stdout(settings.config.output, settings.output))
    print_report(console, result.summary, result.info, list(result.paths), table=result.table, verdicts=result.verdicts)
    if also is not None:
        also(console, result)
    tell_troubles(result, "what was measured is above")
    tell_hints(settings, result)
    return result.exit_code


def _tell_unprintable(result: RunResult) -> int:
    """Say that there is no memory for the page, and where what was measured is; return the exit code."""
    tell_troubles(result)
    path = result.rescue()
    where = f"; what was measured is in {path}" if path is not None else ""
    echo(f"{PROGRAM}: the page cannot be printed: {NO_MEMORY}{where}", err=True)
    return ExitCode.USAGE


def run_settings(
    settings: Settings,
    *,
    keep_text: bool = False,
    gates_of_each: bool = False,
    needs_all_targets: bool = False,
    journal: Path | None = None,
    prepare: Callable[[RunResult], object] | None = None,
) -> RunResult:
    """Carry out a run with the progress line that the settings ask for; SIGINT and SIGTERM stop it.

    journal: an output that the command writes itself when the run is over.
    prepare: what is computed of the result before it is shown; the progress says so meanwhile.

    Raises:
        LensError: nothing could be measured, or written.
    """
    remember_secrets(settings)
    load_numpy_if_limited()
    options = RunOptions(
        book=settings.book,
        slos=settings.slos,
        gates=settings.gates,
        gates_of_each=gates_of_each,
        needs_all_targets=needs_all_targets,
        pushes=settings.pushes,
        output=settings.output,
        force=settings.force,
        keep_text=keep_text,
        usd_per_gpu_hour=settings.usd_per_gpu_hour,
        journal=journal,
        command=_command(),
        signals=True,
        end_if_refused=True,
    )
    with _shown_progress(settings) as sinks:
        result = trio.run(partial(driver.run, settings.config, *sinks, options=options))
        if prepare is not None:
            with suppress(MemoryError):  # who shows it is told the same
                prepare(result)
        return result


def load_numpy_if_limited() -> None:
    """Load numpy before a file is opened or a request is sent, where memory is limited: later it could end the run.

    Raises:
        MemoryError: it does not fit.
    """
    if not memory_is_limited():
        return
    try:
        import numpy  # noqa: F401
    except Exception as error:  # of whatever it could not allocate
        raise MemoryError from error


@contextmanager
def _shown_progress(settings: Settings) -> Iterator[Sequence[Sink]]:
    """Yield the progress that the settings ask for, if any; what it draws is wiped at the end."""
    if settings.ui == "none":
        yield ()
        return
    from lens.cli.progress import Progress

    load = settings.config.load
    progress = Progress(live=settings.ui == "live", duration_ns=load.duration_ns, timeout_ns=load.timeout_ns)
    try:
        yield (progress,)
    finally:
        progress.close()


def tell_troubles(result: RunResult, measured: str | None = None) -> None:
    """Say on stderr what ended the run early and what could not be written."""
    interrupted = "; ".join(filter(None, (f"interrupted ({result.outcome.stopped_by})", measured)))
    ended = f"ended early: {result.ended_by}" if result.ended_by else None
    outcome = result.outcome
    lines = (
        interrupted if result.interrupted else None,
        ended,
        outcome.over_budget,
        outcome.incomplete,
        result.trouble,
    )
    for line in lines:
        if line:
            echo(f"{PROGRAM}: {line}", err=True)


def remember_secrets(settings: Settings) -> None:
    """Hide what may be a secret from all that is shown, also from the command that is recorded."""
    remember_settings(settings.config)


def _command() -> str:
    """Return what was typed, without secrets."""
    return shlex.join([PROGRAM, *mask_command(sys.argv[1:])])
