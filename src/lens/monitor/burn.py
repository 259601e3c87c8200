"""SLOs and the burn rate of their error budgets over several windows, after Google's SRE workbook, table 5-8.

An objective is a limit and the share of requests that keep it: "ttft<1000 99%". What is left of 100 % is the
error budget; a burn rate of 1 uses it up exactly in its period. An alert needs both a long window, so that it
means something, and a short one, so that it ends when the trouble does. Probes are few: an alert also needs a least
number of them in each window, and of those that broke the objective, so that one of them is never an alert.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

from lens.analysis.gates.thresholds import Threshold, parse_threshold
from lens.errors import ConfigError
from lens.metrics.definitions import METRICS
from lens.metrics.goodput import without_pace
from lens.metrics.table import Table

_FORM = re.compile(r"\s*(?P<what>\S.*?)\s+(?P<share>\d+(?:\.\d+)?)\s*%\s*")
SUCCESS = ("success", "success_rate", "availability")
# So many requests are needed in the long and in the short window, and so many of the long one's must have failed.
FEWEST = 10
FEWEST_SHORT = 3
# What metrics read of the events of a stream: an answer that is requested in one piece has none of it.
_STREAMED = frozenset(
    {"first_token", "last_token", "first_output_token", "first_reasoning_token", "token_events", "reads", "text_marks"}
)
# Counts are kept by the minute, for the longest window by quarters of an hour.
SLOT_S = 60.0
LONGEST_S = 3 * 24 * 3600.0


class Window(NamedTuple):
    """Both windows must burn at least this fast."""

    name: str
    long_s: float
    short_s: float
    rate: float
    failed: int  # requests of the long window that must have failed


# Two per cent of a month's budget within an hour; five within six; ten within three days.
URGENT = (Window("fast", 3600.0, 300.0, 14.4, 2), Window("medium", 6 * 3600.0, 1800.0, 6.0, 2))
SLOW = (Window("slow", LONGEST_S, 6 * 3600.0, 1.0, 3),)
WINDOWS = URGENT + SLOW


class Objective(NamedTuple):
    """What share of requests keeps what."""

    text: str
    threshold: Threshold | None  # None: the request succeeds
    share: float  # that keeps it, of 1

    @property
    def metric(self) -> str:
        """The metric that it limits; "" of success."""
        return self.threshold.metric if self.threshold else ""

    def kept(self, request: Table) -> bool:
        """Return whether a request, a table of one row, keeps it.

        A request that failed keeps nothing, and neither does one without the figure; see `lacks`.
        """
        if not request.success[0] or self.lacks(request):
            return False
        if self.threshold is None:
            return True
        value = float(request.metric(self.metric)[0])
        return isnan(value) or self.threshold.kept(value)

    def lacks(self, request: Table) -> bool:
        """Return whether a request succeeded without the figure, like an empty answer without a first token.

        The pace of an answer in one piece is good, as for goodput: nothing came after it.
        """
        if self.threshold is None or not request.success[0]:
            return False
        return isnan(request.metric(self.metric)[0]) and not bool(without_pace(request, self.metric)[0])

    @property
    def needs_stream(self) -> bool:
        """Whether only a streamed answer has the figure."""
        return self.threshold is not None and not _STREAMED.isdisjoint(METRICS[self.metric].read_from)


def parse_objective(text: str) -> Objective:
    """ "ttft<1000 99%", "success 99.9%".

    Raises:
        ConfigError: it is none; the message says what would be one.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"SLO {text!r}: expected a limit and the share of requests that meets it, like 'ttft<1000 99%'"
        )
    objective = float(found["share"]) / 100
    if not 0 < objective < 1:
        raise ConfigError(f"SLO {text!r}: the share must lie between 0 and 100 %; 100 % leaves no error budget")
    what = found["what"]
    if what.lower() in SUCCESS:
        return Objective(text, None, objective)
    threshold = parse_threshold(what)
    metric = METRICS[threshold.metric]
    if metric.kind != "request":
        raise ConfigError(
            f"SLO {text!r}: {metric.name} is not a metric of a single request; take ttft, total_latency or success"
        )
    return Objective(text, threshold, objective)


class _Counter:
    """Requests and those that broke the objective, by slots of time, no older than the longest window."""

    def __init__(self, slot_s: float, longest_s: float) -> None:
        self.longest_s = longest_s
        self._slot_s = slot_s
        self._slots: deque[list[float]] = deque()  # when it began, requests, broken

    def add(self, at_s: float, *, broken: bool) -> None:
        slot = at_s - at_s % self._slot_s
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append([slot, 0, 0])
        self._slots[-1][1] += 1
        self._slots[-1][2] += broken
        while self._slots[0][0] < at_s - self.longest_s - self._slot_s:
            self._slots.popleft()

    def counts(self, now_s: float, window_s: float) -> tuple[float, float]:
        """Return the requests of the slots that began within the window, and how many of them broke the objective."""
        asked = failed = 0.0
        for began, requests, broken in reversed(self._slots):
            if began <= now_s - window_s:
                break
            asked, failed = asked + requests, failed + broken
        return asked, failed

    def __len__(self) -> int:
        return len(self._slots)


class ErrorBudget:
    """One objective of one target: counts by the minute for hours, by the quarter of an hour for days."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.lacking = False  # whether an answer succeeded without the figure
        self._counters = (_Counter(SLOT_S, 6 * 3600.0), _Counter(15 * SLOT_S, LONGEST_S))

    def add(self, at_s: float, request: Table) -> None:
        """Count a request, a table of one row."""
        self.lacking = self.lacking or self.objective.lacks(request)
        self.count(at_s, broken=not self.objective.kept(request))

    def count(self, at_s: float, *, broken: bool) -> None:
        """Count a request that kept the objective or broke it."""
        for counter in self._counters:
            counter.add(at_s, broken=broken)

    def _counts(self, now_s: float, window_s: float) -> tuple[float, float]:
        counter = next(one for one in self._counters if window_s <= one.longest_s)
        return counter.counts(now_s, window_s)

    def rate(self, now_s: float, window_s: float) -> float | None:
        """Return the burn rate over the window; None when nothing was asked in it."""
        asked, failed = self._counts(now_s, window_s)
        return failed / asked / (1 - self.objective.share) if asked else None

    def burning(self, now_s: float, windows: Sequence[Window] = WINDOWS) -> Window | None:
        """Return the first of the pairs of windows of which both burn too fast."""
        for window in windows:
            asked, failed = self._counts(now_s, window.long_s)
            recent, recent_failed = self._counts(now_s, window.short_s)
            if asked < FEWEST or recent < FEWEST_SHORT or failed < window.failed:
                continue
            least = window.rate * (1 - self.objective.share)
            if failed / asked >= least and recent_failed / recent >= least:
                return window
        return None

    def __len__(self) -> int:
        return sum(map(len, self._counters))
