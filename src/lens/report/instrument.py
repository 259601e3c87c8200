"""The instrument's own error, as it stands in a run's header: sentences and rows for every page.

The figures are what `lll selftest` found on the machine of the run. A run without them says so;
a figure of another machine is never shown in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from lens.clocks import WorkerClock
from lens.model import RunInfo
from lens.units import NS_PER_MS, NS_PER_US

UNKNOWN = "not measured on this machine; `lll selftest` measures it and later runs show it"


class ErrorRow(NamedTuple):
    """One case of the self-test, in microseconds; None where nothing was measured."""

    name: str
    stamps: str
    ttft_bias_us: float | None
    p50_us: float | None
    p99_us: float | None
    max_us: float | None
    read_p99_us: float | None  # what a client without kernel stamps would be off


class _Spread(msgspec.Struct):
    p50_us: float
    p99_us: float
    max_us: float
    bias_us: float


class _Case(msgspec.Struct):
    scheme: str
    streams: int
    stamp_kind: str = "read"
    tokens: _Spread | None = None
    read_tokens: _Spread | None = None
    ttft: _Spread | None = None


class _Calibration(msgspec.Struct):
    cases: list[_Case]
    started_at: str = ""


def error_rows(calibration: Mapping[str, Any] | None) -> list[ErrorRow]:
    """Return a row a case; none when the header holds no self-test, or one of a layout that is not known."""
    found = _read(calibration)
    return [_row(case) for case in found.cases] if found else []


def error_says(info: RunInfo) -> str:
    """Return the error in one sentence: the case closest to a busy run, and when it was measured."""
    found = _read(info.calibration)
    measured = [case for case in found.cases if case.tokens] if found else []
    if found is None or not measured:
        return UNKNOWN
    case = max(measured, key=lambda c: (c.streams, c.scheme == _scheme(info)))
    row = _row(case)
    bias = "" if row.ttft_bias_us is None else f"TTFT {row.ttft_bias_us:+.1f} us (mean), "
    when = f", measured {found.started_at[:10]}" if found.started_at else ""
    return f"{bias}token stamps p50 {row.p50_us:.1f} us, p99 {row.p99_us:.1f} us ({row.name}{when})"


def clock_says(info: RunInfo) -> str | None:
    """Return the clock of the machine."""
    here = info.machine
    if here is None:
        return None
    return f"{here.clock_resolution_ns} ns fine, {here.clock_cost_ns} ns to read"


def clocks_say(info: RunInfo) -> list[str]:
    """Return how the clock of each worker on another machine was related to ours."""
    return [_clock_says(clock) for clock in info.worker_clocks]


def _clock_says(clock: WorkerClock) -> str:
    drift = "" if clock.drift_ns is None else f", {clock.drift_ns / NS_PER_US:+.0f} us of drift by the end"
    return (
        f"worker {clock.worker} on {clock.host}: stamps moved by {-clock.offset_ns / NS_PER_MS:+.3f} ms, "
        f"known to {clock.uncertainty_ns / NS_PER_US:.0f} us{drift}; durations are its own clock's"
    )


def _scheme(info: RunInfo) -> str:
    return "tls" if any(t.url.startswith("https") for t in info.targets) else "http"


def _read(calibration: Mapping[str, Any] | None) -> _Calibration | None:
    try:
        return msgspec.convert(calibration, _Calibration) if calibration else None
    except msgspec.ValidationError:
        return None


def _row(case: _Case) -> ErrorRow:
    tokens, read, ttft = case.tokens, case.read_tokens, case.ttft
    scheme = "TLS" if case.scheme == "tls" else case.scheme.upper()
    return ErrorRow(
        name=f"{scheme}, {case.streams} stream{'s' if case.streams != 1 else ''}",
        stamps=case.stamp_kind,
        ttft_bias_us=ttft.bias_us if ttft else None,
        p50_us=tokens.p50_us if tokens else None,
        p99_us=tokens.p99_us if tokens else None,
        max_us=tokens.max_us if tokens else None,
        read_p99_us=read.p99_us if read else None,
    )
