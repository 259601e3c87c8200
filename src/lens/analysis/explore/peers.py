"""Requests that may be compared with each other: of one target, under one setting."""

from __future__ import annotations

from collections.abc import Iterator

from lens.metrics.table import Table

_FIELDS = ("provider", "model", "stage")


def peers_of(table: Table, fewest: int = 1) -> Iterator[tuple[str, Table]]:
    """Yield each group of peers of this size at least: "provider/model, stage", and its requests in their order."""
    fields = [table.codes(name) for name in _FIELDS]
    for rows in table.grouped(*[field.codes for field in fields]):
        if len(rows) >= fewest:
            provider, model, stage = [(*field.values, None)[field.codes[rows[0]]] for field in fields]
            some = table.take(rows) if len(rows) < len(table) else table
            yield f"{provider}/{model}{f', {stage}' if stage else ''}", some
