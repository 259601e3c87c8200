"""`profile_export_aiperf.json` as aiperf writes it: a block of statistics a metric, from its definitions.

Schema 1.3: a record metric has avg, min, max, percentiles, std, count and sum; a figure of the
whole run has avg alone; what was not measured is left out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from lens.export.tools.view import View, span_s, values, view_of
from lens.metrics.summary import Summary
from lens.metrics.tool_definitions import dialect_named
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

_TOOL = dialect_named("aiperf")
SCHEMA_VERSION = "1.3"
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_MS = 1000.0
Block = dict[str, Any]


class AiperfJson:
    """Gathers, and writes one object at the end."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._views: list[View] = []

    def begin(self) -> bytes:
        return b""

    def add(self, record: Record) -> bytes:
        if not record.warmup:
            self._views.append(view_of(record, _TOOL))
        return b""

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - that tool's own arithmetic
        document = {
            "schema_version": SCHEMA_VERSION,
            "benchmark_id": info.run_id,
            **_records(self._views),
            **_run(self._views),
            "start_time": info.started_at,
            "end_time": info.ended_at,
            "was_cancelled": any("stopped" in warning or "interrupted" in warning for warning in info.warnings),
            "input_config": _input(info),
            "error_summary": _errors(self._views),
            "run_info": {"benchmark_id": info.run_id, "cli_command": info.command or None},
        }
        return msgspec.json.encode(document) + b"\n"


def _records(views: list[View]) -> dict[str, Block]:
    """Metrics with a value a request; chunk gaps are pooled."""
    gaps_ms = [gap * _MS for view in views if view.ok for gap in view.gaps_s.tolist()]
    found = {
        "time_to_first_token": _stats("ms", values(views, lambda v: v.ttft_s, _MS)),
        "time_to_second_token": _stats("ms", values(views, _second, _MS)),
        "time_to_first_output_token": _stats("ms", values(views, lambda v: v.ttfo_s, _MS)),
        "request_latency": _stats("ms", values(views, lambda v: v.latency_s, _MS)),
        "inter_token_latency": _stats("ms", values(views, View.tpot_s, _MS)),
        "inter_chunk_latency": _stats("ms", gaps_ms),
        "output_token_throughput_per_user": _stats("tokens/sec/user", values(views, _per_user)),
        "output_sequence_length": _stats("tokens", values(views, lambda v: v.output_tokens)),
        "output_token_count": _stats("tokens", values(views, _visible)),
        "reasoning_token_count": _stats("tokens", values(views, lambda v: v.reasoning_tokens)),
        "input_sequence_length": _stats("tokens", values(views, lambda v: v.input_tokens)),
    }
    return {name: block for name, block in found.items() if block}


def _second(view: View) -> float | None:
    """From the first content event to the second."""
    return float(view.gaps_s[0]) if len(view.gaps_s) else None


def _per_user(view: View) -> float | None:
    tpot_s = view.tpot_s()
    return 1 / tpot_s if tpot_s else None


def _visible(view: View) -> int | None:
    return None if view.output_tokens is None else view.output_tokens - (view.reasoning_tokens or 0)


def _run(views: list[View]) -> dict[str, Block]:
    """Figures of the whole run."""
    done = [view for view in views if view.ok]
    duration_s = span_s(views)
    came, went = sum(v.output_tokens or 0 for v in done), sum(v.input_tokens or 0 for v in done)
    found: dict[str, Block] = {
        "request_count": {"unit": "requests", "avg": len(done)},
        "error_request_count": {"unit": "requests", "avg": len(views) - len(done)},
        "benchmark_duration": {"unit": "sec", "avg": duration_s},
        "total_output_tokens": {"unit": "tokens", "avg": came},
        "total_osl": {"unit": "tokens", "avg": came},
        "total_isl": {"unit": "tokens", "avg": went},
    }
    if duration_s:
        found["request_throughput"] = {"unit": "requests/sec", "avg": len(done) / duration_s}
        found["output_token_throughput"] = {"unit": "tokens/sec", "avg": came / duration_s}
        found["total_token_throughput"] = {"unit": "tokens/sec", "avg": (came + went) / duration_s}
    return found


def _stats(unit: str, found: list[float]) -> Block | None:
    import numpy as np

    if not found:
        return None
    column = np.asarray(found)
    return {
        "unit": unit,
        "avg": float(column.mean()),
        **{f"p{p}": float(np.percentile(column, p)) for p in PERCENTILES},
        "min": float(column.min()),
        "max": float(column.max()),
        "std": float(column.std(ddof=1)) if len(column) > 1 else 0.0,
        "count": len(column),
        "sum": float(column.sum()),
    }


def _input(info: RunInfo) -> dict[str, Any]:
    target = info.targets[0] if info.targets else None
    load = info.config.get("load", {})
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


def _errors(views: list[View]) -> list[dict[str, Any]]:
    found = Counter((v.code, v.category, v.error) for v in views if not v.ok)
    return [
        {"error_details": {"code": code, "type": kind, "message": message}, "count": count}
        for (code, kind, message), count in found.most_common()
    ]
