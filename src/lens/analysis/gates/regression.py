"""Has it become worse? A run against one baseline or several, with a noise model and a tolerance.

A regression is reported only when a figure is worse by more than the tolerance AND by more than chance
explains. Chance is what the figures are off by, read as `compare` reads it (`difference`), so that neighbours may
resemble each other; with three baselines or more, also what the figure did from one of them to the next. All figures
are corrected together (Holm 1979). What could not have been seen is said, so that silence is not taken for proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import msgspec
import numpy as np

from lens.analysis.compare import COMPARED, LEVEL, POWER, STATISTICS
from lens.analysis.difference import FEWEST as FEWEST_COMPARED
from lens.analysis.difference import Error, Sides, run_sides, share_memory
from lens.analysis.stats import holm, statistic_of, t_upper
from lens.errors import ConfigError
from lens.metrics.definitions import METRICS
from lens.metrics.lists import Codes
from lens.metrics.table import Table

Result = Literal["regressed", "improved", "within tolerance", "no change shown"]
# So many baselines tell how much a figure moves from run to run; fewer do not.
RUNS_FOR_SPREAD = 3
# Requests that a baseline needs to tell it.
FEWEST = 8
TOLERANCE = 0.05
# A larger one would let everything pass.
MOST_TOLERANCE = 10


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of the run against the baseline."""

    metric: str
    statistic: str
    baseline: float
    current: float
    relative: float | None  # of the baseline; None where that is 0
    low: float  # 95 % interval of current - baseline
    high: float
    p_adjusted: float
    smallest: float | None  # share of the baseline that would have been found with 90 % power
    n: tuple[int, int]  # requests of the baseline, of the run
    result: Result
    target: str | None = None  # whose figure it is, where several are compared

    @property
    def name(self) -> str:
        """The metric and statistic, with the target where there are several."""
        return f"{f'{self.target}: ' if self.target else ''}{self.metric} {self.statistic}".strip()


class Regression(msgspec.Struct, frozen=True, kw_only=True):
    """A run against its baseline."""

    changes: tuple[Change, ...]
    tolerance: float
    baselines: int
    run_to_run: bool  # whether the noise between runs is in the model
    not_compared: tuple[str, ...]  # what too few requests had on one side
    unjudged: tuple[str, ...] = ()  # why no figure but the share of successes could be judged; a sentence a target

    @property
    def regressed(self) -> tuple[Change, ...]:
        """The changes that are regressions."""
        return tuple(one for one in self.changes if one.result == "regressed")

    @property
    def failed(self) -> bool:
        """A gate that sees nothing must not open."""
        return bool(self.regressed or self.unjudged)


