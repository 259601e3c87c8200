"""InfluxDB line protocol: a point a request, in the plan's form (PLAN 5.2).

Tags are escaped as the protocol wants; a field that was not measured is left out, because a
point without a field is not the same as a zero.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from lens.export.rows import all_figures
from lens.metrics.definitions import counts, metric_named
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

MEASUREMENT = "llm_request"
# The plan's four fields first; "cost" is its name for total_cost.
_FIELDS = ("ttft_ms", "itl_ms", "tokens_per_second", "total_cost", "ttfb_ms", "total_latency_ms", "tpot_ms")
_COUNTS = ("input_tokens", "output_tokens", "stall_count")
_TAG_ESCAPES = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\=", "\n": "\\ ", "\r": "\\ "})


class Influx:
    """A line a request, as it comes."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._book = book

    def begin(self) -> bytes:
        return b""

    def add(self, record: Record) -> bytes:
        return (point(record, self._book) + "\n").encode()

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - every point is out already
        return b""


def point(record: Record, book: PriceBook) -> str:
    """One line of the protocol, without its end."""
    tags = {"provider": record.provider, "model": record.model, "status": record.status.value, **record.labels}
    head = ",".join([MEASUREMENT, *(f"{_tag(k)}={_tag(v)}" for k, v in tags.items() if k and v)])
    found = all_figures(record, book)
    fields: list[str] = []
    for name in _FIELDS:
        value = found[name]
        if value is not None and counts(metric_named(name), record):
            shown = format(value, "f") if isinstance(value, Decimal) else repr(float(value))
            fields.append(f"{'cost' if name == 'total_cost' else name}={shown}")
    fields.extend(f"{name}={found[name]}i" for name in _COUNTS if found[name] is not None)
    fields.append(f"retries={len(record.tries)}i")
    return f"{head} {','.join(fields)} {unix_ns(record.timestamp)}"


def unix_ns(timestamp: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 timestamp; datetime knows only microseconds."""
    whole, _, rest = timestamp.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] if rest else ""
    seconds = datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp()
    return int(seconds) * 1_000_000_000 + int(digits.ljust(9, "0")[:9] or 0)


def _tag(value: str) -> str:
    # A backslash at the end would escape what follows the tag.
    return value.translate(_TAG_ESCAPES).rstrip("\\") or "_"
