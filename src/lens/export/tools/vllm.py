"""The result file of `vllm bench serve --save-result --save-detailed`: its keys, from its definitions.

Percentiles are numpy's linear ones and std is the population's, as there. Where that tool writes
a statistic of 0 because nothing was measured, this file has null; in its lists a failed request
keeps that tool's 0, because people's scripts compute with them and look at `errors` beside.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from lens.export.tools.view import View, span_s, values, view_of
from lens.metrics.summary import Summary
from lens.metrics.tool_definitions import dialect_named
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

_TOOL = dialect_named("vllm")
PERCENTILES = (50, 90, 95, 99)
_MS = 1000.0


class VllmJson:
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
        found = {**_settings(info, len(self._views)), **_totals(self._views)}
        per_request: dict[str, Callable[[View], float | None]] = {
            "ttft": lambda view: view.ttft_s,
            "tpot": View.tpot_s,
            "e2el": lambda view: view.latency_s,
        }
        for name, of in per_request.items():
            found.update(_stats(name, values(self._views, of, _MS)))
        found.update(_stats("itl", [gap * _MS for view in self._views if view.ok for gap in view.gaps_s.tolist()]))
        found.update(_details(self._views))
        return msgspec.json.encode(found) + b"\n"


def _settings(info: RunInfo, requests: int) -> dict[str, Any]:
    load = info.config.get("load", {})
    target = info.targets[0] if info.targets else None
    model = target.model if target else None
    return {
        "date": datetime.fromisoformat(info.started_at.replace("Z", "+00:00")).strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": {"completions": "openai"}.get((target.api if target else None) or "", "openai-chat"),
        "backend": target.provider if target else None,
        "label": info.labels.get("label"),
        "model_id": model,
        "tokenizer_id": model,
        "num_prompts": requests,
        # Without a rate everything is sent at once, up to the concurrency.
        "request_rate": load.get("rate_per_s") or "inf",
        "burstiness": load.get("burstiness", 1.0),
        "max_concurrency": None if load.get("rate_per_s") else load.get("concurrency"),
        **info.labels,
    }


def _totals(views: list[View]) -> dict[str, Any]:
    done = [view for view in views if view.ok]
    duration_s = span_s(views)
    came, went = sum(v.output_tokens or 0 for v in done), sum(v.input_tokens or 0 for v in done)
    rates = {"request_throughput": len(done), "output_throughput": came, "total_token_throughput": came + went}
    return {
        "duration": duration_s,
        "completed": len(done),
        "failed": len(views) - len(done),
        "total_input_tokens": went,
        "total_output_tokens": came,
        "request_goodput": None,
        **{name: total / duration_s if duration_s else None for name, total in rates.items()},
        "max_concurrent_requests": _peak(done),
    }


def _peak(views: list[View]) -> int:
    """Most requests in flight at one instant; an end comes before a start at the same one."""
    edges = sorted(
        edge for v in views if v.latency_s is not None for edge in ((v.start_s, 1), (v.start_s + v.latency_s, -1))
    )
    flying = peak = 0
    for _, step in edges:
        flying += step
        peak = max(peak, flying)
    return peak


def _stats(name: str, found: list[float]) -> dict[str, float | None]:
    import numpy as np

    if not found:
        none = (f"mean_{name}_ms", f"median_{name}_ms", f"std_{name}_ms", *(f"p{p}_{name}_ms" for p in PERCENTILES))
        return dict.fromkeys(none)
    column = np.asarray(found)
    return {
        f"mean_{name}_ms": float(column.mean()),
        f"median_{name}_ms": float(np.median(column)),
        f"std_{name}_ms": float(column.std()),
        **{f"p{p}_{name}_ms": float(np.percentile(column, p)) for p in PERCENTILES},
    }


def _details(views: list[View]) -> dict[str, list[Any]]:
    """A list a column, all of one length, in the order of the schedule."""
    return {
        "input_lens": [v.input_tokens or 0 for v in views],
        "output_lens": [v.output_tokens or 0 for v in views],
        "ttfts": [v.ttft_s if v.ttft_s is not None else 0.0 for v in views],
        "itls": [v.gaps_s.tolist() for v in views],
        "start_times": [v.start_s for v in views],
        "generated_texts": [v.text for v in views],
        "errors": [v.error for v in views],
    }
