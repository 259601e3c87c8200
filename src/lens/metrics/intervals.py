"""Confidence intervals of means and percentiles, where neighbouring requests are correlated.

Requests of one run are not independent: a slow moment makes several slow. What the mean of n of them varies by is
n times smaller than the spectrum of the series at frequency 0, which is read from its lowest cosines (Lazarus, Lewis,
Stock and Watson 2018) after dividing by the spectrum of the AR(1) process that the series resembles (prewhitening,
Andrews and Monahan 1992), and judged by Student's t for as few cosines as were read. The same is asked of means of
short blocks, which shows a memory that noise hides; the wider answer counts. A run that is short for the memory it
shows may have a longer one, and is judged by that. Skewness moves the end on the side of the
long tail (Johnson 1978). A percentile's interval is that of the share of values below it, read back through the
values (Woodruff 1952).

Where this does not hold the truth often enough, there is no interval but a reason: docs/statistics.md has the coverage
for series of known truth. An interval speaks for what the run met: a state that it never met is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, inf, log, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lens.arrays.dispatch import np, numpy_array
from lens.metrics.long_series import ends_of, log_spread, mean_of, shortened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Series = NDArray[Any]

# Fewer values than this say nothing of how they resemble each other, and may have missed one case in ten.
FEWEST = 30
# A percentile needs so many values beyond it; more where neighbours resemble each other.
FEWEST_BEYOND = 10
FEWEST_BEYOND_ALIKE = 25
# A run must be so many times as long as one value is remembered; where it seems to be and is not, intervals miss.
TIMES_MEMORY = 10
# A run shorter than this many times its memory may hide a longer one: its intervals reckon with what it may be.
TIMES_MEMORY_SURE = 20
# Standard errors by which the correlation of neighbours is taken larger there.
UNSURE = 2.5
# With so many beyond it, the values beyond tell by themselves how they resemble each other.
ENOUGH_BEYOND = 75
# The mean of positive values whose logarithms scatter more than this hangs on a few of them, however many there are:
# the intervals of a lognormal with 2 held the truth in 63 % (n = 30) to 87 % (n = 1,000).
WIDEST_LOG_SPREAD = 1.4
# Cosines that are read: at least, at most, and of n values this times n ** (2/3), so that they stay low.
FEWEST_COSINES = 3
MOST_COSINES = 64
COSINES = 0.4
# The largest lag-1 correlation that is reckoned with; beyond it a series says nothing of its mean.
MOST_ALIKE = 0.98
# Spells of geometric length make a sum this much more skewed than the same number of independent values.
SKEWNESS_OF_SPELLS = 1.5
# A mean that spells skew more than this hangs on a few of them: intervals of runs that met short ones miss.
MOST_SKEWED = 0.7
# A mean whose spread fewer values than this carry hangs on one, which may be the end of a spell; of few values the
# interval is wide enough for that.
ONE_VALUE = 1.5
MOST_FOR_ONE_VALUE = 50
# Short means of blocks are looked at too from so many values on.
FEWEST_FOR_BLOCKS = 30
FEWEST_FOR_BLOCKS_OF_TESTS = 40

TOO_ALIKE = "neighbours resemble each other for too long a part of the run"
FEW_SPELLS = "the mean hangs on a few spells of large values"
HANGS_ON_ONE = "the mean hangs on one value far from the others"


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Where the true value lies with probability `level`."""

    low: float
    high: float
    level: float
    batch: int  # neighbours that tell as much as one independent value; 1: no resemblance was found


class Refusal(str):
    """Why there is no interval."""


def mean_interval(values: Series, level: float = 0.95) -> Interval | None:
    """Return that of the mean of values in the order in which they were measured; None where it would not hold."""
    found = mean_interval_or_reason(values, level)
    return found if isinstance(found, Interval) else None


def mean_interval_or_reason(values: Series, level: float = 0.95) -> Interval | Refusal:
    """Return the interval of the mean, or why there is none."""
    few = _few(len(values))
    if few:
        return few
    series = numpy_array(np.asarray(values, dtype=np.float64))
    return _mean_interval(series, shortened(series), level)


