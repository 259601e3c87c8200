"""All events of requests, those without content too: what definitions other than ours are read from.

A table keeps the content events alone, so these are taken from the records, some at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.packing import joined_columns
from lens.metrics.table import Table
from lens.model import Record

# Records that are in memory at once.
AT_ONCE = 4096


class RawEvents(NamedTuple):
    """Events of some requests, one request's behind the other's."""

    requests: int
    of: Column  # the request of each event
    at: Column  # arrival, ns after the start of its request
    signals: Column  # model.Signal bits
    chars: Column  # characters of content

    @property
    def begins(self) -> Column:
        """Which events are the first of their request."""
        begins: Column = np.diff(self.of, prepend=-1) != 0
        return begins

    def where(self, which: Column) -> RawEvents:
        """Return the events where a bool column is true."""
        return RawEvents(self.requests, self.of[which], self.at[which], self.signals[which], self.chars[which])

    def first_at(self) -> Column:
        """Return the arrival of each request's first event; MISSING where it has none."""
        found = np.full(self.requests, MISSING, dtype=np.int64)
        begins = self.begins
        found[self.of[begins]] = self.at[begins]
        return found

    def last_at(self) -> Column:
        """Return the arrival of each request's last event; MISSING where it has none."""
        found = np.full(self.requests, MISSING, dtype=np.int64)
        found[self.of] = self.at  # the last written wins
        return found

    def gaps(self) -> tuple[Column, Column]:
        """Return ns between successive events of one request, and the request of each gap."""
        inner = ~self.begins[1:]
        return np.diff(self.at)[inner], self.of[1:][inner]


def raw_events(records: Sequence[Record]) -> RawEvents:
    """Return all events of records."""
    events = [record.events for record in records]
    at, sizes = joined_columns([one.arrived_ns for one in events])
    return RawEvents(
        requests=len(records),
        of=np.repeat(np.arange(len(records)), sizes),
        at=at,
        signals=joined_columns([one.signals for one in events])[0],
        chars=joined_columns([one.chars for one in events])[0],
    )


def with_records(table: Table) -> Iterator[tuple[Table, list[Record]]]:
    """Yield a table in slices, each with its records."""
    for part in table.slices(AT_ONCE) if len(table) else ():
        yield part, list(part.records())
