"""The formulas of the metrics over one record, as plain as they can be written: the oracle of the table's columns."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens.metrics.formulas import READING_SPEEDS, STALL_AT_LEAST_NS, STALL_TIMES_MEDIAN
from lens.metrics.token_counts import ASSUMED, BEYOND, COUNTED, ONE_PER_EVENT, SPREAD, TOKENS_PER_CHAR, TOKENS_UNSEEN
from lens.model import CONTENT, OUTPUT, Record, Signal, Stamps, Status, ToolCall
from lens.units import NS_PER_S, ms, us


class Timeline(NamedTuple):
    """The content events of one record, a column each."""

    at_ns: NDArray[Any]  # arrival, after the start
    lag_ns: NDArray[Any]  # how late this client read it
    output: NDArray[Any]  # bool: visible text or a tool call, not thinking
    reasoning: NDArray[Any]  # bool
    read: NDArray[Any]  # number of the read
    tokens: NDArray[Any]  # brought by each event
    evidence: str | None  # for tokens; None when there are no events

    def gaps_ns(self) -> NDArray[Any]:
        """Between successive content events."""
        return np.diff(self.at_ns)

    def token_gaps_ns(self) -> NDArray[Any]:
        """A gap before an event that brings k tokens, as k gaps of gap/k.

        An event that brings no whole token of its own lends its time to the next that does.
        """
        brings = self.tokens > 0
        at, k = self.at_ns[brings], self.tokens[brings][1:]
        return np.repeat((at[1:] - at[:-1]) / k, k)


def timeline(record: Record) -> Timeline:
    """The content events of a record."""
    events = record.events
    signals, chars = _column(events.signals), _column(events.chars)
    content = ((signals & int(CONTENT)) != 0) & (chars > 0)
    kinds = signals[content]
    tokens, evidence = _tokens(record, chars[content])
    return Timeline(
        at_ns=_column(events.arrived_ns)[content],
        lag_ns=_column(events.lag_ns)[content],
        output=(kinds & int(OUTPUT)) != 0,
        reasoning=(kinds & int(Signal.REASONING)) != 0,
        read=_column(events.read)[content],
        tokens=tokens,
        evidence=evidence,
    )


def first_at_ns(record: Record, wanted: Signal = CONTENT) -> int | None:
    """Arrival of the first event with one of these signals, after the start; no numpy needed."""
    mask = int(wanted)
    for at, signals, chars in zip(record.events.arrived_ns, record.events.signals, record.events.chars, strict=True):
        if signals & mask and chars:
            return at
    return None


def last_at_ns(record: Record) -> int | None:
    """Arrival of the last content event, after the start."""
    events = record.events
    mask = int(CONTENT)
    for i in range(len(events) - 1, -1, -1):
        if events.signals[i] & mask and events.chars[i]:
            return events.arrived_ns[i]
    return None


def most_tokens(chars: Any) -> Any:
    """More tokens than this are not in so many characters, whoever says so; what is claimed allocates nothing."""
    return TOKENS_PER_CHAR * chars + TOKENS_UNSEEN


def streamed_tokens(record: Record) -> int | None:
    """Output tokens that came over the wire: thinking that stayed at the server is left out.

    None also where more are claimed than can have come.
    """
    claimed = _claimed(record)
    if claimed is None or claimed <= TOKENS_UNSEEN:
        return claimed
    signals, chars = _column(record.events.signals), _column(record.events.chars)
    came = int(chars[(signals & int(CONTENT)) != 0].sum())
    return claimed if not came or claimed <= most_tokens(came) else None


def _claimed(record: Record) -> int | None:
    usage = record.usage
    if usage is None or usage.output_tokens is None:
        return None
    if usage.reasoning_tokens and first_at_ns(record, Signal.REASONING) is None:
        return max(usage.output_tokens - usage.reasoning_tokens, 0)
    return usage.output_tokens


def _column(values: array[int]) -> NDArray[Any]:
    """A column as int64; without a copy where it is that already."""
    return np.frombuffer(values, dtype=values.typecode).astype(np.int64, copy=False)


def _tokens(record: Record, chars: NDArray[Any]) -> tuple[NDArray[Any], str | None]:
    """Tokens of each content event, and who says so."""
    n = len(chars)
    if n == 0:
        return np.zeros(0, dtype=np.int64), None
    most = most_tokens(int(chars.sum()))
    told = record.tokens_per_event
    if told is not None and len(told) == n and 0 < sum(told) <= most:
        return _column(told), COUNTED
    total = _claimed(record)
    if not total:
        return np.ones(n, dtype=np.int64), ASSUMED
    if total > most:
        return np.ones(n, dtype=np.int64), BEYOND
    # Many servers count the end token, which brings no text; some send it as an event of its own.
    if abs(total - n) <= 1:
        return np.ones(n, dtype=np.int64), ONE_PER_EVENT
    return _spread(total, chars), SPREAD


def _spread(total: int, chars: NDArray[Any]) -> NDArray[Any]:
    """`total` tokens over the events by their characters; one each first, where there are enough."""
    each = 1 if total >= len(chars) else 0
    upto = np.rint(np.cumsum(chars) * ((total - each * len(chars)) / chars.sum())).astype(np.int64)
    tokens: NDArray[Any] = np.diff(upto, prepend=0) + each
    return tokens


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
    if thought is None or answered is None:
        return None if record.hidden_thinking_ns is None else ms(record.hidden_thinking_ns)
    return None if answered < thought else ms(answered - thought)


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


def cost_per_token(record: Record) -> float | None:
    """By what the provider says it billed: nobody has prices here."""
    usage, usd = record.usage, record.reported_cost_usd
    if usd is None or usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    tokens = usage.input_tokens + usage.output_tokens
    return float(usd) / tokens if tokens else None


def decode_tokens_per_second(record: Record) -> float | None:
    tpot = tpot_ms(record)
    return 1000 / tpot if tpot else None


def _stalls_ns(record: Record) -> list[int] | None:
    """The gaps that a reader would call a pause; None when there are no gaps to judge."""
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
    return None if sent is None or intended is None or record.tries else us(sent - intended)


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


def _longest_before(wanted: Signal, *, without: int = 0) -> Callable[[Record], float | None]:
    """The longest gap between content events of which the later is of this kind."""

    def longest(record: Record) -> float | None:
        events = record.events
        before, gaps = None, []
        for at, bits, chars in zip(events.arrived_ns, events.signals, events.chars, strict=True):
            if not (bits & int(CONTENT) and chars):
                continue
            if before is not None and bits & int(wanted) and not bits & without:
                gaps.append(at - before)
            before = at
        return ms(max(gaps)) if gaps else None

    return longest


def _timed_calls(record: Record) -> list[ToolCall]:
    return [call for call in record.tool_calls if call.first_ns is not None]


def tool_first_ms(record: Record) -> float | None:
    return min([ms(call.first_ns) for call in _timed_calls(record)], default=None)


def _ready_ns(call: ToolCall) -> int | None:
    """Of a call whose arguments are complete, its last event."""
    return None if call.valid is False or call.deltas is None or call.first_ns is None else call.last_ns


def tool_ready_ms(record: Record) -> float | None:
    ready = [_ready_ns(call) for call in record.tool_calls]
    return None if not ready or None in ready else ms(max(ready))


def _calls(field: str) -> Callable[[Record], list[int]]:
    def values(record: Record) -> list[int]:
        told = [call for call in _timed_calls(record) if call.deltas is not None]
        return [value for call in told if (value := getattr(call, field)) is not None]

    return values


def _longest_of_calls(field: str) -> Callable[[Record], float | None]:
    return lambda record: max([ms(value) for value in _calls(field)(record)], default=None)


def tool_deltas(record: Record) -> int | None:
    return sum(_calls("deltas")(record)) if _calls("deltas")(record) else None


def _mark(field: str) -> Callable[[Record], float | None]:
    def at(record: Record) -> float | None:
        value = getattr(record.text_marks, field) if record.text_marks else None
        return None if value is None else ms(value)

    return at


def valid(record: Record) -> float | None:
    return None if record.judged is None else float(record.judged.valid)


def time_to_valid_ms(record: Record) -> float | None:
    judged = record.judged
    return ms(judged.usable_ns) if judged is not None and judged.valid and judged.usable_ns is not None else None


def uncached_tokens(record: Record) -> int | None:
    prompt, cached = _usage("input_tokens")(record), _usage("cache_read_tokens")(record)
    return None if prompt is None or cached is None or cached > prompt else prompt - cached


def cached_share(record: Record) -> float | None:
    prompt, cached = _usage("input_tokens")(record), _usage("cache_read_tokens")(record)
    return cached / prompt if prompt and cached is not None else None


# Of metrics that need the other turns of a session; see session_figures.
OF_SESSIONS = {
    "task_ms", "task_from_schedule_ms", "task_model_ms", "task_tool_ms", "task_think_ms", "task_client_ms",
    "critical_ms", "cache_missed_tokens", "session_cost",
}  # fmt: skip


def session_figures(records: Sequence[Record]) -> dict[str, list[float | None]]:
    """The metrics of sessions and of turns beside each other; None where they are not measured."""
    found: dict[str, list[float | None]] = {name: [None] * len(records) for name in OF_SESSIONS}
    sessions: dict[str, dict[int, int]] = {}
    for place, one in enumerate(records):
        if one.session:
            sessions.setdefault(one.session.session_id, {})[one.session.turn] = place
    least = min([n for one in records if one.session and (n := _usage("cache_read_tokens")(one))], default=None)
    for places in sessions.values():
        turns = {turn: records[place] for turn, place in places.items()}
        for turn, one in turns.items():
            found["cache_missed_tokens"][places[turn]] = _missed(one, turns, least)
        whole = all(one.status is Status.SUCCESS and one.stamps.end is not None for one in turns.values())
        if whole and len(turns) == next(iter(turns.values())).session.turns:
            _add_task(found, turns, places)
    return found


def _missed(one: Record, turns: dict[int, Record], least: int | None) -> int | None:
    before = [turns[turn] for turn in one.session.after if turn in turns and _begin(turns[turn]) < _begin(one)]
    prompts = [n for each in before if (n := _usage("input_tokens")(each)) is not None]
    own, cached = _usage("input_tokens")(one), _usage("cache_read_tokens")(one)
    if not prompts or own is None or cached is None or least is None:
        return None
    expected = min(*prompts, own)
    if expected < least:
        return None
    return 0 if cached >= expected / 2 else expected - cached


def _begin(one: Record) -> int:
    return one.tries[0].start_ns if one.tries else one.stamps.start


def _add_task(found: dict[str, list[float | None]], turns: dict[int, Record], places: dict[int, int]) -> None:
    last = max(turns, key=lambda turn: (turns[turn].stamps.end, turn))
    first = min(map(_begin, turns.values()))
    parts = dict.fromkeys(("model", "tool", "think", "client"), 0)
    for place in places.values():
        found["critical_ms"][place] = 0
    at: int | None = last
    while at is not None:
        one = turns[at]
        before = [turn for turn in one.session.after if turn in turns and _begin(turns[turn]) < _begin(one)]
        at_before = max(before, key=lambda turn: (turns[turn].stamps.end, turn), default=None)
        since = first if at_before is None else turns[at_before].stamps.end
        begin = max(_begin(one), since)
        tool = min(one.session.tool_ns, begin - since)
        think = min(one.session.think_ns, begin - since - tool)
        adds = {"model": one.stamps.end - begin, "tool": tool, "think": think, "client": begin - since - tool - think}
        parts = {name: parts[name] + adds[name] for name in parts}
        found["critical_ms"][places[at]] = ms(sum(adds.values()))
        at = at_before
    place, took = places[last], turns[last].stamps.end - first
    found["task_ms"][place] = ms(took)
    planned = [one.session.planned_ns for one in turns.values() if one.session.planned_ns is not None]
    found["task_from_schedule_ms"][place] = ms(turns[last].stamps.end - planned[0]) if planned else None
    for name, part in parts.items():
        found[f"task_{name}_ms"][place] = ms(part)
    costs = [one.reported_cost_usd for one in turns.values()]  # nobody has prices here
    found["session_cost"][place] = None if None in costs else float(sum(map(Decimal, costs)))


FORMULAS: dict[str, Callable[[Record], float | int | None]] = {
    **{f"{phase}_ms": _span(f"{phase}_start", f"{phase}_end") for phase in ("dns", "tcp", "proxy", "tls", "send")},
    "connect_ms": connect_ms,
    "ttfb_ms": _span("start", "first_byte"),
    "ttft_ms": ttft_ms,
    "ttft_from_send_ms": ttft_from_send_ms,
    "ttft_from_schedule_ms": ttft_from_schedule_ms,
    "ttfo_ms": ttfo_ms,
    "thinking_ms": thinking_ms,
    "inter_chunk_ms": mean_inter_chunk_ms,
    "itl_ms": mean_itl_ms,
    "tpot_ms": tpot_ms,
    "total_latency_ms": _span("start", "end"),
    "total_latency_from_schedule_ms": _span("intended", "end"),
    "tokens_per_second": tokens_per_second,
    "cost_per_token": cost_per_token,
    "decode_tokens_per_second": decode_tokens_per_second,
    "stall_count": stall_count,
    "stall_ms": stall_ms,
    "longest_gap_ms": longest_gap_ms,
    "longest_gap_text_ms": _longest_before(OUTPUT, without=int(Signal.TOOL)),
    "longest_gap_thinking_ms": _longest_before(Signal.REASONING),
    "longest_gap_tool_ms": _longest_before(Signal.TOOL),
    "tool_first_ms": tool_first_ms,
    "tool_ready_ms": tool_ready_ms,
    "tool_deltas": tool_deltas,
    "tool_silence_before_ms": _longest_of_calls("silence_ns"),
    "tool_silence_inside_ms": _longest_of_calls("gap_ns"),
    **{f"first_{name}_ms": _mark(f"{name}_ns") for name in ("sentence", "line", "code_block")},
    "valid": valid,
    "time_to_valid_ms": time_to_valid_ms,
    **{f"reading_misses_{speed}": _reading_misses(speed) for speed in READING_SPEEDS},
    "coalescing": coalescing,
    "schedule_lag_us": schedule_lag_us,
    "client_lag_us": client_lag_us,
    "rtt_ms": _tcp("rtt_us"),
    "min_rtt_ms": _tcp("min_rtt_us"),
    "retransmits": retransmits,
    "server_ms": server_ms,
    "input_tokens": _usage("input_tokens"),
    "output_tokens": output_tokens,
    "thinking_tokens": _usage("reasoning_tokens"),
    "cached_tokens": _usage("cache_read_tokens"),
    "uncached_tokens": uncached_tokens,
    "cached_share": cached_share,
}
# Of those that stay valid when the request fails after them.
PARTIAL = {
    "dns_ms", "tcp_ms", "proxy_ms", "tls_ms", "connect_ms", "send_ms", "ttft_ms", "ttft_from_send_ms",
    "ttft_from_schedule_ms", "ttfo_ms", "thinking_ms", "schedule_lag_us", "client_lag_us", "rtt_ms", "min_rtt_ms",
    "retransmits", "server_ms", "tool_first_ms",
}  # fmt: skip


def speaks(name: str, record: Record) -> bool:
    """Whether this record may speak for a metric: it succeeded, or failed only later."""
    return name in PARTIAL or record.status is Status.SUCCESS


def pooled(name: str, record: Record) -> list[float]:
    """All gaps or lags of one record in the metric's unit."""
    line = timeline(record)
    if name == "tool_first_ms":
        return [ms(call.first_ns) for call in _timed_calls(record)]
    if name == "tool_ready_ms":
        return [ms(at) for call in record.tool_calls if (at := _ready_ns(call)) is not None]
    if name.startswith("tool_"):
        field = {"tool_deltas": "deltas", "tool_silence_before_ms": "silence_ns"}.get(name, "gap_ns")
        return [value if field == "deltas" else ms(value) for value in _calls(field)(record)]
    if name == "itl_ms":
        return (line.token_gaps_ns() / 1e6).tolist()
    if name == "inter_chunk_ms":
        return (line.gaps_ns() / 1e6).tolist()
    return (line.lag_ns / 1000).tolist() if record.stamp_kind == "kernel" else []
