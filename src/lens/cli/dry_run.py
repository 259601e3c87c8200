"""Print what a run would do (`--dry-run`); loads nothing that only a run needs."""

from __future__ import annotations

from lens.cli.echo import echo_json
from lens.cli.settings import Settings
from lens.errors import ExitCode
from lens.run.dry_run import dry_run


def print_plan(settings: Settings) -> int:
    """Print the schedule and the estimated cost as JSON; nothing is sent and no secret is shown.

    Raises:
        ConfigError: something cannot be measured.
    """
    plan = dry_run(settings.config, settings.book)
    echo_json(plan)
    return ExitCode.OK
