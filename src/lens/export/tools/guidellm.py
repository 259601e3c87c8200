"""guidellm's benchmarks.json: a benchmark a stage, its distributions by outcome, from its definitions.

A distribution that holds nothing is null, where that tool writes zeros; a rate over a whole run
has a mean and no spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from lens.export.buckets import first_seen
from lens.export.tools.view import ToolRequests, seen_by
from lens.metrics.columns import Column
from lens.metrics.rows import plain_values, whole_numbers
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.metrics.tool_definitions import definitions_of
from lens.model import RunInfo
from lens.parsing import table_in
from lens.pricing import PriceBook

_TOOL = definitions_of("guidellm")
PERCENTILES = {
    "p001": 0.1, "p01": 1, "p05": 5, "p10": 10, "p25": 25, "p50": 50,
    "p75": 75, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9,
}  # fmt: skip
_MS = 1000.0


class GuidellmJson:
    """One report."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - its own sums
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
        }
        yield msgspec.json.encode(report)[:-1] + b',"benchmarks":['
        seen = seen_by(_TOOL, table)
        for number, stage in enumerate(first_seen(seen.stage.codes)):
            benchmark = _benchmark(
                info,
                seen.stage.values[stage] if stage >= 0 else None,
                seen.take(np.flatnonzero(seen.stage.codes == stage)),
            )
            yield b"," * bool(number) + msgspec.json.encode(benchmark)
        yield b"]}\n"


def _benchmark(info: RunInfo, stage: str | None, seen: ToolRequests) -> dict[str, Any]:
    incomplete = ~seen.ok & (
        seen.category.equal("cancelled") | seen.category.equal("interrupted") | seen.category.equal("truncated")
    )
    by = {
        outcome: seen.take(np.flatnonzero(which))
        for outcome, which in (
            ("successful", seen.ok), ("incomplete", incomplete), ("errored", ~(seen.ok | incomplete))
        )
    }  # fmt: skip
    start_s, duration_s = float(seen.start_s.min()), seen.span_s
    return {
        "type_": "generative_benchmark",
        "id_": f"{info.run_id}/{stage}" if stage else info.run_id,
        "run_id": info.run_id,
        "config": {"strategy": _strategy(info, stage), "run_id": info.run_id},
        "start_time": start_s,
        "end_time": start_s + duration_s,
        "duration": duration_s,
        "metrics": _metrics(by, duration_s),
        "requests": {outcome: _requests(found) for outcome, found in by.items()},
    }


def _strategy(info: RunInfo, stage: str | None) -> dict[str, Any]:
    load = table_in(info.config, "load")
    rate = load.get("rate_per_s")
    kind = {"poisson": "poisson"}.get(load.get("arrival", ""), "constant") if rate else "concurrent"
    return {"type_": kind, "rate": rate, "streams": None if rate else load.get("concurrency"), "stage": stage}


def _itl_s(seen: ToolRequests) -> Column:
    """Return (last - first) / (n - 1), over the tokens that the server counted."""
    n, some = seen.output_tokens, np.diff(seen.gap_first) > 0
    found: Column = np.where(some, seen.gap_sums_s, np.nan) / np.where(n > 1, n - 1, np.nan)
    return found


def _tpot_s(seen: ToolRequests) -> Column:
    """Return (last - zero) / n: in this tool a token's time has a share of the first one's wait."""
    n = seen.output_tokens
    found: Column = (seen.ttft_s + seen.gap_sums_s) / np.where(n > 0, n, np.nan)
    return found


def _metrics(by: dict[str, ToolRequests], duration_s: float) -> dict[str, Any]:
    def spread(columns: dict[str, Column], weights: dict[str, Column] | None = None) -> dict[str, Any]:
        return {name: _stats(column, weights[name] if weights else None) for name, column in columns.items()}

    def rate(columns: dict[str, Column]) -> dict[str, Any]:
        return {name: _rate(column, duration_s) for name, column in columns.items()}

    totals = {outcome: len(seen.ok) for outcome, seen in by.items()}
    latency = {outcome: seen.latency_s for outcome, seen in by.items()}
    asked = {outcome: seen.input_tokens for outcome, seen in by.items()}
    came = {outcome: seen.output_tokens for outcome, seen in by.items()}
    both = {outcome: asked[outcome] + came[outcome] for outcome in by}
    gaps = {outcome: np.where(np.isnan(tokens) | (tokens == 0), 1, tokens) - 1 for outcome, tokens in came.items()}
    return {
        "request_totals": {**totals, "total": sum(totals.values())},
        "requests_per_second": rate({outcome: np.ones(n) for outcome, n in totals.items()}),
        "request_concurrency": rate(latency),
        "request_latency": spread(latency),
        "prompt_token_count": spread(asked),
        "output_token_count": spread(came),
        "total_token_count": spread(both),
        "time_to_first_token_ms": spread({outcome: seen.ttft_s * _MS for outcome, seen in by.items()}),
        "time_to_first_output_token_ms": spread({outcome: seen.ttfo_s * _MS for outcome, seen in by.items()}),
        "time_per_output_token_ms": spread({outcome: _tpot_s(seen) * _MS for outcome, seen in by.items()}, came),
        "inter_token_latency_ms": spread({outcome: _itl_s(seen) * _MS for outcome, seen in by.items()}, gaps),
        "prompt_tokens_per_second": rate(asked),
        "output_tokens_per_second": rate(came),
        "tokens_per_second": rate(both),
    }


def _stats(values: Column, weights: Column | None) -> dict[str, Any] | None:
    """Return the statistics of one figure; with weights each request counts that often."""
    times = np.ones(len(values)) if weights is None else np.nan_to_num(weights)
    counts = ~np.isnan(values) & (times > 0)
    column, times = values[counts], times[counts]
    if not len(column):
        return None
    order = np.lexsort((times, column))
    column, times = column[order], times[order]
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


def _rate(values: Column, duration_s: float) -> dict[str, Any] | None:
    found = whole_numbers(values[~np.isnan(values)])
    if not len(found) or not duration_s:
        return None
    amount = found.sum().item()
    return {"mean": amount / duration_s, "count": len(found), "total_sum": amount}


def _requests(seen: ToolRequests) -> list[dict[str, Any]]:
    both = seen.input_tokens + seen.output_tokens
    columns: dict[str, list[Any]] = {
        "type_": ["generative_request_stats"] * len(seen.ok),
        "request_id": seen.ids,
        "request_start_time": seen.start_s.tolist(),
        "request_end_time": plain_values(seen.start_s + seen.latency_s),
        "request_latency": plain_values(seen.latency_s),
        "prompt_tokens": plain_values(seen.input_tokens, whole=True),
        "output_tokens": plain_values(seen.output_tokens, whole=True),
        "total_tokens": plain_values(both, whole=True),
        "time_to_first_token_ms": plain_values(seen.ttft_s * _MS),
        "time_per_output_token_ms": plain_values(_tpot_s(seen) * _MS),
        "inter_token_latency_ms": plain_values(_itl_s(seen) * _MS),
        "error": [error or None for error in seen.error.listed()],
        "output": [text or None for text in seen.texts],
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
