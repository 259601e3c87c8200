"""Runs a Plan: one trio task a request, and a Record for every request that was begun.

The rule: whatever happens to a request (refused, cut off, cancelled, not understood) it ends in a
Record with what had been measured. In a closed loop the next request waits for an answer; in an open
loop nothing waits for answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import trio

from lens._core.clock import now_ns
from lens.errors import NO_MEMORY, BudgetError, LensError, ProtocolError, TransportError
from lens.model import Record, Status, Try
from lens.orchestrator.collect import AnswerWarnings, try_of
from lens.orchestrator.gc_control import GarbageWatch, gc_disabled
from lens.orchestrator.limits import LimitsSeen, SpendCeiling
from lens.orchestrator.pacing import Starts
from lens.orchestrator.plan import Plan, Slot
from lens.orchestrator.plan_target import PlanTarget
from lens.orchestrator.recorder import Recorder
from lens.orchestrator.request_log import log_answer, log_outcome, log_request, log_retry
from lens.orchestrator.retry import retry_wait_ns
from lens.orchestrator.run_state import OnRecord, Outcome, RunState
from lens.orchestrator.schedule import Stage, times_ns
from lens.orchestrator.sessions.runner import SessionRunner
from lens.orchestrator.sessions.session import SessionsCut
from lens.orchestrator.shards import ALONE, Share, monotonic_of
from lens.orchestrator.stop import Stop
from lens.orchestrator.throttle import AdaptiveThrottle
from lens.transport.exchange_builder import ExchangeBuilder
from lens.transport.head import load_parser
from lens.transport.http1 import perform
from lens.transport.pool import Pool, open_pool
from lens.transport.tls import load_tls_context
from lens.units import NS_PER_MS, NS_PER_S
from lens.wire import Exchange, Reading, WireRequest

# An open-loop stage begins this long after it was set up, so that its first start is not late.
LEAD_NS = 5 * NS_PER_MS
# How often progress is reported.
TICK_S = 0.1
# The back-off of a request that fails at the end of its stage may last so long; what a server asks for is longer.
RETRIES_AFTER_END_NS = 2 * NS_PER_S
# A closed loop that is ended only by time waits this long after a request that got no answer at all,
# so that a dead server does not fill a file with refusals.
AFTER_REFUSAL_S = 0.05


async def run_plan(
    plan: Plan,
    *,
    on_record: OnRecord,
    on_warmup: OnRecord | None = None,
    on_progress: Callable[[RunState], None] | None = None,
    stop: Stop | None = None,
    ceiling: SpendCeiling | None = None,
    worst_nusd: Callable[[Slot], int] | None = None,
    enough: Callable[[], bool] | None = None,
    share: Share = ALONE,
    on_stage: Callable[[], Awaitable[int]] | None = None,
    kernel_stamps: bool = True,
    fallback: bool = False,
) -> Outcome:
    """Carry out `plan`, calling on_record for each request as it ends.

    Warm-up requests go to on_warmup. When `enough` says so, nothing more is started. With a ceiling,
    `worst_nusd` says what a request may cost at most. Of several workers each has its `share`; before
    each stage, on_stage waits until all are there and gives the instant at which they begin it.

    Raises:
        ConfigError: a request cannot be written, or a certificate file cannot be used.
        LensError: what on_record raised, once everything under way has ended.
    """
    stop = stop or Stop()
    with gc_disabled() as garbage:
        async with open_pool(kernel_stamps=kernel_stamps, fallback=fallback) as pool:
            run = _PlanRun(plan, pool, stop, garbage, on_record, on_warmup)
            run.ceiling, run.worst_nusd, run.enough = ceiling, worst_nusd, enough
            run.share, run.on_stage = share, on_stage
            if plan.sessions is not None:
                run.sessions = SessionRunner(
                    plan, plan.sessions, share, send=run.request, begin=run.begin, over=lambda: run.over
                )
            run.state.total = plan.requests_of_share(share)
            async with trio.open_nursery() as beside:
                if on_progress is not None:
                    beside.start_soon(_report_progress, run.state, on_progress)
                await run.all_stages()
                beside.cancel_scope.cancel()
    if on_progress is not None:
        on_progress(run.state)
    if run.broken is not None:
        raise run.broken
    return run.outcome()


class _PlanRun:
    """One plan while it is carried out: what its tasks share."""

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        stop: Stop,
        garbage: GarbageWatch,
        on_record: OnRecord,
        on_warmup: OnRecord | None,
    ) -> None:
        self.plan, self.pool, self.stop, self.garbage = plan, pool, stop, garbage
        self.state = RunState(None)
        self.recorder = Recorder(plan)
        self.limits = LimitsSeen()
        self.answers = AnswerWarnings()
        self.ceiling: SpendCeiling | None = None
        self.worst_nusd: Callable[[Slot], int] | None = None
        self.enough: Callable[[], bool] | None = None
        self.share = ALONE
        self.on_stage: Callable[[], Awaitable[int]] | None = None
        self.throttle = AdaptiveThrottle() if plan.config.load.adaptive else None
        self.end_ns: int | None = None  # of the stage: nothing that a rate limit holds back is sent after it
        self.sessions: SessionRunner | None = None
        self.broken: Exception | None = None  # ends the run, and is raised when everything has ended
        self.over_budget: str | None = None
        self._on_record, self._on_warmup = on_record, on_warmup

    async def all_stages(self) -> None:
        """Stage after stage; when asked to stop, what is under way is cancelled and recorded."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_asked, nursery.cancel_scope)
            if self.sessions is not None:
                nursery.start_soon(self.sessions.due.run)
            try:
                self._prepare()
                await self._warm()
            except LensError as error:
                self._break(error)
            self.state.started_ns = now_ns()
            for stage in self.plan.stages:
                if self.over:
                    break
                self.state.stage = stage
                if stage.pause_ns:
                    await trio.sleep(stage.pause_ns / NS_PER_S)
                start_ns = await self._stage_start()
                if start_ns is not None and not self.state.begun:
                    self.state.started_ns = start_ns
                await (self._open_loop(stage, start_ns) if stage.open_loop else self._closed_loop(stage, start_ns))
            nursery.cancel_scope.cancel()

    async def _stage_start(self) -> int | None:
        """Return the instant at which the next stage begins; None: now."""
        if self.on_stage is not None:
            return await self.on_stage()
        at_ns = self.plan.start_at_ns
        return monotonic_of(at_ns) if at_ns is not None and self.state.stage is self.plan.stages[0] else None

    async def _cancel_when_asked(self, scope: trio.CancelScope) -> None:
        await self.stop.wait()
        scope.cancel()

    def _prepare(self) -> None:
        """Make what requests share before the first, so that none of them pays for it within its stamps.

        Certificates alone take 30 ms to load, and what reads unusual heads 10 ms: one request rarely needs that, and
        its stamps are the kernel's where they can be.
        """
        if self.state.total != 1 or not self.pool.loop.kernel_stamps:
            load_parser()
        for target, requests in zip(self.plan.targets, self.plan.requests, strict=True):
            if target.endpoint.scheme == "https":
                load_tls_context(target.endpoint)
            self.pool.heads.render(requests[0], target.endpoint.authority, target.endpoint.relay)
            self.pool.signal_set(requests[0].signals)

    async def _warm(self) -> None:
        """Connections ahead of the first request. Where that fails, the requests themselves will tell."""
        connections = self.share.part(self.plan.warm_connections)
        if not connections:
            return
        self.state.opening = connections
        for endpoint in {target.endpoint for target in self.plan.targets}:
            try:
                await self.pool.warm(endpoint, connections, self.plan.timeouts)
            except (TransportError, ProtocolError):
                continue
        self.state.opening = 0

    async def _closed_loop(self, stage: Stage, start_ns: int | None) -> None:
        if start_ns is not None:
            await trio.sleep(max(start_ns - now_ns(), 0) / NS_PER_S)
        until = self.end_ns = now_ns() + stage.duration_ns if stage.duration_ns is not None else None
        left = self.share.expected(stage)

        async def worker() -> None:
            nonlocal left
            while not self.over and (until is None or now_ns() < until):
                if self.throttle is not None and not await self.throttle.wait(until):
                    return
                if left is not None:
                    if left == 0:
                        break
                    left -= 1
                record = await self._carry_out(self._slot(stage))
                if until is not None and record is not None and record.stamps.first_byte is None:
                    await trio.sleep(AFTER_REFUSAL_S)
                # A refusal may wait for nothing: others have their turn all the same. And a server that closes its
                # connection behind an answer is more often seen to before the next request.
                await trio.lowlevel.checkpoint()
            if self.sessions is not None:
                self.sessions.lane_free = True

        at_a_time = self.share.part(stage.concurrency or 1)
        async with trio.open_nursery() as nursery:
            for _ in range(at_a_time if left is None else min(at_a_time, left)):
                nursery.start_soon(worker)

    async def _open_loop(self, stage: Stage, start_ns: int | None) -> None:
        planned = times_ns(stage)[self.share.worker :: self.share.of]
        zero = start_ns if start_ns is not None else now_ns() + LEAD_NS
        self.end_ns = zero + stage.duration_ns if stage.duration_ns is not None else None
        places = trio.CapacityLimiter(self.share.part(stage.limit)) if stage.limit is not None else None
        with Starts(planned + zero) as starts:
            async with trio.open_nursery() as nursery:
                while not self.over and (batch := await starts.next()) is not None:
                    for i in batch:
                        offset = int(planned[i])
                        warmup = offset < stage.warmup_ns
                        slot = self._slot(stage, zero + offset, warmup=warmup)
                        nursery.start_soon(self._carry_out if places is None else partial(self._wait_for, places), slot)

    async def _wait_for(self, places: trio.CapacityLimiter, slot: Slot) -> None:
        """Send a request once there is a place for it; its latency from the schedule contains the wait."""
        async with places:
            if not self.over:
                await self._carry_out(slot)
            elif self.sessions is None:
                self.state.begun -= 1

    @property
    def over(self) -> bool:
        """Nothing more is to be started."""
        return self.stop.asked or self.over_budget is not None or (self.enough is not None and self.enough())

    def _slot(self, stage: Stage, intended_ns: int | None = None, *, warmup: bool = False) -> Slot:
        """Return the next place in the schedule: of a request, or of a session."""
        number = self.sessions.begin() if self.sessions is not None else self.begin()
        return self.plan.slot(number, stage, intended_ns, warmup=warmup)

    def _carry_out(self, slot: Slot) -> Coroutine[Any, Any, Record | None]:
        """Send what the schedule has at this place; its last record is awaited."""
        return self.request(slot) if self.sessions is None else self.sessions.carry_out(slot)

    def begin(self) -> int:
        """Return the number of the next request, among those of all workers."""
        self.state.begun += 1
        return (self.state.begun - 1) * self.share.of + self.share.worker

    async def request(self, slot: Slot, on_reading: Callable[[Reading], None] | None = None) -> Record | None:
        """Send one request with its retries; return its Record, None when the budget did not allow it.

        on_reading: takes what each attempt's answer means.
        """
        worst = self.worst_nusd(slot) if self.worst_nusd is not None else 0
        if not self._affordable(worst):
            self.state.begun -= 1
            return None
        target, request = self.plan.targets[slot.target], self.plan.request_of(slot)
        tries: tuple[Try, ...] = ()
        record: Record | None = None
        builder = ExchangeBuilder()
        try:
            while True:
                if self.throttle is not None and not await self.throttle.wait(self.end_ns):
                    if record is None:
                        self._give_up(worst)
                        return None
                    break
                if record is not None:
                    record, builder = None, ExchangeBuilder()
                log_request(slot.index, request, target.endpoint.label, target.key.reveal() if target.key else None)
                exchange = await self._attempt(slot, target, request, builder)
                log_answer(slot.index, exchange)
                record = await self.recorder.record(slot, target, request, exchange, tries, on_reading)
                wait_ns = None if self.over else retry_wait_ns(self.plan.retry, record, len(tries))
                if wait_ns is None or self._comes_too_late(wait_ns):
                    break
                log_retry(record, wait_ns)
                await trio.sleep(wait_ns / NS_PER_S)
                tries = (*tries, try_of(record, wait_ns))
        except trio.Cancelled:
            why = f"stopped ({self.stop.why or 'cancelled'})"
            category = "interrupted" if self.stop.asked else "cancelled"
            cut = partial(self.recorder.record_cut, slot, target, request, builder, tries, why=why, category=category)
            self._hand_out(record or cut(), worst)
            raise
        except LensError as error:
            self._break(error)
            return None
        except MemoryError:  # costs this request what it has not been given yet, and no other anything
            bare = builder.build_without_events(NO_MEMORY)
            record = await self.recorder.record(slot, target, request, bare, tries)
        self._hand_out(record, worst)
        return record

    def _comes_too_late(self, wait_ns: int) -> bool:
        """Return whether a retry would come after the end of its stage; under adaptive throttling none may."""
        if self.end_ns is None:
            return False
        return now_ns() + wait_ns >= self.end_ns + (RETRIES_AFTER_END_NS if self.throttle is None else 0)

    def _give_up(self, worst_nusd: int) -> None:
        """Record a request that a rate limit held back until its stage was over; it is not sent."""
        self.state.begun -= 1
        if self.throttle is not None:
            self.throttle.unsent += 1
        if self.ceiling is not None:
            self.ceiling.release(worst_nusd)

    def _attempt(
        self, slot: Slot, target: PlanTarget, request: WireRequest, builder: ExchangeBuilder
    ) -> Coroutine[Any, Any, Exchange]:
        return perform(
            self.pool,
            target.endpoint,
            request,
            timeouts=self.plan.timeouts,
            limits=self.plan.limits,
            intended_ns=slot.intended_ns,  # of a retry too: figures from the schedule hold what was waited
            fresh=slot.fresh,
            keep_all=self.plan.keep_all or self.plan.is_live,
            builder=builder,
        )

    def _affordable(self, worst_nusd: int) -> bool:
        if self.ceiling is None:
            return True
        if self.over_budget is not None:
            return False
        try:
            self.ceiling.reserve(worst_nusd)
        except BudgetError as error:
            self.over_budget = str(error)
            return False
        return True

    def _hand_out(self, record: Record, worst_nusd: int) -> None:
        """Count a request that is over, learn from it, give it away."""
        log_outcome(record)
        self.state.done += 1
        self.state.failed += record.status not in (Status.SUCCESS, Status.CANCELLED)
        self.limits.add(record)
        self.answers.add(record)
        if self.throttle is not None:
            self.throttle.observe(record, now_ns())
        if self.ceiling is not None:
            self.ceiling.settle(worst_nusd, record)
            self.state.spent_nusd = self.ceiling.spent_nusd
        taker = self._on_warmup if record.warmup else self._on_record
        self.state.warmup_done += record.warmup
        if taker is not None and self.broken is None:
            try:
                taker(record)
            except Exception as error:
                self._break(error)
        self.garbage.look()

    def _break(self, error: Exception) -> None:
        """End the run; the first error is the one that is raised."""
        self.broken = self.broken or error
        self.stop.ask(str(error))

    def outcome(self) -> Outcome:
        held = self.throttle.warnings() if self.throttle is not None else ()
        # Of several workers, whoever has all their records says what limits they met.
        cut = self.sessions.cut if self.sessions is not None else SessionsCut()
        seen = (*self.limits.warnings(), *self.answers.warnings(), *cut.warnings()) if self.share.of == 1 else ()
        return Outcome(
            started_ns=self.state.started_ns,
            ended_ns=now_ns(),
            requests=self.state.done,
            stopped_by=self.stop.why,
            over_budget=self.over_budget,
            warnings=(*self.plan.warnings, *seen, *held, *self.garbage.warnings()),
            cut=cut,
        )


async def _report_progress(state: RunState, on_progress: Callable[[RunState], None]) -> None:
    while True:
        on_progress(state)
        await trio.sleep(TICK_S)
