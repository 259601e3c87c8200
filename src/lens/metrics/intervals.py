"""How sure a mean or a percentile is, when neighbours resemble each other.

Requests of one run are not independent: a slow moment makes several slow. The intervals here
come from the variance of overlapping batch means (Meketon and Schmeiser 1984), with batches as
long as the resemblance lasts (Politis and White 2004), and a t quantile for the few batches
that leaves. A percentile's interval is that of the share of values below it, read back through
the values (Woodruff 1952). The variance of overlapping batch means is the one that a moving-block
bootstrap (Kuensch 1989) with blocks of that length comes to after infinitely many draws; nothing is
drawn here, so the same values give the same interval, and a million values take well under a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, log, sqrt
from typing import TYPE_CHECKING, Any

import msgspec

from lens.arrays.dispatch import np, numpy_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewer values than this say nothing of how they resemble each other.
FEWEST = 20
# A percentile needs so many values beyond it, and as many as are taken together: with fewer, the
# A/A runs of the tests held the truth in less than 93 of 100.
FEWEST_BEYOND = 5
# More values than this are averaged in neighbourhoods first; their means tell the variance as well.
MOST = 50_000


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Where the true value lies with probability `level`."""

    low: float
    high: float
    level: float
    batch: int  # values that were taken together; 1: no resemblance was found


def mean_interval(values: NDArray[Any], level: float = 0.95) -> Interval | None:
    """Of the mean of values in the order in which they were measured; None when there are too few."""
    series = np.asarray(values, dtype=np.float64)
    return None if len(series) < FEWEST else _mean_interval(series, _shortened(series), level)


def _mean_interval(series: NDArray[Any], short: NDArray[Any], level: float) -> Interval:
    batch = batch_length(short)
    half = _half_width(short, batch, level)
    centre = float(series.mean(dtype="float64"))
    return Interval(low=centre - half, high=centre + half, level=level, batch=batch * (len(series) // len(short)))


def percentile_interval(values: NDArray[Any], percent: float, level: float = 0.95) -> Interval | None:
    """Of a percentile; None when there are too few values on either side of it.

    Its ends are values that were measured.
    """
    series = np.asarray(values, dtype=np.float64)
    if len(series) < FEWEST:
        return None
    return _percentile_interval(series, np.sort(series), percent, level, batch_length(_shortened(series)))


def _percentile_interval(
    series: NDArray[Any], ordered: NDArray[Any], percent: float, level: float, resemblance: int
) -> Interval | None:
    n, share = len(series), percent / 100
    beyond = min(share, 1 - share) * n
    if beyond < FEWEST_BEYOND:
        return None
    at = float(ordered[max(ceil(share * n), 1) - 1])
    below = _shortened(series <= at)
    batch = max(batch_length(below), resemblance)
    if beyond < batch * (n // len(below)):
        return None
    low, high = _logit_ends(share, _half_width(below, batch, level))
    first, last = ceil(low * n) - 1, ceil(high * n)
    if last > n - 1:
        return None  # the upper end lies beyond all that was measured
    batch *= n // len(below)
    return Interval(low=float(ordered[max(first, 0)]), high=float(ordered[last]), level=level, batch=batch)


def intervals_of(
    series: NDArray[Any], ordered: NDArray[Any], percents: Sequence[float], level: float = 0.95
) -> dict[float | None, Interval]:
    """Of the mean (None) and of percentiles, where there are enough values; ordered: the same, sorted."""
    if len(series) < FEWEST:
        return {}
    series, ordered = numpy_array(series), numpy_array(ordered)
    short = _shortened(series)
    mean = _mean_interval(series, short, level)
    found: dict[float | None, Interval] = {None: mean}
    resemblance = max(mean.batch // (len(series) // len(short)), 1)
    for percent in percents:
        one = _percentile_interval(series, ordered, percent, level, resemblance)
        if one is not None:
            found[percent] = one
    return found


def _shortened(series: NDArray[Any]) -> NDArray[Any]:
    """A long series as the means of as many neighbours each as make it short; the few that are left over go."""
    each = -(-len(series) // MOST)
    if each == 1:
        return series.astype(np.float64, copy=False)
    whole = len(series) // each
    means: NDArray[Any] = series[: whole * each].reshape(whole, each).mean(axis=1, dtype="float64")
    return means


def batch_length(series: NDArray[Any]) -> int:
    """How many neighbours belong together: 1 for independent values.

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
    """At lags 0..most, by the Fourier transform."""
    n = len(centred)
    size = 1 << (2 * n - 1).bit_length()
    transformed = np.fft.rfft(centred, size)
    found: NDArray[Any] = np.fft.irfft(transformed * transformed.conj(), size)[: most + 1] / n
    return found


def _half_width(series: NDArray[Any], batch: int, level: float) -> float:
    """Half of the interval of the mean: t times the standard error by overlapping batch means."""
    n = len(series)
    sums = np.concatenate(([0.0], np.cumsum(series)))
    means = (sums[batch:] - sums[:-batch]) / batch
    spread = float(((means - series.mean()) ** 2).sum())
    variance = n * batch / ((n - batch) * (n - batch + 1)) * spread / n
    freedom = max(1.5 * (n / batch - 1), 2.0) if batch > 1 else n - 1
    return t_quantile((1 + level) / 2, freedom) * sqrt(variance)


def _logit_ends(share: float, half: float) -> tuple[float, float]:
    """share -+ half on the logit scale, so that the ends stay within 0..1."""
    odds, stretch = log(share / (1 - share)), half / (share * (1 - share))
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
