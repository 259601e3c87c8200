"""HdrHistogram log (format 1.2): one histogram a metric, told apart by its tag.

Values are nanoseconds, three digits of each are kept; the interval's maximum is in milliseconds,
as the log's readers expect by default. Histograms of several logs can be added up without loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from lens.export.extras import need
from lens.export.wallclock import end_unix_ns, unix_ns
from lens.metrics.columns import Column
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
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


# Values below 2^this are kept as they are; of greater ones so many leading bits (2^11 >= 2 * 10^DIGITS).
_EXACT_BITS = 11


class HdrLog:
    """A line a tag."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        """
        Raises:
            ConfigError: the library is not installed.
        """
        self._kind = need("hdrh.histogram", "hdrhistogram", "--export hdrhistogram").HdrHistogram

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - not in it
        began_ns = unix_ns(info.started_at)
        start_s = began_ns / NS_PER_S
        yield (
            "#[Histogram log format version 1.2]\n"
            f"#[StartTime: {start_s:.3f} (seconds since epoch)]\n"
            "#[Values are nanoseconds]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
        ).encode()
        measured = table.measured()
        length_s = (int(end_unix_ns(measured).max(initial=began_ns)) - began_ns) / NS_PER_S
        for tag, name in TAGS.items():
            parts = [_distinct(part.pooled(name).values) for part in measured.slices()]
            found = self._kind(LOWEST_NS, HIGHEST_NS, DIGITS)
            for value, count in chain.from_iterable(parts):
                found.record_value(value, count)
            if found.get_total_count():
                most = f"{found.get_max_value() / MAX_VALUE_UNIT_RATIO:.3f}"
                yield f"Tag={tag},{start_s:.3f},{length_s:.3f},{most},{found.encode().decode()}\n".encode()


def _distinct(values_ms: Column) -> list[tuple[int, int]]:
    """Return times in ns that a histogram tells apart, and how many there are of each.

    One outside the range is kept as its nearest end, never dropped.
    """
    values = np.clip(np.rint(values_ms * NS_PER_MS), LOWEST_NS, HIGHEST_NS).astype(np.int64)
    lost_bits = np.maximum(np.frexp(values.astype(np.float64))[1] - _EXACT_BITS, 0)
    distinct, counts = np.unique(values >> lost_bits << lost_bits, return_counts=True)
    return list(zip(distinct.tolist(), counts.tolist(), strict=True))
