"""The targets to choose from: the requests of each, and any figure of them, as measured or drawn again.

A draw takes random blocks of a target's requests, as long as neighbours resemble each other (the moving-block
bootstrap), and works the figure out anew. Targets that were asked in turns are drawn block by block together,
so that drift which hit all of them alike decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil

import msgspec
import numpy as np

from lens.analysis.gates.thresholds import Threshold, Verdict, evaluate_thresholds
from lens.analysis.stats import Series, block_length, moving_blocks
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.metrics.summarize import summarize
from lens.metrics.table import Table
from lens.model import Target

# Requests of a target that are drawn one by one; more are drawn in so many chunks of neighbours.
MOST_SINGLE = 2000
CHUNKS = 1000
# Figures of a whole run that are known of each request: whether it succeeded.
OF_OUTCOMES = ("success_rate", "error_rate")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A target and what was measured of it, warm-up left out."""

    name: str  # of the target
    target: Target
    table: Table  # its requests, run by run: stamps of two runs are of two clocks
    turns: Column | None = None  # of an interleaved run: the turn of each request

    @property
    def successes(self) -> int:
        """How many of its requests had an answer with content."""
        return int(self.table.answered.sum())


def candidates_of(table: Table) -> list[Candidate]:
    """Return a candidate for each target, in the order of the runs and of their first requests."""
    run, names = table.column("run"), table.codes("target")
    runs = [run.info for run in table.runs]
    together = len(runs[0].targets) if len(runs) == 1 and runs[0] else 1
    found = []
    for rows in sorted(table.grouped(names.codes), key=lambda rows: (int(run[rows].min()), int(rows[0]))):
        name = names.values[names.codes[rows[0]]]
        some = table.take(rows).measured()
        if len(some):
            some = some.take(_order(some, together))
        turns = None if together < 2 else some.column("index") // together
        found.append(Candidate(name=name, target=_target_of(table, int(rows[0]), name), table=some, turns=turns))
    return found


def _target_of(table: Table, row: int, name: str) -> Target:
    """Return the target of a request, as the header of its run has it."""
    info = table.runs[int(table.column("run")[row])].info
    told, number = (info.targets if info else ()), int(table.column("target_index")[row])
    (provider,), (model,) = (table.take(slice(row, row + 1)).codes(one).listed() for one in ("provider", "model"))
    known = told[number] if number < len(told) else None
    if known is not None and (known.provider, known.model) == (provider, model):
        return msgspec.structs.replace(known, name=name)
    return Target(provider=provider, model=model, url="", name=name)


def _order(table: Table, together: int) -> Column:
    """Return the rows run by run, the earliest first; in a run by their start, or by their turn."""
    run, wall = table.column("run"), table.column("wall_us")
    within = table.column("start" if together < 2 else "index")
    order = np.lexsort((within, run))
    runs, first = np.unique(run[order], return_index=True)
    begins = dict(zip(runs.tolist(), wall[order][first].tolist(), strict=True))
    place = {number: i for i, number in enumerate(sorted(begins, key=begins.__getitem__))}
    return np.lexsort((within, np.array([place.get(i, 0) for i in range(len(table.runs))])[run]))


class Sample:
    """One figure of a candidate: its values in ascending order, and of which request each is."""

    def __init__(self, candidate: Candidate, metric: str, statistic: str) -> None:
        self.statistic = statistic
        self._share = Fraction(statistic[1:]) / 100 if statistic.startswith("p") else None
        self.drawable = METRICS[metric].kind != "run" or metric in OF_OUTCOMES
        if metric in OF_OUTCOMES:
            good = metric == "success_rate"
            values = (candidate.table.answered == good).astype(np.float64)
            of = np.arange(len(values))
        elif METRICS[metric].kind == "run":
            values, of = np.empty(0), np.empty(0, dtype=np.int64)
        else:
            # An answer that breaks off after its first token had that one soon, and an empty one ends soon: neither
            # speaks for a target.
            rows = np.flatnonzero(candidate.table.answered)
            values, of = candidate.table.take(rows).pooled(metric)
            of = rows[of]
        order = np.argsort(values, kind="stable")
        self.values, self.of = values[order], of[order]
        self.n = len(np.unique(of))  # requests that have it

    def at(self, counts: Column) -> float:
        """Return the statistic when each request counts so many times; NaN where none has a value."""
        weights = counts[self.of] if len(self.of) else np.zeros(0)
        total = int(weights.sum())
        if total == 0:
            return float("nan")
        if self._share is not None:  # nearest rank, as everywhere
            rank = max(ceil(self._share * total), 1)
            return float(self.values[np.searchsorted(np.cumsum(weights), rank)])
        if self.statistic in ("min", "max"):
            drawn = self.values[weights > 0]
            return float(drawn[0] if self.statistic == "min" else drawn[-1])
        mean = float(weights @ self.values) / total
        if self.statistic == "std_dev":
            spread = float(weights @ (self.values - mean) ** 2)
            return (spread / (total - 1)) ** 0.5 if total > 1 else float("nan")
        return mean


