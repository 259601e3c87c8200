"""What a figure was made of: the request that bears a percentile, and the stamps and events it was read from.

Percentiles are nearest rank, so each of them belongs to one request, or to one gap between two of its
events; that one is shown. Nothing is computed anew here: the figure is the metric's, and what it was read from
stands in its definition (`Metric.read_from`), so that a metric defined at run time is explained too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, isnan
from typing import NamedTuple

import numpy as np

from lens.metrics.columns import Column
from lens.metrics.definitions import Metric, metric_named
from lens.metrics.table import Table
from lens.metrics.token_counts import EVIDENCE
from lens.model import CONTENT, OUTPUT, Record, Signal, Stamps, Usage
from lens.units import NS_PER_MS


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


def examples(metric: Metric, table: Table, percents: Sequence[float]) -> tuple[int, list[Example]]:
    """Return how many values a metric of requests has, and who bears these percentiles of it.

    Only their records are read again.
    """
    ordered = table.measured().started()
    values, of = ordered.pooled(metric.name)
    order = np.argsort(values, kind="stable")
    shown = []
    for percent in percents if len(order) else ():
        place = int(order[max(ceil(percent * len(order) / 100), 1) - 1])
        row = int(of[place])
        within = place - int(np.searchsorted(of, row))
        request = Request(ordered.take(np.array([row])), within)
        shown.append(Example(percent, float(values[place]), request.record, used(metric, request)))
    return len(order), shown


class Request:
    """One request whose figure is explained: its record, and its columns."""

    def __init__(self, table: Table, within: int = 0) -> None:
        """table: of one row; within: which of its values is meant, of a metric that has many."""
        self.table, self.within = table, within
        self.record = table.record(0)

    def places(self, wanted: Signal = CONTENT) -> list[int]:
        """Return the places of the content events of these kinds among all events of the answer."""
        events = self.record.events
        return [i for i in range(len(events)) if events.signals[i] & int(wanted) and events.chars[i]]

    @property
    def evidence(self) -> str:
        """Who says how many tokens each event brought."""
        number = int(self.table.column("evidence")[0])
        return EVIDENCE[number] if number >= 0 else "-"


def used(metric: Metric, request: Request) -> tuple[Used, ...]:
    """Return what a metric reads of a request."""
    found: list[Used] = []
    absent: list[str] = []
    for name in metric.read_from:
        if name in Stamps.__struct_fields__:
            at = getattr(request.record.stamps, name)
            if at is None:
                absent.append(name)
            else:
                found.append(Used(name, at - request.record.stamps.start))
        elif name == "usage.output_tokens" and "last_token" in metric.read_from:
            found += _tokens(request, metric)  # those that came, of which the metric is a rate
        elif name in _READERS:
            found += _READERS[name](request, metric)
        else:
            found += _other(name, request)
    if absent and not found:
        reused = request.record.connection is not None and request.record.connection.reused
        found.append(Used(", ".join(absent), None, "none: the connection was reused" if reused else "none"))
    return tuple(found) or (Used("formula", None, metric.formula),)


def _event(record: Record, place: int, says: str = "") -> Used:
    """Return an event by its place among all events of the answer."""
    events = record.events
    kinds = "+".join(s.name or "" for s in Signal if s & events.signals[place]).lower() or "no content"
    told = f"{kinds}, {events.chars[place]} characters, read {events.read[place]}"
    return Used(f"event {place}", events.arrived_ns[place], f"{told}{', ' if says else ''}{says}")


def _no_event() -> list[Used]:
    return [Used("event", None, "none")]


Reader = Callable[[Request, Metric], Sequence[Used]]


def _edge(wanted: Signal, place: int) -> Reader:
    """Return the reader of the first or last event of some kinds."""

    def read(request: Request, metric: Metric) -> Sequence[Used]:
        places = request.places(wanted)
        if not places:
            return _no_event()
        # What the first event brought is left out of a rate of those after it.
        counts = place == 0 and wanted is CONTENT and "last_token" in metric.read_from
        says = _brought(int(request.table.tokens[0]), request) if counts else ""
        return [_event(request.record, places[place], says)]

    return read


def _brought(tokens: int, request: Request) -> str:
    return f"brought {tokens} {'token' if tokens == 1 else 'tokens'} ({request.evidence})"


def _token_events(request: Request, metric: Metric) -> Sequence[Used]:
    """Return the two events of the gap that is meant; of one figure of all gaps, the longest and the median."""
    places, gaps = request.places(), np.diff(request.table.at)
    if not len(gaps):
        return [_event(request.record, place) for place in places] or _no_event()
    if metric.pooled is None:
        longest = int(gaps.argmax())
        median = f"{float(np.median(gaps)) / NS_PER_MS:.3f} ms of {len(gaps)} gaps"
        pair = [_event(request.record, place) for place in places[longest : longest + 2]]
        return [Used("median gap", None, median), Used("longest gap", None, "between"), *pair]
    if "tokens" not in metric.read_from:
        return [_event(request.record, place) for place in places[request.within : request.within + 2]]
    before, after = _token_gap(request.table.tokens, request.within) or (0, 1)
    says = _brought(int(request.table.tokens[after]), request)
    return [_event(request.record, places[before]), _event(request.record, places[after], says)]


def _token_gap(tokens: Column, number: int) -> tuple[int, int] | None:
    """Return the content events around a gap between tokens: an event that brings k of them has k of the gaps."""
    brings = np.flatnonzero(tokens > 0)
    later = np.repeat(np.arange(1, len(brings)), tokens[brings][1:])[number : number + 1].tolist()
    return (int(brings[later[0] - 1]), int(brings[later[0]])) if later else None


def _tokens(request: Request, metric: Metric) -> Sequence[Used]:
    if metric.pooled is not None:
        return ()  # its event says what it brought
    streamed = float(request.table.column("streamed")[0])
    told = "-" if isnan(streamed) else f"{streamed:.0f}"
    return [Used("output tokens", None, f"{told} streamed; who counted: {request.record.token_source or '-'}")]


def _reads(request: Request, _: Metric) -> Sequence[Used]:
    together = int(request.table.together.sum())
    events = int(request.table.n[0])
    return [Used("token events", None, f"{events}, of which {together} in the read of the one before")]


def _lags(request: Request, _: Metric) -> Sequence[Used]:
    places, events = request.places(), request.record.events
    if request.within >= len(places):
        return _no_event()
    place = places[request.within]
    seen = events.arrived_ns[place] + events.lag_ns[place]
    return [_event(request.record, place), Used("read by this client", seen)]


def _server_timing(request: Request, _: Metric) -> Sequence[Used]:
    return [Used(name, None, f"{took:g} ms") for name, took in request.record.server_timing_ms.items()]


def _counts(request: Request, _: Metric) -> Sequence[Used]:
    """Return every count of the usage that is known."""
    usage = request.record.usage
    counts = [(field, getattr(usage, field)) for field in Usage.__struct_fields__] if usage else []
    return [Used(field, None, str(value)) for field, value in counts if value is not None]


def _price(request: Request, _: Metric) -> Sequence[Used]:
    cost = request.table.book_of(0).cost(request.record)
    lines = [
        Used(
            line.what,
            None,
            f"{line.quantity} x ${line.rate.normalize():f} per {line.per:,} = ${line.usd.normalize():f}",
        )
        for line in cost.lines
    ]
    lacks = [Used("lacks", None, str(lack)) for lack in cost.uncounted]
    return [*lines, *lacks, Used("price", None, cost.source or cost.reason or "-")]


def _hidden_thinking(request: Request, _: Metric) -> Sequence[Used]:
    took_ns = request.record.hidden_thinking_ns
    return (
        []
        if took_ns is None
        else [Used("hidden thinking", None, f"{took_ns / NS_PER_MS:.3f} ms in blocks without text")]
    )


def _session(request: Request, metric: Metric) -> Sequence[Used]:
    """Return which turn of which session it is; of a metric of sessions what each turn of the critical path adds."""
    at = request.record.session
    if at is None:
        return [Used("session", None, "none")]
    before = f", after {', '.join(map(str, at.after))}" if at.after else ""
    found = [Used("session", None, f"{at.session_id}, turn {at.turn} of {at.turns}{before}")]
    if metric.of_session:
        row = int(request.table.of_whole(lambda whole: np.arange(len(whole)))[0])
        for turn, parts in request.table.sessions.path(row):
            adds = [f"{name} {ns / NS_PER_MS:.3f}" for name, ns in parts.items() if ns]
            found.append(Used(f"turn {turn}", None, f"{sum(parts.values()) / NS_PER_MS:.3f} ms: {', '.join(adds)}"))
    return found


def _tool_calls(request: Request, _: Metric) -> Sequence[Used]:
    """Return the events that a tool call began and ended with."""
    found = []
    for call in request.record.tool_calls:
        events = "" if call.deltas is None else f"{call.deltas} events, "
        valid = {True: "arguments complete", False: "arguments incomplete", None: "arguments are a text"}[call.valid]
        found.append(Used(f"{call.name}: first event", call.first_ns, f"{events}{valid}"))
        if call.last_ns != call.first_ns:
            found.append(Used(f"{call.name}: last event", call.last_ns))
    return found or [Used("tool calls", None, "none")]


def _text_marks(request: Request, _: Metric) -> Sequence[Used]:
    marks = request.record.text_marks
    if marks is None:
        return [Used("text", None, "not read: profile, --save-text and --expect read it")]
    times = (("first sentence", marks.sentence_ns), ("first line", marks.line_ns), ("code block", marks.code_block_ns))
    return [Used(name, at) for name, at in times if at is not None]


def _judgement(request: Request, _: Metric) -> Sequence[Used]:
    judged = request.record.judged
    if judged is None:
        return [Used("expected", None, "nothing: give --expect")]
    return [Used("valid" if judged.valid else "not valid", judged.usable_ns, judged.reason or "")]


_READERS: dict[str, Reader] = {
    "first_token": _edge(CONTENT, 0),
    "first_output_token": _edge(OUTPUT, 0),
    "first_reasoning_token": _edge(Signal.REASONING, 0),
    "last_token": _edge(CONTENT, -1),
    "token_events": _token_events,
    "tokens": _tokens,
    "reads": _reads,
    "lags": _lags,
    "server_timing": _server_timing,
    "hidden_thinking": _hidden_thinking,
    "tool_calls": _tool_calls,
    "text_marks": _text_marks,
    "judgement": _judgement,
    "usage": _counts,
    "session": _session,
    "price": _price,
}


def _other(name: str, request: Request) -> Sequence[Used]:
    """Return a count of the usage, what the kernel told, or another metric by its name."""
    head, _, field = name.partition(".")
    record = request.record
    if head == "usage" and field in Usage.__struct_fields__:
        said = getattr(record.usage, field) if record.usage else None
        return [Used(field, None, f"{'-' if said is None else said}; who counted: {record.token_source or '-'}")]
    if head == "tcp":
        info = record.connection.tcp_at_end if record.connection else None
        return [Used("TCP_INFO", None, str(info) if info else "none")]
    try:
        metric = metric_named(name)
    except KeyError:
        return [Used(name, None)]
    if metric.kind == "run":
        return [Used(name, None)]
    value = float(request.table.metric(metric.name)[0])
    return [Used(name, None, "not measured" if isnan(value) else f"{value:.6g} {metric.unit}")]
