"""Parquet: the Arrow tables of a run, in groups of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lens.export.arrow import ROWS_A_GROUP, arrow_rows, arrow_schema
from lens.export.extras import check_installed, need
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing import PriceBook


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
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        """Return what has come since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class Parquet:
    """Rows in groups, then the footer with the run's header in its metadata."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        """
        Raises:
            ConfigError: pyarrow is not installed.
        """
        check_installed("pyarrow", "parquet", "--export parquet")

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - rows alone
        pa = need("pyarrow", "parquet", "--export parquet")  # not before: it is large, and starts threads
        schema, readers = arrow_schema(pa, info)
        out = _Sink()
        writer = need("pyarrow.parquet", "parquet", "--export parquet").ParquetWriter(out, schema, compression="zstd")
        for rows in arrow_rows(pa, table, schema, readers):
            writer.write_table(rows, row_group_size=ROWS_A_GROUP)
            yield out.take()
        writer.close()
        yield out.take()
