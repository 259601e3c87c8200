"""The names by which requests are filtered, grouped and queried: fields of a record, its run, labels, and metrics.

A field is read for a whole table at once: as a column, or as codes where it has few different values. What was
not measured is None. A metric is read by its name or alias, also one that was defined at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from lens.errors import ConfigError, did_you_mean
from lens.history.lean import MISSING
from lens.metrics.columns import Codes, Column
from lens.metrics.definitions import METRICS, Metric, metric_named
from lens.metrics.rows import WHOLE_UNITS, timestamps
from lens.metrics.table import MINUTE_US, Table

Values = Codes | Column
Field = Callable[[Table], Values]
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def numbered(codes: Column, values: Iterable[Any]) -> Codes:
    """Return codes whose values are all different: those of equal values become one; None is none."""
    numbers: dict[Any, int] = {}
    renumbered = [-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values]
    return Codes(np.array([*renumbered, -1], dtype=np.int32)[codes], tuple(numbers))


def _codes(name: str) -> Field:
    return lambda table: table.codes(name)


def _column(name: str) -> Field:
    return lambda table: table.column(name)


def _time(unit_us: int, write: Callable[[datetime], Any]) -> Field:
    """Return the reader of a part of the time of day in UTC, which changes once in a unit at most."""

    def read(table: Table) -> Codes:
        wall = table.column("wall_us")
        units, codes = np.unique(wall // unit_us, return_inverse=True)
        none = MISSING // unit_us
        values = [None if unit == none else write(_instant(unit * unit_us)) for unit in units.tolist()]
        return numbered(codes.reshape(-1), values)

    return read


def _instant(wall_us: int) -> datetime:
    return datetime.fromtimestamp(wall_us / 1_000_000, UTC)


def _timestamp(table: Table) -> Codes:
    texts = timestamps(table)
    known = table.column("wall_us") != MISSING
    return numbered(np.where(known, np.arange(len(texts)), -1), texts)


def _places(name: str) -> Field:
    """Return the reader of a number that only turns of sessions have."""

    def read(table: Table) -> Codes:
        found = np.full(len(table), -1, dtype=np.int32)
        turns = np.flatnonzero(table.column("turn") >= 0)
        different, codes = np.unique(table.column(name)[turns], return_inverse=True)
        found[turns] = codes.reshape(-1)
        return Codes(found, tuple(different.tolist()))

    return read


FIELDS: dict[str, Field] = {
    "provider": _codes("provider"),
    "model": _codes("model"),
    "target": _codes("target"),
    "target_index": _column("target_index"),
    "status": _codes("status"),
    "category": _codes("category"),
    "http_status": _codes("http_status"),
    "finish_reason": _codes("finish_reason"),
    "served_model": _codes("served_model"),
    "cache_miss": _codes("cache_miss"),
    "stage": _codes("stage"),
    "prompt_id": _codes("prompt_id"),
    "prompt": _codes("prompt_id"),
    "stream": _column("stream"),
    "reused": _codes("reused"),
    "peer": _codes("peer"),
    "session_id": _codes("session_id"),
    "session": _codes("session_id"),
    "turn": _places("turn"),
    "turns": _places("turns"),
    "index": _column("index"),
    "tries": _column("tries"),
    "timestamp": _timestamp,
    "date": _time(DAY_US, lambda when: when.date().isoformat()),
    "day": _time(DAY_US, lambda when: when.date().isoformat()),
    "hour": _time(HOUR_US, lambda when: f"{when:%Y-%m-%d %H}:00"),
    "hour_of_day": _time(HOUR_US, lambda when: when.hour),
    "weekday": _time(DAY_US, lambda when: f"{when:%A}"),
    "minute": _time(MINUTE_US, lambda when: f"{when:%Y-%m-%d %H:%M}"),
}


def _of_run(read: Callable[[Any], Any]) -> Field:
    return lambda table: numbered(table.column("run"), [read(run) for run in table.runs])


def _label(name: str) -> Field:
    """Return the reader of a label of a request, or else of its run."""

    def read(table: Table) -> Codes:
        labels = table.codes("labels")
        of_request = [dict(items).get(name) for items in labels.values]
        of_run = [run.info.labels.get(name) if run.info else None for run in table.runs]
        told = np.array([value is not None for value in of_request] + [False], dtype=bool)[labels.codes]
        places = np.where(told, labels.codes, len(of_request) + table.column("run"))
        return numbered(places, [*of_request, *of_run])

    return read


def label_names(table: Table) -> list[str]:
    """Return the labels that requests of a table or their runs have."""
    found = {name for items in table.codes("labels").values for name, _ in items}
    for run in table.runs:
        found.update(run.info.labels if run.info else ())
    return sorted(found)


def added_fields(table: Table) -> dict[str, Field]:
    """Return the fields that only these runs have: file, run, and every label, also as `label.NAME`."""
    found: dict[str, Field] = {
        "file": _of_run(lambda run: run.name),
        "run": _of_run(lambda run: run.info.run_id if run.info else None),
    }
    for name in label_names(table):
        reader = _label(name)
        found[f"label.{name}"] = found[f"labels.{name}"] = reader
        found.setdefault(name, reader)
    return found


def field_named(name: str, table: Table | None = None) -> Field:
    """Return the reader of a field, a label or a metric. table: whose labels and files are known by their names.

    Raises:
        ConfigError: no field of that name; the message names the nearest.
    """
    added = {} if table is None else added_fields(table)
    if name in added:
        return added[name]
    if name in FIELDS:
        return FIELDS[name]
    head, _, rest = name.partition(".")
    if head in ("label", "labels") and rest:
        return _label(rest)
    try:
        metric = metric_named(name)
    except KeyError:
        fields = f"fields are {', '.join({**FIELDS, **added})}, label.NAME, and the metrics"
        hint = did_you_mean(name, [*added, *FIELDS, *METRICS], then=fields)
        raise ConfigError(f"no field {name!r}; {hint}") from None
    if metric.kind == "run":
        raise ConfigError(f"{name} belongs to a whole run; a filter sees one request")
    return partial(_metric, metric)


def _metric(metric: Metric, table: Table) -> Column:
    column = table.metric(metric.name)
    return _whole(column) if metric.unit in WHOLE_UNITS else column


def _whole(column: Column) -> Column:
    """Return whole numbers that lie in a column of floats as ints, None where absent."""
    absent = np.isnan(column)
    known = np.where(absent, 0, column)
    if (known != np.floor(known)).any():
        return column
    found: Column = known.astype(np.int64)
    if absent.any():
        found = found.astype(object)
        found[absent] = None
    return found


def listed(values: Values) -> list[Any]:
    """Return the value of each request as Python knows it, None where it was not measured."""
    if isinstance(values, Codes):
        return values.listed()
    found: list[Any] = values.tolist()
    if values.dtype.kind == "f":
        for row in np.flatnonzero(np.isnan(values)).tolist():
            found[row] = None
    return found


def coded(values: Values) -> Codes:
    """Return a column as codes."""
    if isinstance(values, Codes):
        return values
    if values.dtype.kind == "O":
        return numbered(np.arange(len(values)), values.tolist())
    absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    different, codes = np.unique(values[~absent], return_inverse=True)
    found = np.full(len(values), -1, dtype=np.int32)
    found[~absent] = codes.reshape(-1)
    return Codes(found, tuple(different.tolist()))
