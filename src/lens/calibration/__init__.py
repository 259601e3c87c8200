"""The self-test: the instrument measures a known script, and says what its own error is on this machine.

It comes out as a certificate, a Calibration, that runs carry and reports show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from lens._core.clock import now_ns, sample_offset
from lens.calibration.audit import Condition, conditions
from lens.calibration.capacity import Capacity, capacity
from lens.calibration.cases import Case, Scheme, Spread, case_of, measured, spread_of
from lens.calibration.verdicts import BUSY, Verdict, verdicts_of
from lens.clocks import Machine
from lens.orchestrator.collect import timestamp_of
from lens.orchestrator.run_info import machine

__all__ = [
    "Calibration",
    "Capacity",
    "Case",
    "Condition",
    "Spread",
    "Verdict",
    "case_of",
    "selftest",
    "spread_of",
    "verdicts_of",
]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What a self-test found."""

    started_at: str
    machine: Machine
    clock_bracket_ns: int  # kernel stamps are converted between two clocks; the conversion is not surer than this
    cases: tuple[Case, ...]
    verdicts: tuple[Verdict, ...]
    conditions: tuple[Condition, ...] = ()  # of the machine, as far as they touch what is measured
    capacity: Capacity | None = None  # None: not asked for

    @property
    def holds(self) -> bool:
        """Whether the instrument kept every promise."""
        return all(verdict.holds for verdict in self.verdicts)

    @property
    def disturbed(self) -> str:
        """What disturbed the self-test, so that its errors are not the instrument's alone; "" where nothing did."""
        if self.holds:
            return ""
        busy = [verdict.why for verdict in self.verdicts if verdict.why.startswith(BUSY)]
        load = [f"{BUSY}: {one.name} {one.value}" for one in self.conditions if one.name == "load" and one.doubt]
        return next(iter([*busy, *load]), "")


async def selftest(
    *,
    streams: Sequence[int] = (1, 200),
    schemes: Sequence[Scheme] = ("http", "tls"),
    kernel_stamps: bool = True,
    to_the_limit: bool = False,
    on_case: Callable[[Case], None] | None = None,
) -> Calibration:
    """Measure every scheme at every number of streams; some 3 s a case. `to_the_limit` finds the capacity too.

    Raises:
        LensError: the simulator did not start.
    """
    began = now_ns()
    cases = []
    for scheme in schemes:
        for count in streams:
            case = await measured(scheme, count, kernel_stamps=kernel_stamps)
            cases.append(case)
            if on_case is not None:
                on_case(case)
    most = await capacity(kernel_stamps=kernel_stamps, on_case=on_case) if to_the_limit else None
    here = machine()
    return Calibration(
        started_at=timestamp_of(began),
        machine=here,
        clock_bracket_ns=sample_offset()[1],
        cases=tuple(cases),
        verdicts=tuple(verdicts_of(cases, here)),
        conditions=tuple(conditions()),
        capacity=most,
    )