def percentile_interval(values: Series, percent: float, level: float = 0.95) -> Interval | None:
    """Return that of a percentile; None where it would not hold. Its ends are values that were measured."""
    found = percentile_interval_or_reason(values, percent, level)
    return found if isinstance(found, Interval) else None


def percentile_interval_or_reason(values: Series, percent: float, level: float = 0.95) -> Interval | Refusal:
    """Return the interval of a percentile, or why there is none."""
    few = _few(len(values))
    if few:
        return few
    series = numpy_array(np.asarray(values, dtype=np.float64))
    return _percentile_interval(series, np.sort(series), percent, level, _resemblance(shortened(series), level))


def intervals_of(
    series: Series, ordered: Series, percents: Sequence[float], level: float = 0.95
) -> dict[float | None, Interval | Refusal]:
    """Return those of the mean (None) and of percentiles, or why there is none; ordered: the same values, sorted."""
    few = _few(len(series))
    if few:
        return dict.fromkeys([None, *percents], few)
    series, ordered = numpy_array(series), numpy_array(ordered)
    short = shortened(series)
    resemblance = _resemblance(short, level)
    found: dict[float | None, Interval | Refusal] = {None: _mean_interval(series, short, level)}
    for percent in percents:
        found[percent] = _percentile_interval(series, ordered, percent, level, resemblance)
    return found


def _few(n: int) -> Refusal | None:
    return Refusal(f"needs {FEWEST} values") if n < FEWEST else None


