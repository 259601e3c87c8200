"""One record as a flat row: the plan's RequestMetrics (PLAN 2.2.4) first, in its order, then ours.

JSON, JSON Lines and CSV all take their fields from here. The plan's fields are always there,
null when not measured; ours are left out then.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from lens.metrics.definitions import Value, figures
from lens.metrics.timeline import timeline
from lens.model import Record, encode_hook
from lens.pricing import PriceBook
from lens.units import ms

# The plan's name of a metric, where it differs from ours; ours is not repeated.
PLAN_NAMES = {
    "dns_ms": "dns_resolution_ms",
    "tcp_ms": "tcp_connection_ms",
    "tls_ms": "tls_handshake_ms",
}


def all_figures(record: Record, book: PriceBook) -> dict[str, Value | None]:
    """Every per-request metric by the name it has in a file."""
    return {PLAN_NAMES.get(metric.name, metric.name): value for metric, value in figures(record, book)}


def error_text(record: Record) -> str | None:
    """What went wrong, in one line; None when nothing did."""
    failure = record.failure
    if failure is None:
        return None
    status = f"HTTP {record.http_status}: " if record.http_status and record.http_status >= 400 else ""
    return " ".join(f"{status}{failure.message}".split())


def token_timings(record: Record) -> list[dict[str, Any]]:
    """The plan's TokenTiming of each content event: since the start, and since the one before."""
    at_ns = timeline(record).at_ns.tolist()
    return [
        {"token_index": i, "timestamp_ms": ms(at), "delta_ms": ms(at - (at_ns[i - 1] if i else 0))}
        for i, at in enumerate(at_ns)
    ]


def plan_row(record: Record, book: PriceBook) -> dict[str, Any]:
    """The plan's RequestMetrics, without token_timings; then every other metric that was measured."""
    found = all_figures(record, book)
    row: dict[str, Any] = {
        "request_id": record.request_id,
        "provider": record.provider,
        "model": record.model,
        "timestamp": record.timestamp,
    }
    for name in (
        "ttfb_ms", "ttft_ms", "total_latency_ms", "input_tokens", "output_tokens", "thinking_tokens",
        "tokens_per_second", "input_cost", "output_cost", "thinking_cost", "total_cost",
        "dns_resolution_ms", "tcp_connection_ms", "tls_handshake_ms",
    ):  # fmt: skip
        row[name] = found.pop(name)
    row["status"] = record.status.value
    row["error"] = error_text(record)
    row.update({name: value for name, value in found.items() if value is not None})
    return row


def _exact(value: Any) -> Any:
    """Money as a JSON number with all its digits and without an exponent."""
    return msgspec.Raw(format(value, "f").encode()) if isinstance(value, Decimal) else value


def full_row(record: Record, book: PriceBook) -> dict[str, Any]:
    """The plan's row and all of the record itself, so that what was exported can be analysed again."""
    row = {name: _exact(value) for name, value in plan_row(record, book).items()}
    raw = msgspec.to_builtins(record, enc_hook=encode_hook)
    row.update({name: value for name, value in raw.items() if name not in row})
    evidence = timeline(record).evidence
    if evidence:
        row["token_evidence"] = evidence
    return row
