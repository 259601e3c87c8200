"""Several workers, each with its own process, loop and core, as one run: one start, one stream of records.

A worker is reached by a Link; processes of this machine are linked by pipes, those of a Ray cluster by
actors. Before each stage all workers are waited for, and all begin it at one instant. A worker that dies
takes with it only what it had not handed back; the rest is kept and its death is told.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import trio

from lens._core.clock import now_ns
from lens.clocks import WorkerClock
from lens.errors import LensError
from lens.model import Record, Status
from lens.orchestrator.collect import AnswerWarnings
from lens.orchestrator.limits import LimitsSeen
from lens.orchestrator.plan import Plan
from lens.orchestrator.run_state import OnRecord, Outcome, RunState
from lens.orchestrator.sessions.session import SessionsCut
from lens.orchestrator.shards import Share, monotonic_of, share_of
from lens.orchestrator.stop import Stop
from lens.orchestrator.workers import messages as handover
from lens.units import NS_PER_MS

# A stage begins this long after the last worker was ready for it.
LEAD_NS = 100 * NS_PER_MS
# What is under way has so long to end when a run is stopped; then its workers are left.
DRAIN_S = 10
# One that neither says nor does anything for so long meanwhile is frozen: it is waited for no longer.
FROZEN_S = 1.0
READ_BYTES = 1 << 18
_PROCESSOR_TIMES = slice(11, 13)  # of the fields behind the name in /proc/PID/stat
TICK_S = 0.1


class Link(Protocol):
    """The way to one worker."""

    lead_ns: int  # what is said to it needs so long at most to get there
    cpu: int | None  # the core that is its own

    async def send(self, data: bytes) -> None:
        """Send an order; nothing happens when the worker is gone."""

    async def receive(self) -> bytes:
        """Some bytes; none at the end."""

    async def end(self) -> str | None:
        """Return how it ended, once it has said all; None: as it should."""

    def is_moving(self) -> bool:
        """Return whether it does anything, or has since it was last asked; also where that cannot be seen."""

    def to_theirs(self, at_ns: int) -> int:
        """Return an instant of our clock on its clock."""

    def to_ours(self, record: Record) -> Record:
        """Its record by our clock."""

    def clock(self) -> WorkerClock | None:
        """Return how its clock and ours are related; None where they are one."""


class _Worker:
    """One worker and what it did."""

    def __init__(self, share: Share, link: Link) -> None:
        self.share, self.link = share, link
        self.ready = False  # for the next stage
        self.ended = False
        self.how: str | None = None  # it ended, where that is not as it should
        self.begun = 0
        self.received = 0
        self.moved_s = 0.0  # when it last showed that it does something
        self.outcome: Outcome | None = None
        self.error: str | None = None


async def run_shared(
    plan: Plan,
    links: Sequence[Link],
    *,
    on_record: OnRecord,
    on_progress: Callable[[RunState], None] | None = None,
    enough: Callable[[], bool] | None = None,
    stop: Stop,
) -> Outcome:
    """Run `plan` in workers that wait for their orders.

    Raises:
        LensError: what no worker could do, or what on_record raised.
    """
    run = _SharedRun(plan, links, stop, on_record)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.drain, nursery.cancel_scope)
        if on_progress is not None:
            nursery.start_soon(run.tell, on_progress)
        if enough is not None:
            nursery.start_soon(run.end_when, enough)
        async with trio.open_nursery() as listeners:
            for worker in run.workers:
                listeners.start_soon(run.listen, worker)
        nursery.cancel_scope.cancel()
    if on_progress is not None:
        on_progress(run.state)
    if run.broken is not None:
        raise run.broken
    return run.outcome()


class _SharedRun:
    """What the tasks around several workers share."""

    def __init__(self, plan: Plan, links: Sequence[Link], stop: Stop, on_record: OnRecord) -> None:
        self.plan, self.stop, self.on_record = plan, stop, on_record
        ours = share_of(plan.config.load)
        self.workers = [_Worker(ours.share(number, len(links)), link) for number, link in enumerate(links)]
        self.state = RunState(plan.requests_of_share(ours))
        self.limits = LimitsSeen()
        self.answers = AnswerWarnings()
        self.broken: Exception | None = None
        self.began = False

    async def listen(self, worker: _Worker) -> None:
        """Listen to a worker from its order to its end."""
        number, many = worker.share.worker, worker.share.of
        order = handover.order_of(self.plan, number, many, worker.link.cpu)
        await worker.link.send(handover.packed(handover.ORDER, handover.encoded(order)))
        unpacker = handover.Unpacker()
        while data := await worker.link.receive():
            worker.moved_s = trio.current_time()
            for kind, value in unpacker.feed(data):
                self._hear(worker, kind, value)
            await self._start_stage()
        worker.how = await worker.link.end()
        worker.ended, worker.begun = True, worker.received
        await self._start_stage()

    def _hear(self, worker: _Worker, kind: bytes, value: Any) -> None:
        if kind == handover.RECORD:
            self._take(worker, worker.link.to_ours(value))
        elif kind == handover.BEGUN:
            worker.begun = value
        elif kind == handover.READY:
            worker.ready = True
        elif kind == handover.OUTCOME:
            worker.outcome = value
        elif kind == handover.ERROR:
            worker.error = value

    def _take(self, worker: _Worker, record: Record) -> None:
        worker.received += 1
        state = self.state
        state.done += 1
        state.failed += record.status not in (Status.SUCCESS, Status.CANCELLED)
        state.warmup_done += record.warmup
        self.limits.add(record)
        self.answers.add(record)
        if self.broken is None:
            try:
                self.on_record(record)
            except Exception as error:
                self.broken = error
                self.stop.ask(str(error))

    async def _start_stage(self) -> None:
        """Tell all workers when a stage begins, once the last is ready for it."""
        alive = [worker for worker in self.workers if not worker.ended]
        if not alive or not all(worker.ready for worker in alive):
            return
        for worker in alive:
            worker.ready = False
        start_ns = now_ns() + LEAD_NS + max(worker.link.lead_ns for worker in alive)
        if not self.began:
            if self.plan.start_at_ns is not None:
                start_ns = max(start_ns, monotonic_of(self.plan.start_at_ns))
            self.began, self.state.started_ns = True, start_ns
        for worker in alive:
            said = handover.encoded(worker.link.to_theirs(start_ns))
            await worker.link.send(handover.packed(handover.START, said))

    async def drain(self, scope: trio.CancelScope) -> None:
        """Tell workers to end what is under way and hand it back, when asked to stop."""
        await self.stop.wait()
        await self._say_all(handover.STOP)
        with trio.move_on_after(DRAIN_S if self.began else 0):  # what has not begun has nothing to hand back
            await self._all_frozen()
        scope.cancel()

    async def _all_frozen(self) -> None:
        """Return once no worker that has not ended has done anything for a while."""
        for worker in self.workers:
            worker.moved_s = trio.current_time()
        while True:
            await trio.sleep(TICK_S)
            alive = [worker for worker in self.workers if not worker.ended]
            for worker in alive:
                if worker.link.is_moving():
                    worker.moved_s = trio.current_time()
            if all(trio.current_time() - worker.moved_s > FROZEN_S for worker in alive):
                return

    async def end_when(self, enough: Callable[[], bool]) -> None:
        """Start nothing more once it is enough."""
        while not enough():
            await trio.sleep(TICK_S)
        await self._say_all(handover.ENOUGH)

    async def _say_all(self, kind: bytes) -> None:
        for worker in self.workers:
            if not worker.ended:
                await worker.link.send(handover.packed(kind))

    async def tell(self, on_progress: Callable[[RunState], None]) -> None:
        while True:
            self.state.begun = sum(max(worker.begun, worker.received) for worker in self.workers)
            on_progress(self.state)
            await trio.sleep(TICK_S)

    def outcome(self) -> Outcome:
        """Return one outcome of all."""
        done = [worker.outcome for worker in self.workers if worker.outcome is not None]
        errors = [worker.error for worker in self.workers if worker.error is not None]
        if errors and not done:
            raise LensError(errors[0])
        if not done and not self.state.done and self.stop.why is None:
            raise LensError(f"no worker could do its share: the first {self.workers[0].how or 'ended'}")
        told = [f"worker {w.share.worker}: {w.error}" for w in self.workers if w.error]
        gone = [w for w in self.workers if w.outcome is None and w.error is None]
        lost = [*told, *[self._obituary(w) for w in gone if self.began or self.stop.why is None]]
        told = [*lost]
        cut = reduce(SessionsCut.plus, [one.cut for one in done], SessionsCut())
        told += [*self.limits.warnings(), *self.answers.warnings(), *cut.warnings()]
        for one in done:
            told += [warning for warning in one.warnings if warning not in told]
        clocks = [clock for worker in self.workers if (clock := worker.link.clock()) is not None]
        return Outcome(
            started_ns=self.state.started_ns,
            ended_ns=now_ns(),
            requests=self.state.done,
            stopped_by=self.stop.why,
            incomplete="; ".join(lost) or None,
            warnings=tuple(told),
            clocks=tuple(clocks),
            cut=cut,
        )

    def _obituary(self, worker: _Worker) -> str:
        told = f"worker {worker.share.worker} {worker.how or 'did not end in time'} before it was done"
        parts = [worker.share.expected(stage) if stage.duration_ns is None or stage.open_loop else None
                 for stage in self.plan.stages]  # fmt: skip
        if None in parts or self.plan.sessions is not None:
            return f"{told}; what it had handed back is kept"
        whole = sum(part for part in parts if part is not None)
        return f"{told}; {max(whole - worker.received, 0)} of its {whole} requests are missing"


def _core(number: int, many: int) -> int | None:
    """Return a core of its own, where there is one for each and one for us."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return usable[number + 1] if len(usable) > many else None


