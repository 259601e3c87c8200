"""Recommend one of several targets from measured runs, with the confidence of that choice.

Targets that keep every constraint are ranked by the weighted product of their figures, so that a tenth slower
weighs as much as a tenth dearer, whatever the units. The same is done for runs drawn again from this one: the
share of them in which the choice stays the best is its confidence. A target without a figure that decides
cannot be ranked; no figure is guessed. Nothing here looks at how good the answers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from lens.analysis.optimize.candidates import (
    Candidate,
    candidates_of,
    chunk_size,
    draws,
    figure_of,
    in_turns,
    sample_of,
    verdicts_of,
)
from lens.analysis.optimize.caution import cautious_confidence
from lens.analysis.optimize.criteria import (
    Bound,
    CostBelow,
    Criteria,
    LatencyUnder,
    ReliabilityAbove,
    ThroughputAbove,
    conjuncts,
)
from lens.analysis.optimize.presets import OBJECTIVES, Objective, Preset, parse_criteria, preset_named
from lens.analysis.optimize.reasons import reasoning
from lens.analysis.optimize.recommendation import Constraint, Figure, OptimizationRecommendation, Standing
from lens.analysis.stats import Series
from lens.config.targets import find_named
from lens.errors import ConfigError

__all__ = [
    "Bound",
    "Candidate",
    "CostBelow",
    "Criteria",
    "LatencyUnder",
    "OptimizationRecommendation",
    "Preset",
    "ReliabilityAbove",
    "ThroughputAbove",
    "candidates_of",
    "parse_criteria",
    "preset_named",
    "recommend",
]

DRAWS = 1000
# Draws are fewer where each is costly: this many values are looked at in all.
CELLS = 100_000_000
FEWEST_DRAWS = 200
# With fewer requests than this nothing is drawn: so few do not tell how they vary.
FEWEST = 8
LEVEL = 0.95
# What costs nothing counts as this share of the cheapest that costs something; a ratio to 0 decides alone.
FREE = 0.01


def recommend(
    candidates: Sequence[Candidate],
    *,
    weights: Mapping[str, float],
    constraints: Criteria | None = None,
    optional: frozenset[str] = frozenset(),
    current: str | None = None,
    by_provider: bool = False,
    seed: int = 0,
) -> OptimizationRecommendation:
    """Return which target is best by these criteria among those that keep the constraints.

    weights: of names of OBJECTIVES. optional: of these, those that are left out when a target lacks the figure.
    current: the target that is used now, by its name or as provider:model; otherwise the first target counts as that.
    by_provider: the confidence is that of the provider, with whichever of its models.

    Raises:
        ConfigError: there is no target, or `current` is none of them.
    """
    if not candidates:
        raise ConfigError("nothing to choose from: no request was measured")
    now = _current(candidates, current)
    parts = conjuncts(constraints)
    figures = {name: _figures(candidates, one) for name, one in OBJECTIVES.items()}
    deciding, notes = _deciding(candidates, weights, optional, figures)
    kept = [_kept(candidate, parts) for candidate in candidates]
    unranked = [_unranked(candidate, deciding, figures, i) for i, candidate in enumerate(candidates)]
    fits = [not unranked[i] and all(one for one, _ in kept[i]) for i in range(len(candidates))]
    values = {name: [figure.value for figure in figures[name]] for name in deciding}
    chosen = _best(_losses(values, deciding, fits), fits)
    drawn = _drawn(candidates, deciding, parts, unranked, seed)
    figures = _with_intervals(figures, drawn)
    shares = _shares(candidates, drawn, by_provider=by_provider)
    front = _front(values, fits)
    found = OptimizationRecommendation(
        current_config=candidates[now].target,
        recommended_config=None if chosen is None else candidates[chosen].target,
        current=candidates[now].name,
        current_named=current is not None,
        recommended=None if chosen is None else candidates[chosen].name,
        confidence=None
        if chosen is None
        else _confidence(candidates, chosen, shares[chosen], fits, deciding, drawn, by_provider=by_provider),
        criteria={name: float(weights[name]) for name in deciding},
        constraints=_constraints(candidates, parts, kept),
        standings=tuple(
            _standing(candidate, i, figures, kept[i], unranked[i], front=i in front, share=shares[i])
            for i, candidate in enumerate(candidates)
        ),
        in_turns=in_turns(candidates),
        draws=drawn.many,
        by_provider=by_provider,
        notes=notes,
    )
    if chosen is not None and chosen != now:
        found = _with_gains(found, figures, drawn, now, chosen)
    return msgspec.structs.replace(found, reasoning=reasoning(found))


Kept = list[tuple[bool, str]]  # of each constraint: whether it is known to be kept, and by which figures


def _standing(
    candidate: Candidate,
    place: int,
    figures: Mapping[str, Sequence[Figure]],
    kept: Kept,
    unranked: str | None,
    *,
    front: bool,
    share: float | None,
) -> Standing:
    return Standing(
        name=candidate.name,
        target=candidate.target,
        requests=len(candidate.table),
        successes=candidate.successes,
        figures={name: row[place] for name, row in figures.items()},
        excluded=tuple(why for one, why in kept if not one),
        unranked=unranked,
        front=front,
        best_share=share,
    )


def _constraints(
    candidates: Sequence[Candidate], parts: Sequence[Criteria], kept: Sequence[Kept]
) -> tuple[Constraint, ...]:
    found = []
    for number, part in enumerate(parts):
        out = [one.name for one, truths in zip(candidates, kept, strict=True) if not truths[number][0]]
        found.append(Constraint(text=str(part), excludes=tuple(out)))
    return tuple(found)


def _current(candidates: Sequence[Candidate], name: str | None) -> int:
    if name is None:
        return 0
    names = [one.name for one in candidates]
    targets = [one.target for one in candidates]
    same = find_named(names, name, lambda place: (targets[place].provider, targets[place].model))
    if len(same) > 1:
        raise ConfigError(
            f"--current {name!r} may be any of {', '.join(names[i] for i in same)}; give one of these names"
        )
    if not same:
        raise ConfigError(f"--current {name!r} is not among the targets that were measured: {', '.join(names)}")
    return same[0]


def _figures(candidates: Sequence[Candidate], objective: Objective) -> list[Figure]:
    found = []
    for candidate in candidates:
        value, n = figure_of(candidate, objective.metric, objective.statistic)
        found.append(Figure(value=value, n=n))
    return found


def _deciding(
    candidates: Sequence[Candidate],
    weights: Mapping[str, float],
    optional: frozenset[str],
    figures: Mapping[str, Sequence[Figure]],
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the criteria that can be used, with weights that sum up to 1; and what had to be left out."""
    kept, notes = {}, []
    for name, weight in weights.items():
        lacking = [c.name for c, f in zip(candidates, figures[name], strict=True) if f.value is None and c.successes]
        nobody = all(figure.value is None for figure in figures[name])
        if nobody or (lacking and name in optional):
            who = "any target" if nobody else ", ".join(lacking)
            notes.append(f"{name} is not known of {who} and decides nothing{OBJECTIVES[name].remedy}")
        else:
            kept[name] = weight
    total = sum(kept.values())
    return {name: weight / total for name, weight in kept.items()}, tuple(notes)


