"""The columns of some requests: values, lists of values, and the times and tokens of content events.

A subset of the requests has columns too; they are gathered from its parent's when they are asked for, so
that work on many subsets is linear in their requests. The record itself is read again from where it lies
only when it is asked for.
Times are int64 ns after Stamps.start, MISSING where absent; counts are float64, NaN where absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any, NamedTuple, Self

import msgspec

from lens.arrays.dispatch import arange_like, np
from lens.history.lean import MISSING
from lens.metrics.buffer import Packed
from lens.metrics.column_buffers import forget
from lens.metrics.lists import Codes, Column, Lists, OutputPace, Rows, as_slice
from lens.model import Record, RunInfo

__all__ = ["EPOCH", "SLICE", "Codes", "Column", "Columns", "Lists", "Rows", "Run", "wall_time"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Requests that are evaluated at once: many enough to forget numpy's overhead, few enough for the caches.
SLICE = 8192


class Run(NamedTuple):
    """One run of a table: where it is from, and how records of it are read again."""

    name: str
    info: RunInfo | None
    fetch: Callable[[Iterable[int]], Iterator[Record]]  # by their rows in the run


class Columns:
    """Requests, a column each."""

    def __init__(
        self,
        columns: dict[str, Any],
        lists: dict[str, Lists],
        runs: Sequence[Run],
        *,
        parent: Self | None = None,
        rows: Rows | None = None,
    ) -> None:
        self._columns, self._lists = columns, lists
        self._parent, self._rows = parent, rows
        self._places: dict[str, Column | slice] = {}
        self.runs = tuple(runs)
        self.whole = parent is None  # of a session all turns are in here, or nowhere

    def __len__(self) -> int:
        rows = self._rows
        if rows is None:
            return len(self._columns["start"])
        return rows.stop - rows.start if isinstance(rows, slice) else len(rows)

    # Columns as they were recorded.

    def column(self, name: str) -> Column:
        """Return a column of one value a request, by its name in `columns.COLUMNS`.

        Raises:
            KeyError: no column of that name.
        """
        found = self._stored(name)
        column: Column = found.dense() if isinstance(found, Packed) else found
        return column

    def read_only(self, name: str) -> Column:
        """Return a column that nobody may write to; it takes no memory where all values are one."""
        found = self._stored(name)
        return found.read_only() if isinstance(found, Packed) else found

    def _stored(self, name: str) -> Column | Packed:
        """Return a column as it lies in memory; of a subset it costs no more than its rows."""
        found = self._columns.get(name)
        if found is None:
            if self._parent is None or self._rows is None:
                raise KeyError(name)
            whole = self._parent._stored(name)
            found = whole.take(self._rows) if isinstance(whole, Packed) else whole[self._rows]
            self._columns[name] = found
        stored: Column | Packed = found
        return stored

    def codes(self, name: str) -> Codes:
        """Return a column of few different values, by the name of the record's field."""
        found = self._columns.get(name)
        if found is None:
            if self._parent is None or self._rows is None:
                raise KeyError(name)
            whole = self._parent.codes(name)
            rows = self._rows if len(whole.codes) else slice(0, 0)  # of names alone there are no codes
            found = self._columns[name] = Codes(whole.codes[rows], whole.values)
        codes: Codes = found
        return codes

    def listed(self, name: str, column: str) -> Column:
        """Return a column of several values a request: ("events", "at"), ("timing", "ms")."""
        lists = self._list(name)
        found = lists.columns.get(column)
        if found is None:
            assert self._parent is not None
            found = lists.columns[column] = self._parent.listed(name, column)[self._places_of(name)]
        return found

    def firsts(self, name: str) -> Column:
        """Return where each request's values of a list begin; one more than requests."""
        return self._list(name).first

    def _list(self, name: str) -> Lists:
        found = self._lists.get(name)
        if found is None:
            assert self._parent is not None
            assert self._rows is not None
            found = self._lists[name] = Lists(self._parent._list(name).first_of(self._rows), {})
        return found

    def _places_of(self, name: str) -> Column | slice:
        """Return where the values of a list are in the parent's."""
        found = self._places.get(name)
        if found is None:
            assert self._parent is not None
            assert self._rows is not None
            found = self._places[name] = self._parent._list(name).places_of(self._rows)
        return found

    def kinds(self) -> dict[str, type]:
        """Return the names of all columns of one value a request, and what they are: Codes, or an array."""
        if self._parent is not None:
            return self._parent.kinds()
        return {name: Codes if isinstance(column, Codes) else np.ndarray for name, column in self._columns.items()}

    def listed_names(self, name: str) -> tuple[str, ...]:
        """Return the names of the columns of a list."""
        return tuple(self._lists[name].columns) if self._parent is None else self._parent.listed_names(name)

    def stamp(self, name: str) -> Column:
        """Return a stamp of model.Stamps as ns after the start, MISSING where absent; `start` itself is absolute."""
        return self.column(name)

    def usage(self, name: str) -> Column:
        """Return a field of model.Usage as float64, NaN where absent."""
        return self.column(name)

    @cached_property
    def success(self) -> Column:
        return self.codes("status").equal("Success")

    @property
    def warmup(self) -> Column:
        return self.column("warmup")

    @property
    def kernel(self) -> Column:
        """Which requests have the kernel's stamps."""
        return self.column("kernel")

    @property
    def info(self) -> RunInfo | None:
        """The header of the only run; None where there is none, or where there are several."""
        return self.runs[0].info if len(self.runs) == 1 else None

    @property
    def sources(self) -> tuple[str, ...]:
        """The names under which servers told times; ("timing", "source") holds their numbers."""
        return self.codes("timing_sources").values

    # Content events: those that brought text, reasoning or a tool call.

    @cached_property
    def n(self) -> Column:
        """How many content events each request has."""
        return self._list("events").sizes

    @property
    def first(self) -> Column:
        """The place of each request's first content event, where it has one."""
        return self._list("events").first[:-1]

    @cached_property
    def of(self) -> Column:
        """The request of each content event."""
        found: Column = np.repeat(arange_like(self.n), self.n)
        return found

    @cached_property
    def at(self) -> Column:
        """Arrival of each content event, ns after the start of its request."""
        return self.listed("events", "at").astype(np.int64, copy=False)

    @property
    def lag(self) -> Column:
        """How late this client read each content event, ns."""
        return self.listed("events", "lag")

    @cached_property
    def output(self) -> Column:
        """Which content events are visible output, not thinking."""
        return np.asarray((self.listed("events", "kind") & 1) != 0)

    @cached_property
    def reasoning(self) -> Column:
        return np.asarray((self.listed("events", "kind") & 2) != 0)

    @cached_property
    def tokens(self) -> Column:
        """Tokens that each content event brought; see the column `evidence` for who says so."""
        return self.listed("events", "tokens").astype(np.int64, copy=False)

    @property
    def together(self) -> Column:
        """Which content events came in the same read as the one before."""
        return self.listed("events", "together")

    def first_of(self, which: Column) -> Column:
        """Return of each request the arrival of its first content event of this kind; MISSING where there is none."""
        found = np.full_like(self.n, MISSING, dtype=np.int64)
        places = np.flatnonzero(which)[::-1]  # the last written wins, which is the first event
        found[self.of[places]] = self.at[places]
        return found

    @cached_property
    def first_at(self) -> Column:
        """Arrival of each request's first content event; MISSING where there is none."""
        if self._parent is not None and self._rows is not None:
            return self._parent.first_at[self._rows]
        return self._edge(self.first)

    @cached_property
    def last_at(self) -> Column:
        """Arrival of each request's last content event; MISSING where there is none."""
        if self._parent is not None and self._rows is not None:
            return self._parent.last_at[self._rows]
        return self._edge(self.first + self.n - 1)

    def _edge(self, places: Column) -> Column:
        found = np.full_like(self.n, MISSING, dtype=np.int64)
        some = self.n > 0
        found[some] = self.listed("events", "at")[places[some]]
        self.forget_events()
        return found

    @cached_property
    def gaps(self) -> tuple[Column, Column]:
        """ns between successive content events of one request; and the request of each gap."""
        inner = self.of[1:] == self.of[:-1]
        return np.diff(self.at)[inner], self.of[1:][inner]

    @cached_property
    def token_gaps(self) -> tuple[Column, Column, Column]:
        """Gaps before the content events that brought whole tokens, how many tokens, and the request of each."""
        brings = np.flatnonzero(self.tokens > 0)
        of, at = self.of[brings], self.at[brings]
        inner = of[1:] == of[:-1]
        return np.diff(at)[inner], self.tokens[brings][1:][inner], of[1:][inner]

    @cached_property
    def output_pace(self) -> OutputPace | None:
        """How the visible output came after its first event; None where there is none."""
        at, tokens, of = self.at[self.output], self.tokens[self.output], self.of[self.output]
        begins = np.flatnonzero(np.diff(of, prepend=-1))
        if not len(begins):
            return None
        n = np.diff(begins, append=len(of))
        behind = np.cumsum(tokens) - tokens  # tokens before this event, of all requests
        after, before = at - np.repeat(at[begins], n), behind - np.repeat(behind[begins], n)
        return OutputPace(after, before, tokens, begins, of[begins])

    # Parts.

    def slices(self, most: int = SLICE) -> Iterator[Self]:
        """Yield this table in slices of at most so many requests, in order; itself where it is small."""
        if len(self) <= most:
            yield self
            return
        of: Self = self
        rows: Column | None = None
        if self._parent is not None and self._rows is not None and not (self.whole or isinstance(self._rows, slice)):
            # Each slice is gathered by itself from where its rows lie, so that the lists of all never lie together.
            of, rows = self._parent, self._rows
        for start in range(0, len(self), most):
            part = slice(start, min(start + most, len(self)))
            yield of.take(part if rows is None else rows[part])
            self.forget_events()

    def forget_events(self) -> None:
        """Give back the memory that holds events that lie on disk."""
        if self._parent is not None:
            self._parent.forget_events()
        elif "events" in self._lists:
            forget(self._lists["events"].columns.values())

    def take(self, which: Rows) -> Self:
        """Return the table of some requests: where a bool column is true, or those of row numbers, in their order."""
        rows = np.flatnonzero(which) if not isinstance(which, slice) and which.dtype == np.bool_ else which
        return type(self)({}, {}, self.runs, parent=self, rows=as_slice(rows))

    @property
    def interrupted(self) -> Column:
        """Which requests were cut by the end of their run, as bool: they neither succeeded nor failed."""
        return self.codes("category").equal("interrupted")

    def started(self) -> Self:
        """Return the requests in the order in which they started, by the wall clock where there are several runs."""
        order = np.argsort(self.column("wall_us" if len(self.runs) > 1 else "start"), kind="stable")
        return self if bool((order == arange_like(order)).all()) else self.take(order)

    def by_run(self) -> Iterator[tuple[Run, Self]]:
        """Yield each run that has requests here, and them."""
        number = self.column("run")
        for one, run in enumerate(self.runs):
            rows = np.flatnonzero(number == one) if len(self.runs) > 1 else arange_like(number)
            if len(rows):
                yield run, self.take(rows) if len(rows) < len(self) else self

    def grouped(self, *keys: Column) -> list[Column]:
        """Return the rows of each group of requests whose values of all these int columns are equal.

        Groups come in the order of their first request, rows in their own.
        """
        if not len(self):
            return []
        whole = np.zeros_like(self.column("start"), dtype=np.int64)
        for key in keys:  # one key at a time: far quicker than rows of several
            if (key != key[0]).any():
                of = np.unique(key, return_inverse=True)[1]
                whole = np.unique(whole * (int(of.max()) + 1) + of, return_inverse=True)[1]
        if not whole.any():
            return [arange_like(whole)]
        order = np.argsort(whole, kind="stable")
        begins = np.flatnonzero(np.diff(whole[order], prepend=-1))
        groups = np.split(order, begins[1:])
        return sorted(groups, key=lambda rows: int(rows[0]))

    # Records.

    def record(self, row: int) -> Record:
        """Return a request's whole record, read again from where it lies.

        Raises:
            FileError: the file cannot be read any more.
        """
        return next(self.take(slice(row, row + 1)).records())

    def records(self) -> Iterator[Record]:
        """Yield every record, one at a time, read again from where it lies.

        Raises:
            FileError: the file cannot be read any more.
        """
        number, row = self.column("run"), self.column("row")
        fetched = [run.fetch(row[number == place].tolist()) for place, run in enumerate(self.runs)]
        for run, warmup in zip(number.tolist(), self.warmup.tolist(), strict=True):
            record = next(fetched[run])
            yield record if record.warmup == warmup else msgspec.structs.replace(record, warmup=warmup)

    def with_warmup(self, warmup: Column) -> Self:
        """Return the same requests with other marks of warm-up."""
        made = self.take(slice(0, len(self)))
        made._columns["warmup"] = warmup
        made.whole = True
        return made

    def with_records(self, change: Callable[[Record], Record]) -> Self:
        """Return the same requests, whose records are what `change` makes of them."""
        made = self.take(slice(0, len(self)))
        made.runs = tuple([run._replace(fetch=partial(_changed, change, run.fetch)) for run in self.runs])
        return made


def _changed(
    change: Callable[[Record], Record], fetch: Callable[[Iterable[int]], Iterator[Record]], places: Iterable[int]
) -> Iterator[Record]:
    return map(change, fetch(places))


def wall_time(wall_us: int) -> datetime | None:
    """Return a wall-clock time of a table as a datetime in UTC; None where no clock can say it."""
    try:
        return EPOCH + timedelta(microseconds=wall_us)
    except OverflowError:
        return None
