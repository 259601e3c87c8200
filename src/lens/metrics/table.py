"""A run as a table: its columns, and every metric of `definitions` evaluated on them.

What summaries, gates, comparisons, trends, exports and pages are computed from. Metrics are evaluated a slice
at a time, so that a million requests need little more memory than their columns. A single request is a table
of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

from lens.arrays.dispatch import array_like, np
from lens.errors import ConfigError
from lens.metrics.buffer import Buffer
from lens.metrics.columns import SLICE, Column, Columns, Lists, Rows, Run, wall_time
from lens.metrics.definitions import Metric, metric_named
from lens.metrics.sessions import Sessions
from lens.model import Usage
from lens.pricing import PriceBook
from lens.pricing.bill import Bill, bill_of
from lens.pricing.book import PriceKey
from lens.pricing.columns import Costs, PriceKeys, cost_columns
from lens.pricing.run_prices import RunPrices, unpacked_prices

# Bytes of evaluated columns that a table keeps; the oldest go first and are evaluated again when asked for.
KEPT_BYTES = 32 << 20
# Of what a slice holds, and a bit, room for the values of all is made.
ROOM = 1.1
MINUTE_US = 60 * 1_000_000


class Pooled(NamedTuple):
    """Values of a metric that has many a request, in the metric's unit."""

    values: Column  # float64
    of: Column  # int: the request of each, ascending


