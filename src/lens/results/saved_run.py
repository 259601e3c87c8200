"""Run files as the library reads and writes them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from lens.config.spelling import python_errors
from lens.history import read, write
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import Record, RunInfo
from lens.pricing import PriceBook, standard_book
from lens.results.request_metrics import RequestMetrics
from lens.results.tabular import RunView


class SavedRun(RunView):
    """A run that was read from a file; unpacks as (info, records)."""

    def __init__(self, run: read.Run, book: PriceBook) -> None:
        self._run, self._book = run, book

    @property
    def records(self) -> list[Record]:
        """All requests, in the order of the file."""
        return self._run.records

    @property
    def info(self) -> RunInfo | None:
        """The header of the run; None where the file has none."""
        return self._run.info

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the file could not be read, and the warnings of the run itself."""
        return (*self._run.warnings, *(self.info.warnings if self.info else ()))

    @cached_property
    def requests(self) -> list[RequestMetrics]:
        """Each request with its figures as attributes, in the order of `records`."""
        return [RequestMetrics(record, self._book) for record in self.records]

    @cached_property
    def table(self) -> Table:
        """The requests, a column for each property."""
        return table_of(self.records, self.info, self._book)

    @cached_property
    def summary(self) -> Summary:
        """The figures of the run; `summary.warnings` are those that concern them."""
        return summarize(self.table, self.info)

    def __repr__(self) -> str:
        return f"SavedRun({len(self.records)} requests, {self.info.run_id if self.info else 'no header'})"


@python_errors()
def read_run(path: str | os.PathLike[str], *, book: PriceBook | None = None) -> SavedRun:
    """Return a run from a run file of any layout, or from a JSON document that was exported from one.

    book: prices for its costs; None: the list that ships.

    Raises:
        FileError: it cannot be read, is not a run file, or a newer version wrote it.
    """
    return SavedRun(read.read_run(Path(path)), book or standard_book())


@python_errors(output="path")
def write_run(path: str | os.PathLike[str], info: RunInfo, records: Iterable[Record], *, force: bool = False) -> None:
    """Write a run file: MessagePack where the name ends in .msgpack, else JSON Lines.

    force: replace the file if it exists.

    Raises:
        FileError: the file exists and `force` is not given, or it cannot be written.
    """
    write.write_run(Path(path), info, records, force=force)
