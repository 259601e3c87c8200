"""The tokens of one record in time: which events brought content, when, and how many tokens each.

Everything that is said of gaps, stalls and tokens per event is read from a Timeline, so that
no two figures count tokens in two ways. Times are int64 ns after Stamps.start.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.model import CONTENT, OUTPUT, Record, Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Who said how many tokens an event brought, from best to worst.
COUNTED = "counted"  # the server or a tokenizer told for each event
ONE_PER_EVENT = "one_per_event"  # the server's total is the number of events, give or take the end token
SPREAD = "spread"  # the server's total, spread over the events by their characters
ASSUMED = "assumed_one_per_event"  # nobody told; one each
BEYOND = "assumed_beyond_what_came"  # the server claims more than came; one each

# No tokenizer makes more tokens than bytes, and a character has four at most (UTF-8). The rest is for what is
# counted and does not come: an end, and what a protocol wraps around tool calls.
TOKENS_PER_CHAR = 4
TOKENS_UNSEEN = 1024


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
        import numpy as np

        return np.diff(self.at_ns)

    def token_gaps_ns(self) -> NDArray[Any]:
        """A gap before an event that brings k tokens, as k gaps of gap/k.

        An event that brings no whole token of its own lends its time to the next that does.
        """
        import numpy as np

        brings = self.tokens > 0
        at, k = self.at_ns[brings], self.tokens[brings][1:]
        return np.repeat((at[1:] - at[:-1]) / k, k)


# The last record asked about and its timeline: a table asks a dozen figures of one record in a row.
_last: tuple[Record, Timeline] | None = None


def timeline(record: Record) -> Timeline:
    """The content events of a record."""
    global _last
    last = _last
    if last is not None and last[0] is record:
        return last[1]
    found = _timeline(record)
    _last = (record, found)
    return found


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


def _timeline(record: Record) -> Timeline:
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


def _column(values: array[int]) -> NDArray[Any]:
    """A column as int64; without a copy where it is that already."""
    import numpy as np

    return np.frombuffer(values, dtype=values.typecode).astype(np.int64, copy=False)


def _tokens(record: Record, chars: NDArray[Any]) -> tuple[NDArray[Any], str | None]:
    """Tokens of each content event, and who says so."""
    import numpy as np

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
    import numpy as np

    each = 1 if total >= len(chars) else 0
    upto = np.rint(np.cumsum(chars) * ((total - each * len(chars)) / chars.sum())).astype(np.int64)
    tokens: NDArray[Any] = np.diff(upto, prepend=0) + each
    return tokens
