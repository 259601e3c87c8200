"""Every metric, once: name, unit, formula, which way is better, what it is read from, and how it is computed.

Exporters, thresholds, tables and pages read METRICS; none computes a figure itself. A metric of one number a
request has `column`: a function from a Table to float64 in the metric's unit, NaN where it was not measured.
One of many values a request (gaps between tokens) has `pooled` besides: all values, and the request of each.
A metric of a whole run has `of_run`, which reads a Summary. `define` adds one, and every output has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lens.metrics import content_formulas as c
from lens.metrics import formulas as f
from lens.metrics.sessions import session_column, session_cost
from lens.units import NS_PER_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[Any]

Unit = Literal["ms", "us", "tokens", "tokens/s", "requests/s", "sessions/s", "count", "share", "USD"]
Better = Literal["lower", "higher"] | None  # None: neither
Kind = Literal["request", "pooled", "cost", "run"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One figure and all there is to know of it."""

    name: str
    unit: Unit
    better: Better
    formula: str
    source: str
    read_from: tuple[str, ...] = ()  # stamps, counts and events that it needs; `first_token` and the like are events
    column: Callable[[Any], Any] | None = None  # Table -> a value a request; None: of a whole run
    pooled: Callable[[Any], tuple[Any, Any]] | None = None  # Table -> all values, and the request of each
    of_run: Callable[[Any], float | None] | None = None  # Summary -> its value
    kind: Kind = "request"
    partial: bool = False  # stays valid when the request fails after it
    by_slice: bool = True  # may be evaluated a slice of requests at a time
    of_session: bool = False  # of a session; it stands at the turn that ended last
    aliases: tuple[str, ...] = ()  # as people type it in a threshold

    def per_request(self, table: Any) -> Any:
        """Return the value of each request of a Table, NaN where it was not measured; of a pooled metric the mean."""
        if self.column is None:
            raise KeyError(f"{self.name} belongs to a whole run")
        return self.column(table)


METRICS: dict[str, Metric] = {}
_ALIASES: dict[str, str] = {}


def define(metric: Metric) -> Metric:
    """Add a metric to those there are; it is in every output from then on.

    Raises:
        ValueError: the name or an alias is taken, or it has no function to compute it.
    """
    for name in (metric.name, *metric.aliases):
        if name in METRICS or name in _ALIASES:
            raise ValueError(f"metric {metric.name}: the name {name} is taken")
    if (metric.kind == "run") != (metric.column is None):
        raise ValueError(f"metric {metric.name}: give `column`, or `of_run` for one of a whole run")
    METRICS[metric.name] = metric
    _ALIASES.update(dict.fromkeys(metric.aliases, metric.name))
    return metric


def remove(name: str) -> None:
    """Take a metric away that was added, with its aliases.

    Raises:
        KeyError: no metric of that name.
    """
    for alias in METRICS.pop(name).aliases:
        del _ALIASES[alias]


def metric_named(name: str) -> Metric:
    """Return the metric of this name or alias.

    Raises:
        KeyError: no metric of that name.
    """
    return METRICS[_ALIASES.get(name, name)]


def request_metrics() -> tuple[Metric, ...]:
    """Return the metrics that a request has, in the order of their definition."""
    return tuple([metric for metric in METRICS.values() if metric.kind != "run"])


def added_metrics() -> tuple[Metric, ...]:
    """Return the metrics of requests that were added to the built-in ones, in the order of their definition."""
    return tuple([metric for metric in request_metrics() if metric.name not in _BUILT_IN])


def _time(name: str, formula: str, column: Callable[[Any], Any], *read_from: str, **more: Any) -> None:
    """Define a time in ms."""
    define(
        Metric(
            name=name,
            unit="ms",
            better="lower",
            formula=formula,
            source="stamps",
            column=column,
            read_from=read_from,
            **more,
        )
    )


def _usage(name: str, field: str, formula: str) -> None:
    define(
        Metric(
            name=name,
            unit="tokens",
            better=None,
            formula=formula,
            source="server usage; else counted locally, and marked",
            column=lambda t: t.usage(field),
            read_from=(f"usage.{field}",),
        )
    )


def _cost(name: str, formula: str, **more: Any) -> None:
    define(
        Metric(
            name=name,
            unit="USD",
            better="lower",
            formula=formula,
            source="usage x price book",
            column=lambda t: t.costs.columns[name],
            kind="cost",
            by_slice=False,
            read_from=("usage", "price"),
            **more,
        )
    )


