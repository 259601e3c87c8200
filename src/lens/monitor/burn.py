"""Promises and how fast they are being broken: burn rates over several windows, after Google's SRE workbook.

An objective is a limit and the share of requests that keep it: "ttft<1000 99%". What is left of 100 % is the
error budget; a burn rate of 1 uses it up exactly in its period. An alarm needs both a long window, so that it
means something, and a short one, so that it ends when the trouble does.
"""

from __future__ import annotations

import re
from collections import deque
from math import isnan
from typing import NamedTuple

from lens.analysis.gates.thresholds import Threshold, parse_threshold
from lens.errors import ConfigError
from lens.metrics.definitions import METRICS
from lens.metrics.table import Table

_FORM = re.compile(r"\s*(?P<what>\S.*?)\s+(?P<share>\d+(?:\.\d+)?)\s*%\s*")
SUCCESS = ("success", "success_rate", "availability")
# Fewer requests in the long window say nothing: one that is slow would be a fire.
FEWEST = 10
# Counts are kept for minutes, as long as the longest window.
SLOT_S = 60.0
LONGEST_S = 6 * 3600.0


class Window(NamedTuple):
    """Both windows must burn at least this fast."""

    name: str
    long_s: float
    short_s: float
    rate: float


# Two per cent of a month's budget within an hour; five per cent within six.
WINDOWS = (Window("fast", 3600.0, 300.0, 14.4), Window("slow", LONGEST_S, 1800.0, 6.0))


class Objective(NamedTuple):
    """What share of requests keeps what."""

    text: str
    threshold: Threshold | None  # None: the request succeeds
    share: float  # that keeps it, of 1

    def kept(self, request: Table) -> bool:
        """Return whether a request, a table of one row, keeps it.

        A request that failed keeps nothing; a figure that a request does not have breaks nothing.
        """
        if not request.success[0]:
            return False
        if self.threshold is None:
            return True
        value = float(request.metric(self.threshold.metric)[0])
        return isnan(value) or self.threshold.kept(value)


def parse_objective(text: str) -> Objective:
    """ "ttft<1000 99%", "success 99.9%".

    Raises:
        ConfigError: it is none; the message says what would be one.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(f"SLO {text!r}: a limit and the share that keeps it are wanted, like 'ttft<1000 99%'")
    objective = float(found["share"]) / 100
    if not 0 < objective < 1:
        raise ConfigError(f"SLO {text!r}: the share must lie between 0 and 100 %; 100 % leaves nothing to burn")
    what = found["what"]
    if what.lower() in SUCCESS:
        return Objective(text, None, objective)
    threshold = parse_threshold(what)
    metric = METRICS[threshold.metric]
    if metric.kind != "request":
        raise ConfigError(
            f"SLO {text!r}: {metric.name} is no figure of one request; take ttft, total_latency or success"
        )
    return Objective(text, threshold, objective)


class ErrorBudget:
    """One objective of one target: counts by the minute, no older than the longest window."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._slots: deque[list[float]] = deque()  # when it began, requests, broken

    def add(self, at_s: float, request: Table) -> None:
        """Count a request, a table of one row."""
        slot = at_s - at_s % SLOT_S
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append([slot, 0, 0])
        self._slots[-1][1] += 1
        self._slots[-1][2] += not self.objective.kept(request)
        while self._slots[0][0] < at_s - LONGEST_S - SLOT_S:
            self._slots.popleft()

    def rate(self, now_s: float, window_s: float) -> float | None:
        """The burn rate over the window; None when nothing was asked in it."""
        inside = self._inside(now_s, window_s)
        asked = self._asked(now_s, window_s)
        if not asked:
            return None
        return (sum(slot[2] for slot in inside) / asked) / (1 - self.objective.share)

    def _inside(self, now_s: float, window_s: float) -> list[list[float]]:
        return [slot for slot in self._slots if slot[0] > now_s - window_s - SLOT_S]

    def _asked(self, now_s: float, window_s: float) -> float:
        return sum(slot[1] for slot in self._inside(now_s, window_s))

    def burning(self, now_s: float) -> Window | None:
        """The first pair of windows that both burn too fast."""
        for window in WINDOWS:
            if self._asked(now_s, window.long_s) < FEWEST:
                continue
            rates = (self.rate(now_s, window.long_s), self.rate(now_s, window.short_s))
            if all(rate is not None and rate >= window.rate for rate in rates):
                return window
        return None

    def __len__(self) -> int:
        return len(self._slots)
