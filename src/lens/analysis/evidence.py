"""What a figure was made of: the request that bears a percentile, and the stamps and events it was read from.

Percentiles are nearest rank, so each of them belongs to one request, or to one gap between two of its
events; that one is shown. Nothing is computed anew here: the figure is the one of definitions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.analysis.columns import column, in_order
from lens.metrics.definitions import Metric, connect_span_ns
from lens.metrics.timeline import streamed_tokens, timeline
from lens.model import CONTENT, OUTPUT, Record, Signal
from lens.pricing import PriceBook
from lens.units import NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Used(NamedTuple):
    """One stamp, event or count that a figure was made of."""

    what: str
    at_ns: int | None  # after Stamps.start; None where it is no time
    says: str = ""


class Example(NamedTuple):
    """The request that bears a percentile."""

    percent: float
    value: float
    record: Record
    used: tuple[Used, ...]


def examples(metric: Metric, records: Sequence[Record], book: PriceBook, percents: Sequence[float]) -> list[Example]:
    """Who bears these percentiles of a metric of requests; none where nothing was measured."""
    import numpy as np

    ordered = in_order(records)
    found = column(metric, ordered, book)
    if not len(found):
        return []
    order = np.argsort(found.values, kind="stable")
    shown = []
    for percent in percents:
        place = int(order[max(ceil(percent * len(order) / 100), 1) - 1])
        record = ordered[int(found.of[place])]
        within = place - int(np.searchsorted(found.of, found.of[place]))
        shown.append(Example(percent, float(found.values[place]), record, used(metric, record, book, within)))
    return shown


def used(metric: Metric, record: Record, book: PriceBook, within: int = 0) -> tuple[Used, ...]:
    """What a metric reads of one record. within: which of its gaps or lags, of a metric that has many."""
    if metric.kind == "cost":
        return _cost(record, book)
    if metric.kind == "gap":
        return _GAPS[metric.name](record, within)
    return _OF[metric.name](record)


def _stamp(record: Record, name: str) -> Used:
    at = getattr(record.stamps, name)
    return Used(name, None if at is None else at - record.stamps.start)


def _event(record: Record, place: int | None, says: str = "") -> Used:
    """An event by its place among all events of the answer."""
    if place is None:
        return Used("event", None, "none")
    events = record.events
    kinds = "+".join(s.name or "" for s in Signal if s & events.signals[place]).lower() or "no content"
    told = f"{kinds}, {events.chars[place]} characters, read {events.read[place]}"
    return Used(f"event {place}", events.arrived_ns[place], f"{told}{', ' if says else ''}{says}")


def _content(record: Record, wanted: Signal = CONTENT) -> list[int]:
    """Places of the content events of these kinds."""
    events = record.events
    return [i for i in range(len(events)) if events.signals[i] & int(wanted) and events.chars[i]]


def _first(record: Record, wanted: Signal = CONTENT) -> Used:
    places = _content(record, wanted)
    return _event(record, places[0] if places else None)


def _stamps(*names: str) -> Callable[[Record], tuple[Used, ...]]:
    return lambda record: tuple([_stamp(record, name) for name in names])


def _from_stamp(name: str, wanted: Signal = CONTENT) -> Callable[[Record], tuple[Used, ...]]:
    return lambda record: (_stamp(record, name), _first(record, wanted))


def _connect(record: Record) -> tuple[Used, ...]:
    span = connect_span_ns(record.stamps)
    if span is None:
        return (Used("connection", None, "reused"),)
    start = record.stamps.start
    return Used("first phase starts", span[0] - start), Used("last phase ends", span[1] - start)


def _tokens(record: Record) -> Used:
    return Used("output tokens", None, f"{streamed_tokens(record)} streamed; who counted: {record.token_source or '-'}")


def _tpot(record: Record) -> tuple[Used, ...]:
    places, line = _content(record), timeline(record)
    if not places:
        return (_event(record, None),)
    brought = f"brought {int(line.tokens[0])} tokens ({line.evidence})"
    return _event(record, places[0], brought), _event(record, places[-1]), _tokens(record)


def _token_rate(record: Record) -> tuple[Used, ...]:
    return (*_stamps("start", "end")(record), _usage("output_tokens")(record)[0])


def _gap(record: Record, number: int) -> tuple[Used, ...]:
    places = _content(record)
    return _event(record, places[number]), _event(record, places[number + 1])


def _token_gap(record: Record, number: int) -> tuple[Used, ...]:
    """The number counts tokens; an event that brings k of them has k of the gaps."""
    import numpy as np

    line, places = timeline(record), _content(record)
    brings: NDArray[Any] = np.flatnonzero(line.tokens > 0)
    later = int(np.repeat(np.arange(1, len(brings)), line.tokens[brings][1:])[number])
    k = int(line.tokens[brings[later]])
    said = f"brought {k} {'token' if k == 1 else 'tokens'} ({line.evidence})"
    return _event(record, places[brings[later - 1]]), _event(record, places[brings[later]], said)


def _lag(record: Record, number: int) -> tuple[Used, ...]:
    place = _content(record)[number]
    return _event(record, place), Used(
        "read by this client", record.events.arrived_ns[place] + record.events.lag_ns[place]
    )


def _longest(record: Record) -> tuple[Used, ...]:
    gaps = timeline(record).gaps_ns()
    return _gap(record, int(gaps.argmax())) if len(gaps) else ()


def _stalls(record: Record) -> tuple[Used, ...]:
    import numpy as np

    gaps = timeline(record).gaps_ns()
    if not len(gaps):
        return ()
    median = Used("median gap", None, f"{float(np.median(gaps)) / 1e6:.3f} ms of {len(gaps)} gaps")
    return (median, Used("longest gap", None, "between"), *_longest(record))


def _reading(per_second: int) -> Callable[[Record], tuple[Used, ...]]:
    def read(record: Record) -> tuple[Used, ...]:
        pace = Used("a token wanted every", None, f"{NS_PER_S // per_second / 1e6:g} ms from the first output on")
        return _first(record, OUTPUT), pace, _tokens(record)

    return read


def _coalesced(record: Record) -> tuple[Used, ...]:
    reads = timeline(record).read
    together = int((reads[1:] == reads[:-1]).sum())
    return (Used("token events", None, f"{len(reads)}, of which {together} in the read of the one before"),)


def _tcp(record: Record) -> tuple[Used, ...]:
    info = record.connection.tcp_at_end if record.connection else None
    return (Used("TCP_INFO", None, str(info) if info else "none"),)


def _usage(field: str) -> Callable[[Record], tuple[Used, ...]]:
    def read(record: Record) -> tuple[Used, ...]:
        said = getattr(record.usage, field) if record.usage else None
        return (Used(field, None, f"{'-' if said is None else said}; who counted: {record.token_source or '-'}"),)

    return read


def _server(record: Record) -> tuple[Used, ...]:
    return tuple([Used(name, None, f"{took:g} ms") for name, took in record.server_timing_ms.items()])


def _cost(record: Record, book: PriceBook) -> tuple[Used, ...]:
    cost = book.cost(record)
    counted = [
        Used(field, None, str(value)) for field in (record.usage.__struct_fields__ if record.usage else ())
        if (value := getattr(record.usage, field)) is not None
    ]  # fmt: skip
    return (*counted, Used("price", None, cost.source or cost.reason or "-"))


_GAPS: dict[str, Callable[[Record, int], tuple[Used, ...]]] = {
    "inter_chunk_ms": _gap,
    "itl_ms": _token_gap,
    "client_lag_us": _lag,
}
_OF: dict[str, Callable[[Record], tuple[Used, ...]]] = {
    **{f"{name}_ms": _stamps(f"{name}_start", f"{name}_end") for name in ("dns", "tcp", "proxy", "tls", "send")},
    "connect_ms": _connect,
    "ttfb_ms": _stamps("start", "first_byte"),
    "ttft_ms": _from_stamp("start"),
    "ttft_from_send_ms": _from_stamp("send_end"),
    "ttft_from_schedule_ms": _from_stamp("intended"),
    "ttfo_ms": _from_stamp("start", OUTPUT),
    "thinking_ms": lambda record: (_first(record, Signal.REASONING), _first(record, OUTPUT)),
    "tpot_ms": _tpot,
    "total_latency_ms": _stamps("start", "end"),
    "total_latency_from_schedule_ms": _stamps("intended", "end"),
    "tokens_per_second": _token_rate,
    "decode_tokens_per_second": _tpot,
    "stall_count": _stalls,
    "stall_ms": _stalls,
    "longest_gap_ms": _longest,
    **{f"reading_misses_{speed}": _reading(speed) for speed in (5, 10, 20)},
    "coalescing": _coalesced,
    "schedule_lag_us": _stamps("intended", "send_start"),
    "rtt_ms": _tcp,
    "min_rtt_ms": _tcp,
    "retransmits": _tcp,
    "server_ms": _server,
    "input_tokens": _usage("input_tokens"),
    "output_tokens": _usage("output_tokens"),
    "thinking_tokens": _usage("reasoning_tokens"),
    "cached_tokens": _usage("cache_read_tokens"),
}
