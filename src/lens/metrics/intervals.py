"""How sure a mean or a percentile is, when neighbours resemble each other.

Requests of one run are not independent: a slow moment makes several slow. The intervals here
come from the variance of overlapping batch means (Meketon and Schmeiser 1984), with batches as
long as the resemblance lasts (Politis and White 2004), and a t quantile for the few batches
that leaves. A percentile's interval is that of the share of values below it, read back through
the values (Woodruff 1952). Nothing is drawn at random: the same values give the same interval.
"""

from __future__ import annotations

from math import ceil, exp, log, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewer values than this say nothing of how they resemble each other.
FEWEST = 20


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Where the true value lies with probability `level`."""

    low: float
    high: float
    level: float
    batch: int  # values that were taken together; 1: no resemblance was found


def mean_interval(values: NDArray[Any], level: float = 0.95) -> Interval | None:
    """Of the mean of values in the order in which they were measured; None when there are too few."""
    import numpy as np

    series = np.asarray(values, dtype=np.float64)
    if len(series) < FEWEST:
        return None
    batch = batch_length(series)
    half = _half_width(series, batch, level)
    centre = float(series.mean())
    return Interval(low=centre - half, high=centre + half, level=level, batch=batch)


def percentile_interval(values: NDArray[Any], percent: float, level: float = 0.95) -> Interval | None:
    """Of a percentile; None when there are too few values on either side of it.

    Its ends are values that were measured.
    """
    import numpy as np

    series = np.asarray(values, dtype=np.float64)
    n, share = len(series), percent / 100
    if n < FEWEST or min(share, 1 - share) * n < 2:
        return None
    ordered = np.sort(series)
    at = ordered[max(ceil(share * n), 1) - 1]
    below = (series <= at).astype(np.float64)
    batch = max(batch_length(below), batch_length(series))
    half = _half_width(below, batch, level)
    low, high = _logit_ends(share, half)
    first, last = ceil(low * n) - 1, ceil(high * n)
    if last > n - 1:
        return None  # the upper end lies beyond all that was measured
    return Interval(low=float(ordered[max(first, 0)]), high=float(ordered[last]), level=level, batch=batch)


def batch_length(series: NDArray[Any]) -> int:
    """How many neighbours belong together: 1 for independent values.

    Politis and White 2004, with the correction of Patton, Politis and White 2009.
    """
    import numpy as np

    n = len(series)
    centred = series - series.mean()
    variance = float(centred @ centred) / n
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
    import numpy as np

    n = len(centred)
    size = 1 << (2 * n - 1).bit_length()
    transformed = np.fft.rfft(centred, size)
    found: NDArray[Any] = np.fft.irfft(transformed * transformed.conj(), size)[: most + 1] / n
    return found


def _half_width(series: NDArray[Any], batch: int, level: float) -> float:
    """Half of the interval of the mean: t times the standard error by overlapping batch means."""
    import numpy as np

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
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**i for i, term in enumerate(terms))
