"""Groups of requests as a sheet: a row a group, a column a figure. What tables, CSV and Markdown are made of.

A cell is the figure itself, None where it was not measured or so few values cannot tell it; how it
looks is decided where it is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from lens.analysis.explore.filters import grouped
from lens.analysis.gates.thresholds import metric_and_statistic
from lens.analysis.sources import Sources, summary_of
from lens.errors import ConfigError
from lens.metrics.definitions import METRICS
from lens.metrics.distribution import PERCENTILES
from lens.metrics.summary import Summary, with_experiments
from lens.model import Record
from lens.pricing import PriceBook

# What people decide by, in the order in which a narrow terminal drops them from the end.
FIGURES = (
    ("ttft_ms", "p50"), ("ttft_ms", "p95"), ("itl_ms", "p50"), ("total_latency_ms", "p95"),
    ("tokens_per_second", "p50"), ("ttft_ms", "p99"), ("total_latency_ms", "p50"),
    ("itl_ms", "p95"), ("total_cost", "mean"),
)  # fmt: skip
# More groups than this are a mistake in --by.
MOST_GROUPS = 10_000


class Sheet(msgspec.Struct, frozen=True):
    """Named columns and rows of cells."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    keys: int = 0  # how many of the first columns say which row it is


class Group(NamedTuple):
    """Requests that belong together, and what they say."""

    key: tuple[Any, ...]
    records: list[Record]
    summary: Summary


def groups_of(
    sources: Sources,
    records: Sequence[Record],
    by: Sequence[str],
    book: PriceBook,
    *,
    slos: Sequence[Any] = (),
    percents: Sequence[float] = PERCENTILES,
) -> list[Group]:
    """Requests by the values of some fields; all in one group where none is named.

    Raises:
        ConfigError: a field is unknown, or there is a group for nearly each request.
    """
    found = grouped(records, by, book, sources.fields) if by else {(): list(records)}
    if len(found) > MOST_GROUPS:
        raise ConfigError(f"--by {','.join(by)}: {len(found)} groups; choose a field with fewer values")
    groups = []
    for key, some in found.items():
        parts = sources.parts(some)
        summary = summary_of(parts, book, slos=slos, percents=percents)
        groups.append(Group(key, some, with_experiments(summary, some) if len(parts) == 1 else summary))
    return groups


def figures_named(text: str | None) -> tuple[tuple[str, str], ...]:
    """`ttft_p95,itl_ms,success_rate` as metrics and statistics.

    Raises:
        ConfigError: there is no such metric.
    """
    if not text:
        return FIGURES
    found = [metric_and_statistic(name.strip()) for name in text.split(",") if name.strip()]
    return tuple((metric.name, statistic) for metric, statistic in found)


def percents_of(figures: Sequence[tuple[str, str]]) -> list[float]:
    """The percentiles that these figures want, and those that are always told."""
    return sorted({*PERCENTILES, *[float(one[1:]) for _, one in figures if one[:1] == "p"]})


def sheet_of(groups: Sequence[Group], by: Sequence[str], figures: Sequence[tuple[str, str]]) -> Sheet:
    """A row a group: who it is, how many requests, how many failed, then the figures."""
    names = [f"{metric}_{statistic}".strip("_") for metric, statistic in figures]
    rows = [
        (
            *group.key,
            group.summary.requests,
            group.summary.requests - group.summary.successes,
            *[figure(group.summary, metric, statistic) for metric, statistic in figures],
        )
        for group in groups
    ]
    return Sheet((*by, "requests", "failed", *names), rows, keys=len(by))


def figure(summary: Summary, metric: str, statistic: str) -> float | None:
    """One figure of a summary; None where it was not measured or so few values cannot tell it."""
    if METRICS[metric].kind == "run":
        if metric == "error_rate":
            return None if summary.success_rate is None else 1 - summary.success_rate
        whole: float | None = getattr(summary, metric)
        return whole
    found = summary.distributions.get(metric)
    if found is None:
        return None
    if statistic[:1] == "p":
        return found.percentiles.get(statistic)
    value: float | None = getattr(found, statistic)
    return value
