"""One JSON document: one request with its figures, or a run: what it comes to, then its requests.

Requests hold their raw record too, so that `lll analyze` reads this file like a run file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from lens.export.document import document_field, document_pieces, stats_of, summary_fields
from lens.export.request_json import encode_requests
from lens.history.write import encode_json
from lens.metrics.stages import stage_tables
from lens.metrics.summarize import distributions
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing import PriceBook


class JsonDocument:
    """The document; a field a line, so that people can read it without a line for each of a thousand stamps."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._single = single

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:
        rows = encode_requests(table, timings=True)
        if self._single and len(table) == 1:
            fields = msgspec.json.decode(next(rows), type=dict[str, msgspec.Raw])
            yield b"{\n" + b"".join([document_field(name, bytes(value)) + b",\n" for name, value in fields.items()])
            yield document_field("run", encode_json(info)) + b"\n}\n"
            return
        yield from document_pieces(document_of_run(info, summary, table), rows)


def document_of_run(info: RunInfo, summary: Summary, table: Table | None = None) -> dict[str, Any]:
    """Return what a run comes to, by the names in the document: totals, then statistics, then the run's header.

    table: its requests; of a run of several stages each has its statistics then, and of several targets its figures,
    and how it compares with the first.
    """
    of_run = {"test_config": info.config, "start_time": info.started_at, "end_time": info.ended_at}
    several = {} if table is None or len(info.targets) < 2 else _targets(table, len(info.targets))
    fields = {**of_run, **summary_fields(summary), **several}
    if table is not None and len(summary.stages) > 1:
        fields["stages"] = _stages(table, summary)
    return {**fields, "run": info}


def _stages(table: Table, summary: Summary) -> list[dict[str, Any]]:
    """Return the row of each stage with the statistics of its requests."""
    tables = stage_tables(table)
    return [
        {**msgspec.to_builtins(row), "stats": stats_of(distributions(one))}
        for row, one in zip(summary.stages, tables, strict=True)
    ]


def _targets(table: Table, targets: int) -> dict[str, Any]:
    from lens.analysis.sides import compared_run
    from lens.export.comparison import comparison_fields

    return comparison_fields(compared_run(table, targets=targets))
