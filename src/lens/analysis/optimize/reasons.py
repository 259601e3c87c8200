"""A recommendation in plain words: what was chosen, why, what it brings, and what is not known."""

from __future__ import annotations

from math import ceil
from statistics import NormalDist

from lens.analysis.optimize.recommendation import Figure, OptimizationRecommendation, Standing

# Above this share of the draws a choice counts as settled.
SETTLED = 0.95
# More requests than this many times as many are not worth counting out.
MOST_TIMES = 100
# A target that fails more often than this is told of when reliability decides nothing.
MANY_FAILED = 0.05


def reasoning(found: OptimizationRecommendation) -> str:
    """Sentences, one after the other."""
    if found.recommended is None:
        return " ".join([_none(found), *_sentences(found.notes)])
    chosen = found.standing(found.recommended)
    parts = [_choice(found, chosen), *_gains(found), _sureness(found, chosen), *_caveats(found, chosen)]
    return " ".join(parts)


def _sentences(notes: tuple[str, ...]) -> list[str]:
    return [f"{note[0].upper()}{note[1:]}." for note in notes]


def _none(found: OptimizationRecommendation) -> str:
    if found.none_meets:
        by = "; ".join(f"{one.text} excludes {', '.join(one.excludes)}" for one in found.constraints if one.excludes)
        return f"No target meets the constraints: {by}."
    reasons = "; ".join(f"{one.name}: {one.unranked or 'excluded'}" for one in found.standings)
    return f"No target can be recommended: {reasons}."


def _choice(found: OptimizationRecommendation, chosen: Standing) -> str:
    others = [one for one in found.standings if one.eligible and one is not chosen]
    total = sum(found.criteria.values())
    by = " and ".join(f"{name} ({weight / total:.0%})" for name, weight in found.criteria.items())
    if not others:
        left = "is the only target that " + ("meets the constraints" if found.constraints else "can be ranked")
        return f"{chosen.name} {left}."
    beats = [name for name in found.criteria if all(_better(name, chosen, one) for one in others)]
    if len(beats) == len(found.criteria):
        return f"{chosen.name} is the best of {len(others) + 1} in {' and '.join(beats)}."
    lead = f", being the best in {' and '.join(beats)}" if beats else ""
    return f"{chosen.name} has the best balance of {by} among {len(others) + 1} targets{lead}."


def _better(name: str, one: Standing, other: Standing) -> bool:
    mine, theirs = one.figures[name].value, other.figures[name].value
    if mine is None or theirs is None:
        return False
    return mine < theirs if name in ("latency", "cost") else mine > theirs


def _gains(found: OptimizationRecommendation) -> list[str]:
    if found.recommended == found.current:
        return ["It is the one in use: nothing is to be changed."] if found.current_named else []
    against = f"Against {found.current}"
    parts = []
    if (saved := found.expected_cost_savings) is not None:
        parts.append(
            _gain(saved, found.cost_savings_share, found.cost_savings_interval, "saves/costs", "USD per 1,000 requests")
        )
    if (faster := found.expected_latency_improvement) is not None:
        parts.append(_gain(faster, found.latency_share, found.latency_interval, "gains/loses", "ms of median TTFT"))
    return [f"{against} it {' and '.join(parts)}."] if parts else []


def _gain(value: float, share: float | None, interval: tuple[float, float] | None, verbs: str, unit: str) -> str:
    """Return a gain, or the loss that it is when it is negative, with its interval."""
    good, bad = verbs.split("/")
    sign = 1 if value >= 0 else -1
    said = f"{good if sign > 0 else bad} {abs(value):.4g} {unit}"
    if share is not None:
        said += f" ({abs(share):.0%})"
    if interval is None:
        return said
    low, high = sorted(sign * end for end in interval)
    return f"{said}, 95 %: {low:.4g} to {high:.4g}"


def _sureness(found: OptimizationRecommendation, chosen: Standing) -> str:
    others = [one for one in found.standings if one.eligible and one is not chosen]
    if found.confidence is None:
        few = min(one.successes for one in found.standings if one.successes)
        return f"Too few requests for a confidence: {few} of a target succeeded; ask each 20 times or more."
    what = f"the provider {chosen.target.provider}" if found.by_provider else "it"
    said = f"Drawn again {found.draws:,} times, {what} stays the best in {found.confidence:.1%}"
    if found.confidence >= SETTLED or not others:
        return f"{said}."
    rival = max(others, key=lambda one: one.best_share or 0)
    return f"{said}, {rival.name} is in {rival.best_share or 0:.1%}: this is not settled{_more(found, chosen)}."


def _more(found: OptimizationRecommendation, chosen: Standing) -> str:
    """Return how many requests would settle it, if figures stay: a share of draws grows as a normal's does."""
    sure = found.confidence or 0
    if sure <= 0.5 or found.by_provider:
        return ""
    times = (NormalDist().inv_cdf(SETTLED) / NormalDist().inv_cdf(sure)) ** 2
    if times > MOST_TIMES:
        return ", and the difference is too small to matter"
    return f"; about {ceil(times * chosen.requests):,} requests a target would settle it"


def failures_of(one: Standing) -> str | None:
    """Return how many requests to a target failed, where they are many."""
    failed = one.requests - one.successes
    if failed <= MANY_FAILED * one.requests:
        return None
    return f"{failed} of {one.requests} requests to {one.name} failed or brought nothing"


def _caveats(found: OptimizationRecommendation, chosen: Standing) -> list[str]:
    """Return what to know before acting on the recommendation."""
    said = [f"{one.name} is not ranked: {one.unranked}." for one in found.standings if one.unranked]
    if (lost := failures_of(chosen)) and "reliability" not in found.criteria:
        said.append(f"{lost}; add reliability to the criteria.")
    priced = _partly(chosen.figures["cost"], chosen)
    if priced and "cost" in found.criteria:
        said.append(priced)
    if len(found.standings) > 1 and not found.in_turns:
        said.append("The targets were not asked in turns: drift between them is not excluded.")
    return [*said, *_sentences(found.notes)]


def _partly(figure: Figure, one: Standing) -> str | None:
    if figure.value is None or figure.n >= one.successes:
        return None
    return f"The cost of {one.name} is that of the {figure.n} of {one.successes} answers that could be priced."
