"""What a diagnosis is made of: findings, the series of figures they rest on, and the questions that were asked.

A finding names a cause in plain words, says how many milliseconds of a request it explains, and bears its
evidence: figures, and the numbers of the requests they were read from. None = not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isnan
from statistics import median
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from lens.metrics.builder import table_of
from lens.metrics.columns import Column
from lens.metrics.formulas import between
from lens.model import Record, Status

# The questions, by the names that their records have as `stage`.
NEW_CONNECTION = "new connection"
REUSED_CONNECTION = "kept connection"
LONG_PROMPT = "long prompt"
LONG_ANSWER = "long answer"
TOOL_CALL = "tool call"
CONCURRENT = "at once"

# A growth counts when it is larger than all of these: the base's own scatter so many times, a share of the
# base, and what a scheduler does to a single request.
NOISE_TIMES_SCATTER = 3.0
NOISE_SHARE = 0.1
NOISE_MS = 2.0

# Fewer events tell nothing of a stream.
FEWEST_EVENTS = 8

Kind = Literal["failure", "time", "warning", "fine"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cause and what speaks for it."""

    cause: str  # "distance", "queue", "key", ...
    kind: Kind  # "fine": looked at, and not worth a thought
    says: str
    ms: float | None = None  # of the described request; None: no time of its own
    share: float | None = None  # of all that was found
    evidence: tuple[str, ...] = ()
    try_next: str | None = None


Found = Finding | str | None  # a sentence: it cannot be told; None: it does not apply


