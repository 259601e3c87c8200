"""Which requests of a run belong to its beginning and its end, and so not to its figures.

The beginning is found by MSER-5 (White 1997): the cut that leaves the mean of what remains the surest.
The end is what the user says of it, by number, time or share.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import msgspec

from lens.errors import ConfigError
from lens.metrics.definitions import between, ttft_from_send_ms
from lens.model import Record
from lens.units import parse_count, parse_duration_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 5
# Fewer batches than this say nothing of a beginning.
FEWEST_BATCHES = 8


def transient_length(values: Sequence[float] | NDArray[Any]) -> int:
    """How many values at the beginning are not like the rest; 0 where they are, or where there are too few.

    At most half of the values are cut: a series that never settles has no steady part to keep.
    """
    import numpy as np

    series = np.asarray(values, dtype=np.float64)
    batches = len(series) // BATCH
    if batches < FEWEST_BATCHES:
        return 0
    means = series[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    errors = []
    for cut in range(batches // 2 + 1):
        rest = means[cut:]
        errors.append(float(((rest - rest.mean()) ** 2).sum()) / len(rest) ** 2)
    return int(np.argmin(errors)) * BATCH


def without_transient(records: Sequence[Record]) -> tuple[list[Record], int]:
    """The records, those of the beginning marked as warm-up, and how many they are.

    Judged by TTFT from the send on where there is one, else by the whole latency; by whichever cuts more.
    """
    asked = sorted((record for record in records if not record.warmup), key=lambda record: record.stamps.start)
    cuts = [0]
    for read in (ttft_from_send_ms, lambda record: between(record, "start", "end")):
        known = [(i, value) for i, record in enumerate(asked) if (value := read(record)) is not None]
        length = transient_length([value for _, value in known])
        cuts.append(known[length - 1][0] + 1 if length else 0)
    return _marked(records, asked[: max(cuts)]), max(cuts)


def without_cool_down(records: Sequence[Record], said: str) -> tuple[list[Record], int]:
    """The records, those that started at the end marked as not part of the figures, and how many they are.

    Raises:
        ConfigError: what was said is neither a number of requests, a time nor a share.
    """
    asked = sorted((record for record in records if not record.warmup), key=lambda record: record.stamps.start)
    text = said.strip()
    try:
        if (count := parse_count(text)) is not None:
            cut = count
        elif text.endswith("%"):
            cut = ceil(len(asked) * float(text[:-1]) / 100)
        else:
            last = asked[-1].stamps.start if asked else 0
            cut = sum(record.stamps.start > last - parse_duration_ns(text) for record in asked)
    except ValueError:
        raise ConfigError(f"--cooldown {said!r}: write a number of requests, 10s or 10%") from None
    return _marked(records, asked[len(asked) - cut :] if cut else []), min(cut, len(asked))


def _marked(records: Sequence[Record], cut: Sequence[Record]) -> list[Record]:
    places = {record.index for record in cut}
    return [msgspec.structs.replace(r, warmup=True) if r.index in places and not r.warmup else r for r in records]
