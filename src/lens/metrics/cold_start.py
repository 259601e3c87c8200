"""Cold starts, found in records: what a new connection costs, a first request, an idle endpoint, a cold cache.

The cost of a connection comes from pairs, one request over a fresh and one over a kept connection, asked
next to each other, so that drift hits both alike. What the server says of loading its model is kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lens.metrics.definitions import between, ttft_from_send_ms, ttft_ms
from lens.metrics.intervals import Interval, mean_interval
from lens.model import Record, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Stages of an idle ladder are named with this; the gap follows.
IDLE_STAGE = "after idle "
BASELINE_STAGE = "warm"
# A first request is cold when it took this many times what the others' spread explains.
OUTLIER = 5.0
# A shift of the level counts when it is larger than this many standard errors.
SHIFT = 5.0
FEWEST = 8
_LOADS = ("ollama_load",)


class Penalty(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What fresh connections cost more than kept ones, in one phase."""

    phase: str
    mean_ms: float
    pairs: int
    low_ms: float | None = None  # 95 % interval; None: too few pairs
    high_ms: float | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an endpoint did after being left alone."""

    name: str
    requests: int
    ttft_ms: float  # median
    over_warm_ms: float
    cold: bool


class ColdStart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that was found; what was not looked for or not there is absent."""

    penalties: tuple[Penalty, ...] = ()
    first_ttft_ms: float | None = None  # where the first request stands out
    baseline_ttft_ms: float | None = None
    gaps: tuple[Gap, ...] = ()
    cold_after: str | None = None  # the shortest gap after which the endpoint was cold
    change_at: int | None = None  # the request from which on TTFT had another level
    change_ms: float | None = None
    load_ms: float | None = None  # the longest that the server says it loaded its model
    cache_hit_from: int | None = None  # the first request whose prompt was found in a cache
    cache_saves_ms: float | None = None

    def __bool__(self) -> bool:
        return self != ColdStart()


def cold_start(records: Sequence[Record]) -> ColdStart:
    """Look for every kind."""
    ordered = sorted((r for r in records if r.status is Status.SUCCESS), key=lambda record: record.stamps.start)
    gaps = idle_gaps(ordered)
    plain = [record for record in ordered if not (record.stage or "").startswith(IDLE_STAGE)]
    first, baseline = first_request(plain)
    at, by_ms = level_change(plain)
    hit, saves_ms = cache_warm_up(plain)
    loads = [took for r in ordered for name, took in r.server_timing_ms.items() if name in _LOADS]
    return ColdStart(
        penalties=connection_penalties(ordered),
        first_ttft_ms=first,
        baseline_ttft_ms=baseline,
        gaps=gaps,
        cold_after=next((gap.name for gap in gaps if gap.cold), None),
        change_at=at,
        change_ms=by_ms,
        load_ms=max(loads) if loads and max(loads) > 0 else None,
        cache_hit_from=hit,
        cache_saves_ms=saves_ms,
    )


def connection_penalties(records: Sequence[Record]) -> tuple[Penalty, ...]:
    """By phase, from pairs of neighbours of which one had a fresh connection; none where all were alike."""
    pairs = list(_pairs(records))
    if not pairs:
        return ()
    found = []
    for phase, read in _PHASES.items():
        values = [fresh - kept for fresh, kept in ((read(a), read(b)) for a, b in pairs) if fresh is not None]
        if values and ("TLS" not in phase or any(values)):
            found.append(_penalty(phase, values))
    return tuple(found)


def _phase(start: str, end: str) -> Callable[[Record], float]:
    return lambda record: between(record, start, end) or 0.0


def _tls(*, resumed: bool) -> Callable[[Record], float]:
    def read(record: Record) -> float:
        was = bool(record.connection and record.connection.tls_resumed)
        return (between(record, "tls_start", "tls_end") or 0.0) if was is resumed else 0.0

    return read


_PHASES: dict[str, Callable[[Record], Any]] = {
    "DNS": _phase("dns_start", "dns_end"),
    "TCP": _phase("tcp_start", "tcp_end"),
    "TLS": _tls(resumed=False),
    "resumed TLS": _tls(resumed=True),
    "first token after the send": lambda record: ttft_from_send_ms(record) or 0.0,
    "TTFT": lambda record: ttft_ms(record) or 0.0,
}


