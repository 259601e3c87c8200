"""The numbers behind the page's drawings: bins, steps, series over time; bounded whatever the run's size.

Drawings are computed from all values (or an even thinning of them), so that the page stays
small and its lines stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import TYPE_CHECKING, Any

from lens.metrics.definitions import METRICS, measure
from lens.model import Status
from lens.report.html.series import DRAWN, Series
from lens.report.time_series import course_of
from lens.units import NS_PER_S, ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 48  # of a histogram
STEPS = 240  # of a cumulative distribution
SLICES = (24, 120)  # of a run's duration: at least, at most; between them one for three requests
DOTS = 2_000  # requests drawn as dots, all series together
# From this many times the least value up, a logarithmic axis shows more.
LOG_FROM = 40


def histograms(found: Sequence[Series]) -> dict[str, Any]:
    """Of each metric: common bins, and for each series its counts and its cumulative distribution."""
    drawn: dict[str, Any] = {}
    for name in DRAWN:
        columns = [_ordered(series.values[name]) for series in found]
        if not any(len(c) for c in columns):
            continue
        edges, logarithmic = _edges([c for c in columns if len(c)])
        drawn[name] = {
            "log": logarithmic,
            "unit": METRICS[name].unit,
            "edges": [_short(e) for e in edges],
            "counts": [_binned(c, edges) for c in columns],
            "cdf": [steps(c) for c in columns],
        }
    return drawn


def _ordered(values: Any) -> NDArray[Any]:
    import numpy as np

    return np.sort(np.frombuffer(values, dtype=np.float64)) if len(values) else np.zeros(0)


def _edges(columns: Sequence[NDArray[Any]]) -> tuple[list[float], bool]:
    """Bins from the least value to the p99.5 of the widest; what lies above is in the last bin."""
    import numpy as np

    low = min(float(c[0]) for c in columns)
    high = max(float(c[min(int(len(c) * 0.995), len(c) - 1)]) for c in columns)
    if high <= low:
        pad = abs(low) * 0.05 or 0.5
        low, high = low - pad, high + pad
    # The bulk decides, so that one value near zero does not stretch the axis over decades.
    floor_value = max(min(float(c[int(len(c) * 0.005)]) for c in columns), 1e-3)
    if high / floor_value > LOG_FROM:
        return [float(e) for e in np.geomspace(floor_value, high, BINS + 1)], True
    return [float(e) for e in np.linspace(low, high, BINS + 1)], False


def _binned(ordered: NDArray[Any], edges: Sequence[float]) -> list[int]:
    """Counts; the first and the last bin also hold what lies beyond."""
    import numpy as np

    if not len(ordered):
        return []
    counts, _ = np.histogram(np.clip(ordered, edges[0], edges[-1]), bins=np.asarray(edges))
    return [int(c) for c in counts]


def steps(ordered: NDArray[Any]) -> list[list[float]]:
    """The cumulative distribution as [value, share of values not above it]; the tail is kept in full."""
    import numpy as np

    n = len(ordered)
    if n <= STEPS:
        return [[_short(float(v)), round((i + 1) / n, 6)] for i, v in enumerate(ordered)]
    # Even in the bulk, and ever closer towards the end, where the question is p99 or p99.9.
    shares = np.concatenate((np.linspace(0, 0.98, STEPS - 60), 1 - np.geomspace(0.02, 1 / n, 60)))
    ranks = np.unique(np.append(np.clip(np.ceil(shares * n).astype(int), 1, n), n))
    return [[_short(float(ordered[r - 1])), round(float(r) / n, 6)] for r in ranks]


def slice_s(found: Sequence[Series]) -> float:
    """Width of the slices of time: one of 1, 2, 5 times a power of ten, for all series."""
    slices = min(max(max((len(s.records) for s in found), default=0) // 3, SLICES[0]), SLICES[1])
    wanted = max((s.span_ns for s in found), default=NS_PER_S) / NS_PER_S / slices
    power = 10.0 ** floor(log10(wanted))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= wanted * 0.999)


def over_time(series: Series, step_s: float) -> dict[str, Any]:
    """Requests open (mean of each slice), answers and tokens a second, failures; from the run's start."""
    found = course_of(series.records, series.arrivals(), zero_ns=series.zero_ns, step_ns=round(step_s * NS_PER_S))
    return {
        "open": [_short(v) for v in found.open],
        "requests": [_short(v) for v in found.requests],
        "tokens": [_short(v) for v in found.tokens],
        "failed": [int(v) for v in found.failed],
    }


def dots(found: Sequence[Series]) -> list[list[list[float | int | None]]]:
    """Requests as [seconds, TTFT, total, index, failed], evenly picked; failures are not picked less."""
    each = max(DOTS // max(len(found), 1), 50)
    drawn: list[list[list[float | int | None]]] = []
    for series in found:
        failures = [r for r in series.records if r.status is not Status.SUCCESS]
        others = [r for r in series.records if r.status is Status.SUCCESS]
        picked = [*evenly(others, each * 3 // 4), *evenly(failures, each // 4)]
        drawn.append([_dot(r, series.zero_ns) for r in sorted(picked, key=lambda r: r.stamps.start)])
    return drawn


def _dot(record: Any, zero_ns: int) -> list[float | int | None]:
    stamps = record.stamps
    ttft = measure("ttft_ms", record)
    total = ms(stamps.end - stamps.start) if stamps.end is not None else None
    failed = 0 if record.status is Status.SUCCESS else 1
    at_s = (stamps.start - zero_ns) / NS_PER_S
    return [round(at_s, 4), _maybe(ttft), _maybe(total), record.index, failed]


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many, spread evenly over all; the first and the last are among them."""
    if len(items) <= most:
        return list(items)
    if most < 2:
        return list(items[:most])
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _maybe(value: float | int | None) -> float | None:
    return None if value is None else _short(float(value))


def _short(value: float) -> float:
    """Six significant digits: more than any screen shows."""
    return float(f"{value:.6g}")
