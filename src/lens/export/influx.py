"""InfluxDB line protocol: a point a request, in the plan's form (PLAN 5.2).

Tags are escaped as the protocol wants; a field that was not measured is left out, because a
point without a field is not the same as a zero. Two points of one series never share a time:
the database would keep only the later one.
"""

from __future__ import annotations

from decimal import Decimal

from lens.export.wallclock import unix_ns
from lens.metrics.definitions import counts, metric_named
from lens.metrics.rows import all_figures
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

MEASUREMENT = "llm_request"
# The plan's four fields first; "cost" is its name for total_cost.
_FIELDS = (
    "ttft_ms", "itl_ms", "tokens_per_second", "total_cost", "ttfb_ms", "ttfo_ms", "ttft_from_send_ms",
    "ttft_from_schedule_ms", "total_latency_ms", "tpot_ms", "connect_ms", "dns_resolution_ms", "tcp_connection_ms",
    "tls_handshake_ms", "rtt_ms", "longest_gap_ms", "client_lag_us",
)  # fmt: skip
_OURS = {"dns_resolution_ms": "dns_ms", "tcp_connection_ms": "tcp_ms", "tls_handshake_ms": "tls_ms"}
_COUNTS = ("input_tokens", "output_tokens", "thinking_tokens", "cached_tokens", "stall_count")
# The protocol has no escape for a line end inside a tag; it becomes a space.
_TAG_ESCAPES = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\=", "\n": "\\ ", "\r": "\\ "})
# Names a label cannot have: those of our tags, and the one that the database keeps for itself.
_RESERVED = {"provider", "model", "status", "time"}
_REMEMBERED = 100_000  # times in use, until the oldest no longer matter


class Influx:
    """A line a request, as it comes."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._book = book
        self._taken: set[tuple[str, int]] = set()

    def begin(self) -> bytes:
        return b""

    def add(self, record: Record) -> bytes:
        if record.warmup:
            return b""
        series, at_ns = series_of(record), unix_ns(record.timestamp)
        while (series, at_ns) in self._taken:
            at_ns += 1
        if len(self._taken) >= _REMEMBERED:
            self._taken.clear()
        self._taken.add((series, at_ns))
        return f"{series} {_fields(record, self._book)} {at_ns}\n".encode()

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - every point is out already
        return b""


def point(record: Record, book: PriceBook) -> str:
    """One line of the protocol, without its end."""
    return f"{series_of(record)} {_fields(record, book)} {unix_ns(record.timestamp)}"


def series_of(record: Record) -> str:
    """Measurement and tags; what the database indexes by, so nothing that differs by request."""
    ours = {"provider": record.provider, "model": record.model, "status": record.status.value}
    labels = {f"label_{_tag(k)}" if _tag(k) in _RESERVED else _tag(k): v for k, v in record.labels.items()}
    tags = {**ours, **labels}
    return ",".join([MEASUREMENT, *(f"{k}={_tag(v)}" for k, v in tags.items() if v)])


def _fields(record: Record, book: PriceBook) -> str:
    found = all_figures(record, book)
    fields: list[str] = []
    for name in _FIELDS:
        value = found[name]
        if value is not None and counts(metric_named(_OURS.get(name, name)), record):
            shown = format(value, "f") if isinstance(value, Decimal) else repr(float(value))
            fields.append(f"{'cost' if name == 'total_cost' else name}={shown}")
    fields.extend(f"{name}={found[name]}i" for name in _COUNTS if found[name] is not None)
    fields.append(f"retries={len(record.tries)}i")
    return ",".join(fields)


def _tag(value: str) -> str:
    # A backslash at the end would escape what follows the tag.
    return value.translate(_TAG_ESCAPES).rstrip("\\") or "_"
