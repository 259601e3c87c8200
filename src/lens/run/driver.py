"""Carry out a run: the only place that turns a RunConfig into requests, for every command and the library.

The rule: every field of the configuration is obeyed, or refused with a ConfigError that names it, before anything is
sent. While the run goes on a record is only spooled and handed to the sinks. What costs time (figures, exports) is
done when nothing is being measured any more, so that the instrument does not disturb itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from msgspec.structs import replace

from lens.config.settings import RunConfig
from lens.errors import NO_MEMORY, FileError, LensError, causes, is_out_of_memory
from lens.history.write import is_special
from lens.metrics.buffer import gc_paused
from lens.model import Record, RunInfo
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import Plan, make_plan
from lens.orchestrator.run_info import run_info, with_end
from lens.orchestrator.run_state import OnRecord, Outcome, RunState
from lens.orchestrator.schedule import pattern_of
from lens.orchestrator.sessions.sent import SentPrompts
from lens.orchestrator.shards import check_parts, parse_start_at, share_of, wait_until_near
from lens.orchestrator.stop import DELIVER_S, Stop, ending_signals, stopped_by_signals, unless_stopped
from lens.orchestrator.variants import with_ways
from lens.pricing import PriceBook, standard_book
from lens.pricing.run_prices import packed_prices
from lens.run.budget import CostWarning, Spending
from lens.run.certificate import calibrated
from lens.run.checks import check_config, is_shared
from lens.run.early_end import EarlyEnd
from lens.run.expectations import check_expected, judge_of
from lens.run.journal import Journal, rescue
from lens.run.log import log_outcome, log_plan
from lens.run.notes import ProgressNotes
from lens.run.outputs import Outputs, destinations
from lens.run.pauses import PauseWatch
from lens.run.pushes import push_all, pushes_of_exports
from lens.run.real_time import RealTime
from lens.run.recorded_sessions import recorded_sessions
from lens.run.result import Judging, RunResult
from lens.run.simulators import with_simulators
from lens.run.sink import Sink, wants_progress
from lens.run.token_counter import token_counter
from lens.wire import Prompt

if TYPE_CHECKING:
    from lens.analysis.gates.sla import Gate
    from lens.metrics.goodput import Slo
    from lens.push.push import Push
    from lens.run.stop_rule import Until


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller adds to the configuration of a run."""

    book: PriceBook | None = None  # None: the prices that ship
    slos: tuple[Slo, ...] = ()  # what a request must keep to count as good
    gates: tuple[Gate, ...] | None = None  # None: the thresholds of the configuration
    gates_of_each: bool = False  # hold each request to the gates by itself
    needs_all_targets: bool = False  # exit code 1 also where only one target had no success
    pushes: tuple[Push, ...] | None = None  # None: the exports of the configuration that have an endpoint
    output: str | None = None  # the file of the exports, in place of what the configuration says; "-": standard output
    force: bool = False  # replace files that exist
    keep_text: bool = False  # the result holds the texts of answers, also where files do not
    usd_per_gpu_hour: Decimal | None = None
    journal: Path | None = None  # the spool of a run without files of its own stays beside this until it is over
    command: str = ""  # for the header of the run; without secrets
    prompts: tuple[Prompt, ...] | None = None  # in place of those of the configuration
    enough: Callable[[], bool] | None = None  # nothing more is started once this is true
    end_if_refused: bool = False  # the first answers all refuse the key
    kernel_stamps: bool = True
    signals: bool = False  # SIGINT, SIGTERM and SIGHUP stop the run; only in the main thread


DEFAULTS = RunOptions()


