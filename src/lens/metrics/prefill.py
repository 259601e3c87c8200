"""What a token of the prompt costs: TTFT = a + b x tokens not cached + c x cached tokens, of the typical request.

TTFT is counted from the sending of the request. The coefficients are Huber's M-estimate (Huber 1964, k = 1.345): least
squares in which a queue or a stall weighs little, for its residual counts as one of k standard deviations. Intervals
are those of the jackknife over sessions, whose turns resemble each other, or over requests where there are few
sessions; neither needs errors of one size (MacKinnon, Nielsen, Webb 2023, "Leverage, influence, and the jackknife in
clustered regression models", CV3; of an M-estimate by one step).
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
# Residuals beyond so many standard deviations are cut back; errors that are normal lose 5 % of their information.
CUT = 1.345
MAD_TO_DEVIATION = 1.4826  # of normal values
STEPS = 50  # at most, of the weights and the coefficients in turn
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
    residual_ms: float  # what the tokens do not explain: 1.48 x median of the residuals' sizes
    explained: float  # share of the variance that they do explain, by the same measure of spread


def fit_prefill(ttft_ms: Column, uncached: Column, cached: Column, session: Column | None = None) -> PrefillFit | None:
    """Return the fit; None where there are too few requests, or their prompts are too much alike.

    session: of each request a number of its session, negative where it belongs to none.
    """
    known = ~(np.isnan(ttft_ms) | np.isnan(uncached) | np.isnan(cached))
    some = slice(None) if known.all() else known  # all are not copied
    y, columns = ttft_ms[some], (uncached[some], cached[some])
    varied = [_spread(column) > LEAST_SPREAD for column in columns]
    if len(y) < LEAST_REQUESTS or not any(varied) or (all(varied) and _alike(*columns)):
        return None
    varying = [column for column, varies in zip(columns, varied, strict=True) if varies]
    scales = [float(np.abs(column).max()) for column in varying]
    x = np.ones((len(y), 1 + len(varying)))
    for number, (column, scale) in enumerate(zip(varying, scales, strict=True), 1):
        x[:, number] = column / scale
    of = _clusters(session[some] if session is not None else None, len(y))
    found = _jackknife(x, y, of)
    if found is None:
        return None
    beta, error, clusters = found
    residual, around = _deviation(y - x @ beta), _deviation(y - np.median(y))
    each = iter(_estimates(beta[1:], error[1:], clusters, scales))
    base = _estimates(beta[:1], error[:1], clusters, [1000.0])[0]
    return PrefillFit(
        requests=len(y),
        clusters=clusters,
        base_ms=base,
        uncached_us=next(each) if varied[0] else None,
        cached_us=next(each) if varied[1] else None,
        residual_ms=residual,
        explained=max(1 - (residual / around) ** 2, 0.0) if around else 0.0,
    )


def _spread(column: Column) -> float:
    """Return the standard deviation of a column as a share of its greatest value."""
    most = float(np.abs(column).max(initial=0))
    return float(column.std()) / most if most else 0.0


def _alike(a: Column, b: Column) -> bool:
    """Return whether one column tells the other but for LEAST_SPREAD of its variance."""
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


def _deviation(residuals: Column) -> float:
    return MAD_TO_DEVIATION * float(np.median(np.abs(residuals)))


def _coefficients(x: Column, y: Column) -> tuple[Column, float]:
    """Return the M-estimate, and from which size on residuals are cut back."""
    weights, weighted = np.ones(len(y)), np.empty_like(x)
    beta: Column = np.zeros(x.shape[1])
    cut = np.inf
    for _ in range(STEPS):
        before = beta
        np.multiply(x, weights[:, None], out=weighted)
        beta = np.linalg.solve(x.T @ weighted, weighted.T @ y)
        sizes = np.abs(y - x @ beta)
        cut = CUT * _deviation(sizes)
        if cut <= 1e-9 * float(np.abs(y).max()):
            return beta, np.inf  # they lie on the line
        weights = np.minimum(1.0, cut / np.maximum(sizes, cut * 1e-9))
        if float(np.abs(beta - before).max()) <= 1e-9 * float(np.abs(beta).max()):
            break
    return beta, cut


def _jackknife(x: Column, y: Column, of: Column) -> tuple[Column, Column, int] | None:
    """Return coefficients, their standard errors and the number of clusters; None where one cluster decides all."""
    clusters, k = int(of.max()) + 1, x.shape[1]
    if np.linalg.cond(x.T @ x) > 1 / LEAST_SPREAD**4:
        return None
    beta, cut = _coefficients(x, y)
    residuals = y - x @ beta
    scores, counted = np.clip(residuals, -cut, cut), (np.abs(residuals) <= cut).astype(np.float64)
    moments, score = np.zeros((clusters, k, k)), np.zeros((clusters, k))
    for i in range(k):
        score[:, i] = np.bincount(of, weights=x[:, i] * scores, minlength=clusters)
        for j in range(k):
            moments[:, i, j] = np.bincount(of, weights=x[:, i] * x[:, j] * counted, minlength=clusters)
    left = moments.sum(axis=0) - moments
    if np.linalg.cond(left).max() > 1 / LEAST_SPREAD**4:
        return None
    moved = np.linalg.solve(left, score[..., None])[..., 0]  # by leaving the cluster out
    variance = (clusters - 1) / clusters * np.square(moved).sum(axis=0)
    return beta, np.sqrt(variance), clusters


def _estimates(beta: Column, error: Column, clusters: int, scales: list[float]) -> list[Estimate]:
    """Return estimates in microseconds a token, of coefficients in ms a `scale` of tokens."""
    half = t_quantile((1 + LEVEL) / 2, clusters - 1)
    found = []
    for value, wide, scale in zip(beta.tolist(), (half * error).tolist(), scales, strict=True):
        per = 1000 / scale
        found.append(Estimate(value * per, (value - wide) * per, (value + wide) * per))
    return found