def _session(name: str, column: str, formula: str, better: Better = "lower", **more: Any) -> None:
    """Define a time of a session in ms, or of a turn beside the others of its session."""
    define(
        Metric(
            name=name,
            unit="ms",
            better=better,
            formula=formula,
            source="stamps, and the turns of the session",
            column=lambda t: session_column(t, column) / NS_PER_MS,
            by_slice=False,
            read_from=("start", "end", "session"),
            of_session=name.startswith("task_"),
            **more,
        )
    )


def _of_run(name: str, unit: Unit, better: Better, formula: str, source: str, **more: Any) -> None:
    def read(summary: Any) -> float | None:
        value: float | None = getattr(summary, name)
        return value

    more.setdefault("of_run", read)
    define(Metric(name=name, unit=unit, better=better, formula=formula, source=source, kind="run", **more))


for _phase in ("dns", "tcp", "proxy", "tls"):
    _time(
        f"{_phase}_ms", f"{_phase}_end - {_phase}_start", f.between(f"{_phase}_start", f"{_phase}_end"),
        f"{_phase}_start", f"{_phase}_end", partial=True,
    )  # fmt: skip
_time(
    "connect_ms", "last phase end - first phase start; absent on reuse", f.connect_ms,
    *[f"{_phase}_{edge}" for _phase in f.PHASES for edge in ("start", "end")], partial=True,
)  # fmt: skip
_time("send_ms", "send_end - send_start", f.between("send_start", "send_end"), "send_start", "send_end", partial=True)
_time("ttfb_ms", "first_byte - start", f.between("start", "first_byte"), "start", "first_byte", aliases=("ttfb",))
_time("ttft_ms", "first_token - start", f.until_first("start"), "start", "first_token", partial=True, aliases=("ttft",))
_time("ttft_from_send_ms", "first_token - send_end", f.until_first("send_end"), "send_end", "first_token", partial=True)
_time(
    "ttft_from_schedule_ms", "first_token - intended", f.until_first("intended"), "intended", "first_token",
    partial=True,
)  # fmt: skip
_time(
    "ttfo_ms", "first_output_token - start", f.ttfo_ms, "start", "first_output_token", partial=True, aliases=("ttfo",)
)
_time(
    "thinking_ms",
    "first_output_token - first reasoning token; where thinking has no text, its blocks from start to stop",
    f.thinking_ms, "first_reasoning_token", "first_output_token", "hidden_thinking", partial=True,
)  # fmt: skip
_time(
    "inter_chunk_ms", "gaps between successive token events", f.mean_gap_ms, "token_events",
    pooled=f.gaps_ms, kind="pooled",
)  # fmt: skip
_time(
    "itl_ms", "a gap before an event of k tokens is k gaps of gap/k", f.mean_token_gap_ms, "token_events", "tokens",
    pooled=f.token_gaps_ms, kind="pooled", aliases=("itl",),
)  # fmt: skip
_time(
    "tpot_ms", "(last_token - first_token) / (output_tokens - tokens of the first event)", f.tpot_ms,
    "first_token", "last_token", "usage.output_tokens", aliases=("tpot",),
)  # fmt: skip
_time(
    "total_latency_ms", "end - start", f.between("start", "end"), "start", "end",
    aliases=("total_latency", "e2e", "e2el", "latency"),
)  # fmt: skip
_time("total_latency_from_schedule_ms", "end - intended", f.between("intended", "end"), "intended", "end")
define(Metric(
    name="tokens_per_second", unit="tokens/s", better="higher", formula="output_tokens / total_latency",
    source="stamps and usage", column=f.tokens_per_second, aliases=("tps",),
    read_from=("start", "end", "usage.output_tokens"),
))  # fmt: skip
define(Metric(
    name="decode_tokens_per_second", unit="tokens/s", better="higher", formula="1000 / tpot_ms",
    source="stamps and usage", column=f.decode_tokens_per_second,
    read_from=("first_token", "last_token", "usage.output_tokens"),
))  # fmt: skip
define(Metric(
    name="stall_count", unit="count", better="lower", formula="gaps > max(4 x median gap, 200 ms)", source="stamps",
    column=f.stall_count, read_from=("token_events",),
))  # fmt: skip
_time("stall_ms", "sum of the stalls", f.stall_ms, "token_events")
_time("longest_gap_ms", "longest gap between token events", f.longest_gap_ms, "token_events")
for _kind in c.KINDS:
    _time(
        f"longest_gap_{_kind}_ms", f"longest gap before a token event of {_kind}", c.longest_gap_before(_kind),
        "token_events",
    )  # fmt: skip
