"""Relate clocks: how well the wall clock of this machine is kept, and the stamps of a record on another clock.

Durations are of one clock and never change; only absolute stamps are moved.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from lens._core.clock import sample_offset
from lens.clocks import WallClock
from lens.model import Record
from lens.units import NS_PER_US

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# adjtimex(2): the status bit of a clock that no server steers, and the state that is returned for it.
STA_UNSYNC = 0x40
TIME_ERROR = 5


def read_wall_clock() -> WallClock:
    """Return the state of the wall clock now."""
    return WallClock(offset_ns=sample_offset()[0], boot_id=_boot_id(), **_kernel_says())


def with_moved(clock: WallClock) -> WallClock:
    """Return the clock with how far its offset has moved since it was read."""
    return msgspec.structs.replace(clock, moved_ns=sample_offset()[0] - clock.offset_ns)


def shift_record(record: Record, offset_ns: int) -> Record:
    """Return the record with its absolute stamps on a clock that is behind its own by `offset_ns`."""
    replace = msgspec.structs.replace
    named = {k: v - offset_ns for k, v in msgspec.structs.asdict(record.stamps).items() if v is not None}
    connection = record.connection
    if connection is not None:
        attempts = tuple(
            [replace(a, start_ns=a.start_ns - offset_ns, end_ns=a.end_ns - offset_ns) for a in connection.attempts]
        )
        connection = replace(connection, attempts=attempts)
    tries = tuple(
        [replace(one, start_ns=one.start_ns - offset_ns, end_ns=one.end_ns - offset_ns) for one in record.tries]
    )
    session = record.session
    if session is not None and session.planned_ns is not None:
        session = replace(session, planned_ns=session.planned_ns - offset_ns)
    stamps = replace(record.stamps, **named)
    return replace(record, stamps=stamps, connection=connection, tries=tries, session=session)


def _boot_id() -> str | None:
    try:
        return BOOT_ID.read_text().strip() or None
    except OSError:
        return None


@cache
def _timex() -> type[Any]:
    """Return the C struct that adjtimex(2) fills; made once: a class is a cycle, which waits for the collector."""
    import ctypes

    class Timex(ctypes.Structure):
        """The beginning of struct timex, and room for the rest of it."""

        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_char * 512),
        )

    return Timex


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _kernel_says() -> dict[str, Any]:
    """Return what adjtimex(2) says of the clock's error; nothing where there is no such call."""
    if sys.platform != "linux":
        return {}
    from ctypes import byref

    timex = _timex()()  # modes 0: nothing is set, so no privilege is needed
    try:
        state = _libc().adjtimex(byref(timex))
    except (OSError, AttributeError):
        return {}
    if state < 0:
        return {}
    return {
        "synchronized": state != TIME_ERROR and not timex.status & STA_UNSYNC,
        "max_error_ns": timex.maxerror * NS_PER_US,
        "estimated_error_ns": timex.esterror * NS_PER_US,
    }
