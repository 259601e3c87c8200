"""Workers on the machines of a Ray cluster, as one run: the same worker process, another way to reach it.

An actor only passes bytes on to a process beside it, so that nothing of Ray runs where time is taken, and
nothing home-made moves bytes between machines. Each machine has its own clock: how far it is from ours is
measured by pings, of which the quickest says most. Stamps are moved to our clock by that; durations are of
one clock and stay as they are. Needs the extra `ray`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import trio

from lens._core.clock import now_ns
from lens.clocks import WorkerClock
from lens.errors import ConfigError, LensError
from lens.model import Record
from lens.orchestrator.plan import Plan
from lens.orchestrator.run_state import OnRecord, Outcome, RunState
from lens.orchestrator.stop import Stop
from lens.orchestrator.wall_clock import shift_record
from lens.orchestrator.workers.parent import READ_BYTES, Link, run_shared
from lens.units import NS_PER_MS

PINGS = 30
# A message to an actor takes about a millisecond in an idle cluster.
LEAD_NS = 250 * NS_PER_MS
# An actor that has nothing to hand back says so after this.
TAKE_S = 0.25
# A cluster that has to start machines first may need this long to place an actor.
PLACE_S = 300
# Of one actor: records are taken while it is told something and pinged.
CALLS = 4


class Offset(NamedTuple):
    """The other clock less ours, and half of the quickest ping: it cannot be further off than that."""

    ns: int
    uncertainty_ns: int


def offset_of(ping: Callable[[], int], times: int = PINGS, *, now: Callable[[], int] = now_ns) -> Offset:
    """Return the offset of a clock, from pings that answer with the other machine's monotonic clock."""
    best: Offset | None = None
    for _ in range(times):
        before = now()
        there = ping()
        after = now()
        found = Offset(there - (before + after) // 2, (after - before) // 2 + 1)
        if best is None or found.uncertainty_ns < best.uncertainty_ns:
            best = found
    assert best is not None
    return best


class Actor:
    """What stands on the other machine, beside a worker process; Ray makes an actor of it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lens.orchestrator.workers.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._said: SimpleQueue[bytes] = SimpleQueue()
        Thread(target=self._listen, name="lens-relay", daemon=True).start()

    def about(self) -> tuple[str, str]:
        """Return the machine, and the version that is installed on it."""
        from lens._version import __version__

        return socket.gethostname(), __version__

    def ping(self) -> int:
        return now_ns()

    def give(self, data: bytes) -> None:
        """Pass it on; a process that is gone takes nothing."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except OSError:
            return

    def take(self) -> bytes | None:
        """Return what was said since, after a while also nothing; None at the end."""
        try:
            found = self._said.get(timeout=TAKE_S)
        except Empty:
            return b""
        while found and len(found) < READ_BYTES and not self._said.empty():
            more = self._said.get()
            if not more:
                self._said.put(more)  # the end is told by the next call
                break
            found += more
        return found or None

    def end(self) -> int:
        return self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while data := os.read(fd, READ_BYTES):
            self._said.put(data)
        self._said.put(b"")


class _Remote:
    """A worker behind an actor."""

    lead_ns = LEAD_NS
    cpu: int | None = None  # Ray says where it runs

    def __init__(self, ray: Any, number: int, actor: Any, host: str, offset: Offset) -> None:
        self._ray, self._number, self._actor, self._host, self._offset = ray, number, actor, host, offset
        self._drift_ns: int | None = None
        self._gone: str | None = None

    async def send(self, data: bytes) -> None:
        await self._ask("give", data)

    async def receive(self) -> bytes:
        found: bytes | None = b""
        while found == b"":
            found = await self._ask("take")
        return found or b""

    async def end(self) -> str | None:
        code = await self._ask("end")
        if self._gone is not None:
            return self._gone
        later = await _off_loop(partial(_offset, self._ray, self._actor))
        self._drift_ns = later.ns - self._offset.ns
        if code < 0:
            return f"was ended by signal {-code}"
        return f"ended with code {code}" if code else None

    def is_moving(self) -> bool:
        return True  # it is on another machine

    def to_theirs(self, at_ns: int) -> int:
        return at_ns + self._offset.ns

    def to_ours(self, record: Record) -> Record:
        return shift_record(record, self._offset.ns)

    def clock(self) -> WorkerClock:
        return WorkerClock(
            worker=self._number,
            host=self._host,
            offset_ns=self._offset.ns,
            uncertainty_ns=self._offset.uncertainty_ns,
            drift_ns=self._drift_ns,
        )

    async def _ask(self, name: str, *args: Any) -> Any:
        """Return what the actor answers; None when it, or its machine, is gone."""
        if self._gone is not None:
            return None
        try:
            return await _off_loop(lambda: self._ray.get(getattr(self._actor, name).remote(*args)))
        except self._ray.exceptions.RayError as error:
            self._gone = f"on {self._host} was lost ({type(error).__name__})"
            return None


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
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=_dashboard(address),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"--ray-address {address or 'local'}: {str(error).strip()}") from None
        finally:
            for number, handler in handlers.items():  # Ray takes SIGTERM for itself; it is for ending a run in order
                signal.signal(number, handler)
    return ray


