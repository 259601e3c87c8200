"""Make tables: from records, and from run files.

One walk over the records takes out their scalars and joins their lists as bytes; from there on everything is
numpy, and nothing is done in Python for an event. Records are taken in batches, so that a long run file
never lies in memory as objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from msgspec.structs import astuple

from lens.arrays import functions
from lens.arrays.dispatch import arange_like, np
from lens.errors import ConfigError
from lens.history.lean import MISSING
from lens.history.read import RunStream
from lens.metrics.buffer import Buffer, UsualBuffer, constant, gc_paused, return_large_blocks
from lens.metrics.column_buffers import DiskBuffer, buffer_of, small_column
from lens.metrics.columns import SLICE, Codes, Column, Lists, Run
from lens.metrics.joins import join_tables
from lens.metrics.packing import (
    EVENT_COLUMNS,
    TCP_COLUMNS,
    content_lists,
    event_columns,
    narrow,
    tcp_rows,
    transposed,
    unpacked,
    wall_times,
)
from lens.metrics.session_columns import session_columns, session_ids
from lens.metrics.table import Table
from lens.metrics.target_names import named_targets
from lens.metrics.token_counts import tokens_of_events
from lens.model import CONTENT, OUTPUT, Record, RunInfo, Signal, Stamps, Status, Usage, resends_of
from lens.pricing import PriceBook
from lens.pricing.run_prices import unpacked_prices

OnProgress = Callable[[float], None]
# Records whose columns are made at once: many enough to forget numpy's overhead, few enough for the caches.
BATCH = 2048
_STAMPS = Stamps.__struct_fields__
_USAGE = Usage.__struct_fields__
_NAN = float("nan")
_NO_USAGE = (_NAN,) * len(_USAGE)
# Fields of a record that have few different values; columns of these names.
_CODED = (
    "provider", "model", "served_model", "category", "stage", "finish_reason", "prompt_id", "content_encoding",
    "reported_cost_usd", "http_status", "billing", "token_source",
)  # fmt: skip
MOST_LISTED = 2000  # events of a request that is short
LONGEST_ID = 64  # bytes of a request's id that are kept


class TableBuilder:
    """Takes records one by one or many at once, and makes the table of them."""

    def __init__(self, *, few: bool = False, on_disk: bool = False) -> None:
        """few: make arrays on lists; only of Records. on_disk: columns of the events of a long run lie on disk."""
        self.warnings: list[str] = []
        self._waiting: list[Any] = []
        self._parts: dict[str, Buffer | UsualBuffer | DiskBuffer] = {}
        self._values: dict[str, dict[Any, int]] = {}
        self._places = array("q")  # what each record is fetched by
        self._taken = 0
        self._left_out: set[int] = set()  # numbers of records whose events are no columns of one length
        self._few, self._on_disk = few, on_disk
        self._array: Callable[..., Any] = functions.array if few else np.array

    def add(self, record: Any, place: int | None = None) -> None:
        """Take a Record, or one of history.lean. place: what to `fetch` it by; None: its number."""
        self._places.append(len(self._places) if place is None else place)
        self._waiting.append(record)
        if len(self._waiting) >= BATCH:
            self._take()

    def extend(self, records: Iterable[Any]) -> None:
        """Add several records."""
        for record in records:
            self.add(record)

    def table(self, run: Run, book: PriceBook | None = None) -> Table:
        """Return the table of all that was taken."""
        self._take()
        if odd := len(self._left_out):
            self.warnings.append(f"{odd} requests have event columns of different lengths and were left out")
        try:
            unpacked_prices(run.info.prices if run.info is not None else {})
        except ConfigError as error:
            self.warnings.append(f"{error}: left out, costs are those of today's prices")
        columns: dict[str, Any] = {}
        lists: dict[str, dict[str, Column]] = {"events": {}, "timing": {}, "calls": {}, "after": {}}
        if not self._parts:
            self._put_empty()
        for name in list(self._parts):
            joined: Any = self._parts.pop(name).array()
            head, _, field = name.partition(".")
            if field:
                lists[head][field] = joined
            elif name in self._values:
                codes = joined if len(joined) < BATCH else constant(narrow(joined))
                columns[name] = Codes(codes, tuple(self._values[name]))
            else:
                columns[name] = small_column(name, joined)
        columns["run"] = np.zeros_like(columns["start"], dtype=np.int16)
        columns["row"] = small_column("row", self._array(self._kept_places(), dtype=np.int64))
        made = {name: Lists.of_sizes(fields.pop("sizes"), fields) for name, fields in lists.items()}
        columns["timing_sources"] = Codes(self._array([], dtype=np.int32), tuple(self._values.get("timing.source", ())))
        columns["target"] = named_targets(columns, [run], self._array)
        return Table(columns, made, [run], book=book)

    def _kept_places(self) -> Sequence[int]:
        """Return what each record of the table is fetched by."""
        left = self._left_out
        return [place for number, place in enumerate(self._places) if number not in left] if left else self._places

    def _take(self) -> None:
        """Make columns of the records that wait."""
        if not self._waiting:
            return
        records, self._waiting = self._waiting, []
        events, sizes = event_columns(records, few=self._few)
        begin, self._taken = self._taken, self._taken + len(records)
        if begin < SLICE <= self._taken:
            return_large_blocks()
        if events is None:
            lengths = [{len(self._unpacked(getattr(one.events, name))) for name in EVENT_COLUMNS} for one in records]
            whole = [len(one) == 1 for one in lengths]
            self._left_out |= {begin + place for place, sound in enumerate(whole) if not sound}
            records = [record for record, sound in zip(records, whole, strict=True) if sound]
            events, sizes = event_columns(records, few=self._few)
            if not records or events is None:
                return
        usage = self._scalars(records)
        self._code(records)
        self._timings(records)
        self._contents(records)
        self._events(records, events, sizes, usage)

    def _put_empty(self) -> None:
        """Make the columns of no records: those of one that is taken away."""
        nothing = Record(
            request_id="",
            index=0,
            provider="",
            model="",
            timestamp="",
            stamps=Stamps(start=0),
            status=Status.SUCCESS,
            category="success",
        )
        self._waiting = [nothing]
        self._take()
        self._parts = {name: Buffer(part.array().dtype) for name, part in self._parts.items()}
        self._values = {name: {} for name in self._values}

    def _put(self, name: str, column: Column) -> None:
        part = self._parts.get(name)
        if part is None:
            part = self._parts[name] = buffer_of(name, on_disk=self._on_disk)
        part.append(column)

    def _put_codes(self, name: str, values: Sequence[Any]) -> None:
        """Put a column of few different values; None is none."""
        known = self._values.setdefault(name, {})
        one = values[0]
        try:
            if values.count(one) == len(values):
                codes = [-1 if one is None else known[one]] * len(values)
            else:
                codes = [-1 if value is None else known[value] for value in values]
        except KeyError:
            codes = [-1 if value is None else known.setdefault(value, len(known)) for value in values]
        # Of many requests in as few bytes as tell the values apart.
        kind = np.int32 if self._taken < BATCH else np.min_scalar_type(-1 - len(known))
        self._put(name, self._column(codes, kind))

    def _column(self, values: Sequence[Any], kind: Any) -> Column:
        """Return values as an array of this kind, at once where all are the same."""
        if not self._few and values.count(values[0]) == len(values):
            same: Column = np.full(len(values), values[0], dtype=kind)
            return same
        column: Column = self._array(values, dtype=kind)
        return column

    def _scalars(self, records: Sequence[Any]) -> dict[str, Column]:
        """Put the columns of one number a request; return the usage."""
        full = any(issubclass(kind, Record) for kind in set(map(type, records)))
        absolute = transposed([astuple(record.stamps) for record in records], MISSING, few=self._few, holes=full)
        self._put("start", absolute[0])
        column: Column
        for name, column in zip(_STAMPS, absolute, strict=True):
            if name != "start":
                self._put(name, np.where(column == MISSING, MISSING, column - absolute[0]))
        counts = [_NO_USAGE if record.usage is None else astuple(record.usage) for record in records]
        usage = transposed(counts, _NAN, few=self._few, holes=full)
        by_name = dict(zip(_USAGE, usage, strict=True))
        for name, column in by_name.items():
            self._put(name, column)
        connections = [record.connection for record in records]
        tcp = transposed(tcp_rows(connections), _NAN, few=self._few)
        for name, column in zip(TCP_COLUMNS, tcp, strict=True):
            self._put(name, column)
        self._put("index", self._array([record.index for record in records], dtype=np.int64))
        targets = [record.target for record in records]
        told = [one if isinstance(one, int) else None for one in targets]  # an index, up to layout 2 of files
        index = [record.target_index if one is None else one for record, one in zip(records, told, strict=True)]
        self._put("target_index", self._column(index, np.int32))
        self._put_codes("target", [one if isinstance(one, str) and one else None for one in targets])
        self._put("tries", self._column([len(record.tries) for record in records], np.int32))
        self._put("wall_us", self._array(wall_times([record.timestamp for record in records]), dtype=np.int64))
        self._put("resent", self._column([resends_of(record) for record in records], np.int32))
        hidden = [record.hidden_thinking_ns for record in records]
        self._put("hidden_thinking", self._column([MISSING if one is None else one for one in hidden], np.int64))
        self._put("kernel", self._column([record.stamp_kind == "kernel" for record in records], bool))
        for name in ("stream", "clock_stepped", "warmup"):
            self._put(name, self._column([getattr(record, name) for record in records], bool))
        ids = [record.request_id.encode(errors="replace")[:LONGEST_ID] for record in records]
        self._put("request_id", self._array(ids, dtype=bytes))
        return by_name

    def _unpacked(self, column: Any) -> Column:
        return self._array(column) if self._few else unpacked(column)

    def _code(self, records: Sequence[Any]) -> None:
        for name in _CODED:
            self._put_codes(name, [*map(attrgetter(name), records)])
        self._put_codes("status", [record.status._value_ for record in records])
        self._put_codes("failure", [record.failure and record.failure.message for record in records])
        connections = [record.connection for record in records]
        for name in ("reused", "peer", "tls_resumed"):
            self._put_codes(name, [None if one is None else getattr(one, name) for one in connections])
        self._put_codes("cache_miss", [record.cache_miss and record.cache_miss.reason for record in records])
        self._put_codes("session_id", session_ids(records))
        for name, column in session_columns(records, self._array).items():
            self._put(name, column)
        labels = [record.labels for record in records]
        self._put_codes("labels", [tuple(sorted(one.items())) if one else () for one in labels])

    def _timings(self, records: Sequence[Any]) -> None:
        """Add the times that servers told, each under its source."""
        told = [record.server_timing_ms for record in records]
        self._put("timing.sizes", self._array([len(one) for one in told], dtype=np.int32))
        known = self._values.setdefault("timing.source", {})
        names = [known.setdefault(name, len(known)) for one in told if one for name in one]
        self._put("timing.source", self._array(names, dtype=np.int32))
        self._put("timing.ms", self._array([took for one in told if one for took in one.values()], dtype=np.float64))

    def _contents(self, records: Sequence[Any]) -> None:
        """Add the tool calls, how far the text had come, and whether the answer is what was expected."""
        for name, times in content_lists(records).items():
            self._put(name, self._array(times, dtype=np.int32 if name == "calls.sizes" else np.int64))
        judged = [record.judged for record in records]
        self._put("valid", self._array([_NAN if one is None else float(one.valid) for one in judged], dtype=np.float64))
        self._put_codes("invalid", [None if one is None else one.reason for one in judged])

    def _events(
        self, records: Sequence[Any], columns: dict[str, Column], sizes: Column, usage: dict[str, Column]
    ) -> None:
        """Add the content events, how many tokens each brought, and who says so."""
        n = len(records)
        signals, chars = columns["signals"], columns["chars"]
        content = np.flatnonzero(((signals & int(CONTENT)) != 0) & (chars > 0))
        of = np.repeat(arange_like(sizes), sizes)[content]
        kinds = signals[content]
        output, reasoning = (kinds & int(OUTPUT)) != 0, (kinds & int(Signal.REASONING)) != 0
        tool = (kinds & int(Signal.TOOL)) != 0
        in_each = np.bincount(of, minlength=n)
        told = {
            row: self._unpacked(record.tokens_per_event)
            for row, record in enumerate(records)
            if record.tokens_per_event is not None
        }
        counted = tokens_of_events(
            chars=chars[content],
            of=of,
            n=in_each,
            output_tokens=usage["output_tokens"],
            reasoning_tokens=usage["reasoning_tokens"],
            thought_aloud=np.bincount(of[reasoning], minlength=n) > 0,
            told=told,
        )
        reads = columns["read"][content]
        together = np.zeros_like(of, dtype=bool)
        together[1:] = (reads[1:] == reads[:-1]) & (of[1:] == of[:-1])
        self._put("events.sizes", narrow(in_each))
        self._put("events.at", narrow(columns["arrived_ns"][content]))
        self._put("events.lag", narrow(columns["lag_ns"][content]))
        self._put("events.kind", (output + 2 * reasoning + 4 * tool).astype(np.uint8))
        self._put("events.together", together)
        self._put("events.tokens", narrow(counted.tokens))
        self._put("streamed", counted.streamed)
        self._put("evidence", counted.evidence.astype(np.int8))


def table_of(
    records: Iterable[Any],
    info: RunInfo | None = None,
    book: PriceBook | None = None,
    *,
    name: str = "",
    few: bool = False,
) -> Table:
    """Return the table of records that are in memory.

    few: on lists, for Records of so few events that loading numpy would take longer than using it saves.
    """
    known = records if isinstance(records, Sequence) else list(records)
    builder = TableBuilder(few=few)
    builder.extend(known)
    return builder.table(Run(name, info, partial(map, known.__getitem__)), book)


def is_short(record: Record) -> bool:
    """Return whether a request has so few events that its figures are made on lists sooner than numpy is loaded."""
    return len(record.events.arrived_ns) <= MOST_LISTED


def read_table(
    path: Path, book: PriceBook | None = None, *, name: str | None = None, on_progress: OnProgress | None = None
) -> tuple[Table, tuple[str, ...]]:
    """Return the table of a run file of any layout, and warnings of what of it cannot be read.

    on_progress: is told now and then what share of the file was read.

    Raises:
        FileError: it cannot be read, is not a run file, or a newer version wrote it.
    """
    stream = RunStream(path)
    table, warnings = table_of_stream(stream, book, name=path.name if name is None else name, on_progress=on_progress)
    return table, (*stream.warnings, *warnings)


def table_of_stream(
    stream: RunStream, book: PriceBook | None = None, *, name: str = "", on_progress: OnProgress | None = None
) -> tuple[Table, list[str]]:
    """Return the table of what a run file still holds, and what of it was left out.

    A file that holds several runs, one behind the other, is read as several.
    """
    builder = TableBuilder()
    of, done, warnings = stream.info, [], []
    with gc_paused():
        for number, (place, record) in enumerate(stream.lean(), 1):
            if stream.info is not of:
                if of is not None and stream.info is not None and of.run_id != stream.info.run_id and number > 1:
                    done.append(builder.table(Run(name, of, stream.fetch), book))
                    warnings += builder.warnings
                    builder = TableBuilder()
                of = stream.info
            builder.add(record, place)
            if on_progress is not None and not number % BATCH:
                on_progress(stream.share)
    table = builder.table(Run(name, stream.info_with_end, stream.fetch), book)
    return join_tables([*done, table]) if done else table, [*warnings, *builder.warnings]


def read_tables(
    paths: Sequence[Path], book: PriceBook | None = None, *, on_progress: OnProgress | None = None
) -> tuple[Table, tuple[str, ...]]:
    """Return run files as one table, and warnings that name the file.

    Stamps of different runs are of different clocks, so the requests are in the order of the wall's. A request
    that stands in two files, as in a journal and what it became, is taken once.

    Raises:
        FileError: one cannot be read or is not a run file.
    """
    names = [path.name for path in paths]
    unique = len(set(names)) == len(names)
    tables, warnings = [], []
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        called = name if unique else str(path)
        tell = None if on_progress is None else partial(_tell_of_several, on_progress, number, len(paths))
        table, says = read_table(path, book, name=called, on_progress=tell)
        tables.append(table)
        warnings += [type(one)(f"{called}: {one}") for one in says]
    if len(tables) == 1:
        return tables[0], tuple(warnings)
    whole = join_tables(tables)
    _, first = np.unique(whole.column("request_id"), return_index=True)
    twice = len(whole) - len(first)
    if twice:
        many = f"{twice} request{'s stand' if twice > 1 else ' stands'}"
        warnings.append(f"{many} in more than one of the files: taken once")
        whole = whole.take(np.sort(first))
    return whole.started(), tuple(warnings)


def _tell_of_several(on_progress: OnProgress, number: int, files: int, share: float) -> None:
    on_progress((number + share) / files)
