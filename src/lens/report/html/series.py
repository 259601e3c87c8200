"""The lines of the page: one for each run, or for each target where a run has several.

One pass over the records gathers all that the page shows of a series, so that a run of a
million requests is read once. Requests of the warm-up are in no figure.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.history.read import Run
from lens.metrics.definitions import METRICS, counts, pooled_values
from lens.metrics.rows import error_text
from lens.metrics.summary import Collector, Summary
from lens.metrics.timeline import timeline
from lens.model import Record, Status
from lens.pricing import PriceBook
from lens.report.request import phases
from lens.report.terminal import clean
from lens.report.time_series import Arrivals, arrivals, span_ns
from lens.units import ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What is drawn as a distribution.
DRAWN = ("ttft_ms", "itl_ms", "total_latency_ms")
# Gaps are many; of more than this every second one is left out of the drawing (never out of the figures).
MOST_VALUES = 4_000_000
# Phases in the order in which they happen.
PHASES = (
    "queue", "DNS", "TCP", "proxy", "TLS", "send", "wait", "first token", "thinking", "stream", "tail", "answer",
)  # fmt: skip


class Source(NamedTuple):
    """A run as the page was given it."""

    name: str  # of its file
    run: Run


class Group:
    """Requests that belong together: all, those of one stage, those on new connections."""

    def __init__(self, name: str, book: PriceBook) -> None:
        self.name, self.collector = name, Collector(book)
        self.n = 0
        self.phase_ms = dict.fromkeys(PHASES, 0.0)

    def add(self, record: Record, took_ms: dict[str, float]) -> None:
        self.collector.add(record)
        if record.status is Status.SUCCESS:
            self.n += 1
            for name, took in took_ms.items():
                self.phase_ms[name] += took

    def phase_row(self) -> dict[str, Any] | None:
        """Mean time of each phase over the successes; a phase that a request had not counts as nothing."""
        if not self.n:
            return None
        return {"name": self.name, "n": self.n, "parts": [round(self.phase_ms[p] / self.n, 4) for p in PHASES]}


class Series:
    """Everything of one line of the page."""

    def __init__(self, name: str, source: int, started_ns: int, book: PriceBook) -> None:
        self.name, self.source, self.book = name, source, book
        self.zero_ns = started_ns
        self.all = Group("all", book)
        self.by_connection = {reused: Group("reused" if reused else "new", book) for reused in (False, True)}
        self.stages: dict[str, Group] = {}
        self.values = {metric: array("d") for metric in DRAWN}
        self.values_by_connection = {reused: array("d") for reused in (False, True)}
        self.records: list[Record] = []
        self.tokens_ns: list[NDArray[Any]] = []  # arrival of each content event, absolute
        self.tokens: list[NDArray[Any]] = []  # and how many tokens it brought

    def add(self, record: Record) -> None:
        self.records.append(record)
        took: dict[str, float] = {}
        for phase in phases(record):
            took[phase.name] = took.get(phase.name, 0.0) + ms(phase.end_ns - phase.start_ns)
        self.all.add(record, took)
        if record.connection is not None and record.connection.peer is not None:
            self.by_connection[record.connection.reused].add(record, took)
        if record.stage is not None:
            self.stages.setdefault(record.stage, Group(record.stage, self.book)).add(record, took)
        self._take(record)
        line = timeline(record)
        if len(line.at_ns):
            self.tokens_ns.append(line.at_ns + record.stamps.start)
            self.tokens.append(line.tokens)

    def _take(self, record: Record) -> None:
        """Values for the drawings, by the same rule as for the figures."""
        import numpy as np

        for name in DRAWN:
            metric, column = METRICS[name], self.values[name]
            if not counts(metric, record):
                continue
            if metric.kind == "gap":
                column.frombytes(np.ascontiguousarray(pooled_values(metric, record), dtype=np.float64).tobytes())
                if len(column) > MOST_VALUES:
                    self.values[name] = column[::2]
                continue
            value = metric.of(record) if metric.of else None
            if value is None:
                continue
            column.append(value)
            if name == "ttft_ms" and record.connection is not None:
                self.values_by_connection[record.connection.reused].append(value)

    @property
    def span_ns(self) -> int:
        """From the run's first start to the last end."""
        return span_ns(self.records, self.zero_ns)

    def arrivals(self) -> Arrivals:
        """The tokens of all its requests."""
        import numpy as np

        if not self.tokens:
            return arrivals(())
        return Arrivals(np.concatenate(self.tokens_ns), np.concatenate(self.tokens))

    def summary(self) -> Summary:
        return self.all.collector.summary()


def split(sources: Sequence[Source], book: PriceBook) -> list[Series]:
    """The series of all runs, in order; a run without requests of its own gives none."""
    found: list[Series] = []
    for i, source in enumerate(sources):
        measured = [r for r in source.run.records if not r.warmup]
        if not measured:
            continue
        zero_ns = min(r.stamps.start for r in measured)
        of_target: dict[int, Series] = {}
        for record in measured:
            if record.target not in of_target:
                name = f"{clean(record.provider, 60)} {clean(record.model, 80)}"
                of_target[record.target] = Series(name, i, zero_ns, book)
            of_target[record.target].add(record)
        found += [of_target[target] for target in sorted(of_target)]
    return _distinct(found, sources)


def _distinct(found: list[Series], sources: Sequence[Source]) -> list[Series]:
    """Names that tell the series apart: with the file's, then with a number."""
    names = [series.name for series in found]
    for series in found:
        if names.count(series.name) > 1 and len(sources) > 1:
            series.name = f"{series.name} ({clean(sources[series.source].name, 60)})"
    seen: dict[str, int] = {}
    for series in found:
        seen[series.name] = seen.get(series.name, 0) + 1
        if seen[series.name] > 1:
            series.name = f"{series.name} #{seen[series.name]}"
    return found


def outcomes(series: Series) -> list[dict[str, Any]]:
    """How requests ended, most frequent first, each with one message."""
    summary = series.summary()
    examples: dict[str, str] = {}
    for record in series.records:
        if record.category not in examples and record.failure:
            examples[record.category] = clean(error_text(record) or "", 300)
    return [
        {"category": name, "count": count, "share": count / summary.requests, "example": examples.get(name, "")}
        for name, count in summary.by_category.items()
    ]
