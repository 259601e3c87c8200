"""HdrHistogram log (format 1.2): one histogram a metric, told apart by its tag.

Values are nanoseconds, three digits of each are kept; the interval's maximum is in milliseconds,
as the log's readers expect by default. Histograms of several logs can be added up without loss.
"""

from __future__ import annotations

from typing import Any

from lens.export.extras import need
from lens.export.wallclock import end_unix_ns, start_unix_ns, unix_ns
from lens.metrics.definitions import METRICS, counts, pooled_values
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook
from lens.units import NS_PER_MS, NS_PER_S

# Tag -> metric.
TAGS = {
    "ttft": "ttft_ms",
    "ttft_from_schedule": "ttft_from_schedule_ms",
    "ttfb": "ttfb_ms",
    "itl": "itl_ms",
    "tpot": "tpot_ms",
    "total_latency": "total_latency_ms",
    "total_latency_from_schedule": "total_latency_from_schedule_ms",
}
LOWEST_NS, HIGHEST_NS, DIGITS = 1, 3600 * NS_PER_S, 3
MAX_VALUE_UNIT_RATIO = 1_000_000  # the readers' default: nanoseconds to milliseconds


class HdrLog:
    """Gathers, and writes a line a tag at the end."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._kind = need("hdrh.histogram", "hdrhistogram", "--export hdrhistogram").HdrHistogram
        self._histograms: dict[str, Any] = {}
        self._first_ns = self._last_ns = unix_ns(info.started_at)

    def begin(self) -> bytes:
        start_s = self._first_ns / NS_PER_S
        return (
            "#[Histogram log format version 1.2]\n"
            f"#[StartTime: {start_s:.3f} (seconds since epoch)]\n"
            "#[Values are nanoseconds]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
        ).encode()

    def add(self, record: Record) -> bytes:
        if record.warmup:
            return b""
        self._last_ns = max(self._last_ns, end_unix_ns(record) or start_unix_ns(record))
        for tag, name in TAGS.items():
            metric = METRICS[name]
            if not counts(metric, record):
                continue
            if metric.kind == "gap":
                self._record_all(tag, pooled_values(metric, record))
            elif metric.of is not None:
                value_ms = metric.of(record)
                if value_ms is not None:
                    self._record(tag, round(value_ms * NS_PER_MS), 1)
        return b""

    def _record_all(self, tag: str, values_ms: Any) -> None:
        import numpy as np

        values, times = np.unique(np.rint(values_ms * NS_PER_MS).astype(np.int64), return_counts=True)
        for value, count in zip(values.tolist(), times.tolist(), strict=True):
            self._record(tag, value, count)

    def _record(self, tag: str, value_ns: int, count: int) -> None:
        """A value outside the range is kept as its nearest end, never dropped."""
        found = self._histograms.get(tag)
        if found is None:
            found = self._histograms[tag] = self._kind(LOWEST_NS, HIGHEST_NS, DIGITS)
        found.record_value(min(max(value_ns, LOWEST_NS), HIGHEST_NS), count)

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - everything was gathered by add
        start_s, length_s = self._first_ns / NS_PER_S, (self._last_ns - self._first_ns) / NS_PER_S
        lines = [
            f"Tag={tag},{start_s:.3f},{length_s:.3f},{found.get_max_value() / MAX_VALUE_UNIT_RATIO:.3f},"
            f"{found.encode().decode()}\n"
            for tag, found in self._histograms.items()
        ]
        return "".join(lines).encode()
