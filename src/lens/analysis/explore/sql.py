"""`--sql`: the requests as a table, asked in SQL through DuckDB.

The database lies in memory and knows nothing but the table `runs`, a row a request: it opens no file, no network, no
extension, and only statements that read are taken. A metric that was not measured is NULL. Requests are handed
over a slice at a time.

A metric with many values a request, like `itl_ms`, is a table of its own, a row a value, made where a statement names
it; so its percentiles are those that every other page shows. `runs` has the mean of each request: `itl_ms_mean`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np

from lens.analysis.explore.fields import FIELDS, Field, added_fields, listed
from lens.analysis.explore.groups import Sheet
from lens.errors import ConfigError, nearest
from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.definitions import request_metrics
from lens.metrics.table import Table

TABLE = "runs"
EXAMPLE = '--sql "select model, quantile_cont(ttft_ms, 0.95) from runs group by model"'
# Settled before anything of the user's is read, and locked.
_SETTINGS = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
}
_READS = {"SELECT", "EXPLAIN"}
MEAN = "_mean"  # behind the name of a metric with many values a request, of which a request has the mean
# Fields that are no text; of the others None is NULL and anything else is written out.
_TYPES = {
    **dict.fromkeys(("target_index", "http_status", "index", "tries", "hour_of_day", "turn", "turns"), "BIGINT"),
    **dict.fromkeys(("stream", "reused"), "BOOLEAN"),
}
# Rows beyond this are not what a terminal, or a document of ours, is for.
MOST_ROWS = 1_000_000


def query(sql: str, table: Table) -> Sheet:
    """Return what a statement says of these requests.

    Raises:
        ConfigError: DuckDB is absent, or the statement cannot be read, or would do more than read.
    """
    duckdb = _duckdb()
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        _fill(connection, table)
        _fill_pooled(connection, table, sql)
        connection.execute("set lock_configuration = true")
        try:
            statements = connection.extract_statements(sql)
            _check(sql, [str(one.type).rpartition(".")[2] for one in statements])
            found = connection.execute(statements[0])
            names = tuple(column[0] for column in found.description or ())
            rows = found.fetchmany(MOST_ROWS)
        except duckdb.Error as error:
            hint = f"; columns: {_near(sql)}" if isinstance(error, duckdb.BinderException) else ""
            raise ConfigError(f"--sql: {_first_line(str(error))}{hint}") from None
    return Sheet(names, [tuple(_cell(value) for value in row) for row in rows])


def _duckdb() -> Any:
    try:
        return import_module("duckdb")
    except ImportError:
        raise ConfigError("--sql needs duckdb: pip install 'llm-latency-lens[sql]'") from None


def _check(sql: str, kinds: Sequence[str]) -> None:
    """Refuse what is not one statement that only reads.

    Raises:
        ConfigError: it is not.
    """
    if len(kinds) != 1:
        raise ConfigError(f"--sql {sql!r}: expected one statement, not {len(kinds)}; write {EXAMPLE}")
    if kinds[0] not in _READS:
        raise ConfigError(
            f"--sql: {kinds[0]} is not allowed; statements that only read are: select, describe, summarize, explain"
        )


def _fill(connection: Any, table: Table) -> None:
    """Make the table `runs`."""
    labels = {name: field for name, field in added_fields(table).items() if "." not in name}
    fields = {name: field for name, field in (FIELDS | labels).items() if name != "timestamp"}
    types = {"request_id": "VARCHAR", "time": "TIMESTAMP"}
    types |= {name: "VARCHAR" if name in labels else _TYPES.get(name, "VARCHAR") for name in fields}
    types |= dict.fromkeys(_columns_of_metrics(), "DOUBLE")
    named = ", ".join(f"{name} {types[one]}" for one, name in _quoted(types).items())
    connection.execute(f"create table {TABLE} ({named})")
    for part in table.slices():
        connection.register("given", _columns(part, fields, types))
        connection.execute(f"insert into {TABLE} select * from given")  # noqa: S608 - a constant
        connection.unregister("given")


def _columns_of_metrics() -> dict[str, str]:
    """Return the column of each metric in `runs`, and the metric."""
    return {f"{one.name}{MEAN}" if one.pooled is not None else one.name: one.name for one in request_metrics()}


def _fill_pooled(connection: Any, table: Table, sql: str) -> None:
    """Make a table of each metric with many values a request that the statement names."""
    named = set(re.findall(r"\w+", sql.lower()))
    for metric in [one for one in request_metrics() if one.pooled is not None and one.name in named]:
        connection.execute(f"create table {metric.name} (request BIGINT, {metric.name} DOUBLE)")
        begin = 0
        for part in table.slices():
            values, of = part.pooled(metric.name)
            connection.register("given", {"request": of.astype(np.int64) + begin, metric.name: values})
            connection.execute(f"insert into {metric.name} select * from given")  # noqa: S608 - a name of ours
            connection.unregister("given")
            begin += len(part)


def _quoted(names: Any) -> dict[str, str]:
    """Return the names as SQL takes them, which sees no difference between a and A: the second gets a number."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        free, number = name, 0
        while free.lower() in taken:
            number += 1
            free = f"{name}_{number}"
        taken.add(free.lower())
        found[name] = '"' + free.replace('"', '""') + '"'
    return found


def _columns(table: Table, fields: dict[str, Field], types: dict[str, str]) -> dict[str, Column]:
    made: dict[str, Any] = {}
    metrics = _columns_of_metrics()
    for name, kind in types.items():
        if name == "request_id":
            ids = [one.decode(errors="replace") for one in table.column("request_id").tolist()]
            made[name] = np.array(ids, dtype=object)
        elif name == "time":
            wall = table.column("wall_us")
            made[name] = np.where(wall == MISSING, np.datetime64("NaT", "us"), wall.astype("datetime64[us]"))
        elif name not in fields or kind == "DOUBLE":
            column = table.counted(metrics[name])
            made[name] = np.ma.masked_array(column, mask=np.isnan(column))
        elif kind == "VARCHAR":
            values = listed(fields[name](table))
            made[name] = np.array([None if value is None else str(value) for value in values], dtype=object)
        else:
            values = listed(fields[name](table))
            absent = [value is None for value in values]
            dtype = np.bool_ if kind == "BOOLEAN" else np.int64
            made[name] = np.ma.masked_array([value or 0 for value in values], mask=absent, dtype=dtype)
    return made


def _cell(value: Any) -> Any:
    """Return a value as every format can write it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return float(value) if isinstance(value, Decimal) else str(value)


def _first_line(text: str) -> str:
    """DuckDB draws the place of an error over several lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(line for line in lines[:2] if not line.startswith(("LINE", "^"))).rstrip(".")


def _near(sql: str) -> str:
    """Return fields and metrics that the statement may have meant, so that an error need not list all of them."""
    known = [*FIELDS, *_columns_of_metrics()]
    words = dict.fromkeys(word for word in re.findall(r"[A-Za-z_]\w*", sql) if "_" in word and word not in known)
    pooled = [one.name for one in request_metrics() if one.pooled is not None]
    near = [
        f"{word} is a table of all values (from {word}), {word}{MEAN} the mean of a request"
        if word in pooled
        else f"{word} -> {found}"
        for word in words
        if (found := nearest(word, known))
    ]
    return ", ".join(near) if near else f'--sql "describe {TABLE}" lists them'