class Table(Columns):
    """Requests and their figures, a column each. Made by `builder`; see the module."""

    def __init__(
        self,
        columns: dict[str, Any],
        lists: dict[str, Lists],
        runs: Sequence[Run],
        *,
        parent: Self | None = None,
        rows: Rows | None = None,
        book: PriceBook | None = None,
    ) -> None:
        """book: the prices of costs; of a subset those of its parent."""
        super().__init__(columns, lists, runs, parent=parent, rows=rows)
        self.book: PriceBook = book or (parent.book if parent is not None else PriceBook())
        self._kept: dict[str, Column] = {}
        self._with_interrupted: Self | None = None

    @property
    def empty(self) -> Column:
        """Whether a stream succeeded and brought no text, reasoning or tool call, as bool."""
        found: Column = self.success & (self.n == 0) & self.column("stream")
        return found

    @property
    def answered(self) -> Column:
        """Whether a request succeeded and its answer has content, as bool: by these it is judged what is faster."""
        found: Column = self.success & ~self.empty
        return found

    @property
    def answers(self) -> Self:
        """The requests whose answer has content."""
        answered = self.answered
        return self if bool(answered.all()) else self.take(answered)

    def measured(self, *, interrupted: bool = False) -> Self:
        """Return the requests of the measured window: without those of warm-up and cool-down, and those cut by its end.

        interrupted: with the latter.
        """
        rows = np.flatnonzero(~self.warmup if interrupted else ~(self.warmup | self.interrupted))
        if len(rows) == len(self):
            return self
        made = self.take(rows)
        if not interrupted and (self.interrupted & ~self.warmup).any():
            made._with_interrupted = self.measured(interrupted=True)
        return made

    @property
    def with_interrupted(self) -> Self:
        """These requests and those that the end of the run cut, where `measured` left those out: rates are of both."""
        return self if self._with_interrupted is None else self._with_interrupted

    def metric(self, name: str) -> Column:
        """Return a metric's value of each request as float64, NaN where it was not measured; of a pooled one the mean.

        Also of requests that may not speak for it; see `counted`.

        Raises:
            KeyError: no metric of that name.
        """
        metric = metric_named(name)
        found = self._known(metric)
        if found is None:
            (found,) = self._evaluated([metric]) if metric.by_slice else [_per_request(metric, self)]
        self._keep(metric.name, found)
        return found

    def evaluate_ahead(self, metrics: Sequence[Metric]) -> Iterator[Metric]:
        """Yield metrics in their order. Those of one number a request are then kept: several are evaluated slice by
        slice together, as many as are kept, so that what they have in common is made once.
        """
        together = max(KEPT_BYTES // (max(len(self), 1) * 8), 1)
        for place, metric in enumerate(metrics):
            if len(self) > SLICE and _goes_ahead(metric) and self._known(metric) is None:
                rest = [one for one in metrics[place:] if _goes_ahead(one) and self._known(one) is None][:together]
                for one, found in zip(rest, self._evaluated(rest), strict=True):
                    self._keep(one.name, found)
            yield metric

    def _known(self, metric: Metric) -> Column | None:
        """Return a metric that was evaluated already, of these requests or of those that they are a part of."""
        found = self._kept.get(metric.name)
        if found is None and self._parent is not None and self._rows is not None:
            kept = self._parent._kept.get(metric.name)
            found = kept[self._rows] if kept is not None else None
        return found

    def _evaluated(self, metrics: Sequence[Metric]) -> list[Column]:
        """Return metrics of each request, evaluated a slice at a time."""
        if len(self) <= SLICE:
            return [_per_request(metric, self) for metric in metrics]
        found: list[Column] = [np.empty(len(self)) for _ in metrics]
        at = 0
        for part in self.slices():
            for column, metric in zip(found, metrics, strict=True):
                column[at : at + len(part)] = _per_request(metric, part)
            at += len(part)
        return found

    def _keep(self, name: str, column: Column) -> None:
        self._kept[name] = column
        while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > KEPT_BYTES:
            del self._kept[next(iter(self._kept))]

    def counted(self, name: str) -> Column:
        """Return the metric, NaN also for requests that failed before it was complete: they may not speak for it."""
        metric = metric_named(name)
        column = self.metric(name)
        return column if metric.partial else np.where(self.success, column, np.nan)

    def pooled(self, name: str) -> Pooled:
        """Return all values of a metric, of the requests that may speak for it, in their order.

        Of a metric that is one number a request those that were measured.
        """
        metric = metric_named(name)
        if metric.pooled is None:
            column = self.counted(name)
            there = np.flatnonzero(~np.isnan(column))
            return Pooled(column[there], there)
        values, of = Buffer(np.float64), Buffer(np.int32)
        for some, whose in self._pooled(metric):
            values.append(some)
            of.append(whose)
            self._reserve(values, some)
            self._reserve(of, some)
        return Pooled(values.array(), of.array())

    def values(self, name: str) -> Column:
        """Return the same without the request of each; the array is the caller's own."""
        metric = metric_named(name)
        if metric.pooled is None:
            return self.pooled(name).values
        values = Buffer(np.float64)
        for some, _ in self._pooled(metric):
            values.append(some)
            self._reserve(values, some)
        return values.array()

    def pieces(self, name: str) -> Iterator[Column]:
        """Yield the same values a slice of requests at a time, so that they need not lie in memory together."""
        metric = metric_named(name)
        if metric.pooled is None:
            yield self.pooled(name).values
            return
        yield from (some for some, _ in self._pooled(metric))

    def _reserve(self, made: Buffer, some: Column) -> None:
        """Make room for the values of all slices, as many as there are in this one, which was put in."""
        if len(made) == len(some) and len(self) > SLICE:
            made.reserve(int(len(some) * len(self) / SLICE * ROOM))

    def _pooled(self, metric: Metric) -> Iterator[tuple[Column, Column]]:
        """Yield the values of a slice of requests at a time, and the request of each."""
        assert metric.pooled is not None
        at = 0
        for part in self.slices():
            values, of = metric.pooled(part)
            if not metric.partial:
                speak = part.success[of]
                if not speak.all():
                    values, of = values[speak], of[speak]
            yield values, (of + at).astype(np.int32)
            at += len(part)

    @property
    def has_sessions(self) -> bool:
        """Whether any request of the whole table is a turn of a session."""
        return bool(self.codes("session_id").values)

    @cached_property
    def sessions(self) -> Sessions:
        """The sessions of the whole table that this is a part of."""
        if self._parent is not None and not self.whole:
            return self._parent.sessions
        return Sessions(self)

    def of_whole(self, read: Callable[[Table], Column]) -> Column:
        """Return what is read of the whole table that this is a part of, of these requests."""
        if self._parent is not None and not self.whole:
            found: Column = self._parent.of_whole(read)[self._rows]
            return found
        return read(self)

    @cached_property
    def costs(self) -> Costs:
        """What each request cost, from the book."""
        return cost_columns(self.book, self._price_keys(), self._usage(), self.success)

    def bill(self) -> Bill:
        """Return the bill of the requests that succeeded, from the book."""
        return bill_of(self.book, self._price_keys(), self._usage(), self.success)

    def book_of(self, row: int) -> PriceBook:
        """Return the book of a request: with the prices that its run was given."""
        return self.book.of_run(_given(self.runs[int(self.column("run")[row])]))

    def _usage(self) -> dict[str, Column]:
        return {name: self.read_only(name) for name in Usage.__struct_fields__}

    @property
    def estimated(self) -> Column:
        """Whose tokens, in part at least, a tokenizer of ours counted, as bool."""
        sources = self.codes("token_source")
        told = ["estimated:" in str(value) for value in sources.values]
        guessed = array_like(sources.codes, [*told, False], dtype=bool)
        found: Column = guessed[sources.codes]
        return found

    def _price_keys(self) -> PriceKeys:
        """Return which requests have the same price: of one provider, model and billing, within one minute."""
        names = [self.codes(name) for name in ("provider", "model", "served_model", "billing")]
        minute = self.column("wall_us") // MINUTE_US
        given = [_given(run) for run in self.runs]
        runs = [self.column("run")] if any(given) else []
        groups = self.grouped(*[one.codes for one in names], minute, *runs)
        of = np.zeros_like(minute, dtype=np.int64)
        for number, rows in enumerate(groups):
            of[rows] = number
        places = [int(rows[0]) for rows in groups]
        keys = []
        for place in places:
            provider, model, served, billing = [
                one.values[code] if (code := one.codes[place]) >= 0 else None for one in names
            ]
            when, own = wall_time(int(minute[place]) * MINUTE_US), given[int(runs[0][place])] if runs else None
            keys.append(PriceKey(str(provider), str(model), served, when, billing, own))
        reported = self.codes("reported_cost_usd")
        return PriceKeys(
            of.reshape(-1),
            keys,
            {int(row): reported.values[reported.codes[row]] for row in np.flatnonzero(reported.codes >= 0)},
            self.estimated,
            self.column("resent"),
        )


def _per_request(metric: Metric, table: Table) -> Column:
    return np.asarray(metric.per_request(table), dtype=np.float64)


def _goes_ahead(metric: Metric) -> bool:
    return metric.by_slice and metric.pooled is None


def _given(run: Run) -> RunPrices | None:
    """Return the prices that a run was given; those that cannot be read were told when its file was."""
    try:
        return unpacked_prices(run.info.prices) if run.info is not None else None
    except ConfigError:
        return None
