"""What a target can be chosen by, and ready-made choices for a purpose."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from lens.analysis.optimize.criteria import Criteria, LatencyUnder
from lens.errors import ConfigError


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """A criterion: which figure of a target it is."""

    metric: str
    statistic: str
    lower: bool  # the lower the better
    title: str
    remedy: str = ""  # what to do where it is not known


OBJECTIVES = {
    "latency": Objective(metric="ttft_ms", statistic="p50", lower=True, title="TTFT p50 ms"),
    "cost": Objective(
        metric="total_cost", statistic="mean", lower=True, title="USD/1k",
        remedy=" (give --prices FILE, or --price in=USD,out=USD where all cost the same)",
    ),
    "throughput": Objective(metric="tokens_per_second", statistic="mean", lower=False, title="tokens/s"),
    "reliability": Objective(metric="success_rate", statistic="", lower=False, title="success"),
}  # fmt: skip
_ALIASES = {"ttft": "latency", "price": "cost", "speed": "throughput", "tps": "throughput", "success": "reliability"}


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """Criteria and constraints for a purpose."""

    name: str
    weights: Mapping[str, float]
    optional: frozenset[str] = frozenset()  # left out where a target lacks the figure
    constraints: Criteria | None = None
    says: str


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="InteractiveLowLatency", weights={"latency": 4, "cost": 1}, optional=frozenset({"cost"}),
            says="the fastest first token; cost decides between the fast ones",
        ),
        Preset(
            name="BatchHighThroughput", weights={"throughput": 1}, says="the most tokens a second",
        ),
        Preset(
            name="CostOptimized", weights={"cost": 1}, constraints=LatencyUnder(1000),
            says="the lowest cost of those with a TTFT p95 below a second",
        ),
    )
}  # fmt: skip
DEFAULT_CRITERIA = "latency,cost"


def preset_named(name: str) -> Preset:
    """Return the preset of a name, also written with dashes: InteractiveLowLatency, interactive-low-latency.

    Raises:
        ConfigError: no preset of that name.
    """
    plain = re.sub(r"[^a-z]", "", name.lower())
    for preset in PRESETS.values():
        if preset.name.lower() == plain:
            return preset
    raise ConfigError(f"preset {name!r}: there are {', '.join(PRESETS)}")


def parse_criteria(text: str) -> dict[str, float]:
    """Criteria and their weights: "latency,cost", "latency=2,cost=1".

    Raises:
        ConfigError: there is no such criterion, or a weight is no positive number.
    """
    found: dict[str, float] = {}
    for part in (one.strip() for one in text.split(",")):
        name, _, weight = (piece.strip() for piece in part.partition("="))
        known = _ALIASES.get(name.lower(), name.lower())
        if known not in OBJECTIVES:
            raise ConfigError(
                f"criteria {text!r}: no criterion {name!r}; there are {', '.join(OBJECTIVES)}, "
                "each with a weight if wanted: latency=2,cost=1"
            )
        try:
            found[known] = float(weight or 1)
        except ValueError:
            found[known] = 0.0
        if not 0 < found[known] < float("inf"):
            raise ConfigError(f"criteria {text!r}: the weight of {name} is {weight!r}; expected a number above 0")
    return found
