"""Has it become worse? A run against one baseline or several, with a noise model and a tolerance.

A regression is told only when a figure is worse by more than the tolerance AND by more than chance
explains. Chance is what blocks of neighbouring requests, drawn again and again, do to the figure; with
three baselines or more, also what the figure did from one of them to the next. All figures are corrected
together (Holm 1979). What could not have been seen is told, so that silence is not taken for proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, inf, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lens.analysis.columns import in_order, per_request
from lens.analysis.compare import COMPARED, FEWEST, LEVEL, POWER, STATISTICS, Shift, holm, shift
from lens.errors import ConfigError
from lens.metrics.definitions import METRICS
from lens.metrics.intervals import t_quantile
from lens.metrics.summary import values_needed
from lens.model import Record, Status
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from numpy.typing import NDArray

Result = Literal["regressed", "improved", "within tolerance", "no change shown"]
# So many baselines tell how much a figure moves from run to run; fewer do not.
RUNS_FOR_SPREAD = 3
TOLERANCE = 0.05


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
    smallest: float | None  # share of the baseline that would have been told with 90 % power
    n: tuple[int, int]  # requests of the baseline, of the run
    result: Result

    @property
    def name(self) -> str:
        return f"{self.metric} {self.statistic}".strip()


class Regression(msgspec.Struct, frozen=True, kw_only=True):
    """A run against its baseline."""

    changes: tuple[Change, ...]
    tolerance: float
    baselines: int
    run_to_run: bool  # whether the noise between runs is in the model
    not_compared: tuple[str, ...]  # what too few requests had on one side

    @property
    def regressed(self) -> tuple[Change, ...]:
        return tuple(one for one in self.changes if one.result == "regressed")

    @property
    def failed(self) -> bool:
        """A gate that sees nothing must not open."""
        return bool(self.regressed) or not self.changes


def parse_tolerance(text: str) -> float:
    """`5%` or `0.05`.

    Raises:
        ConfigError: it is no share from 0 on.
    """
    stripped = text.strip()
    try:
        value = float(stripped.removesuffix("%")) / (100 if stripped.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < inf:
        raise ConfigError(f"--tolerance {text!r}: write a share of the baseline, like 5% or 0.05")
    return value


class _Finding(msgspec.Struct):
    """A shift, and what chance does to it."""

    metric: str
    statistic: str
    baseline: float
    current: float
    spread: float
    n: tuple[int, int]

    @property
    def p_value(self) -> float:
        difference = abs(self.current - self.baseline)
        if not self.spread:
            return 0.0 if difference else 1.0
        return 1 - erf(difference / self.spread / sqrt(2))


def regression(
    baselines: Sequence[Sequence[Record]],
    current: Sequence[Record],
    book: PriceBook,
    *,
    tolerance: float = TOLERANCE,
    metrics: Sequence[str] = COMPARED,
    seed: int = 0,
) -> Regression:
    """Hold a run against its baselines. Each baseline is one run; their requests count together."""
    import numpy as np

    runs = [in_order(run) for run in baselines]
    now = in_order(current)
    generator = np.random.default_rng(seed)
    found: list[_Finding] = []
    absent: list[str] = []
    for name in metrics:
        columns = [_measured(name, run, book) for run in runs]
        y = _measured(name, now, book)
        x = np.concatenate(columns)
        if not len(x) and not len(y):
            continue
        for statistic in STATISTICS:
            if min(len(x), len(y)) < _fewest(statistic):
                absent.append(f"{name} {statistic}")
            else:
                found.append(_finding(shift(name, statistic, x, y, generator, paired=False), columns, len(y)))
    failures = _success(runs, now)
    found += [failures] if failures else []
    adjusted = holm([one.p_value for one in found])
    several = len(runs) >= RUNS_FOR_SPREAD
    return Regression(
        changes=tuple(_change(one, p, tolerance, len(found)) for one, p in zip(found, adjusted, strict=True)),
        tolerance=tolerance,
        baselines=len(runs),
        run_to_run=several,
        not_compared=tuple(absent),
    )


def _measured(name: str, records: Sequence[Record], book: PriceBook) -> NDArray[Any]:
    import numpy as np

    values = per_request(METRICS[name], records, book)
    return values[~np.isnan(values)]


def _fewest(statistic: str) -> int:
    return max(FEWEST, values_needed(float(statistic[1:]))) if statistic[0] == "p" else FEWEST


def _finding(made: Shift, columns: Sequence[NDArray[Any]], n: int) -> _Finding:
    """With the noise within runs, and between them where there are enough baselines to tell."""
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) + NormalDist().inv_cdf(POWER)
    spread = made.smallest_seen / reach
    per_run = [_statistic(column, made.statistic) for column in columns if len(column) >= FEWEST]
    if len(per_run) >= RUNS_FOR_SPREAD:
        spread = _with_runs(spread, per_run, n / (n + sum(map(len, columns))))
    sizes = (sum(map(len, columns)), n)
    return _Finding(made.metric, made.statistic, made.baseline, made.candidate, spread, sizes)


def _with_runs(spread: float, per_run: Sequence[float], share: float) -> float:
    """The spread of a difference, when figures also move from run to run.

    share: of all requests, those of the run; its own figure is as noisy as one baseline's.
    """
    k = len(per_run)
    centre = sum(per_run) / k
    variance = sum((value - centre) ** 2 for value in per_run) / (k - 1)
    # What moved between the baselines holds the noise within each, which `spread` has already: a run
    # brings (1 - share) of its variance. Only what is beyond it is added.
    between = max(variance - spread**2 * (1 - share), 0.0)
    # So few runs know their own spread badly: Student's factor pays for it.
    unsure = t_quantile((1 + LEVEL) / 2, k - 1) / NormalDist().inv_cdf((1 + LEVEL) / 2)
    return sqrt(spread**2 + between * (1 + 1 / k) * unsure**2)


def _statistic(values: NDArray[Any], statistic: str) -> float:
    import numpy as np

    from lens.metrics.summary import percentile

    return float(values.mean()) if statistic == "mean" else percentile(np.sort(values), float(statistic[1:]))


def _success(runs: Sequence[Sequence[Record]], now: Sequence[Record]) -> _Finding | None:
    """The share of successes; the spread is Agresti and Caffo's (2000), which holds for few failures too."""
    before = [record for run in runs for record in run]
    if not before or not now:
        return None
    good = [sum(record.status is Status.SUCCESS for record in side) for side in (before, now)]
    sizes = (len(before), len(now))
    shares = [(hit + 1) / (n + 2) for hit, n in zip(good, sizes, strict=True)]
    variance = sum(p * (1 - p) / (n + 2) for p, n in zip(shares, sizes, strict=True))
    return _Finding("success_rate", "", good[0] / sizes[0], good[1] / sizes[1], sqrt(variance), sizes)


def _change(one: _Finding, p_adjusted: float, tolerance: float, figures: int) -> Change:
    difference = one.current - one.baseline
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * one.spread
    base = abs(one.baseline)
    result: Result = "no change shown"
    if p_adjusted < 1 - LEVEL:
        worse = (difference > 0) == (METRICS[one.metric].better == "lower")
        result = "regressed" if worse else "improved"
        if base and abs(difference) <= tolerance * base:
            result = "within tolerance"
    strict = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / figures) * one.spread
    power = NormalDist().inv_cdf(POWER) * one.spread
    return Change(
        metric=one.metric,
        statistic=one.statistic,
        baseline=one.baseline,
        current=one.current,
        relative=difference / base if base else None,
        low=difference - half,
        high=difference + half,
        p_adjusted=p_adjusted,
        smallest=max(tolerance, strict / base) + power / base if base else None,
        n=one.n,
        result=result,
    )
