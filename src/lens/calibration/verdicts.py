"""What the instrument promises, and whether it holds on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lens.calibration.cases import ITL_NS, TTFT_NS, Case
from lens.clocks import Machine
from lens.units import us

# What is promised (README, Precision), and for how many streams of 50 tokens a second.
TOKEN_P99_US = 100.0
TTFT_BIAS_US = 50.0
BUSY = "the machine is busy"
# The share of a figure that its measuring may be.
OVERHEAD = 0.01


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One promise, kept or not."""

    claim: str
    holds: bool
    figure_us: float | None  # None: nothing was measured
    why: str = ""  # where it does not hold, what stands in the way

    @property
    def line(self) -> str:
        """For people."""
        figure = "nothing was measured" if self.figure_us is None else f"{self.figure_us:.1f} us"
        return f"{self.claim}: {'yes' if self.holds else 'no'} ({figure}){'; ' + self.why if self.why else ''}"


def verdicts_of(cases: Sequence[Case], here: Machine) -> list[Verdict]:
    """Return the promises, held to the busiest case of each scheme for the stamps and to all for the TTFT."""
    found = []
    for scheme in dict.fromkeys(case.scheme for case in cases):
        mine = [case for case in cases if case.scheme == scheme]
        busiest = max(mine, key=lambda case: case.streams)
        p99 = busiest.tokens.p99_us if busiest.tokens else None
        found.append(
            _verdict(
                f"{scheme}: token stamps p99 within {TOKEN_P99_US:g} us at {_streams(busiest.streams)}",
                p99,
                TOKEN_P99_US,
                busiest,
                here,
            )
        )
        found += _overhead(busiest, here)
        for case in mine:
            bias = abs(case.ttft.bias_us) if case.ttft else None
            claim = f"{scheme}: TTFT bias below {TTFT_BIAS_US:g} us at {_streams(case.streams)}"
            found.append(_verdict(claim, bias, TTFT_BIAS_US, case, here))
    return found


def _overhead(case: Case, here: Machine) -> list[Verdict]:
    """Return what measuring adds to what is measured, of the script's own times."""
    bias = abs(case.ttft.bias_us) if case.ttft else None
    gaps = case.itl.p99_us if case.itl else None
    claim = f"{case.scheme}: less than {OVERHEAD:.0%} of {{}} at {_streams(case.streams)}"
    return [
        _verdict(claim.format("TTFT"), bias, us(TTFT_NS) * OVERHEAD, case, here),
        _verdict(claim.format("each gap (p99)"), gaps, us(ITL_NS) * OVERHEAD, case, here),
    ]


def _verdict(claim: str, figure_us: float | None, limit_us: float, case: Case, here: Machine) -> Verdict:
    holds = figure_us is not None and figure_us <= limit_us and not case.failed
    return Verdict(claim=claim, holds=holds, figure_us=figure_us, why="" if holds else _in_the_way(case, here))


def _in_the_way(case: Case, here: Machine) -> str:
    """Return what this machine lacks, as far as it shows."""
    if case.failed:
        return f"{case.failed} of {case.requests} requests failed"
    if case.stamp_kind != "kernel":
        return "this system gave no kernel stamps, so a time is when this process got to read"
    if here.cpus < 2:
        return "one processor is shared by the instrument and the simulator"
    late = case.simulator_late
    if late is not None and late.p99_us > TOKEN_P99_US:
        return f"{BUSY}: the simulator itself was up to {late.p99_us:.0f} us late (p99)"
    return "this machine cannot reach it now"


def _streams(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"
