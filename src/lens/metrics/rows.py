"""The figures of requests as plain values, by the names that they have in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypedDict

from lens.arrays.dispatch import arange_like, array_like, np
from lens.history.lean import MISSING
from lens.metrics.columns import Codes, Column
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
_MOST_CODES = 1 << 40  # above, the number of a combination is counted anew, so that it never overflows


def file_name(metric: Metric) -> str:
    """Return the name of a metric in files."""
    return FILE_NAMES.get(metric.name, metric.name)


def figure_names() -> tuple[str, ...]:
    """Return the names in files of all metrics that requests have, in the order of their definition."""
    return tuple([file_name(metric) for metric in request_metrics()])


def values_of(table: Table, metric: Metric) -> list[Value | None]:
    """Return a metric's value of each request, None where it was not measured; money as exact decimals.

    Also of requests that may not speak for it in a summary, as they stand in the record.
    """
    if metric.kind == "cost":
        return list(table.costs.decimals(metric.name))
    return plain_values(table.metric(metric.name), whole=metric.unit in WHOLE_UNITS)


def plain_values(column: Column, *, whole: bool = False, absent_as: Any = None) -> list[Any]:
    """Return a float column as a list, `absent_as` for NaN; whole: as ints, where all values are whole numbers."""
    absent = np.isnan(column)
    values = whole_numbers(column) if whole else column
    if not absent.any():
        return list(values.tolist())
    objects = values.astype(object)
    fill = objects[:1].copy()
    fill[0] = absent_as
    objects[absent] = fill
    return list(objects)


def whole_numbers(column: Column) -> Column:
    """Return a float column as int64 with 0 for NaN; as it is, where a value is no whole number that fits."""
    numbers = np.nan_to_num(column, posinf=np.inf, neginf=-np.inf)
    if (numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**63).all():
        return numbers.astype(np.int64)
    return column


def cost_texts(table: Table, name: str) -> Codes:
    """Return a cost of each request in USD as text, with all digits and without an exponent; no value where unknown."""
    values, of = table.costs.distinct(name)
    lacking = array_like(of, [value is None for value in values], dtype=bool)
    return Codes(np.where(lacking[of], -1, of), tuple(["" if value is None else f"{value:f}" for value in values]))


def figures_of(table: Table) -> dict[str, list[Value | None]]:
    """Return every metric of requests by its name in files, a list with a value a request."""
    return {file_name(metric): values_of(table, metric) for metric in request_metrics()}


def error_codes(table: Table) -> Codes:
    """Return what went wrong with each request, in one line; no value where nothing did."""
    failure, status = table.codes("failure"), table.codes("http_status")
    groups = combinations(failure, status)
    texts = [
        None if message is None else " ".join(f"{_status(code)}{message}".split()) for message, code in groups.values
    ]
    known: dict[str, int] = {}
    numbers = [-1 if text is None else known.setdefault(text, len(known)) for text in texts]
    return Codes(array_like(groups.codes, numbers, dtype=np.int32)[groups.codes], tuple(known))


def error_texts(table: Table) -> list[str | None]:
    """Return what went wrong with each request, in one line; None where nothing did."""
    return error_codes(table).listed()


def _status(status: int | None) -> str:
    return f"HTTP {status}: " if status and status >= 400 else ""


def combinations(*columns: Codes) -> Codes:
    """Return which values of several columns each request has together, as tuples, in the order of the first of each.

    None stands in a tuple for no value; every request has a combination.
    """
    whole = columns[0].codes.astype(np.int64) + 1
    most = len(columns[0].values) + 1
    for column in columns[1:]:
        most *= len(column.values) + 1
        if most > _MOST_CODES:
            whole = np.unique(whole, return_inverse=True)[1]
            most = (len(whole) + 1) * (len(column.values) + 1)
        whole = whole * (len(column.values) + 1) + (column.codes + 1)
    first, of = np.unique(whole, return_index=True, return_inverse=True)[1:]
    order = np.argsort(first)
    place = np.zeros_like(order)
    place[order] = arange_like(order)
    values = [
        tuple([None if code < 0 else column.values[code] for column in columns for code in (int(column.codes[row]),)])
        for row in first[order].tolist()
    ]
    return Codes(place[of], tuple(values))


def joined_codes(columns: Sequence[Codes]) -> Codes:
    """Return columns of few different values one behind the other, under one numbering."""
    numbers: dict[Any, int] = {}
    parts = []
    for one in columns:
        renumbered = [numbers.setdefault(value, len(numbers)) for value in one.values]
        parts.append(np.array([*renumbered, -1], dtype=np.int32)[one.codes])
    return Codes(np.concatenate(parts), tuple(numbers))


def codes_of(column: Column) -> Codes:
    """Return a column of few different numbers as codes."""
    values, codes = np.unique(column, return_inverse=True)
    return Codes(codes, tuple(values.tolist()))


def request_ids(table: Table) -> list[str]:
    """Return the id of each request."""
    return [name.decode(errors="replace") for name in table.column("request_id").tolist()]


def timestamps(table: Table) -> list[str]:
    """Return when each request started by the wall clock, RFC 3339 in UTC with microseconds; "" where not known."""
    wall = table.column("wall_us")
    texts = [f"{text}Z" for text in np.datetime_as_string(wall.astype("datetime64[us]")).tolist()]
    for row in np.flatnonzero(wall == MISSING).tolist():
        texts[row] = ""
    return texts


class TokenTiming(TypedDict):
    """When one content event of an answer came."""

    token_index: int  # from 0
    timestamp_ms: float  # since the start of the request
    delta_ms: float  # since the content event before, the first since the start


def token_timings(table: Table) -> Iterator[list[TokenTiming]]:
    """Yield for each request when its content events came: since the start, and since the one before; in ms."""
    first, at = table.firsts("events"), table.at
    since = np.diff(at, prepend=0)
    begins = table.first[table.n > 0]
    since[begins] = at[begins]
    at_ms, since_ms = (at / NS_PER_MS).tolist(), (since / NS_PER_MS).tolist()
    for begin, end in pairwise(first.tolist()):
        yield [
            {"token_index": i, "timestamp_ms": when, "delta_ms": gap}
            for i, (when, gap) in enumerate(zip(at_ms[begin:end], since_ms[begin:end], strict=True))
        ]
