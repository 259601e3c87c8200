"""What is made of runs: pages, comparisons, gates, figures. Files that were read stay read for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lens.analysis.explore.filters import compile_filter
from lens.analysis.explore.groups import figure_of
from lens.analysis.gates.checks import checks_of
from lens.analysis.gates.regression import regression_by_target
from lens.analysis.gates.sla import Gate, evaluate_targets
from lens.analysis.gates.thresholds import parse_threshold
from lens.errors import ConfigError, FileError
from lens.history.lean import MISSING
from lens.history.write import NewFile
from lens.metrics.builder import read_table
from lens.metrics.columns import Column
from lens.metrics.summarize import summarize
from lens.metrics.table import Table
from lens.parsing import list_in
from lens.pricing import PriceBook
from lens.report.html.document import MOST_RUNS, default_name, report_page, title_of
from lens.report.html.series import Source, split
from lens.ui.folder import FIGURES, Entry

# Bytes of the files whose tables stay in memory, the last that was read always.
MOST_KEPT = 1 << 30


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests of a run are looked at: all of them, by default."""

    where: str = ""
    slowest: int = 0
    failed: bool = False

    @property
    def says(self) -> str:
        """The choice in words; "" where all are meant."""
        parts = ("failed requests" if self.failed else "", f"the slowest {self.slowest:,}" if self.slowest else "")
        return ", ".join(part for part in (f"where {self.where}" if self.where else "", *parts) if part)

    def of(self, table: Table) -> Table:
        """Return the table of the chosen requests.

        Raises:
            ConfigError: the expression cannot be read, or is true of no request.
        """
        if not self.says:
            return table
        measured = table.measured()
        rows: Column = np.arange(len(measured))
        if self.where:
            rows = np.flatnonzero(compile_filter(self.where, measured)(measured))
        if self.failed:
            rows = rows[~measured.success[rows]]
        if self.slowest and len(rows) > self.slowest:
            took = np.where(measured.stamp("end")[rows] == MISSING, 0, measured.stamp("end")[rows])
            rows = np.sort(rows[np.argsort(-took, kind="stable")[: self.slowest]])
        if not len(rows):
            raise ConfigError(f"no request is meant by this choice, of {len(measured):,}")
        return measured.take(rows)


class Runs:
    """Reads run files, and keeps what it read."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._page: tuple[object, bytes] | None = None  # the last, and of what it is: a browser asks twice
        self._kept: OrderedDict[str, tuple[int, int, Source]] = OrderedDict()

    def source(self, entry: Entry) -> Source:
        """Return a run as it is now.

        Raises:
            FileError: it cannot be read.
        """
        known = self._kept.pop(entry.file, None)
        if known is None or known[:2] != (entry.size, entry.mtime_ns):
            table, warnings = read_table(entry.path, self._book)
            source = Source(entry.path.name, table, table.info, warnings)
            # What costs most of a page is made when a run is read: it may be chosen long before the page is asked for.
            summaries = tuple(summarize(series.table) for series in split([source]))
            known = (entry.size, entry.mtime_ns, source._replace(summaries=summaries))
        self._kept[entry.file] = known
        while len(self._kept) > 1 and sum(size for size, _, _ in self._kept.values()) > MOST_KEPT:
            self._kept.popitem(last=False)
        return known[2]

    def page(self, entries: Sequence[Entry], choice: Choice | None = None) -> bytes:
        """Return the page of `lll report` of these runs, or of the chosen requests of them.

        Raises:
            ConfigError: nothing is chosen, or there are too many runs. FileError: a run cannot be read.
        """
        if not 1 <= len(entries) <= MOST_RUNS:
            raise ConfigError(f"{len(entries)} runs on one page; choose 1 to {MOST_RUNS}")
        of = [(entry.file, entry.size, entry.mtime_ns) for entry in entries], choice or Choice()
        if self._page is not None and self._page[0] == of:
            return self._page[1]
        sources = [self.source(entry) for entry in entries]
        title = f"{title_of(sources)}: {of[1].says}" if of[1].says else None
        if of[1].says:
            sources = [source._replace(table=of[1].of(source.table), summaries=()) for source in sources]
        page = report_page(sources, title)
        self._page = (of, page)
        return page

    def save(self, entries: Sequence[Entry], folder: Path) -> Path:
        """Write the page that `lll report` writes of these runs into the folder, and return its path.

        A name that is taken gets a number.
        """
        page = self.page(entries)
        with NewFile(folder / default_name([entry.path for entry in entries]), numbered=True) as file:
            file.write(page)
        return file.path

    def figures(self, entry: Entry) -> dict[str, float | None]:
        """Return the figures of a run that the list shows."""
        source = self.source(entry)
        summary = source.summaries[0] if len(source.summaries) == 1 else summarize(source.table)
        found: dict[str, float | None] = {
            "requests": summary.requests,
            "failed": summary.requests - summary.successes,
            "success_rate": summary.success_rate,
            "requests_per_second": summary.requests_per_second,
            "output_tokens_per_second": summary.output_tokens_per_second,
            "cost_usd": None if summary.total_cost is None else float(summary.total_cost),
        }
        return found | {name: figure_of(summary, metric, statistic) for name, metric, statistic in FIGURES}

    def gates(self, entry: Entry, thresholds: Sequence[str], baseline: Entry | None) -> list[dict[str, str]]:
        """Return what gates say of a run: thresholds, each target by itself, and the regression from a baseline.

        thresholds: none: those of the run's own configuration.

        Raises:
            ConfigError: a threshold cannot be read.
        """
        table = self.source(entry).table.measured()
        texts = [text for text in thresholds if text.strip()] or list_in(entry.info.config, "thresholds")
        gates = [Gate(threshold=parse_threshold(str(text))) for text in texts]
        compared = None
        if baseline is not None and baseline.file != entry.file:
            before = self.source(baseline).table.measured()
            if len(before):
                compared = regression_by_target([before], table)
        checks = checks_of(evaluate_targets(gates, table), compared)
        return [{"suite": one.suite, "name": one.name, "state": one.state, "says": one.says} for one in checks]


def entries_named(names: Sequence[str], find: Any) -> list[Entry]:
    """Return the run files of these names.

    Raises:
        FileError: none is named, or one is not there.
    """
    if not names:
        raise FileError("no run is named")
    return [find(name) for name in dict.fromkeys(names)]
