"""The targets to choose from: the records of each, and any figure of them, as measured or drawn again.

A draw takes random blocks of a target's requests, as long as neighbours resemble each other (the bootstrap of
compare.py), and works the figure out anew. Targets that were asked in turns are drawn block by block together,
so that drift which hit all of them alike decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import msgspec

from lens.analysis.columns import column, per_request
from lens.analysis.gates.thresholds import Threshold, Verdict, judge
from lens.analysis.sources import summary_of, wall_s
from lens.metrics.definitions import METRICS
from lens.metrics.intervals import batch_length
from lens.model import Record, RunInfo, Status, Target
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Figures of a whole run that are known of each request: whether it succeeded.
OF_OUTCOMES = ("success_rate", "error_rate")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A target and what was measured of it, warm-up left out."""

    name: str  # provider:model
    target: Target
    records: list[Record]
    runs: tuple[list[Record], ...]  # the same by the run they are of: stamps of two runs are of two clocks
    blocks: tuple[int, ...] | None = None  # of an interleaved run: the turn of each record

    @property
    def successes(self) -> int:
        return sum(record.status is Status.SUCCESS for record in self.records)


def candidates_of(runs: Iterable[tuple[RunInfo | None, Sequence[Record]]]) -> list[Candidate]:
    """A candidate for each provider and model, in the order in which they first appear.

    Where one run asks the same model at several addresses, the address tells them apart.
    """
    runs = list(runs)
    found: dict[str, dict[int, list[Record]]] = {}
    targets: dict[str, Target] = {}
    for number, (info, records) in enumerate(runs):
        told = info.targets if info else ()
        names = [f"{one.provider}:{one.model}" for one in told]
        for record in records:
            name = f"{record.provider}:{record.model}"
            known = told[record.target] if record.target < len(told) else None
            if known and names.count(name) > 1:
                name = f"{name}@{known.url}"
            targets.setdefault(name, known or Target(provider=record.provider, model=record.model, url=""))
            of_runs = found.setdefault(name, {})
            if not record.warmup:
                of_runs.setdefault(number, []).append(record)
    together = len(runs[0][0].targets) if len(runs) == 1 and runs[0][0] else 1
    return [_candidate(name, targets[name], list(of_runs.values()), together) for name, of_runs in found.items()]


def _candidate(name: str, target: Target, runs: list[list[Record]], together: int) -> Candidate:
    for records in runs:
        records.sort(key=lambda record: record.stamps.start if together < 2 else record.index)
    runs.sort(key=lambda records: wall_s(records[0]))
    records = [record for records in runs for record in records]
    turns = None if together < 2 else tuple(record.index // together for record in records)
    return Candidate(name=name, target=target, records=records, runs=tuple(runs), blocks=turns)


class Sample:
    """One figure of a candidate: its values in ascending order, and of which record each is."""

    def __init__(self, candidate: Candidate, metric: str, statistic: str, book: PriceBook) -> None:
        import numpy as np

        self.statistic = statistic
        self._share = Fraction(statistic[1:]) / 100 if statistic.startswith("p") else None
        self.drawable = METRICS[metric].kind != "run" or metric in OF_OUTCOMES
        if metric in OF_OUTCOMES:
            good = metric == "success_rate"
            values = np.array([(r.status is Status.SUCCESS) is good for r in candidate.records], dtype=np.float64)
            of = np.arange(len(values))
        else:
            found = column(METRICS[metric], candidate.records, book)
            values, of = found.values, found.of
        order = np.argsort(values, kind="stable")
        self.values, self.of = values[order], of[order]
        self.n = len(np.unique(of))  # requests that have it

    def at(self, counts: NDArray[Any]) -> float:
        """The statistic when each record counts so many times; NaN where none has a value."""
        import numpy as np

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


def figure_of(candidate: Candidate, metric: str, statistic: str, book: PriceBook) -> tuple[float | None, int]:
    """A figure as it was measured, and of how many requests."""
    import numpy as np

    sample = Sample(candidate, metric, statistic, book)
    value = sample.at(np.ones(len(candidate.records), dtype=np.int64))
    return (None if np.isnan(value) else value), sample.n


def judged(candidate: Candidate, bounds: Iterable[Threshold], book: PriceBook) -> dict[Threshold, Verdict]:
    """What became of each bound for this target."""
    bounds = tuple(dict.fromkeys(bounds))
    if not bounds:
        return {}
    verdicts = judge(bounds, candidate.records, summary_of(candidate.runs, book), book)
    return dict(zip(bounds, verdicts, strict=True))


def draws(candidates: Sequence[Candidate], many: int, seed: int, book: PriceBook) -> Iterator[list[NDArray[Any]]]:
    """How often each record of each candidate counts, draw by draw."""
    import numpy as np

    generator = np.random.default_rng(seed)
    sizes = [len(one.records) for one in candidates]
    lengths = [_resemblance(one, book) for one in candidates]
    paired = in_turns(candidates)
    for _ in range(many):
        if paired:
            drawn = _drawn(sizes[0], max(lengths), generator)
            yield [drawn] * len(candidates)
        else:
            yield [_drawn(n, length, generator) for n, length in zip(sizes, lengths, strict=True)]


def in_turns(candidates: Sequence[Candidate]) -> bool:
    """Whether all were asked in the same turns of one run."""
    turns = {one.blocks for one in candidates}
    return len(candidates) > 1 and len(turns) == 1 and None not in turns


def _resemblance(candidate: Candidate, book: PriceBook) -> int:
    """How many neighbours belong together, by what they took to the first token, or in all."""
    import numpy as np

    for metric in ("ttft_ms", "total_latency_ms"):
        series = per_request(METRICS[metric], candidate.records, book)
        known = ~np.isnan(series)
        if known.sum() > 5:
            return batch_length(np.where(known, series, series[known].mean()))
    return 1


def _drawn(n: int, length: int, generator: Any) -> NDArray[Any]:
    """Blocks that begin anywhere and go round the end, as counts of each place."""
    import numpy as np

    begins = generator.integers(0, n, ceil(n / length))
    places = ((begins[:, None] + np.arange(length)) % n).ravel()[:n]
    return np.bincount(places, minlength=n)
