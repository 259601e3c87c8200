"""Lists of numbers of many records as one column, in whatever form they lie in a file or in memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any

from msgspec.msgpack import Ext

from lens.arrays.dispatch import np
from lens.arrays.lists import ListArray
from lens.columns import COLUMN_CODES
from lens.history.lean import MISSING
from lens.metrics.columns import EPOCH, Column

CALL_COLUMNS = ("first", "ready", "deltas", "before", "inside")
MARK_COLUMNS = ("sentence", "line", "code_block", "usable")
EVENT_COLUMNS = ("arrived_ns", "lag_ns", "signals", "chars", "read")
_PACKED_TYPES = {number: f"<{code}" for number, code in COLUMN_CODES.items()}
_NAN = float("nan")
_NO_CALL = (MISSING,) * len(CALL_COLUMNS)
_NO_MARKS = (MISSING,) * len(MARK_COLUMNS)
TCP_COLUMNS = ("rtt_us", "min_rtt_us", "retransmits")  # the shortest round trip; segments sent again meanwhile
_NO_TCP = (_NAN, _NAN, _NAN)
_MICROSECOND = timedelta(microseconds=1)
TIMESTAMP = len("2025-11-07T18:30:00.000000Z")
_SECONDS = len("2025-11-07T18:30:")  # what stands before them
_DIGITS = (0, 1, 3, 4, 5, 6, 7, 8)  # of SS.ffffff
FEWEST_TIMESTAMPS = 64  # that are read at once


def wall_us(timestamp: str) -> int:
    """Return the time of day of a record's timestamp, as microseconds since 1970; MISSING where it is none."""
    try:
        when = datetime.fromisoformat(timestamp)
        return ((when if when.tzinfo else when.astimezone()) - EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return MISSING


def wall_times(timestamps: Sequence[str]) -> Sequence[int] | Column:
    """Return `wall_us` of many timestamps; of those that this program wrote, minute by minute."""
    text = "".join(timestamps)
    if len(timestamps) >= FEWEST_TIMESTAMPS and len(text) == TIMESTAMP * len(timestamps) and text.isascii():
        found = _wall_times(timestamps, text.encode())
        if found is not None:
            return found
    return [wall_us(one) for one in timestamps]


def _wall_times(timestamps: Sequence[str], text: bytes) -> Column | None:
    """Return the times of timestamps that end in SS.ffffffZ, None where one does not. text: all of them."""
    begins = [one[:_SECONDS] for one in timestamps]
    minutes = {begin: wall_us(f"{begin}00Z") if begin[-1] == ":" else MISSING for begin in set(begins)}
    ends = np.frombuffer(text, dtype=np.uint8).reshape(-1, TIMESTAMP)[:, _SECONDS:]
    digits = ends[:, _DIGITS] - ord("0")
    marks = (ends[:, 2] == ord(".")) & (ends[:, -1] == ord("Z"))
    if MISSING in minutes.values() or (digits > 9).any() or (digits[:, 0] > 5).any() or not marks.all():
        return None
    found: Column = np.fromiter(map(minutes.__getitem__, begins), np.int64, len(begins))
    for place in range(len(_DIGITS)):
        found += digits[:, place] * np.int64(10 ** (len(_DIGITS) - 1 - place))
    return found


def event_columns(records: Sequence[Any], *, few: bool = False) -> tuple[dict[str, Column] | None, Column]:
    """Return the events of these records, one record's behind the other's, and how many each has.

    few: as arrays on lists. None where the columns of a record differ in length.
    """
    columns: dict[str, Column] = {}
    sizes: Column | None = None
    events = [record.events for record in records]
    for name in EVENT_COLUMNS:
        lists = [*map(attrgetter(name), events)]
        columns[name], each = _joined_lists(lists) if few else joined_columns(lists)
        if sizes is not None and not np.array_equal(each, sizes):
            return None, sizes
        sizes = each
    assert sizes is not None
    return columns, sizes


def joined_columns(columns: Sequence[Any]) -> tuple[Column, Column]:
    """Return lists of numbers one behind the other, and the length of each; files of different age differ in widths."""
    kinds = set(map(type, columns))
    if kinds == {Ext} and len(codes := {column.code for column in columns}) == 1:
        data = [column.data for column in columns]
        joined = np.frombuffer(b"".join(data), dtype=_PACKED_TYPES[codes.pop()])
        return joined.astype(np.int64, copy=False), np.array([*map(len, data)], dtype=np.int64) // joined.itemsize
    if kinds == {list}:
        sizes = np.array([*map(len, columns)], dtype=np.int64)
        return np.fromiter(chain.from_iterable(columns), np.int64, int(sizes.sum())), sizes
    if kinds == {array} and len(typecodes := {column.typecode for column in columns}) == 1:
        joined = np.frombuffer(b"".join(columns), dtype=typecodes.pop())
        return joined.astype(np.int64, copy=False), np.array([*map(len, columns)], dtype=np.int64)
    each = [unpacked(column) for column in columns]
    values = np.concatenate(each) if each else np.empty(0, dtype=np.int64)
    return values, np.array([len(column) for column in each], dtype=np.int64)


def _joined_lists(columns: Sequence[Any]) -> tuple[Column, Column]:
    values: Any = ListArray([value for column in columns for value in column])
    sizes: Any = ListArray([*map(len, columns)])
    return values, sizes


def transposed(rows: Sequence[Sequence[Any]], absent: float, *, few: bool, holes: bool = False) -> Any:
    """Return the columns of rows of numbers of the kind of `absent`, which stands for None.

    few: as arrays on lists. holes: there may be None.
    """
    if few:
        of, columns = type(absent), zip(*rows, strict=True)
        return [ListArray([absent if one is None else of(one) for one in column]) for column in columns]
    kind = np.float64 if isinstance(absent, float) else np.int64
    if holes:
        return [_filled(column, absent, kind) for column in zip(*rows, strict=True)]
    return np.fromiter(chain.from_iterable(rows), kind, len(rows) * len(rows[0])).reshape(len(rows), -1).T


def _filled(column: Sequence[Any], absent: float, kind: Any) -> Column:
    """Return numbers as an array of this kind, `absent` for None; most columns have none, or nothing else."""
    holes = column.count(None)
    if holes == len(column):
        same: Column = np.full(holes, absent, dtype=kind)
        return same
    return np.array([absent if one is None else one for one in column] if holes else column, dtype=kind)


def unpacked(column: Any) -> Column:
    """Return a list of numbers in any of its forms as int64."""
    if isinstance(column, Ext):
        values: Column = np.frombuffer(bytes(column.data), dtype=_PACKED_TYPES[column.code]).astype(np.int64)
        return values
    if isinstance(column, array):
        return np.array(column, dtype=np.int64)
    return np.array(column, dtype=np.int64)


def narrow(values: Column) -> Column:
    """Return whole numbers in as few bytes as they fit in."""
    if not len(values) or isinstance(values, ListArray):
        return values
    least, greatest = int(values.min()), int(values.max())
    return values.astype(np.result_type(np.min_scalar_type(least), np.min_scalar_type(greatest)), copy=False)


def tcp_rows(connections: Sequence[Any]) -> list[tuple[float, float, float]]:
    """Return of each request what the kernel knew of its connection, by TCP_COLUMNS; NaN where not known."""
    ends = [None if one is None else one.tcp_at_end for one in connections]
    return [_NO_TCP if end is None else _tcp_row(one, end) for one, end in zip(connections, ends, strict=True)]


def _tcp_row(connection: Any, end: Any) -> tuple[float, float, float]:
    begin = connection.tcp_at_send if connection.reused else None
    shortest = _NAN if end.min_rtt_us is None else end.min_rtt_us
    return end.rtt_us, shortest, end.retransmits - (begin.retransmits if begin else 0)


def content_lists(records: Sequence[Any]) -> dict[str, list[int]]:
    """Return the columns of the tool calls of records, one record's behind the other's, and of their text's times."""
    calls = [record.tool_calls for record in records]
    rows = [_call_times(call) for one in calls if one for call in one]
    found = {"calls.sizes": [len(one) for one in calls]}
    found |= {f"calls.{name}": [row[place] for row in rows] for place, name in enumerate(CALL_COLUMNS)}
    marks = [_marks_of(record) for record in records]
    return found | {name: [row[place] for row in marks] for place, name in enumerate(MARK_COLUMNS)}


def _call_times(call: Any) -> tuple[int, ...]:
    """Return the times of a tool call by CALL_COLUMNS, MISSING where not measured; its deltas are a number of events.

    Of a call whose arguments are no complete JSON, and of one of which a file does not say, no time is when it was
    ready.
    """
    if call.first_ns is None or call.deltas in (None, MISSING):
        return (_absent(call.first_ns), *_NO_CALL[1:])
    ready = MISSING if call.valid is False else call.last_ns
    return call.first_ns, ready, call.deltas, _absent(call.silence_ns), _absent(call.gap_ns)


def _marks_of(record: Any) -> tuple[int, ...]:
    """Return how far the text of a record had come when, by MARK_COLUMNS; MISSING where not measured."""
    marks, judged = record.text_marks, record.judged
    if marks is None and judged is None:
        return _NO_MARKS
    times = _NO_MARKS[1:] if marks is None else (marks.sentence_ns, marks.line_ns, marks.code_block_ns)
    usable = None if judged is None or not judged.valid else judged.usable_ns
    return tuple([_absent(one) for one in (*times, usable)])


def _absent(value: int | None) -> int:
    return MISSING if value is None else value
