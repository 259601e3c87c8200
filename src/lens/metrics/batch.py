"""Many records at once, a column each: what a run of a million requests is summed up from.

One walk over the records takes out their scalars and joins their event columns as bytes; from there on
everything is numpy, and nothing is done in Python for an event. The rules are those of timeline.py and
definitions.py, which say the same of one record and are the oracle of this file in the tests.
Times are int64 ns after Stamps.start, MISSING where absent; counts are float64, NaN where absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.msgpack import Ext
from msgspec.structs import astuple

from lens.history.read import MISSING
from lens.metrics.timeline import ASSUMED, BEYOND, COUNTED, ONE_PER_EVENT, SPREAD, most_tokens
from lens.model import COLUMN_CODES, CONTENT, OUTPUT, Record, Signal, Stamps, Status, Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Whole = NDArray[Any]  # int64
    Real = NDArray[Any]  # float64
    Truth = NDArray[Any]  # bool

EVIDENCE = (COUNTED, ONE_PER_EVENT, SPREAD, ASSUMED, BEYOND)  # by their number in Batch.evidence; -1: no events
_STAMPS = Stamps.__struct_fields__
_USAGE = Usage.__struct_fields__
_NO_USAGE = (None,) * len(_USAGE)
_NAN_USAGE = (float("nan"),) * len(_USAGE)
_PACKED_TYPES = {number: f"<{code}" for number, code in COLUMN_CODES.items()}
_NO_TCP = (None, None, None)


@dataclass(frozen=True)
class Batch:
    """Records, their scalars, and their content events one behind the other."""

    records: Sequence[Record]
    start: Whole  # absolute
    stamps: dict[str, Whole]  # the others, after the start
    success: Truth
    kernel: Truth  # has kernel stamps
    usage: dict[str, Real]
    tcp: Real  # rtt_us, min_rtt_us, retransmits of the request
    # Of each record, its content events: how many, and the place of the first.
    n: Whole
    first: Whole
    streamed: Real  # tokens that came over the wire
    evidence: Whole
    # Of each content event: whose it is, and what it brought.
    of: Whole
    at: Whole
    lag: Whole
    output: Truth
    reasoning: Truth
    read: Whole
    tokens: Whole

    def __len__(self) -> int:
        return len(self.records)

    def first_of(self, which: Truth) -> Whole:
        """Of each record, the arrival of its first content event of this kind; MISSING where there is none."""
        import numpy as np

        found = np.full(len(self), MISSING, dtype=np.int64)
        places = np.flatnonzero(which)[::-1]  # the last written wins, which is the first event
        found[self.of[places]] = self.at[places]
        return found

    def first_at(self) -> Whole:
        return self._edge(self.first)

    def last_at(self) -> Whole:
        return self._edge(self.first + self.n - 1)

    def _edge(self, places: Whole) -> Whole:
        import numpy as np

        found = np.full(len(self), MISSING, dtype=np.int64)
        some = self.n > 0
        found[some] = self.at[places[some]]
        return found

    @cached_property
    def gaps(self) -> tuple[Whole, Whole]:
        """Between successive content events of one record; and the record of each gap."""
        import numpy as np

        inner = self.of[1:] == self.of[:-1]
        return np.diff(self.at)[inner], self.of[1:][inner]

    @cached_property
    def reading(self) -> tuple[Whole, Whole, Whole, Whole, Whole]:
        """What a reader sees: who has output; the place of each one's first output event among all of
        them; and of each such event the time since that first, the tokens before it and its own."""
        import numpy as np

        at, tokens, of = self.at[self.output], self.tokens[self.output], self.of[self.output]
        begins = np.flatnonzero(np.diff(of, prepend=-1))
        n = np.diff(begins, append=len(of))
        behind = np.cumsum(tokens) - tokens  # tokens before this event, of all records
        since = at - np.repeat(at[begins], n)
        return of[begins], begins, since, behind - np.repeat(behind[begins], n), tokens

    def token_gaps(self) -> tuple[Whole, Whole, Whole]:
        """Gaps before the events that brought whole tokens, how many tokens, and the record of each."""
        import numpy as np

        brings = np.flatnonzero(self.tokens > 0)
        of, at = self.of[brings], self.at[brings]
        inner = of[1:] == of[:-1]
        return np.diff(at)[inner], self.tokens[brings][1:][inner], of[1:][inner]


def batch_of(records: Sequence[Record]) -> Batch:
    """The columns of these records."""
    import numpy as np

    n = len(records)
    packed = n > 0 and Record not in set(map(type, records))
    absolute, counted = (_packed_scalars if packed else _scalars)(records)
    start = absolute[0]
    stamps = {
        name: np.where(column == MISSING, MISSING, column - start)
        for name, column in zip(_STAMPS, absolute, strict=True)
        if name != "start"
    }
    usage = dict(zip(_USAGE, counted, strict=True))

    events = [record.events for record in records]
    arrived, sizes = _joined([e.arrived_ns for e in events], packed=packed)
    signals, chars = (
        _joined([e.signals for e in events], packed=packed)[0],
        _joined([e.chars for e in events], packed=packed)[0],
    )
    content = np.flatnonzero(((signals & int(CONTENT)) != 0) & (chars > 0))
    of = np.repeat(np.arange(n), sizes)[content]
    in_each = np.bincount(of, minlength=n)
    first = np.cumsum(in_each) - in_each
    kinds = signals[content]
    reasoning = (kinds & int(Signal.REASONING)) != 0
    claimed = _claimed(usage, np.bincount(of[reasoning], minlength=n) > 0)
    most = most_tokens(np.bincount(of, weights=chars[content], minlength=n))
    streamed = np.where((in_each > 0) & (claimed > most), np.nan, claimed)
    tokens, evidence = _tokens(records, chars[content], of, in_each, first, claimed, most)
    return Batch(
        records=records,
        start=start,
        stamps=stamps,
        success=np.array([record.status is Status.SUCCESS for record in records], dtype=bool),
        kernel=np.array([record.stamp_kind == "kernel" for record in records], dtype=bool),
        usage=usage,
        tcp=np.array([_tcp(record) for record in records], dtype=np.float64).reshape(n, 3).T,
        n=in_each,
        first=first,
        streamed=streamed,
        evidence=evidence,
        of=of,
        at=arrived[content],
        lag=_joined([e.lag_ns for e in events], packed=packed)[0][content],
        output=(kinds & int(OUTPUT)) != 0,
        reasoning=reasoning,
        read=_joined([e.read for e in events], packed=packed)[0][content],
        tokens=tokens,
    )


def _scalars(records: Sequence[Record]) -> tuple[Whole, Real]:
    """Stamps and usage, a row each."""
    import numpy as np

    times = [MISSING if at is None else at for record in records for at in astuple(record.stamps)]
    counts = [astuple(record.usage) if record.usage else _NO_USAGE for record in records]
    n = len(records)
    return (
        np.array(times, dtype=np.int64).reshape(n, len(_STAMPS)).T,
        np.array(counts, dtype=np.float64).reshape(n, len(_USAGE)).T,
    )


def _packed_scalars(records: Sequence[Record]) -> tuple[Whole, Real]:
    """The same of packed records, in which absent values are numbers already."""
    import numpy as np

    times = chain.from_iterable([astuple(record.stamps) for record in records])
    counts = chain.from_iterable([astuple(record.usage) if record.usage else _NAN_USAGE for record in records])
    n = len(records)
    return (
        np.fromiter(times, np.int64, n * len(_STAMPS)).reshape(n, len(_STAMPS)).T,
        np.fromiter(counts, np.float64, n * len(_USAGE)).reshape(n, len(_USAGE)).T,
    )


def _joined(columns: Sequence[Any], *, packed: bool) -> tuple[Whole, Whole]:
    """Columns one behind the other, as int64, and the length of each; files of different age differ in widths."""
    import numpy as np

    if packed and len(codes := {column.code for column in columns}) == 1:
        data = [column.data for column in columns]
        joined = np.frombuffer(b"".join(data), dtype=_PACKED_TYPES[codes.pop()])
        return joined.astype(np.int64, copy=False), np.array([*map(len, data)]) // joined.itemsize
    each = [_unpacked(column) for column in columns]
    values = np.concatenate(each) if each else np.empty(0, dtype=np.int64)
    return values, np.array([len(column) for column in each], dtype=np.int64)


def _unpacked(column: Any) -> Whole:
    """An array, or the extension that it becomes in a file, as int64."""
    import numpy as np

    packed = isinstance(column, Ext)
    data, code = (column.data, _PACKED_TYPES[column.code]) if packed else (column, column.typecode)
    values: Whole = np.frombuffer(data, dtype=code).astype(np.int64)
    return values


def _tcp(record: Record) -> tuple[int | None, int | None, int | None]:
    connection = record.connection
    if connection is None or (end := connection.tcp_at_end) is None:
        return _NO_TCP
    begin = connection.tcp_at_send if connection.reused else None
    return end.rtt_us, end.min_rtt_us, end.retransmits - (begin.retransmits if begin else 0)


def _claimed(usage: dict[str, Real], thought_aloud: Truth) -> Real:
    """Output tokens that are said to have come over the wire: thinking that stayed at the server is left out."""
    import numpy as np

    total, thought = usage["output_tokens"], usage["reasoning_tokens"]
    hidden = (thought > 0) & ~thought_aloud
    return np.where(hidden, np.maximum(total - np.where(hidden, thought, 0), 0), total)


def _tokens(
    records: Sequence[Record], chars: Whole, of: Whole, n: Whole, first: Whole, claimed: Real, most: Real
) -> tuple[Whole, Whole]:
    """Tokens of each content event, and the number of who says so of each record."""
    import numpy as np

    tokens = np.ones(len(of), dtype=np.int64)
    some = n > 0
    known = some & (claimed > 0)
    beyond = known & (claimed > most)
    spread = known & ~beyond & (np.abs(np.where(known, claimed, 0) - n) > 1)
    evidence = np.where(some, np.where(known, np.where(beyond, 4, np.where(spread, 2, 1)), 3), -1)
    for place in [i for i, record in enumerate(records) if record.tokens_per_event is not None]:
        told = _unpacked(records[place].tokens_per_event)
        if len(told) == n[place] > 0 and 0 < told.sum() <= most[place]:
            tokens[first[place] : first[place] + n[place]] = told
            evidence[place], spread[place] = 0, False
    if spread.any():
        rows = spread[of]
        tokens[rows] = _spread(chars[rows], np.where(known, claimed, 0)[spread].astype(np.int64), n[spread])
    return tokens, evidence


def _spread(chars: Whole, total: Whole, n: Whole) -> Whole:
    """Tokens of each record over its events by their characters; one each first, where there are enough."""
    import numpy as np

    of, first = np.repeat(np.arange(len(n)), n), np.cumsum(n) - n
    upto = np.cumsum(chars)
    upto -= (upto[first] - chars[first])[of]
    sums = upto[first + n - 1]
    each = (total >= n).astype(np.int64)
    shares = np.rint(upto * ((total - each * n) / sums)[of]).astype(np.int64)
    found = np.diff(shares, prepend=0)
    found[first] = shares[first]
    tokens: Whole = found + each[of]
    return tokens
