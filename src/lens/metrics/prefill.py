"""What a token of the prompt costs: TTFT = a + b x tokens not cached + c x cached tokens, by least squares.

TTFT is counted from the sending of the request. The intervals are those of the jackknife over sessions, whose turns
resemble each other, or over requests (HC3) where there are few sessions; neither needs errors of one size (MacKinnon,
Nielsen, Webb 2023, "Leverage, influence, and the jackknife in clustered regression models", CV3).
"""

from __future__ import annotations

import msgspec

from lens.arrays.dispatch import np
from lens.metrics.columns import Column
from lens.metrics.intervals import t_quantile

LEVEL = 0.95
# Fewer requests say nothing; of fewer sessions it is requests that are left out one by one.
LEAST_REQUESTS = 20
LEAST_SESSIONS = 12
# Of more sessions or requests than this, neighbours are left out together.
MOST_CLUSTERS = 1000
# Columns that vary by a smaller share than this, or that tell each other but for it, say nothing.
LEAST_SPREAD = 1e-3


class Estimate(msgspec.Struct, frozen=True):
    """A coefficient and its 95 % interval."""

    value: float
    low: float
    high: float


class PrefillFit(msgspec.Struct, frozen=True, kw_only=True):
    """TTFT from send by the tokens of the prompt; a coefficient is None where its tokens hardly differ."""

    requests: int
    clusters: int  # sessions or requests, or groups of them, that were left out one by one
    base_ms: Estimate
    uncached_us: Estimate | None  # a token that is not cached, microseconds
    cached_us: Estimate | None  # a cached token
    residual_ms: float  # standard deviation of what the tokens do not explain
    explained: float  # share of the variance that they do explain


def fit_prefill(ttft_ms: Column, uncached: Column, cached: Column, session: Column | None = None) -> PrefillFit | None:
    """Return the fit; None where there are too few requests, or their prompts are too much alike.

    session: of each request a number of its session, negative where it belongs to none.
    """
    known = ~(np.isnan(ttft_ms) | np.isnan(uncached) | np.isnan(cached))
    y, columns = ttft_ms[known], (uncached[known], cached[known])
    varied = [_spread(column) > LEAST_SPREAD for column in columns]
    if len(y) < LEAST_REQUESTS or not any(varied) or (all(varied) and _alike(*columns)):
        return None
    scales = [float(np.abs(column).max()) for column, varies in zip(columns, varied, strict=True) if varies]
    kept = [
        column / scale
        for column, scale in zip([c for c, v in zip(columns, varied, strict=True) if v], scales, strict=True)
    ]
    x = np.stack([np.ones(len(y)), *kept], axis=1)
    of = _clusters(session[known] if session is not None else None, len(y))
    found = _jackknife(x, y, of)
    if found is None:
        return None
    beta, error, clusters = found
    residual = y - x @ beta
    around = float(np.square(y - y.mean()).sum())
    each = iter(_estimates(beta[1:], error[1:], clusters, scales))
    base = _estimates(beta[:1], error[:1], clusters, [1000.0])[0]
    return PrefillFit(
        requests=len(y),
        clusters=clusters,
        base_ms=base,
        uncached_us=next(each) if varied[0] else None,
        cached_us=next(each) if varied[1] else None,
        residual_ms=float(np.square(residual).sum() / (len(y) - x.shape[1])) ** 0.5,
        explained=1 - float(np.square(residual).sum()) / around if around else 0.0,
    )


def _spread(column: Column) -> float:
    """Return the standard deviation of a column as a share of its greatest value."""
    most = float(np.abs(column).max(initial=0))
    return float(column.std()) / most if most else 0.0


def _alike(a: Column, b: Column) -> bool:
    """Whether one column tells the other but for LEAST_SPREAD of its variance."""
    a, b = a - a.mean(), b - b.mean()
    together = float((a * b).sum()) ** 2
    return 1 - together / float(np.square(a).sum() * np.square(b).sum()) < LEAST_SPREAD


def _clusters(session: Column | None, n: int) -> Column:
    """Return the number of each request's cluster: its session, where all have one and there are enough."""
    of, clusters = np.arange(n), n
    if session is not None and not (session < 0).any():
        different, sessions = np.unique(session, return_inverse=True)
        if len(different) >= LEAST_SESSIONS:
            of, clusters = sessions.reshape(-1), len(different)
    return of if clusters <= MOST_CLUSTERS else of * MOST_CLUSTERS // clusters


def _jackknife(x: Column, y: Column, of: Column) -> tuple[Column, Column, int] | None:
    """Return coefficients, their standard errors and the number of clusters; None where one cluster decides all."""
    clusters, k = int(of.max()) + 1, x.shape[1]
    moments = np.zeros((clusters, k, k))
    with_y = np.zeros((clusters, k))
    for i in range(k):
        with_y[:, i] = np.bincount(of, weights=x[:, i] * y, minlength=clusters)
        for j in range(k):
            moments[:, i, j] = np.bincount(of, weights=x[:, i] * x[:, j], minlength=clusters)
    whole, whole_y = moments.sum(axis=0), with_y.sum(axis=0)
    left = whole - moments
    if np.linalg.cond(left).max() > 1 / LEAST_SPREAD**4:
        return None
    beta = np.linalg.solve(whole, whole_y)
    without = np.linalg.solve(left, (whole_y - with_y)[..., None])[..., 0]
    variance = (clusters - 1) / clusters * np.square(without - beta).sum(axis=0)
    return beta, np.sqrt(variance), clusters


def _estimates(beta: Column, error: Column, clusters: int, scales: list[float]) -> list[Estimate]:
    """Return estimates in microseconds a token, of coefficients in ms a `scale` of tokens."""
    half = t_quantile((1 + LEVEL) / 2, clusters - 1)
    found = []
    for value, wide, scale in zip(beta.tolist(), (half * error).tolist(), scales, strict=True):
        per = 1000 / scale
        found.append(Estimate(value * per, (value - wide) * per, (value + wide) * per))
    return found
