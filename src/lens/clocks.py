"""The machine of a run and its clocks: how its time was kept, and how those of several machines are related."""

from __future__ import annotations

import msgspec


class Machine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the instrument ran."""

    hostname: str
    system: str
    kernel: str
    cpus: int
    python: str
    clock_resolution_ns: int
    clock_cost_ns: int


class WallClock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The wall clock of the machine that measured, at the start of the run; None is not known."""

    offset_ns: int  # CLOCK_REALTIME less CLOCK_MONOTONIC
    boot_id: str | None = None  # runs of one boot share one monotonic clock (Linux)
    synchronized: bool | None = None  # what adjtimex(2) says: a time server steers it
    max_error_ns: int | None = None  # the kernel's bound on its error
    estimated_error_ns: int | None = None
    moved_ns: int | None = None  # how far offset_ns had moved at the end: the clock was set meanwhile


class WorkerClock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the clock of another machine that measured is related to the clock of the run."""

    worker: int
    host: str
    offset_ns: int  # its clock less ours; its stamps were moved by this
    uncertainty_ns: int  # the offset is not further off than that
    drift_ns: int | None = None  # how far the offset had moved at the end of the run
