"""Every per-request metric as a column of a batch: float64 in the metric's unit, NaN where not measured.

The same formulas as in definitions.py, for many records at once. A test holds each column to what
definitions.py says of each record alone, so that there is one truth and a fast way to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lens.history.read import MISSING
from lens.metrics.batch import Batch
from lens.metrics.definitions import READING_SPEEDS, STALL_AT_LEAST_NS, STALL_TIMES_MEDIAN
from lens.units import NS_PER_MS, NS_PER_S, NS_PER_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[Any]

_PHASES = ("dns", "tcp", "proxy", "tls")


def _between(start: Column | int, end: Column, unit_ns: int = NS_PER_MS) -> Column:
    """end - start in a unit; NaN where one is absent. A start of 0 is Stamps.start."""
    import numpy as np

    absent = (end == MISSING) | (start == MISSING)
    return np.where(absent, np.nan, np.where(absent, 0, end - start) / unit_ns)


def _span(name: str) -> Callable[[Batch], Column]:
    return lambda b: _between(b.stamps[f"{name}_start"], b.stamps[f"{name}_end"])


def _stamp(name: str) -> Callable[[Batch], Column]:
    return lambda b: _between(0, b.stamps[name])


def _connect(b: Batch) -> Column:
    import numpy as np

    starts = np.array([b.stamps[f"{phase}_start"] for phase in _PHASES])
    ends = np.array([b.stamps[f"{phase}_end"] for phase in _PHASES]).max(axis=0)
    first = np.where(starts == MISSING, np.iinfo(np.int64).max, starts).min(axis=0)
    return _between(np.where((starts == MISSING).all(axis=0), MISSING, first), ends)


def _thinking(b: Batch) -> Column:
    import numpy as np

    took = _between(b.first_of(b.reasoning), b.first_of(b.output))
    return np.where(took < 0, np.nan, took)


def _tpot(b: Batch) -> Column:
    import numpy as np

    first, last = b.first_at(), b.last_at()
    in_first = np.zeros(len(b))
    some = b.n > 0
    in_first[some] = b.tokens[b.first[some]]
    after = b.streamed - in_first
    right = some & (last > first) & (after >= 1)
    return np.where(right, _between(first, last) / np.where(right, after, 1), np.nan)


def _decode_rate(b: Batch) -> Column:
    import numpy as np

    tpot = _tpot(b)
    return 1000 / np.where(tpot > 0, tpot, np.nan)


def _token_rate(b: Batch) -> Column:
    import numpy as np

    total_ms = _between(0, b.stamps["end"])
    return b.usage["output_tokens"] / (np.where(total_ms != 0, total_ms, np.nan) / 1000)


def longest_gap(b: Batch) -> Column:
    """In ns; NaN where there are no gaps."""
    import numpy as np

    gaps, of = b.gaps
    found = np.full(len(b), np.nan)
    if len(gaps):
        begins = np.flatnonzero(np.diff(of, prepend=-1))
        found[of[begins]] = np.maximum.reduceat(gaps, begins)
    return found


def _stalls(b: Batch, weigh: Callable[[Column], Column]) -> Column:
    """The stalls of each record, weighed and added up. Only who has a long gap needs its median."""
    import numpy as np

    longest = longest_gap(b)
    found = np.where(np.isnan(longest), np.nan, 0.0)
    gaps, of = b.gaps
    slow = (longest > STALL_AT_LEAST_NS)[of] if len(of) else np.zeros(0, dtype=bool)
    gaps, of = gaps[slow], of[slow]
    if not len(gaps):
        return found
    order = np.lexsort((gaps, of))
    n = np.bincount(of, minlength=len(b))
    first = np.cumsum(n) - n
    who = np.flatnonzero(n)
    low, high = order[first[who] + (n[who] - 1) // 2], order[first[who] + n[who] // 2]
    limit = np.zeros(len(b))
    limit[who] = np.maximum(STALL_TIMES_MEDIAN * ((gaps[low] + gaps[high]) / 2), STALL_AT_LEAST_NS)
    stalled = gaps > limit[of]
    found[who] = np.bincount(of[stalled], weights=weigh(gaps[stalled]), minlength=len(b))[who]
    return found


def _stall_count(b: Batch) -> Column:
    import numpy as np

    return _stalls(b, np.ones_like)


def _stall_ms(b: Batch) -> Column:
    return _stalls(b, lambda gaps: gaps) / NS_PER_MS


def _reading_misses(per_second: int) -> Callable[[Batch], Column]:
    """Of the k tokens of an event, those with numbers from j on, wanted every `step` after the first event."""

    def misses(b: Batch) -> Column:
        import numpy as np

        step = NS_PER_S // per_second
        who, begins, since, j, tokens = b.reading
        late = np.clip(-(-since // step) - j, 0, tokens)
        found = np.full(len(b), np.nan)
        found[who] = np.add.reduceat(late, begins) if len(begins) else 0
        return found

    return misses


def together(b: Batch) -> Column:
    """Content events of each record that came in the read of the one before."""
    import numpy as np

    same = (b.read[1:] == b.read[:-1]) & (b.of[1:] == b.of[:-1])
    return np.bincount(b.of[1:][same], minlength=len(b))


def _coalescing(b: Batch) -> Column:
    import numpy as np

    return together(b) / np.where(b.n > 0, b.n, np.nan)


def _tcp(row: int, per: int) -> Callable[[Batch], Column]:
    return lambda b: b.tcp[row] / per


def _server(b: Batch) -> Column:
    import numpy as np

    told = [max(r.server_timing_ms.values()) if r.server_timing_ms else np.nan for r in b.records]
    return np.array(told, dtype=np.float64)


def _usage(name: str) -> Callable[[Batch], Column]:
    return lambda b: b.usage[name]


# Of every metric that is one number a request; costs are in pricing.columns, gaps in pooled().
FIGURES: dict[str, Callable[[Batch], Column]] = {
    **{f"{phase}_ms": _span(phase) for phase in (*_PHASES, "send")},
    "connect_ms": _connect,
    "ttfb_ms": _stamp("first_byte"),
    "ttft_ms": lambda b: _between(0, b.first_at()),
    "ttft_from_send_ms": lambda b: _between(b.stamps["send_end"], b.first_at()),
    "ttft_from_schedule_ms": lambda b: _between(b.stamps["intended"], b.first_at()),
    "ttfo_ms": lambda b: _between(0, b.first_of(b.output)),
    "thinking_ms": _thinking,
    "tpot_ms": _tpot,
    "total_latency_ms": _stamp("end"),
    "total_latency_from_schedule_ms": lambda b: _between(b.stamps["intended"], b.stamps["end"]),
    "tokens_per_second": _token_rate,
    "decode_tokens_per_second": _decode_rate,
    "stall_count": _stall_count,
    "stall_ms": _stall_ms,
    "longest_gap_ms": lambda b: longest_gap(b) / NS_PER_MS,
    **{f"reading_misses_{speed}": _reading_misses(speed) for speed in READING_SPEEDS},
    "coalescing": _coalescing,
    "schedule_lag_us": lambda b: _between(b.stamps["intended"], b.stamps["send_start"], NS_PER_US),
    "rtt_ms": _tcp(0, 1000),
    "min_rtt_ms": _tcp(1, 1000),
    "retransmits": _tcp(2, 1),
    "server_ms": _server,
    "input_tokens": _usage("input_tokens"),
    "output_tokens": _usage("output_tokens"),
    "thinking_tokens": _usage("reasoning_tokens"),
    "cached_tokens": _usage("cache_read_tokens"),
}


def pooled(b: Batch, name: str, speaks: Column) -> tuple[Column, Column | None]:
    """All gaps or lags, in ns, of the records that may speak; and, of itl_ms, into how many each is divided."""
    if name == "itl_ms":
        gaps, tokens, of = b.token_gaps()
        return gaps[speaks[of]], tokens[speaks[of]]
    if name == "inter_chunk_ms":
        gaps, of = b.gaps
        return gaps[speaks[of]], None
    return b.lag[(speaks & b.kernel)[b.of]], None
