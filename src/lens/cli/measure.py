"""One measurement as a command does it: plan, files, run, summary, and an orderly end on Ctrl-C.

While the run goes on a record is only put aside. What costs time (figures, exports) is done
when nothing is being measured any more, so that the instrument does not disturb itself.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import trio

from lens.cli.errors import PROGRAM, mask, remember_secret
from lens.cli.progress import Progress
from lens.cli.remembered import calibrated
from lens.cli.results import Results
from lens.cli.settings import Settings
from lens.errors import ExitCode
from lens.metrics.summary import Collector, Summary
from lens.model import Record, RunInfo, Status
from lens.orchestrator.circumstances import ended, run_info
from lens.orchestrator.engine import Outcome, run_plan
from lens.orchestrator.plan import Plan, make_plan
from lens.orchestrator.stop import Stop, stopped_by_signals

_SENSITIVE = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)


class Measured(NamedTuple):
    """What came of it."""

    info: RunInfo
    records: list[Record]
    summary: Summary
    outcome: Outcome

    @property
    def exit_code(self) -> int:
        """130 interrupted, 4 stopped by a budget, 1 nothing succeeded, 0 fine."""
        if self.outcome.stopped_by in ("SIGINT", "SIGTERM"):
            return ExitCode.INTERRUPTED
        if self.outcome.over_budget:
            return ExitCode.BUDGET
        return ExitCode.OK if self.summary.successes else ExitCode.NOTHING_MEASURED


def measure(settings: Settings, results: Results, progress: Progress | None, *, keep_text: bool) -> Measured:
    """Do what the settings say, and write what came of it.

    keep_text: whether answers' texts belong into the files.

    Raises:
        ConfigError: something cannot be asked.
    """
    count_tokens = counter(settings)
    plan = make_plan(settings.config)
    info = calibrated(run_info(plan, command=_command()))
    records: list[Record] = []
    with results:
        results.begin(info)
        outcome = trio.run(_run, plan, records.append, progress)
        if progress:
            progress.close()
        info = ended(info, started_ns=outcome.started_ns, ended_ns=outcome.ended_ns, warnings=outcome.warnings)
        records.sort(key=lambda record: record.index)
        collector = Collector(settings.book)
        records = [count_tokens(record) for record in records]
        for record in records:
            collector.add(record)
            results.add(record if keep_text else without_text(record))
        summary = collector.summary(info)
        results.end(info, summary)
    return Measured(info, records, summary, outcome)


async def _run(plan: Plan, take: Callable[[Record], None], progress: Progress | None) -> Outcome:
    async with stopped_by_signals(Stop()) as stop:
        return await run_plan(
            plan,
            on_record=progress.taking(take) if progress else take,
            on_progress=progress.show if progress else None,
            stop=stop,
        )


def counter(settings: Settings) -> Callable[[Record], Record]:
    """What counts the tokens that no server counted, where --tokenizer asks for it.

    Raises:
        ConfigError: there is no such tokenizer.
    """
    name = settings.config.output.tokenizer
    if name is None:
        return lambda record: record
    from lens.tokenizers import counted, load_tokenizer

    by_model = {target.model: load_tokenizer(name, target.model) for target in settings.config.targets}
    any_model = load_tokenizer(name)
    return lambda record: counted(record, by_model.get(record.model, any_model))


def without_text(record: Record) -> Record:
    """The record as it goes into a file when nobody asked for texts."""
    return msgspec.structs.replace(record, text=None, reasoning=None, tool_calls=())


def run_name(settings: Settings, info_time: str) -> str:
    """Name of a run's files: what was measured, and when."""
    target = settings.config.targets[0]
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", f"{target.provider}-{target.model}").strip("-.")
    return f"{plain}-{info_time}"


def remember_secrets(settings: Settings) -> None:
    """Header values that may be keys must not be shown, not even in the command that is recorded."""
    for target in settings.config.targets:
        for name, value in target.headers:
            if _SENSITIVE.search(name):
                remember_secret(value)


def _command() -> str:
    """What was typed, without secrets."""
    return mask(shlex.join([PROGRAM, *sys.argv[1:]]))


def failed(record: Record) -> bool:
    return record.status is not Status.SUCCESS
