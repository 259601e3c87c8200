"""Join tables of several runs into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lens.arrays.dispatch import np
from lens.metrics.columns import Codes, Lists
from lens.metrics.rows import joined_codes
from lens.metrics.table import Table
from lens.metrics.target_names import named_targets


def join_tables(tables: Sequence[Table]) -> Table:
    """Return the requests of several tables as one, in their order; its runs are theirs, one behind the other."""
    columns: dict[str, Any] = {}
    lists: dict[str, Lists] = {}
    begins = np.cumsum([0, *[len(table.runs) for table in tables]]).tolist()
    for name, kind in tables[0].kinds().items():
        if kind is Codes:
            columns[name] = joined_codes([table.codes(name) for table in tables])
        else:
            columns[name] = np.concatenate([table.column(name) for table in tables])
    columns["run"] = np.concatenate([table.column("run") + begin for table, begin in zip(tables, begins, strict=False)])
    for name in ("events", "timing", "calls", "after"):
        sizes = np.concatenate([np.diff(table.firsts(name)) for table in tables])
        fields = {
            field: np.concatenate([table.listed(name, field) for table in tables])
            for field in tables[0].listed_names(name)
        }
        lists[name] = Lists(np.concatenate(([0], np.cumsum(sizes))), fields)
    number = {source: i for i, source in enumerate(columns["timing_sources"].values)}
    lists["timing"].columns["source"] = np.concatenate(
        [
            np.array([*[number[source] for source in table.sources], -1])[table.listed("timing", "source")]
            for table in tables
        ]
    )
    runs = [run for table in tables for run in table.runs]
    columns["target"] = named_targets(columns, runs, np.array)
    return Table(columns, lists, runs, book=tables[0].book)
