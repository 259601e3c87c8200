"""`lll profile`: measure one request, phase by phase."""

from __future__ import annotations

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.echo import echo
from lens.cli.endpoint import detected, take_url, tell_hints, url_argument
from lens.cli.gates import GATES
from lens.errors import ExitCode

LINES = (
    Option("--lines", to="prompts.whole", is_flag=True, stands_for=False, group="Prompt",
        help="Read one prompt per line of a text file (default: the whole file is one prompt)."),
)  # fmt: skip


@with_options(options.TARGET, options.PROMPT, LINES, options.CONNECTION, GATES, options.OUTPUT, options.COMMON)
@click.command(
    cls=Command,
    essential=options.ESSENTIAL,
    example="""
    lll profile http://localhost:8000/v1 --input-tokens 1000 --max-tokens 200
    lll profile --provider openai --model gpt-6-luna --prompt "Explain quantum computing"
    lll profile --provider simulator --export json -o profile.json
    """,
)
@url_argument
@click.pass_context
def command(ctx: click.Context, /, url: str | None, **_: object) -> int:
    """Measure one request and show where its time went, phase by phase.

    With a URL, provider, API path and model are detected where no option names them.

    The page goes to standard output; with --export and no --output the export goes there and the page to
    standard error. A failed request is shown and exported too (exit code 1). A text file is one prompt; with
    --lines, and for JSON Lines, CSV or ShareGPT, each prompt is sent once and each request is checked against the
    thresholds (exit code 3).
    """
    # The engine is loaded when there is something to run.
    from lens.cli.page import page_console, text_page
    from lens.cli.running import run_settings, tell_troubles
    from lens.cli.settings import settings_of
    from lens.report.request import print_profile
    from lens.run.outputs import uses_stdout

    given = take_url(ctx, url)
    settings = settings_of(ctx, of_url=given, pattern="single")._replace(ui="none")
    settings = detected(settings) if given else settings
    # The answer's beginning is shown in any case; --save-text decides whether it is written.
    result = run_settings(settings, keep_text=True, gates_of_each=True)
    on_stderr = uses_stdout(settings.config.output, settings.output)
    page = text_page(on_stderr=on_stderr)
    listed = result.listed
    for row, record in enumerate(result.records):
        alone = listed if len(listed) == 1 else listed.take(slice(row, row + 1))  # what it has computed is not again
        print_profile(page, alone, record, result.info, result.warned)
    for path in result.paths:
        echo(f"written      {path}", err=on_stderr)
    if result.verdicts:
        from lens.report.verdicts import print_verdicts

        print_verdicts(page_console(on_stderr=on_stderr), result.verdicts)
    tell_troubles(result)
    tell_hints(settings, result)
    return result.exit_code if len(result.records) or result.outcome.over_budget else ExitCode.INTERRUPTED
