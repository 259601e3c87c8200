"""Columns of figures out of records: what every analysis begins with.

A column holds the values of one metric in the order in which the requests started, each beside the
number of the request it came from. A request that failed speaks only for what it still measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lens.metrics.definitions import Metric, counts, metric_named, pooled_values
from lens.model import Record
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Column(msgspec.Struct, frozen=True):
    """Values of one metric. A distribution within requests has several values a request."""

    metric: Metric
    values: Any  # float64
    of: Any  # int64: place of the record in the sequence that was given

    def __len__(self) -> int:
        return len(self.values)


def in_order(records: Sequence[Record]) -> list[Record]:
    """The records of the measured window, as they started."""
    return sorted((record for record in records if not record.warmup), key=lambda record: record.stamps.start)


def column(metric: Metric, records: Sequence[Record], book: PriceBook) -> Column:
    """All values of a metric of requests; of a run's own metrics there are none."""
    import numpy as np

    parts: list[NDArray[Any]] = []
    places: list[int] = []
    if metric.kind != "run":
        for place, record in enumerate(records):
            if counts(metric, record):
                found = _values(metric, record, book)
                if len(found):
                    parts.append(found)
                    places.append(place)
    sizes = [len(part) for part in parts]
    values = np.concatenate(parts).astype(np.float64) if parts else np.empty(0)
    return Column(metric, values, np.repeat(np.asarray(places, dtype=np.int64), sizes))


def per_request(metric: Metric, records: Sequence[Record], book: PriceBook) -> NDArray[Any]:
    """One value a record, NaN where it has none; of a distribution its mean."""
    import numpy as np

    found = np.full(len(records), np.nan)
    for place, record in enumerate(records):
        if counts(metric, record):
            value = metric.of(record) if metric.of else getattr(book.cost(record), metric.name, None)
            if value is not None:
                found[place] = float(value)
    return found


def _values(metric: Metric, record: Record, book: PriceBook) -> NDArray[Any]:
    import numpy as np

    if metric.kind == "gap":
        return pooled_values(metric, record)
    value = getattr(book.cost(record), metric.name) if metric.kind == "cost" else metric.of and metric.of(record)
    return np.asarray([] if value is None else [float(value)])


def metrics_of(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names.

    Raises:
        KeyError: one is unknown.
    """
    return [metric_named(name) for name in names]
