"""InfluxDB line protocol: a point a request.

Tags are escaped as the protocol wants; a field that was not measured is left out, because a
point without a field is not the same as a zero. Two points of one series never share a time:
the database would keep only the later one.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from lens.export.wallclock import start_unix_ns
from lens.history.lean import MISSING
from lens.metrics.columns import Codes
from lens.metrics.definitions import Metric, added_metrics, metric_named
from lens.metrics.rows import combinations, cost_texts, file_name, plain_values
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing import PriceBook

MEASUREMENT = "llm_request"
# Metrics, each a field under its name in files; the cost is called "cost".
_FIELDS = (
    "ttft_ms", "itl_ms", "tokens_per_second", "total_cost", "ttfb_ms", "ttfo_ms", "ttft_from_send_ms",
    "ttft_from_schedule_ms", "total_latency_ms", "tpot_ms", "connect_ms", "dns_ms", "tcp_ms", "tls_ms", "rtt_ms",
    "longest_gap_ms", "client_lag_us",
)  # fmt: skip
_COUNTS = ("input_tokens", "output_tokens", "thinking_tokens", "cached_tokens", "stall_count")
# The protocol has no escape for a line end inside a tag; it becomes a space.
_TAG_ESCAPES = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\=", "\n": "\\ ", "\r": "\\ "})
# Names a label cannot have: those of our tags, and the one that the database keeps for itself.
_RESERVED = {"provider", "model", "target", "status", "time"}
_REMEMBERED = 100_000  # times in use, until the oldest no longer matter
AT_ONCE = 4096  # points in one piece


class InfluxPoints:
    """Makes points of requests, and remembers which times are in use."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, int]] = set()

    def lines(self, table: Table) -> list[bytes]:
        """Return the points of requests, a line each; those of the warm-up are left out."""
        table = table.measured()
        columns = [*[_field(table, metric_named(name)) for name in _FIELDS]]
        columns += [_count(name, plain_values(table.metric(name), whole=True)) for name in _COUNTS]
        columns += [_field(table, metric) for metric in added_metrics()]
        columns.append(_count("retries", table.column("tries").tolist()))
        columns.append(["cost_estimated=true" if guessed else "" for guessed in table.costs.estimated.tolist()])
        fields = [",".join([one for one in row if one]) for row in zip(*columns, strict=True)]
        rows = zip(series_of(table), fields, start_unix_ns(table).tolist(), strict=True)
        return [f"{series} {found}{self._free(series, at_ns)}\n".encode() for series, found, at_ns in rows]

    def _free(self, series: str, at_ns: int) -> str:
        """Return the time of a point, or the next that no point of this series has; none where it is not known."""
        if at_ns == MISSING:
            return ""
        while (series, at_ns) in self._taken:
            at_ns += 1
        if len(self._taken) >= _REMEMBERED:
            self._taken.clear()
        self._taken.add((series, at_ns))
        return f" {at_ns}"


class Influx:
    """The points of a run."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - not in it
        points = InfluxPoints()
        for part in table.slices(AT_ONCE):
            yield b"".join(points.lines(part))


def series_of(table: Table) -> list[str]:
    """Return measurement and tags of each request: what the database indexes by, so nothing that differs by request."""
    found = combinations(*[table.codes(name) for name in ("provider", "model", "target", "status", "labels")])
    return Codes(found.codes, tuple([_series(*values) for values in found.values])).listed()


def _series(provider: str, model: str, target: str, status: str, labels: tuple[tuple[str, str], ...]) -> str:
    tags = {"provider": provider, "model": model, "target": target, "status": status}
    tags |= {f"label_{_tag(k)}" if _tag(k) in _RESERVED else _tag(k): v for k, v in labels}
    return ",".join([MEASUREMENT, *(f"{k}={_tag(v)}" for k, v in tags.items() if v)])


def _field(table: Table, metric: Metric) -> list[str]:
    """Return a metric as a field of each request that may speak for it; "" for others."""
    counted = table.counted(metric.name)
    name = "cost" if metric.name == "total_cost" else file_name(metric)
    if metric.kind == "cost":
        costs = cost_texts(table, metric.name)
        texts = [*[f"{name}={text}" for text in costs.values], ""]
        return [texts[code] for code in np.where(np.isnan(counted), -1, costs.codes).tolist()]
    if not len(counted):
        return []
    texts = msgspec.json.encode(counted.tolist()).decode()[1:-1].split(",")
    return ["" if text == "null" else f"{name}={text}" for text in texts]


def _count(name: str, values: list[int | None]) -> list[str]:
    return ["" if value is None else f"{name}={value}i" for value in values]


def _tag(value: str) -> str:
    # A backslash at the end would escape what follows the tag.
    return value.translate(_TAG_ESCAPES).rstrip("\\") or "_"
