"""From records to a summary: counts, distributions, throughput, money, doubts.

One pass over any iterable of records; a failed request is counted, never dropped, and speaks
only for what it still measured. Percentiles are nearest rank (Hyndman and Fan 1996, definition 1):
a value that was measured, never one between two.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import msgspec

from lens.metrics.definitions import METRICS, PER_REQUEST, Metric, counts, pooled_values
from lens.metrics.doubts import doubts
from lens.metrics.timeline import timeline
from lens.model import Record, RunInfo, Status
from lens.pricing import Cost, PriceBook
from lens.units import NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
HISTOGRAM_BINS = 12  # at most; fewer for few values


class Histogram(msgspec.Struct, frozen=True):
    """Counts in bins of one width; the last bin also holds all that is above it."""

    edges: tuple[float, ...]  # one more than counts
    counts: tuple[int, ...]


class Distribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values of one metric."""

    metric: str
    unit: str
    n: int
    min: float
    max: float
    mean: float
    std_dev: float | None  # of the sample; None for one value
    median: float
    percentiles: dict[str, float]  # "p99" -> value
    needs: dict[str, int] = {}  # "p99.9" -> how many values it would need, where there are fewer
    histogram: Histogram | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says, in figures."""

    requests: int
    successes: int
    by_status: dict[str, int]
    by_category: dict[str, int]
    examples: dict[str, str]  # category -> the first message of it
    window_s: float | None  # first start to last end
    success_rate: float | None
    requests_per_second: float | None
    output_tokens_per_second: float | None
    concurrency_mean: float | None  # sum of latencies / window
    input_tokens: int | None
    output_tokens: int | None
    total_cost: Decimal | None
    cost_per_request: Decimal | None
    unpriced: int  # successes without a cost
    unpriced_reason: str | None
    distributions: dict[str, Distribution]
    retries: int
    connections_opened: int
    coalesced_share: float | None  # over all content events
    stamp_kinds: dict[str, int]
    token_evidence: dict[str, int]  # who counted tokens per event -> requests
    server_timing_ms: dict[str, Distribution]
    warnings: tuple[str, ...] = ()


def percentile(ordered: Sequence[float] | NDArray[Any], percent: float) -> float:
    """The smallest value that at least this percentage of all values does not exceed.

    Raises:
        ValueError: there are no values, or percent is outside 0..100.
    """
    if not len(ordered) or not 0 <= percent <= 100:
        raise ValueError(f"no percentile {percent} of {len(ordered)} values")
    rank = ceil(Fraction(str(percent)) * len(ordered) / 100)
    return float(ordered[max(rank, 1) - 1])


def values_needed(percent: float) -> int:
    """How many values a percentile needs so that one of them may lie beyond it: 100 for p99."""
    beyond = 100 - Fraction(str(percent))
    return ceil(100 / beyond) if percent > 50 and beyond else 1


def percentile_name(percent: float) -> str:
    """p50, p99.9"""
    return f"p{percent:g}"


def distribution(
    metric: str, unit: str, values: Sequence[float] | NDArray[Any], percents: Sequence[float] = PERCENTILES
) -> Distribution | None:
    """Describe values in any order; None when there are none."""
    import numpy as np

    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if n == 0:
        return None
    can = [p for p in percents if n >= values_needed(p)]
    return Distribution(
        metric=metric,
        unit=unit,
        n=n,
        min=float(ordered[0]),
        max=float(ordered[-1]),
        mean=float(ordered.mean()),
        std_dev=float(ordered.std(ddof=1)) if n > 1 else None,
        median=percentile(ordered, 50),
        percentiles={percentile_name(p): percentile(ordered, p) for p in can},
        needs={percentile_name(p): values_needed(p) for p in percents if p not in can},
        histogram=_histogram(ordered),
    )


def _histogram(ordered: NDArray[Any]) -> Histogram | None:
    """Equal bins from the least value to the p95 and a bit; what lies above is in the last."""
    import numpy as np

    low, high = float(ordered[0]), percentile(ordered, 95)
    if len(ordered) < 2 or high <= low:
        return None
    top = min(float(ordered[-1]), high + (high - low) / 4)
    edges = np.linspace(low, top, min(HISTOGRAM_BINS, ceil(len(ordered) ** 0.5) + 1) + 1)
    binned, _ = np.histogram(np.minimum(ordered, top), bins=edges)
    return Histogram(tuple(float(e) for e in edges), tuple(int(c) for c in binned))


class Collector:
    """Takes records one by one, so that a run is summarised while it goes on."""

    def __init__(self, book: PriceBook | None = None) -> None:
        self._book = book or PriceBook()
        self._columns: dict[str, array[float]] = {}
        self._server: dict[str, array[float]] = {}
        self._statuses: Counter[str] = Counter()
        self._categories: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._evidence: Counter[str] = Counter()
        self._stamp_kinds: Counter[str] = Counter()
        self._tokens: dict[str, int | None] = {"input_tokens": None, "output_tokens": None}
        self._cost: Decimal | None = None
        self._priced = self._unpriced = 0
        self._reason: str | None = None
        self._retries = self._opened = self._content = self._coalesced = 0
        self._busy_ns = 0
        self._first_ns: int | None = None
        self._last_ns: int | None = None

    def add(self, record: Record) -> None:
        """Count one request and take its figures; one of the warm-up is neither counted nor taken."""
        if record.warmup:
            return
        self._statuses[record.status.value] += 1
        self._categories[record.category] += 1
        if record.failure:
            self._examples.setdefault(record.category, record.failure.message)
        self._retries += len(record.tries)
        if record.connection and not record.connection.reused:
            self._opened += 1
        self._span(record)
        cost = self._book.cost(record)
        for metric in PER_REQUEST:
            if not counts(metric, record):
                continue
            if metric.kind == "gap":
                self._pool(metric, record)
                continue
            value = metric.of(record) if metric.of else getattr(cost, metric.name)
            if value is not None:
                self._columns.setdefault(metric.name, array("d")).append(float(value))
        for source, took_ms in record.server_timing_ms.items():
            self._server.setdefault(source, array("d")).append(took_ms)
        if record.status is Status.SUCCESS:
            self._success(record, cost)

    def _span(self, record: Record) -> None:
        start, end = record.stamps.start, record.stamps.end
        self._first_ns = start if self._first_ns is None else min(self._first_ns, start)
        if end is not None:
            self._last_ns = end if self._last_ns is None else max(self._last_ns, end)
            self._busy_ns += end - start

    def _pool(self, metric: Metric, record: Record) -> None:
        import numpy as np

        values = np.ascontiguousarray(pooled_values(metric, record), dtype=np.float64)
        if len(values):
            self._columns.setdefault(metric.name, array("d")).frombytes(values.tobytes())

    def _success(self, record: Record, cost: Cost) -> None:
        line = timeline(record)
        if line.evidence:
            self._evidence[line.evidence] += 1
            self._stamp_kinds[record.stamp_kind] += 1
        self._content += len(line.read)
        self._coalesced += int((line.read[1:] == line.read[:-1]).sum())
        if record.usage:
            for name in self._tokens:
                said = getattr(record.usage, name)
                if said is not None:
                    self._tokens[name] = (self._tokens[name] or 0) + said
        if cost.total_cost is None:
            self._unpriced += 1
            self._reason = self._reason or cost.reason
        else:
            self._priced += 1
            self._cost = (self._cost or Decimal(0)) + cost.total_cost

    def summary(self, info: RunInfo | None = None, percents: Sequence[float] = PERCENTILES) -> Summary:
        """What was taken so far."""
        requests, successes = self._statuses.total(), self._statuses[Status.SUCCESS.value]
        window_s = None
        if self._first_ns is not None and self._last_ns is not None and self._last_ns > self._first_ns:
            window_s = (self._last_ns - self._first_ns) / NS_PER_S
        output = self._tokens["output_tokens"]
        described = {
            name: distribution(name, METRICS[name].unit, self._columns[name], percents)
            for name in METRICS
            if name in self._columns
        }
        served = {name: distribution(name, "ms", values, percents) for name, values in self._server.items()}
        found = Summary(
            requests=requests,
            successes=successes,
            by_status=dict(self._statuses.most_common()),
            by_category=dict(self._categories.most_common()),
            examples=dict(self._examples),
            window_s=window_s,
            success_rate=successes / requests if requests else None,
            requests_per_second=successes / window_s if window_s else None,
            output_tokens_per_second=output / window_s if window_s and output is not None else None,
            concurrency_mean=self._busy_ns / NS_PER_S / window_s if window_s else None,
            input_tokens=self._tokens["input_tokens"],
            output_tokens=output,
            total_cost=self._cost,
            cost_per_request=self._cost / self._priced if self._cost is not None else None,
            unpriced=self._unpriced,
            unpriced_reason=self._reason,
            distributions={name: d for name, d in described.items() if d},
            retries=self._retries,
            connections_opened=self._opened,
            coalesced_share=self._coalesced / self._content if self._content else None,
            stamp_kinds=dict(self._stamp_kinds),
            token_evidence=dict(self._evidence),
            server_timing_ms={name: d for name, d in served.items() if d},
        )
        return msgspec.structs.replace(found, warnings=(*(info.warnings if info else ()), *doubts(found)))


def summarize(records: Iterable[Record], info: RunInfo | None = None, book: PriceBook | None = None) -> Summary:
    """All of a run in one go."""
    collector = Collector(book)
    for record in records:
        collector.add(record)
    return collector.summary(info)