_time(
    "tool_first_ms", "first event of a tool call - start; of a request that of its first call",
    c.first_call("first"), "tool_calls", pooled=c.calls("first", NS_PER_MS), kind="pooled", partial=True,
)  # fmt: skip
_time(
    "tool_ready_ms",
    "event that completed a tool call's arguments, valid JSON, - start; of a request that of its last call",
    c.every_call("ready"), "tool_calls", pooled=c.calls("ready", NS_PER_MS), kind="pooled",
)  # fmt: skip
define(Metric(
    name="tool_deltas", unit="count", better="higher", source="stamps",
    formula="events that brought a fragment of a tool call; of a request of all its calls",
    column=c.call_deltas, pooled=c.calls("deltas"), kind="pooled", read_from=("tool_calls",),
))  # fmt: skip
_time(
    "tool_silence_before_ms",
    "first event of a tool call - the token event before it; of a request the longest of its calls",
    c.worst_call("before"), "tool_calls", pooled=c.calls("before", NS_PER_MS), kind="pooled",
)  # fmt: skip
_time(
    "tool_silence_inside_ms", "longest gap between events of one tool call; of a request the longest of its calls",
    c.worst_call("inside"), "tool_calls", pooled=c.calls("inside", NS_PER_MS), kind="pooled",
)  # fmt: skip
for _mark, _says in (
    ("sentence", "first sentence"), ("line", "first line that is not blank"), ("code_block", "first fenced code block"),
):  # fmt: skip
    _time(
        f"first_{_mark}_ms", f"event that completed the {_says} - start; where the text is read", c.until(_mark),
        "text_marks",
    )  # fmt: skip
define(Metric(
    name="valid", unit="share", better="higher", formula="1 where the answer is what --expect says, else 0",
    source="the answer", column=lambda t: t.column("valid"), read_from=("judgement",),
))  # fmt: skip
_time(
    "time_to_valid_ms", "event that completed all that --expect wants - start; of valid answers", c.until("usable"),
    "judgement",
)  # fmt: skip
for _speed in f.READING_SPEEDS:
    define(Metric(
        name=f"reading_misses_{_speed}", unit="tokens", better="lower",
        formula=f"tokens later than a reader of {_speed} tokens a second wanted them", source="stamps",
        column=f.reading_misses(_speed), read_from=("token_events", "tokens"),
    ))  # fmt: skip
define(Metric(
    name="coalescing", unit="share", better="lower", formula="token events in the same read as the one before / all",
    source="reads", column=f.coalescing, read_from=("reads",),
))  # fmt: skip
define(Metric(
    name="schedule_lag_us", unit="us", better="lower", formula="send_start - intended; not of retries", source="stamps",
    column=f.schedule_lag_us, partial=True, read_from=("intended", "send_start"),
))  # fmt: skip
define(Metric(
    name="client_lag_us", unit="us", better="lower", formula="seen - arrived", source="kernel stamps",
    column=f.worst_lag_us, pooled=f.lags_us, kind="pooled", partial=True, read_from=("lags",),
))  # fmt: skip
for _name, _field, _formula in (
    ("rtt_ms", "rtt_us", "smoothed round trip at the end"), ("min_rtt_ms", "min_rtt_us", "shortest round trip seen"),
):  # fmt: skip
    define(Metric(
        name=_name, unit="ms", better="lower", formula=_formula, source="TCP_INFO", partial=True,
        column=f.scaled(_field, 1000), read_from=(f"tcp.{_field}",),
    ))  # fmt: skip