class Client(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What this machine and process did meanwhile."""

    loop_lag_ms: float | None = None  # how late the event loop woke, p95
    cpu_share: float | None = None  # of one core, this process
    load_per_cpu: float | None = None  # processes that wanted to run, a core
    warnings: tuple[str, ...] = ()


class Served(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the server told besides."""

    base_url: str = ""
    model: str = ""
    models: tuple[str, ...] | None = None  # None: nobody asked, or no answer
    owner: str | None = None  # `owned_by` of the first of them
    silent: bool = False  # it was asked for them, and no answer came at all
    better_url: str | None = None  # an address at which it did answer
    guessed_url: str | None = None  # one that is usual, and was not seen to answer


class Series(NamedTuple):
    """One figure of several requests, in ms."""

    values: tuple[float, ...]
    numbers: tuple[int, ...]  # of the requests

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def scatter(self) -> float:
        """Median distance from the median."""
        middle = self.middle
        return median(abs(value - middle) for value in self.values)

    def says(self, name: str) -> str:
        """TTFT 812 ms (790 to 840; requests 4, 5, 6)."""
        low, high = min(self.values), max(self.values)
        span = f"{figure(low)} to {figure(high)}; " if len(self.values) > 1 else ""
        return f"{name} {figure(self.middle)} ms ({span}{requests(self.numbers)})"


def series(records: Iterable[Record], of: Callable[[Record], float | None]) -> Series | None:
    """Return the figure of those that have it; None when none has."""
    found = [(value, record.index) for record in records if (value := of(record)) is not None]
    return Series(tuple([v for v, _ in found]), tuple([n for _, n in found])) if found else None


def grew_ms(more: Series, base: Series) -> float | None:
    """Return by how much the middle grew; None where that is within the noise."""
    by = more.middle - base.middle
    noise = max(NOISE_TIMES_SCATTER * base.scatter, NOISE_SHARE * base.middle, NOISE_MS)
    return by if by > noise else None


def waited_ms(together: Series, base: Series) -> list[float]:
    """Return by how much those of several at once took longer that took more than twice as long as one alone."""
    least = max(base.middle, NOISE_TIMES_SCATTER * base.scatter, NOISE_MS)
    return [value - base.middle for value in together.values if value - base.middle > least]


def figure(ms: float) -> str:
    """Return a number with enough digits to tell values apart."""
    return f"{ms:.3f}" if abs(ms) < 1 else f"{ms:.1f}" if abs(ms) < 100 else f"{ms:,.0f}"


def requests(numbers: Sequence[int]) -> str:
    """request 3; requests 3, 4, 5; requests 3 to 9."""
    some = sorted(numbers)
    if len(some) == 1:
        return f"request {some[0]}"
    if len(some) > 3 and some[-1] - some[0] == len(some) - 1:
        return f"requests {some[0]} to {some[-1]}"
    shown = ", ".join(map(str, some[:8]))
    return f"requests {shown}{', ...' if len(some) > 8 else ''}"


Figure = Callable[[Record], float | None]


class Stream(NamedTuple):
    """The content events of an answer."""

    at_ns: Column  # after the start
    tokens: Column
    read: Column  # number of the read: equal numbers came together

    @property
    def reads(self) -> int:
        """How many reads brought the events."""
        return int(self.read[-1]) + 1 if len(self.read) else 0


class View:
    """The records by question, and the metrics that several causes need."""

    def __init__(self, records: Sequence[Record], client: Client | None) -> None:
        self.records = sorted(records, key=lambda record: record.index)
        self.table = table_of(self.records)
        self._rows = {id(record): row for row, record in enumerate(self.records)}
        self.good = [record for record in self.records if record.status is Status.SUCCESS]
        self.empty = [self.records[row] for row in np.flatnonzero(self.table.empty)]
        self.client = client
        one_by_one = [r for r in self.of(NEW_CONNECTION, REUSED_CONNECTION) if r is not self.first]
        # TTFT of short questions asked alone: what all else is compared with.
        ttft = self.metric("ttft_from_send_ms")
        self.base = series(one_by_one, ttft) or series(self.of(NEW_CONNECTION, REUSED_CONNECTION), ttft)

    def metric(self, name: str) -> Figure:
        """Return what gives a metric of a record, None where it was not measured."""
        return self._figure(self.table.metric(name))

    def time_between(self, start: str, end: str) -> Figure:
        """Return what gives the ms between two stamps of a record."""
        return self._figure(between(start, end)(self.table))

    def _figure(self, column: Column) -> Figure:
        values = column.tolist()

        def figure(record: Record) -> float | None:
            value: float = values[self._rows[id(record)]]
            return None if isnan(value) else value

        return figure

    def median_of(self, name: str) -> Figure:
        """Return what gives the median of a record's values of a pooled metric."""
        values, of = self.table.pooled(name)

        def middle(record: Record) -> float | None:
            mine = values[of == self._rows[id(record)]]
            return float(np.median(mine)) if len(mine) else None

        return middle

    def stream(self, record: Record) -> Stream:
        """Return the content events of a record."""
        first = self.table.firsts("events")
        row = self._rows[id(record)]
        events = slice(first[row], first[row + 1])
        together = self.table.together[events]
        return Stream(self.table.at[events], self.table.tokens[events], np.cumsum(~together) - 1)

    @property
    def first(self) -> Record | None:
        """The very first request, where it succeeded: what was cold was cold for it."""
        begins = self.records[0] if self.records else None
        return begins if begins is not None and begins.status is Status.SUCCESS else None

    @property
    def fresh(self) -> list[Record]:
        """Those that made a connection of their own; failures too, whose connection was measured."""
        return [r for r in self.records if r.connection is not None and not r.connection.reused]

    def of(self, *stages: str) -> list[Record]:
        """Return the successes of these questions."""
        return [record for record in self.good if record.stage in stages]


def in_one_piece(view: View) -> bool:
    """Return whether long answers came all at once, though a stream was asked for."""
    long = [r for r in view.of(LONG_ANSWER) if len(view.stream(r).at_ns)]
    return bool(long) and sum(one_piece(view, record) for record in long) * 2 > len(long)


def one_piece(view: View, record: Record) -> bool:
    """Return whether all of a long answer came in one read, or in one event of many tokens."""
    stream = view.stream(record)
    tokens = record.usage.output_tokens if record.usage else None
    many = len(stream.at_ns) >= FEWEST_EVENTS or (tokens is not None and tokens >= FEWEST_EVENTS)
    return many and stream.reads == 1
