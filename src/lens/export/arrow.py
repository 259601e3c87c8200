"""Requests as Arrow tables: the CSV table with types, and each request's token times as lists.

What was not measured is null; money is a decimal, because a float would lose digits. `pa` is pyarrow, which is
imported by whoever needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Context, Decimal
from typing import Any

import numpy as np

from lens.export.csv import column_names
from lens.export.wallclock import start_unix_ns
from lens.history.lean import MISSING
from lens.metrics.columns import Codes, Column
from lens.metrics.definitions import Metric, request_metrics
from lens.metrics.rows import WHOLE_UNITS, error_codes, file_name, whole_numbers
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing.columns import UNKNOWN
from lens.units import NS_PER_MS

ROWS_A_GROUP = 4096
# Digits of an amount in USD, and how many of them stand behind the point.
_MONEY = (38, 18)
_DIGITS, _SMALLEST = Context(prec=_MONEY[0]), Decimal(1).scaleb(-_MONEY[1])
_PICO_DIGITS = 12  # behind the point, of a cost in 1e-12 USD


# The type of a column, and how it is made of a table.
_Reader = tuple[Any, Callable[[Table], Any]]
Readers = dict[str, _Reader]


def arrow_schema(pa: Any, info: RunInfo | None) -> tuple[Any, Readers]:
    """Return the schema of the rows of requests, the run's header in its metadata, and what makes each column."""
    readers = _readers(pa)
    header = (
        {}
        if info is None
        else {"lens.run_id": info.run_id, "lens.version": info.version, "lens.started_at": info.started_at}
    )
    return pa.schema([(name, kind) for name, (kind, _) in readers.items()]).with_metadata(header), readers


def arrow_rows(pa: Any, table: Table, schema: Any, readers: Readers) -> Iterator[Any]:
    """Yield the requests as Arrow tables of at most ROWS_A_GROUP rows, in their order."""
    for part in table.slices(ROWS_A_GROUP) if len(table) else ():
        yield pa.Table.from_arrays([read(part) for _, read in readers.values()], schema=schema)


def arrow_table(pa: Any, table: Table, info: RunInfo | None = None) -> Any:
    """Return the requests as one pyarrow.Table: a row a request, the columns of the CSV export, and token times.

    What was not measured is null; costs are decimals; `token_at_ms`, `token_gap_ms` and `tokens_per_event` are lists.
    """
    schema, readers = arrow_schema(pa, info)
    parts = list(arrow_rows(pa, table, schema, readers))
    return pa.concat_tables(parts) if parts else schema.empty_table()


def without_decimals(table: Any) -> Any:
    """Return an Arrow table with float64 in place of decimals, for libraries that would make objects of them."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):  # by way of text, which gives the nearest float
            column = table.column(place).cast(pa.string()).cast(pa.float64())
            table = table.set_column(place, pa.field(field.name, pa.float64()), column)
    return table


def _readers(pa: Any) -> Readers:
    """Return the columns of the CSV table in its order, then the lists."""
    text, whole, yes = pa.string(), pa.int64(), pa.bool_()

    def coded(name: str, kind: Any) -> _Reader:
        return kind, lambda table: _decoded(pa, table.codes(name), kind)

    def plain(name: str, kind: Any) -> _Reader:
        return kind, lambda table: pa.array(table.column(name), type=kind)

    made: dict[str, _Reader] = {
        "timestamp": (pa.timestamp("ns", tz="UTC"), lambda table: _instants(pa, start_unix_ns(table))),
        "request_id": (text, lambda table: pa.array(table.column("request_id"), type=pa.binary()).cast(text)),
        "error": (text, lambda table: _decoded(pa, error_codes(table), text)),
        "stamp_kind": (
            text,
            lambda table: _decoded(pa, Codes(table.kernel.astype(np.int32), ("read", "kernel")), text),
        ),
        "http_status": coded("http_status", whole),
        "index": plain("index", whole),
        "target_index": plain("target_index", whole),
        "turn": (whole, lambda table: pa.array(table.column("turn").astype(np.int64), mask=table.column("turn") < 0)),
        "retries": (whole, lambda table: pa.array(table.column("tries"), type=whole)),
        "stream": plain("stream", yes),
        "warmup": plain("warmup", yes),
    }
    figures = {file_name(metric): _figure(pa, metric) for metric in request_metrics()}
    found = {name: made.get(name) or figures.get(name) or coded(name, text) for name in column_names()}
    return found | {
        "token_at_ms": (pa.list_(pa.float64()), lambda table: _lists(pa, table.firsts("events"), table.at / NS_PER_MS)),
        "token_gap_ms": (pa.list_(pa.float64()), lambda table: _gaps(pa, table)),
        "tokens_per_event": (pa.list_(whole), lambda table: _lists(pa, table.firsts("events"), table.tokens)),
    }


def _figure(pa: Any, metric: Metric) -> _Reader:
    if metric.kind == "cost":
        kind = pa.decimal128(*_MONEY)
        return kind, lambda table: _money(pa, table, metric.name)
    if metric.unit in WHOLE_UNITS:
        return pa.int64(), lambda table: _whole(pa, table.metric(metric.name))
    return pa.float64(), lambda table: pa.array(table.metric(metric.name), from_pandas=True)


def _whole(pa: Any, column: Column) -> Any:
    """Return whole numbers, null for NaN; those of a metric that has fractions are cut off."""
    absent = np.isnan(column)
    return pa.array(whole_numbers(column).astype(np.int64), mask=absent)


def _money(pa: Any, table: Table, name: str) -> Any:
    """Return a cost with all its digits, as many as the column can hold."""
    costs, kind = table.costs, pa.decimal128(*_MONEY)
    pico = costs.pico[name]
    absent = pico == UNKNOWN
    if (name == "total_cost" and costs.reported) or not np.isnan(costs.columns[name][absent]).all():
        return pa.array([_fitted(value) for value in costs.decimals(name)], type=kind)
    # An Arrow decimal is an integer of 128 bits, its low half first.
    halves = np.stack((pico, np.where(pico < 0, -1, 0)), axis=1)
    present = pa.array(~absent).buffers()[1]
    exact = pa.Array.from_buffers(
        pa.decimal128(_MONEY[0], _PICO_DIGITS), len(pico), [present, pa.py_buffer(halves.astype("<i8").tobytes())]
    )
    return exact.cast(kind)


def _fitted(value: Decimal | None) -> Decimal | None:
    """Return an amount in as many digits as fit; None where it is too large for them."""
    if value is None or value.adjusted() >= _MONEY[0] - _MONEY[1]:
        return None
    return _DIGITS.quantize(value, _SMALLEST)


def _instants(pa: Any, at_ns: Column) -> Any:
    return pa.array(at_ns, mask=at_ns == MISSING).cast(pa.timestamp("ns", tz="UTC"))


def _decoded(pa: Any, codes: Codes, kind: Any) -> Any:
    """Return a column of few different values."""
    if not codes.values:
        return pa.nulls(len(codes.codes), kind)
    numbers = pa.array(codes.codes.astype(np.int32, copy=False), mask=codes.codes < 0)
    return pa.DictionaryArray.from_arrays(numbers, pa.array(codes.values, type=kind)).cast(kind)


def _lists(pa: Any, first: Column, values: Column) -> Any:
    return pa.ListArray.from_arrays(pa.array(first.astype(np.int32)), pa.array(values))


def _gaps(pa: Any, table: Table) -> Any:
    """Return of each request the times between its content events."""
    first = np.concatenate(([0], np.cumsum(np.maximum(table.n - 1, 0))))
    return _lists(pa, first, table.gaps[0] / NS_PER_MS)
