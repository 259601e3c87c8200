"""Prometheus text exposition (format 0.0.4) under the plan's names (PLAN 5.2, 9.2).

Histograms by provider and model; counters by status. Label values are escaped, numbers are
written so that they read back the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from lens.metrics.definitions import METRICS, counts, measure, pooled_values
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

PREFIX = "llm_latency_lens_"
# The plan's 100, 500, 1000, and enough between and around them for a quantile to be read.
LATENCY_MS = (5, 10, 25, 50, 100, 250, 500, 750, 1000, 2500, 5000, 10000, 30000, 60000)
GAP_MS = (1, 2.5, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 250, 500, 1000)
COST_USD = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)

# name after the prefix -> metric, help, buckets
_HISTOGRAMS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "ttft_ms": ("ttft_ms", "Time to first token in milliseconds", LATENCY_MS),
    "ttfb_ms": ("ttfb_ms", "Time to first byte in milliseconds", LATENCY_MS),
    "total_latency_ms": ("total_latency_ms", "End-to-end latency in milliseconds", LATENCY_MS),
    "itl_ms": ("itl_ms", "Inter-token latency in milliseconds", GAP_MS),
    "cost_per_request": ("total_cost", "Cost per request in USD", COST_USD),
}
Series = tuple[str, str]  # provider, model


class _Histogram:
    """Counts below each bound, and the sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        below = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            below += count
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{le}"}} {below}'
        yield f"{name}_sum{{{labels}}} {self.sum!r}"
        yield f"{name}_count{{{labels}}} {below}"


class Prometheus:
    """Gathers, and writes everything at the end: an exposition is a state, not a log."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._book = book
        self._histograms: dict[str, dict[Series, _Histogram]] = {name: {} for name in _HISTOGRAMS}
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._tokens: dict[str, Counter[Series]] = {"input": Counter(), "output": Counter()}
        self._rates: dict[Series, list[float]] = {}

    def begin(self) -> bytes:
        return b""

    def add(self, record: Record) -> bytes:
        series = (record.provider, record.model)
        self._requests[(*series, record.status.value)] += 1
        for name in _HISTOGRAMS:
            for value in self._values(name, record):
                bounds = _HISTOGRAMS[name][2]
                self._histograms[name].setdefault(series, _Histogram(bounds)).add(value)
        if record.usage:
            self._tokens["input"][series] += record.usage.input_tokens or 0
            self._tokens["output"][series] += record.usage.output_tokens or 0
        rate = measure("tokens_per_second", record) if counts(METRICS["tokens_per_second"], record) else None
        if rate is not None:
            self._rates.setdefault(series, []).append(rate)
        return b""

    def _values(self, name: str, record: Record) -> list[float]:
        metric = METRICS[_HISTOGRAMS[name][0]]
        if not counts(metric, record):
            return []
        if metric.kind == "gap":
            return [float(v) for v in pooled_values(metric, record)]
        value = metric.of(record) if metric.of else self._book.cost(record).total_cost
        return [] if value is None else [float(value)]

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - everything was gathered by add
        return "".join(f"{line}\n" for line in self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        for name, by_series in self._histograms.items():
            if by_series:
                yield from _head(name, _HISTOGRAMS[name][1], "histogram")
            for series, histogram in by_series.items():
                yield from histogram.lines(PREFIX + name, _labels(series))
        if self._rates:
            yield from _head("tokens_per_second", "Output token throughput of a request, mean", "gauge")
        for series, rates in self._rates.items():
            yield f"{PREFIX}tokens_per_second{{{_labels(series)}}} {sum(rates) / len(rates)!r}"
        yield from _head("requests_total", "Requests by outcome", "counter")
        for (provider, model, status), count in self._requests.items():
            yield f'{PREFIX}requests_total{{{_labels((provider, model))},status="{_escape(status)}"}} {count}'
        for direction, by in self._tokens.items():
            if by:
                yield from _head(f"{direction}_tokens_total", f"Tokens of {direction} by the server", "counter")
            for series, count in by.items():
                yield f"{PREFIX}{direction}_tokens_total{{{_labels(series)}}} {count}"


def _head(name: str, says: str, kind: str) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {says}"
    yield f"# TYPE {PREFIX}{name} {kind}"


def _labels(series: Series) -> str:
    return f'provider="{_escape(series[0])}",model="{_escape(series[1])}"'


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