def parse_tolerance(text: str) -> float:
    """`5%` or `0.05`.

    Raises:
        ConfigError: it is no share from 0 to MOST_TOLERANCE.
    """
    stripped = text.strip()
    try:
        value = float(stripped.removesuffix("%")) / (100 if stripped.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= MOST_TOLERANCE:
        most = f"{MOST_TOLERANCE * 100:,} %"
        raise ConfigError(f"--tolerance {text!r}: write a share of the baseline of at most {most}, like 5% or 0.05")
    return value


class _Difference(msgspec.Struct):
    """A shift, and what chance does to it."""

    metric: str
    statistic: str
    baseline: float
    current: float
    error: Error
    n: tuple[int, int]

    @property
    def p_value(self) -> float:
        return self.error.tails(self.current - self.baseline)


def regression(
    baselines: Sequence[Table],
    current: Table,
    *,
    tolerance: float = TOLERANCE,
    metrics: Sequence[str] = COMPARED,
) -> Regression:
    """Return how a run differs from its baselines. Each baseline is one run; their requests count together."""
    runs = [run.measured().started() for run in baselines]
    latest = current.measured()
    now = [run.started() for _, run in latest.by_run()] or [latest]
    found: list[_Difference] = []
    absent: list[str] = []
    measured = {name: run_sides(runs, now, name) for name in metrics}
    share_memory(list(measured.values()))
    while measured:  # one after the other, so that the influences of one only lie in memory
        name = next(iter(measured))
        sides = measured.pop(name)
        asked = STATISTICS if any(sides.requests) else ()
        enough = [statistic for statistic in asked if min(sides.requests) >= sides.fewest(statistic)]
        absent += [f"{name} {statistic}" for statistic in asked if statistic not in enough]
        sides.prepare(enough)
        per_run = _figures(runs, name, enough) if len(runs) >= RUNS_FOR_SPREAD else {}
        found += [_difference(name, statistic, sides, per_run.get(statistic, ())) for statistic in enough]
    unjudged = () if found else (_too_few(runs, now),)
    found += _shares(runs, now)
    several = len(runs) >= RUNS_FOR_SPREAD
    return Regression(
        changes=_changes(found, tolerance),
        tolerance=tolerance,
        baselines=len(runs),
        run_to_run=several,
        not_compared=tuple(absent),
        unjudged=unjudged,
    )


def _too_few(runs: Sequence[Table], now: Sequence[Table]) -> str:
    before, after = _answered(runs, now)
    many = f"{before} successful requests of the baseline and {after} of the run"
    return f"{many} are too few to compare their times; give {FEWEST_COMPARED} of each, or more"


def regression_by_target(baselines: Sequence[Table], current: Table, *, tolerance: float = TOLERANCE) -> Regression:
    """Return how each target of a run differs from the same target in its baselines.

    One target is compared with one, whatever they are called. What only one side has is listed as not compared.
    """
    names = [run.codes("target") for run in (*baselines, current)]
    if all(len(one.used()) <= 1 for one in names):
        return regression(baselines, current, tolerance=tolerance)
    changes: list[Change] = []
    unjudged: list[str] = []
    now = names[-1].used()
    absent = [f"{name} (the run has it not)" for name in _used(names[:-1]) if name not in now]
    several = False
    for name in now:
        mine = [run.take(known.equal(name)) for run, known in zip((*baselines, current), names, strict=True)]
        runs = [run for run in mine[:-1] if len(run)]
        if not runs:
            absent.append(f"{name} (no baseline has it)")
            continue
        found = regression(runs, mine[-1], tolerance=tolerance)
        changes += [msgspec.structs.replace(one, target=name) for one in found.changes]
        absent += [f"{name}: {one}" for one in found.not_compared]
        unjudged += [f"{name}: {one}" for one in found.unjudged]
        several = several or found.run_to_run
    return Regression(
        changes=tuple(changes),
        tolerance=tolerance,
        baselines=len(baselines),
        run_to_run=several,
        not_compared=tuple(absent),
        unjudged=tuple(unjudged) if changes else ("no baseline has a target of the run",),
    )


def _used(names: Sequence[Codes]) -> list[str]:
    return list(dict.fromkeys(name for one in names for name in one.used()))


def _difference(metric: str, statistic: str, sides: Sides, per_run: Sequence[float]) -> _Difference:
    """Return a shift with the noise within runs, and between them where there are enough baselines to tell.

    per_run: the statistic of each baseline; none where there are too few of them.
    """
    error = sides.error(statistic)
    if len(per_run) >= RUNS_FOR_SPREAD:
        share = sides.requests[1] / sum(sides.requests)
        error = _with_runs(error, per_run, share)
    return _Difference(metric, statistic, *sides.at(statistic), error, sides.requests)


def _figures(runs: Sequence[Table], name: str, statistics: Sequence[str]) -> dict[str, list[float]]:
    """Return statistics of each run; those with few values are left out."""
    found: dict[str, list[float]] = {statistic: [] for statistic in statistics}
    for run in runs:
        ordered = np.sort(run.answers.values(name))
        for statistic, figures in found.items() if len(ordered) >= FEWEST else ():
            figures.append(statistic_of(ordered, statistic))
    return found


def _with_runs(within: Error, per_run: Sequence[float], share: float) -> Error:
    """Return the error of a difference, when figures also move from run to run.

    share: of all requests, those of the run.
    """
    k = len(per_run)
    centre = sum(per_run) / k
    variance = sum((value - centre) ** 2 for value in per_run) / (k - 1)
    # What moved between the baselines holds the noise within each, which `within` has already.
    between = max(variance - within.size**2 * k * share, 0.0)
    squared = within.size**2 + between * (1 + 1 / k)
    if not squared:
        return within
    # So few runs know their own spread badly: the freedom of Student's t is theirs as far as the error may be of the
    # runs, also where they seem not to move (Welch and Satterthwaite).
    of_runs = min(variance * (1 + 1 / k), squared)
    return Error(sqrt(squared), squared**2 / (within.size**4 / within.freedom + of_runs**2 / (k - 1)))


def _shares(runs: Sequence[Table], now: Sequence[Table]) -> list[_Difference]:
    """Return the share of successes, and where some brought nothing that of those with content."""
    sizes = (sum(map(len, runs)), sum(map(len, now)))
    if not all(sizes):
        return []
    good = [sum(int(run.success.sum()) for run in side) for side in (runs, now)]
    full = _answered(runs, now)
    found = [_share("", good, sizes)]
    return found if good == full else [*found, _share("with content", full, sizes)]


def _answered(runs: Sequence[Table], now: Sequence[Table]) -> list[int]:
    """Return how many requests of the baselines and of the run brought content."""
    return [sum(int(run.answered.sum()) for run in side) for side in (runs, now)]


def _share(statistic: str, hits: Sequence[int], sizes: tuple[int, int]) -> _Difference:
    """Return a share of requests; its spread is Agresti and Caffo's (2000), which holds for few failures too."""
    shares = [(hit + 1) / (n + 2) for hit, n in zip(hits, sizes, strict=True)]
    variance = sum(p * (1 - p) / (n + 2) for p, n in zip(shares, sizes, strict=True))
    before, after = (hit / n for hit, n in zip(hits, sizes, strict=True))
    return _Difference("success_rate", statistic, before, after, Error(sqrt(variance), 1e6), sizes)


def _changes(found: Sequence[_Difference], tolerance: float) -> tuple[Change, ...]:
    """Return the verdicts on all figures, corrected together."""
    adjusted = holm([one.p_value for one in found])
    return tuple([_change(one, p, tolerance, len(found)) for one, p in zip(found, adjusted, strict=True)])


def _change(one: _Difference, p_adjusted: float, tolerance: float, figures: int) -> Change:
    difference = one.current - one.baseline
    half = one.error.half(1 - LEVEL)
    base = abs(one.baseline)
    result: Result = "no change shown"
    if p_adjusted < 1 - LEVEL:
        worse = (difference > 0) == (METRICS[one.metric].better == "lower")
        result = "regressed" if worse else "improved"
        if base and abs(difference) <= tolerance * base:
            result = "within tolerance"
    return Change(
        metric=one.metric,
        statistic=one.statistic,
        baseline=one.baseline,
        current=one.current,
        relative=difference / base if base else None,
        low=difference - half,
        high=difference + half,
        p_adjusted=p_adjusted,
        smallest=_smallest(one, tolerance, figures) if base else None,
        n=one.n,
        result=result,
    )


def _smallest(one: _Difference, tolerance: float, figures: int) -> float:
    """Return the share by which a figure must grow to be found with 90 % power, when so many are corrected together."""
    strict, power = t_upper((1 - LEVEL) / 2 / figures, one.error.freedom), t_upper(1 - POWER, one.error.freedom)
    # What the error is known by is an estimate, here and in the run that looks again: one standard error more.
    spread = one.error.size / abs(one.baseline) * (1 + 1 / sqrt(2 * one.error.freedom))
    share = 0.0
    for _ in range(20):
        # What grows also scatters more, in proportion.
        then = spread * sqrt((1 + min(1 + share, 10.0) ** 2) / 2)
        share = max(tolerance, strict * then) + power * then
    return share
