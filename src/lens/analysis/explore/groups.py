"""Groups of requests as a sheet: a row a group, a column a figure. What tables, CSV and Markdown are made of.

A cell is the figure itself, None where it was not measured or so few values cannot tell it; how it
looks is decided where it is printed. The work grows with the requests, not with groups times requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import isnan
from typing import Any

import msgspec
import numpy as np

from lens.analysis.explore.fields import coded, field_named
from lens.analysis.gates.thresholds import metric_and_statistic
from lens.analysis.stats import statistic_of
from lens.errors import ConfigError
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.metrics.distribution import PERCENTILES, values_needed
from lens.metrics.goodput import Slo
from lens.metrics.quality_warnings import READ_FROM
from lens.metrics.summarize import summarize
from lens.metrics.summary import Summary
from lens.metrics.table import Table

# What people decide by, in the order in which a narrow terminal drops them from the end.
FIGURES = (
    ("ttft_ms", "p50"), ("ttft_ms", "p95"), ("itl_ms", "p50"), ("total_latency_ms", "p95"),
    ("tokens_per_second", "p50"), ("ttft_ms", "p99"), ("total_latency_ms", "p50"),
    ("itl_ms", "p95"), ("total_cost", "mean"),
)  # fmt: skip
# More groups than this are a mistake in --by.
MOST_GROUPS = 10_000
Figure = tuple[str, str]  # metric, statistic


class Sheet(msgspec.Struct, frozen=True):
    """Named columns and rows of cells."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    keys: int = 0  # how many of the first columns say which row it is


class Group:
    """Requests that belong together; their summary is made when it is asked for."""

    def __init__(
        self,
        key: tuple[Any, ...],
        whole: Table,
        rows: Column | None = None,
        *,
        slos: Sequence[Slo] = (),
        percents: Sequence[float] = PERCENTILES,
    ) -> None:
        """rows: which requests of the whole it has; None: all."""
        self.key, self._slos, self._percents = key, slos, percents
        self._whole, self._rows = whole, rows

    @property
    def table(self) -> Table:
        """Its requests; made anew each time, so that the columns of many groups do not stay in memory."""
        return self._whole if self._rows is None else self._whole.take(self._rows)

    @cached_property
    def summary(self) -> Summary:
        """The figures of the group."""
        return summarize(self.table, slos=self._slos, percents=self._percents)

    @cached_property
    def counts(self) -> Summary:
        """The summary without the distributions of metrics."""
        return summarize(self.table, slos=self._slos, metrics=())

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the figures of these requests."""
        return summarize(self.table, metrics=READ_FROM).warnings


class Groups:
    """The requests of a table by the values of some fields; all in one group where none is named."""

    def __init__(
        self,
        table: Table,
        by: Sequence[str] = (),
        *,
        slos: Sequence[Slo] = (),
        percents: Sequence[float] = PERCENTILES,
    ) -> None:
        """
        Raises:
            ConfigError: no field of that name, or a group for nearly each request.
        """
        self.table, self.by = table, tuple(by)
        keys, rows = _grouped(table, by)
        order = sorted(range(len(keys)), key=lambda i: [*map(_order, keys[i])])
        self._rows = [rows[i] for i in order]
        self.groups = [
            Group(keys[i], table, rows[i] if len(rows) > 1 else None, slos=slos, percents=percents) for i in order
        ]

    def __iter__(self) -> Any:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def sheet(self, figures: Sequence[Figure]) -> Sheet:
        """Return a row a group: who it is, how many requests, how many failed, then the figures."""
        names = [f"{metric}_{statistic}".strip("_") for metric, statistic in figures]
        success = self.table.success
        counts = [[len(rows), len(rows) - int(success[rows].sum())] for rows in self._rows]
        columns: dict[Figure, list[float | None]] = {}
        for metric in dict.fromkeys(metric for metric, _ in figures):
            columns |= self._figures(metric, [statistic for one, statistic in figures if one == metric])
        rows = [
            (*group.key, *counts[i], *[columns[figure][i] for figure in figures]) for i, group in enumerate(self.groups)
        ]
        return Sheet((*self.by, "requests", "failed", *names), rows, keys=len(self.by))

    def _figures(self, name: str, statistics: Sequence[str]) -> dict[Figure, list[float | None]]:
        """Return statistics of one metric of every group."""
        of_run = METRICS[name].of_run
        if of_run is not None:
            return {(name, ""): [of_run(group.counts) for group in self.groups]}
        if len(self.groups) == 1:  # its summary is shown too
            return {(name, one): [figure_of(self.groups[0].summary, name, one)] for one in statistics}
        values, of = self.table.pooled(name)
        numbers = self._numbers[of]
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=len(self.groups)))
        parts = np.split(values[order], ends[:-1])
        for part in parts:
            part.sort()
        return {(name, one): [_cell(part, one) for part in parts] for one in dict.fromkeys(statistics)}

    @cached_property
    def _numbers(self) -> Column:
        """Of each request the number of its group; small numbers are sorted fast."""
        numbers = np.empty(len(self.table), dtype=np.int16 if len(self.groups) < 1 << 15 else np.int64)
        for number, rows in enumerate(self._rows):
            numbers[rows] = number
        return numbers


def _order(part: Any) -> tuple[bool, bool, float, str]:
    """Return what a value of a field is sorted by: numbers by their size, then texts, and at last what has none."""
    number = isinstance(part, int | float)
    return part is None, not number, part if number else 0, str(part)


def _grouped(table: Table, by: Sequence[str]) -> tuple[list[tuple[Any, ...]], list[Column]]:
    """Return the values of the fields of each group, and its rows."""
    if not by:
        return [()], [np.arange(len(table))]
    fields = [coded(field_named(name, table)(table)) for name in by]
    rows = table.grouped(*[field.codes for field in fields])
    if len(rows) > MOST_GROUPS:
        raise ConfigError(f"--by {','.join(by)}: {len(rows)} groups; choose a field with fewer values")
    values = [(*field.values, None) for field in fields]  # -1 is the last
    keys = [tuple([known[field.codes[one[0]]] for field, known in zip(fields, values, strict=True)]) for one in rows]
    return keys, rows


def figure_of(summary: Summary, metric: str, statistic: str) -> float | None:
    """Return a figure of a summary; None where it was not measured or so few values cannot tell it."""
    found = summary.distributions.get(metric)
    if found is None:
        return None
    if statistic[:1] == "p":
        return found.percentiles.get(statistic)
    value: float | None = getattr(found, statistic)
    return value


def _cell(ordered: Column, statistic: str) -> float | None:
    """Return a figure; None where it was not measured or so few values cannot tell it."""
    n = len(ordered)
    if not n or (statistic[:1] == "p" and n < values_needed(float(statistic[1:]))):
        return None
    found = statistic_of(ordered, statistic)
    return None if isnan(found) else found


def figures_named(text: str | None) -> tuple[Figure, ...]:
    """Return `ttft_p95,itl_ms,success_rate` as metrics and statistics.

    Raises:
        ConfigError: no metric of that name.
    """
    if not text:
        return FIGURES
    found = [metric_and_statistic(name.strip(), "--metrics") for name in text.split(",") if name.strip()]
    return tuple((metric.name, statistic) for metric, statistic in found)


def percents_of(figures: Sequence[Figure]) -> list[float]:
    """Return the percentiles that these figures want, and those that are always given."""
    return sorted({*PERCENTILES, *[float(one[1:]) for _, one in figures if one[:1] == "p"]})
