"""The result of a run: records, figures, verdicts, and how it ended. Each is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lens.arrays.dispatch import arange_like, np
from lens.config.settings import LoadConfig
from lens.errors import ExitCode
from lens.metrics.builder import is_short, table_of
from lens.metrics.quality_warnings import READ_FROM
from lens.metrics.summarize import summarize
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import Record, RunInfo
from lens.orchestrator.run_state import Outcome
from lens.orchestrator.schedule import AUTO
from lens.pricing import PriceBook
from lens.results.tabular import RunView
from lens.run.budget import cost_warning, gpu_cost
from lens.run.journal import Journal

if TYPE_CHECKING:
    from lens.analysis.gates.sla import Gate, GateResult
    from lens.export.benchmark_summary import BenchmarkSummary
    from lens.metrics.goodput import Slo
    from lens.results.request_metrics import RequestMetrics


class Judging(NamedTuple):
    """What the figures of a run are made with, and what they are held to."""

    book: PriceBook
    slos: tuple[Slo, ...] = ()
    gates: tuple[Gate, ...] = ()
    each: bool = False  # hold each request to the gates by itself
    usd_per_gpu_hour: Decimal | None = None
    warn_cost_usd: str | None = None  # warned of where the cost passes it
    needs_all_targets: bool = False  # a target without a success is as good as none measured


class Finished(NamedTuple):
    """The requests of a run after its post-run steps."""

    table: Table
    notes: tuple[str, ...]  # what the steps found, in words


def finish_table(table: Table, load: LoadConfig) -> Finished:
    """Carry out the post-run steps: sort by number, mark warm-up and cool-down."""
    order = np.argsort(table.column("index"), kind="stable")
    if not np.array_equal(order, arange_like(order)):
        table = table.take(order)
    if not _is_marked(load):
        return Finished(table, ())
    from lens.run.warmup import mark_cooldown, mark_warmup

    notes = []
    if load.warmup.strip().lower() == AUTO:
        table, cut = mark_warmup(table)
        notes.append(f"warm-up: the first {cut} requests are not like the rest and are left out of the figures")
    if load.cooldown != "0":
        table, cut = mark_cooldown(table, load.cooldown)
        notes.append(f"cool-down: the last {cut} requests are left out of the figures")
    return Finished(table, tuple(notes))


def _is_marked(load: LoadConfig) -> bool:
    """Return whether the post-run steps mark requests."""
    return load.warmup.strip().lower() == AUTO or load.cooldown != "0"


class RunResult(RunView):
    """A run that has ended; unpacks as (info, records)."""

    info: RunInfo
    """The header of the run as it is once it has ended."""
    outcome: Outcome
    """How it ended: stopped, or by its spend ceiling."""
    paths: tuple[Path, ...]
    """The files that were written."""

    def __init__(
        self,
        info: RunInfo,
        outcome: Outcome,
        journal: Journal,
        *,
        load: LoadConfig,
        judging: Judging,
        notes: tuple[str, ...] = (),
        count_tokens: Callable[[Record], Record] | None = None,
        spent_nusd: int | None = None,
        paths: tuple[Path, ...] = (),
        unkept: bool = False,
    ) -> None:
        """
        notes: what the run's own goals came to. spent_nusd: nano-dollars under a spend ceiling.
        unkept: an SLO that was searched for is kept at no load, or no try decided it.
        """
        self.unkept = unkept
        self.info, self.outcome, self.spent_nusd, self.paths = info, outcome, spent_nusd, paths
        self.kept: Path | None = None  # a complete file of these that holds every record
        self.trouble: str | None = None  # an output could not be written, or a push failed
        self._journal, self._load, self._judging = journal, load, judging
        self._notes, self._count_tokens = notes, count_tokens

    @cached_property
    def _finished(self) -> Finished:
        if self._count_tokens is not None:
            self._journal, self._count_tokens = self._journal.rewritten(self._count_tokens), None
        return finish_table(self._journal.table(self.info, self._judging.book), self._load)

    @property
    def table(self) -> Table:
        """All requests in the order of their numbers, with tokens counted and warm-up and cool-down marked."""
        return self._finished.table

    @cached_property
    def listed(self) -> Table:
        """The same as `table`; of one short request on lists of Python (see `arrays`), so that numpy is not loaded."""
        only = self._short_request()
        if only is None:
            return self.table
        counted = self._count_tokens(only) if self._count_tokens is not None else only
        return table_of([counted], self.info, self._judging.book, few=True)

    def _short_request(self) -> Record | None:
        """Return the only request, where it is a short one and no post-run step marks it."""
        only = self._journal.only
        return only if only is not None and is_short(only) and not _is_marked(self._load) else None

    @cached_property
    def records(self) -> list[Record]:
        """All requests in the order of their numbers, as `table` has them."""
        return list(self.listed.records())

    @cached_property
    def requests(self) -> list[RequestMetrics]:
        """Each request with its figures as attributes, in the order of `records`."""
        from lens.results.request_metrics import RequestMetrics

        return [RequestMetrics(record, self._judging.book) for record in self.records]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the stop rule, the SLO search, warm-up and cool-down came to, a sentence each."""
        return (*self._notes, *(self._finished.notes if _is_marked(self._load) else ()))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures should know."""
        return self.info.warnings

    @cached_property
    def summary(self) -> Summary:
        """The figures of the run."""
        return self._summarize()

    @cached_property
    def warned(self) -> Summary:
        """The figures; of one short request with the distributions alone that the warnings are read from."""
        return self._summarize(READ_FROM) if self._short_request() is not None else self.summary

    def _summarize(self, metrics: Iterable[str] | None = None) -> Summary:
        """Return the figures with what the run's own goals came to."""
        judging = self._judging
        summary = summarize(self.listed, self.info, slos=judging.slos, metrics=metrics)
        if (costly := cost_warning(summary.total_cost, judging.warn_cost_usd)) is not None:
            summary = msgspec.structs.replace(summary, warnings=(costly, *summary.warnings))
        usd = judging.usd_per_gpu_hour
        cost = {} if usd is None else gpu_cost(summary.window_s, summary.output_tokens, usd)
        return msgspec.structs.replace(summary, notes=self.notes, gpu_cost=cost)

    @cached_property
    def benchmark_summary(self) -> BenchmarkSummary:
        """The same under the names of documents, without the requests."""
        from lens.export.benchmark_summary import benchmark_summary

        return benchmark_summary(self.info, self.summary)

    @cached_property
    def verdicts(self) -> tuple[GateResult, ...]:
        """A verdict on each threshold, in the order in which they were given."""
        gates = self._judging.gates
        if not gates:
            return ()
        from lens.analysis.gates.sla import evaluate_each, evaluate_run

        if self._judging.each:
            return evaluate_each(gates, self.listed)
        return evaluate_run(gates, self.listed, self.summary, slos=self._judging.slos)

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the run."""
        return self.outcome.stopped_by in ("SIGINT", "SIGTERM", "SIGHUP")

    @property
    def ended_by(self) -> str | None:
        """Why the run was ended early, where no signal and no spend ceiling did it."""
        return None if self.interrupted else self.outcome.stopped_by

    def rescue(self) -> Path | None:
        """Return a file that holds what was measured, made if there is none: for who cannot show it.

        One that commands read again where there is one; else another output, which holds figures alone.
        """
        return self.kept or self._journal.rescue() or next(iter(self.paths), None)

    @property
    def exit_code(self) -> int:
        """130 interrupted, 4 ended by the spend ceiling, 2 an output failed, 1 nothing succeeded, 3 a gate, 0 fine.

        Of a comparison also 1 where nothing succeeded of one of the targets.
        """
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.outcome.over_budget:
            return ExitCode.BUDGET
        if self.trouble:
            return ExitCode.USAGE
        if not self.listed.measured().success.any():
            return ExitCode.NOTHING_MEASURED
        early = self.ended_by is not None or self.outcome.incomplete is not None
        lost = self.unkept or early or any(one.failed for one in self.verdicts)
        if lost:
            return ExitCode.THRESHOLD
        return ExitCode.NOTHING_MEASURED if self._judging.needs_all_targets and self._is_one_dead() else ExitCode.OK

    def _is_one_dead(self) -> bool:
        """Return whether no request of some target succeeded: nothing can be compared with it."""
        measured = self.listed.measured()
        alive = set(measured.column("target_index")[measured.success].tolist())
        return len(alive) < len(self.info.targets)
