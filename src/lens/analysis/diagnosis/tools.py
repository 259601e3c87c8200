"""How the arguments of tool calls come: as they are written, or all at once when they are complete.

A reader sees nothing while arguments are held back, and a client that gives up after a silence gives up then.
"""

from __future__ import annotations

from typing import NamedTuple

from lens.analysis.diagnosis.symptoms import (
    LONG_ANSWER,
    TOOL_CALL,
    Finding,
    Found,
    Series,
    View,
    figure,
    in_one_piece,
    requests,
    series,
)
from lens.metrics.quality_warnings import OWN_LAG_SHARE
from lens.model import Record, Signal
from lens.units import NS_PER_MS

# Shorter arguments may well come in one piece.
FEWEST_CHARS = 80
# Reads that a call comes in where it is held back: its name, and all of its arguments.
MOST_READS = 2
# Of a reader's wait a silence that long, as a share of the time in which the arguments came.
SILENT_SHARE = 0.5
_TOOL = int(Signal.TOOL)


class _Call(NamedTuple):
    """The tool calls of one answer, taken together."""

    record: Record
    chars: int
    events: int
    reads: int
    silence_ms: float  # longest before or inside
    until_ms: float  # from the end of what came before to the last fragment


def tool_arguments(view: View) -> Found:
    """Return the finding whether arguments of tool calls come piece by piece."""
    answers = [record for record in view.of(TOOL_CALL) if record.stream]
    calls = [call for record in answers if (call := _call(view, record)) is not None]
    if not answers or in_one_piece(view):
        return None  # nobody asked, or nothing of an answer comes piece by piece
    if not calls:
        return "tool calls: the model called no tool, so how their arguments come is not known"
    calls = [call for call in calls if call.chars >= FEWEST_CHARS]
    if not calls:
        return f"tool calls: their arguments had fewer than {FEWEST_CHARS} characters, too few to tell how they come"
    held = [one for one in calls if one.reads <= MOST_READS and one.silence_ms >= SILENT_SHARE * one.until_ms]
    numbers = [one.record.index for one in calls]
    if len(held) * 2 <= len(calls):
        events = max(one.events for one in calls)
        return Finding(
            cause="tool arguments",
            kind="fine",
            says=f"tool calls: arguments come as they are written, in {events} events ({requests(numbers)})",
        )
    silence = Series(tuple([one.silence_ms for one in held]), tuple([one.record.index for one in held]))
    lag = series([one.record for one in held], view.metric("client_lag_us"))
    if lag is not None and lag.middle / 1000 > OWN_LAG_SHARE * silence.middle:
        return f"tool calls: they come at once, but this client itself read up to {figure(lag.middle / 1000)} ms late"
    chars = max(one.chars for one in held)
    text = series(view.of(LONG_ANSWER), view.median_of("itl_ms"))
    return Finding(
        cause="tool arguments",
        kind="warning",
        says=f"tool calls: the server holds tool arguments back until they are complete: {chars} characters come at "
        f"once after {figure(silence.middle)} ms of silence",
        evidence=(
            f"{chars} characters in {_many(max(one.events for one in held), 'event')} and "
            f"{_many(max(one.reads for one in held), 'read')} ({requests(silence.numbers)})",
            silence.says("longest silence before or inside the call"),
            *([text.says("median gap between tokens of text")] if text is not None else []),
        ),
        try_next="a tool parser that streams (a setting of the server; some protocols send calls whole); meanwhile "
        "show that a call is being written, and let no client give up within that silence",
    )


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"


def _call(view: View, record: Record) -> _Call | None:
    """Return what is known of the tool calls of an answer; None where it has none."""
    timed = [call for call in record.tool_calls if call.first_ns is not None and call.last_ns is not None]
    if not timed:
        return None
    events = record.events
    places = [i for i in range(len(events)) if events.signals[i] & _TOOL and events.chars[i]]
    names = sum(len(call.name) for call in timed)
    first, last = min(call.first_ns or 0 for call in timed), max(call.last_ns or 0 for call in timed)
    before = timed[0].silence_ns
    begun_ns = first - before if before is not None else _answer_began_ns(view, record)
    inside = max([call.gap_ns or 0 for call in timed])
    return _Call(
        record=record,
        chars=sum(events.chars[i] for i in places) - names,
        events=len(places),
        reads=len({events.read[i] for i in places}),
        silence_ms=max(first - begun_ns, inside) / NS_PER_MS,
        until_ms=(last - begun_ns) / NS_PER_MS,
    )


def _answer_began_ns(view: View, record: Record) -> int:
    """Return when the first token of an answer could have come: that of a short answer, where its own is the call."""
    sent = record.stamps.send_end
    after = 0 if sent is None else sent - record.stamps.start
    return after + round((view.base.middle if view.base is not None else 0) * NS_PER_MS)
