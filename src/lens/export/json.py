"""One JSON document: one request with its figures, or a run: what it comes to, then its requests.

Requests hold their raw record too, so that `lll analyze` reads this file like a run file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from lens.export.request_json import encode_requests
from lens.history.write import encode_json
from lens.metrics.distribution import Distribution
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing import PriceBook


class JsonDocument:
    """The document; a field a line, so that people can read it without a line for each of a thousand stamps."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._single = single

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:
        rows = encode_requests(table, timings=True)
        if self._single and len(table) == 1:
            fields = msgspec.json.decode(next(rows), type=dict[str, msgspec.Raw])
            yield b"{\n" + b"".join([_field(name, bytes(value)) + b",\n" for name, value in fields.items()])
            yield _field("run", encode_json(info)) + b"\n}\n"
            return
        of_run = benchmark_summary(info, summary)
        yield b"{\n" + b"".join([_field(name, encode_json(value)) + b",\n" for name, value in of_run.items()])
        yield b' "requests": [\n  ' + next(rows, b"")
        for row in rows:
            yield b",\n  " + row
        yield b"\n ]\n}\n"


def _field(name: str, value: bytes) -> bytes:
    return b" %s: %s" % (encode_json(name), value)


def benchmark_summary(info: RunInfo, summary: Summary) -> dict[str, Any]:
    """Return what a run comes to, by the names in the document: totals, then statistics, then the run's header."""
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
    """Return a distribution as the document has it; a percentile that n cannot support is null, with the n it needs."""
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
