"""When did it change? The moments at which a metric went to another level and stayed there.

The method is that of `metrics.change_points`. Targets and stages are looked at apart, and all searches of one table
share one chance of error.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from lens.analysis.explore.peers import peers_of
from lens.analysis.explore.trends import WATCHED
from lens.metrics.change_points import FEWEST, Series, change_points
from lens.metrics.definitions import METRICS
from lens.metrics.rows import timestamps
from lens.metrics.table import Table

# The chance of any step where there is none, over all metrics and targets.
ALPHA = 0.001
# A change of level that is smaller than this share matters to nobody.
LEAST = 0.02


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


def steps_of(table: Table, metrics: Sequence[str] = WATCHED) -> tuple[Step, ...]:
    """Return all changes of level, in the order of time."""
    series = []
    for who, peers in peers_of(table, FEWEST):
        wall = peers.column("wall_us")
        order = np.argsort(wall, kind="stable") if (np.diff(wall) < 0).any() else np.arange(len(wall))
        for name in metrics:
            values = peers.counted(name)[order]
            there = np.flatnonzero(~np.isnan(values))
            if len(there) >= FEWEST:
                series.append((who, name, peers, order[there], values[there]))
    found = [step for one in series for step in _steps(*one, ALPHA / len(series))]
    return tuple(sorted(found, key=lambda step: step.timestamp))


def _steps(who: str, name: str, peers: Table, rows: Series, values: Series, alpha: float) -> list[Step]:
    """rows: of the values, in the order of time."""
    found = []
    for change in change_points(values, alpha=alpha, least=LEAST):
        first = peers.take(rows[change.at : change.at + 1])
        found.append(
            Step(
                who=who,
                metric=name,
                request_id=first.column("request_id")[0].decode(errors="replace"),
                timestamp=timestamps(first)[0],
                before=change.before,
                after=change.after,
                p_value=change.p_value,
                better=(change.after < change.before) == (METRICS[name].better == "lower"),
            )
        )
    return found
