"""guidellm's benchmarks.json: a benchmark a stage, its distributions by outcome, from its definitions.

A distribution that holds nothing is null, where that tool writes zeros; a rate over a whole run
has a mean and no spread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from lens.export.tools.view import View, span_s, view_of
from lens.metrics.summary import Summary
from lens.metrics.tool_definitions import dialect_named
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

_TOOL = dialect_named("guidellm")
PERCENTILES = {
    "p001": 0.1, "p01": 1, "p05": 5, "p10": 10, "p25": 25, "p50": 50,
    "p75": 75, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9,
}  # fmt: skip
Of = Callable[[View], float | int | None]
_OUTCOMES = ("successful", "incomplete", "errored")


class GuidellmJson:
    """Gathers, and writes one report at the end."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:  # noqa: ARG002
        self._stages: dict[str | None, list[View]] = {}

    def begin(self) -> bytes:
        return b""

    def add(self, record: Record) -> bytes:
        if not record.warmup:
            self._stages.setdefault(record.stage, []).append(view_of(record, _TOOL))
        return b""

    def end(self, info: RunInfo, summary: Summary) -> bytes:  # noqa: ARG002 - that tool's own arithmetic
        target = info.targets[0] if info.targets else None
        machine = info.machine
        report = {
            "metadata": {
                "version": 1,
                "guidellm_version": None,
                "python_version": machine.python if machine else None,
                "platform": f"{machine.system} {machine.kernel}" if machine else None,
            },
            "args": {"target": target.url if target else None, "model": target.model if target else None},
            "benchmarks": [_benchmark(info, stage, views) for stage, views in self._stages.items()],
        }
        return msgspec.json.encode(report) + b"\n"


def _benchmark(info: RunInfo, stage: str | None, views: list[View]) -> dict[str, Any]:
    by = {outcome: [v for v in views if _outcome(v) == outcome] for outcome in _OUTCOMES}
    start_s, duration_s = min(v.start_s for v in views), span_s(views)
    return {
        "type_": "generative_benchmark",
        "id_": f"{info.run_id}/{stage}" if stage else info.run_id,
        "run_id": info.run_id,
        "config": {"strategy": _strategy(info, stage), "run_id": info.run_id},
        "start_time": start_s,
        "end_time": start_s + duration_s,
        "duration": duration_s,
        "metrics": _metrics(by, duration_s),
        "requests": {outcome: [_request(v) for v in found] for outcome, found in by.items()},
    }


def _outcome(view: View) -> str:
    if view.ok:
        return "successful"
    return "incomplete" if view.category in ("cancelled", "truncated") else "errored"


def _strategy(info: RunInfo, stage: str | None) -> dict[str, Any]:
    load = info.config.get("load", {})
    rate = load.get("rate_per_s")
    kind = {"poisson": "poisson"}.get(load.get("arrival", ""), "constant") if rate else "concurrent"
    return {"type_": kind, "rate": rate, "streams": None if rate else load.get("concurrency"), "stage": stage}


def _itl_s(view: View) -> float | None:
    """(last - first) / (n - 1), over the tokens that the server counted."""
    n = view.output_tokens
    return float(view.gaps_s.sum()) / (n - 1) if n is not None and n > 1 and len(view.gaps_s) else None


def _tpot_s(view: View) -> float | None:
    """(last - zero) / n: in this tool a token's time has a share of the first one's wait."""
    n = view.output_tokens
    return (view.ttft_s + float(view.gaps_s.sum())) / n if n and view.ttft_s is not None else None


def _total(view: View) -> int | None:
    if view.input_tokens is None or view.output_tokens is None:
        return None
    return view.input_tokens + view.output_tokens


def _metrics(by: dict[str, list[View]], duration_s: float) -> dict[str, Any]:
    def spread(of: Of, scale: float = 1, weight: Of | None = None) -> dict[str, Any]:
        return {outcome: _stats(views, of, scale, weight) for outcome, views in by.items()}

    def rate(of: Of) -> dict[str, Any]:
        return {outcome: _rate(views, of, duration_s) for outcome, views in by.items()}

    totals = {outcome: len(views) for outcome, views in by.items()}
    return {
        "request_totals": {**totals, "total": sum(totals.values())},
        "requests_per_second": rate(lambda _: 1),
        "request_concurrency": rate(lambda v: v.latency_s),
        "request_latency": spread(lambda v: v.latency_s),
        "prompt_token_count": spread(lambda v: v.input_tokens),
        "output_token_count": spread(lambda v: v.output_tokens),
        "total_token_count": spread(_total),
        "time_to_first_token_ms": spread(lambda v: v.ttft_s, 1000),
        "time_to_first_output_token_ms": spread(lambda v: v.ttfo_s, 1000),
        "time_per_output_token_ms": spread(_tpot_s, 1000, lambda v: v.output_tokens),
        "inter_token_latency_ms": spread(_itl_s, 1000, lambda v: (v.output_tokens or 1) - 1),
        "prompt_tokens_per_second": rate(lambda v: v.input_tokens),
        "output_tokens_per_second": rate(lambda v: v.output_tokens),
        "tokens_per_second": rate(_total),
    }


def _stats(views: list[View], of: Of, scale: float, weight: Of | None) -> dict[str, Any] | None:
    """Statistics of one figure; with a weight each request counts that often."""
    import numpy as np

    rows = [(value * scale, weight(view) or 0 if weight else 1) for view in views if (value := of(view)) is not None]
    rows = sorted(row for row in rows if row[1] > 0)
    if not rows:
        return None
    column, times = np.asarray([r[0] for r in rows]), np.asarray([r[1] for r in rows], dtype=np.float64)
    upto = np.cumsum(times)

    def at(percent: float) -> float:
        return float(column[min(int(np.searchsorted(upto, percent / 100 * upto[-1])), len(column) - 1)])

    mean = float(np.average(column, weights=times))
    variance = float(np.average((column - mean) ** 2, weights=times))
    return {
        "mean": mean,
        "median": at(50),
        "mode": float(column[int(np.argmax(times))]),
        "variance": variance,
        "std_dev": variance**0.5,
        "min": float(column[0]),
        "max": float(column[-1]),
        "count": int(upto[-1]),
        "total_sum": float((column * times).sum()),
        "percentiles": {name: at(percent) for name, percent in PERCENTILES.items()},
    }


def _rate(views: list[View], of: Of, duration_s: float) -> dict[str, Any] | None:
    found = [value for view in views if (value := of(view)) is not None]
    if not found or not duration_s:
        return None
    return {"mean": sum(found) / duration_s, "count": len(found), "total_sum": sum(found)}


def _request(view: View) -> dict[str, Any]:
    itl_s, tpot_s = _itl_s(view), _tpot_s(view)
    return {
        "type_": "generative_request_stats",
        "request_id": view.request_id,
        "request_start_time": view.start_s,
        "request_end_time": None if view.latency_s is None else view.start_s + view.latency_s,
        "request_latency": view.latency_s,
        "prompt_tokens": view.input_tokens,
        "output_tokens": view.output_tokens,
        "total_tokens": _total(view),
        "time_to_first_token_ms": None if view.ttft_s is None else view.ttft_s * 1000,
        "time_per_output_token_ms": None if tpot_s is None else tpot_s * 1000,
        "inter_token_latency_ms": None if itl_s is None else itl_s * 1000,
        "error": view.error or None,
        "output": view.text or None,
    }
