"""The figures of requests as plain values, by the names that they have in files."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from lens.metrics.columns import Column
from lens.metrics.definitions import Metric, request_metrics
from lens.metrics.table import Table
from lens.units import NS_PER_MS

# The name of a metric in files, where it differs from that of its definition.
FILE_NAMES = {
    "dns_ms": "dns_resolution_ms",
    "tcp_ms": "tcp_connection_ms",
    "tls_ms": "tls_handshake_ms",
}
WHOLE_UNITS = ("tokens", "count")  # of metrics that are whole numbers
Value = float | int | Decimal


def file_name(metric: Metric) -> str:
    """Return the name of a metric in files."""
    return FILE_NAMES.get(metric.name, metric.name)


def values_of(table: Table, metric: Metric) -> list[Value | None]:
    """Return a metric's value of each request, None where it was not measured; money as exact decimals.

    Also of requests that may not speak for it in a summary, as they stand in the record.
    """
    if metric.kind == "cost":
        return list(table.costs.decimals(metric.name))
    column = table.metric(metric.name)
    absent = np.isnan(column)
    values: Column = column
    if metric.unit in WHOLE_UNITS:
        values = np.where(absent, 0, column)
        if (values == np.floor(values)).all():
            values = values.astype(np.int64)
    found: list[Value | None] = values.tolist()
    if absent.any():
        for row in np.flatnonzero(absent).tolist():
            found[row] = None
    return found


def figures_of(table: Table) -> dict[str, list[Value | None]]:
    """Return every metric of requests by its name in files, a list with a value a request."""
    return {file_name(metric): values_of(table, metric) for metric in request_metrics()}


def error_texts(table: Table) -> list[str | None]:
    """Return what went wrong with each request, in one line; None where nothing did."""
    messages, statuses = table.codes("failure").listed(), table.codes("http_status").listed()
    return [
        None if message is None else " ".join(f"{_status(status)}{message}".split())
        for message, status in zip(messages, statuses, strict=True)
    ]


def _status(status: int | None) -> str:
    return f"HTTP {status}: " if status and status >= 400 else ""


def timestamps(table: Table) -> list[str]:
    """Return when each request started by the wall clock, RFC 3339 in UTC with microseconds."""
    return [f"{text}Z" for text in np.datetime_as_string(table.column("wall_us").astype("datetime64[us]")).tolist()]


def token_timings(table: Table, row: int = 0) -> list[dict[str, Any]]:
    """Return of each content event of a request when it came: since the start, and since the one before; in ms."""
    first = table.firsts("events")
    at_ms = table.at[first[row] : first[row + 1]] / NS_PER_MS
    gaps = np.diff(at_ms, prepend=0.0)
    return [
        {"token_index": i, "timestamp_ms": at, "delta_ms": gap}
        for i, (at, gap) in enumerate(zip(at_ms.tolist(), gaps.tolist(), strict=True))
    ]
