"""What JSON documents of runs and of comparisons are made of: the figures of a summary, and a field a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from lens.export.benchmark_summary import benchmark_summary, latency_stats
from lens.history.write import encode_json
from lens.metrics.distribution import Distribution
from lens.metrics.summary import Summary


def document_pieces(fields: Mapping[str, Any], rows: Iterator[bytes] | None) -> Iterator[bytes]:
    """Yield a document of these fields, and of requests as `encode_requests` gives them; None: it has none."""
    yield b"{\n" + b",\n".join([document_field(name, encode_json(value)) for name, value in fields.items()])
    if rows is None:
        yield b"\n}\n"
        return
    yield b',\n "requests": [\n  ' + next(rows, b"")
    for row in rows:
        yield b",\n  " + row
    yield b"\n ]\n}\n"


def document_field(name: str, value: bytes) -> bytes:
    """Return one line of a document."""
    return b" %s: %s" % (encode_json(name), value)


def summary_fields(summary: Summary) -> dict[str, Any]:
    """Return the figures of a summary, by the names in the document."""
    totals = msgspec.structs.asdict(benchmark_summary(None, summary))
    for name in ("test_config", "start_time", "end_time", "requests"):  # of a run; each request is written by itself
        del totals[name]
    named = ("ttft_ms", "itl_ms", "total_latency_ms")
    stages = [stage.name for stage in summary.stages]
    return {
        "pooled_stages": stages if len(stages) > 1 else None,  # which all that follows is of, together
        **totals,
        "interrupted_requests": summary.interrupted,
        "window_s": summary.window_s,
        "concurrency_mean": summary.concurrency_mean,
        "retries": summary.retries,
        "connections_opened": summary.connections_opened,
        "goodput": _goodput(summary),
        "total_cached_tokens": summary.cached_tokens,
        **{f"{name.removesuffix('_ms')}_stats": _stats(summary.distributions.get(name)) for name in named},
        "estimated_costs": summary.estimated_costs,
        "uncounted": summary.uncounted,
        "examples": summary.examples,
        "stats": stats_of(summary.distributions),
        "server_timing_stats": {name: _stats(d) for name, d in summary.server_timing_ms.items()},
        "coalesced_share": summary.coalesced_share,
        "token_evidence": summary.token_evidence,
        "cache_read_share": summary.cache_read_share,
        "prefill": summary.prefill,
        "sessions": summary.sessions,
        "sessions_per_second": summary.sessions_per_second,
        "session_success_rate": summary.session_success_rate,
        "goodput_sessions_per_second": summary.goodput_sessions_per_second,
        "stages": summary.stages,
        "cold_start": summary.cold_start,
        "gpu_cost": summary.gpu_cost or None,
        "notes": summary.notes,
        "warnings": summary.warnings,
    }


def _goodput(summary: Summary) -> dict[str, Any] | None:
    if summary.good is None:
        return None
    return {
        "slos": summary.slos,
        "good_requests": summary.good,
        "share": summary.good / summary.requests if summary.requests else None,
        "requests_per_second": summary.goodput_rps,
    }


def stats_of(spread: Mapping[str, Distribution]) -> dict[str, Any]:
    """Return the statistics of each metric as a JSON object."""
    return {name: _stats(found) for name, found in spread.items()}


def _stats(found: Distribution | None) -> dict[str, Any] | None:
    """Return statistics as a JSON object, with every percentile that has enough values."""
    made = latency_stats(found)
    if made is None or found is None:
        return None
    stats = msgspec.structs.asdict(made)
    few = stats.pop("too_few")
    stats.update({name: value for name, value in found.percentiles.items() if name not in stats})
    more = {"too_few": few, "intervals": found.intervals, "no_interval": found.no_interval}
    return {**stats, **{name: value for name, value in more.items() if value}}
