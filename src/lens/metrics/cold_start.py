"""Cold starts, found in records: what a new connection costs, a first request, an idle endpoint, a cold cache.

The cost of a connection comes from pairs, one request over a fresh and one over a kept connection, asked
next to each other, so that drift hits both alike. What the server says of loading its model is kept apart.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lens.arrays.dispatch import array_like, np, numpy_array
from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.intervals import Interval, mean_interval
from lens.metrics.table import Table

# Stages of an idle ladder are named with this; the gap follows.
IDLE_STAGE = "after idle "
BASELINE_STAGE = "warm"
# A first request is cold when it took this many times what the others' spread explains.
OUTLIER = 5.0
FEWEST = 8
# Fewer requests than this have no levels.
LEAST_FOR_LEVELS = 24
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
    change_at: int | None = None  # the number (from 1) of the request from which on TTFT had another level
    change_ms: float | None = None
    load_ms: float | None = None  # the longest that the server says it loaded its model
    cache_hit_from: int | None = None  # the number (from 1) of the first request whose prompt was found in a cache
    cache_saves_ms: float | None = None

    def __bool__(self) -> bool:
        return self != ColdStart()


def cold_start(table: Table) -> ColdStart:
    """Look for every kind."""
    ordered = table.take(table.success).started()
    gaps = idle_gaps(ordered)
    stage = ordered.codes("stage")
    named = [bool(name.startswith(IDLE_STAGE)) for name in stage.values]
    idle = array_like(stage.codes, [*named, False], dtype=bool)
    plain = ordered.take(~idle[stage.codes]) if idle.any() else ordered
    first, baseline = first_request(plain)
    at, by_ms = level_change(plain)
    hit, saves_ms = cache_warm_up(plain)
    loads = [number for number, source in enumerate(ordered.sources) if source in _LOADS]
    took = ordered.listed("timing", "ms")[np.isin(ordered.listed("timing", "source"), loads)]
    return ColdStart(
        penalties=connection_penalties(ordered),
        first_ttft_ms=first,
        baseline_ttft_ms=baseline,
        gaps=gaps,
        cold_after=next((gap.name for gap in gaps if gap.cold), None),
        change_at=at,
        change_ms=by_ms,
        load_ms=float(took.max()) if len(took) and took.max() > 0 else None,
        cache_hit_from=hit,
        cache_saves_ms=saves_ms,
    )


def connection_penalties(table: Table) -> tuple[Penalty, ...]:
    """Return what fresh connections cost by phase; none where all were alike.

    From pairs of neighbours in the schedule of one target, of which the first had a fresh connection.
    """
    if not _meant_pairs(table):
        return ()
    fresh, kept = _pairs(table)
    if not len(fresh):
        return ()
    found = []
    for phase, read in _PHASES.items():
        values = np.nan_to_num(read(table))
        over = values[fresh] - values[kept]
        if "TLS" not in phase or over.any():
            found.append(_penalty(phase, over))
    return tuple(found)


def _tls(*, resumed: bool) -> Callable[[Table], Column]:
    return lambda t: np.where(t.codes("tls_resumed").equal(True) == resumed, t.metric("tls_ms"), 0.0)


_PHASES: dict[str, Callable[[Table], Column]] = {
    "DNS": lambda t: t.metric("dns_ms"),
    "TCP": lambda t: t.metric("tcp_ms"),
    "TLS": _tls(resumed=False),
    "resumed TLS": _tls(resumed=True),
    "first token after the send": lambda t: t.metric("ttft_from_send_ms"),
    "TTFT": lambda t: t.metric("ttft_ms"),
}


def _meant_pairs(table: Table) -> bool:
    """Return whether fresh connections alternated with kept ones by intent; one that just broke is no fair pair."""
    config = table.info.config if table.info else {}
    load = config.get("load")
    return not isinstance(load, dict) or load.get("connection", "reuse") == "both"


def _pairs(table: Table) -> tuple[Column, Column]:
    """Return the rows of requests that were asked as a pair, one target's behind the other's: fresh, kept."""
    order = np.lexsort((table.column("index"), table.column("target_index")))
    target, reused = table.column("target_index")[order], table.codes("reused")
    fresh, kept = reused.equal(False)[order], ~reused.equal(False)[order]
    pair = fresh[:-1] & kept[1:] & (target[1:] == target[:-1])
    return order[:-1][pair], order[1:][pair]


def _penalty(phase: str, series: Column) -> Penalty:
    interval: Interval | None = mean_interval(series)
    return Penalty(
        phase=phase,
        mean_ms=float(series.mean()),
        pairs=len(series),
        low_ms=interval.low if interval else None,
        high_ms=interval.high if interval else None,
    )


def _series(table: Table) -> Column:
    """Return TTFT from the send on, in the order of the starts: without the connection, which is counted apart."""
    values = table.metric("ttft_from_send_ms")
    found: Column = values[~np.isnan(values)]
    return found


def first_request(table: Table) -> tuple[float | None, float | None]:
    """(TTFT of the first request, that of the others) where the first stands out; else (None, None)."""
    values = _series(table)
    if len(values) < FEWEST:
        return None, None
    rest = values[1:]
    middle = float(np.median(rest))
    spread = 1.4826 * float(np.median(np.abs(rest - middle)))
    over = float(values[0]) - middle
    return (float(values[0]), middle) if over > max(OUTLIER * spread, 0.2 * middle) else (None, None)


def level_change(table: Table) -> tuple[int | None, float | None]:
    """(number of the request from which on TTFT had another level, ms), where that is clearest; else (None, None).

    table: in the order of the starts. The first wave is left out: requests that began before any had ended met an
    endpoint in another state than all that came later, and the first of them is looked at by itself.
    """
    if len(table) < LEAST_FOR_LEVELS:
        return None, None
    from lens.metrics.change_points import change_points

    columns = (table.metric("ttft_from_send_ms"), table.column("start"), table.stamp("end"))
    values, start, end = (numpy_array(column) for column in columns)
    ended = end != MISSING
    first_end = int((start + end)[ended].min()) if ended.any() else 0
    there = np.flatnonzero(~np.isnan(values) & (start >= first_end) & (np.arange(len(values)) > 0))
    found = change_points(values[there])
    if not found:
        return None, None
    clearest = min(found, key=lambda change: (change.p_value, -abs(change.relative)))
    return int(there[clearest.at]) + 1, clearest.after - clearest.before


def idle_gaps(table: Table) -> tuple[Gap, ...]:
    """Return a row a gap of the idle ladder, against the warm requests of the same run."""
    stage = table.codes("stage")
    warm = _series(table.take(stage.equal(BASELINE_STAGE)))
    if not len(warm):
        return ()
    middle = float(np.median(warm))
    spread = 1.4826 * float(np.median(np.abs(warm - middle)))
    rows = []
    for asked in table.grouped(stage.codes):
        code = int(stage.codes[asked[0]])
        if code < 0 or not stage.values[code].startswith(IDLE_STAGE):
            continue
        values = _series(table.take(asked))
        if len(values):
            at = float(np.median(values))
            cold = at - middle > max(OUTLIER * spread, 0.2 * middle)
            name = stage.values[code].removeprefix(IDLE_STAGE)
            rows.append(Gap(name=name, requests=len(values), ttft_ms=at, over_warm_ms=at - middle, cold=cold))
    return tuple(rows)


def cache_warm_up(table: Table) -> tuple[int | None, float | None]:
    """(first request with cached tokens, ms of TTFT that this saves); (None, None) where there is no such turn."""
    hits = table.usage("cache_read_tokens") > 0
    if hits.all() or not hits.any():
        return None, None
    at = int(np.argmax(hits))
    without, with_it = _series(table.take(~hits)), _series(table.take(hits))
    if not len(without) or not len(with_it):
        return at + 1, None
    return at + 1, float(np.median(without) - np.median(with_it))
