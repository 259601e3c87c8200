"""Compare targets: differences with confidence intervals, and the smallest difference that would be detected.

Targets that were asked in turns are compared pair by pair, which holds whatever the drift. Runs that were not
interleaved are compared without pairs, and drift between them cannot be excluded. All comparisons of one table are
corrected together (Holm 1979).

Interval, p value, verdict and what could have been seen come from one error (`difference`), by Student's t. Its tail
has no floor: however many targets are compared, a large difference is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from statistics import NormalDist

import msgspec
import numpy as np

from lens.analysis.difference import Error, Sides, pair_sides, run_sides, share_memory
from lens.analysis.stats import holm, t_upper
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.metrics.table import Table

COMPARED = (
    "ttft_ms", "itl_ms", "tool_ready_ms", "time_to_valid_ms", "total_latency_ms", "tokens_per_second", "total_cost",
)  # fmt: skip
STATISTICS = ("mean", "p50", "p95")
LEVEL = 0.95
POWER = 0.90


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
    smallest_seen: float  # a difference of this size would have been found with 90 % power, all comparisons corrected
    wins: float  # share of pairs in which the candidate was better, ties half
    n: int
    paired: bool
    error: float = 0.0  # standard error of the difference
    freedom: float = 1.0  # of Student's t for it
    among: int = 1  # comparisons that were corrected together

    def needed(self, share: float) -> int:
        """Return the requests a target that find a shift of this share of the baseline with 90 % power."""
        effect = abs(share * self.baseline)
        return ceil(self.n * (self.smallest_seen / effect) ** 2) if effect else 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate against the baseline."""

    baseline: str
    candidate: str
    shifts: tuple[Shift, ...]
    failed: tuple[int, int]  # requests of each
    empty: tuple[int, int] = (0, 0)  # successes of each that brought no content
    too_few: dict[str, int] = {}  # "ttft_ms p95" -> requests of each that it needs, where there were fewer
    succeeded: tuple[int, int] | None = None  # requests of each
    paired: bool = False  # they took turns


def compare_targets(table: Table, *, targets: int) -> list[Comparison]:
    """Compare all targets of one interleaved run with the first of them."""
    measured = table.measured()
    target, turn = measured.column("target_index"), measured.column("index") // targets
    rows = [_last_of_each(np.flatnonzero(target == number), turn) for number in range(targets)]
    found = []
    for candidate in range(1, targets):
        _, a, b = np.intersect1d(turn[rows[0]], turn[rows[candidate]], assume_unique=True, return_indices=True)
        if len(a):
            pair = measured.take(rows[0][a]), measured.take(rows[candidate][b])
            found.append(_compared(*pair, paired=True))
    return _corrected(found)


def _last_of_each(rows: Column, turn: Column) -> Column:
    """Return of these requests the last of each turn."""
    turns = turn[rows]
    kept: Column = rows[len(rows) - 1 - np.unique(turns[::-1], return_index=True)[1]]
    return kept


def compare_runs(runs: Sequence[Table], names: Sequence[str]) -> list[Comparison]:
    """Compare runs with the first of them; without pairs."""
    first = runs[0].measured()
    found = []
    for number, run in enumerate(runs[1:], 1):
        made = _compared(first, run.measured(), paired=False)
        found.append(msgspec.structs.replace(made, baseline=names[0], candidate=names[number]))
    return _corrected(found)


def target_name(table: Table) -> str:
    """Return whose requests these are, by the first of them."""
    if not len(table):
        return ""
    names = table.codes("target")
    name: str = names.values[names.codes[0]]
    return name


def _compared(a: Table, b: Table, *, paired: bool) -> Comparison:
    shifts: list[Shift] = []
    too_few: dict[str, int] = {}
    metrics = {name: pair_sides(a, b, name) if paired else run_sides([a], [b], name) for name in COMPARED}
    share_memory(list(metrics.values()))
    while metrics:  # one after the other, so that the influences of one only lie in memory
        name = next(iter(metrics))
        sides = metrics.pop(name)
        n = min(sides.requests)
        needed = {statistic: sides.fewest(statistic) for statistic in STATISTICS} if n else {}
        too_few |= {f"{name} {statistic}": least for statistic, least in needed.items() if n < least}
        enough = [statistic for statistic, least in needed.items() if n >= least]
        sides.prepare(enough)
        shifts += [shift(name, statistic, sides) for statistic in enough]
    failed = [int((side.codes("failure").codes >= 0).sum()) for side in (a, b)]
    return Comparison(
        baseline=target_name(a), candidate=target_name(b), shifts=tuple(shifts), failed=(failed[0], failed[1]),
        empty=(int(a.empty.sum()), int(b.empty.sum())), too_few=too_few,
        succeeded=(int(a.success.sum()), int(b.success.sum())), paired=paired,
    )  # fmt: skip


def shift(metric: str, statistic: str, sides: Sides) -> Shift:
    """Return by how much a statistic differs, with its interval and the chance of it (not yet corrected)."""
    at_x, at_y = sides.at(statistic)
    difference = at_y - at_x
    error = sides.error(statistic)
    half = error.half(1 - LEVEL)
    p_value = error.tails(difference)
    return Shift(
        metric=metric,
        statistic=statistic,
        baseline=at_x,
        candidate=at_y,
        difference=difference,
        low=difference - half,
        high=difference + half,
        relative=difference / at_x if at_x else None,
        p_value=p_value,
        p_adjusted=p_value,
        different=False,
        better=None,
        smallest_seen=_smallest(error, 1),
        wins=1 - sides.above if METRICS[metric].better == "lower" else sides.above,
        n=min(sides.requests),
        paired=sides.paired,
        error=error.size,
        freedom=error.freedom,
    )


def _smallest(error: Error, among: int) -> float:
    """Return the difference that is found with 90 % power when so many comparisons are corrected together."""
    # What the error is known by is an estimate, here and in the run that looks again: one standard error more.
    unsure = 1 + 1 / sqrt(2 * error.freedom)
    return unsure * (error.half((1 - LEVEL) / among) + t_upper(1 - POWER, error.freedom) * error.size)


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """Return them with Holm's step-down over all shifts of all comparisons."""
    adjusted = iter(holm([one.p_value for c in comparisons for one in c.shifts]))
    among = sum(len(c.shifts) for c in comparisons)
    return [
        msgspec.structs.replace(c, shifts=tuple([_with_verdict(one, next(adjusted), among) for one in c.shifts]))
        for c in comparisons
    ]


def _with_verdict(one: Shift, p_adjusted: float, among: int) -> Shift:
    different = p_adjusted < 1 - LEVEL
    better = None
    if different:
        better = (one.difference < 0) == (METRICS[one.metric].better == "lower")
    return msgspec.structs.replace(
        one, p_adjusted=p_adjusted, different=different, better=better, among=among,
        smallest_seen=_smallest(Error(one.error, one.freedom), among),
    )  # fmt: skip


def planned_n(first: Shift, share: float, comparisons: int) -> int:
    """Return the requests a target that find a shift of this share with 90 % power, corrected for many comparisons."""
    strict = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / max(comparisons, 1)) + NormalDist().inv_cdf(POWER)
    effect = abs(share * first.baseline)
    if not effect:
        return 0
    # The spread that is planned with is an estimate itself: its upper bound is used.
    unsure = 1 + NormalDist().inv_cdf(0.99) * sqrt(2 / max(first.n, 1))
    return ceil(first.n * (strict * first.error / effect) ** 2 * unsure)
