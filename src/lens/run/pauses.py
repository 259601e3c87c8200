"""Notice that this program did not run for a while: stopped (SIGSTOP), starved, or on a machine that was suspended.

A thread looks at the clocks now and then. Where its look comes far too late, nothing of the program ran in between:
what the requests under way then measured is the pause, and their records say so. CLOCK_MONOTONIC goes on while a
process is stopped, and stands still while a machine is suspended; CLOCK_BOOTTIME goes on in both.
"""

from __future__ import annotations

import time
from threading import Event, Lock, Thread
from typing import NamedTuple, Self

import msgspec

from lens.model import Record
from lens.units import NS_PER_MS, NS_PER_S, human_duration

LOOK_EVERY_S = 0.25
# A look that is later than this is a pause; a busy machine is late by less.
LEAST_NS = 1000 * NS_PER_MS
# Pauses that are kept: of a run of days the newest.
MOST_PAUSES = 1000
_LATE_NS = LEAST_NS + int(LOOK_EVERY_S * NS_PER_S)
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Pause(NamedTuple):
    """A time in which nothing of this program ran."""

    from_ns: int  # CLOCK_MONOTONIC
    until_ns: int
    lost_ns: int  # how long it was, also where the clock stood still

    def says(self) -> str:
        """Return what it was."""
        suspended = self.lost_ns - (self.until_ns - self.from_ns) > LEAST_NS // 2
        what = "the machine was suspended" if suspended else "the program was stopped or did not get to run"
        return f"{what} for {human_duration(self.lost_ns)}"


class PauseWatch:
    """Looks for pauses while it is entered; a context manager."""

    def __init__(self) -> None:
        self.pauses: list[Pause] = []
        self.touched = 0  # records that were under way in one
        self._last = _clocks()
        self._lock = Lock()
        self._over = Event()

    def __enter__(self) -> Self:
        Thread(target=self._watch, name="lens-pauses", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def look(self, clocks: tuple[int, int] | None = None) -> None:
        """Compare the clocks with those of the last look. clocks: CLOCK_MONOTONIC and CLOCK_BOOTTIME, ns (now)."""
        now = clocks or _clocks()
        if 0 <= now[1] - self._last[1] <= _LATE_NS:  # as nearly always, for each record
            self._last = now
            return
        with self._lock:
            now = clocks or _clocks()
            lost_ns = max(now[1] - self._last[1], now[0] - self._last[0])
            if lost_ns > _LATE_NS:
                self.pauses.append(Pause(self._last[0], now[0], lost_ns))
                del self.pauses[:-MOST_PAUSES]
            self._last = now

    def marked(self, record: Record) -> Record:
        """Return the record with a warning where it was under way in a pause."""
        self.look()
        if not self.pauses:
            return record
        start_ns, end_ns = record.stamps.start, record.stamps.end or record.stamps.start
        found = [one for one in self.pauses if one.until_ns >= start_ns and one.from_ns <= end_ns]
        if not found:
            return record
        self.touched += 1
        says = [f"{one.says()} while this request was under way: its times may hold that pause" for one in found]
        return msgspec.structs.replace(record, warnings=(*record.warnings, *says))

    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of the whole run should know."""
        if not self.pauses:
            return ()
        longest = max(self.pauses, key=lambda one: one.lost_ns)
        often = f"{len(self.pauses)} times, at most " if len(self.pauses) > 1 else ""
        whose = f"{self.touched} request{'' if self.touched == 1 else 's'} under way then measured it"
        return (f"{often}{longest.says()}: {whose}",)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.look()


def _clocks() -> tuple[int, int]:
    """Return CLOCK_MONOTONIC and, where the system has it, CLOCK_BOOTTIME, which also counts while it is suspended."""
    if _BOOTTIME is None:
        return time.monotonic_ns(), time.monotonic_ns()
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.clock_gettime_ns(_BOOTTIME)
