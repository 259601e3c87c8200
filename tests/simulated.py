"""Series of known truth, many at once: what statistics are calibrated against.

A process takes a generator of random numbers, the number of runs and the values of each, and returns a row a run.
"""

from __future__ import annotations

from math import exp
from statistics import NormalDist

import numpy as np

COLD_SHARE, COLD_SPELL = 0.1, 10  # one request in ten is cold; in spells of ten on average
WARM_SPREAD, COLD_MS = 0.1, 400.0


def autoregressive(rng, runs, n, rho):
    """AR(1) with variance 1."""
    noise = rng.standard_normal((n, runs))
    for i in range(1, n):
        noise[i] = rho * noise[i - 1] + (1 - rho * rho) ** 0.5 * noise[i]
    return np.ascontiguousarray(noise.T)


def cold(rng, runs, n, spell):
    """Whether each request is cold: alone, or in spells of geometric length."""
    if spell == 1:
        return rng.random((runs, n)) < COLD_SHARE
    leave = 1 / spell
    enter = COLD_SHARE * leave / (1 - COLD_SHARE)
    chance = rng.random((n, runs))
    found = np.empty((n, runs), dtype=bool)
    found[0] = chance[0] < COLD_SHARE
    for i in range(1, n):
        found[i] = np.where(found[i - 1], chance[i] >= leave, chance[i] < enter)
    return found.T


def with_cold(rng, runs, n, spell):
    return 100 * np.exp(WARM_SPREAD * rng.standard_normal((runs, n))) + COLD_MS * cold(rng, runs, n, spell)


PROCESSES = {
    "normal": lambda rng, runs, n: 100 + 10 * rng.standard_normal((runs, n)),
    "lognormal 1": lambda rng, runs, n: 100 * np.exp(rng.standard_normal((runs, n))),
    "lognormal 2": lambda rng, runs, n: 100 * np.exp(2 * rng.standard_normal((runs, n))),
    "AR(1) 0.5": lambda rng, runs, n: 100 + 10 * autoregressive(rng, runs, n, 0.5),
    "AR(1) 0.9": lambda rng, runs, n: 100 + 10 * autoregressive(rng, runs, n, 0.9),
    "10 % cold": lambda rng, runs, n: with_cold(rng, runs, n, 1),
    "cold spells": lambda rng, runs, n: with_cold(rng, runs, n, COLD_SPELL),
}
_NORMAL = ("normal", "AR(1) 0.5", "AR(1) 0.9")


def met(process, runs):
    """Return the runs that met both states, of a process that has cold starts: no interval speaks for the others."""
    cold = runs > 300
    return runs[cold.any(axis=1) & ~cold.all(axis=1)] if "cold" in process else runs


def truth(process, percent=None):
    """Return the true mean, or a true percentile."""
    z = NormalDist().inv_cdf(percent / 100) if percent else 0.0
    if process in _NORMAL:
        return 100 + 10 * z
    if process.startswith("lognormal"):
        spread = float(process.split()[1])
        return 100 * exp(spread * z if percent else spread**2 / 2)
    if percent is None:
        return 100 * exp(WARM_SPREAD**2 / 2) + COLD_MS * COLD_SHARE
    share, warm = percent / 100, 1 - COLD_SHARE
    if share < warm:
        return 100 * exp(WARM_SPREAD * NormalDist().inv_cdf(share / warm))
    return COLD_MS + 100 * exp(WARM_SPREAD * NormalDist().inv_cdf((share - warm) / COLD_SHARE))
