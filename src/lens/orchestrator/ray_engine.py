"""Workers on the machines of a Ray cluster, as one run: the same share of the same plan, another way there.

Each machine has its own clock. How far it is from ours is measured by pings, of which the quickest says
most; stamps are moved to our clock by that, and the run tells how uncertain it leaves them. Nothing here
moves bytes between machines: Ray does. Needs the extra `ray`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
import trio

from lens._core.clock import now_ns
from lens.config import RunConfig
from lens.errors import ConfigError, LensError
from lens.model import Attempt, Record, Status
from lens.orchestrator import handover
from lens.orchestrator.engine import OnRecord, Outcome, RunState, Share, run_plan
from lens.orchestrator.plan import make_plan
from lens.orchestrator.stop import Stop
from lens.orchestrator.workers import check_workers
from lens.units import NS_PER_MS, NS_PER_S, us

PINGS = 30
# All workers begin this long after the last of them was ready.
LEAD_NS = 500 * NS_PER_MS
LOOK_S = 0.25


class Offset(NamedTuple):
    """The other clock less ours, and half of the quickest ping: it cannot be further off than that."""

    ns: int
    uncertainty_ns: int


def offset_of(ping: Callable[[], int], times: int = PINGS) -> Offset:
    """From pings that each answer with the other machine's monotonic clock."""
    best: Offset | None = None
    for _ in range(times):
        before = now_ns()
        there = ping()
        after = now_ns()
        found = Offset(there - (before + after) // 2, (after - before + 1) // 2)
        if best is None or found.uncertainty_ns < best.uncertainty_ns:
            best = found
    assert best is not None
    return best


def moved(record: Record, offset_ns: int) -> Record:
    """The record with its stamps on our clock."""
    named = {k: v - offset_ns for k, v in msgspec.structs.asdict(record.stamps).items() if v is not None}
    connection = record.connection
    if connection is not None:
        attempts = tuple([_attempt(one, offset_ns) for one in connection.attempts])
        connection = msgspec.structs.replace(connection, attempts=attempts)
    tries = tuple(
        [
            msgspec.structs.replace(one, start_ns=one.start_ns - offset_ns, end_ns=one.end_ns - offset_ns)
            for one in record.tries
        ]
    )
    stamps = msgspec.structs.replace(record.stamps, **named)
    return msgspec.structs.replace(record, stamps=stamps, connection=connection, tries=tries)


def _attempt(one: Attempt, offset_ns: int) -> Attempt:
    return msgspec.structs.replace(one, start_ns=one.start_ns - offset_ns, end_ns=one.end_ns - offset_ns)


class Actor:
    """What runs on the other machine; Ray makes an actor of it."""

    def __init__(self) -> None:
        self._records: list[bytes] = []

    def ping(self) -> int:
        return now_ns()

    def run(self, order: bytes, start_ns: int) -> bytes:
        """The share, from an instant of this machine's clock on; the Outcome, encoded."""
        said = handover.decoded(handover.ORDER, order)
        plan = make_plan(said.config)

        async def ready() -> Share:
            return Share(said.worker, said.of, start_ns)

        async def go() -> Outcome:
            return await run_plan(
                plan,
                on_record=lambda record: self._records.append(handover.encoded(record)),
                on_warmup=lambda record: self._records.append(handover.encoded(record)),
                stop=Stop(),
                share=Share(said.worker, said.of),
                on_ready=ready,
            )

        return handover.encoded(trio.run(go))

    def take(self) -> list[bytes]:
        """Records since the last call."""
        taken, self._records = self._records, []
        return taken


def connect(address: str | None) -> Any:
    """Ray, connected to a cluster or started here.

    Raises:
        ConfigError: it is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("--engine ray needs an extra: pip install 'llm-latency-lens[ray]'") from None
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"--ray-address {address}: {error}") from None
    return ray


async def run_on_ray(
    config: RunConfig, *, on_record: OnRecord, on_progress: Callable[[RunState], None] | None = None, stop: Stop
) -> Outcome:
    """Run the config's load in its number of actors, spread over the cluster.

    Raises:
        ConfigError: it cannot be shared, or there is no cluster. LensError: no actor could do its share.
    """
    check_workers(config)
    ray = connect(config.load.ray_address)
    plan = make_plan(config)
    state = RunState(plan.total)
    many = config.load.workers
    # Two calls at a time: records are taken while the share is run.
    remote = ray.remote(Actor).options(max_concurrency=2, scheduling_strategy="SPREAD")
    actors = [remote.remote() for _ in range(many)]
    offsets = [await _off_loop(_offset, ray, actor) for actor in actors]
    start_ns = now_ns() + LEAD_NS
    state.started_ns = start_ns
    orders = [handover.encoded(handover.Order(config, number, many)) for number in range(many)]
    running = [
        actor.run.remote(order, start_ns + offset.ns)
        for actor, order, offset in zip(actors, orders, offsets, strict=True)
    ]
    waiting = list(running)
    while waiting and not stop.asked:
        _, waiting = await _off_loop(partial(ray.wait, waiting, num_returns=len(waiting), timeout=LOOK_S))
        for actor, offset in zip(actors, offsets, strict=True):
            await _take(ray, actor, offset, state, on_record)
        if on_progress is not None:
            on_progress(state)
    outcomes, warnings = [], [_clock(number, offset) for number, offset in enumerate(offsets)]
    for number, (actor, future, offset) in enumerate(zip(actors, running, offsets, strict=True)):
        await _take(ray, actor, offset, state, on_record)
        try:
            outcomes.append(handover.decoded(handover.OUTCOME, await _off_loop(partial(ray.get, future, timeout=1))))
        except Exception as error:  # Ray has many of its own
            warnings.append(f"worker {number} did not end well: {type(error).__name__}")
        ray.kill(actor)
    if not outcomes and not state.done:
        raise LensError("no worker of the Ray cluster could do its share")
    for outcome in outcomes:
        warnings += [warning for warning in outcome.warnings if warning not in warnings]
    return Outcome(
        started_ns=start_ns,
        ended_ns=now_ns(),
        requests=state.done,
        stopped_by=stop.why,
        warnings=tuple(warnings),
    )


async def _off_loop(call: Callable[..., Any], *args: Any) -> Any:
    return await trio.to_thread.run_sync(call, *args)


def _offset(ray: Any, actor: Any) -> Offset:
    return offset_of(lambda: int(ray.get(actor.ping.remote())))


async def _take(ray: Any, actor: Any, offset: Offset, state: RunState, on_record: OnRecord) -> None:
    try:
        taken = await _off_loop(lambda: ray.get(actor.take.remote(), timeout=30))
    except Exception:  # the actor is dead; its end is told with the others
        return
    for data in taken:
        record = moved(handover.decoded(handover.RECORD, data), offset.ns)
        state.begun += 1
        state.done += 1
        state.failed += record.status is not Status.SUCCESS
        on_record(record)


def _clock(number: int, offset: Offset) -> str:
    ahead = offset.ns / NS_PER_S
    return f"worker {number}: its clock was moved by {ahead:.6f} s, known to +-{us(offset.uncertainty_ns):.0f} us"
