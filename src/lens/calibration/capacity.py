"""How much this machine can take: more streams each time, until the stamps of tokens are no longer what they were.

The limit is where the error of a token's stamp (p99) passes 1 % of the time between two tokens, or requests
fail. The simulator needs a processor too; where it falls behind first, the capacity is said to be at least that.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lens.calibration.cases import ITL_NS, Case, measured
from lens.units import NS_PER_S, us

STEPS = (200, 400, 800, 1600, 3200, 6400)
MOST_SHARE = 0.01


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The most that was still measured well."""

    streams: int  # 0: not even the fewest
    events_per_s: float
    ends_by: str  # what was no longer so at the next step: "instrument", "simulator", or "" (the last step held)
    cases: tuple[Case, ...]

    @property
    def line(self) -> str:
        """For people."""
        said = f"{self.events_per_s:,.0f} events/s over {self.streams:,} streams"
        if self.ends_by == "instrument":
            return f"{said}; beyond that stamps are off by more than {MOST_SHARE:.0%} of a gap (p99)"
        if self.ends_by == "simulator":
            return f"at least {said}; beyond that the simulator itself falls behind here"
        return f"at least {said}; more was not tried"


async def capacity(*, kernel_stamps: bool = True, on_case: Callable[[Case], None] | None = None) -> Capacity:
    """Step by step, over HTTP; some 3 s a step.

    Raises:
        LensError: the simulator did not start.
    """
    cases: list[Case] = []
    for streams in STEPS:
        case = await measured("http", streams, kernel_stamps=kernel_stamps)
        cases.append(case)
        if on_case is not None:
            on_case(case)
        if _ends_by(case):
            break
    return capacity_of(cases)


def capacity_of(cases: list[Case]) -> Capacity:
    """Return the capacity that cases with more streams each time show."""
    good = [case for case in cases if not _ends_by(case)]
    streams = good[-1].streams if good else 0
    return Capacity(
        streams=streams,
        events_per_s=streams * NS_PER_S / ITL_NS,
        ends_by=_ends_by(cases[-1]) if cases else "",
        cases=tuple(cases),
    )


def _ends_by(case: Case) -> str:
    """Return who no longer keeps up; "" where both do."""
    most_us = us(ITL_NS) * MOST_SHARE
    if case.tokens is not None and not case.failed and case.tokens.p99_us <= most_us:
        return ""
    late = case.simulator_late
    # A write that is late by a whole gap comes together with the next: its stamp cannot be told apart.
    return "simulator" if late is not None and late.p99_us > us(ITL_NS) / 2 else "instrument"
