"""Parquet: the CSV table with types, and each request's token times as lists.

Row groups are written as records come, so memory holds one group. What was not measured is
null; money is a decimal, because a float would lose digits.
"""

from __future__ import annotations

from typing import Any

from lens.export.csv import COLUMNS
from lens.export.extras import need
from lens.export.wallclock import unix_ns
from lens.metrics.definitions import PER_REQUEST
from lens.metrics.rows import PLAN_NAMES, all_figures, error_text
from lens.metrics.summary import Summary
from lens.metrics.timeline import timeline
from lens.model import Record, RunInfo
from lens.pricing import PriceBook
from lens.units import NS_PER_MS

ROWS_A_GROUP = 4096
_INTS = {"index", "target", "http_status", "retries"}
_WHOLE = {"tokens", "count"}  # units of metrics that are whole numbers
_LISTS = ("token_at_ms", "token_gap_ms", "tokens_per_event")
# Digits before and behind the point of an amount in USD.
_MONEY = (38, 18)


class _Sink:
    """Takes what the writer puts out, and knows how much that was: offsets in the file are told by it."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        """What has come since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class Parquet:
    """Rows in groups, then the footer with the run's header in its metadata."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._book = book
        self._pa = need("pyarrow", "parquet", "--export parquet")
        parquet = need("pyarrow.parquet", "parquet", "--export parquet")
        self._schema = schema(self._pa).with_metadata(
            {"lens.run_id": info.run_id, "lens.version": info.version, "lens.started_at": info.started_at}
        )
        self._out = _Sink()
        self._writer = parquet.ParquetWriter(self._out, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def begin(self) -> bytes:
        return self._out.take()

    def add(self, record: Record) -> bytes:
        self._rows.append(row_of(record, self._book))
        if len(self._rows) < ROWS_A_GROUP:
            return b""
        self._write()
        return self._out.take()

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - the rows are all there is
        self._write()
        self._writer.close()
        return self._out.take()

    def _write(self) -> None:
        if self._rows:
            self._writer.write_table(self._pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def row_of(record: Record, book: PriceBook) -> dict[str, Any]:
    """A record as a row of the table."""
    row = {name: getattr(record, name, None) for name in COLUMNS}
    row |= all_figures(record, book)
    row |= {
        "timestamp": unix_ns(record.timestamp),
        "status": record.status.value,
        "error": error_text(record),
        "retries": len(record.tries),
    }
    line = timeline(record)
    row["token_at_ms"] = (line.at_ns / NS_PER_MS).tolist()
    row["token_gap_ms"] = (line.gaps_ns() / NS_PER_MS).tolist()
    row["tokens_per_event"] = line.tokens.tolist()
    return row


def schema(pa: Any) -> Any:
    """The columns of the CSV table in its order, then the lists."""
    units = {PLAN_NAMES.get(m.name, m.name): m for m in PER_REQUEST}

    def kind(name: str) -> Any:
        if name == "timestamp":
            return pa.timestamp("ns", tz="UTC")
        if name in _INTS:
            return pa.int64()
        if name in ("stream", "warmup"):
            return pa.bool_()
        metric = units.get(name)
        if metric is None:
            return pa.string()
        if metric.kind == "cost":
            return pa.decimal128(*_MONEY)
        return pa.int64() if metric.unit in _WHOLE else pa.float64()

    columns = [pa.field(name, kind(name)) for name in COLUMNS]
    lists = [pa.field(name, pa.list_(pa.int64() if name == "tokens_per_event" else pa.float64())) for name in _LISTS]
    return pa.schema(columns + lists)
