"""The lines of the page: one for each run, or for each target where a run has several.

Requests of the warm-up are in no figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lens.metrics.columns import Column
from lens.metrics.definitions import metric_named
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.report.phases import PhaseTotals, phase_totals
from lens.report.terminal import clean
from lens.report.time_series import span_ns
from lens.units import NS_PER_MS

# What is drawn as a distribution.
DRAWN = ("ttft_ms", "itl_ms", "total_latency_ms")
# Of more values than this every second one is left out of the drawing (never out of the figures).
MOST_VALUES = 4_000_000
CONNECTIONS = {"new": False, "reused": True}  # name -> whether it carried a request before


class Source(NamedTuple):
    """A run as the page is given it."""

    name: str  # of its file
    table: Table
    info: RunInfo | None
    warnings: tuple[str, ...] = ()  # of what of its file could not be read
    summaries: tuple[Summary, ...] = ()  # of each of its series, where they are known already


class Series:
    """One line of the page."""

    def __init__(self, name: str, source: int, table: Table, zero_ns: int, rows: Column | None = None) -> None:
        """source: number of its run; table: of that; zero_ns: its first start; rows: of its requests, None for all."""
        self.name, self.source, self.zero_ns = name, source, zero_ns
        self._of, self._rows = table, rows
        self.forget()

    def forget(self) -> None:
        """Give back the memory of columns that were gathered for this series alone."""
        self.table = self._of if self._rows is None else self._of.take(self._rows)

    @cached_property
    def span_ns(self) -> int:
        """From the run's first start to the last end."""
        return span_ns(self.table, self.zero_ns)

    @cached_property
    def stages(self) -> dict[str, Column]:
        """The rows of each stage, in the order in which they began."""
        stage = self.table.codes("stage")
        if not stage.values:
            return {}
        groups = [rows for rows in self.table.grouped(stage.codes) if stage.codes[rows[0]] >= 0]
        return {stage.values[stage.codes[rows[0]]]: rows for rows in groups}

    def phase_rows(self) -> list[dict[str, Any]]:
        """Return the mean time of each phase over the successes: of all requests, then by connection."""
        reused, reached = self.table.codes("reused"), self.table.codes("peer").codes >= 0
        groups = np.full(len(self.table), len(CONNECTIONS))
        for number, kept in enumerate(CONNECTIONS.values()):
            groups[reached & reused.equal(kept)] = number
        totals = phase_totals(self.table, groups, len(CONNECTIONS) + 1)
        return [*_phase_rows(totals.together(), ("all",)), *_phase_rows(totals, tuple(CONNECTIONS))]

    def stage_phase_rows(self) -> list[dict[str, Any]]:
        """Return the mean time of each phase in each stage."""
        groups = np.full(len(self.table), -1)
        for number, rows in enumerate(self.stages.values()):
            groups[rows] = number
        return _phase_rows(phase_totals(self.table, groups, len(self.stages)), tuple(self.stages))

    def drawn_values(self, name: str) -> Column:
        """Return the sorted values of a metric, of requests that may speak for it; of very many an even part."""
        if metric_named(name).pooled is None:
            return np.sort(self.table.values(name))
        parts: list[Column] = []
        step = 1
        for part in self.table.slices():
            parts.append(part.values(name)[::step].copy())
            while sum(map(len, parts)) > MOST_VALUES:
                parts, step = [values[::2].copy() for values in parts], step * 2
        found = np.concatenate(parts) if parts else np.zeros(0)
        parts.clear()
        found.sort()
        return found


def _phase_rows(totals: PhaseTotals, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the groups of these names, the first ones, that have successes."""
    means = totals.mean_ns / NS_PER_MS
    return [
        {"name": name, "n": int(totals.n[row]), "parts": [round(mean, 4) for mean in means[row].tolist()]}
        for row, name in enumerate(names)
        if totals.n[row]
    ]


def split(sources: Sequence[Source]) -> list[Series]:
    """Return the series of all runs, in order; a run without requests of its own gives none."""
    found = [series for number, source in enumerate(sources) for series in _of_run(number, source.table.measured())]
    names = [series.name for series in found]
    for series in found:
        if names.count(series.name) > 1 and len(sources) > 1:
            series.name = f"{series.name} ({clean(sources[series.source].name, 60)})"
    seen: dict[str, int] = {}
    for series in found:
        seen[series.name] = seen.get(series.name, 0) + 1
        if seen[series.name] > 1:
            series.name = f"{series.name} #{seen[series.name]}"
    return found


def _of_run(number: int, measured: Table) -> Iterator[Series]:
    """Yield a series for each target of a run, in the order of the targets."""
    if not len(measured):
        return
    zero_ns, target = int(measured.column("start").min()), measured.column("target_index")
    several = bool((target != target[0]).any())
    groups = sorted(measured.grouped(target), key=lambda rows: int(target[rows[0]])) if several else (None,)
    for rows in groups:
        row = 0 if rows is None else int(rows[0])
        name = f"{clean(_name(measured, 'provider', row), 60)} {clean(_name(measured, 'model', row), 80)}"
        yield Series(name, number, measured, zero_ns, rows)


def _name(table: Table, column: str, row: int) -> str:
    codes = table.codes(column)
    return str(codes.values[codes.codes[row]])
