"""CSV: the plan's eleven columns first, in its order (PLAN 9.2), then every other metric.

What was not measured is an empty cell, never 0. Text of a server is quoted as RFC 4180 wants,
and a cell that a spreadsheet would take for a formula gets an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from decimal import Decimal

from lens.metrics.definitions import PER_REQUEST
from lens.metrics.rows import PLAN_NAMES, all_figures, error_text
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

PLAN_COLUMNS = (
    "timestamp", "provider", "model", "ttfb_ms", "ttft_ms", "total_latency_ms", "input_tokens", "output_tokens",
    "tokens_per_second", "total_cost", "status",
)  # fmt: skip
_FIGURES = tuple(PLAN_NAMES.get(m.name, m.name) for m in PER_REQUEST)
_OURS = (
    "request_id",
    "index",
    "target",
    "category",
    "http_status",
    "error",
    "finish_reason",
    "served_model",
    "stamp_kind",
    "retries",
    "stream",
    "warmup",
    "stage",
)
COLUMNS = (*PLAN_COLUMNS, *_OURS, *(name for name in _FIGURES if name not in PLAN_COLUMNS))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvTable:
    """A row a request, as it comes."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._book = book

    def begin(self) -> bytes:
        return _line(COLUMNS)

    def add(self, record: Record) -> bytes:
        cells: dict[str, object] = {name: getattr(record, name, None) for name in (*PLAN_COLUMNS, *_OURS)}
        cells |= all_figures(record, self._book)
        cells |= {"status": record.status.value, "error": error_text(record), "retries": len(record.tries)}
        return _line([_cell(cells[name]) for name in COLUMNS])

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - a table has no foot
        return b""


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    if isinstance(value, Decimal):
        return format(value, "f")
    return value


def _line(cells: Iterable[object]) -> bytes:
    out = io.StringIO()
    # A carriage return is quoted only where it is part of the line's end; the file itself has plain ones.
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n").encode() + b"\n"