class ChunkedSample(Sample):
    """The same of so many requests that they are drawn in chunks of neighbours.

    A draw looks at the sums of chunks, not at values. A percentile is drawn by the share of values below it, read
    back through the values (Bahadur 1966).
    """

    def __init__(self, candidate: Candidate, metric: str, statistic: str, each: int) -> None:
        super().__init__(candidate, metric, statistic)
        chunk, many = self.of // each, ceil(len(candidate.table) / each)
        self._sizes = np.bincount(chunk, minlength=many)
        self._centre = float(self.values.mean()) if len(self.values) else 0.0
        if self._share is not None and len(self.values):
            summed = self.values <= self.values[max(ceil(self._share * len(self.values)), 1) - 1]
            self._below = float(summed.mean())
        else:
            summed = self.values - self._centre
        self._sums = np.bincount(chunk, summed, minlength=many)
        self._squares = np.bincount(chunk, summed**2 if statistic == "std_dev" else None, minlength=many)
        self._ends = np.full(many, np.inf if statistic == "min" else -np.inf)
        if statistic in ("min", "max"):
            (np.minimum if statistic == "min" else np.maximum).at(self._ends, chunk, self.values)

    def at(self, counts: Column) -> float:
        """Return the statistic when each chunk counts so many times; NaN where none has a value."""
        total = int(counts @ self._sizes)
        if total == 0:
            return float("nan")
        mean = float(counts @ self._sums) / total
        if self._share is not None:
            rank = ceil((float(self._share) + self._below - mean) * len(self.values))
            return float(self.values[min(max(rank, 1), len(self.values)) - 1])
        if self.statistic in ("min", "max"):
            drawn = self._ends[counts > 0]
            return float(drawn.min() if self.statistic == "min" else drawn.max())
        if self.statistic == "std_dev":
            spread = max(float(counts @ self._squares) - total * mean**2, 0.0)
            return (spread / (total - 1)) ** 0.5 if total > 1 else float("nan")
        return self._centre + mean


def chunk_size(candidates: Sequence[Candidate]) -> int:
    """Return how many neighbouring requests are drawn together: 1 where there are few."""
    longest = max(len(one.table) for one in candidates)
    return 1 if longest <= MOST_SINGLE else ceil(longest / CHUNKS)


def sample_of(candidate: Candidate, metric: str, statistic: str, each: int = 1) -> Sample:
    """Return a figure that can be drawn again; each: of chunks of so many requests."""
    if each == 1:
        return Sample(candidate, metric, statistic)
    return ChunkedSample(candidate, metric, statistic, each)


def figure_of(candidate: Candidate, metric: str, statistic: str) -> tuple[float | None, int]:
    """Return a figure as it was measured, and of how many requests."""
    sample = Sample(candidate, metric, statistic)
    value = sample.at(np.ones(len(candidate.table), dtype=np.int64))
    return (None if np.isnan(value) else value), sample.n


def verdicts_of(candidate: Candidate, bounds: Iterable[Threshold]) -> dict[Threshold, Verdict]:
    """Return of each bound whether this target keeps it."""
    bounds = tuple(dict.fromkeys(bounds))
    if not bounds:
        return {}
    verdicts = evaluate_thresholds(bounds, candidate.table, summarize(candidate.table, metrics=()))
    return dict(zip(bounds, verdicts, strict=True))


def draws(candidates: Sequence[Candidate], many: int, seed: int, each: int = 1) -> Iterator[list[Column]]:
    """Yield draw by draw how often each chunk of `each` requests of each candidate counts."""
    generator = np.random.default_rng(seed)
    sizes = [ceil(len(one.table) / each) for one in candidates]
    lengths = [ceil(_block_length(one) / each) for one in candidates]
    paired = in_turns(candidates)
    for _ in range(many):
        if paired:
            drawn = _drawn(sizes[0], max(lengths), generator)
            yield [drawn] * len(candidates)
        else:
            yield [_drawn(n, length, generator) for n, length in zip(sizes, lengths, strict=True)]


def in_turns(candidates: Sequence[Candidate]) -> bool:
    """Return whether all were asked in the same turns of one run."""
    first, *others = [one.turns for one in candidates]
    if first is None or not others:
        return False
    return all(turns is not None and np.array_equal(turns, first) for turns in others)


def _block_length(candidate: Candidate) -> int:
    """Return how many neighbours belong together, by what they took to the first token, or in all."""
    for metric in ("ttft_ms", "total_latency_ms"):
        series = candidate.table.counted(metric)
        known = ~np.isnan(series)
        if known.sum() > 5:
            return block_length(np.where(known, series, series[known].mean()))
    return 1


def _drawn(n: int, length: int, generator: np.random.Generator) -> Series:
    """Return how often each place counts in a series made of random blocks."""
    return np.bincount(moving_blocks(n, length, 1, generator)[0], minlength=n)