define(Metric(
    name="retransmits", unit="count", better="lower", formula="segments sent again", source="TCP_INFO", partial=True,
    column=f.scaled("retransmits", 1), read_from=("tcp.retransmits",),
))  # fmt: skip
define(Metric(
    name="server_ms", unit="ms", better="lower",
    formula="the longest time that the server names for the request; each also under its source",
    source="openai-processing-ms, server-timing, x-envoy-upstream-service-time; the body's own timings",
    column=f.server_ms, partial=True, read_from=("server_timing",),
))  # fmt: skip
_usage("input_tokens", "input_tokens", "all of the prompt, cached or not")
_usage("output_tokens", "output_tokens", "all billed as output, thinking too")
_usage("thinking_tokens", "reasoning_tokens", "a part of output_tokens")
_usage("cached_tokens", "cache_read_tokens", "a part of input_tokens")
define(Metric(
    name="uncached_tokens", unit="tokens", better="lower", formula="input_tokens - cached_tokens",
    source="server usage", column=f.uncached_tokens, read_from=("usage.input_tokens", "usage.cache_read_tokens"),
))  # fmt: skip
define(Metric(
    name="cached_share", unit="share", better="higher", formula="cached_tokens / input_tokens of a request",
    source="server usage", column=f.cached_share, read_from=("usage.input_tokens", "usage.cache_read_tokens"),
))  # fmt: skip
define(Metric(
    name="cache_missed_tokens", unit="tokens", better="lower",
    formula="prompt of the turn before - cached_tokens; 0 where half of that prompt or more was cached",
    source="server usage, and the turns of the session", column=lambda t: session_column(t, "missed_tokens"),
    by_slice=False, read_from=("usage.input_tokens", "usage.cache_read_tokens", "session"),
))  # fmt: skip
_session("task_ms", "task_ns", "last end - first start of a session; at its last turn", aliases=("task",))
_session("task_from_schedule_ms", "task_from_schedule_ns", "last end - planned start of a session; at its last turn")
_session("task_model_ms", "model_ns", "part of task_ms: requests on the critical path")
_session("task_tool_ms", "tool_ns", "part of task_ms: tools on the critical path", None)
_session("task_think_ms", "think_ns", "part of task_ms: pauses of the person on the critical path", None)
_session("task_client_ms", "client_ns", "part of task_ms: turns on the critical path started late")
_session("critical_ms", "critical_ns", "what a turn adds to task_ms; 0 beside the critical path")
_cost("input_cost", "input tokens x price")
_cost("output_cost", "output tokens x price")
_cost("thinking_cost", "thinking tokens x price; a part of output_cost")
_cost(
    "total_cost",
    "input_cost + output_cost + fees of tools, or what the provider says it billed",
    aliases=("cost", "cost_per_request"),
)
define(Metric(
    name="session_cost", unit="USD", better="lower",
    formula="sum of total_cost of all turns of a session; at its last turn",
    source="usage x price book, and the turns of the session", column=session_cost, by_slice=False, of_session=True,
    read_from=("session", "price"), aliases=("cost_per_session",),
))  # fmt: skip
define(Metric(
    name="cost_per_token", unit="USD", better="lower", formula="total_cost / (input_tokens + output_tokens)",
    source="usage x price book", column=f.cost_per_token, by_slice=False,
    read_from=("usage.input_tokens", "usage.output_tokens", "price"),
))  # fmt: skip
_of_run("success_rate", "share", "higher", "successes / requests", "outcomes")
_of_run(
    "error_rate", "share", "lower", "1 - success_rate; also by kind", "outcomes",
    of_run=lambda s: None if s.success_rate is None else 1 - s.success_rate,
)  # fmt: skip
for _kind, _status in f.ERROR_KINDS.items():
    _of_run(
        f"error_rate_{_kind}", "share", "lower", f"requests that ended as {_status.value} / requests", "outcomes",
        of_run=f.error_rate_of(_status),
    )  # fmt: skip
_of_run("valid_rate", "share", "higher", "answers that are what --expect says / answers", "the answers")
_of_run("requests_per_second", "requests/s", "higher", "successes / window", "outcomes", aliases=("rps",))
_of_run("output_tokens_per_second", "tokens/s", "higher", "output tokens / window", "outcomes and usage")
_of_run(
    "cache_read_share", "share", "higher", "cached_tokens / input_tokens, of all requests together", "server usage",
)  # fmt: skip
_of_run("session_success_rate", "share", "higher", "complete sessions / complete and failed ones", "outcomes")
_of_run("sessions_per_second", "sessions/s", "higher", "complete sessions / window", "outcomes")
_of_run(
    "goodput_sessions_per_second", "sessions/s", "higher", "sessions of which every turn met every SLO / window",
    "outcomes",
)  # fmt: skip
_of_run("goodput_rps", "requests/s", "higher", "requests that met every SLO / window", "outcomes")
_BUILT_IN = frozenset(METRICS)
