"""What was measured lately, target by target: the feed that choices are made from.

    recent = RecentMetrics(most=200)
    recent.read("run.jsonl")
    for metrics in profiler.stream_metrics("Hello"):
        recent.add(metrics)

Bounded: of each target the newest `most` requests are kept, and none that is older than `within_s`. Any
thread may add and read.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from pathlib import Path

from lens.analysis.optimize.candidates import Candidate, candidates_of
from lens.errors import ConfigError
from lens.history.read import read_run
from lens.integrations.choice import MeasuredTargets
from lens.metrics.builder import table_of
from lens.metrics.packing import wall_us
from lens.model import Record
from lens.pricing import PriceBook, standard_book
from lens.results.request_metrics import RequestMetrics

MOST = 200
Metrics = Record | RequestMetrics


def name_of(record: Record) -> str:
    """Return the name of a record's target."""
    return record.target or f"{record.provider}/{record.model}"


def record_of(metrics: Metrics) -> Record:
    """Return the record of a request, also as a Profiler gives it."""
    return metrics.record if isinstance(metrics, RequestMetrics) else metrics


class RecentMetrics:
    """A window over the newest requests of each target; warm-up requests are left out."""

    def __init__(
        self, *, most: int = MOST, within_s: float | None = None, now_s: Callable[[], float] = time.time
    ) -> None:
        """
        most: requests that are kept of each target. within_s: how old they may be; None: any age.
        now_s: the time of day, in seconds since 1970.

        Raises:
            ConfigError: a bound is none.
        """
        if most < 1 or (within_s is not None and within_s <= 0):
            raise ConfigError(f"recent metrics: most={most}, within_s={within_s}: both must be above 0")
        self.most, self.within_s, self._now_s = most, within_s, now_s
        self._kept: dict[str, deque[Record]] = {}
        self._lock = threading.Lock()
        self.added = 0  # requests since the beginning, also those that left the window

    def add(self, metrics: Metrics) -> None:
        """Take one request, as a Record or as a Profiler gives it."""
        record = record_of(metrics)
        if record.warmup:
            return
        with self._lock:
            self._kept.setdefault(name_of(record), deque(maxlen=self.most)).append(record)
            self.added += 1

    def follow(self, stream: Iterable[Metrics]) -> None:
        """Take all of a stream; returns when it ends."""
        for metrics in stream:
            self.add(metrics)

    async def follow_async(self, stream: AsyncIterable[Metrics]) -> None:
        """Take all of a stream under trio or asyncio; returns when it ends."""
        async for metrics in stream:
            self.add(metrics)

    def read(self, *files: str | Path) -> None:
        """Take the requests of run files, the oldest first.

        Raises:
            FileError: one cannot be read.
        """
        records = [record for file in files for record in read_run(Path(file)).records]
        for record in sorted(records, key=lambda one: wall_us(one.timestamp)):
            self.add(record)

    def records(self) -> list[Record]:
        """Return all that are in the window."""
        with self._lock:
            kept = [record for records in self._kept.values() for record in records]
        if self.within_s is None:
            return kept
        since_us = (self._now_s() - self.within_s) * 1e6
        return [record for record in kept if wall_us(record.timestamp) >= since_us]

    def candidates(self, book: PriceBook | None = None) -> list[Candidate]:
        """Return the targets that were asked lately, to choose from; their costs by the prices of the book."""
        return candidates_of(table_of(self.records(), book=book))

    def get_recent_metrics(self, book: PriceBook | None = None) -> MeasuredTargets:
        """Return the summary of each target that was asked lately, to filter and to choose from."""
        return MeasuredTargets.of(self.candidates(book or standard_book()))

    def __len__(self) -> int:
        return len(self.records())