def _dashboard(address: str | None) -> bool | None:
    """None of a cluster that is ours alone; that of others is not ours to say."""
    return False if address is None else None


@asynccontextmanager
async def actors(ray: Any, many: int) -> AsyncIterator[list[Link]]:
    """Start so many workers, spread over the cluster; gone afterwards.

    Raises:
        LensError: the cluster has no room for them, or not this version of the program.
    """
    # One core each, so that no two share one; on as many machines as there are.
    remote = ray.remote(Actor).options(num_cpus=1, max_concurrency=CALLS, scheduling_strategy="SPREAD")
    found = [remote.remote() for _ in range(many)]
    try:
        abouts = await _off_loop(partial(_abouts, ray, found))
        links: list[Link] = []
        for number, (actor, (host, _)) in enumerate(zip(found, abouts, strict=True)):
            offset = await _off_loop(partial(_offset, ray, actor))
            links.append(_Remote(ray, number, actor, host, offset))
        yield links
    finally:
        for actor in found:
            ray.kill(actor)


def _abouts(ray: Any, found: list[Any]) -> list[tuple[str, str]]:
    from lens._version import __version__

    try:
        abouts: list[tuple[str, str]] = ray.get([actor.about.remote() for actor in found], timeout=PLACE_S)
    except ray.exceptions.GetTimeoutError:
        free = ray.available_resources().get("CPU", 0)
        raise LensError(
            f"--workers {len(found)}: no room in the Ray cluster within {PLACE_S} s; {free:g} CPUs are free, "
            "and each worker takes one"
        ) from None
    except ray.exceptions.RayError as error:
        says = str(error).strip().splitlines()
        raise LensError(
            "a machine of the Ray cluster cannot run a worker; llm-latency-lens must be installed on all: "
            f"{says[-1] if says else type(error).__name__}"
        ) from None
    for host, version in abouts:
        if version != __version__:
            raise LensError(
                f"{host} has version {version} of this program, here is {__version__}; install the same version on both"
            )
    return abouts


def _offset(ray: Any, actor: Any) -> Offset:
    return offset_of(lambda: int(ray.get(actor.ping.remote())))


async def _off_loop(call: Callable[[], Any]) -> Any:
    return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=_THREADS)


# Each worker waits in a thread of its own for what comes next.
_THREADS = trio.CapacityLimiter(1000)


async def run_on_ray(
    plan: Plan,
    *,
    on_record: OnRecord,
    on_progress: Callable[[RunState], None] | None = None,
    enough: Callable[[], bool] | None = None,
    stop: Stop,
) -> Outcome:
    """Run `plan` in as many actors as its config says.

    Raises:
        ConfigError: there is no cluster. LensError: no worker could do its share.
    """
    load = plan.config.load
    ray = connect(load.ray_address)
    try:
        async with actors(ray, load.workers) as links:
            return await run_shared(plan, links, on_record=on_record, on_progress=on_progress, enough=enough, stop=stop)
    finally:
        ray.shutdown()
