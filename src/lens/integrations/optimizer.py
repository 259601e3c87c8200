"""Auto-Optimizer: models set side by side, and the one that fits a purpose.

    results = await ModelComparator().compare_models(["gpt-6-sol", "claude-sonnet-5-5"], ["Say hello"])
    best = results.optimal_by_criteria(LatencyUnder(500).and_(CostBelow(0.01)).and_(ThroughputAbove(20)))
    AutoOptimizer(recent).select_provider(Requirements.InteractiveLowLatency)

A choice is a recommendation with its confidence and its reasons, never a name alone; where the data is
too little, it says so.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import msgspec

from lens.analysis.compare import Comparison, compare_targets
from lens.analysis.optimize.candidates import Candidate, candidates_of
from lens.analysis.optimize.criteria import (
    Bound,
    CostBelow,
    Criteria,
    LatencyUnder,
    ReliabilityAbove,
    ThroughputAbove,
    all_of,
)
from lens.analysis.optimize.presets import DEFAULT_CRITERIA, PRESETS, parse_criteria
from lens.analysis.optimize.recommend import recommend
from lens.analysis.optimize.recommendation import OptimizationRecommendation
from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, LensError, ThresholdError
from lens.integrations.choice import Best, Figure, MeasuredTarget, MeasuredTargets
from lens.integrations.recent import RecentMetrics
from lens.metrics.builder import table_of
from lens.metrics.table import Table
from lens.model import Record, RunInfo, Target
from lens.orchestrator.stop import Stop
from lens.pricing import PriceBook, standard_book
from lens.profiler import target_of
from lens.providers.registry import provider_names
from lens.run.async_bridge import Work, anywhere, blocking
from lens.run.driver import RunOptions, run

__all__ = [
    "AutoOptimizer",
    "Bound",
    "ComparisonResults",
    "CostBelow",
    "Criteria",
    "LatencyUnder",
    "ModelComparator",
    "OptimizationRecommendation",
    "RecentMetrics",
    "ReliabilityAbove",
    "Requirements",
    "ThroughputAbove",
]

# Whose a model is when only its name is given: by how the makers name theirs.
_MAKERS = {
    "gpt": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "claude": "anthropic",
    "gemini": "google",
}


class Requirements(enum.Enum):
    """What a target is wanted for; the presets of `lll optimize`."""

    InteractiveLowLatency = "InteractiveLowLatency"
    BatchHighThroughput = "BatchHighThroughput"
    CostOptimized = "CostOptimized"


class ComparisonResults:
    """What models that were asked in turns showed."""

    def __init__(self, info: RunInfo, records: list[Record], book: PriceBook) -> None:
        self.info, self.records, self.book = info, records, book

    def optimal_by_criteria(
        self, criteria: Criteria | None = None, *, by: str = DEFAULT_CRITERIA, current: str | None = None
    ) -> OptimizationRecommendation:
        """Return the best of those that keep the criteria; `by` says what is best, like "latency=2,cost=1".

        Raises:
            ConfigError: `by` is no list of criteria, or `current` was not measured.
        """
        return recommend(self._candidates(), weights=parse_criteria(by), constraints=criteria, current=current)

    def optimal_for(self, requirements: Requirements) -> OptimizationRecommendation:
        """Return the best for a purpose."""
        return _for(self._candidates(), requirements, None)

    def get_metrics(self) -> MeasuredTargets:
        """Return the summary of each model, to filter and to choose from by any figure."""
        return MeasuredTargets.of(self._candidates())

    def optimal_by(self, figure: Figure, best: Best | None = None) -> MeasuredTarget | None:
        """Return the model with the best figure, as MeasuredTargets.optimal_by does."""
        return self.get_metrics().optimal_by(figure, best)

    def comparisons(self) -> list[Comparison]:
        """Each model against the first, figure by figure, as `lll compare` shows them."""
        return compare_targets(self._table(), targets=len(self.info.targets))

    def _table(self) -> Table:
        return table_of(self.records, self.info, self.book)

    def _candidates(self) -> list[Candidate]:
        return candidates_of(self._table())


class ModelComparator:
    """Asks several models the same, in turns, so that drift hits all of them alike."""

    def __init__(
        self, *, iterations: int = 30, concurrency: int = 1, book: PriceBook | None = None, **load: Any
    ) -> None:
        """
        iterations: requests for each model. load: other fields of LoadConfig.

        Raises:
            ConfigError: one of them cannot be.
        """
        self.book = book or standard_book()
        try:
            self.load = msgspec.convert({"iterations": iterations, "concurrency": concurrency, **load}, LoadConfig)
        except msgspec.ValidationError as error:
            raise ConfigError(f"ModelComparator: {error}") from None

    async def compare_models(
        self, models: Sequence[str | TargetConfig], test_prompts: Sequence[str]
    ) -> ComparisonResults:
        """Ask, from trio or asyncio. A model is a TargetConfig, "provider:model", or a well-known name.

        Raises:
            ConfigError: there are no two models, or no prompt, or nobody knows whose a model is.
        """
        return await anywhere(self._work(models, test_prompts))

    def compare_models_blocking(
        self, models: Sequence[str | TargetConfig], test_prompts: Sequence[str]
    ) -> ComparisonResults:
        """compare_models for code that does not await."""
        return blocking(self._work(models, test_prompts))

    def _work(self, models: Sequence[str | TargetConfig], prompts: Sequence[str]) -> Work[ComparisonResults]:
        if len(models) < 2 or not prompts:
            raise ConfigError(f"to compare takes two models and a prompt; given: {len(models)} and {len(prompts)}")
        targets = tuple(one if isinstance(one, TargetConfig) else target_named(one) for one in models)
        config = RunConfig(targets=targets, load=self.load, prompts=PromptConfig(texts=tuple(prompts)))

        async def work(stop: Stop) -> ComparisonResults:
            result = await run(config, options=RunOptions(book=self.book), stop=stop)
            return ComparisonResults(result.info, result.records, self.book)

        return work


def target_named(name: str) -> TargetConfig:
    """ "provider:model", or a model whose maker its name tells.

    Raises:
        ConfigError: it does not.
    """
    provider, colon, model = name.partition(":")
    if colon and model and provider in provider_names():
        return target_of(provider, model)
    for prefix, maker in _MAKERS.items():
        if name.lower().startswith(prefix):
            return target_of(maker, name)
    raise ConfigError(f"model {name!r}: unknown provider; write provider:model, like openai:gpt-6-sol")


class AutoOptimizer:
    """Selects by what was measured lately."""

    def __init__(self, recent: RecentMetrics, *, book: PriceBook | None = None) -> None:
        self.recent, self.book = recent, book or standard_book()

    @property
    def latency_lens_client(self) -> RecentMetrics:
        """What was measured lately: get_recent_metrics() has the summary of each target."""
        return self.recent

    def recommend(
        self, requirements: Requirements, constraints: Criteria | None = None, *, current: str | None = None
    ) -> OptimizationRecommendation:
        """Return the target to use for a purpose, with its confidence and the reasons.

        constraints: limits beside those of the purpose.

        Raises:
            ConfigError: nothing was measured lately.
        """
        return _for(self.recent.candidates(self.book), requirements, constraints, current)

    def select_provider(self, requirements: Requirements, constraints: Criteria | None = None) -> Target:
        """Return the target alone.

        Raises:
            ThresholdError: none keeps the constraints.
            LensError: none can be ranked. The message says why.
        """
        found = self.recommend(requirements, constraints)
        if found.recommended_config is None:
            raise (ThresholdError if found.none_meets else LensError)(f"{requirements.value}: {found.reasoning}")
        return found.recommended_config


def _for(
    candidates: list[Candidate],
    requirements: Requirements,
    constraints: Criteria | None,
    current: str | None = None,
) -> OptimizationRecommendation:
    preset = PRESETS[requirements.value]
    parts = [one for one in (preset.constraints, constraints) if one is not None]
    return recommend(
        candidates,
        weights=preset.weights,
        optional=preset.optional,
        constraints=all_of(parts),
        current=current,
    )
