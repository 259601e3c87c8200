"""OpenTelemetry: a span a request and the client metrics of the conventions for generative AI.

The file is what the collector's file exporter writes and its otlpjsonfile receiver reads: a line
is one TracesData or MetricsData message in OTLP's JSON. The push sends the same messages.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lens.export.buckets import OTEL_DURATION_S, OTEL_TOKENS, Buckets
from lens.export.otlp_spans import Attributes, attributes_of, common, resource_of, scope_of, span_of
from lens.export.wallclock import end_unix_ns, start_unix_ns, unix_ns
from lens.metrics.definitions import measure
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook
from lens.units import NS_PER_MS, NS_PER_S

CUMULATIVE = 2
SPANS_A_LINE = 256
# name -> unit, description, bounds
_HISTOGRAMS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "gen_ai.client.token.usage": ("{token}", "Number of input and output tokens used.", OTEL_TOKENS),
    "gen_ai.client.operation.duration": ("s", "GenAI operation duration.", OTEL_DURATION_S),
    "gen_ai.client.operation.time_to_first_chunk": ("s", "Time to receive the first chunk.", OTEL_DURATION_S),
    "gen_ai.client.operation.time_per_output_chunk": ("s", "Time per output chunk.", OTEL_DURATION_S),
}
_Key = tuple[tuple[str, str | int | float | bool], ...]


class OtlpMetrics:
    """The client metrics of all records so far; takes them one by one."""

    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self._start_ns = unix_ns(info.started_at)
        self._last_ns = self._start_ns
        self._found: dict[str, dict[_Key, Buckets]] = {name: {} for name in _HISTOGRAMS}

    def add(self, record: Record) -> None:
        """Count one request; tokens and chunks only where they were measured."""
        if record.warmup:
            return
        named = common(record, self._info)
        self._last_ns = max(self._last_ns, end_unix_ns(record) or start_unix_ns(record))
        took_ms = measure("total_latency_ms", record)
        if took_ms is not None:
            self._one("gen_ai.client.operation.duration", named, took_ms * NS_PER_MS / NS_PER_S)
        ok = {key: value for key, value in named.items() if key != "error.type"}
        if record.usage:
            for kind, tokens in (("input", record.usage.input_tokens), ("output", record.usage.output_tokens)):
                if tokens is not None:
                    self._one("gen_ai.client.token.usage", {**ok, "gen_ai.token.type": kind}, tokens)
        if record.stream and len(record.events):
            self._chunks(record, ok)

    def _chunks(self, record: Record, named: Attributes) -> None:
        """Every event is a chunk to the conventions, one without content too."""
        import numpy as np

        arrived_s = np.frombuffer(record.events.arrived_ns, dtype=record.events.arrived_ns.typecode) / NS_PER_S
        self._one("gen_ai.client.operation.time_to_first_chunk", named, float(arrived_s[0]))
        self._buckets("gen_ai.client.operation.time_per_output_chunk", named).add_all(np.diff(arrived_s))

    def _one(self, name: str, named: Attributes, value: float) -> None:
        self._buckets(name, named).add(value)

    def _buckets(self, name: str, named: Attributes) -> Buckets:
        key = tuple((k, v) for k, v in named.items() if not isinstance(v, list))
        return self._found[name].setdefault(key, Buckets(_HISTOGRAMS[name][2]))

    def message(self) -> dict[str, Any] | None:
        """One MetricsData; None while there is nothing to tell."""
        metrics = [
            {
                "name": name,
                "unit": _HISTOGRAMS[name][0],
                "description": _HISTOGRAMS[name][1],
                "histogram": {
                    "aggregationTemporality": CUMULATIVE,
                    "dataPoints": [self._point(dict(key), found) for key, found in by.items() if found.n],
                },
            }
            for name, by in self._found.items()
            if any(found.n for found in by.values())
        ]
        if not metrics:
            return None
        scoped = {"scope": scope_of(self._info), "metrics": metrics}
        return {"resourceMetrics": [{"resource": resource_of(self._info), "scopeMetrics": [scoped]}]}

    def _point(self, named: Attributes, found: Buckets) -> dict[str, Any]:
        return {
            "attributes": attributes_of(named),
            "startTimeUnixNano": str(self._start_ns),
            "timeUnixNano": str(self._last_ns),
            "count": str(found.n),
            "sum": found.sum,
            "min": found.min,
            "max": found.max,
            "bucketCounts": [str(count) for count in found.counts],
            "explicitBounds": list(found.bounds),
        }


def spans_message(info: RunInfo, spans: list[dict[str, Any]]) -> dict[str, Any]:
    """One TracesData."""
    scoped = {"scope": scope_of(info), "spans": spans}
    return {"resourceSpans": [{"resource": resource_of(info), "scopeSpans": [scoped]}]}


class Otlp:
    """Lines of spans as they come, and the metrics at the end."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._info, self._book = info, book
        self._metrics = OtlpMetrics(info)
        self._spans: list[dict[str, Any]] = []

    def begin(self) -> bytes:
        return b""

    def add(self, record: Record) -> bytes:
        if record.warmup:
            return b""
        self._metrics.add(record)
        self._spans.append(span_of(record, self._info, self._book))
        return self.spans() if len(self._spans) >= SPANS_A_LINE else b""

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - everything was gathered by add
        return self.spans() + self.metrics()

    def metrics(self) -> bytes:
        """The metrics of all requests so far, as one line; nothing while there are none."""
        found = self._metrics.message()
        return msgspec.json.encode(found) + b"\n" if found else b""

    def spans(self) -> bytes:
        """The spans that have come since the last line of them."""
        if not self._spans:
            return b""
        line = msgspec.json.encode(spans_message(self._info, self._spans)) + b"\n"
        self._spans = []
        return line