async def run(config: RunConfig, *sinks: Sink, options: RunOptions = DEFAULTS, stop: Stop | None = None) -> RunResult:
    """Carry out a run under trio, write its outputs, and return its result. A run that was stopped says so there.

    Raises:
        ConfigError: a field of the configuration cannot be obeyed; nothing was sent.
        FileError: an output cannot be opened.
        LensError: what a sink raised, or no worker could do its share.
    """
    with with_simulators(with_ways(config)) as hosted:
        run = _DrivenRun(hosted, options, sinks, stop or Stop())
        # Of the objects of a run none is garbage until its outputs are written; the collector would look at each.
        with run.outputs, _spool(run.outputs, options.journal) as journal, gc_paused():
            info = calibrated(run_info(run.plan, command=options.command, prices=run.prices()))
            journal.add(info)
            for sink in run.sinks:
                sink.on_start(info)
            log_plan(run.plan)
            with run.pauses:
                outcome = await run.carry_out(journal)
            log_outcome(outcome, journal_path=journal.path)
            journal.finish()
            warnings = (
                *outcome.warnings,
                *run.pauses.warnings(),
                *([journal.warning] if journal.warning and journal.path else []),
            )
            info = with_end(info, started_ns=outcome.started_ns, ended_ns=outcome.ended_ns, warnings=warnings)
            info = replace(info, stopped_by=outcome.stopped_by, worker_clocks=outcome.clocks)
            result = run.result(info, outcome, journal)
            for sink in run.sinks:
                sink.on_end(result)
            result.paths, result.kept = run.outputs.complete, run.outputs.kept
            if run.outputs.trouble is not None:
                result.trouble = f"{run.outputs.trouble}; {_kept(run.outputs, result, journal)}"
            if run.outputs.trouble is None or run.outputs.kept is not None:
                journal.close(complete=True)
        await run.push(result)
        return result


@contextmanager
def _spool(outputs: Outputs, beside: Path | None) -> Iterator[Journal]:
    """Open the spool of a run; a file beside its outputs stays until they are complete, if it holds a record."""
    journal = Journal(next((path for path in (*outputs.paths, beside) if path and not is_special(path)), None))
    try:
        yield journal
    except BaseException as error:
        journal.close(complete=not journal.count)
        if journal.count and is_out_of_memory(error):
            where = journal.rescue()
            kept = f"in {where}; lll recover turns it into a run" if where else "lost"
            raise FileError(f"{NO_MEMORY}; what was measured is {kept}") from error
        raise
    journal.finish()


def _kept(outputs: Outputs, result: RunResult, journal: Journal) -> str:
    """Return where the run is; it is written elsewhere where no output holds it."""
    if outputs.kept is not None:
        return f"what was measured is in {outputs.kept}"
    try:
        path = rescue(result.info, result.records)
    except MemoryError:
        path = None
    if path is not None:
        return f"what was measured is in {path}"
    if (path := journal.rescue()) is not None:
        return f"what was measured is in {path}; lll recover turns it into a run"
    return "what was measured is above, and cannot be written elsewhere"


