"""Run files as an export: the header, a record a line, and the header again when the run has ended.

Each line holds the record and the plan's names beside it: `jq .ttft_ms` works, and so does
`analyze`, which reads the record and computes everything anew.
"""

from __future__ import annotations

from lens.history.write import MAGIC, json_line, message
from lens.metrics.rows import full_row
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook


class JsonLines:
    """The run file for people and tools."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        self._info, self._book, self._single = info, book, single

    def begin(self) -> bytes:
        return json_line(self._info)

    def add(self, record: Record) -> bytes:
        return json_line(full_row(record, self._book))

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - a run file holds no summary
        return json_line(info)


class Packed:
    """The run file for size: the records and nothing beside them."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        self._info, self._book, self._single = info, book, single

    def begin(self) -> bytes:
        return MAGIC + message(self._info)

    def add(self, record: Record) -> bytes:
        return message(record)

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - a run file holds no summary
        return message(info)
