"""Which metrics a page for people shows: the main ones in a fixed order, then every other that was measured.

A metric that pages show in a form of its own (a line, a drawing, a price), or that is for files, is named here;
any other that is defined, also at run time, has a row on every page.
"""

from __future__ import annotations

from collections.abc import Sequence

from lens.metrics.definitions import METRICS, Metric, request_metrics
from lens.metrics.summary import Summary

# Label and metric of each row of a full table of figures, in its order.
ROWS = (
    ("TTFT", "ttft_ms"), ("TTFT from schedule", "ttft_from_schedule_ms"), ("TTFO", "ttfo_ms"),
    ("thinking", "thinking_ms"), ("ITL", "itl_ms"), ("TPOT", "tpot_ms"), ("total", "total_latency_ms"),
    ("task", "task_ms"), ("task from schedule", "task_from_schedule_ms"),
    ("TTFB", "ttfb_ms"), ("connect", "connect_ms"), ("longest gap", "longest_gap_ms"),
    ("tokens/s a request", "tokens_per_second"), ("round trip", "rtt_ms"), ("client lag", "client_lag_us"),
    ("first sentence", "first_sentence_ms"), ("first line", "first_line_ms"),
    ("first code block", "first_code_block_ms"),
    ("tool call", "tool_first_ms"), ("tool ready", "tool_ready_ms"), ("events of a call", "tool_deltas"),
    ("silence before a call", "tool_silence_before_ms"), ("silence in a call", "tool_silence_inside_ms"),
    ("gap before thinking", "longest_gap_thinking_ms"), ("gap before tool events", "longest_gap_tool_ms"),
    ("time to valid", "time_to_valid_ms"),
)  # fmt: skip
# Shown in a form of their own, or left to files.
_ELSEWHERE = frozenset({
    "dns_ms", "tcp_ms", "proxy_ms", "tls_ms", "send_ms", "ttft_from_send_ms", "inter_chunk_ms", "longest_gap_text_ms",
    "total_latency_from_schedule_ms", "decode_tokens_per_second", "stall_count", "stall_ms", "reading_misses_5",
    "reading_misses_10", "reading_misses_20", "coalescing", "schedule_lag_us", "min_rtt_ms", "retransmits", "server_ms",
    "input_tokens", "output_tokens", "thinking_tokens", "cached_tokens", "input_cost", "output_cost", "thinking_cost",
    "total_cost", "cost_per_token", "success_rate", "error_rate", "requests_per_second", "output_tokens_per_second",
    "goodput_rps", "valid", "valid_rate", "uncached_tokens", "cached_share", "cache_missed_tokens", "task_model_ms",
    "task_tool_ms", "task_think_ms", "task_client_ms", "critical_ms", "cache_read_share", "sessions_per_second",
    "session_success_rate", "goodput_sessions_per_second", "session_cost",
})  # fmt: skip


def rows_of(summaries: Sequence[Summary]) -> list[tuple[str, Metric]]:
    """Return label and metric of each row of a full table of figures; of those that any of the runs measured."""
    rows = [(label, METRICS[name]) for label, name in ROWS if name in METRICS]
    rows += [(metric.name, metric) for metric in other_metrics()]
    thinks = any("thinking_ms" in summary.distributions for summary in summaries)
    return [
        (label, metric)
        for label, metric in rows
        if any(metric.name in summary.distributions for summary in summaries)
        and (metric.name != "ttfo_ms" or thinks)  # the same as TTFT when nobody thinks aloud
    ]


def other_metrics() -> list[Metric]:
    """Return the metrics of a request that have neither a row of their own nor another form, as they were defined."""
    main = {name for _, name in ROWS}
    return [metric for metric in request_metrics() if metric.name not in main and metric.name not in _ELSEWHERE]


def other_run_figures(summary: Summary) -> list[tuple[Metric, float]]:
    """Return the metrics of a whole run that have no other form on a page, and their values where measured."""
    found = []
    for metric in METRICS.values():
        if metric.of_run is not None and metric.name not in _ELSEWHERE and not metric.name.startswith("error_rate_"):
            value = metric.of_run(summary)
            if value is not None:
                found.append((metric, value))
    return found
