"""CSV: a row a request; eleven columns that people look at first, what else tells requests apart, every other metric.

What was not measured is an empty cell, never 0. Text of a server is quoted as RFC 4180 wants,
and a cell that a spreadsheet would take for a formula gets an apostrophe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from lens.history.write import encode_json
from lens.metrics.columns import Codes
from lens.metrics.definitions import Metric, request_metrics
from lens.metrics.rows import (
    WHOLE_UNITS,
    cost_texts,
    error_codes,
    figure_names,
    file_name,
    plain_values,
    request_ids,
    timestamps,
)
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing import PriceBook

FIRST_COLUMNS = (
    "timestamp", "provider", "model", "ttfb_ms", "ttft_ms", "total_latency_ms", "input_tokens", "output_tokens",
    "tokens_per_second", "total_cost", "status",
)  # fmt: skip
_REQUEST_COLUMNS = (
    "request_id", "index", "target", "target_index", "category", "http_status", "error", "finish_reason",
    "served_model", "stamp_kind", "retries", "stream", "warmup", "stage", "token_source",
    "session_id", "turn", "cache_miss",
)  # fmt: skip
_CODED = (
    "provider", "model", "target", "status", "category", "http_status", "finish_reason", "served_model", "stage",
    "token_source", "session_id", "cache_miss",
)  # fmt: skip
# With what a spreadsheet takes the begin of a cell for that of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Characters for which RFC 4180 wants quotes.
_SPECIAL = re.compile('[,"\r\n]')
_EMPTY = msgspec.Raw(b"")
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
        yield ",".join(names).encode() + b"\n"
        for part in table.slices(AT_ONCE) if len(table) else ():
            cells = {name: read(part) for name, read in _READ.items()}
            cells |= {file_name(metric): _figures(part, metric) for metric in request_metrics()}
            rows = zip(*[cells[name] for name in names], strict=True)
            # An array of JSON without its brackets: numbers as they are, texts raw and quoted already.
            yield b"".join([b"%s\n" % encode_json(row)[1:-1] for row in rows])


def _figures(table: Table, metric: Metric) -> list[Any]:
    """Return the cells of a metric; floats with as many digits as give back the same float."""
    if metric.kind == "cost":
        costs = cost_texts(table, metric.name)
        return _listed(costs, [msgspec.Raw(text.encode()) for text in costs.values])
    column = table.metric(metric.name)
    finite = np.where(np.isfinite(column), column, np.nan)  # JSON has no other numbers
    return plain_values(finite, whole=metric.unit in WHOLE_UNITS, absent_as=_EMPTY)


def _texts(codes: Codes) -> list[msgspec.Raw]:
    return _listed(codes, [_text(str(value)) for value in codes.values])


def _listed(codes: Codes, cells: Sequence[msgspec.Raw]) -> list[msgspec.Raw]:
    by_code = [*cells, _EMPTY]
    return [by_code[code] for code in codes.codes.tolist()]


def _text(text: str) -> msgspec.Raw:
    """Return a cell of text, quoted."""
    text = no_formula(text)
    if _SPECIAL.search(text):
        text = '"' + text.replace('"', '""') + '"'
    return msgspec.Raw(text.encode())


def no_formula(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _coded(name: str) -> Callable[[Table], list[Any]]:
    return lambda table: _texts(table.codes(name))


def _numbers(name: str) -> Callable[[Table], list[Any]]:
    return lambda table: table.column(name).tolist()


def _flags(name: str) -> Callable[[Table], list[Any]]:
    return lambda table: _texts(Codes(table.column(name).astype(np.int8), ("False", "True")))


_READ: dict[str, Callable[[Table], list[Any]]] = {
    "timestamp": lambda table: [msgspec.Raw(text.encode()) for text in timestamps(table)],
    "request_id": lambda table: [*map(_text, request_ids(table))],
    "error": lambda table: _texts(error_codes(table)),
    "stamp_kind": lambda table: _texts(Codes(table.kernel.astype(np.int8), ("read", "kernel"))),
    "retries": _numbers("tries"),
    **{name: _numbers(name) for name in ("index", "target_index")},
    "turn": lambda table: [number if number >= 0 else _EMPTY for number in table.column("turn").tolist()],
    **{name: _flags(name) for name in ("stream", "warmup")},
    **{name: _coded(name) for name in _CODED},
}
