"""Targets as they were measured, to be filtered and chosen from by any figure of their summaries.

    recent.get_recent_metrics().filter(lambda m: m.ttft_stats.p95 < 1000).optimal_by(lambda m: m.avg_cost_per_request)

What was not measured of a target fits no filter and is never the best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, overload

from lens.analysis.optimize.candidates import Candidate
from lens.errors import ConfigError
from lens.export.benchmark_summary import BenchmarkSummary, benchmark_summary_of
from lens.model import Target

Best = Literal["lowest", "highest"]
# Of a summary's figures those that are better when they are high; times, costs and failures are better when low.
_HIGHEST = frozenset((
    "avg_tokens_per_second", "avg_requests_per_second", "output_tokens_per_second", "success_rate",
    "successful_requests",
))  # fmt: skip
_LOWEST = frozenset((
    "ttft_stats", "itl_stats", "total_latency_stats", "total_cost", "avg_cost_per_request", "failed_requests",
))  # fmt: skip


class MeasuredTarget:
    """One target and its summary, whose fields are attributes here too."""

    def __init__(self, name: str, target: Target, summary: BenchmarkSummary) -> None:
        self.name, self.target, self.summary = name, target, summary

    @property
    def provider(self) -> str:
        """The provider of the target."""
        return self.target.provider

    @property
    def model(self) -> str:
        """The model of the target."""
        return self.target.model

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in BenchmarkSummary.__struct_fields__:
            there_are = ", ".join(_FIGURES)
            raise AttributeError(f"a measured target has no {name!r}; there are {there_are}", name=name, obj=self)
        return getattr(self.summary, name)

    def __repr__(self) -> str:
        return f"MeasuredTarget({self.name}, {self.summary.total_requests} requests)"


_FIGURES = tuple(name for name in BenchmarkSummary.__struct_fields__ if name in _HIGHEST | _LOWEST)
Figure = Callable[[Any], Any]


class MeasuredTargets(Sequence[MeasuredTarget]):
    """Several of them."""

    def __init__(self, targets: Iterable[MeasuredTarget]) -> None:
        self._targets = tuple(targets)

    @staticmethod
    def of(candidates: Iterable[Candidate]) -> MeasuredTargets:
        """Return the targets of a choice with their summaries."""
        return MeasuredTargets(MeasuredTarget(c.name, c.target, benchmark_summary_of(c.table)) for c in candidates)

    def filter(self, keeps: Callable[[Any], Any]) -> MeasuredTargets:
        """Return those for which this is true; one of which the figure is not known does not count."""
        return MeasuredTargets(one for one in self._targets if _asked(keeps, one))

    def optimal_by(self, figure: Figure, best: Best | None = None) -> MeasuredTarget | None:
        """Return the target with the best figure; None where no target has it.

        best: which end is good; without it times and costs are good when low, rates when high.

        Raises:
            ConfigError: which end is good cannot be told from the figure.
        """
        known = [(value, one) for one in self._targets if (value := _asked(figure, one)) is not None]
        if not known:
            return None
        choose = max if (best or _best_of(figure)) == "highest" else min
        return choose(known, key=lambda pair: pair[0])[1]

    @overload
    def __getitem__(self, index: int) -> MeasuredTarget: ...
    @overload
    def __getitem__(self, index: slice) -> MeasuredTargets: ...
    def __getitem__(self, index: int | slice) -> MeasuredTarget | MeasuredTargets:
        found = self._targets[index]
        return MeasuredTargets(found) if isinstance(found, tuple) else found

    def __len__(self) -> int:
        return len(self._targets)

    def __iter__(self) -> Iterator[MeasuredTarget]:
        return iter(self._targets)

    def __repr__(self) -> str:
        return f"MeasuredTargets({', '.join(one.name for one in self._targets)})"


class _Path:
    """Takes note of the field that a figure reads first."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Path:
        return _Path(self._name or name)


def _asked(of: Figure, target: MeasuredTarget) -> Any:
    """Return what a function says of a target; None where a figure that it reads was not measured."""
    try:
        return of(target)
    except AttributeError as error:
        if error.obj is not None:
            raise
    except TypeError:
        if all(getattr(target.summary, name) is not None for name in _FIGURES):
            raise
    return None


def _best_of(figure: Figure) -> Best:
    try:
        path = figure(_Path())
    except TypeError:  # it computes with the field
        path = None
    name = path._name if isinstance(path, _Path) else None
    if name in _HIGHEST:
        return "highest"
    if name in _LOWEST:
        return "lowest"
    raise ConfigError("optimal_by: is a low or a high figure good? say best='lowest' or best='highest'")
