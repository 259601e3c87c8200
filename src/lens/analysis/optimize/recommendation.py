"""The data of a recommendation: the advice, its confidence, and the score of each target.

Frozen structs and nothing else. None is not known, never 0.
"""

from __future__ import annotations

import msgspec

from lens.model import Target


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one target."""

    value: float | None  # in the unit of its metric
    n: int  # requests it was measured of
    interval: tuple[float, float] | None = None  # 95 %; None: too few to tell


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one target stands among the others."""

    name: str  # provider:model
    target: Target
    requests: int
    successes: int
    figures: dict[str, Figure]  # latency (TTFT p50, ms), cost (USD a request), throughput (tokens/s), reliability
    excluded: tuple[str, ...]  # constraints that it does not keep, and by which figures
    unranked: str | None  # why it could not be ranked
    front: bool  # no other is better in one criterion without being worse in another
    best_share: float | None  # of the draws in which it (or its provider) was the best

    @property
    def eligible(self) -> bool:
        """Whether the target meets every constraint and could be ranked."""
        return not self.excluded and self.unranked is None


class Constraint(msgspec.Struct, frozen=True, kw_only=True):
    """One constraint, and whom it excludes."""

    text: str
    excludes: tuple[str, ...]


class OptimizationRecommendation(msgspec.Struct, frozen=True, kw_only=True):
    """What to use and why. Gains are those of the recommended target over the current one."""

    current_config: Target
    recommended_config: Target | None  # None: no target can be recommended
    expected_cost_savings: float | None = None  # USD per 1,000 requests; negative: it costs more
    expected_latency_improvement: float | None = None  # ms of median TTFT; negative: it is slower
    confidence: float | None = None  # share of the draws in which it stays the best; None: too few requests to tell
    reasoning: str = ""
    current: str  # provider:model
    current_named: bool = True  # False: the first target stands for it
    recommended: str | None = None
    cost_savings_share: float | None = None  # of what the current one costs
    cost_savings_interval: tuple[float, float] | None = None  # 95 %, USD per 1,000 requests
    latency_share: float | None = None
    latency_interval: tuple[float, float] | None = None  # 95 %, ms
    criteria: dict[str, float] = {}  # that decided, and their weights
    constraints: tuple[Constraint, ...] = ()
    standings: tuple[Standing, ...] = ()
    in_turns: bool = False  # the targets were asked in turns, so drift hit all alike
    draws: int = 0
    by_provider: bool = False
    notes: tuple[str, ...] = ()

    def standing(self, name: str) -> Standing:
        """Return the standing of one target.

        Raises:
            KeyError: there is none of this name.
        """
        for one in self.standings:
            if one.name == name:
                return one
        raise KeyError(name)

    @property
    def none_meets(self) -> bool:
        """Targets answered, and the constraints exclude each of them that did."""
        live = [one for one in self.standings if one.successes]
        return bool(live) and all(one.excluded for one in live)