def _unranked(
    candidate: Candidate, deciding: Mapping[str, float], figures: Mapping[str, Sequence[Figure]], place: int
) -> str | None:
    """Why a target cannot be ranked."""
    if not candidate.successes:
        return "no request succeeded"
    lacking = [name for name in deciding if figures[name][place].value is None]
    if lacking:
        return f"{', '.join(lacking)} not known{OBJECTIVES[lacking[0]].remedy}"
    return None if deciding else "nothing that was asked for is known"


def _kept(candidate: Candidate, parts: Sequence[Criteria]) -> Kept:
    """Return for each constraint whether it is known to be met, and with which figures."""
    verdicts = verdicts_of(candidate, [bound for part in parts for bound in part.bounds()])
    found = []
    for part in parts:
        truth = part.truth(lambda bound: None if verdicts[bound].actual is None else verdicts[bound].kept)
        said = []
        for bound in dict.fromkeys(part.bounds()):
            one = verdicts[bound]
            few = f" ({one.reason})" if one.reason and one.actual is not None else ""
            said.append("not measured" if one.actual is None else f"{one.actual:.4g}{few}")
        found.append((truth is True, f"{part}: {', '.join(said)}"))
    return found


def _losses(
    values: Mapping[str, Sequence[float | None]], deciding: Mapping[str, float], ranked: Sequence[bool]
) -> Series:
    """Return each target's weighted sum of the logarithms of its figures; lower is better, NaN: not ranked."""
    loss = np.zeros(len(ranked))
    for name, weight in deciding.items():
        column = np.array([np.nan if v is None else v for v in values[name]], dtype=np.float64)
        positive = column[column > 0]
        floor = float(positive.min()) * FREE if len(positive) else 1.0
        size = np.log(np.maximum(column, floor))
        loss += weight * (size if OBJECTIVES[name].lower else -size)
    return np.where(np.asarray(ranked), loss, np.nan)


def _best(losses: Series, ranked: Sequence[bool]) -> int | None:
    if not any(ranked) or bool(np.isnan(losses).all()):
        return None
    return int(np.nanargmin(losses))


def _front(values: Mapping[str, Sequence[float | None]], ranked: Sequence[bool]) -> set[int]:
    """Those that no other beats in one criterion without losing in another (Pareto)."""
    rows = {}
    for i, one in enumerate(ranked):
        if one:
            row = [(name, value) for name, column in values.items() if (value := column[i]) is not None]
            rows[i] = [value if OBJECTIVES[name].lower else -value for name, value in row]
    return {
        i
        for i, mine in rows.items()
        if not any(all(t <= m for t, m in zip(their, mine, strict=True)) and their != mine for their in rows.values())
    }


