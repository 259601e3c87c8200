"""Every metric, once: name, unit, formula, which way is better, where it comes from.

Exporters, thresholds, tables and pages read METRICS; none computes a figure itself. A function
takes a Record and gives the figure in the metric's unit, or None when it was not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lens.metrics.timeline import first_at_ns, last_at_ns, streamed_tokens, timeline
from lens.model import OUTPUT, Record, Signal, Stamps, Status
from lens.pricing import PriceBook
from lens.units import NS_PER_MS, NS_PER_S, ms, us

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A gap is a stall when it is longer than both: this many times the median gap, and this long.
STALL_TIMES_MEDIAN = 4
STALL_AT_LEAST_NS = 200 * NS_PER_MS
# How fast people read, tokens a second: slowly, normally, skimming.
READING_SPEEDS = (5, 10, 20)

Value = float | int | Decimal
Unit = Literal["ms", "us", "tokens", "tokens/s", "requests/s", "count", "share", "USD"]
Better = Literal["lower", "higher"] | None  # None: neither
Kind = Literal["request", "gap", "cost", "run"]  # "gap": many a request, pooled
Of = Callable[[Record], float | int | None]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One figure and all there is to know of it."""

    name: str
    unit: Unit
    better: Better
    formula: str
    source: str
    of: Of | None = None  # None: priced, or of a whole run
    kind: Kind = "request"
    partial: bool = False  # stays valid when the request fails after it
    aliases: tuple[str, ...] = ()  # as people type it in a threshold


def between(record: Record, start: str, end: str) -> float | None:
    """Milliseconds between two stamps of a record, None when one is absent."""
    first, last = getattr(record.stamps, start), getattr(record.stamps, end)
    return None if first is None or last is None else ms(last - first)


def _span(start: str, end: str) -> Callable[[Record], float | None]:
    return lambda record: between(record, start, end)


def connect_span_ns(stamps: Stamps) -> tuple[int, int] | None:
    """First start and last end of the phases that made the connection; None on reuse."""
    starts = [t for t in (stamps.dns_start, stamps.tcp_start, stamps.proxy_start, stamps.tls_start) if t is not None]
    ends = [t for t in (stamps.dns_end, stamps.tcp_end, stamps.proxy_end, stamps.tls_end) if t is not None]
    return (min(starts), max(ends)) if starts and ends else None


def connect_ms(record: Record) -> float | None:
    span = connect_span_ns(record.stamps)
    return ms(span[1] - span[0]) if span else None


def ttft_ms(record: Record) -> float | None:
    """Start to first content event; None when no content came."""
    at = first_at_ns(record)
    return None if at is None else ms(at)


def ttft_from_send_ms(record: Record) -> float | None:
    at, sent = first_at_ns(record), record.stamps.send_end
    return None if at is None or sent is None else ms(record.stamps.start + at - sent)


def ttft_from_schedule_ms(record: Record) -> float | None:
    at, intended = first_at_ns(record), record.stamps.intended
    return None if at is None or intended is None else ms(record.stamps.start + at - intended)


def ttfo_ms(record: Record) -> float | None:
    at = first_at_ns(record, OUTPUT)
    return None if at is None else ms(at)


def thinking_ms(record: Record) -> float | None:
    thought, answered = first_at_ns(record, Signal.REASONING), first_at_ns(record, OUTPUT)
    return None if thought is None or answered is None or answered < thought else ms(answered - thought)


def tpot_ms(record: Record) -> float | None:
    """(last - first) / (tokens streamed - tokens of the first event); None when the divisor is < 1."""
    tokens, first, last = streamed_tokens(record), first_at_ns(record), last_at_ns(record)
    if tokens is None or first is None or last is None or last == first:
        return None
    after_first = tokens - int(timeline(record).tokens[0])
    return ms((last - first) / after_first) if after_first >= 1 else None


def mean_itl_ms(record: Record) -> float | None:
    """Of one request: the mean of its gaps per token."""
    gaps = timeline(record).token_gaps_ns()
    return ms(float(gaps.mean())) if len(gaps) else None


def mean_inter_chunk_ms(record: Record) -> float | None:
    gaps = timeline(record).gaps_ns()
    return ms(float(gaps.mean())) if len(gaps) else None


def tokens_per_second(record: Record) -> float | None:
    tokens, total_ms = output_tokens(record), between(record, "start", "end")
    return None if tokens is None or not total_ms else tokens / (total_ms / 1000)


def decode_tokens_per_second(record: Record) -> float | None:
    tpot = tpot_ms(record)
    return 1000 / tpot if tpot else None


def _stalls_ns(record: Record) -> list[int] | None:
    """The gaps that a reader would call a pause; None when there are no gaps to judge."""
    import numpy as np

    gaps = timeline(record).gaps_ns()
    if not len(gaps):
        return None
    limit = max(STALL_TIMES_MEDIAN * float(np.median(gaps)), STALL_AT_LEAST_NS)
    return [int(gap) for gap in gaps[gaps > limit]]


def stall_count(record: Record) -> int | None:
    stalls = _stalls_ns(record)
    return None if stalls is None else len(stalls)


