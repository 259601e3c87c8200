"""One measurement as a command does it: plan, files, run, summary, and an orderly end on Ctrl-C.

While the run goes on a record is only put aside. What costs time (figures, exports) is done
when nothing is being measured any more, so that the instrument does not disturb itself.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
import trio

from lens.cli.errors import PROGRAM
from lens.cli.progress import Progress
from lens.cli.pushes import push_all
from lens.cli.realtime import RealTime
from lens.cli.remembered import calibrated
from lens.cli.results import Results
from lens.cli.settings import Settings
from lens.errors import ExitCode, FileError
from lens.metrics.summary import Collector, Summary, with_experiments
from lens.model import Record, RunInfo, Status
from lens.orchestrator.engine import Outcome, RunState, run_plan
from lens.orchestrator.plan import Plan, make_plan
from lens.orchestrator.run_info import ended, run_info
from lens.orchestrator.schedule import AUTO
from lens.orchestrator.stop import Stop, stopped_by_signals
from lens.orchestrator.workers.parent import check_workers, run_workers
from lens.run.budget import Spending, gpu_cost
from lens.run.journal import Journal, rescue
from lens.run.slo_search import search, slos_of
from lens.run.stop_rule import Until
from lens.run.warmup import without_cool_down, without_transient
from lens.secrets import mask_secrets, remember_headers


class Measured(NamedTuple):
    """What came of it."""

    info: RunInfo
    records: list[Record]
    summary: Summary
    outcome: Outcome
    trouble: str | None = None  # an output could not be written

    @property
    def exit_code(self) -> int:
        """130 interrupted, 4 stopped by a budget, 1 nothing succeeded, 0 fine."""
        if self.outcome.stopped_by in ("SIGINT", "SIGTERM"):
            return ExitCode.INTERRUPTED
        if self.outcome.over_budget:
            return ExitCode.BUDGET
        if self.trouble:
            return ExitCode.USAGE
        return ExitCode.OK if self.summary.successes else ExitCode.NOTHING_MEASURED


def measure(settings: Settings, results: Results, progress: Progress | None, *, keep_text: bool) -> Measured:
    """Do what the settings say, and write what came of it.

    keep_text: whether answers' texts belong into the files.

    Raises:
        ConfigError: something cannot be asked.
        FileError: an output cannot be opened.
    """
    count_tokens = counter(settings)
    plan = make_plan(settings.config)
    limit = settings.config.load.max_cost_usd
    spending = Spending(plan, settings.book, limit) if limit is not None else None
    if progress and spending:
        progress.spent_nusd = lambda: spending.ceiling.spent_nusd
    info = calibrated(run_info(plan, command=_command()))
    records: list[Record] = []
    trouble: str | None = None
    with ExitStack() as stack:
        stack.enter_context(results)
        results.begin(info)
        journal = Journal(results.paths[0]) if results.paths else None
        run = _Run(plan, spending, progress, RealTime() if settings.config.output.real_time else None, journal, records)
        if journal:
            journal.add(info)
        try:
            outcome = trio.run(run.go)
            if progress:
                progress.close()
            warnings = (*outcome.warnings, *([journal.warning] if journal and journal.warning else []))
            info = ended(info, started_ns=outcome.started_ns, ended_ns=outcome.ended_ns, warnings=warnings)
            info = msgspec.structs.replace(info, worker_clocks=outcome.clocks)
            records.sort(key=lambda record: record.index)
            records[:], cuts = _without_ends(settings, [count_tokens(record) for record in records])
            collector = Collector(settings.book, slos=settings.slos)
            for record in records:
                collector.add(record)
            noted = msgspec.structs.replace(collector.summary(info), notes=(*run.notes, *cuts))
            summary = with_experiments(noted, records)
            if settings.usd_per_gpu_hour is not None:
                spent = gpu_cost(summary.window_s, summary.output_tokens, settings.usd_per_gpu_hour)
                summary = msgspec.structs.replace(summary, gpu_cost=spent)
            trouble = _write(stack, results, info, summary, records if keep_text else map(without_text, records))
        finally:
            if journal:
                journal.close(complete=trouble is None and sys.exception() is None)
    if trouble is not None:
        trouble = f"{trouble}; {_rescued(info, records)}"
    if settings.pushes:
        failures = push_all(settings.pushes, settings.book, info, records)
        trouble = "; ".join([*([trouble] if trouble else []), *failures]) or None
    return Measured(info, records, summary, outcome, trouble)


def _write(
    stack: ExitStack, results: Results, info: RunInfo, summary: Summary, records: Iterable[Record]
) -> str | None:
    """Write all outputs; why that failed, where it did."""
    try:
        for record in records:
            results.add(record)
        results.end(info, summary)
        stack.close()
    except FileError as error:
        stack.__exit__(FileError, error, error.__traceback__)  # what was written stays, as .partial
        return str(error)
    return None


def _without_ends(settings: Settings, records: list[Record]) -> tuple[list[Record], list[str]]:
    """The records with beginning and end marked as left out, where that was asked for, and how many those are."""
    load, notes = settings.config.load, []
    if load.warmup.strip().lower() == AUTO:
        records, cut = without_transient(records)
        notes.append(f"warm-up: the first {cut} requests are not like the rest and are left out of the figures")
    if load.cooldown != "0":
        records, cut = without_cool_down(records, load.cooldown)
        notes.append(f"cool-down: the last {cut} requests are left out of the figures")
    return records, notes


def _rescued(info: RunInfo, records: list[Record]) -> str:
    path = rescue(info, records)
    return f"what was measured is in {path}" if path else "what was measured is above, and cannot be written elsewhere"


class _Run:
    """Who looks on while a plan is run, and what the run's own goals come to."""

    def __init__(
        self,
        plan: Plan,
        spending: Spending | None,
        progress: Progress | None,
        real_time: RealTime | None,
        journal: Journal | None,
        records: list[Record],
    ) -> None:
        self.plan, self.spending, self.progress = plan, spending, progress
        self.real_time, self.journal, self.records = real_time, journal, records
        self.until = Until(plan.config.load.until) if plan.config.load.until else None
        self.notes: tuple[str, ...] = ()
        if _shared(plan):
            check_workers(plan.config)
        slos_of(plan.config.load.search_slo)  # what cannot be searched for is told before anything is sent

    async def go(self) -> Outcome:
        show = self._show if self.progress or self.real_time else None
        async with stopped_by_signals(Stop()) as stop:
            if self.plan.config.load.search_slo:
                outcome, found = await search(self.plan, on_record=self._take, stop=stop, on_progress=show)
                self.notes = (*found.tries, found.says())
                return outcome
            enough = self.until.enough if self.until else None
            if _shared(self.plan):
                share = _sharer(self.plan)
                outcome = await share(self.plan, on_record=self._take, on_progress=show, enough=enough, stop=stop)
            else:
                outcome = await run_plan(
                    self.plan,
                    on_record=self._take,
                    on_progress=show,
                    stop=stop,
                    ceiling=self.spending.ceiling if self.spending else None,
                    worst_nusd=self.spending.worst_nusd if self.spending else None,
                    enough=enough,
                )
            self.notes = (self.until.says(),) if self.until else ()
            return outcome

    def _take(self, record: Record) -> None:
        self.records.append(record)
        if self.until:
            self.until.add(record)
        if self.journal:
            self.journal.add(record)
        if self.progress:
            self.progress.add(record)
        if self.real_time:
            self.real_time.record(record)

    def _show(self, state: RunState) -> None:
        if self.progress:
            self.progress.show(state)
        if self.real_time:
            self.real_time.progress(state)


def _shared(plan: Plan) -> bool:
    """Whether other processes measure, not this one."""
    return plan.config.load.workers > 1 or plan.config.load.engine == "ray"


def _sharer(plan: Plan) -> Callable[..., Awaitable[Outcome]]:
    if plan.config.load.engine != "ray":
        return run_workers
    from lens.orchestrator.workers.ray import run_on_ray

    return run_on_ray


def counter(settings: Settings) -> Callable[[Record], Record]:
    """What counts the tokens that no server counted, where --tokenizer asks for it.

    Raises:
        ConfigError: there is no such tokenizer.
    """
    name = settings.config.output.tokenizer
    if name is None:
        return lambda record: record
    from lens.run.token_counter import counted, load_tokenizer

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
        remember_headers(target.headers)


def _command() -> str:
    """What was typed, without secrets."""
    return mask_secrets(shlex.join([PROGRAM, *sys.argv[1:]]))


def failed(record: Record) -> bool:
    return record.status is not Status.SUCCESS