class _Pipes:
    """A process of this machine; its clock is ours."""

    lead_ns = 0

    def __init__(self, process: trio.Process, cpu: int | None) -> None:
        self._process, self.cpu = process, cpu
        self._sending = trio.Lock()
        self._used: list[str] = []  # of the processor, when it was last asked

    async def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            async with self._sending:
                await self._process.stdin.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def receive(self) -> bytes:
        assert self._process.stdout is not None
        return bytes(await self._process.stdout.receive_some(READ_BYTES))

    async def end(self) -> str | None:
        code = await self._process.wait()
        if code < 0:
            return f"was ended by signal {-code}"
        return f"ended with code {code}" if code else None

    def is_moving(self) -> bool:
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return True
        fields = stat.rpartition(")")[2].split()
        before, self._used = self._used, fields[_PROCESSOR_TIMES]
        return fields[0] == "R" or self._used != before

    def to_theirs(self, at_ns: int) -> int:
        return at_ns

    def to_ours(self, record: Record) -> Record:
        return record

    def clock(self) -> None:
        return None


@asynccontextmanager
async def processes(many: int) -> AsyncIterator[list[Link]]:
    """Start so many workers on this machine; those that are left at the end are killed."""
    words = [sys.executable, "-m", "lens.orchestrator.workers.child"]
    opened: list[trio.Process] = []
    try:
        while len(opened) < many:
            opened.append(await trio.lowlevel.open_process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        yield [_Pipes(process, _core(number, many)) for number, process in enumerate(opened)]
    finally:
        for process in opened:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def run_workers(
    plan: Plan,
    *,
    on_record: OnRecord,
    on_progress: Callable[[RunState], None] | None = None,
    enough: Callable[[], bool] | None = None,
    stop: Stop,
) -> Outcome:
    """Run `plan` in as many processes as its config says.

    Raises:
        LensError: what no worker could do.
    """
    async with processes(plan.config.load.workers) as links:
        return await run_shared(plan, links, on_record=on_record, on_progress=on_progress, enough=enough, stop=stop)
