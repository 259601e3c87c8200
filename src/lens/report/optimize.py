"""A recommendation as a page for people: the targets, the constraints, the choice, and why."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from lens.analysis.optimize.presets import OBJECTIVES
from lens.analysis.optimize.reasons import failures_of
from lens.analysis.optimize.recommendation import Figure, OptimizationRecommendation, Standing
from lens.report import terminal

if TYPE_CHECKING:
    from rich.console import Console

_LEAST_NAME = 12  # cells of the name of a target before a column is left out
# On screens narrower than this there is no room for intervals.
WIDE = 110


def print_recommendation(console: Console, found: OptimizationRecommendation) -> None:
    """Print the table of targets, then what follows from it."""
    from rich.text import Text

    _print_table(console, found)
    for constraint in found.constraints:
        excludes = ", ".join(constraint.excludes) or "no target"
        terminal.fact(console, "constraint", f"{terminal.clean(constraint.text)} excludes {terminal.clean(excludes)}")
    for one in found.standings:
        if one.excluded:
            terminal.fact(console, "excluded", terminal.clean(f"{one.name}: {'; '.join(one.excluded)}"))
    if found.recommended is None:
        console.print(Text("no recommendation", style="bold red"))
    else:
        named = found.recommended
        if found.by_provider and found.recommended_config:
            named = f"{found.recommended_config.provider}, with {named}"
        chosen = next((one for one in found.standings if one.name == found.recommended), None)
        lost = failures_of(chosen) if chosen is not None else None
        said = f"{named}, but {lost}" if lost else named
        terminal.fact(console, "recommended", terminal.clean(said), style="bold yellow" if lost else "bold green")
        _print_gains(console, found)
        sure = "too few requests to tell" if found.confidence is None else f"{found.confidence:.1%}"
        terminal.fact(console, "confidence", sure)
    terminal.fact(console, "why", terminal.clean(found.reasoning, 4000))


def _print_gains(console: Console, found: OptimizationRecommendation) -> None:
    if found.recommended == found.current:
        return
    against = f"against {terminal.clean(found.current)}"
    if not found.current_named:
        against += " (the first; --current names another)"
    if (saved := found.expected_cost_savings) is not None:
        said = _gain(saved, found.cost_savings_share, found.cost_savings_interval)
        terminal.fact(console, "saving" if saved >= 0 else "dearer by", f"{said} USD per 1,000 requests {against}")
    if (faster := found.expected_latency_improvement) is not None:
        said = _gain(faster, found.latency_share, found.latency_interval)
        terminal.fact(console, "faster by" if faster >= 0 else "slower by", f"{said} ms of median TTFT {against}")


def _gain(value: float, share: float | None, interval: tuple[float, float] | None) -> str:
    """Without its sign, which the name of the line tells."""
    sign = 1 if value >= 0 else -1
    notes = [f"{abs(share):.0%}"] if share is not None else []
    if interval:
        low, high = sorted(sign * end for end in interval)
        notes.append(f"95 %: {low:.4g} to {high:.4g}")
    return f"{abs(value):.4g} ({'; '.join(notes)})" if notes else f"{abs(value):.4g}"


def _print_table(console: Console, found: OptimizationRecommendation) -> None:
    """Print a row a target: its figures, whether it is on the front, how often it is the best."""
    from lens.report.tables import WholeTable, print_left_out, without

    titles = [one.title for one in OBJECTIVES.values()]

    def table_with(wide: Collection[str]) -> WholeTable:
        table = WholeTable(["target", *titles, "front", "best in"], folds={0: _LEAST_NAME})
        for standing in found.standings:
            cells = [_cell(name, standing.figures[name], wide=name in wide) for name in OBJECTIVES]
            best = "-" if standing.best_share is None else f"{standing.best_share:.1%}"
            style = "bold green" if standing.name == found.recommended else "" if standing.eligible else "dim"
            table.add_row(terminal.clean(standing.name), *cells, _front(standing), best, style=style)
        return table

    # Intervals of what decides; of more than two there is no room.
    table = table_with(list(found.criteria)[:2] if console.width >= WIDE else ())
    if table.least_width(range(len(table.columns))) > console.width:
        table = table_with(())
    # What decides goes last.
    order = [one.title for name, one in OBJECTIVES.items() if name not in found.criteria] + ["best in", "front"]
    order += [OBJECTIVES[name].title for name in reversed(list(found.criteria)[1:])]
    print_left_out(console, table.print(console, without(table.columns, order)))


def _front(standing: Standing) -> str:
    if standing.unranked:
        return "unranked"
    return "excluded" if standing.excluded else "yes" if standing.front else "no"


def _cell(name: str, figure: Figure, *, wide: bool) -> str:
    if figure.value is None:
        return "-"
    said = _shown(name, figure.value)
    if wide and figure.interval:
        return f"{said} ({_shown(name, figure.interval[0])} to {_shown(name, figure.interval[1])})"
    return said


def _shown(name: str, value: float) -> str:
    if name == "reliability":
        return f"{value:.1%}"
    return f"{value * 1000:.4g}" if name == "cost" else terminal.number(value)
