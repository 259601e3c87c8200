"""`profile_export_aiperf.json` as aiperf writes it: a block of statistics a metric, from its definitions.

Schema 1.3: a record metric has avg, min, max, percentiles, std, count and sum; a figure of the
whole run has avg alone; what was not measured is left out. std is the population's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from lens.export.tools.view import ToolRequests, known, seen_by, total
from lens.metrics.columns import Column
from lens.metrics.rows import combinations
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.metrics.tool_definitions import definitions_of
from lens.model import RunInfo
from lens.parsing import table_in
from lens.pricing import PriceBook

_TOOL = definitions_of("aiperf")
SCHEMA_VERSION = "1.3"
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_MS = 1000.0
Block = dict[str, Any]


class AiperfJson:
    """One object."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - its own sums
        seen = seen_by(_TOOL, table)
        done = seen.done
        document = {
            "schema_version": SCHEMA_VERSION,
            "benchmark_id": info.run_id,
            **_records(done),
            **_run(seen, done),
            "start_time": info.started_at,
            "end_time": info.ended_at,
            "was_cancelled": any("stopped" in warning or "interrupted" in warning for warning in info.warnings),
            "input_config": _input(info),
            "error_summary": _errors(seen),
            "run_info": {"benchmark_id": info.run_id, "cli_command": info.command or None},
        }
        yield msgspec.json.encode(document) + b"\n"


def _records(done: ToolRequests) -> dict[str, Block]:
    """Return the metrics with a value a request; chunk gaps are pooled."""
    tpot_s = done.tpot_s
    second = np.full(len(done.ok), np.nan)  # from the first content event to the second
    some = np.flatnonzero(np.diff(done.gap_first))
    second[some] = done.gaps_s[done.gap_first[some]]
    visible = done.output_tokens - np.nan_to_num(done.reasoning_tokens)
    found = {
        "time_to_first_token": _stats("ms", known(done.ttft_s, _MS)),
        "time_to_second_token": _stats("ms", known(second, _MS)),
        "time_to_first_output_token": _stats("ms", known(done.ttfo_s, _MS)),
        "request_latency": _stats("ms", known(done.latency_s, _MS)),
        "inter_token_latency": _stats("ms", known(tpot_s, _MS)),
        "inter_chunk_latency": _stats("ms", known(done.gaps_s, _MS)),
        "output_token_throughput_per_user": _stats("tokens/sec/user", known(1 / np.where(tpot_s == 0, np.nan, tpot_s))),
        "output_sequence_length": _stats("tokens", known(done.output_tokens)),
        "output_token_count": _stats("tokens", known(visible)),
        "reasoning_token_count": _stats("tokens", known(done.reasoning_tokens)),
        "input_sequence_length": _stats("tokens", known(done.input_tokens)),
    }
    return {name: block for name, block in found.items() if block}


def _run(seen: ToolRequests, done: ToolRequests) -> dict[str, Block]:
    """Return the figures of the whole run."""
    duration_s = seen.span_s
    came, went = total(done.output_tokens), total(done.input_tokens)
    successes = len(done.ok)
    found: dict[str, Block] = {
        "request_count": {"unit": "requests", "avg": successes},
        "error_request_count": {"unit": "requests", "avg": len(seen.ok) - successes},
        "benchmark_duration": {"unit": "sec", "avg": duration_s},
        "total_output_tokens": {"unit": "tokens", "avg": came},
        "total_osl": {"unit": "tokens", "avg": came},
        "total_isl": {"unit": "tokens", "avg": went},
    }
    if duration_s:
        found["request_throughput"] = {"unit": "requests/sec", "avg": successes / duration_s}
        found["output_token_throughput"] = {"unit": "tokens/sec", "avg": came / duration_s}
        found["total_token_throughput"] = {"unit": "tokens/sec", "avg": (came + went) / duration_s}
    return found


def _stats(unit: str, column: Column) -> Block | None:
    if not len(column):
        return None
    return {
        "unit": unit,
        "avg": float(column.mean()),
        **{f"p{p}": float(np.percentile(column, p)) for p in PERCENTILES},
        "min": float(column.min()),
        "max": float(column.max()),
        "std": float(column.std()),
        "count": len(column),
        "sum": float(column.sum()),
    }


def _input(info: RunInfo) -> dict[str, Any]:
    target = info.targets[0] if info.targets else None
    load = table_in(info.config, "load")
    return {
        "endpoint": {
            "model_names": [t.model for t in info.targets],
            "url": target.url if target else None,
            "type": (target.api if target else None) or "chat",
        },
        "loadgen": {
            "concurrency": load.get("concurrency"),
            "request_rate": load.get("rate_per_s"),
            "request_count": load.get("iterations"),
        },
    }


def _errors(seen: ToolRequests) -> list[dict[str, Any]]:
    """Return how often each failure came, the most frequent first."""
    failed = seen.take(np.flatnonzero(~seen.ok))
    if not len(failed.ok):
        return []
    kinds = combinations(failed.code, failed.category, failed.error)
    counts = np.bincount(kinds.codes, minlength=len(kinds.values)).tolist()
    found = sorted(zip(kinds.values, counts, strict=True), key=lambda item: -item[1])
    return [
        {"error_details": {"code": code, "type": kind, "message": message or ""}, "count": count}
        for (code, kind, message), count in found
    ]