class _Drawn(NamedTuple):
    """What came of runs that were drawn again: a row a draw, a column a target."""

    many: int  # 0: too few requests to draw from
    figures: dict[str, Any]  # objective -> float64[draws, targets]
    best: Any  # int64[draws]: which was the best; -1: none kept the constraints


def _drawn(
    candidates: Sequence[Candidate],
    deciding: Mapping[str, float],
    parts: Sequence[Criteria],
    unranked: Sequence[str | None],
    seed: int,
) -> _Drawn:
    live = [i for i, candidate in enumerate(candidates) if candidate.successes]
    if not live or min(candidates[i].successes for i in live) < FEWEST:
        return _Drawn(0, {}, np.empty(0, dtype=np.int64))
    each = chunk_size([candidates[i] for i in live])
    known = {
        name: {i: sample_of(candidates[i], one.metric, one.statistic, each) for i in live}
        for name, one in OBJECTIVES.items()
    }
    bounds = list(dict.fromkeys(bound for part in parts for bound in part.bounds()))
    first = {i: verdicts_of(candidates[i], bounds) for i in live}
    bounded = {i: {b: sample_of(candidates[i], b.metric, b.statistic, each) for b in bounds} for i in live}
    cells = sum(len(s.values) for of in known.values() for s in of.values())
    cells = (cells + sum(len(s.values) for row in bounded.values() for s in row.values())) // each
    many = min(DRAWS, max(FEWEST_DRAWS, CELLS // max(cells, 1)))
    figures = {name: np.full((many, len(candidates)), np.nan) for name in OBJECTIVES}
    best = np.full(many, -1)
    for number, counts in enumerate(draws([candidates[i] for i in live], many, seed, each)):
        fits = [False] * len(candidates)
        for place, i in enumerate(live):
            for name, samples in known.items():
                figures[name][number, i] = samples[i].at(counts[place])
            seen = {b: s.at(counts[place]) if s.drawable else first[i][b].actual for b, s in bounded[i].items()}
            truths = {b: None if v is None or np.isnan(v) else b.kept(v) for b, v in seen.items()}
            fits[i] = not unranked[i] and all(part.truth(truths.__getitem__) is True for part in parts)
        row = {name: figures[name][number] for name in deciding}
        found = _best(_losses(row, deciding, fits), fits)
        best[number] = -1 if found is None else found
    return _Drawn(many, figures, best)


def _shares(candidates: Sequence[Candidate], drawn: _Drawn, *, by_provider: bool) -> list[float | None]:
    """Return in how many draws each was the best; of a provider, with any of its models."""
    if not drawn.many:
        return [None] * len(candidates)
    each = [float((drawn.best == i).mean()) for i in range(len(candidates))]
    if not by_provider:
        return list(each)
    who = np.array([candidate.target.provider for candidate in candidates])
    return [float(np.sum(np.array(each)[who == candidate.target.provider])) for candidate in candidates]


def _confidence(
    candidates: Sequence[Candidate], chosen: int, share: float | None, fits: Sequence[bool],
    deciding: Mapping[str, float], drawn: _Drawn, *, by_provider: bool,
) -> float | None:  # fmt: skip
    """Return the confidence of the choice among the targets that could be chosen in its place."""
    if share is None:
        return None
    mine = candidates[chosen].target.provider
    others = [
        i for i, fit in enumerate(fits)
        if fit and i != chosen and not (by_provider and candidates[i].target.provider == mine)
    ]  # fmt: skip
    return cautious_confidence(share, candidates, chosen, others, deciding, drawn.figures)


def _interval(values: Series) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if len(known) < FEWEST_DRAWS:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _with_intervals(figures: Mapping[str, Sequence[Figure]], drawn: _Drawn) -> dict[str, list[Figure]]:
    found: dict[str, list[Figure]] = {}
    for name, row in figures.items():
        found[name] = []
        for place, one in enumerate(row):
            sure = _interval(drawn.figures[name][:, place]) if drawn.many and one.n >= FEWEST else None
            found[name].append(msgspec.structs.replace(one, interval=sure))
    return found


def _with_gains(
    found: OptimizationRecommendation, figures: Mapping[str, Sequence[Figure]], drawn: _Drawn, now: int, chosen: int
) -> OptimizationRecommendation:
    """Return what changing over saves; a saving that is negative is a price."""
    changes: dict[str, Any] = {}
    for name, scale, value, share, interval in (
        ("cost", 1000, "expected_cost_savings", "cost_savings_share", "cost_savings_interval"),
        ("latency", 1, "expected_latency_improvement", "latency_share", "latency_interval"),
    ):
        before, after = figures[name][now].value, figures[name][chosen].value
        if before is None or after is None:
            continue
        changes[value] = (before - after) * scale
        changes[share] = (before - after) / before if before else None
        if drawn.many and min(figures[name][now].n, figures[name][chosen].n) >= FEWEST:
            changes[interval] = _interval((drawn.figures[name][:, now] - drawn.figures[name][:, chosen]) * scale)
    return msgspec.structs.replace(found, **changes)
