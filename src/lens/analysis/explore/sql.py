"""`--sql`: the requests as a table, asked in SQL through DuckDB.

The database lies in memory and knows nothing but the table `runs`: it opens no file, no network, no
extension, and only statements that read are taken. A metric that was not measured is NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lens.analysis.explore.filters import FIELDS, Reader
from lens.analysis.explore.groups import Sheet
from lens.analysis.sources import Sources, wall_s
from lens.errors import ConfigError, nearest
from lens.metrics.definitions import PER_REQUEST, Metric, counts, measure
from lens.model import Record
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
# Fields that are no text; of the others None is NULL and anything else is written out.
_WHOLE = ("target", "http_status", "index", "tries", "hour_of_day")
_TRUTH = ("stream", "reused")
# Rows beyond this are not what a terminal, or a document of ours, is for.
MOST_ROWS = 1_000_000


def query(sql: str, sources: Sources, records: Sequence[Record], book: PriceBook) -> Sheet:
    """What a statement says of these requests.

    Raises:
        ConfigError: DuckDB is absent, or the statement cannot be read, or would do more than read.
    """
    duckdb = _duckdb()
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        connection.register("given", _columns(sources, records, book))
        connection.execute(f"create table {TABLE} as select * from given")  # noqa: S608 - a constant
        connection.unregister("given")
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
    """One statement, and one that only reads.

    Raises:
        ConfigError: it is not.
    """
    if len(kinds) != 1:
        raise ConfigError(f"--sql {sql!r}: one statement is wanted, not {len(kinds)}; write {EXAMPLE}")
    if kinds[0] not in _READS:
        raise ConfigError(
            f"--sql: {kinds[0]} is not let through, only what reads: select, describe, summarize, explain"
        )


def _fields(sources: Sources) -> dict[str, Reader]:
    """Every field and label by one name each."""
    labels = {name: reader for name, reader in sources.fields.items() if "." not in name}
    return {name: reader for name, reader in (FIELDS | labels).items() if name not in ("timestamp",)}


def _columns(sources: Sources, records: Sequence[Record], book: PriceBook) -> dict[str, NDArray[Any]]:
    import numpy as np

    table: dict[str, Any] = {
        "request_id": np.array([record.request_id for record in records], dtype=object),
        "time": np.array([_instant(record) for record in records], dtype="datetime64[us]"),
    }
    for name, reader in _fields(sources).items():
        values = [reader(record) for record in records]
        if name in _WHOLE or name in _TRUTH:
            absent = [value is None for value in values]
            kind = np.bool_ if name in _TRUTH else np.int64
            table[name] = np.ma.masked_array([value or 0 for value in values], mask=absent, dtype=kind)
        else:
            table[name] = np.array([None if value is None else str(value) for value in values], dtype=object)
    costs = [book.cost(record) for record in records]
    for metric in PER_REQUEST:
        values = [_figure(metric, record, cost) for record, cost in zip(records, costs, strict=True)]
        absent = [value is None for value in values]
        table[metric.name] = np.ma.masked_array([float(v or 0) for v in values], mask=absent, dtype=np.float64)
    return table


def _figure(metric: Metric, record: Record, cost: Any) -> float | int | Decimal | None:
    if not counts(metric, record):
        return None
    if metric.kind == "cost":
        amount: Decimal | None = getattr(cost, metric.name)
        return amount
    return measure(metric.name, record)


def _instant(record: Record) -> datetime:
    return datetime.fromtimestamp(wall_s(record), UTC).replace(tzinfo=None)


def _cell(value: Any) -> Any:
    """A value as every format can write it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return float(value) if isinstance(value, Decimal) else str(value)


def _first_line(text: str) -> str:
    """DuckDB draws the place of an error over several lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(line for line in lines[:2] if not line.startswith(("LINE", "^"))).rstrip(".")


def _near(sql: str) -> str:
    """Fields and metrics that the statement may have meant, so that an error need not list all of them."""
    import re

    known = [*FIELDS, *[metric.name for metric in PER_REQUEST]]
    words = dict.fromkeys(word for word in re.findall(r"[A-Za-z_]\w*", sql) if "_" in word and word not in known)
    near = [f"{word} -> {found}" for word in words if (found := nearest(word, known))]
    return ", ".join(near) if near else f'--sql "describe {TABLE}" lists them'
