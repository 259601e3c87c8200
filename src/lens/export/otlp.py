"""OpenTelemetry: a span a request and the client metrics of the conventions for generative AI.

The file is what the collector's file exporter writes and its otlpjsonfile receiver reads: a line
is one TracesData or MetricsData message in OTLP's JSON. The push sends the same messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from lens.export.buckets import OTEL_DURATION_S, OTEL_TOKENS, Buckets, fill_buckets
from lens.export.otlp_spans import Attributes, attributes_of, kinds_of, resource_of, scope_of, spans_of
from lens.export.wallclock import end_unix_ns, unix_ns
from lens.metrics.columns import Column
from lens.metrics.raw_events import RawEvents, raw_events, with_records
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
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
    """The client metrics of all requests so far; takes tables of them one after the other."""

    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self._start_ns = unix_ns(info.started_at)
        self._last_ns = self._start_ns
        self._found: dict[str, dict[_Key, Buckets]] = {name: {} for name in _HISTOGRAMS}

    def add(self, table: Table, events: RawEvents) -> None:
        """Count requests, tokens and chunks only where they were measured.

        table: without requests of the warm-up; events: theirs, all of them.
        """
        if not len(table):
            return
        self._last_ns = max(self._last_ns, int(end_unix_ns(table).max()))
        kinds, of = kinds_of(table, self._info)
        keys: list[_Key] = [_key(kind.attributes) for kind in kinds]
        took_s = table.metric("total_latency_ms") * NS_PER_MS / NS_PER_S
        self._fill("gen_ai.client.operation.duration", keys, of, took_s)
        # A failure is no property of tokens and chunks that came.
        keys = [tuple([pair for pair in key if pair[0] != "error.type"]) for key in keys]
        tokens = np.stack([table.usage("input_tokens"), table.usage("output_tokens")], axis=1)
        told = [(*key, ("gen_ai.token.type", kind)) for key in keys for kind in ("input", "output")]
        self._fill("gen_ai.client.token.usage", told, np.stack([2 * of, 2 * of + 1], axis=1).ravel(), tokens.ravel())
        # Every event is a chunk to the conventions, one without content too.
        chunks = events.where(table.column("stream")[events.of])
        begins = chunks.begins
        first_s = chunks.at[begins] / NS_PER_S
        self._fill("gen_ai.client.operation.time_to_first_chunk", keys, of[chunks.of[begins]], first_s)
        arrived_s = chunks.at / NS_PER_S
        gaps_s = np.diff(arrived_s)[~begins[1:]]
        self._fill("gen_ai.client.operation.time_per_output_chunk", keys, of[chunks.of[1:][~begins[1:]]], gaps_s)

    def _fill(self, name: str, keys: Sequence[_Key], of: Column, values: Column) -> None:
        known = ~np.isnan(values)
        fill_buckets(self._found[name], _HISTOGRAMS[name][2], keys, of[known], values[known])

    def message(self) -> dict[str, Any] | None:
        """Return one MetricsData; None while there is nothing to tell."""
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
    """Return one TracesData."""
    scoped = {"scope": scope_of(info), "spans": spans}
    return {"resourceSpans": [{"resource": resource_of(info), "scopeSpans": [scoped]}]}


class OtlpSignals:
    """Spans of requests, and the metrics of all so far."""

    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self._metrics = OtlpMetrics(info)

    def add(self, table: Table) -> Iterator[bytes]:
        """Yield lines of the spans of requests, and count these in the metrics; the warm-up is left out."""
        for part, records in with_records(table.measured()):
            events = raw_events(records)
            self._metrics.add(part, events)
            spans = spans_of(part, records, events, self._info)
            while some := list(islice(spans, SPANS_A_LINE)):
                yield msgspec.json.encode(spans_message(self._info, some)) + b"\n"

    def metrics(self) -> bytes:
        """Return the metrics of all requests so far, as one line; nothing while there are none."""
        found = self._metrics.message()
        return msgspec.json.encode(found) + b"\n" if found else b""


class Otlp:
    """Lines of spans, and the metrics at the end."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - not in it
        signals = OtlpSignals(info)
        yield from signals.add(table)
        yield signals.metrics()


def _key(attributes: Attributes) -> _Key:
    return tuple([(name, value) for name, value in attributes.items() if not isinstance(value, list)])
