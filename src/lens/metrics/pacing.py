"""Why requests of a schedule were sent late: this client, or what it had to wait for.

A request waits for its connection, for a place where only so many may be open, and for the provider's rate limit.
None of them is this client's doing, and none is mended by a faster machine.
"""

from __future__ import annotations

from typing import Any

from lens.arrays.dispatch import np
from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.distribution import percentile
from lens.metrics.formulas import connect_ms, schedule_lag_us
from lens.metrics.table import Table
from lens.parsing import table_in
from lens.units import NS_PER_US

# Lag beyond this share of the gap between two starts changes what the endpoint sees.
LAG_SHARE = 0.1
LEAST_LAG_US = 1000
# A client that made less than this share of it did not cause it.
OWN_SHARE = 0.1
CLIENT, CONNECTING, PLACES, RATE_LIMIT = "client", "connecting", "places", "rate limit"
WAITED_FOR = {
    CONNECTING: "their connections had to be opened first",
    PLACES: "no more may be open at a time (--concurrent), and they waited for answers",
    RATE_LIMIT: "they waited for the provider's rate limit (--adaptive), or for this client",
}


def late_for(stage: Table, asked_per_s: float) -> str | None:
    """Return what made requests of a stage late, if they were: CLIENT, CONNECTING, PLACES or RATE_LIMIT."""
    lag = schedule_lag_us(stage)
    known = ~np.isnan(lag)
    late_us = float(percentile(np.sort(lag[known]), 99)) if known.any() else 0.0
    if late_us <= allowed_us(asked_per_s):
        return None
    connecting = connect_ms(stage) * 1000
    connecting = np.where(np.isnan(connecting), 0.0, connecting)
    load = _load_of(stage)
    places = _waited_for_place(stage, load)
    own = np.maximum(lag - connecting - places, 0.0)
    waited = {
        cause: float(percentile(np.sort(part[known]), 99))
        for cause, part in ((CLIENT, own), (CONNECTING, connecting), (PLACES, places))
    }
    if waited[CLIENT] > max(allowed_us(asked_per_s), OWN_SHARE * late_us):
        return RATE_LIMIT if load.get("adaptive") else CLIENT
    return max(waited, key=lambda cause: waited[cause])


def allowed_us(asked_per_s: float) -> float:
    """Return how late a request may be sent without a word."""
    return max(LAG_SHARE * 1e6 / asked_per_s, LEAST_LAG_US)


def _load_of(stage: Table) -> dict[str, Any]:
    info = stage.runs[int(stage.column("run")[0])].info
    return {} if info is None else table_in(info.config, "load")


def _waited_for_place(stage: Table, load: dict[str, Any]) -> Column:
    """Return how long each request waited, in us, until fewer than the most allowed were open.

    Of n places the k-th to start gets one once k - n before it have ended. Each worker has places of its own.
    """
    starts = stage.column("start")
    found, due = np.zeros(len(stage)), starts + stage.stamp("intended")
    most = load.get("concurrency")
    if most is None:
        return found
    if (stage.column("turn") >= 0).any():  # of a session, of which only so many may be open: the whole wait
        waited: Column = np.maximum(starts - due, 0) / NS_PER_US
        return waited
    of = int((load.get("shard") or "0/1").partition("/")[2]) * load.get("workers", 1)
    # A retry holds the place of its first attempt, which began no earlier than it was due.
    began = np.where(stage.column("tries") > 0, due, starts)
    ends = np.where(stage.stamp("end") == MISSING, 0, stage.stamp("end")) + starts
    worker = stage.column("index") % of
    for number in range(of):
        rows = np.flatnonzero(worker == number)
        places = most // of + (number < most % of)
        held = rows[np.argsort(began[rows], kind="stable")][places:]
        if places and len(held):
            free = np.sort(ends[rows])[: len(held)]
            found[held] = np.maximum(np.minimum(free, starts[held]) - due[held], 0) / NS_PER_US
    return found
