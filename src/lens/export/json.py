"""One JSON document: a request as the plan's RequestMetrics, a run as its BenchmarkSummary.

The names are the plan's (PLAN 2.2.4, 3.3, 9.2), with ours added under their METRICS names.
Requests hold their raw record too, so that `analyze` reads this file like a run file.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lens.metrics.rows import full_row, token_timings
from lens.metrics.summary import Distribution, Summary
from lens.model import Record, RunInfo, encode_hook
from lens.pricing import PriceBook

_encoder = msgspec.json.Encoder(enc_hook=encode_hook, decimal_format="number")


class JsonDocument:
    """Rows are kept encoded until the end, because the summary stands before them."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        self._info, self._book, self._single = info, book, single
        self._rows: list[msgspec.Raw] = []

    def begin(self) -> bytes:
        return b""

    def add(self, record: Record) -> bytes:
        row = full_row(record, self._book)
        row["token_timings"] = token_timings(record)
        self._rows.append(msgspec.Raw(_encoder.encode(row)))
        return b""

    def end(self, info: RunInfo, summary: Summary) -> bytes:
        if self._single and len(self._rows) == 1:
            row = msgspec.json.decode(self._rows[0], type=dict[str, msgspec.Raw])
            return _document({name: bytes(value) for name, value in row.items()} | {"run": _encoder.encode(info)})
        fields = {name: _encoder.encode(value) for name, value in benchmark_summary(info, summary).items()}
        fields["requests"] = b"[\n  " + b",\n  ".join(bytes(row) for row in self._rows) + b"\n ]"
        return _document(fields)


def _document(fields: dict[str, bytes]) -> bytes:
    """A field a line: to be read by people, without a line for each of a thousand stamps."""
    lines = (b" %s: %s" % (_encoder.encode(name), value) for name, value in fields.items())
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def benchmark_summary(info: RunInfo, summary: Summary) -> dict[str, Any]:
    """The plan's BenchmarkSummary without its requests, then our figures, then the run's header."""
    rate = summary.distributions.get("tokens_per_second")
    return {
        "test_config": info.config,
        "start_time": info.started_at,
        "end_time": info.ended_at,
        "total_requests": summary.requests,
        "successful_requests": summary.successes,
        "failed_requests": summary.requests - summary.successes,
        "ttft_stats": latency_stats(summary.distributions.get("ttft_ms")),
        "itl_stats": latency_stats(summary.distributions.get("itl_ms")),
        "total_latency_stats": latency_stats(summary.distributions.get("total_latency_ms")),
        "avg_tokens_per_second": rate.mean if rate else None,
        "avg_requests_per_second": summary.requests_per_second,
        "total_cost": summary.total_cost,
        "avg_cost_per_request": summary.cost_per_request,
        "total_input_tokens": summary.input_tokens,
        "total_output_tokens": summary.output_tokens,
        "success_rate": summary.success_rate,
        "output_tokens_per_second": summary.output_tokens_per_second,
        "by_status": summary.by_status,
        "by_category": summary.by_category,
        "examples": summary.examples,
        "stats": {name: latency_stats(d) for name, d in summary.distributions.items()},
        "server_timing_stats": {name: latency_stats(d) for name, d in summary.server_timing_ms.items()},
        "coalesced_share": summary.coalesced_share,
        "token_evidence": summary.token_evidence,
        "stages": summary.stages,
        "cold_start": summary.cold_start,
        "gpu_cost": summary.gpu_cost or None,
        "notes": summary.notes,
        "warnings": summary.warnings,
        "run": info,
    }


def latency_stats(found: Distribution | None) -> dict[str, Any] | None:
    """The plan's LatencyStats; a percentile that n cannot support is null, with the n it needs."""
    if found is None:
        return None
    stats: dict[str, Any] = {
        "min": found.min,
        "max": found.max,
        "mean": found.mean,
        "median": found.median,
        "p95": found.percentiles.get("p95"),
        "p99": found.percentiles.get("p99"),
        "std_dev": found.std_dev,
        "n": found.n,
        "unit": found.unit,
    }
    stats.update({name: value for name, value in found.percentiles.items() if name not in stats})
    if found.needs:
        stats["not_estimable"] = found.needs
    return stats
