"""`--dry-run`: the plan as JSON, with a quote; nothing is sent and no secret is shown."""

from __future__ import annotations

import click
import msgspec

from lens.cli.settings import Settings
from lens.errors import ExitCode
from lens.orchestrator.plan import SIMULATOR, make_plan
from lens.run.budget import quote
from lens.run.dry_run import described


def print_plan(settings: Settings) -> int:
    """Plan, print, end.

    Raises:
        ConfigError: something cannot be asked.
    """
    # The embedded simulator has no address before it is started; any will do to look at the plan.
    targets = tuple(
        msgspec.structs.replace(target, base_url="http://127.0.0.1:1/v1")
        if target.provider == SIMULATOR and target.base_url is None
        else target
        for target in settings.config.targets
    )
    plan = make_plan(msgspec.structs.replace(settings.config, targets=targets))
    told = {**described(plan), "cost": quote(plan, settings.book)}
    click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
    return ExitCode.OK