def stall_ms(record: Record) -> float | None:
    stalls = _stalls_ns(record)
    return None if stalls is None else ms(sum(stalls))


def longest_gap_ms(record: Record) -> float | None:
    gaps = timeline(record).gaps_ns()
    return ms(int(gaps.max())) if len(gaps) else None


def _reading_misses(per_second: int) -> Callable[[Record], int | None]:
    def misses(record: Record) -> int | None:
        import numpy as np

        line = timeline(record)
        at, tokens = line.at_ns[line.output], line.tokens[line.output]
        if not len(at):
            return None
        came = np.repeat(at, tokens)
        wanted = at[0] + np.arange(len(came)) * (NS_PER_S // per_second)
        return int((came > wanted).sum())

    return misses


def coalescing(record: Record) -> float | None:
    """Share of content events that came in the same read as the one before."""
    reads = timeline(record).read
    return float((reads[1:] == reads[:-1]).sum()) / len(reads) if len(reads) else None


def schedule_lag_us(record: Record) -> float | None:
    sent, intended = record.stamps.send_start, record.stamps.intended
    return None if sent is None or intended is None else us(sent - intended)


def client_lag_us(record: Record) -> float | None:
    """The worst of one request: how late this client read a content event that lay in the kernel."""
    lags = timeline(record).lag_ns
    return us(int(lags.max())) if len(lags) and record.stamp_kind == "kernel" else None


def _tcp(field: str, at: str = "tcp_at_end") -> Callable[[Record], float | None]:
    def read(record: Record) -> float | None:
        info = getattr(record.connection, at) if record.connection else None
        value = getattr(info, field) if info else None
        return None if value is None else value / 1000

    return read


def retransmits(record: Record) -> int | None:
    """During this request, where the count at its start is known; else since the connection began."""
    end = record.connection.tcp_at_end if record.connection else None
    begin = record.connection.tcp_at_send if record.connection else None
    if end is None:
        return None
    return end.retransmits - (begin.retransmits if begin and record.connection and record.connection.reused else 0)


def server_ms(record: Record) -> float | None:
    """The longest time that the server names for this request; each stands in server_timing_ms under its source."""
    return max(record.server_timing_ms.values(), default=None)


def _usage(field: str) -> Callable[[Record], int | None]:
    return lambda record: getattr(record.usage, field) if record.usage else None


output_tokens = _usage("output_tokens")

_STAMPS = "stamps"
_USAGE = "server usage; else counted locally, and marked"
_BOOK = "usage x price book"

METRICS: dict[str, Metric] = {}


def _define(
    name: str,
    unit: Unit,
    better: Better,
    formula: str,
    source: str,
    *,
    of: Of | None = None,
    kind: Kind = "request",
    partial: bool = False,
    aliases: tuple[str, ...] = (),
) -> None:
    METRICS[name] = Metric(
        name=name,
        unit=unit,
        better=better,
        formula=formula,
        source=source,
        of=of,
        kind=kind,
        partial=partial,
        aliases=aliases,
    )


def _time(
    name: str, formula: str, of: Of, *, kind: Kind = "request", partial: bool = False, aliases: tuple[str, ...] = ()
) -> None:
    _define(name, "ms", "lower", formula, _STAMPS, of=of, kind=kind, partial=partial, aliases=aliases)


_time("dns_ms", "dns_end - dns_start", _span("dns_start", "dns_end"), partial=True)
_time("tcp_ms", "tcp_end - tcp_start", _span("tcp_start", "tcp_end"), partial=True)
_time("proxy_ms", "proxy_end - proxy_start", _span("proxy_start", "proxy_end"), partial=True)
_time("tls_ms", "tls_end - tls_start", _span("tls_start", "tls_end"), partial=True)
_time("connect_ms", "last phase end - first phase start; absent on reuse", connect_ms, partial=True)
_time("send_ms", "send_end - send_start", _span("send_start", "send_end"), partial=True)
_time("ttfb_ms", "first_byte - start", _span("start", "first_byte"), aliases=("ttfb",))
_time("ttft_ms", "first_token - start", ttft_ms, partial=True, aliases=("ttft",))
_time("ttft_from_send_ms", "first_token - send_end", ttft_from_send_ms, partial=True)
_time("ttft_from_schedule_ms", "first_token - intended", ttft_from_schedule_ms, partial=True)
_time("ttfo_ms", "first_output_token - start", ttfo_ms, partial=True, aliases=("ttfo",))
_time("thinking_ms", "first_output_token - first reasoning token", thinking_ms, partial=True)
_time("inter_chunk_ms", "gaps between successive token events", mean_inter_chunk_ms, kind="gap")
_time("itl_ms", "a gap before an event of k tokens is k gaps of gap/k", mean_itl_ms, kind="gap", aliases=("itl",))
_time("tpot_ms", "(last_token - first_token) / (output_tokens - tokens of the first event)", tpot_ms, aliases=("tpot",))
_time("total_latency_ms", "end - start", _span("start", "end"), aliases=("total_latency", "e2e", "e2el", "latency"))
_time("total_latency_from_schedule_ms", "end - intended", _span("intended", "end"))
_define(
    "tokens_per_second", "tokens/s", "higher", "output_tokens / total_latency", _STAMPS + " and usage",
    of=tokens_per_second, aliases=("tps",),
)  # fmt: skip
_define(
    "decode_tokens_per_second", "tokens/s", "higher", "1000 / tpot_ms", _STAMPS + " and usage",
    of=decode_tokens_per_second,
)  # fmt: skip
_define("stall_count", "count", "lower", "gaps > max(4 x median gap, 200 ms)", _STAMPS, of=stall_count)
_time("stall_ms", "sum of the stalls", stall_ms)
_time("longest_gap_ms", "longest gap between token events", longest_gap_ms)
for _speed in READING_SPEEDS:
    _define(
        f"reading_misses_{_speed}", "tokens", "lower",
        f"tokens later than a reader of {_speed} tokens a second wanted them", _STAMPS, of=_reading_misses(_speed),
    )  # fmt: skip
_define("coalescing", "share", "lower", "token events in the same read as the one before / all", "reads", of=coalescing)
_define("schedule_lag_us", "us", "lower", "send_start - intended", _STAMPS, of=schedule_lag_us, partial=True)
_define("client_lag_us", "us", "lower", "seen - arrived", "kernel stamps", of=client_lag_us, kind="gap", partial=True)
_define("rtt_ms", "ms", "lower", "smoothed round trip at the end", "TCP_INFO", of=_tcp("rtt_us"), partial=True)
_define("min_rtt_ms", "ms", "lower", "shortest round trip seen", "TCP_INFO", of=_tcp("min_rtt_us"), partial=True)
_define("retransmits", "count", "lower", "segments sent again", "TCP_INFO", of=retransmits, partial=True)
_define(
    "server_ms", "ms", "lower", "the longest time that the server names for the request; each also under its source",
    "openai-processing-ms, server-timing, x-envoy-upstream-service-time; the body's own timings", of=server_ms,
    partial=True,
)  # fmt: skip
_define("input_tokens", "tokens", None, "all of the prompt, cached or not", _USAGE, of=_usage("input_tokens"))
_define("output_tokens", "tokens", None, "all billed as output, thinking too", _USAGE, of=output_tokens)
_define("thinking_tokens", "tokens", None, "a part of output_tokens", _USAGE, of=_usage("reasoning_tokens"))
_define("cached_tokens", "tokens", None, "a part of input_tokens", _USAGE, of=_usage("cache_read_tokens"))
_define("input_cost", "USD", "lower", "input tokens x price", _BOOK, kind="cost")
_define("output_cost", "USD", "lower", "output tokens x price", _BOOK, kind="cost")
_define("thinking_cost", "USD", "lower", "thinking tokens x price; a part of output_cost", _BOOK, kind="cost")
_define(
    "total_cost", "USD", "lower", "input_cost + output_cost, or what the provider says it billed", _BOOK, kind="cost",
    aliases=("cost", "cost_per_request"),
)  # fmt: skip
_define("success_rate", "share", "higher", "successes / requests", "outcomes", kind="run")
_define("error_rate", "share", "lower", "1 - success_rate; also by kind", "outcomes", kind="run")
_define("requests_per_second", "requests/s", "higher", "successes / window", "outcomes", kind="run", aliases=("rps",))
_define("output_tokens_per_second", "tokens/s", "higher", "output tokens / window", "outcomes and usage", kind="run")
_define("goodput_rps", "requests/s", "higher", "requests that met every SLO / window", "outcomes", kind="run")

PER_REQUEST = tuple(m for m in METRICS.values() if m.kind != "run")
POOLED = tuple(m for m in METRICS.values() if m.kind == "gap")
_ALIASES = {alias: m.name for m in METRICS.values() for alias in m.aliases}


def metric_named(name: str) -> Metric:
    """The metric of this name or alias.

    Raises:
        KeyError: there is none.
    """
    return METRICS[_ALIASES.get(name, name)]


def measure(name: str, record: Record) -> float | int | None:
    """One metric of one record, by name; the mean where it is a distribution."""
    of = metric_named(name).of
    return of(record) if of else None


def pooled_values(metric: Metric, record: Record) -> NDArray[Any]:
    """All gaps or lags of one record in the metric's unit, as an array of float64."""
    line = timeline(record)
    if metric.name == "itl_ms":
        return line.token_gaps_ns() / NS_PER_MS
    if metric.name == "inter_chunk_ms":
        return line.gaps_ns() / NS_PER_MS
    return line.lag_ns / 1000 if record.stamp_kind == "kernel" else line.lag_ns[:0] / 1000


def counts(metric: Metric, record: Record) -> bool:
    """Whether this record may speak for this metric: it succeeded, or failed only later."""
    return metric.partial or record.status is Status.SUCCESS


def figures(record: Record, book: PriceBook) -> Iterator[tuple[Metric, Value | None]]:
    """Every per-request metric with its figure, in the order of METRICS.md."""
    cost = book.cost(record)
    for metric in PER_REQUEST:
        yield metric, metric.of(record) if metric.of else getattr(cost, metric.name)
