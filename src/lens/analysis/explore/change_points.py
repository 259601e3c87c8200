"""When did it change? The moments at which a metric went to another level and stayed there.

The search is that of changes.py, which takes values for independent. So it is given the medians of
neighbourhoods as long as requests resemble each other between the clearest of the steps. Targets and
stages are looked at apart, and all searches of one table share one chance of error.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import msgspec

from lens.analysis.columns import per_request
from lens.analysis.explore.trends import WATCHED, peers_of
from lens.analysis.sources import wall_s
from lens.analysis.stats import FEWEST, change_points
from lens.metrics.definitions import METRICS
from lens.metrics.intervals import batch_length
from lens.model import Record
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The chance of any step where there is none, over all metrics and targets.
ALPHA = 0.02
# A change of level that is smaller than this share matters to nobody.
LEAST = 0.02
# Steps as clear as this are taken out before it is asked how long the noise remembers.
CLEAR = 0.01
MOST_PLACES = 400


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of one target changed its level."""

    who: str
    metric: str
    request_id: str  # the first after it, as near as can be told
    timestamp: str
    before: float
    after: float
    p_value: float
    better: bool

    def __str__(self) -> str:
        unit = METRICS[self.metric].unit
        by = f" ({self.after / self.before - 1:+.0%})" if self.before else ""
        word = "better" if self.better else "worse"
        return f"{self.metric} went from {self.before:.4g} to {self.after:.4g} {unit}{by} at {self.timestamp}: {word}"


def steps_of(records: Sequence[Record], book: PriceBook, metrics: Sequence[str] = WATCHED) -> tuple[Step, ...]:
    """All changes of level, in the order of time."""
    import numpy as np

    columns = []
    for who, some in peers_of(records).items():
        ordered = sorted(some, key=wall_s)
        for name in metrics:
            values = per_request(METRICS[name], ordered, book)
            there = np.flatnonzero(~np.isnan(values))
            if len(there) >= 2 * FEWEST:
                columns.append((who, name, [ordered[i] for i in there], values[there]))
    found = [step for column in columns for step in _steps(*column, ALPHA / len(columns))]
    return tuple(sorted(found, key=lambda step: step.timestamp))


def _steps(who: str, name: str, records: list[Record], values: NDArray[Any], alpha: float) -> list[Step]:
    import numpy as np

    n = len(values)
    least = max(ceil(n ** (1 / 3)), ceil(n / MOST_PLACES))
    medians, cuts = _medians(values, max(_resemblance(values, least), least))
    if len(medians) < 2 * FEWEST:
        return []
    found = []
    edges = _edges(medians, alpha)
    ends = [0, *[int(cuts[index][0]) for index, _ in edges], n]
    for i, (_, p_value) in enumerate(edges, 1):
        before, after = float(np.median(values[ends[i - 1] : ends[i]])), float(np.median(values[ends[i] : ends[i + 1]]))
        if abs(after - before) <= LEAST * abs(before):
            continue
        first = records[ends[i]]
        found.append(
            Step(
                who=who,
                metric=name,
                request_id=first.request_id,
                timestamp=first.timestamp,
                before=before,
                after=after,
                p_value=p_value,
                better=(after < before) == (METRICS[name].better == "lower"),
            )
        )
    return found


def _edges(medians: Sequence[float], alpha: float) -> list[tuple[int, float]]:
    """The first place after each change, and how likely it is without one.

    The search sees ranks, which draw a change towards the middle of its stretch; each is moved to where the
    two levels fit best (least absolute deviations).
    """
    import numpy as np

    found = [(int(change[0]), change.p_value) for change in change_points(medians, alpha=alpha)]
    series = np.asarray(medians)
    edges = [0, *[index for index, _ in found], len(series)]
    for i in range(1, len(edges) - 1):
        begin, end = edges[i - 1], edges[i + 1]
        edges[i] = min(range(begin + 1, end), key=lambda at: _misfit(series[begin:at]) + _misfit(series[at:end]))
    return [(edge, p_value) for edge, (_, p_value) in zip(edges[1:-1], found, strict=True)]


def _misfit(part: NDArray[Any]) -> float:
    import numpy as np

    return float(np.abs(part - np.median(part)).sum())


def _medians(values: NDArray[Any], length: int) -> tuple[list[float], list[Any]]:
    """Of neighbourhoods of so many requests, and which those are."""
    import numpy as np

    cuts = np.array_split(np.arange(len(values)), max(len(values) // length, 1))
    return [float(np.median(values[cut])) for cut in cuts], cuts


def _resemblance(values: NDArray[Any], length: int) -> int:
    """How many neighbours go together, the clearest levels apart; outliers are cut back."""
    import numpy as np

    calm = np.clip(values, *np.quantile(values, [0.05, 0.95]))
    medians, cuts = _medians(calm, length)
    edges = [int(cuts[index][0]) for index, _ in _edges(medians, CLEAR)]
    return batch_length(np.concatenate([part - np.median(part) for part in np.split(calm, edges)]))
