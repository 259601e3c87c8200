"""`lll profile`: one request, and where each millisecond of it went."""

from __future__ import annotations

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.gates import GATES, print_verdicts
from lens.errors import ExitCode

LINES = (
    Option("--lines", to="prompts.whole", is_flag=True, stands_for=False, group="Prompt",
        help="A text file holds one prompt a line; without this it is one prompt."),
)  # fmt: skip


@with_options(options.TARGET, options.PROMPT, LINES, options.CONNECTION, GATES, options.OUTPUT, options.COMMON)
@click.command(
    cls=Command,
    example='lll profile --provider openai --model gpt-6-luna --prompt "Explain quantum computing"',
)
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Measure one request and draw where its time went.

    The page goes to standard output; with --export and no --output the export does, and the
    page goes to standard error. A request that fails is shown and exported too (exit code 1). A text
    file is one prompt; with --lines, and of JSON Lines, CSV or ShareGPT, each prompt is asked once and
    held to the gates by itself (exit code 3).
    """
    # The engine is loaded when there is something to run.
    from lens.cli.page import page_console
    from lens.cli.running import run_settings, tell_troubles
    from lens.cli.settings import settings_of
    from lens.report.request import print_profile
    from lens.run.outputs import uses_stdout

    settings = settings_of(ctx, pattern="single")._replace(ui="none")
    # The answer's beginning is shown in any case; --save-text decides whether it is written.
    result = run_settings(settings, keep_text=True, gates_of_each=True)
    on_stderr = uses_stdout(settings.config.output, settings.output)
    console = page_console(on_stderr=on_stderr)
    for row, record in enumerate(result.records):
        print_profile(console, result.listed.take(slice(row, row + 1)), record, result.info, result.warned)
    for path in result.paths:
        click.echo(f"written      {path}", err=on_stderr)
    if result.verdicts:
        print_verdicts(console, result.verdicts)
    tell_troubles(result)
    return result.exit_code if len(result.records) or result.outcome.over_budget else ExitCode.INTERRUPTED
