"""Stage by stage: what was asked of the endpoint, what came of it, and whether this client kept its own pace.

Of an open loop both rates are known: that of the schedule (intended starts) and that of the sends. Where
the second falls behind the first, the load was not what it was said to be, and it is said so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lens.arrays.dispatch import np
from lens.history.lean import MISSING
from lens.metrics.distribution import Distribution, percentile
from lens.metrics.ordered_values import ordered_values
from lens.metrics.pacing import CLIENT, WAITED_FOR, allowed_us, late_for
from lens.metrics.table import Table
from lens.metrics.windows import rates_of, stage_window
from lens.units import NS_PER_MS, NS_PER_US, human_duration

# A schedule that falls behind by more than this share was not kept.
KEPT = 0.995
# Fewer values than this have no p95: one in twenty would lie above it.
LEAST_P95 = 20


class StageRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stage of a run."""

    name: str
    requests: int
    failed: int
    asked_per_s: float | None = None  # of the schedule; None in a closed loop
    sent_per_s: float | None = None  # what this client reached
    answered_per_s: float | None = None  # successes by the time they took
    open_mean: float | None = None  # requests under way
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    itl_p50_ms: float | None = None
    itl_p95_ms: float | None = None
    output_tokens_per_s: float | None = None
    lag_p50_us: float | None = None  # of the sends behind their schedule
    lag_p99_us: float | None = None
    late_for: str | None = None  # what made them late: the "client", "connecting", "places" or the "rate limit"
    # Of a closed loop: the requests that began before any had ended, and how long after the first the last was sent.
    first_wave: int | None = None
    first_wave_ms: float | None = None

    @property
    def kept(self) -> bool:
        """The schedule was kept, or there was none. Of a few, one that is a little late is no other rate."""
        if self.asked_per_s is None or self.sent_per_s is None or self.sent_per_s >= KEPT * self.asked_per_s:
            return True
        return self.lag_p99_us is not None and self.lag_p99_us <= allowed_us(self.asked_per_s)


def stage_rows(table: Table, spread: Mapping[str, Distribution] | None = None) -> tuple[StageRow, ...]:
    """Return a row a stage, in the order in which they began; requests of warm-up do not count.

    spread: distributions of all these requests, where they are known.
    """
    tables = stage_tables(table)
    known = spread.get("itl_ms") if spread and len(tables) == 1 else None
    return tuple([_row(one, known) for one in tables])


def stage_tables(table: Table) -> list[Table]:
    """Return the requests of each stage, in the order of `stage_rows`."""
    ordered = table.measured().with_interrupted.started()
    groups = ordered.grouped(ordered.codes("stage").codes)
    stages = [ordered.take(rows) for rows in groups] if len(groups) != 1 else [ordered]
    return [measured for one in stages if len(measured := one.measured())]


def _row(table: Table, itl: Distribution | None) -> StageRow:
    """Return the row of the requests of a stage. itl: of their ITL, where it is known."""
    success = table.success
    ttfts, lags = (np.sort(table.values(name)) for name in ("ttft_ms", "schedule_lag_us"))
    itl_p50_ms, itl_p95_ms = _itl(table, itl)
    window = stage_window(table)
    window_s = window.window_s
    tokens = table.usage("output_tokens")[success]
    tokens = tokens[~np.isnan(tokens)]
    stage = table.codes("stage")
    # In a closed loop of sessions only later turns have a time of their own: that of answers and pauses, no rate.
    rates = rates_of(table)
    wave, wave_ms = _first_wave(table) if rates.asked is None else (None, None)
    return StageRow(
        name=stage.values[stage.codes[0]] if stage.codes[0] >= 0 else "",
        requests=len(table),
        failed=len(table) - int(success.sum()),
        asked_per_s=rates.asked,
        sent_per_s=rates.sent if len(lags) else None,
        answered_per_s=int(success.sum()) / window_s if window_s else None,
        open_mean=window.open_mean,
        ttft_p50_ms=percentile(ttfts, 50) if len(ttfts) else None,
        ttft_p95_ms=percentile(ttfts, 95) if len(ttfts) >= LEAST_P95 else None,
        itl_p50_ms=itl_p50_ms,
        itl_p95_ms=itl_p95_ms,
        output_tokens_per_s=float(tokens.sum()) / window_s if len(tokens) and window_s else None,
        lag_p50_us=percentile(lags, 50) if len(lags) else None,
        lag_p99_us=percentile(lags, 99) if len(lags) else None,
        late_for=late_for(table, rates.asked) if rates.asked is not None else None,
        first_wave=wave,
        first_wave_ms=wave_ms,
    )


def _itl(table: Table, known: Distribution | None) -> tuple[float | None, float | None]:
    """Return the p50 and the p95 of the ITL; many values, which are sorted only where they were not."""
    if known is not None and ("p95" in known.percentiles or known.n < LEAST_P95):
        return known.median, known.percentiles.get("p95")
    gaps = ordered_values(table.pieces("itl_ms")).by_size
    p95 = percentile(gaps, 95) if len(gaps) >= LEAST_P95 else None
    return percentile(gaps, 50) if len(gaps) else None, p95


def _first_wave(table: Table) -> tuple[int | None, float | None]:
    """(requests that began before any had ended, ms from the first send of them to the last), if there are several."""
    table = table.with_interrupted
    starts, sent, end = table.column("start"), table.stamp("send_start"), table.stamp("end")
    ended, was_sent = end != MISSING, sent != MISSING
    if not ended.any():
        return None, None
    sends = (starts + sent)[was_sent & (starts < (starts + end)[ended].min())]
    if len(sends) < 2:
        return None, None
    return len(sends), int(sends.max() - sends.min()) / NS_PER_MS


def pacing_warnings(rows: Sequence[StageRow]) -> tuple[str, ...]:
    """Return what to say of a schedule that was not kept."""
    return tuple([said for row in rows if (said := _warning(row)) is not None])


def _warning(row: StageRow) -> str | None:
    if row.asked_per_s is None or row.lag_p99_us is None:
        return None
    asked, waited_for = f"{row.asked_per_s:.4g} requests/s", WAITED_FOR.get(row.late_for or CLIENT)
    if not row.kept:
        reached = f"{row.sent_per_s:.4g}"
        if waited_for is None:
            return f"this client could not keep {asked} and reached {reached}: use --workers, or a faster machine"
        return f"of {asked} only {reached} were sent: {waited_for}"
    if row.lag_p99_us <= allowed_us(row.asked_per_s):
        return None
    late = human_duration(row.lag_p99_us * NS_PER_US)
    return f"at {asked} sends were up to {late} late (p99): {waited_for or 'this client was busy'}"
