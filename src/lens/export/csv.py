"""CSV: a row a request; eleven columns that people look at first, what else tells requests apart, every other metric.

What was not measured is an empty cell, never 0. Text of a server is quoted as RFC 4180 wants,
and a cell that a spreadsheet would take for a formula gets an apostrophe.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from lens.metrics.columns import Codes
from lens.metrics.definitions import Metric, request_metrics
from lens.metrics.rows import error_codes, figure_names, file_name, request_ids, timestamps, values_of
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing import PriceBook

FIRST_COLUMNS = (
    "timestamp", "provider", "model", "ttfb_ms", "ttft_ms", "total_latency_ms", "input_tokens", "output_tokens",
    "tokens_per_second", "total_cost", "status",
)  # fmt: skip
_REQUEST_COLUMNS = (
    "request_id", "index", "target", "category", "http_status", "error", "finish_reason", "served_model",
    "stamp_kind", "retries", "stream", "warmup", "stage",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CODED = ("provider", "model", "status", "category", "http_status", "finish_reason", "served_model", "stage")
# Requests whose cells are in memory at once.
AT_ONCE = 4096


def column_names() -> tuple[str, ...]:
    """Return the names of all columns, in their order."""
    own = (*FIRST_COLUMNS, *_REQUEST_COLUMNS)
    return (*own, *[name for name in figure_names() if name not in own])


class CsvTable:
    """The table as text."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - no foot
        names = column_names()
        yield _lines([names])
        for part in table.slices(AT_ONCE) if len(table) else ():
            cells = {name: read(part) for name, read in _READ.items()}
            cells |= {file_name(metric): _figures(part, metric) for metric in request_metrics()}
            yield _lines(zip(*[cells[name] for name in names], strict=True))


def _figures(table: Table, metric: Metric) -> list[str]:
    """Return the cells of a metric; floats with as many digits as give back the same float."""
    values = values_of(table, metric) if metric.kind == "cost" or metric.unit in ("tokens", "count") else None
    if metric.kind == "cost":
        return [format(value, "f") if isinstance(value, Decimal) else "" for value in values or ()]
    text = msgspec.json.encode(table.metric(metric.name).tolist() if values is None else values).decode()
    return text[1:-1].replace("null", "").split(",")


def _texts(codes: Codes) -> list[str]:
    return Codes(codes.codes, tuple(map(_cell, codes.values))).listed()


def _coded(name: str) -> Callable[[Table], list[str]]:
    return lambda table: _texts(table.codes(name))


def _cell(value: Any) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _numbers(name: str) -> Callable[[Table], list[Any]]:
    return lambda table: table.column(name).tolist()


_READ: dict[str, Callable[[Table], Sequence[Any]]] = {
    "timestamp": timestamps,
    "request_id": lambda table: [*map(_cell, request_ids(table))],
    "error": lambda table: _texts(error_codes(table)),
    "stamp_kind": lambda table: np.where(table.kernel, "kernel", "read").tolist(),
    "retries": _numbers("tries"),
    **{name: _numbers(name) for name in ("index", "target", "stream", "warmup")},
    **{name: _coded(name) for name in _CODED},
}


def _lines(rows: Any) -> bytes:
    lines: list[str] = []
    # A carriage return is quoted only where it is part of the line's end; the file itself has plain ones.
    csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n").writerows(rows)
    return "".join([f"{line[:-2]}\n" for line in lines]).encode()
