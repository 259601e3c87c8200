"""The confidence of a choice where requests are correlated for longer than the blocks that are drawn.

Runs that are drawn again in blocks scatter too little when there are few blocks. So where the values of two targets
have a memory, the draws' distance between them is told in units of what the figures are really off by (`compare`),
and judged by Student's t for as little as is known of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lens.analysis.difference import Sides
from lens.analysis.optimize.candidates import Candidate, in_turns
from lens.analysis.optimize.presets import OBJECTIVES
from lens.analysis.stats import Series, t_tails
from lens.metrics.definitions import METRICS


class _Scale(NamedTuple):
    """What the draws scatter over what a figure is off by, and how little is known of that."""

    ratio: float
    freedom: float


def cautious_confidence(
    share: float,
    candidates: Sequence[Candidate],
    chosen: int,
    others: Sequence[int],
    deciding: Mapping[str, float],
    figures: Mapping[str, Series],
) -> float:
    """Return the share of the draws in which the choice stays the best, or less where neighbours resemble each other.

    others: targets that the choice is compared with; figures: of the draws, a row a draw, a column a target.
    """
    for other in others:
        scales = [
            scale for name in deciding if (scale := _scale(name, candidates, chosen, other, figures[name])) is not None
        ]
        if not scales:
            continue
        ahead = _ahead(deciding, figures, chosen, other)
        spread = float(ahead.std()) if len(ahead) else 0.0
        if not spread:
            continue
        distance = float(ahead.mean()) / spread * min(one.ratio for one in scales)
        half = t_tails(distance, min(one.freedom for one in scales)) / 2
        sure = 1 - half if distance > 0 else half
        share = min(share, 1.0 if sure > 1 - 1 / (2 * len(ahead)) else sure)
    return share


def _ahead(deciding: Mapping[str, float], figures: Mapping[str, Series], chosen: int, other: int) -> Series:
    """Return of each draw by how much the choice is better, as the sum of weighted logarithms."""
    found: Any = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, weight in deciding.items():
            ratio = np.log(figures[name][:, other]) - np.log(figures[name][:, chosen])
            found = found + weight * (ratio if OBJECTIVES[name].lower else -ratio)
    ahead = np.asarray(found, dtype=np.float64)
    finite: Series = ahead[np.isfinite(ahead)]
    return finite


def _scale(name: str, candidates: Sequence[Candidate], chosen: int, other: int, drawn: Series) -> _Scale | None:
    """Return how the draws of an objective scatter; None where neighbours do not resemble each other."""
    one = OBJECTIVES[name]
    if METRICS[one.metric].kind == "run":
        return None
    pair = [candidates[chosen], candidates[other]]
    x, y = (candidate.table.counted(one.metric) for candidate in pair)
    paired = in_turns(pair)
    known = ~(np.isnan(x) | np.isnan(y)) if paired else None
    x, y = (x[known], y[known]) if known is not None else (x[~np.isnan(x)], y[~np.isnan(y)])
    if min(len(x), len(y)) < 2:
        return None
    sides = Sides(x, y, paired=paired)
    if sides.memory == 1:
        return None
    error = sides.error(one.statistic)
    difference = drawn[:, other] - drawn[:, chosen]
    scatter = float(np.nanstd(difference))
    return _Scale(min(scatter / error.size, 1.0), error.freedom) if error.size and scatter else None
