"""Targets side by side: by how much they differ, how sure that is, and what was too small to see.

Targets that were asked in turns are compared pair by pair: whether the difference could be chance is told
by swapping the labels within pairs, which holds whatever the drift. Runs that were not interleaved are
compared without pairs, and drift between them cannot be excluded. All comparisons of one table are
corrected together (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import msgspec

from lens.analysis.columns import per_request
from lens.metrics.definitions import METRICS
from lens.metrics.intervals import batch_length
from lens.model import Record
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPARED = ("ttft_ms", "itl_ms", "total_latency_ms", "tokens_per_second", "total_cost")
STATISTICS = ("mean", "p50", "p95")
SWAPS = 1000  # of labels, and of resampled blocks
LEVEL = 0.95
POWER = 0.90
FEWEST = 8
# Cells of one round of resampling, so that memory is bounded.
CELLS = 4_000_000


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a candidate against the baseline."""

    metric: str
    statistic: str
    baseline: float
    candidate: float
    difference: float  # candidate - baseline
    low: float  # 95 % interval of the difference
    high: float
    relative: float | None  # of the baseline
    p_value: float
    p_adjusted: float  # for all comparisons of the table
    different: bool
    better: bool | None  # of the candidate; None: no difference was shown
    smallest_seen: float  # a difference of this size would have been found with 90 % power
    wins: float  # share of pairs in which the candidate was better, ties half
    n: int
    paired: bool

    def needed(self, share: float) -> int:
        """Requests a target that find a shift of this share of the baseline with 90 % power."""
        effect = abs(share * self.baseline)
        return ceil(self.n * (self.smallest_seen / effect) ** 2) if effect else 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate against the baseline."""

    baseline: str
    candidate: str
    shifts: tuple[Shift, ...]
    failed: tuple[int, int]  # requests of each


def name_of(record: Record) -> str:
    return f"{record.provider}/{record.model}"


def compare_targets(records: Sequence[Record], book: PriceBook, *, targets: int, seed: int = 0) -> list[Comparison]:
    """All targets of one interleaved run against the first of them."""
    by_target: list[dict[int, Record]] = [{} for _ in range(targets)]
    for record in records:
        if not record.warmup:
            by_target[record.target][record.index // targets] = record
    found = []
    for candidate in range(1, targets):
        blocks = sorted(by_target[0].keys() & by_target[candidate].keys())
        pair = ([by_target[0][b] for b in blocks], [by_target[candidate][b] for b in blocks])
        if blocks:
            found.append(_compared(pair[0], pair[1], book, paired=True, seed=seed + candidate))
    return _corrected(found)


def compare_runs(runs: Sequence[Sequence[Record]], names: Sequence[str], book: PriceBook) -> list[Comparison]:
    """Run files against the first of them; without pairs."""
    first = [record for record in runs[0] if not record.warmup]
    found = []
    for number, run in enumerate(runs[1:], 1):
        other = [record for record in run if not record.warmup]
        made = _compared(first, other, book, paired=False, seed=number)
        found.append(msgspec.structs.replace(made, baseline=names[0], candidate=names[number]))
    return _corrected(found)


def _compared(a: list[Record], b: list[Record], book: PriceBook, *, paired: bool, seed: int) -> Comparison:
    import numpy as np

    generator = np.random.default_rng(seed)
    shifts = []
    for name in COMPARED:
        x, y = (per_request(METRICS[name], side, book) for side in (a, b))
        if paired:
            both = ~(np.isnan(x) | np.isnan(y))
            x, y = x[both], y[both]
        else:
            x, y = x[~np.isnan(x)], y[~np.isnan(y)]
        if min(len(x), len(y)) >= FEWEST:
            shifts += [shift(name, one, x, y, generator, paired=paired) for one in STATISTICS]
    return Comparison(
        baseline=name_of(a[0]) if a else "",
        candidate=name_of(b[0]) if b else "",
        shifts=tuple(shifts),
        failed=(sum(r.failure is not None for r in a), sum(r.failure is not None for r in b)),
    )


def shift(
    metric: str, statistic: str, x: NDArray[Any], y: NDArray[Any], generator: Any, *, paired: bool, length: int = 0
) -> Shift:
    """By how much a statistic differs, with its interval and the chance of it (not yet corrected).

    length: of the blocks that are drawn, at least.
    """
    import numpy as np

    at_x, at_y = float(_of(x[None, :], statistic)[0]), float(_of(y[None, :], statistic)[0])
    difference = at_y - at_x
    boots = np.concatenate(list(_resampled(x, y, statistic, generator, paired=paired, least=length)))
    spread = float(boots.std(ddof=1))
    low, high = (float(v) for v in np.quantile(boots, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    if paired:
        swapped = np.concatenate(list(_swapped(x, y, statistic, generator)))
        p_value = (1 + int((np.abs(swapped) >= abs(difference) * (1 - 1e-12)).sum())) / (1 + len(swapped))
        wins = float((y > x).mean() + 0.5 * (y == x).mean())
    else:
        z = abs(difference) / spread if spread else (0.0 if difference == 0 else float("inf"))
        p_value = 2 * (1 - NormalDist().cdf(z))
        order = np.searchsorted(np.sort(x), y)
        wins = float(order.mean() / len(x))
    if METRICS[metric].better == "lower":
        wins = 1 - wins
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) + NormalDist().inv_cdf(POWER)
    return Shift(
        metric=metric,
        statistic=statistic,
        baseline=at_x,
        candidate=at_y,
        difference=difference,
        low=low,
        high=high,
        relative=difference / at_x if at_x else None,
        p_value=p_value,
        p_adjusted=p_value,
        different=False,
        better=None,
        smallest_seen=reach * spread,
        wins=wins,
        n=min(len(x), len(y)),
        paired=paired,
    )


def _of(rows: NDArray[Any], statistic: str) -> NDArray[Any]:
    """The statistic of each row; percentiles by nearest rank."""
    import numpy as np

    if statistic == "mean":
        means: NDArray[Any] = rows.mean(axis=1)
        return means
    rank = max(ceil(float(statistic[1:]) / 100 * rows.shape[1]), 1) - 1
    ranked: NDArray[Any] = np.partition(rows, rank, axis=1)[:, rank]
    return ranked


def _swapped(x: NDArray[Any], y: NDArray[Any], statistic: str, generator: Any) -> Any:
    """Differences with the labels of random pairs swapped: what chance alone does."""
    import numpy as np

    for many in _rounds(len(x)):
        swap = generator.random((many, len(x))) < 0.5
        yield _of(np.where(swap, x, y), statistic) - _of(np.where(swap, y, x), statistic)


def _resampled(x: NDArray[Any], y: NDArray[Any], statistic: str, generator: Any, *, paired: bool, least: int) -> Any:
    """Differences of runs made of random blocks of this one, as long as neighbours resemble each other."""
    length = max(batch_length(y - x) if paired else max(batch_length(x), batch_length(y)), least)
    for many in _rounds(max(len(x), len(y))):
        at = _blocks(len(x), length, many, generator)
        other = at if paired else _blocks(len(y), length, many, generator)
        yield _of(y[other], statistic) - _of(x[at], statistic)


def _blocks(n: int, length: int, many: int, generator: Any) -> NDArray[Any]:
    """Places of `many` resampled runs: blocks that begin anywhere and go round the end."""
    import numpy as np

    begins = generator.integers(0, n, (many, ceil(n / length)))
    places = (begins[:, :, None] + np.arange(length)) % n
    found: NDArray[Any] = places.reshape(many, -1)[:, :n]
    return found


def _rounds(n: int) -> list[int]:
    size = max(min(SWAPS, CELLS // max(n, 1)), 1)
    return [min(size, SWAPS - done) for done in range(0, SWAPS, size)]


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """Holm's step-down over all shifts of all comparisons."""
    adjusted = iter(holm([one.p_value for c in comparisons for one in c.shifts]))
    return [
        msgspec.structs.replace(c, shifts=tuple([_judged(one, next(adjusted)) for one in c.shifts]))
        for c in comparisons
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """The chances of several findings, corrected for how many were looked for; in their order."""
    adjusted = [1.0] * len(p_values)
    worst = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(p_values[place] * (len(p_values) - rank), 1.0))
        adjusted[place] = worst
    return adjusted


def _judged(one: Shift, p_adjusted: float) -> Shift:
    different = p_adjusted < 1 - LEVEL
    better = None
    if different:
        better = (one.difference < 0) == (METRICS[one.metric].better == "lower")
    return msgspec.structs.replace(one, p_adjusted=p_adjusted, different=different, better=better)


def planned_n(first: Shift, share: float, comparisons: int) -> int:
    """Requests a target that find a shift of this share with 90 % power, when so many comparisons are corrected."""
    plain = NormalDist().inv_cdf((1 + LEVEL) / 2) + NormalDist().inv_cdf(POWER)
    strict = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / max(comparisons, 1)) + NormalDist().inv_cdf(POWER)
    # The spread that is planned with is an estimate itself: its upper bound is used.
    unsure = 1 + NormalDist().inv_cdf(0.99) * sqrt(2 / max(first.n, 1))
    return ceil(first.needed(share) * (strict / plain) ** 2 * unsure)