def _mean_interval(series: Series, short: Series, level: float) -> Interval | Refusal:
    least, greatest = ends_of(series)
    if least > 0 and log_spread(series) > WIDEST_LOG_SPREAD:
        return Refusal("the mean hangs on a few very large values; take a percentile")
    if remembered(short) * TIMES_MEMORY > len(short):
        return Refusal(TOO_ALIKE)
    error = mean_error(short, level)
    if abs(error.skew) > MOST_SKEWED and correlation_beyond_chance(short):
        return Refusal(FEW_SPELLS)
    if len(short) > MOST_FOR_ONE_VALUE and _carrying(short) < ONE_VALUE:
        return Refusal(HANGS_ON_ONE)
    centre, half = mean_of(series), error.t * error.size
    skewed = error.skew / 6 * (1 + 2 * error.t**2) * error.size
    low, high = centre - half + min(skewed, 0.0), centre + half + max(skewed, 0.0)
    if half > 0 and high - low > float(greatest - least):
        return Refusal(TOO_ALIKE)
    batch = remembered(short) * (len(series) // len(short))
    return Interval(low=max(low, 0.0) if least >= 0 else low, high=high, level=level, batch=batch)


def _carrying(series: Series) -> float:
    """Return how many values carry the spread of a series: one of them, or up to a third of n normal values."""
    squares = np.square(series - series.mean())
    squares /= squares.max() or 1.0
    fourth = float(np.square(squares).sum())
    return float(squares.sum()) ** 2 / fourth if fourth else inf


def _percentile_interval(
    series: Series, ordered: Series, percent: float, level: float, resemblance: _Resemblance
) -> Interval | Refusal:
    n, share = len(series), percent / 100
    needed = FEWEST_BEYOND_ALIKE if resemblance.errors else FEWEST_BEYOND
    least = ceil(round(needed / min(share, 1 - share), 6))
    if n < least:
        return Refusal(f"needs {least} values")
    at = float(ordered[max(ceil(share * n), 1) - 1])
    below = shortened(series, upto=at)
    if resemblance.errors == inf or remembered(below) * TIMES_MEMORY > len(below):
        return Refusal(TOO_ALIKE)
    error = mean_error(below, level)
    half = error.t * error.size
    if resemblance.hides or min(share, 1 - share) * n < ENOUGH_BEYOND:
        half = max(half, resemblance.errors * sqrt(share * (1 - share) / n))
    low, high = _logit_ends(share, half)
    first, last = ceil(low * n) - 1, ceil(high * n)
    if first < 0 or last > n - 1:
        return Refusal(TOO_ALIKE)
    batch = max(remembered(below) * (n // len(below)), 1)
    return Interval(low=float(ordered[first]), high=float(ordered[last]), level=level, batch=batch)


class MeanError(NamedTuple):
    """What the mean of a series is off by."""

    size: float  # its standard error
    t: float  # Student's quantile for the cosines that it was read from
    skew: float  # of the mean: its third moment over the cube of its standard error
    freedom: int  # of Student's t: the cosines that were read


def mean_error(series: Series, level: float) -> MeanError:
    """Return the standard error of the mean with its quantile, of values or of means of short blocks."""
    n = len(series)
    centred = series - series.mean()
    squares = np.square(centred)
    spread = float(squares.sum())
    if spread <= 1e-24 * n * float(np.square(series[0])):
        return MeanError(0.0, 0.0, 0.0, n - 1)
    size, t, freedom = max(_readings(centred, level), key=lambda one: one[0] * one[1])
    size = max(size, _hidden_error(series))
    skewness = float(np.mean(squares * centred)) / (spread / n) ** 1.5
    if correlation_beyond_chance(series):
        skewness *= SKEWNESS_OF_SPELLS
    independent = spread / n / size**2
    return MeanError(size, t, skewness / sqrt(max(independent, 1.0)), freedom)


def _hidden_error(series: Series) -> float:
    """Return the standard error of the mean with the longest memory that a short run may have; 0 of a long one."""
    n, rho = len(series), correlation_beyond_chance(series)
    if not rho or not _may_hide(series):
        return 0.0
    rho = min(rho + UNSURE * sqrt((1 - rho * rho) / n), MOST_ALIKE)
    return sqrt(float(series.var()) / n * (1 + rho) / (1 - rho))


def _may_hide(series: Series) -> bool:
    """Return whether a series is short enough for a memory longer than it shows."""
    return len(series) < TIMES_MEMORY_SURE * remembered(series)


def _readings(
    centred: Series, level: float, fewest_for_blocks: int = FEWEST_FOR_BLOCKS
) -> list[tuple[float, float, int]]:
    """Return the standard error of the mean as read from the values, and as from means of short blocks."""
    n = len(centred)
    found = [_by_cosines(centred, n, level, unsure=0.7)]
    if n >= fewest_for_blocks:
        each = round(n ** (1 / 3))
        whole = n // each
        blocks = centred[: whole * each].reshape(whole, each).mean(axis=1)
        found.append(_by_cosines(blocks - blocks.mean(), n, level, unsure=0.0))
    return found


def larger_error(series: Series) -> tuple[float, int]:
    """Return the larger reading of the standard error of the mean, with the freedom of the values' own.

    That is more freedom than `mean_error` has, as a test among many needs.
    """
    readings = _readings(series - series.mean(), 0.95, FEWEST_FOR_BLOCKS_OF_TESTS)
    return max(size for size, _, _ in readings), readings[0][2]


def _by_cosines(centred: Series, n: int, level: float, *, unsure: float) -> tuple[float, float, int]:
    """Return the standard error of the mean, Student's quantile for it and its freedom.

    n: values that the series was made of. unsure: standard errors by which the correlation is taken larger.
    """
    many = len(centred)
    rho = min(max(correlation(centred), 0.0), MOST_ALIKE)
    if rho > 0:
        surely = min(1.0, rho * sqrt(many))  # what is no more than noise is not made larger
        rho = min(rho + unsure * surely * sqrt((1 - rho * rho) / many), MOST_ALIKE)
    most = min(many / 4, COSINES * n ** (2 / 3), MOST_COSINES, many * (1 - rho) / (1 + rho))
    count = max(int(most), FEWEST_COSINES)
    low = np.pi * np.arange(1, count + 1) / many
    # Of an AR(1) process, over that at frequency 0.
    spectrum = (1 - rho) ** 2 / (1 - 2 * rho * np.cos(low) + rho * rho)
    height = float((_cosines(centred, count) ** 2 / spectrum).mean())
    return sqrt(height / many), t_quantile((1 + level) / 2, count), count


def _cosines(centred: Series, count: int) -> Series:
    """Return the first so many coefficients of the cosine transform (DCT-II, orthonormal), without the mean's."""
    n = len(centred)
    folded = np.concatenate((centred[::2], centred[1::2][::-1]))
    transformed = np.fft.rfft(folded)[1 : count + 1]
    found: Series = (
        sqrt(2 / n) * (transformed * np.exp(-1j * np.pi * np.arange(1, len(transformed) + 1) / (2 * n))).real
    )
    return found


def correlation(centred: Series) -> float:
    """Return that of neighbours, without the bias of short series (Marriott and Pope 1954)."""
    squares = float(np.square(centred).sum())
    if not squares:
        return 0.0
    plain = float((centred[1:] * centred[:-1]).sum()) / squares
    return plain + (1 + 4 * plain) / len(centred)


def correlation_beyond_chance(series: Series) -> float:
    """Return the correlation of neighbours where it is more than chance; else 0."""
    found = correlation(series - series.mean())
    return min(found, MOST_ALIKE) if found > 2 / sqrt(len(series)) else 0.0


def remembered(series: Series) -> int:
    """Return how many neighbours tell as much as one independent value."""
    return memory_of(correlation_beyond_chance(series))


def memory_of(rho: float) -> int:
    """Return how many neighbours of an AR(1) process with this correlation tell as much as one independent value."""
    return max(round((1 + rho) / (1 - rho)), 1)


class _Resemblance(NamedTuple):
    """How neighbours resemble each other, as far as it counts for every percentile."""

    errors: float  # standard errors of independent values by which the mean may be off; 0: they do not; inf: too long
    hides: bool  # the series is too short to show all of it


def _resemblance(series: Series, level: float) -> _Resemblance:
    """Return what neighbours of a series have in common."""
    if not correlation_beyond_chance(series):
        return _Resemblance(0.0, hides=False)
    if remembered(series) * TIMES_MEMORY > len(series):
        return _Resemblance(inf, hides=True)
    error = mean_error(series, level)
    return _Resemblance(error.t * error.size / sqrt(float(series.var()) / len(series)), hides=_may_hide(series))


def batch_length(series: NDArray[Any]) -> int:
    """Return how many neighbours belong together: 1 for independent values.

    Politis and White 2004, with the correction of Patton, Politis and White 2009.
    """
    n = len(series)
    centred = series - series.mean()
    variance = float(np.square(centred).sum()) / n
    if variance == 0:
        return 1
    farthest = max(5, ceil(sqrt(log(n, 10))))
    most = min(ceil(sqrt(n)) + farthest, n - 1)
    correlation = _autocovariance(centred, most) / variance
    limit = 2 * sqrt(log(n, 10) / n)
    small = np.abs(correlation[1:]) < limit
    # The lag from which on `farthest` correlations in a row are noise.
    m = next((k for k in range(1, most - farthest + 1) if small[k - 1 : k - 1 + farthest].all()), most) - 1
    if m == 0:
        return 1
    lags = np.arange(1, min(2 * m, most) + 1)
    window = np.minimum(1.0, 2 * (1 - lags / (2 * m)))  # flat top: 1, then down to 0
    weighted = window * correlation[lags]
    g, spectrum = 2 * float(lags @ weighted), 1 + 2 * float(weighted.sum())
    if spectrum <= 0:
        return 1
    best = (2 * g * g / (4 / 3 * spectrum * spectrum)) ** (1 / 3) * n ** (1 / 3)
    # Twice the best for the variance: a longer batch has less bias, and the t quantile pays for it.
    return int(max(1, min(ceil(2 * best), n // 5)))


def _autocovariance(centred: NDArray[Any], most: int) -> NDArray[Any]:
    """Return the autocovariance at lags 0..most, by the Fourier transform."""
    n = len(centred)
    size = 1 << (2 * n - 1).bit_length()
    transformed = np.fft.rfft(centred, size)
    found: NDArray[Any] = np.fft.irfft(transformed * transformed.conj(), size)[: most + 1] / n
    return found


def _logit_ends(share: float, half: float) -> tuple[float, float]:
    """share -+ half on the logit scale, so that the ends stay within 0..1."""
    odds, stretch = log(share / (1 - share)), min(half / (share * (1 - share)), 50.0)
    return 1 / (1 + exp(-(odds - stretch))), 1 / (1 + exp(-(odds + stretch)))


def t_quantile(probability: float, freedom: float) -> float:
    """Student's t, by the expansion of Fisher and Cornish (Abramowitz and Stegun 26.7.5)."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**i for i, term in enumerate(terms))
