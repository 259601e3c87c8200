"""The result file of `vllm bench serve --save-result --save-detailed`: its keys, from its definitions.

Percentiles are numpy's linear ones and std is the population's, as there. Where that tool writes
a statistic of 0 because nothing was measured, this file has null; in its lists a failed request
keeps that tool's 0, because people's scripts compute with them and look at `errors` beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice, pairwise
from typing import Any

import msgspec
import numpy as np

from lens.export.tools.view import ToolRequests, known, seen_by, total
from lens.metrics.columns import Column
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.metrics.tool_definitions import definitions_of
from lens.model import RunInfo
from lens.parsing import table_in
from lens.pricing import PriceBook

_TOOL = definitions_of("vllm")
PERCENTILES = (50, 90, 95, 99)
_MS = 1000.0
AT_ONCE = 4096  # values of a list in one piece


class VllmJson:
    """One object."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:
        seen = seen_by(_TOOL, table)
        done = seen.done
        found = {**_settings(info, len(seen.ok)), **_totals(seen, done, summary.good)}
        for name, column in {
            "ttft": done.ttft_s,
            "tpot": done.tpot_s,
            "e2el": done.latency_s,
            "itl": done.gaps_s,
        }.items():
            found |= _stats(name, known(column, _MS))
        yield msgspec.json.encode(found)[:-1]
        # A list a column, all of one length, in the order of the schedule.
        yield from _list("input_lens", np.nan_to_num(seen.input_tokens).astype(np.int64).tolist())
        yield from _list("output_lens", np.nan_to_num(seen.output_tokens).astype(np.int64).tolist())
        yield from _list("ttfts", np.nan_to_num(seen.ttft_s).tolist())
        yield from _list("itls", (seen.gaps_s[first:end].tolist() for first, end in pairwise(seen.gap_first.tolist())))
        yield from _list("start_times", seen.start_s.tolist())
        yield from _list("generated_texts", seen.texts)
        yield from _list("errors", [error or "" for error in seen.error.listed()])
        yield b"}\n"


def _list(name: str, values: Iterable[Any]) -> Iterator[bytes]:
    """Yield a list as a field of the object, some values in each piece."""
    yield b',"%s":[' % name.encode()
    rest = iter(values)
    between = b""
    while some := list(islice(rest, AT_ONCE)):
        yield between + msgspec.json.encode(some)[1:-1]
        between = b","
    yield b"]"


def _settings(info: RunInfo, requests: int) -> dict[str, Any]:
    load = table_in(info.config, "load")
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


def _totals(seen: ToolRequests, done: ToolRequests, good: int | None) -> dict[str, Any]:
    """Return the totals; good: requests that met every SLO, None where none was given."""
    duration_s = seen.span_s
    came, went = total(done.output_tokens), total(done.input_tokens)
    successes = len(done.ok)
    rates = {"request_throughput": successes, "output_throughput": came, "total_token_throughput": came + went}
    return {
        "duration": duration_s,
        "completed": successes,
        "failed": len(seen.ok) - successes,
        "total_input_tokens": went,
        "total_output_tokens": came,
        "request_goodput": good / duration_s if good is not None and duration_s else None,
        **{name: amount / duration_s if duration_s else None for name, amount in rates.items()},
        "max_concurrent_requests": _peak(done),
    }


def _peak(seen: ToolRequests) -> int:
    """Return the most requests in flight at one instant; an end comes before a start at the same one."""
    ended = ~np.isnan(seen.latency_s)
    starts = seen.start_s[ended]
    steps = np.repeat((1, -1), len(starts))
    times = np.concatenate((starts, starts + seen.latency_s[ended]))
    return int(np.cumsum(steps[np.lexsort((steps, times))]).max(initial=0))


def _stats(name: str, column: Column) -> dict[str, float | None]:
    if not len(column):
        none = (f"mean_{name}_ms", f"median_{name}_ms", f"std_{name}_ms", *(f"p{p}_{name}_ms" for p in PERCENTILES))
        return dict.fromkeys(none)
    return {
        f"mean_{name}_ms": float(column.mean()),
        f"median_{name}_ms": float(np.median(column)),
        f"std_{name}_ms": float(column.std()),
        **{f"p{p}_{name}_ms": float(np.percentile(column, p)) for p in PERCENTILES},
    }
