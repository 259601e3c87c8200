"""Prometheus text exposition (format 0.0.4): histograms by target, counters by outcome too.

What is counted is kept as families of samples, so that a file, a scrape, a Pushgateway and a remote write tell
the same numbers. Label values are escaped, numbers are written so that they read back the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import numpy as np

from lens.export.buckets import (
    ANY,
    CONNECT_MS,
    COST_USD,
    GAP_MS,
    LATENCY_MS,
    SHARE,
    TASK_MS,
    Buckets,
    fill_buckets,
    first_seen,
)
from lens.export.wallclock import start_unix_ns
from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.definitions import added_metrics, metric_named
from lens.metrics.rows import combinations, file_name
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo, Usage
from lens.pricing import PriceBook
from lens.pricing.columns import UNKNOWN
from lens.units import seconds

PREFIX = "llm_latency_lens_"
# The labels of every series, beside those that a target has; and what no label of a target may be called.
SERIES = ("provider", "model", "target")
RESERVED = frozenset({*SERIES, "status", "category", "le", "slo", "window", "alert", "job", "instance"})
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram(NamedTuple):
    """How a metric of requests is exposed."""

    metric: str
    says: str
    bounds: tuple[float, ...]


# By the name after the prefix.
_HISTOGRAMS = {
    "ttft_ms": Histogram("ttft_ms", "Time to first token", LATENCY_MS),
    "ttfb_ms": Histogram("ttfb_ms", "Time to first byte", LATENCY_MS),
    "ttfo_ms": Histogram("ttfo_ms", "Time to first visible token", LATENCY_MS),
    "total_latency_ms": Histogram("total_latency_ms", "End-to-end latency", LATENCY_MS),
    "itl_ms": Histogram("itl_ms", "Inter-token latency", GAP_MS),
    "tpot_ms": Histogram("tpot_ms", "Time per output token after the first, of a request", GAP_MS),
    "connect_ms": Histogram("connect_ms", "Lookup, connect and handshake of a new connection", CONNECT_MS),
    "task_ms": Histogram("task_ms", "Time of a session, from its first start to its last end", TASK_MS),
    "cost_per_request": Histogram("total_cost", "Cost per request in USD", COST_USD),
}
# Of metrics that were added, by their unit.
_BOUNDS: dict[str, tuple[float, ...]] = {"ms": LATENCY_MS, "share": SHARE, "USD": COST_USD}
# How many of a unit are a second, and what it is called at the end of a name and in a help text.
_TIMES = {"ms": (1000, "_ms", "milliseconds"), "us": (1_000_000, "_us", "microseconds")}
_PICO_HALF = 1_000_000  # costs in 1e-12 USD are added up in two halves, so that no sum overflows
Labels = tuple[tuple[str, str], ...]
Units = Literal["ms", "seconds"]


class Sample(NamedTuple):
    """One line of an exposition."""

    name: str
    labels: Labels
    value: float | int


def histograms() -> dict[str, Histogram]:
    """Return the histograms by their names after the prefix, those of metrics that were added last."""
    added = added_metrics()
    more = {file_name(m): Histogram(m.name, m.formula, _BOUNDS.get(m.unit, ANY)) for m in added}
    return {**_HISTOGRAMS, **more}


class Family(NamedTuple):
    """A metric with its samples."""

    name: str
    says: str
    kind: Literal["histogram", "counter", "gauge"]
    samples: list[Sample]


class PrometheusMetrics:
    """What all requests so far come to; takes tables of them one after the other."""

    def __init__(self, units: Units = "ms") -> None:
        self._units = units
        self._histograms: dict[str, dict[Labels, Buckets]] = {name: {} for name in _HISTOGRAMS}
        self._requests: Counter[Labels] = Counter()
        self._errors: Counter[Labels] = Counter()
        self._retries: Counter[Labels] = Counter()
        self._tokens: dict[str, Counter[Labels]] = {"input": Counter(), "output": Counter()}
        self._cost: dict[Labels, Decimal] = {}
        self._estimated: dict[Labels, Decimal] = {}  # the part of the costs that is an estimate
        self._rates: dict[Labels, list[float]] = {}  # sum and number
        self._last: dict[Labels, float] = {}

    def add(self, table: Table) -> None:
        """Count requests; those of the warm-up are not part of the results, interrupted ones only of the requests."""
        measured = table.measured()
        for part in measured.slices() if len(measured) else ():
            self._add(part)
        every = measured.with_interrupted
        if len(every) > len(measured):
            self._count(every.take(np.flatnonzero(every.interrupted)))

    def forget(self, **labels: str) -> None:
        """Drop the series that have these labels."""
        kept: list[dict[Labels, Any]] = [self._requests, self._errors, self._retries, self._rates, self._last]
        kept += [self._cost, self._estimated, *self._tokens.values(), *self._histograms.values()]
        for values in kept:
            for series in [one for one in values if labels.items() <= dict(one).items()]:
                del values[series]

    def _add(self, table: Table) -> None:
        series, of = _series(table)
        n = len(series)
        for name, histogram in histograms().items():
            values, whose = table.pooled(histogram.metric)
            fill_buckets(self._histograms.setdefault(name, {}), histogram.bounds, series, of[whose], values)
        self._count(table)
        _add_sums(self._retries, series, of, table.column("tries"))
        told = ~np.all([np.isnan(table.usage(name)) for name in Usage.__struct_fields__], axis=0)
        for direction, counter in self._tokens.items():
            tokens = np.nan_to_num(table.usage(f"{direction}_tokens")).astype(np.int64)
            _add_sums(counter, series, of[told], tokens[told])
        rates, whose = table.pooled("tokens_per_second")
        sums, counts = np.bincount(of[whose], weights=rates, minlength=n), np.bincount(of[whose], minlength=n)
        for one in first_seen(of[whose]):
            total = self._rates.setdefault(series[one], [0.0, 0])
            total[0], total[1] = total[0] + float(sums[one]), total[1] + int(counts[one])
        counted = ~np.isnan(table.counted("total_cost"))
        _add_costs(self._cost, table, series, of, counted)
        _add_costs(self._estimated, table, series, of, counted & table.costs.estimated)
        at = start_unix_ns(table)
        last = np.full(n, MISSING)
        np.maximum.at(last, of, at)
        for one in first_seen(of):
            began = seconds(max(int(last[one]), 0))
            self._last[series[one]] = max(self._last.get(series[one], 0.0), began)

    def _count(self, table: Table) -> None:
        """Count requests by outcome, and failures by cause."""
        status, of = _series(table, "status")
        _add_sums(self._requests, status, of, np.ones(len(table), dtype=np.int64))
        failed = np.flatnonzero((table.codes("failure").codes >= 0) & ~table.interrupted)
        if len(failed):
            causes, of = _series(table.take(failed), "category")
            _add_sums(self._errors, causes, of, np.ones(len(failed), dtype=np.int64))

    def families(self) -> Iterator[Family]:
        """Yield everything that has a value."""
        known = histograms()
        for name, by_series in self._histograms.items():
            if by_series and name in known:
                yield self._histogram(name, known[name], by_series)
        rates = {series: total / n for series, (total, n) in self._rates.items()}
        yield from _simple("tokens_per_second", "Output token throughput of a request, mean", "gauge", rates)
        yield from _simple("requests_total", "Requests by outcome", "counter", self._requests)
        yield from _simple("errors_total", "Failed requests by cause", "counter", self._errors)
        yield from _simple("retries_total", "Attempts that were made again", "counter", self._retries)
        for direction, by in self._tokens.items():
            yield from _simple(f"{direction}_tokens_total", f"Tokens of {direction} by the server", "counter", by)
        yield from _simple("cost_usd_total", "Cost in USD", "counter", _floats(self._cost))
        says = "Part of the cost in USD that is an estimate: a tokenizer counted the tokens, not the server"
        yield from _simple("estimated_cost_usd_total", says, "counter", _floats(self._estimated))
        when = "Start of the last request, seconds since 1970"
        yield from _simple("last_request_timestamp_seconds", when, "gauge", self._last)

    def _histogram(self, name: str, histogram: Histogram, by_series: dict[Labels, Buckets]) -> Family:
        """Return cumulative buckets, in the unit that was asked for; "le" has no digits that the bound has not."""
        per, full, says = 1, PREFIX + name, histogram.says
        time = _TIMES.get(metric_named(histogram.metric).unit)
        if time is not None:
            per_second, suffix, unit = time
            if self._units == "seconds":
                per, unit, full = per_second, "seconds", f"{PREFIX}{name.removesuffix(suffix)}_seconds"
            says += f" in {unit}"
        samples = []
        for series, found in by_series.items():
            below = 0
            for bound, count in zip((*found.bounds, float("inf")), found.counts, strict=True):
                below += count
                le = "+Inf" if bound == float("inf") else f"{bound / per:.12g}"
                samples.append(Sample(f"{full}_bucket", (*series, ("le", le)), below))
            samples.append(Sample(f"{full}_sum", series, found.sum / per))
            samples.append(Sample(f"{full}_count", series, found.n))
        return Family(full, says, "histogram", samples)


def _series(table: Table, *more: str) -> tuple[list[Labels], Column]:
    """Return the different targets, with the values of more columns, as labels; and which of them each request has."""
    names = (*SERIES, *more)
    groups = combinations(table.codes("labels"), *[table.codes(name) for name in names])
    series = [(*zip(names, values, strict=True), *_own_labels(labels or ())) for labels, *values in groups.values]
    return series, groups.codes


def _own_labels(labels: Labels) -> Labels:
    """Return labels of a target under names that Prometheus takes and that no other label of the series has."""
    found: dict[str, str] = {}
    for name, value in labels:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        if not plain or not plain[0].isalpha() or plain in RESERVED:
            plain = f"label_{plain}"
        while plain in found:
            plain += "_"
        found[plain] = value
    return tuple(found.items())


def _add_sums(counter: Counter[Labels], series: Sequence[Labels], of: Column, values: Column) -> None:
    """Add whole numbers to the counters of their series; a series without a value gets none."""
    sums = np.zeros(len(series), dtype=np.int64)
    np.add.at(sums, of, values)
    for one in first_seen(of):
        counter[series[one]] += int(sums[one])


def _add_costs(sums: dict[Labels, Decimal], table: Table, series: Sequence[Labels], of: Column, which: Column) -> None:
    """Add what these requests cost to the sums of their series, exactly."""
    costs = table.costs
    pico = costs.pico["total_cost"].copy()
    pico[list(costs.reported)] = UNKNOWN
    exact = which & (pico != UNKNOWN)
    high, low = np.zeros(len(series), dtype=np.int64), np.zeros(len(series), dtype=np.int64)
    np.add.at(high, of[exact], pico[exact] // _PICO_HALF)
    np.add.at(low, of[exact], pico[exact] % _PICO_HALF)
    for one in first_seen(of[exact]):
        usd = Decimal(int(high[one]) * _PICO_HALF + int(low[one])).scaleb(-12)
        sums[series[one]] = sums.get(series[one], Decimal(0)) + usd
    odd = np.flatnonzero(which & ~exact)
    each = table.take(odd).costs.decimals("total_cost") if len(odd) else ()
    for one, cost in zip(of[odd].tolist(), each, strict=True):
        sums[series[one]] = sums.get(series[one], Decimal(0)) + (cost or 0)


def _floats(sums: Mapping[Labels, Decimal]) -> dict[Labels, float]:
    return {series: float(usd) for series, usd in sums.items()}


def _simple(
    name: str, says: str, kind: Literal["counter", "gauge"], values: Mapping[Labels, float]
) -> Iterator[Family]:
    if values:
        yield Family(PREFIX + name, says, kind, [Sample(PREFIX + name, k, v) for k, v in values.items()])


def exposition(families: Iterator[Family]) -> bytes:
    """Return the text that promtool, Prometheus and the Pushgateway read."""
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {_help(family.says)}", f"# TYPE {family.name} {family.kind}"]
        for name, labels, value in family.samples:
            shown = ",".join(f'{k}="{_escape(v)}"' for k, v in labels)
            lines.append(f"{name}{{{shown}}} {value!r}")
    return "".join(f"{line}\n" for line in lines).encode()


def _help(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Prometheus:
    """The exposition of a run."""

    units: Units = "ms"

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - not in it
        found = PrometheusMetrics(self.units)
        found.add(table)
        yield exposition(found.families())


class PrometheusSeconds(Prometheus):
    """The same under Prometheus' own conventions: base units, and names that say so."""

    units = "seconds"
