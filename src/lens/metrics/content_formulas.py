"""Formulas of what an answer holds: its tool calls, silences by what ended them, and how far its text had come.

Of a tool call the times are those of the events that brought its fragments; of a text those of the events that
completed a sentence, a line or a block of code. What was not measured is NaN.
"""

from __future__ import annotations

from collections.abc import Callable

from lens.arrays.dispatch import arange_like, np
from lens.history.lean import MISSING
from lens.metrics.columns import Column, Columns
from lens.metrics.formulas import Formula, longest_of, since
from lens.units import NS_PER_MS

Pooled = Callable[[Columns], tuple[Column, Column]]


def _of_tools(t: Columns) -> Column:
    """Return which content events are of tool calls."""
    found: Column = (t.listed("events", "kind") & 4) != 0
    return found


# Content events by what they bring.
KINDS: dict[str, Callable[[Columns], Column]] = {
    "text": lambda t: t.output & ~_of_tools(t),
    "thinking": lambda t: t.reasoning,
    "tool": _of_tools,
}


def calls(name: str, per: int = 1) -> Pooled:
    """Return the formula of a column of tool calls: its values over `per`, and the request of each."""

    def values(t: Columns) -> tuple[Column, Column]:
        found = t.listed("calls", name)
        of = np.repeat(arange_like(t.n), np.diff(t.firsts("calls")))
        known = found != MISSING
        return found[known] / per, of[known]

    return values


def first_call(name: str) -> Formula:
    """Return the formula of the earliest time of a request's tool calls, in ms."""

    def earliest(t: Columns) -> Column:
        values, of = calls(name, NS_PER_MS)(t)
        return -longest_of(t, -values, of)

    return earliest


def worst_call(name: str) -> Formula:
    """Return the formula of the longest time of a request's tool calls, in ms."""
    return lambda t: longest_of(t, *calls(name, NS_PER_MS)(t))


def every_call(name: str) -> Formula:
    """Return the formula of the latest time of a request's tool calls, in ms; NaN where one of them has none."""

    def latest(t: Columns) -> Column:
        values, of = calls(name, NS_PER_MS)(t)
        whole = np.bincount(of, minlength=len(t)) == np.diff(t.firsts("calls"))
        return np.where(whole, longest_of(t, values, of), np.nan)

    return latest


def call_deltas(t: Columns) -> Column:
    """Return the events that brought a fragment of a tool call; NaN of a request without a call."""
    values, of = calls("deltas")(t)
    n = np.bincount(of, minlength=len(t))
    return np.where(n > 0, np.bincount(of, weights=values, minlength=len(t)), np.nan)


def longest_gap_before(kind: str) -> Formula:
    """Return the formula of the longest gap before a content event of a kind, in ms."""

    def longest(t: Columns) -> Column:
        gaps, of = t.gaps
        ends = KINDS[kind](t)[1:][t.of[1:] == t.of[:-1]]
        return longest_of(t, gaps[ends] / NS_PER_MS, of[ends])

    return longest


def until(column: str) -> Formula:
    """Return the formula of the time from the start to what a column of times says, in ms."""
    return lambda t: since(0, t.column(column))
