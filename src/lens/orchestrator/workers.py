"""Several worker processes, each with its own loop and core, as one run: one start, one stream of records.

A worker that dies takes with it only what it had not handed back; the rest is kept and its death is told.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import trio

from lens._core.clock import now_ns
from lens.config import RunConfig
from lens.errors import ConfigError, LensError
from lens.model import Record, Status
from lens.orchestrator import handover
from lens.orchestrator.engine import OnRecord, Outcome, RunState
from lens.orchestrator.plan import Plan, make_plan
from lens.orchestrator.stop import Stop
from lens.units import NS_PER_MS

# All workers begin this long after the last of them was ready.
LEAD_NS = 200 * NS_PER_MS
READ_BYTES = 1 << 18
TICK_S = 0.1


def check_workers(config: RunConfig) -> None:
    """
    Raises:
        ConfigError: the load cannot be shared.
    """
    load = config.load
    for said, name in ((load.max_cost_usd, "--max-cost"), (load.until, "--until"), (load.search_slo, "--search-slo")):
        if said:
            raise ConfigError(f"{name} cannot be joined with --workers: no worker knows what the others measured")
    if load.idle_gaps_ns or load.connection == "both":
        raise ConfigError("--idle-gaps and --connection both compare requests with their neighbours: use one worker")


class _Worker:
    """One process and what it did."""

    def __init__(self, number: int, process: trio.Process) -> None:
        self.number, self.process = number, process
        self.ready = trio.Event()
        self.heard = trio.Event()  # all that it ever said
        self.received = 0
        self.outcome: Outcome | None = None
        self.error: str | None = None


async def run_workers(
    config: RunConfig,
    *,
    on_record: OnRecord,
    on_progress: Callable[[RunState], None] | None = None,
    stop: Stop,
) -> Outcome:
    """Run the config's load in its number of workers.

    Raises:
        ConfigError: it cannot be shared. LensError: what a worker could not do for all of them.
    """
    check_workers(config)
    plan = make_plan(config)
    state = RunState(plan.total)
    many = config.load.workers
    async with trio.open_nursery() as nursery:
        workers = [await _start(config, number, many) for number in range(many)]
        for worker in workers:
            nursery.start_soon(_listen, worker, state, on_record)
        nursery.start_soon(_drain, workers, stop, nursery.cancel_scope)
        if on_progress is not None:
            nursery.start_soon(_tell, state, on_progress)
        for worker in workers:
            await worker.ready.wait()
        start_ns = now_ns() + LEAD_NS
        state.started_ns = start_ns
        for worker in workers:
            await _say(worker, handover.START, handover.encoded(start_ns))
        for worker in workers:
            await worker.heard.wait()
            await worker.process.wait()
        nursery.cancel_scope.cancel()
    if on_progress is not None:
        on_progress(state)
    return _joined(plan, workers, state, stop)


async def _start(config: RunConfig, number: int, many: int) -> _Worker:
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cpu = usable[number + 1] if len(usable) > many else None
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "lens.orchestrator.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    worker = _Worker(number, process)
    await _say(worker, handover.ORDER, handover.encoded(handover.Order(config, number, many, cpu)))
    return worker


async def _say(worker: _Worker, kind: bytes, data: bytes) -> None:
    assert worker.process.stdin is not None
    try:
        await worker.process.stdin.send_all(handover.packed(kind, data))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        worker.ready.set()  # it is gone; its end tells the rest


async def _listen(worker: _Worker, state: RunState, on_record: OnRecord) -> None:
    assert worker.process.stdout is not None
    unpacker = handover.Unpacker()
    try:
        while data := await worker.process.stdout.receive_some(READ_BYTES):
            for kind, value in unpacker.feed(bytes(data)):
                if kind == handover.READY:
                    worker.ready.set()
                elif kind == handover.RECORD:
                    _count(value, worker, state)
                    on_record(value)
                elif kind == handover.OUTCOME:
                    worker.outcome = value
                elif kind == handover.ERROR:
                    worker.error = value
    finally:
        worker.ready.set()
        worker.heard.set()


def _count(record: Record, worker: _Worker, state: RunState) -> None:
    worker.received += 1
    state.begun += 1
    state.done += 1
    state.failed += record.status is not Status.SUCCESS
    state.warmup_done += record.warmup


async def _drain(workers: list[_Worker], stop: Stop, scope: trio.CancelScope) -> None:
    """When asked to stop, workers are told to end what is under way and hand it back."""
    await stop.wait()
    for worker in workers:
        if worker.process.returncode is None:
            worker.process.terminate()
    with trio.move_on_after(10):
        for worker in workers:
            await worker.process.wait()
        return
    scope.cancel()


async def _tell(state: RunState, on_progress: Callable[[RunState], None]) -> None:
    while True:
        on_progress(state)
        await trio.sleep(TICK_S)


def _joined(plan: Plan, workers: list[_Worker], state: RunState, stop: Stop) -> Outcome:
    """One outcome of all."""
    done = [worker.outcome for worker in workers if worker.outcome is not None]
    errors = [worker.error for worker in workers if worker.error is not None]
    if errors and not done:
        raise LensError(errors[0])
    warnings: list[str] = [f"worker {worker.number}: {worker.error}" for worker in workers if worker.error]
    dead = [worker for worker in workers if worker.outcome is None and worker.error is None]
    warnings += [_obituary(worker, plan.total, len(workers)) for worker in dead]
    for outcome in done:
        warnings += [warning for warning in outcome.warnings if warning not in warnings]
    return Outcome(
        started_ns=min([outcome.started_ns for outcome in done], default=state.started_ns),
        ended_ns=max([outcome.ended_ns for outcome in done], default=now_ns()),
        requests=state.done,
        stopped_by=stop.why,
        warnings=tuple(warnings),
    )


def _obituary(worker: _Worker, total: int | None, many: int) -> str:
    code = worker.process.returncode
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    left = ""
    if total is not None:
        share = total // many + (worker.number < total % many)
        left = f"; {max(share - worker.received, 0)} of its {share} requests are missing"
    return f"worker {worker.number} {how} before it was done{left}"


def merged(records: list[Record]) -> list[Record]:
    """Records of several workers in one order, numbered as they were shared out."""
    return sorted(records, key=lambda record: (record.index, record.stamps.start))
