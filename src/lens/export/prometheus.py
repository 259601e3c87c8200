"""Prometheus text exposition (format 0.0.4) under the plan's names (PLAN 5.2, 9.2).

Histograms by provider and model, counters by status too. What is gathered is kept as families of
samples, so that a file, a scrape, a Pushgateway and a remote write tell the same numbers. Label
values are escaped, numbers are written so that they read back the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

from lens.export.buckets import CONNECT_MS, COST_USD, GAP_MS, LATENCY_MS, Buckets
from lens.export.wallclock import unix_ns
from lens.metrics.definitions import METRICS, counts, measure, pooled_values
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook
from lens.units import seconds

PREFIX = "llm_latency_lens_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# The plan's name after the prefix -> metric, help, bounds
_HISTOGRAMS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "ttft_ms": ("ttft_ms", "Time to first token", LATENCY_MS),
    "ttfb_ms": ("ttfb_ms", "Time to first byte", LATENCY_MS),
    "ttfo_ms": ("ttfo_ms", "Time to first visible token", LATENCY_MS),
    "total_latency_ms": ("total_latency_ms", "End-to-end latency", LATENCY_MS),
    "itl_ms": ("itl_ms", "Inter-token latency", GAP_MS),
    "tpot_ms": ("tpot_ms", "Time per output token after the first, of a request", GAP_MS),
    "connect_ms": ("connect_ms", "Lookup, connect and handshake of a new connection", CONNECT_MS),
    "cost_per_request": ("total_cost", "Cost per request in USD", COST_USD),
}
Labels = tuple[tuple[str, str], ...]
Units = Literal["ms", "seconds"]


class Sample(NamedTuple):
    """One line of an exposition."""

    name: str
    labels: Labels
    value: float | int


class Family(NamedTuple):
    """A metric with its samples."""

    name: str
    says: str
    kind: Literal["histogram", "counter", "gauge"]
    samples: list[Sample]


class Gathered:
    """What all records so far come to; takes them one by one."""

    def __init__(self, book: PriceBook, units: Units = "ms") -> None:
        self._book = book
        self._per_unit = 1000 if units == "seconds" else 1
        self._units = units
        self._histograms: dict[str, dict[Labels, Buckets]] = {name: {} for name in _HISTOGRAMS}
        self._requests: Counter[Labels] = Counter()
        self._errors: Counter[Labels] = Counter()
        self._retries: Counter[Labels] = Counter()
        self._tokens: dict[str, Counter[Labels]] = {"input": Counter(), "output": Counter()}
        self._cost: dict[Labels, Decimal] = {}
        self._rates: dict[Labels, list[float]] = {}  # sum and number
        self._last: dict[Labels, float] = {}

    def add(self, record: Record) -> None:
        """Count one request; one of the warm-up is not part of the results."""
        if record.warmup:
            return
        series = (("provider", record.provider), ("model", record.model))
        self._requests[(*series, ("status", record.status.value))] += 1
        if record.failure:
            self._errors[(*series, ("category", record.category))] += 1
        self._retries[series] += len(record.tries)
        for name in _HISTOGRAMS:
            self._add_values(name, record, series)
        if record.usage:
            self._tokens["input"][series] += record.usage.input_tokens or 0
            self._tokens["output"][series] += record.usage.output_tokens or 0
        rate = measure("tokens_per_second", record) if counts(METRICS["tokens_per_second"], record) else None
        if rate is not None:
            total = self._rates.setdefault(series, [0.0, 0])
            total[0], total[1] = total[0] + rate, total[1] + 1
        self._last[series] = max(self._last.get(series, 0.0), seconds(unix_ns(record.timestamp)))

    def _add_values(self, name: str, record: Record, series: Labels) -> None:
        metric = METRICS[_HISTOGRAMS[name][0]]
        if not counts(metric, record):
            return
        found = self._histograms[name]
        if metric.kind == "gap":
            values = pooled_values(metric, record)
            if len(values):
                found.setdefault(series, Buckets(_HISTOGRAMS[name][2])).add_all(values)
            return
        value = metric.of(record) if metric.of else self._book.cost(record).total_cost
        if value is None:
            return
        found.setdefault(series, Buckets(_HISTOGRAMS[name][2])).add(float(value))
        if isinstance(value, Decimal):
            self._cost[series] = self._cost.get(series, Decimal(0)) + value

    def families(self) -> Iterator[Family]:
        """Everything that has a value, in the order of the plan."""
        for name, by_series in self._histograms.items():
            if by_series:
                yield self._histogram(name, by_series)
        rates = {series: total / n for series, (total, n) in self._rates.items()}
        yield from _simple("tokens_per_second", "Output token throughput of a request, mean", "gauge", rates)
        yield from _simple("requests_total", "Requests by outcome", "counter", self._requests)
        yield from _simple("errors_total", "Failed requests by cause", "counter", self._errors)
        yield from _simple("retries_total", "Attempts that were made again", "counter", self._retries)
        for direction, by in self._tokens.items():
            yield from _simple(f"{direction}_tokens_total", f"Tokens of {direction} by the server", "counter", by)
        cost = {series: float(usd) for series, usd in self._cost.items()}
        yield from _simple("cost_usd_total", "Cost in USD", "counter", cost)
        when = "Start of the last request, seconds since 1970"
        yield from _simple("last_request_timestamp_seconds", when, "gauge", self._last)

    def _histogram(self, name: str, by_series: dict[Labels, Buckets]) -> Family:
        """Cumulative buckets, in the unit that was asked for; le is written as the plan writes it."""
        timed = name.endswith("_ms")
        per = self._per_unit if timed else 1
        says = _HISTOGRAMS[name][1]
        if timed:
            says += " in seconds" if per > 1 else " in milliseconds"
        full = PREFIX + (f"{name.removesuffix('_ms')}_seconds" if timed and per > 1 else name)
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


def _simple(
    name: str, says: str, kind: Literal["counter", "gauge"], values: dict[Labels, float] | Counter[Labels]
) -> Iterator[Family]:
    if values:
        yield Family(PREFIX + name, says, kind, [Sample(PREFIX + name, k, v) for k, v in values.items()])


def exposition(families: Iterator[Family]) -> bytes:
    """The text that promtool, Prometheus and the Pushgateway read."""
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
    """Gathers, and writes everything at the end: an exposition is a state, not a log."""

    units: Units = "ms"

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._gathered = Gathered(book, self.units)

    def begin(self) -> bytes:
        return b""

    def add(self, record: Record) -> bytes:
        self._gathered.add(record)
        return b""

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - everything was gathered by add
        return exposition(self._gathered.families())


class PrometheusSeconds(Prometheus):
    """The same under Prometheus' own conventions: base units, and names that say so."""

    units = "seconds"
