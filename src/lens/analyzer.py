"""The analyzer: models compared, and the one that fits a purpose.

from lens.analyzer import Criteria, ModelComparator
"""

from __future__ import annotations

from lens.integrations.choice import MeasuredTarget, MeasuredTargets
from lens.integrations.optimizer import (
    AutoOptimizer,
    Bound,
    ComparisonResults,
    CostBelow,
    Criteria,
    LatencyUnder,
    ModelComparator,
    OptimizationRecommendation,
    RecentMetrics,
    ReliabilityAbove,
    Requirements,
    ThroughputAbove,
)

__all__ = [
    "AutoOptimizer",
    "Bound",
    "ComparisonResults",
    "CostBelow",
    "Criteria",
    "LatencyUnder",
    "MeasuredTarget",
    "MeasuredTargets",
    "ModelComparator",
    "OptimizationRecommendation",
    "RecentMetrics",
    "ReliabilityAbove",
    "Requirements",
    "ThroughputAbove",
]