class _DrivenRun:
    """A run while it goes on: its plan, what may end it, and the sinks."""

    def __init__(self, config: RunConfig, options: RunOptions, sinks: Sequence[Sink], stop: Stop) -> None:
        """
        Raises:
            ConfigError: a field of the configuration cannot be obeyed.
        """
        self.config, self.options, self.stop = config, options, stop
        load, output = config.load, config.output
        check_config(config)
        self.book = options.book or standard_book()
        self.gates = _gates(config, options)
        self.pushes = pushes_of_exports(output.exports) if options.pushes is None else options.pushes
        start_at_ns = parse_start_at(load.start_at) if load.start_at else None
        self.plan = replace(
            make_plan(config, prompts=options.prompts, read=recorded_sessions(config)), start_at_ns=start_at_ns
        )
        check_parts(share_of(load), self.plan.stages)
        system = config.prompts.system
        self.sent = SentPrompts(self.plan.sessions, system=system) if self.plan.sessions is not None else None
        self.count_tokens = token_counter(config, self.sent.prompt_of if self.sent is not None else self.plan.prompt_of)
        self.judge = judge_of(config.prompts.expect)
        check_expected(config, self.gates, options.slos)
        limit = load.max_cost_usd
        self.spending = Spending(self.plan, self.book, limit) if limit is not None else None
        self.costly = CostWarning(self.book, load.warn_cost_usd) if load.warn_cost_usd is not None else None
        self.until = _stop_rule(load.until) if load.until else None
        self.early = EarlyEnd(load.max_errors, self.gates, slos=options.slos, end_if_refused=options.end_if_refused)
        self.pauses = PauseWatch()
        self.notes: tuple[str, ...] = ()
        self.unkept = False  # an SLO that was searched for is kept at no load, or no try decided it
        single = pattern_of(load) == "single"
        places = destinations(config, options.output)
        self.outputs = Outputs(places, self.book, force=options.force, single=single, save_text=output.save_text)
        # Files are written last: what draws on a terminal is done by then.
        self.sinks = (*sinks, *([RealTime()] if output.real_time else []), self.outputs)

    def prices(self) -> dict[str, Any]:
        """Return the prices that were given for the run, for its header."""
        return packed_prices(self.book.given([target.provider for target in self.config.targets]))

    async def carry_out(self, journal: Journal) -> Outcome:
        """Send everything; records go to the journal and the sinks."""
        self.journal = journal
        if journal.path is not None:
            staged = len(self.plan.stages) > 1
            notes = ProgressNotes(journal, duration_ns=self.config.load.duration_ns, staged=staged)
            self.sinks = (*self.sinks, notes)
        async with self._signals(self.stop):
            if self.plan.start_at_ns is not None:
                await wait_until_near(self.plan.start_at_ns, self.stop)
            if self.config.load.search_slo:
                from lens.run.slo_search import search

                outcome, found = await search(self._plan(), self._measure, on_record=self._take, stop=self.stop)
                self.notes = (found.says(), *found.tries)
                self.unkept = not found.sure or (found.highest is None and found.broken_at is not None)
            else:
                outcome = await self._measure(self._plan(), self._take)
                self.notes = (self.until.says(),) if self.until else ()
        by = outcome.stopped_by
        early = [] if by is None else [f"stopped early ({by}); what had been measured is kept"]
        costly = _if_any(self.costly.warning if self.costly else None)
        return replace(outcome, warnings=(*early, *_if_any(outcome.over_budget), *costly, *outcome.warnings))

    def result(self, info: RunInfo, outcome: Outcome, journal: Journal) -> RunResult:
        """Return the result; its figures are made when they are asked for."""
        options = self.options
        return RunResult(
            info,
            outcome,
            journal,
            load=self.config.load,
            judging=Judging(
                self.book,
                options.slos,
                self.gates,
                options.gates_of_each,
                options.usd_per_gpu_hour,
                self._warn_cost_usd(),
                options.needs_all_targets,
            ),
            notes=self.notes,
            count_tokens=self.count_tokens,
            spent_nusd=self.spending.ceiling.spent_nusd if self.spending else None,
            paths=self.outputs.paths,
            unkept=self.unkept,
        )

    def _warn_cost_usd(self) -> str | None:
        """Return the amount to warn at when all is counted; None where the run has warned."""
        return None if self.costly is None or self.costly.warning else self.config.load.warn_cost_usd

    async def push(self, result: RunResult) -> None:
        """Push to all backends, in a thread; what went wrong is added to the result's trouble."""
        if not self.pushes:
            return
        call = partial(push_all, self.pushes, result.info, result.table, self.book)
        stop, troubles = Stop(), None  # a run that was stopped is pushed all the same, as far as there is time
        async with self._signals(stop):
            with trio.move_on_after(DELIVER_S if result.interrupted else float("inf")):
                troubles = await unless_stopped(stop, partial(trio.to_thread.run_sync, call, abandon_on_cancel=True))
        if troubles is None:
            troubles = [f"pushes were interrupted ({stop.why or self.stop.why}); their receivers may lack the run"]
        result.trouble = "; ".join([*_if_any(result.trouble), *troubles]) or None

    def _plan(self) -> Plan:
        """Return the plan as it is carried out: it keeps texts where the caller wants them."""
        if not self.options.keep_text:
            return self.plan
        config = replace(self.config, output=replace(self.config.output, save_text=True))
        return replace(self.plan, config=config, keep_all=True)

    async def _measure(self, plan: Plan, on_record: OnRecord) -> Outcome:
        """Carry out a plan in this process, or in those that share it."""
        if (judge := self.judge) is not None:
            on_record = partial(_take_judged, on_record, judge)
        on_progress = self._show if self.early.watches_time or any(map(wants_progress, self.sinks)) else None
        if is_shared(self.config.load):
            share = _processes() if self.config.load.engine == "processes" else _ray()

            def take(record: Record) -> None:
                (self._take_warmup if record.warmup else on_record)(record)

            return await share(plan, on_record=take, on_progress=on_progress, enough=self._enough(), stop=self.stop)
        return await run_plan(
            plan,
            on_record=on_record,
            on_warmup=self._take_warmup,
            on_progress=on_progress,
            stop=self.stop,
            ceiling=self.spending.ceiling if self.spending else None,
            worst_nusd=self.spending.worst_nusd if self.spending else None,
            enough=self._enough(),
            share=share_of(self.config.load),
            kernel_stamps=self.options.kernel_stamps,
        )

    def _enough(self) -> Callable[[], bool] | None:
        """Return whether nothing more is to be started; None where nobody wants to say so."""
        rules = [rule for rule in (self.options.enough, self.until.enough if self.until else None) if rule is not None]
        return (lambda: any(rule() for rule in rules)) if rules else None

    @asynccontextmanager
    async def _signals(self, stop: Stop) -> AsyncIterator[None]:
        """Let signals stop the run, if the caller wants that; our errors come out of it unwrapped."""
        if not self.options.signals:
            yield
            return
        try:
            async with stopped_by_signals(stop, *ending_signals()):
                yield
        except BaseExceptionGroup as group:
            found = list(causes(group))
            if all(isinstance(error, LensError) for error in found):
                raise found[0] from None
            raise

    def _take(self, record: Record) -> None:
        record = self.pauses.marked(record)
        if self.until:
            self.until.add(record)
        if self.costly:
            self.costly.add(record)
        if self.sent is not None and self.config.output.tokenizer is not None:
            self.sent.add(record)
        self.journal.add(record)
        why = self.early.add(record) if not self.stop.asked else None
        if why is not None:
            self.stop.ask(why)
        for sink in self.sinks:
            sink.on_record(record)

    def _take_warmup(self, record: Record) -> None:
        if self.costly:
            self.costly.add(record)
        for sink in self.sinks:
            sink.on_warmup(record)

    def _show(self, state: RunState) -> None:
        if self.early.watches_time and not self.stop.asked and (why := self.early.look(state.in_flight)) is not None:
            self.stop.ask(why)
        for sink in self.sinks:
            sink.on_progress(state)


def _gates(config: RunConfig, options: RunOptions) -> tuple[Gate, ...]:
    if options.gates is not None:
        return options.gates
    if not config.thresholds:
        return ()
    from lens.analysis.gates.sla import Gate
    from lens.analysis.gates.thresholds import parse_threshold

    return tuple([Gate(threshold=parse_threshold(text)) for text in config.thresholds])


def _take_judged(on_record: OnRecord, judge: Callable[[Record], Record], record: Record) -> None:
    on_record(judge(record))


def _stop_rule(text: str) -> Until:
    from lens.run.stop_rule import Until

    return Until(text)


def _processes() -> Callable[..., Awaitable[Outcome]]:
    from lens.orchestrator.workers.parent import run_workers

    return run_workers


def _ray() -> Callable[..., Awaitable[Outcome]]:
    from lens.orchestrator.workers.ray import run_on_ray

    return run_on_ray


def _if_any(text: str | None) -> list[str]:
    return [text] if text is not None else []
