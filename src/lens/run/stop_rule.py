"""`--until 'ttft_p95 5%'`: a run is long enough when it knows a figure well enough.

A run that ends as soon as an interval looks narrow ends at a moment when it looks narrower than it is. So the first
look comes after 100 values, the next when there are a quarter more, and two looks in a row must find it narrow.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from lens.analysis.gates.thresholds import metric_and_statistic
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.metrics.distribution import percentile
from lens.metrics.intervals import Interval, mean_interval, percentile_interval
from lens.model import Record

_FORM = re.compile(r"\s*([A-Za-z_][\w.]*)\s*[ ,:<]\s*(\d+(?:\.\d+)?)\s*%\s*")
# How much more must be known before it is looked at again, and how often in a row it must have been enough.
GROWTH = 1.25
LOOKS = 2
# With so many a cold start of one request in 20 was met, but for 6 runs of 1,000.
FEWEST = 100
# What happens less often than once in n / 3 is missed by one run of n in 20.
RARE = 3


def interval_of(values: Any, statistic: str) -> tuple[float, Interval | None]:
    """(value, 95 % interval) of a mean or a percentile of values in the order in which they came."""
    series = np.asarray(values, dtype=np.float64)
    if statistic == "mean":
        return float(series.mean()), mean_interval(series)
    percent = float(statistic.removeprefix("p"))
    return percentile(np.sort(series), percent), percentile_interval(series, percent)


class Until:
    """Takes records and says when it is enough."""

    def __init__(self, text: str) -> None:
        """
        Raises:
            ConfigError: the text names no statistic of a metric and no width.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigError(f"--until {text!r}: write a statistic and a width, like 'ttft_p95 5%'")
        self.metric, self.statistic = metric_and_statistic(found[1], f"--until {text!r}")
        if self.metric.kind in ("run", "cost") or not re.fullmatch(r"mean|p[\d.]+", self.statistic):
            raise ConfigError(f"--until {text!r}: expected a mean or a percentile of a request's metric")
        self.wanted = float(found[2]) / 100
        if not 0 < self.wanted < 1:
            raise ConfigError(f"--until {text!r}: expected a width between 0 % and 100 %")
        self.width: float | None = None  # of the interval as a share of the value, when last looked at
        self.reached = False
        self._narrow = 0  # looks in a row that found it narrow enough
        self._values: list[float] = []
        self._waiting: list[Record] = []  # since the values were looked at
        self._records = 0
        self._look_at = FEWEST

    def add(self, record: Record) -> None:
        """Take one more; look again when there is a quarter more than before."""
        self._waiting.append(record)
        self._records += 1
        if self.reached or self._records < self._look_at:
            return
        self._look_at = int(self._records * GROWTH) + 1
        self._read_waiting()
        if len(self._values) < FEWEST:
            return
        value, interval = interval_of(self._values, self.statistic)
        if interval is not None and value > 0:
            self.width = (interval.high - interval.low) / 2 / value
            self._narrow = self._narrow + 1 if self.width <= self.wanted else 0
            self.reached = self._narrow >= LOOKS
        else:
            self._narrow = 0

    def _read_waiting(self) -> None:
        """Take the values of the records that came since the last look."""
        self._values += table_of(self._waiting).measured().values(self.metric.name).tolist()
        self._waiting.clear()

    def enough(self) -> bool:
        """Return whether the interval is narrow enough."""
        return self.reached

    def says(self) -> str:
        """Return how far it came, for the page."""
        name = f"{self.metric.name} {self.statistic}"
        if self.width is None:
            if self._waiting:
                self._read_waiting()
            few = len(self._values)
            need = f"; the first look is at {FEWEST}" if few < FEWEST else ""
            return f"{name}: too few values ({few}) for a confidence interval{need}"
        n = len(self._values)
        reached = "reached" if self.reached else "did not reach"
        unseen = f"; what happens in fewer than one of {n // RARE} requests may not have been met"
        return f"{name}: {reached} +-{self.wanted:.3g} with +-{self.width:.2%} after {n} values{unseen}"