def _pairs(records: Sequence[Record]) -> Any:
    """(fresh, kept) of requests that were asked as a pair: of one target, one after the other in the schedule."""
    by_target: dict[int, list[Record]] = {}
    for record in sorted(records, key=lambda one: one.index):
        by_target.setdefault(record.target, []).append(record)
    for asked in by_target.values():
        at = 0
        while at + 1 < len(asked):
            a, b = asked[at], asked[at + 1]
            fresh = [one.connection is not None and not one.connection.reused for one in (a, b)]
            if fresh == [True, False]:
                yield a, b
                at += 2
            else:
                at += 1


def _penalty(phase: str, values: Sequence[float]) -> Penalty:
    import numpy as np

    series = np.asarray(values, dtype=np.float64)
    interval: Interval | None = mean_interval(series)
    return Penalty(
        phase=phase,
        mean_ms=float(series.mean()),
        pairs=len(series),
        low_ms=interval.low if interval else None,
        high_ms=interval.high if interval else None,
    )


def _series(records: Sequence[Record]) -> NDArray[Any]:
    """TTFT from the send on, in the order of the starts: without the connection, which is counted apart."""
    import numpy as np

    return np.asarray([v for r in records if (v := ttft_from_send_ms(r)) is not None], dtype=np.float64)


def first_request(records: Sequence[Record]) -> tuple[float | None, float | None]:
    """(TTFT of the first request, that of the others) where the first stands out; else (None, None)."""
    import numpy as np

    values = _series(records)
    if len(values) < FEWEST:
        return None, None
    rest = values[1:]
    middle = float(np.median(rest))
    spread = 1.4826 * float(np.median(np.abs(rest - middle)))
    over = float(values[0]) - middle
    return (float(values[0]), middle) if over > max(OUTLIER * spread, 0.2 * middle) else (None, None)


def level_change(records: Sequence[Record]) -> tuple[int | None, float | None]:
    """(request, ms) from which on TTFT had another level, by the split that explains most; else (None, None).

    The first request is left out: it is looked at by itself. Ranks are compared, so that single slow
    requests move nothing.
    """
    import numpy as np

    values = _series(records)[1:]
    n = len(values)
    if n < 4 * FEWEST:
        return None, None
    ranks = np.argsort(np.argsort(values)).astype(np.float64)
    sums = np.cumsum(ranks - ranks.mean())[:-1]
    left = np.arange(1, n)
    # Each split's sum in units of its own spread under no change (Wilcoxon's rank sum).
    scores = np.abs(sums) / np.sqrt(left * (n - left) * (n + 1) / 12)
    inside = slice(FEWEST - 1, n - FEWEST)
    at = int(np.argmax(scores[inside])) + FEWEST
    if scores[at - 1] < SHIFT:
        return None, None
    return at + 1, float(np.median(values[at:]) - np.median(values[:at]))


def idle_gaps(records: Sequence[Record]) -> tuple[Gap, ...]:
    """A row a gap of the idle ladder, against the warm requests of the same run."""
    import numpy as np

    warm = _series([record for record in records if record.stage == BASELINE_STAGE])
    if not len(warm):
        return ()
    middle = float(np.median(warm))
    spread = 1.4826 * float(np.median(np.abs(warm - middle)))
    by_gap: dict[str, list[Record]] = {}
    for record in records:
        if (record.stage or "").startswith(IDLE_STAGE):
            by_gap.setdefault((record.stage or "").removeprefix(IDLE_STAGE), []).append(record)
    rows = []
    for name, found in by_gap.items():
        values = _series(found)
        if len(values):
            at = float(np.median(values))
            cold = at - middle > max(OUTLIER * spread, 0.2 * middle)
            rows.append(Gap(name=name, requests=len(values), ttft_ms=at, over_warm_ms=at - middle, cold=cold))
    return tuple(rows)


def cache_warm_up(records: Sequence[Record]) -> tuple[int | None, float | None]:
    """(first request with cached tokens, ms of TTFT that this saves); (None, None) where there is no such turn."""
    import numpy as np

    hits = [bool(record.usage and record.usage.cache_read_tokens) for record in records]
    if all(hits) or not any(hits):
        return None, None
    at = hits.index(True)
    without = _series([r for r, hit in zip(records, hits, strict=True) if not hit])
    with_it = _series([r for r, hit in zip(records, hits, strict=True) if hit])
    if not len(without) or not len(with_it):
        return at + 1, None
    return at + 1, float(np.median(without) - np.median(with_it))
