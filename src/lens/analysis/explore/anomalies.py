"""Requests unlike their peers: which, by how much, and what of them took the time.

A request is an outlier when it lies far on the bad side of the median of its peers, in robust
deviations of the logarithm: latencies are skewed, and the outliers themselves must not widen the scale
(Leys and others 2013). Peers are requests of one target under one setting. The reasons are read from its
own stamps and counts, set against the median of the peers: they say where, not why the server did it.
What all outliers of a group are set against is computed once, so that many of them cost little more than few.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import isnan, nan

import msgspec
import numpy as np

from lens.analysis.explore.peers import peers_of
from lens.analysis.stats import Series
from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.metrics.formulas import between
from lens.metrics.rows import timestamps
from lens.metrics.table import Table
from lens.units import NS_PER_MS

WATCHED = ("ttft_ms", "longest_gap_ms", "tpot_ms")
# Fewer peers have no median worth the name.
FEWEST = 20
# Robust deviations; of a thousand log-normal values none lies beyond five.
FAR = 5.0
# Values that hardly differ are no scale: below half as much again nobody asks why.
LEAST_SCALE = 0.08
# The median absolute deviation of a normal distribution is its standard deviation divided by this.
MAD = 1.4826
# A part that is this share of the delay is named; others that come so soon before or after are counted.
PART = 0.3
NEAR_S = 2.0


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """One request that stands out."""

    request_id: str
    index: int
    who: str
    timestamp: str
    metric: str
    value: float
    typical: float  # median of its peers
    deviations: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        unit = METRICS[self.metric].unit
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"{self.metric} {self.value:.4g} {unit}, {self.value / self.typical:.3g} times its peers{why}"


def anomalies_of(table: Table) -> tuple[Anomaly, ...]:
    """Return those that stand out, the farthest first; each request once, by what is most unlike."""
    found: list[Anomaly] = []
    walls: list[Column] = []
    for who, peers in peers_of(table, FEWEST):
        far = np.array([_deviations(peers.counted(name)) for name in WATCHED])
        rows = np.flatnonzero(far.max(axis=0) > FAR)
        if len(rows):
            found += _Outliers(who, peers, rows, far[:, rows]).anomalies()
            walls.append(peers.column("wall_us")[rows])
    if not found:
        return ()
    near = _near(np.concatenate(walls))
    told = [_with_others(one, many) for one, many in zip(found, near.tolist(), strict=True)]
    return tuple(sorted(told, key=lambda one: -one.deviations))


def _deviations(values: Series) -> Series:
    """Return how far each value lies above the median; -inf where that says nothing."""
    found = np.full(len(values), -np.inf)
    there = np.flatnonzero(values > 0)
    if len(there) >= FEWEST:
        logs = np.log(values[there])
        centre = np.median(logs)
        scale = max(MAD * float(np.median(np.abs(logs - centre))), LEAST_SCALE)
        found[there] = (logs - centre) / scale
    return found


def _near(wall_us: Column) -> Column:
    """Return of each outlier how many others started within NEAR_S of it."""
    ordered, reach = np.sort(wall_us), round(NEAR_S * 1e6)
    upto = np.searchsorted(ordered, wall_us + reach, side="right")
    near: Column = upto - np.searchsorted(ordered, wall_us - reach, side="left") - 1
    return np.where(wall_us == MISSING, 0, near)


def _after_head(table: Table) -> Column:
    return table.metric("ttft_ms") - between("start", "first_byte")(table)


def _metric(name: str) -> Callable[[Table], Column]:
    return lambda table: table.metric(name)


# The parts of a TTFT, and what is said of one that took long.
_PARTS: tuple[tuple[str, Callable[[Table], Column]], ...] = (
    ("looking up the name", _metric("dns_ms")),
    ("connecting", _metric("tcp_ms")),
    ("the proxy", _metric("proxy_ms")),
    ("the TLS handshake", _metric("tls_ms")),
    ("sending the request", _metric("send_ms")),
    ("waiting for the first byte of the answer", between("send_end", "first_byte")),
    ("from the first byte to the first token", _after_head),
)
Part = tuple[str, Column, float]  # what it is called, of each outlier its ms, the median of the peers


class _Outliers:
    """The outliers of a group of peers, a row each, and what they are set against."""

    def __init__(self, who: str, peers: Table, rows: Column, far: Series) -> None:
        """rows: of the outliers among their peers; far: a row a watched metric, a column an outlier."""
        self.who, self.peers, self.rows = who, peers, rows
        self.table = peers.take(rows)
        self.which = np.argmax(far, axis=0)  # the watched metric by which each is most unlike
        self.deviations = far[self.which, np.arange(len(rows))]

    def anomalies(self) -> list[Anomaly]:
        values = [self.peers.counted(name) for name in WATCHED]
        typical = [_median(column) for column in values]
        ids, index = self.table.column("request_id").tolist(), self.table.column("index").tolist()
        times = timestamps(self.table)
        found = []
        for row, which in enumerate(self.which.tolist()):
            value = float(values[which][self.rows[row]])
            first = WATCHED[which] == "ttft_ms"
            why = self._first_token(row, value - typical[which]) if first else self._gaps(row)
            anomaly = Anomaly(
                request_id=ids[row].decode(errors="replace"),
                index=index[row],
                who=self.who,
                timestamp=times[row],
                metric=WATCHED[which],
                value=value,
                typical=typical[which],
                deviations=float(self.deviations[row]),
                reasons=(*why, *self._circumstances(row)),
            )
            found.append(anomaly)
        return found

    @cached_property
    def _parts(self) -> list[Part]:
        """The parts of a TTFT. A phase that the peers did not have took none of their time: they reused connections."""
        columns = [(says, part(self.peers)) for says, part in _PARTS]
        return [(says, one[self.rows], float(np.median(np.nan_to_num(one)))) for says, one in columns]

    def _first_token(self, row: int, excess: float) -> list[str]:
        """Return the parts that make up most of what is too much."""
        found = []
        for says, column, usual in self._parts:
            mine = float(column[row])
            if mine - usual > PART * excess:  # not where it is NaN
                found.append((mine - usual, f"{says} took {mine:.4g} ms{_usually(usual or None)}"))
        return [says for _, says in sorted(found, reverse=True)]

    def _gaps(self, row: int) -> list[str]:
        """Return where its longest pause was, or that there is none that stands out in it."""
        first = self.table.firsts("events")
        gaps = np.diff(self.table.at[first[row] : first[row + 1]])
        if not len(gaps):
            return []
        place = int(gaps.argmax())
        middle, longest = float(np.median(gaps)) / NS_PER_MS, float(gaps[place]) / NS_PER_MS
        if middle > longest / 2:
            return [f"slow all the way: {middle:.4g} ms between events in the median"]
        usual = self._usual("longest_gap_ms")[1]
        return [f"a pause of {longest:.4g} ms before event {place + 2} of {len(gaps) + 1}{_usually(usual)}"]

    def _usual(self, name: str) -> tuple[list[float], float | None]:
        """Return a metric of each outlier, NaN where not measured, and the median of the peers."""
        found = self._known.get(name)
        if found is None:
            column = self.peers.metric(name)
            median = _median(column)
            found = self._known[name] = (column[self.rows].tolist(), None if isnan(median) else median)
        return found

    @cached_property
    def _known(self) -> dict[str, tuple[list[float], float | None]]:
        return {}

    @cached_property
    def _odd(self) -> tuple[list[int], list[bool]]:
        return self.table.column("tries").tolist(), self.table.column("clock_stepped").tolist()

    def _circumstances(self, row: int) -> list[str]:
        """Return what else was unlike its peers."""
        found = []
        values, usual = self._usual("server_ms")
        if usual and values[row] > 2 * usual:
            found.append(f"the server itself names {values[row]:.4g} ms{_usually(usual)}")
        values, usual = self._usual("input_tokens")
        if usual and values[row] > 2 * usual:
            found.append(f"its prompt has {values[row]:.0f} tokens (usually {usual:.4g})")
        values, usual = self._usual("retransmits")
        if values[row] > 0:
            found.append(f"{values[row]:.0f} segments were sent again")
        values, usual = self._usual("client_lag_us")
        if values[row] > 1000 and values[row] > 5 * (usual or 0):
            found.append(f"this client read up to {values[row] / 1000:.3g} ms late")
        tries, stepped = self._odd
        if tries[row]:
            found.append(f"it was tried {tries[row] + 1} times")
        if stepped[row]:
            found.append("the wall clock was set meanwhile")
        return found


def _median(column: Column) -> float:
    """Return the median of what was measured; NaN where nothing was."""
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else nan


def _usually(usual: float | None) -> str:
    return "" if usual is None else f" (usually {usual:.4g})"


def _with_others(one: Anomaly, near: int) -> Anomaly:
    if near < 1:
        return one
    many = f"{near} other{'s' if near > 1 else ''} stood out within {NEAR_S:g} s"
    return msgspec.structs.replace(one, reasons=(*one.reasons, many))
