"""Mark the warm-up and the cool-down of a run, which are left out of its figures.

The warm-up is found by MSER-5 (White 1997): the cut that minimises the standard error of the mean of what
remains. The cool-down is what the user says, by number, time or share.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lens.metrics.definitions import between, ttft_from_send_ms
from lens.model import Record
from lens.orchestrator.schedule import parse_cooldown

BATCH = 5
# Fewer batches than this say nothing of a beginning.
FEWEST_BATCHES = 8


def transient_length(values: Sequence[float] | NDArray[Any]) -> int:
    """Return how many values at the beginning are unlike the rest; 0 if none, or if there are fewer than 40 values.

    At most half of the values are cut: a series that never settles has no steady part to keep. Linear in their number.
    """
    series = np.asarray(values, dtype=np.float64)
    batches = len(series) // BATCH
    if batches < FEWEST_BATCHES:
        return 0
    means = series[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    means -= means[batches // 2 :].mean()  # so that sums of squares lose no digits to a level that all share
    left = np.arange(batches, 0, -1, dtype=np.float64)
    sums, squares = (np.cumsum(part[::-1])[::-1] for part in (means, means**2))
    spread = squares - sums**2 / left
    spread[spread < 1e-12 * squares] = 0  # what rounding leaves of values that are all the same
    errors = spread / left**2
    return int(np.argmin(errors[: batches // 2 + 1])) * BATCH


def mark_warmup(records: Sequence[Record]) -> tuple[list[Record], int]:
    """Return the records with those of the beginning marked as warm-up, and how many these are.

    Judged by TTFT from the send on and by the whole latency, where they were measured; whichever cuts more.
    """
    measured = _by_start(records)
    cuts = [0]
    for read in (ttft_from_send_ms, lambda record: between(record, "start", "end")):
        known = [(i, value) for i, record in enumerate(measured) if (value := read(record)) is not None]
        length = transient_length([value for _, value in known])
        cuts.append(known[length - 1][0] + 1 if length else 0)
    return _marked(records, measured[: max(cuts)]), max(cuts)


def mark_cooldown(records: Sequence[Record], cooldown: str) -> tuple[list[Record], int]:
    """Return the records with those that started at the end marked as left out, and how many these are.

    cooldown: a number of requests ("3"), a time ("10s") or a share ("10%").

    Raises:
        ConfigError: `cooldown` is none of these.
    """
    measured = _by_start(records)
    count, span_ns, share = parse_cooldown(cooldown)
    if span_ns:
        last = measured[-1].stamps.start if measured else 0
        count = sum(record.stamps.start > last - span_ns for record in measured)
    elif share:
        count = ceil(len(measured) * share)
    count = min(count, len(measured))
    return _marked(records, measured[len(measured) - count :]), count


def _by_start(records: Sequence[Record]) -> list[Record]:
    return sorted((record for record in records if not record.warmup), key=lambda record: record.stamps.start)


def _marked(records: Sequence[Record], cut: Sequence[Record]) -> list[Record]:
    places = {record.index for record in cut}
    return [msgspec.structs.replace(r, warmup=True) if r.index in places and not r.warmup else r for r in records]
