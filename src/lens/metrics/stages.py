"""Stage by stage: what was asked of the endpoint, what came of it, and whether this client kept its own pace.

Of an open loop both rates are known: that of the schedule (intended starts) and that of the sends. Where
the second falls behind the first, the load was not what it was said to be, and it is said so.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lens.metrics.definitions import schedule_lag_us, ttft_ms
from lens.metrics.distribution import percentile
from lens.model import Record, Status
from lens.units import NS_PER_S

# A schedule that falls behind by more than this share was not kept.
KEPT = 0.995
# Lag beyond this share of the gap between two starts changes what the endpoint sees.
LAG_SHARE = 0.1


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
    output_tokens_per_s: float | None = None
    lag_p50_us: float | None = None  # of the sends behind their schedule
    lag_p99_us: float | None = None

    @property
    def kept(self) -> bool:
        """The schedule was kept, or there was none."""
        return self.asked_per_s is None or self.sent_per_s is None or self.sent_per_s >= KEPT * self.asked_per_s


def stage_rows(records: Sequence[Record]) -> tuple[StageRow, ...]:
    """A row a stage, in the order in which they began; warm-up requests do not count."""
    by_stage: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda one: one.stamps.start):
        if not record.warmup:
            by_stage.setdefault(record.stage or "", []).append(record)
    return tuple([_row(name, found) for name, found in by_stage.items()])


def _row(name: str, records: list[Record]) -> StageRow:
    done = [record for record in records if record.status is Status.SUCCESS]
    ttfts = sorted(value for record in records if (value := ttft_ms(record)) is not None)
    lags = sorted(value for record in records if (value := schedule_lag_us(record)) is not None)
    ends = [record.stamps.end for record in records if record.stamps.end is not None]
    window_s = (max(ends) - records[0].stamps.start) / NS_PER_S if ends else 0.0
    busy_s = sum(r.stamps.end - r.stamps.start for r in records if r.stamps.end is not None) / NS_PER_S
    tokens = [record.usage.output_tokens for record in done if record.usage and record.usage.output_tokens is not None]
    return StageRow(
        name=name,
        requests=len(records),
        failed=len(records) - len(done),
        asked_per_s=_rate([record.stamps.intended for record in records]),
        sent_per_s=_rate([record.stamps.send_start for record in records]) if lags else None,
        answered_per_s=len(done) / window_s if window_s else None,
        open_mean=busy_s / window_s if window_s else None,
        ttft_p50_ms=percentile(ttfts, 50) if ttfts else None,
        ttft_p95_ms=percentile(ttfts, 95) if len(ttfts) >= 20 else None,
        output_tokens_per_s=sum(tokens) / window_s if tokens and window_s else None,
        lag_p50_us=percentile(lags, 50) if lags else None,
        lag_p99_us=percentile(lags, 99) if lags else None,
    )


def _rate(stamps: Sequence[int | None]) -> float | None:
    """Starts a second between the first and the last; None where they are unknown or all at once."""
    known = sorted(at for at in stamps if at is not None)
    if len(known) < 2 or known[-1] == known[0]:
        return None
    return (len(known) - 1) * NS_PER_S / (known[-1] - known[0])


def pacing_doubts(rows: Sequence[StageRow]) -> tuple[str, ...]:
    """What to say of a schedule that this client did not keep."""
    said = []
    for row in rows:
        if row.asked_per_s is None or row.lag_p99_us is None:
            continue
        gap_us = 1e6 / row.asked_per_s
        if not row.kept:
            said.append(
                f"this client could not keep {row.asked_per_s:.4g} requests/s and reached {row.sent_per_s:.4g}: "
                "use --workers, or a faster machine"
            )
        elif row.lag_p99_us > max(LAG_SHARE * gap_us, 1000):
            said.append(
                f"at {row.asked_per_s:.4g} requests/s sends were up to {row.lag_p99_us / 1000:.3g} ms late (p99): "
                "this client was busy"
            )
    return tuple(said)
